"""Where things stand along an axis, and its round marks."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import math
from typing import TYPE_CHECKING

from mlkit.page.html import moment, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Place = float | dt.datetime
"""Where on an axis: a number or a time."""

_MOST, _LEAST = 1e300, 1e-200  # numbers beyond have no place; distances below are none
_STEPS = (1, 2, 2.5, 5, 10)
_MARKS = 5  # about how many
_HOUR, _DAY = 3600.0, 86400.0
_CLOCKS = (60, 300, 900, 1800, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclasses.dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: What stands at its beginning.
        high: What stands at its end.
        marks: Places with a text.
        is_log: Whether equal steps are equal factors.
        names: What stands there if it is no number: places are then 0, 1, 2, ...
    """

    low: float
    high: float
    marks: tuple[tuple[float, str], ...] = ()
    is_log: bool = False
    names: tuple[str, ...] = ()

    def at(self, place: Place) -> float:
        """Percent of the way from beginning to end."""
        low, high, value = self.low, self.high, as_number(place)
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return 100 * (value - low) / (high - low)

    def told(self, place: Place) -> str:
        """A place in words."""
        if isinstance(place, dt.datetime):
            return moment(place)
        return self.names[int(place)] if self.names else number(place)


def as_number(place: Place) -> float:
    """A time as seconds since 1970, UTC; a number as it is."""
    if isinstance(place, dt.datetime):
        return (place if place.tzinfo else place.replace(tzinfo=dt.UTC)).timestamp()
    return float(place)


def is_finite(value: Place | None) -> bool:
    """Whether it has a place on an axis: it is there, and neither nan nor beyond all bounds."""
    return isinstance(value, dt.datetime) or (value is not None and abs(value) < _MOST)


def scale_of(
    places: Iterable[Place | None], *, zero: bool = False, log: bool = False, tight: bool = False
) -> Scale:
    """An axis with room for all of them, and round marks.

    Args:
        places: Numbers or times; what has no place is passed over.
        zero: Whether 0 must stand on it.
        log: Whether it is logarithmic; not if a number is 0 or less.
        tight: Whether it ends where the places end; else at round numbers where that is near.
    """
    found = [place for place in places if is_finite(place) and place is not None]
    if any(isinstance(place, dt.datetime) for place in found):
        return _time_scale([as_number(place) for place in found])
    values = [as_number(place) for place in found] or [0.0, 1.0]
    low, high = min(*values, 0.0, key=float) if zero else min(values), max(values)
    high = max(high, 0.0) if zero else high
    if log and low > 0:
        return _log_scale(low, high)
    if high - low <= max(_LEAST, 1e-12 * max(abs(low), abs(high))):
        low, high = _around(low, zero=zero)
    step = _step((high - low) / _MARKS)
    if not tight:
        low, high = _rounded(low, high, step)
    first = math.ceil(low / step - 1e-9)
    marks = [step * place for place in range(first, math.floor(high / step + 1e-9) + 1)]
    return Scale(low, high, tuple((mark, _told(mark, step)) for mark in marks))


def names_scale(names: Sequence[str]) -> Scale:
    """An axis of names, each as far from the next."""
    shown = tuple(dict.fromkeys(names))
    marks = tuple((float(place), name) for place, name in enumerate(shown))
    return Scale(-0.5, max(len(shown), 1) - 0.5, marks, names=shown)


def _around(value: float, *, zero: bool) -> tuple[float, float]:
    """Both ends of an axis for one value."""
    if zero:
        return 0.0, 1.0
    room = abs(value) / 2 if abs(value) > _LEAST else 0.5
    return value - room, value + room


def _rounded(low: float, high: float, step: float) -> tuple[float, float]:
    """To the marks around."""
    return step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)


def _step(least: float) -> float:
    """The smallest round number that is not smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in _STEPS if power * factor >= least * (1 - 1e-9))


def _told(mark: float, step: float) -> str:
    """As many digits behind the point as the step has."""
    if abs(mark) >= 1e7 or step < 1e-4:  # noqa: PLR2004 - longer than there is room for
        return f"{mark:.3g}"
    decimals = max(0, -math.floor(math.log10(step)))
    shown = decimals + (not math.isclose(step * 10**decimals, round(step * 10**decimals)))
    return f"{mark + 0.0:,.{shown}f}"


def _log_scale(low: float, high: float) -> Scale:
    if low == high:
        low, high = low / 2, high * 2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 3 else (1, 2, 5)  # noqa: PLR2004 - few powers of ten leave room between
    marks = [factor * 10.0**power for power in powers for factor in factors]
    inside = [mark for mark in marks if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9)]
    every = math.ceil(len(inside) / (_MARKS + 2)) or 1
    return Scale(low, high, tuple((mark, f"{mark:g}") for mark in inside[::every]), is_log=True)


def _time_scale(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - _DAY, high + _DAY
    lasts = (high - low) / _MARKS
    if lasts > _CLOCKS[-1]:
        marks = [*_months(low, high, next((m for m in _MONTHS if m * 30 * _DAY >= lasts), _MONTHS[-1]))]
    else:
        step = next((step for step in _CLOCKS if step >= lasts), _CLOCKS[-1])
        marks = [*_clock_marks(low, high, step)]
    return Scale(low, high, tuple(_dated(marks)))


def _dated(marks: Sequence[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """The first mark says its year, or its day, if none does by itself."""
    for place, (value, text) in enumerate(marks):
        at = dt.datetime.fromtimestamp(value, dt.UTC)
        is_day = ":" not in text
        told = any(each.isdigit() and len(each) == 4 for _, each in marks)  # noqa: PLR2004 - a year
        more = f"{text} {at.year}" if is_day else f"{at.day} {at:%b} {text}"
        days = any(":" not in each for _, each in marks)
        yield value, more if place == 0 and not told and (is_day or not days) else text


def _clock_marks(low: float, high: float, step: float) -> Iterator[tuple[float, str]]:
    """Times of day; midnight is told by its day."""
    for place in range(math.ceil(low / step), math.floor(high / step) + 1):
        at = dt.datetime.fromtimestamp(place * step, dt.UTC)
        yield place * step, f"{at.day} {at:%b}" if (at.hour, at.minute) == (0, 0) else f"{at:%H:%M}"


def _months(low: float, high: float, step: int) -> Iterator[tuple[float, str]]:
    first = dt.datetime.fromtimestamp(low, dt.UTC)
    for place in itertools.count(first.year * 12):
        at = dt.datetime(place // 12, place % 12 + 1, 1, tzinfo=dt.UTC)
        if at.timestamp() > high:
            return
        if at.timestamp() >= low and place % step == 0:
            yield at.timestamp(), f"{at.year}" if at.month == 1 else f"{at:%b}"
