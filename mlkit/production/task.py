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
from mlkit.console import say
from mlkit.errors import UsageError
from mlkit.frozen import FrozenConfig, read_provenance
from mlkit.production.rehearsal import rehearse
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.stores import Stores
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mlkit.production.plan import Plan
    from mlkit.production.report import RunReport

_ALWAYS = ("config", "target")
OPTIONS = {
    "deploy": (*_ALWAYS, "reason", "rehearse", "cv"),
    "plan": _ALWAYS,
    "rollback": (*_ALWAYS, "to", "reason"),
}
"""What each verb takes."""


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
    verb, options = _parsed(sys.argv[1:] if arguments is None else arguments)
    config = FrozenConfig.load(_config_file(configs, options.get("config")))
    stores = Stores(open_workspace(options.get("target")), config.name)
    if "rehearse" in options:
        result = rehearse(config, stores, cv=_whole_number("cv", options.get("cv", "5")))
        document.save(Path(options["rehearse"]), json.dumps(result))
        return result
    return _run(verb, options, config, stores)


def _run(verb: str, options: Mapping[str, str], config: FrozenConfig, stores: Stores) -> RunReport | Plan:
    reason = options.get("reason", "")
    if verb == "plan":
        plan = plan_deployment(config, stores)
        say(repr(plan))
        return plan
    if verb == "rollback":
        to = options.get("to") or "previous"
        report = roll_back(stores, to=None if to == "previous" else _whole_number("to", to), reason=reason)
    else:
        report = deploy(config, stores, origin=read_origin(config), reason=reason)
    say(repr(report))
    report.raise_if_rejected()
    return report


def read_origin(config: FrozenConfig) -> dict[str, Any]:
    """Where a config came from, if that stands beside it; of an edited one, only what it was edited from."""
    origin = read_provenance(config)
    if origin and origin["config_digest"] != config.digest:
        return {"edited_from": origin["config_digest"], "test_looks": origin.get("test_looks", 0)}
    kept = ("commit", "dirty", "reason", "study_run_id", "run_id", "trial", "test_looks", "config_digest")
    return {name: origin[name] for name in kept if name in origin}


def _parsed(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    if isinstance(arguments, str) or (len(arguments) == 1 and " " in arguments[0].strip()):
        message = "the parameters came as one text; a job gives them as a list"
        raise UsageError("CLI011", message, path="parameters", fix='parameters: ["deploy", "--config=NAME"]')
    for argument in arguments:
        if "{{" in argument:
            message = "a job reference was not filled in"
            raise UsageError("CLI026", message, path=argument, fix="correct its name")
    verb, *rest = arguments or [""]
    if verb not in OPTIONS:
        raise UsageError("CLI001", f"expected one of {', '.join(OPTIONS)}, found {verb!r}", path="verb")
    options: dict[str, str] = {}
    for argument in rest:
        name, value = _option(argument, OPTIONS[verb])
        if name in options:
            raise UsageError("CLI001", f"--{name} stands twice", path=name, fix="give it once")
        options[name] = value
    return verb, options


def _option(argument: str, known: Sequence[str]) -> tuple[str, str]:
    name, equals, value = argument.removeprefix("--").partition("=")
    if not argument.startswith("--") or not equals or name not in known:
        fix = f"known: {', '.join(f'--{option}=' for option in known)}"
        raise UsageError("CLI001", f"expected --name=value, found {argument!r}", path=name, fix=fix)
    return name, value


def _whole_number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        message = f"expected a whole number from 1, found {text!r}"
        raise UsageError("CLI004", message, path=name, fix=f"--{name}=2")
    return int(text)


def _config_file(configs: Path, name: str | None) -> Path:
    known = sorted(path.stem for path in configs.glob("*.yaml"))
    if name is None and len(known) == 1:
        name = known[0]
    if name not in known:
        message = f"expected --config=NAME, found {name!r}"
        raise UsageError("CLI002", message, path="config", fix=f"known: {', '.join(known)}")
    return configs / f"{name}.yaml"
