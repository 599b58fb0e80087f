"""The production run: plan, snapshot, train, evaluate, gate, register, promote, refresh.

What stands before `promote` may be repeated or abandoned at will: everything written is immutable and
found again by its key. What follows converges when it is repeated. So a run that was killed anywhere
is finished by running it again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mlkit.console import say
from mlkit.engines.base import TRAINING
from mlkit.errors import IntegrityError
from mlkit.failpoints import failpoint
from mlkit.production.build import Build, build, drifted_pins
from mlkit.production.candidate import make_candidate
from mlkit.production.judging import decide, evaluate
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.plan import Plan, make_plan, rules_of
from mlkit.production.refresh import NoRefresher
from mlkit.production.registry import MANIFEST_TAG, MODEL_KEY
from mlkit.production.report import Clock, RunReport, StoredTable
from mlkit.production.runs import production_run
from mlkit.workspace import table_name

if TYPE_CHECKING:
    import pyarrow as pa

    from mlkit.frozen import FrozenConfig
    from mlkit.production.candidate import Candidate
    from mlkit.production.decisions import Decision
    from mlkit.production.judging import Evaluation
    from mlkit.production.refresh import Refresher
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores


def plan_deployment(config: FrozenConfig, stores: Stores) -> Plan:
    """What a deployment would do now. Writes nothing but, at most, a forgotten alias."""
    return _planned(build(config, stores.engine), stores)[0]


def deploy(
    config: FrozenConfig, stores: Stores, *, refresher: Refresher | None = None, origin: dict[str, Any] | None = None, reason: str = ""
) -> RunReport:
    """Bring a frozen config into production, or say why nothing needs to be done.

    Args:
        config: What to deploy.
        stores: Where to.
        refresher: What tells serving of a new champion.
        origin: Where the config came from (commit, study), kept with the version.
        reason: Why, for the ledger.

    Raises:
        RaceLostError: Another run promoted first; nothing was changed.
        IntegrityError: Something stored is not what was recorded.
    """
    clock = Clock()
    say(f"{config.name} -> {stores.workspace.target}")
    with clock.step("plan") as said:
        made = build(config, stores.engine)
        plan, head = _planned(made, stores)
        said.append(f"{plan.kind}: {plan.reasons[0]}")
    deployment = _Deployment(made, stores, head, clock, refresher or NoRefresher(), origin or {}, reason)
    if plan.kind == "nothing":
        return deployment.unchanged(plan.settled)
    return deployment.new_code(plan) if plan.kind == "secondary" else deployment.new_model()


def settled_decision(made: Build, stores: Stores, head: Entry | None) -> Decision | None:
    """An earlier decision about this very run that still stands, so that there is nothing to do."""
    promoted = {entry.run_key for entry in stores.ledger.entries()}
    for decision in reversed(stores.decisions.find(made.run_key)):
        if decision.outcome == "promote" and made.run_key in promoted:
            return decision
        if decision.outcome == "keep" and head is not None and decision.champion_model_id == head.model_id:
            return decision
        if decision.outcome == "reject" and head is None:
            return decision
    return None


def _planned(made: Build, stores: Stores) -> tuple[Plan, Entry | None]:
    head = stores.reconciled_head()
    return make_plan(made, head, settled_decision(made, stores, head)), head


@dataclasses.dataclass
class _Deployment:
    """One run of the steps; every method is one of its possible courses."""

    made: Build
    stores: Stores
    head: Entry | None
    clock: Clock
    refresher: Refresher
    origin: dict[str, Any]
    reason: str

    def new_model(self) -> RunReport:
        """All eight steps."""
        with production_run(self.made, self.stores, self.origin) as run:
            with self.clock.step("snapshot") as said:
                train = self._publish("train", self.made.parts.train)
                test = self._publish("test", self.made.parts.test)
                said.append(f"train {train.rows:,} + test {test.rows:,} rows, read back and equal")
                failpoint("snapshot.published")
            with self.clock.step("train") as said:
                candidate = make_candidate(self.made, self.stores, run_id=run.run_id)
                said.append(f"{'found' if candidate.reused else 'trained'} {candidate.model_id}")
                failpoint("train.stored")
            with self.clock.step("evaluate") as said:
                evaluation = evaluate(self.made, candidate, self.stores, self.head)
                said.append(f"candidate {_number(evaluation.scores.candidate)}, champion {_number(evaluation.scores.champion)}")
                failpoint("evaluate.published")
            evidence = self._evidence(train, test, evaluation.predictions)
            with self.clock.step("gate") as said:
                verdict, decision = decide(self.made, candidate, evaluation, evidence, self.head)
                decision = self.stores.decisions.record(decision)
                said.append(f"{verdict.outcome}: {verdict.reasons[-1]}")
                failpoint("gate.recorded")
            report = self._report(run.run_id, candidate, evaluation, train=train, test=test, decision=decision)
            if verdict.passed:
                report = self._promote(report, candidate, evidence)
            report = dataclasses.replace(report, seconds=dict(self.clock.seconds))
            run.finish(report, decision)
        return report

    def new_code(self, plan: Plan) -> RunReport:
        """The model stays; the ledger notes the new code and rules."""
        head = self._verified_head()
        with self.clock.step("promote") as said:
            rules = {"rules": rules_of(self.made), "config_digest": self.made.config.digest, "code": self.made.code}
            entry = dataclasses.replace(
                head,
                seq=head.seq + 1,
                at=now(),
                kind="code",
                actor=actor(),
                reason=self.reason or "; ".join(plan.reasons),
                from_version=head.to_version,
                run_key=self.made.run_key,
                evidence={**head.evidence, **rules},
            )
            self.stores.ledger.append(entry, expected_seq=head.seq)
            said.append(f"model v{head.to_version} stays, ledger entry {entry.seq}")
        report = self._from_evidence("unchanged", entry)
        return dataclasses.replace(report, verdict={"passed": True, "reasons": [*plan.reasons, "the model stays"]})

    def unchanged(self, settled: Decision | None) -> RunReport:
        """Nothing to do; what stands is verified first, and a rejection stays one."""
        if settled is None or settled.outcome == "promote":
            entries = [entry for entry in self.stores.ledger.entries() if entry.run_key == self.made.run_key]
            entry = entries[-1] if entries else self._verified_head()
            self._verify(entry.model_id, entry.manifest_digest, entry.evidence)
            return self._from_evidence("unchanged", entry)
        record = settled.record
        self._verify(record["candidate"]["model_id"], record["candidate"]["manifest_digest"], record)
        report = dataclasses.replace(
            self._empty("rejected" if settled.outcome == "reject" else "unchanged"),
            model_id=record["candidate"]["model_id"],
            **_tables(record),
            scores={name: record["scores"][name] for name in ("candidate", "champion")},
            verdict={"passed": False, "reasons": record["verdict"]["reasons"]},
        )
        return dataclasses.replace(report, seconds=dict(self.clock.seconds))

    def _promote(self, report: RunReport, candidate: Candidate, evidence: dict[str, Any]) -> RunReport:
        with self.clock.step("register") as said:
            version = self._register(report, candidate, evidence)
            said.append(f"v{version.version}, READY, manifest verified")
            failpoint("register.done")
        with self.clock.step("promote") as said:
            entry = self._entry(version, candidate, evidence)
            self.stores.ledger.append(entry, expected_seq=self.head.seq if self.head else 0)
            failpoint("promote.ledger")
            self.stores.registry.point_alias(version.version)
            failpoint("promote.alias")
            before = f"v{self.head.to_version} -> " if self.head else ""
            said.append(f"champion {before}v{version.version}, ledger entry {entry.seq}")
        with self.clock.step("refresh") as said:
            said.append(self.refresher.refresh(self.made.config.name, entry).message)
            failpoint("refresh.done")
        return dataclasses.replace(report, outcome="promoted", version=version.version)

    def _publish(self, part: str, rows: pa.Table) -> StoredTable:
        config = self.made.config
        properties = {"contract": config.contract.text(), "key": ",".join(config.key)}
        prefix = f"{config.name}__{part}"
        published = self.stores.engine.publish(TRAINING, prefix, rows.to_reader(), properties=properties)
        return StoredTable(str(published.name), published.fingerprint, published.rows)

    def _register(self, report: RunReport, candidate: Candidate, evidence: dict[str, Any]) -> ModelVersion:
        tags = {
            MODEL_KEY: self.made.model_key,
            MANIFEST_TAG: candidate.manifest_digest,
            "mlkit_config": self.made.config.digest,
            "mlkit_commit": str(self.origin.get("commit") or ""),
            **{f"mlkit_{part}_table": evidence[part]["table"] for part in ("train", "test", "predictions")},
        }
        return self.stores.registry.register(
            candidate.model_id, run_id=report.run_id, run_key=self.made.run_key, tags=tags
        )

    def _entry(self, version: ModelVersion, candidate: Candidate, evidence: dict[str, Any]) -> Entry:
        return Entry(
            seq=self.head.seq + 1 if self.head else 1,
            at=now(),
            kind="promotion",
            actor=actor(),
            reason=self.reason or ("passed the gate" if self.head else "first deployment"),
            from_version=self.head.to_version if self.head else None,
            to_version=version.version,
            model_id=version.model_id,
            run_id=version.run_id,
            manifest_digest=version.manifest_digest,
            run_key=self.made.run_key,
            model_key=self.made.model_key,
            evidence=evidence,
        )

    def _evidence(self, train: StoredTable, test: StoredTable, predictions: StoredTable) -> dict[str, Any]:
        config = self.made.config
        return {
            "train": dataclasses.asdict(train),
            "test": dataclasses.asdict(test),
            "predictions": dataclasses.asdict(predictions),
            "key": list(config.key),
            "config_digest": config.digest,
            "code": self.made.code,
            "ingredients": self.made.ingredients,
            "rules": rules_of(self.made),
            "source": str(config.source),
            "source_version": self.made.source_version,
            "origin": self.origin,
        }

    def _report(
        self, run_id: str, candidate: Candidate, evaluation: Evaluation, *, train: StoredTable, test: StoredTable, decision: Decision
    ) -> RunReport:
        outcome = "kept_champion" if self.head else "rejected"
        return dataclasses.replace(
            self._empty(outcome),
            model_id=candidate.model_id,
            train=train,
            test=test,
            predictions=evaluation.predictions,
            scores={"candidate": evaluation.scores.candidate, "champion": evaluation.scores.champion},
            verdict={"passed": decision.outcome == "promote", "reasons": list(decision.record["verdict"]["reasons"])},
            run_id=run_id,
        )

    def _from_evidence(self, outcome: Any, entry: Entry) -> RunReport:  # noqa: ANN401 - an outcome
        known = [d for d in self.stores.decisions.find(entry.run_key) if d.outcome == "promote"]
        scores = known[-1].record["scores"] if known else {"candidate": None, "champion": None}
        serves = self.head.to_version if self.head else None
        notes = []
        if serves != entry.to_version:
            notes.append(f"v{entry.to_version} is this run, but v{serves} serves; mlkit rollback --to {entry.to_version} brings it back")
        report = dataclasses.replace(
            self._empty(outcome),
            version=entry.to_version,
            model_id=entry.model_id,
            run_id=entry.run_id,
            **_tables(entry.evidence),
            scores={name: scores[name] for name in ("candidate", "champion")},
            verdict={"passed": True, "reasons": ["the same config, code and data were deployed before; outputs verified"]},
        )
        return dataclasses.replace(report, seconds=dict(self.clock.seconds), notes=(*report.notes, *notes))

    def _empty(self, outcome: Any) -> RunReport:  # noqa: ANN401 - an outcome
        config = self.made.config
        notes = tuple(drifted_pins(config))
        return RunReport(outcome, config.name, self.made.run_key, config.digest, notes=notes)

    def _verified_head(self) -> Entry:
        if self.head is None:
            raise IntegrityError("INT030", "the plan named a champion and the ledger has none", path="ledger")
        self._verify(self.head.model_id, self.head.manifest_digest, self.head.evidence)
        return self.head

    def _verify(self, model_id: str, manifest_digest: str, evidence: dict[str, Any]) -> None:
        """What an earlier run left must still be there, whole."""
        self.stores.registry.verify(model_id, manifest_digest=manifest_digest)
        for part in ("train", "test", "predictions"):
            name = evidence[part]["table"]
            info = self.stores.engine.describe(table_name(name))
            if info is None or info.rows != evidence[part]["rows"]:
                message = "a table of this version is gone" if info is None else "a table of this version has other rows"
                raise IntegrityError("INT031", message, path=name, fix="restore it, or change the seed to deploy anew")


def _tables(evidence: dict[str, Any]) -> dict[str, Any]:
    return {part: StoredTable(**evidence[part]) for part in ("train", "test", "predictions")}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


