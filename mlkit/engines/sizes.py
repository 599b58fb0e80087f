"""How much rows of Spark weigh, and bringing them to this process when they are not too many.

The weight is estimated by one aggregation where the rows are: bytes as Arrow holds them, within a few
percent of what then arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlkit.digest.spark_frame import fields_of, translated
from mlkit.digest.sql import quoted
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from mlkit.engines.base import Frame

    Kind = str | Mapping[str, Any]

_WIDTHS = {"boolean": 1, "byte": 1, "short": 2, "integer": 4, "float": 4, "date": 4, "void": 0}
_WIDE = 8
_WIDEST = 16  # of a decimal, and of what is not known
_OFFSET = 4


class Size(NamedTuple):
    """Rows, and the bytes that they take here."""

    rows: int
    bytes: int


def size_of(frame: Frame) -> Size:
    """Rows and bytes of a Spark dataframe; it is evaluated once.

    Raises:
        DataError: It has no columns.
        StoreError: Spark failed.
    """
    sums = [f"sum({_weight(quoted(field['name']), field['type'])})" for field in fields_of(frame)]
    with translated("weigh a frame"):
        ((rows, *found),) = frame.selectExpr("count(1)", *sums).collect()
    return Size(int(rows), sum(int(part or 0) for part in found))


def check_size(frame: Frame, *, most: int | None, what: str, further: int = 0) -> int:
    """Refuse a Spark dataframe that is more than may come to one process; gives its number of rows.

    Args:
        frame: The rows.
        most: Bytes that may come; None for as many as there are.
        what: Whose rows these are, for the message.
        further: Bytes of each row beside those of the frame.

    Raises:
        DataError: DAT070, with both sizes.
    """
    rows, held = size_of(frame)
    size = Size(rows, held + rows * further)
    if most is not None and size.bytes > most:
        message = (
            f"expected at most {most / 1e9:.3g} GB for one process, "
            f"found {size.rows:,} rows of {size.bytes / 1e9:.3g} GB"
        )
        fix = (
            "take fewer columns or rows in prepare, raise fetch_gb in mlkit.toml, or take an estimator that "
            "trains on Spark"
        )
        raise DataError("DAT070", message, path=what, fix=fix)
    return rows


def fetch(frame: Frame, *, most: int | None, what: str) -> pa.Table:
    """Bring the rows of a Spark dataframe to this process, in no particular order.

    Args:
        frame: The rows.
        most: Bytes that may come; None for as many as there are.
        what: Whose rows these are, for the message.

    Raises:
        DataError: DAT070, they are more than that.
        StoreError: Spark failed.
    """
    if most is not None:
        check_size(frame, most=most, what=what)
    with translated("send rows"):
        rows: pa.Table = frame.toArrow()
    return rows


def _weight(value: str, kind: Kind, depth: int = 0) -> str:
    """The bytes that a value takes in Arrow, as SQL."""
    if isinstance(kind, str):
        if kind.startswith(("string", "binary", "varchar", "char")):
            return f"{_OFFSET}L + coalesce(octet_length({value}), 0)"
        return f"{_WIDTHS.get(kind, _WIDEST if kind.startswith('decimal') else _WIDE)}L"
    if kind["type"] == "struct":
        fields = kind["fields"]
        parts = [_weight(f"{value}.{quoted(field['name'])}", field["type"], depth) for field in fields]
        return " + ".join(["0L", *parts])
    if kind["type"] == "array":
        total, item = f"total{depth}", f"item{depth}"
        inside = _weight(item, kind["elementType"], depth + 1)
        summed = f"aggregate({value}, 0L, ({total}, {item}) -> {total} + {inside})"
        return f"{_OFFSET}L + coalesce({summed}, 0L)"
    return f"{_WIDEST}L"
