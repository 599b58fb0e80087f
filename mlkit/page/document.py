"""The shell of a page: one file that asks nothing of anywhere else."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from importlib import resources
from typing import TYPE_CHECKING

from mlkit.page.html import Html, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' blob:; "
    "img-src data: blob:; font-src data:; connect-src 'self'; form-action 'none'; base-uri 'none'"
)
"""A browser that reads it asks nobody for anything; 'self' is for a page that `mlkit watch` serves."""
_SIZE = "@@size@@"
_MEGABYTE = 1_000_000
_TEMPLATE = re.compile(r"(</?template\b[^>]*>)", re.IGNORECASE)
_RAW = ("script", "style", "textarea", "title")  # what swallows everything up to its end


@dataclasses.dataclass(frozen=True)
class PageSection:
    """A part of a page that can be folded.

    Attributes:
        anchor: Its id, such as ``drift``.
        title: What the list of contents calls it.
        summary: One sentence that stands beside the title, folded or not: text or markup.
        body: What is in it.
        is_open: Whether it is unfolded at first.
    """

    anchor: str
    title: str
    summary: str
    body: Html
    is_open: bool = True


def document(
    title: str,
    *,
    masthead: Html,
    sections: Sequence[PageSection],
    head: Html | None = None,
    size_note: bool = True,
) -> str:
    """A whole page: it opens from a file, an e-mail, a viewer that sandboxes it, with and without scripts.

    Args:
        title: What a browser's tab shows.
        masthead: What stands above everything, its one heading of the first order among it.
        sections: What follows, in order.
        head: More for the head, such as one copy of a plot library.
        size_note: Whether the foot says how large the page is.

    Returns:
        The page as HTML text; no address in it is ever asked.
    """
    body = [
        tag("a", "Skip to content", href="#content", class_="skip"),
        tag("header", masthead, class_="masthead", id="top"),
        _contents(sections),
        tag("main", *map(_folded, sections), id="content"),
        *([tag("footer", _SIZE)] if size_note else []),
        tag("script", Html(_data("page.js"))),
    ]
    page = f"<!doctype html>\n{tag('html', _head(title, head), tag('body', *body), lang='en')}\n"
    return page.replace(_SIZE, f"One file of {size_text(len(page.encode()))}; it asks nothing of any server.")


def _head(title: str, more: Html | None) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("style", Html(_data("style.css"))),
        more or Html(),
    )


def _contents(sections: Sequence[PageSection]) -> Html:
    """The list at the side; at the top of a phone."""
    links = [tag("li", tag("a", section.title, href=f"#{section.anchor}")) for section in sections]
    return tag("nav", tag("ol", *links), class_="contents", aria_label="Contents") if links else Html()


def _folded(section: PageSection) -> Html:
    """One section. Its id stands inside: a link to it unfolds it, with no script."""
    said = tag("span", section.summary, class_="said") if section.summary else Html()
    summary = tag("summary", tag("h2", section.title), said)
    body = tag("div", section.body, class_="body", id=section.anchor, tabindex="-1")
    return tag("details", summary, body, class_="section", open=section.is_open)


def size_text(size: int) -> str:
    """Bytes for people.

    Args:
        size: How many.
    """
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{math.ceil(size / 1000)} kB"


@functools.cache
def _data(name: str) -> str:
    """A file that stands beside this one."""
    return resources.files("mlkit.page").joinpath(name).read_text(encoding="utf-8")


def shadow(markup: str) -> Html:
    """Markup of somebody else, in a tree of its own: neither its style nor its ids meet those of the page.

    Args:
        markup: A part of a page, such as a library's report or an SVG; what it leaves open is closed.
    """
    whole = tag("template", Html(_closed(markup)), shadowrootmode="open")
    return tag("div", whole, class_="foreign")


def _closed(markup: str) -> str:
    """Markup that cannot end the element it is put into, and does not swallow what follows."""
    kept, depth = [], 0
    for piece in _TEMPLATE.split(markup):
        is_tag = _TEMPLATE.fullmatch(piece) is not None
        if is_tag and piece.startswith("</") and not depth:
            continue
        depth += (-1 if piece.startswith("</") else 1) * is_tag
        kept.append(piece)
    left = "-->" if markup.rfind("<!--") > markup.rfind("-->") else ""
    left += "".join(f"</{name}>" for name in _RAW if _is_left_open(markup.lower(), name))
    return "".join([*kept, left, "</template>" * depth])


def _is_left_open(markup: str, name: str) -> bool:
    return markup.rfind(f"<{name}") > markup.rfind(f"</{name}")
