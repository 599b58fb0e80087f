"""The command line: words in, one call into a room, result on standard output, exit code by outcome.

Nothing heavy is imported before it is clear what is wanted, so ``mlkit --help`` answers at once. The words
themselves stand in `mlkit.commands`, what they do in `mlkit.verbs`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlkit.commands.parser import COMMANDS, make_parser, parse
from mlkit.errors import EXIT_DONE, MlkitError
from mlkit.terminal import annotation, show, spare_letters

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import TracebackType

    from mlkit.commands.answer import Printable

EXIT_INTERRUPTED = 130
BUG = "BUG001"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    spare_letters()
    with _Ending(as_json="--json" in words, debug="--debug" in words) as ending:
        ending.code = _run(parse(words))
    return ending.code


def _run(options: argparse.Namespace) -> int:
    if options.verb is None:
        show(sys.stdout, f"{_version()}\n" if options.version else make_parser(only="").format_help())
        return EXIT_DONE
    _see_user_code()
    verbs = importlib.import_module(COMMANDS[options.verb].home)
    result, code = getattr(verbs, f"{options.verb}_verb")(options)
    _give(result, options)
    return int(code)


def _give(result: Printable, options: argparse.Namespace) -> None:
    """Print a result for people, or as the schema of its command says."""
    text = json.dumps(result.to_dict(), indent=2, default=str) if options.json else repr(result)
    _tell(text, as_json=options.json)


def _tell(text: str, *, as_json: bool) -> None:
    """Print a text; a reader who has seen enough of it (``| head``) is no error."""
    try:
        if as_json:
            sys.stdout.write(f"{text}\n")
        elif text:
            show(sys.stdout, f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the interpreter flushes once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        if isinstance(error, KeyboardInterrupt):
            self.code = EXIT_INTERRUPTED
            self._say({"code": "INTERRUPTED"}, "interrupted; run it again to finish")
        else:
            known = error if isinstance(error, MlkitError) else _bug(error)
            self.code = known.exit_code
            self._say(known.to_dict(), f"{annotation(known)}{_text(known)}")
        return True

    def _say(self, values: dict[str, Any], text: str) -> None:
        if self._as_json:
            sys.stdout.write(f"{json.dumps({'error': values}, indent=2)}\n")
        show(sys.stderr, f"{text}\n")


def _bug(error: BaseException) -> MlkitError:
    return MlkitError(BUG, f"{type(error).__name__}: {error}", fix="report it with --debug")


def _text(error: MlkitError) -> str:
    """Code, cause, place, way out and page, a line each."""
    what = f" {error.path}:" if error.path else ""
    place = f"\n  at {error.place}" if error.place else ""
    way_out = f"\n  fix: {error.fix}" if error.fix else ""
    return f"error[{error.code}]{what} {error.message}{place}{way_out}\n  page: mlkit help {error.code}"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms that only --version needs

    try:
        return f"mlkit {version('mlkit-sdk')}"
    except PackageNotFoundError:
        return "mlkit, not installed"
