"""Markup of others, made fit for a page that asks nothing of anywhere: no script, no request, no frame."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

_DROPPED = frozenset({"script", "iframe", "object", "noscript", "template", "form", "audio", "video"})
"""Elements that go with all that stands in them."""

_UNWRAPPED = frozenset({"html", "head", "body", "link", "meta", "base", "embed", "input", "source", "track"})
"""Elements of which only what stands in them stays."""

_VOID = frozenset({"area", "br", "col", "hr", "img", "wbr"})
_ADDRESSES = frozenset({"src", "href", "xlink:href", "data", "cite"})
_REFUSED = frozenset({"srcdoc", "srcset", "ping", "action", "formaction", "background", "poster", "manifest"})
_INSIDE = re.compile(r"\s*(#|data:image/(png|jpeg|gif|webp|svg\+xml)[;,])", re.IGNORECASE)
_LINK = re.compile(r"\s*(https?:|mailto:|#)", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"""@import[^;{}]*;?|url\(\s*(?!['"]?\s*(\#|data:image/))[^)]*\)|(-webkit-)?image-set\([^)]*\)""",
    re.IGNORECASE | re.VERBOSE,
)


def contained(markup: str) -> str:
    """The same markup without what runs, or asks for something elsewhere, when it is shown.

    Links stay, since only a reader follows them. Names of elements and attributes become lowercase, which
    a reader of HTML takes back where SVG has capitals.

    Args:
        markup: HTML or SVG.
    """
    cleaner = _Cleaner()
    cleaner.feed(markup)
    cleaner.close()
    return "".join(cleaner.parts)


class _Cleaner(HTMLParser):
    """Writes down what it reads, but for what is refused."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._within: list[str] = []  # dropped elements that are open
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._within.append(tag)
        elif not self._within and tag not in _UNWRAPPED:
            self._style = tag == "style"
            self.parts.append(_opened(tag, attrs, end=">"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._within and tag not in _DROPPED | _UNWRAPPED:
            self.parts.append(_opened(tag, attrs, end=">" if tag in _VOID else "/>"))

    def handle_endtag(self, tag: str) -> None:
        if self._within:
            if tag == self._within[-1]:
                self._within.pop()
        elif tag not in _DROPPED | _UNWRAPPED | _VOID:
            self._style = False
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.parts.append(_here(data) if self._style else data)

    def handle_entityref(self, name: str) -> None:
        if not self._within:
            self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        if not self._within:
            self.parts.append(f"&#{name};")

    def unknown_decl(self, data: str) -> None:
        """Of ``<![CDATA[...]]>`` the text."""
        if not self._within and data.startswith("CDATA["):
            self.handle_data(data.removeprefix("CDATA["))


def _opened(tag: str, attrs: list[tuple[str, str | None]], *, end: str) -> str:
    kept = [(name, _allowed(tag, name, value or "")) for name, value in attrs]
    said = "".join(f' {name}="{html.escape(value)}"' for name, value in kept if value is not None)
    return f"<{tag}{said}{end}"


def _allowed(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute, made harmless; None where the attribute goes."""
    if name.startswith("on") or name in _REFUSED:
        return None
    if name in _ADDRESSES:
        allowed = _LINK if tag == "a" else _INSIDE
        return value if allowed.match(value) else None
    return _here(value)


def _here(style: str) -> str:
    """A style that asks for nothing elsewhere."""
    return _ELSEWHERE.sub(lambda found: "" if found[0].startswith("@") else "none", style)
