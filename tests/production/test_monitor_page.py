"""The page of a window: whole in one file, readable without scripts, and safe with any value."""

from __future__ import annotations

import html.parser
import re

import pytest

from mlkit.production.monitor_page import draw

VOID = {"meta"}
WINDOW = {"since": "2026-06-01T00:00:00+00:00", "until": "2026-06-08T00:00:00+00:00"}


class Reader(html.parser.HTMLParser):
    """Collects tags and text; notes those that are never closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """One is opened."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """One is closed: the last that was opened."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        """What is between them."""
        self.texts.append(data)


def column(name="input_distance", *, verdict="DRIFT", bins=("below 1", "1 to 5", "missing"), **said):
    """What a report says of a column."""
    found = {"effect": 0.4, "ks": 0.4, "psi": 1.5, "w1": None, "moved": [
        {"label": bins[1], "reference": 0.5, "window": 0.1},
    ]}  # fmt: skip
    return {
        "column": name, "kind": "number", "verdict": verdict, "reason": "40.0% moved", "p_value": 1e-9,
        "bins": list(bins), "reference": [5, 5, 0], "observed": [9, 1, 0], "found": found, **said,
    }  # fmt: skip


def report(**changes):
    """A report as plain values."""
    return {
        "project": "flights", "verdict": "DRIFT", "since": "2026-06-01T00:00:00+00:00",
        "until": "2026-06-08T00:00:00+00:00", "version": 3, "model_id": "m-1", "rows": 10,
        "reasons": ["input_distance: 40.0% moved"], "columns": [column(), column("input_hour", verdict="OK")],
        "ignored": {"traffic": 3, "others": {"m-0": 7}, "repeated": 0, "late": 0, "future": 0},
        "coverage": {"share": 0.995}, "power": "shifts of 5%", "assumption": "rows are independent",
        "self_check": {"windows": 200, "alarms": 2}, "table": "monitoring.flights__drift", "check_id": "ab",
        **changes,
    }  # fmt: skip


def test_verdict_first_then_what_moved_then_what_it_rests_on():
    """In this order, with both shares of every bin that moved."""
    texts = " ".join(Reader(draw(report())).texts)
    order = ["DRIFT", "flights", "40.0% moved", "99.5%", "Columns, what", "50.00%", "10.00%", "-40.00%",
             "input_hour", "3 rows were not of production", "7 rows of another", "2 of 200"]  # fmt: skip
    places = [texts.index(each) for each in order]
    assert places == sorted(places)


def test_nothing_is_asked_of_elsewhere_and_nothing_waits_for_a_script():
    """The only address is the name of SVG; the one script stands behind everything there is to read."""
    page = draw(report(), [{**WINDOW, "verdict": "OK", "effect": None}])
    reader = Reader(page)
    assert not reader.open
    assert not {"link", "img", "iframe"} & {tag for tag, _ in reader.tags}
    assert set(re.findall(r"\w+://[\w./]+", page)) == {"http://www.w3.org/2000/svg"}
    assert reader.tags[-1] == ("script", {})
    assert all("aria-label" in values for tag, values in reader.tags if values.get("role") == "img")


def test_a_bin_that_nobody_is_in_takes_no_room():
    """Two bars for each of the others, and a mark above those that moved."""
    page = draw(report(columns=[column()]))
    assert page.count('class="ref"') == page.count('class="win"') == 2
    assert page.count(">▾</text>") == 1
    assert draw(report(columns=[column(verdict="OK")])).count(">▾</text>") == 0


def test_no_value_of_the_data_becomes_markup():
    """Categories are anybody's text."""
    hostile = "</svg><script>alert('x')</script>\"&"
    page = draw(report(columns=[column(hostile, bins=("a", hostile, "missing"))], reasons=[hostile]))
    assert page.count("<script>") == 1
    assert not Reader(page).open
    assert hostile in "".join(Reader(page).texts)


@pytest.mark.parametrize("verdict", ["OK", "WARN", "DRIFT", "INSUFFICIENT_DATA", "NO_DATA", "ERROR"])
def test_every_verdict_can_be_drawn_with_nothing_to_show(verdict):
    """Without columns, model or coverage; the verdict is a word, never a colour alone."""
    page = draw(
        report(verdict=verdict, columns=[], version=None, coverage=None, self_check=None),
        [{**WINDOW, "verdict": verdict, "effect": 0.2}] * 100,
    )
    assert verdict.replace("_", " ") in "".join(Reader(page).texts)
    assert page.count(f": {verdict}, effect 0.2</title>") == 60


def test_many_columns_stay_small():
    """Two hundred of them: sixty drawn, the others in the table, within the size of a shell."""
    page = draw(report(columns=[column(f"input_{number}") for number in range(200)]))
    assert page.count("<section>") == 60
    assert "input_199" in page
    assert len(page) < 300_000
