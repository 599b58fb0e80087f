"""Fresh interpreters in which a packaged runner is tried: they see the wheel, not the user's source tree."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.code import DISTRIBUTION
from mlkit.errors import StudyError
from mlkit.research.wheel import write_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TAIL = 2000
_FIX = "; fix: "  # how the way out stands in the line that a job shows

# Run with -I: no PYTHONPATH, no user site, no working directory on the path. Folders and finders that a
# .pth file or an editable install adds are dropped here; the standard library, installed packages and
# the wheel's folder stay. The rest is what a wheel task of a job does: the entry point is looked for by
# name in any group of the distribution's metadata, the first argument is the name of the package, what
# is returned is dropped, and to leave the process, with whatever code, is to fail. IPython is hidden.
_BOOT = """\
import sys, sysconfig
folder, name = sys.argv[1], sys.argv[2]
kept = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
packages = ("site-packages", "dist-packages", ".zip")
sys.path[:] = [folder] + [p for p in sys.path if p.startswith(kept) or p.endswith(packages)]
sys.meta_path[:] = [f for f in sys.meta_path if f.__module__.startswith("_frozen_importlib")]
sys.argv[:] = [name] + sys.argv[3:]
sys.modules["IPython"] = None
from importlib.metadata import distribution
found = [entry for entry in distribution(name).entry_points if entry.name == name]
if not found:
    raise LookupError(f"the wheel of {name} has no entry point of this name")
try:
    found[0].load()()
except SystemExit as exc:
    raise RuntimeError(f"the entry point left the process with exit code {exc.code!r}") from exc
"""

_BARE = """\
import sys
from pathlib import Path
folder, name = sys.argv[1], sys.argv[2]
sys.path[:0] = [str(Path.cwd()), str(Path.cwd() / "src")]
from mlkit.production.task import main
main(sys.argv[3:], configs=Path(folder))
"""


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python that runs an entry point by name.

    Attributes:
        executable: The Python.
        flags: Its flags.
        boot: Program that sets the path and calls the entry point.
        folder: First argument of that program.
        cwd: Working directory.
    """

    executable: Path
    flags: tuple[str, ...]
    boot: str
    folder: Path
    cwd: Path

    def run(self, name: str, arguments: Sequence[str], *, home: Path) -> None:
        """Call the entry point `name` and wait for it.

        Args:
            name: Entry point and distribution; what the runner finds as ``sys.argv[0]``.
            arguments: What it finds behind that.
            home: Folder of the local stores.

        Raises:
            StudyError: It failed (RUN014); the message ends with the last line it wrote.
        """
        command = [str(self.executable), *self.flags, "-c", self.boot, str(self.folder), name, *arguments]
        environment = {**os.environ, "MLKIT_HOME": str(home), "MLKIT_QUIET": "1"}
        done = _finished(command, cwd=self.cwd, env=environment)
        if done.returncode:
            lines = done.stderr.strip()[-_TAIL:].splitlines() or [f"exit code {done.returncode}"]
            last = next((line for line in reversed(lines) if not line.startswith("  fix:")), lines[-1])
            message = f"the packaged runner failed: {last.partition(_FIX)[0]}"
            raise StudyError("RUN014", message, path="rehearsal", fix=_way_out(lines, last))


def sandboxed(place: Path, wheel: Path, _: Sequence[str] = ()) -> Interpreter:
    """This Python with its installed packages, plus the unpacked wheel; the source tree is out of sight.

    Args:
        place: An empty folder of its own, which outlives the interpreter.
        wheel: The wheel to try.
    """
    folder = place / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    own = _own_package()
    if own.parent.name not in ("site-packages", "dist-packages"):
        shutil.copytree(own, folder / "mlkit", ignore=shutil.ignore_patterns("__pycache__"))
    return Interpreter(Path(sys.executable), ("-I",), _BOOT, folder, place)


def isolated(place: Path, wheel: Path, requirements: Sequence[str]) -> Interpreter:
    """A new environment with the wheel, its pinned requirements and this very mlkit.

    Args:
        place: An empty folder of its own, which outlives the interpreter.
        wheel: The wheel to try.
        requirements: Pins of the config.

    Raises:
        StudyError: The environment cannot be made (RUN015).
    """
    folder = place / "environment"
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        fix = "does `python -m venv` work here? some systems package it apart"
        raise StudyError("RUN015", "cannot make an environment", path="environment", fix=fix) from exc
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = _finished([*install, str(wheel), str(_own_wheel(place)), *requirements], cwd=place, env=os.environ)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed"]
        fix = "are the pinned versions to be had for this Python? edit environment.requirements"
        raise StudyError("RUN015", f"cannot install the pins: {lines[-1]}", path="environment", fix=fix)
    return Interpreter(python, ("-I",), _BOOT, place / "nothing", place)


def unpackaged(configs: Path) -> Interpreter:
    """This Python in the user's source tree: what a package is compared with after a config was edited.

    Args:
        configs: Folder that holds the config under its own name.
    """
    return Interpreter(Path(sys.executable), (), _BARE, configs.resolve(), Path.cwd())


def _way_out(lines: Sequence[str], last: str) -> str:
    """What mends an error that has a code is what it says itself."""
    code = re.search(r"\[([A-Z]{3}\d{3})\]", last)
    if code is None:
        return "does prepare read files of the source tree, or import what is not in the wheel?"
    apart = lines[-1].removeprefix("  fix: ") if lines[-1] != last else ""
    return last.partition(_FIX)[2] or apart or f"mlkit help {code[1]}"


def _finished(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter and arguments, no shell
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def _own_package() -> Path:
    """Folder of the mlkit that is running."""
    return Path(__file__).parents[1]


def _own_wheel(place: Path) -> Path:
    """A wheel of the mlkit that is running, wherever it was installed from."""
    root = _own_package()
    files = {
        f"mlkit/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    requires = [line for line in distribution.requires or [] if "extra ==" not in line]
    return write_wheel(place, name=DISTRIBUTION, version=distribution.version, files=files, requires=requires)
