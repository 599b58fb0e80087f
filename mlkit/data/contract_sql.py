"""Contracts of rows that stay in Spark: the verdict, counts and keys of `Contract.check`, by aggregation.

One pass casts every column and counts every violation that a row alone can have; one more for each set of
columns that must be unique. Rows come here only as the first keys of those that break the contract.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.data.cast import can_cast, holds_numbers, inexact, match_columns, mismatch
from mlkit.data.checks_sql import conditions
from mlkit.data.column import dtype_of, loosest
from mlkit.data.contract import Contract
from mlkit.data.names import check_names
from mlkit.data.plain import plain_type
from mlkit.data.spark_types import arrow_schema, sql_type
from mlkit.data.stream import no_rows
from mlkit.data.violations import SHOWN_KEYS, SHOWN_VIOLATIONS, Violation, contract_error
from mlkit.digest.spark_frame import fields_of, translated
from mlkit.digest.sql import lane, quoted
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.data.column import Column
    from mlkit.engines.base import Frame

_MISSING, _PRESENT = "{0} IS NULL", "{0} IS NOT NULL"
_EXACT = {"float32": 2**24, "float64": 2**53}
_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_LANES = ("mlkit_l0", "mlkit_l1")


@dataclasses.dataclass(frozen=True)
class _Cast:
    """How a column of a frame becomes one of a contract.

    Attributes:
        value: SQL of the value in the contract's type; NaN is null, since there is one kind of missing.
        wrong: SQL condition of the rows that forbid it; None if none can.
    """

    value: str
    wrong: str | None = None


@dataclasses.dataclass(frozen=True)
class _Broken:
    """A promise, and the SQL condition of the rows that break it."""

    column: str
    check: str
    condition: str


def check_frame(frame: Frame, contract: Contract, *, key: Sequence[str] = (), origin: str = "rows") -> Frame:
    """The frame in the order and the types of the contract, if every row keeps it.

    Args:
        frame: A Spark dataframe with exactly the columns of the contract; it is evaluated.
        contract: What each row keeps.
        key: Columns that identify a row: never missing, never twice.
        origin: Whose rows these are, for an error.

    Returns:
        A Spark dataframe over the same rows, not evaluated.

    Raises:
        ContractError: Some rows break it: column, check, count and first keys of each violation.
        DataError: There are no rows (DAT002), or as for `Contract.cast`.
        ConfigError: A check has a pattern that Spark reads otherwise (CFG035).
        StoreError: Spark failed.
    """
    rows, found = _violations(frame, contract, tuple(key))
    if not rows:
        raise no_rows(origin)
    if found:
        raise contract_error(found, rows=rows)
    return cast_frame(frame, contract)


def frame_violations(frame: Frame, contract: Contract, *, key: Sequence[str] = ()) -> list[Violation]:
    """What `check_frame` would raise, as data; empty if every row keeps the contract.

    Raises:
        DataError: As for `Contract.cast`.
    """
    return _violations(frame, contract, tuple(key))[1]


def cast_frame(frame: Frame, contract: Contract) -> Frame:
    """The frame in the order and the types of the contract; nothing is checked or evaluated.

    Raises:
        DataError: Other columns than expected, or of other types.
    """
    with translated("cast a frame"):
        return frame.selectExpr(
            *(f"{cast.value} AS {quoted(name)}" for name, cast in _casts(frame, contract).items())
        )


def infer_frame(frame: Frame, *, origin: str = "rows") -> Contract:
    """The contract that `Contract.infer` would find if the rows were here.

    Args:
        frame: A Spark dataframe; it is evaluated once.
        origin: Whose rows these are, for an error.

    Raises:
        DataError: There are no rows (DAT002), or as for `Contract.infer`.
    """
    schema = arrow_schema(frame)
    check_names(schema.names)
    dtypes = {field.name: dtype_of(plain_type(field.type, field.name), field.name) for field in schema}
    counts = [f"count_if({_MISSING.format(_plain(quoted(field.name), field.type))})" for field in schema]
    with translated("look at a frame"):
        ((rows, *missing),) = frame.selectExpr("count(1)", *counts).collect()
    if not rows:
        raise no_rows(origin)
    found = zip(dtypes.items(), missing, strict=True)
    return Contract(columns={name: loosest(dtype, has_missing=count > 0) for (name, dtype), count in found})


def _violations(frame: Frame, contract: Contract, key: tuple[str, ...]) -> tuple[int, list[Violation]]:
    """Number of rows, and everything in which they break the contract."""
    contract.check_known(key)
    casts = _casts(frame, contract)
    numbered = {name: f"v{place}" for place, name in enumerate(casts)}
    promises = list(_promises(contract, key, numbered))
    wrong = {name: cast.wrong for name, cast in casts.items() if cast.wrong is not None}
    values = [f"{cast.value} AS {numbered[name]}" for name, cast in casts.items()]
    flags = [f"{condition} AS w{place}" for place, condition in enumerate(wrong.values())]
    counts = [f"count_if(w{place})" for place in range(len(flags))]
    counts += [f"count_if({promise.condition})" for promise in promises]
    with translated("check a frame"):
        ((rows, *found),) = frame.selectExpr(*values, *flags).selectExpr("count(1)", *counts).collect()
    for name, count in zip(wrong, found, strict=False):
        if count:
            raise _cast_error(frame, contract.columns[name], name)
    broken = [(promise, count) for promise, count in zip(promises, found[len(wrong) :], strict=True) if count]
    return int(rows), _with_keys(frame, contract, key, broken)


def _promises(contract: Contract, key: Sequence[str], values: dict[str, str]) -> Iterator[_Broken]:
    """What each row alone promises, in the order in which violations are told; `values` is SQL by column."""
    for name, column in contract.columns.items():
        value = values[name]
        if name in key or not column.nullable:
            yield _Broken(name, "key_not_null" if name in key else "not_nullable", _MISSING.format(value))
        for check, condition in conditions(value, column, path=name).items():
            yield _Broken(name, check, f"{_PRESENT.format(value)} AND NOT ({condition})")


def _with_keys(
    frame: Frame, contract: Contract, key: tuple[str, ...], broken: Sequence[tuple[_Broken, int]]
) -> list[Violation]:
    """All violations, those of uniqueness included; those that are shown with their first keys."""
    rows = cast_frame(frame, contract)
    found: list[Violation] = []
    conditions_of = _conditions_by_name(contract, key) if broken else {}
    for promise, count in broken:
        condition = conditions_of[promise.column, promise.check]
        shown = len(found) < SHOWN_VIOLATIONS
        keys = _first_keys(rows.where(condition), contract, key) if shown else ()
        found.append(Violation(promise.column, promise.check, count, keys))
    for names, check in _unique(contract, key):
        if count := _repeated(rows, names):
            keys = _first_keys(_repeats(rows, names), contract, key) if len(found) < SHOWN_VIOLATIONS else ()
            found.append(Violation(", ".join(names), check, count, keys))
    return found


def _conditions_by_name(contract: Contract, key: Sequence[str]) -> dict[tuple[str, str], str]:
    """Conditions over the columns by their own names."""
    own = {name: quoted(name) for name in contract.columns}
    return {(broken.column, broken.check): broken.condition for broken in _promises(contract, key, own)}


def _unique(contract: Contract, key: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, column in contract.columns.items():
        if column.unique and (name,) != key:
            yield (name,), "unique"
    if contract.unique:
        yield contract.unique, "unique"
    if key:
        yield key, "key_unique"


def _lanes(rows: Frame, names: Sequence[str]) -> list[str]:
    """Both lanes of these columns: equal where the values are, and short whatever they are."""
    fields = fields_of(rows, names)
    return [f"{lane(index, fields)} AS {name}" for index, name in enumerate(_LANES)]


def _repeated(rows: Frame, names: Sequence[str]) -> int:
    """Number of rows whose values in these columns others have too."""
    with translated("look for repeated rows"):
        groups = rows.selectExpr(*_lanes(rows, names)).groupBy(*_LANES).count().where("`count` > 1")
        ((count,),) = groups.selectExpr("sum(`count`)").collect()
    return int(count or 0)


def _repeats(rows: Frame, names: Sequence[str]) -> Frame:
    """The rows whose values in these columns others have too."""
    marked = rows.selectExpr(*map(quoted, rows.columns), *_lanes(rows, names))
    groups = marked.groupBy(*_LANES).count().where("`count` > 1").selectExpr(*_LANES)
    return marked.join(groups, list(_LANES), "left_semi")


def _first_keys(rows: Frame, contract: Contract, key: tuple[str, ...]) -> tuple[Any, ...]:
    """The first different keys of some rows, in the order of their values: rows in Spark have no other."""
    if not key:
        return ()
    names = [f"k{place}" for place in range(len(key))]
    chosen = [f"{quoted(name)} AS {alias}" for name, alias in zip(key, names, strict=True)]
    with translated("read the first keys"):
        first: pa.Table = rows.selectExpr(*chosen).distinct().orderBy(*names).limit(SHOWN_KEYS).toArrow()
    plain = contract.select(key).cast(first.rename_columns(list(key)))
    values = [tuple(row.values()) for row in plain.to_pylist()]
    return tuple(row[0] if len(key) == 1 else row for row in values)


def _casts(frame: Frame, contract: Contract) -> dict[str, _Cast]:
    """How each column is cast, by name in the order of the contract."""
    schema = arrow_schema(frame)
    match_columns(schema.names, list(contract.columns))
    return {
        name: _cast(quoted(name), schema.field(name).type, column)
        for name, column in contract.columns.items()
    }


def _cast(value: str, found: pa.DataType, to: Column) -> _Cast:
    target = sql_type(to)
    present = _plain(value, found)
    if found == to.arrow_type:
        return _Cast(present)
    if not _may_become(found, to):
        return _Cast(f"CAST(NULL AS {target})", _PRESENT.format(present))
    cast = f"try_cast({present} AS {target})"
    return _Cast(cast, f"{_PRESENT.format(present)} AND NOT ({_keeps(value, cast, found, to)})")


def _may_become(found: pa.DataType, to: Column) -> bool:
    try:
        return can_cast(dtype_of(plain_type(found, ""), ""), to)
    except DataError:
        return False


def _keeps(value: str, cast: str, found: pa.DataType, to: Column) -> str:
    """SQL that is true if a value that is there is the same after its cast."""
    if pa.types.is_decimal(found):
        return f"coalesce(try_cast({cast} AS {_sql_decimal(found)}) = {value}, FALSE)"
    if to.value_dtype in _BITS:
        return _is_integer(value, found, _BITS[to.value_dtype])
    if pa.types.is_integer(found) and to.kind == "float":
        bound = _EXACT[to.dtype]
        return f"CAST({value} AS BIGINT) BETWEEN -{bound}L AND {bound}L"
    if pa.types.is_integer(found):
        return _PRESENT.format(cast)
    if pa.types.is_floating(found):
        return f"coalesce(CAST({cast} AS DOUBLE) = CAST({value} AS DOUBLE), FALSE)"
    return f"coalesce(CAST({cast} AS {'TIMESTAMP_NTZ' if to.kind == 'date' else 'DATE'}) = {value}, FALSE)"


def _is_integer(value: str, found: pa.DataType, bits: int) -> str:
    if pa.types.is_integer(found):
        return f"CAST({value} AS BIGINT) BETWEEN {-(2 ** (bits - 1)) + 1}L - 1L AND {2 ** (bits - 1) - 1}L"
    number, exact = f"CAST({value} AS DOUBLE)", _EXACT["float32" if pa.types.is_float32(found) else "float64"]
    low, high = max(-(2 ** (bits - 1)), -exact), min(2 ** (bits - 1) - 1, exact)
    return f"{number} BETWEEN {low}D AND {high}D AND {number} = floor({number})"


def _plain(value: str, found: pa.DataType) -> str:
    """A value whose NaN is null."""
    if not pa.types.is_floating(found):
        return value
    return f"nanvl({value}, CAST(NULL AS {'FLOAT' if pa.types.is_float32(found) else 'DOUBLE'}))"


def _sql_decimal(kind: pa.DataType) -> str:
    return f"DECIMAL({kind.precision},{kind.scale})"


def _cast_error(frame: Frame, column: Column, name: str) -> DataError:
    """Why a column does not become what the contract says."""
    found = arrow_schema(frame).field(name).type
    try:
        dtype = dtype_of(plain_type(found, name), name)
    except DataError as exc:
        return exc
    if can_cast(dtype, column):
        return inexact(found, column, path=name)
    is_text = pa.types.is_string(found) and holds_numbers(column)
    return mismatch(found, column, path=name, numeric_text=is_text and _is_numeric_text(frame, name))


def _is_numeric_text(frame: Frame, name: str) -> bool:
    value = quoted(name)
    wrong = f"{value} IS NOT NULL AND try_cast(trim({value}) AS DOUBLE) IS NULL"
    with translated("look at a column"):
        ((count,),) = frame.selectExpr(f"count_if({wrong})").collect()
    return not count
