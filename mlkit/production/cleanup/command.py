"""The command: a plan for one project or all of a store, and a question before anything goes for good."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from mlkit.errors import UsageError
from mlkit.production.cleanup.plan import CleanupPlan, plan_cleanup, projects_of, readable
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import CleanupReport, clean_up
from mlkit.production.options import switch, whole_number
from mlkit.production.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Cleanups:
    """A cleanup of all projects of a store.

    Attributes:
        projects: The plan or the report of each.
    """

    projects: tuple[CleanupPlan | CleanupReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"projects": [project.to_dict() for project in self.projects]}

    def __repr__(self) -> str:
        """One after the other."""
        return "\n".join(map(repr, self.projects)) or "there is no project in this store"


def run_cleanup(
    workspace: Workspace, project: str | None, rules: Retention, *, apply: bool, yes: bool
) -> CleanupPlan | CleanupReport | Cleanups:
    """Plan, and with `apply` remove.

    Args:
        workspace: Which stores.
        project: Whose; None for every project that has tables there.
        rules: What stays, and which kinds of things may go.
        apply: Remove what the plan names.
        yes: Do not ask.

    Raises:
        UsageError: Nobody can be asked, and `yes` was not said (CLI007).
    """
    names = [project] if project else projects_of(workspace.engine)
    stores = [Stores(workspace, name) for name in names]
    plans = [plan_cleanup(each, rules) for each in stores]
    made: list[CleanupPlan | CleanupReport] = list(plans)
    if apply and (yes or _agreed(plans)):
        made = [clean_up(each, rules) for each in stores]
    return made[0] if project else Cleanups(tuple(made))


def cleanup_task(stores: Stores, options: Mapping[str, str]) -> CleanupPlan | CleanupReport:
    """The cleanup of a job: ``apply`` and ``keep-days``, and nobody to ask."""
    days = options.get("keep-days")
    rules = Retention(keep_days=whole_number("keep-days", days)) if days else Retention()
    if switch("apply", options.get("apply", "")):
        return clean_up(stores, rules)
    return plan_cleanup(stores, rules)


def _agreed(plans: list[CleanupPlan]) -> bool:
    """Ask on a terminal; elsewhere it has to be said beforehand."""
    count, size = sum(len(plan.goes) for plan in plans), sum(plan.size for plan in plans)
    unfinished = sum(plan.unfinished for plan in plans)
    if not count and not unfinished:
        return True
    if not sys.stdin.isatty():
        message = f"{_lost(count + unfinished, size)} would be removed for good; nobody can be asked here"
        raise UsageError("CLI007", message, path="yes", fix="look at the plan, then say --apply --yes")
    sys.stderr.write("".join(f"{plan!r}\n" for plan in plans))
    sys.stderr.write(f"remove {_lost(count + unfinished, size)} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _lost(count: int, size: int) -> str:
    return f"{count} thing{'s' * (count != 1)}, {readable(size)},"
