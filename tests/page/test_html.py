"""Text stays text, whatever it says; numbers and tables are for people."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.page.html import (
    Html,
    badge,
    code,
    details,
    escaped,
    facts,
    figure,
    join,
    json_script,
    listed,
    number,
    numbers_alike,
    selection,
    table,
    tag,
    tiles,
)

HOSTILE = "</td><script>alert('x')</script>\"&"


class Reader(html.parser.HTMLParser):
    """Collects tags and text."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.said, self.texts = [], [], []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        """One is opened."""
        self.tags.append(tag)
        self.said += [value for _, value in attrs]

    def handle_data(self, data):
        """What is between them."""
        self.texts.append(data)


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_text_is_read_as_it_was_written(text, value):
    """In an element and in an attribute."""
    read = Reader(tag("p", text, title=value))
    assert "".join(read.texts) == text
    assert read.tags == ["p"]
    assert read.said == [value]


def test_markup_is_not_escaped_twice():
    """Neither alone nor among texts."""
    strong = tag("b", "a & b")
    assert escaped(strong) is strong
    assert join([strong, "<"], between=" < ") == "<b>a &amp; b</b> &lt; &lt;"
    assert isinstance(join([]), Html)


def test_attributes_are_said_as_html_says_them():
    """A name alone, none at all, a hyphen, a word that Python keeps for itself; name= is one like others."""
    made = tag("input", class_="a", data_key=3, checked=True, disabled=False, value=None, name="b")
    assert made == '<input class="a" data-key="3" checked name="b">'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (1234567, "1,234,567"), (True, "1"), (0.1, "0.1"), (23.456789, "23.46"), (1.0, "1"),
        (12345.678, "12,346"), (-0.00123456, "-0.001235"), (0.00001, "1e-05"), (1e15, "1e+15"),
        (np.int64(1204), "1,204"), (np.float32(0.5), "0.5"),
        (None, "–"), (math.nan, "–"), (-math.inf, "–"),  # noqa: RUF001
    ],
)  # fmt: skip
def test_a_number_for_people(value, shown):
    """Four digits that matter, thousands apart, a dash where there is none."""
    assert number(value) == shown


@settings(deadline=None)
@given(st.floats(-1e300, 1e300))
def test_a_number_is_never_far_from_itself(value):
    """To four digits."""
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=6e-4, abs=1e-300)


def test_numbers_of_one_kind_have_one_precision():
    """That of the largest; one too small for it says what it is; whole ones have no point."""
    assert numbers_alike([23.4, 1.25, None]) == ["23.40", "1.25", "–"]  # noqa: RUF001
    assert numbers_alike([23.4567, 1e-7]) == ["23.46", "1e-07"]
    assert numbers_alike([3, np.int64(1200)]) == ["3", "1,200"]
    assert numbers_alike([]) == []


def test_cells_are_aligned_by_what_their_column_holds():
    """Numbers and what looks like some at the right, with one precision; dates and words at the left."""
    at = dt.datetime(2026, 6, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    made = table(
        ["name", "score", "share", "when", "mixed", ""],
        [["a", 23.4, "+1.5%", at, 1, "x" * 50], ["b", None, "-20%", None, "c", ""]],
    )
    rows = [re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row) for row in made.split("</tr>")]
    none = '<span class="faint">–</span>'  # noqa: RUF001
    assert rows[:3] == [
        ["name", "score", "share", "when", "mixed", ""],
        ["a", "23.4", "+1.5%", "2026-06-01 07:00", "1", "x" * 50],
        ["b", none, "-20%", none, "c", ""],
    ]
    assert made.count('class="n"') == 6
    assert made.count('class="long"') == 1


def test_a_sortable_table_says_what_to_sort_by():
    """The number behind what is shown; of what is no number its text will do."""
    made = table(["a", "b"], [["x", 1234.5678], ["y", "12%"], ["z", math.nan]], sortable=True, keys=[7, 8, 9])
    assert re.findall(r'data-value="([^"]*)"', made) == ["1234.5678", "12.0"]
    assert re.findall(r'data-key="([^"]*)"', made) == ["7", "8", "9"]
    assert 'aria-label="a, b"' in made
    assert "sortable" not in table(["a"], [["x"]])


def test_a_table_without_rows_has_its_head():
    """So that a reader sees what would be there."""
    made = table(["a", "b"], [], label="nothing yet")
    assert made.count("<th ") == 2
    assert 'aria-label="nothing yet"' in made


def test_no_part_lets_a_text_become_markup():
    """Wherever a user's text may stand."""
    parts = [
        badge(HOSTILE, status="act"),
        tiles([(HOSTILE, HOSTILE)]),
        facts({HOSTILE: HOSTILE}),
        listed([HOSTILE]),
        code(HOSTILE),
        details(HOSTILE, HOSTILE),
        table([HOSTILE], [[HOSTILE]], keys=[HOSTILE], label=HOSTILE),
        figure(Html(), caption=HOSTILE),
        selection(HOSTILE, code=HOSTILE, noun=HOSTILE),
    ]
    for part in parts:
        read = Reader(part)
        assert "script" not in read.tags
        assert HOSTILE in "".join(read.texts) + "".join(filter(None, read.said))


def test_status_is_a_sign_and_a_word_and_only_then_a_colour():
    """Each has another sign."""
    signs = {
        re.search(r'aria-hidden="true">(.)<', badge("a", status=each))[1]
        for each in ("act", "look", "fine", "quiet")
    }
    assert len(signs) == 4


def test_a_figure_has_its_numbers_behind_one_line():
    """Where there are some; an empty list is nothing."""
    assert "<details" not in figure(Html("<svg></svg>"), caption="what")
    shown = figure(Html("<svg></svg>"), caption="what", table=table(["a"], [[1]]))
    assert shown.index("<svg>") < shown.index("figcaption") < shown.index("<details")
    assert listed([]) == ""
    assert details("more", is_open=True).startswith("<details open>")


PLAIN = (
    st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_json_in_a_page_is_read_back_and_ends_nothing(values):
    """Whatever it says."""
    made = json_script("a", values)
    text = re.fullmatch(r'<script type="application/json" id="a">(.*)</script>', made, re.DOTALL)[1]
    assert "<" not in text
    assert json.loads(text) == values


def test_json_knows_what_python_has():
    """Tuples and times too."""
    made = json_script("a", {"at": dt.date(2026, 6, 1), "pair": (1, math.inf), "said": "</script>"})
    assert '{"at":"2026-06-01","pair":[1,null],"said":"\\u003c/script>"}' in made
