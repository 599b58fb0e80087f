"""Exact casts: values take the dtype that a contract declares, or the cast is refused.

Libraries widen types behind the user's back (pandas makes floats of integers with a missing value),
so a cast that keeps every value is done silently; one that would change a single value never is.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.column import Column, dtype_of
from mlkit.data.plain import nan_to_null, plain_column
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

# From kind to kind; what is not here is a different thing, whatever the values.
_CASTS = frozenset({
    ("integer", "integer"),
    ("integer", "float"),
    ("integer", "decimal"),
    ("float", "integer"),
    ("float", "float"),
    ("decimal", "decimal"),
    ("timestamp", "date"),
    ("date", "timestamp"),
})  # fmt: skip
_NUMBERS = frozenset({"integer", "float", "decimal"})


def match_columns(found: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse a table whose columns are not exactly those expected, in any order.

    Raises:
        DataError: A column is missing, not expected, or stands twice.
    """
    twice = [name for name, count in collections.Counter(found).items() if count > 1]
    if twice:
        raise DataError("DAT010", "two columns have this name", path=twice[0], fix="rename or drop one")
    known, wanted = set(found), set(expected)
    if missing := [name for name in expected if name not in known]:
        message = f"expected the columns {_listed(expected)}; missing: {_listed(missing)}"
        raise DataError("DAT045", message, path=missing[0], fix=f"columns found: {_listed(found)}")
    if extra := [name for name in found if name not in wanted]:
        message = f"columns that the contract does not have: {_listed(extra)}"
        raise DataError("DAT045", message, path=extra[0], fix="drop them, or add them to the contract")


def cast_column(column: pa.ChunkedArray, to: Column, *, path: str) -> pa.ChunkedArray:
    """The same values in the type that the contract declares.

    Args:
        column: (n,) values.
        to: What they become.
        path: Name of the column for the error message.

    Returns:
        (n,) values; NaN is null, since there is one kind of missing.

    Raises:
        DataError: The types mean different things, or a value would change.
    """
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), to.arrow_type)])
    plain = nan_to_null(plain_column(column, path))
    if plain.type == to.arrow_type:
        return plain
    if plain.null_count == len(plain):
        return pa.chunked_array([pa.nulls(len(plain), to.arrow_type)])
    if not can_cast(dtype_of(plain.type, path), to):
        is_text = pa.types.is_string(plain.type) and holds_numbers(to)
        raise mismatch(plain.type, to, path=path, numeric_text=is_text and _is_numeric_text(plain))
    return _exact(plain, to, path)


def can_cast(dtype: str, to: Column) -> bool:
    """Whether values of a dtype mean the same as those of a column, so that some of them may become such."""
    return (Column(dtype=dtype).kind, _value_kind(to)) in _CASTS


def holds_numbers(column: Column) -> bool:
    """Whether the values of a column are numbers."""
    return _value_kind(column) in _NUMBERS


def inexact(found: pa.DataType, to: Column, *, path: str) -> DataError:
    """The error for a column with a value that would change."""
    dtype = dtype_of(found, path)
    message = f"expected {to.dtype}, found {dtype} with values that {to.dtype} cannot hold exactly"
    fix = "round or cast the column yourself, or widen its dtype in the contract"
    return DataError("DAT046", message, path=path, fix=fix)


def mismatch(found: pa.DataType, to: Column, *, path: str, numeric_text: bool) -> DataError:
    """The error for a column that means something else; `numeric_text`: it holds numbers written as text."""
    if numeric_text:
        message = f"expected {to.dtype}, found numbers written as text"
        return DataError("DAT054", message, path=path, fix="convert the column, e.g. with pandas.to_numeric")
    fix = f"cast the column to {to.value_dtype}, or change the contract"
    return DataError("DAT046", f"expected {to.dtype}, found {dtype_of(found, path)}", path=path, fix=fix)


def _exact(column: pa.ChunkedArray, to: Column, path: str) -> pa.ChunkedArray:
    """Cast there and back: equal values both ways prove that nothing was lost."""
    result = _same_both_ways(column, to.arrow_type)
    if result is None:
        raise inexact(column.type, to, path=path)
    return result


def _same_both_ways(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray | None:
    """The cast column, or None: what Arrow says of the failure quotes a value."""
    # Arrow casts integers only to decimals that could hold any integer.
    wide = pa.types.is_integer(column.type) and pa.types.is_decimal(target)
    try:
        values = column.cast(pa.decimal128(38, target.scale)) if wide else column
        result = values.cast(target)
        return result if result.cast(column.type).equals(column) else None
    except pa.ArrowInvalid:
        return None


def _value_kind(column: Column) -> str:
    return Column(dtype=column.value_dtype).kind


def _is_numeric_text(column: pa.ChunkedArray) -> bool:
    try:
        pc.utf8_trim_whitespace(column).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown  # noqa: PLR2004 - a screenful
