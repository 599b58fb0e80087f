"""How many predictions a service gave, and how many of them its log holds: what coverage is computed from.

Counted by hour and model. A service counts what it could not keep; what it kept is counted from the rows
themselves when a segment is flushed, so the counts of a segment are added once, as its rows are.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mlkit.digest.spark_frame import is_spark
from mlkit.engines.base import EVENT_TIME, MONITORING, TableName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.engines.base import Engine

HOUR = "hour"
SCHEMA = pa.schema(
    [
        pa.field(HOUR, pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.string()) for name in ("model_id", "segment")),
        *(pa.field(name, pa.int64()) for name in ("version", "served", "logged", "dropped")),
    ]
)


class Slot(NamedTuple):
    """What is counted together: an hour, as ISO text in UTC, and a model."""

    hour: str
    model_id: str
    version: int


class ServedCounts(NamedTuple):
    """Predictions that were given, those of them that the log holds, and those that it lost."""

    served: int
    logged: int
    dropped: int


def slots_of(tables: Sequence[pa.Table]) -> Counter[Slot]:
    """Rows of the prediction log by slot; the tables may have different further columns."""
    if not tables:
        return Counter()
    rows = pa.concat_tables(table.select([EVENT_TIME, *Slot._fields[1:]]) for table in tables)
    hours = pc.floor_temporal(rows.column(EVENT_TIME), unit="hour")
    counted = rows.set_column(0, HOUR, hours).group_by(list(Slot._fields)).aggregate([([], "count_all")])
    return Counter(
        {
            Slot(row[HOUR].isoformat(), row["model_id"], row["version"]): row["count_all"]
            for row in counted.to_pylist()
        }
    )


def add_counts(
    engine: Engine, project: str, *, logged: Mapping[Slot, int], dropped: Mapping[Slot, int], segment: str
) -> bool:
    """Add the counts of a segment; False if they were there before."""
    rows = [
        {
            **slot._asdict(),
            HOUR: dt.datetime.fromisoformat(slot.hour),
            "segment": segment,
            "served": logged.get(slot, 0) + dropped.get(slot, 0),
            "logged": logged.get(slot, 0),
            "dropped": dropped.get(slot, 0),
        }
        for slot in sorted(logged.keys() | dropped.keys())
    ]
    return engine.log(_table(project), pa.Table.from_pylist(rows, schema=SCHEMA).to_reader(), batch=segment)


def served_counts(
    engine: Engine,
    project: str,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    model_id: str | None = None,
) -> ServedCounts | None:
    """The counts of the hours that a window touches; None if no service told of any.

    Args:
        engine: Where the tables are.
        project: Whose service it is.
        since: Start of the window; None for all.
        until: Its end, which is left out.
        model_id: Of this model only.
    """
    hour = since and since.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    columns = ["model_id", *ServedCounts._fields]
    found = engine.scan_log(_table(project), column=HOUR, since=hour, until=until, columns=columns)
    if found is None:
        return None
    rows = found.toArrow() if is_spark(found) else found.read_all()
    if model_id is not None:
        rows = rows.filter(pc.equal(rows.column("model_id"), model_id))
    return ServedCounts(*(pc.sum(rows.column(name)).as_py() or 0 for name in ServedCounts._fields))


def _table(project: str) -> TableName:
    return TableName(MONITORING, f"{project}__serving_counts")
