"""Parts of a section, each said twice: as HTML for the page and as Markdown for a pull request.

Texts may hold `code` between backticks and **strong** words between stars; nothing else is markup.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from mlkit.page import html as page
from mlkit.page.html import Html, escaped, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_MARKED = re.compile(r"`[^`]+`|\*\*")
MOST_ROWS = 30
"""Rows of a table that Markdown shows; the page and JSON have them all."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One thing that is said, in both forms."""

    html: Html
    markdown: str


def joined(parts: Iterable[Part]) -> Part:
    """Parts one below the other."""
    known = list(parts)
    return Part(
        page.join(part.html for part in known),
        "\n\n".join(part.markdown for part in known if part.markdown),
    )


def rich(text: object) -> Html:
    """A text with code and strong words as markup; markup stays as it is."""
    if isinstance(text, Html):
        return text
    said = _CODE.sub(r"<code>\1</code>", escaped(str(text)))
    return Html(_STRONG.sub(r"<strong>\1</strong>", said))


def plain(text: object) -> str:
    """The same text for Markdown, in which no character begins anything else."""
    if text is None:
        return "-"
    if isinstance(text, float):
        return page.number(text)
    said = " ".join(str(text).split())
    kept = _MARKED.findall(said)
    rest = [re.sub(r"([\\*_<>\[\]|])", r"\\\1", piece) for piece in _MARKED.split(said)]
    marks = [mark.replace("|", "\\|") for mark in kept]
    return "".join(piece for pair in zip(rest, [*marks, ""], strict=True) for piece in pair)


def paragraph(text: str, *, kind: str | None = None) -> Part:
    """A sentence or some."""
    return Part(tag("p", rich(text), class_=kind), plain(text))


def bullets(items: Iterable[str]) -> Part:
    """One line each; nothing if there is none."""
    known = list(items)
    return Part(page.listed(map(rich, known)), "\n".join(f"- {plain(item)}" for item in known))


def facts(items: Mapping[str, object]) -> Part:
    """Names and what they stand for; those without a value are left out."""
    known = {name: value for name, value in items.items() if value not in (None, "")}
    lines = "\n".join(f"- **{plain(name)}**: {plain(value)}" for name, value in known.items())
    return Part(page.facts({name: rich(value) for name, value in known.items()}), lines)


def grid(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, label: str, sortable: bool = False
) -> Part:
    """A table; a cell may be a `Part` where the two forms differ."""
    known = [list(row) for row in rows]
    cells = [[cell.html if isinstance(cell, Part) else _cell(cell) for cell in row] for row in known]
    html = page.table(list(headers), cells, sortable=sortable, label=label)
    return Part(html, _pipes(headers, known))


def plotted(svg: Html, *, caption: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Part:
    """A plot, and its numbers as a table: folded on the page, all there is in Markdown."""
    numbers = grid(headers, rows, label=caption)
    drawn = page.figure(svg, caption=rich(caption), table=numbers.html)
    return Part(drawn, f"{plain(caption)}\n\n{numbers.markdown}")


def command(text: str) -> Part:
    """What to type."""
    return Part(page.code(text), f"```bash\n{text}\n```")


def listing(text: str, *, language: str = "") -> Part:
    """A file or a record as it is."""
    return Part(page.code(text), f"```{language}\n{text.rstrip()}\n```")


def folded(summary: str, *parts: Part, is_open: bool = False) -> Part:
    """What only some want to see."""
    inside = joined(parts)
    return Part(
        page.details(rich(summary), inside.html, is_open=is_open),
        f"<details><summary>{escaped(plain(summary))}</summary>\n\n{inside.markdown}\n\n</details>",
    )


def heading(text: str) -> Part:
    """The name of a part of a section."""
    return Part(tag("h3", rich(text)), f"**{plain(text)}**")


def _cell(value: object) -> object:
    return rich(value) if isinstance(value, str) else value


def _pipes(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of GitHub's Markdown."""
    lines = [
        " | ".join(cell.markdown if isinstance(cell, Part) else plain(cell) for cell in row)
        for row in rows[:MOST_ROWS]
    ]
    more = (
        [f"\n{len(rows) - MOST_ROWS} more rows: `mlkit report --format json`"]
        if len(rows) > MOST_ROWS
        else []
    )
    head = [" | ".join(map(plain, headers)), " | ".join("---" for _ in headers)]
    return "\n".join([*(f"| {line} |" for line in [*head, *lines]), *more])
