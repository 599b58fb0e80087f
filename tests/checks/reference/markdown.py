"""Markdown: tables, and texts that are no markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADER = "<!-- Written by tests/checks/reference; do not edit. -->\n"
_DOUBLE = re.compile(r"``(.+?)``")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def code(text: str) -> str:
    """A text as code, whatever stands in it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def prose(text: str) -> str:
    """A text of a docstring: double backticks become single ones, angle brackets stay what they are."""
    return " ".join(_DOUBLE.sub(r"`\1`", text).split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") if "\\|" not in text else " ".join(text.split())
