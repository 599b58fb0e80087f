"""What is in the columns of tables, counted exactly where the rows are: here batch by batch, or in Spark."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.digest.fingerprint import lanes
from mlkit.digest.spark_frame import fields_of, is_spark, translated
from mlkit.digest.sql import quoted
from mlkit.model.spark_training import lanes_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mlkit.engines.base import Engine, Frame, TableName

MOST_VALUES = 1000
"""Different values of a column that are counted; of more it is only said that there are more."""

MOST_ROWS = 20_000_000
"""Rows of which duplicates are looked for: some 30 bytes of memory here each."""

_REAL = ("float", "double")


@dataclasses.dataclass(frozen=True)
class Profile:
    """One column.

    Attributes:
        name: Its name.
        kind: Its type, as Arrow or Spark calls it.
        rows: How many there are.
        missing: How many are null or NaN.
        distinct: Different values; None for more than `MOST_VALUES`.
        low: Smallest value of a number or a time; None of other kinds.
        high: Largest.
        mean: Mean of numbers; None of other kinds.
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int | None
    low: Any = None
    high: Any = None
    mean: float | None = None

    @property
    def missing_share(self) -> float:
        """From 0 to 1."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to learn from it: one value in every row, or none in any."""
        return self.distinct == 0 or (self.distinct == 1 and not self.missing)

    @property
    def badness(self) -> tuple[bool, float, str]:
        """To sort by: constant columns, then those with most missing values."""
        return not self.is_constant, -self.missing_share, self.name


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Rows that are not alone.

    Attributes:
        rows: Looked at.
        repeated: Rows that equal an earlier one, but for the columns left out.
        straddling: Test rows that equal a train row, but for these; None where there are no parts.
        test_rows: How many test rows there are.
    """

    rows: int
    repeated: int
    straddling: int | None
    test_rows: int


def profile_tables(engine: Engine, tables: Sequence[TableName]) -> list[Profile]:
    """The columns of tables of one schema, taken together, in the order of the first.

    Raises:
        StoreError: A table is gone, or the store is away.
    """
    scanned = [engine.scan(table) for table in tables]
    if is_spark(scanned[0]):
        whole = scanned[0]
        for other in scanned[1:]:
            whole = whole.unionByName(other)
        return _in_spark(whole)
    names = scanned[0].schema.names
    columns = {name: _Column(name, scanned[0].schema.field(name).type) for name in names}
    for reader in scanned:
        for batch in reader:
            for name in names:
                columns[name].add(batch.column(batch.schema.get_field_index(name)))
    return [column.told() for column in columns.values()]


def find_duplicates(
    engine: Engine, train: TableName, test: TableName | None, *, without: Sequence[str]
) -> Duplicates | None:
    """Rows that repeat others, and test rows that repeat train rows, in all columns but some.

    Args:
        engine: Where the tables are.
        train: Train rows, or all there are.
        test: Test rows; None where rows are not parted.
        without: Columns that are left out: the key, which tells all rows apart.

    Returns:
        None where the rows are too many to be compared here, or no column is left.
    """
    info = [engine.describe(table) for table in (train, *([test] if test else []))]
    names = [name for name in info[0].schema.names if name not in without] if info[0] else []
    if not names or sum(each.rows for each in info if each) > MOST_ROWS:
        return None
    found = [_digests(engine, table, names) for table in (train, *([test] if test else []))]
    every = np.concatenate(found)
    straddling = None
    if test is not None:
        straddling = int(np.isin(found[1], np.unique(found[0])).sum())
    repeated = len(every) - len(np.unique(every))
    return Duplicates(len(every), repeated, straddling, len(found[1]) if test else 0)


def _digests(engine: Engine, table: TableName, names: list[str]) -> NDArray[np.int64]:
    """(n,) digests of rows: of two rows that differ one in 2**64 pairs has the same."""
    rows = engine.scan(table, columns=names)
    if is_spark(rows):
        with translated("compare rows"):
            told = rows.selectExpr(lanes_sql(fields_of(rows))[0]).toArrow()
        return np.asarray(told.column(0).to_numpy(), dtype=np.int64)
    first: NDArray[np.int64] = lanes(rows)[0]
    return first


class _Column:
    """Takes a column batch by batch."""

    def __init__(self, name: str, kind: pa.DataType) -> None:
        self._name, self._kind = name, kind
        self._rows = self._missing = 0
        self._values: set[Any] | None = set()
        self._low: Any = None
        self._high: Any = None
        self._sums: list[float] = []

    def add(self, values: pa.Array) -> None:
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        known = _known(values)
        self._rows += len(values)
        self._missing += len(values) - len(known)
        if not len(known):
            return
        self._count(known)
        if is_ordered(values.type):
            ends = pc.min_max(known)
            low, high = ends["min"].as_py(), ends["max"].as_py()
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)
        if is_number(values.type):
            self._sums.append(float(pc.sum(known.cast(pa.float64(), safe=False)).as_py()))

    def told(self) -> Profile:
        there = self._rows - self._missing
        mean = math.fsum(self._sums) / there if self._sums and all(map(math.isfinite, self._sums)) else None
        return Profile(
            name=self._name,
            kind=str(self._kind),
            rows=self._rows,
            missing=self._missing,
            distinct=None if self._values is None else len(self._values),
            low=self._low,
            high=self._high,
            mean=mean,
        )

    def _count(self, known: pa.Array) -> None:
        if self._values is None:
            return
        self._values.update(pc.unique(known).to_pylist())
        if len(self._values) > MOST_VALUES:
            self._values = None


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type has a mean."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def is_ordered(kind: pa.DataType) -> bool:
    """Whether the smallest and largest value of a column of this type say something."""
    return is_number(kind) or pa.types.is_temporal(kind)


def _known(values: pa.Array) -> pa.Array:
    known = values.drop_null()
    if pa.types.is_floating(known.type):
        known = known.filter(pc.invert(pc.is_nan(known)))
    return known


def _in_spark(frame: Frame) -> list[Profile]:
    """One pass over the rows; nothing but counts and ends comes here."""
    fields = [(str(field["name"]), field["type"]) for field in fields_of(frame)]
    wanted = [sql for name, kind in fields for sql in _sql(quoted(name), kind)]
    with translated("count the values of columns"):
        ((rows, *found),) = frame.selectExpr("count(1)", *wanted).collect()
    told = []
    for (name, kind), (there, distinct, low, high, mean) in zip(fields, _fives(found), strict=True):
        many = int(distinct or 0)
        told.append(
            Profile(
                name=name,
                kind=kind if isinstance(kind, str) else str(kind["type"]),
                rows=int(rows),
                missing=int(rows) - int(there or 0),
                distinct=None if many > MOST_VALUES else many,
                low=low,
                high=high,
                mean=None if mean is None or not math.isfinite(mean) else float(mean),
            )
        )
    return told


def _sql(column: str, kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - Spark's JSON of a type
    """Values that are there, how many differ, smallest, largest, mean."""
    known = f"nanvl({column}, CAST(NULL AS {kind}))" if kind in _REAL else column
    simple = isinstance(kind, str)
    real = simple and kind.startswith((*_REAL, "decimal", "long", "integer", "short", "byte"))
    ordered = real or (simple and kind.startswith(("date", "timestamp")))
    nothing = "CAST(NULL AS STRING)"
    return (
        f"count({known})",
        f"count(DISTINCT {known})" if simple else nothing,
        f"min({known})" if ordered else nothing,
        f"max({known})" if ordered else nothing,
        f"avg(CAST({known} AS DOUBLE))" if real else nothing,
    )


def _fives(found: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (found[start : start + 5] for start in range(0, len(found), 5))
