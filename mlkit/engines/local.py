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
import functools
import re
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from mlkit.digest.fingerprint import Accumulator
from mlkit.engines import columns as cols
from mlkit.engines import durable, faults, local_log, log, names
from mlkit.engines.base import EVENT_TIME, Published, TableInfo, TableName
from mlkit.engines.local_table import (
    build,
    check_replaceable,
    check_staged,
    check_taken,
    digest_of,
    door,
    files_of,
    first_properties,
    harden,
    load,
    rewind,
    row_count,
    schema_of,
    upsert,
    write,
)
from mlkit.engines.local_upkeep import STAGING, LocalUpkeep
from mlkit.engines.rows import Incoming, stored_rows
from mlkit.engines.window import Window
from mlkit.errors import NamingError
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from deltalake import DeltaTable

    from mlkit.engines.base import Engine

_PERCENT = re.compile("%[0-9A-Fa-f]{2}")


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

    @property
    def upkeep(self) -> LocalUpkeep:
        """The store's clock, ages and leftovers."""
        return LocalUpkeep(self._root)

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
        with door(f"{schema}.{prefix}", rows), durable.staging(self._root / schema / STAGING) as folder:
            build(folder, rows, properties=properties, append_only=True, watch=digest.update)
            failpoint("publish.staged")
            name = TableName(schema, f"{prefix}__{digest.fingerprint.removeprefix('d1:')}")
            published = Published(name, digest.fingerprint, digest.state.rows, created=True)
            if not self._folder(name).exists():
                check_staged(folder, rows.schema, digest)
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
        with door(str(table), rows):
            if log.is_table(self._folder(table)):
                return False
            with self._staged(table) as folder:
                build(folder, rows, properties=properties, constraints=constraints, append_only=append_only)
                failpoint("create.staged")
                return self._settle(folder, table, point="create.renamed")

    def append(self, table: TableName, batches: pa.RecordBatchReader, *, expected_version: int) -> int:
        """Append rows if the table still is at `expected_version`; the new version."""
        names.check_growing(table)
        rows = Incoming(batches)
        with door(str(table), rows):
            delta = self._open_at(table, expected_version)
            schema = schema_of(delta)
            cols.check_match(rows.schema, schema)
            with self._racing(table, expected_version):
                write(
                    delta, rows.stream(schema), log.changed_properties(self._folder(table), expected_version)
                )
            failpoint("append.written")
            harden(self._folder(table), delta.version())
            return delta.version()

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
        with door(str(table), rows):
            delta = self._open_at(table, expected_version)
            check_replaceable(delta, table)
            schema = schema_of(delta)
            cols.check_match(rows.schema, schema)
            incoming = rows.stream(schema).read_all()
            cols.check_key(incoming, key)
            current = {**log.changed_properties(self._folder(table), expected_version), **(properties or {})}
            with self._racing(table, expected_version):
                upsert(delta, incoming, key, current)
            failpoint("merge.written")
            harden(self._folder(table), delta.version())
            return delta.version()

    def read(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Stream the rows of one version (the newest by default) in no particular order."""
        names.check_table(table)
        with door(str(table)):
            delta = self._open(table)
            if version is not None:
                rewind(delta, table, version)
            schema = cols.selected(schema_of(delta), columns)
            widened = local_log.is_log(delta)
            rows = stored_rows(files_of(delta, self._folder(table)), schema, widened=widened)
        return pa.RecordBatchReader.from_batches(schema, rows)

    def scan(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """The rows of one version: the engine's own form is Arrow."""
        return self.read(table, version=version, columns=columns)

    def log(self, table: TableName, batches: pa.RecordBatchReader, *, batch: str) -> bool:
        """Add rows to a log once and for ever per name of a batch; False if it was there before."""
        names.check_growing(table)
        rows, folder = Incoming(batches), self._folder(table)
        with door(str(table), rows):
            if not log.is_table(folder):
                with self._staged(table) as staged:
                    local_log.make(staged, rows.schema)
                    self._settle(staged, table, point="log.made")
            return local_log.add(folder, rows, batch)

    def scan_log(
        self,
        table: TableName,
        *,
        column: str = EVENT_TIME,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        columns: Sequence[str] | None = None,
        coded: Collection[str] = (),
    ) -> pa.RecordBatchReader | None:
        """The rows of a log between two instants; None if there is no such log."""
        names.check_table(table)
        if not log.is_table(self._folder(table)):
            return None
        with door(str(table)):
            return local_log.scan(self._folder(table), Window(column, since, until), columns, coded)

    def trim_log(self, table: TableName, *, before: dt.datetime, column: str = EVENT_TIME) -> int:
        """Remove the rows of a log whose instant is earlier; gives how many."""
        names.check_growing(table)
        with door(str(table)):
            if not log.is_table(self._folder(table)):
                return 0
            return local_log.trim(self._folder(table), Window(column, None, before))

    def drop(self, table: TableName) -> None:
        """Remove a table; it is gone at one stroke, its files after that."""
        names.check_table(table)
        folder = self._folder(table)
        if not log.is_table(folder):
            return
        with door(str(table)), self._staged(table) as bin_folder:
            with contextlib.suppress(FileNotFoundError):  # another one was faster
                folder.rename(bin_folder / table.name)
            durable.flush(folder.parent)
            failpoint("drop.renamed")

    def size(self, table: TableName) -> int:
        """Bytes that `drop` would free, old versions included."""
        names.check_table(table)
        with door(str(table)):
            return sum(file.stat().st_size for file in self._folder(table).rglob("*") if file.is_file())

    def describe(self, table: TableName) -> TableInfo | None:
        """What is known of a table without reading rows; None if there is no such table."""
        names.check_table(table)
        folder = self._folder(table)
        with door(str(table)):
            if not log.is_table(folder):
                return None
            delta = load(folder)
            return TableInfo(
                name=table,
                version=delta.version(),
                schema=schema_of(delta),
                properties={**first_properties(delta), **log.changed_properties(folder, delta.version())},
                count=functools.partial(self._count, table, delta),
            )

    def tables(self, schema: str, *, prefix: str = "") -> list[TableName]:
        """Tables of a schema whose name starts with `prefix`, in name order."""
        names.check_schema(schema)
        folder = self._root / schema
        with door(schema):
            children = list(folder.iterdir()) if folder.is_dir() else []
            found = [
                child.name for child in children if log.is_table(child) and not child.name.startswith(".")
            ]
        return [TableName(schema, name) for name in sorted(found) if name.startswith(prefix)]

    def _count(self, table: TableName, delta: DeltaTable) -> int:
        with door(str(table)):
            return row_count(delta, self._folder(table))

    def _folder(self, table: TableName) -> Path:
        return self._root / table.schema / table.name

    def _staged(self, table: TableName) -> contextlib.AbstractContextManager[Path]:
        return durable.staging(self._root / table.schema / STAGING)

    def _open(self, table: TableName) -> DeltaTable:
        if not log.is_table(self._folder(table)):
            raise names.no_such_table(table, self.tables(table.schema))
        return load(self._folder(table))

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
        check_taken(final, table)
        return False

    def _check_published(self, published: Published) -> None:
        """Read a table that stands under the name of the same content, and hold it to its name."""
        folder = self._folder(published.name)
        check_taken(folder, published.name)
        found = digest_of(load(folder), folder).fingerprint
        if found != published.fingerprint:
            raise faults.misnamed(published.name, f"rows with the fingerprint {found}")
        folder.touch()  # its age counts from now on: somebody has a use for it


if TYPE_CHECKING:
    _: Engine = LocalEngine(Path())
