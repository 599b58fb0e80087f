"""Rows between this process and Spark, in pieces of bounded size, and never more than fit here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.digest.fingerprint import Accumulator
from mlkit.digest.sql import quoted
from mlkit.engines import columns
from mlkit.engines.rows import Incoming
from mlkit.engines.sizes import check_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from mlkit.engines.base import TableName
    from mlkit.engines.spark.catalog import Catalog
    from mlkit.engines.spark.record import Record


# A JVM needs many times as much memory for rows that are sent to it: 32 MB of doubles broke one of 1 GB.
PIECE_BYTES = 2**24
PIECE_ROWS = 2**17


class ArrowRows:
    """Rows of this process on their way to Spark.

    Attributes:
        schema: Columns of the rows in the store's types.
    """

    def __init__(self, batches: pa.RecordBatchReader) -> None:
        """Look at the columns; no row is read yet.

        Raises:
            DataError: A column has a type that the store cannot hold exactly.
        """
        self._incoming = Incoming(batches)
        self.schema = self._incoming.schema

    @property
    def fault(self) -> BaseException | None:
        """What the caller's stream raised."""
        return self._incoming.fault

    def check_match(self, schema: pa.Schema) -> None:
        """Refuse rows whose columns differ from those of the table they go to."""
        columns.check_match(self.schema, schema)

    def required(self, schema: pa.Schema) -> list[str]:
        """Columns whose missing values are still to be looked for: none, they are as they pass."""
        del schema
        return []

    def digest(self) -> Accumulator:
        """To be told of the rows as they are sent."""
        return Accumulator(self.schema)

    def stage(
        self,
        catalog: Catalog,
        table: TableName,
        record: Record,
        *,
        before: DataFrame | None = None,
        digest: Accumulator | None = None,
    ) -> None:
        """Make a table of these rows, behind those of a frame."""
        stream = self._incoming.stream(record.schema, watch=digest.update if digest else None)
        first = True
        for piece in _pieces(stream):
            frame = _uploaded(catalog, piece)
            if first:
                catalog.create(table, before.union(frame) if before is not None else frame, record)
            else:
                catalog.extend(table, frame)
            first = False


class SparkRows:
    """Rows that are in Spark already, and stay there.

    Attributes:
        schema: Columns of the rows in the store's types.
    """

    fault: BaseException | None = None

    def __init__(self, frame: DataFrame) -> None:
        """Look at the columns.

        Raises:
            DataError: A column has a type that the store cannot hold exactly.
        """
        self._frame = frame
        self.schema = columns.stored_schema(arrow_schema(frame))

    def check_match(self, schema: pa.Schema) -> None:
        """Refuse rows whose columns differ; whether values are missing is for the rows to say."""
        columns.check_match(_nullable(self.schema), _nullable(schema))

    def required(self, schema: pa.Schema) -> list[str]:
        """Columns whose missing values are still to be looked for."""
        return [field.name for field in schema if not field.nullable]

    def digest(self) -> None:
        """Nothing is sent."""

    def stage(
        self,
        catalog: Catalog,
        table: TableName,
        record: Record,
        *,
        before: DataFrame | None = None,
        digest: Accumulator | None = None,
    ) -> None:
        """Make a table of these rows, behind those of a frame; nothing comes to this process."""
        del digest
        rows = chosen(self._frame, record.schema)
        catalog.create(table, before.union(rows) if before is not None else rows, record)


Rows = ArrowRows | SparkRows


def chosen(frame: DataFrame, schema: pa.Schema) -> DataFrame:
    """The columns of `schema` in its order."""
    return frame.select(*map(quoted, schema.names))


def arrow_schema(frame: DataFrame) -> pa.Schema:
    """Columns of a frame in the types in which they come to this process."""
    return frame.limit(0).toArrow().schema


def fetch(frame: DataFrame, schema: pa.Schema, *, most: int, what: str) -> pa.RecordBatchReader:
    """Bring the columns of `schema` to this process.

    Args:
        frame: The rows.
        schema: The columns that are wanted, in the types that are wanted.
        most: Bytes that may come.
        what: The table, for the message.

    Raises:
        DataError: DAT070, they are more than that.
    """
    wanted = chosen(frame, schema)
    check_size(wanted, most=most, what=what)
    batches = wanted.toArrow().to_batches()
    return pa.RecordBatchReader.from_batches(schema, (columns.conform(batch, schema) for batch in batches))


def _pieces(stream: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables that can be sent at once; at least one, though it may be empty."""
    held: list[pa.RecordBatch] = []
    sent = False
    for batch in stream:
        held.append(batch)
        if sum(part.nbytes for part in held) >= PIECE_BYTES or sum(map(len, held)) >= PIECE_ROWS:
            yield pa.Table.from_batches(held, stream.schema)
            held, sent = [], True
    if held or not sent:
        yield pa.Table.from_batches(held, stream.schema)


def _uploaded(catalog: Catalog, rows: pa.Table) -> DataFrame:
    """Rows as a frame. The types are given: by itself Spark would take wall clocks for instants."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - only with a session

    schema = from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)
    return catalog.session.createDataFrame(rows, schema=schema)


def _nullable(schema: pa.Schema) -> pa.Schema:
    """A schema in which everything may be missing, as Spark says of what it has stored."""
    return pa.schema([_nullable_field(field) for field in schema])


def _nullable_field(field: pa.Field) -> pa.Field:
    kind = field.type
    if pa.types.is_list(kind):
        kind = pa.list_(_nullable_field(kind.value_field))
    elif pa.types.is_struct(kind):
        kind = pa.struct([_nullable_field(child) for child in kind])
    return pa.field(field.name, kind)
