"""The user's figures in a report: in call order, each apart, one copy of plotly, old ones said."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re

import pandas as pd
import pytest

from mlkit import ModelProject
from mlkit.page.document import PageSection, document
from mlkit.page.html import tag
from mlkit.production.stores import Stores
from mlkit.report.context import open_context
from mlkit.report.report import write_report
from mlkit.report.sections.figures import figures_section
from mlkit.research import figures as kept
from tests.browser import PHONE, opened

go = pytest.importorskip("plotly.graph_objects")


class Shown:
    """Whatever shows itself in a notebook by one of its methods."""

    def __init__(self, **shown):
        for method, what in shown.items():
            setattr(self, f"_repr_{method}_", lambda what=what: what)


@pytest.fixture
def project(home):
    """A project in which nothing was done."""
    return ModelProject("flight_delay", target="delay", metric="rmse")


def section_of(project):
    """Its figures."""
    return figures_section(open_context(Stores(project.workspace, project.name)))


def test_no_figures_no_section(project) -> None:
    """Nothing was kept."""
    assert section_of(project) is None


def test_figures_stand_in_call_order_with_caption_and_source(project) -> None:
    """In HTML and Markdown; one without data says why, and none vanishes."""
    project.figure(Shown(svg="<svg><title>Z</title></svg>"), "zebra", caption="first of all")
    project.figure(None, "live error", caption="no labels have arrived yet")
    project.figure(pd.DataFrame({"a": [1.5, 2]}), "a table")
    project.figure(Shown(png=b"\x89PNG"), "pixels")
    section = section_of(project)
    for text in (section.body, section.markdown):
        places = [text.index(name) for name in ("zebra", "live error", "a table", "pixels")]
        assert places == sorted(places)
        assert "no labels have arrived yet" in text
        assert len(re.findall(r"test\\?_figures.py:\d", text)) == 4
    assert section.summary == "4 figures"
    assert [each["kind"] for each in section.to_dict()["values"]["figures"]] == [
        "svg",
        "none",
        "table",
        "png",
    ]
    assert not section.is_open


def test_a_report_of_more_than_15_megabytes_says_so(project, tmp_path, capsys, monkeypatch) -> None:
    """Figures of that size are shown all the same."""
    monkeypatch.delenv("MLKIT_QUIET", raising=False)
    for number in range(4):
        project.figure(Shown(html="x" * 3_800_000), f"drawing {number}")
    report = write_report(Stores(project.workspace, project.name), tmp_path / "r.html", log=False)
    assert re.search(r"r\.html  15\.\d MB", repr(report))
    assert "the report has 15.2 MB: browsers take long" in capsys.readouterr().err


def test_markup_of_others_is_in_a_tree_of_its_own(project) -> None:
    """Its style and its ids do not meet those of the page; two of the same kind do not meet either."""
    for name in ("one", "two"):
        project.figure(Shown(html="<style>p{color:red}</style><p id=x>1</p><script>alert(1)</script>"), name)
    body = section_of(project).body
    roots = re.findall(r"<template shadowrootmode=.?open.?>(.*?)</template>", body, re.DOTALL)
    assert [root.count("color:red") for root in roots] == [1, 1]
    assert "color:red" not in re.sub(r"<template.*?</template>", "", body, flags=re.DOTALL)
    assert "alert(1)" not in body


def test_one_copy_of_plotly_for_all_figures_and_none_without(project) -> None:
    """It is that of the installed plotly, to the byte; the figures' own numbers are JSON beside it."""
    project.figure(Shown(svg="<svg/>"), "lines")
    assert "mlkit-plotly" not in section_of(project).body
    for name in ("one", "two"):
        project.figure(go.Figure(go.Bar(x=["</script>", "b"], y=[1, 2], name="counts")), name)
    body = section_of(project).body
    (packed,) = re.findall(r'<script type="text/plain" id="mlkit-plotly">([^<]*)</script>', body)
    script = gzip.decompress(base64.b64decode(packed))
    assert script[:200].decode().count("plotly.js") >= 1
    assert len(script) > 1_000_000
    assert body.count('class="plotly-place"') == 2
    found = re.findall(r'<script[^>]*application/json[^>]*id="figure-\d-data"[^>]*>(.*?)</script>', body)
    found = found or re.findall(r'<script[^>]*id="figure-\d-data"[^>]*>(.*?)</script>', body)
    assert [json.loads(text)["data"][0]["x"][0] for text in found] == ["</script>"] * 2
    assert "counts" in body
    assert len(body) < 2_500_000


def test_how_many_values_a_trace_has(project) -> None:
    """Also of arrays that newer versions write as bytes: it is what is told where nothing is drawn."""
    np = pytest.importorskip("numpy")
    project.figure(go.Figure(go.Scatter(x=np.arange(500), y=np.arange(500.0), name="many")), "one")
    body = section_of(project).body
    assert re.search(r"many.*?scatter.*?500", body, re.DOTALL)
    assert "drawn by JavaScript, which is off here" in body


def test_figures_that_the_last_run_did_not_draw_are_said_to_be_old(project, monkeypatch) -> None:
    """A script that no longer draws one leaves it behind; nobody should take it for new."""
    project.figure(Shown(svg="<svg/>"), "renamed since")
    project.figure(Shown(svg="<svg/>"), "kept")
    monkeypatch.setattr(kept, "_RUN", "another process")
    project.figure(Shown(svg="<svg/>"), "kept")
    section = section_of(project)
    assert section.summary == "2 figures, 1 of an earlier run"
    (finding,) = section.findings
    assert (finding.code, finding.severity, finding.value) == ("RPT088", "look", 1)
    assert section.body.count("did not draw it again") == 1


def test_a_damaged_file_is_told(project) -> None:
    """The others are shown."""
    project.figure(Shown(svg="<svg/>"), "whole")
    folder = kept.figures_folder(project.workspace, project.name)
    (folder / "half.json").write_text("{")
    section = section_of(project)
    assert [finding.code for finding in section.findings] == ["RPT089"]
    assert "1 file among the figures cannot be read" in section.body


def page_of(project, folder):
    """A page with the figures alone."""
    section = section_of(project)
    shown = PageSection(section.anchor, section.title, section.summary, section.body, is_open=True)
    text = document("Figures", masthead=tag("h1", "Figures"), sections=[shown])
    (folder / "page.html").write_text(text, encoding="utf-8")
    return folder / "page.html"


CHANGED = """(node, before) => new Promise((done) => {
  const ink = () => getComputedStyle(node.querySelector('.xtick text')).fill;
  const look = () => ink() === before ? requestAnimationFrame(look) : done();
  look();
})"""
INK = "node => getComputedStyle(node.querySelector('.xtick text')).fill"


def test_figures_are_drawn_in_a_browser(project, browser, tmp_path) -> None:
    """When they come into sight, in the colours of the page; also in the sandboxed frame of MLflow."""
    project.figure(go.Figure(go.Bar(x=["a", "b"], y=[1, 2])), "bars")
    drawn = '<svg width="40" height="30"><rect width="40" height="30"/></svg>'
    project.figure(Shown(svg=drawn), "lines")
    file = page_of(project, tmp_path)
    with opened(browser, file, width=PHONE, color_scheme="dark") as shown:
        place = shown.page.locator(".plotly-place")
        place.scroll_into_view_if_needed()
        shown.page.locator(".plotly-place[data-state=drawn] .main-svg").first.wait_for()
        assert place.evaluate(INK) == shown.page.evaluate("getComputedStyle(document.body).color")
        assert shown.page.locator("svg rect[width='40']").bounding_box()["width"] == 40
        assert shown.overflow <= 0
        dark = place.evaluate(INK)
        shown.page.emulate_media(color_scheme="light")
        place.evaluate(CHANGED, dark)
        assert place.evaluate(INK) == shown.page.evaluate("getComputedStyle(document.body).color")
    inside = html.escape(file.read_text(encoding="utf-8"))
    viewer = tmp_path / "viewer.html"
    frame = f'<iframe sandbox="allow-scripts" style="width:100%" srcdoc="{inside}"></iframe>'
    viewer.write_text(f"<meta charset=utf-8>{frame}", encoding="utf-8")
    with opened(browser, viewer) as shown:
        frame = shown.page.frame_locator("iframe")
        frame.locator(".plotly-place").scroll_into_view_if_needed()
        frame.locator(".plotly-place[data-state=drawn] .main-svg").first.wait_for()
