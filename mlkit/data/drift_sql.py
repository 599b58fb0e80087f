"""The counts of `mlkit.data.drift_counts` for rows that stay in Spark: the same whole numbers.

Each row becomes the numbers of the cells that its columns fall into, and these are counted: one pass over
the rows, built-in functions only, and nothing but counts comes here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.data.drift_bins import form_of
from mlkit.data.drift_counts import Counts, check_columns, check_form, count_stream
from mlkit.data.order_sql import ordinal
from mlkit.data.spark_types import arrow_schema
from mlkit.digest.spark_frame import is_spark, translated
from mlkit.digest.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.data.drift_bins import Bins
    from mlkit.engines.base import Frame

_CELL = "mlkit_cell"


def count_rows(rows: Frame, bins: Mapping[str, Bins]) -> dict[str, Counts]:
    """Count several columns where the rows are: in Spark, or in the batches of an Arrow stream.

    Raises:
        DataError: A column is missing (DAT092) or of another type (DAT091).
        StoreError: Spark failed.
    """
    return count_frame(rows, bins) if is_spark(rows) else count_stream(rows, bins)


def count_frame(frame: Frame, bins: Mapping[str, Bins]) -> dict[str, Counts]:
    """Count several columns of a Spark dataframe; it is evaluated once.

    Raises:
        DataError: A column is missing (DAT092) or of another type (DAT091).
        StoreError: Spark failed.
    """
    return _counts(_grouped(frame, bins) if bins else {}, bins)


def _grouped(frame: Frame, bins: Mapping[str, Bins]) -> dict[int, int]:
    """How many rows fall into each cell, the cells of all columns numbered through."""
    kinds = arrow_schema(frame)
    check_columns(kinds.names, bins)
    values, cells, first = [], [], 0
    for place, (name, cut) in enumerate(bins.items()):
        values.append(f"{_value(name, kinds.field(name).type, cut)} AS mlkit_value{place}")
        cells.append(f"{first}L + {_cell(f'mlkit_value{place}', kinds.field(name).type, cut)}")
        first += cut.cells
    rows = frame.selectExpr(*values).selectExpr(f"explode(array({', '.join(cells)})) AS {_CELL}")
    with translated("count the rows of each bin"):
        return {int(cell): int(count) for cell, count in rows.groupBy(_CELL).count().collect()}


def _counts(rows: Mapping[int, int], bins: Mapping[str, Bins]) -> dict[str, Counts]:
    found, first = {}, 0
    for name, cut in bins.items():
        found[name] = Counts(cut.digest, tuple(rows.get(first + cell, 0) for cell in range(cut.cells)))
        first += cut.cells
    return found


def _value(name: str, kind: pa.DataType, bins: Bins) -> str:
    """SQL of a value as it is counted: a text, or a number in double precision without -0.0."""
    column = quoted(name)
    if bins.kind == "category":
        return _text(column, kind, name)
    check_form(kind, bins, name)
    if bins.measure != "number":
        column = ordinal(column, kind)
    elif pa.types.is_decimal(kind):
        column = f"CAST({column} AS STRING)"
    elif pa.types.is_boolean(kind):
        column = f"CAST({column} AS INT)"
    return f"CAST({column} AS DOUBLE) + 0D"


def _text(column: str, kind: pa.DataType, name: str) -> str:
    """SQL of what Python's `str` makes of a value; a real number stays one."""
    form_of(kind, name, category=True)
    if pa.types.is_boolean(kind):
        return f"CASE WHEN {column} THEN 'True' WHEN NOT {column} THEN 'False' END"
    if pa.types.is_floating(kind):
        return f"nanvl(CAST({column} AS DOUBLE) + 0D, CAST(NULL AS DOUBLE))"
    return f"CAST({column} AS STRING)"


def _cell(value: str, kind: pa.DataType, bins: Bins) -> str:
    """SQL of the place of the cell that a value falls into, from 0: the first condition that holds."""
    if bins.kind == "category":
        literal = _number if pa.types.is_floating(kind) else _bytes
        known = [(place, literal(text)) for place, text in enumerate(bins.categories)]
        tests = [f"WHEN {value} = {found} THEN {place}L" for place, found in known if found]
        other = len(bins.categories)
        return f"CASE WHEN {value} IS NULL THEN {other + 1}L {' '.join(tests)} ELSE {other}L END"
    special = len(bins.cuts) + 1  # the cells of -inf, +inf, nan and null, in this order
    tests = [f"WHEN {value} < {_number(cut)} THEN {place}L" for place, cut in enumerate(bins.cuts)]
    return (
        f"CASE WHEN {value} IS NULL THEN {special + 3}L WHEN isnan({value}) THEN {special + 2}L "
        f"WHEN {value} = double('-Infinity') THEN {special}L "
        f"WHEN {value} = double('Infinity') THEN {special + 1}L "
        f"{' '.join(tests)} ELSE {len(bins.cuts)}L END"
    )


def _number(value: float | str) -> str:
    """A number in double precision; nothing for a text that is none."""
    try:
        number = float(value)
    except ValueError:
        return ""
    if math.isnan(number):
        return ""
    return f"double('{number!r}')".replace("inf", "Infinity")


def _bytes(text: float | str) -> str:
    """A text, spelled in bytes: nothing in it needs escaping, under any setting."""
    return f"CAST(X'{str(text).encode().hex()}' AS STRING)"
