"""What the trials of a study say together: the best so far, what mattered, and what failed."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.model.estimator import steps_text
from mlkit.model.groups import grouped, variance_told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

FEWEST = 10
"""Complete trials, before anything is said of what mattered."""

_LOG_FROM = 50.0  # times the smallest value that the largest has, from where an axis is logarithmic
_EDGE = 0.05  # share of a range that is its edge
_TOP = 5


@dataclasses.dataclass(frozen=True)
class Told:
    """One trial.

    Attributes:
        number: From 0.
        state: ``complete``, ``pruned`` or ``failed``.
        params: What was asked for.
        score: Mean of its folds; None unless complete.
        spread: Their standard deviation; None unless there are several.
        seconds: Spent fitting and scoring.
        model: Class of the estimator, of a pipeline that of its last step.
        error: Why it failed.
        ended: When it was recorded; None if that is not known.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    score: float | None
    spread: float | None
    seconds: float
    model: str = ""
    error: str = ""
    ended: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Tried:
    """The trials of one study, and what they say together.

    Attributes:
        metric: What its trials are judged by.
        direction: ``minimize`` or ``maximize``; None of a study that has not ended yet, where nothing says.
        trials: In the order they were asked.
    """

    metric: str
    direction: str | None
    trials: tuple[Told, ...]

    @property
    def scored(self) -> list[Told]:
        """Complete trials, best first; in the order they were asked where nothing says what is better."""
        found = [trial for trial in self.trials if trial.score is not None]
        if self.direction is None:
            return found
        sign = 1 if self.direction == "minimize" else -1
        return sorted(found, key=lambda trial: (sign * (trial.score or 0.0), trial.number))

    @property
    def best(self) -> Told | None:
        """The best complete trial."""
        return self.scored[0] if self.scored and self.direction else None

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)

    def so_far(self) -> list[tuple[int, float]]:
        """Number and score of each trial that was better than all before it."""
        sign = 1 if self.direction == "minimize" else -1
        steps: list[tuple[int, float]] = []
        for trial in self.trials:
            if trial.score is not None and (not steps or sign * trial.score < sign * steps[-1][1]):
                steps.append((trial.number, trial.score))
        return steps

    def importances(self) -> dict[str, tuple[float, int]]:
        """By parameter: share of the variance of scores that bins of it alone tell, and number of trials.

        Largest first, less what chance would tell. Nothing is said of fewer than `FEWEST` trials.
        """
        found = {}
        for name in dict.fromkeys(name for trial in self.scored for name in trial.params):
            own = [trial for trial in self.scored if name in trial.params]
            share = _share(own, name)
            if share is not None:
                found[name] = (share, len(own))
        return dict(sorted(found.items(), key=lambda item: (-item[1][0], item[0])))

    def at_edge(self) -> list[tuple[str, str]]:
        """Numeric parameters of which all of the best trials lie at one end of what was tried, and which."""
        if len(self.scored) < 2 * FEWEST or self.direction is None:
            return []
        found = []
        for name in self.importances():
            tried = numbers_of(self.scored, name)
            best = numbers_of(self.scored[:_TOP], name)
            if len(best) < _TOP or len(tried) < 2 * FEWEST or min(tried) == max(tried):
                continue
            places = [_place(value, tried) for value in best]
            if max(places) < _EDGE:
                found.append((name, "lower"))
            elif min(places) > 1 - _EDGE:
                found.append((name, "upper"))
        return found


def numbers_of(trials: Iterable[Told], name: str) -> list[float]:
    """Values of a parameter, where all that there are are numbers; else none."""
    values = [trial.params[name] for trial in trials if trial.params.get(name) is not None]
    whole = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return [float(value) for value in values] if whole else []


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether numbers are so far apart that their logarithm says more."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= _LOG_FROM


def family(model: Mapping[str, Any]) -> str:
    """Class of the estimator that predicts: the last one of a pipeline."""
    return steps_text(model).rpartition("-> ")[2].partition("(")[0] if model else ""


def failures(study: Tried) -> list[tuple[str, list[int]]]:
    """What the failed trials said, with their numbers, the most frequent first."""
    found: dict[str, list[int]] = {}
    for trial in study.trials:
        if trial.state == "failed":
            found.setdefault(trial.error or "no message was kept", []).append(trial.number)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def _share(trials: Sequence[Told], name: str) -> float | None:
    if len(trials) < FEWEST:
        return None
    scores = np.array([trial.score for trial in trials], dtype=np.float64)
    numbers = numbers_of(trials, name)
    values: list[Any] = numbers or [str(trial.params[name]) for trial in trials]
    found = grouped(pa.chunked_array([pa.array(values)]))
    return variance_told(found[1], scores) if found else 0.0


def _place(value: float, tried: Sequence[float]) -> float:
    """Where a value lies between the ends of what was tried, from 0 to 1, on the axis that fits."""
    low, high = min(tried), max(tried)
    if is_logarithmic(tried):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)
