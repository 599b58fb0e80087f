"""Tables in a catalog of Spark; rows that are in Spark already never come to this process.

A published table is one table of the catalog, under the name of its content. A table that grows is one
table per version (`mlkit.engines.spark.versions`). Both are made under a name of their own, checked, and
then given their name exclusively. Any other table of the catalog can be read, and is never written to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import uuid
from typing import TYPE_CHECKING

from mlkit.digest.spark_frame import is_spark, state_of
from mlkit.digest.sql import quoted
from mlkit.engines import columns as cols
from mlkit.engines import names
from mlkit.engines.base import EVENT_TIME, Published, TableInfo, TableName
from mlkit.engines.faults import misnamed, only_grows, race_lost
from mlkit.engines.spark import logs, versions
from mlkit.engines.spark.catalog import Catalog
from mlkit.engines.spark.checks import check_key, check_rows
from mlkit.engines.spark.faults import door, of_spark
from mlkit.engines.spark.lookup import find, find_growing, find_there, of_another_tool, tables
from mlkit.engines.spark.record import Record
from mlkit.engines.spark.session import has_ended, made_ready
from mlkit.engines.spark.transport import ArrowRows, Rows, SparkRows, chosen, fetch
from mlkit.engines.spark.upkeep import SparkUpkeep
from mlkit.engines.window import Window
from mlkit.errors import IntegrityError
from mlkit.failpoints import failpoint

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from mlkit.digest.state import State
    from mlkit.engines.base import Engine, Frame


IDLE_SECONDS = 300
"""A session that was not used for so long is asked whether it is still there."""


class SparkEngine:
    """Tables of one catalog; `mlkit.engines.base.Engine` says what each method promises."""

    def __init__(
        self,
        session: Callable[[], SparkSession],
        *,
        catalog: str | None,
        schemas: Mapping[str, str],
        fetch_bytes: int,
        table_format: str | None = None,
    ) -> None:
        """Say where the tables are; the session is opened on first use.

        Args:
            session: Opens the session.
            catalog: Name of the catalog; by default the one the session is in.
            schemas: Real name of each of `mlkit.engines.base.SCHEMAS`; made on first write.
            fetch_bytes: Most bytes of a table that may come to this process.
            table_format: ``delta`` or ``parquet``; by default Delta where there is Delta.
        """
        self._open = session
        self._named = (catalog, dict(schemas), table_format)
        self.fetch_bytes = fetch_bytes
        self._opened: Catalog | None = None
        self._last_used = 0.0

    @property
    def upkeep(self) -> SparkUpkeep:
        """The catalog's clock, ages and leftovers."""
        return SparkUpkeep(lambda: self._catalog)

    def publish(
        self,
        schema: str,
        prefix: str,
        batches: Frame,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> Published:
        """Write rows once and for ever under ``<prefix>__<32 hex of their fingerprint>``.

        What is digested is the staged table, not the plan that made it, which may give other rows the
        next time. The properties of a table that was there before stay as they are.
        """
        names.check_schema(schema)
        names.check_name(f"{prefix}__{'0' * 32}", path="prefix")
        what = f"{schema}.{prefix}"
        rows = _rows(batches, what)
        with door(what, rows), self._catalog.staging(schema) as staged:
            record = Record(rows.schema, properties or {}, append_only=True, writer=staged.name)
            digest = rows.digest()
            rows.stage(self._catalog, staged, record, digest=digest)
            failpoint("publish.staged")
            state = state_of(self._catalog.frame(staged))
            if digest is not None and digest.state != state:
                raise _read_back_as_others()
            published = _published(schema, prefix, rows.schema, state)
            if not self._catalog.exists(published.name):
                failpoint("publish.verified")
                if self._settle(staged, record, published, state):
                    return published
            self._check_published(published)
            return dataclasses.replace(published, created=False)

    def create(
        self,
        table: TableName,
        batches: Frame,
        *,
        properties: Mapping[str, str] | None = None,
        constraints: Mapping[str, str] | None = None,
        append_only: bool = False,
    ) -> bool:
        """Create a table that will grow; True for the one caller that created it, False if it exists."""
        names.check_growing(table)
        versions.check_length(table)
        rows = _rows(batches, str(table))
        with door(str(table), rows):
            if find(self._catalog, table):
                return False
            with self._catalog.staging(table.schema) as staged:
                record = Record(rows.schema, properties or {}, constraints or {}, append_only, staged.name)
                rows.stage(self._catalog, staged, record)
                self._check_staged(staged, record, rows, table)
                failpoint("create.staged")
                return self._advance(table, 0, staged, record, point="create.renamed")

    def append(self, table: TableName, batches: Frame, *, expected_version: int) -> int:
        """Append rows if the table still is at `expected_version`; the new version."""
        names.check_growing(table)
        rows = _rows(batches, str(table))
        with door(str(table), rows):
            before, old = find_growing(self._catalog, table, expected_version=expected_version)
            rows.check_match(old.schema)
            record = dataclasses.replace(old, writer=uuid.uuid4().hex)
            with self._racing(table, expected_version), self._catalog.staging(table.schema) as staged:
                rows.stage(self._catalog, staged, record, before=before)
                self._check_staged(staged, record, rows, table)
                self._commit(table, expected_version, staged, record, point="append.written")
        return expected_version + 1

    def merge(
        self,
        table: TableName,
        batches: Frame,
        *,
        key: Sequence[str],
        expected_version: int,
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Insert rows with a new key and replace those whose key exists; the new version.

        Properties that are given change in the same version.
        """
        names.check_growing(table)
        rows = _rows(batches, str(table))
        with door(str(table), rows):
            before, old = find_growing(self._catalog, table, expected_version=expected_version)
            if old.append_only:
                raise only_grows(table)
            rows.check_match(old.schema)
            changed = {**old.properties, **(properties or {})}
            record = dataclasses.replace(old, properties=changed, writer=uuid.uuid4().hex)
            staging = self._catalog.staging
            with (
                self._racing(table, expected_version),
                staging(table.schema) as incoming,
                staging(table.schema) as staged,
            ):
                rows.stage(self._catalog, incoming, record)
                check_key(self._catalog.frame(incoming), record.schema, key)
                merged = _merged(before, self._catalog.frame(incoming), key)
                self._catalog.create(staged, merged, record)
                self._check_staged(staged, record, rows, table)
                self._commit(table, expected_version, staged, record, point="merge.written")
        return expected_version + 1

    def read(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Bring the rows of one version (the newest by default) here, if they are not too many."""
        names.check_table(table)
        with door(str(table)):
            found = find_there(self._catalog, table)
            frame = found.frame(self._catalog, version)
            schema = cols.stored_schema(cols.selected(found.schema(frame), columns))
            return fetch(frame, schema, most=self.fetch_bytes, what=str(table))

    def scan(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> DataFrame:
        """The rows of one version as a dataframe of Spark."""
        names.check_table(table)
        with door(str(table)):
            found = find_there(self._catalog, table)
            frame = found.frame(self._catalog, version)
            return chosen(frame, cols.selected(found.schema(frame), columns))

    def log(self, table: TableName, batches: Frame, *, batch: str) -> bool:
        """Add rows to a log once and for ever per name of a batch; False if it was there before."""
        names.check_growing(table)
        rows = _rows(batches, str(table))
        with door(str(table), rows):
            return logs.add(self._catalog, table, rows, batch)

    def scan_log(
        self,
        table: TableName,
        *,
        column: str = EVENT_TIME,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        columns: Sequence[str] | None = None,
        coded: Collection[str] = (),  # noqa: ARG002 - Spark has no such form
    ) -> DataFrame | None:
        """The rows of a log between two instants; None if there is no such log."""
        names.check_table(table)
        with door(str(table)):
            return logs.scan(self._catalog, table, Window(column, since, until), columns)

    def trim_log(self, table: TableName, *, before: dt.datetime, column: str = EVENT_TIME) -> int:
        """Remove the batches of a log that ended earlier; gives how many rows they had."""
        names.check_growing(table)
        with door(str(table)):
            return logs.trim(self._catalog, table, Window(column, None, before))

    def drop(self, table: TableName) -> None:
        """Remove a table with its versions or batches, unless another tool has made it."""
        names.check_table(table)
        with door(str(table)):
            for part in self._parts(table):
                if self._catalog.describe(part).record is None:
                    raise of_another_tool(table)
                self._catalog.drop(part)

    def size(self, table: TableName) -> int:
        """Bytes that `drop` would free, as far as the catalog says."""
        names.check_table(table)
        with door(str(table)):
            return sum(map(self._catalog.size, self._parts(table)))

    def describe(self, table: TableName) -> TableInfo | None:
        """What is known of a table; None if there is no such table."""
        names.check_table(table)
        with door(str(table)):
            found = find(self._catalog, table)
            if found is None:
                return None
            frame = found.frame(self._catalog)
            return TableInfo(
                name=table,
                version=found.newest,
                schema=found.schema(frame),
                properties=found.properties,
                count=functools.partial(_count, frame, table),
            )

    def tables(self, schema: str, *, prefix: str = "") -> list[TableName]:
        """Tables of a schema whose name starts with `prefix`, in name order."""
        names.check_schema(schema)
        with door(schema):
            found = tables(self._catalog, schema)
        return [table for table in found if table.name.startswith(prefix)]

    def _parts(self, table: TableName) -> list[TableName]:
        """The tables of the catalog that a table consists of, the oldest version first."""
        taken = self._catalog.names(table.schema, prefix=table.name) or []
        numbers = versions.versions_of(table, taken)
        whole = [table] if table.name in taken else []
        return [
            *whole,
            *(versions.table_of(table, number) for number in numbers),
            *logs.parts_of(table, taken),
        ]

    @property
    def _catalog(self) -> Catalog:
        """The catalog; opened anew if its session has ended meanwhile, as sessions do that nobody uses."""
        now = time.monotonic()
        if self._opened is None or (now - self._last_used > IDLE_SECONDS and has_ended(self._opened.session)):
            self._opened = Catalog(made_ready(self._open()), *self._named)
        self._last_used = now
        return self._opened

    @contextlib.contextmanager
    def _racing(self, table: TableName, expected_version: int) -> Iterator[None]:
        """Tell a lost race from other reasons why a write failed: the table has moved on.

        A version that is read from may be dropped for its age meanwhile.
        """
        try:
            yield
        except of_spark() as exc:
            newest = find_there(self._catalog, table).newest
            if newest == expected_version:
                raise
            raise race_lost(table, expected_version, newest) from exc

    def _check_staged(self, staged: TableName, record: Record, rows: Rows, table: TableName) -> None:
        """Hold all rows of the new version to the promises of the table."""
        frame = self._catalog.frame(staged)
        check_rows(frame, record.constraints, rows.required(record.schema), what=str(table))

    def _settle(self, staged: TableName, record: Record, published: Published, state: State) -> bool:
        """Give a verified table its name; False if somebody else was first."""
        if not self._catalog.move(staged, published.name, record):
            return False
        failpoint("publish.renamed")
        if self._catalog.copies and state_of(self._catalog.frame(published.name)) != state:
            self._catalog.drop(published.name)
            raise _read_back_as_others()
        return True

    def _check_published(self, published: Published) -> None:
        """Digest a table that stands under the name of the same content, and hold it to its name."""
        frame = self._catalog.finished(published.name)
        found = state_of(frame).fingerprint(frame.columns)
        if found != published.fingerprint:
            raise misnamed(published.name, f"rows with the fingerprint {found}")

    def _commit(
        self, table: TableName, expected_version: int, staged: TableName, record: Record, *, point: str
    ) -> None:
        if not self._advance(table, expected_version + 1, staged, record, point=point):
            newest = find_there(self._catalog, table).newest
            raise race_lost(table, expected_version, newest)

    def _advance(
        self, table: TableName, version: int, staged: TableName, record: Record, *, point: str
    ) -> bool:
        """Make a staged table the next version; False if somebody else was first.

        A number is free again once its table was dropped for its age: then there are newer ones, and a
        writer who comes that late takes its own table back.
        """
        if not self._catalog.move(staged, versions.table_of(table, version), record):
            return False
        failpoint(point)
        taken = self._catalog.names(table.schema, prefix=table.name) or []
        numbers = versions.versions_of(table, taken)
        if max(numbers, default=version) > version:
            self._catalog.drop(versions.table_of(table, version))
            return False
        for old in numbers[: -versions.KEPT]:
            self._catalog.drop(versions.table_of(table, old))
        return True


def _count(frame: DataFrame, table: TableName) -> int:
    with door(str(table)):
        return frame.count()


def _rows(batches: Frame, what: str) -> Rows:
    with door(what):
        return SparkRows(batches) if is_spark(batches) else ArrowRows(batches)


def _published(schema: str, prefix: str, columns: pa.Schema, state: State) -> Published:
    fingerprint = state.fingerprint(columns.names)
    name = TableName(schema, f"{prefix}__{fingerprint.removeprefix('d1:')}")
    return Published(name, fingerprint, state.rows, created=True)


def _merged(old: DataFrame, new: DataFrame, key: Sequence[str]) -> DataFrame:
    """The rows of `new`, and those of `old` whose key is not among them. No key of `new` is missing."""
    keys = new.selectExpr(*(f"{quoted(name)} AS mlkit_key{i}" for i, name in enumerate(key)))
    pairs = [old[quoted(name)] == keys[f"mlkit_key{i}"] for i, name in enumerate(key)]
    return old.join(keys, pairs, "left_anti").union(new.select(*map(quoted, old.columns)))


def _read_back_as_others() -> IntegrityError:
    return IntegrityError(
        "INT010",
        "the rows that were written read back as others; nothing was published",
        fix="see that no other job writes to this schema, then repeat",
    )


if TYPE_CHECKING:
    _: Engine = SparkEngine(SparkSession.builder.getOrCreate, catalog=None, schemas={}, fetch_bytes=0)
