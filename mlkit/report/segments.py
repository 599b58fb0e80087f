"""Where a model is wrong: its error by segments of rows, for the features that tell most about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.model.groups import grouped, variance_told
from mlkit.report.curves import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    Array = np.ndarray[Any, Any]

FEWEST_ROWS = 30
"""Rows of a segment; smaller ones are told together: few rows say nothing, and may say who they are."""

MOST_SEGMENTS = 8
_REST = "other values"


@dataclasses.dataclass(frozen=True)
class Segment:
    """Rows with a like value.

    Attributes:
        label: Which.
        rows: How many.
        loss: Mean loss of a row.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    label: str
    rows: int
    loss: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Segmented:
    """The segments of one feature.

    Attributes:
        feature: Its name.
        told: Share of the variance of the loss that they tell, less what chance would; 0 to 1.
        segments: Largest loss first.
    """

    feature: str
    told: float
    segments: tuple[Segment, ...]


def by_segment(features: pa.Table, loss: Array) -> list[Segmented]:
    """The features whose segments differ in loss, those that tell most first.

    Args:
        features: (n,) rows as they were predicted.
        loss: (n,) float64, how wrong the prediction of each row was.
    """
    found = []
    for name in features.column_names:
        groups = grouped(features.column(name))
        if groups is None:
            continue
        labels, codes = _pooled(*groups)
        if len(labels) > 1:
            found.append(_segmented(name, labels, codes, loss))
    return sorted(found, key=lambda each: (-each.told, each.feature))


def _pooled(labels: Sequence[str], codes: Array) -> tuple[list[str], Array]:
    """The same with groups that are too small, or too many, as one; which is left out if it is too small."""
    counts = np.bincount(codes, minlength=len(labels))
    order = np.argsort(-counts, kind="stable")
    large = [int(place) for place in order if counts[place] >= FEWEST_ROWS]
    kept = large if len(large) <= MOST_SEGMENTS else large[: MOST_SEGMENTS - 1]
    places = np.full(len(labels), len(kept))
    places[kept] = np.arange(len(kept))
    pooled = places[codes]
    names = [labels[place] for place in kept]
    rest = int((pooled == len(kept)).sum())
    if rest >= FEWEST_ROWS:
        return [*names, _REST], pooled
    return names, np.where(pooled == len(kept), -1, pooled)


def _segmented(name: str, labels: Sequence[str], codes: Array, loss: Array) -> Segmented:
    segments = []
    for place, label in enumerate(labels):
        own = loss[codes == place]
        segments.append(Segment(label, len(own), float(own.mean()), *mean_interval(own)))
    inside = codes >= 0
    told = variance_told(codes[inside], loss[inside])
    return Segmented(name, told, tuple(sorted(segments, key=lambda each: -each.loss)))
