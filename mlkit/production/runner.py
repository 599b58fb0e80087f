"""The production run: plan, snapshot, train, evaluate, gate, register, promote, refresh.

What stands before `promote` may be repeated or abandoned at will: everything written is immutable and
found again by its key. What follows converges when it is repeated. So a run that was killed anywhere
is finished by running it again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.console import say
from mlkit.engines.base import TRAINING
from mlkit.failpoints import failpoint
from mlkit.model.estimator import steps_text
from mlkit.model.gate import Scores, judge
from mlkit.production.build import Build, build
from mlkit.production.candidate import make_candidate
from mlkit.production.judging import decide, evaluate
from mlkit.production.marks import read_marks
from mlkit.production.outlook import look_ahead
from mlkit.production.outputs import OutputsRemovedError, check_outputs_stay, verify_outputs
from mlkit.production.plan import Plan, make_plan
from mlkit.production.promotion import code_entry, move_champion, promotion_entry, register_candidate
from mlkit.production.repeat import repeat_deployment
from mlkit.production.report import Clock, Judgement, Outcome, RunReport, StoredTable
from mlkit.production.runs import production_run, settled_report
from mlkit.production.saved_plan import check_pins
from mlkit.production.serving.choice import choose_refresher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.frozen import FrozenConfig
    from mlkit.production.attempt import Attempt
    from mlkit.production.candidate import Candidate
    from mlkit.production.decisions import Decision
    from mlkit.production.judging import Evaluation
    from mlkit.production.ledger import Entry
    from mlkit.production.refresh import Refresher
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores

_OUTCOMES: Mapping[str, Outcome] = {"promote": "promoted", "keep": "kept_champion", "reject": "rejected"}


def plan_deployment(config: FrozenConfig, stores: Stores) -> Plan:
    """What a deployment would do now. Writes nothing but, at most, a forgotten alias.

    Raises:
        DataError: The rows are not what the contract says.
        IntegrityError: The registry does not hold the champion that the ledger names.
    """
    made = build(config, stores.engine)
    head = stores.reconciled_head()
    plan = _plan(made, stores, head)
    return dataclasses.replace(plan, outlook=look_ahead(plan, made, stores, head))


def deploy(
    config: FrozenConfig,
    stores: Stores,
    *,
    refresher: Refresher | None = None,
    origin: Mapping[str, Any] | None = None,
    reason: str = "",
    attempt: Attempt | None = None,
    pins: Mapping[str, str] | None = None,
) -> RunReport:
    """Bring a frozen config into production, or say why nothing needs to be done.

    Args:
        config: What to deploy.
        stores: Where to.
        refresher: What tells serving of a new champion; by default what the target has.
        origin: Where the config came from (commit, study), kept with the version.
        reason: Why, for the ledger.
        attempt: The execution of a job that does so; what its job run has promoted, it does not again.
        pins: What a saved plan was made of, to which the deployment is held.

    Raises:
        UsageError: Something that the saved plan was made of is another by now (CLI130).
        RaceLostError: Another run promoted first; nothing was changed.
        IntegrityError: Something stored is not what was recorded.
        ServingError: The champion moved, but serving does not answer with it; repeating goes on there.
    """
    clock = Clock()
    say(f"{config.name} -> {stores.workspace.target}")
    refresher = refresher or choose_refresher(stores)
    if attempt and (done := attempt.made(stores.ledger.entries(), "promotion", "code")):
        return repeat_deployment(config, stores, done, refresher=refresher)
    with clock.step("plan") as said:
        made = build(config, stores.engine)
        head = stores.reconciled_head()
        plan = _plan(made, stores, head)
        if pins is not None:
            check_pins(plan, pins)
        said.append(f"{plan.kind}: {plan.reasons[0]}{' (as planned)' if pins else ''}")
    course = _Deployment(made, stores, head, clock, refresher, origin or {}, reason, attempt)
    if plan.kind == "nothing" and plan.settled is not None:
        return course.unchanged(plan.settled)
    if plan.kind == "secondary" and head is not None:
        return course.new_code(head, plan.reasons)
    return course.new_model()


def _plan(made: Build, stores: Stores, head: Entry | None) -> Plan:
    settled = stores.decisions.settled(made.run_key, stores.ledger.entries())
    plan = make_plan(made, head, settled, target=stores.workspace.target)
    mark = read_marks(stores).of(made) if plan.kind == "primary" else None
    if mark is None:
        return plan
    reason = f"the gate would keep it out: it is the model of v{mark.version}, which is marked bad"
    return dataclasses.replace(plan, reasons=(*plan.reasons, reason))


@dataclasses.dataclass
class _Deployment:
    """One run: first the three courses it may take, then the steps they are made of."""

    made: Build
    stores: Stores
    head: Entry | None
    clock: Clock
    refresher: Refresher
    origin: Mapping[str, Any]
    reason: str
    attempt: Attempt | None = None

    def new_model(self) -> RunReport:
        """Everything that follows the plan."""
        with production_run(self.made, self.stores, self.origin, attempt=self.attempt) as run:
            tables = self._snapshot()
            candidate = self._train(run.run_id)
            evaluation = self._evaluate(candidate)
            decision = self._gate(candidate, evaluation, tables)
            version = None
            if decision.outcome == "promote":
                version = self._register(decision, run.run_id)
                champion = self._promote(version, decision)
                self._refresh(champion)
            elif self.head is not None:  # an earlier refresh may have failed
                self._refresh(self.stores.show_head(self.head))
            report = self._report(decision, version=version.version if version else None)
            return run.finish(report, decision)

    def new_code(self, head: Entry, reasons: Sequence[str]) -> RunReport:
        """The model stays, verified; the ledger notes the new code and rules."""
        decision = self.stores.decisions.behind(head, self.stores.ledger.entries())
        self._verify(decision)
        with self.clock.step("promote") as said:
            entry = code_entry(self.made, head, reason=self.reason or "; ".join(reasons))
            champion = move_champion(self.stores, entry, attempt=self.attempt)
            said.append(f"model v{head.to_version} stays, ledger entry {entry.seq}")
        self._refresh(champion)
        report = settled_report(
            self.made, self.stores, self._report(decision, version=head.to_version), decision
        )
        objections = self._objections(decision)
        verdict = Judgement(
            passed=not objections,
            reasons=[*reasons, f"the model stays v{head.to_version}", *objections],
        )
        return dataclasses.replace(report, outcome="unchanged", verdict=verdict)

    def unchanged(self, decision: Decision) -> RunReport:
        """Nothing to do but to verify what stands, and to finish what a stopped run left open."""
        removed = self._verify_unless_removed(decision)
        if self.head is not None:
            self._refresh(self.head)
        own = [entry for entry in self.stores.ledger.entries() if entry.run_key == self.made.run_key]
        report = self._report(decision, version=own[-1].to_version if own else None)
        report = settled_report(self.made, self.stores, report, decision)
        report = dataclasses.replace(report, notes=(*report.notes, *removed))
        if decision.outcome == "reject":
            return report
        if decision.outcome == "keep":
            return dataclasses.replace(report, outcome="unchanged")
        verdict = _passed("this config, code and data were deployed before; outputs verified")
        notes = (*report.notes, *self._not_serving(own[-1]))
        return dataclasses.replace(report, outcome="unchanged", verdict=verdict, notes=notes)

    def _objections(self, decision: Decision) -> list[str]:
        """What today's gate would say against the score of a decision, if both speak of one metric."""
        config, scores = self.made.config, decision.record["scores"]
        if decision.record["metric"] != config.metric:
            return []
        own = Scores(candidate=scores["candidate"], rows=scores["rows"], has_champion=False)
        judged = judge(own, config.gate, direction=config.metric_spec.direction)
        return [] if judged.passed else [f"by today's gate it would not pass: {judged.reasons[0]}"]

    def _snapshot(self) -> dict[str, StoredTable]:
        config, parts = self.made.config, self.made.parts
        properties = {"contract": config.contract.text(), "key": ",".join(config.key)}
        tables = {}
        with self.clock.step("snapshot") as said:
            for part, rows in (("train", parts.train), ("test", parts.test)):
                given = rows.to_reader() if isinstance(rows, pa.Table) else rows
                published = self.stores.engine.publish(
                    TRAINING, f"{config.name}__{part}", given, properties=properties
                )
                tables[part] = StoredTable.of(published)
                said.append(f"{part} {published.rows:,} rows")
            said.append("read back and equal")
            failpoint("snapshot.published")
        return tables

    def _train(self, run_id: str) -> Candidate:
        with self.clock.step("train") as said:
            candidate = make_candidate(self.made, self.stores, run_id=run_id)
            said.append(f"{steps_text(self.made.config.model)}, seed {self.made.config.seed}")
            said.append(f"{'found' if candidate.reused else 'trained'} {candidate.model_id}")
            failpoint("train.stored")
        return candidate

    def _evaluate(self, candidate: Candidate) -> Evaluation:
        with self.clock.step("evaluate") as said:
            evaluation = evaluate(self.made, candidate, self.stores, self.head)
            scores = evaluation.scores
            said.append(f"candidate {_number(scores.candidate)}")
            if self.head is not None:
                said.append(f"champion v{self.head.to_version} {_number(scores.champion)}")
            if scores.excluded:
                said.append(f"{scores.excluded:,} rows left out, which it has learnt from")
            said.append(f"{scores.rows:,} rows")
            failpoint("evaluate.published")
        return evaluation

    def _gate(
        self, candidate: Candidate, evaluation: Evaluation, tables: Mapping[str, StoredTable]
    ) -> Decision:
        with self.clock.step("gate") as said:
            mark = read_marks(self.stores).of(self.made)
            decision = decide(
                self.made, candidate, evaluation, self.head, tables=tables, origin=self.origin, mark=mark
            )
            decision = self.stores.decisions.record(decision)
            said.append(f"{decision.outcome}: {decision.record['verdict']['reasons'][-1]}")
            failpoint("gate.recorded")
        return decision

    def _register(self, decision: Decision, run_id: str) -> ModelVersion:
        with self.clock.step("register") as said:
            version = register_candidate(self.made, self.stores, decision, run_id=run_id)
            said.append(f"v{version.version}, READY, manifest verified")
            failpoint("register.done")
        return version

    def _promote(self, version: ModelVersion, decision: Decision) -> Entry:
        with self.clock.step("promote") as said:
            entry = promotion_entry(self.made, decision, version, self.head, reason=self.reason)
            check_outputs_stay(self.stores, entry)
            champion = move_champion(self.stores, entry, attempt=self.attempt)
            before = f"v{self.head.to_version} -> " if self.head else ""
            said.append(f"champion {before}v{version.version}, ledger entry {entry.seq}")
        return champion

    def _refresh(self, champion: Entry) -> None:
        with self.clock.step("refresh") as said:
            said.append(self.refresher.refresh(self.made.config.name, champion).message)
            failpoint("refresh.done")

    def _verify(self, decision: Decision) -> None:
        with self.clock.step("verify") as said:
            judged = decision.record["candidate"]
            verify_outputs(
                self.stores,
                judged["model_id"],
                manifest_digest=judged["manifest_digest"],
                evidence=decision.record,
            )
            said.append(f"{judged['model_id']} and its tables are what was recorded")

    def _verify_unless_removed(self, decision: Decision) -> list[str]:
        """Verify what stands; of a model that does not serve, cleanup may have removed it, which is said."""
        try:
            self._verify(decision)
        except OutputsRemovedError as exc:
            if self.head is not None and self.head.model_id == decision.record["candidate"]["model_id"]:
                raise
            return [f"{exc.path}: {exc.message}"]
        return []

    def _report(self, decision: Decision, *, version: int | None) -> RunReport:
        record = decision.record
        return RunReport(
            outcome=_OUTCOMES[decision.outcome],
            model=self.made.config.name,
            run_key=self.made.run_key,
            config_digest=self.made.config.digest,
            version=version,
            model_id=record["candidate"]["model_id"],
            train=StoredTable(**record["train"]),
            test=StoredTable(**record["test"]),
            predictions=StoredTable(**record["predictions"]),
            scores={who: record["scores"][who] for who in ("candidate", "champion")},
            verdict=Judgement(passed=record["verdict"]["passed"], reasons=record["verdict"]["reasons"]),
            seconds=dict(self.clock.seconds),
            previous=self.head.to_version if self.head else None,
            notes=self._notes(record),
        )

    def _notes(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        looks = record["origin"].get("test_looks", 0)
        often = "once" if looks == 1 else f"{looks} times"
        seen = [f"the sealed test rows had been looked at {often} when this was frozen"] if looks else []
        return (*self.made.config.environment.drift(), *seen)

    def _not_serving(self, entry: Entry) -> list[str]:
        serves = self.head.to_version if self.head else None
        if serves == entry.to_version:
            return []
        if mark := read_marks(self.stores).of(entry):
            return [f"v{serves} serves; {mark.sentence}"]
        way_back = f"mlkit rollback {self.made.config.name} --to {entry.to_version} brings it back"
        return [f"v{entry.to_version} is this run, but v{serves} serves; {way_back}"]


def _passed(*reasons: str) -> Judgement:
    return Judgement(passed=True, reasons=list(reasons))


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
