"""Content keys of dataframes of pandas and Polars: with column order, dtypes, index and categories."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mlkit.research.steps.arrays import add_arrow, add_numpy

if TYPE_CHECKING:
    from mlkit.research.steps.tokens import Keys, Tokens


def add_frame(keys: Keys, out: Tokens, frame: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a pandas dataframe."""
    _add_class(keys, out, frame)
    keys.add(out, frame.columns)
    keys.add(out, frame.index)
    for position in range(frame.shape[1]):  # names may stand twice
        add_array(keys, out, frame.iloc[:, position].array)


def add_series(keys: Keys, out: Tokens, series: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a pandas series."""
    _add_class(keys, out, series)
    keys.add(out, series.name)
    keys.add(out, series.index)
    add_array(keys, out, series.array)


def _add_class(keys: Keys, out: Tokens, data: Any) -> None:  # noqa: ANN401 - a frame or a series
    keys.add(out, dict(data.attrs))
    out.text(f"duplicates {data.flags.allows_duplicate_labels}")
    more = [name for name in data._metadata if name != "name"]  # noqa: SLF001 - how a subclass says it has more
    keys.add_all(out, [getattr(data, name, None) for name in more])


def add_index(keys: Keys, out: Tokens, index: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add an index: its class, names and labels."""
    keys.add_all(out, index.names)
    out.text(str(getattr(index, "freqstr", None)))
    if isinstance(index, pd.RangeIndex):
        out.text(f"{index.start} {index.stop} {index.step}")
    elif isinstance(index, pd.MultiIndex):
        keys.add_all(out, index.levels)
        keys.add_all(out, [np.asarray(codes) for codes in index.codes])
    else:
        add_array(keys, out, index.array)


def add_array(keys: Keys, out: Tokens, array: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a column: its dtype, then its values."""
    if type(array) is pd.arrays.NumpyExtensionArray:  # text is a subclass, with a dtype of its own
        array = array.to_numpy()
    dtype = array.dtype
    out.text(f"{dtype} {getattr(dtype, 'storage', '')} {getattr(dtype, 'na_value', '')!r} {len(array)}")
    if isinstance(dtype, pd.CategoricalDtype):
        keys.add(out, dtype.categories)
        out.text(f"ordered {dtype.ordered}")
        add_numpy(keys, out, np.asarray(array.codes))
    elif isinstance(dtype, np.dtype) and dtype.kind == "O":
        _add_objects(keys, out, np.asarray(array, dtype=object))
    elif dtype.kind in "mM" and hasattr(array, "asi8"):
        add_numpy(keys, out, array.asi8)
    elif isinstance(dtype, np.dtype | pd.SparseDtype):
        add_numpy(keys, out, np.asarray(array))
    else:
        _add_extension(keys, out, array)


def _add_extension(keys: Keys, out: Tokens, array: Any) -> None:  # noqa: ANN401 - any array of pandas
    try:
        column = pa.array(array)
    except (TypeError, ValueError, NotImplementedError, pa.ArrowException):
        _add_objects(keys, out, np.asarray(array, dtype=object))
    else:
        add_arrow(keys, out, column)


def _add_objects(keys: Keys, out: Tokens, values: Any) -> None:  # noqa: ANN401 - an array of objects
    """Add Python objects; text, which is what they mostly are, without a look at each."""
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        missing = np.asarray(pd.isna(values), dtype=bool)
        with contextlib.suppress(UnicodeEncodeError, pa.ArrowException):
            texts = pa.array(values[~missing], type=pa.large_string())
            out.raw(np.packbits(missing))
            keys.add_all(out, values[missing])
            add_arrow(keys, out, texts)
            return
    keys.add_all(out, values)


def add_polars(keys: Keys, out: Tokens, frame: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a Polars dataframe."""
    for column in frame.get_columns():
        add_polars_series(keys, out, column)
    out.text(f"{frame.height} rows")


def add_polars_series(keys: Keys, out: Tokens, series: Any) -> None:  # noqa: ANN401 - checked by its caller
    """Add a Polars series; categories count as their text, for their numbers depend on the process."""
    out.text(f"{series.name}: {series.dtype!r}")
    if "Object" in repr(series.dtype):
        keys.add_all(out, series.to_list())
        return
    column = series.to_arrow()
    add_arrow(keys, out, column.dictionary_decode() if pa.types.is_dictionary(column.type) else column)
