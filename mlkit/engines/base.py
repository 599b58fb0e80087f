"""The seam between mlkit and the place where tables live.

Arrow is the currency: every engine takes and gives streams of Arrow record batches. Rows too many for
one process stay in the engine as a frame of its own (`Frame`), which only the engine and the rooms that
know SQL look into. What an engine promises is written here, on the base class; one contract suite
(``tests/engines/contract.py``) checks each promise on each engine.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pyarrow as pa

FEATURES = "features"
TRAINING = "training"
MONITORING = "monitoring"
SCHEMAS = (FEATURES, TRAINING, MONITORING)
EVENT_TIME = "event_time"
"""The column of a log by whose instants it is read and trimmed, unless another one is named."""

Frame: TypeAlias = Any
"""Rows in an engine's own form, nothing of them read yet: a Spark dataframe, or an Arrow stream."""


@dataclasses.dataclass(frozen=True, order=True)
class TableName:
    """A table by its logical schema (`features`, `training` or `monitoring`) and name."""

    schema: str
    name: str

    def __str__(self) -> str:
        """``schema.name``, as users write it."""
        return f"{self.schema}.{self.name}"


@dataclasses.dataclass(frozen=True)
class TableInfo:
    """What a store knows of a table without reading its rows.

    Attributes:
        name: The table.
        version: Number of its newest version, from 0.
        schema: Arrow schema of its columns.
        properties: Text properties kept with the table (contract, key, fingerprint ...).
        count: Counts the rows of that version, which may be a query.
    """

    name: TableName
    version: int
    schema: pa.Schema
    properties: Mapping[str, str]
    count: Callable[[], int] = dataclasses.field(repr=False, compare=False)

    @functools.cached_property
    def rows(self) -> int:
        """Row count of that version; counted when somebody asks for it first."""
        return self.count()


@dataclasses.dataclass(frozen=True)
class Published:
    """An immutable table that stands under the name of its content.

    Attributes:
        name: The table; its name ends with the 32 hex digits of the fingerprint.
        fingerprint: ``d1:`` + 32 hex.
        rows: Row count.
        created: False if the same content had been published before, by whomever.
    """

    name: TableName
    fingerprint: str
    rows: int
    created: bool


@dataclasses.dataclass(frozen=True)
class Leftover:
    """Something that a writer began and never finished; no reader ever sees it.

    Attributes:
        schema: One of `mlkit.engines.base.SCHEMAS`.
        name: What the store calls it.
        made_at: When it was last written to, by the clock of the store; None where that is not known.
        size: Its bytes; None where the store does not tell.
    """

    schema: str
    name: str
    made_at: dt.datetime | None
    size: int | None

    def __str__(self) -> str:
        """``schema/name``."""
        return f"{self.schema}/{self.name}"


class Upkeep(Protocol):
    """What an engine tells of its store; ages by its own clock, so that no two clocks are compared."""

    def now(self) -> dt.datetime:
        """The time by the clock of the store, with its zone."""
        ...

    def made_at(self, table: TableName) -> dt.datetime | None:
        """When a table was made, or published again where the store notes that; None where nobody knows.

        Raises:
            StoreError: There is no such table.
        """
        ...

    def leftovers(self) -> list[Leftover]:
        """What killed writers, and those who still write, have in the store beside its tables."""
        ...

    def remove(self, leftover: Leftover) -> None:
        """Remove one of these; fine if it is gone already."""
        ...


class Engine(Protocol):
    """Where tables live. Every method is safe to call from several processes at once.

    Errors are those of `mlkit.errors`; a library's own error never passes this seam. Column types
    are kept as they come, except that what the store cannot hold exactly is refused with a
    `DataError` that names the column.

    Attributes:
        fetch_bytes: Most bytes of a frame that may come to this process; None where rows are here anyway.
    """

    @property
    def fetch_bytes(self) -> int | None:
        """As above."""
        ...

    @property
    def upkeep(self) -> Upkeep:
        """What keeping the store tidy needs to know of it."""
        ...

    def publish(
        self,
        schema: str,
        prefix: str,
        batches: Frame,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> Published:
        """Write rows once and for ever under ``<prefix>__<32 hex of their fingerprint>``.

        Exclusive: of several callers one creates the table, the others verify it and reuse it.
        Nothing stands under the final name before it was read back, found equal and made durable.
        The rows stream, or never leave the engine: memory stays bounded.

        Args:
            schema: One of `SCHEMAS`.
            prefix: First part of the table's name.
            batches: An Arrow stream, or a frame of this engine.
            properties: Text properties kept with the table.

        Raises:
            IntegrityError: The name exists and holds other content.
            StoreError: The store is full or away; nothing was published.
        """
        ...

    def create(
        self,
        table: TableName,
        batches: pa.RecordBatchReader,
        *,
        properties: Mapping[str, str] | None = None,
        constraints: Mapping[str, str] | None = None,
        append_only: bool = False,
    ) -> bool:
        """Create a table that will grow; True for the one caller that created it, False if it exists.

        Args:
            table: The table.
            batches: Its first rows (may be none) and its schema, nullability included.
            properties: Text properties kept with the table.
            constraints: SQL conditions by name that the store checks on every write.
            append_only: Refuse updates and deletes from now on.
        """
        ...

    def append(self, table: TableName, batches: pa.RecordBatchReader, *, expected_version: int) -> int:
        """Append rows if the table still is at `expected_version`: compare and set.

        Returns:
            The new version.

        Raises:
            RaceLostError: The table has moved on; nothing was written.
        """
        ...

    def merge(
        self,
        table: TableName,
        batches: pa.RecordBatchReader,
        *,
        key: Sequence[str],
        expected_version: int,
        properties: Mapping[str, str] | None = None,
    ) -> int:
        """Insert rows with a new key and replace those whose key exists, in one commit.

        Returns:
            The new version.

        Raises:
            RaceLostError: The table has moved on; nothing was written.
        """
        ...

    def read(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Bring the rows of one version (the newest by default) to this process, in no particular order.

        Raises:
            StoreError: No such table or version, or unreadable.
            DataError: More than this target lets come to one process (DAT070), with the sizes.
        """
        ...

    def scan(
        self, table: TableName, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> Frame:
        """The rows of one version in the engine's own form; they stay where they are.

        Raises:
            StoreError: No such table or version.
        """
        ...

    def log(self, table: TableName, batches: Frame, *, batch: str) -> bool:
        """Add rows to a log once and for ever per name of a batch; the first batch makes the log.

        Exactly once, however many processes add the same batch, and whatever was killed before. Any
        number may add batches of other names meanwhile; each takes its turn. Columns of a log are
        nullable: a batch may bring new ones and leave out known ones. The rows stream.

        Args:
            table: The log, which is read by `scan_log`.
            batches: The rows.
            batch: What tells this batch from all others, such as the id of the run that made it.

        Returns:
            False if a batch of that name was there before; nothing was written.

        Raises:
            DataError: A column has another type than in the log (DAT080).
        """
        ...

    def scan_log(
        self,
        table: TableName,
        *,
        column: str = EVENT_TIME,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        columns: Sequence[str] | None = None,
        coded: Collection[str] = (),
    ) -> Frame | None:
        """The rows of a log with ``since <= column < until``, in the engine's own form, in no order.

        What lies outside by its bounds, which are kept with the files, is not read. A row without an
        instant is left out wherever a bound is given; a column that a batch did not have is missing
        in its rows.

        Args:
            table: The log.
            column: Instants in UTC.
            since: First instant, with a time zone; None for no bound.
            until: First instant that is left out.
            columns: Only these.
            coded: Columns of texts that may come as dictionaries, which is quicker where few texts come
                again and again; a matter of Arrow, and nothing to Spark.

        Returns:
            None if there is no such log.

        Raises:
            DataError: No such column (DAT045), it holds no instants in UTC, or a bound has no time zone
                (DAT081).
        """
        ...

    def trim_log(self, table: TableName, *, before: dt.datetime, column: str = EVENT_TIME) -> int:
        """Remove the rows of a log whose instant is earlier, for good; gives how many.

        The names of their batches stay taken. Space is freed when nobody can be reading it any more.
        """
        ...

    def drop(self, table: TableName) -> None:
        """Remove a table with all its versions or batches; fine if it is not there.

        Whether anybody still needs it is for the caller to know.
        """
        ...

    def size(self, table: TableName) -> int:
        """Bytes that `drop` would free; 0 if there is no such table or the store does not say."""
        ...

    def describe(self, table: TableName) -> TableInfo | None:
        """What is known of a table without reading rows; None if there is no such table."""
        ...

    def tables(self, schema: str, *, prefix: str = "") -> list[TableName]:
        """Tables of a schema whose name starts with `prefix`, in name order."""
        ...
