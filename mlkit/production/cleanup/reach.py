"""Marking: what is reached, and from where. What nothing reaches may go.

Everything starts at a root: the champion and what has served lately, aliases, pins, runs that are running,
young decisions, the newest study, configs under ``models/``. A root that cannot be read is an error, never
an empty one: so nothing goes because a store was away.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.engines.base import TRAINING
from mlkit.errors import ConfigError
from mlkit.frozen import FOLDER
from mlkit.production.marks import read_marks
from mlkit.production.outputs import TABLES
from mlkit.production.pins import Pins, tables_of_version
from mlkit.production.rollback import replaced_by
from mlkit.tracking.owner import OWNER_TAG, has_died
from mlkit.tracking.upkeep import TrackingUpkeep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.production.cleanup.retention import Retention
    from mlkit.production.ledger import Entry
    from mlkit.production.marks import MarkList
    from mlkit.production.stores import Stores
    from mlkit.tracking.runs import RunRecord

LONGEST_RUN = dt.timedelta(days=14)
"""A run that is older was killed; a younger one is alive unless its process is known to be dead."""
SNAPSHOT = "snapshot"
_STUDY, _DEPLOY = "study", "deploy"


@dataclasses.dataclass
class Reach:
    """What is reached, each with one reason: the first that was found.

    Attributes:
        tables: By full name.
        models: By id.
        versions: By number.
        runs: By id.
        deploying: Why every table and model that a deployment makes is kept; empty if none runs.
        studying: Why every snapshot is kept; empty if no study runs.
    """

    tables: dict[str, str] = dataclasses.field(default_factory=dict)
    models: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[int, str] = dataclasses.field(default_factory=dict)
    runs: dict[str, str] = dataclasses.field(default_factory=dict)
    deploying: str = ""
    studying: str = ""

    def why(self, kind: str, name: str) -> str:
        """Why something is reached; empty if it is not."""
        if kind == "table":
            return self.tables.get(name) or (self.studying if _is_snapshot(name) else self.deploying)
        if kind == "model":
            return self.models.get(name) or self.deploying
        if kind == "version":
            return self.versions.get(int(name), "") or self.deploying
        return self.runs.get(name, "") if kind == "run" else ""

    def add_entry(self, entry: Entry, why: str) -> None:
        """Mark the version of a ledger entry with all that belongs to it."""
        self.versions.setdefault(entry.to_version, why)
        self.models.setdefault(entry.model_id, why)
        for part in TABLES:
            self.tables.setdefault(entry.evidence[part]["table"], why)
        origin = entry.evidence.get("origin", {})
        for run in (entry.run_id, origin.get("study_run_id"), origin.get("run_id")):
            if run:
                self.runs.setdefault(run, why)


def find_reach(stores: Stores, rules: Retention, now: dt.datetime) -> Reach:
    """Mark everything that is reached in a project.

    Args:
        stores: Of which project.
        rules: How much of the past stays.
        now: The time by the clock of the store.

    Raises:
        MlkitError: A root cannot be read.
    """
    reach, entries = Reach(), stores.ledger.entries()
    for entry, why in window(entries, read_marks(stores), rules, now):
        reach.add_entry(entry, why)
    named = TrackingUpkeep(stores.tracking).aliases(stores.registry.full_name)
    champion = stores.registry.champion()
    if champion is not None:
        named.setdefault("champion", champion.version)
    for alias, number in named.items():
        _add_version(reach, stores, number, f"the alias {alias} points at v{number}")
    for pin in Pins(stores.engine, stores.project).all():
        why = f"{pin.what} is pinned: {pin.reason}"
        if pin.version is None:
            reach.tables.setdefault(pin.what, why)
        else:
            _add_version(reach, stores, pin.version, why)
    for decision in stores.decisions.all():
        if now - decision.at < rules.grace:
            judged, why = decision.record, f"the gate judged it on {decision.at:%Y-%m-%d}"
            reach.models.setdefault(judged["candidate"]["model_id"], why)
            for part in TABLES:
                reach.tables.setdefault(judged[part]["table"], why)
    _add_runs(reach, stores, now)
    for config, fingerprint, run in configs_of(stores.project):
        reach.tables.setdefault(snapshot_of(stores.project, fingerprint), f"{config} was found on it")
        reach.runs.setdefault(run, f"{config} was found by it")
    return reach


def window(
    entries: Sequence[Entry], marks: MarkList, rules: Retention, now: dt.datetime
) -> Iterator[tuple[Entry, str]]:
    """The ledger entries whose versions stay, the champion's first, each with the reason.

    Args:
        entries: The ledger, oldest first.
        marks: Versions that a rollback passes over.
        rules: How much of the past stays.
        now: The time.
    """
    if not entries:
        return
    head = entries[-1]
    yield head, f"v{head.to_version} serves"
    yield from _way_back(head, entries, marks)
    last = list(dict.fromkeys(entry.to_version for entry in reversed(entries)))[: rules.keep_versions]
    left = [*(entry.at for entry in entries[1:]), now]
    for entry, until in zip(entries, left, strict=True):
        if entry.to_version in last:
            yield entry, f"v{entry.to_version} is one of the last {rules.keep_versions} that served"
        elif now - until <= rules.window:
            yield entry, f"v{entry.to_version} served until {until:%Y-%m-%d}"


def _way_back(head: Entry, entries: Sequence[Entry], marks: MarkList) -> Iterator[tuple[Entry, str]]:
    """What a rollback would go to, and what it passes over on its way."""
    seen, number = {head.to_version}, head.to_version
    while (before := replaced_by(number, entries)) is not None and before.to_version not in seen:
        yield before, f"a rollback goes back to v{before.to_version}"
        if marks.of(before) is None:
            return
        number = before.to_version
        seen.add(number)


def is_alive(run: RunRecord, now: dt.datetime) -> bool:
    """Whether a run is being worked on, as far as can be told: a dead process is known on its own machine."""
    if run.status != "RUNNING" or now - run.started_at > LONGEST_RUN:
        return False
    return not has_died(run.tags.get(OWNER_TAG, ""))


def snapshot_of(project: str, fingerprint: str) -> str:
    """Full name of the table of a snapshot."""
    return f"{TRAINING}.{project}__{SNAPSHOT}__{fingerprint.removeprefix('d1:')}"


def configs_of(project: str, folder: Path | None = None) -> Iterator[tuple[str, str, str]]:
    """The frozen configs of a project in the working directory: file, snapshot and study run of each.

    Raises:
        ConfigError: The origin beside one of them does not read (CFG004).
    """
    for path in sorted((folder or Path(FOLDER)).glob("*.provenance.json")):
        try:
            origin = json.loads(path.read_text(encoding="utf-8"))
            found = str(origin["project"]), str(origin["snapshot"]), str(origin["study_run_id"])
        except (OSError, ValueError, KeyError, TypeError) as exc:
            fix = "restore it from git, or remove it"
            raise ConfigError("CFG004", "not the provenance of a config", path=str(path), fix=fix) from exc
        if found[0] == project:
            yield str(path).replace(".provenance.json", ".yaml"), found[1], found[2]


def _add_version(reach: Reach, stores: Stores, number: int, why: str) -> None:
    served = [entry for entry in stores.ledger.entries() if entry.to_version == number]
    if served:
        reach.add_entry(served[-1], why)
        return
    tables, model_id = tables_of_version(stores, number)
    reach.versions.setdefault(number, why)
    reach.models.setdefault(model_id, why)
    for table in tables:
        reach.tables.setdefault(table, why)


def _add_runs(reach: Reach, stores: Stores, now: dt.datetime) -> None:
    experiment = TrackingUpkeep(stores.tracking).find_experiment(stores.project)
    if experiment is None:
        return
    deploys, studies = (
        stores.tracking.runs(experiment, tags={"mlkit_kind": kind}) for kind in (_DEPLOY, _STUDY)
    )
    reach.deploying = _alive(deploys, now, "a deployment")
    reach.studying = _alive(studies, now, "a study")
    for run in (*deploys, *studies):
        if is_alive(run, now):
            reach.runs.setdefault(run.run_id, "it is running")
    done = [run for run in studies if run.params.get(SNAPSHOT)]
    for run in done[-1:]:
        table = snapshot_of(stores.project, run.params[SNAPSHOT])
        reach.tables.setdefault(table, f"the newest study, {run.name}, used it")
        reach.runs.setdefault(run.run_id, "it is the newest study")
    _add_snapshots(reach, stores.project, studies)


def _add_snapshots(reach: Reach, project: str, studies: Sequence[RunRecord]) -> None:
    """The rows of a study whose run is kept stay with it."""
    for run in studies:
        why = reach.runs.get(run.run_id)
        if why and run.params.get(SNAPSHOT):
            reach.tables.setdefault(snapshot_of(project, run.params[SNAPSHOT]), why)


def _alive(runs: Sequence[RunRecord], now: dt.datetime, what: str) -> str:
    found = [run for run in runs if is_alive(run, now)]
    return f"{what} has been running since {found[0].started_at:%Y-%m-%d %H:%M}" if found else ""


def _is_snapshot(table: str) -> bool:
    return f"__{SNAPSHOT}__" in table
