"""The site opens from a folder, in a real browser with no network: it looks right, and its search finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser import DESK, PHONE, opened
from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WIDE = (
    *("index", "start/first-champion", "reference/config", "reference/commands", "reference/tables"),
    *("reference/errors/CFG009", "reference/python/ModelProject"),
)
IS_SCHEME = "(name) => document.body.getAttribute('data-md-color-scheme') === name"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` builds it: a warning is an error."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_search_finds_an_error_code_without_a_server(site, browser) -> None:
    """Typing a code shows its page first, and the page says what to do."""
    with opened(browser, site / "index.html") as shown:
        page = shown.page
        page.keyboard.press("/")
        page.keyboard.type("DAT060")
        found = page.locator(".md-search-result__link").first
        found.wait_for(timeout=20_000)
        found.click()
        page.wait_for_url("**/reference/errors/DAT060.html*")
        assert page.locator("h1").inner_text().startswith("DAT060")
        assert "fill them in prepare" in page.locator("article").inner_text()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_page_is_wider_than_the_window(site, browser, width) -> None:
    """Tables and code scroll in themselves; the page does not."""
    with opened(browser, site / "index.html", width=width) as shown:
        for name in WIDE:
            shown.page.goto((site / f"{name}.html").as_uri())
            assert shown.overflow <= 0, name
            assert shown.page.locator("h1").first.is_visible()


def test_the_colours_are_the_systems_until_one_chooses(site, browser) -> None:
    """A dark system is dark by itself; clicks go to light, to dark, and back to the system's."""
    with opened(browser, site / "index.html", color_scheme="dark") as shown:
        page = shown.page
        page.wait_for_function(IS_SCHEME, arg="slate")
        for name, scheme in (("Light", "default"), ("Dark", "slate"), ("As the system", "slate")):
            page.locator(f"form[data-md-component=palette] label[title='{name}']:visible").click()
            page.wait_for_function(IS_SCHEME, arg=scheme)
        page.emulate_media(color_scheme="light")
        page.wait_for_function(IS_SCHEME, arg="default")


def test_every_page_has_its_text_for_programs(site) -> None:
    """`PAGE.md` beside `PAGE.html`, listed in `llms.txt`, with no directive left in it."""
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 300
    assert [page.name for page in pages if not page.with_suffix(".md").is_file()] == []
    listed = re.findall(r"\]\(([^)]+\.md)\)", (site / "llms.txt").read_text(encoding="utf-8"))
    assert [path for path in listed if not (site / path).is_file()] == []
    assert "reference/codes.md" in listed
    told = (site / "reference" / "python" / "Gate.md").read_text(encoding="utf-8")
    assert ":::" not in told
    assert "min_improvement: By how much it must be better" in told


def test_nothing_of_the_site_comes_from_elsewhere(site) -> None:
    """No script, style, font or picture has an address of another machine."""
    asked = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]+")
    found = {page.name: asked.findall(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert {name: tags for name, tags in found.items() if tags} == {}
