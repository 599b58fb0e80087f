"""Removing what a plan names: said first, looked at again before each step, gone on with after a kill.

The order makes it safe beside everything else that runs. What may go is recorded before the first look;
each thing is looked at once more right before it goes; and whoever builds on something old has said so
where is looked, before it reads the record. What serves is asked for once more at the very last.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.console import progress
from mlkit.engines.base import Leftover
from mlkit.errors import IntegrityError, MlkitError, StoreError
from mlkit.failpoints import failpoint
from mlkit.production.cleanup.plan import Item, plan_cleanup, readable, why_kept
from mlkit.production.cleanup.reach import find_reach
from mlkit.production.outputs import TABLES
from mlkit.production.removals import Removals
from mlkit.tracking.copies import remove_copies
from mlkit.tracking.upkeep import TrackingUpkeep
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.production.cleanup.retention import Retention
    from mlkit.production.removals import Removal, Target
    from mlkit.production.stores import Stores


@dataclasses.dataclass(frozen=True)
class CleanupReport:
    """What a cleanup has done.

    Attributes:
        project: Whose.
        removed: What has gone.
        kept: What was to go and stayed, by name, with the reason.
        stays: What the plan had left alone.
    """

    project: str
    removed: tuple[Item, ...]
    kept: Mapping[str, str]
    stays: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes that were freed, as far as the stores tell."""
        return sum(item.size or 0 for item in self.removed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "project": self.project,
            "removed": [item.to_dict() for item in self.removed],
            "kept": dict(self.kept),
            "stays": [item.to_dict() for item in self.stays],
            "bytes": self.size,
        }

    def __repr__(self) -> str:
        """Sums, then what stayed against the plan."""
        sums = f"{len(self.removed)} removed ({readable(self.size)}), {len(self.stays)} stay"
        lines = [f"{self.project}  {sums}", *(f"  removed {item!r}" for item in self.removed[:20])]
        lines += [f"  kept    {name}: {why}" for name, why in self.kept.items()]
        if any(item.target.kind == "run" for item in self.removed):
            lines.append("  next    mlflow gc frees the files of runs that are marked as deleted")
        return "\n".join(lines)


def clean_up(stores: Stores, rules: Retention, *, now: dt.datetime | None = None) -> CleanupReport:
    """Remove what nothing reaches, after what an earlier, stopped cleanup has left.

    Args:
        stores: Of which project.
        rules: What stays, and which kinds of things may go.
        now: The time; by default by the clock of the store.

    Raises:
        StoreError: Something could not be removed (STO080); repeating goes on there.
        IntegrityError: Something that serves would go (INT003); nothing more was removed.
    """
    plan = plan_cleanup(stores, rules, now=now)
    removals = Removals(stores.engine, stores.project)
    begun = removals.open()
    known = {target for removal in begun for target in removal.targets}
    if new := [item.target for item in plan.goes if item.target not in known]:
        begun.append(removals.begin(new, rules=rules.to_dict()))
        failpoint("cleanup.begun")
    sizes = {item.target: item for item in plan.goes}
    removed, kept = [], {}
    total = sum(len(removal.targets) for removal in begun)
    with progress(f"cleanup {stores.project}", total) as advance:
        for removal in begun:
            gone, stayed = _sweep(stores, removal, rules, now, advance)
            removals.end(removal, removed=[target.name for target in gone], kept=stayed)
            removed += [sizes.get(target, Item(target, "begun by an earlier cleanup")) for target in gone]
            kept.update(stayed)
    return CleanupReport(stores.project, tuple(removed), kept, plan.stays)


def remove(stores: Stores, target: Target) -> None:
    """Remove one thing; fine if it is gone already. What serves is refused, whoever asks.

    Raises:
        IntegrityError: It belongs to the champion (INT003).
        StoreError: The store did not do it.
    """
    _refuse_champion(stores, target)
    kind, name, place = target
    upkeep = TrackingUpkeep(stores.tracking)
    if kind == "table":
        stores.engine.drop(table_name(name))
    elif kind == "staging":
        stores.engine.upkeep.remove(Leftover(place, name, None, None))
    elif kind == "copy":
        remove_copies(Path(place))
    elif kind == "log":
        before = dt.datetime.fromisoformat(place)
        stores.engine.trim_log(table_name(name), before=before)
    elif kind == "model":
        upkeep.remove_model(name, place)
    elif kind == "version":
        upkeep.remove_version(stores.registry.full_name, int(name))
    elif kind == "run":
        upkeep.remove_run(name)


def _sweep(
    stores: Stores,
    removal: Removal,
    rules: Retention,
    now: dt.datetime | None,
    advance: Any,  # noqa: ANN401
) -> tuple[list[Target], dict[str, str]]:
    gone: list[Target] = []
    stayed: dict[str, str] = {}
    for target in removal.targets:
        try:
            why = _reached_by_now(stores, target, rules, now)
            if why:
                stayed[target.name] = why
            else:
                failpoint("cleanup.checked")
                remove(stores, target)
                gone.append(target)
                failpoint("cleanup.removed")
        except IntegrityError:
            raise
        except MlkitError as exc:
            done = f"{len(gone)} of {len(removal.targets)} were removed, then"
            fix = f"mend that, then mlkit cleanup {stores.project} --apply goes on there"
            raise StoreError("STO080", f"{done}: {exc.message}", path=target.name, fix=fix) from exc
        advance(note=target.name)
    return gone, stayed


def _reached_by_now(stores: Stores, target: Target, rules: Retention, now: dt.datetime | None) -> str:
    """Why something that was to go is to stay after all; empty if it still may go."""
    present = now or stores.engine.upkeep.now()
    age: float | None = rules.grace_days
    if target.kind == "table":
        table = table_name(target.name)
        if table not in stores.engine.tables(table.schema, prefix=table.name):
            return ""
        made_at = stores.engine.upkeep.made_at(table)  # it may have been published again
        age = (present - made_at) / dt.timedelta(days=1) if made_at else None
    return why_kept(Item(target, "", age), find_reach(stores, rules, present), rules)


def _refuse_champion(stores: Stores, target: Target) -> None:
    """The last look, at nothing but the ledger and the alias, whatever the rules and the marks said."""
    head, champion = stores.ledger.head(), stores.registry.champion()
    kept = {("version", str(champion.version)), ("model", champion.model_id)} if champion else set()
    if head is not None:
        kept |= {("version", str(head.to_version)), ("model", head.model_id), ("run", head.run_id)}
        kept |= {("table", str(head.evidence[part]["table"])) for part in TABLES}
    if (target.kind, target.name) in kept:
        message = "it belongs to the champion, which cleanup never touches"
        fix = "please report this, with the output of mlkit doctor"
        raise IntegrityError("INT003", message, path=target.name, fix=fix)
