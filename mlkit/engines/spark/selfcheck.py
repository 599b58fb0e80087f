"""Whether a Spark computes the digest as everybody else does, asked once per session.

Engines that stand in for Spark differ in corners: zeros with a sign, decimals, nested nulls. One row of
such values is digested by Spark and here. It hides behind a condition, so that nothing can be worked out
before the query runs.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.digest.fingerprint import Accumulator
from mlkit.digest.spark_frame import state_of
from mlkit.errors import IntegrityError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)

# Literal in SQL, value, Arrow type.
_VALUES: tuple[tuple[str, Any, pa.DataType], ...] = (
    ("-0.0D", 0.0, pa.float64()),
    ("double('NaN')", None, pa.float64()),
    ("-1.5D", -1.5, pa.float64()),
    ("CAST(0.1 AS FLOAT)", 0.1, pa.float32()),
    ("true", True, pa.bool_()),
    ("-7", -7, pa.int32()),
    ("-9007199254740993L", -9007199254740993, pa.int64()),
    ("CAST('-12.50' AS DECIMAL(20,4))", Decimal("-12.5"), pa.decimal128(3, 1)),
    (
        "CAST('123456789012345678.25' AS DECIMAL(38,10))",
        Decimal("123456789012345678.25"),
        pa.decimal128(38, 10),
    ),
    ("'Zürich ✈ and more than thirty-two bytes'", "Zürich ✈ and more than thirty-two bytes", pa.string()),
    ("''", "", pa.string()),
    ("CAST(NULL AS STRING)", None, pa.string()),
    ("X'00FF'", b"\x00\xff", pa.binary()),
    ("DATE'1583-01-01'", dt.date(1583, 1, 1), pa.date32()),
    ("timestamp_micros(1709208000123456L)", _NOON, pa.timestamp("us", "UTC")),
    ("TIMESTAMP_NTZ'2024-02-29 12:00:00.123456'", _NOON.replace(tzinfo=None), pa.timestamp("us")),
    ("array(1, NULL, 3)", [1, None, 3], pa.list_(pa.int32())),
    (
        "named_struct('b', 1, 'a', 'x')",
        {"b": 1, "a": "x"},
        pa.struct([("b", pa.int32()), ("a", pa.string())]),
    ),
)


def check_digest(session: SparkSession) -> None:
    """Refuse a Spark that computes other digests.

    Raises:
        IntegrityError: INT014.
    """
    shown = (f"CASE WHEN id = 0 THEN {literal} END AS c{i:02}" for i, (literal, _, _) in enumerate(_VALUES))
    found = state_of(session.range(1).selectExpr(*shown))
    arrays = [pa.array([value], kind) for _, value, kind in _VALUES]
    row = pa.record_batch(arrays, names=[f"c{i:02}" for i in range(len(arrays))])
    expected = Accumulator(row.schema)
    expected.update(row)
    if found != expected.state:
        raise IntegrityError(
            "INT014",
            "this Spark computes other digests than the specification says; nothing was read or written",
            path="session",
            fix="use another runtime, and report its name and version",
        )
