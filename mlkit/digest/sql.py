"""The digest as SQL text, for rows that stay in Spark.

Built-in functions only, so it runs the same on classic Spark, Spark Connect and Databricks, and needs no
Python on the executors. Columns are described by the JSON form of a Spark schema
(``frame.schema.jsonValue()["fields"]``), so this module imports no Spark. The rules are section 8 of
``digest.md``: a column becomes one or two arguments of ``xxhash64``, which skips those that are null.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlkit.digest.schema import DECIMAL_DIGITS, check_names, unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Field = Mapping[str, Any]
    Kind = str | Mapping[str, Any]

OVERFLOW = "mlkit: a decimal is too large for a digest"
"""What Spark's error says of a value that has no digest."""

_MISSING = "9221120237041090560L"  # the bits of the canonical NaN
_NAN = "double('NaN')"
_EXACT = 2**53
_WIDEST = 10**DECIMAL_DIGITS
_DECIMAL = re.compile(r"decimal\((\d+),\s*(-?\d+)\)")


def _present(column: str, expression: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN {_MISSING} ELSE {expression} END"


_PLAIN = tuple(
    (re.compile(kinds), templates)
    for kinds, templates in (
        ("float|double", (f"coalesce(nanvl(CAST({{column}} AS DOUBLE) + 0D, {_NAN}), {_NAN})",)),
        ("boolean", (f"coalesce(CAST(CAST({{column}} AS INT) AS DOUBLE), {_NAN})",)),
        ("byte|short|integer|tinyint|smallint|int", (f"coalesce(CAST({{column}} AS DOUBLE), {_NAN})",)),
        ("date", (f"coalesce(CAST(unix_date({{column}}) AS BIGINT) * 86400000000L, {_MISSING})",)),
        (
            r"timestamp|timestamp_ntz|timestamp_ltz|interval (day|hour|minute|second)\b.*",
            ("{column}", f"CASE WHEN {{column}} IS NULL THEN {_MISSING} END"),
        ),
        (
            r"string\b.*|binary|char\(\d+\)|varchar\(\d+\)",
            (_present("{column}", "xxhash64({index}L, CAST({column} AS BINARY))"),),
        ),
        ("void|null", (_MISSING,)),
    )
)
_HALVES = (
    "sum(shiftright(shiftleft({lane}, 32), 32))",
    "sum(shiftright({lane}, 32))",
)


def quoted(name: str) -> str:
    """A name as an SQL identifier: the one door for names into SQL."""
    return f"`{name.replace('`', '``')}`"


def lane(index: int, fields: Sequence[Field]) -> str:
    """The expression of one lane of a row.

    Args:
        index: 0 or 1.
        fields: The columns, in any order, as a Spark schema's JSON has them.

    Raises:
        DataError: Two columns of one name.
        UnsupportedTypeError: A column of a type that has no digest.
    """
    check_names([field["name"] for field in fields], "")
    arguments = [
        argument
        for field in _in_order(fields)
        for argument in _words(quoted(field["name"]), field["type"], index, field["name"])
    ]
    return _chain(index, arguments)


def state(lanes: Sequence[str]) -> list[str]:
    """Aggregates that give the state of a dataset: its row count, then its four sums.

    Args:
        lanes: Names of the two columns that hold the lanes.
    """
    return ["count(1)", *(half.format(lane=quoted(name)) for name in lanes for half in _HALVES)]


def split_code(lane0: str, seed: int) -> str:
    """The expression of a row's 32-bit code, given that of lane 0 of its key."""
    return f"shiftrightunsigned(xxhash64({_long(seed)}, {lane0}), 32)"


def _chain(index: int, arguments: Sequence[str]) -> str:
    return f"xxhash64({', '.join([f'{index}L', *arguments])})"


def _in_order(fields: Sequence[Field]) -> list[Field]:
    return sorted(fields, key=lambda field: str(field["name"]).encode())


def _words(column: str, kind: Kind, index: int, path: str, depth: int = 0) -> list[str]:
    """The arguments of one value."""
    if not isinstance(kind, str):
        return [_nested(column, kind, index, path, depth)]
    for plain, templates in _PLAIN:
        if plain.fullmatch(kind):
            return [template.format(column=column, index=index) for template in templates]
    if kind in ("long", "bigint"):
        return _integer(column)
    return _decimal(column, kind, path)


def _integer(value: str) -> list[str]:
    """Bits of the double, and the integer itself where the double is not exact."""
    exact = f"{value} NOT BETWEEN -{_EXACT}L AND {_EXACT}L"
    return [f"coalesce(CAST({value} AS DOUBLE), {_NAN})", f"CASE WHEN {exact} THEN {value} END"]


def _decimal(column: str, kind: str, path: str) -> list[str]:
    """The whole part as an integer, and the fraction if there is one."""
    found = _DECIMAL.fullmatch(kind)
    if found is None:
        raise unsupported(kind, path)
    precision, scale = int(found[1]), int(found[2])
    if not 0 <= scale <= DECIMAL_DIGITS:
        raise unsupported(kind, path)
    whole = f"CAST({column} AS BIGINT)"
    if precision - scale > DECIMAL_DIGITS:
        refusal = f"CAST(raise_error('{OVERFLOW}') AS BIGINT)"
        whole = f"CASE WHEN abs({column}) >= {_WIDEST}BD THEN {refusal} ELSE {whole} END"
    if not scale:
        return _integer(whole)
    fraction = f"CAST({column} % 1BD AS DECIMAL({DECIMAL_DIGITS},{DECIMAL_DIGITS}))"
    return [*_integer(whole), f"nullif(CAST({fraction} * {_WIDEST}BD AS BIGINT), 0L)"]


def _nested(column: str, kind: Mapping[str, Any], index: int, path: str, depth: int) -> str:
    if kind["type"] == "array":
        item = f"x{depth}"
        inside = _chain(index, _words(item, kind["elementType"], index, f"{path}[]", depth + 1))
        items = f"transform({column}, {item} -> {inside})"
        return _present(column, f"xxhash64({index}L, CAST(size({column}) AS BIGINT), {items})")
    if kind["type"] == "struct":
        fields = kind["fields"]
        check_names([field["name"] for field in fields], f"{path}.")
        arguments = [
            argument
            for field in _in_order(fields)
            for argument in _words(
                f"{column}.{quoted(field['name'])}", field["type"], index, f"{path}.{field['name']}", depth
            )
        ]
        return _present(column, _chain(index, arguments))
    raise unsupported(str(kind["type"]), path)


def _long(number: int) -> str:
    """A literal; the least 64-bit integer has none of its own."""
    return f"{number}L" if number > -(2**63) else f"({number + 1}L - 1L)"
