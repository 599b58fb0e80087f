"""Windows of event time: on one grid, half-open, and read from what people type."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.errors import UsageError
from mlkit.production.windows import (
    GRID,
    Span,
    duration_text,
    last_full,
    read_duration,
    read_time,
    spans,
)

DAY, WEEK = dt.timedelta(days=1), dt.timedelta(days=7)
NOON = dt.datetime(2026, 6, 10, 12, tzinfo=dt.UTC)  # a Wednesday


def test_weeks_begin_on_mondays_and_days_at_midnight():
    """Whoever asks in the same week gets the same window."""
    assert last_full(WEEK, now=NOON) == Span(NOON.replace(day=1, hour=0), NOON.replace(day=8, hour=0))
    assert last_full(DAY, now=NOON).until == NOON.replace(hour=0)
    assert str(last_full(dt.timedelta(hours=6), now=NOON)) == "2026-06-10T06:00:00Z to 2026-06-10T12:00:00Z"
    assert last_full(WEEK, now=NOON.astimezone(dt.timezone(dt.timedelta(hours=9)))).since.isoweekday() == 1


@given(
    st.datetimes(dt.datetime(1980, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    st.integers(1, 400),
)
def test_the_last_full_window_has_ended_and_is_the_newest(now, hours):
    """On the grid, not after now, and with no room for another one behind it."""
    width = dt.timedelta(hours=hours)
    found = last_full(width, now=now)
    assert found.until <= now < found.until + width
    assert (found.since - GRID) % width == dt.timedelta(0)
    assert found.width == width


def test_windows_follow_one_another():
    """No instant is in two of them or between them; what would end later is left out."""
    june = NOON.replace(day=1, hour=0)
    found = spans(WEEK, now=NOON, since=june, until=june + 3 * WEEK + DAY)
    assert [span.since for span in found] == [june, june + WEEK, june + 2 * WEEK]
    assert all(left.until == right.since for left, right in itertools.pairwise(found))
    assert spans(WEEK, now=NOON) == [last_full(WEEK, now=NOON)]
    assert spans(WEEK, now=NOON, until=june) == [Span(june - WEEK, june)]
    assert spans(DAY, now=NOON, since=june)[-1].until == NOON.replace(hour=0)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: Span(NOON, NOON), "CLI060"),
        (lambda: spans(WEEK, now=NOON, since=NOON - DAY, until=NOON), "CLI060"),
        (lambda: spans(WEEK, now=NOON, until=dt.datetime(1, 1, 3, tzinfo=dt.UTC)), "CLI060"),
        (lambda: spans(dt.timedelta(minutes=1), now=NOON, since=NOON - WEEK), "CLI061"),
        (lambda: read_time("yesterday", path="since"), "CLI062"),
        (lambda: read_duration("7", path="every"), "CLI062"),
        (lambda: read_duration("0d", path="every"), "CLI062"),
        (lambda: read_duration("1y", path="every"), "CLI062"),
    ],
)
def test_windows_that_are_none(call, code):
    """A usage error that shows what to type."""
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.fix


def test_times_and_durations_as_people_type_them():
    """Without a zone a time is UTC."""
    assert read_time("2026-06-10", path="since") == NOON.replace(hour=0)
    assert read_time("2026-06-10T14:00+02:00", path="since") == NOON
    assert read_time("2026-06-10T12:00:00Z", path="since") == NOON
    for text in ("30m", "6h", "7d"):
        assert duration_text(read_duration(text, path="every")) == text
    assert read_duration("2w", path="every") == 2 * WEEK
    assert duration_text(dt.timedelta(seconds=90)) == "0:01:30"
