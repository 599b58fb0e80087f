"""`project.figure`: figures that a script keeps for the report, by name; the last one of a name stands."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mlkit import document
from mlkit.errors import UsageError
from mlkit.research.drawings import Drawing, Kind, draw
from mlkit.research.steps.replay import replayed

if TYPE_CHECKING:
    from types import FrameType

    from mlkit.workspace import Workspace

MAX_NAME = 100
_FORMAT = 1
_RUN = uuid.uuid4().hex
"""This process: figures of a script that its last run did not draw are old ones."""

_HERE = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure that is kept for the report.

    Attributes:
        name: What it is called; another one of the same name takes its place.
        drawing: What a page shows.
        caption: What it says, in a sentence.
        source: File and line that drew it.
        script: The file that was run.
        run: Which run of it, an id.
        at: When it was kept, nanoseconds since the epoch; their order is that of the calls.
    """

    name: str
    drawing: Drawing = dataclasses.field(repr=False)
    caption: str = ""
    source: str = ""
    script: str = ""
    run: str = ""
    at: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, without the drawing."""
        return {
            "name": self.name,
            "kind": self.drawing.kind,
            "bytes": len(self.drawing.content),
            "caption": self.caption,
            "note": self.drawing.note,
            "source": self.source,
            "script": self.script,
            "at": self.at,
        }

    def __repr__(self) -> str:
        """What was kept, and how to see it."""
        size = f"{self.drawing.kind}, {len(self.drawing.content) / 1000:,.0f} kB"
        return f"figure {self.name!r} is kept ({size})\n  next    mlkit report --open"


class FigureList:
    """The figures that are kept for the report, in the order in which they were drawn.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._folder = folder

    @property
    def entries(self) -> list[Figure]:
        """The figures, with caption, source line and drawing."""
        return read_figures(self._folder)[0]

    def remove(self, name: str) -> bool:
        """Remove one; False if there is none of this name."""
        file = _file(self._folder, name)
        there = file.exists()
        file.unlink(missing_ok=True)
        return there

    def clear(self) -> int:
        """Remove all, and give how many there were."""
        files = list(self._folder.glob("*.json"))
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"figures": [figure.to_dict() for figure in self.entries]}

    def __repr__(self) -> str:
        """A line for each."""
        entries = self.entries
        if not entries:
            return "no figures are kept\n  next    project.figure(fig, 'name', caption='what it says')"
        lines = [f"  {each.name:<32} {each.drawing.kind:<7} {each.source}" for each in entries]
        return "\n".join((f"{len(entries)} figures", *lines, "  next    mlkit report --open"))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def figures_folder(workspace: Workspace, project: str) -> Path:
    """Where the figures of a project are kept: on this machine, each target apart."""
    return workspace.folder / "figures" / project


def keep_figure(folder: Path, fig: object, name: str, *, caption: str = "") -> Figure:
    """Draw a figure and keep it under its name; inside of a step a hit keeps it again.

    Args:
        folder: Where to.
        fig: As for `mlkit.research.drawings.draw`; None, with a caption that says why, for one without data.
        name: 1 to 100 characters.
        caption: What it says, in a sentence.

    Raises:
        UsageError: The name is none (CLI105), or as for `draw` (CLI106 to CLI108).
        StoreError: The file cannot be written (STO023).
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        message = f"a figure is named by 1 to {MAX_NAME} printable characters"
        raise UsageError("CLI105", message, path="name", fix="e.g. project.figure(fig, 'Residuals by hour')")
    drawing = draw(fig, name)
    values = {
        "name": name,
        "kind": drawing.kind,
        "content": drawing.content,
        "note": drawing.note,
        "caption": str(caption),
        "source": _caller(),
        "script": _script(),
    }
    return _keep(str(folder), values)


def read_figures(folder: Path) -> tuple[list[Figure], int]:
    """The figures of a folder in the order in which they were drawn, and how many files of it do not read."""
    found, damaged = [], 0
    for file in sorted(folder.glob("*.json")):
        try:
            found.append(_read(json.loads(file.read_text(encoding="utf-8"))))
        except FileNotFoundError:  # removed meanwhile
            continue
        except (OSError, ValueError, KeyError, TypeError):
            damaged += 1
    return sorted(found, key=lambda figure: (figure.at, figure.name)), damaged


@replayed
def _keep(folder: str, values: dict[str, str]) -> Figure:
    """Write a figure: plain values, so that a hit of a step does it again."""
    place = Path(folder)
    stored = {"format": _FORMAT, **values, "run": _RUN, "at": _now()}
    document.save(_file(place, values["name"]), json.dumps(stored, ensure_ascii=False))
    return _read(stored)


_last = [0]


def _now() -> int:
    """The time, later than that of any figure of this process before: clocks have steps."""
    _last[0] = max(time.time_ns(), _last[0] + 1)
    return _last[0]


def _read(stored: dict[str, Any]) -> Figure:
    if stored["format"] != _FORMAT or stored["kind"] not in get_args(Kind):
        message = "a figure of another format"
        raise ValueError(message)
    drawing = Drawing(stored["kind"], stored["content"], stored["note"])
    kept = {name: stored[name] for name in ("name", "caption", "source", "script", "run", "at")}
    return Figure(drawing=drawing, **kept)


def _file(folder: Path, name: str) -> Path:
    """One file for each name, whatever its letters, on any disk."""
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _caller() -> str:
    """File and line of the code outside of mlkit that called."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way to know who calls
    while frame is not None and _HERE in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    return f"{_shortest(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else ""


def _script() -> str:
    found = getattr(sys.modules.get("__main__"), "__file__", None)
    return _shortest(found) if found else ""


def _shortest(path: str) -> str:
    """A path from the working directory where it lies below that, else only its name."""
    if path.startswith("<") or "ipykernel_" in path:
        return "a notebook" if "ipy" in path else path
    with contextlib.suppress(ValueError):  # another drive
        relative = os.path.relpath(path)
        if not relative.startswith(".."):
            return Path(relative).as_posix()
    return Path(path).name
