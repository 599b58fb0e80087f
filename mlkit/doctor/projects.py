"""One project: whether ledger, alias, versions, files and runs tell the same story."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.doctor.finding import Finding
from mlkit.errors import EXIT_INTEGRITY, MlkitError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.page.words import counted
from mlkit.production.cleanup.reach import is_alive
from mlkit.production.removals import Removals
from mlkit.scaffold.managed import look_at_managed
from mlkit.tracking.copies import local_path
from mlkit.tracking.models import MANIFEST
from mlkit.tracking.upkeep import StoredModel, TrackingUpkeep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.production.stores import Stores
    from mlkit.tracking.runs import RunRecord

_DAY = dt.timedelta(days=1)


def check_alias(stores: Stores) -> Iterator[Finding]:
    """Whether the alias shows what the ledger says."""
    head, shown = stores.ledger.head(), stores.registry.champion()
    what = f"{stores.project} champion"
    if head is None:
        said = (
            "nothing serves yet"
            if shown is None
            else f"nothing was promoted, the alias is at v{shown.version}"
        )
        yield Finding(
            what, "OK" if shown is None else "WARN", said, "mlkit deploy, or remove the alias in MLflow"
        )
        return
    if shown is not None and (shown.version, shown.model_id) == (head.to_version, head.model_id):
        yield Finding(what, "OK", f"v{head.to_version}, by ledger and alias")
        return
    stores.check_registered(head)
    where = f"at v{shown.version}" if shown else "nowhere"
    said = f"the ledger says v{head.to_version}, the alias is {where}"

    def cure() -> str:
        stores.show_head(head)
        return f"the alias is at v{head.to_version} again"

    yield Finding(what, "FAIL", said, "mlkit doctor --fix", cure=cure)


def check_files(stores: Stores) -> Iterator[Finding]:
    """Whether the files of each version are there, by their names and sizes; `mlkit fsck` reads them."""
    models = {model.model_id: model for model in _models(stores)}
    removals, damaged = Removals(stores.engine, stores.project), []
    versions = stores.registry.versions()
    for version in versions:
        model = models.get(version.model_id)
        fault = "its model is gone" if model is None else _fault(model)
        if fault and removals.of(version.model_id) is None:
            damaged.append(f"v{version.version}: {fault}")
    what = f"{stores.project} versions"
    if damaged:
        mend = f"restore the files from a backup; mlkit fsck {stores.project} names each"
        yield Finding(what, "FAIL", "; ".join(damaged), mend, EXIT_INTEGRITY)
    else:
        yield Finding(what, "OK", f"{len(versions)}, their files are there")


def check_orphans(stores: Stores) -> Iterator[Finding]:
    """Versions that never served, and models whose upload was never finished."""
    served = {entry.to_version for entry in stores.ledger.entries()}
    now = stores.engine.upkeep.now()
    made = TrackingUpkeep(stores.tracking).versions(stores.registry.full_name)
    versions = [f"v{number}" for number, at in made.items() if number not in served and now - at > _DAY]
    models = [model.model_id for model in _models(stores) if not model.ready and now - model.made_at > _DAY]
    found = [
        *([f"{', '.join(versions)} never served"] if versions else []),
        *([f"{counted(len(models), 'model')} never finished"] if models else []),
    ]
    if found:
        mend = f"mlkit cleanup {stores.project} --models --versions"
        yield Finding(f"{stores.project} orphans", "WARN", "; ".join(found), mend)
    else:
        yield Finding(f"{stores.project} orphans", "OK", "none")


def check_runs(stores: Stores) -> Iterator[Finding]:
    """Runs that nobody works on any more and that still say RUNNING: MLflow never finds out by itself."""
    upkeep = TrackingUpkeep(stores.tracking)
    experiment, now = upkeep.find_experiment(stores.project), stores.engine.upkeep.now()
    running = stores.tracking.running(experiment) if experiment else []
    dead = [run for run in running if not is_alive(run, now)]
    what = f"{stores.project} runs"
    if not dead:
        yield Finding(what, "OK", f"{len(running)} running")
        return

    def cure() -> str:
        return _ended(stores, dead)

    said = f"{len(dead)} were killed and still say RUNNING, {dead[0].name} among them"
    yield Finding(what, "WARN", said, "mlkit doctor --fix", cure=cure)


def check_removals(stores: Stores) -> Iterator[Finding]:
    """Cleanups that were stopped."""
    for removal in Removals(stores.engine, stores.project).open():
        said = f"the one of {removal.at:%Y-%m-%d %H:%M} by {removal.actor} runs, or was stopped"
        yield Finding(f"{stores.project} cleanup", "WARN", said, f"mlkit cleanup {stores.project} --apply")


def check_configs() -> Iterator[Finding]:
    """Whether each config under ``models/`` loads."""
    for file in sorted(Path(FOLDER).glob("*.yaml")):
        try:
            FrozenConfig.load(file)
        except MlkitError as exc:
            yield Finding.of_error(f"config {file}", exc)
        else:
            yield Finding(f"config {file}", "OK", "loads")


def check_managed() -> Iterator[Finding]:
    """Whether the files that mlkit writes are those of this version; nothing where there are none."""
    files = [file for file in look_at_managed(Path()) if file.state != "absent"]
    behind = [f"{file.file.path} is {file.state}" for file in files if file.state != "current"]
    if behind:
        yield Finding("managed files", "WARN", "; ".join(behind), "mlkit init --update")
    elif files:
        yield Finding("managed files", "OK", "current")


def _models(stores: Stores) -> list[StoredModel]:
    upkeep = TrackingUpkeep(stores.tracking)
    experiment = upkeep.find_experiment(stores.project)
    return upkeep.models(experiment) if experiment else []


def _fault(model: StoredModel) -> str:
    """What is wrong with the files of a model, as far as their sizes tell; empty of one that is elsewhere."""
    folder = local_path(model.location)
    if folder is None:
        return ""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        sizes = {name: (folder / name).stat().st_size for name in listed}
    except (OSError, ValueError, KeyError) as exc:
        return f"a file is missing or does not read ({type(exc).__name__})"
    wrong = [name for name, said in listed.items() if said["bytes"] != sizes[name]]
    return f"{wrong[0]} has another size than recorded" if wrong else ""


def _ended(stores: Stores, dead: Sequence[RunRecord]) -> str:
    for run in dead:
        stores.tracking.end(run.run_id, "KILLED")
    return f"{len(dead)} ended as KILLED"
