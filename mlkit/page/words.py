"""Times and differences in words."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from mlkit.page.html import number

_STEPS = ((31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute"))
_FIRST = 8  # digits of a digest that tell it from all others here
_TWICE = 2  # of a unit, before it is counted in it: 36 hours say more than 1 day


def lasting(span: dt.timedelta) -> str:
    """A duration as people say it: ``3 days``, ``36 hours``, ``less than a minute``."""
    seconds = span.total_seconds()
    for size, unit in _STEPS:
        if seconds >= _TWICE * size:
            return f"{int(seconds // size)} {unit}s"
    return "1 minute" if seconds >= _STEPS[-1][0] else "less than a minute"


def moment(time: dt.datetime) -> str:
    """A time to the minute, in UTC."""
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def day(time: dt.datetime | str) -> str:
    """A day, in UTC."""
    found = dt.datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{found.astimezone(dt.UTC):%Y-%m-%d}"


def short(digest: str) -> str:
    """The beginning of a digest."""
    kind, colon, rest = digest.rpartition(":")
    return f"{kind}{colon}{rest[:_FIRST]}"


def gain(better_by: float) -> str:
    """A difference in the direction that is good, with its sign in words."""
    if not better_by:
        return "equal"
    return f"{number(abs(better_by))} {'better' if better_by > 0 else 'worse'}"


def improvement(
    candidate: float | None, champion: float | None, direction: Literal["minimize", "maximize"]
) -> float | None:
    """By how much a score is better than another; negative if it is worse."""
    if candidate is None or champion is None:
        return None
    return champion - candidate if direction == "minimize" else candidate - champion


def counted(amount: int, noun: str, *, plural: str = "") -> str:
    """A number with its noun: ``1 row``, ``1,204 rows``."""
    return f"{amount:,} {noun if amount == 1 else plural or f'{noun}s'}"
