"""What the command line prints on: colours where they are wanted, and no crash where letters are missing."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from mlkit.errors import MlkitError

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _CYAN = "1", "2", "31", "32", "33", "36"

# What begins a line, and its style. A word is never told by its colour alone.
_RULES = tuple(
    (re.compile(pattern, re.MULTILINE), style)
    for pattern, style in (
        (r"^error\[\w+\]", f"{_BOLD};{_RED}"),
        (r"^(?:rejected|failed|ERROR)\b", f"{_BOLD};{_RED}"),
        (r"^(?:promoted|rolled back|unchanged)\b", f"{_BOLD};{_GREEN}"),
        (r"^kept_champion\b", f"{_BOLD};{_YELLOW}"),
        (r"(?<=    )(?:primary|secondary)(?=: )", f"{_BOLD};{_YELLOW}"),
        (r"(?<=    )nothing(?=: )", f"{_BOLD};{_GREEN}"),
        (r"(?<=    )blocked(?=: )", f"{_BOLD};{_RED}"),
        (r"^  ~(?= )", _YELLOW),
        (r"^  !(?= )|(?<=  )! .*$", _RED),
        (r"(?<=  )\+ \S+", _GREEN),
        (r"^  fix:", _GREEN),
        (r"^(?:Next:|  next|  undo|examples:|usage:)", _CYAN),
        (r"^  page: .*$|^    \d+ more inputs? unchanged.*$", _DIM),
    )
)


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is to be coloured.

    ``NO_COLOR`` says no, ``CLICOLOR_FORCE`` and ``FORCE_COLOR`` say yes; else a terminal that is not dumb is.
    """
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in ("CLICOLOR_FORCE", "FORCE_COLOR")):
        return True
    if environment.get("TERM") == "dumb" or environment.get("CLICOLOR") == "0":
        return False
    return stream.isatty()


def show(stream: TextIO, text: str) -> None:
    """Write a text for people, with its colours if they are wanted."""
    stream.write(coloured(text) if wants_colour(stream) else text)


def coloured(text: str) -> str:
    """The text with what begins its lines in colours, as escape sequences that every terminal knows."""
    for pattern, style in _RULES:
        text = pattern.sub(lambda found, style=style: f"\x1b[{style}m{found[0]}\x1b[0m", text)  # type: ignore[misc]  # mypy knows no defaults of lambdas
    return text


def annotation(error: MlkitError) -> str:
    """The error as GitHub Actions shows it beside the line of a file; empty elsewhere."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return ""
    file, _, line = error.place.rpartition(":") if error.place[-1:].isdigit() else (error.place, "", "")
    parts = {"title": error.code, "file": file, "line": line}
    told = ",".join(f"{name}={_escaped(part, ':,')}" for name, part in parts.items() if part)
    return f"::error {told}::{_escaped(error.sentence)}\n"


def _escaped(text: str, also: str = "") -> str:
    """A text inside a workflow command of GitHub."""
    return "".join(f"%{ord(letter):02X}" if letter in f"%\r\n{also}" else letter for letter in text)


def spare_letters() -> None:
    """Let no letter that a stream cannot hold end a command: it is written as its number.

    A pipe on Windows holds the letters of one country, and a file's name or a person's may have others.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stand-in may not have it
            stream.reconfigure(errors="backslashreplace")
