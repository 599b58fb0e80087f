"""Datasets as fingerprints: one name for the same rows, whatever their order, library or engine.

Rows in this process go through Arrow, rows in Spark are digested there; `mlkit.digest.state` says what of
them remains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlkit.digest.rows import Rows, open_column
from mlkit.digest.schema import check_schema, name_order
from mlkit.digest.spark_frame import is_spark, names_of, state_of
from mlkit.digest.state import State
from mlkit.digest.stream import open_stream
from mlkit.digest.xxh64 import BLOCK, Chain
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

_SPLIT_SEED = np.array([42], np.uint64)


def fingerprint(data: object, *, columns: Sequence[str] | None = None) -> str:
    """The fingerprint of a dataset: identity against accident, not proof against tampering.

    Blind to the order of rows and columns, to chunks and encodings, to the dataframe library and to
    the width of a type; sees every other change of a value, a name, a null or a row's count.

    Args:
        data: A dataframe (pandas, Polars), an Arrow table, batch or reader, or anything with
            ``__arrow_c_stream__``; a reader is consumed. Rows stream through in bounded memory, those of a
            Spark dataframe stay in Spark.
        columns: Only these columns; all by default.

    Returns:
        ``d1:`` and 32 hex digits.

    Raises:
        DataError: No columns, a name twice, a named pandas index, a column of mixed types.
        UnsupportedTypeError: A column of a type that has no digest.
        DataOverflowError: A value outside what a digest can hold.
        StoreError: Spark failed.
    """
    if is_spark(data):
        return state_of(data, columns).fingerprint(names_of(data, columns))
    reader = open_stream(data, columns=columns)
    accumulator = Accumulator(reader.schema)
    for batch in reader:
        accumulator.update(batch)
    return accumulator.fingerprint


def lanes(data: object, *, columns: Sequence[str] | None = None) -> npt.NDArray[np.int64]:
    """The two lanes of each row's digest, in the order of the rows.

    Args:
        data: As for `fingerprint`.
        columns: Only these columns, for instance a key; all by default.

    Returns:
        Shape (2, n), int64.

    Raises:
        DataError: As for `fingerprint`, subclasses included.
    """
    reader = open_stream(data, columns=columns)
    check_schema(reader.schema)
    parts = [part for batch in reader for part in _blocks(batch)]
    return np.concatenate([np.zeros((2, 0), np.int64), *parts], axis=1)


def split_codes(lane0: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint32]:
    """A uniform 32-bit code of each row, to split and to sample by.

    Args:
        lane0: Lane 0 of the rows, or of their key, shape (n,).
        seed: Any 64-bit integer.

    Returns:
        Shape (n,), uint32.
    """
    seeds = np.array([seed], np.int64).view(np.uint64)
    start = Chain(1, _SPLIT_SEED)
    start.step(seeds)
    codes = np.empty(lane0.size, np.uint32)
    words = lane0.view(np.uint64)
    for first in range(0, lane0.size, BLOCK):
        part = words[first : first + BLOCK]
        chain = Chain(part.size, start.state[0])
        chain.step(part)
        codes[first : first + BLOCK] = chain.state[0] >> np.uint64(32)
    return codes


def canonical_order(lanes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The order of rows that a model is trained in: ascending by lane 0, then lane 1.

    Args:
        lanes: Both lanes of whole rows, shape (2, n).

    Returns:
        Positions of the rows, shape (n,), int64; equal rows keep their order.
    """
    order = np.argsort(lanes[0])
    first = lanes[0].take(order)
    is_tie = first[1:] == first[:-1]
    if is_tie.any():
        tied = np.zeros(order.size, np.bool_)
        tied[1:] |= is_tie
        tied[:-1] |= is_tie
        rows = order[tied]
        order[tied] = rows[np.lexsort((rows, lanes[1][rows], lanes[0][rows]))]
    return order


class Accumulator:
    """Takes a stream batch by batch and keeps its state."""

    def __init__(self, schema: pa.Schema) -> None:
        """Refuse a schema that has no digest, before any row.

        Raises:
            DataError: No columns, or a name twice.
            UnsupportedTypeError: A column of a type that has no digest.
        """
        check_schema(schema)
        self._names: list[str] = schema.names
        self.state = State.zero()

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch of this schema.

        Raises:
            DataOverflowError: A value outside what a digest can hold.
        """
        if batch.schema.names != self._names:
            raise DataError(
                "DAT045",
                f"expected a batch with the {len(self._names)} columns of the stream, found others",
                fix="give each stream an accumulator of its own",
            )
        for part in _blocks(batch):
            self.state += State.of(part)

    @property
    def fingerprint(self) -> str:
        """``d1:`` and 32 hex digits of the rows so far."""
        return self.state.fingerprint(self._names)


def _blocks(batch: pa.RecordBatch) -> Iterator[npt.NDArray[np.int64]]:
    """Both lanes of a batch's rows, a block at a time, shape (2, up to BLOCK)."""
    names = batch.schema.names
    # A signalling NaN, or garbage in a null slot, is no reason for a warning.
    with np.errstate(all="ignore"):
        rows = Rows([open_column(batch.column(position), names[position]) for position in name_order(names)])
    for start in range(0, batch.num_rows, BLOCK):
        with np.errstate(all="ignore"):
            block = rows.lanes(start, min(start + BLOCK, batch.num_rows))
        yield block.view(np.int64)
