"""The examination: every check in turn; one that cannot be made is a finding, and the others go on."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from mlkit.doctor import environment, projects, stores
from mlkit.doctor.finding import DoctorReport, Finding
from mlkit.errors import MlkitError
from mlkit.production.cleanup.plan import projects_of
from mlkit.production.stores import Stores
from mlkit.targets import LOCAL
from mlkit.workspace import TARGET, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlkit.workspace import Workspace

    Check = tuple[str, Callable[[], Iterator[Finding]]]

_OF_STORES = {
    "home": stores.check_home,
    "address": stores.check_address,
    "database": stores.check_database,
    "tracking": stores.check_tracking,
    "tables": stores.check_engine,
    "exclusive create": stores.check_exclusive,
    "leftovers": stores.check_leftovers,
}
_OF_PROJECT = {
    "champion": projects.check_alias,
    "versions": projects.check_files,
    "orphans": projects.check_orphans,
    "runs": projects.check_runs,
    "cleanup": projects.check_removals,
}


def examine(target: str | None = None, *, project: str | None = None, fix: bool = False) -> DoctorReport:
    """Look at everything that a target rests on.

    Args:
        target: Name of the target; by default ``MLKIT_TARGET`` or `local`.
        project: Only this project; by default all of the store.
        fix: Mend what is safe: the alias, runs that were killed, what killed writers left.
    """
    name = target or os.environ.get(TARGET) or LOCAL
    found = list(_made(("environment", environment.check_environment)))
    found += _made(("configs", projects.check_configs))
    found += _made(("managed files", projects.check_managed))
    try:
        workspace = open_workspace(target)
    except MlkitError as exc:
        return DoctorReport(name, (*found, Finding.of_error(f"target {name}", exc)))
    found.append(Finding(f"target {name}", "OK", "described without a secret"))
    for check in _checks(workspace, project):
        found += _made(check)
    return DoctorReport(name, tuple(_cured(each) if fix else each for each in found))


def _checks(workspace: Workspace, project: str | None) -> Iterator[Check]:
    for what, check in _OF_STORES.items():
        yield what, partial(check, workspace)
    try:
        names = [project] if project else projects_of(workspace.engine)
    except MlkitError:  # that the tables cannot be read was said
        return
    for name in names:
        opened = Stores(workspace, name)
        for what, look in _OF_PROJECT.items():
            yield f"{name} {what}", partial(look, opened)


def _made(check: Check) -> Iterator[Finding]:
    what, look = check
    try:
        yield from look()
    except MlkitError as exc:
        yield Finding.of_error(what, exc)


def _cured(finding: Finding) -> Finding:
    try:
        return finding.cured()
    except MlkitError as exc:
        return Finding.of_error(finding.what, exc)
