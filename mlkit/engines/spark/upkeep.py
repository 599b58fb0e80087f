"""Keeping a catalog of Spark tidy: its clock, the age of its tables, and staged tables of killed writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.engines.base import SCHEMAS, Leftover, TableName
from mlkit.engines.spark.catalog import STAGING
from mlkit.engines.spark.faults import door
from mlkit.engines.spark.lookup import find_there

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from mlkit.engines.spark.catalog import Catalog


class SparkUpkeep:
    """What the catalog tells; `mlkit.engines.base.Upkeep` says what each method promises."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        """Say how the catalog is reached; its session is opened on first use."""
        self._catalog = catalog

    def now(self) -> dt.datetime:
        """The time of the server."""
        with door("clock"):
            return self._catalog().now()

    def made_at(self, table: TableName) -> dt.datetime | None:
        """When its newest version, or batch, was made."""
        with door(str(table)):
            catalog = self._catalog()
            found = find_there(catalog, table)
            if found.log:
                return catalog.describe(TableName(table.schema, found.log.newest)).made_at
            return found.description.made_at if found.description else None

    def leftovers(self) -> list[Leftover]:
        """Staged tables of each schema; how large they are is not known."""
        found = []
        for schema in SCHEMAS:
            with door(schema):
                catalog = self._catalog()
                for name in catalog.names(schema, prefix=STAGING) or []:
                    made = catalog.describe(TableName(schema, name)).made_at
                    found.append(Leftover(schema, name, made, None))
        return found

    def remove(self, leftover: Leftover) -> None:
        """Drop the staged table."""
        with door(str(leftover)):
            self._catalog().drop(TableName(leftover.schema, leftover.name))
