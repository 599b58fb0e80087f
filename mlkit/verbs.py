"""The verbs of the command line: each is one call into a room; gives a result and an exit code."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.csv
import pyarrow.parquet

from mlkit.codes import CODES
from mlkit.console import say
from mlkit.demo.story import run_demo
from mlkit.digest.fingerprint import fingerprint
from mlkit.doctor.examine import examine
from mlkit.errors import EXIT_DONE, ConfigError, DataError, UsageError
from mlkit.frozen import FrozenConfig
from mlkit.fsck import check_stores
from mlkit.production.audit import term_at
from mlkit.production.cleanup.command import run_cleanup
from mlkit.production.cleanup.retention import Retention
from mlkit.production.difference import diff
from mlkit.production.evidence import explain_version, read_champion, read_history
from mlkit.production.marks import mark_version, read_marks
from mlkit.production.monitor import monitor, monitor_windows, page_path
from mlkit.production.performance import measure
from mlkit.production.pins import pin, read_pins, unpin
from mlkit.production.reproduce import reproduce
from mlkit.production.retrain import retrain
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.scoring import score
from mlkit.production.service.limits import Settings
from mlkit.production.service.run import project_of, serve
from mlkit.production.serving.choice import start_job
from mlkit.production.stores import Stores
from mlkit.production.task import OPTIONS, read_origin
from mlkit.production.windows import read_duration, read_time
from mlkit.research.bundle import (
    bundle_targets,
    bundled_configs,
    check_bundle,
    make_bundle,
    name_in,
    write_bundle,
)
from mlkit.research.handoff import hand_off
from mlkit.targets import Alert, read_targets
from mlkit.watch import watch
from mlkit.workspace import open_workspace, project_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mlkit.workspace import Workspace


_SERVE_OPTIONS = ("host", "port", "workers", "policy", "max_rows", "refresh_seconds")


class Printable(Protocol):
    """A result: read by people as its `repr`, by programs as `to_dict()`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """A result that is a text with some values."""

    text: str
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The values."""
        return self.values

    def __repr__(self) -> str:
        """The text."""
        return self.text


def plan_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What a deployment would do."""
    config, stores = _opened(options)
    plan = plan_deployment(config, stores)
    return plan, plan.exit_code if options.exit_code else EXIT_DONE


def deploy_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Deploy, or with ``--dry-run`` only plan."""
    config, stores = _opened(options)
    if options.dry_run:
        return plan_deployment(config, stores), EXIT_DONE
    report = deploy(config, stores, origin=read_origin(config), reason=options.reason)
    return report, report.exit_code


def rollback_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Move the champion to an earlier version."""
    report = roll_back(_stores(options), to=options.to, reason=options.reason, mark_bad=options.mark_bad)
    return report, report.exit_code


def score_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Answer rows, and log the answers once."""
    report = score(
        _stores(options),
        options.data,
        prepare=options.prepare or None,
        version=options.version,
        run_id=options.run_id,
        event_time=options.event_time,
        as_of=read_time(options.as_of, path="as-of") if options.as_of else None,
        to=options.to,
        log=not options.no_log,
    )
    return report, EXIT_DONE


def trigger_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Start a job of the bundle."""
    stores, job = _stores(options), options.job
    parameters = dict(map(_setting, options.set))
    if options.action == "rollback" and not parameters.get("to"):
        # A lost answer makes people repeat a command; "the version before" would then be another one.
        message = "a job that is started from afar is told which version to go back to"
        raise UsageError("CLI002", message, path="--set", fix="mlkit history, then --set to=N")
    name = f"{stores.project}-{options.action}"
    run = start_job(stores.workspace, name, job=job, parameters=parameters, wait=not options.no_wait)
    return run, EXIT_DONE


def monitor_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Check one window of the prediction log, or several, and draw the newest."""
    stores = _stores(options)
    asked: dict[str, Any] = {**_times(options), "version": options.version, "self_check": options.self_check}
    if options.alert_command or options.alert_url:
        asked["alert"] = Alert(command=tuple(shlex.split(options.alert_command)), url=options.alert_url)
    if options.every:
        run = monitor_windows(stores, every=read_duration(options.every, path="every"), **asked)
        newest = run.windows[-1]
    else:
        run, newest = None, monitor(stores, **asked)
    made = run or newest
    page = Path(options.html) if options.html else page_path(stores, newest)
    newest.write_html(page)
    say(f"page {page}")
    return made, made.verdict_code if options.exit_code else made.exit_code


def performance_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Score the logged answers by labels that have come since."""
    every = read_duration(options.every, path="every") if options.every else None
    named: dict[str, Any] = {"label": options.label, "request_id": options.request_id, "every": every}
    report = measure(_stores(options), options.labels, **named, **_times(options))
    return report, report.verdict_code if options.exit_code else report.exit_code


def retrain_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Retrain if the policy of the config says so."""
    config, stores = _opened(options)
    now = read_time(options.now, path="now") if options.now else None
    asked = {"dry_run": options.dry_run, "force": options.force, "now": now}
    report = retrain(config, stores, origin=read_origin(config), **asked)
    return report, report.exit_code


def cleanup_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Plan what nothing reaches any more, and with ``--apply`` remove it."""
    names = [field.name for field in dataclasses.fields(Retention)]
    rules = Retention(**{name: getattr(options, name) for name in names})
    workspace, project = _one_or_all(options)
    return run_cleanup(workspace, project, rules, apply=options.apply, yes=options.yes), EXIT_DONE


def pin_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Keep something from cleanup, or list what is kept."""
    stores = _stores(options)
    made = pin(stores, options.what, reason=options.reason) if options.what else read_pins(stores)
    return made, EXIT_DONE


def unpin_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Keep something no longer."""
    return unpin(_stores(options), options.what), EXIT_DONE


def doctor_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Look for what is wrong or soon will be, and with ``--fix`` mend what is safe."""
    report = examine(options.target, project=_project(options), fix=options.fix)
    return report, report.exit_code


def fsck_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Read everything again and compare it with the records."""
    workspace, project = _one_or_all(options)
    report = check_stores(workspace, project)
    return report, report.exit_code


def serve_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Serve the champion, or with ``--trial`` the model of a study's run, until a signal says stop."""
    chosen = {name: getattr(options, name) for name in _SERVE_OPTIONS}
    if options.max_body_mb is not None:
        chosen["max_body_bytes"] = int(options.max_body_mb * 1_000_000)
    settings = Settings(**{name: value for name, value in chosen.items() if value is not None})
    if options.name is None and not options.trial:
        fix = "mlkit serve NAME, or mlkit serve --trial RUN_ID"
        raise UsageError("CLI055", "it was not said what to serve", path="name", fix=fix)
    if options.name is None:
        workspace = open_workspace(options.target)
        stores = Stores(workspace, project_of(workspace, options.trial))
    else:
        stores = _stores(options)
    return serve(stores, settings, trial=options.trial), EXIT_DONE


def history_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """The ledger."""
    return read_history(_stores(options)), EXIT_DONE


def champion_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """The version that serves, or that served at a time."""
    found = term_at(_stores(options), options.at) if options.at else read_champion(_stores(options))
    if found is None:
        said = f"nothing served at {options.at}" if options.at else "nothing serves yet"
        return Answer(said, {"version": None}), EXIT_DONE
    return found, EXIT_DONE


def explain_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What a version was made of."""
    found = explain_version(_stores(options), options.version, at=options.at)
    if options.config:
        return Answer(found.files.config.rstrip("\n"), {"config": found.files.config}), EXIT_DONE
    return found, EXIT_DONE


def diff_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What tells one version from another."""
    return diff(_stores(options), options.before, options.after), EXIT_DONE


def reproduce_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Make a version again and compare."""
    made = reproduce(_stores(options), options.version, tolerance=options.tolerance, to=options.to)
    return made, EXIT_DONE


def mark_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Mark a version bad, take a mark back, or list what is marked."""
    stores = _stores(options)
    if options.version is None:
        return read_marks(stores), EXIT_DONE
    return mark_version(stores, options.version, reason=options.reason, bad=not options.unmark), EXIT_DONE


def handoff_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Package and rehearse."""
    config, stores = _opened(options)
    made = hand_off(
        config,
        workspace=stores.workspace,
        to=options.to,
        rehearse=not options.no_rehearse,
        fresh_environment=options.isolated,
        verbs=OPTIONS,
    )
    return made, EXIT_DONE


def bundle_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Write, or with ``--check`` only compare, the jobs for Databricks."""
    targets = read_targets(open_workspace(options.target).config)
    path, configs = Path(options.to), bundled_configs()
    name = name_in(path)
    text = make_bundle(configs, targets, verbs=OPTIONS, wheels=options.wheels, name=name)
    if options.check and not check_bundle(text, path):
        message = "the bundle is not what configs and targets say by now"
        raise ConfigError("CFG043", message, path=str(path), fix="mlkit bundle")
    write_bundle(text, path, force=options.force)
    projects, known = [config.name for config in configs], list(bundle_targets(targets))
    said = f"{path}  runs {', '.join(projects)} on {', '.join(known)}"
    values = {"path": str(path), "projects": projects, "targets": known}
    return Answer(f"{said}\n  next    databricks bundle deploy --target {known[0]}", values), EXIT_DONE


def fingerprint_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Fingerprint of the rows of a file."""
    path = Path(options.file)
    readers: dict[str, Callable[[str], Any]] = {".csv": pyarrow.csv.open_csv, ".parquet": _parquet}
    if path.suffix not in readers or not path.is_file():
        message = "expected a .csv or .parquet file" if path.is_file() else "there is no such file"
        raise UsageError("CLI032", message, path=str(path), fix=f"known: {', '.join(readers)}")
    try:
        found = fingerprint(readers[path.suffix](str(path)))
    except (pyarrow.ArrowException, OSError):  # their text quotes rows
        message = f"the file cannot be read as {path.suffix.removeprefix('.')}"
        fix = "is it whole, and is each column of one type from its first rows on? parquet states its types"
        raise DataError("DAT057", message, path=str(path), fix=fix) from None
    return Answer(found, {"file": str(path), "fingerprint": found}), EXIT_DONE


def watch_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Run a script at every save."""
    report = watch(
        options.script,
        arguments=shlex.split(options.args),
        folders=options.folder,
        once=options.once,
        lazy=options.lazy,
        target=options.target,
    )
    return report, report.exit_code


def demo_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """Tell the whole story on real data."""
    return run_demo(Path(options.dir), target=options.target), EXIT_DONE


def help_verb(options: argparse.Namespace) -> tuple[Printable, int]:
    """What an error code means; without one, all of them."""
    if options.code is None:
        lines = [f"{code}  {meaning}" for code, meaning in sorted(CODES.items())]
        return Answer("\n".join(lines), dict(CODES)), EXIT_DONE
    code = options.code.upper()
    if code not in CODES:
        raise UsageError("CLI033", "no such code", path=code, fix="mlkit help shows all codes")
    return Answer(f"{code}\n  {CODES[code]}", {"code": code, "meaning": CODES[code]}), EXIT_DONE


def _opened(options: argparse.Namespace) -> tuple[FrozenConfig, Stores]:
    config = FrozenConfig.load(options.name)
    return config, Stores(open_workspace(options.target), config.name)


def _stores(options: argparse.Namespace) -> Stores:
    """Stores of a project named by itself or by the path of its config."""
    return Stores(open_workspace(options.target), str(_project(options)))


def _one_or_all(options: argparse.Namespace) -> tuple[Workspace, str | None]:
    """The workspace, and the project if one is named."""
    project = _project(options)
    return open_workspace(options.target), project


def _project(options: argparse.Namespace) -> str | None:
    """Name of the project that is named by itself or by the path of its config, if one is."""
    name: str | None = options.name
    if name is not None and name.endswith((".yaml", ".yml")):
        name = FrozenConfig.load(name).name
    return None if name is None else project_name(name)


def _times(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in ("since", "until", "now")}
    return {name: read_time(text, path=name) if text else None for name, text in given.items()}


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(
            "CLI001", f"expected NAME=VALUE, found {text!r}", path="--set", fix="--set reason=june"
        )
    return name, value


def _parquet(path: str) -> Any:  # noqa: ANN401 - a stream of batches
    file = pyarrow.parquet.ParquetFile(path)
    return pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
