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
  20 store   21 lost the race   30 integrity   70 a bug   (plan --exit-code: 5 primary, 6 secondary)
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
    rollback = verbs.add_parser("rollback", parents=[common, named], help="an earlier version serves again")
    rollback.add_argument("--to", type=int, help="version; by default the one before")
    rollback.add_argument("--reason", required=True, help="why, for the ledger")
    trigger = verbs.add_parser("trigger", parents=[common], help="start a job of the bundle on Databricks")
    trigger.add_argument("action", help="what it does: deploy, score, drift, cleanup or rollback")
    trigger.add_argument("name", help="the project: its name, or the path of its config")
    trigger.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a job parameter")
    trigger.add_argument("--job", help="name or number of the job, if it is another than NAME-ACTION")
    trigger.add_argument("--no-wait", action="store_true", help="only start it")
    verbs.add_parser("history", parents=[common, named], help="who promoted what, when and why")
    verbs.add_parser("champion", parents=[common, named], help="the version that serves")
    explain = verbs.add_parser("explain", parents=[common, named], help="what a version was made of")
    explain.add_argument("version", type=int, help="number of the version")
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
    demo = verbs.add_parser("demo", parents=[common], help="the whole life cycle on real data")
    demo.add_argument("--dir", default="mlkit-demo", help="folder to work in; made anew")
    page = verbs.add_parser("help", parents=[common], help="what an error code means")
    page.add_argument("code", nargs="?", help="for instance DAT060; without it, all codes")
    return parser


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
