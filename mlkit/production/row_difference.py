"""What became of the rows between two versions: told apart by their digests, wherever they are.

Nothing but counts leaves Spark. In this process the digests of a table are held, sixteen bytes a row.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.drift import INPUT_PREFIX, Comparison, compare, read_baseline
from mlkit.data.drift_counts import check_form
from mlkit.data.drift_sql import count_rows
from mlkit.digest.fingerprint import lanes
from mlkit.digest.spark_frame import LANES, fields_of, is_spark, translated
from mlkit.errors import DataError
from mlkit.model.spark_training import lanes_sql
from mlkit.production.outputs import read_output
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlkit.engines.base import Frame
    from mlkit.production.stores import Stores

LEAST_EFFECT = 0.02
"""A column has moved if more than so large a share of its rows would have to move back."""
_LEVEL = 0.01
_BEFORE, _AFTER = "mlkit_before", "mlkit_after"


@dataclasses.dataclass(frozen=True)
class RowDifference:
    """The rows of one part (train or test) in two versions.

    Attributes:
        before: Rows of the first.
        after: Rows of the second.
        unchanged: Rows that both have, with the same values.
        changed: Rows that both have by key, with other values; None where there is no common key.
        added: Rows that only the second has.
        removed: Rows that only the first has.
    """

    before: int
    after: int
    unchanged: int
    changed: int | None
    added: int
    removed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @property
    def sentence(self) -> str:
        """The numbers in one line."""
        if self.before == self.after == self.unchanged:
            return f"the same {self.after:,} rows"
        changed = "" if self.changed is None else f", {self.changed:,} changed"
        found = f"{self.added:,} added, {self.removed:,} removed{changed}, {self.unchanged:,} unchanged"
        return f"{self.before:,} -> {self.after:,} rows: {found}"


@dataclasses.dataclass
class Tables:
    """The published rows of two versions; digests are made once for each table.

    Attributes:
        stores: Where they are.
        key: Columns that identify a row in both; may be none.
        columns: Columns that both have.
    """

    stores: Stores
    key: list[str]
    columns: list[str]

    def __post_init__(self) -> None:
        """No digest is made yet."""
        self._counted: dict[tuple[str, bool], Frame] = {}

    def rows(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> RowDifference:
        """Compare one part, given as the records have it: `table`, `fingerprint` and `rows`.

        Raises:
            IntegrityError: A table is gone.
        """
        old, new = int(before["rows"]), int(after["rows"])
        if before["fingerprint"] == after["fingerprint"]:
            return RowDifference(old, new, new, 0 if self.key else None, 0, 0)
        unchanged = self._in_both(before["table"], after["table"], by_key=False)
        if not self.key:
            return RowDifference(old, new, unchanged, None, new - unchanged, old - unchanged)
        known = self.shared(before, after)
        return RowDifference(old, new, unchanged, known - unchanged, new - known, old - known)

    def shared(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
        """How many rows two tables share, by key where there is one."""
        return self._in_both(before["table"], after["table"], by_key=bool(self.key))

    def _in_both(self, before: str, after: str, *, by_key: bool) -> int:
        left, right = (self._counts(table, by_key=by_key) for table in (before, after))
        if is_spark(left):
            joined = left.withColumnRenamed("count", _BEFORE).join(
                right.withColumnRenamed("count", _AFTER), list(LANES), "inner"
            )
            with translated("compare the rows of two tables"):
                ((found,),) = joined.selectExpr(f"sum(least({_BEFORE}, {_AFTER}))").collect()
            return int(found or 0)
        joined = left.join(
            right, list(LANES), join_type="inner", left_suffix="_before", right_suffix="_after"
        )
        least = pc.min_element_wise(joined.column("count_before"), joined.column("count_after"))
        return int(pc.sum(least).as_py() or 0)

    def _counts(self, table: str, *, by_key: bool) -> Frame:
        """How often each digest (of the key, or of all common columns) stands in a table."""
        if (table, by_key) not in self._counted:
            rows, columns = read_output(self.stores, table), self.key if by_key else self.columns
            counted = _counted_in_spark(rows, columns) if is_spark(rows) else _counted_here(rows, columns)
            self._counted[table, by_key] = counted
        return self._counted[table, by_key]


def _counted_here(rows: Frame, columns: Sequence[str]) -> pa.Table:
    found = pa.table(list(lanes(rows, columns=columns)), names=list(LANES))
    return found.group_by(list(LANES)).aggregate([([], "count_all")]).rename_columns([*LANES, "count"])


def _counted_in_spark(rows: Frame, columns: Sequence[str]) -> Frame:
    return rows.selectExpr(*lanes_sql(fields_of(rows, columns))).groupBy(*LANES).count()


def columns_of(stores: Stores, table: str) -> dict[str, pa.DataType]:
    """Columns of a published table with their types; none of one that is gone."""
    info = stores.engine.describe(table_name(table))
    return {} if info is None else {field.name: field.type for field in info.schema}


def column_shifts(stores: Stores, folder: Path, table: str) -> dict[str, Comparison]:
    """How the features in a train table are spread, beside those that an earlier model was trained on.

    Its bins, and what it counted in them, lie in its folder; so only the later rows are read, once.

    Args:
        stores: Where the table is.
        folder: Files of the earlier model.
        table: Train table of the later one.

    Returns:
        By feature; those that one of them lacks, or has as another type, are left out.

    Raises:
        DataError: The earlier model has no bins (DAT093).
    """
    baseline, kinds = read_baseline(folder), columns_of(stores, table)
    bins = {
        name.removeprefix(INPUT_PREFIX): cut
        for name, cut in baseline.bins.items()
        if name.startswith(INPUT_PREFIX)
    }
    fitting = {name: cut for name, cut in bins.items() if name in kinds and _fits(kinds[name], cut, name)}
    if not fitting:
        return {}
    counted = count_rows(read_output(stores, table), fitting)
    level = _LEVEL / len(fitting)
    return {
        name: compare(baseline.counts[INPUT_PREFIX + name], counted[name], cut, alpha=level)
        for name, cut in fitting.items()
    }


def moved(shifts: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The columns of which more has moved than chance moves, the largest first."""
    level = _LEVEL / max(1, len(shifts))
    found = [name for name, seen in shifts.items() if seen.p_value <= level and seen.effect >= LEAST_EFFECT]
    return {name: shifts[name] for name in sorted(found, key=lambda name: -shifts[name].effect)}


def _fits(kind: pa.DataType, bins: Any, name: str) -> bool:  # noqa: ANN401 - of `mlkit.data.drift`
    try:
        check_form(kind, bins, name)
    except DataError:
        return False
    return True
