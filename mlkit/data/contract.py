"""Contracts: what the columns of a feature table or of prepared rows keep, as mlkit's own YAML.

A contract is a pandera schema in a form that can be read, compared and stored: only pandera's
built-in checks, whose arguments are plain values. Custom functions are refused, since pandera itself
drops them, with no more than a warning, when it writes a schema.

This is the one door to pandera, opened on first use: it takes over a second to load, and casting
rows for a model that serves needs none of it.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import field_validator, model_validator

from mlkit.boundary import quiet_pandera
from mlkit.data import checks
from mlkit.data.cast import cast_column, match_columns
from mlkit.data.column import Column, decimal_dtype, dtype_of_pandas, infer_column
from mlkit.data.constraints import conditions
from mlkit.data.names import check_names
from mlkit.data.violations import contract_error, find_violations
from mlkit.errors import ConfigError, DataError
from mlkit.nearest import nearest
from mlkit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pandera.pandas import Check, DataFrameSchema, DataType
    from pandera.pandas import Column as PanderaColumn

    from mlkit.data.violations import Predicate, Violation

__all__ = ["Column", "Contract"]

# What a pandera schema may use and a contract cannot keep, each with the way out.
_SCHEMA_FEATURES = {
    "checks": "test one column at a time, or compute a column in prepare that can be tested",
    "parsers": "parse in prepare",
    "index": "reset_index() so that it becomes a column",
    "add_missing_columns": "add them in prepare",
    "drop_invalid_rows": "drop them in prepare",
}
_COLUMN_FEATURES = {
    "regex": "name each column",
    "parsers": "parse in prepare",
    "default": "fill missing values in prepare",
    "drop_invalid_rows": "drop them in prepare",
}


class Contract(Spec):
    """What a table keeps: its columns in order, each with dtype, nullability and checks.

    Attributes:
        columns: Columns by name; a table has these and no others.
        unique: Columns whose values are unique together.

    Example:
        >>> Contract(columns={"age": Column(dtype="int64", checks={"greater_than": 0})})
    """

    columns: dict[str, Column]
    unique: tuple[str, ...] = ()

    if TYPE_CHECKING:  # what is taken is wider than what is kept

        def __init__(self, *, columns: dict[str, Column], unique: list[str] | tuple[str, ...] = ()) -> None:
            """`unique` may be a list."""

    @field_validator("unique", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _names_that_tables_hold(self) -> Self:
        try:
            check_names(list(self.columns))
        except DataError as exc:
            raise ConfigError("CFG009", exc.message, path=f"columns.{exc.path}", fix=exc.fix) from exc
        if unknown := [name for name in self.unique if name not in self.columns]:
            message = f"there is no column {unknown[0]!r}"
            raise ConfigError("CFG009", message, path="unique", fix="correct the name")
        return self

    @classmethod
    def of(cls, value: object) -> Contract:
        """The contract that `value` is: a contract, a pandera schema or model, or plain values.

        Raises:
            ConfigError: `value` is none of these, or holds what a contract cannot keep.
        """
        if isinstance(value, Contract):
            return value
        return cls.from_values(dict(value)) if isinstance(value, Mapping) else cls.from_pandera(value)

    @classmethod
    def from_pandera(cls, schema: object) -> Contract:
        """The contract that a pandera schema states.

        Args:
            schema: A `pandera.pandas.DataFrameSchema`, or a `DataFrameModel` class.

        Raises:
            ConfigError: ``CFG027``: it uses what a contract cannot keep, which is named with a way out.
        """
        _load_pandera()
        from pandera.pandas import DataFrameModel, DataFrameSchema  # noqa: PLC0415 - slow, see above

        if isinstance(schema, type) and issubclass(schema, DataFrameModel):
            schema = schema.to_schema()
        if not isinstance(schema, DataFrameSchema):
            message = f"expected a contract, found {type(schema).__name__}"
            fix = "give a schema of pandera.pandas, a Contract, or its plain values"
            raise ConfigError("CFG027", message, path="contract", fix=fix)
        _refuse_features(schema, _SCHEMA_FEATURES, "contract")
        columns = {str(name): _from_column(column, schema.dtype) for name, column in schema.columns.items()}
        return cls.from_values({"columns": columns, "unique": list(schema.unique or ())})

    @classmethod
    def infer(cls, table: pa.Table) -> Contract:
        """The loosest contract that a table keeps: dtypes, and no bounds, since a sample knows none.

        Floats, texts and categories may always be missing; other columns if any value is.

        Raises:
            DataError: A column has no declared type, or one that no contract holds.
        """
        check_names(table.column_names)
        return cls(columns={name: infer_column(table.column(name), path=name) for name in table.column_names})

    @classmethod
    def from_text(cls, text: str) -> Contract:
        """The contract that `text` wrote."""
        try:
            return cls.from_values(json.loads(text), path="contract")
        except json.JSONDecodeError as exc:
            raise ConfigError("CFG004", f"not a stored contract: {exc.msg}", path="contract") from exc

    def text(self) -> str:
        """The contract on one line, for the properties of a table; equal contracts give equal text."""
        return json.dumps(self.dump(), ensure_ascii=False, separators=(",", ":"))

    def select(self, columns: Sequence[str]) -> Contract:
        """The contract of some columns, in this order.

        Raises:
            DataError: It has no such column.
        """
        self.check_known(columns)
        unique = self.unique if set(self.unique) <= set(columns) else ()
        return Contract(columns={name: self.columns[name] for name in columns}, unique=unique)

    def arrow_schema(self) -> pa.Schema:
        """Names, types and nullability of a table under this contract."""
        columns = self.columns.items()
        return pa.schema([pa.field(name, column.arrow_type, column.nullable) for name, column in columns])

    def cast(self, table: pa.Table) -> pa.Table:
        """The same values in the order and the types of the contract; checks are not looked at.

        Raises:
            DataError: Other columns than expected, or a value that the declared type cannot hold.
        """
        match_columns(table.column_names, list(self.columns))
        arrays = [cast_column(table.column(name), column, path=name) for name, column in self.columns.items()]
        return pa.Table.from_arrays(arrays, schema=self.arrow_schema())

    def check(self, table: pa.Table, *, key: Sequence[str] = ()) -> pa.Table:
        """The table in the types of the contract, if every row keeps it.

        Args:
            table: (n,) rows with exactly the columns of the contract.
            key: Columns that identify a row: never missing, never twice.

        Raises:
            ContractError: Some rows break it: column, check, count and first keys of each violation.
            DataError: As `cast`.
        """
        rows = self.cast(table)
        if found := self._violations(rows, key):
            raise contract_error(found, rows=rows.num_rows)
        return rows

    def violations(self, table: pa.Table, key: Sequence[str] = ()) -> list[Violation]:
        """What `check` would raise, as data; empty if every row keeps the contract."""
        return self._violations(self.cast(table), key)

    def sql_constraints(self) -> dict[str, str]:
        """SQL conditions by constraint name, for stores that test rows on every write.

        DataFusion and Spark read them alike; a missing value fulfils each. Left out is what they would
        read differently: regular expressions, decimals, timestamps, text that needs escaping.
        """
        return conditions(self.columns)

    def to_pandera(self) -> DataFrameSchema:
        """The pandera schema that states this contract."""
        _load_pandera()
        from pandera.pandas import DataFrameSchema  # noqa: PLC0415 - slow, see above

        columns = {name: _to_column(column) for name, column in self.columns.items()}
        return DataFrameSchema(columns, strict=True, unique=list(self.unique) or None)

    def check_known(self, columns: Sequence[str]) -> None:
        """Refuse columns that are not of the contract.

        Raises:
            DataError: It has no such column.
        """
        if unknown := [name for name in columns if name not in self.columns]:
            fix = nearest(unknown[0], self.columns)
            raise DataError("DAT045", "the contract has no such column", path=unknown[0], fix=fix)

    def _violations(self, rows: pa.Table, key: Sequence[str]) -> list[Violation]:
        self.check_known(key)
        predicates = {name: _predicates(column) for name, column in self.columns.items()}
        return find_violations(rows, self.columns, predicates=predicates, unique=self.unique, key=key)


@functools.cache
def _load_pandera() -> None:
    with quiet_pandera():
        importlib.import_module("pandera.pandas")


def _from_column(column: PanderaColumn, dtype: DataType | None) -> dict[str, Any]:
    """Plain values of a pandera column; `dtype` is that of the schema, which wins."""
    path = f"columns.{column.name}"
    _refuse_features(column, _COLUMN_FEATURES, path)
    if not column.required:
        raise _refused("an optional column", path, "require it, or leave it out")
    found: dict[str, Any] = {}
    for check in column.checks:
        name, arguments = _from_check(check, path)
        if name in found:
            raise _refused(f"the check {name} twice", path, "make them one")
        found[name] = arguments
    known = _from_dtype(dtype or column.dtype, column.metadata, path)
    return {**known, "nullable": column.nullable, "unique": column.unique, "checks": found}


def _from_dtype(dtype: DataType | None, metadata: dict[str, Any] | None, path: str) -> dict[str, Any]:
    from pandera.pandas import Category, Decimal  # noqa: PLC0415 - slow, see above

    fix = "declare bool, int, float, str, a category with its categories, date, Timestamp or Decimal"
    known: str | None = (metadata or {}).get("mlkit_dtype")
    if isinstance(dtype, Category):
        if dtype.ordered or dtype.categories is None:
            raise _refused("a category that is ordered or open", path, "list its categories, unordered")
        return {"dtype": "category", "categories": list(dtype.categories)}
    if isinstance(dtype, Decimal):
        known = decimal_dtype(dtype.precision, dtype.scale)
    elif dtype is not None and known is None:
        known = "date" if str(dtype) == "date" else dtype_of_pandas(dtype.type)
        known = "timestamp_utc" if getattr(dtype, "time_zone_agnostic", False) else known
    if known is None:
        raise _refused(f"the dtype {dtype}", path, fix)
    return {"dtype": known}


def _from_check(check: Check, path: str) -> tuple[str, Any]:
    """Name and arguments of a built-in check, whatever name and message the user gave it."""
    from pandera.api.function_dispatch import Dispatcher  # noqa: PLC0415 - slow, see above

    # Private, because a custom check may carry a built-in name, and no public attribute tells them apart.
    function = check._check_fn  # noqa: SLF001
    name = str(function)
    changed = check.raise_warning or not check.ignore_na or check.element_wise or check.groupby
    if not isinstance(function, Dispatcher) or name not in checks.NAMES or changed:
        built_in = ", ".join(checks.NAMES)
        fix = f"test it in prepare, or use without raise_warning, ignore_na and groupby one of: {built_in}"
        raise _refused(f"the check {check.name}", path, fix)
    statistics = dict(check.statistics or {})
    return name, statistics if name in (checks.RANGE, checks.LENGTH) else statistics[checks.ARGUMENT[name]]


def _refuse_features(owner: object, features: Mapping[str, str], path: str) -> None:
    for feature, fix in features.items():
        used = getattr(owner, feature)
        if used is None or used is False or (isinstance(used, list) and not used):
            continue
        names = [str(item.name) for item in used] if isinstance(used, list) else []
        raise _refused(f"{feature} ({', '.join(names)})" if names else feature, path, fix)


def _refused(what: str, path: str, fix: str) -> ConfigError:
    return ConfigError("CFG027", f"a contract cannot keep {what}", path=path, fix=fix)


def _to_column(column: Column) -> PanderaColumn:
    from pandera.engines.pandas_engine import Decimal  # noqa: PLC0415 - slow, see above
    from pandera.pandas import Column as PanderaColumn  # noqa: PLC0415 - slow, see above

    kind = column.arrow_type
    decimal = column.kind == "decimal"
    return PanderaColumn(
        Decimal(kind.precision, kind.scale) if decimal else column.pandas_dtype,
        checks=[_to_check(name, argument, column.kind) for name, argument in column.checks.items()],
        nullable=column.nullable,
        unique=column.unique,
        # Pandas has no dtype for bytes: without this note they could not be told from any other object.
        metadata={"mlkit_dtype": column.dtype} if column.dtype == "binary" else None,
    )


def _to_check(name: str, argument: Any, kind: str) -> Check:  # noqa: ANN401 - any kept argument
    from pandera.pandas import Check  # noqa: PLC0415 - slow, see above

    check: Check = getattr(Check, name)(**checks.keywords(name, argument, kind))
    return check


def _predicates(column: Column) -> dict[str, Predicate]:
    if not column.checks:
        return {}
    _load_pandera()
    from pandera.pandas import SeriesSchema  # noqa: PLC0415 - slow, see above

    # In older versions a check alone does not know pandas until some schema has met a series.
    with quiet_pandera():
        SeriesSchema.register_default_backends(pd.Series)
    checks_of = column.checks.items()
    return {name: _predicate(_to_check(name, argument, column.kind)) for name, argument in checks_of}


def _predicate(check: Check) -> Predicate:
    """A check as a function from values to (n,) bools."""

    def keeps(values: pd.Series[Any]) -> NDArray[np.bool_]:
        # A bound beyond single precision is infinite there, and says what it should.
        with np.errstate(over="ignore"):
            return np.asarray(check(values).check_output, dtype=np.bool_)

    return keeps
