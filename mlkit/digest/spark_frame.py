"""The door for Spark: a frame is digested where its rows are, and only its state comes here.

Any Spark will do (classic, Connect, Databricks Connect): what is called is ``schema``, ``selectExpr`` and
``collect``, so that nothing of Spark is imported.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from mlkit.digest import sql
from mlkit.digest.schema import DECIMAL_DIGITS, positions_of
from mlkit.digest.state import State
from mlkit.errors import DataError, DataOverflowError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LANES = ("mlkit_lane0", "mlkit_lane1")
"""Names of the lanes among the columns of a frame."""


def is_spark(data: object) -> bool:
    """Whether this is a dataframe of any Spark."""
    kind = type(data)
    return kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql.")


def fields_of(frame: Any, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:  # noqa: ANN401 - not imported
    """Columns of a frame in the JSON form of a Spark schema.

    Raises:
        DataError: There are none, or a wanted one is missing or there twice.
    """
    with translated("read the columns of a frame"):
        fields: list[dict[str, Any]] = frame.schema.jsonValue()["fields"]
    if columns is not None:
        wanted = [columns] if isinstance(columns, str) else columns
        fields = [fields[position] for position in positions_of([field["name"] for field in fields], wanted)]
    if not fields:
        raise DataError("DAT001", "expected at least one column, found none", fix="check the query")
    return fields


def names_of(frame: Any, columns: Sequence[str] | None = None) -> list[str]:  # noqa: ANN401 - not imported
    """Names of the columns of a frame, or of those wanted."""
    return [str(field["name"]) for field in fields_of(frame, columns)]


def state_of(frame: Any, columns: Sequence[str] | None = None) -> State:  # noqa: ANN401 - not imported
    """The state of a frame's rows, by one aggregation in Spark.

    Args:
        frame: Any Spark dataframe; it is evaluated once.
        columns: Only these columns; all by default.

    Raises:
        DataError: No columns, or a name twice.
        UnsupportedTypeError: A column of a type that has no digest.
        DataOverflowError: A decimal outside what a digest can hold.
        StoreError: Spark failed.
    """
    fields = fields_of(frame, columns)
    lanes = [f"{sql.lane(index, fields)} AS {sql.quoted(name)}" for index, name in enumerate(LANES)]
    with translated("digest a frame"):
        ((rows, *sums),) = frame.selectExpr(*lanes).selectExpr(*sql.state(LANES)).collect()
    a, b, c, d = (int(number or 0) for number in sums)
    return State(int(rows), (a, b, c, d))


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn Spark's own errors into those of this project.

    Raises:
        DataOverflowError: A decimal outside what a digest can hold.
        StoreError: Whatever else Spark says (STO050).
    """
    try:
        yield
    except _errors() as exc:
        if sql.OVERFLOW in str(exc):
            message = f"expected decimals below 10^{DECIMAL_DIGITS}, found a larger one"
            fix = "cast the column to double or string, or leave it out"
            raise DataOverflowError("DAT028", message, fix=fix) from exc
        message = f"Spark failed to {action}: {condition_of(exc)}"
        raise StoreError("STO050", message, fix="--debug shows the cause") from exc


def condition_of(error: Any) -> str:  # noqa: ANN401 - not imported
    """Spark's own name of an error; what else it says may hold values of the data."""
    named = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    return str((named() if named else None) or type(error).__name__)


def _errors() -> tuple[type[Exception], ...]:
    """Spark's errors; whoever has a frame has loaded them."""
    module = sys.modules.get("pyspark.errors")
    return (module.PySparkException,) if module else ()
