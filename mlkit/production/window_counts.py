"""A window of the prediction log as integers: which rows there are, and how they fall into the bins.

Rows that are here stream; those in Spark stay there. A row of the service counts once however often its
request was repeated, if the repeats say the same; a batch that was scored stands in the log once anyway.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.drift_sql import count_rows
from mlkit.digest.fingerprint import lanes
from mlkit.digest.spark_frame import is_spark, translated
from mlkit.digest.sql import quoted
from mlkit.production.prediction_log import IDENTITY, PRODUCTION
from mlkit.production.windows import micros

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from mlkit.data.drift import Bins, Counts
    from mlkit.engines.base import Frame
    from mlkit.production.prediction_log import PredictionLog
    from mlkit.production.windows import Span

SERVED = "serve"
_KINDS = ["model_id", "traffic", "source"]


class Kind(NamedTuple):
    """Rows of the log that are told apart before they are counted."""

    model_id: str
    traffic: str
    source: str


@dataclasses.dataclass(frozen=True)
class Survey:
    """Which rows a window holds: their number by kind, and the columns of the log."""

    rows: Mapping[Kind, int]
    columns: tuple[str, ...]

    @property
    def models(self) -> dict[str, int]:
        """Production rows by model."""
        found: Counter[str] = Counter()
        for kind, number in self.rows.items():
            if kind.traffic == PRODUCTION:
                found[kind.model_id] += number
        return dict(found)

    @property
    def mixed(self) -> list[str]:
        """Columns in which not all rows are the same: only these need to be read again."""
        kinds = list(self.rows)
        return [name for name in _KINDS if len({getattr(kind, name) for kind in kinds}) > 1]

    @property
    def other_traffic(self) -> int:
        """Rows that are not of production."""
        return sum(number for kind, number in self.rows.items() if kind.traffic != PRODUCTION)

    def served(self, model_id: str) -> bool:
        """Whether some production rows of a model came by the service, where requests may be repeated."""
        return any(
            (kind.model_id, kind.traffic, kind.source) == (model_id, PRODUCTION, SERVED) for kind in self.rows
        )


@dataclasses.dataclass(frozen=True)
class Counted:
    """Production rows of one model in one window.

    Attributes:
        rows: How many were counted.
        counts: By column of the log.
        repeated: Rows left out, because they stood there before.
        late: Rows, repeats among them, that were logged after the window had ended.
    """

    rows: int
    counts: Mapping[str, Counts]
    repeated: int = 0
    late: int = 0


def survey(log: PredictionLog, span: Span) -> Survey | None:
    """Look at which rows a window holds; None if there is no log yet."""
    columns = log.columns(since=span.since, until=span.until)
    if columns is None:
        return None
    frame = log.window(since=span.since, until=span.until, columns=_KINDS, coded=_KINDS)
    return Survey(_kinds_in_spark(frame) if is_spark(frame) else _kinds_here(frame), tuple(columns))


def count_future(log: PredictionLog, now: dt.datetime) -> int:
    """Rows whose event time has not come yet."""
    frame = log.window(since=now, until=None, columns=_KINDS[:1])
    if frame is None:
        return 0
    if is_spark(frame):
        with translated("count rows"):
            return int(frame.count())
    return sum(batch.num_rows for batch in frame)


def count_window(
    log: PredictionLog, span: Span, *, model_id: str, bins: Mapping[str, Bins], seen: Survey
) -> Counted:
    """Count the production rows of one model.

    Args:
        log: The log.
        span: Event times.
        model_id: The model.
        bins: By column; those that the log does not have are left out.
        seen: The survey of the same window.
    """
    wanted = {name: found for name, found in bins.items() if name in seen.columns}
    same = [*IDENTITY, *wanted] if seen.served(model_id) else []
    counted = _Rows(model_id, span.until, seen.mixed, same).count(log, span, wanted)
    if counted.rows + counted.repeated != seen.models[model_id]:  # rows were logged meanwhile, of any kind
        counted = _Rows(model_id, span.until, _KINDS, same).count(log, span, wanted)
    return counted


def _kinds_here(stream: Any) -> dict[Kind, int]:  # noqa: ANN401 - a frame of the engine
    found: Counter[Kind] = Counter()
    for batch in stream:
        grouped = pa.Table.from_batches([batch]).group_by(_KINDS).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            found[Kind(*(row[name] for name in _KINDS))] += row["count_all"]
    return dict(found)


def _literal(text: str) -> str:
    """A text of SQL: by its bytes, so that nothing in it means anything."""
    return f"decode(unhex('{text.encode().hex()}'), 'UTF-8')"


def _kinds_in_spark(frame: Frame) -> dict[Kind, int]:
    with translated("count rows"):
        rows = frame.groupBy(*_KINDS).count().collect()
    return {Kind(*row[: len(_KINDS)]): int(row["count"]) for row in rows}


class _Rows:
    """The rows of one model that count, wherever they are; how many do not, and why."""

    def __init__(self, model_id: str, end: dt.datetime, kinds: list[str], same: list[str]) -> None:
        """Say which rows are meant.

        Args:
            model_id: Whose.
            end: Of the window.
            kinds: Columns by which rows are told apart; the others are the same in all rows.
            same: Columns that make a row of the service a repeat; none where there is no service.
        """
        self._end, self._kinds, self._same = end, kinds, same
        self._model_id = model_id
        self._kept = self._repeated = self._late = 0
        self._known = _Known()

    def count(self, log: PredictionLog, span: Span, bins: Mapping[str, Bins]) -> Counted:
        """Count them."""
        columns = list(dict.fromkeys([*self._kinds, "logged_at", *self._same, *bins]))
        texts = [name for name, cut in bins.items() if cut.kind == "category"]
        coded = [*self._kinds, *texts]
        frame = log.window(since=span.since, until=span.until, columns=columns, coded=coded)
        if frame is None:  # trimmed away meanwhile
            return Counted(0, {})
        if is_spark(frame):
            return self._count_in_spark(frame, bins)
        schema = pa.schema([frame.schema.field(name) for name in bins])
        counts = count_rows(pa.RecordBatchReader.from_batches(schema, self._chosen(frame, list(bins))), bins)
        return Counted(self._kept, counts, self._repeated, self._late)

    def _chosen(self, stream: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - a frame
        for batch in stream:
            rows = batch
            for name, value in (("traffic", PRODUCTION), ("model_id", self._model_id)):
                if name in self._kinds:
                    rows = _only(rows, pc.equal(rows.column(name), value))
            after = pc.greater_equal(rows.column("logged_at"), pa.scalar(self._end))
            self._late += pc.sum(after).as_py() or 0
            rows = self._without_repeats(rows) if self._same else rows
            self._kept += rows.num_rows
            yield rows.select(columns)

    def _without_repeats(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        served = np.ones(rows.num_rows, np.bool_)
        if "source" in self._kinds:
            served = pc.equal(rows.column("source"), SERVED).to_numpy(zero_copy_only=False)
        digests = lanes(rows.select(self._same))[:, served]
        new = np.ones(rows.num_rows, np.bool_)
        new[served] = self._known.add(digests)
        self._repeated += int((~new).sum())
        return _only(rows, pa.array(new))

    def _count_in_spark(self, frame: Frame, bins: Mapping[str, Bins]) -> Counted:
        wanted = {"traffic": PRODUCTION, "model_id": self._model_id}
        named = [f"{name} = {_literal(value)}" for name, value in wanted.items() if name in self._kinds]
        mine = frame.where(" AND ".join(named) or "TRUE")
        rows = mine
        if self._same:
            served = mine.where(f"source = '{SERVED}'") if "source" in self._kinds else mine
            rows = served.dropDuplicates(self._same)
            if "source" in self._kinds:
                rows = rows.union(mine.where(f"source <> '{SERVED}'"))
        late = f"sum(CASE WHEN logged_at >= timestamp_micros({micros(self._end)}) THEN 1 ELSE 0 END)"
        with translated("count rows"):
            ((before, after),) = mine.selectExpr("count(1)", late).collect()
            kept = rows.count() if self._same else int(before)
        counts = count_rows(rows.select(*map(quoted, bins)), bins)
        return Counted(kept, counts, int(before) - kept, int(after or 0))


class _Known:
    """Digests of the rows so far, 16 bytes a row, in runs of growing size that are sorted by lane 0."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, digests: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) bool, which of (2, n) digests were not there before; of equal ones the first."""
        order = np.argsort(digests[0], kind="stable")
        sorted_ = digests[:, order]
        again = np.zeros(order.size, np.bool_)
        again[1:] = (sorted_[:, 1:] == sorted_[:, :-1]).all(axis=0)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run[0], sorted_[0]), run.shape[1] - 1)
            again |= (run[:, place] == sorted_).all(axis=0)
        new = np.empty(order.size, np.bool_)
        new[order] = ~again
        self._keep(sorted_[:, ~again])
        return new

    def _keep(self, run: NDArray[np.int64]) -> None:
        """Merge runs of like size, so that there are few."""
        while self._runs and self._runs[-1].shape[1] <= 2 * run.shape[1]:
            both = np.concatenate([self._runs.pop(), run], axis=1)
            run = both[:, np.argsort(both[0], kind="stable")]
        if run.size:
            self._runs.append(run)


def _only(rows: pa.RecordBatch, mask: pa.Array) -> pa.RecordBatch:
    return rows if pc.all(mask, min_count=0).as_py() and not mask.null_count else rows.filter(mask)
