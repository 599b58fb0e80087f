"""Tables as they are found in a catalog: published, growing, or made by another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlkit.engines import names
from mlkit.engines.base import TableName
from mlkit.engines.faults import race_lost
from mlkit.engines.spark import logs, versions
from mlkit.engines.spark.transport import arrow_schema, chosen
from mlkit.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from mlkit.engines.spark.catalog import Catalog, Description
    from mlkit.engines.spark.record import Record


class Found(NamedTuple):
    """A table that is there.

    Attributes:
        name: The table.
        numbers: Its versions that can be read, oldest first.
        description: What the catalog says of the newest one; None for a log.
        grows: Whether each version is a table of its own.
        log: Its batches, if it is a log; each is a table of its own.
        counted: Whether its format counts the versions, so that one can be read while others are written.
    """

    name: TableName
    numbers: Sequence[int]
    description: Description | None
    grows: bool
    log: logs.Log | None = None
    counted: bool = False

    @property
    def record(self) -> Record | None:
        """What is kept with the newest one; None for a table of another tool, and for a log."""
        return self.description.record if self.description else None

    @property
    def newest(self) -> int:
        """Number of the newest version."""
        return self.numbers[-1]

    @property
    def properties(self) -> Mapping[str, str]:
        """Text properties that were given with it."""
        if self.log:
            return logs.PROPERTIES
        return dict(self.record.properties) if self.record else {}

    def frame(self, catalog: Catalog, version: int | None = None) -> DataFrame:
        """The rows of one version, by default the newest.

        Raises:
            StoreError: STO011, there is no such version.
        """
        wanted = self.newest if version is None else version
        if wanted not in self.numbers:
            raise StoreError(
                "STO011",
                f"expected a version from {self.numbers[0]} to {self.newest}, found {version}",
                path=str(self.name),
                fix="leave the version out to read the newest",
            )
        if self.log:
            return logs.frame_of(catalog, self.name, self.log)
        if self.grows:
            return catalog.frame(versions.table_of(self.name, wanted))
        return catalog.frame_at(self.name, wanted) if self.counted else catalog.frame(self.name)

    def schema(self, frame: DataFrame) -> pa.Schema:
        """The columns as they were given, or as Spark shows those of another tool's table."""
        if self.log:
            return self.log.schema
        return self.record.schema if self.record else arrow_schema(frame)


def find(catalog: Catalog, table: TableName) -> Found | None:
    """Look for a table: one that grows, else one of this name."""
    taken = catalog.names(table.schema, prefix=table.name) or []
    numbers = versions.versions_of(table, taken)
    if numbers:
        return Found(table, numbers, catalog.describe(versions.table_of(table, numbers[-1])), grows=True)
    if table.name not in taken:
        log = logs.find_log(catalog, table) if logs.parts_of(table, taken) else None
        return Found(table, range(1), None, grows=False, log=log) if log else None
    description = catalog.describe(table)
    last = None if description.record else catalog.newest_version(table, description)
    counted = range((last or 0) + 1)
    return Found(table, counted, description, grows=False, counted=last is not None)


def find_there(catalog: Catalog, table: TableName) -> Found:
    """Look for a table that has to be there.

    Raises:
        StoreError: STO010, with the nearest names that are.
    """
    found = find(catalog, table)
    if found is None:
        raise names.no_such_table(table, tables(catalog, table.schema))
    return found


def find_growing(catalog: Catalog, table: TableName, *, expected_version: int) -> tuple[DataFrame, Record]:
    """Look for a table that mlkit may write to, at the version that is expected.

    Returns:
        Its rows and what is kept with them.

    Raises:
        RaceLostError: It has moved on.
        StoreError: STO010 (no such table), STO055 (another tool's).
    """
    found = find_there(catalog, table)
    if found.record is None or not found.grows:
        raise of_another_tool(table)
    if found.newest != expected_version:
        raise race_lost(table, expected_version, found.newest)
    return chosen(found.frame(catalog), found.record.schema), found.record


def of_another_tool(table: TableName) -> StoreError:
    """The error for a table that mlkit did not make, and so does not change."""
    return StoreError(
        "STO055",
        f"{table} was made by another tool: it is read, and never written to",
        path=str(table),
        fix="write with the tool that made it, or under another name",
    )


def tables(catalog: Catalog, schema: str) -> list[TableName]:
    """All tables of a schema, in name order."""
    return [TableName(schema, name) for name in versions.whole(catalog.names(schema) or [])]
