"""Tables of this process as frames of Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def as_frame(spark, table: pa.Table):
    """The rows in Spark; without the types said, Spark would take wall clocks for instants."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - only where there is Spark

    return spark.createDataFrame(table, schema=from_arrow_schema(table.schema, prefer_timestamp_ntz=True))
