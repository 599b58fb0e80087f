"""Promises of a table, checked where its rows are: one aggregate each, and only counts come here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyarrow import types

from mlkit.digest.sql import quoted
from mlkit.engines import columns, faults
from mlkit.engines.spark.faults import Kind, kind_of, of_spark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame

_ABOUT_THE_TEXT = (Kind.OTHER, Kind.UNSUPPORTED, Kind.NOT_FOUND)


def check_rows(
    frame: DataFrame, constraints: Mapping[str, str], required: Sequence[str], *, what: str
) -> None:
    """Refuse rows that break a condition, or miss a value where there must be one.

    Args:
        frame: The rows as they would be kept.
        constraints: SQL conditions by name; a condition that is neither true nor false is broken.
        required: Columns that are never missing.
        what: The table, for the message.

    Raises:
        DataError: DAT061 (rows break a promise) or DAT062 (a condition is not SQL over the columns).
    """
    if not constraints and not required:
        return
    _check_conditions(frame, constraints)
    missing = [f"count_if({quoted(name)} IS NULL)" for name in required]
    (counts,) = frame.selectExpr(*missing, *map(_broken, constraints.values())).collect()
    for name, count in zip(required, counts, strict=False):
        if count:
            raise columns.missing_values(name, count)
    most = max(counts[len(required) :], default=0)
    if most:
        raise faults.condition_broken(str(most), what)


def check_key(frame: DataFrame, schema: pa.Schema, key: Sequence[str]) -> None:
    """Refuse rows that `key` does not tell apart.

    Raises:
        DataError: DAT045 (no such column), DAT021 (a list or struct), DAT049 (missing or twice).
    """
    fields = columns.key_fields(schema, key)
    missing = [f"count_if({_is_missing(field)})" for field in fields]
    ((rows, *counts),) = frame.selectExpr("count(1)", *missing).collect()
    for field, count in zip(fields, counts, strict=True):
        if count:
            raise columns.key_missing(field.name, count)
    distinct = frame.select(*map(quoted, key)).distinct().count() if rows > 1 else rows
    if distinct < rows:
        raise columns.key_repeated(key, rows, distinct)


def _check_conditions(frame: DataFrame, constraints: Mapping[str, str]) -> None:
    """Have Spark analyse the conditions, all at once if all are well."""
    try:
        frame.selectExpr(*map(_broken, constraints.values())).schema  # noqa: B018 - analysis is the point
    except of_spark():
        for name, condition in constraints.items():
            _check_condition(frame, name, condition)
        raise


def _check_condition(frame: DataFrame, name: str, condition: str) -> None:
    try:
        frame.selectExpr(_broken(condition)).schema  # noqa: B018 - as above
    except of_spark() as exc:
        if kind_of(exc) in _ABOUT_THE_TEXT:
            raise columns.no_condition(name) from exc
        raise


def _broken(condition: str) -> str:
    return f"count_if(NOT coalesce(({condition}), false))"


def _is_missing(field: pa.Field) -> str:
    name = quoted(field.name)
    return f"{name} IS NULL" + (f" OR isnan({name})" if types.is_floating(field.type) else "")
