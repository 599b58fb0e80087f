"""Scripts of users, run in this process: importing everything takes longer than most of them."""

from __future__ import annotations

import contextlib
import io
import runpy
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Ran(NamedTuple):
    """What became of a script.

    Attributes:
        printed: On standard output.
        error: What stopped it; empty if nothing did.
        left: What its names hold in the end.
    """

    printed: str
    error: str
    left: dict[str, Any]


def run_script(script: Path | str) -> Ran:
    """Run a script as the main module."""
    printed, left, error = io.StringIO(), {}, ""
    with contextlib.redirect_stdout(printed):
        try:
            left = runpy.run_path(str(script), run_name="__main__")
        except Exception:  # noqa: BLE001 - whatever a script does wrong is what is to be told
            error = traceback.format_exc()
    return Ran(printed.getvalue(), error, left)
