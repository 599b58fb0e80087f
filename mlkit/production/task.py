"""The entry point of a packaged runner: what a job calls with a list of ``--name=value``.

It returns on success and raises on failure: no `SystemExit`, no exit code, no click. The last line of
the exception says why, because that line is what a job's page shows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit import document
from mlkit.errors import UsageError
from mlkit.frozen import FrozenConfig, provenance_path
from mlkit.production.rehearsal import rehearse
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.stores import Stores
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mlkit.production.plan import Plan
    from mlkit.production.report import RunReport

VERBS = ("deploy", "plan", "rollback")
OPTIONS = ("config", "target", "reason", "to", "rehearse", "cv")


def main(arguments: Sequence[str] | None = None, *, configs: Path) -> RunReport | Plan | dict[str, Any]:
    """Run one verb of the packaged runner.

    Args:
        arguments: A verb, then ``--name=value`` parts; by default those of the process.
        configs: Folder with the frozen configs of the package.

    Returns:
        What the verb made; a job drops it.

    Raises:
        UsageError: Arguments that make no sense, or were left unfilled by the job (``{{``).
        GateRejectedError: Nothing serves, and the candidate may not.
        MlkitError: Whatever else stopped the run.
    """
    verb, options = _parsed(sys.argv[1:] if arguments is None else list(arguments))
    config = FrozenConfig.load(_config_file(configs, options.get("config")))
    stores = Stores(open_workspace(options.get("target")), config.name)
    if "rehearse" in options:
        result = rehearse(config, stores, cv=int(options.get("cv", "5")))
        document.save(Path(options["rehearse"]), json.dumps(result))
        return result
    if verb == "plan":
        return plan_deployment(config, stores)
    if verb == "rollback":
        to = options.get("to")
        return roll_back(stores, to=int(to) if to and to != "previous" else None, reason=options.get("reason", ""))
    report = deploy(config, stores, origin=read_origin(config), reason=options.get("reason", ""))
    report.raise_if_rejected()
    return report


def read_origin(config: FrozenConfig) -> dict[str, Any]:
    """Where a config came from, if that stands beside it."""
    path = provenance_path(config.path) if config.path else None
    if path is None or not path.is_file():
        return {}
    origin = json.loads(path.read_text(encoding="utf-8"))
    kept = ("commit", "dirty", "reason", "study_run_id", "run_id", "trial", "test_looks", "config_digest")
    return {name: origin[name] for name in kept if name in origin}


def _parsed(arguments: list[str]) -> tuple[str, dict[str, str]]:
    if len(arguments) == 1 and " " in arguments[0].strip():
        raise UsageError("CLI011", "the parameters came as one text; a job gives them as a list", path="parameters")
    for argument in arguments:
        if "{{" in argument:
            raise UsageError("CLI026", "a job reference was not filled in", path=argument, fix="correct its name")
    verb, *rest = arguments or [""]
    if verb not in VERBS:
        raise UsageError("CLI001", f"expected one of {', '.join(VERBS)}, found {verb!r}", path="verb")
    return verb, dict(_option(argument) for argument in rest)


def _option(argument: str) -> tuple[str, str]:
    name, equals, value = argument.removeprefix("--").partition("=")
    if not argument.startswith("--") or not equals or name not in OPTIONS:
        known = ", ".join(f"--{option}=" for option in OPTIONS)
        raise UsageError("CLI001", f"expected --name=value, found {argument!r}", path=name, fix=f"known: {known}")
    return name, value


def _config_file(configs: Path, name: str | None) -> Path:
    known = sorted(path.stem for path in configs.glob("*.yaml"))
    if name is None and len(known) == 1:
        name = known[0]
    if name not in known:
        message = f"expected --config=NAME, found {name!r}"
        raise UsageError("CLI002", message, path="config", fix=f"known: {', '.join(known)}")
    return configs / f"{name}.yaml"
