"""The code blocks of the documentation: found, told apart, and their commands read."""

from __future__ import annotations

import dataclasses
import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHARED = ("docs/guides/index.md", "docs/tutorials/from-dataframe.md")
"""The pages whose files every other page may use."""

_FENCE = re.compile(
    r"(?ms)^(?P<indent> *)```(?P<language>\w*)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$"
)
_TITLE = re.compile(r'title="([^"]+)"')
_COMPILED = re.compile(r"<!-- blocks: compiled only, (.+?) -->")
_SHELL = re.compile(r"&&|\|\||[|;<>&]")


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        language: What stands behind the fence.
        title: Path of the file that it is, or what it is.
        text: Its lines, without the indent of the fence.
        line: Number of its first line on the page, from 1.
    """

    language: str
    title: str
    text: str
    line: int

    @property
    def is_file(self) -> bool:
        """Whether it is a file that a reader saves."""
        return bool(self.title) and self.title != "output"


def pages() -> list[str]:
    """Every page that people write, and the readme, by path below the root."""
    docs = [path for path in (ROOT / "docs").rglob("*.md") if not _is_made(path)]
    return ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in docs)]


def read_page(page: str) -> list[Block]:
    """The blocks of a page."""
    return read_blocks((ROOT / page).read_text(encoding="utf-8"))


def read_blocks(text: str) -> list[Block]:
    """The blocks of a text."""
    found = []
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["info"])
        line = text.count("\n", 0, match.start("text")) + 1
        inside = textwrap.dedent(match["text"])
        found.append(Block(match["language"], title[1] if title else "", inside, line))
    return found


def why_compiled_only(page: str) -> str:
    """Why the Python of a page is not run; empty where it is."""
    found = _COMPILED.search((ROOT / page).read_text(encoding="utf-8"))
    return found[1] if found else ""


def script_of(blocks: list[Block]) -> str:
    """The Python blocks that are no files, as one script with each line where it stands on the page."""
    lines: list[str] = []
    for block in blocks:
        if block.language == "python" and not block.title:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n" if lines else ""


def files_of(blocks: list[Block]) -> dict[str, str]:
    """Text by path of the files that a reader saves."""
    return {block.title: block.text for block in blocks if block.is_file}


def commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """Line and words of each command of a console block, without variables before it and notes behind it."""
    lines = block.text.splitlines()
    for place, line in enumerate(lines):
        if not line.startswith("$ "):
            continue
        text, further = _without_note(line.removeprefix("$ ")), place
        while text.endswith("\\"):
            further += 1
            text = text[:-1] + _without_note(lines[further].strip())
        for part in _SHELL.split(_without_quotes(text)):
            words = shlex.split(part.replace("\0", " "))
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield block.line + place, words


def _without_quotes(text: str) -> str:
    """A command whose quoted texts hold nothing that parts commands."""
    return re.sub(r"\"[^\"]*\"|'[^']*'", lambda quoted: _SHELL.sub("\0", quoted[0]), text)


def _without_note(text: str) -> str:
    return re.sub(r"(^|\s+)# .*$", "", text)


def _is_made(path: Path) -> bool:
    return path.parent.name in ("errors", "python") and path.parent.parent.name == "reference"
