"""The checks of a contract as SQL of Spark: true of a value if and only if pandera's check passes it.

Written for values that are there, in the type of the contract. All checks of `mlkit.data.checks` are here,
unlike in `mlkit.data.constraints`, whose conditions a store must be able to keep.
"""

from __future__ import annotations

import decimal
import math
import struct
from typing import TYPE_CHECKING, Any

from mlkit.data import checks
from mlkit.data.patterns import portable
from mlkit.data.spark_types import sql_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.data.column import Column

_OPERATORS = {
    "greater_than": ">",
    "greater_than_or_equal_to": ">=",
    "less_than": "<",
    "less_than_or_equal_to": "<=",
    "equal_to": "=",
    "not_equal_to": "<>",
}
_FUNCTIONS = {"str_startswith": "startswith", "str_endswith": "endswith"}
_WIDE = decimal.Context(prec=120)


def conditions(value: str, column: Column, *, path: str) -> dict[str, str]:
    """SQL conditions by the name of the check (``categories`` included), in the order of the contract.

    Args:
        value: SQL of a value of the column that is there.
        column: What it keeps.
        path: Name of the column, for an error.

    Raises:
        ConfigError: CFG035, a pattern that Spark would read otherwise.
    """
    found = {"categories": _members(value, column.categories, column)} if column.categories else {}
    for check, argument in column.checks.items():
        found[check] = _condition(value, check, argument, column, path)
    return found


def _condition(value: str, check: str, argument: Any, column: Column, path: str) -> str:  # noqa: ANN401 - any kept argument
    if check in _OPERATORS:
        return _compared(value, _OPERATORS[check], argument, column)
    if check == checks.RANGE:
        return _range(value, argument, column)
    if check == checks.LENGTH:
        return _length(value, argument)
    if check in _FUNCTIONS:
        return f"{_FUNCTIONS[check]}({value}, {_text(argument)})"
    if check in checks.PATTERNS:
        pattern = portable(argument, anchored=check == "str_matches", path=f"{path}.{check}")
        return f"{value} RLIKE {_text(pattern)}"
    members = _members(value, argument, column)
    return f"NOT ({members})" if check == "notin" else members


def _range(value: str, argument: Mapping[str, Any], column: Column) -> str:
    above = ">=" if argument.get("include_min", True) else ">"
    below = "<=" if argument.get("include_max", True) else "<"
    low = _compared(value, above, argument["min_value"], column)
    return f"({low}) AND ({_compared(value, below, argument['max_value'], column)})"


def _length(value: str, argument: Mapping[str, int]) -> str:
    bounds = (("min_value", ">="), ("max_value", "<="))
    parts = [f"length({value}) {operator} {argument[name]}" for name, operator in bounds if name in argument]
    return " AND ".join(parts)


def _compared(value: str, operator: str, bound: Any, column: Column) -> str:  # noqa: ANN401 - any kept value
    if column.kind == "decimal":
        return _compared_decimal(value, operator, decimal.Decimal(str(bound)), column)
    if column.kind == "float":
        return f"{_double(value)} {operator} {_float(bound, single=column.dtype == 'float32')}"
    if isinstance(bound, float):
        return f"{_double(value)} {operator} {_float(bound)}"
    return f"{value} {operator} {_literal(bound, column)}"


def _members(value: str, members: Sequence[Any], column: Column) -> str:
    """Whether a value is one of these."""
    if column.kind == "decimal":
        return " OR ".join(f"({_compared(value, '=', member, column)})" for member in members)
    # Unlike a comparison, membership among singles is looked at in double precision.
    reals = [_float(member) for member in members if column.kind == "float" or isinstance(member, float)]
    others = [
        _literal(member, column)
        for member in members
        if column.kind != "float" and not isinstance(member, float)
    ]
    parts = [f"{_double(value)} IN ({', '.join(reals)})"] if reals else []
    parts += [f"{value} IN ({', '.join(others)})"] if others else []
    return " OR ".join(parts)


def _compared_decimal(value: str, operator: str, bound: decimal.Decimal, column: Column) -> str:
    """Compare in the type of the column, since a bound with more digits would change the type of both."""
    scale = column.arrow_type.scale
    below = bound.quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_FLOOR, _WIDE)
    if abs(below) >= decimal.Decimal(10) ** (column.arrow_type.precision - scale):
        holds = {">", ">=", "<>"} if below < 0 else {"<", "<=", "<>"}
        return "TRUE" if operator in holds else "FALSE"
    if below != bound:
        # Between two values that the column can hold.
        if operator in {"=", "<>"}:
            return "FALSE" if operator == "=" else "TRUE"
        operator = ">" if operator in {">", ">="} else "<="
    return f"{value} {operator} CAST('{below:f}' AS {sql_type(column)})"


def _double(value: str) -> str:
    """A number in double precision; adding zero makes -0.0 the zero that it equals."""
    return f"(CAST({value} AS DOUBLE) + 0D)"


def _float(value: float, *, single: bool = False) -> str:
    number = float(value)
    if single:
        number = _single(number)
    if math.isinf(number):
        return f"double('{'-' if number < 0 else ''}Infinity')"
    return f"CAST('{number!r}' AS DOUBLE)"


def _single(number: float) -> float:
    """The nearest number in single precision, in which pandas compares singles."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def _literal(value: Any, column: Column) -> str:  # noqa: ANN401 - any kept value
    kind = column.kind
    if kind in {"string", "category of string"}:
        return _text(value)
    if kind == "bool":
        return str(value).upper()
    if kind == "timestamp":
        return f"CAST('{value.replace('T', ' ')}' AS TIMESTAMP_NTZ)"
    if kind == "timestamp_utc":
        return f"CAST('{value.replace('T', ' ')}' AS TIMESTAMP)"
    return f"CAST('{value}' AS {'DATE' if kind == 'date' else 'BIGINT'})"


def _text(value: str) -> str:
    """A text, spelled in bytes: nothing in it needs escaping, under any setting."""
    return f"CAST(X'{value.encode().hex()}' AS STRING)"
