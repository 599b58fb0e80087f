"""Numbers behind the plots of a model: few, however many rows they were counted from."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]

POINTS = 120
"""Of a curve, at most: more cannot be told apart on a page."""

BINS = 10
"""Of a calibration."""

MOST_CLASSES = 12
"""Of a confusion table; the rarer ones are one class, `other`."""

OTHER = "other classes"
_RESIDUAL_BINS = 24
_TAIL = 0.5  # per cent of the rows beyond the outermost inner edges, on each side
_Z = 1.959963984540054  # of 95 %


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line.

    Attributes:
        x: Rising, at most `POINTS`.
        y: As many.
        area: Under all of it; for precision and recall the average precision.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


@dataclasses.dataclass(frozen=True)
class Bin:
    """Rows whose prediction is alike.

    Attributes:
        predicted: Mean of what the model said.
        actual: Mean of what was so.
        low: Lower end of the 95 % interval of `actual`.
        high: Upper end.
        rows: How many.
    """

    predicted: float
    actual: float
    low: float
    high: float
    rows: int


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Rows by bin; the outermost bins are open.

    Attributes:
        labels: What each bin holds.
        counts: Rows by bin, one tuple for each set of rows.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def roc(positive: Array, chances: Array) -> Curve:
    """Share of positives found by share of negatives that are taken for such.

    Args:
        positive: (n,) bool, both values among them.
        chances: (n,) probability of being positive.
    """
    false, true, _ = metrics.roc_curve(positive, chances)
    return Curve(*_thinned(false, true), float(metrics.auc(false, true)))


def precision_recall(positive: Array, chances: Array) -> Curve:
    """Share of those taken for positive that are, by share of positives found.

    Args:
        positive: (n,) bool, some true.
        chances: (n,) probability of being positive.
    """
    precision, recall, _ = metrics.precision_recall_curve(positive, chances)
    area = float(metrics.average_precision_score(positive, chances))
    return Curve(*_thinned(recall[::-1], precision[::-1]), area)


def reliability(said: Array, was: Array, *, share: bool) -> tuple[Bin, ...]:
    """What was so, by what was said: bins of equally many rows.

    Args:
        said: (n,) predicted values or probabilities.
        was: (n,) true values, or 0 and 1.
        share: Whether `was` is 0 and 1, whose interval is Wilson's; else that of a mean.
    """
    if not len(said):
        return ()
    edges = np.unique(np.quantile(said, np.linspace(0, 1, BINS + 1)[1:-1]))
    places = np.searchsorted(edges, said, side="left")
    found = []
    for place in np.unique(places):
        rows = places == place
        count, mean = int(rows.sum()), float(was[rows].mean())
        low, high = wilson(mean, count) if share else mean_interval(was[rows])
        found.append(Bin(float(said[rows].mean()), mean, low, high, count))
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance between what was said and what was so, weighted by rows; nan without any."""
    rows = sum(each.rows for each in bins)
    off = math.fsum(abs(each.predicted - each.actual) * each.rows for each in bins)
    return off / rows if rows else math.nan


def histogram(*sets: Array, span: tuple[float, float] | None = None) -> Histogram:
    """Counts of several sets of numbers in the same bins.

    Args:
        sets: Numbers, finite.
        span: Outermost edges; by default all but the last half per cent on each side, beyond which the
            outermost bins are open.
    """
    every = np.concatenate(sets)
    low, high = span or np.percentile(every, [_TAIL, 100 - _TAIL])
    if not high > low:
        return Histogram((f"{low:.4g}",), tuple((len(each),) for each in sets))
    edges = np.linspace(low, high, _RESIDUAL_BINS + 1)
    counts = tuple(tuple(np.histogram(np.clip(each, low, high), edges)[0].tolist()) for each in sets)
    labels = [f"{start:.3g} to {end:.3g}" for start, end in itertools.pairwise(edges)]
    if span is None:
        labels[0], labels[-1] = f"below {edges[1]:.3g}", f"above {edges[-2]:.3g}"
    return Histogram(tuple(labels), counts)


def confusion(
    labels: Sequence[Any], said: Sequence[Any]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of the classes, and rows by actual (first) and predicted class (second)."""
    names, rows = np.unique([str(label) for label in (*labels, *said)], return_counts=True)
    frequent = set(names[np.argsort(-rows, kind="stable")][:MOST_CLASSES].tolist())
    every = sorted({str(label) for label in (*labels, *said)}, key=_natural)
    shown = [name for name in every if name in frequent]
    if len(shown) < len(every):
        shown.append(OTHER)
    places = {name: place for place, name in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)), dtype=np.int64)
    for actual, predicted in zip(labels, said, strict=True):
        row, column = (places.get(str(each), len(shown) - 1) for each in (actual, predicted))
        counts[row, column] += 1
    return tuple(shown), tuple(tuple(row) for row in counts.tolist())


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many rows."""
    if not rows:
        return 0.0, 1.0
    width = 1 + _Z**2 / rows
    middle = (share + _Z**2 / (2 * rows)) / width
    half = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)) / width
    return middle - half, middle + half


def mean_interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of a mean, by the normal distribution; the mean itself of one value."""
    mean = float(values.mean())
    half = _Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean - half, mean + half


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers by their size, before texts."""
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text


def _thinned(x: Array, y: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `POINTS` of a curve, evenly along it, the ends among them."""
    if len(x) > POINTS:
        along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        places = np.searchsorted(along, np.linspace(0, along[-1], POINTS))
        x, y = x[np.minimum(places, len(x) - 1)], y[np.minimum(places, len(x) - 1)]
    return tuple(x.tolist()), tuple(y.tolist())
