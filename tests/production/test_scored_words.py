"""What a scorer, its log rows and the report of a run say, without any store."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlkit.data.column import Column
from mlkit.data.contract import Contract
from mlkit.digest.fingerprint import lanes
from mlkit.errors import DataError, StudyError
from mlkit.production.prediction_log import INPUT, STAMPS, PredictionLog, input_type, log_rows
from mlkit.production.score_report import QUANTILES, ScoreReport, Summary, named, shares
from mlkit.production.scorer import Scorer, hex_of

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
DTYPES = {
    "id": "int64",
    "hour": "int32",
    "miles": "float64",
    "fare": "decimal(20,4)",
    "is_ua": "bool",
    "day": "date",
    "gate": "string",
    "delay": "float64",
}
FEATURES = ("hour", "miles", "fare", "is_ua", "day", "gate")


class Twice:
    """An estimator that answers twice the hour."""

    def predict(self, frame):
        """(n,) float64."""
        return frame["hour"].to_numpy() * 2.0


def scorer(**changes) -> Scorer:
    """A version that no store has made."""
    values = {
        "version": 3,
        "model_id": "m-3",
        "seq": 7,
        "manifest_digest": "d",
        "task": "regression",
        "contract": Contract.from_values(
            {"columns": {name: {"dtype": dtype, "nullable": True} for name, dtype in DTYPES.items()}},
            path="contract",
        ),
        "features": FEATURES,
        "key": ("id",),
        "target": "delay",
        "inputs": FEATURES,
        "folder": Path(),
        "estimator": Twice(),
        "code": contextlib.nullcontext,
        "config": {"name": "p", "source": {"table": "features.trips"}},
    }
    return Scorer(**{**values, **changes})


def trips(**changes) -> pa.Table:
    """Three rows in the types of the contract."""
    fares = [decimal.Decimal(text) for text in ("0.1000", "9007199254740993.0001", "-2.5000")]
    values = {
        "id": pa.array([1, 2, 3], pa.int64()),
        "hour": pa.array([5, 6, 7], pa.int32()),
        "miles": pa.array([1.5, float("nan"), -0.0]),
        "fare": pa.array(fares, pa.decimal128(20, 4)),
        "is_ua": pa.array([True, None, False]),
        "day": pa.array([dt.date(2026, 6, 1), None, dt.date(1969, 12, 31)]),
        "gate": pa.array(["ä", "", None]),
    }
    return pa.table({**values, **changes})


def logged(made, rows, predictions=None, **changes) -> pa.Table:
    """Rows of the log."""
    told = pa.table({"prediction": [1.0] * len(rows)}) if predictions is None else predictions
    options = {"request_id": "r", "event_time": NOON, "source": "serve", "batch": "b", **changes}
    return log_rows(made, rows, told, **options)


def test_answers_follow_the_rows_and_not_their_columns():
    """Columns may stand in any order, and further ones beside them."""
    rows = trips(hour=pa.array([5, 6, 7], pa.int64()), further=pa.array(["x"] * 3))
    turned = rows.select(rows.column_names[::-1]).take([2, 0, 1])
    assert scorer().predict(rows)["prediction"].to_pylist() == [10.0, 12.0, 14.0]
    assert scorer().predict(turned)["prediction"].to_pylist() == [14.0, 10.0, 12.0]
    assert list(scorer().frame(turned).columns) == list(FEATURES)


def test_what_the_model_brought_along_stands_around_it():
    """While it predicts, and not while rows are checked."""
    seen = []

    @contextlib.contextmanager
    def code():
        seen.append("in")
        yield
        seen.append("out")

    made = scorer(code=code)
    made.frame(trips())
    assert seen == []
    made.predict(trips())
    assert seen == ["in", "out"]


def test_a_model_of_spark_answers_only_there():
    """Rows are not even looked at."""
    made = scorer(config={"name": "p", "serialization": "spark"})
    assert made.in_spark
    with pytest.raises(StudyError) as caught:
        made.predict(pa.table({}))
    assert (caught.value.code, caught.value.path) == ("RUN025", "v3")
    assert not scorer().in_spark


def test_features_that_are_missing_are_all_named():
    """The first as the place, at most twenty in the way out."""
    wide = scorer(features=tuple(f"f{n}" for n in range(30)))
    with pytest.raises(DataError, match="v3 needs 29 more of its 30 features") as caught:
        wide.check_features(["f3", "other"])
    assert (caught.value.code, caught.value.path) == ("DAT045", "f0")
    assert caught.value.fix.endswith("f19, f20")
    wide.check_features([f"f{n}" for n in range(30)])


def test_rows_are_told_apart_by_their_key_in_whatever_type_it_comes():
    """By all features where the key is not there, or there is none."""
    rows, made = trips(), scorer()
    ids = made.row_ids(rows)
    narrow = trips(id=pa.array([1, 2, 3], pa.int16()), hour=pa.array([0, 0, 0], pa.int32()))
    assert made.row_ids(narrow).equals(ids)
    bare = made.row_ids(rows.drop_columns(["id"]))
    assert not bare.equals(ids)
    assert scorer(key=()).row_ids(rows).equals(bare)
    assert not scorer(key=()).row_ids(narrow).equals(bare)
    assert made.row_ids(rows.slice(1, 1)).to_pylist() == ids.to_pylist()[1:2]
    pair = scorer(key=("id", "day"))
    assert len(set(pair.row_ids(rows).to_pylist()) | set(ids.to_pylist())) == 6
    assert pair.row_ids(rows.drop_columns(["day"]).append_column("day", rows["day"])).equals(
        pair.row_ids(rows)
    )
    assert len(made.row_ids(rows.slice(0, 0))) == 0


@given(arrays(np.int64, st.tuples(st.just(2), st.integers(0, 20)), elements=st.integers(-(2**63), 2**63 - 1)))
def test_lanes_as_text_are_two_numbers_of_sixteen_digits(found):
    """Negative ones as their two's complement."""
    expected = [f"{int(a) % 2**64:016x}{int(b) % 2**64:016x}" for a, b in found.T]
    text = hex_of(found)
    assert text.to_pylist() == expected
    text.validate(full=True)


def test_ids_are_the_digits_of_the_lanes():
    """The same lanes that stand behind every fingerprint."""
    rows = trips()
    assert scorer().row_ids(rows).equals(hex_of(lanes(rows.select(["id"]))))


def test_inputs_are_logged_in_types_that_outlive_a_change():
    """Numbers as float64, correctly rounded; what is missing stays missing."""
    found = logged(scorer(), trips())
    kinds = {name.removeprefix(INPUT): found.schema.field(name).type for name in found.column_names[11:]}
    number, text = pa.float64(), pa.string()
    assert kinds == {
        **dict.fromkeys(("hour", "miles", "fare"), number),
        "is_ua": pa.bool_(),
        "day": pa.date32(),
        "gate": text,
    }
    assert found["input_fare"].to_pylist() == [0.1, 9007199254740993.0001, -2.5]
    assert found["input_hour"].to_pylist() == [5.0, 6.0, 7.0]
    assert found["input_gate"].to_pylist() == ["ä", "", None]
    assert found["input_is_ua"].to_pylist() == [True, None, False]
    assert [input_type(Column(dtype=dtype)) for dtype in ("int8", "float32", "timestamp_utc")] == [
        number,
        number,
        pa.timestamp("us", "UTC"),
    ]


def test_every_row_says_who_answered_and_when():
    """Stamps first and in their types, also of no rows at all."""
    found = logged(scorer(inputs=()), trips(), traffic="canary")
    assert found.schema.names == [*STAMPS.names, "prediction"]
    assert all(found.schema.field(field.name).type == field.type for field in STAMPS)
    first = found.slice(0, 1).to_pylist()[0]
    assert [first[name] for name in ("version", "model_id", "seq", "source", "traffic", "batch")] == [
        *(3, "m-3", 7, "serve", "canary", "b"),
    ]
    assert first["event_time"] == NOON
    assert abs(first["logged_at"] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    none = logged(scorer(), trips().slice(0, 0))
    assert (none.num_rows, none.schema.names[:10]) == (0, STAMPS.names)


def test_times_of_other_zones_and_units_are_the_same_instants():
    """One for all rows, or one each."""
    there = dt.timezone(dt.timedelta(hours=5, minutes=30))
    found = logged(scorer(), trips(), event_time=NOON.astimezone(there))
    assert found["event_time"].to_pylist() == [NOON] * 3
    each = pa.array([NOON, NOON + dt.timedelta(seconds=1), None], pa.timestamp("ns", "Asia/Kolkata"))
    found = logged(scorer(), trips(), event_time=each, request_id=pa.array(["a", "b", "c"]))
    assert found["event_time"].to_pylist() == [NOON, NOON + dt.timedelta(seconds=1), None]
    assert found["request_id"].to_pylist() == ["a", "b", "c"]


def test_numbers_are_logged_as_they_are_and_classes_as_texts():
    """Also in several chunks with classes of their own; a regression keeps every bit."""
    chunks = pa.chunked_array([pa.array([2, 10]), pa.array([10])])
    classes = pa.table({"prediction": chunks, "probability_2": [0.5, 0.25, 0.0]})
    found = logged(scorer(task="multiclass"), trips(), classes)
    assert found["prediction"].to_pylist() == ["2", "10", "10"]
    assert found["probability_2"].to_pylist() == [0.5, 0.25, 0.0]
    numbers = pa.table({"prediction": [0.1, -0.0, float("inf")]})
    assert str(logged(scorer(), trips(), numbers)["prediction"].to_pylist()) == "[0.1, -0.0, inf]"


def test_an_input_of_another_type_is_named():
    """With its column."""
    with pytest.raises(DataError) as caught:
        logged(scorer(), trips(hour=pa.array(["five"] * 3)))
    assert caught.value.path == "hour"


def test_the_log_gives_windows_and_takes_later_columns(workspace):
    """From the beginning on and before the end; what an older batch lacks is missing in it."""
    log = PredictionLog(workspace.engine, "p")
    times = [NOON + dt.timedelta(hours=hour) for hour in range(3)]
    old = logged(scorer(inputs=()), trips(), event_time=pa.array(times, pa.timestamp("us", "UTC")))
    assert log.add(old, batch="one")
    assert log.add(logged(scorer(inputs=("gate",)), trips().slice(0, 1)).to_reader(), batch="two")
    assert not log.add(old.slice(0, 1), batch="one")
    inside = log.window(since=times[0], until=times[2], columns=["input_gate", "event_time"]).read_all()
    found = sorted(inside.to_pylist(), key=lambda row: (row["event_time"], row["input_gate"] or ""))
    assert [row["input_gate"] for row in found] == [None, "ä", None]
    assert log.window(since=times[2]).read_all()["event_time"].to_pylist() == [times[2]]
    with pytest.raises(DataError, match="DAT080"):
        log.add(old.set_column(10, "prediction", pa.array(["a", "b", "c"])), batch="three")
    assert log.window().read_all().num_rows == 4


CHUNKS = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), min_size=1, max_size=5)


@given(CHUNKS)
def test_a_small_run_is_summed_up_exactly(chunks):
    """Whatever its chunks, and though they come one by one."""
    summary, everything = Summary("regression"), np.concatenate([np.array(chunk) for chunk in chunks])
    for chunk in chunks:
        summary.add(pa.chunked_array([chunk]))
    found = summary.values()
    assert summary.rows == len(everything)
    assert list(found) == ["mean", "p5", "p25", "p50", "p75", "p95"]
    assert found["mean"] == pytest.approx(everything.mean(), abs=1e-6)
    assert list(found.values())[1:] == np.quantile(everything, QUANTILES).tolist()


def test_a_large_chunk_is_sampled_evenly_and_not_at_its_beginning():
    """Quantiles of a hundred thousand rows in order are near the true ones; the mean is exact."""
    summary = Summary("regression")
    summary.add(pa.chunked_array([np.arange(100_000.0)]))
    found = summary.values()
    assert found["mean"] == 49_999.5
    assert found["p5"] == pytest.approx(5_000, abs=500)
    assert found["p95"] == pytest.approx(95_000, abs=500)


def test_shares_are_those_of_the_most_frequent_classes():
    """Ten of them, equals by name; of all rows, so that they need not add up to one."""
    summary = Summary("multiclass")
    summary.add(pa.chunked_array([["b", "a", "c"], ["c"]]))
    summary.add(pa.chunked_array([["c", "c"]]))
    assert list(summary.values().items()) == [("c", 4 / 6), ("a", 1 / 6), ("b", 1 / 6)]
    found = shares({f"k{n:02}": n + 1 for n in range(12)})
    assert list(found) == [f"k{n:02}" for n in range(11, 1, -1)]
    assert sum(found.values()) == pytest.approx(75 / 78)
    truth = Summary("binary")
    truth.add(pa.chunked_array([[True, False, True, True]]))
    assert truth.values() == {"True": 0.75, "False": 0.25}
    assert (Summary("binary").values(), Summary("regression").values()) == ({}, {})
    assert named([1.0, 2.0, 3.0, 4.0, 5.0]) == {"p5": 1.0, "p25": 2.0, "p50": 3.0, "p75": 4.0, "p95": 5.0}


REPORT = ScoreReport("p", 3, "m-3", "nightly", "features.trips", rows=12_000, logged=12_000, seconds=1.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "12,000 rows scored  p v3  in 1.5 s  8,000 rows/s"),
        ({"seconds": 0.0}, "in 0.0 s  0 rows/s"),
        ({"summary": {"mean": 1234567.0, "p5": 0.1}}, "answers mean 1.23457e+06  p5 0.1"),
        (
            {"logged": 0, "notes": ("nothing was added",)},
            "log     0 rows as nightly\n  note: nothing was added",
        ),
        ({"output": "<out>.csv"}, "  output  <out>.csv"),
    ],
)
def test_a_report_says_what_was_answered_and_where_it_is(changes, said):
    """And what to do next; the page of a notebook says the same."""
    report = dataclasses.replace(REPORT, **changes)
    assert said in repr(report)
    assert ("output" in repr(report)) is bool(report.output)
    assert ("answers" in repr(report)) is bool(report.summary)
    assert repr(report).endswith("next    mlkit monitor p")
    assert report._repr_html_() == f"<pre>{repr(report).replace('<', '&lt;').replace('>', '&gt;')}</pre>"
    assert json.loads(json.dumps(report.to_dict()))["rows_per_second"] == (8000 if report.seconds else 0)
