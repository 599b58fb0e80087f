"""Plots: every value has its mark and its words, whatever it is; none leaves the sheet."""

from __future__ import annotations

import datetime as dt
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.page.plots import (
    Bar,
    Line,
    Point,
    Rule,
    Span,
    bar_plot,
    heat_table,
    histogram_pair,
    interval_plot,
    line_plot,
    parallel_plot,
    scatter_plot,
    spark_line,
    timeline_plot,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</svg><script>\"'&"
JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
NUMBERS = st.floats(-1e6, 1e6) | st.none() | st.sampled_from([math.nan, math.inf])


def tree(made):
    """A plot as a tree: whatever stands in it, it is well formed."""
    text = re.sub(r"<svg ((?!xmlns)[^>]*)>", r"<svg \1>", made)
    return ET.fromstring(text)  # noqa: S314 - our own text


def marks(made, kind, name=""):
    """Shapes of one kind, of a class if one is named."""
    found = tree(made).iter(f"{SVG}{kind}")
    return [each for each in found if not name or name in each.get("class", "").split()]


def titles(made):
    """What pointers are told."""
    return [each.text for each in tree(made).iter(f"{SVG}title")]


def places(made, kind, name, *which):
    """Numbers of attributes, percents without their sign."""
    return [
        tuple(float(each.get(one).removesuffix("%")) for one in which) for each in marks(made, kind, name)
    ]


@settings(deadline=None)
@given(st.lists(NUMBERS, max_size=30), st.booleans(), st.booleans())
def test_any_line_can_be_drawn(values, stepped, dots):
    """Gaps where there is no value; every place is a number."""
    line = Line("a", list(range(len(values))), values, stepped=stepped, dots=dots)
    made = line_plot([line], title="t", x_label="x", y_label="y")
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert len(titles(made)) == len(finite)
    whole = [False, *(value is not None and math.isfinite(value) for value in values), False]
    alone = sum(whole[at - 1 : at + 2] == [False, True, False] for at in range(1, len(whole) - 1))
    assert len(marks(made, "circle", "fill")) == (len(finite) if dots else alone)
    assert not re.search(r'="[^"]*(nan|inf|None)', made)
    for path in marks(made, "path", "stroke"):
        numbers = [float(each) for each in re.findall(r"-?[\d.]+(?:e[-+]\d+)?", path.get("d"))]
        assert all(-1 <= each <= 1001 for each in numbers)


def test_a_gap_is_a_gap_and_a_lonely_value_a_dot():
    """In the line, and in the band around it."""
    ys = [1.0, 2.0, None, 3.0]
    made = line_plot([Line("a", [0, 1, 2, 3], ys, ys, [2.0, 3.0, None, 4.0])], title="t")
    (path,) = marks(made, "path", "stroke")
    assert path.get("d").count("M") == 2
    assert path.get("d").endswith("h0")
    assert len(marks(made, "path", "band")) == 2


def test_a_long_line_keeps_its_peaks():
    """The lowest and highest of each part are drawn."""
    values = [0.0] * 5000
    values[2345], values[4001] = 9.0, -9.0
    (path,) = marks(line_plot([Line("a", list(range(5000)), values)], title="t"), "path", "stroke")
    heights = [float(y) for y in re.findall(r"[ML][-\d.e]+ ([-\d.e]+)", path.get("d"))]
    assert len(heights) <= 500
    assert (min(heights), max(heights)) == (50.0, 950.0)


def test_lines_are_told_apart_by_more_than_colour():
    """Each has a class with a dash of its own, and a place in the legend; a single one needs none."""
    lines = [Line(f"line {place}", [0, 1], [place, 2]) for place in range(3)]
    made = line_plot(lines, title="t")
    assert [path.get("class") for path in marks(made, "path", "stroke")] == [
        "stroke s1",
        "stroke s2",
        "stroke s3",
    ]
    assert re.findall(r"</i>([^<]*)</li>", made) == ["line 0", "line 1", "line 2"]
    assert "legend" not in line_plot(lines[:1], title="t")


def test_thresholds_and_events_stand_on_the_sheet_with_their_names():
    """They widen the axes; names that are near stand one above the other."""
    rules = [
        Rule(5.0, "alarm", status="act"),
        *(Rule(JUNE + place * DAY, f"v{place}", upright=True) for place in (1, 2, 30)),
    ]
    made = line_plot([Line("a", [JUNE, JUNE + 30 * DAY], [1.0, 2.0])], title="t", rules=rules)
    names = {each.text: each for each in marks(made, "text", "rule-name")}
    assert set(names) == {"alarm", "v1", "v2", "v30"}
    assert names["v1"].get("y") != names["v2"].get("y")
    assert names["v30"].get("text-anchor") == "end"
    assert 0 <= float(marks(made, "line", "act")[0].get("y1")) <= 200


def test_points_have_shapes_by_group_and_keys_for_a_selection():
    """And say what they are; one without a place is left out."""
    cloud = [
        Point(0, 1.0, group="a"),
        Point(1, 2.0, "trial 7", 7, "b"),
        Point(2, math.nan),
        Point(3, 1.5, status="act"),
    ]
    made = scatter_plot(cloud, title="t", lines=[Line("best", [0, 3], [1.0, 1.0])])
    shapes = marks(made, "svg", "point")
    assert len(shapes) == 3
    assert (
        len({tuple(child.tag for child in each)[1:] + tuple(each[1].attrib.items()) for each in shapes}) == 3
    )
    assert [each.get("data-key") for each in shapes] == [None, "7", None]
    assert titles(made) == ["0, 1", "trial 7", "3, 1.5"]
    assert "best" in made


def test_many_points_are_counted_and_none_is_left_out():
    """More than a thousand: cells whose counts add up, and a sentence that says so."""
    cloud = [Point(place % 37, place % 11, group="a") for place in range(5000)]
    made = f"<div>{scatter_plot(cloud, title='t', diagonal=True)}</div>"
    counted = [int(title.split()[0].replace(",", "")) for title in titles(made)]
    assert sum(counted) == 5000
    assert "5,000 points, counted in cells" in made
    assert len(marks(made, "rect", "cell")) == len(counted)
    assert all(0 <= x <= 98 and 0 <= y <= 196 for x, y in places(made, "rect", "cell", "x", "y"))


def test_predicted_against_actual_has_both_axes_alike():
    """So that the diagonal is where they are equal."""
    made = scatter_plot([Point(0, 10.0), Point(90, 20.0)], title="t", diagonal=True)
    ticks = [each.text for each in marks(made, "text", "tick")]
    assert sorted(ticks) == sorted(ticks[: len(ticks) // 2] * 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), NUMBERS), max_size=12))
def test_any_bars_can_be_drawn(pairs):
    """From zero, within the sheet; one without a value keeps its name."""
    bars = [Bar(label.translate(dict.fromkeys(range(32))), value) for label, value in pairs]
    bars = [bar for bar in bars if bar.label.isprintable()]
    made = bar_plot(bars, title="t", x_label="x")
    assert len(marks(made, "text", "row-name")) == len(bars)
    drawn = places(made, "rect", "fill", "x", "width")
    assert len(drawn) == sum(bar.value is not None and math.isfinite(bar.value) for bar in bars)
    assert all(x >= -0.01 and x + width <= 100.02 for x, width in drawn)


def test_bars_say_value_interval_and_note():
    """To a pointer and to a screen reader; numbers of all bars have one precision."""
    bars = [Bar("hour", 8.25, 7.5, 9.0, "n = 12", "a"), Bar("day", 4.0, group="b"), Bar("odd", None)]
    made = interval_plot(bars, title="t", rules=[Rule(5, "gate", upright=True)])
    assert titles(made)[:3] == ["hour: 8.25, 7.5 to 9 (n = 12)", "day: 4.00", "odd: –"]  # noqa: RUF001
    (said,) = tree(made).iter(f"{SVG}desc")
    assert said.text == "; ".join(titles(made)[:3])
    assert len(marks(made, "line", "whisker")) == 3
    assert [each.get("class") for each in marks(made, "circle")] == ["fill s1", "fill s2"]
    assert "gate" in made


def test_bins_of_two_sets_of_rows():
    """Shares, not rows; an empty bin takes no room; marked ones are marked; nothing is drawn of nothing."""
    made = histogram_pair(["a", "b", "c"], [30, 10, 0], [1, 3, 0], title="t", marked=["b"])
    assert places(made, "rect", "ref", "height") == [(110.0,), (36.7,)]
    assert places(made, "rect", "win", "height") == [(36.7,), (110.0,)]
    assert titles(made) == [
        "a: reference 75.00%, this window 25.00%",
        "b: reference 25.00%, this window 75.00%",
    ]
    assert len(marks(made, "text", "caret")) == 1
    assert histogram_pair(["a"], [0], [3], title="t") == ""


def test_labels_of_bins_are_as_many_as_there_is_room_for():
    """Of a range its beginning as a number for people; a name is never taken for a number."""
    ranges = [f"{place}.123456 to {place + 1}.123456" for place in range(30)]
    names = ["007", "1000", "nan", "below 1.5"]
    of_ranges, of_names = (
        [each.text for each in marks(histogram_pair(bins, rows, rows, title="t"), "text", "tick")][2:]
        for bins, rows in ((ranges, [1] * 30), (names, [1] * 4))
    )
    assert of_ranges[:3] == ["0.123", "3.12", "6.12"]
    assert of_names == names


def test_spans_lie_in_their_lanes():
    """As long as they lasted; what happened at one time has the sign of its status."""
    spans = [
        Span("v1", JUNE, JUNE + DAY, "first", "fine", 1),
        Span("v2", JUNE + DAY, JUNE + 4 * DAY, "second", "quiet"),
        Span("v1", JUNE + 2 * DAY, label="failed", status="act"),
    ]
    made = timeline_plot(
        spans, title="t", names={"fine": "done"}, rules=[Rule(JUNE + DAY, "now", upright=True)]
    )
    assert places(made, "rect", "", "x", "width") == [(0, 25), (25, 75)]
    assert [each.get("class") for each in marks(made, "g", "span")] == ["span fine", "span quiet", "span act"]
    assert marks(made, "g", "span")[0].get("data-key") == "1"
    assert titles(made)[0] == "first: 2026-06-01 00:00 to 2026-06-02 00:00"
    assert titles(made)[2] == "failed: 2026-06-03 00:00"
    assert [each.text for each in marks(made, "text", "row-name")] == ["v1", "v2"]


def test_rows_run_through_every_axis_and_the_best_lies_on_top():
    """Numbers, names and logarithms; what has no value runs below the axis, which says so."""
    columns = {"kind": ["a", "b", "a"], "rate": [0.001, 0.1, None], "score": [3.0, 1.0, 2.0]}
    made = parallel_plot(columns, title="t", keys=[10, 11, 12], log=["rate"], highest_is_best=False)
    rows = marks(made, "polyline", "row")
    assert [each.get("data-key") for each in rows] == ["10", "12", "11"]
    assert rows[-1].get("style") == "--p:100%"
    heights = {
        each.get("data-key"): [float(pair.split(",")[1]) for pair in each.get("points").split()]
        for each in rows
    }
    assert heights["11"] == [250.0, 0.0, 1000.0]
    assert heights["12"][1] > 1000
    assert "kind a, rate –, score 2" in titles(made)  # noqa: RUF001
    assert "none" in [each.text for each in marks(made, "text")]
    assert len(marks(made, "rect", "brush")) == 3


@pytest.mark.parametrize(
    ("best", "styles"), [(True, ["0%", "100%"]), (False, ["0%", "100%"]), (None, ["60%", "60%"])]
)
def test_which_end_is_best_is_said(best, styles):
    """Or that neither is."""
    made = parallel_plot({"a": [1, 2]}, title="t", keys=[1, 2], highest_is_best=best)
    rows = marks(made, "polyline", "row")
    assert [each.get("style") for each in rows] == [f"--p:{each}" for each in styles]
    if best is not None:
        assert rows[-1].get("data-key") == ("2" if best else "1")


def test_a_confusion_is_a_table_shaded_by_row():
    """Readable without the shade; the class itself has a frame; a class without rows is no error."""
    made = heat_table(["no", "yes"], [[90, 10], [0, 0]], title="confusion")
    cells = re.findall(r'<td class="([^"]*)" style="--p:(\d+)%">([\d,]+)<small>([^<]*)</small>', made)
    assert cells == [
        ("n same", "50", "90", "90%"),
        ("n", "6", "10", "10%"),
        ("n", "0", "0", ""),
        ("n same", "0", "0", ""),
    ]


def test_a_line_as_small_as_a_word():
    """With its last value marked; of nothing, nothing."""
    made = spark_line([1.0, None, 3.0], title="weeks").replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1
    )
    assert titles(made) == ["weeks"]
    assert places(made, "circle", "fill", "cx") == [(100.0,)]
    assert "circle" not in spark_line([], title="t")


EMPTY = {
    "line": lambda: line_plot([], title="t"),
    "scatter": lambda: scatter_plot([], title="t"),
    "bar": lambda: bar_plot([], title="t"),
    "interval": lambda: interval_plot([], title="t"),
    "timeline": lambda: timeline_plot([], title="t"),
    "parallel": lambda: parallel_plot({}, title="t"),
    "no rows": lambda: parallel_plot({"a": [], "b": []}, title="t"),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_nothing_is_drawn_as_nothing(kind):
    """An empty plot is no error."""
    assert tree(EMPTY[kind]()).find(f"{SVG}svg").get("aria-label") == "t"


def test_no_label_becomes_markup():
    """Names of columns and classes are anybody's text."""
    bar, span = Bar(HOSTILE, 1.0, note=HOSTILE, group=HOSTILE), Span(HOSTILE, 0, 1, HOSTILE, "fine", HOSTILE)
    rule = Rule(0, HOSTILE, upright=True)
    for made in (
        bar_plot([bar, Bar("b", 2.0)], title=HOSTILE, x_label=HOSTILE, rules=[rule]),
        timeline_plot([span], title=HOSTILE, names={"fine": HOSTILE}),
        parallel_plot({HOSTILE: [HOSTILE]}, title=HOSTILE, keys=[HOSTILE]),
        scatter_plot([Point(0, 0, HOSTILE, HOSTILE, HOSTILE)], title=HOSTILE, y_label=HOSTILE),
        histogram_pair([HOSTILE], [1], [1], title=HOSTILE, names=(HOSTILE, HOSTILE), marked=[HOSTILE]),
        heat_table([HOSTILE], [[1]], title=HOSTILE, rows=HOSTILE),
    ):
        assert "<script" not in made
        assert "script" in "".join(tree(made).itertext())
