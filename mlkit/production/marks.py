"""Marks: versions that were found bad and may not serve again, with who said so and why.

A mark is on the model and not on its number: a version that is registered later with the very same model
(another gate, other code around it) is marked as well. The last word counts, and every word is kept.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from mlkit.errors import UsageError
from mlkit.production.records import Record, Records
from mlkit.production.registry import MODEL_KEY

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from mlkit.production.stores import Stores

KIND = "marks"


class Made(Protocol):
    """A model by what decides it: a ledger entry, or a build."""

    @property
    def model_key(self) -> str:
        """sha256 of what decides the model."""
        ...


@dataclasses.dataclass(frozen=True)
class Mark:
    """What was said last about a version.

    Attributes:
        project: The project.
        version: The version it was said of.
        model_id: Its model, by MLflow's id.
        model_key: What decides that model; the mark is on every version that has it.
        bad: False if an earlier mark was taken back.
        reason: Why.
        actor: Who said so.
        at: When, UTC.
        serves: Whether it is the champion's, as far as was looked.
    """

    project: str
    version: int
    model_id: str
    model_key: str
    bad: bool
    reason: str
    actor: str
    at: dt.datetime
    serves: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "at": self.at.isoformat()}

    @property
    def sentence(self) -> str:
        """The mark in one line."""
        said = "is marked bad" if self.bad else "is no longer marked bad"
        return f"v{self.version} {said} by {self.actor} on {self.at:%Y-%m-%d}: {self.reason}"

    def __repr__(self) -> str:
        """What it means, and what to do if the version serves."""
        if not self.bad:
            return (
                f"{self.sentence}\n  next    mlkit rollback {self.project} --to {self.version} --reason ..."
            )
        undo = f"mlkit mark {self.project} {self.version} --unmark --reason ..."
        lines = [self.sentence, f"  neither a deployment nor a rollback lets it serve again until: {undo}"]
        if self.serves:
            lines.append(f"  it serves now; next    mlkit rollback {self.project} --reason ...")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class MarkList:
    """The versions of a project that are marked bad now.

    Attributes:
        project: The project.
        marks: The mark on each of them, oldest first.
    """

    project: str
    marks: tuple[Mark, ...]

    def __iter__(self) -> Iterator[Mark]:
        """The marks, oldest first."""
        return iter(self.marks)

    def __len__(self) -> int:
        """Their number."""
        return len(self.marks)

    def of(self, made: Made) -> Mark | None:
        """The mark on a model; None if it is not marked bad."""
        return self.of_key(made.model_key)

    def of_key(self, model_key: str) -> Mark | None:
        """The mark on the model of a key."""
        return next((mark for mark in self.marks if model_key and mark.model_key == model_key), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"project": self.project, "marks": [mark.to_dict() for mark in self.marks]}

    def __repr__(self) -> str:
        """One line a mark."""
        if not self.marks:
            how = f"mlkit mark {self.project} VERSION --reason ..."
            return f"{self.project}: no version is marked bad\n  next    {how}"
        lines = "\n".join(f"  {mark.sentence}" for mark in self.marks)
        return f"{self.project}: {len(self.marks)} marked bad\n{lines}"


def read_marks(stores: Stores) -> MarkList:
    """The versions that are marked bad now, oldest first."""
    last = {record.record["model_key"]: record for record in _records(stores).all()}
    marks = [_mark(stores.project, record) for record in last.values() if record.record["bad"]]
    return MarkList(stores.project, tuple(sorted(marks, key=lambda mark: mark.at)))


def mark_version(stores: Stores, version: int, *, reason: str, bad: bool = True) -> Mark:
    """Mark a version bad, or take that back; gives the mark that stands.

    Repeated, it says the same again and keeps the first reason.

    Args:
        stores: Of which project.
        version: Its number.
        reason: Why; kept for ever.
        bad: False to take the mark back.

    Raises:
        UsageError: No reason (CLI071), no such version (CLI005), one that mlkit did not make (CLI075), or
            none that was ever marked (CLI074).
    """
    if not reason.strip():
        raise UsageError("CLI071", "a mark needs a reason", path="reason", fix="--reason '...'")
    model_id, model_key = _model_of(stores, version)
    values = {"version": version, "model_id": model_id, "model_key": model_key, "bad": bad, "reason": reason}
    records = _records(stores)
    while True:
        own = [record for record in records.all() if record.record["model_key"] == model_key]
        if not own and not bad:
            raise UsageError("CLI074", f"v{version} was never marked bad", path="version", fix="mlkit mark")
        if own and own[-1].record["bad"] == bad:
            break
        # Numbered, so that of two commands at once one record stands.
        own.append(records.add(values, record_id=f"{model_key}-{len(own) + 1}"))
        if own[-1].record["bad"] == bad:
            break
    head = stores.ledger.head()
    mark = _mark(stores.project, own[-1])
    return dataclasses.replace(mark, serves=head is not None and head.model_key == model_key)


def _model_of(stores: Stores, number: int) -> tuple[str, str]:
    """Id and key of the model of a version: by the ledger, which never forgets, else by the registry."""
    if served := [entry for entry in stores.ledger.entries() if entry.to_version == number]:
        return served[-1].model_id, served[-1].model_key
    version = stores.registry.existing(number)
    if not version.tags.get(MODEL_KEY):
        message = f"v{number} was not made by a deployment, so nothing could promote it"
        raise UsageError("CLI075", message, path="version", fix="delete it in MLflow")
    return version.model_id, version.tags[MODEL_KEY]


def _records(stores: Stores) -> Records:
    return Records(stores.engine, stores.project, KIND)


def _mark(project: str, record: Record) -> Mark:
    return Mark(project=project, **record.record, actor=record.actor, at=record.at)
