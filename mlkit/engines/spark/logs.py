"""Logs in catalogs without transactions: each batch is a table of its own, which never changes.

Batch `june` of ``flights`` is the table ``flights__b<32 hex>``, named by the digest of its name. It is
made whole under another name, and its name is given to one writer only: so a batch stands once. Between
which instants its rows lie is kept with it, so that nobody reads a batch for nothing. What stays of a
batch that was trimmed is an empty table ``flights__t<32 hex>``: its name is taken for good.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from mlkit.digest.sql import quoted
from mlkit.engines import columns as cols
from mlkit.engines.base import EVENT_TIME, TableName
from mlkit.engines.names import MAX_LENGTH
from mlkit.engines.spark.record import Record
from mlkit.engines.window import Span, Window, instants_of, new_columns, nullable
from mlkit.errors import NamingError
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from mlkit.engines.spark.catalog import Catalog
    from mlkit.engines.spark.transport import Rows

PROPERTIES = {"kind": "log"}
"""What tells a log from other tables."""
_DIGITS = 32
_BATCH = re.compile(r"(.*)__([bt])[0-9a-f]{32}")
_SPANS = "mlkit.spans"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Log(NamedTuple):
    """A log that is there.

    Attributes:
        schema: Columns of all its batches.
        batches: What is kept with each batch, by its table's name.
    """

    schema: pa.Schema
    batches: Mapping[str, Record]

    @property
    def newest(self) -> str:
        """Name of the table that was made last, by the clock of its writer."""
        return max(self.batches, key=lambda name: (self.batches[name].at, name))


def find_log(catalog: Catalog, table: TableName) -> Log | None:
    """Look for the batches of a log."""
    records = catalog.records(table.schema, prefix=f"{table.name}__")
    ours = {
        name: record
        for name, record in records.items()
        if record and (part := _BATCH.fullmatch(name)) and part.groups() == (table.name, "b")
    }
    schema = pa.schema([])
    for name in sorted(ours):
        schema = pa.schema([*schema, *new_columns(schema, ours[name].schema)])
    return Log(schema, ours) if ours else None


def add(catalog: Catalog, table: TableName, rows: Rows, batch: str) -> bool:
    """Add a batch to a log; False if it was there before."""
    final, trimmed = _table_of(table, "b", batch), _table_of(table, "t", batch)
    taken = catalog.names(table.schema, prefix=f"{table.name}__") or []
    if final.name in taken or trimmed.name in taken:
        return False
    log = find_log(catalog, table) if taken else None
    schema = nullable(rows.schema)
    _ = new_columns(log.schema if log else pa.schema([]), schema)
    with catalog.staging(table.schema) as staged:
        record = Record(schema, {}, append_only=True, writer=staged.name)
        rows.stage(catalog, staged, record)
        failpoint("log.written")
        record = dataclasses.replace(record, properties={_SPANS: _spans(catalog.frame(staged), schema)})
        catalog.amend(staged, record)
        return catalog.move(staged, final, record)


def scan(
    catalog: Catalog, table: TableName, window: Window, columns: Sequence[str] | None
) -> DataFrame | None:
    """The rows of a log inside a window; the batches outside it are left out."""
    log = find_log(catalog, table)
    if log is None:
        return None
    if not window.is_all:
        window.check(log.schema)
    wanted = cols.selected(log.schema, columns)
    spans = {name: _span(record, window.column) for name, record in log.batches.items()}
    inside = [name for name in sorted(spans) if _may_hold(window, log.batches[name], spans[name])]
    frames = [
        _rows(catalog.frame(TableName(table.schema, name)), log.batches[name], wanted, window, spans[name])
        for name in inside or sorted(spans)[:1]
    ]
    return _union(frames) if inside else frames[0].where("false")


def frame_of(catalog: Catalog, table: TableName, log: Log) -> DataFrame:
    """All rows of a log."""
    everything, frames = Window(EVENT_TIME), []
    for name in sorted(log.batches):
        frame = catalog.frame(TableName(table.schema, name))
        frames.append(_rows(frame, log.batches[name], log.schema, everything, Span()))
    return _union(frames)


def trim(catalog: Catalog, table: TableName, window: Window) -> int:
    """Remove the batches of a log all of whose rows are inside a window; gives how many rows they had."""
    log = find_log(catalog, table)
    if log is None:
        return 0
    window.check(log.schema)
    removed = 0
    for name, record in log.batches.items():
        batch = TableName(table.schema, name)
        if window.holds(_span(record, window.column)):
            removed += catalog.frame(batch).count()
            _leave_mark(catalog, batch, record)
            failpoint("trim.marked")
            catalog.drop(batch)
    return removed


def parts_of(table: TableName, found: Sequence[str]) -> list[TableName]:
    """The tables among those found that a log consists of."""
    matches = map(_BATCH.fullmatch, found)
    return [TableName(table.schema, match[0]) for match in matches if match and match[1] == table.name]


def _table_of(table: TableName, kind: str, batch: str) -> TableName:
    digest = hashlib.sha256(batch.encode()).hexdigest()[:_DIGITS]
    name = f"{table.name}__{kind}{digest}"
    if len(name) > MAX_LENGTH:
        most = MAX_LENGTH - (len(name) - len(table.name))
        message = f"a log is named by at most {most} characters here, found {len(table.name)}"
        raise NamingError("NAM010", message, path="name", fix="shorten it")
    return TableName(table.schema, name)


def _leave_mark(catalog: Catalog, batch: TableName, record: Record) -> None:
    """Keep the name of a batch taken after its rows are gone."""
    head, _, tail = batch.name.rpartition("__b")
    mark = TableName(batch.schema, f"{head}__t{tail}")
    if not catalog.exists(mark):
        catalog.create(mark, catalog.frame(batch).where("false"), record)


def _spans(frame: DataFrame, schema: pa.Schema) -> str:
    """The spans of the instants of a staged batch, in microseconds, as text."""
    names = list(instants_of(schema))
    if not names:
        return "{}"
    sums = [
        f"CAST({part} AS BIGINT)"
        for name in map(quoted, names)
        for part in (
            f"min(unix_micros({name}))",
            f"max(unix_micros({name}))",
            f"sum(CASE WHEN {name} IS NULL THEN 1 ELSE 0 END)",
        )
    ]
    (found,) = frame.selectExpr(*sums).collect()
    numbers = [None if number is None else int(number) for number in found]
    return json.dumps({name: numbers[3 * place : 3 * place + 3] for place, name in enumerate(names)})


def _span(record: Record, column: str) -> Span:
    """What is kept of the instants of a batch; a batch without the column has none."""
    kept = json.loads(record.properties.get(_SPANS, "{}")).get(column)
    if kept is None:
        return Span()
    first, last, missing = kept
    return Span(_instant(first), _instant(last), missing or 0)


def _may_hold(window: Window, record: Record, span: Span) -> bool:
    """Whether a row of a batch may be inside a window: of one without its column, none is."""
    return window.is_all or (window.column in record.schema.names and not window.misses(span))


def _instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else _EPOCH + dt.timedelta(microseconds=micros)


def _rows(frame: DataFrame, record: Record, wanted: pa.Schema, window: Window, span: Span) -> DataFrame:
    """The rows of one batch inside a window, with all columns that are wanted."""
    if not window.holds(span) and window.column in record.schema.names:
        frame = frame.where(_condition(window))
    return frame.selectExpr(*(_column(field, record.schema) for field in wanted))


def _column(field: pa.Field, known: pa.Schema) -> str:
    if field.name in known.names:
        return quoted(field.name)
    from pyspark.sql.pandas.types import from_arrow_type  # noqa: PLC0415 - only with a session

    kind = from_arrow_type(field.type, prefer_timestamp_ntz=True).simpleString()
    return f"CAST(NULL AS {kind}) AS {quoted(field.name)}"


def _condition(window: Window) -> str:
    column = f"unix_micros({quoted(window.column)})"
    bounds = [
        f"{column} {sign} {_micros(bound)}L"
        for sign, bound in ((">=", window.since), ("<", window.until))
        if bound is not None
    ]
    return " AND ".join(bounds)


def _micros(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    """All rows of some frames; the plan is as deep as the logarithm of their number."""
    found = list(frames)
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        found = [first.union(second) for first, second in pairs] + found[len(found) // 2 * 2 :]
    return found[0]
