"""A frame over sqlite that reads the little SQL of Spark in which ranks, times and weights are written.

It stands beside the tests on real Sparks: without a server, thousands of cases take a second.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import sqlite3
from typing import Any, NamedTuple

_EPOCH = dt.date(1970, 1, 1)
_LITERAL = re.compile(r"\b(\d+)([LD])\b")
_DOUBLE = re.compile(r"CAST\('([^']+)' AS DOUBLE\)")


def _days(text: str) -> int:
    return (dt.date.fromisoformat(text[:10]) - _EPOCH).days


def _pow(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:  # as in Spark
        return math.inf


def _part(_: str, text: str) -> float:
    moment = dt.datetime.fromisoformat(text)
    return float(f"{moment.second}.{moment.microsecond:06}")


FUNCTIONS = {
    "log2": (1, math.log2),
    "pow": (2, _pow),
    "floor": (1, math.floor),
    "double": (1, float),
    "shiftright": (2, lambda number, bits: number >> bits),
    "unix_date": (1, _days),
    "hour": (1, lambda text: dt.datetime.fromisoformat(text).hour),
    "minute": (1, lambda text: dt.datetime.fromisoformat(text).minute),
    "date_part": (2, _part),
    "octet_length": (1, lambda value: None if value is None else len(value.encode())),
}


def connected() -> sqlite3.Connection:
    """An empty database with Spark's functions."""
    connection = sqlite3.connect(":memory:")
    for name, (count, function) in FUNCTIONS.items():
        connection.create_function(name, count, function, deterministic=True)
    return connection


def in_sqlite(sql: str) -> str:
    """The same expression as sqlite writes it: doubles from texts, numbers without a suffix."""
    sql = _DOUBLE.sub(r"double('\1')", sql).replace("AS DATE)", "AS TEXT)")
    return _LITERAL.sub(lambda found: found[1] + (".0" if found[2] == "D" else ""), sql)


class Schema(NamedTuple):
    """Columns of a frame in the form of Spark."""

    fields: list[dict[str, Any]]

    def jsonValue(self) -> dict[str, Any]:  # noqa: N802 - a name of Spark
        """As Spark gives it."""
        return {"type": "struct", "fields": self.fields}


class SqliteFrame:
    """Rows of a query; counts how often it was asked for rows."""

    def __init__(self, connection, query, *, types=(), asked=None):
        """Nothing is read yet."""
        self._connection, self._query = connection, query
        self.schema = Schema([{"name": name, "type": kind} for name, kind in types])
        self.asked = [] if asked is None else asked

    def _of(self, query) -> SqliteFrame:
        return SqliteFrame(self._connection, query, asked=self.asked)

    def selectExpr(self, *parts) -> SqliteFrame:  # noqa: N802 - a name of Spark
        """Columns of expressions."""
        return self._of(f"SELECT {', '.join(map(in_sqlite, parts))} FROM ({self._query})")

    def where(self, condition) -> SqliteFrame:
        """The rows for which it holds."""
        return self._of(f"SELECT * FROM ({self._query}) WHERE {in_sqlite(condition)}")

    def groupBy(self, *names) -> Grouped:  # noqa: N802 - a name of Spark
        """Rows by some columns."""
        return Grouped(self, ", ".join(names))

    def collect(self) -> list[tuple[Any, ...]]:
        """The rows, here."""
        self.asked.append(self._query)
        return self._connection.execute(self._query).fetchall()


class Grouped(NamedTuple):
    """Rows by some columns."""

    frame: SqliteFrame
    names: str

    def count(self) -> SqliteFrame:
        """How many there are of each."""
        return self.frame._of(
            f"SELECT {self.names}, count(*) FROM ({self.frame._query}) GROUP BY {self.names}"
        )
