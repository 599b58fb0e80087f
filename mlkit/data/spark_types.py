"""Types of Spark as those of Arrow, and those of contracts as SQL.

Read from the JSON form of a Spark schema, so nothing of Spark is imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.digest.spark_frame import fields_of
from mlkit.errors import UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.data.column import Column
    from mlkit.engines.base import Frame

    Kind = str | Mapping[str, Any]

_ARROW = {
    "void": pa.null(),
    "boolean": pa.bool_(),
    "byte": pa.int8(),
    "short": pa.int16(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
# Further names by how they begin.
_FAMILIES = {"char(": pa.string(), "varchar(": pa.string(), "string ": pa.string()}
_DAY_TIME = re.compile(r"interval (day|hour|minute|second)\b.*")
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_SQL = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INT",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "STRING",
    "binary": "BINARY",
    "date": "DATE",
    "timestamp": "TIMESTAMP_NTZ",
    "timestamp_utc": "TIMESTAMP",
}


def arrow_schema(frame: Frame) -> pa.Schema:
    """Columns of a Spark dataframe as Arrow has them; no row is looked at.

    Raises:
        DataError: It has no columns.
        UnsupportedTypeError: A column is of a type that Arrow does not have.
    """
    return pa.schema([(field["name"], _arrow(field["type"], field["name"])) for field in fields_of(frame)])


def sql_type(column: Column) -> str:
    """The type in which Spark holds the values of a column of a contract."""
    return _SQL.get(column.value_dtype, column.value_dtype)


def _arrow(kind: Kind, path: str) -> pa.DataType:
    if not isinstance(kind, str):
        return _nested(kind, path)
    if decimal := _DECIMAL.fullmatch(kind):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if _DAY_TIME.fullmatch(kind):
        return pa.duration("us")
    known = _ARROW.get(kind) or next(
        (_FAMILIES[start] for start in _FAMILIES if kind.startswith(start)), None
    )
    if known is None:
        fix = "cast it to a number, text, date or timestamp, or leave it out"
        raise UnsupportedTypeError("DAT030", f"no table holds the type {kind} exactly", path=path, fix=fix)
    return known


def _nested(kind: Mapping[str, Any], path: str) -> pa.DataType:
    if kind["type"] == "array":
        return pa.list_(_arrow(kind["elementType"], f"{path}[]"))
    if kind["type"] == "map":
        return pa.map_(_arrow(kind["keyType"], path), _arrow(kind["valueType"], path))
    if kind["type"] == "struct":
        fields = kind["fields"]
        return pa.struct(
            [(field["name"], _arrow(field["type"], f"{path}.{field['name']}")) for field in fields]
        )
    return _arrow(str(kind["type"]), path)
