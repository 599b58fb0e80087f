"""The plan of a cleanup: what goes, with size, age and reason, and what stays and why. Writes nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from mlkit.engines.base import MONITORING, TRAINING
from mlkit.production.cleanup.reach import find_reach
from mlkit.production.outputs import TABLES
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.removals import Removals, Target
from mlkit.tracking.copies import left_copies
from mlkit.tracking.runs import PARENT_TAG
from mlkit.tracking.upkeep import TrackingUpkeep
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.engines.base import Engine
    from mlkit.production.cleanup.reach import Reach
    from mlkit.production.cleanup.retention import Retention
    from mlkit.production.stores import Stores

_DAY = dt.timedelta(days=1)
_SHOWN = 20
_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclasses.dataclass(frozen=True)
class Item:
    """Something that could go.

    Attributes:
        target: What it is.
        why: Why it goes, or stays.
        age_days: By the clock of its store; None where nobody knows.
        size: Bytes; None where the store does not tell.
    """

    target: Target
    why: str
    age_days: float | None = None
    size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        kind, name, _ = self.target
        return {"kind": kind, "name": name, "why": self.why, "age_days": self.age_days, "bytes": self.size}

    def __repr__(self) -> str:
        """One line."""
        age = "age unknown" if self.age_days is None else f"{self.age_days:.0f} days"
        kind, name, _ = self.target
        size = "" if self.size is None else f"{readable(self.size)}  "
        return f"{kind:<8} {name}  {size}{age}  {self.why}"


@dataclasses.dataclass(frozen=True)
class CleanupPlan:
    """What a cleanup of a project would do.

    Attributes:
        project: Whose.
        rules: Under which rules.
        goes: What nothing reaches.
        stays: What is reached, or too young.
        unfinished: Number of things that an earlier cleanup was stopped at.
    """

    project: str
    rules: Retention
    goes: tuple[Item, ...]
    stays: tuple[Item, ...]
    unfinished: int = 0

    @property
    def size(self) -> int:
        """Bytes that would be freed, as far as the stores tell."""
        return sum(item.size or 0 for item in self.goes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "project": self.project,
            "rules": self.rules.to_dict(),
            "goes": [item.to_dict() for item in self.goes],
            "stays": [item.to_dict() for item in self.stays],
            "bytes": self.size,
            "unfinished": self.unfinished,
        }

    def __repr__(self) -> str:
        """Sums first, then the largest of what goes, and of what stays."""
        sums = f"{len(self.goes)} go ({readable(self.size)}), {len(self.stays)} stay"
        lines = [f"{self.project}  {sums}"]
        if self.unfinished:
            lines.append(f"  an earlier cleanup of {self.unfinished} things was stopped; this one goes on")
        for word, items in (("goes", self.goes), ("stays", self.stays)):
            shown = sorted(items, key=lambda item: -(item.size or 0))[:_SHOWN]
            lines += [f"  {word:<6} {item!r}" for item in shown]
            if len(items) > len(shown):
                lines.append(f"  {word:<6} and {len(items) - len(shown)} more; --json lists all")
        if self.goes or self.unfinished:
            lines.append(f"  next    mlkit cleanup {self.project} {self.rules.options}--apply")
        return "\n".join(lines)


def plan_cleanup(stores: Stores, rules: Retention, *, now: dt.datetime | None = None) -> CleanupPlan:
    """Find what nothing reaches any more. Writes nothing.

    Args:
        stores: Of which project.
        rules: What stays, and which kinds of things may go.
        now: The time; by default by the clock of the store.

    Raises:
        MlkitError: Something that could hold a reference cannot be read.
    """
    now = now or stores.engine.upkeep.now()
    reach = find_reach(stores, rules, now)
    goes: list[Item] = []
    stays: list[Item] = []
    for item in _candidates(stores, rules, now):
        kept = why_kept(item, reach, rules)
        (stays if kept else goes).append(dataclasses.replace(item, why=kept or item.why))
    begun = Removals(stores.engine, stores.project).open()
    unfinished = sum(len(removal.targets) for removal in begun)
    sized = tuple(dataclasses.replace(item, size=_size(item, stores)) for item in goes)
    return CleanupPlan(stores.project, rules, sized, tuple(stays), unfinished)


def why_kept(item: Item, reach: Reach, rules: Retention) -> str:
    """Why something stays; empty if it may go."""
    kind, name, place = item.target
    if kind == "log":
        return ""
    if why := reach.why(kind, name) or (reach.why(kind, place) if kind == "run" else ""):
        return why
    if item.age_days is None:
        return "its age is not known"
    return f"younger than {rules.grace_days} days" if item.age_days < rules.grace_days else ""


def projects_of(engine: Engine) -> list[str]:
    """The projects that have tables in a store."""
    tables = [table.name for schema in (TRAINING, MONITORING) for table in engine.tables(schema)]
    return sorted({name.partition("__")[0] for name in tables if "__" in name})


def readable(size: int) -> str:
    """Bytes for people."""
    value, unit = float(size), 0
    while round(value, 1) >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _candidates(stores: Stores, rules: Retention, now: dt.datetime) -> Iterator[Item]:
    for leftover in stores.engine.upkeep.leftovers():
        target = Target("staging", leftover.name, leftover.schema)
        age = _age(leftover.made_at, now)
        yield Item(target, "a writer was killed before it was finished", age, leftover.size)
    for folder in left_copies():
        made_at = dt.datetime.fromtimestamp(folder.stat().st_mtime, dt.UTC)
        target = Target("copy", folder.name, str(folder))
        yield Item(target, "models that a killed process had fetched", _age(made_at, now))
    yield from _tables(stores, now)
    if rules.models:
        yield from _models(stores, now)
    if rules.versions:
        yield from _versions(stores, now)
    if rules.runs:
        yield from _runs(stores, now)
    if rules.log_days is not None:
        yield from _log(stores, rules.log_days, now)


def _tables(stores: Stores, now: dt.datetime) -> Iterator[Item]:
    prefix = f"{stores.project}__"
    ours = re.compile(rf"{prefix}[a-z_]+__[0-9a-f]{{32}}")
    known = _known_tables(stores)
    for table in stores.engine.tables(TRAINING, prefix=prefix):
        if ours.fullmatch(table.name):
            age = _age(stores.engine.upkeep.made_at(table), now)
            why = known.get(str(table), "no version, study or config has it")
            yield Item(Target("table", str(table)), why, age)


def _known_tables(stores: Stores) -> dict[str, str]:
    """What each table was made for, as far as the records tell."""
    found = {}
    for decision in stores.decisions.all():
        why = f"of a candidate that the gate did not promote ({decision.outcome})"
        found.update({decision.record[part]["table"]: why for part in TABLES})
    for entry in stores.ledger.entries():
        why = f"of v{entry.to_version}, which served last before the window of the ledger"
        found.update({entry.evidence[part]["table"]: why for part in TABLES})
    return found


def _models(stores: Stores, now: dt.datetime) -> Iterator[Item]:
    upkeep = TrackingUpkeep(stores.tracking)
    experiment = upkeep.find_experiment(stores.project)
    registered = {version.model_id: version.version for version in stores.registry.versions()}
    for model in upkeep.models(experiment) if experiment else ():
        number = registered.get(model.model_id)
        why = f"of v{number}, which nothing reaches" if number else "it has no version"
        if not model.ready:
            why = "its upload was never finished"
        target = Target("model", model.model_id, model.location)
        yield Item(target, why, _age(model.made_at, now), model.size)


def _versions(stores: Stores, now: dt.datetime) -> Iterator[Item]:
    served = {entry.to_version for entry in stores.ledger.entries()}
    for number, made_at in TrackingUpkeep(stores.tracking).versions(stores.registry.full_name).items():
        state = "it served last before the window" if number in served else "it never served"
        yield Item(Target("version", str(number)), state, _age(made_at, now), 0)


def _runs(stores: Stores, now: dt.datetime) -> Iterator[Item]:
    experiment = TrackingUpkeep(stores.tracking).find_experiment(stores.project)
    for run in stores.tracking.runs(experiment, tags={}) if experiment else ():
        why = f"{run.name}, {run.status.lower()}"
        target = Target("run", run.run_id, run.tags.get(PARENT_TAG, ""))
        yield Item(target, why, _age(run.started_at, now), 0)


def _log(stores: Stores, days: int, now: dt.datetime) -> Iterator[Item]:
    table = PredictionLog(stores.engine, stores.project).name
    if table in stores.engine.tables(MONITORING, prefix=table.name):
        before = (now - days * _DAY).isoformat()
        yield Item(Target("log", str(table), before), f"rows older than {days} days", float(days))


def _age(made_at: dt.datetime | None, now: dt.datetime) -> float | None:
    return None if made_at is None else (now - made_at) / _DAY


def _size(item: Item, stores: Stores) -> int | None:
    if item.target.kind != "table":
        return item.size
    return stores.engine.size(table_name(item.target.name))
