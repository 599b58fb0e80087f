"""A sample of a table that is the same everywhere: the rows with the smallest digests.

It depends on nothing but the rows: no seed, no engine, no order. Rows that are read of two tables by the
same key are the same rows, in the same order.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit.digest.fingerprint import canonical_order, lanes
from mlkit.digest.spark_frame import LANES, fields_of, is_spark, translated
from mlkit.digest.sql import quoted
from mlkit.model.spark_training import lanes_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlkit.engines.base import Engine, Frame, TableName

_AT_A_TIME = 65_536  # rows in memory at least, before those that are too many go


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some rows of a table.

    Attributes:
        rows: In canonical order of what they were chosen by.
        of: How many the table has.
    """

    rows: pa.Table
    of: int

    @property
    def said(self) -> str:
        """How many of how many, in words."""
        if self.rows.num_rows == self.of:
            return f"all {self.of:,} rows"
        return f"{self.rows.num_rows:,} of {self.of:,} rows, chosen by digest"


def smallest_rows(
    engine: Engine,
    table: TableName,
    *,
    most: int,
    by: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    by_value: bool = False,
) -> Sample:
    """The rows of a table with the smallest digests.

    Args:
        engine: Where it is.
        table: Which one.
        most: How many rows at most.
        by: Columns that the digest is of; by default all of the table.
        columns: Columns that are wanted; by default all.
        by_value: The two columns of `by` hold digests already.

    Raises:
        StoreError: There is no such table, or the store is away.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, *by]))
    if not by:
        wanted = None  # the digest is of whole rows
    rows = engine.scan(table, columns=wanted)
    chosen, count = (_in_spark if is_spark(rows) else _here)(rows, most, by, by_value=by_value)
    return Sample(chosen if columns is None else chosen.select(list(columns)), count)


def _in_spark(frame: Frame, most: int, by: Sequence[str], *, by_value: bool) -> tuple[pa.Table, int]:
    with translated("read a sample of rows"):
        count = int(frame.count())
        if by_value:
            return frame.orderBy(*map(quoted, by)).limit(most).toArrow(), count
        marked = frame.selectExpr("*", *lanes_sql(fields_of(frame, list(by) or None)))
        return marked.orderBy(*LANES).limit(most).drop(*LANES).toArrow(), count


def _here(
    reader: pa.RecordBatchReader, most: int, by: Sequence[str], *, by_value: bool
) -> tuple[pa.Table, int]:
    held: list[pa.Table] = []
    digests: list[NDArray[np.int64]] = []
    count = kept = 0
    for batch in reader:
        if not batch.num_rows:
            continue
        rows = pa.Table.from_batches([batch])
        held.append(rows)
        digests.append(_digests(rows, by, by_value=by_value))
        count, kept = count + rows.num_rows, kept + rows.num_rows
        if kept > max(2 * most, _AT_A_TIME):
            held, digests = _cut(held, digests, most)
            kept = most
    if not held:
        return reader.schema.empty_table(), 0
    held, _ = _cut(held, digests, most)
    return held[0], count


def _digests(rows: pa.Table, by: Sequence[str], *, by_value: bool) -> NDArray[np.int64]:
    if by_value:
        return np.stack([rows.column(name).to_numpy() for name in by])
    return lanes(rows, columns=list(by) or None)


def _cut(
    held: list[pa.Table], digests: list[NDArray[np.int64]], most: int
) -> tuple[list[pa.Table], list[NDArray[np.int64]]]:
    found = np.concatenate(digests, axis=1)
    order = canonical_order(found)[:most]
    return [pa.concat_tables(held).take(pa.array(order))], [found[:, order]]
