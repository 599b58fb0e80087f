"""Axes: room for everything, round marks, times in words."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.page.scales import names_scale, scale_of

JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
VALUES = st.lists(st.floats(-1e250, 1e250) | st.floats(-1, 1), min_size=1, max_size=20)


@settings(deadline=None)
@given(VALUES, st.booleans(), st.booleans())
def test_everything_has_a_place_and_marks_are_few_and_rising(values, zero, tight):
    """Percents between the ends, on any axis of numbers."""
    scale = scale_of(values, zero=zero, tight=tight)
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)
    places = [scale.at(mark) for mark, _ in scale.marks]
    assert places == sorted(places)
    assert len(places) <= 11
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in places)
    assert not zero or -1e-6 <= scale.at(0.0) <= 100 + 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_a_logarithmic_axis_has_equal_factors(values):
    """Ten is as far from one as a hundred from ten."""
    scale = scale_of(values, log=True)
    assert scale.is_log
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in values)
    assert scale.at(10.0) - scale.at(1.0) == pytest.approx(scale.at(100.0) - scale.at(10.0))
    assert len(scale.marks) <= 9


def test_where_no_logarithm_is_the_axis_is_a_plain_one():
    """Zero has none."""
    assert not scale_of([0.0, 10.0], log=True).is_log


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([3, None, float("nan"), float("inf"), 12], ["2", "4", "6", "8", "10", "12"]),
        ([0.0, 1_000_000], ["0", "200,000", "400,000", "600,000", "800,000", "1,000,000"]),
        ([-0.5, 0.5], ["-0.6", "-0.4", "-0.2", "0.0", "0.2", "0.4", "0.6"]),
        ([7], ["2", "4", "6", "8", "10", "12"]),
        ([0, 0.25], ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]),
    ],
)
def test_marks_are_round(values, marks):
    """All with the same digits; what has no place is passed over; one value stands in the middle."""
    assert [text for _, text in scale_of(values).marks] == marks


@pytest.mark.parametrize(
    ("lasts", "first", "some"),
    [
        (dt.timedelta(minutes=20), "1 Jun 2026", "00:10"),
        (dt.timedelta(hours=20), "1 Jun 2026", "12:00"),
        (dt.timedelta(days=4), "1 Jun 2026", "3 Jun"),
        (dt.timedelta(days=40), "4 Jun 2026", "2 Jul"),
        (dt.timedelta(days=150), "Jun 2026", "Sep"),
        (dt.timedelta(days=700), "Jul", "2027"),
        (dt.timedelta(days=9000), "2030", "2040"),
        (dt.timedelta(0), "31 May 2026", "1 Jun"),
    ],
)
def test_times_are_marked_by_hours_days_months_or_years(lasts, first, some):
    """As fits; the first says the day or the year unless another does."""
    scale = scale_of([JUNE, None, JUNE + lasts])
    marks = [text for _, text in scale.marks]
    assert marks[0] == first
    assert some in marks
    assert 2 <= len(marks) <= 9
    assert all(0 <= scale.at(place) <= 100 for place, _ in scale.marks)


def test_a_time_without_a_zone_is_of_utc():
    """So a page is the same wherever it is made."""
    naive = [dt.datetime(2026, 6, 1), dt.datetime(2026, 6, 3)]  # noqa: DTZ001 - what is tested
    assert scale_of(naive) == scale_of([JUNE, JUNE + dt.timedelta(days=2)])
    assert scale_of(naive).told(naive[0]) == "2026-06-01 00:00"


def test_names_stand_side_by_side():
    """Each once, in the order they come."""
    scale = names_scale(["b", "a", "b"])
    assert scale.names == ("b", "a")
    assert [scale.at(place) for place, _ in scale.marks] == [25.0, 75.0]
    assert scale.told(1) == "a"
    assert names_scale([]).marks == ()
