"""The whole report in a browser: silent, drawn, readable on a phone, on paper and in MLflow's viewer."""

from __future__ import annotations

import json
import re

import pytest

from mlkit.production.stores import Stores
from mlkit.report.report import make_report
from tests.browser import DESK, PHONE, opened

TYPICAL, SHELL = 5_000_000, 150_000


@pytest.fixture(scope="module")
def page_file(report, tmp_path_factory):
    """The report as a file."""
    return report.save(tmp_path_factory.mktemp("page") / "the report.html").path


@pytest.mark.parametrize(("width", "colours"), [(DESK, "light"), (PHONE, "dark")])
def test_it_is_drawn_and_silent(browser, page_file, report, width, colours):
    """Offline, from a file: every plot is drawn, no section is lost, nothing is wider than the screen."""
    with opened(browser, page_file, width=width, color_scheme=colours) as shown:
        page = shown.page
        page.get_by_role("button", name="Unfold all").click()
        page.evaluate("() => { for (const each of document.querySelectorAll('details')) each.open = true }")
        assert shown.undrawn == []
        assert shown.overflow <= 0
        assert page.locator(".plot > svg").count() >= 6
        titles = page.locator("details.section > summary h2").all_inner_texts()
        assert titles == [section.title for section in report.sections]
        assert page.locator("h1").count() == 1
        assert page.locator(".state").bounding_box()["y"] < 300
        assert page.locator(".age").count() == 0
    assert page_file.stat().st_size < TYPICAL


def test_links_lead_to_their_evidence(browser, page_file):
    """Each link of the head and of a finding unfolds the section it names."""
    with opened(browser, page_file) as shown:
        page = shown.page
        page.get_by_role("button", name="Unfold all").click()
        page.get_by_role("button", name="Fold all").click()
        page.locator(".readers a", has_text="Config").first.click()
        page.locator("#config").wait_for(state="visible")
        page.locator(".tiles a", has_text="DRIFT").click()
        page.locator("#drift").wait_for(state="visible")
        hrefs = page.evaluate(
            "() => [...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash.slice(1))"
        )
        missing = [name for name in set(hrefs) if page.evaluate("(id) => !document.getElementById(id)", name)]
        assert missing == []


def test_it_says_how_old_it_is(browser, page_file, tmp_path):
    """A page of yesterday or before warns; one of now does not."""
    old = tmp_path / "old.html"
    text = page_file.read_text(encoding="utf-8")
    old.write_text(
        re.sub(
            r'<time datetime="[^"]+" data-made', '<time datetime="2020-01-01T00:00:00+00:00" data-made', text
        )
    )
    with opened(browser, old) as shown:
        assert "days old" in shown.page.locator(".age").inner_text()


def test_without_scripts_and_on_paper(browser, page_file):
    """All that is written is readable; on paper nothing is folded."""
    with opened(browser, page_file, java_script_enabled=False) as shown:
        page = shown.page
        assert page.locator("#serving").is_visible()
        page.emulate_media(media="print")
        assert page.locator("#provenance").is_visible()
        paper = page.pdf(format="A4")
        assert 4 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 40


def test_in_the_viewer_of_mlflow(browser, page_file, tmp_path):
    """In a sandboxed frame that shows a blob, as there: it is silent and its links work."""
    viewer = tmp_path / "viewer.html"
    inside = json.dumps(page_file.read_text(encoding="utf-8")).replace("</", "<\\/")
    shows = f"URL.createObjectURL(new Blob([{inside}], {{type: 'text/html'}}))"
    viewer.write_text(
        '<meta charset=utf-8><iframe sandbox="allow-scripts" style="width:100%;height:700px"></iframe>'
        f"<script>document.querySelector('iframe').src = {shows}</script>",
        encoding="utf-8",
    )
    with opened(browser, viewer) as shown:
        frame = shown.page.frame_locator("iframe")
        frame.locator(".readers a", has_text="Config").first.click()
        frame.locator("#config").wait_for(state="visible")
        assert frame.locator("#config").evaluate("(node) => node.getBoundingClientRect().top") < 700


def test_an_empty_project_is_a_page_too(browser, workspace, tmp_path):
    """It teaches, small and silent."""
    report = make_report(Stores(workspace, "brand_new")).save(tmp_path / "empty.html")
    with opened(browser, report.path, width=PHONE) as shown:
        assert "No model serves yet" in shown.page.locator(".state").inner_text()
        assert shown.overflow <= 0
    assert report.bytes < SHELL
