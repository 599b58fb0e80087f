"""Named points at which a test may stop a run.

A step of the runner, the study, the ledger or a publish calls `failpoint("step.name")`. In
production that is one dictionary look-up. A test sets ``MLKIT_TEST=1`` and
``MLKIT_TEST_FAIL=step.name:kill`` (several points with commas between them). Without the first, or with
stores outside of the temporary directory, the next point is an error before it does anything: no
stray variable can kill a real deployment, and none goes unnoticed.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

from mlkit.errors import UsageError

VARIABLE = "MLKIT_TEST_FAIL"
ACTIONS = ("kill", "raise", "hang")


class InjectedFaultError(RuntimeError):
    """The fault that a test asked for with ``name:raise``."""


def failpoint(name: str) -> None:
    """Do what a test asked for at this point: nothing, ``kill``, ``raise`` or ``hang``.

    Args:
        name: Stable name of the step, e.g. ``promote.ledger``.

    Raises:
        InjectedFaultError: The test asked for ``name:raise``.
        UsageError: The variable is set outside a test, or asks for no known action.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    _refuse_outside_tests()
    for entry in wanted.split(","):
        point, _, action = entry.partition(":")
        if action not in ACTIONS:
            message = f"expected name:action with one of {', '.join(ACTIONS)}, found {entry!r}"
            raise UsageError("CLI020", message, path=VARIABLE, fix="correct the test")
        if point == name:
            _act(name, action)


def _refuse_outside_tests() -> None:
    home = Path(os.environ.get("MLKIT_HOME", "/")).resolve()
    if os.environ.get("MLKIT_TEST") != "1" or not home.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        raise UsageError(
            "CLI020",
            f"{VARIABLE} is set, but this is not a test in a temporary home",
            path=VARIABLE,
            fix=f"unset {VARIABLE}",
        )


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hang":
        threading.Event().wait()
    if action == "raise":
        raise InjectedFaultError(name)
