"""Saved plans: a small file by which a deployment does what was reviewed, or refuses.

A plan names digests of config, code, data, environment and champion. If one of them is another by the time
of the deployment, what was reviewed is not what would be done.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit import document
from mlkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.production.plan import Plan
    from mlkit.workspace import Workspace

FORMAT = 1
_ID = re.compile(r"[0-9a-f]{8}")


def save_plan(plan: Plan, workspace: Workspace, *, to: Path | str | None = None) -> str:
    """Write a plan to a file, which holds no row and no secret.

    Args:
        plan: The plan.
        workspace: By default it is written among its local files, under its id.
        to: Another file.

    Returns:
        How `load_pins` finds it: the id, or the path of the other file.

    Raises:
        StoreError: The file cannot be written (STO023).
    """
    file = Path(to) if to else _file(workspace, plan.plan_id)
    values = {"mlkit_plan": FORMAT, **plan.to_dict(), "saved": ""}
    document.save(file, json.dumps(values, indent=2) + "\n")
    return str(to) if to else plan.plan_id


def load_pins(named: str, workspace: Workspace, *, project: str) -> dict[str, str]:
    """What a saved plan holds a deployment to.

    Args:
        named: Its id, or the path of its file.
        workspace: Where it was made for.
        project: Whose deployment it is.

    Raises:
        UsageError: There is no such plan, it does not read (CLI131), or it is one of another project or
            target (CLI132).
    """
    file = _file(workspace, named) if _ID.fullmatch(named) else Path(named)
    fix = f"mlkit plan {project} makes and saves one"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        pins = {str(name): str(value) for name, value in values["pins"].items()}
        made_for = (values["model"], values["target"])
    except OSError as exc:
        raise UsageError("CLI131", f"no plan {named!r} was saved here", path="plan", fix=fix) from exc
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise UsageError("CLI131", "this file is no saved plan", path=named, fix=fix) from exc
    if made_for != (project, workspace.target):
        message = f"this plan is for {made_for[0]} on {made_for[1]}, not for {project} on {workspace.target}"
        raise UsageError("CLI132", message, path="plan", fix=fix)
    return pins


def check_pins(plan: Plan, pins: Mapping[str, str]) -> None:
    """Refuse to deploy what is not what was planned.

    Args:
        plan: What would be done now.
        pins: What the saved plan was made of.

    Raises:
        UsageError: Something it was made of is another by now (CLI130); each is named.
    """
    stale = [name for name in {**pins, **plan.pins} if pins.get(name) != plan.pins.get(name)]
    if stale:
        message = f"the plan is stale: {', '.join(stale)} changed since it was made; nothing was done"
        fix = f"mlkit plan {plan.model}, look at it, and deploy that one"
        raise UsageError("CLI130", message, path="plan", fix=fix)


def _file(workspace: Workspace, plan_id: str) -> Path:
    return workspace.folder / "plans" / f"{plan_id}.json"
