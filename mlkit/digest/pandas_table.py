"""The door for pandas: a frame becomes an Arrow table, column by column.

An error names its column, and nothing is dropped silently on the way, as Arrow's own conversion
does with some columns of Python objects: the time of a datetime among dates, the nanoseconds of a
timestamp.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit.digest.schema import positions_of, unsupported
from mlkit.errors import DataError, DataOverflowError, MlkitError, UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

_INT64 = range(-(2**63), 2**63)


def to_table(frame: pd.DataFrame, columns: Sequence[str] | None) -> pa.Table:
    """The columns of a pandas frame, by ``str()`` of their names, without its index.

    Args:
        frame: The frame; numbers are shared, not copied.
        columns: Only these columns, in this order; all by default.

    Raises:
        DataError: A named index, MultiIndex columns, a wanted column missing or there twice, a
            column of mixed, sparse or undecodable values.
        UnsupportedTypeError: A column of values that Arrow cannot hold.
        DataOverflowError: A Python integer beyond 64 bits.
    """
    _check_axes(frame)
    names = [str(name) for name in frame.columns]
    positions = range(len(names)) if columns is None else positions_of(names, columns)
    arrays = [_to_arrow(frame.iloc[:, position], names[position]) for position in positions]
    return pa.Table.from_arrays(arrays, names=[_checked_name(names[position]) for position in positions])


def _check_axes(frame: pd.DataFrame) -> None:
    if any(name is not None for name in frame.index.names):
        raise DataError(
            "DAT014",
            "expected a frame without a named index, which is neither data nor ignored",
            path=", ".join(str(name) for name in frame.index.names),
            fix="reset_index() so that it becomes data, or reset_index(drop=True)",
        )
    if frame.columns.nlevels > 1:
        raise DataError(
            "DAT013",
            f"expected columns with one name each, found {frame.columns.nlevels} levels of names",
            fix="join the levels: frame.columns = ['_'.join(map(str, name)) for name in frame.columns]",
        )


def _checked_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        raise _not_text(ascii(name)) from exc
    return name


def _to_arrow(column: pd.Series[Any], path: str) -> pa.Array | pa.ChunkedArray:
    if str(column.dtype).startswith("Sparse"):
        raise UnsupportedTypeError(
            "DAT029",
            "expected dense values, found a sparse column",
            path=path,
            fix="column.sparse.to_dense()",
        )
    try:
        array = _converted(column)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as exc:
        raise _diagnosed(column, path, exc) from exc
    return _exact(column, array, path) if column.dtype == object else array


def _converted(column: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    # Arrow's own way to zoned instants goes through what pandas 3.1 warns of.
    if (zone := getattr(column.dtype, "tz", None)) is not None:
        naive = pa.array(column.dt.tz_convert(None))
        return naive.cast(pa.timestamp(naive.type.unit, pa.lib.tzinfo_to_string(zone)))
    if str(column.dtype) == "category":
        categories: Any = column.cat.categories
        if getattr(categories.dtype, "tz", None) is not None:
            column = column.cat.rename_categories(categories.tz_convert(None))
    return pa.array(column)


def _exact(
    column: pd.Series[Any], array: pa.Array | pa.ChunkedArray, path: str
) -> pa.Array | pa.ChunkedArray:
    """`array`, if it says all that a column of Python objects holds.

    What Arrow takes from a mixed column depends on which value comes first, and so on the order of
    rows; such a column is refused whatever its order.
    """
    for matches, takes in _TAKEN_ONLY_FROM:
        if matches(array.type):
            values = column.dropna()
            if not all(takes(kind) for kind in {type(value) for value in values}):
                raise _refused(values, path)
            return _with_nanoseconds(column, array, path) if _is_microseconds(array.type) else array
    return array


def _is_date(kind: type) -> bool:
    return issubclass(kind, dt.date) and not issubclass(kind, dt.datetime)


def _is_ordered(kind: type) -> bool:
    return not issubclass(kind, set)


_TAKEN_ONLY_FROM: tuple[tuple[Callable[[pa.DataType], bool], Callable[[type], bool]], ...] = (
    (pa.types.is_floating, lambda kind: not issubclass(kind, bool | np.bool_)),
    (pa.types.is_date, _is_date),
    (pa.types.is_timestamp, lambda kind: issubclass(kind, dt.datetime | np.datetime64)),
    (pa.types.is_duration, lambda kind: issubclass(kind, dt.timedelta | np.timedelta64)),
    (pa.types.is_list, _is_ordered),
)


def _is_microseconds(kind: pa.DataType) -> bool:
    return bool((pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) and kind.unit == "us")


def _with_nanoseconds(column: pd.Series[Any], array: pa.Array, path: str) -> pa.Array:
    """Timestamps or durations among Python objects, with the nanoseconds that Arrow leaves out."""
    typed = column.infer_objects()
    if typed.dtype != object:
        return _converted(typed)
    for value in column.dropna():
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
            raise DataError(
                "DAT032",
                "expected one type of instant, found nanoseconds among Python objects of several",
                path=path,
                fix="pandas.to_datetime(column, utc=True)",
            )
    return array


def _diagnosed(column: pd.Series[Any], path: str, exc: Exception) -> MlkitError:
    """The error that says why Arrow cannot hold a column."""
    if isinstance(exc, UnicodeEncodeError):
        return _not_text(path)
    values = column.cat.categories if str(column.dtype) == "category" else column.dropna()
    if values.dtype == object and any(isinstance(value, int) and value not in _INT64 for value in values):
        return DataOverflowError(
            "DAT028",
            "expected integers of 64 bits, found a larger one",
            path=path,
            fix="cast the column to float, or to str if it names things",
        )
    return _refused(values, path)


def _refused(values: pd.Series[Any] | pd.Index[Any], path: str) -> DataError:
    """The error for values of kinds, or of a mixture of kinds, that have no place in one Arrow type."""
    kinds = sorted({type(value).__name__ for value in values})
    for kind in (str(values.dtype), *kinds):
        if kind.lower().startswith(("period", "interval")):
            return unsupported(f"pandas.{kind.split('[')[0].lower()}", path)
        if kind.startswith("complex"):
            return UnsupportedTypeError(
                "DAT023",
                f"expected real numbers, found {kind}",
                path=path,
                fix="split it in real and imaginary part",
            )
    if len(kinds) > 1:
        return DataError(
            "DAT020",
            f"expected values of one kind, found {', '.join(kinds)}",
            path=path,
            fix="make them one kind, for instance with column.astype(str)",
        )
    found = ", ".join(kinds) if values.dtype == object else values.dtype
    return UnsupportedTypeError(
        "DAT021",
        f"expected values that Arrow can hold, found some of kind {found}",
        path=path,
        fix="make them, and the items in them, plain values of one kind, or leave the column out",
    )


def _not_text(path: str) -> DataError:
    return DataError(
        "DAT035",
        "expected text that UTF-8 can encode, found a lone surrogate",
        path=path,
        fix="decode the text anew with errors='replace'",
    )
