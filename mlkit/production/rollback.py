"""Rollback: the ledger's head moves to an earlier version, verified first, with a reason."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.outputs import verify_outputs
from mlkit.production.promotion import move_champion
from mlkit.production.refresh import NoRefresher
from mlkit.production.report import Clock, RunReport, StoredTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.production.refresh import Refresher
    from mlkit.production.report import Outcome
    from mlkit.production.stores import Stores


def roll_back(
    stores: Stores, *, to: int | None = None, reason: str, refresher: Refresher | None = None
) -> RunReport:
    """Make an earlier version the champion again.

    Repeated with the same reason, it finishes what was stopped and goes no further back.

    Args:
        stores: Where the project lives.
        to: Version; by default the one that the champion replaced.
        reason: Why; kept in the ledger.
        refresher: What tells serving.

    Raises:
        UsageError: No reason, no such version, or nothing to go back to.
        IntegrityError: The version's files or tables are not what was recorded.
        RaceLostError: Another run moved the champion meanwhile.
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
        target = _target(entries, to, reason)
        said.append(f"v{head.to_version} -> v{target.to_version}")
    with clock.step("promote") as said:
        if target.to_version == head.to_version:
            entry = champion = stores.show_head(head)
        else:
            verify_outputs(
                stores, target.model_id, manifest_digest=target.manifest_digest, evidence=target.evidence
            )
            entry = _entry(target, head, reason)
            champion = move_champion(stores, entry)
        said.append(f"v{champion.to_version} serves by ledger entry {champion.seq}")
    with clock.step("refresh") as said:
        said.append((refresher or NoRefresher()).refresh(stores.project, champion).message)
    moved = target.to_version != head.to_version
    return _report(
        "promoted" if moved else "unchanged",
        stores,
        entry,
        clock=clock,
        reason=reason if moved else "it serves already",
    )


def _target(entries: Sequence[Entry], to: int | None, reason: str) -> Entry:
    head = entries[-1]
    if to is None:
        return _one_before(entries, reason)
    if isinstance(to, bool) or not isinstance(to, int) or to < 1:
        raise UsageError("CLI004", f"a version is a whole number from 1, found {to!r}", path="to")
    if to == head.to_version:
        return head
    found = [entry for entry in entries if entry.to_version == to]
    if not found:
        served = ", ".join(f"v{number}" for number in sorted({entry.to_version for entry in entries}))
        raise UsageError("CLI005", f"v{to} never served", path="to", fix=f"one of {served}")
    return found[-1]


def _one_before(entries: Sequence[Entry], reason: str) -> Entry:
    """The version that the champion replaced: never a later one, which was rolled back itself."""
    head = entries[-1]
    if head.kind == "rollback" and (head.reason, head.actor) == (reason, actor()):
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


def _report(outcome: Outcome, stores: Stores, entry: Entry, *, clock: Clock, reason: str) -> RunReport:
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
        verdict={"passed": True, "reasons": [reason]},
        seconds=dict(clock.seconds),
        run_id=entry.run_id,
    )
