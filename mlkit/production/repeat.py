"""A repeat: a job run that has moved the champion already does not do so again.

By the time of a retry or a repair the rows may have moved on, or somebody may have rolled back. Neither
is this job run's business any more: it verifies what it has done, tells serving, closes what a stopped
attempt left open, and reports that.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.production.outputs import verify_outputs
from mlkit.production.report import Clock, RunReport, StoredTable
from mlkit.production.runs import Known, settled_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.frozen import FrozenConfig
    from mlkit.production.ledger import Entry
    from mlkit.production.refresh import Refresher
    from mlkit.production.report import Outcome
    from mlkit.production.stores import Stores


def repeat_deployment(
    config: FrozenConfig,
    stores: Stores,
    done: Entry,
    *,
    refresher: Refresher,
    reasons: Sequence[str] = (),
) -> RunReport:
    """Report what was deployed, after verifying it and telling serving of the champion.

    Args:
        config: What the package holds now.
        stores: Where it was deployed to.
        done: The entry that was made.
        refresher: What tells serving.
        reasons: Why it is not done again; by default that the same job run has done it.

    Raises:
        IntegrityError: Something stored is not what was recorded.
        ServingError: Serving does not answer with the champion.
    """
    clock = Clock()
    with clock.step("verify") as said:
        decision = stores.decisions.behind(done, stores.ledger.entries())
        verify_outputs(stores, done.model_id, manifest_digest=done.manifest_digest, evidence=decision.record)
        said.append(f"v{done.to_version} and its tables are what was recorded")
    with clock.step("refresh") as said:
        champion = stores.show_head(stores.ledger.entries()[-1])
        said.append(refresher.refresh(stores.project, champion).message)
    outcome: Outcome = "promoted" if done.kind == "promotion" and not reasons else "unchanged"
    report = dataclasses.replace(
        entry_report(outcome, stores, done, seconds=clock.seconds, reasons=reasons or already(done)),
        scores={who: decision.record["scores"][who] for who in ("candidate", "champion")},
        notes=_notes(config, done, champion),
    )
    same = config.digest == done.evidence["config_digest"]
    return settled_report(Known(config, done.run_key if same else ""), stores, report, decision)


def entry_report(
    outcome: Outcome, stores: Stores, entry: Entry, *, seconds: Mapping[str, float], reasons: Sequence[str]
) -> RunReport:
    """A report about the version of a ledger entry.

    Args:
        outcome: What was done.
        stores: Of which project.
        entry: The entry that names the version.
        seconds: Wall time by step.
        reasons: Why.
    """
    return RunReport(
        outcome=outcome,
        model=stores.project,
        run_key=entry.run_key,
        config_digest=entry.evidence["config_digest"],
        version=entry.to_version,
        model_id=entry.model_id,
        train=StoredTable(**entry.evidence["train"]),
        test=StoredTable(**entry.evidence["test"]),
        predictions=StoredTable(**entry.evidence["predictions"]),
        verdict={"passed": True, "reasons": list(reasons)},
        seconds=dict(seconds),
        run_id=entry.run_id,
    )


def already(done: Entry) -> list[str]:
    """Why nothing is done again."""
    attempt = done.evidence["attempt"]["attempt"]
    return [
        done.reason,
        f"this job run had done so by ledger entry {done.seq} ({attempt}); nothing was done again",
    ]


def _notes(config: FrozenConfig, done: Entry, champion: Entry) -> tuple[str, ...]:
    notes = []
    if config.digest != done.evidence["config_digest"]:
        notes.append("the package holds another config by now; start a new run of the job to deploy it")
    if champion.to_version != done.to_version:
        notes.append(f"v{done.to_version} is this run, but v{champion.to_version} serves")
    return tuple(notes)
