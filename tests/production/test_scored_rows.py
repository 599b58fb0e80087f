"""Rows to be scored wherever they are, and places for answers, of a version that no store has made."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mlkit.engines.base import TableName
from mlkit.errors import DataError, MlkitError, StoreError, UsageError
from mlkit.production.score_output import STAMPS, answer_rows, check_output, writing
from mlkit.production.score_rows import open_given
from tests.production.test_scored_words import FEATURES, NOON, logged, scorer, trips

TRIPS = TableName("features", "trips")
OWN = '''\
"""A user's module."""


def prepare(frame):
    """Rows with a feature that is made."""
    return frame.assign(hour=frame["minute"] // 60)
'''
MADE = {"columns": {name: {"dtype": "int64"} for name in ("id", "hour", "delay")}}


def small(**changes):
    """A version of one feature, made of its source by the user's function."""
    source = {"table": "features.trips", "prepare": "own_prepare:prepare"}
    contract = type(scorer().contract).from_values(MADE, path="contract")
    return scorer(features=("hour",), contract=contract, config={"name": "p", "source": source}, **changes)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's in the working directory."""
    (tmp_path / "own_prepare.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "own_prepare", raising=False)
    yield
    __import__("sys").modules.pop("own_prepare", None)


def columns(given) -> list:
    """Columns of the rows, which are those that were promised."""
    found = given.rows.read_all()
    assert tuple(found.column_names) == given.columns
    return found.column_names


def test_only_what_is_needed_is_taken_key_first(workspace):
    """Features, key, and what was asked for beside; whatever else the rows have stays behind."""
    rows = trips(note=["x"] * 3, at=[NOON] * 3)
    given = open_given(rows, scorer(), workspace.engine, further=["at"])
    assert columns(given) == ["id", *FEATURES, "at"]
    assert (given.origin, given.total) == ("the dataframe", 3)
    bare = open_given(rows.drop_columns(["id"]), scorer(), workspace.engine, further=["gate"])
    assert columns(bare) == list(FEATURES)


def test_rows_have_an_identity_by_what_is_needed_of_them(workspace):
    """Other columns beside them change nothing, other values do; a stream has none."""
    engine = workspace.engine
    first = open_given(trips(), scorer(), engine).identity
    assert open_given(trips(note=["x"] * 3), scorer(), engine).identity == first
    assert open_given(trips(id=pa.array([1, 2, 4])), scorer(), engine).identity != first
    stream = open_given(trips(note=["x"] * 3).to_reader(), scorer(), engine)
    assert (stream.identity, stream.total, stream.origin) == ("", None, "the stream")
    assert columns(stream) == ["id", *FEATURES]


def test_a_table_is_taken_at_the_version_it_has_now(workspace):
    """Rows that come later are not scored, and name the table otherwise."""
    engine = workspace.engine
    engine.create(TRIPS, trips().to_reader())
    before = open_given("trips", scorer(), engine)
    engine.append(TRIPS, trips().to_reader(), expected_version=engine.describe(TRIPS).version)
    after = open_given("features.trips", scorer(), engine)
    assert (before.total, after.total) == (3, 6)
    assert before.rows.read_all().num_rows == 3
    assert before.identity != after.identity
    assert before.identity.startswith("features.trips@")
    own = open_given(None, scorer(), engine)
    assert sorted(own.rows.read_all()["hour"].to_pylist()) == [5, 5, 6, 6, 7, 7]


def test_a_file_is_told_by_its_bytes(workspace, tmp_path):
    """A copy is the same; parquet knows its rows beforehand, csv takes the types of the contract."""
    rows = trips()
    pq.write_table(rows, tmp_path / "a.parquet")
    pq.write_table(rows, tmp_path / "b.parquet")
    pyarrow.csv.write_csv(rows, tmp_path / "a.csv")
    first, copy, text = (
        open_given(tmp_path / name, scorer(), workspace.engine)
        for name in ("a.parquet", "b.parquet", "a.csv")
    )
    assert first.identity == copy.identity
    assert (first.total, text.total) == (3, None)
    assert first.origin == str(tmp_path / "a.parquet")
    found = text.rows.read_all()
    assert found.schema.field("hour").type == pa.int32()
    assert found["is_ua"].to_pylist() == [True, None, False]
    assert found["day"].to_pylist()[2] == dt.date(1969, 12, 31)
    assert first.rows.read_all()["fare"].equals(rows["fare"])


@pytest.mark.parametrize(
    ("data", "options", "code", "path"),
    [
        ("gone.parquet", {}, "CLI052", "gone.parquet"),
        ("gone.csv", {"prepare": None}, "CLI052", "gone.csv"),
        ("features.gone", {}, "STO010", "features.gone"),
        ("secrets.trips", {}, "NAM007", "secrets.trips"),
        (trips(), {"prepare": True}, "CLI053", "prepare"),
        (trips(), {"further": ["at"]}, "DAT082", "at"),
        (trips().drop_columns(["gate"]), {}, "DAT045", "gate"),
        (trips().drop_columns(["gate"]).to_reader(), {}, "DAT045", "gate"),
        (trips().slice(0, 0), {}, "DAT002", None),
        (pd.DataFrame({name: [] for name in FEATURES}), {}, "DAT002", None),
    ],
)
def test_what_cannot_be_taken_is_named_before_any_row_is_read(workspace, data, options, code, path):
    """Files, tables, columns, and rows that are none."""
    with pytest.raises(MlkitError) as caught:
        open_given(data, scorer(), workspace.engine, **options)
    assert caught.value.code == code
    assert path is None or caught.value.path == path


def test_empty_and_damaged_files_are_named(workspace, tmp_path):
    """With their path and never with what stands in them."""
    pq.write_table(trips().slice(0, 0), tmp_path / "none.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "cut.csv").write_text("")
    for name, code in (("none.parquet", "DAT002"), ("cut.parquet", "DAT057"), ("cut.csv", "DAT057")):
        with pytest.raises(DataError) as caught:
            open_given(tmp_path / name, scorer(), workspace.engine)
        assert caught.value.code == code
    rows = ",".join(["id", *FEATURES]) + "\n1,secret,1,1,true,2026-06-01,x\n"
    (tmp_path / "odd.csv").write_text(rows)
    with pytest.raises(DataError, match="DAT057") as caught:
        open_given(tmp_path / "odd.csv", scorer(), workspace.engine).rows.read_all()
    assert "secret" not in str(caught.value)


def test_prepare_is_for_the_source_and_for_others_where_asked(workspace, own, tmp_path):
    """The config's own table is prepared by whatever name it comes; other rows are as they are."""
    raw, engine = pa.table({"id": [1, 2], "minute": [60, 150]}), workspace.engine
    engine.create(TRIPS, raw.to_reader())
    for data in (None, "features.trips"):
        given = open_given(data, small(), engine)
        assert given.rows.read_all().sort_by("id").to_pydict() == {"id": [1, 2], "hour": [1, 2]}
    assert given.origin == "features.trips -> own_prepare:prepare"
    pq.write_table(raw, tmp_path / "raw.parquet")
    for data in (raw, raw.to_pandas(), tmp_path / "raw.parquet"):
        found = open_given(data, small(), engine, prepare=True).rows.read_all()
        assert sorted(found["hour"].to_pylist()) == [1, 2]
    with pytest.raises(DataError, match="DAT045") as caught:
        open_given(raw, small(), engine)
    assert "--prepare" in caught.value.fix
    made = pa.table({"hour": [9]})
    assert open_given(made, small(), engine).rows.read_all().to_pydict() == {"hour": [9]}


def answers(rows=None) -> pa.Table:
    """Answers as a caller gets them."""
    rows = trips() if rows is None else rows
    predictions = pa.table({"prediction": [1.0] * len(rows), "probability_a": [0.5] * len(rows)})
    return answer_rows(rows, ("id", "day"), predictions, logged(scorer(), rows))


def test_answers_begin_with_the_key_as_far_as_rows_have_it():
    """Then what the model said, then who said it when."""
    names = ["prediction", "probability_a", *STAMPS]
    assert answers().column_names == ["id", "day", *names]
    assert answers(trips().drop_columns(["id"])).column_names == ["day", *names]
    assert answers()["model_id"].to_pylist() == ["m-3"] * 3
    assert answers()["id"].type == pa.int64()


@pytest.mark.parametrize("name", ["prediction", "version", "event_time", "row_id"])
def test_a_key_that_an_answer_has_already_is_refused(name):
    """No column is written over another."""
    rows = trips(**{name: [1, 2, 3]})
    with pytest.raises(DataError) as caught:
        answer_rows(rows, ("id", name), pa.table({"prediction": [1.0] * 3}), logged(scorer(), trips()))
    assert (caught.value.code, caught.value.path) == ("DAT083", name)


def test_a_place_for_answers_is_refused_before_any_work(tmp_path, monkeypatch):
    """A file that is there, a folder that is not, a kind that is none, a file where Spark writes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("")
    for to, source, in_spark in (
        ("there.csv", None, False),
        ("in.parquet", "in.parquet", False),
        ("away/out.csv", None, False),
        ("out.parquet", None, True),
    ):
        with pytest.raises(UsageError) as caught:
            check_output(to, source, in_spark=in_spark)
        assert (caught.value.code, caught.value.path) == ("CLI051", to)
    with pytest.raises(MlkitError, match="NAM007"):
        check_output("reports.answers", None, in_spark=False)
    assert check_output(None, None, in_spark=True) is None
    assert check_output("out.csv", "in.csv", in_spark=False).name == "out.csv"
    answered = TableName("monitoring", "answers")
    assert [check_output("monitoring.answers", None, in_spark=spark) for spark in (True, False)] == [
        answered,
        answered,
    ]


def write_and(then, place, engine):
    """Write some answers, and do something else before they are finished."""
    with writing(place, engine, run_id="r") as writer:
        writer.write(answers())
        then()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_file_of_answers_appears_whole_or_not_at_all(workspace, tmp_path, name):
    """Of several pieces one file; after an error there is nothing, not even a draft."""
    place = tmp_path / "answers"
    place.mkdir()

    def stop():
        assert not (place / name).exists()
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_and(stop, place / name, workspace.engine)
    assert list(place.iterdir()) == []
    with writing(place / name, workspace.engine, run_id="r") as writer:
        writer.write(answers())
        writer.write(answers())
    assert [path.name for path in place.iterdir()] == [name]
    read = pyarrow.csv.read_csv if name.endswith(".csv") else pq.read_table
    found = read(place / name)
    assert (found.num_rows, found.column_names) == (6, answers().column_names)


def test_a_table_of_answers_takes_a_run_once(workspace):
    """Repeated it adds nothing; another run adds to it; without a place nothing is written."""
    engine, name = workspace.engine, TableName("monitoring", "answers")
    for run in ("one", "one", "two"):
        with writing(name, engine, run_id=run) as writer:
            writer.write(answers())
    assert engine.scan_log(name).read_all().num_rows == 6
    with writing(None, engine, run_id="r") as writer:
        assert writer is None


def test_a_file_that_cannot_be_written_is_an_error_of_the_store(workspace, tmp_path):
    """Somebody took its place meanwhile."""
    place = tmp_path / "out.parquet"
    with pytest.raises(StoreError) as caught:
        write_and(place.mkdir, place, workspace.engine)
    assert (caught.value.code, caught.value.path) == ("STO064", "out.parquet")
