"""Promotion: a version for the candidate, and the one pointer that moves.

The ledger decides, by compare-and-set; the alias and serving follow it. `move_champion` and what comes
before it may be repeated or abandoned at will; what comes after converges when it is repeated.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.failpoints import failpoint
from mlkit.production.attempt import stamped
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.outputs import TABLES
from mlkit.production.registry import MANIFEST_TAG, MODEL_KEY

if TYPE_CHECKING:
    from mlkit.production.attempt import Attempt
    from mlkit.production.build import Build
    from mlkit.production.decisions import Decision
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores


def register_candidate(build: Build, stores: Stores, decision: Decision, *, run_id: str) -> ModelVersion:
    """Register the model of a decision, with what it was made of as tags.

    Raises:
        IntegrityError: Its files are not those that were judged.
        StoreError: The registry did not take it.
    """
    record = decision.record
    tags = {
        MODEL_KEY: build.model_key,
        MANIFEST_TAG: record["candidate"]["manifest_digest"],
        "mlkit_config": record["config_digest"],
        "mlkit_commit": str(record["origin"].get("commit") or ""),
        **{f"mlkit_{part}_table": record[part]["table"] for part in TABLES},
    }
    model_id = record["candidate"]["model_id"]
    return stores.registry.register(model_id, run_id=run_id, run_key=build.run_key, tags=tags)


def promotion_entry(
    build: Build, decision: Decision, version: ModelVersion, head: Entry | None, *, reason: str
) -> Entry:
    """The ledger entry that makes a version the champion.

    Args:
        build: What the version was made of.
        decision: Why it may serve.
        version: The version.
        head: The champion it was compared with.
        reason: Why it was deployed; by default that it may serve.
    """
    return Entry(
        seq=head.seq + 1 if head else 1,
        at=now(),
        kind="promotion",
        actor=actor(),
        reason=reason or ("passed the gate" if head else "first deployment"),
        from_version=head.to_version if head else None,
        to_version=version.version,
        model_id=version.model_id,
        run_id=version.run_id,
        manifest_digest=version.manifest_digest,
        run_key=build.run_key,
        model_key=build.model_key,
        evidence=decision.evidence,
    )


def code_entry(build: Build, head: Entry, *, reason: str) -> Entry:
    """The ledger entry that keeps the champion and notes its new code and rules."""
    news = {"rules": build.rules, "config_digest": build.config.digest, "code": build.code}
    return dataclasses.replace(
        head,
        seq=head.seq + 1,
        at=now(),
        kind="code",
        actor=actor(),
        reason=reason,
        from_version=head.to_version,
        run_key=build.run_key,
        evidence={**head.evidence, **news},
    )


def move_champion(stores: Stores, entry: Entry, *, attempt: Attempt | None = None) -> Entry:
    """Append an entry if the one before it still is the head, then let the alias follow.

    Args:
        stores: Where the project lives.
        entry: What to append.
        attempt: The execution of a job that does so, noted with it.

    Returns:
        The entry that the alias shows: this one, or one that came after it meanwhile.

    Raises:
        IntegrityError: The registry does not hold its version; nothing was changed.
        RaceLostError: Another entry came first; nothing was changed.
    """
    stores.check_registered(entry)
    entry = stamped(entry, attempt)
    stores.ledger.append(entry, expected_seq=entry.seq - 1)
    failpoint("promote.ledger")
    shown = stores.show_head(entry)
    failpoint("promote.alias")
    return shown
