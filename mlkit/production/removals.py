"""What cleanup has removed on purpose, and what it is about to: said before anything goes, and after.

A removal is begun by a record that names everything which may go; then each thing is looked at once more
and removed; then a second record ends it. One that was stopped in between stays open until it is gone on
with. Whoever is about to build on something old first says so where cleanup looks (a running run, a pin,
a hold) and then looks here, so of the two at least one sees the other.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from mlkit.errors import StoreError
from mlkit.production.records import Records
from mlkit.workspace import table_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mlkit.engines.base import Engine

KIND = "cleanups"
"""Last part of the name of their table."""


class Target(NamedTuple):
    """Something that may go.

    Attributes:
        kind: ``table``, ``model``, ``version``, ``run``, ``staging`` or ``copy``.
        name: What it is called in its store.
        place: Address of its files, where the name does not lead to them.
    """

    kind: str
    name: str
    place: str = ""


@dataclasses.dataclass(frozen=True)
class Removal:
    """One cleanup.

    Attributes:
        removal_id: What it is told apart by.
        at: When it was begun.
        actor: By whom.
        targets: What may go.
        removed: Names of what has gone; empty while it is open.
        is_open: Whether it was not ended yet.
    """

    removal_id: str
    at: dt.datetime
    actor: str
    targets: tuple[Target, ...]
    removed: tuple[str, ...] = ()
    is_open: bool = True

    @property
    def names(self) -> set[str]:
        """What it has removed; of an open one, what it may have."""
        return {target.name for target in self.targets} if self.is_open else set(self.removed)


class Removals:
    """The cleanups of one project."""

    def __init__(self, engine: Engine, project: str) -> None:
        """Nothing is read or made yet."""
        self._engine, self._project = engine, project
        self._records = Records(engine, project, KIND)

    def all(self) -> list[Removal]:
        """Every cleanup, oldest first."""
        records = self._records.all()
        ends = {each.record["ends"]: each.record for each in records if "ends" in each.record}
        return [
            Removal(
                removal_id=each.record_id,
                at=each.at,
                actor=each.actor,
                targets=tuple(Target(**target) for target in each.record["targets"]),
                removed=tuple(ends.get(each.record_id, {}).get("removed", ())),
                is_open=each.record_id not in ends,
            )
            for each in records
            if "targets" in each.record
        ]

    @property
    def names(self) -> set[str]:
        """Everything that cleanups have removed, or may have."""
        return {name for removal in self.all() for name in removal.names}

    def open(self) -> list[Removal]:
        """Those that were begun and not ended: they run, or were stopped."""
        return [removal for removal in self.all() if removal.is_open]

    def begin(self, targets: Sequence[Target], *, rules: Mapping[str, Any]) -> Removal:
        """Say what may go, before anything does."""
        said = [target._asdict() for target in targets]
        made = self._records.add({"targets": said, "rules": dict(rules)})
        return Removal(made.record_id, made.at, made.actor, tuple(targets))

    def end(self, removal: Removal, *, removed: Iterable[str], kept: Mapping[str, str]) -> None:
        """Say what has gone, and why the rest has not."""
        said = {"ends": removal.removal_id, "removed": sorted(removed), "kept": dict(kept)}
        self._records.add(said, record_id=f"{removal.removal_id}-end")

    def of(self, name: str) -> Removal | None:
        """The last cleanup that has removed something of this name, or may have; None if none did."""
        found = [removal for removal in self.all() if name in removal.names]
        return found[-1] if found else None

    def check_there(self, tables: Iterable[str], models: Collection[str] = ()) -> None:
        """Check that tables are there and no cleanup is about to remove them, or these models.

        Raises:
            StoreError: STO081.
        """
        wanted = list(tables)
        claimed = {name for removal in self.open() for name in removal.names}
        gone = [name for name in wanted if self._engine.describe(table_name(name)) is None]
        for name in (*wanted, *models):
            if name in claimed or name in gone:
                message = f"a cleanup {'has removed' if name in gone else 'is about to remove'} it"
                fix = f"mlkit cleanup {self._project} --apply finishes a cleanup; then run this again"
                raise StoreError("STO081", message, path=name, fix=fix)
