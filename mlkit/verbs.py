"""The verbs of the command line: each is one call into a room; gives a result and an exit code."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
import traceback
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.csv
import pyarrow.parquet

from mlkit.commands.answer import Answer, Bundled, Cleared, ConfigText, Fingerprinted, NoVersion
from mlkit.console import agree, duration, say
from mlkit.demo.story import ask_for_files, run_demo
from mlkit.digest.fingerprint import fingerprint
from mlkit.doctor.examine import examine
from mlkit.errors import EXIT_DONE, ConfigError, DataError, UsageError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.fsck import check_stores
from mlkit.page.words import counted
from mlkit.production.audit import term_at
from mlkit.production.blocked import Blocked, try_plan
from mlkit.production.cleanup.command import run_cleanup
from mlkit.production.cleanup.retention import Retention
from mlkit.production.difference import diff
from mlkit.production.evidence import explain_version, read_champion, read_history
from mlkit.production.marks import mark_version, read_marks
from mlkit.production.monitor import monitor, monitor_windows, page_path
from mlkit.production.options import OPTIONS
from mlkit.production.performance import measure
from mlkit.production.pins import pin, read_pins, unpin
from mlkit.production.registry import ModelVersion
from mlkit.production.reproduce import reproduce
from mlkit.production.retrain import retrain
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.production.saved_plan import check_pins, load_pins, save_plan
from mlkit.production.scoring import score
from mlkit.production.service.limits import Settings
from mlkit.production.service.run import project_of, serve
from mlkit.production.serving.choice import start_job
from mlkit.production.stores import Stores
from mlkit.production.task import read_origin
from mlkit.production.windows import read_duration, read_time
from mlkit.report.choice import choose_project, expect_known
from mlkit.report.report import make_report, open_page, write_report
from mlkit.research.bundle import (
    bundle_targets,
    bundled_configs,
    check_bundle,
    make_bundle,
    name_in,
    write_bundle,
)
from mlkit.research.handoff import hand_off
from mlkit.research.steps.listing import StepList
from mlkit.scaffold.answers import ask, can_ask
from mlkit.scaffold.create import create_repository
from mlkit.scaffold.markdown import deployments_markdown, plans_markdown
from mlkit.scaffold.together import Plans, deploy_changed, plan_models
from mlkit.scaffold.update import update_repository
from mlkit.targets import Alert, read_targets
from mlkit.terminal import annotation
from mlkit.watch import watch
from mlkit.watch.live import LivePage
from mlkit.workspace import open_workspace, project_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mlkit.demo.story import Story
    from mlkit.doctor.finding import DoctorReport
    from mlkit.fsck import FsckReport
    from mlkit.production.audit import Term
    from mlkit.production.certificate import Certificate
    from mlkit.production.cleanup.command import Cleanups
    from mlkit.production.cleanup.plan import CleanupPlan
    from mlkit.production.cleanup.sweep import CleanupReport
    from mlkit.production.difference import Difference
    from mlkit.production.evidence import Explanation, History
    from mlkit.production.marks import Mark, MarkList
    from mlkit.production.monitor_report import MonitorReport, MonitorRun
    from mlkit.production.performance import PerformanceReport
    from mlkit.production.pins import PinList
    from mlkit.production.plan import Plan
    from mlkit.production.report import RunReport
    from mlkit.production.retrain import RetrainReport
    from mlkit.production.score_report import ScoreReport
    from mlkit.production.service.run import Stopped
    from mlkit.production.serving.jobs import JobRun
    from mlkit.report.report import Report, Written
    from mlkit.research.handoff import Handoff
    from mlkit.scaffold.create import Created
    from mlkit.scaffold.together import Deployments
    from mlkit.scaffold.update import Update
    from mlkit.watch.course import WatchReport
    from mlkit.workspace import Workspace


_SERVE_OPTIONS = ("host", "port", "workers", "policy", "max_rows", "refresh_seconds")


def plan_verb(options: argparse.Namespace) -> tuple[Answer[Plan | Blocked] | Answer[Plans], int]:
    """What a deployment would do; without a name, of every model."""
    if options.name is None or options.format == "md":
        return _plans(options)
    config, stores = _opened(options)
    plan = try_plan(config, stores)
    if isinstance(plan, Blocked):
        code = _told(plan, debug=options.debug)
    else:
        code = EXIT_DONE
        if plan.kind != "nothing" or options.out:
            plan = dataclasses.replace(plan, saved=save_plan(plan, stores.workspace, to=options.out))
    texts = (plan.text(everything=options.all), plan.summary, "")
    shown = Answer(texts[min(options.quiet, 2)], plan)
    return shown, plan.exit_code if options.exit_code else code


def deploy_verb(
    options: argparse.Namespace,
) -> tuple[RunReport | Plan | Blocked | Plans | Deployments | Answer[Plans | Deployments], int]:
    """Deploy, or with ``--dry-run`` only plan; with ``--changed`` every model that has something to do."""
    if options.changed or options.name is None or options.format == "md":
        return _deployments(options)
    config, stores = _opened(options)
    pins = load_pins(options.plan, stores.workspace, project=config.name) if options.plan else None
    if options.dry_run:
        plan = try_plan(config, stores)
        if isinstance(plan, Blocked):
            return plan, _told(plan, debug=options.debug)
        check_pins(plan, plan.pins if pins is None else pins)
        return plan, EXIT_DONE
    report = deploy(config, stores, origin=read_origin(config), reason=options.reason, pins=pins)
    return report, report.exit_code


def rollback_verb(options: argparse.Namespace) -> tuple[RunReport, int]:
    """Move the champion to an earlier version."""
    report = roll_back(_stores(options), to=options.to, reason=options.reason, mark_bad=options.mark_bad)
    return report, report.exit_code


def score_verb(options: argparse.Namespace) -> tuple[ScoreReport, int]:
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


def trigger_verb(options: argparse.Namespace) -> tuple[JobRun, int]:
    """Start a job of the bundle."""
    stores, job = Stores(open_workspace(options.target), str(_project(options))), options.job
    parameters = dict(map(_setting, options.set))
    if options.action == "rollback" and not parameters.get("to"):
        # A lost answer makes people repeat a command; "the version before" would then be another one.
        message = "a job that is started from afar is told which version to go back to"
        raise UsageError("CLI002", message, path="--set", fix="mlkit history, then --set to=N")
    name = f"{stores.project}-{options.action}"
    run = start_job(stores.workspace, name, job=job, parameters=parameters, wait=not options.no_wait)
    return run, EXIT_DONE


def monitor_verb(options: argparse.Namespace) -> tuple[MonitorReport | MonitorRun, int]:
    """Check one window of the prediction log, or several, and draw the newest."""
    stores = _stores(options)
    asked: dict[str, Any] = {**_times(options), "version": options.version, "self_check": options.self_check}
    if options.alert_command or options.alert_url:
        asked["alert"] = Alert(command=tuple(_words(options.alert_command)), url=options.alert_url)
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


def performance_verb(options: argparse.Namespace) -> tuple[PerformanceReport, int]:
    """Score the logged answers by labels that have come since."""
    every = read_duration(options.every, path="every") if options.every else None
    named: dict[str, Any] = {"label": options.label, "request_id": options.request_id, "every": every}
    report = measure(_stores(options), options.labels, **named, **_times(options))
    return report, report.verdict_code if options.exit_code else report.exit_code


def retrain_verb(options: argparse.Namespace) -> tuple[RetrainReport, int]:
    """Retrain if the policy of the config says so."""
    config, stores = _opened(options)
    now = read_time(options.now, path="now") if options.now else None
    asked = {"dry_run": options.dry_run, "force": options.force, "now": now}
    report = retrain(config, stores, origin=read_origin(config), **asked)
    return report, report.exit_code


def cleanup_verb(options: argparse.Namespace) -> tuple[CleanupPlan | CleanupReport | Cleanups, int]:
    """Plan what nothing reaches any more, and with ``--apply`` remove it."""
    names = [field.name for field in dataclasses.fields(Retention)]
    rules = Retention(**{name: getattr(options, name) for name in names})
    workspace, project = _one_or_all(options)
    return run_cleanup(workspace, project, rules, apply=options.apply, yes=options.yes), EXIT_DONE


def pin_verb(options: argparse.Namespace) -> tuple[PinList, int]:
    """Keep something from cleanup, or list what is kept."""
    stores = _stores(options)
    made = pin(stores, options.what, reason=options.reason) if options.what else read_pins(stores)
    return made, EXIT_DONE


def unpin_verb(options: argparse.Namespace) -> tuple[PinList, int]:
    """Keep something no longer."""
    return unpin(_stores(options), options.what), EXIT_DONE


def doctor_verb(options: argparse.Namespace) -> tuple[DoctorReport, int]:
    """Look for what is wrong or soon will be, and with ``--fix`` mend what is safe."""
    report = examine(options.target, project=_project(options), fix=options.fix)
    return report, report.exit_code


def fsck_verb(options: argparse.Namespace) -> tuple[FsckReport, int]:
    """Read everything again and compare it with the records."""
    workspace, project = _one_or_all(options)
    report = check_stores(workspace, project)
    return report, report.exit_code


def serve_verb(options: argparse.Namespace) -> tuple[Stopped, int]:
    """Serve the champion, or with ``--trial`` the model of a study's run, until a signal says stop."""
    chosen = {name: getattr(options, name) for name in _SERVE_OPTIONS}
    if options.max_body_mb is not None:
        chosen["max_body_bytes"] = int(options.max_body_mb * 1_000_000)
    settings = Settings(**{name: value for name, value in chosen.items() if value is not None})
    if options.name is None and not options.trial:
        fix = "mlkit serve NAME, or mlkit serve --trial RUN_ID"
        raise UsageError("CLI055", "it was not said what to serve", path="name", fix=fix)
    workspace = open_workspace(options.target)
    project = _project(options) or project_of(workspace, options.trial)  # of which there may be nothing yet
    return serve(Stores(workspace, project), settings, trial=options.trial), EXIT_DONE


def report_verb(options: argparse.Namespace) -> tuple[Answer[Report] | Answer[Written], int]:
    """Everything done in a project: as a page in a file, or as text."""
    workspace = open_workspace(options.target)
    stores = Stores(workspace, choose_project(workspace, _project(options)))
    if options.format != "html" and options.out is None:
        report = make_report(stores, rows_shown=options.rows_shown)
        texts = {"md": report.to_markdown, "json": report.to_json}
        return Answer(texts[options.format]().rstrip("\n"), report), EXIT_DONE
    report = write_report(stores, options.out, kind=options.format, rows_shown=options.rows_shown)
    if options.open:
        open_page(report)
    return Answer(repr(report), report.written()), EXIT_DONE


def history_verb(options: argparse.Namespace) -> tuple[History, int]:
    """The ledger."""
    return read_history(_stores(options)), EXIT_DONE


def champion_verb(
    options: argparse.Namespace,
) -> tuple[Answer[ModelVersion] | Term | Answer[NoVersion], int]:
    """The version that serves, or that served at a time."""
    stores = _stores(options)
    found = term_at(stores, options.at) if options.at else read_champion(stores)
    if found is None:
        said = f"nothing served at {options.at}" if options.at else "nothing serves yet"
        return Answer(said, NoVersion(version=None)), EXIT_DONE
    if isinstance(found, ModelVersion):
        return Answer(found.text(f"mlkit explain {stores.project} {found.version}"), found), EXIT_DONE
    return found, EXIT_DONE


def explain_verb(options: argparse.Namespace) -> tuple[Explanation | Answer[ConfigText], int]:
    """What a version was made of."""
    found = explain_version(_stores(options), options.version, at=options.at)
    if options.config:
        return Answer(found.files.config.rstrip("\n"), ConfigText(config=found.files.config)), EXIT_DONE
    return found, EXIT_DONE


def diff_verb(options: argparse.Namespace) -> tuple[Difference, int]:
    """What tells one version from another."""
    return diff(_stores(options), options.before, options.after), EXIT_DONE


def reproduce_verb(options: argparse.Namespace) -> tuple[Certificate, int]:
    """Make a version again and compare."""
    made = reproduce(_stores(options), options.version, tolerance=options.tolerance, to=options.to)
    return made, EXIT_DONE


def mark_verb(options: argparse.Namespace) -> tuple[Mark | MarkList, int]:
    """Mark a version bad, take a mark back, or list what is marked."""
    stores = _stores(options)
    if options.version is None:
        return read_marks(stores), EXIT_DONE
    return mark_version(stores, options.version, reason=options.reason, bad=not options.unmark), EXIT_DONE


def handoff_verb(options: argparse.Namespace) -> tuple[Handoff, int]:
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


def bundle_verb(options: argparse.Namespace) -> tuple[Answer[Bundled], int]:
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
    values = Bundled(path=str(path), projects=projects, targets=known)
    return Answer(f"{said}\n  next    databricks bundle deploy --target {known[0]}", values), EXIT_DONE


def init_verb(options: argparse.Namespace) -> tuple[Created | Update, int]:
    """Make a central repository, or with ``--update`` write its managed files anew."""
    if options.update:
        folder = Path(options.dir or ".")
        plan = update_repository(folder, dry_run=True)
        if options.dry_run:
            return plan, EXIT_DONE
        say(repr(plan))
        return update_repository(folder, force=options.force), EXIT_DONE
    if options.dir is None:
        fix = "mlkit init DIR; a dot is this folder"
        raise UsageError("CLI125", "it was not said where the repository is to be", path="DIR", fix=fix)
    folder = Path(options.dir)
    said = {name: getattr(options, name) for name in ("name", "store", "ci", "bare")}
    asking = can_ask() and not (options.defaults or options.json)
    answers = ask(folder.resolve(), **said, asking=asking)
    return create_repository(folder, answers, dry_run=options.dry_run), EXIT_DONE


def fingerprint_verb(options: argparse.Namespace) -> tuple[Answer[Fingerprinted], int]:
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
    return Answer(found, Fingerprinted(file=str(path), fingerprint=found)), EXIT_DONE


def watch_verb(options: argparse.Namespace) -> tuple[WatchReport, int]:
    """Run a script at every save, and show the report of its project anew."""
    asked: dict[str, Any] = {
        "arguments": _words(options.args),
        "folders": options.folder,
        "once": options.once,
        "lazy": options.lazy,
        "target": options.target,
    }
    if options.once or options.no_page:
        report = watch(options.script, **asked)
        return report, report.exit_code
    with LivePage(options.script) as page:
        say(f"page {page.url}")
        if options.open:
            webbrowser.open(page.url)
        report = watch(options.script, page=page, **asked)
    return report, report.exit_code


def cache_verb(options: argparse.Namespace) -> tuple[StepList | Answer[Cleared], int]:
    """List the stored results of steps, or with ``--clear`` remove them."""
    steps = StepList(open_workspace(options.target).home / "steps")
    if options.clear is None:
        return steps, EXIT_DONE
    if options.clear:
        steps.check(options.clear)
    gone = [entry for entry in steps.entries if options.clear in ("", entry.step)]
    took = duration(sum(entry.seconds for entry in gone))
    lost = f"{counted(len(gone), 'stored result')} to remove, which took {took} to compute"
    if not options.clear and not agree(lost, yes=options.yes):
        return Answer("nothing was removed", Cleared(freed_bytes=0, removed=0)), EXIT_DONE
    freed = steps.clear(options.clear or None)
    said = f"{counted(len(gone), 'stored result')} removed, {freed / 1e6:.1f} MB; they took {took} to compute"
    return Answer(said, Cleared(freed_bytes=freed, removed=len(gone))), EXIT_DONE


def demo_verb(options: argparse.Namespace) -> tuple[Story, int]:
    """Tell the whole story on real data."""
    folder = Path(options.dir)
    ask_for_files(folder, yes=options.yes)
    return run_demo(folder, target=options.target), EXIT_DONE


def _told(*blocked: Blocked, debug: bool) -> int:
    """Tell a workflow of GitHub, or a maintainer, what is blocked; gives the highest code of the causes."""
    for each in blocked:
        if debug:
            traceback.print_exception(each.error)
        sys.stderr.write(annotation(each.error))
    return max((each.error.exit_code for each in blocked), default=EXIT_DONE)


def _plans(options: argparse.Namespace) -> tuple[Answer[Plans], int]:
    """Plans of all models, or Markdown."""
    if options.out:
        raise UsageError("CLI126", "a plan of one model alone is saved", path="--out", fix="name the model")
    plans = plan_models(open_workspace(options.target), [options.name] if options.name else [])
    texts = (plans.text(everything=options.all), plans.summary, "")
    text = plans_markdown(plans) if options.format == "md" else texts[min(options.quiet, 2)]
    code = _told(*plans.blocked, debug=options.debug)
    return Answer(text, plans), plans.kind_code if options.exit_code else code


def _deployments(
    options: argparse.Namespace,
) -> tuple[Plans | Deployments | Answer[Plans | Deployments], int]:
    """Deploy what changed, or with ``--dry-run`` plan it."""
    if options.name or options.plan or not options.changed:
        message = "expected the name of one model, or --changed alone for all that have something to do"
        raise UsageError("CLI126", message, path="name", fix="mlkit deploy NAME, or mlkit deploy --changed")
    workspace = open_workspace(options.target)
    done = plan_models(workspace) if options.dry_run else deploy_changed(workspace, reason=options.reason)
    if options.format == "md":
        text = plans_markdown(done) if isinstance(done, Plans) else deployments_markdown(done)
        return Answer(text, done), done.exit_code
    return done, done.exit_code


def _opened(options: argparse.Namespace) -> tuple[FrozenConfig, Stores]:
    config = FrozenConfig.load(options.name)
    return config, Stores(open_workspace(options.target), config.name)


def _stores(options: argparse.Namespace) -> Stores:
    """Stores of a project named by itself or by the path of its config.

    Raises:
        UsageError: Nothing here has this name (CLI135).
    """
    workspace, project = open_workspace(options.target), str(_project(options))
    if not (Path(FOLDER) / f"{project}.yaml").is_file():  # else no table is asked for
        expect_known(workspace, project)
    return Stores(workspace, project)


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


def _words(text: str) -> list[str]:
    """The words of a command in one text; on Windows a backslash is part of a path."""
    if os.name == "nt":
        return [word.strip('"') for word in shlex.split(text, posix=False)]
    return shlex.split(text)


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
