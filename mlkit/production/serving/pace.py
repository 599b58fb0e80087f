"""Waiting: longer from look to look, and no longer than a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from databricks.sdk.clock import Clock

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 10.0
_GROWTH = 1.5


class Pace:
    """The waits between looks at something that takes minutes."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Start counting.

        Args:
            clock: The SDK's own, so that its waits and ours are of one time.
            seconds: How long all waits may take.
        """
        self._clock, self._started = clock, clock.time()
        self._deadline = self._started + seconds
        self._next = _FIRST_SECONDS

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._clock.time() >= self._deadline

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock.time() - self._started

    def wait(self) -> None:
        """Wait until the next look is due."""
        left = max(self._deadline - self._clock.time(), 0.0)
        self._clock.sleep(min(self._next, left))
        self._next = min(self._next * _GROWTH, _LONGEST_SECONDS)
