"""Rows on their way in and out: streams that tables can hold, and the frames that estimators see.

The dtypes of a frame follow from the contract alone. Neither the values (a missing one makes pandas
widen a column), nor the library they came from, nor the version of pandas can change them, and so
none of these can change a model.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.names import check_names
from mlkit.data.plain import plain_column, plain_type
from mlkit.errors import ContractError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlkit.data.column import Column
    from mlkit.data.contract import Contract

_NUMBERS = frozenset({"integer", "float", "decimal"})


def admit(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows in the types that a Delta table holds exactly.

    Fingerprints before and after are equal. Names and types are checked at once, values while the
    stream is read; memory stays bounded by one batch.

    Args:
        reader: Any Arrow stream; it is used up.

    Raises:
        DataError: A name, a type or (while reading) a value that no table holds exactly.
    """
    check_names(reader.schema.names)
    fields = [field.with_type(plain_type(field.type, field.name)) for field in reader.schema]
    schema = pa.schema([field.remove_metadata() for field in fields])
    return pa.RecordBatchReader.from_batches(schema, _admitted(reader, schema))


def to_frame(table: pa.Table, contract: Contract, columns: Sequence[str]) -> pd.DataFrame:
    """The frame that an estimator sees.

    Integers and bools become int64 and bool, or float64 where the contract lets them be missing; other
    numbers float64 (never -0.0), texts object, categories the contract's, days and instants
    datetime64[us]. Missing is NaN or NaT.

    Args:
        table: (n,) rows; further columns are ignored.
        contract: Declares every one of `columns`.
        columns: The frame's columns, in this order.

    Returns:
        (n, len(columns)) frame under a RangeIndex.

    Raises:
        DataError: A column is missing or of another type, or holds an unknown category.
        ContractError: A value is missing where the contract allows none.
    """
    rows = _selected(table, contract, columns)
    series = {name: _series(rows.column(name), contract.columns[name], name) for name in columns}
    frame = pd.DataFrame(series, index=pd.RangeIndex(rows.num_rows))
    # Explicit, because pandas 2 and 3 infer different dtypes for text labels.
    frame.columns = pd.Index(list(columns), dtype=object)
    return frame


def to_target(table: pa.Table, contract: Contract, target: str) -> NDArray[Any]:
    """The labels that an estimator learns from.

    Args:
        table: (n,) rows; further columns are ignored.
        contract: Declares `target`.
        target: The label column.

    Returns:
        (n,) float64, int64, bool, or object for texts.

    Raises:
        DataError: A label is missing or not finite, or is neither number, bool nor text.
    """
    _refuse_unusable_labels(table, target)
    labels = _selected(table, contract, [target]).column(0)
    column = contract.columns[target]
    if column.categories:
        _ = _categorical(labels, column, target)
    if column.value_dtype == "string":
        return np.asarray(labels.to_numpy(), dtype=object)
    if column.kind == "bool":
        return np.asarray(labels.to_numpy(), dtype=np.bool_)
    if column.kind in {"integer", "category of integer"}:
        return np.asarray(labels.to_numpy(), dtype=np.int64)
    if column.kind in _NUMBERS:
        return _floats(labels)
    fix = "learn a number instead, e.g. seconds until the instant"
    message = f"a label is a number, a bool or text, found {column.dtype}"
    raise DataError("DAT046", message, path=target, fix=fix)


def _admitted(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        named = zip(schema.names, batch.columns, strict=True)
        columns = [plain_column(column, name) for name, column in named]
        yield from pa.Table.from_arrays(columns, schema=schema).to_batches()


def _selected(table: pa.Table, contract: Contract, columns: Sequence[str]) -> pa.Table:
    """These columns in the contract's types, missing values where it allows them only."""
    wanted = contract.select(columns)
    present = set(table.column_names)
    rows = wanted.cast(table.select([name for name in columns if name in present]))
    for name in columns:
        missing = rows.column(name).null_count
        if missing and not contract.columns[name].nullable:
            message = f"the contract allows no missing value, found {missing:,} in {rows.num_rows:,} rows"
            fix = "fill them in prepare, or set nullable: true in the contract"
            raise ContractError("DAT060", message, path=name, fix=fix)
    return rows


def _series(values: pa.ChunkedArray, column: Column, path: str) -> pd.Series[Any] | NDArray[Any]:
    kind = column.kind
    if column.categories:
        return pd.Series(_categorical(values, column, path))
    if kind == "string":
        return pd.Series(_objects(values), dtype=object)
    if kind in {"date", "timestamp", "timestamp_utc"}:
        naive = pd.Series(_instants(values))
        return naive.dt.tz_localize(dt.UTC) if kind == "timestamp_utc" else naive
    if kind == "bool" and not column.nullable:
        return np.asarray(values.to_numpy(), dtype=np.bool_)
    if kind == "integer" and not column.nullable:
        return np.asarray(values.to_numpy(), dtype=np.int64)
    if kind in _NUMBERS or kind == "bool":
        return _floats(values)
    fix = "decode it in prepare into numbers, text or a category"
    raise DataError("DAT022", f"an estimator cannot learn from {column.dtype} values", path=path, fix=fix)


def _floats(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """(n,) floats, missing as NaN; adding 0.0 makes -0.0, which equals 0.0, the same bits too."""
    if pa.types.is_decimal(values.type):
        # By way of text: Arrow's own cast is not correctly rounded, and its error depends on the version.
        values = values.cast(pa.string())
    floats = values.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(floats, dtype=np.float64) + 0.0


def _objects(values: pa.ChunkedArray) -> NDArray[np.object_]:
    objects = np.array(values.to_numpy(), dtype=object)
    objects[values.is_null().to_numpy()] = np.nan
    return objects


def _instants(values: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """(n,) datetime64[us], in UTC where there is a zone."""
    zone = getattr(values.type, "tz", None)
    return np.asarray(values.cast(pa.timestamp("us", zone)).to_numpy(), dtype="datetime64[us]")


def _categorical(values: pa.ChunkedArray, column: Column, path: str) -> pd.Categorical[Any]:
    """(n,) values with exactly the contract's categories, in its order."""
    known = pa.array(column.categories, column.arrow_type)
    codes = pc.index_in(values, value_set=known)
    if unknown := codes.null_count - values.null_count:
        message = f"{unknown:,} of {len(values):,} rows hold none of the contract's {len(known)} categories"
        fix = "add the category to the contract and train again, or map it in prepare"
        raise DataError("DAT047", message, path=path, fix=fix)
    labels = pd.Index(list(column.categories), dtype=object if column.value_dtype == "string" else np.int64)
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy(), dtype=pd.CategoricalDtype(labels))


def _refuse_unusable_labels(table: pa.Table, target: str) -> None:
    """Count missing and not finite labels before casting, which takes NaN for missing."""
    if table.column_names.count(target) != 1:
        return
    labels = table.column(target)
    if missing := labels.null_count:
        message = f"{missing:,} of {len(labels):,} labels are missing"
        raise DataError("DAT041", message, path=target, fix="drop these rows in prepare")
    labels = plain_column(labels, target)
    if pa.types.is_floating(labels.type):
        finite = int(pc.sum(pc.is_finite(labels)).as_py() or 0)
        if wrong := len(labels) - finite:
            message = f"{wrong:,} of {len(labels):,} labels are NaN or infinite"
            raise DataError("DAT042", message, path=target, fix="drop or correct these rows in prepare")
