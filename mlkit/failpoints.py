"""Named points at which a test may stop a run.

A step of the runner, the study, the ledger or a publish calls `failpoint("step.name")`. In
production that is one dictionary look-up. A test sets ``MLKIT_TEST_FAIL=step.name:kill`` and
``MLKIT_TEST=1``; the point is refused unless the stores lie in a temporary directory, so that no
stray variable can stop a real deployment.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path

from mlkit.errors import UsageError

VARIABLE = "MLKIT_TEST_FAIL"


class InjectedFaultError(RuntimeError):
    """The fault that a test asked for with ``name:raise``."""


def failpoint(name: str) -> None:
    """Do what a test asked for at this point: nothing, ``kill``, ``raise`` or ``hang``.

    Args:
        name: Stable name of the step, e.g. ``promote.ledger``.

    Raises:
        InjectedFaultError: The test asked for ``name:raise``.
        UsageError: The variable is set outside a test.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _refuse_outside_tests()
    for entry in wanted.split(","):
        point, _, action = entry.partition(":")
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
