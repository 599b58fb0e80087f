"""Rows in groups of like values, and how much of the variance of a number the groups tell."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray[Any, Any]

MISSING = "missing"
"""The group of rows that have no value."""

_QUANTILES = 5
_FEW_NUMBERS = 12  # different whole numbers that are groups of their own


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
    return [*labels, MISSING], codes.astype(np.int64)


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
    return [*labels, MISSING], codes.astype(np.int64)


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
