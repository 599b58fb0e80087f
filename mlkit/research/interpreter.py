"""Fresh interpreters in which a packaged runner is tried: they see the wheel, not the user's source tree."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlkit.errors import StudyError
from mlkit.research.wheel import write_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAIL = 2000

# Run with -I: no PYTHONPATH, no user site, no working directory on the path. What a .pth file or an
# editable install adds is dropped here; installed packages and the wheel's folder stay.
_BOOT = """\
import sys
folder, name = sys.argv[1], sys.argv[2]
packages = ("site-packages", "dist-packages")
stdlib = {p for p in sys.path if p.startswith((sys.base_prefix, sys.prefix)) and not p.endswith(packages)}
sys.path[:] = [folder] + [p for p in sys.path if p in stdlib or p.endswith(packages)]
sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", type(f).__module__).startswith("__editable__")]
sys.argv[:] = [name] + sys.argv[3:]
from importlib.metadata import entry_points
(entry,) = [e for e in entry_points(group="console_scripts") if e.name == name]
entry.load()()
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

        Raises:
            StudyError: It failed; the message ends with the last line it wrote.
        """
        command = [str(self.executable), *self.flags, "-c", self.boot, str(self.folder), name, *arguments]
        environment = {**os.environ, "MLKIT_HOME": str(home), "MLKIT_QUIET": "1"}
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            command, cwd=self.cwd, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            lines = done.stderr.strip()[-_TAIL:].splitlines() or [f"exit code {done.returncode}"]
            last = next((line for line in reversed(lines) if not line.startswith("  fix:")), lines[-1])
            message = f"the packaged runner failed: {last}"
            fix = "does prepare read files of the source tree, or import what is not in the wheel?"
            raise StudyError("RUN014", message, path="rehearsal", fix=fix)


def sandboxed(place: Path, wheel: Path, _: Sequence[str] = ()) -> Interpreter:
    """This Python with its installed packages, plus the unpacked wheel; the source tree is out of sight."""
    folder = place / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    own = Path(str(importlib.util.find_spec("mlkit").origin)).parent  # type: ignore[union-attr] # this package is there
    if own.parent.name not in ("site-packages", "dist-packages"):
        shutil.copytree(own, folder / "mlkit", ignore=shutil.ignore_patterns("__pycache__"))
    return Interpreter(Path(sys.executable), ("-I",), _BOOT, folder, place)


def isolated(place: Path, wheel: Path, requirements: Sequence[str]) -> Interpreter:
    """A new environment with the wheel, its pinned requirements and this very mlkit."""
    folder = place / "environment"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wheels = [str(wheel), str(_own_wheel(place))]
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wheels, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed"]
        fix = "are the pinned versions to be had for this Python? edit environment.requirements"
        raise StudyError("RUN015", f"cannot install the pins: {lines[-1]}", path="environment", fix=fix)
    return Interpreter(python, ("-I",), _BOOT, place / "nothing", place)


def unpackaged(configs: Path) -> Interpreter:
    """This Python in the user's source tree: what a package is compared with after a config was edited."""
    return Interpreter(Path(sys.executable), (), _BARE, configs.resolve(), Path.cwd())


def _own_wheel(place: Path) -> Path:
    """A wheel of the mlkit that is running, wherever it was installed from."""
    root = Path(str(importlib.util.find_spec("mlkit").origin)).parent  # type: ignore[union-attr] # this package is there
    files = {
        f"mlkit/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    distribution = importlib.metadata.distribution("mlkit-sdk")
    requires = [line for line in distribution.requires or [] if "extra ==" not in line]
    return write_wheel(
        place, name="mlkit-sdk", version=distribution.version, files=files, requires=requires, summary="mlkit, as it is"
    )
