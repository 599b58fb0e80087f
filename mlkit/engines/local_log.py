"""Logs on the local disk: one Delta table each, to which batches are added exactly once.

The rows of a batch are written into files first, whose names nobody knows. One commit then names the
files and the batch: as the next version or not at all, after a look whether the batch is there already.
Whoever comes second looks again. A log is made of many commits, so its state is kept at hand more often.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import Schema
from deltalake.transaction import AddAction

from mlkit.engines import columns as cols
from mlkit.engines import durable, faults
from mlkit.engines.local_table import (
    alone,
    build,
    first_properties,
    harden,
    load,
    once,
    schema_of,
    without_hooks,
)
from mlkit.engines.rows import Incoming, filled
from mlkit.engines.window import NOTHING, Span, Window, instants_of, new_columns, nullable, span_of
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path


PROPERTIES = {"kind": "log"}
"""What tells a log from other tables."""
CONFIGURATION = {
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
"""A log has thousands of versions, and nobody asks for an old one: what they were is forgotten."""
FILE_ROWS = 2**20
_CODES = pa.dictionary(pa.int32(), pa.string())
TIDY_INTERVAL = 200  # commits, after which small files are made one
TIDY_BYTES = 2**25  # of such a file
KEPT_SECONDS = 7 * 86_400
"""For how long files stay that the log no longer names: somebody may be reading, or still writing them."""


class _File(NamedTuple):
    """A data file of a log: where it is, its rows, and the spans of its instants by column."""

    path: Path
    rows: int
    spans: Mapping[str, Span]

    def with_rows(self, rows: pa.Table) -> _File:
        """The same file after more rows were written to it."""
        spans = {name: span + span_of(rows.column(name)) for name, span in self.spans.items()}
        return self._replace(rows=self.rows + rows.num_rows, spans=spans)


def is_log(delta: DeltaTable) -> bool:
    """Whether a table is a log."""
    return first_properties(delta).items() >= PROPERTIES.items()


def make(folder: Path, schema: pa.Schema) -> None:
    """Make a log without rows in an empty folder."""
    none = Incoming(pa.RecordBatchReader.from_batches(nullable(schema), []))
    build(folder, none, properties=PROPERTIES, configuration=CONFIGURATION)


def add(folder: Path, rows: Incoming, batch: str) -> bool:
    """Add a batch to the log in a folder; False if it was there before.

    Raises:
        DataError: A column has another type than in the log (DAT080).
    """
    delta = load(folder)
    if delta.transaction_version(batch) is not None:
        return False
    schema = nullable(rows.schema)
    _ = new_columns(schema_of(delta), schema)
    files = _written(folder, rows.stream(schema))
    failpoint("log.written")
    while delta.transaction_version(batch) is None:
        if _try_to_commit(delta, folder, files, schema, batch):
            return True
        delta = load(folder)
    _remove(files)  # somebody else was adding the same batch
    return False


def scan(
    folder: Path, window: Window, columns: Sequence[str] | None, coded: Collection[str] = ()
) -> pa.RecordBatchReader:
    """The rows of a log inside a window; the files outside it are not opened.

    Args:
        folder: Where the log is.
        window: Which rows.
        columns: Only these.
        coded: Columns of texts that come as dictionaries.

    Raises:
        DataError: No such column (DAT045), or no instants in it (DAT081).
    """
    delta = load(folder)
    known = schema_of(delta)
    if not window.is_all:
        window.check(known)
    schema = _coded(cols.selected(known, columns), coded)
    known_files = _files(delta, folder, window.column)
    files = [file for file in known_files if not window.misses(file.spans[window.column])]
    return pa.RecordBatchReader.from_batches(schema, _rows(files, schema, window))


@alone
def trim(folder: Path, window: Window) -> int:
    """Remove the rows of a log inside a window that has no beginning; gives how many."""
    while True:
        delta = load(folder)
        window.check(schema_of(delta))
        seen = delta.version()
        try:
            found = delta.delete(
                _condition(window), commit_properties=once({}), post_commithook_properties=without_hooks()
            )
        except CommitFailedError:
            if load(folder).version() == seen:
                raise
            continue
        if delta.version() > seen:
            harden(folder, delta.version())
        failpoint("trim.committed")
        _sweep(delta, folder)
        return int(found["num_deleted_rows"] or 0)


@alone
def _try_to_commit(
    delta: DeltaTable, folder: Path, files: Sequence[_File], schema: pa.Schema, batch: str
) -> bool:
    """Name files and batch in the log, as its next version or not at all.

    Returns:
        False if another commit came first, or if this one has brought the log's columns up to date.
    """
    seen = delta.version()
    new = new_columns(schema_of(delta), schema)
    try:
        if new:
            fields = list(Schema.from_arrow(pa.schema(new)).fields)
            delta.alter.add_columns(
                fields, commit_properties=once({}), post_commithook_properties=without_hooks()
            )
        else:
            delta.create_write_transaction(
                [_action(file) for file in files],
                "append",
                schema_of(delta),
                commit_properties=once({}, Transaction(batch, 1)),
                post_commithook_properties=without_hooks(),
            )
    except CommitFailedError:
        if load(folder).version() == seen:
            raise
        return False
    failpoint("log.committed")
    harden(folder, seen + 1)
    if (seen + 1) % TIDY_INTERVAL == 0:
        with contextlib.suppress(DeltaError, OSError):  # as good without it, only slower
            _tidy(folder)
    return not new


def _action(file: _File) -> AddAction:
    spans = {name: span for name, span in file.spans.items() if span.first is not None}
    stats = {
        "numRecords": file.rows,
        "minValues": {name: _text(span.first) for name, span in spans.items()},
        "maxValues": {name: _text(span.last) for name, span in spans.items()},
        "nullCount": {name: span.missing for name, span in file.spans.items()},
    }
    size, now = file.path.stat().st_size, int(time.time() * 1000)
    return AddAction(file.path.name, size, {}, now, data_change=True, stats=json.dumps(stats))


def _text(instant: dt.datetime | None) -> str:
    return instant.isoformat().replace("+00:00", "Z") if instant else ""


def _written(folder: Path, batches: pa.RecordBatchReader) -> list[_File]:
    """The rows in files of the log's folder, none of which stays if that fails."""
    files: list[_File] = []
    groups = _groups(batches)
    with contextlib.ExitStack() as undo:
        undo.callback(_remove, files)
        while (group := next(groups, None)) is not None:
            files.append(_File(folder / f"part-{uuid.uuid4().hex}.parquet", 0, _no_spans(group.schema)))
            with pq.ParquetWriter(files[-1].path, group.schema, compression="zstd") as writer:
                while group is not None:
                    writer.write_table(group)
                    files[-1] = files[-1].with_rows(group)
                    group = next(groups, None) if files[-1].rows < FILE_ROWS else None
        undo.pop_all()
    return files


def _no_spans(schema: pa.Schema) -> dict[str, Span]:
    return dict.fromkeys(instants_of(schema), NOTHING)


def _groups(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables of about a group each."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= _group_rows(batches.schema):
            yield pa.Table.from_batches(held)
            held = []
    if sum(map(len, held)):
        yield pa.Table.from_batches(held)


def _group_rows(schema: pa.Schema) -> int:
    """Rows that are written and read at once, so that memory does not grow with the width of a log."""
    return max(1, min(2**16, 2**22 // len(schema.names)))


def _remove(files: Sequence[_File]) -> None:
    for file in files:
        file.path.unlink(missing_ok=True)


@alone
def _files(delta: DeltaTable, folder: Path, column: str) -> list[_File]:
    """The files of a log with what it knows of the instants of one column."""
    actions = pa.table(delta.get_add_actions())
    firsts, lasts, missing = (_inside(actions, part, column) for part in ("min", "max", "null_count"))
    spans = map(Span, firsts, lasts, missing)
    paths, counts = actions["path"].to_pylist(), actions["num_records"].to_pylist()
    return [
        _File(folder / path, rows or 0, {column: span})
        for path, rows, span in zip(paths, counts, spans, strict=True)
    ]


def _inside(actions: pa.Table, part: str, column: str) -> list[Any]:
    """What the log knows of a column of each file; None where it knows nothing."""
    if part in actions.column_names and actions.schema.field(part).type.get_field_index(column) >= 0:
        return list(pc.struct_field(actions[part], [column]).to_pylist())
    return [None] * actions.num_rows


def _coded(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    texts = [field for field in schema if field.name in names and field.type == pa.string()]
    for field in texts:
        schema = schema.set(schema.get_field_index(field.name), field.with_type(_CODES))
    return schema


def _rows(files: Sequence[_File], schema: pa.Schema, window: Window) -> Iterator[pa.RecordBatch]:
    codes = [field.name for field in schema if field.type == _CODES]
    for file in files:
        whole = window.holds(file.spans[window.column])
        read = set(schema.names) if whole else {*schema.names, window.column}
        with faults.reading(file.path), _opened(file.path, codes) as parquet:
            stored = [name for name in parquet.schema_arrow.names if name in read]
            batches = parquet.iter_batches(batch_size=_group_rows(schema), columns=stored)
            if not whole and window.column not in stored:
                continue
            for batch in batches:
                yield filled(batch if whole else window.rows(batch), schema)


def _opened(path: Path, codes: Sequence[str]) -> pq.ParquetFile:
    """A file, those of its columns as dictionaries that are named and there."""
    metadata = pq.read_metadata(path)
    stored = metadata.schema.to_arrow_schema().names
    return pq.ParquetFile(path, metadata=metadata, read_dictionary=[name for name in codes if name in stored])


def _condition(window: Window) -> str:
    column = window.column.replace('"', '""')
    until = window.until.astimezone(dt.UTC).replace(tzinfo=None).isoformat() if window.until else ""
    return f"\"{column}\" < arrow_cast('{until}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


@alone
def _tidy(folder: Path) -> None:
    """Make one file of many small ones, and forget versions and files that are old."""
    delta = load(folder)
    delta.optimize.compact(
        target_size=TIDY_BYTES,
        max_concurrent_tasks=1,
        commit_properties=once({}),
        post_commithook_properties=without_hooks(),
    )
    harden(folder, delta.version())
    delta.cleanup_metadata()
    _sweep(delta, folder)


@alone
def _sweep(delta: DeltaTable, folder: Path) -> None:
    """Free the space of files that the log has not named for long."""
    named = set(pa.table(delta.get_add_actions())["path"].to_pylist())
    old = time.time() - KEPT_SECONDS
    for file in folder.glob("*.parquet"):
        with contextlib.suppress(FileNotFoundError):  # another one sweeps too
            if file.name not in named and file.stat().st_ctime < old:
                file.unlink()
    durable.flush(folder)
