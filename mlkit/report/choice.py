"""Which project a report is of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.frozen import FOLDER
from mlkit.nearest import nearest
from mlkit.production.cleanup.plan import projects_of
from mlkit.production.stores import Stores
from mlkit.report.context import open_context

if TYPE_CHECKING:
    from mlkit.workspace import Workspace


def choose_project(workspace: Workspace, name: str | None) -> str:
    """The project that is named, or the only one there is.

    Args:
        workspace: Where its records are.
        name: Its name; None to find out.

    Raises:
        UsageError: None is named, and there are none or several (CLI100); or nothing is known of it (CLI101).
    """
    known = known_projects(workspace)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        fix = (
            f"known: {', '.join(known)}"
            if known
            else f"no project is in the stores of {workspace.place}: another folder, or --target?"
        )
        raise UsageError("CLI100", "it was not said which project is meant", path="name", fix=fix)
    if name not in known and open_context(Stores(workspace, name)).experiment is None:
        message = f"nothing is known of {name} in the stores of {workspace.place}"
        raise UsageError(
            "CLI101", message, path="name", fix=nearest(name, known) or "project.study(...) begins it"
        )
    return name


def expect_known(workspace: Workspace, project: str) -> None:
    """Refuse a name that nothing here has: neither a table nor a config.

    Raises:
        UsageError: It is misspelt, or of other stores (CLI135).
    """
    known = known_projects(workspace)
    if project not in known:
        message = f"no project {project!r} in the stores of {workspace.place}"
        fix = nearest(project, known) or "there is none: is it another folder, or another --target?"
        raise UsageError("CLI135", message, path="name", fix=fix)


def known_projects(workspace: Workspace) -> list[str]:
    """Projects with tables on the target, or a config under ``models/`` of the working directory."""
    return sorted({*projects_of(workspace.engine), *(file.stem for file in Path(FOLDER).glob("*.yaml"))})
