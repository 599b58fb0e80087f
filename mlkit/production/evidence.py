"""Looking back: what served when, and what a version was made of and judged by."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mlkit.errors import UsageError
from mlkit.production.registry import RUN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlkit.production.decisions import Decision
    from mlkit.production.ledger import Entry
    from mlkit.production.registry import ModelVersion
    from mlkit.production.stores import Stores


@dataclasses.dataclass(frozen=True)
class History:
    """Every promotion of a project, oldest first."""

    project: str
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        """The entries."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Their number."""
        return len(self.entries)

    def __getitem__(self, position: int) -> Entry:
        """One entry by position."""
        return self.entries[position]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"project": self.project, "entries": [entry.to_dict() for entry in self.entries]}

    def __repr__(self) -> str:
        """One line an entry; an empty history says what fills it."""
        if not self.entries:
            return f"History of {self.project}: nothing was promoted yet\n  next    project.deploy(config)"
        lines = "\n".join(f"  {entry!r}" for entry in self.entries)
        serves = f"v{self.entries[-1].to_version} serves"
        return f"History of {self.project}: {len(self.entries)} entries, {serves}\n{lines}"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Everything that is recorded about one version.

    Attributes:
        version: The version, its tags included.
        serves: Whether it is the champion now.
        decision: What the gate saw and said; None if the record is not there.
        promotions: Ledger entries that moved to it.
    """

    version: ModelVersion
    serves: bool
    decision: Decision | None
    promotions: tuple[Entry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version.to_dict(),
            "serves": self.serves,
            "decision": self.decision.record if self.decision else None,
            "promotions": [entry.to_dict() for entry in self.promotions],
        }

    def __repr__(self) -> str:
        """Data, code, config, environment, scores, gate, who and when."""
        record = self.decision.record if self.decision else {}
        origin, scores = record.get("origin", {}), record.get("scores", {})
        state = "serves now" if self.serves else "does not serve"
        environment = record.get("ingredients", {}).get("environment", {})
        lines = [
            f"{self.version.name} v{self.version.version}  {state}  {self.version.model_id}",
            *(f"  {part:<9} {_table(record.get(part))}" for part in ("train", "test", "predictions")),
            f"  source    {record.get('source')} version {record.get('source_version')}",
            f"  config    {record.get('config_digest', '')[:12]}",
            f"  study     {_study(origin)}",
            f"  code      {record.get('code', '')[:12]}  commit {origin.get('commit') or 'none'}",
            f"  with      {', '.join(f'{name} {version}' for name, version in environment.items())}",
            f"  scores    {record.get('metric')} {_scores(scores)}",
            *(f"  gate      {reason}" for reason in record.get("verdict", {}).get("reasons", [])),
            *(f"  ledger   {entry!r}" for entry in self.promotions),
        ]
        return "\n".join(lines)


def _study(origin: Mapping[str, Any]) -> str:
    if "edited_from" in origin:
        return f"none: edited by hand from config {origin['edited_from'][:12]}"
    return f"run {origin.get('study_run_id', 'unknown')}"


def read_history(stores: Stores) -> History:
    """Every promotion of the project."""
    return History(stores.project, tuple(stores.ledger.entries()))


def read_champion(stores: Stores) -> ModelVersion | None:
    """The version that serves, by the ledger; None before the first promotion."""
    head = stores.reconciled_head()
    return None if head is None else stores.registry.version(head.to_version)


def explain_version(stores: Stores, number: int) -> Explanation:
    """What is recorded about a version.

    Raises:
        UsageError: There is no such version.
    """
    version = stores.registry.version(number)
    if version is None:
        known = ", ".join(f"v{found.version}" for found in stores.registry.versions()) or "none yet"
        raise UsageError("CLI005", f"no version {number}", path="version", fix=f"known: {known}")
    entries: Sequence[Entry] = stores.ledger.entries()
    decisions = [
        decision
        for decision in stores.decisions.find(version.tags.get(RUN_KEY, ""))
        if decision.record["candidate"]["model_id"] == version.model_id
    ]
    return Explanation(
        version=version,
        serves=bool(entries) and entries[-1].to_version == number,
        decision=decisions[-1] if decisions else None,
        promotions=tuple(entry for entry in entries if entry.to_version == number),
    )


def _scores(scores: dict[str, Any]) -> str:
    judged = f"candidate {scores.get('candidate')}, champion {scores.get('champion')}"
    return f"{judged} on {scores.get('rows', 0):,} rows, {scores.get('excluded', 0):,} excluded"


def _table(stored: dict[str, Any] | None) -> str:
    return f"{stored['rows']:,} rows  {stored['table']}" if stored else "unknown"
