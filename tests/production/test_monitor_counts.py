"""Windows as integers: every row is counted once, left out for one reason, or of another model."""

from __future__ import annotations

import collections
import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlkit.data.drift import count, make_bins
from mlkit.errors import DataError
from mlkit.production.prediction_log import STAMPS, PredictionLog
from mlkit.production.window_counts import Kind, count_future, count_window, survey
from mlkit.production.windows import Span
from tests.production.watching import JUNE, WEEK

SPAN = Span(JUNE, JUNE + WEEK)
BINS = {
    "prediction": make_bins(pa.array(np.linspace(0, 10, 200))),
    "input_city": make_bins(pa.array(["rome", "oslo", "rome", "oslo", "bern", "bern"])),
}


@pytest.fixture
def answers(workspace):
    """An empty prediction log."""
    return PredictionLog(workspace.engine, "flights")


def rows(number, *, seed=0, **said):
    """Rows of a log, all within the first week of June unless said otherwise."""
    generator = np.random.default_rng(seed)
    values = {
        "request_id": [f"{seed}-{place}" for place in range(number)],
        "row_id": [f"{place:032x}" for place in range(number)],
        "event_time": [
            JUNE + dt.timedelta(minutes=int(place)) for place in generator.integers(0, 10_000, number)
        ],
        "logged_at": [JUNE + dt.timedelta(hours=1)] * number,
        "version": [1] * number,
        "model_id": ["m-1"] * number,
        "seq": [1] * number,
        "source": ["score"] * number,
        "traffic": ["production"] * number,
        "batch": [""] * number,
        "prediction": generator.normal(5, 4, number),
        "input_city": generator.choice(["rome", "oslo", "cork"], number),
        **{name: value if isinstance(value, list) else [value] * number for name, value in said.items()},
    }
    kinds = {
        **{field.name: field.type for field in STAMPS},
        "prediction": pa.float64(),
        "input_city": pa.string(),
    }
    return pa.table({name: pa.array(value, kinds.get(name)) for name, value in values.items()})


def counted(answers, *, model_id="m-1", span=SPAN, bins=BINS):
    """Survey, then count."""
    seen = survey(answers, span)
    return count_window(answers, span, model_id=model_id, bins=bins, seen=seen)


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_is_counted_as_by_hand(answers, seed):
    """Models, traffic, sources, repeats over batches, late rows: as pandas finds them in one table."""
    generator = np.random.default_rng(seed)
    batches = []
    for number in range(6):
        size = int(generator.integers(1, 400))
        made = rows(
            size,
            seed=seed * 10 + int(generator.integers(0, 3)),
            model_id=generator.choice(["m-1", "m-2"], size, p=[0.8, 0.2]).tolist(),
            traffic=generator.choice(["production", "health"], size, p=[0.9, 0.1]).tolist(),
            source=generator.choice(["score", "serve"], size).tolist(),
            logged_at=[
                SPAN.until + dt.timedelta(seconds=int(second)) for second in generator.integers(-9, 9, size)
            ],
        )
        answers.add(made, batch=f"b{number}")
        batches.append(made.to_pandas())
    everything = pd.concat(batches)
    inside = everything[(everything["event_time"] >= SPAN.since) & (everything["event_time"] < SPAN.until)]
    mine = inside[(inside["traffic"] == "production") & (inside["model_id"] == "m-1")]
    served = mine[mine["source"] == "serve"]
    kept = pd.concat(
        [
            mine[mine["source"] == "score"],
            served.drop_duplicates(["request_id", "row_id", "prediction", "input_city"]),
        ]
    )
    seen, found = survey(answers, SPAN), counted(answers)
    assert seen.models == inside[inside["traffic"] == "production"].groupby("model_id").size().to_dict()
    assert seen.other_traffic == int((inside["traffic"] != "production").sum())
    assert (found.rows, found.repeated) == (len(kept), len(mine) - len(kept))
    for name, bins in BINS.items():
        assert found.counts[name] == count(pa.array(kept[name]), bins)
    assert found.late == int((mine["logged_at"] >= SPAN.until).sum())


def test_repeats_are_found_over_many_batches(answers):
    """However far apart they were logged."""
    for number in range(12):
        answers.add(rows(200, seed=number % 4, source="serve"), batch=f"b{number}")
    found = counted(answers)
    inside = sum(survey(answers, SPAN).rows.values())
    assert (found.rows + found.repeated, found.repeated) == (inside, inside * 2 // 3)
    assert found.counts["prediction"].total == found.rows


def test_a_scored_batch_keeps_rows_that_look_alike(answers):
    """Without a key two equal rows are two observations; a batch stands in the log once anyway."""
    twins = pa.concat_tables([rows(50), rows(50)])
    assert answers.add(twins, batch="a")
    assert not answers.add(twins, batch="a")
    found = counted(answers)
    assert (found.repeated, found.rows) == (0, sum(survey(answers, SPAN).rows.values()))


def test_rows_that_come_between_survey_and_count_are_not_mixed_in(answers):
    """What was uniform when it was looked at may no longer be: then each row is asked again."""
    answers.add(rows(300), batch="a")
    before = counted(answers)
    seen = survey(answers, SPAN)
    assert seen.mixed == []
    answers.add(rows(300, seed=1, model_id="m-2"), batch="b")
    answers.add(rows(300, seed=2, traffic="shadow"), batch="c")
    after = count_window(answers, SPAN, model_id="m-1", bins=BINS, seen=seen)
    assert after == before


def test_columns_that_came_later_or_never(answers):
    """A batch without a column has no value there; one that the log never had is left out."""
    answers.add(rows(40).drop_columns(["input_city"]), batch="a")
    assert set(counted(answers).counts) == {"prediction"}
    answers.add(rows(60, seed=1), batch="b")
    found = counted(answers)
    assert found.counts["input_city"].total == found.rows
    missing = dict(zip(BINS["input_city"].labels, found.counts["input_city"].numbers, strict=True))["missing"]
    late = rows(60, seed=1).to_pandas()
    assert missing == found.rows - int((late["event_time"] < SPAN.until).sum())


def test_a_column_of_another_type_is_an_error(answers):
    """Texts do not fall into bins of numbers."""
    answers.add(rows(10), batch="a")
    with pytest.raises(DataError):
        counted(answers, bins={"input_city": BINS["prediction"]})


def test_bounds_are_half_open_and_the_future_is_counted_apart(answers):
    """The first instant is inside, the last is not; nothing at all is no survey."""
    assert survey(answers, SPAN) is None
    assert count_future(answers, JUNE) == 0
    edges = [
        SPAN.since,
        SPAN.until - dt.timedelta(microseconds=1),
        SPAN.until,
        SPAN.since - dt.timedelta(days=1),
    ]
    answers.add(rows(4, event_time=edges), batch="a")
    assert survey(answers, SPAN).rows == {Kind("m-1", "production", "score"): 2}
    assert [count_future(answers, edge) for edge in edges] == [3, 2, 1, 4]
    assert survey(answers, Span(JUNE + 5 * WEEK, JUNE + 6 * WEEK)).models == {}


def test_a_model_id_is_never_read_as_code(answers):
    """Nor are the words of a source."""
    strange = "m' OR '1'='1"
    answers.add(rows(20, model_id=strange), batch="a")
    answers.add(rows(30, seed=1), batch="b")
    kinds = collections.Counter(survey(answers, SPAN).models)
    assert counted(answers, model_id=strange).rows == kinds[strange]
    assert counted(answers).rows == kinds["m-1"]
