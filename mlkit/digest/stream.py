"""The door for data: whatever holds rows becomes a stream of Arrow record batches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.digest.pandas_table import to_table
from mlkit.digest.polars_stream import to_stream
from mlkit.digest.schema import positions_of
from mlkit.errors import UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def open_stream(data: Any, *, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:  # noqa: ANN401
    """A stream of the rows of `data`; types are checked only as far as Arrow must hold them.

    Args:
        data: A pandas or Polars dataframe, an Arrow table, record batch or reader, or anything with
            ``__arrow_c_stream__``. A reader is handed on, so reading the result consumes it.
        columns: Only these columns, in this order; all by default.

    Returns:
        The rows, in their order, batch by batch; names of pandas columns are given by ``str()``.

    Raises:
        DataError: A pandas frame with a named index, MultiIndex columns or a column of mixed
            types; a wanted column is missing or there twice.
        UnsupportedTypeError: Not a dataframe, or a column that Arrow cannot hold.
        DataOverflowError: A Python integer beyond 64 bits.
    """
    wanted = [columns] if isinstance(columns, str) else columns
    if _is_frame(data, "pandas"):
        return to_table(data, wanted).to_reader()
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        table = data if wanted is None else data.select(positions_of(data.column_names, wanted))
        return table.to_reader()
    if _is_frame(data, "polars"):
        return to_stream(data, wanted)
    return _chosen_batches(_imported(data), wanted)


def _is_frame(data: Any, library: str) -> bool:  # noqa: ANN401 - whatever a user brings
    """Whether `data` is a frame of `library`, which is loaded if somebody made such a frame."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, module.DataFrame)


def _imported(data: Any) -> pa.RecordBatchReader:  # noqa: ANN401 - whatever a user brings
    if isinstance(data, pa.RecordBatchReader):
        return data
    if not hasattr(data, "__arrow_c_stream__"):
        raise UnsupportedTypeError(
            "DAT021",
            f"expected a dataframe, an Arrow table or a stream of one, found {type(data).__name__}",
            fix="collect a lazy frame; make a series or an array a frame with named columns",
        )
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UnsupportedTypeError(
            "DAT021",
            f"expected a table of types that Arrow holds, found a {type(data).__name__} that is none",
            fix="make a series or an array a frame first; cast columns of rare types",
        ) from exc


def _chosen_batches(reader: pa.RecordBatchReader, columns: Sequence[str] | None) -> pa.RecordBatchReader:
    if columns is None:
        return reader
    positions = positions_of(reader.schema.names, columns)
    schema = pa.schema([reader.schema.field(position) for position in positions])
    return pa.RecordBatchReader.from_batches(schema, _select(reader, positions))


def _select(reader: pa.RecordBatchReader, positions: list[int]) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        yield batch.select(positions)
