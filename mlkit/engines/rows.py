"""Rows on their way into a store and out of its files, never more than a batch at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mlkit.engines import columns, faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


class Incoming:
    """The caller's rows, as the store holds them.

    Attributes:
        schema: Columns of the rows in the store's types.
        fault: What the caller's stream raised. A store's library turns that into a text of its
            own; the engine raises the error itself.
    """

    def __init__(self, batches: pa.RecordBatchReader) -> None:
        """Look at the columns; no row is read yet.

        Args:
            batches: The caller's stream.

        Raises:
            DataError: A column has a type that the store cannot hold exactly.
        """
        self.schema = columns.stored_schema(batches.schema)
        self.fault: BaseException | None = None
        self._batches = batches

    def stream(
        self, schema: pa.Schema, *, watch: Callable[[pa.RecordBatch], None] | None = None
    ) -> pa.RecordBatchReader:
        """The rows in the order and types of `schema`, once; `watch` sees each batch pass."""
        return pa.RecordBatchReader.from_batches(schema, self._batches_of(schema, watch))

    def _batches_of(
        self, schema: pa.Schema, watch: Callable[[pa.RecordBatch], None] | None
    ) -> Iterator[pa.RecordBatch]:
        size = columns.rows_per_batch(schema)
        with contextlib.ExitStack() as stack:
            stack.push(self._keep_fault)
            for batch in self._batches:
                for start in range(0, batch.num_rows, size):
                    part = columns.conform(batch.slice(start, size), schema)
                    columns.check_nulls(part)
                    if watch is not None:
                        watch(part)
                    yield part

    def _keep_fault(self, _kind: object, fault: BaseException | None, _trace: object) -> bool:
        self.fault = None if isinstance(fault, GeneratorExit) else fault
        return False


def stored_rows(
    files: Iterable[Path], schema: pa.Schema, *, widened: bool = False
) -> Iterator[pa.RecordBatch]:
    """Rows of Parquet files, cut to the columns of `schema` and in its types.

    Args:
        files: The files.
        schema: The columns that are wanted.
        widened: Columns came to the table later, which are missing in the rows of older files.

    Raises:
        IntegrityError: INT012, a file is missing or damaged.
        StoreError: STO002, a file may not be read.
    """
    size = columns.rows_per_batch(schema)
    for file in files:
        with faults.reading(file), pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=size, columns=schema.names):
                yield filled(batch, schema) if widened else columns.conform(batch, schema)


def filled(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`; those that the rows do not have are missing."""
    for name in set(schema.names) - set(batch.schema.names):
        batch = batch.append_column(name, pa.nulls(batch.num_rows, schema.field(name).type))
    return columns.conform(batch, schema)


def count_rows(file: Path) -> int:
    """Row count of a Parquet file, from its last bytes.

    Raises:
        IntegrityError: INT012, the file is missing or damaged.
    """
    with faults.reading(file), pq.ParquetFile(file) as parquet:
        rows: int = parquet.metadata.num_rows
        return rows
