"""The production run in the tracking store: one per run key, found again after a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from typing import TYPE_CHECKING, Any, Self

from mlkit.errors import StoreError
from mlkit.production.registry import RUN_KEY
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from mlkit.frozen import FrozenConfig
    from mlkit.production.attempt import Attempt
    from mlkit.production.build import Build
    from mlkit.production.decisions import Decision
    from mlkit.production.report import RunReport
    from mlkit.production.stores import Stores
    from mlkit.tracking.runs import RunRecord


@dataclasses.dataclass(frozen=True)
class Known:
    """What is left of a build when its rows need not be read again."""

    config: FrozenConfig
    run_key: str


@dataclasses.dataclass
class production_run:  # noqa: N801 - reads as a statement: with production_run(...) as run
    """Opens the run of a build; an error inside marks it failed and passes on."""

    made: Build | Known
    stores: Stores
    origin: Mapping[str, Any]
    run_id: str = ""
    attempt: Attempt | None = None

    def __enter__(self) -> Self:
        """Find the run of this key, or create it."""
        tracking, config = self.stores.tracking, self.made.config
        found = _run_of(self.made.run_key, self.stores)
        if found is not None:
            self.run_id = found.run_id
            tracking.reopen(self.run_id)
        else:
            self.run_id = tracking.start(self.stores.experiment, f"deploy {config.name}", tags=self._tags())
        if self.attempt is not None:
            tracking.log(self.run_id, tags=self.attempt.tags)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the run; what stopped it is kept with it."""
        tracking = self.stores.tracking
        if error is None:
            tracking.end(self.run_id)
            return
        with contextlib.suppress(StoreError):  # the error that passes on is the one to see
            tracking.text(self.run_id, "error.txt", "".join(traceback.format_exception(error)))
            tracking.end(self.run_id, "FAILED" if isinstance(error, Exception) else "KILLED")

    def finish(self, report: RunReport, decision: Decision) -> RunReport:
        """Log what people and tools look for: config, data, score, decision, report; gives the report."""
        tracking, config = self.stores.tracking, self.made.config
        report = dataclasses.replace(report, run_id=self.run_id)
        for stored, context in ((report.train, "training"), (report.test, "evaluation")):
            if stored is not None:
                name, digest = table_name(stored.table), stored.fingerprint
                tracking.dataset(self.run_id, name, fingerprint=digest, rows=stored.rows, context=context)
        tracking.log(
            self.run_id,
            params=_params(self.made),
            metrics=_metrics(config.metric, report),
            tags={"mlkit_outcome": report.outcome},
        )
        tracking.text(self.run_id, "config.yaml", config.to_yaml())
        tracking.document(self.run_id, "decision.json", decision.record)
        tracking.document(self.run_id, "report.json", report.to_dict())
        return report

    def _tags(self) -> dict[str, str]:
        return {
            RUN_KEY: self.made.run_key,
            "mlkit_kind": "deploy",
            "mlkit_config": self.made.config.digest,
            "mlkit_commit": str(self.origin.get("commit") or ""),
        }


def settled_report(made: Build | Known, stores: Stores, report: RunReport, decision: Decision) -> RunReport:
    """A report about an earlier run with the id of that; a stopped one is completed and closed."""
    found = _run_of(decision.run_key, stores)
    if found is None:
        return report
    if found.status == "FINISHED" or decision.run_key != made.run_key:
        return dataclasses.replace(report, run_id=found.run_id)
    with production_run(made, stores, {}) as run:
        return run.finish(report, decision)


def _run_of(run_key: str, stores: Stores) -> RunRecord | None:
    found = stores.tracking.runs(stores.experiment, tags={RUN_KEY: run_key})
    return found[-1] if found else None


def _params(made: Build | Known) -> dict[str, Any]:
    config = made.config
    return {
        "metric": config.metric,
        "seed": config.seed,
        "model": config.model["class"],
        "gate": config.gate.model_dump(),
    }


def _metrics(metric: str, report: RunReport) -> dict[str, float]:
    named = {f"{who}_{metric}".replace(":", "."): value for who, value in report.scores.items()}
    seconds = {f"seconds_{step}": value for step, value in report.seconds.items()}
    return {name: value for name, value in {**named, **seconds}.items() if value is not None}
