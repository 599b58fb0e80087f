"""The shell: small, one file, asks nobody, holds whatever is put into it."""

from __future__ import annotations

import html.parser
import re

import pytest

from mlkit.page.document import PageSection, document, shadow, size_text
from mlkit.page.html import Html, tag
from tests.page.sample import sample_page


class Outline(html.parser.HTMLParser):
    """Elements that are never closed, ids, links within, and templates' depth."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        """One is opened."""
        said = dict(attrs)
        self.ids += [said["id"]] if "id" in said else []
        self.links += [said["href"][1:]] if said.get("href", "").startswith("#") else []
        if tag not in {"meta", "br", "hr", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """The last that was opened."""
        assert self.open.pop() == tag


def page(*sections, **said):
    """A small one."""
    return document("title", masthead=tag("h1", "a"), sections=sections, **said)


def test_the_shell_is_small_and_says_how_large_the_page_is():
    """Far below 150 kB; the figure is that of the file."""
    made = page()
    assert len(made.encode()) < 60_000
    assert f"One file of {size_text(len(made.encode()))}" in made
    assert "One file" not in page(size_note=False)
    assert [size_text(size) for size in (999, 136_001, 2_340_000)] == ["1 kB", "137 kB", "2.3 MB"]


def test_nothing_in_it_names_another_place():
    """No link, image, import or font; a browser is told to ask nobody, should something slip in."""
    made = sample_page()
    assert set(re.findall(r"\w+://[\w./]+", made)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|<link|<img|\bsrc=", made)
    assert "default-src 'none'" in Html(re.search(r'Policy" content="([^"]*)"', made)[1]).replace(
        "&#x27;", "'"
    )


def test_every_link_within_leads_somewhere_and_everything_is_closed():
    """Ids are there once."""
    outline = Outline(re.sub(r"<template.*?</template>", "", sample_page(), flags=re.DOTALL))
    assert outline.open == ["template"] * 0
    assert set(outline.links) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_sections_are_folded_as_asked_and_listed_in_order():
    """Title and summary stand beside each other whether it is open or not."""
    made = page(
        PageSection("one", "One", "first", tag("p", "1")),
        PageSection("two", "Two", "", tag("p", "2"), is_open=False),
    )
    assert re.findall(r'href="#(\w+)">(\w+)</a></li>', made) == [("one", "One"), ("two", "Two")]
    assert re.findall(r'<details class="section"( open)?><summary><h2>(\w+)', made) == [
        (" open", "One"),
        ("", "Two"),
    ]
    assert "<nav" not in page()


def test_more_can_stand_in_the_head():
    """Such as one copy of a library."""
    made = page(head=Html("<script>let library</script>"))
    assert made.index("let library") < made.index("<body>")


@pytest.mark.parametrize(
    ("markup", "inside"),
    [
        ("<b>a</b>", "<b>a</b>"),
        ("a</template>b", "ab"),
        ("<template>a", "<template>a</template>"),
        ("<TEMPLATE id=x>a</TEMPLATE >b</template>", "<TEMPLATE id=x>a</TEMPLATE >b"),
        ("a<!-- b", "a<!-- b-->"),
        ("<style>a{", "<style>a{</style>"),
        ("<script>a", "<script>a</script>"),
    ],
)
def test_what_is_left_open_is_closed_in_its_own_place(markup, inside):
    """And what would close the place is left out."""
    opening, closing = '<div class="foreign"><template shadowrootmode="open">', "</template></div>"
    assert shadow(markup) == f"{opening}{inside}{closing}"
