"""Tables in a folder: Arrow streams in, Delta tables on the local disk, no server.

``root/<schema>/<table>/`` is a Delta table. A new one is made in ``root/<schema>/.staging/`` and
appears under its name by one rename, whole and durable. A name that starts with a dot is no table.

Compare and set rests on the log: a commit is written as the one version after the one that was
read and never tried again, so of several writers one wins. The text properties of a table change
together with its rows: each commit of rows records those that differ from the ones the table was
made with, and the next commit carries them on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError

from mlkit.digest.fingerprint import Accumulator
from mlkit.engines import columns as cols
from mlkit.engines import durable, faults, log, names
from mlkit.engines.base import Published, TableInfo, TableName
from mlkit.engines.rows import Incoming, count_rows, stored_rows
from mlkit.errors import IntegrityError, MlkitError, NamingError, OutcomeUnknownError, StoreError
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlkit.engines.base import Engine

STAGING = ".staging"
CHECKPOINT_INTERVAL = 20  # commits; opening a table reads the log from the newest checkpoint on

_PERCENT = re.compile("%[0-9A-Fa-f]{2}")
_PREFIX = "mlkit."  # of the table properties that are ours
_APPEND_ONLY = "delta.appendOnly"
_COLUMN_MAPPING_READER = 2
# delta-rs itself lists variantType when it adds a property to a table with naive timestamps.
_READ_HERE = frozenset({"timestampNtz", "variantType"})
_BATCHES_PER_ROW_GROUP = 8


class LocalEngine:
    """Tables below one folder; `mlkit.engines.base.Engine` says what each method promises."""

    fetch_bytes = None

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made when the first table is.

        Args:
            root: Folder of the lake, on a local disk.

        Raises:
            NamingError: NAM003, delta-rs would decode the path and look elsewhere.
        """
        self._root = root.absolute()
        if _PERCENT.search(str(self._root)):
            raise NamingError(
                "NAM003",
                "expected a path without escapes, found a % before two hex digits",
                path="root",
                fix="put the store in a folder without % in its path",
            )

    def publish(
        self,
        schema: str,
        prefix: str,
        batches: pa.RecordBatchReader,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> Published:
        """Write rows once and for ever under ``<prefix>__<32 hex of their fingerprint>``.

        The properties of a table that was there before stay as they are.
        """
        names.check_schema(schema)
        names.check_name(f"{prefix}__{'0' * 32}", path="prefix")
        rows = Incoming(batches)
        digest = Accumulator(rows.schema)
        with _door(f"{schema}.{prefix}", rows), durable.staging(self._root / schema / STAGING) as folder:
            _build(folder, rows, properties=properties, append_only=True, watch=digest.update)
            failpoint("publish.staged")
            name = TableName(schema, f"{prefix}__{digest.fingerprint.removeprefix('d1:')}")
            published = Published(name, digest.fingerprint, digest.state.rows, created=True)
            if not self._folder(name).exists():
                _check_staged(folder, rows.schema, digest)
                failpoint("publish.verified")
                if self._settle(folder, name, point="publish.renamed"):
                    return published
            self._check_published(published)
            return dataclasses.replace(published, created=False)

    def create(
        self,
        table: TableName,
        batches: pa.RecordBatchReader,
        *,
        properties: Mapping[str, str] | None = None,
        constraints: Mapping[str, str] | None = None,
        append_only: bool = False,
    ) -> bool:
        """Create a table that will grow; True for the one caller that created it, False if it exists."""
        names.check_growing(table)
        rows = Incoming(batches)
        with _door(str(table), rows):
            if log.is_table(self._folder(table)):
                return False
            with durable.staging(self._root / table.schema / STAGING) as folder:
                _build(folder, rows, properties=properties, constraints=constraints, append_only=append_only)
                failpoint("create.staged")
                return self._settle(folder, table, point="create.renamed")

    def append(self, table: TableName, batches: pa.RecordBatchReader, *, expected_version: int) -> int:
        """Append rows if the table still is at `expected_version`; the new version."""
        names.check_growing(table)
        rows = Incoming(batches)
        with _door(str(table), rows):
            delta = self._open_at(table, expected_version)
            schema = _schema(delta)
            cols.check_match(rows.schema, schema)
            with self._racing(table, expected_version):
                _write(
                    delta, rows.stream(schema), log.changed_properties(self._folder(table), expected_version)
                )
            failpoint("append.written")
            return self._harden(table, delta)

    def merge(
        self,
        table: TableName,
        batches: pa.RecordBatchReader,
        *,
        key: Sequence[str],
        expected_version: int,
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Insert rows with a new key and replace those whose key exists; the new version.

        The incoming rows are held in memory. Properties that are given change in the same commit.
        """
        names.check_growing(table)
        rows = Incoming(batches)
        with _door(str(table), rows):
            delta = self._open_at(table, expected_version)
            _check_replaceable(delta, table)
            schema = _schema(delta)
            cols.check_match(rows.schema, schema)
            incoming = rows.stream(schema).read_all()
            cols.check_key(incoming, key)
            current = {**log.changed_properties(self._folder(table), expected_version), **(properties or {})}
            with self._racing(table, expected_version):
                _upsert(delta, incoming, key, current)
            failpoint("merge.written")
            return self._harden(table, delta)

    def read(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Stream the rows of one version (the newest by default) in no particular order."""
        names.check_table(table)
        with _door(str(table)):
            delta = self._open(table)
            if version is not None:
                _rewind(delta, table, version)
            schema = cols.selected(_schema(delta), columns)
            rows = stored_rows(_files(delta, self._folder(table)), schema)
        return pa.RecordBatchReader.from_batches(schema, rows)

    def scan(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """The rows of one version: the engine's own form is Arrow."""
        return self.read(table, version=version, columns=columns)

    def describe(self, table: TableName) -> TableInfo | None:
        """What is known of a table without reading rows; None if there is no such table."""
        names.check_table(table)
        folder = self._folder(table)
        with _door(str(table)):
            if not log.is_table(folder):
                return None
            delta = _load(folder)
            return TableInfo(
                name=table,
                version=delta.version(),
                rows=_row_count(delta, folder),
                schema=_schema(delta),
                properties={**_first_properties(delta), **log.changed_properties(folder, delta.version())},
            )

    def tables(self, schema: str, *, prefix: str = "") -> list[TableName]:
        """Tables of a schema whose name starts with `prefix`, in name order."""
        names.check_schema(schema)
        folder = self._root / schema
        with _door(schema):
            children = list(folder.iterdir()) if folder.is_dir() else []
            found = [
                child.name for child in children if log.is_table(child) and not child.name.startswith(".")
            ]
        return [TableName(schema, name) for name in sorted(found) if name.startswith(prefix)]

    def _folder(self, table: TableName) -> Path:
        return self._root / table.schema / table.name

    def _open(self, table: TableName) -> DeltaTable:
        if not log.is_table(self._folder(table)):
            raise names.no_such_table(table, self.tables(table.schema))
        return _load(self._folder(table))

    def _open_at(self, table: TableName, expected_version: int) -> DeltaTable:
        delta = self._open(table)
        if delta.version() != expected_version:
            raise faults.race_lost(table, expected_version, delta.version())
        return delta

    @contextlib.contextmanager
    def _racing(self, table: TableName, expected_version: int) -> Iterator[None]:
        """Tell a lost race from other reasons why a commit failed: the table has moved on."""
        try:
            yield
        except CommitFailedError as exc:
            newest = self._open(table).version()
            if newest == expected_version:
                raise
            raise faults.race_lost(table, expected_version, newest) from exc

    def _settle(self, staged: Path, table: TableName, *, point: str) -> bool:
        """Move a staged table under its name, durably; False if somebody else was first."""
        final = self._folder(table)
        durable.flush_tree(staged)
        if durable.move_exclusively(staged, final):
            failpoint(point)
            durable.flush(final.parent)
            return True
        _check_taken(final, table)
        return False

    def _check_published(self, published: Published) -> None:
        """Read a table that stands under the name of the same content, and hold it to its name."""
        folder = self._folder(published.name)
        _check_taken(folder, published.name)
        found = _digest(_load(folder), folder).fingerprint
        if found != published.fingerprint:
            raise faults.misnamed(published.name, f"rows with the fingerprint {found}")

    def _harden(self, table: TableName, delta: DeltaTable) -> int:
        """Make the commit that was just written durable; its version."""
        folder, version = self._folder(table), delta.version()
        try:
            log.flush_commit(folder, version)
        except OSError as exc:
            raise OutcomeUnknownError(
                "STO003",
                f"version {version} of {table} was written, but may not survive a power loss",
                path=str(table),
                fix="check the disk, then read the table again before anything else is written",
            ) from exc
        if version % CHECKPOINT_INTERVAL == 0:
            with contextlib.suppress(DeltaError, OSError):  # the log says the same without it, only slower
                delta.create_checkpoint()
                durable.flush_tree(folder / log.FOLDER)
        return version


@contextlib.contextmanager
def _door(what: str, rows: Incoming | None = None) -> Iterator[None]:
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


def _check_taken(folder: Path, table: TableName) -> None:
    if not log.is_table(folder):
        raise faults.misnamed(table, "something that is no table")


def _build(
    folder: Path,
    rows: Incoming,
    *,
    properties: Mapping[str, str] | None = None,
    constraints: Mapping[str, str] | None = None,
    append_only: bool = False,
    watch: Callable[[pa.RecordBatch], None] | None = None,
) -> None:
    """Make a table in an empty folder; its conditions stand before its first rows come."""
    configuration = {_APPEND_ONLY: "true"} if append_only else None
    delta = DeltaTable.create(str(folder), rows.schema, configuration=configuration)
    if properties:
        ours = {f"{_PREFIX}{key}": text for key, text in properties.items()}
        delta.alter.set_table_properties(ours, raise_if_not_exists=False)
    for name, condition in (constraints or {}).items():
        _constrain(delta, name, condition)
    _write(delta, rows.stream(rows.schema, watch=watch), {})


def _constrain(delta: DeltaTable, name: str, condition: str) -> None:
    try:
        delta.alter.add_constraint({name: condition})
    except DeltaError as exc:
        if faults.is_of_system(exc):
            raise
        raise cols.no_condition(name) from exc


def _write(delta: DeltaTable, rows: pa.RecordBatchReader, properties: Mapping[str, str]) -> None:
    write_deltalake(
        delta,
        rows,
        mode="append",
        writer_properties=_files_for(rows.schema),
        commit_properties=_once(properties),
        post_commithook_properties=_no_hooks(),
    )


def _upsert(delta: DeltaTable, rows: pa.Table, key: Sequence[str], properties: Mapping[str, str]) -> None:
    """One commit that replaces and inserts, even if there is nothing to do: delta-rs would skip it."""
    if not rows.num_rows:
        _write(delta, rows.to_reader(), properties)
        return
    merger = delta.merge(
        rows,
        " AND ".join(f"old.{_quoted(name)} = new.{_quoted(name)}" for name in key),
        source_alias="new",
        target_alias="old",
        writer_properties=_files_for(rows.schema),
        commit_properties=_once(properties),
        post_commithook_properties=_no_hooks(),
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


def _once(properties: Mapping[str, str]) -> CommitProperties:
    """A commit as the next version or not at all, with the properties that hold from then on."""
    return CommitProperties(custom_metadata=log.record_of(properties), max_commit_retries=0)


def _no_hooks() -> PostCommitHookProperties:
    """Nothing after the commit may fail, and no version is ever forgotten."""
    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def _load(folder: Path) -> DeltaTable:
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


def _rewind(delta: DeltaTable, table: TableName, version: int) -> None:
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


def _schema(delta: DeltaTable) -> pa.Schema:
    stored = pa.schema(delta.schema().to_arrow())
    return pa.schema([pa.field(field.name, field.type, nullable=field.nullable) for field in stored])


def _files(delta: DeltaTable, folder: Path) -> list[Path]:
    """Data files of a version.

    `DeltaTable.file_uris` escapes them, and so misses files below a folder with a space in its name.
    """
    return [folder / path for path in pa.table(delta.get_add_actions())["path"].to_pylist()]


def _row_count(delta: DeltaTable, folder: Path) -> int:
    counts = pa.table(delta.get_add_actions())["num_records"].to_pylist()
    files = _files(delta, folder)
    return sum(
        count_rows(file) if count is None else count for file, count in zip(files, counts, strict=True)
    )


def _first_properties(delta: DeltaTable) -> dict[str, str]:
    """Properties that the table was made with."""
    texts = delta.metadata().configuration.items()
    return {key.removeprefix(_PREFIX): text for key, text in texts if key.startswith(_PREFIX)}


def _check_replaceable(delta: DeltaTable, table: TableName) -> None:
    if delta.metadata().configuration.get(_APPEND_ONLY) == "true":
        raise faults.only_grows(table)


def _digest(delta: DeltaTable, folder: Path) -> Accumulator:
    """Read a whole table back and digest it."""
    schema = _schema(delta)
    digest = Accumulator(schema)
    for batch in stored_rows(_files(delta, folder), schema):
        digest.update(batch)
    return digest


def _check_staged(folder: Path, schema: pa.Schema, digest: Accumulator) -> None:
    """Refuse to publish a table that does not read back as what was written."""
    delta = _load(folder)
    if _schema(delta) != schema or _digest(delta, folder).state != digest.state:
        raise IntegrityError(
            "INT010",
            "the rows that were written read back as others; nothing was published",
            fix="check memory and disk of this machine, then repeat",
        )


if TYPE_CHECKING:
    _: Engine = LocalEngine(Path())
