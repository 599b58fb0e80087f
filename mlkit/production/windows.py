"""Windows of event time: half-open, on a fixed grid, so that a check which is repeated finds the same one.

The grid is counted in UTC from Monday, 1970-01-05: windows of seven days begin on Mondays, those of a day
at midnight.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import Any

from mlkit.errors import UsageError

GRID = dt.datetime(1970, 1, 5, tzinfo=dt.UTC)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MOST_WINDOWS = 1000
_LONGEST = dt.timedelta(days=36_525)
_FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])")


@dataclasses.dataclass(frozen=True, order=True)
class Span:
    """Event times in UTC.

    Attributes:
        since: The first that is in it.
        until: The first that is not any more.
    """

    since: dt.datetime
    until: dt.datetime

    def __post_init__(self) -> None:
        """Refuse a span of nothing.

        Raises:
            UsageError: It ends before it begins (CLI060).
        """
        if self.until <= self.since:
            message = f"a window ends after it begins; found {_text(self.since)} to {_text(self.until)}"
            raise UsageError("CLI060", message, path="until", fix="--since 2026-06-01 --until 2026-06-08")

    @property
    def width(self) -> dt.timedelta:
        """How long it is."""
        return self.until - self.since

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}

    def __str__(self) -> str:
        """From and to, times of day only where they are not midnight."""
        return f"{_text(self.since)} to {_text(self.until)}"


def last_full(every: dt.timedelta, *, now: dt.datetime) -> Span:
    """The newest window of the grid that has ended."""
    until = _floor(now, every)
    return Span(until - every, until)


def spans(
    every: dt.timedelta,
    *,
    now: dt.datetime,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> list[Span]:
    """Windows to check, oldest first.

    Args:
        every: Width of a window.
        now: What "the last full window" is counted from.
        since: Beginning of the first; windows follow one another from there on. By default that of the
            newest which has ended.
        until: End of the last; a window that would end later is left out. By default now.

    Raises:
        UsageError: No window lies between (CLI060), or more than a thousand do (CLI061).
    """
    if since is None and until is None:
        return [last_full(every, now=now)]
    if since is None:
        end = in_utc(until or now)
        if end - _FIRST < every:
            message = f"no window of {duration_text(every)} ends at {_text(end)}"
            raise UsageError("CLI060", message, path="until", fix="end later, or give a smaller --every")
        return [Span(end - every, end)]
    first, end = in_utc(since), in_utc(until or _floor(now, every))
    number = (end - first) // every
    if number < 1:
        message = f"no window of {duration_text(every)} lies from {_text(first)} to {_text(end)}"
        raise UsageError("CLI060", message, path="since", fix="begin earlier, or give a smaller --every")
    if number > MOST_WINDOWS:
        message = f"{number:,} windows lie between, expected at most {MOST_WINDOWS:,}"
        raise UsageError("CLI061", message, path="every", fix="give a larger --every, or fewer days")
    return [Span(first + every * place, first + every * (place + 1)) for place in range(number)]


def read_time(text: str, *, path: str) -> dt.datetime:
    """A time as a person writes it: a date, or a date and a time; without a zone it is UTC.

    Raises:
        UsageError: It is none (CLI062).
    """
    try:
        return in_utc(dt.datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # the first and last days of the calendar have no UTC
        message = "expected a date or a time of ISO 8601"
        raise UsageError("CLI062", message, path=path, fix=f"--{path} 2026-06-01T06:00:00Z") from None


def read_duration(text: str, *, path: str) -> dt.timedelta:
    """A duration as a person writes it, such as ``7d`` or ``6h``.

    Raises:
        UsageError: It is none (CLI062).
    """
    found = _DURATION.fullmatch(text)
    duration = dt.timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if duration is None or duration > _LONGEST:
        message = "expected a duration of minutes, hours, days or weeks, at most a hundred years"
        raise UsageError("CLI062", message, path=path, fix=f"--{path} 7d, or 30m, 6h, 2w")
    return duration


def duration_text(duration: dt.timedelta) -> str:
    """A duration in the largest unit that gives a whole number."""
    for letter in "wdhm":
        number, rest = divmod(duration, dt.timedelta(**{_UNITS[letter]: 1}))
        if number and not rest:
            return f"{number}{letter}" if letter != "w" else f"{7 * number}d"
    return str(duration)


def _floor(time: dt.datetime, every: dt.timedelta) -> dt.datetime:
    return GRID + (in_utc(time) - GRID) // every * every


def in_utc(time: dt.datetime) -> dt.datetime:
    """An instant in UTC; a time without a zone is taken for UTC."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def micros(time: dt.datetime) -> int:
    """Microseconds from 1970 to an instant."""
    return (time - _EPOCH) // dt.timedelta(microseconds=1)


def _text(time: dt.datetime) -> str:
    midnight = time.timetz() == dt.time(tzinfo=dt.UTC)
    return f"{time:%Y-%m-%d}" if midnight else f"{time:%Y-%m-%dT%H:%M:%SZ}"
