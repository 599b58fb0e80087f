"""Rollback: the ledger's head moves to an earlier version, verified first, with a reason."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.outputs import verify_outputs
from mlkit.production.promotion import move_champion
from mlkit.production.repeat import already, entry_report
from mlkit.production.report import Clock, RunReport
from mlkit.production.serving.choice import choose_refresher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.production.attempt import Attempt
    from mlkit.production.refresh import Refresher
    from mlkit.production.report import Outcome
    from mlkit.production.stores import Stores


def roll_back(
    stores: Stores,
    *,
    to: int | None = None,
    reason: str,
    refresher: Refresher | None = None,
    attempt: Attempt | None = None,
) -> RunReport:
    """Make an earlier version the champion again.

    Repeated with the same reason, or by the same run of a job, it finishes what was stopped and goes no
    further back.

    Args:
        stores: Where the project lives.
        to: Version; by default the one that the champion replaced.
        reason: Why; kept in the ledger.
        refresher: What tells serving; by default what the target has.
        attempt: The execution of a job that asks for it.

    Raises:
        UsageError: No reason, no such version, or nothing to go back to.
        IntegrityError: The version's files or tables are not what was recorded.
        RaceLostError: Another run moved the champion meanwhile.
        ServingError: The champion moved, but serving does not answer with it; repeating goes on there.
    """
    if not reason.strip():
        raise UsageError("CLI025", "a rollback needs a reason", path="reason", fix="--reason '...'")
    clock = Clock()
    with clock.step("plan") as said:
        entries = stores.ledger.entries()
        if not entries:
            fix = "mlkit deploy first"
            raise UsageError("CLI006", "nothing was ever promoted", path=stores.project, fix=fix)
        head = entries[-1]
        done = _done_before(entries, to, attempt)
        target = done or _target(entries, to, reason, attempt)
        said.append(f"v{head.to_version} -> v{target.to_version}")
    with clock.step("promote") as said:
        if done or target.to_version == head.to_version:
            entry, champion = done or head, stores.show_head(head)
        else:
            verify_outputs(
                stores, target.model_id, manifest_digest=target.manifest_digest, evidence=target.evidence
            )
            entry = _entry(target, head, reason)
            champion = move_champion(stores, entry, attempt=attempt)
        said.append(f"v{champion.to_version} serves by ledger entry {champion.seq}")
    with clock.step("refresh") as said:
        said.append((refresher or choose_refresher(stores)).refresh(stores.project, champion).message)
    if done:
        return entry_report("promoted", stores, done, seconds=clock.seconds, reasons=already(done))
    moved = target.to_version != head.to_version
    outcome: Outcome = "promoted" if moved else "unchanged"
    reasons = [reason if moved else "it serves already"]
    return entry_report(outcome, stores, entry, seconds=clock.seconds, reasons=reasons)


def _done_before(entries: Sequence[Entry], to: int | None, attempt: Attempt | None) -> Entry | None:
    """The rollback that this run of a job has made already, unless it is asked for another version now."""
    done = attempt.made(entries, "rollback") if attempt else None
    return done if done and to in (None, done.to_version) else None


def _target(entries: Sequence[Entry], to: int | None, reason: str, attempt: Attempt | None) -> Entry:
    head = entries[-1]
    if to is None:
        return _one_before(entries, reason, attempt)
    if isinstance(to, bool) or not isinstance(to, int) or to < 1:
        raise UsageError("CLI004", f"a version is a whole number from 1, found {to!r}", path="to")
    if to == head.to_version:
        return head
    found = [entry for entry in entries if entry.to_version == to]
    if not found:
        served = ", ".join(f"v{number}" for number in sorted({entry.to_version for entry in entries}))
        raise UsageError("CLI005", f"v{to} never served", path="to", fix=f"one of {served}")
    return found[-1]


def _one_before(entries: Sequence[Entry], reason: str, attempt: Attempt | None) -> Entry:
    """The version that the champion replaced: never a later one, which was rolled back itself."""
    head = entries[-1]
    outside = attempt is None or not attempt.job_run  # a job run is known by its number
    if outside and head.kind == "rollback" and (head.reason, head.actor) == (reason, actor()):
        return head  # this very command, repeated after it was stopped
    first = next(entry for entry in entries if entry.to_version == head.to_version)
    before = [entry for entry in entries if entry.to_version == first.from_version]
    if not before:
        fix = "name a version that served: --to N; mlkit history lists them"
        raise UsageError("CLI006", f"v{head.to_version} replaced no other version", path="to", fix=fix)
    return before[-1]


def _entry(target: Entry, head: Entry, reason: str) -> Entry:
    return dataclasses.replace(
        target,
        seq=head.seq + 1,
        at=now(),
        kind="rollback",
        actor=actor(),
        reason=reason,
        from_version=head.to_version,
    )
