"""Figures that are kept: of every library, by name, again when a step hits, never one that asks elsewhere."""

from __future__ import annotations

import base64
import json
import sys

import numpy as np
import pandas as pd
import pytest

from mlkit.errors import StudyError, UsageError
from mlkit.research import drawings
from mlkit.research.figures import keep_figure, read_figures
from mlkit.research.markup import contained

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")
go = pytest.importorskip("plotly.graph_objects")

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Shown:
    """Whatever shows itself in a notebook by some of its methods."""

    def __init__(self, **shown):
        for method, what in shown.items():
            setattr(self, f"_repr_{method}_", lambda what=what: what)


@pytest.fixture
def lines():
    """A figure of matplotlib with one line."""
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    yield figure
    pyplot.close(figure)


def kept(folder, fig, name="a figure", **options):
    """Keep a figure and read it back."""
    keep_figure(folder, fig, name, **options)
    (figure,) = read_figures(folder)[0]
    return figure


def test_plotly_is_kept_as_its_json_without_the_look_of_the_library(tmp_path) -> None:
    """The page's own look takes its place, light or dark; a look that was chosen stays."""
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3.5, 4.5]), layout={"title": {"text": "Two"}})
    drawing = kept(tmp_path, figure).drawing
    values = json.loads(drawing.content)
    assert (drawing.kind, values["layout"]["title"]["text"]) == ("plotly", "Two")
    assert "template" not in values["layout"]
    chosen = kept(tmp_path, figure.update_layout(template="ggplot2")).drawing
    assert "template" in json.loads(chosen.content)["layout"]


def test_matplotlib_is_kept_as_lines_from_whatever_people_have_at_hand(tmp_path, lines) -> None:
    """A figure, its axes, a grid of them, pyplot: the same drawing, the same bytes each time."""
    grid = np.array([lines.axes[0]], dtype=object)
    found = {kept(tmp_path, fig).drawing for fig in (lines, lines.axes[0], grid, pyplot, lines)}
    (drawing,) = found
    assert drawing.kind == "svg"
    assert "<svg" in drawing.content
    assert "DOCTYPE" not in drawing.content


def test_a_display_of_scikit_learn_is_a_figure(tmp_path) -> None:
    """Its figure is what it drew last."""
    from sklearn.metrics import ConfusionMatrixDisplay  # noqa: PLC0415 - only here

    display = ConfusionMatrixDisplay(np.array([[3, 1], [0, 4]])).plot()
    assert kept(tmp_path, display).drawing.kind == "svg"
    pyplot.close(display.figure_)


def test_a_drawing_of_too_many_lines_becomes_pixels(tmp_path, lines, monkeypatch) -> None:
    """It says so, and how large it would have been."""
    monkeypatch.setattr(drawings, "MOST_SVG", 1000)
    drawing = kept(tmp_path, lines).drawing
    assert drawing.kind == "png"
    assert base64.b64decode(drawing.content).startswith(b"\x89PNG")
    assert drawing.note.startswith("Shown as pixels: as lines it would be 0.0")


def test_altair_is_drawn_by_vl_convert(tmp_path) -> None:
    """A chart becomes lines: no script of it is on the page."""
    altair = pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    chart = altair.Chart(pd.DataFrame({"x": [1, 2], "y": [3, 4]})).mark_point().encode(x="x", y="y")
    drawing = kept(tmp_path, chart).drawing
    assert drawing.kind == "svg"
    assert "<path" in drawing.content


def test_altair_without_vl_convert_says_what_to_install(tmp_path, monkeypatch) -> None:
    """The chart is told by its class; nothing of altair is needed for the sentence."""
    chart = type("Chart", (), {"__module__": "altair.vegalite.v6.api", "to_dict": lambda self: {}})()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"CLI107.*\n.*pip install vl-convert-python"):
        keep_figure(tmp_path, chart, "a chart")


def frames():
    """The same three rows in several libraries."""
    import polars as pl  # noqa: PLC0415 - only here
    import pyarrow as pa  # noqa: PLC0415 - only here

    values = {"carrier": ["AA", "UA", None], "delay": [1.5, float("nan"), 3.0]}
    return [pd.DataFrame(values), pl.DataFrame(values, strict=False), pa.table(values)]


@pytest.mark.parametrize("place", range(3))
def test_dataframes_are_tables(tmp_path, place) -> None:
    """Of any library; what is missing is missing."""
    drawing = kept(tmp_path, frames()[place]).drawing
    values = json.loads(drawing.content)
    assert drawing.kind == "table"
    assert values == {"columns": ["carrier", "delay"], "rows": [["AA", 1.5], ["UA", None], [None, 3.0]]}


def test_a_large_dataframe_says_what_is_left_out(tmp_path) -> None:
    """Its first rows and columns, an index that says something among them."""
    index = pd.Index([f"row {place}" for place in range(250)], name="which")
    frame = pd.DataFrame(np.ones((250, 40)), index=index)
    drawing = kept(tmp_path, frame).drawing
    values = json.loads(drawing.content)
    assert (len(values["rows"]), len(values["columns"])) == (100, 31)
    assert (values["columns"][0], values["rows"][0][0]) == ("which", "row 0")
    assert drawing.note == "Shown: the first 100 of 250 rows, 30 of 40 columns."
    series = kept(tmp_path, pd.Series([1, 2], name="count")).drawing
    assert json.loads(series.content)["columns"] == ["count"]


def test_what_shows_itself_in_a_notebook(tmp_path) -> None:
    """Lines before pixels before markup."""
    every = Shown(svg="<svg><g/></svg>", png=PIXEL, html="<b>1</b>")
    assert kept(tmp_path, every).drawing == drawings.Drawing("svg", "<svg><g/></svg>")
    pixels = kept(tmp_path, Shown(png=PIXEL, html="<b>1</b>")).drawing
    assert base64.b64decode(pixels.content) == PIXEL
    assert kept(tmp_path, Shown(html="<b>1</b>")).drawing == drawings.Drawing("html", "<b>1</b>")


@pytest.mark.parametrize("fig", [42, "a text", Shown(), Shown(svg=None), pd.DataFrame])
def test_no_figure(tmp_path, fig) -> None:
    """What has nothing to show is refused with what would do."""
    with pytest.raises(UsageError, match=r"CLI106.*expected a figure, found"):
        keep_figure(tmp_path, fig, "a figure")
    assert read_figures(tmp_path) == ([], 0)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", 3])
def test_a_name_is_a_short_text(tmp_path, name) -> None:
    """It is shown, and it is what `remove` takes."""
    with pytest.raises(UsageError, match="CLI105"):
        keep_figure(tmp_path, pd.DataFrame({"a": [1]}), name)


def test_what_no_page_could_hold_is_refused(tmp_path) -> None:
    """A page with a million points opens in no browser; the way out is said."""
    with pytest.raises(UsageError, match=r"CLI108.*expected at most 5 MB, found 6.0 MB\n.*aggregate"):
        keep_figure(tmp_path, Shown(html="x" * 6_000_000), "all points")


def test_a_figure_that_breaks_while_it_is_drawn_is_the_users(tmp_path) -> None:
    """One sentence that names it."""
    with pytest.raises(StudyError, match=r"RUN010.*broken.*draw raised ZeroDivisionError"):
        keep_figure(tmp_path, type("Broken", (), {"_repr_svg_": lambda self: 1 / 0})(), "broken")


def test_figures_stand_in_the_order_of_the_calls_and_the_last_of_a_name_stays(home) -> None:
    """With the line that drew them; one without data yet says why."""
    project = make_project()
    project.figure(pd.DataFrame({"a": [1]}), "second try", caption="old")
    project.figure(None, "live error", caption="no labels have arrived yet")
    made = project.figure(pd.DataFrame({"a": [2]}), "second try", caption="new")
    assert repr(made).startswith("figure 'second try' is kept (table, ")
    live, second = project.figures().entries
    assert (live.name, live.drawing.kind, live.caption) == (
        "live error",
        "none",
        "no labels have arrived yet",
    )
    assert (second.name, second.caption, json.loads(second.drawing.content)["rows"]) == (
        "second try",
        "new",
        [[2]],
    )
    assert second.source.startswith("test_figures.py:")
    assert second.at > live.at


def test_the_list_of_figures(home) -> None:
    """It says what is kept and how to see it, and lets one go, or all."""
    figures = make_project().figures()
    assert "project.figure(fig" in repr(figures)
    for name in ("one", "two"):
        make_project().figure(pd.DataFrame({"a": [1]}), name)
    assert repr(figures).startswith("2 figures\n  one ")
    assert [figure["name"] for figure in figures.to_dict()["figures"]] == ["one", "two"]
    assert (figures.remove("one"), figures.remove("one")) == (True, False)
    assert figures.clear() == 1
    assert figures.entries == []


def test_a_damaged_file_is_counted_and_the_others_are_read(tmp_path) -> None:
    """Also one that a newer mlkit wrote."""
    kept(tmp_path, pd.DataFrame({"a": [1]}))
    (tmp_path / "half.json").write_text('{"format": 1, "name"')
    (tmp_path / "newer.json").write_text('{"format": 2}')
    found, damaged = read_figures(tmp_path)
    assert (len(found), damaged) == (1, 2)


def test_a_hit_of_a_step_keeps_its_figures_again(home, capsys) -> None:
    """Without it a step that is not run again would empty the report; the function itself does not run."""
    project = make_project()
    runs = []
    source = (
        "def explore(frame):\n"
        "    import matplotlib.pyplot as plt\n"
        "    figure, axes = plt.subplots()\n"
        "    axes.plot(frame['a'].to_list())\n"
        "    project.figure(figure, 'line', caption='as drawn')\n"
        "    plt.close(figure)\n"
        "    return len(frame)\n"
    )
    path = home.parent / "explore_script.py"
    path.write_text(source)
    names = {"project": project, "__name__": "explore_script"}
    exec(compile(source, str(path), "exec"), names)  # noqa: S102 - a user's script
    step = project.step(names["explore"])
    frame = pd.DataFrame({"a": [1, 2]})
    assert step(frame) == 2
    (first,) = project.figures().entries
    assert project.figures().clear() == 1
    runs.append(step(frame))
    (again,) = project.figures().entries
    assert (again.drawing, again.caption, again.source) == (first.drawing, "as drawn", first.source)
    assert again.source == "explore_script.py:5"
    assert [entry.step for entry in project.steps().entries] == ["explore"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<b>a</b><script>fetch('x')</script>", "<b>a</b>"),
        ('<p onclick="go()" class="c">x</p>', '<p class="c">x</p>'),
        (
            '<img src="https://a.b/c.png"><img src="data:image/png;base64,AA">',
            '<img><img src="data:image/png;base64,AA">',
        ),
        ('<link rel="stylesheet" href="https://a.b"><i>x</i>', "<i>x</i>"),
        (
            '<a href="https://a.b">link</a><a href="javascript:x()">no</a>',
            '<a href="https://a.b">link</a><a>no</a>',
        ),
        ("<style>@import 'x'; b{background:url(https://a.b)}</style>", "<style> b{background:none}</style>"),
        ('<g clip-path="url(#c)" style="fill:url(//a.b/x)"/>', '<g clip-path="url(#c)" style="fill:none"/>'),
        ("<iframe src='x'><b>in</b></iframe>after &amp; &#60;", "after &amp; &#60;"),
        ('<use xlink:href="#m1"/><image href="http://a.b/c"/>', '<use xlink:href="#m1"/><image/>'),
        (
            '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x"><svg viewBox="0 0 1 1"></svg>',
            '<svg viewbox="0 0 1 1"></svg>',
        ),
    ],
)
def test_no_markup_runs_or_asks_elsewhere(given, expected) -> None:
    """Whatever a figure brings along: what is left is what can be seen."""
    assert contained(given) == expected


def make_project():
    """A project in the working directory."""
    from mlkit import ModelProject  # noqa: PLC0415 - after the fixtures have set the scene

    return ModelProject("flight_delay", target="delay", metric="rmse", key="flight_id")


def test_nothing_of_a_drawing_library_is_loaded_for_it() -> None:
    """`import mlkit.research.figures` alone brings none of them."""
    import subprocess  # noqa: PLC0415 - only here

    code = (
        "import sys, mlkit.research.figures; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'altair', 'pyarrow.pandas_compat')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
