"""The model that a new repository comes with: its own study is run, so nothing about it is made up."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
from typing import TYPE_CHECKING

from mlkit.boundary import user_code
from mlkit.console import say
from mlkit.scaffold.files import CONFIG, EXAMPLE, STUDY
from mlkit.targets import CONFIG as TARGETS_VARIABLE
from mlkit.targets import LOCAL
from mlkit.workspace import HOME, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REASON = "the example of mlkit init"
_ITS_OWN = {HOME: ".mlkit", TARGET: LOCAL}


def run_example(folder: Path) -> None:
    """Run the study of the example as a user would; it writes the config and where that came from.

    Raises:
        MlkitError: What the study raises, which a second call goes on from.
    """
    say(f"running {STUDY}: 10 trials, and the best is frozen as {CONFIG}")
    with (
        _working_in(folder.resolve()),
        user_code(STUDY),
        contextlib.redirect_stdout(io.StringIO()),
    ):  # its result is in the files
        runpy.run_path(STUDY, run_name="__main__")


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in the repository with its code importable and its own stores; put everything back."""
    before, path, arguments, environment = os.getcwd(), list(sys.path), sys.argv, dict(os.environ)  # noqa: PTH109
    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    sys.argv = [STUDY, _REASON]
    os.environ.update(_ITS_OWN)
    os.environ.pop(TARGETS_VARIABLE, None)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:], sys.argv = path, arguments
        for name in (*_ITS_OWN, TARGETS_VARIABLE):
            os.environ.pop(name, None)
            if name in environment:
                os.environ[name] = environment[name]
        for name in [name for name in sys.modules if name.partition(".")[0] == EXAMPLE]:
            del sys.modules[name]
