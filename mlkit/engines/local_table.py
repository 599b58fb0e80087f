"""One Delta table in a folder: how it is opened, made, written and read back.

A commit is written as the one version after the one that was read and never tried again, so of several
writers one wins.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError

from mlkit.digest.fingerprint import Accumulator
from mlkit.engines import columns as cols
from mlkit.engines import faults, log
from mlkit.engines.rows import Incoming, count_rows, stored_rows
from mlkit.errors import IntegrityError, MlkitError, OutcomeUnknownError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from deltalake import Transaction

    from mlkit.engines.base import TableName

CHECKPOINT_INTERVAL = 20  # commits; opening a table reads the log from the newest checkpoint on

_PREFIX = "mlkit."  # of the table properties that are ours
_APPEND_ONLY = "delta.appendOnly"
_COLUMN_MAPPING_READER = 2
# delta-rs itself lists variantType when it adds a property to a table with naive timestamps.
_READ_HERE = frozenset({"timestampNtz", "variantType"})
_BATCHES_PER_ROW_GROUP = 8
_LOCK = threading.RLock()

P = ParamSpec("P")
R = TypeVar("R")


def alone(function: Callable[P, R]) -> Callable[P, R]:
    """Call delta-rs from one thread of this process at a time.

    Rows that Python makes are fetched by threads of delta-rs, which then need the interpreter's lock; a call
    from another thread may hold it while it waits for these very threads, for ever.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with _LOCK:
            return function(*args, **kwargs)

    return called


@contextlib.contextmanager
def door(what: str, rows: Incoming | None = None) -> Iterator[None]:
    """Let out the errors of this project only, and what the caller's own stream raised."""
    try:
        yield
    except MlkitError:
        raise
    except (DeltaError, pa.ArrowException, OSError) as exc:
        if rows is None or rows.fault is None:
            raise faults.translated(exc, what) from exc
    if rows is not None and rows.fault is not None:
        raise rows.fault


def check_taken(folder: Path, table: TableName) -> None:
    """Refuse a name that is taken by something that is no table (INT011)."""
    if not log.is_table(folder):
        raise faults.misnamed(table, "something that is no table")


@alone
def build(
    folder: Path,
    rows: Incoming,
    *,
    properties: Mapping[str, str] | None = None,
    constraints: Mapping[str, str] | None = None,
    append_only: bool = False,
    configuration: Mapping[str, str] | None = None,
    watch: Callable[[pa.RecordBatch], None] | None = None,
) -> None:
    """Make a table in an empty folder; its conditions stand before its first rows come."""
    settings = {**(configuration or {}), **({_APPEND_ONLY: "true"} if append_only else {})}
    delta = DeltaTable.create(str(folder), rows.schema, configuration=dict(settings))
    if properties:
        ours = {f"{_PREFIX}{key}": text for key, text in properties.items()}
        delta.alter.set_table_properties(ours, raise_if_not_exists=False)
    for name, condition in (constraints or {}).items():
        _constrain(delta, name, condition)
    write(delta, rows.stream(rows.schema, watch=watch), {})


def _constrain(delta: DeltaTable, name: str, condition: str) -> None:
    try:
        delta.alter.add_constraint({name: condition})
    except DeltaError as exc:
        if faults.is_of_system(exc):
            raise
        raise cols.no_condition(name) from exc


@alone
def write(delta: DeltaTable, rows: pa.RecordBatchReader, properties: Mapping[str, str]) -> None:
    """Add rows in one commit, with the properties that hold from then on."""
    write_deltalake(
        delta,
        rows,
        mode="append",
        writer_properties=_files_for(rows.schema),
        commit_properties=once(properties),
        post_commithook_properties=without_hooks(),
    )


@alone
def upsert(delta: DeltaTable, rows: pa.Table, key: Sequence[str], properties: Mapping[str, str]) -> None:
    """One commit that replaces and inserts, even if there is nothing to do: delta-rs would skip it."""
    if not rows.num_rows:
        write(delta, rows.to_reader(), properties)
        return
    merger = delta.merge(
        rows,
        " AND ".join(f"old.{_quoted(name)} = new.{_quoted(name)}" for name in key),
        source_alias="new",
        target_alias="old",
        writer_properties=_files_for(rows.schema),
        commit_properties=once(properties),
        post_commithook_properties=without_hooks(),
    )
    # `when_matched_update_all` breaks on a name with a backtick
    values = {f"old.{_quoted(name)}": f"new.{_quoted(name)}" for name in rows.column_names}
    merger.when_matched_update(values).when_not_matched_insert(values).execute()


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _files_for(schema: pa.Schema) -> WriterProperties:
    """How files are written: row groups stay small in memory however wide the table is."""
    row_group = _BATCHES_PER_ROW_GROUP * cols.rows_per_batch(schema)
    return WriterProperties(compression="ZSTD", max_row_group_size=row_group)


def once(properties: Mapping[str, str], *transactions: Transaction) -> CommitProperties:
    """A commit as the next version or not at all, with the properties that hold from then on."""
    return CommitProperties(
        custom_metadata=log.record_of(properties),
        max_commit_retries=0,
        app_transactions=list(transactions) or None,
    )


def without_hooks() -> PostCommitHookProperties:
    """Nothing after the commit may fail, and no version is ever forgotten."""
    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@alone
def load(folder: Path) -> DeltaTable:
    """The newest version of a table that is known to be there."""
    log.check_whole(folder)
    try:
        delta = DeltaTable(str(folder))
    except DeltaError as exc:
        raise faults.unreadable_log(exc, folder.name) from exc
    _check_features(delta, folder.name)
    return delta


def _check_features(delta: DeltaTable, what: str) -> None:
    """Refuse tables of other tools whose files alone do not hold the rows."""
    protocol = delta.protocol()
    foreign = set(protocol.reader_features or ()) - _READ_HERE
    if protocol.min_reader_version == _COLUMN_MAPPING_READER:
        foreign.add("columnMapping")
    if delta.metadata().partition_columns:
        foreign.add("partitions")
    if foreign:
        raise StoreError(
            "STO004",
            f"another tool wrote this table with what is not read here: {', '.join(sorted(foreign))}",
            path=what,
            fix="copy its rows into a table of this store",
        )


@alone
def rewind(delta: DeltaTable, table: TableName, version: int) -> None:
    """Go back to an earlier version of a table (STO011 where there is none)."""
    newest = delta.version()
    if not 0 <= version <= newest:
        raise StoreError(
            "STO011",
            f"expected a version from 0 to {newest}, found {version}",
            path=str(table),
            fix="leave the version out to read the newest",
        )
    try:
        delta.load_as_version(version)
    except DeltaError as exc:
        raise faults.unreadable_log(exc, str(table)) from exc


def schema_of(delta: DeltaTable) -> pa.Schema:
    """The columns of a table."""
    stored = pa.schema(delta.schema().to_arrow())
    return pa.schema([pa.field(field.name, field.type, nullable=field.nullable) for field in stored])


@alone
def files_of(delta: DeltaTable, folder: Path) -> list[Path]:
    """Data files of a version.

    `DeltaTable.file_uris` escapes them, and so misses files below a folder with a space in its name.
    """
    return [folder / path for path in pa.table(delta.get_add_actions())["path"].to_pylist()]


@alone
def row_count(delta: DeltaTable, folder: Path) -> int:
    """How many rows a version has."""
    actions = pa.table(delta.get_add_actions())
    known = zip(actions["path"].to_pylist(), actions["num_records"].to_pylist(), strict=True)
    return sum(count_rows(folder / path) if count is None else count for path, count in known)


def first_properties(delta: DeltaTable) -> dict[str, str]:
    """Properties that the table was made with."""
    texts = delta.metadata().configuration.items()
    return {key.removeprefix(_PREFIX): text for key, text in texts if key.startswith(_PREFIX)}


def check_replaceable(delta: DeltaTable, table: TableName) -> None:
    """Refuse to change the rows of a table that only grows (INT013)."""
    if delta.metadata().configuration.get(_APPEND_ONLY) == "true":
        raise faults.only_grows(table)


def digest_of(delta: DeltaTable, folder: Path) -> Accumulator:
    """Read a whole table back and digest it."""
    schema = schema_of(delta)
    digest = Accumulator(schema)
    for batch in stored_rows(files_of(delta, folder), schema):
        digest.update(batch)
    return digest


def check_staged(folder: Path, schema: pa.Schema, digest: Accumulator) -> None:
    """Refuse to publish a table that does not read back as what was written."""
    delta = load(folder)
    if schema_of(delta) != schema or digest_of(delta, folder).state != digest.state:
        raise IntegrityError(
            "INT010",
            "the rows that were written read back as others; nothing was published",
            fix="check memory and disk of this machine, then repeat",
        )


@alone
def harden(folder: Path, version: int) -> None:
    """Make a commit that was just written durable; every now and then, make opening the table quick.

    Raises:
        OutcomeUnknownError: STO003, it may not survive a power loss.
    """
    try:
        log.flush_commit(folder, version)
    except OSError as exc:
        raise OutcomeUnknownError(
            "STO003",
            f"version {version} of {folder.name} was written, but may not survive a power loss",
            path=f"{folder.parent.name}.{folder.name}",
            fix="check the disk, then read the table again before anything else is written",
        ) from exc
    if version % CHECKPOINT_INTERVAL == 0:
        with contextlib.suppress(DeltaError, OSError):  # the log says the same without it, only slower
            delta = DeltaTable(str(folder))
            delta.create_checkpoint()
            log.flush_checkpoint(folder, delta.version())
