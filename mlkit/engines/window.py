"""A span of time over the rows of a log, and what is known of the span of a part of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mlkit.engines.columns import selected, stored_schema
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTANT = pa.timestamp("us", "UTC")

_SLACK = dt.timedelta(milliseconds=1)  # some writers keep bounds in whole milliseconds


class Span(NamedTuple):
    """What is known of the instants of some rows.

    Attributes:
        first: None if not even one is known.
        last: As above.
        missing: How many rows have none; None if that is not known.
    """

    first: dt.datetime | None = None
    last: dt.datetime | None = None
    missing: int | None = None

    def __add__(self, other: Span) -> Span:  # type: ignore[override]
        """The span of both, each seen whole."""
        firsts = [span.first for span in (self, other) if span.first is not None]
        lasts = [span.last for span in (self, other) if span.last is not None]
        missing = (self.missing or 0) + (other.missing or 0)
        return Span(min(firsts, default=None), max(lasts, default=None), missing)


NOTHING = Span(missing=0)


@dataclasses.dataclass(frozen=True)
class Window:
    """Rows with ``since <= column < until``.

    Attributes:
        column: Instants in UTC.
        since: None for no bound.
        until: None for no bound.
    """

    column: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a bound that is no instant.

        Raises:
            DataError: DAT081.
        """
        for name, bound in (("since", self.since), ("until", self.until)):
            if bound is not None and bound.tzinfo is None:
                message = "expected an instant with a time zone, found a wall clock"
                fix = "datetime(2024, 2, 1, tzinfo=UTC)"
                raise DataError("DAT081", message, path=name, fix=fix)

    @property
    def is_all(self) -> bool:
        """Whether there is no bound."""
        return self.since is None and self.until is None

    def check(self, schema: pa.Schema) -> None:
        """Refuse columns of which the one named here is none, or holds no instants in UTC.

        Raises:
            DataError: DAT045, DAT081.
        """
        found = selected(schema, [self.column]).field(0).type
        if not self.is_all and found != INSTANT:
            message, fix = f"expected instants in UTC, found {found}", "name a column of instants"
            raise DataError("DAT081", message, path=self.column, fix=fix)

    def misses(self, span: Span) -> bool:
        """Whether no row of a span is inside; False where that is not known."""
        if self.is_all or span.first is None or span.last is None:
            return False
        return bool(
            (self.since is not None and span.last + _SLACK < self.since)
            or (self.until is not None and span.first >= self.until)
        )

    def holds(self, span: Span) -> bool:
        """Whether every row of a span is inside; False where that is not known."""
        if self.is_all:
            return True
        if span.missing != 0 or span.first is None or span.last is None:
            return False
        return (self.since is None or span.first >= self.since) and (
            self.until is None or span.last + _SLACK < self.until
        )

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that are inside."""
        marks = [
            compare(batch.column(self.column), pa.scalar(bound, INSTANT))
            for compare, bound in ((pc.greater_equal, self.since), (pc.less, self.until))
            if bound is not None
        ]
        inside = marks[0] if len(marks) == 1 else pc.and_(*marks)
        return batch.filter(inside)


def span_of(column: pa.Array | pa.ChunkedArray) -> Span:
    """The span of instants in UTC."""
    found = pc.min_max(column).as_py()
    return Span(found["min"], found["max"], column.null_count)


def instants_of(schema: pa.Schema) -> Iterable[str]:
    """Columns whose span can be kept."""
    return [field.name for field in schema if field.type == INSTANT]


def nullable(schema: pa.Schema) -> pa.Schema:
    """A schema in which each column may be missing, as in a log."""
    return pa.schema([field.with_nullable(nullable=True) for field in schema])


def new_columns(known: pa.Schema, found: pa.Schema) -> list[pa.Field]:
    """Columns of a batch that its log does not have yet.

    Raises:
        DataError: One that the log has is of another type (DAT080), or its name differs in case only
            (DAT011).
    """
    for field in found:
        if field.name in known.names and known.field(field.name).type != field.type:
            expected = known.field(field.name).type
            message = f"the log holds {expected} in this column, found {field.type}"
            fix = "cast it before it is logged, or log it under another name"
            raise DataError("DAT080", message, path=field.name, fix=fix)
    new = [field for field in found if field.name not in known.names]
    _ = stored_schema(pa.schema([*known, *new]))
    return new
