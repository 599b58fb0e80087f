"""What a section is made of says the same on a page and in Markdown, and lets nothing through."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as some

from mlkit.page.html import Html
from mlkit.page.parts import (
    MOST_ROWS,
    bullets,
    command,
    facts,
    folded,
    grid,
    joined,
    listing,
    paragraph,
    plotted,
)
from mlkit.page.words import counted, gain, improvement, lasting, moment, short


def test_texts_are_escaped_in_both_forms():
    """A name that looks like markup stays a name."""
    part = paragraph("a < b | c, <script>alert(1)</script> and `x < y | z` **now**")
    assert "<script>" not in part.html
    assert "<code>x &lt; y | z</code>" in part.html
    assert "<strong>now</strong>" in part.html
    assert part.markdown == r"a \< b \| c, \<script\>alert(1)\</script\> and `x < y \| z` **now**"


@given(some.text(max_size=40))
def test_a_row_of_markdown_stays_one_row(text):
    """Whatever stands in a cell, a table keeps its rows and columns."""
    part = grid(["a", "b"], [[text, 1.5]], label="t")
    lines = part.markdown.split("\n")
    assert len(lines) == 3
    assert lines[2].replace("\\|", "").count("|") == 3


def test_tables_are_cut_in_markdown_alone():
    """The page has all rows; Markdown names the call that gives more."""
    part = grid(["n"], [[place] for place in range(MOST_ROWS + 5)], label="t")
    assert part.html.count("<tr") == MOST_ROWS + 6
    assert "5 more rows: `mlkit report --format json`" in part.markdown


def test_the_pieces():
    """Facts without a value are left out; plots show their numbers; what is folded keeps its content."""
    assert facts({"a": 1, "b": None, "c": ""}).markdown == "- **a**: 1"
    assert bullets(["x", "y"]).markdown == "- x\n- y"
    drawn = plotted(Html("<svg></svg>"), caption="One.", headers=["n"], rows=[[None]])
    assert "<svg></svg>" in drawn.html
    assert drawn.markdown == "One.\n\n| n |\n| --- |\n| - |"
    inside = folded("More", command("mlkit plan x"), listing("a: 1", language="yaml"))
    assert "<details" in inside.html
    assert "```bash\nmlkit plan x\n```" in inside.markdown
    assert joined([paragraph("a"), bullets([]), paragraph("b")]).markdown == "a\n\nb"


def test_times_and_differences_in_words():
    """As people say them."""
    day = dt.timedelta(days=1)
    said = [
        lasting(span)
        for span in (day / 1e6, day / 1000, day / 24 * 3, 1.5 * day, 3 * day, 70 * day, 800 * day)
    ]
    assert said == ["less than a minute", "1 minute", "3 hours", "36 hours", "3 days", "2 months", "2 years"]
    assert moment(dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.timezone(2 * day / 24))) == "2026-06-01 10:00 UTC"
    assert short("d1:0123456789abcdef") == "d1:01234567"
    assert (gain(0.5), gain(-0.5), gain(0.0)) == ("0.5 better", "0.5 worse", "equal")
    assert improvement(1.0, 3.0, "minimize") == improvement(3.0, 1.0, "maximize") == 2.0
    assert improvement(None, 1.0, "minimize") is None
    assert (counted(1, "row"), counted(1_200, "row")) == ("1 row", "1,200 rows")
