"""The door for Polars: a frame becomes a stream of Arrow record batches, some rows at a time.

Polars has an Arrow stream of its own, but ends the process on frames that it cannot export, and in
its older versions on any slice with a null. What it makes of a few rows at a time is safe.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.digest.schema import positions_of, unsupported
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROWS = 256 * 1024


def to_stream(frame: Any, columns: Sequence[str] | None) -> pa.RecordBatchReader:  # noqa: ANN401 - not imported
    """The rows of a Polars frame; text is copied, a part of the rows at a time.

    Args:
        frame: A `polars.DataFrame`.
        columns: Only these columns, in this order; all by default.

    Raises:
        DataError: A wanted column is missing; a name that Polars cannot export.
        UnsupportedTypeError: A column that Arrow cannot hold.
    """
    if columns is not None:
        frame = frame[:, positions_of(frame.columns, columns)]
    for name, kind in frame.schema.items():
        _check(kind, name)
    return pa.RecordBatchReader.from_batches(_schema(frame), _batches(frame))


def _check(kind: Any, path: str) -> None:  # noqa: ANN401 - a Polars type
    """Refuse what Polars exports as addresses of memory, and names at which it ends the process."""
    if "\0" in path:
        raise DataError("DAT018", "expected a name without NUL", path=path, fix="rename the column or field")
    if kind == sys.modules["polars"].Object:
        raise unsupported("Python objects", path)
    if getattr(kind, "inner", None) is not None:
        _check(kind.inner, f"{path}[]")
    for field in getattr(kind, "fields", ()):
        _check(field.dtype, f"{path}.{field.name}")


def _schema(frame: Any) -> pa.Schema:  # noqa: ANN401 - a Polars frame
    try:
        return frame[:0].to_arrow().schema
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        names = frame.columns
        if len(names) == 1:
            raise unsupported(str(frame.schema[names[0]]), names[0]) from exc
        return pa.unify_schemas([_schema(frame[:, [name]]) for name in names])


def _batches(frame: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - a Polars frame
    for part in frame.iter_slices(_ROWS):
        yield from part.to_arrow().to_batches()
