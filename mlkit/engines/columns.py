"""Columns as a Delta table keeps them: what it holds exactly gets in, anything else is refused.

Left alone, a store casts: 1.7 becomes 1 in a long column, a time zone becomes UTC, nanoseconds are
cut. Here a type is either kept, rewritten in another encoding of the same values (large strings,
dictionaries), or refused with the name of the column.
"""

from __future__ import annotations

import collections
import difflib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = frozenset(
    {
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.binary(),
        pa.date32(),
    }
)
_ENCODINGS = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
_REFUSED = (
    (types.is_unsigned_integer, "DAT027", "cast it to a signed integer that is wide enough"),
    (types.is_float16, "DAT026", "cast it to float32"),
    (types.is_duration, "DAT024", "keep it as a number and name its unit, as in delay_seconds"),
    (types.is_time, "DAT025", "keep it as a number and name its unit, as in start_seconds"),
    (types.is_null, "DAT034", "declare the type of the column, it cannot be seen from missing values"),
)
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list)
_UTC = frozenset({"UTC", "Etc/UTC", "Z", "+00:00"})
_MAX_DECIMAL_DIGITS = 38


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema under which a store keeps columns of this schema; nullability is kept.

    Raises:
        DataError: No columns (DAT001), names that clash (DAT010, DAT011), or a type that the store
            cannot hold exactly.
    """
    _refuse_empty(schema.names)
    _refuse_clashes(schema.names)
    return pa.schema([_stored_field(field, field.name) for field in schema])


def rows_per_batch(schema: pa.Schema) -> int:
    """Rows that are handled at once, so that memory does not grow with the width of a table."""
    return max(1, min(2**14, 2**20 // len(schema.names)))


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, in its order and types, every value as it was.

    Raises:
        DataError: DAT032, a value does not fit exactly (a nanosecond instant).
    """
    arrays = [_exactly(batch.column(field.name), field) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def check_nulls(batch: pa.RecordBatch) -> None:
    """Refuse missing values in a column that is declared not null.

    Raises:
        DataError: DAT061, with the column.
    """
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not field.nullable and column.null_count:
            raise missing_values(field.name, column.null_count)


def check_match(found: pa.Schema, expected: pa.Schema) -> None:
    """Refuse rows whose columns differ from those of the table they go to; the order may differ.

    Args:
        found: What `stored_schema` says of the rows.
        expected: Columns of the table.

    Raises:
        DataError: DAT046, with the first column that differs.
    """
    for name in found.names:
        if name not in expected.names:
            raise _mismatch(name, "no such column", "one", "leave it out, or make a new table")
    for field in expected:
        _check_field(found, field)


def selected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """The part of a schema that was asked for, in the order asked for; all of it for None.

    Raises:
        DataError: DAT045 for a column that is not there, DAT010 for one named twice, DAT001 for none.
    """
    if columns is None:
        return schema
    for name in columns:
        if name not in schema.names:
            near = difflib.get_close_matches(name, schema.names, n=3)
            fix = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(schema.names)}"
            raise DataError("DAT045", "the table has no such column", path=name, fix=fix)
    _refuse_empty(columns)
    _refuse_clashes(columns)
    return pa.schema([schema.field(name) for name in columns])


def check_key(rows: pa.Table, key: Sequence[str]) -> None:
    """Refuse rows that `key` does not tell apart.

    Args:
        rows: The incoming rows.
        key: Names of the columns that identify a row.

    Raises:
        DataError: DAT045 (no such column), DAT021 (a list or struct), DAT049 (missing or twice).
    """
    for field in key_fields(rows.schema, key):
        missing = pc.sum(pc.is_null(rows[field.name], nan_is_null=True)).as_py() or 0
        if missing:
            raise key_missing(field.name, missing)
    distinct = rows.group_by(list(key)).aggregate([]).num_rows
    if distinct < rows.num_rows:
        raise key_repeated(key, rows.num_rows, distinct)


def key_fields(schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    """The columns of a key.

    Raises:
        DataError: DAT045 (no such column), DAT021 (a list or struct).
    """
    fields = selected(schema, key)
    for field in fields:
        if types.is_nested(field.type):
            message = f"a key cannot hold {field.type}"
            raise DataError("DAT021", message, path=field.name, fix="use a flat column")
    return fields


def key_missing(name: str, rows: int) -> DataError:
    """The error for rows without a key."""
    fix = "every row needs its key: fill it in or drop these rows"
    return DataError("DAT049", f"{rows} rows have no value in the key", path=name, fix=fix)


def key_repeated(key: Sequence[str], rows: int, distinct: int) -> DataError:
    """The error for rows that share a key."""
    message = f"expected each key once, found {rows} rows with {distinct} keys"
    fix = "keep one row per key, or add the column that tells them apart to the key"
    return DataError("DAT049", message, path=", ".join(key), fix=fix)


def missing_values(name: str, count: int) -> DataError:
    """The error for missing values in a column that is declared not null."""
    fix = "fill them in, drop these rows, or declare the column nullable"
    return DataError("DAT061", f"expected no missing value, found {count}", path=name, fix=fix)


def no_condition(name: str) -> DataError:
    """The error for a condition of a table that the store does not understand."""
    message = "expected a condition over the columns of the table in SQL, found one that is not understood"
    return DataError("DAT062", message, path=name, fix="write it as in: amount >= 0")


def _refuse_empty(names: Sequence[str]) -> None:
    if not names:
        raise DataError("DAT001", "expected at least one column, found none", fix="name the columns")


def _refuse_clashes(names: Sequence[str]) -> None:
    for code, spelled, cause in (
        ("DAT010", list(names), "two columns have the same name"),
        ("DAT011", [name.lower() for name in names], "two column names differ only in upper and lower case"),
    ):
        counts = collections.Counter(spelled)
        for name, spelling in zip(names, spelled, strict=True):
            if counts[spelling] > 1:
                raise DataError(code, cause, path=name, fix="rename one of them")


def _stored_field(field: pa.Field, path: str) -> pa.Field:
    return pa.field(field.name, _stored_type(field.type, path), nullable=field.nullable)


def _stored_type(kind: pa.DataType, path: str) -> pa.DataType:
    if kind in _KEPT:
        return kind
    if kind in _ENCODINGS:
        return _ENCODINGS[kind]
    if types.is_dictionary(kind):
        return _stored_type(kind.value_type, path)
    if types.is_timestamp(kind):
        return _stored_timestamp(kind, path)
    if types.is_decimal(kind):
        return _stored_decimal(kind, path)
    return _stored_nested(kind, path)


def _stored_timestamp(kind: pa.DataType, path: str) -> pa.DataType:
    if kind.tz is None:
        return pa.timestamp("us")
    if kind.tz in _UTC:
        return pa.timestamp("us", "UTC")
    raise DataError(
        "DAT033",
        f"expected instants in UTC or without a zone, found the zone {kind.tz}",
        path=path,
        fix="convert it to UTC, and keep the zone as a column if it matters",
    )


def _stored_decimal(kind: pa.DataType, path: str) -> pa.DataType:
    if kind.precision > _MAX_DECIMAL_DIGITS or not 0 <= kind.scale <= kind.precision:
        raise _refusal(kind, path)
    return pa.decimal128(kind.precision, kind.scale)


def _stored_nested(kind: pa.DataType, path: str) -> pa.DataType:
    if any(is_list(kind) for is_list in _LISTS):
        element = kind.value_field
        return pa.list_(
            pa.field("element", _stored_type(element.type, f"{path}[]"), nullable=element.nullable)
        )
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([_stored_field(child, f"{path}.{child.name}") for child in kind])
    raise _refusal(kind, path)


def _refusal(kind: pa.DataType, path: str) -> DataError:
    for is_kind, code, fix in _REFUSED:
        if is_kind(kind):
            return DataError(code, f"the store cannot hold {kind} exactly", path=path, fix=fix)
    fix = "cast it to a number, a text, a date, an instant, or a list or struct of these"
    return DataError("DAT055", f"the store cannot hold {kind} exactly", path=path, fix=fix)


def _exactly(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as exc:
        raise DataError(
            "DAT032",
            f"a value of type {column.type} does not fit {field.type} exactly",
            path=field.name,
            fix="round it to whole microseconds on purpose, where the data is made",
        ) from exc


def _check_field(found: pa.Schema, field: pa.Field) -> None:
    if field.name not in found.names:
        raise _mismatch(field.name, "the column", "none", "add it")
    given = found.field(field.name)
    if given.type != field.type:
        raise _mismatch(field.name, str(field.type), str(given.type), "cast it before it is written")
    if given.nullable and not field.nullable:
        raise _mismatch(field.name, "a column declared not null", "a nullable one", "declare it not null")


def _mismatch(name: str, expected: str, found: str, fix: str) -> DataError:
    return DataError("DAT046", f"the table expects {expected}, found {found}", path=name, fix=fix)
