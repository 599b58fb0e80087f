"""The entry point of a packaged runner: what a job calls with a list of ``--name=value``.

It returns on success and raises on failure: no `SystemExit`, no exit code, no click. The last line of
the exception says why and what to do, because that line is all that a job's page shows.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit import document
from mlkit.console import say
from mlkit.errors import MlkitError, StudyError, UsageError
from mlkit.frozen import FrozenConfig, read_provenance
from mlkit.production.attempt import Attempt
from mlkit.production.cleanup.command import cleanup_task
from mlkit.production.options import OPTIONS, WATCHING, parse, switch, whole_number
from mlkit.production.rehearsal import rehearse
from mlkit.production.repeat import repeat_deployment
from mlkit.production.report import RunReport
from mlkit.production.reproduce import reproduce
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.scoring import score_task
from mlkit.production.serving.choice import choose_refresher
from mlkit.production.stores import Stores
from mlkit.production.watch_task import watch
from mlkit.targets import CONFIG, FILE
from mlkit.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mlkit.production.certificate import Certificate
    from mlkit.production.cleanup.plan import CleanupPlan
    from mlkit.production.cleanup.sweep import CleanupReport
    from mlkit.production.monitor_report import MonitorReport
    from mlkit.production.plan import Plan
    from mlkit.production.retrain import RetrainReport
    from mlkit.production.score_report import ScoreReport

    Made = (
        RunReport
        | Plan
        | Certificate
        | MonitorReport
        | RetrainReport
        | CleanupPlan
        | CleanupReport
        | ScoreReport
    )

_TOLD: tuple[str, ...] = ("outcome", "version", "kind", "should_retrain")


def main(arguments: Sequence[str] | None = None, *, configs: Path) -> Made | dict[str, Any]:
    """Run one verb of the packaged runner.

    Args:
        arguments: A verb, then ``--name=value`` parts; by default those of the process.
        configs: Folder with the frozen configs of the package, and with its targets.

    Returns:
        What the verb made; a job drops it.

    Raises:
        UsageError: Arguments that make no sense, or were left unfilled by the job (``{{``).
        GateRejectedError: Nothing serves, and the candidate may not.
        MlkitError: Whatever else stopped the run; one line of text, the way out included.
    """
    try:
        return _run(*parse(sys.argv[1:] if arguments is None else arguments, OPTIONS), configs)
    except MlkitError as exc:
        raise _in_one_line(exc) from _foreign(exc)
    except SystemExit as exc:  # to a job, any exit is a failure without a reason
        message = f"your code left the process with exit code {exc.code!r}"
        raise StudyError("RUN018", message, path="prepare", fix="raise an error, or return") from exc


def _run(verb: str, options: Mapping[str, str], configs: Path) -> Made | dict[str, Any]:
    config = FrozenConfig.load(_config_file(configs, options.get("config")))
    packed = configs / FILE
    named = None if os.environ.get(CONFIG) or not packed.is_file() else packed
    stores = Stores(open_workspace(options.get("target"), config=named), config.name)
    if "rehearse" in options:
        result = rehearse(config, stores, cv=whole_number("cv", options.get("cv", "5")))
        document.save(Path(options["rehearse"]), json.dumps(result))
        return result
    made = _made(verb, options, config, stores)
    say(repr(made))
    _tell_tasks(task_values(made))
    if isinstance(made, RunReport):
        made.raise_if_rejected()
    return made


def _made(verb: str, options: Mapping[str, str], config: FrozenConfig, stores: Stores) -> Made:
    if verb == "plan":
        return plan_deployment(config, stores)
    if verb == "reproduce":
        number = options.get("version")
        return reproduce(stores, whole_number("version", number) if number else None)
    if verb == "cleanup":
        return cleanup_task(stores, options)
    if verb == "score":
        return score_task(stores, options)
    if verb in WATCHING:
        return watch(verb, options, config, stores)
    return _moved(verb, options, config, stores)


def _moved(verb: str, options: Mapping[str, str], config: FrozenConfig, stores: Stores) -> RunReport:
    reason, attempt = options.get("reason", ""), Attempt.from_options(options)
    version = _asked_version(options, stores)
    if verb == "rollback":
        to = options.get("to") or "previous"
        wanted = version if to == "previous" else whole_number("to", to)
        mark_bad = switch("mark-bad", options.get("mark-bad", ""))
        return roll_back(stores, to=wanted, reason=reason, mark_bad=mark_bad, attempt=attempt)
    served = [entry for entry in stores.ledger.entries() if version and entry.to_version == version]
    if served:  # told of a version that the runner itself has made, it does not make another
        said = [f"v{version}, which started this job, was promoted by ledger entry {served[0].seq}"]
        refresher = choose_refresher(stores)
        return repeat_deployment(config, stores, served[0], refresher=refresher, reasons=said)
    return deploy(config, stores, origin=read_origin(config), reason=reason, attempt=attempt)


def _asked_version(options: Mapping[str, str], stores: Stores) -> int | None:
    """The version that a deployment job of Unity Catalog is about; None of another job.

    Raises:
        UsageError: It is a version of another model (CLI036), or no number (CLI004).
    """
    name, version = options.get("model_name"), options.get("model_version")
    own = stores.workspace.model_name(stores.project)
    if name and name.lower() != own:
        message = f"this package deploys {own}; the job was started for {name}"
        raise UsageError("CLI036", message, path="model_name", fix="connect the job with its own model")
    return whole_number("model_version", version) if version else None


def task_values(made: Made) -> dict[str, str]:
    """What the tasks behind this one may ask: texts, since conditions of a job compare texts."""
    values = made.to_dict()
    told = {name: values[name] for name in _TOLD if name in values}
    if isinstance(made, RunReport):
        told["promoted"] = made.outcome == "promoted"
    return {name: _text(value) for name, value in told.items()}


def read_origin(config: FrozenConfig) -> dict[str, Any]:
    """Where a config came from, if that stands beside it; of an edited one, only what it was edited from."""
    origin = read_provenance(config)
    if origin and origin["config_digest"] != config.digest:
        return {"edited_from": origin["config_digest"], "test_looks": origin.get("test_looks", 0)}
    kept = ("commit", "dirty", "reason", "study_run_id", "run_id", "trial", "test_looks", "config_digest")
    return {name: origin[name] for name in kept if name in origin}


def _tell_tasks(values: Mapping[str, str]) -> None:
    from mlkit.engines.spark.tasks import put_task_values  # noqa: PLC0415 - only a job has someone to tell

    put_task_values(values)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _in_one_line(error: MlkitError) -> MlkitError:
    """The same error, its way out in the same line: a job's page shows the last one."""
    parts = [*error.message.splitlines(), *([f"fix: {error.fix}"] if error.fix else [])]
    text = "; ".join(" ".join(part.split()) for part in parts if part.strip())
    return type(error)(error.code, text, path=error.path)


def _foreign(error: MlkitError) -> BaseException | None:
    """What of somebody else's lies behind an error: one of ours has said everything in its line."""
    cause: BaseException | None = error
    while isinstance(cause, MlkitError):
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return cause


def _config_file(configs: Path, name: str | None) -> Path:
    known = sorted(path.stem for path in configs.glob("*.yaml"))
    if name is None and len(known) == 1:
        name = known[0]
    if name not in known:
        message = f"expected --config=NAME, found {name!r}"
        raise UsageError("CLI002", message, path="config", fix=f"known: {', '.join(known)}")
    return configs / f"{name}.yaml"
