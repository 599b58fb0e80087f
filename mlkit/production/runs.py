"""The production run in the tracking store: one per run key, found again after a kill."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

from mlkit.production.registry import RUN_KEY

if TYPE_CHECKING:
    from types import TracebackType

    from mlkit.production.build import Build
    from mlkit.production.decisions import Decision
    from mlkit.production.report import RunReport
    from mlkit.production.stores import Stores


@dataclasses.dataclass
class production_run:  # noqa: N801 - reads as a statement: with production_run(...) as run
    """Opens the run of a build; an error inside marks it failed and passes on."""

    made: Build
    stores: Stores
    origin: dict[str, Any]
    run_id: str = ""

    def __enter__(self) -> Self:
        """Find the run of this key, or create it."""
        tracking, config = self.stores.tracking, self.made.config
        found = tracking.runs(self.stores.experiment, tags={RUN_KEY: self.made.run_key})
        if found:
            self.run_id = found[-1].run_id
            tracking.reopen(self.run_id)
        else:
            self.run_id = tracking.start(self.stores.experiment, f"deploy {config.name}", tags=self._tags())
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Close the run."""
        self.stores.tracking.end(self.run_id, "FINISHED" if kind is None else "FAILED")

    def finish(self, report: RunReport, decision: Decision) -> None:
        """Log what people and tools look for: config, data, score, decision, report."""
        tracking, config = self.stores.tracking, self.made.config
        for part, stored in (("train", report.train), ("test", report.test)):
            if stored is not None:
                tracking.dataset(
                    self.run_id,
                    f"{config.name}_{part}",
                    fingerprint=stored.fingerprint,
                    table=stored.table,
                    rows=stored.rows,
                    context=part,
                )
        scores = {f"{who}_{config.metric}".replace(":", "."): value for who, value in report.scores.items() if value is not None}
        seconds = {f"seconds_{step}": value for step, value in report.seconds.items()}
        params = {"metric": config.metric, "seed": config.seed, "model": config.model["class"], "gate": config.gate.model_dump()}
        tracking.log(self.run_id, params=params, metrics={**scores, **seconds}, tags={"mlkit_outcome": report.outcome})
        tracking.text(self.run_id, "config.yaml", config.to_yaml())
        tracking.document(self.run_id, "decision.json", decision.record)
        tracking.document(self.run_id, "report.json", report.to_dict())

    def _tags(self) -> dict[str, str]:
        return {
            RUN_KEY: self.made.run_key,
            "mlkit_kind": "deploy",
            "mlkit_config": self.made.config.digest,
            "mlkit_commit": str(self.origin.get("commit") or ""),
        }
