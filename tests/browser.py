"""A real browser: it opens a page offline, and tells of every complaint and every request."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = 390, 1280
OWN = ("file:", "data:", "blob:", "about:")

UNDRAWN = """() => [...document.querySelectorAll('.plot > svg')].filter((svg) => {
  const box = svg.getBoundingClientRect();
  const shapes = [...svg.querySelectorAll('rect, circle, path, line, polyline')];
  const isOdd = (shape) => [...shape.attributes].some((each) => /NaN|nan|undefined|inf/.test(each.value));
  return box.width < 60 || box.height < 15 || !shapes.length || shapes.some(isOdd);
}).map((svg) => svg.getAttribute('aria-label') || 'a plot without a name')"""
CUT_OFF = """() => [...document.querySelectorAll('.plot:not(.parallel)')].flatMap((plot) => {
  const place = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('svg text')].filter((text) => {
    const box = text.getBoundingClientRect();
    if (!box.width || text.closest('.inside')) return false;
    return box.left < place.left - 6 || box.right > place.right + 6;
  }).map((text) => text.textContent);
})"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def find_browser() -> str | None:
    """Path of a browser; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def started():
    """A browser that is closed in the end."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where no browser is, it is not needed

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclasses.dataclass
class Opened:
    """A page that is open.

    Attributes:
        page: Playwright's page.
        complaints: What the browser said on its console, and what was asked of elsewhere.
    """

    page: object
    complaints: list[str] = dataclasses.field(default_factory=list)

    @property
    def undrawn(self) -> list[str]:
        """Names of plots that show nothing."""
        return self.page.evaluate(UNDRAWN)

    @property
    def cut_off(self) -> list[str]:
        """Texts of plots that leave the plot's own place."""
        return self.page.evaluate(CUT_OFF)

    @property
    def overflow(self) -> int:
        """Pixels that the page is too wide."""
        return self.page.evaluate(OVERFLOW)


@contextlib.contextmanager
def opened(browser, file: Path, *, width: int = DESK, **options) -> Iterator[Opened]:
    """Open a file with no network; in the end the browser must have had nothing to say.

    Args:
        browser: What `started` gives.
        file: The page.
        width: Pixels of the window.
        options: Of a context, such as `color_scheme` or `java_script_enabled`.
    """
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **options)
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)  # milliseconds: other tests have the machine too
        found = Opened(page)
        page.on("console", lambda said: found.complaints.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))
        page.on("request", lambda asked: asked.url.startswith(OWN) or found.complaints.append(asked.url))
        page.goto(file.as_uri())
        yield found
        assert found.complaints == []
    finally:
        context.close()
