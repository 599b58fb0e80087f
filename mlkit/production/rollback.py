"""Rollback: the ledger's head moves to an earlier version, verified first, with a reason."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.console import say
from mlkit.errors import UsageError
from mlkit.failpoints import failpoint
from mlkit.production.ledger import Entry, actor, now
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

    Args:
        stores: Where the project lives.
        to: Version; by default the one that served before the champion.
        reason: Why; kept in the ledger.
        refresher: What tells serving.

    Raises:
        UsageError: No reason, no such version, or nothing to go back to.
        IntegrityError: The version's files are not what was recorded.
        RaceLostError: Another run moved the champion meanwhile.
    """
    if not reason.strip():
        raise UsageError("CLI025", "a rollback needs a reason", path="reason", fix="--reason '...'")
    clock = Clock()
    with clock.step("plan") as said:
        entries = stores.ledger.entries()
        head = stores.reconciled_head()
        if head is None:
            raise UsageError("CLI006", "nothing was ever promoted", path=stores.project, fix="mlkit deploy first")
        target = _target(entries, head, to)
        said.append(f"v{head.to_version} -> v{target.to_version}")
    if target.to_version == head.to_version:
        return _report("unchanged", stores, head, clock, "it serves already")
    with clock.step("promote") as said:
        stores.registry.verify(target.model_id, manifest_digest=target.manifest_digest)
        entry = dataclasses.replace(
            target,
            seq=head.seq + 1,
            at=now(),
            kind="rollback",
            actor=actor(),
            reason=reason,
            from_version=head.to_version,
        )
        stores.ledger.append(entry, expected_seq=head.seq)
        failpoint("rollback.ledger")
        stores.registry.point_alias(entry.to_version)
        said.append(f"champion v{head.to_version} -> v{entry.to_version}, ledger entry {entry.seq}")
    with clock.step("refresh") as said:
        said.append((refresher or NoRefresher()).refresh(stores.project, entry).message)
    return _report("promoted", stores, entry, clock, reason)


def _target(entries: Sequence[Entry], head: Entry, to: int | None) -> Entry:
    if to is None:
        earlier = [entry for entry in entries if entry.to_version != head.to_version]
        if not earlier:
            message = f"v{head.to_version} is the only version that ever served"
            raise UsageError("CLI006", message, path="to", fix="deploy another model first")
        return earlier[-1]
    if isinstance(to, bool) or not isinstance(to, int) or to < 1:
        raise UsageError("CLI004", f"a version is a whole number from 1, found {to!r}", path="to")
    found = [entry for entry in entries if entry.to_version == to]
    if not found:
        served = ", ".join(f"v{number}" for number in sorted({entry.to_version for entry in entries}))
        raise UsageError("CLI005", f"v{to} never served", path="to", fix=f"one of {served}")
    return found[-1]


def _report(outcome: Outcome, stores: Stores, entry: Entry, clock: Clock, reason: str) -> RunReport:
    say(f"{stores.project} v{entry.to_version} serves")
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
