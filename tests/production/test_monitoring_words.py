"""What watching and retraining say of themselves: texts for people, plain values, and the page."""

from __future__ import annotations

import datetime as dt
import json
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.errors import ServingError
from mlkit.production.alerts import Sent
from mlkit.production.monitor_page import draw
from mlkit.production.monitor_report import (
    SEVERITY,
    Coverage,
    Ignored,
    MonitorReport,
    MonitorRun,
    check_id_of,
)
from mlkit.production.performance import Measured, PerformanceReport
from mlkit.production.report import RunReport
from mlkit.production.retrain import RetrainReport
from mlkit.production.windows import Span
from tests.production.watching import JUNE, WEEK, check, report

CELLS = [{"label": f"bin {place}", "reference": 0.1, "window": 0.2} for place in range(5)]
HOSTILE = "<b>&\"'"


def measured(state="OK", *, rows=100, labelled=40, week=0, **said):
    """What was measured in one week."""
    values = {"value": 1.5, "test_score": 1.25, "threshold": 2.0, "reason": "rmse 1.5", **said}
    span = Span(JUNE + week * WEEK, JUNE + (week + 1) * WEEK)
    return Measured(span, "m-1", 1, state, rows=rows, labelled=labelled, **values)


def svgs(page):
    """Each drawing of a page as a tree."""
    depth, start = 0, 0
    for found in re.finditer(r"<svg\b|</svg>", page):
        start = start if depth else found.start()
        depth += 1 if found[0] == "<svg" else -1
        if not depth:
            yield ET.fromstring(page[start : found.end()])  # noqa: S314 - our own text


def percent(text):
    """A place across."""
    return float(text.removesuffix("%"))


def drawn(svg, kind):
    """Elements of a drawing."""
    return list(svg.iter("{http://www.w3.org/2000/svg}" + kind))


# Reports of a check.


@pytest.mark.parametrize(
    ("found", "effect", "moved"),
    [({}, 0.0, []), ({"effect": None}, 0.0, []), ({"effect": 1, "moved": tuple(CELLS)}, 1.0, CELLS)],
)
def test_how_far_a_column_moved(found, effect, moved):
    """Nothing where nothing was compared."""
    made = check(found=found)
    assert (made.effect, made.moved) == (effect, moved)
    assert isinstance(made.effect, float)


def test_a_column_as_one_line_and_as_plain_values():
    """Verdict first; tuples are lists, as JSON has them."""
    made = check("input_größe", "WARN", bins=("a", "b"), reference=(1, 2), observed=(3, 4), p_value=0.5)
    assert re.fullmatch(r"WARN +input_größe +a reason", repr(made))
    assert made.to_dict() == json.loads(json.dumps(made.to_dict()))
    assert (made.to_dict()["bins"], made.to_dict()["reference"]) == (["a", "b"], [1, 2])


@pytest.mark.parametrize(
    ("ignored", "sentences"),
    [
        (Ignored(), []),
        (Ignored(traffic=1234), ["1,234 rows not of production"]),
        (
            Ignored(late=2, repeated=1),
            ["1 rows repeated requests", "2 rows logged after the window had ended"],
        ),
        (
            Ignored(others={"m-0": 3, "m-9": 1000}),
            [
                "3 rows of another model, m-0 (not mixed in)",
                "1,000 rows of another model, m-9 (not mixed in)",
            ],
        ),
        (Ignored(future=7), ["7 rows with an event time to come (not in this window)"]),
    ],
)
def test_what_was_left_out_is_said_and_nothing_else(ignored, sentences):
    """One sentence for each kind that there is."""
    assert list(ignored.sentences()) == sentences
    assert repr(report(ignored=ignored)).count("  aside   ") == len(sentences)


@pytest.mark.parametrize("verdict", SEVERITY)
def test_bins_are_shown_where_something_moved(verdict):
    """Three of a column are enough; a quiet column shows none. Only drift asks for a retrain."""
    text = repr(report(verdict, columns=(check(verdict=verdict, found={"moved": CELLS}),)))
    assert text.startswith(f"{verdict}  flights  2026-06-01 to 2026-06-08  no model  0 rows\n  because")
    assert text.count("10.0% -> 20.0%") == (3 if verdict in ("DRIFT", "WARN") else 0)
    assert ("mlkit retrain flights --dry-run" in text) == (verdict == "DRIFT")


def test_twelve_columns_are_not_too_many():
    """One more is counted and not shown."""
    columns = tuple(check(f"input_{place}") for place in range(13))
    assert "more columns" not in repr(report(columns=columns[:12]))
    assert "and 1 more columns" in repr(report(columns=columns))
    assert "input_12" not in repr(report(columns=columns))


def test_whether_it_is_on_record():
    """Recorded now, before, or nowhere; who was told is said unless it failed."""
    assert "  stood already in t" in repr(report(table="t"))
    assert "  recorded in t" in repr(report(table="t", recorded=True))
    assert "recorded" not in repr(report(recorded=True))
    lost = repr(report(sent=Sent(("command",), ServingError("NET091", "no answer"))))
    assert "was not delivered: no answer" in lost
    assert "told " not in lost


def test_no_reason_becomes_markup_in_a_notebook():
    """Of a check, of several, of a retrain, of labels."""
    one = report(reasons=(HOSTILE,))
    retrain = RetrainReport("flights", "skip", (HOSTILE,), "drift", 1)
    labels = PerformanceReport("flights", HOSTILE, (), 0, 0)
    for made in (one, MonitorRun((one,)), retrain, labels):
        assert HOSTILE in repr(made)
        assert "&lt;b&gt;&amp;" in made._repr_html_()
        assert "<b>" not in made._repr_html_()


def test_several_windows_count_their_verdicts_worst_first():
    """One line each; one that knows no version or reason is a line too."""
    run = MonitorRun((report("OK", version=1), report("DRIFT"), report("OK"), report("ERROR", reasons=())))
    head, *lines = repr(run).splitlines()
    assert head == "4 windows of flights: 1 ERROR, 1 DRIFT, 2 OK"
    assert [line.split()[0] for line in lines] == ["OK", "DRIFT", "OK", "ERROR"]
    assert ("  v1  " in lines[0], "  v-  " in lines[1]) == (True, True)
    assert [each["verdict"] for each in run.to_dict()["windows"]] == ["OK", "DRIFT", "OK", "ERROR"]


def test_the_first_failure_is_the_exit_code_of_several():
    """Whatever the newest found."""
    failed = [report("ERROR", error={"exit_code": code}) for code in (20, 30)]
    run = MonitorRun((report("DRIFT"), *failed, report("DRIFT")))
    assert (run.exit_code, run.verdict_code) == (20, 20)
    assert MonitorRun((report("DRIFT"), report("NO_DATA"))).verdict_code == 8


def test_the_id_of_a_finding_has_the_form_of_an_id():
    """Reasons are words for it, and no part; an error is."""
    found = check_id_of(report())
    assert re.fullmatch(r"[0-9a-f]{32}", found)
    assert check_id_of(report(reasons=("in other words",), rows=5, power="much")) == found
    assert check_id_of(report(error={"code": "STO010"})) != found
    assert check_id_of(report(error={"code": "STO010"})) != check_id_of(report(error={"code": "STO011"}))


# Retrains and labels.


@pytest.mark.parametrize(
    ("decision", "deployed", "outcome", "code", "says"),
    [
        ("skip", None, "skipped", 0, "mlkit retrain flights --force retrains all the same"),
        ("retrain", None, "planned", 0, "next    mlkit retrain flights"),
        (
            "retrain",
            RunReport("promoted", "flights", "k", "d", version=4),
            "promoted",
            0,
            "promoted  flights v4",
        ),
        ("retrain", RunReport("rejected", "flights", "k", "d"), "rejected", 3, "rejected [GAT001]  flights"),
        (
            "retrain",
            RunReport("kept_champion", "flights", "k", "d"),
            "kept_champion",
            0,
            "mlkit history flights",
        ),
    ],
)
def test_a_retrain_ends_as_its_deployment_does(decision, deployed, outcome, code, says):
    """Where there was none it says what to type; its values are JSON either way."""
    made = RetrainReport("flights", decision, ("drift: much",), "hybrid", 3, deployed=deployed)
    assert (made.outcome, made.exit_code) == (outcome, code)
    assert says in repr(made)
    said = json.loads(json.dumps(made.to_dict()))
    assert (said["outcome"], said["version"]) == (outcome, deployed.version if deployed else None)
    assert (said["deployed"] or {}).get("outcome") == (deployed.outcome if deployed else None)


def test_a_retrain_that_was_only_asked_says_so():
    """Who serves, by which policy, and each reason on a line."""
    made = RetrainReport("flights", "retrain", ("one", "two"), "drift", 3, dry_run=True)
    head, *lines = repr(made).splitlines()
    assert head == "retrain  flights  policy drift, v3 serves (only asked, nothing was done or recorded)"
    assert lines[:2] == ["  one", "  two"]


@pytest.mark.parametrize(
    ("windows", "code"),
    [
        ([], 0),
        ([measured("BELOW")], 7),
        ([measured("BELOW"), measured("OK", week=1)], 0),
        ([measured("BELOW"), measured("NO_LABELS", labelled=0, week=1)], 7),
        ([measured("OK"), measured("NO_LABELS", labelled=3, value=None, week=1)], 0),
    ],
)
def test_the_newest_window_with_labels_decides(windows, code):
    """Those whose labels are still to come have no say; a score alone is no failure."""
    made = PerformanceReport("flights", "rmse", tuple(windows), labels=1234, unmatched=5)
    assert (made.verdict_code, made.exit_code) == (code, 0)
    assert "1,234 labels, 5 of them without an answer" in repr(made)
    assert ("nothing was logged" in repr(made)) == (not windows)
    assert len(made.to_dict()["windows"]) == len(windows)


def test_a_measured_window_as_a_line_and_as_plain_values():
    """What is still to come is counted; a value that is none is missing."""
    made = measured("BELOW", rows=2000, value=float("nan"))
    assert repr(made) == "BELOW     2026-06-01 to 2026-06-08  v1  40 of 2,000 labelled  rmse 1.5"
    said = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert (said["unlabelled"], said["value"], said["since"]) == (1960, None, "2026-06-01T00:00:00+00:00")
    assert "span" not in said


# The page.

LABELS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=40, unique=True)


@settings(deadline=None)
@given(LABELS, st.data())
def test_any_bins_can_be_drawn(labels, data):
    """Whatever they are called and hold: all bars stand on the axis and none leaves the sheet."""
    rows = st.lists(st.integers(0, 10**9), min_size=len(labels), max_size=len(labels))
    old, new = data.draw(rows), data.draw(rows)
    if not all(character.isprintable() for label in labels for character in label):
        labels = [f"bin {place}" for place in range(len(labels))]
    made = check("p", "DRIFT", bins=tuple(labels), reference=tuple(old), observed=tuple(new))
    trees = list(svgs(report("DRIFT", columns=(made,)).to_html()))
    assert len(trees) == (1 if any(old) and any(new) else 0)
    for svg in trees:
        bars = [
            {name: percent(bar.get(name)) for name in ("x", "y", "width", "height")}
            for bar in drawn(svg, "rect")
        ]
        assert len(bars) == 2 * sum(bool(a or b) for a, b in zip(old, new, strict=True))
        assert all(bar["x"] >= 0 and bar["x"] + bar["width"] <= 100.01 for bar in bars)
        assert all(
            bar["y"] >= -0.1 and bar["y"] + bar["height"] == pytest.approx(110, abs=0.11) for bar in bars
        )
        assert max(bar["height"] for bar in bars) == pytest.approx(110)
        assert len([text for text in drawn(svg, "text") if text.get("y") == "126"]) <= 12


def test_a_bar_is_as_high_as_its_share():
    """Shares and not rows: a window of a tenth of the rows with the same mixture draws the same bars."""
    made = check(bins=("a", "b"), reference=(300, 100), observed=(30, 10))
    (svg,) = svgs(report(columns=(made,)).to_html())
    heights = [float(bar.get("height")) for bar in drawn(svg, "rect")]
    assert heights == [110.0, 110.0, 36.7, 36.7]
    assert [title.text for title in drawn(svg, "title")] == [
        "a: reference 75.00%, this window 75.00%", "b: reference 25.00%, this window 25.00%",
    ]  # fmt: skip


def test_history_is_as_high_as_the_predictions_moved():
    """The highest stands highest, one without a number lies flat, each has the sign of its verdict."""
    said = [("OK", 0.1), ("NO_DATA", None), ("DRIFT", 0.4)]
    windows = [
        {
            **Span(JUNE + place * WEEK, JUNE + (place + 1) * WEEK).to_dict(),
            "verdict": verdict,
            "effect": effect,
        }
        for place, (verdict, effect) in enumerate(said)
    ]
    (svg,) = svgs(draw(report().to_dict(), windows))
    points = [each for each in drawn(svg, "svg") if "point" in each.get("class", "")]
    assert [(each.get("x"), each.get("y"), each.get("class")) for each in points] == [
        ("0%", "150", "point fine"), ("50%", "200", "point act"), ("100%", "0", "point act"),
    ]  # fmt: skip
    assert [drawn(each, "title")[0].text for each in points] == [
        "2026-06-01 to 2026-06-08: OK, effect 0.1", "2026-06-08 to 2026-06-15: NO_DATA, effect –",  # noqa: RUF001
        "2026-06-15 to 2026-06-22: DRIFT, effect 0.4",
    ]  # fmt: skip
    flat = [{**window, "effect": None} for window in windows] * 2
    (svg,) = svgs(draw(report().to_dict(), flat))
    assert len({each.get("y") for each in drawn(svg, "svg") if "point" in each.get("class", "")}) == 1


def test_the_newest_sixty_windows_are_history():
    """Older ones have left the page."""
    windows = [
        {**Span(JUNE + at * WEEK, JUNE + (at + 1) * WEEK).to_dict(), "verdict": "OK", "effect": at / 100}
        for at in range(61)
    ]
    page = draw(report().to_dict(), windows)
    assert page.count(": OK, effect ") == 60
    assert "effect 0<" not in page
    assert "largest 0.6" in page


def test_labels_are_cut_where_there_is_no_room():
    """Of a range its beginning; what is left out of a label is shown to be."""
    many = tuple(f"category number {place}" for place in range(30))
    made = check(bins=many, reference=(1,) * 30, observed=(1,) * 30)
    (svg,) = svgs(report(columns=(made,)).to_html())
    texts = [text.text for text in drawn(svg, "text") if text.get("y") == "126"]
    assert len(texts) == 8
    assert all(text.endswith("…") and text.startswith("cat") for text in texts)
    few = check(bins=("1.5 to 2.5", "missing"), reference=(1, 1), observed=(1, 1))
    (svg,) = svgs(report(columns=(few,)).to_html())
    assert [text.text for text in drawn(svg, "text") if text.get("y") == "126"] == ["1.5", "missing"]


def test_the_page_says_what_it_rests_on():
    """Coverage that nobody told is not whole; a self-check that was not asked is not there."""
    page = report(
        ignored=Ignored(traffic=1, others={HOSTILE: 2}, repeated=3, late=4, future=5),
        table=f"monitoring.{HOSTILE}",
        check_id="ab12",
    ).to_html()
    assert HOSTILE not in page
    for said in ("1 rows were not of production", "3 rows were repeated", "4 rows reached",
                 "5 rows of the log", "not told", "no model", "check ab12"):  # fmt: skip
        assert said in page
    assert "self-check" not in page
    checked = report(self_check={"windows": 200, "alarms": 3}, coverage=Coverage(1000, 5, 995)).to_html()
    assert "3 of 200 windows without drift" in checked
    assert "<dt>of served rows logged</dt><dd>0.5%</dd>" in checked


def test_numbers_of_a_column_that_was_not_compared_are_empty():
    """Not 0, which would say that nothing moved; and the same report is the same page."""
    made = report("NO_DATA", columns=(check("input_gone", "NO_DATA"),))
    row = re.search(r'<th scope="row">input_gone</th>.*?</tr>', made.to_html())[0]
    assert re.sub("<[^>]+>", " ", row).split() == ["input_gone", "✕", "NO", "DATA", "0", *"–" * 8]  # noqa: RUF001
    assert made.to_html() == made.to_html()
    assert "▾</text>" not in made.to_html()


def test_a_time_of_day_is_shown_where_a_window_has_one():
    """Midnight is not."""
    span = Span(JUNE, JUNE + dt.timedelta(hours=6))
    page = MonitorReport("flights", span, "OK", ()).to_html()
    assert "2026-06-01 to 2026-06-01T06:00:00 UTC" in page
    assert "<title>OK: flights, 2026-06-01 to 2026-06-01T06:00:00</title>" in page
