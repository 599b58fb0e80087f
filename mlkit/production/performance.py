"""Labels that arrive late: joined to the answers that were logged, and scored as at the gate.

A label belongs to a row by its key (or to a request by its id), so it does not matter when it comes. What is
computed is the metric of the gate, by the same code, and it stands beside the score on the sealed test rows
and the threshold that the model had to reach.
"""

from __future__ import annotations

import dataclasses
import hashlib
import html
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.drift import PROBABILITY_PREFIX
from mlkit.data.frame import to_target
from mlkit.digest.spark_frame import is_spark
from mlkit.engines.base import EVENT_TIME
from mlkit.engines.sizes import fetch
from mlkit.errors import EXIT_DONE
from mlkit.model.evaluation import get_metric, score
from mlkit.model.gate import Gate, Scores, judge
from mlkit.model.predictions import Predictions
from mlkit.production import ledger
from mlkit.production.decisions import plain
from mlkit.production.labels import Labels, read_labels
from mlkit.production.monitor_report import EXIT_DRIFT
from mlkit.production.prediction_log import IDENTITY, PRODUCTION, PredictionLog
from mlkit.production.records import Records
from mlkit.production.rules import rules_of, width_of
from mlkit.production.scorer import PREDICTION, open_scorer
from mlkit.production.windows import Span, in_utc, last_full, spans

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.model.evaluation import Metric
    from mlkit.production.ledger import Entry
    from mlkit.production.scorer import Scorer
    from mlkit.production.stores import Stores

State = Literal["OK", "BELOW", "NO_LABELS"]

KIND = "performance"
WINDOWS = 12
"""So many of the last full windows are looked at unless others are named."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The answers of one model in one window beside their labels.

    Attributes:
        span: Event times.
        model_id: The model.
        version: Its number.
        state: ``OK``; ``BELOW`` if today's gate would not pass it; ``NO_LABELS`` if none has come yet.
        rows: Production rows that were logged.
        labelled: Those of them whose label is known.
        value: The metric over those; None if it has no value.
        test_score: The metric on the sealed test rows, when the model was judged.
        threshold: What the gate asks for; None if nothing.
        reason: One sentence.
        recorded: False if the same finding was recorded before.
    """

    span: Span
    model_id: str
    version: int
    state: State
    rows: int
    labelled: int
    value: float | None
    test_score: float | None
    threshold: float | None
    reason: str
    recorded: bool = False

    @property
    def unlabelled(self) -> int:
        """Rows whose label is still to come."""
        return self.rows - self.labelled

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        said = {**dataclasses.asdict(self), **self.span.to_dict(), "unlabelled": self.unlabelled}
        del said["span"]
        return dict(plain(said))

    def __repr__(self) -> str:
        """One line."""
        known = f"{self.labelled:,} of {self.rows:,} labelled"
        return f"{self.state:<9} {self.span}  v{self.version}  {known}  {self.reason}"


@dataclasses.dataclass(frozen=True)
class PerformanceReport:
    """What the labels say of each window.

    Attributes:
        project: The project.
        metric: The metric of the gate.
        windows: Each window and model, oldest first.
        labels: Labels that were given.
        unmatched: Those of them for which nothing was logged in these windows.
    """

    project: str
    metric: str
    windows: tuple[Measured, ...]
    labels: int
    unmatched: int

    @property
    def exit_code(self) -> int:
        """What `mlkit performance` exits with: 0, since a score is an answer, whatever it is."""
        return EXIT_DONE

    @property
    def verdict_code(self) -> int:
        """What ``--exit-code`` exits with: 7 if the newest window with labels is below the threshold."""
        known = [window for window in self.windows if window.labelled]
        return EXIT_DRIFT if known and known[-1].state == "BELOW" else EXIT_DONE

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**said, "windows": [window.to_dict() for window in self.windows]}

    def __repr__(self) -> str:
        """One line a window."""
        known = f"{self.labels:,} labels, {self.unmatched:,} of them without an answer"
        head = f"{self.project}  {self.metric} on {known}"
        lines = [f"  {window!r}" for window in self.windows]
        return "\n".join([head, *(lines or ["  nothing was logged in these windows"])])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def measure(
    stores: Stores,
    labels: object,
    *,
    label: str | None = None,
    request_id: str | None = None,
    every: dt.timedelta | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    now: dt.datetime | None = None,
) -> PerformanceReport:
    """Score what was answered by the labels that are known by now, window by window and model by model.

    Args:
        stores: Where the project lives.
        labels: A table's name, a .csv or .parquet file, or any dataframe: the key, or a request's id, and the
            label. Rows without a label are left out.
        label: Name of the label's column; by default the target.
        request_id: Column with the request's id, where labels are of requests; by default the key is used.
        every: Width of a window; by default that of the config.
        since: Beginning of the first; by default the last twelve full windows are looked at.
        until: End of the last.
        now: What time it is.

    Raises:
        UsageError: Nothing serves (CLI050), the labels have no key (CLI066), or a row has two (CLI067).
        DataError: A label is of another type than the target.
    """
    scorer = open_scorer(stores)
    entries = stores.ledger.entries()
    known = read_labels(stores.engine, labels, scorer, label=label or scorer.target, request_id=request_id)
    found = _windows(entries[-1], every=every, since=since, until=until, now=now or ledger.now())
    newest = {entry.model_id: entry for entry in entries}
    answers = _Answers.read(stores, known, found, models=set(newest))
    judged: dict[str, _Judged] = {}
    windows = []
    for place, model_id in answers.groups():
        if model_id not in judged:
            judged[model_id] = _Judged.read(stores, newest[model_id], entries, champion=scorer)
        windows.append(judged[model_id].measure(found[place], answers.of(place, model_id), known))
    metric = str(rules_of(entries[-1])["metric"])
    recorded = tuple(_recorded(stores, windows))
    return PerformanceReport(stores.project, metric, recorded, len(known), len(known) - answers.matched)


@dataclasses.dataclass(frozen=True)
class _Group:
    """Answers of one model in one window: how many, and those with a label, in an order of their own."""

    rows: int
    table: pa.Table


@dataclasses.dataclass(frozen=True)
class _Answers:
    """Production rows of the windows: how many by window and model, and the labelled ones."""

    rows: Mapping[tuple[int, str], int]
    table: pa.Table

    @classmethod
    def read(cls, stores: Stores, labels: Labels, found: Sequence[Span], *, models: set[str]) -> _Answers:
        """Read the log once, and keep what has a label."""
        log = PredictionLog(stores.engine, stores.project)
        names = log.columns(since=found[0].since, until=found[-1].until)
        if names is None:
            return cls({}, pa.table({}))
        outputs = [name for name in names if name == PREDICTION or name.startswith(PROBABILITY_PREFIX)]
        columns = [*IDENTITY, EVENT_TIME, "model_id", "traffic", *outputs]
        frame = log.window(since=found[0].since, until=found[-1].until, columns=columns)
        if frame is None:  # trimmed away meanwhile
            return cls({}, pa.table({}))
        if is_spark(frame):
            wanted = frame.where(f"traffic = '{PRODUCTION}'")
            batches = fetch(wanted, most=stores.engine.fetch_bytes, what=str(log.name)).to_batches()
        else:
            batches = frame
        rows: Counter[tuple[int, str]] = Counter()
        kept = [_labelled(batch, labels, found, models, rows) for batch in batches]
        return cls(rows, pa.concat_tables(kept) if kept else pa.table({}))

    @property
    def matched(self) -> int:
        """Labels that belong to some answer."""
        return len(pc.unique(self.table.column("label"))) if self.table.num_rows else 0

    def groups(self) -> list[tuple[int, str]]:
        """Window and model of each group, oldest window first."""
        return sorted(self.rows)

    def of(self, place: int, model_id: str) -> _Group:
        """One group, each request and row once, in the order of their ids."""
        if not self.table.num_rows:
            return _Group(self.rows[place, model_id], self.table)
        same = pc.and_(
            pc.equal(self.table.column("window"), place), pc.equal(self.table.column("model_id"), model_id)
        )
        mine = self.table.filter(same)
        order = pc.sort_indices(mine, [(name, "ascending") for name in IDENTITY])
        mine = mine.take(order)
        return _Group(self.rows[place, model_id], mine.filter(pa.array(_first_of_each(mine))))


def _labelled(
    batch: pa.RecordBatch,
    labels: Labels,
    found: Sequence[Span],
    models: set[str],
    rows: Counter[tuple[int, str]],
) -> pa.Table:
    """The rows of a batch that have a label, with its position and the place of their window."""
    known = pa.array(sorted(models))
    mine = batch.filter(
        pc.and_(pc.equal(batch.column("traffic"), PRODUCTION), pc.is_in(batch.column("model_id"), known))
    )
    begins = np.array([span.since.replace(tzinfo=None) for span in found], dtype="datetime64[us]")
    times = mine.column(EVENT_TIME).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    places = pa.array(np.searchsorted(begins, times, side="right") - 1)
    table = pa.Table.from_batches([mine]).append_column("window", places)
    counted = table.group_by(["window", "model_id"]).aggregate([([], "count_all")])
    for row in counted.to_pylist():
        rows[row["window"], row["model_id"]] += row["count_all"]
    position = pc.index_in(table.column(labels.by), value_set=labels.ids)
    table = table.append_column("label", position)
    return table.filter(pc.is_valid(position)).drop_columns([EVENT_TIME, "traffic"])


def _first_of_each(table: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(n,) bool: rows of a sorted table that differ from the one before."""
    first = np.ones(table.num_rows, np.bool_)
    if table.num_rows > 1:
        same = [
            pc.equal(table.column(name).slice(1), table.column(name).slice(0, table.num_rows - 1)).to_numpy()
            for name in IDENTITY
        ]
        first[1:] = ~np.logical_and.reduce(same)
    return first


@dataclasses.dataclass(frozen=True)
class _Judged:
    """A model, and what it was judged by."""

    entry: Entry
    scorer: Scorer
    gate: Gate
    metric: Metric
    test_score: float | None

    @classmethod
    def read(cls, stores: Stores, entry: Entry, entries: Sequence[Entry], *, champion: Scorer) -> _Judged:
        """The model of the newest entry that names it."""
        rules = rules_of(entry)
        gate = Gate.from_values(rules["gate"], path="gate")
        scorer = champion if champion.seq == entry.seq else open_scorer(stores, entry)
        metric = get_metric(rules["metric"], direction=gate.direction, task=scorer.task)
        decision = stores.decisions.behind(entry, entries).record
        test_score = decision["scores"]["candidate"] if decision["metric"] == metric.name else None
        return cls(entry, scorer, gate, metric, test_score)

    def measure(self, span: Span, group: _Group, labels: Labels) -> Measured:
        """What the labels say of its answers in one window."""
        labelled = group.table.num_rows
        value = _value(self.metric, self.scorer, group.table, labels) if labelled else None
        state, reason = _state(self.metric, self.gate, value, labelled, self.test_score)
        return Measured(
            span=span,
            model_id=self.entry.model_id,
            version=self.entry.to_version,
            state=state,
            rows=group.rows,
            labelled=labelled,
            value=value,
            test_score=self.test_score,
            threshold=self.gate.threshold,
            reason=reason,
        )


def _value(metric: Metric, scorer: Scorer, table: pa.Table, labels: Labels) -> float | None:
    """The metric, by the code that the gate was judged with; None where it has no value."""
    chosen = labels.rows.take(table.column("label"))
    truth = to_target(chosen, scorer.contract, scorer.target)
    value = score(metric, truth, _predictions(scorer, table, truth))
    return value if math.isfinite(value) else None


def _predictions(scorer: Scorer, table: pa.Table, truth: np.ndarray[Any, Any]) -> Predictions:
    """Logged answers as the metrics take them: classes of their own type again."""
    said = table.column(PREDICTION)
    if scorer.task == "regression":
        return Predictions(said.cast(pa.float64()).to_numpy())
    classes = _classes(scorer)
    by_text = {str(label): label for label in (*truth.tolist(), *classes)}
    values = np.array([by_text.get(text, text) for text in said.to_pylist()], dtype=truth.dtype)
    template = Predictions(values, None, classes)
    names = template.probability_columns()
    if not classes or not set(names).issubset(table.column_names):
        return template
    columns = [table.column(name).to_numpy() for name in names]
    return Predictions(values, np.stack(columns, axis=1), classes)


def _classes(scorer: Scorer) -> tuple[Any, ...]:
    found = getattr(scorer.estimator, "classes_", ())
    return tuple(label.item() if isinstance(label, np.generic) else label for label in found)


def _state(
    metric: Metric, gate: Gate, value: float | None, labelled: int, test_score: float | None
) -> tuple[State, str]:
    if not labelled:
        return "NO_LABELS", "no label has come yet"
    before = "" if test_score is None else f", {test_score:.6g} on the sealed test rows"
    if value is None:
        return "NO_LABELS", f"{metric.name} has no value on these labels{before}"
    scores = Scores(candidate=value, rows=labelled, has_champion=False)
    judged = judge(scores, gate.replace(min_improvement=0.0), direction=metric.direction)
    said = f"{metric.name} {value:.6g}{before}"
    if gate.threshold is not None:
        said += f", threshold {gate.threshold:.6g} {'reached' if judged.passed else 'not reached'}"
    return ("OK" if judged.passed else "BELOW"), said


def _windows(
    head: Entry,
    *,
    every: dt.timedelta | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    now: dt.datetime,
) -> list[Span]:
    width = every or width_of(head)
    if since is not None and until is not None and every is None:
        return [Span(in_utc(since), in_utc(until))]
    if since is None and until is None:
        since = last_full(width, now=now).until - WINDOWS * width
    return spans(width, now=now, since=since, until=until)


def _recorded(stores: Stores, windows: Sequence[Measured]) -> Iterator[Measured]:
    """Add each finding, unless the same stands there."""
    records = Records(stores.engine, stores.project, KIND)
    known = {record.record_id for record in records.all()}
    for window in windows:
        said = window.to_dict()
        del said["recorded"]
        found = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
        records.add(said, record_id=found)
        yield dataclasses.replace(window, recorded=found not in known)


def read_performance(stores: Stores) -> Iterator[dict[str, Any]]:
    """What was ever measured, oldest first."""
    for record in Records(stores.engine, stores.project, KIND).all():
        yield {**record.record, "at": record.at.isoformat()}
