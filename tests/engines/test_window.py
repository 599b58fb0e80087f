"""Spans of time over the rows of a log: what may be skipped, what need not be looked at, what is left."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.engines.window import INSTANT, NOTHING, Span, Window, instants_of, new_columns, nullable, span_of
from mlkit.errors import DataError

START = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
NOON_IN_PARIS = dt.timezone(dt.timedelta(hours=1))

instants = st.integers(-5000, 5000).map(lambda steps: START + steps * MICROSECOND)
bounds = st.one_of(st.none(), instants)
columns = st.lists(st.one_of(st.none(), instants), max_size=8)


def array(values) -> pa.Array:
    """Instants of a column."""
    return pa.array(values, INSTANT)


@given(columns, bounds, bounds)
def test_a_window_never_skips_a_row_and_never_lets_one_in(values, since, until):
    """What it says of the span of a file is true of each of its rows."""
    window, span = Window("t", since, until), span_of(array(values))
    inside = [
        value is not None and (since is None or since <= value) and (until is None or value < until)
        for value in values
    ]
    if window.is_all:
        assert window.holds(span)
        assert not window.misses(span)
        return
    kept = window.rows(pa.record_batch({"t": array(values)}))
    assert kept.column("t").to_pylist() == [
        value for value, is_in in zip(values, inside, strict=True) if is_in
    ]
    if window.misses(span):
        assert not any(inside)
    if window.holds(span):
        assert all(inside)


@given(columns, columns)
def test_spans_add_up(first, second):
    """The span of two parts is that of both together, in any order; a part without rows changes nothing."""
    one, other = span_of(array(first)), span_of(array(second))
    assert one + other == other + one == span_of(array(first + second))
    assert one + NOTHING == one


def test_the_ends_of_a_span_in_whole_milliseconds():
    """Some writers cut a bound: a file whose last row may lie a millisecond later is opened."""
    span = Span(START, START + dt.timedelta(milliseconds=5), 0)
    just_after = START + dt.timedelta(milliseconds=5, microseconds=999)
    assert not Window("t", since=just_after).misses(span)
    assert Window("t", since=just_after + 2 * MICROSECOND).misses(span)
    assert not Window("t", until=just_after).holds(span)
    assert Window("t", until=just_after + 2 * MICROSECOND).holds(span)
    assert Window("t", until=START).misses(span)
    assert not Window("t", until=START + MICROSECOND).misses(span)


@pytest.mark.parametrize("span", [Span(), Span(START, None, 0), Span(None, START, 0), NOTHING])
def test_what_is_not_known_is_neither_skipped_nor_taken_whole(span):
    """A file without statistics has to be read, row by row."""
    window = Window("t", since=START + dt.timedelta(days=1))
    assert not window.misses(span)
    assert not window.holds(span)


@pytest.mark.parametrize("missing", [1, None])
def test_rows_without_an_instant_are_in_no_window(missing):
    """So a file that has one, or may have one, is not taken whole."""
    span = Span(START, START, missing)
    assert not Window("t", since=START).holds(span)
    assert Window("t").holds(span)


def test_bounds_may_be_of_any_zone():
    """They are instants: noon in Paris is eleven in UTC."""
    window = Window("t", since=dt.datetime(2024, 2, 29, 13, tzinfo=NOON_IN_PARIS))
    rows = pa.record_batch({"t": array([START - MICROSECOND, START])})
    assert window.rows(rows).num_rows == 1
    assert window.holds(Span(START, START, 0))


@pytest.mark.parametrize("bound", ["since", "until"])
def test_a_wall_clock_is_no_bound(bound):
    """The bound is named and shown how to be written; the time itself is not repeated."""
    with pytest.raises(DataError, match="with a time zone") as caught:
        Window("t", **{bound: dt.datetime(2031, 7, 9)})  # noqa: DTZ001 - the mistake
    assert (caught.value.code, caught.value.path) == ("DAT081", bound)
    assert "2031" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "bounded"),
    [(pa.timestamp("us"), "DAT081"), (pa.timestamp("ms", "UTC"), "DAT081"), (pa.int64(), "DAT081")],
)
def test_only_instants_are_compared_with_a_bound(kind, bounded):
    """Without a bound nothing is compared, so any column will do; one that is not there never does."""
    schema = pa.schema([("t", kind)])
    Window("t").check(schema)
    with pytest.raises(DataError, match=bounded) as caught:
        Window("t", until=START).check(schema)
    assert str(kind) in caught.value.message
    with pytest.raises(DataError, match="DAT045"):
        Window("s").check(schema)


def test_which_columns_have_a_span():
    """Instants in UTC to the microsecond, as a log keeps them."""
    schema = pa.schema([("a", INSTANT), ("b", pa.timestamp("us")), ("c", pa.date32()), ("d", INSTANT)])
    assert list(instants_of(schema)) == ["a", "d"]


def test_a_log_takes_missing_values_everywhere():
    """Names, types and their order stay."""
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])
    assert nullable(schema) == pa.schema([("a", pa.int64()), ("b", pa.string())])


def test_columns_that_are_new_to_a_log():
    """In the order of the batch; a batch that has fewer brings none."""
    known = pa.schema([("a", pa.int64()), ("b", pa.string())])
    found = pa.schema([("z", pa.bool_()), ("b", pa.string()), ("c", pa.float64())])
    assert [field.name for field in new_columns(known, found)] == ["z", "c"]
    assert new_columns(known, pa.schema([("b", pa.string())])) == []


@pytest.mark.parametrize(
    ("field", "code"),
    [(("a", pa.int32()), "DAT080"), (("A", pa.int64()), "DAT011"), (("c", pa.uint8()), "DAT027")],
)
def test_a_column_that_the_log_cannot_take(field, code):
    """Another type than before, a name that differs in case only, a type that no table holds."""
    with pytest.raises(DataError, match=code) as caught:
        new_columns(pa.schema([("a", pa.int64())]), pa.schema([field]))
    assert caught.value.path in {"a", "A", "c"}
    assert caught.value.fix
