"""A column of a contract: its dtype, whether values may be missing or repeat, and its checks."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from mlkit.data import checks
from mlkit.data.plain import nan_to_null, plain_column
from mlkit.errors import ConfigError, DataError
from mlkit.spec import Spec

if TYPE_CHECKING:
    from pydantic import ValidationInfo

_ARROW = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamp_utc": pa.timestamp("us", "UTC"),
    "binary": pa.binary(),
}
_DTYPES = {arrow: dtype for dtype, arrow in _ARROW.items()}
# What numpy and pandas call them; unsigned ones and halves by what tables hold instead.
_PANDAS_NAMES = {
    **{name: name for name in _ARROW if name.startswith(("bool", "int", "float"))},
    "boolean": "bool",
    "uint8": "int16",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "int64",
    "float16": "float32",
    "str": "string",
    "string": "string",
}
# Kinds that pandas cannot hold with a missing value, and days: there it is looked whether any is missing.
_OBSERVED = frozenset({"bool", "integer", "date", "timestamp", "timestamp_utc"})
_CATEGORICAL = frozenset({"string", "int8", "int16", "int32", "int64"})
_PANDAS: dict[str, object] = {
    "string": str,
    "date": dt.date,
    "timestamp": pd.Timestamp,
    "timestamp_utc": pd.DatetimeTZDtype("us", "UTC"),
    "binary": object,
}
_DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")
# What a row digest can take in: more digits after the point have none.
_MAX_PRECISION, _MAX_SCALE = 38, 18


class Column(Spec):
    """What the values of one column keep.

    Attributes:
        dtype: ``bool``, ``int8`` ... ``int64``, ``float32``, ``float64``, ``string``, ``category``, ``date``,
            ``timestamp`` (no zone), ``timestamp_utc``, ``binary`` or ``decimal(precision,scale)``.
        nullable: Values may be missing (null or NaN: there is one kind of missing).
        unique: No value occurs twice, a missing one included.
        categories: All values of a ``category`` column, in the order of their codes.
        checks: Arguments by the name of a pandera check, e.g. ``{"greater_than": 0, "isin": [1, 2]}``.
    """

    dtype: str
    nullable: bool = False
    unique: bool = False
    categories: tuple[str, ...] | tuple[int, ...] = ()
    checks: dict[str, Any] = Field(default_factory=dict)

    if TYPE_CHECKING:  # what is taken is wider than what is kept

        def __init__(
            self,
            *,
            dtype: str,
            nullable: bool = False,
            unique: bool = False,
            categories: list[str] | list[int] | tuple[str, ...] | tuple[int, ...] = (),
            checks: dict[str, Any] = ...,
        ) -> None:
            """`categories` may be a list."""

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        if value in _ARROW or value == "category":
            return value
        digits = _DECIMAL.fullmatch(value.replace(" ", ""))
        if digits and _decimal_fits(int(digits[1]), int(digits[2])):
            return f"decimal({int(digits[1])},{int(digits[2])})"
        fix = f"one of {', '.join(_ARROW)}, category, decimal(precision,scale) with scale <= {_MAX_SCALE}"
        raise _wrong(f"unknown dtype {value!r}", fix)

    @field_validator("categories", mode="before")
    @classmethod
    def _distinct_values(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        values = tuple(value) if isinstance(value, list) else value
        if not isinstance(values, tuple) or {type(item) for item in values} not in ({str}, {int}, set()):
            raise _wrong("expected texts or whole numbers", "quote numbers that are meant as text")
        if len(set(values)) < len(values):
            raise _wrong("a category stands twice", "remove one")
        return values

    @field_validator("checks", mode="before")
    @classmethod
    def _canonical_checks(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - any YAML value
        if "dtype" not in info.data or "categories" not in info.data or not isinstance(value, dict):
            return value
        return checks.canonical(value, _kind(info.data["dtype"], info.data["categories"]))

    @model_validator(mode="after")
    def _categories_where_needed(self) -> Column:
        if (self.dtype == "category") != bool(self.categories):
            message = "a category column, and only that, lists its categories"
            raise _wrong(message, "list them all, or use dtype: string", path="categories")
        return self

    @property
    def kind(self) -> str:
        """Kind of the values, a key of `mlkit.data.checks.APPLICABLE`."""
        return _kind(self.dtype, self.categories)

    @property
    def value_dtype(self) -> str:
        """The dtype; of a category column, that of its categories."""
        if self.dtype != "category":
            return self.dtype
        return "string" if self.kind == "category of string" else "int64"

    @property
    def arrow_type(self) -> pa.DataType:
        """The type in which tables hold the values; categories are held as plain values."""
        if digits := _DECIMAL.fullmatch(self.value_dtype):
            return pa.decimal128(int(digits[1]), int(digits[2]))
        return _ARROW[self.value_dtype]

    @property
    def pandas_dtype(self) -> object:
        """The dtype in which pandas holds the values one to one (bytes and decimals: object)."""
        if self.dtype == "category":
            return pd.CategoricalDtype(list(self.categories))
        if self.nullable and self.kind in ("bool", "integer"):
            return "boolean" if self.kind == "bool" else self.dtype.capitalize()
        return _PANDAS.get(self.dtype, self.dtype)


def dtype_of(kind: pa.DataType, path: str) -> str:
    """The dtype of a contract for a plain Arrow type.

    Raises:
        DataError: Contracts have none for it: it is nested, or a decimal that no digest can take in.
    """
    known = decimal_dtype(kind.precision, kind.scale) if pa.types.is_decimal(kind) else _DTYPES.get(kind)
    if known is None:
        if pa.types.is_nested(kind):
            fix = "spread it over columns of its own, or leave it out"
            raise DataError("DAT021", f"contracts hold no nested values, found {kind}", path=path, fix=fix)
        fix = f"cast it to a scale of at most {_MAX_SCALE}"
        raise DataError("DAT030", f"no digest takes in {kind}", path=path, fix=fix)
    return known


def dtype_of_pandas(native: object) -> str | None:
    """The dtype of a contract for a numpy or pandas dtype; None if it does not say what the values are."""
    if isinstance(native, pd.DatetimeTZDtype):
        return "timestamp_utc"
    if isinstance(native, pd.ArrowDtype):
        return _DTYPES.get(native.pyarrow_dtype)
    if isinstance(native, np.dtype) and native.kind == "M":
        return "timestamp"
    return _PANDAS_NAMES.get(str(getattr(native, "name", native)).lower())


def decimal_dtype(precision: int, scale: int) -> str | None:
    """``decimal(precision,scale)``; None if no digest can take it in."""
    return f"decimal({precision},{scale})" if _decimal_fits(precision, scale) else None


def infer_column(values: pa.ChunkedArray, *, path: str) -> Column:
    """The loosest column that these values keep.

    Args:
        values: (n,) values of any type; a dictionary-encoded column becomes a category.
        path: Name of the column for the error message.
    """
    plain = nan_to_null(plain_column(values, path))
    dtype = dtype_of(plain.type, path)
    if pa.types.is_dictionary(values.type) and dtype in _CATEGORICAL and plain.null_count < len(plain):
        # Of the values, not of the encoding: equal rows give equal contracts.
        categories = tuple(sorted(pc.unique(plain.drop_null()).to_pylist()))
        return Column(dtype="category", nullable=True, categories=categories)
    return loosest(dtype, has_missing=plain.null_count > 0)


def loosest(dtype: str, *, has_missing: bool) -> Column:
    """The loosest column of a dtype, given whether a value is missing."""
    return Column(dtype=dtype, nullable=has_missing if _kind(dtype, ()) in _OBSERVED else True)


def _wrong(message: str, fix: str, *, path: str = "") -> ConfigError:
    # The path is that inside the field, whose name pydantic adds.
    return ConfigError("CFG009", message, path=path, fix=fix)


def _decimal_fits(precision: int, scale: int) -> bool:
    return 1 <= precision <= _MAX_PRECISION and 0 <= scale <= min(precision, _MAX_SCALE)


def _kind(dtype: str, categories: tuple[str, ...] | tuple[int, ...]) -> str:
    if dtype == "category":
        numbers = categories and isinstance(categories[0], int)
        return "category of integer" if numbers else "category of string"
    if dtype.startswith(("int", "float", "decimal")):
        return "integer" if dtype.startswith("int") else dtype.rstrip("(),0123456789")
    return dtype
