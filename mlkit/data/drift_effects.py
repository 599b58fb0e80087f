"""How far apart two sets of counts are: the distances that people know, each from whole numbers alone.

Counts come as rows of cells in the order in which they are tested: of numbers the missing ones first (nan and
null are one), then -inf, below, the bins, above and +inf; of categories the values, other values, missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlkit.data.drift_bins import Bins

    Numbers = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_MOVED = 5


class Moved(NamedTuple):
    """A cell whose share of the rows changed.

    Attributes:
        label: What it holds, in words.
        reference: Its share before.
        window: Its share now.
    """

    label: str
    reference: float
    window: float


def effects(old: Numbers, new: Numbers, bins: Bins) -> dict[str, Any]:
    """Everything that a comparison says of how far apart two rows of counts are."""
    before, now = shares(old), shares(new)
    change = np.abs(now - before)
    outside = _outside(bins)
    missing = -1 if bins.kind == "category" else 0
    return {
        "ks": float(ks(old, new)),
        "psi": _psi(old, new),
        "js": _js(before, now),
        "tv": float(change.sum() / 2),
        "l_infinity": float(change.max()),
        "chi2": float(chi2(old, new)),
        "w1": None if bins.kind == "category" else _w1(old, new, bins),
        "missing": (float(before[missing]), float(now[missing])),
        "outside": (float(before[outside].sum()), float(now[outside].sum())),
        "moved": tuple(_moved(before, now, bins)),
    }


def _outside(bins: Bins) -> list[int]:
    """Places of the cells that hold what the sample did not."""
    if bins.kind == "category":
        return [len(bins.categories)]
    return [1, len(bins.cuts) + 3] if not bins.cuts else [1, 2, len(bins.cuts) + 2, len(bins.cuts) + 3]


def _psi(old: Numbers, new: Numbers) -> float:
    there = (old + new) > 0
    before, now = shares(2 * old[there] + 1), shares(2 * new[there] + 1)
    return float(((now - before) * np.log(now / before)).sum())


def _js(before: Floats, now: Floats) -> float:
    middle = (before + now) / 2
    parts = [
        float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) for side in (before, now)
    ]
    return math.sqrt(max(0.0, sum(parts) / 2))


def _w1(old: Numbers, new: Numbers, bins: Bins) -> float | None:
    """Area between the two shares below each point, over finite numbers; None where a side has none."""
    places, inside = bin_middles(bins), slice(2, -1)
    if not places or not old[inside].sum() or not new[inside].sum():
        return None
    apart = np.abs(shares_below(new[inside]) - shares_below(old[inside]))[:-1]
    gaps = np.diff(places).tolist()
    try:
        found = math.fsum(step * gap for step, gap in zip(apart.tolist(), gaps, strict=True))
    except OverflowError:  # further than a number can say
        return None
    return found if math.isfinite(found) else None


def bin_middles(bins: Bins) -> list[float]:
    """A number for each cell of finite numbers: the ends of the range outside, the middle of each bin."""
    if bins.high is None:
        return []
    ends = [*bins.edges[1:], bins.high]
    middles = [start / 2 + end / 2 for start, end in zip(bins.edges, ends, strict=True)]
    return [bins.edges[0], *middles, bins.high]


def _moved(before: Floats, now: Floats, bins: Bins) -> Iterator[Moved]:
    labels = cell_labels(bins)
    for place in np.argsort(-np.abs(now - before), kind="stable")[:MOST_MOVED]:
        if now[place] != before[place]:
            yield Moved(labels[place], float(before[place]), float(now[place]))


def cell_labels(bins: Bins) -> list[str]:
    """Labels in the order in which cells are tested."""
    if bins.kind == "category":
        return list(bins.labels)
    *inside, minus, plus, _, missing = bins.labels
    return [missing, minus, *inside, plus]


def shares(counts: Numbers) -> Floats:
    """Shares of each cell in (..., cells) counts; zero where there are no rows."""
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1))


def ks(old: Numbers, new: Numbers) -> Floats:
    """Largest distance between the shares of rows up to any cut, of (..., cells) counts."""
    return np.asarray(np.abs(shares_below(new) - shares_below(old)).max(axis=-1))


def shares_below(counts: Numbers) -> Floats:
    """Shares of rows up to each cell, of (..., cells) counts; zero where there are no rows."""
    return np.asarray(counts.cumsum(axis=-1) / np.maximum(counts.sum(axis=-1, keepdims=True), 1))


def chi2(old: Numbers, new: Numbers) -> Floats:
    """Chi-squared of two rows of counts."""
    n, m = new.sum(axis=-1), old.sum(axis=-1)
    pooled = (old + new) / np.maximum(n + m, 1)[..., None]
    squares = (shares(new) - shares(old)) ** 2
    parts = np.divide(squares, pooled, out=np.zeros_like(squares), where=pooled > 0)
    return np.asarray(parts.sum(axis=-1) * (n * (m / np.maximum(n + m, 1))))
