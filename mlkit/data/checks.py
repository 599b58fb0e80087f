"""The checks that a contract can keep: their names, their arguments, and where they make sense.

Names and meanings are pandera's. Arguments are kept as plain YAML in one canonical form (sorted
lists, whole numbers without a point, instants as ISO text), so that equal contracts have equal
bytes however they were written.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from typing import TYPE_CHECKING, Any

from mlkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMPARISONS = {
    "greater_than": "min_value",
    "greater_than_or_equal_to": "min_value",
    "less_than": "max_value",
    "less_than_or_equal_to": "max_value",
}
EQUALITIES = {"equal_to": "value", "not_equal_to": "value"}
MEMBERSHIPS = {"isin": "allowed_values", "notin": "forbidden_values"}
PATTERNS = {"str_matches": "pattern", "str_contains": "pattern"}
AFFIXES = {"str_startswith": "string", "str_endswith": "string"}
RANGE, LENGTH = "in_range", "str_length"

# The argument that a check takes, where it takes one.
ARGUMENT = {**COMPARISONS, **EQUALITIES, **MEMBERSHIPS, **PATTERNS, **AFFIXES}
NAMES = (*ARGUMENT, RANGE, LENGTH)

_DISCRETE = frozenset({*EQUALITIES, *MEMBERSHIPS})
_ORDERED = frozenset({*_DISCRETE, *COMPARISONS, RANGE})
_TEXT = frozenset({*PATTERNS, *AFFIXES, LENGTH})
APPLICABLE = {
    "bool": _DISCRETE,
    "integer": _ORDERED,
    "float": _ORDERED,
    "decimal": _ORDERED,
    "string": _ORDERED | _TEXT,
    "category of string": _DISCRETE | _TEXT,
    "category of integer": _DISCRETE,
    "date": _ORDERED,
    "timestamp": _ORDERED,
    "timestamp_utc": _ORDERED,
    "binary": frozenset[str](),
}

_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53
# More digits than any decimal column has: normalising drops zeros and nothing else.
_WIDE = decimal.Context(prec=80)


def canonical(checks: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Checks as a contract keeps them, in name order.

    Args:
        checks: Arguments by check name: one value, a list, or a mapping of pandera's argument names.
        kind: Kind of the column's values, a key of `APPLICABLE`.

    Raises:
        ConfigError: Unknown check, one that makes no sense for `kind`, or a wrong argument.
    """
    return {name: _canonical(name, checks[name], kind) for name in sorted(checks)}


def keywords(name: str, argument: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401 - any kept argument
    """Pandera's keyword arguments of a canonical check, as values of the column's kind."""
    if name == RANGE:
        bounds = {key: _native(argument[key], kind) for key in ("min_value", "max_value")}
        return {**bounds, **{key: argument.get(key, True) for key in ("include_min", "include_max")}}
    if name == LENGTH:
        return dict(argument)
    if name in MEMBERSHIPS:
        return {ARGUMENT[name]: [_native(value, kind) for value in argument]}
    return {ARGUMENT[name]: argument if name in _TEXT else _native(argument, kind)}


def _canonical(name: str, argument: Any, kind: str) -> Any:  # noqa: ANN401 - any YAML value
    if name not in NAMES:
        raise _wrong(name, "unknown check", f"checks that a contract keeps: {', '.join(NAMES)}")
    if name not in APPLICABLE[kind]:
        known = ", ".join(sorted(APPLICABLE[kind])) or "none"
        raise _wrong(name, f"this check makes no sense for the kind {kind}", f"checks for it: {known}")
    if name == RANGE:
        return _range(_arguments(name, argument), kind)
    if name == LENGTH:
        return _length(argument)
    if isinstance(argument, dict):
        argument = _arguments(name, argument, required={ARGUMENT[name]})[ARGUMENT[name]]
    if name in MEMBERSHIPS:
        return _members(name, argument, kind)
    if name in _TEXT:
        return _text(name, argument)
    return _value(name, argument, kind)


def _arguments(name: str, argument: object, *, required: set[str] | None = None) -> dict[str, Any]:
    """The mapping of a check's arguments, with no unknown and no missing key."""
    required = required or {"min_value", "max_value"}
    optional = {"include_min", "include_max"} if name == RANGE else set()
    if not isinstance(argument, dict) or not required <= set(argument) <= required | optional:
        raise _wrong(name, f"expected the arguments {', '.join(sorted(required | optional))}", "correct them")
    return argument


def _range(arguments: dict[str, Any], kind: str) -> dict[str, Any]:
    bounds = {key: _value(f"{RANGE}.{key}", arguments[key], kind) for key in ("min_value", "max_value")}
    flags = {key: arguments.get(key, True) for key in ("include_min", "include_max")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise _wrong(RANGE, "include_min and include_max are true or false", "correct them")
    low, high = (_native(bound, kind) for bound in bounds.values())
    if low > high or (low == high and not all(flags.values())):
        raise _wrong(RANGE, "no value lies between these bounds", "swap or widen them")
    return {**bounds, **{key: flag for key, flag in flags.items() if not flag}}


def _length(argument: object) -> dict[str, int]:
    """Smallest and largest length; one number means exactly that length."""
    given: dict[str, Any] = argument if isinstance(argument, dict) else {"exact_value": argument}
    given = {key: value for key, value in given.items() if value is not None}
    if set(given) == {"exact_value"}:
        given = {"min_value": given["exact_value"], "max_value": given["exact_value"]}
    lengths: dict[str, int] = {key: given[key] for key in ("min_value", "max_value") if key in given}
    if not lengths or len(lengths) != len(given):
        raise _wrong(LENGTH, "expected a length, or min_value and max_value", "correct the arguments")
    if not all(type(value) is int and value >= 0 for value in lengths.values()):
        raise _wrong(LENGTH, "a length is a whole number from 0 on", "correct the arguments")
    if lengths.get("min_value", 0) > lengths.get("max_value", math.inf):
        raise _wrong(LENGTH, "no length lies between these bounds", "swap or widen them")
    return lengths


def _members(name: str, argument: object, kind: str) -> list[Any]:
    if not isinstance(argument, (list, tuple, set, frozenset)) or not argument:
        raise _wrong(name, "expected a list of values", "give at least one")
    values = {_value(name, value, kind) for value in argument}
    return sorted(values, key=lambda value: _native(value, kind))


def _text(name: str, argument: object) -> str:
    if isinstance(argument, re.Pattern) and argument.flags == re.UNICODE:
        argument = argument.pattern
    if not isinstance(argument, str):
        raise _wrong(name, "expected text (flags of a compiled pattern cannot be kept)", "write it as text")
    if name in PATTERNS:
        try:
            re.compile(argument)
        except re.error as exc:
            raise _wrong(name, f"not a regular expression: {exc.msg}", "correct it") from exc
    return argument


def _value(name: str, value: Any, kind: str) -> Any:  # noqa: ANN401 - any YAML value
    """One value in the plain form of its kind."""
    # Numpy's and pandas' own scalars come in through pandera schemas.
    value = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
    plain = _PLAIN[kind](value)
    if plain is None:
        found = type(value).__name__
        raise _wrong(name, f"expected a value of kind {kind}, found {found}", "correct the value")
    return plain


def _plain_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _plain_text(value: object) -> str | None:
    return str(value) if isinstance(value, str) else None


def _plain_number(value: object) -> float | None:
    """An int within 64 bits or a finite float; whole floats become ints while that is exact."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return value if value in _INT64 else None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _plain_decimal(value: object) -> float | str | None:
    """A number as it is written: 0.1 in YAML is one tenth, not the nearest float."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, decimal.Decimal)):
        return None
    try:
        exact = decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        return None
    if not exact.is_finite():
        return None
    if exact == exact.to_integral_value() and int(exact) in _INT64:
        return int(exact)
    return float(exact) if decimal.Decimal(str(float(exact))) == exact else str(exact.normalize(_WIDE))


def _plain_date(value: object) -> str | None:
    instant = _instant(value)
    if instant is None or instant.tzinfo is not None or instant.time() != dt.time():
        return None
    return instant.date().isoformat()


def _plain_timestamp(value: object) -> str | None:
    instant = _instant(value)
    return None if instant is None or instant.tzinfo is not None else instant.isoformat()


def _plain_timestamp_utc(value: object) -> str | None:
    instant = _instant(value)
    return None if instant is None or instant.tzinfo is None else instant.astimezone(dt.UTC).isoformat()


def _instant(value: object) -> dt.datetime | None:
    """ISO text, a date, or anything that prints itself as ISO text (pandas timestamps do)."""
    text = value.isoformat() if isinstance(value, dt.date) else value
    try:
        return dt.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _native(value: Any, kind: str) -> Any:  # noqa: ANN401 - a value of any kind
    """A canonical value as Python holds it: Decimal, date, datetime, or the value itself."""
    return _NATIVE.get(kind, _same)(value)


def _same(value: Any) -> Any:  # noqa: ANN401 - a value of any kind
    return value


def _wrong(name: str, message: str, fix: str) -> ConfigError:
    return ConfigError("CFG009", message, path=name, fix=fix)


_PLAIN: dict[str, Callable[[object], Any]] = {
    "bool": _plain_bool,
    "integer": _plain_number,
    "float": _plain_number,
    "decimal": _plain_decimal,
    "string": _plain_text,
    "category of string": _plain_text,
    "category of integer": _plain_number,
    "date": _plain_date,
    "timestamp": _plain_timestamp,
    "timestamp_utc": _plain_timestamp_utc,
}
_NATIVE: dict[str, Callable[[Any], Any]] = {
    "decimal": lambda value: decimal.Decimal(str(value)),
    "date": dt.date.fromisoformat,
    "timestamp": dt.datetime.fromisoformat,
    "timestamp_utc": dt.datetime.fromisoformat,
}
