"""One catalog of Spark, by the few statements that every Spark has.

Making a table from a query, listing, describing and dropping are the same everywhere. Two things are
not, and are found out by trying: the format of tables (Delta, else Parquet), and how a table gets its name
when nobody else may have it (a rename where there is one, else a copy).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from mlkit.digest.sql import quoted
from mlkit.engines.base import TableName
from mlkit.engines.faults import misnamed
from mlkit.engines.spark import faults
from mlkit.engines.spark.dialect import DELTA, Move, remember
from mlkit.engines.spark.faults import Kind
from mlkit.engines.spark.record import PROPERTY, Record, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

STAGING = "mlkit_staging_"

_OURS = re.compile(rf"{re.escape(PROPERTY)}=([0-9a-f]+)")
_BYTES = re.compile(r"(\d+) bytes")
_DETAILS = "# Detailed Table Information"
_APPEND_ONLY = "delta.appendOnly"
_COPY_SECONDS = 60.0  # how long another writer's copy is waited for
_LOOK_SECONDS = 0.05
_CREATED = "%a %b %d %H:%M:%S UTC %Y"  # of a catalog, in a session whose zone is UTC


class Description(NamedTuple):
    """What the catalog says of a table: our record, if we made it, its format, and since when it is there."""

    record: Record | None
    provider: str
    created: str = ""

    @property
    def made_at(self) -> dt.datetime | None:
        """When the table was made, by the catalog; where that does not say, by the clock of its writer."""
        with contextlib.suppress(ValueError):
            return dt.datetime.strptime(self.created, _CREATED).replace(tzinfo=dt.UTC)
        return dt.datetime.fromisoformat(self.record.at) if self.record and self.record.at else None


class Catalog:
    """Statements over the tables of one catalog."""

    def __init__(
        self, session: SparkSession, name: str | None, schemas: Mapping[str, str], table_format: str | None
    ) -> None:
        """Name the catalog (by default that of the session), the real names of its schemas and the format."""
        self.session = session
        self._name = name or str(session.sql("SELECT current_catalog()").collect()[0][0])
        self._schemas = schemas
        self._dialect = remember(session)
        self._format = table_format
        self._made: set[str] = set()
        self._staged: set[TableName] = set()

    def path(self, table: TableName) -> str:
        """The full name of a table in SQL."""
        return f"{self._schema(table.schema)}.{quoted(table.name)}"

    def frame(self, table: TableName) -> DataFrame:
        """The rows of a table, in Spark."""
        return self.session.table(self.path(table))

    def frame_at(self, table: TableName, version: int) -> DataFrame:
        """The rows of one version of a table whose format counts them."""
        return self.session.sql(f"SELECT * FROM {self.path(table)} VERSION AS OF {version:d}")  # noqa: S608 - by the door for names

    def names(self, schema: str, *, prefix: str = "") -> list[str] | None:
        """Names of all tables of a schema that start with `prefix`; None if there is no such schema."""
        try:
            rows = self.session.sql(f"SHOW TABLES IN {self._schema(schema)} LIKE '{prefix}*'").collect()
        except faults.of_spark() as exc:
            if faults.kind_of(exc) is Kind.NOT_FOUND:
                return None
            raise
        self._made.add(schema)
        found = [str(row["tableName"]) for row in rows if not row["isTemporary"]]
        return [name for name in found if name.startswith(prefix)]

    def exists(self, table: TableName) -> bool:
        """Whether a name is taken."""
        return table.name in (self.names(table.schema, prefix=table.name) or ())

    def describe(self, table: TableName) -> Description:
        """What is kept with a table."""
        rows = self.session.sql(f"DESCRIBE EXTENDED {self.path(table)}").collect()
        names = [row["col_name"] for row in rows]
        start = names.index(_DETAILS) if _DETAILS in names else len(names)
        details = {row["col_name"]: str(row["data_type"]) for row in rows[start:]}
        ours = _OURS.search(details.get("Table Properties", ""))
        record = parse(ours.group(1), str(table)) if ours else None
        return Description(record, details.get("Provider", "").lower(), details.get("Created Time", ""))

    def records(self, schema: str, *, prefix: str) -> dict[str, Record | None]:
        """What is kept with each table of a schema whose name starts with `prefix`, in one statement."""
        try:
            path = self._schema(schema)
            rows = self.session.sql(f"SHOW TABLE EXTENDED IN {path} LIKE '{prefix}*'").collect()
        except faults.of_spark() as exc:
            if faults.kind_of(exc) is Kind.NOT_FOUND:
                return {}
            raise
        found: dict[str, Record | None] = {}
        for row in rows:
            name, ours = str(row["tableName"]), _OURS.search(str(row["information"]))
            if name.startswith(prefix):
                found[name] = parse(ours.group(1), name) if ours else None
        return found

    def amend(self, staged: TableName, record: Record) -> None:
        """Keep another record with a staged table, where that can be done; a copy of it is told anyway."""
        with contextlib.suppress(*faults.of_spark()):
            self.session.sql(
                f"ALTER TABLE {self.path(staged)} SET TBLPROPERTIES ('{PROPERTY}' = '{record.text()}')"
            )

    def size(self, table: TableName) -> int:
        """Bytes of a table, where the catalog says; 0 where it does not."""
        with contextlib.suppress(*faults.of_spark()):
            rows = self.session.sql(f"DESCRIBE DETAIL {self.path(table)}").collect()
            return int(rows[0]["sizeInBytes"])
        told = self.session.sql(f"DESCRIBE EXTENDED {self.path(table)}").collect()
        texts = [str(row["data_type"]) for row in told if row["col_name"] == "Statistics"]
        known = _BYTES.match(texts[0]) if texts else None
        return int(known.group(1)) if known else 0

    def now(self) -> dt.datetime:
        """The time of the server."""
        text = self.session.sql("SELECT CAST(unix_micros(current_timestamp()) AS BIGINT)").collect()[0][0]
        return dt.datetime.fromtimestamp(int(text) / 1e6, dt.UTC)

    def newest_version(self, table: TableName, description: Description) -> int | None:
        """Number of the newest version of a table, where the format counts them."""
        if description.provider != DELTA:
            return None
        try:
            rows = self.session.sql(f"DESCRIBE HISTORY {self.path(table)} LIMIT 1").collect()
        except faults.of_spark() as exc:
            if faults.kind_of(exc) is Kind.UNSUPPORTED:
                return None
            raise
        return int(rows[0]["version"])

    @contextlib.contextmanager
    def staging(self, schema: str) -> Iterator[TableName]:
        """A free name in a schema, which is made if need be; a table of that name is dropped at the end."""
        self._make_schema(schema)
        table = TableName(schema, f"{STAGING}{uuid.uuid4().hex}")
        self._staged.add(table)
        try:
            yield table
        finally:
            if table in self._staged:  # else it has another name by now
                self._staged.discard(table)
                with contextlib.suppress(*faults.of_spark()):  # what is left behind is listed nowhere
                    self.drop(table)

    def create(self, table: TableName, frame: DataFrame, record: Record) -> None:
        """Make a table of the rows of a frame; an error of Spark if the name is taken."""
        record = dataclasses.replace(record, at=dt.datetime.now(dt.UTC).isoformat())
        while True:
            chosen = self._format or self._dialect.formats[0]
            writer = frame.writeTo(self.path(table)).using(chosen).tableProperty(PROPERTY, record.text())
            if chosen == DELTA:
                writer = writer.tableProperty(_APPEND_ONLY, "true")
            try:
                writer.create()
            except faults.of_spark() as exc:
                is_fixed = self._format is not None or faults.kind_of(exc) is not Kind.NO_FORMAT
                if is_fixed or not self._dialect.without_format(chosen):
                    raise
            else:
                return

    def extend(self, table: TableName, frame: DataFrame) -> None:
        """Add the rows of a frame, whose columns are in the order of the table."""
        frame.write.insertInto(self.path(table))

    def move(self, staged: TableName, final: TableName, record: Record) -> bool:
        """Give a staged table its name if nobody else has taken it.

        Returns:
            Whether the name is ours.

        Raises:
            OutcomeUnknownError: The connection was lost in between.
        """
        while True:
            move = self._dialect.moves[0]
            try:
                self._try_to_move(move, staged, final, record)
            except faults.of_spark() as exc:
                kind = faults.kind_of(exc)
                if kind is Kind.UNAVAILABLE:
                    raise faults.outcome_unknown(str(final)) from exc
                if self.exists(final):
                    return self._is_by(final, record)
                if kind is Kind.EXISTS:
                    raise misnamed(final, "something that is no table") from exc
                if kind is not Kind.UNSUPPORTED or not self._dialect.without_move(move):
                    raise
            else:
                return True

    def finished(self, table: TableName) -> DataFrame:
        """The rows of a table that another writer may be copying to its name: the name comes first."""
        deadline = time.monotonic() + _COPY_SECONDS
        while True:
            frame = self.frame(table)
            try:
                _ = frame.schema
            except faults.of_spark() as exc:
                if faults.kind_of(exc) is not Kind.HALF_MADE or time.monotonic() > deadline:
                    raise
            else:
                return frame
            time.sleep(_LOOK_SECONDS)

    def drop(self, table: TableName) -> None:
        """Drop a table, if it is there."""
        self.session.sql(f"DROP TABLE IF EXISTS {self.path(table)}")

    @property
    def copies(self) -> bool:
        """Whether a table that got its name is a copy of the staged one."""
        return self._dialect.moves[0] is Move.COPY

    def _schema(self, schema: str) -> str:
        return f"{quoted(self._name)}.{quoted(self._schemas[schema])}"

    def _is_by(self, table: TableName, record: Record) -> bool:
        """Whether we made this table: a statement that was sent twice fails the second time."""
        found = self.describe(table).record
        return found is not None and found.writer == record.writer

    def _try_to_move(self, move: Move, staged: TableName, final: TableName, record: Record) -> None:
        if move is Move.COPY:
            self.create(final, self.frame(staged), record)
            return
        name = self.path(final) if move is Move.RENAME else quoted(final.name)
        self.session.sql(f"ALTER TABLE {self.path(staged)} RENAME TO {name}")
        self._staged.discard(staged)

    def _make_schema(self, schema: str) -> None:
        """Make a schema that is not there; where it is there, the right to make one may be missing."""
        if schema not in self._made and self.names(schema, prefix=STAGING) is None:
            self.session.sql(f"CREATE SCHEMA IF NOT EXISTS {self._schema(schema)}")
            self._made.add(schema)
