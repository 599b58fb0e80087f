"""Tables of other tools, as they are found in a catalog."""

from __future__ import annotations

import pytest

pytest.importorskip("pyspark.sql")

from mlkit.engines.base import TableName
from mlkit.engines.spark.catalog import Description
from mlkit.engines.spark.lookup import find_there

FLIGHTS = TableName("features", "flights")


class Foreign:
    """A catalog with one table of another tool, at a version that its format counts, or at none."""

    def __init__(self, newest: int | None) -> None:
        self.newest = newest

    def names(self, schema: str, *, prefix: str = "") -> list[str]:
        """The one table."""
        return [FLIGHTS.name] if (schema, FLIGHTS.name) == ("features", prefix) else []

    def describe(self, table: TableName) -> Description:
        """Nothing of ours is kept with it."""
        return Description(None, "parquet" if self.newest is None else "delta")

    def newest_version(self, table: TableName, description: Description) -> int | None:
        """As its history says."""
        return self.newest

    def frame(self, table: TableName) -> str:
        """Whatever it holds when it is read."""
        return "now"

    def frame_at(self, table: TableName, version: int) -> str:
        """What it held then, whenever it is read."""
        return f"at {version}"


@pytest.mark.parametrize(("newest", "frame"), [(0, "at 0"), (3, "at 3"), (None, "now")])
def test_a_version_is_pinned_where_it_can_be(newest, frame):
    """The first one too: others may write while rows are read twice."""
    catalog = Foreign(newest)
    assert find_there(catalog, FLIGHTS).frame(catalog) == frame
