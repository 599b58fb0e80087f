"""Rows beyond memory: checked piece by piece on their way into a table, and never held whole.

Prepared rows of a table or a stream need no more than that. What only all rows together can tell,
whether a key stands twice, is told by their digests: 16 bytes a row, for each key.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit.data.column import Column
from mlkit.data.contract import Contract
from mlkit.data.violations import Violation, contract_error
from mlkit.digest.fingerprint import canonical_order, lanes
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

PIECE_BYTES = 1 << 25
"""Rows of about this size are looked at together; what fits in one piece is checked as a whole."""


@contextlib.contextmanager
def repeatable(reader: pa.RecordBatchReader) -> Iterator[Callable[[], pa.RecordBatchReader]]:
    """A stream that can be read again: meanwhile it stands, compressed, in a temporary file.

    Args:
        reader: Any Arrow stream; it is used up.

    Yields:
        A function that starts a new reading, which ends the one before.
    """
    with tempfile.TemporaryFile() as file:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(file, reader.schema, options=options) as writer:
            for batch in reader:
                writer.write_batch(batch)

        def again() -> pa.RecordBatchReader:
            file.seek(0)
            return pa.ipc.open_stream(file)

        yield again


def no_rows(origin: str) -> DataError:
    """The error for rows that are none; `origin` says whose."""
    return DataError("DAT002", "there are no rows", path=origin, fix="is the filter too narrow?")


def infer_contract(reader: pa.RecordBatchReader, *, origin: str = "rows") -> Contract:
    """The contract that `Contract.infer` would find if it saw all rows at once.

    Args:
        reader: Rows in the types that a table holds; it is used up.
        origin: Whose rows these are, for an error.

    Raises:
        DataError: There are no rows (DAT002), or as for `Contract.infer`.
    """
    columns: dict[str, Column] = {}
    for piece in _pieces(reader):
        found = Contract.infer(piece).columns
        columns = {name: _looser(columns.get(name, column), column) for name, column in found.items()}
    if not columns:
        raise no_rows(origin)
    return Contract(columns=columns)


def check_stream(
    reader: pa.RecordBatchReader, contract: Contract, *, key: Sequence[str] = (), origin: str = "rows"
) -> pa.RecordBatchReader:
    """The same rows in the types of the contract; the first piece that breaks it ends the stream.

    Args:
        reader: Rows with exactly the columns of the contract; it is used up.
        contract: What each row keeps.
        key: Columns that identify a row: never missing, never twice.
        origin: Whose rows these are, for an error.

    Returns:
        A stream that raises, while it is read, what `Contract.check` raises, or DAT002 if there are no
        rows. Counts are those of the piece; a key that stands in two pieces is found at the end.
    """
    batches = _checked(reader, contract, tuple(key), origin)
    return pa.RecordBatchReader.from_batches(contract.arrow_schema(), batches)


def _checked(
    reader: pa.RecordBatchReader, contract: Contract, key: tuple[str, ...], origin: str
) -> Iterator[pa.RecordBatch]:
    seen: dict[tuple[str, ...], list[NDArray[np.int64]]] = {names: [] for names in _unique(contract, key)}
    count = 0
    for piece in _pieces(reader):
        rows = contract.check(piece, key=key)
        count += rows.num_rows
        for names, parts in seen.items():
            parts.append(lanes(rows, columns=names))
        yield from rows.to_batches()
    if not count:
        raise no_rows(origin)
    for names, parts in seen.items():
        if repeated := _repeated(parts):
            check = "key_unique" if names == key else "unique"
            raise contract_error([Violation(", ".join(names), check, repeated)], rows=count)


def _pieces(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Batches put together to tables of about `PIECE_BYTES`; none is empty."""
    waiting: list[pa.RecordBatch] = []
    for batch in reader:
        waiting.append(batch)
        if sum(part.nbytes for part in waiting) >= PIECE_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if any(batch.num_rows for batch in waiting):
        yield pa.Table.from_batches(waiting)


def _looser(one: Column, other: Column) -> Column:
    """The column that the values of both keep."""
    categories = tuple(sorted({*one.categories, *other.categories}))
    dtype = "category" if categories else one.dtype
    return Column(dtype=dtype, nullable=one.nullable or other.nullable, categories=categories)


def _unique(contract: Contract, key: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Names of columns that no two rows may agree in."""
    alone = {(name,) for name, column in contract.columns.items() if column.unique}
    return {key, contract.unique, *alone} - {()}


def _repeated(parts: Sequence[NDArray[np.int64]]) -> int:
    """Number of rows whose digest others have too, given both lanes of each piece, shape (2, n)."""
    both = np.concatenate(parts, axis=1)
    ordered = both[:, canonical_order(both)]
    equal = (ordered[:, 1:] == ordered[:, :-1]).all(axis=0)
    again = np.zeros(both.shape[1], dtype=np.bool_)
    again[1:] |= equal
    again[:-1] |= equal
    return int(again.sum())
