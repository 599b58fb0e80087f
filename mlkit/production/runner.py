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
from mlkit.production.outputs import verify_outputs
from mlkit.production.plan import Plan, make_plan
from mlkit.production.promotion import move_champion, promotion_entry, register_candidate
from mlkit.production.refresh import NoRefresher
from mlkit.production.report import Clock, Outcome, RunReport, StoredTable
from mlkit.production.runs import finish_stopped_run, production_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.frozen import FrozenConfig
    from mlkit.production.candidate import Candidate
    from mlkit.production.decisions import Decision
    from mlkit.production.judging import Evaluation
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
    return _plan(made, stores, stores.reconciled_head())


def deploy(
    config: FrozenConfig,
    stores: Stores,
    *,
    refresher: Refresher | None = None,
    origin: Mapping[str, Any] | None = None,
    reason: str = "",
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
        ServingError: The champion moved, but serving does not answer with it; repeating goes on there.
    """
    clock = Clock()
    say(f"{config.name} -> {stores.workspace.target}")
    with clock.step("plan") as said:
        made = build(config, stores.engine)
        head = stores.reconciled_head()
        plan = _plan(made, stores, head)
        said.append(f"{plan.kind}: {plan.reasons[0]}")
    deployment = _Deployment(made, stores, head, clock, refresher or NoRefresher(), origin or {}, reason)
    if plan.kind == "nothing":
        return deployment.unchanged(plan.settled)
    return deployment.new_code(plan) if plan.kind == "secondary" else deployment.new_model()


def _plan(made: Build, stores: Stores, head: Entry | None) -> Plan:
    return make_plan(made, head, stores.decisions.settled(made.run_key, stores.ledger.entries()))


@dataclasses.dataclass
class _Deployment:
    """One run; its public methods are the courses it may take, the others are its steps."""

    made: Build
    stores: Stores
    head: Entry | None
    clock: Clock
    refresher: Refresher
    origin: Mapping[str, Any]
    reason: str

    def new_model(self) -> RunReport:
        """The steps that follow the plan."""
        with production_run(self.made, self.stores, self.origin) as run:
            tables = self._snapshot()
            candidate = self._train(run.run_id)
            evaluation = self._evaluate(candidate)
            decision = self._gate(candidate, evaluation, tables)
            version = None
            if decision.outcome == "promote":
                version = self._register(decision, run.run_id)
                self._refresh(self._promote(version, decision))
            return run.finish(self._report(decision, version, run.run_id), decision)

    def new_code(self, plan: Plan) -> RunReport:
        """The model stays, verified; the ledger notes the new code and rules."""
        head = self._verified(self.head)
        with self.clock.step("promote") as said:
            news = {"rules": self.made.rules, "config_digest": self.made.config.digest, "code": self.made.code}
            entry = dataclasses.replace(
                head,
                seq=head.seq + 1,
                at=now(),
                kind="code",
                actor=actor(),
                reason=self.reason or "; ".join(plan.reasons),
                from_version=head.to_version,
                run_key=self.made.run_key,
                evidence={**head.evidence, **news},
            )
            move_champion(self.stores, entry, point="code")
            said.append(f"model v{head.to_version} stays, ledger entry {entry.seq}")
        self._refresh(entry)
        return self._standing(entry, [*plan.reasons, "the model stays"])

    def unchanged(self, settled: Decision | None) -> RunReport:
        """Nothing to do but to verify what stands and to finish what a stopped run left open."""
        entries = [entry for entry in self.stores.ledger.entries() if entry.run_key == self.made.run_key]
        if entries:
            entry = self._verified(entries[-1])
            report = self._standing(entry, ["this config, code and data were deployed before; outputs verified"])
        else:
            report = self._judged_before(settled)
        if settled is not None:
            outcome = _OUTCOMES[settled.outcome]
            whole = dataclasses.replace(report, outcome=outcome, verdict=_verdict(settled), notes=self._notes)
            finish_stopped_run(self.made, self.stores, whole, settled)
        if self.head is not None:
            self._refresh(self.head)
        return dataclasses.replace(report, seconds=dict(self.clock.seconds))
