"""The command line: words in, one call into a room, result on standard output, exit code by outcome.

Nothing heavy is imported before it is clear what is wanted, so ``mlkit --help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from mlkit.errors import EXIT_BUG, EXIT_DONE, MlkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  mlkit demo                                   the whole life cycle on real data, in a minute
  mlkit plan flight_delay                      what would a deployment do, and why
  mlkit deploy flight_delay --reason "june"    build, train, evaluate, gate, register, promote
  mlkit rollback flight_delay --reason "bad"   the version before serves again

exit codes:
  0 done   2 usage or config   3 rejected by the gate   4 serving not converged   10 data
  20 store   21 lost the race   30 integrity   70 a bug   (plan --exit-code: 5 primary, 6 secondary;
  monitor --exit-code: 7 drift, 8 could not tell)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _Ending(as_json="--json" in words, debug="--debug" in words) as ending:
        options = _parser().parse_args(words)
        ending.code = _run(options)
    return ending.code


def _run(options: argparse.Namespace) -> int:
    if options.verb is None:
        _parser().print_help()
        return EXIT_DONE
    _see_user_code()
    verbs = importlib.import_module("mlkit.verbs")
    result, code = getattr(verbs, f"{options.verb}_verb")(options)
    text = json.dumps(result.to_dict(), indent=2, default=str) if options.json else repr(result)
    sys.stdout.write(f"{text}\n")
    return int(code)


def _see_user_code() -> None:
    """The working directory and its ``src`` hold the modules that configs name."""
    here = Path.cwd()
    for folder in (here / "src", here):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


class _Ending:
    """Turns whatever ends a command into an exit code and, on standard error, one clear message."""

    def __init__(self, *, as_json: bool, debug: bool) -> None:
        self.code = EXIT_DONE
        self._as_json, self._debug = as_json, debug

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, (SystemExit, GeneratorExit)):
            return False
        if self._debug:
            traceback.print_exception(kind, error, trace)
        if isinstance(error, MlkitError):
            self.code = error.exit_code
            self._say(error.to_dict(), _text(error))
        elif isinstance(error, KeyboardInterrupt):
            self.code = EXIT_INTERRUPTED
            self._say({"code": "INTERRUPTED"}, "interrupted; run it again to finish")
        else:
            self.code = EXIT_BUG
            what = f"{type(error).__name__}: {error}"
            self._say(
                {"code": "BUG001", "message": what}, f"error[BUG001] {what}\n  fix: report it with --debug"
            )
        return True

    def _say(self, values: dict[str, Any], text: str) -> None:
        if self._as_json:
            sys.stdout.write(f"{json.dumps({'error': values}, indent=2)}\n")
        sys.stderr.write(f"{text}\n")


def _text(error: MlkitError) -> str:
    place = f" {error.path}:" if error.path else ""
    way_out = f"\n  fix: {error.fix}" if error.fix else ""
    return f"error[{error.code}]{place} {error.message}{way_out}\n  page: mlkit help {error.code}"


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are errors of this project, with the nearest word."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        raise UsageError("CLI001", message, fix=f"{self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - argparse's
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            near = difflib.get_close_matches(str(value), known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UsageError("CLI001", f"no command {value!r}", path=str(value), fix=fix)


def _parser() -> _Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="mlkit", description=__doc__, epilog=_EXAMPLES, formatter_class=raw)
    parser.description = "From a dataframe to a reviewed, reproducible champion."
    parser.add_argument("--version", action="version", version=_version())
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND")
    common = _common()
    named = _named()

    plan = verbs.add_parser("plan", parents=[common, named], help="what a deployment would do, and why")
    plan.add_argument("--exit-code", action="store_true", help="exit 5 for primary, 6 for secondary")
    deploy = verbs.add_parser("deploy", parents=[common, named], help="bring a frozen config into production")
    deploy.add_argument("--reason", default="", help="why, for the ledger")
    deploy.add_argument("--dry-run", action="store_true", help="only plan")
    trigger = verbs.add_parser("trigger", parents=[common], help="start a job of the bundle on Databricks")
    trigger.add_argument("action", help="what it does: deploy, score, drift, cleanup or rollback")
    trigger.add_argument("name", help="the project: its name, or the path of its config")
    trigger.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a job parameter")
    trigger.add_argument("--job", help="name or number of the job, if it is another than NAME-ACTION")
    trigger.add_argument("--no-wait", action="store_true", help="only start it")
    _add_score(verbs, common, named)
    _add_watching(verbs, common, named)
    _add_upkeep(verbs, common, named)
    _add_serve(verbs, common)
    _add_audit(verbs, common, named)
    handoff = verbs.add_parser("handoff", parents=[common, named], help="package a config and rehearse it")
    handoff.add_argument("--to", help="folder of the wheel; by default dist")
    handoff.add_argument("--isolated", action="store_true", help="rehearse in a fresh environment")
    handoff.add_argument("--no-rehearse", action="store_true", help="only build the wheel")
    bundle = verbs.add_parser("bundle", parents=[common], help="write the jobs for Databricks")
    bundle.add_argument("--to", default="databricks.yml", help="the file; by default databricks.yml")
    bundle.add_argument("--wheels", default="dist", help="folder of the wheels beside it; by default dist")
    bundle.add_argument("--force", action="store_true", help="replace also what was edited by hand")
    bundle.add_argument("--check", action="store_true", help="only say whether it is up to date")
    fingerprint = verbs.add_parser(
        "fingerprint", parents=[common], help="fingerprint of a parquet or csv file"
    )
    fingerprint.add_argument("file", help="the file")
    _add_watch(verbs, common)
    demo = verbs.add_parser("demo", parents=[common], help="the whole life cycle on real data")
    demo.add_argument("--dir", default="mlkit-demo", help="folder to work in; made anew")
    page = verbs.add_parser("help", parents=[common], help="what an error code means")
    page.add_argument("code", nargs="?", help="for instance DAT060; without it, all codes")
    return parser


def _add_score(verbs: Any, common: _Parser, named: _Parser) -> None:  # noqa: ANN401 - argparse's
    score = verbs.add_parser("score", parents=[common, named], help="answer many rows at once, and log it")
    score.add_argument(
        "data", nargs="?", help="a table, or a .parquet or .csv file; by default the config's source"
    )
    score.add_argument("--to", metavar="PLACE", help="a .parquet or .csv file, or a table, for the answers")
    score.add_argument(
        "--as-of", metavar="TIME", help="the day the run is for, e.g. 2026-06-01; by default now"
    )
    score.add_argument("--event-time", metavar="COLUMN", help="when that happened which each row is about")
    score.add_argument("--run-id", help="name of the run in the log, which is logged once")
    score.add_argument("--version", type=int, help="who answers; by default the version that serves")
    score.add_argument("--prepare", action="store_true", help="the rows are raw: let the config prepare them")
    score.add_argument("--no-log", action="store_true", help="leave the prediction log alone")


def _add_watch(verbs: Any, common: _Parser) -> None:  # noqa: ANN401 - argparse's
    watch = verbs.add_parser("watch", parents=[common], help="run a script again at every save")
    watch.add_argument("script", help="a Python file")
    watch.add_argument("--args", default="", help='its own arguments, as one text: --args "--rows 100"')
    watch.add_argument("--once", action="store_true", help="run it a single time, as in CI")
    watch.add_argument("--lazy", action="store_true", help="steps that take long are stale, not run")
    watch.add_argument("--folder", action="append", default=[], help="look at this folder too")


def _add_serve(verbs: Any, common: _Parser) -> None:  # noqa: ANN401 - argparse's
    serve = verbs.add_parser("serve", parents=[common], help="answer over HTTP with the champion, and log it")
    serve.add_argument("name", nargs="?", help="a config: its path, or its name under models/")
    serve.add_argument("--trial", metavar="RUN_ID", default="", help="a study's run, for research only")
    serve.add_argument("--host", help="address to listen on; by default this machine only")
    serve.add_argument("--port", type=int, help="by default 8000; 0 takes a free one")
    serve.add_argument("--workers", type=int, help="processes that answer; by default 1")
    serve.add_argument("--policy", choices=["durable", "fast"], help="answer when the log is safe, or before")
    serve.add_argument("--max-rows", type=int, help="most rows of one request")
    serve.add_argument("--max-body-mb", type=float, help="most megabytes of one body")
    serve.add_argument("--refresh-seconds", type=float, help="time between two looks at the ledger")


def _add_audit(verbs: Any, common: _Parser, named: _Parser) -> None:  # noqa: ANN401 - argparse's
    """Commands that look back, and go back."""
    rollback = verbs.add_parser("rollback", parents=[common, named], help="an earlier version serves again")
    rollback.add_argument("--to", type=int, help="version; by default the last good one before")
    rollback.add_argument("--reason", required=True, help="why, for the ledger")
    rollback.add_argument("--mark-bad", action="store_true", help="mark the version that is left")
    at = "at this time, e.g. 2026-06-01T12:00:00Z"
    verbs.add_parser("history", parents=[common, named], help="who promoted what, when and why")
    champion = verbs.add_parser("champion", parents=[common, named], help="the version that serves")
    champion.add_argument("--at", metavar="TIME", help=f"that served {at}")
    explain = verbs.add_parser("explain", parents=[common, named], help="what a version was made of")
    explain.add_argument("version", type=int, nargs="?", help="number of the version")
    explain.add_argument("--at", metavar="TIME", help=f"the version that served {at}")
    explain.add_argument("--config", action="store_true", help="only its frozen config, as the file it was")
    diff = verbs.add_parser("diff", parents=[common, named], help="what tells one version from another")
    diff.add_argument("before", type=int, help="number of a version")
    diff.add_argument("after", type=int, help="number of another")
    reproduce = verbs.add_parser(
        "reproduce", parents=[common, named], help="make a version again and compare"
    )
    reproduce.add_argument("version", type=int, nargs="?", help="by default the one that serves")
    reproduce.add_argument("--tolerance", type=float, default=0.0, help="largest difference; by default 0")
    reproduce.add_argument("--to", metavar="FILE", help="write the certificate there too")
    mark = verbs.add_parser("mark", parents=[common, named], help="versions that may not serve again")
    mark.add_argument("version", type=int, nargs="?", help="to mark bad; without it, what is marked")
    mark.add_argument("--reason", default="", help="why")
    mark.add_argument("--unmark", action="store_true", help="take the mark back")


def _add_watching(verbs: Any, common: _Parser, named: _Parser) -> None:  # noqa: ANN401 - argparse's
    """Commands that look at what was logged, and act on it."""
    when = _Parser(add_help=False)
    when.add_argument("--since", metavar="TIME", help="first event time, e.g. 2026-06-01 (UTC)")
    when.add_argument("--until", metavar="TIME", help="end of the window, itself left out")
    when.add_argument("--every", metavar="DURATION", help="check window by window: 7d, 6h")
    when.add_argument("--now", metavar="TIME", help="as if it were this time")
    when.add_argument("--exit-code", action="store_true", help="exit 7 for drift, 8 if it could not tell")
    monitor = verbs.add_parser("monitor", parents=[common, named, when], help="has what is served drifted?")
    monitor.add_argument("--version", type=int, help="whose answers; by default of what served last")
    monitor.add_argument("--html", metavar="PATH", help="where the page goes; by default among the stores")
    monitor.add_argument("--alert-command", default="", metavar="COMMAND", help="started on an alarm")
    monitor.add_argument("--alert-url", metavar="URL", help="called on an alarm")
    monitor.add_argument("--self-check", type=int, default=0, metavar="N", help="N windows without drift")
    performance = verbs.add_parser("performance", parents=[common, named, when], help="score by late labels")
    performance.add_argument("--labels", required=True, help="a table, or a .csv or .parquet file")
    performance.add_argument("--label", metavar="COLUMN", help="column of the label; by default the target")
    performance.add_argument(
        "--request-id", metavar="COLUMN", help="labels are of requests; by default of keys"
    )
    retrain = verbs.add_parser("retrain", parents=[common, named], help="same config, new data, same gate")
    retrain.add_argument("--dry-run", action="store_true", help="only say what would be done")
    retrain.add_argument("--force", action="store_true", help="ask neither policy nor cooldown")
    retrain.add_argument("--now", metavar="TIME", help="as if it were this time")


def _add_upkeep(verbs: Any, common: _Parser, named: _Parser) -> None:  # noqa: ANN401 - argparse's
    """Commands that keep the stores tidy and sound."""
    some = _Parser(add_help=False)
    some.add_argument("name", nargs="?", help="the project, or the path of its config; by default all")
    cleanup = verbs.add_parser("cleanup", parents=[common, some], help="what nothing reaches any more")
    cleanup.add_argument("--apply", action="store_true", help="remove it, after asking")
    cleanup.add_argument("--yes", action="store_true", help="do not ask")
    for option, default, text in (
        ("--keep-days", 90, "what served in so many days stays"),
        ("--keep-versions", 5, "so many that served last stay"),
        ("--grace-days", 14, "nothing younger goes"),
    ):
        cleanup.add_argument(
            option, type=int, default=default, metavar="N", help=f"{text}; by default {default}"
        )
    cleanup.add_argument("--models", action="store_true", help="model files that nothing reaches too")
    cleanup.add_argument("--versions", action="store_true", help="and their versions in the registry")
    cleanup.add_argument("--runs", action="store_true", help="old MLflow runs too")
    cleanup.add_argument("--log-days", type=int, metavar="N", help="predictions logged longer ago too")
    pin = verbs.add_parser("pin", parents=[common, named], help="keep a version or table from cleanup")
    pin.add_argument("what", nargs="?", help="a version (v3) or a table; without it, what is pinned")
    pin.add_argument("--reason", default="", help="why")
    unpin = verbs.add_parser("unpin", parents=[common, named], help="keep it no longer")
    unpin.add_argument("what", help="a version (v3) or a table")
    doctor = verbs.add_parser("doctor", parents=[common, some], help="is everything as it should be?")
    doctor.add_argument("--fix", action="store_true", help="mend what is safe to mend")
    verbs.add_parser(
        "fsck", parents=[common, some], help="read everything again and compare with the records"
    )


def _common() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the result as JSON")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument(
        "--target", default=os.environ.get("MLKIT_TARGET"), help="set of stores; by default local"
    )
    return common


def _named() -> _Parser:
    named = _Parser(add_help=False)
    named.add_argument("name", help="a config: its path, or its name under models/")
    return named


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms that only --version needs

    try:
        return f"mlkit {version('mlkit-sdk')}"
    except PackageNotFoundError:
        return "mlkit, not installed"
