"""Watching and retraining as tasks of a job: texts in, a report out, an error for what should be red."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.errors import StudyError
from mlkit.production import ledger
from mlkit.production.attempt import Attempt
from mlkit.production.monitor import monitor
from mlkit.production.options import switch
from mlkit.production.retrain import hand_over, retrain
from mlkit.production.windows import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.frozen import FrozenConfig
    from mlkit.production.monitor_report import MonitorReport
    from mlkit.production.retrain import RetrainReport
    from mlkit.production.stores import Stores


def watch(
    verb: str, options: Mapping[str, str], config: FrozenConfig, stores: Stores
) -> MonitorReport | RetrainReport:
    """Run one of the verbs.

    Drift is a normal end of the task: what follows asks for its value `should_retrain`. A retrain that the
    job then makes is recorded here, because its deploy task knows of nothing but a reason.

    Raises:
        StudyError: The check failed (RUN050); what was found is recorded.
        MlkitError: An alarm could not be delivered, or the deployment was stopped.
    """
    if verb == "retrain":
        asked = {name: switch(name, options.get(name, "")) for name in ("dry-run", "force")}
        attempt = Attempt.from_options(options)
        return retrain(config, stores, dry_run=asked["dry-run"], force=asked["force"], attempt=attempt)
    since, until = (
        read_time(options[name], path=name) if options.get(name) else None for name in ("since", "until")
    )
    auto = switch("auto-retrain", options.get("auto-retrain", ""))
    report = monitor(stores, since=since, until=until, auto_retrain=auto)
    if report.should_retrain:
        hand_over(stores, reasons=report.reasons, version=report.version, now=ledger.now())
    if report.error is not None:
        fix = report.error.get("fix") or "see the drift table"
        raise StudyError("RUN050", "; ".join(report.reasons), path=stores.project, fix=fix)
    if report.sent.error is not None:
        raise report.sent.error
    return report
