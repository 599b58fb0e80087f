"""The prediction log: every answer that a version has given, with what is needed to judge it later.

One log per project, in the monitoring schema. Whoever answers adds to it: scoring a batch per run,
services a batch per segment. Rows come once, however often a batch is repeated.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from mlkit.data.cast import cast_column
from mlkit.digest.spark_frame import is_spark, names_of
from mlkit.engines.base import EVENT_TIME, MONITORING, TableName
from mlkit.production.scorer import PREDICTION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlkit.data.column import Column
    from mlkit.engines.base import Engine, Frame
    from mlkit.model.evaluation import Task
    from mlkit.production.scorer import Scorer

PRODUCTION = "production"
"""The traffic that counts; any other word keeps rows out of monitoring."""
INPUT = "input_"
IDENTITY = ("request_id", "row_id")
"""Columns that a repeated answer shares with the first one."""
INSTANT = pa.timestamp("us", "UTC")
STAMPS = pa.schema(
    [
        ("request_id", pa.string()),
        ("row_id", pa.string()),
        (EVENT_TIME, INSTANT),
        ("logged_at", INSTANT),
        ("version", pa.int64()),
        ("model_id", pa.string()),
        ("seq", pa.int64()),
        ("source", pa.string()),
        ("traffic", pa.string()),
        ("batch", pa.string()),
    ]
)
"""Columns of each row beside its prediction and inputs."""

_NUMBERS = frozenset({"integer", "float", "decimal"})


class PredictionLog:
    """The log of one project.

    Attributes:
        name: Its table.
    """

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine = engine
        self.name = TableName(MONITORING, f"{project}__predictions")

    def add(self, rows: Frame, *, batch: str) -> bool:
        """Add a batch once and for ever; False if it was there before.

        Args:
            rows: Rows of `log_rows`: a table, an Arrow stream, or a Spark dataframe.
            batch: Id of the run or of the segment that they come from.

        Raises:
            DataError: A column holds another type than in the log (DAT080).
        """
        given = rows.to_reader() if isinstance(rows, pa.Table) else rows
        return self._engine.log(self.name, given, batch=batch)

    def window(
        self,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        columns: Sequence[str] | None = None,
        coded: Collection[str] = (),
    ) -> Frame | None:
        """Rows with ``since <= event_time < until``, where they are; None if nothing was ever logged."""
        return self._engine.scan_log(self.name, since=since, until=until, columns=columns, coded=coded)

    def columns(self, *, since: dt.datetime, until: dt.datetime) -> list[str] | None:
        """Names of the columns of such rows; None if nothing was ever logged."""
        rows = self.window(since=since, until=until)
        if rows is None:
            return None
        return list(names_of(rows) if is_spark(rows) else rows.schema.names)


def log_rows(
    scorer: Scorer,
    rows: pa.Table,
    predictions: pa.Table,
    *,
    request_id: str | pa.Array,
    event_time: dt.datetime | pa.Array | pa.ChunkedArray,
    source: Literal["score", "serve"],
    batch: str,
    traffic: str = PRODUCTION,
) -> pa.Table:
    """Answers as rows of the log.

    Args:
        scorer: Who answered.
        rows: (n,) rows that were asked about.
        predictions: (n,) what `Scorer.predict` said of them.
        request_id: Of all rows, or (n,) one each.
        event_time: When that happened which the rows are about; of all rows, or (n,).
        source: Who asked.
        batch: Id of the run or segment.
        traffic: `PRODUCTION`, or a word of the caller's.

    Returns:
        (n,) rows: `STAMPS`, `prediction` (float64, or the text of the class), `probability_*`, and
        `input_<feature>` for each logged feature, numbers as float64.

    Raises:
        DataError: An input is of another type than the contract says.
    """
    count = rows.num_rows
    values = {
        "request_id": request_id,
        "row_id": scorer.row_ids(rows),
        EVENT_TIME: event_time,
        "logged_at": dt.datetime.now(dt.UTC),
        "version": scorer.version,
        "model_id": scorer.model_id,
        "seq": scorer.seq,
        "source": source,
        "traffic": traffic,
        "batch": batch,
    }
    columns = {field.name: _filled(values[field.name], field.type, count) for field in STAMPS}
    columns |= _as_logged(predictions, scorer.task)
    for name in scorer.inputs:
        column = scorer.contract.columns[name]
        found = cast_column(rows.column(name), column, path=name)
        if column.kind == "decimal":  # Arrow's own cast is not correctly rounded
            found = found.cast(pa.string())
        columns[INPUT + name] = found.cast(input_type(column), safe=False)
    return pa.table(columns)


def input_type(column: Column) -> pa.DataType:
    """The type in which the log keeps the values of a feature: one that outlives a change of its width."""
    return pa.float64() if column.kind in _NUMBERS else column.arrow_type


def _as_logged(predictions: pa.Table, task: Task) -> dict[str, pa.ChunkedArray]:
    """Predictions in the types of the log: numbers as they are, classes as Python writes them."""
    found = dict(zip(predictions.column_names, predictions.columns, strict=True))
    if task != "regression":
        encoded = pa.chunked_array(found[PREDICTION]).combine_chunks().dictionary_encode()
        texts = pa.array([str(value) for value in encoded.dictionary.to_pylist()], pa.string())
        found[PREDICTION] = texts.take(encoded.indices)
    return found


def _filled(value: object, kind: pa.DataType, count: int) -> pa.Array | pa.ChunkedArray:
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value.cast(kind, safe=False)
    return pa.repeat(pa.scalar(value, kind), count)
