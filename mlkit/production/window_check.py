"""One check of one window: what there is to look at, the comparison, and the words for it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit import document
from mlkit.data.drift import ASSUMPTION, Baseline, Counts, compare, judge_window, levels, read_baseline
from mlkit.data.drift_sql import count_rows
from mlkit.failpoints import failpoint
from mlkit.model.retraining import has_drifted
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.drift_records import DriftRecords, Window, read_windows
from mlkit.production.monitor_report import (
    SEVERITY,
    ColumnCheck,
    Coverage,
    Ignored,
    MonitorReport,
    SelfCheck,
    check_id_of,
)
from mlkit.production.outputs import read_output
from mlkit.production.prediction_log import INPUT, PredictionLog
from mlkit.production.retrain import is_cooling
from mlkit.production.rules import monitor_of, retrain_of
from mlkit.production.scorer import PREDICTION
from mlkit.production.serving_counts import served_counts
from mlkit.production.window_counts import count_future, count_window, survey
from mlkit.production.windows import Span

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from mlkit.data.drift import Bins, Comparison, WindowVerdict
    from mlkit.data.monitor_spec import Monitor
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores
    from mlkit.production.window_counts import Counted, Survey

    References = dict[tuple[str, ...], Baseline]

_SEED = 0


@dataclasses.dataclass
class WindowCheck:
    """One check: first what there is to look at, then the comparison, then the words for it."""

    stores: Stores
    entries: Sequence[Entry]
    span: Span
    now: dt.datetime
    self_check: int = 0
    references: References = dataclasses.field(default_factory=dict)
    started: float = dataclasses.field(default_factory=time.perf_counter)

    def run(self) -> MonitorReport:
        """The report of the window, not yet recorded."""
        log = PredictionLog(self.stores.engine, self.stores.project)
        seen = survey(log, self._past()) if self.span.since < self.now else None
        entry = _deciding(self.entries, self.span, seen)
        failpoint("monitor.surveyed")
        rule = monitor_of(entry)
        coverage = self._coverage(entry)
        future = count_future(log, self.now)
        if seen is None or not seen.models.get(entry.model_id):
            return self._silent(entry, seen, coverage, future)
        baseline = self._reference(entry)
        counted = count_window(log, self._past(), model_id=entry.model_id, bins=baseline.bins, seen=seen)
        level = levels(counted.counts, rule)
        compared = {
            name: compare(baseline.counts[name], counts, baseline.bins[name], alpha=level[name], seed=_SEED)
            for name, counts in counted.counts.items()
        }
        verdict = judge_window(
            compared,
            rule,
            earlier=self._earlier(entry),
            coverage=coverage.share if coverage else None,
        )
        columns = [*_columns(baseline, counted, compared, verdict), *_absent(baseline, counted)]
        worst = max((verdict.verdict, *(check.verdict for check in columns)), key=SEVERITY.index)
        alarms = [*_alarms(columns), *_unlogged(coverage, rule)]
        output = compared.get(PREDICTION)
        return self._report(
            entry,
            verdict=worst,
            reasons=(*verdict.reasons, *(check.reason for check in columns if check.verdict == "NO_DATA")),
            alarms=tuple(alarms),
            rows=counted.rows,
            columns=tuple(sorted(columns, key=_worst_first)),
            ignored=_ignored(entry, seen, future, counted),
            coverage=coverage,
            power=_power(output.visible) if output else "",
            assumption=ASSUMPTION if output else "",
            self_check=_self_check(baseline, level[PREDICTION], counted.rows, self.self_check)
            if PREDICTION in level
            else None,
        )

    def asks_for_retrain(self, report: MonitorReport, *, auto: bool) -> bool:
        """Whether the policy wants a retrain, this window included."""
        rule = retrain_of(self.entries[-1])
        if not (auto or rule.by_drift) or report.model_id != self.entries[-1].model_id:
            return False
        earlier = [window.verdict for window in self._windows(report.model_id)]
        return has_drifted(rule, [*earlier, report.verdict]) and not is_cooling(
            self.stores, rule, now=self.now
        )

    def _reference(self, entry: Entry) -> Baseline:
        """What the model of an entry said and saw, verified and read once."""
        named = (entry.model_id, entry.manifest_digest, entry.evidence["predictions"]["table"])
        if named not in self.references:
            self.references[named] = _reference(self.stores, entry)
        return self.references[named]

    def _past(self) -> Span:
        """The part of the window that has passed."""
        return Span(self.span.since, min(self.span.until, self.now))

    def _coverage(self, entry: Entry) -> Coverage | None:
        counts = served_counts(
            self.stores.engine,
            self.stores.project,
            since=self.span.since,
            until=self.span.until,
            model_id=entry.model_id,
        )
        return Coverage(counts.served, counts.logged, counts.dropped) if counts and counts.served else None

    def _windows(self, model_id: str) -> list[Window]:
        """Earlier windows of a model, oldest first."""
        known = read_windows(self.stores, model_id=model_id)
        return [window for window in known if window.span.until <= self.span.since]

    def _earlier(self, entry: Entry) -> dict[str, list[str]]:
        """Verdicts by column of the windows that lead up to this one without a gap, oldest first."""
        found: dict[str, list[str]] = {}
        chain: list[Window] = []
        begins = self.span.since
        for window in reversed(self._windows(entry.model_id)):
            if window.span.until == begins and window.span.width == self.span.width:
                chain.insert(0, window)
                begins = window.span.since
        for window in chain:
            for name, column in window.columns.items():
                found.setdefault(name, []).append(column["verdict"])
        return found

    def _silent(
        self, entry: Entry, seen: Survey | None, coverage: Coverage | None, future: int
    ) -> MonitorReport:
        """Nothing was logged where something was expected: silence is an alarm."""
        reason = f"v{entry.to_version} logged no production rows in this window"
        if seen is None:
            reason = (
                "nothing was ever logged" if self.span.since < self.now else "this window has not begun yet"
            )
        return self._report(
            entry,
            verdict="NO_DATA",
            reasons=(reason,),
            alarms=(reason,),
            ignored=_ignored(entry, seen, future, None),
            coverage=coverage,
        )

    def _report(self, entry: Entry, **said: Any) -> MonitorReport:  # noqa: ANN401 - fields of the report
        report = MonitorReport(
            project=self.stores.project,
            span=self.span,
            model_id=entry.model_id,
            version=entry.to_version,
            table=str(DriftRecords(self.stores.engine, self.stores.project).table),
            seconds=round(time.perf_counter() - self.started, 3),
            **said,
        )
        return dataclasses.replace(report, check_id=check_id_of(report))


def _deciding(entries: Sequence[Entry], span: Span, seen: Survey | None) -> Entry:
    """The entry whose model served when the window ended; of a window before the first, one that answered."""
    served = [entry for entry in entries if entry.at < span.until]
    if served:
        return served[-1]
    answered = seen.models if seen else {}
    return next((entry for entry in reversed(entries) if answered.get(entry.model_id)), entries[-1])


def _reference(stores: Stores, entry: Entry) -> Baseline:
    """Bins and reference counts of a model: its inputs at training, its answers to all test rows.

    Raises:
        IntegrityError: The model's files or its `test_predictions` are not what was recorded.
        DataError: The model was trained before bins were kept with models (DAT093).
    """
    folder = stores.registry.folder(entry.model_id)
    stores.registry.verify(entry.model_id, manifest_digest=entry.manifest_digest)
    baseline = read_baseline(folder)
    inputs = (document.read(folder / CONFIG_FILE).get("monitor") or {}).get("inputs", ())
    logged = {INPUT + name for name in inputs}  # of the others there are bins too, but no rows
    bins = {name: cut for name, cut in baseline.bins.items() if name in logged or not name.startswith(INPUT)}
    outputs = {name: cut for name, cut in bins.items() if not name.startswith(INPUT)}
    said = count_rows(read_output(stores, entry.evidence["predictions"]["table"]), outputs)
    return Baseline(bins, {name: said.get(name, baseline.counts[name]) for name in bins})


def _columns(
    baseline: Baseline, counted: Counted, compared: Mapping[str, Comparison], verdict: WindowVerdict
) -> list[ColumnCheck]:
    return [
        ColumnCheck(
            column=name,
            kind=baseline.bins[name].kind,
            verdict=judged.verdict,
            reason=judged.reason,
            p_value=judged.p_value,
            bins=baseline.bins[name].labels,
            reference=baseline.counts[name].numbers,
            observed=counted.counts[name].numbers,
            found=compared[name].to_dict(),
        )
        for name, judged in verdict.columns.items()
    ]


def _absent(baseline: Baseline, counted: Counted) -> list[ColumnCheck]:
    """Columns that the model's bins are for and the log does not have: its schema changed."""
    return [
        ColumnCheck(name, bins.kind, "NO_DATA", f"the log has no column {name}: its schema changed")
        for name, bins in baseline.bins.items()
        if name not in counted.counts
    ]


def _alarms(columns: Sequence[ColumnCheck]) -> list[str]:
    return [f"{check.column}: {check.reason}" for check in columns if check.verdict in ("DRIFT", "NO_DATA")]


def _unlogged(coverage: Coverage | None, rule: Monitor) -> list[str]:
    if coverage is None or coverage.share >= rule.min_coverage:
        return []
    return [f"only {coverage.share:.1%} of what was served was logged, {coverage.dropped:,} rows dropped"]


def _worst_first(check: ColumnCheck) -> tuple[int, float, str]:
    return -SEVERITY.index(check.verdict), -check.effect, check.column


def _ignored(entry: Entry, seen: Survey | None, future: int, counted: Counted | None) -> Ignored:
    if seen is None:
        return Ignored(future=future)
    others = {model: rows for model, rows in seen.models.items() if model != entry.model_id}
    repeated, late = (counted.repeated, counted.late) if counted else (0, 0)
    return Ignored(seen.other_traffic, others, repeated, late, future)


def _power(visible: float) -> str:
    if visible >= 1:
        return "this window is too small to show any shift of the predictions four times out of five"
    return f"shifts of the predictions of {visible:.3f} of the rows and more show four times out of five"


def _self_check(baseline: Baseline, alpha: float, rows: int, windows: int) -> SelfCheck | None:
    """Windows drawn from the reference itself, without replacement, against what is left of it."""
    bins, counts = baseline.bins[PREDICTION], baseline.counts[PREDICTION]
    size = min(rows, counts.total // 2)
    if not windows or not size:
        return None
    pool = np.array(counts.numbers, np.int64)
    drawn = np.random.default_rng(_SEED).multivariate_hypergeometric(pool, size, windows, method="marginals")
    p_values = [
        compare(_counts(bins, pool - hand), _counts(bins, hand), bins, alpha=alpha, seed=seed).p_value
        for seed, hand in enumerate(drawn)
    ]
    alarms = sum(value <= alpha for value in p_values)
    return SelfCheck(windows=windows, alarms=alarms, rows=size, alpha=alpha)


def _counts(bins: Bins, numbers: np.ndarray[Any, Any]) -> Counts:
    return Counts(bins.digest, tuple(map(int, numbers)))
