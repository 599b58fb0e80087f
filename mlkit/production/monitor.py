"""Watching: a window of the prediction log beside what the model said and saw when it was judged.

What the model answers is compared with its own `test_predictions`, what it was asked with its own train
rows, in bins that were fixed at training and lie with the model. Only rows of production count, each once,
of one model only. A check that fails is recorded as failed: it never reads OK.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

from mlkit.console import say
from mlkit.errors import EXIT_BUG, MlkitError, UsageError
from mlkit.failpoints import failpoint
from mlkit.production import ledger
from mlkit.production.alerts import Sent, send
from mlkit.production.drift_records import DriftRecords, Window, check_rows, read_windows
from mlkit.production.monitor_report import MonitorReport, MonitorRun, check_id_of
from mlkit.production.rules import width_of
from mlkit.production.scorer import PREDICTION
from mlkit.production.window_check import WindowCheck
from mlkit.production.windows import Span, in_utc, last_full, spans

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path
    from types import TracebackType

    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores
    from mlkit.production.window_check import References
    from mlkit.targets import Alert

_HISTORY = 60


def monitor(  # noqa: PLR0913 - each is a question that some check has to answer
    stores: Stores,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    now: dt.datetime | None = None,
    version: int | None = None,
    alert: Alert | None = None,
    auto_retrain: bool = False,
    self_check: int = 0,
    references: References | None = None,
) -> MonitorReport:
    """Check one window of the prediction log, and record what was found.

    Args:
        stores: Where the project lives.
        since: First event time; by default the last full window of the config.
        until: End of the window, itself left out; by default a window's width after `since`.
        now: What time it is; rows with a later event time are counted apart.
        version: Whose answers to look at; by default those of the version that served last in the window.
        alert: Who is told of an alarm; by default whoever the target names.
        auto_retrain: Ask for a retrain on drift also where the policy of the config is another.
        self_check: So many windows without drift are drawn from the reference, to see how many alarm.
        references: What earlier checks of the same command have read of each model; is added to.

    Returns:
        The report; with verdict ERROR and the cause if something of mlkit's stopped the check.

    Raises:
        UsageError: Nothing serves (CLI063), no such version (CLI064), or a window of nothing (CLI060).
    """
    moment = now or ledger.now()
    entries = _entries(stores, version)
    span = _span(since, until, width_of(entries[-1]), moment)
    told = alert or stores.workspace.spec.alert
    failed = _Failed(stores, span, moment, told)
    report = MonitorReport(stores.project, span, "ERROR", ())
    with failed:
        check = WindowCheck(
            stores, entries, span, moment, self_check, {} if references is None else references
        )
        report = check.run()
        report = dataclasses.replace(report, should_retrain=check.asks_for_retrain(report, auto=auto_retrain))
        report = dataclasses.replace(report, recorded=_record(stores, report, moment))
        report = dataclasses.replace(report, history=_history(stores, report))
    failpoint("monitor.recorded")
    return _told(failed.report or report, told)


def monitor_windows(
    stores: Stores,
    *,
    every: dt.timedelta | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    now: dt.datetime | None = None,
    **options: Any,  # noqa: ANN401 - those of `monitor`
) -> MonitorRun:
    """Check the windows of a span one after another, oldest first.

    Args:
        stores: Where the project lives.
        every: Width of a window; by default that of the config.
        since: Beginning of the first.
        until: End of the last.
        now: What time it is.
        options: As for `monitor`.

    Raises:
        UsageError: As for `monitor`, no window lies between (CLI060), or more than a thousand do (CLI061).
    """
    moment = now or ledger.now()
    entries = _entries(stores, options.get("version"))
    width = every or width_of(entries[-1])
    found = spans(width, now=moment, since=since, until=until)
    options["references"] = {}
    return MonitorRun(
        tuple(monitor(stores, since=each.since, until=each.until, now=now, **options) for each in found)
    )


class _Failed:
    """Records whatever ends a check, so that it never looks as if there had been none.

    An error of mlkit's becomes the report; a bug is recorded, told, and passes on.
    """

    def __init__(self, stores: Stores, span: Span, now: dt.datetime, alert: Alert | None) -> None:
        self.report: MonitorReport | None = None
        self._stores, self._span, self._now, self._alert = stores, span, now, alert

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
            return False
        if isinstance(error, MlkitError):
            self.report = self._recorded(error.to_dict())
            return True
        bug = {"code": "BUG001", "message": type(error).__name__, "exit_code": EXIT_BUG}
        _told(self._recorded(bug), self._alert)
        return False

    def _recorded(self, error: dict[str, Any]) -> MonitorReport:
        reason = f"the check failed: {error['message']} [{error['code']}]"
        report = MonitorReport(
            project=self._stores.project,
            span=self._span,
            verdict="ERROR",
            reasons=(reason,),
            alarms=(reason,),
            error=error,
            table=str(DriftRecords(self._stores.engine, self._stores.project).table),
        )
        report = dataclasses.replace(report, check_id=check_id_of(report))
        try:
            return dataclasses.replace(report, recorded=_record(self._stores, report, self._now))
        except MlkitError as exc:  # the store that failed is the one that keeps the records
            say(f"the failed check could not be recorded: {exc.message}")
            return dataclasses.replace(report, table="")


def _entries(stores: Stores, version: int | None) -> list[Entry]:
    entries = stores.ledger.entries()
    if not entries:
        fix = f"mlkit deploy {stores.project}"
        raise UsageError(
            "CLI063", "nothing serves yet, so there is nothing to watch", path=stores.project, fix=fix
        )
    chosen = [entry for entry in entries if version in (None, entry.to_version)]
    if not chosen:
        served = ", ".join(f"v{number}" for number in sorted({entry.to_version for entry in entries}))
        raise UsageError("CLI064", f"v{version} never served", path="version", fix=f"one of {served}")
    return chosen


def _span(
    since: dt.datetime | None, until: dt.datetime | None, width: dt.timedelta, now: dt.datetime
) -> Span:
    if since is not None and until is not None:
        return Span(in_utc(since), in_utc(until))
    if since is not None:
        return Span(in_utc(since), in_utc(since) + width)
    if until is not None:
        return Span(in_utc(until) - width, in_utc(until))
    return last_full(width, now=now)


def _record(stores: Stores, report: MonitorReport, now: dt.datetime) -> bool:
    records = DriftRecords(stores.engine, stores.project)
    return records.add(check_rows(report.to_dict(), report.span, at=now))


def _history(stores: Stores, report: MonitorReport) -> tuple[dict[str, Any], ...]:
    windows = [
        window
        for window in read_windows(stores, model_id=report.model_id)
        if window.span.until <= report.span.until and window.span.width == report.span.width
    ]
    return tuple(
        {**window.span.to_dict(), "verdict": window.verdict, "effect": _effect(window)} for window in windows
    )[-_HISTORY:]


def _effect(window: Window) -> float | None:
    found: dict[str, Any] = window.columns.get(PREDICTION, {}).get("found", {})
    return found.get("effect")


def _told(report: MonitorReport, alert: Alert | None) -> MonitorReport:
    """Tell of an alarm, after it was recorded."""
    sent = send(alert, report.to_dict()) if report.alarms else Sent()
    if sent.error:
        say(f"the alarm was not delivered: {sent.error.message}")
    return dataclasses.replace(report, sent=sent)


def page_path(stores: Stores, report: MonitorReport) -> Path:
    """Where the page of a window goes unless somebody says otherwise."""
    name = f"{stores.project}__drift__{report.span.since:%Y%m%dT%H%M}__{report.span.until:%Y%m%dT%H%M}.html"
    return stores.workspace.folder / "reports" / name
