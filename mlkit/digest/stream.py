"""The door for data: whatever holds rows becomes a stream of Arrow record batches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.digest.pandas_table import to_table
from mlkit.digest.schema import positions_of, unsupported
from mlkit.errors import DataError, UnsupportedTypeError

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
        return _chosen(data, data.column_names, wanted).to_reader()
    if _is_frame(data, "polars"):
        data = _polars_frame(data, wanted)
        wanted = None
    return _chosen_batches(_imported(data), wanted)


def _is_frame(data: Any, library: str) -> bool:  # noqa: ANN401 - whatever a user brings
    """Whether `data` is a frame of `library`, which is loaded if somebody made such a frame."""
    module = sys.modules.get(library)
    return module is not None and isinstance(data, module.DataFrame)


def _chosen(data: Any, names: Sequence[str], columns: Sequence[str] | None) -> Any:  # noqa: ANN401 - table or batch
    return data if columns is None else data.select(positions_of(names, columns))


def _polars_frame(frame: Any, columns: Sequence[str] | None) -> Any:  # noqa: ANN401 - Polars is not imported
    if columns is not None:
        frame = frame[:, positions_of(frame.columns, columns)]
    for name, kind in frame.schema.items():
        _check_polars(kind, name)
    return frame


def _check_polars(kind: Any, path: str) -> None:  # noqa: ANN401 - as `_polars_frame`
    """Refuse what Polars exports as addresses of memory, or what makes it end the process."""
    if "\0" in path:
        raise DataError(
            "DAT018", "expected a name without NUL characters", path=path, fix="rename the column"
        )
    if kind == sys.modules["polars"].Object:
        raise unsupported("Python objects", path)
    if getattr(kind, "inner", None) is not None:
        _check_polars(kind.inner, f"{path}[]")
    for field in getattr(kind, "fields", ()):
        _check_polars(field.dtype, f"{path}.{field.name}")


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
            f"expected columns of types that Arrow holds, found others in this {type(data).__name__}",
            path=_culprit(data),
            fix="cast 128-bit integers and other rare types; make a series a frame first",
        ) from exc


def _culprit(data: Any) -> str:  # noqa: ANN401 - as `_imported`
    """The column of a Polars frame that Arrow does not take; empty if that cannot be told."""
    if _is_frame(data, "polars"):
        for name in data.columns:
            try:
                pa.RecordBatchReader.from_stream(data.select(name))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return str(name)
    return ""


def _chosen_batches(reader: pa.RecordBatchReader, columns: Sequence[str] | None) -> pa.RecordBatchReader:
    if columns is None:
        return reader
    positions = positions_of(reader.schema.names, columns)
    schema = pa.schema([reader.schema.field(position) for position in positions])
    return pa.RecordBatchReader.from_batches(schema, _select(reader, positions))


def _select(reader: pa.RecordBatchReader, positions: list[int]) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        yield batch.select(positions)
