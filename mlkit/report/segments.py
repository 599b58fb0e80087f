"""Where a model is wrong: its error by segments of rows, for the features that tell most about it."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.report.curves import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]

FEWEST_ROWS = 30
"""Rows of a segment; smaller ones are told together: few rows say nothing, and may say who they are."""

MOST_SEGMENTS = 8
_QUANTILES = 5
_FEW_NUMBERS = 12  # different whole numbers that are segments of their own
_MISSING, _REST = "missing", "other values"


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


def grouped(column: pa.ChunkedArray) -> tuple[list[str], Array] | None:
    """Labels of the groups of a column, and the group of each row; None where a column has no groups."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _by_value(column)
    if pa.types.is_integer(kind) and pc.count_distinct(column).as_py() <= _FEW_NUMBERS:
        return _by_value(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _by_quantile(np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64))
    return None


def _by_value(column: pa.ChunkedArray) -> tuple[list[str], Array]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    labels = [str(value) for value in encoded.dictionary.to_pylist()]
    codes = np.asarray(encoded.indices.fill_null(len(labels)).to_numpy(zero_copy_only=False))
    return [*labels, _MISSING], codes.astype(np.int64)


def _by_quantile(values: Array) -> tuple[list[str], Array] | None:
    known = np.isfinite(values)
    if not known.any():
        return None
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _QUANTILES + 1)))
    if len(edges) < 2:  # noqa: PLR2004 - one value
        return None
    inner = edges[1:-1]
    codes = np.searchsorted(inner, values, side="right")
    codes[~known] = len(edges) - 1
    labels = [f"{start:.4g} to {end:.4g}" for start, end in itertools.pairwise(edges)]
    return [*labels, _MISSING], codes.astype(np.int64)


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


def variance_told(groups: Array, values: Array) -> float:
    """Share of the variance of values that their groups tell, less what as many random groups would.

    That is epsilon squared of an analysis of variance; 0 where there is nothing to tell.

    Args:
        groups: (n,) int, from 0.
        values: (n,) float64.
    """
    counts = np.bincount(groups)
    there = counts > 0
    rows, number = len(values), int(there.sum())
    total = float(np.square(values - values.mean()).sum()) if rows else 0.0
    if rows <= number or number < 2 or total <= 0:  # noqa: PLR2004 - one group tells nothing
        return 0.0
    means = np.bincount(groups, weights=values)[there] / counts[there]
    between = float((counts[there] * np.square(means - values.mean())).sum())
    within = (total - between) / (rows - number)
    return max(0.0, (between - (number - 1) * within) / total)
