"""The watched script, in the process that runs it: what it may do, how its errors look, what it leaves."""

from __future__ import annotations

import os
import sys
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.console import say
from mlkit.errors import MlkitError, UsageError
from mlkit.research.steps.origin import is_library_file

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHED = "MLKIT_WATCHED"
"""Set in the process of a watched script: there, nothing is deployed but to the local stores."""
PAGE, TROUBLE = "MLKIT_WATCH_PAGE", "MLKIT_WATCH_TROUBLE"
"""Files to which the script's process writes the report of its project, and what ended it."""

_reporters: list[Callable[[Path], object]] = []


def report_at_end(write: Callable[[Path], object]) -> None:
    """Take what writes the report of a project; of several, the last one is asked when the script has ended.

    Args:
        write: Given where to. Outside a watch that shows a page, it is never called.
    """
    if PAGE in os.environ:
        _reporters.append(write)


def refuse_when_watched(verb: str, target: str) -> None:
    """Refuse to deploy from a watched script: it would at every save.

    Raises:
        UsageError: This process is watched and the target is not `local` (CLI092).
    """
    if os.environ.get(WATCHED) == "1" and target != "local":
        message = f"{verb} on target {target} from a script that is watched: it would happen at every save"
        raise UsageError("CLI092", message, path=verb, fix=f"mlkit {verb}, or run the script with python")


def run_script() -> None:
    """Run ``sys.argv[1]`` as the main module; what goes wrong is shown in the user's own code alone."""
    path = Path(sys.argv[1])
    del sys.argv[0]
    sys.path[0] = str(path.parent)
    sys.excepthook = _show
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    try:
        exec(code, vars(module))  # noqa: S102 - the script that is watched
    except SystemExit as ending:
        if ending.code not in (None, 0):
            raise
    _write_page()


def _write_page() -> None:
    """The report of the script's project, made where all it needs is loaded already."""
    if not _reporters:
        return
    try:
        _reporters[-1](Path(os.environ[PAGE]))
    except MlkitError as exc:
        say(f"the report stays as it was: {exc}")
        _tell_trouble(f"the report could not be made: [{exc.code}] {exc.message}")


def _tell_trouble(text: str) -> None:
    """Leave a sentence to whoever shows the page."""
    if file := os.environ.get(TROUBLE):
        Path(file).write_text(text, encoding="utf-8")


def _show(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    shown = traceback.TracebackException(kind, error, trace)
    _leave_out_libraries(shown)
    sys.stderr.write("".join(shown.format()))
    place = f" ({Path(shown.stack[-1].filename).name}, line {shown.stack[-1].lineno})" if shown.stack else ""
    _tell_trouble(f"{''.join(shown.format_exception_only()).strip()}{place}")


def _leave_out_libraries(shown: traceback.TracebackException) -> None:
    own = [frame for frame in shown.stack if not is_library_file(frame.filename)]
    # Of an error that happened in libraries alone, all is shown but this file.
    kept = own or [frame for frame in shown.stack if frame.filename != __file__]
    shown.stack = traceback.StackSummary.from_list(kept)
    for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
        if other is not None:
            _leave_out_libraries(other)
