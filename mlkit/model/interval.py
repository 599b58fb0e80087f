"""How far a score may be off: a bootstrap over test rows, with a fixed seed.

Rows are drawn one by one with replacement, so the interval holds if they are independent of each other. It
says how much the score depends on which test rows there are; not how another training would come out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn

from mlkit.model.evaluation import arrange, better

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.model.evaluation import Metric
    from mlkit.model.predictions import Predictions

    Array = np.ndarray[Any, Any]

DRAWS = 200
SEED = 0
LEVEL = 0.95
MOST_ROWS = 100_000
"""More test rows are not drawn from: a ranking of so many takes a minute."""
_FEWEST = DRAWS // 2  # draws that must have given a number
_CHECKED = {"assume_finite": True, "skip_parameter_validation": True}  # once, of all rows
_KEPT = ("candidate", "champion", "improvement")
_NO_VALUE = "the metric has no value on most draws of these rows"


@dataclasses.dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, and how far it may be off.

    Attributes:
        value: The number on all rows.
        low: 2.5 % of the draws were lower.
        high: 2.5 % of the draws were higher.
        rows: Test rows drawn from.
    """

    value: float
    low: float
    high: float
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with how it was made."""
        return {**dataclasses.asdict(self), "level": LEVEL, "draws": DRAWS, "seed": SEED}


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Why there is no interval."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one model says of some rows, arranged as its metric takes it.

    Attributes:
        metric: The metric.
        labels: (n,) floats, or codes of classes.
        answers: (n,) floats or codes, or (n, k) probabilities.
    """

    metric: Metric
    labels: Array
    answers: Array

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.labels)

    def score(self, places: Array | None = None) -> float:
        """The metric over some rows, or all; nan where it has no value."""
        chosen = slice(None) if places is None else places
        try:
            with np.errstate(all="ignore"), sklearn.config_context(**_CHECKED):
                return float(self.metric.function(self.labels[chosen], self.answers[chosen]))
        except ValueError:  # a ranking of rows that all have one label, for instance
            return float("nan")


def why_not(metric: str, rows: int) -> Unknown | None:
    """Why nothing is drawn for a metric and so many rows; None if it is.

    Args:
        metric: Its name.
        rows: Test rows.
    """
    if ":" in metric:
        return Unknown(f"{metric} is your own code, which is run once for a score and not {DRAWS} times")
    if rows > MOST_ROWS:
        return Unknown(f"{rows:,} test rows are more than the {MOST_ROWS:,} that are drawn from")
    return None


def interval_of(judged: Judged) -> Interval | Unknown:
    """The interval of one score."""
    draws = np.array([judged.score(places) for places in _drawn(judged.rows)])
    return _interval(judged.score(), draws, judged.rows)


def intervals_between(
    metric: Metric, labels: Array, candidate: Predictions, champion: Predictions
) -> dict[str, Any]:
    """What a decision keeps of how sure its comparison is.

    Args:
        metric: From `get_metric`.
        labels: True value or class of each row, shape (n,).
        candidate: What one model says about these rows.
        champion: What the other one says about the same rows.

    Returns:
        `candidate`, `champion` and `improvement` as `Interval.to_dict` gives them, each draw of the same rows
        for both; or the `reason` why there are none.
    """
    if unknown := why_not(metric.name, len(labels)):
        return {"reason": unknown.reason}
    arranged = [arrange(metric, labels, each) for each in (candidate, champion)]
    pair = [Judged(metric, *each) for each in arranged if each is not None]
    if len(pair) < len(arranged):
        return {"reason": "a label or a prediction is missing"}
    ours, theirs = pair

    def scored(places: Array | None = None) -> tuple[float, float, float]:
        own, other = ours.score(places), theirs.score(places)
        return own, other, better(metric, own, other)

    draws = np.array([scored(places) for places in _drawn(len(labels))]).T
    found = {
        name: _interval(value, drawn, len(labels))
        for name, value, drawn in zip(_KEPT, scored(), draws, strict=True)
    }
    known = {name: each.to_dict() for name, each in found.items() if isinstance(each, Interval)}
    return known if len(known) == len(found) else {"reason": _NO_VALUE}


def _drawn(rows: int) -> Iterator[Array]:
    generator = np.random.default_rng(SEED)
    for _ in range(DRAWS):
        yield generator.integers(0, rows, rows)


def _interval(value: float, draws: Array, rows: int) -> Interval | Unknown:
    known = draws[np.isfinite(draws)]
    if len(known) < _FEWEST or not np.isfinite(value):
        return Unknown(_NO_VALUE)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), rows)
