"""Checks as SQL conditions, for stores that test rows on every write.

A second belt: the first is `Contract.check`, which knows all checks. Written here is only what
DataFusion (in the form delta-rs stores it) and Spark read alike; regular expressions, decimals,
timestamps and text that needs escaping are left to the first.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

from mlkit.data import checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.data.column import Column

_OPERATORS = {
    "greater_than": ">",
    "greater_than_or_equal_to": ">=",
    "less_than": "<",
    "less_than_or_equal_to": "<=",
    "equal_to": "=",
    "not_equal_to": "<>",
}
_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_NEEDS_ESCAPING = re.compile(r"['\\\x00-\x1f]")


def conditions(columns: Mapping[str, Column]) -> dict[str, str]:
    """SQL conditions by constraint name; missing values (NULL, NaN) fulfil every one."""
    found: dict[str, str] = {}
    for name, column in columns.items():
        subject = f"`{name.replace('`', '``')}`"
        missing = f"{subject} IS NULL OR " + (f"isnan({subject}) OR " if column.kind == "float" else "")
        wanted = {"categories": list(column.categories)} if column.categories else {}
        for check, argument in {**wanted, **column.checks}.items():
            if text := _condition(subject, check, argument, column.value_dtype):
                found[_constraint_name(name, check, found)] = f"{missing}{text}"
    return found


def _constraint_name(column: str, check: str, taken: Mapping[str, str]) -> str:
    """``mlkit_<column>_<check>`` in ASCII letters, digits and underscores, told apart by a number."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"mlkit_{column}_{check}").lower()
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _condition(subject: str, check: str, argument: Any, dtype: str) -> str | None:  # noqa: ANN401 - any kept argument
    """The condition without its missing values; None if engines would read it differently."""
    if check == checks.RANGE:
        return _range(subject, argument, dtype)
    if check == checks.LENGTH:
        return _length(subject, argument)
    if check in _OPERATORS:
        literal = _literal(argument, dtype)
        return literal and f"{subject} {_OPERATORS[check]} {literal}"
    if check in checks.AFFIXES:
        side = "left" if check == "str_startswith" else "right"
        literal = _literal(argument, "string")
        return literal and f"{side}({subject}, {len(argument)}) = {literal}"
    if check in checks.PATTERNS:
        return None
    literals = [_literal(value, dtype) for value in argument]
    members = ", ".join(literal for literal in literals if literal)
    operator = "NOT IN" if check == "notin" else "IN"
    return f"{subject} {operator} ({members})" if all(literals) else None


def _range(subject: str, argument: Mapping[str, Any], dtype: str) -> str | None:
    low, high = (_literal(argument[key], dtype) for key in ("min_value", "max_value"))
    above = ">=" if argument.get("include_min", True) else ">"
    below = "<=" if argument.get("include_max", True) else "<"
    return f"({subject} {above} {low} AND {subject} {below} {high})" if low and high else None


def _length(subject: str, argument: Mapping[str, int]) -> str:
    """Bounds on the number of characters.

    Written with ``left``, because delta-rs cannot store a condition that calls ``length``.
    """
    parts = []
    if minimum := argument.get("min_value"):
        parts.append(f"left({subject}, {minimum}) <> left({subject}, {minimum - 1})")
    if "max_value" in argument:
        parts.append(f"{subject} = left({subject}, {argument['max_value']})")
    return f"({' AND '.join(parts)})" if parts else "TRUE"


def _literal(value: Any, dtype: str) -> str | None:  # noqa: ANN401 - any kept value
    """A literal that compares as the value does in pandas; None if there is none."""
    if dtype == "string":
        return None if _NEEDS_ESCAPING.search(value) else f"'{value}'"
    if dtype == "bool":
        return str(value).upper()
    if dtype == "date":
        return f"DATE '{value}'"
    if dtype in _BITS:
        return _integer_literal(value, _BITS[dtype])
    if dtype == "float64" or (dtype == "float32" and _is_float32(value)):
        return f"CAST({value!r} AS DOUBLE)"
    return None


def _integer_literal(value: float, bits: int) -> str | None:
    """Left out beyond the column's width: delta-rs narrows literals to the column."""
    if isinstance(value, float):
        return f"CAST({value!r} AS DOUBLE)"
    return str(value) if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None


def _is_float32(value: float) -> bool:
    """Whether a single holds it exactly: pandas compares in single precision, SQL in double."""
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:
        return False
