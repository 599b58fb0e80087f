"""Retraining: the same config on new data, through the same gate, when its policy says so.

It is a deployment and nothing else. What is decided stands in a table of its own, also where nothing was
done; a retrain that was killed is finished by the next command, whatever the policy then says.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
from typing import TYPE_CHECKING, Any, Literal

from mlkit.errors import EXIT_DONE, MlkitError, UsageError
from mlkit.failpoints import failpoint
from mlkit.model.retraining import judge
from mlkit.production import ledger
from mlkit.production.build import build
from mlkit.production.decisions import plain
from mlkit.production.drift_records import read_windows
from mlkit.production.plan import make_plan
from mlkit.production.records import Records
from mlkit.production.rules import config_of
from mlkit.production.runner import deploy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.frozen import FrozenConfig
    from mlkit.model.retraining import Retrain
    from mlkit.production.attempt import Attempt
    from mlkit.production.ledger import Entry
    from mlkit.production.records import Record
    from mlkit.production.refresh import Refresher
    from mlkit.production.report import RunReport
    from mlkit.production.stores import Stores

Decided = Literal["retrain", "skip"]

KIND = "retrains"
_DAY = dt.timedelta(days=1)
_LATER = frozenset(
    {"deployed", "version", "outcome", "decision_id", "dry_run"}
)  # not known when it is decided
_STEERING = frozenset({"monitor", "retrain"})  # fields that say when to retrain, and nothing of the model
_LONGEST = 400  # of a reason in the ledger


@dataclasses.dataclass(frozen=True)
class RetrainReport:
    """What was decided, and what became of it.

    Attributes:
        project: The project.
        decision: ``retrain`` or ``skip``.
        reasons: One sentence for each thing that was looked at.
        policy: The policy of the config.
        champion: Version that served when this was decided.
        dry_run: Whether it was only asked; then nothing is recorded either.
        new_rows: Rows more than the champion was made of; None if it did not come to that.
        deployed: The report of the deployment; None if there was none.
        decision_id: What the decision is told apart by; empty if it was not recorded.
    """

    project: str
    decision: Decided
    reasons: tuple[str, ...]
    policy: str
    champion: int
    dry_run: bool = False
    new_rows: int | None = None
    deployed: RunReport | None = None
    decision_id: str = ""

    @property
    def outcome(self) -> str:
        """That of the deployment; ``skipped`` or ``planned`` where there was none."""
        if self.deployed is not None:
            return self.deployed.outcome
        return "skipped" if self.decision == "skip" else "planned"

    @property
    def exit_code(self) -> int:
        """What `mlkit retrain` exits with: as the deployment does, and 0 where there was none."""
        return self.deployed.exit_code if self.deployed else EXIT_DONE

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        deployed = self.deployed.to_dict() if self.deployed else None
        version = self.deployed.version if self.deployed else None
        return {**said, "outcome": self.outcome, "version": version, "deployed": deployed}

    def __repr__(self) -> str:
        """Decision first, then the reasons, then the deployment."""
        asked = " (only asked, nothing was done or recorded)" if self.dry_run else ""
        lines = [f"{self.decision}  {self.project}  policy {self.policy}, v{self.champion} serves{asked}"]
        lines += [f"  {reason}" for reason in self.reasons]
        if self.deployed is not None:
            lines.append(repr(self.deployed))
        elif self.decision == "skip":
            lines.append(f"  next    mlkit retrain {self.project} --force retrains all the same")
        else:
            lines.append(f"  next    mlkit retrain {self.project}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def retrain(
    config: FrozenConfig,
    stores: Stores,
    *,
    dry_run: bool = False,
    force: bool = False,
    now: dt.datetime | None = None,
    origin: Mapping[str, Any] | None = None,
    attempt: Attempt | None = None,
    refresher: Refresher | None = None,
) -> RetrainReport:
    """Retrain if the policy says so and nothing speaks against it; else say why not.

    Args:
        config: The config that serves, as its file is now.
        stores: Where to.
        dry_run: Only say what would be done; nothing is written.
        force: Ask neither policy nor cooldown nor how many rows are new. Unchanged data stay a reason.
        now: What time it is.
        origin: Where the config came from.
        attempt: The execution of a job that does so.
        refresher: What tells serving; by default what the target has.

    Raises:
        UsageError: Nothing serves (CLI065).
        MlkitError: Whatever stopped the deployment; that it failed is recorded.
    """
    moment = now or ledger.now()
    head = stores.reconciled_head()
    if head is None:
        fix = f"mlkit deploy {stores.project}"
        raise UsageError(
            "CLI065", "nothing serves yet, so nothing is retrained", path=stores.project, fix=fix
        )
    records = Records(stores.engine, stores.project, KIND)
    known = records.all()
    open_one = unfinished(known)
    if open_one is not None and not dry_run:
        return _finished(
            config, stores, _resumed(open_one, config, head), records, origin, attempt, refresher
        )
    report = _decided(config, stores, head, known, force=force, now=moment)
    if dry_run:
        return dataclasses.replace(report, dry_run=True)
    said = {name: value for name, value in report.to_dict().items() if name not in _LATER}
    made = records.add({**said, "kind": "decision", "forced": force, "moment": moment.isoformat()})
    report = dataclasses.replace(report, decision_id=made.record_id)
    failpoint("retrain.decided")
    if report.decision == "skip":
        return report
    return _finished(config, stores, report, records, origin, attempt, refresher)


def is_cooling(stores: Stores, rule: Retrain, *, now: dt.datetime) -> bool:
    """Whether the last retrain is too recent for another one."""
    last = _last(Records(stores.engine, stores.project, KIND).all())
    return bool(_in_time(rule, last, now))


def hand_over(stores: Stores, *, reasons: Sequence[str], version: int | None, now: dt.datetime) -> Record:
    """Record a retrain that a job leaves to its deploy task, which knows of nothing but a reason."""
    said = {"kind": "decision", "decision": "retrain", "handed_over": True, "moment": now.isoformat()}
    records = Records(stores.engine, stores.project, KIND)
    return records.add({**said, "reasons": list(reasons), "champion": version})


def unfinished(records: Sequence[Record]) -> Record | None:
    """The newest decision, if it was to retrain and nobody knows what became of it."""
    ended = {record.record.get("decision_id") for record in records if record.record["kind"] == "outcome"}
    decisions = [record for record in records if record.record["kind"] == "decision"]
    if (
        not decisions
        or decisions[-1].record["decision"] != "retrain"
        or decisions[-1].record.get("handed_over")
    ):
        return None
    return None if decisions[-1].record_id in ended else decisions[-1]


def _decided(
    config: FrozenConfig,
    stores: Stores,
    head: Entry,
    records: Sequence[Record],
    *,
    force: bool,
    now: dt.datetime,
) -> RetrainReport:
    """Ask the policy first, then what speaks against it, the dearest question last."""
    rule = config.retrain
    windows = read_windows(stores, model_id=head.model_id)
    last = _last(records)
    age = max(0.0, (now - max(filter(None, (last, _promoted(stores, head))))) / _DAY)
    wish = judge(rule, age_days=age, verdicts=[window.verdict for window in windows])
    reasons = [*wish.reasons, *(["forced: policy, cooldown and new rows were not asked"] if force else [])]
    report = RetrainReport(stores.project, "skip", tuple(reasons), rule.policy, head.to_version)
    if not wish.wanted and not force and rule.policy != "alert":
        return report
    if not force and (against := _in_time(rule, last, now) or _of_config(config, head)):
        return dataclasses.replace(report, reasons=(*reasons, against))
    against, new_rows = _of_data(config, stores, head, least=0 if force else rule.min_new_rows)
    grown = f"data: {new_rows:+,} rows against those the champion was made of"
    found = dataclasses.replace(report, reasons=(*reasons, against or grown), new_rows=new_rows)
    return dataclasses.replace(found, decision="retrain") if not against and (wish.wanted or force) else found


def _in_time(rule: Retrain, last: dt.datetime | None, now: dt.datetime) -> str:
    """What the last retrain says against another one; empty if nothing."""
    if last is None or now - last >= rule.cooldown_days * _DAY:
        return ""
    return f"cooldown: retrained {(now - last) / _DAY:.1f} days ago, {rule.cooldown_days} are to pass"


def _of_config(config: FrozenConfig, head: Entry) -> str:
    """Whether the file is another than the champion was made of; then it is no retrain. Empty if not."""
    served = config_of(head.evidence)
    said = plain(config.meaning)
    changed = [name for name in sorted({*served, *said} - _STEERING) if served.get(name) != said.get(name)]
    if not changed:
        return ""
    return f"config: {', '.join(changed)} of the file differ from what serves: mlkit deploy {config.name}"


def _of_data(config: FrozenConfig, stores: Stores, head: Entry, *, least: int) -> tuple[str, int]:
    """What the data say against a retrain (empty if nothing), and the number of new rows."""
    made = build(config, stores.engine)
    known = head.evidence
    new_rows = sum(made.rows) - known["train"]["rows"] - known["test"]["rows"]
    data = made.ingredients["data"]
    if data == known["ingredients"]["data"]:
        return "data: unchanged, the training fingerprint is that of the champion", new_rows
    plan = make_plan(made, head, stores.decisions.settled(made.run_key, stores.ledger.entries()))
    if plan.kind == "nothing":
        return f"data: {plan.reasons[0]}", new_rows
    if new_rows < least:
        return f"data: {new_rows:,} new rows, at least {least:,} are asked for", new_rows
    return "", new_rows


def _finished(
    config: FrozenConfig,
    stores: Stores,
    report: RetrainReport,
    records: Records,
    origin: Mapping[str, Any] | None,
    attempt: Attempt | None,
    refresher: Refresher | None,
) -> RetrainReport:
    """Deploy, and record what became of it, a failure too."""
    reason = f"retrain: {report.reasons[0]}"
    try:
        made = deploy(
            config, stores, refresher=refresher, origin=origin, reason=reason[:_LONGEST], attempt=attempt
        )
    except MlkitError as exc:
        _end(records, report, {"outcome": "failed", "error": exc.code})
        raise
    _end(records, report, {"outcome": made.outcome, "version": made.version, "run_key": made.run_key})
    return dataclasses.replace(report, deployed=made)


def _end(records: Records, report: RetrainReport, said: Mapping[str, Any]) -> None:
    failpoint("retrain.deployed")
    records.add(
        {"kind": "outcome", "decision_id": report.decision_id, **said},
        record_id=f"{report.decision_id}-outcome",
    )


def _resumed(record: Record, config: FrozenConfig, head: Entry) -> RetrainReport:
    said = record.record
    reasons = (*said["reasons"], f"decided {record.at:%Y-%m-%d %H:%M} and not finished; it is finished now")
    return RetrainReport(
        config.name,
        "retrain",
        reasons,
        config.retrain.policy,
        head.to_version,
        new_rows=said.get("new_rows"),
        decision_id=record.record_id,
    )


def _last(records: Sequence[Record]) -> dt.datetime | None:
    """When the last retrain was decided that was not stopped by an error."""
    said = [record.record for record in records]
    failed = {
        each["decision_id"] for each in said if each["kind"] == "outcome" and each["outcome"] == "failed"
    }
    done = [
        dt.datetime.fromisoformat(record.record["moment"])
        for record in records
        if record.record.get("decision") == "retrain" and record.record_id not in failed
    ]
    return max(done, default=None)


def _promoted(stores: Stores, head: Entry) -> dt.datetime:
    """When the champion's model first served."""
    return next(entry.at for entry in stores.ledger.entries() if entry.model_id == head.model_id)
