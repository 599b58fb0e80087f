"""Scoring on the local target: every kind of input, one log entry per run, and answers that are whole."""

from __future__ import annotations

import datetime as dt
import json
import signal

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mlkit.data.source import read_dataframe
from mlkit.engines.base import TableName
from mlkit.errors import DataError, StoreError, StudyError, UsageError
from mlkit.production import answers as answers_module
from mlkit.production.answers import chunks
from mlkit.production.options import OPTIONS
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.runner import deploy
from mlkit.production.scorer import open_scorer
from mlkit.production.scoring import score
from mlkit.production.task import main
from tests.production.scenes import frozen

DAY = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
PREPARED = 585


@pytest.fixture
def champion(stores):
    """Stores in which a version serves."""
    deploy(frozen(), stores)
    return stores


@pytest.fixture
def rows(flights) -> pa.Table:
    """Prepared flights without their label."""
    flights["per_mile"] = flights["distance"] / (flights["hour"] + 1)
    flights["landed"] = pd.date_range(DAY, periods=len(flights), freq="h")
    return read_dataframe(flights.drop(columns="delay"))


def logged(stores, **window) -> pa.Table:
    """All that was logged."""
    return PredictionLog(stores.engine, stores.project).window(**window).read_all()


def answered(stores, rows) -> dict:
    """What the champion says of each flight."""
    found = open_scorer(stores).predict(rows)["prediction"].to_pylist()
    return dict(zip(rows["flight_id"].to_pylist(), found, strict=True))


def test_without_data_the_config_says_where_rows_are(champion):
    """Its source, by its own prepare; each row is logged under the run."""
    report = score(champion)
    assert (report.rows, report.logged, report.version) == (PREPARED, PREPARED, 1)
    assert report.source == "features.flights -> my_prepare:prepare"
    found = logged(champion)
    assert set(found["batch"].to_pylist()) == set(found["request_id"].to_pylist()) == {report.run_id}
    assert len(set(found["row_id"].to_pylist())) == PREPARED
    assert "mlkit monitor flight_delay" in repr(report)
    assert {"rows_per_second", "summary", "run_id"} <= report.to_dict().keys()


def test_repeated_command_logs_nothing_twice(champion):
    """The run has the same name for the same model and rows; another day is another run."""
    first, again = score(champion), score(champion)
    assert (again.run_id, again.rows, again.logged) == (first.run_id, 0, 0)
    assert "in the log already" in repr(again)
    assert score(champion, as_of=DAY).logged == PREPARED
    assert score(champion, run_id="mine").logged == PREPARED
    assert score(champion, run_id="mine", as_of=DAY).logged == 0
    assert len(logged(champion)) == 3 * PREPARED


def test_every_kind_of_input_gives_the_same_answers(champion, rows, tmp_path):
    """A dataframe, a stream, a parquet file, a csv file and a table."""
    expected = answered(champion, rows)
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=100)
    pyarrow.csv.write_csv(rows, tmp_path / "rows.csv")
    champion.engine.create(TableName("features", "prepared"), rows.to_reader())
    given = {
        "frame": rows.to_pandas(),
        "stream": rows.to_reader(max_chunksize=7),
        "parquet": str(tmp_path / "rows.parquet"),
        "csv": tmp_path / "rows.csv",
        "table": "features.prepared",
    }
    for name, data in given.items():
        to = tmp_path / f"{name}.parquet"
        assert score(champion, data, to=to, run_id=name).rows == len(rows)
        found = pq.read_table(to)
        assert (
            dict(zip(found["flight_id"].to_pylist(), found["prediction"].to_pylist(), strict=True))
            == expected
        )
    assert len(logged(champion)) == len(given) * len(rows)


def test_answers_do_not_depend_on_chunks_of_the_input(champion, rows, tmp_path, monkeypatch):
    """Bit by bit, in the order of the rows: whatever the batches of a stream, and however many threads."""
    monkeypatch.setattr(answers_module, "CHUNK_ROWS", 128)
    runs = []
    for number, (size, threads) in enumerate([(600, 2), (7, 2), (130, 1)]):
        monkeypatch.setattr(answers_module, "THREADS", threads)
        to = tmp_path / f"{number}.parquet"
        score(champion, rows.to_reader(max_chunksize=size), to=to, log=False)
        runs.append(pq.read_table(to).select(["flight_id", "prediction", "row_id"]))
    assert runs[0]["flight_id"].to_pylist() == rows["flight_id"].to_pylist()
    assert runs[0].equals(runs[1])
    assert runs[0].equals(runs[2])


def test_chunks_are_of_one_size():
    """Whatever comes in; the last one may be smaller, none is empty."""
    table = pa.table({"x": range(23)})
    for size in (1, 4, 23, 50):
        found = list(chunks(table.to_reader(max_chunksize=size), 5))
        assert [len(chunk) for chunk in found] == [5, 5, 5, 5, 3]
        assert pa.concat_tables(found).combine_chunks().equals(table)
    assert list(chunks(table.slice(0, 0).to_reader(), 5)) == []


def test_answer_carries_key_and_stamps(champion, rows, tmp_path):
    """Key, prediction, and who answered which request when."""
    score(champion, rows, to=tmp_path / "answers.csv", as_of=DAY, run_id="nightly")
    found = pyarrow.csv.read_csv(tmp_path / "answers.csv")
    stamps = ["version", "model_id", "event_time", "request_id", "row_id"]
    assert found.column_names == ["flight_id", "prediction", *stamps]
    assert found["request_id"][0].as_py() == "nightly"
    assert logged(champion, since=DAY, until=DAY + dt.timedelta(seconds=1)).num_rows == len(rows)


def test_answers_go_to_a_table_once(champion, rows):
    """Repeated, the run adds nothing; another run does."""
    for run_id in ("one", "one", "two"):
        score(champion, rows, to="monitoring.answers", run_id=run_id)
    table = TableName("monitoring", "answers")
    assert champion.engine.scan_log(table).read_all().num_rows == 2 * len(rows)


def test_event_time_may_be_a_column(champion, rows):
    """Of instants or days; every row has its own."""
    score(champion, rows, event_time="landed")
    assert logged(champion, until=DAY + dt.timedelta(hours=3)).num_rows == 3
    days = rows.set_column(5, "landed", rows["landed"].cast(pa.date32()))
    score(champion, days, event_time="landed", run_id="days")
    assert logged(champion, until=DAY + dt.timedelta(hours=1)).num_rows == 1 + 24


def test_raw_rows_are_prepared_where_asked_for(champion, flights, tmp_path):
    """A dataframe or a file through the config's prepare; the error without it says so."""
    flights.to_csv(tmp_path / "raw.csv", index=False)
    assert score(champion, flights, prepare=True).rows == PREPARED
    assert score(champion, str(tmp_path / "raw.csv"), prepare=True, run_id="file").rows == PREPARED
    with pytest.raises(DataError, match="DAT045") as caught:
        score(champion, flights)
    assert caught.value.path == "per_mile"
    assert "--prepare" in caught.value.fix


def test_failing_prepare_is_the_users(champion, flights):
    """Without the label that prepare asks for, for instance."""
    with pytest.raises(StudyError, match="RUN010"):
        score(champion, flights.drop(columns="delay"), prepare=True)
    assert PredictionLog(champion.engine, champion.project).window() is None


@pytest.mark.parametrize(
    ("change", "options", "error", "path"),
    [
        (lambda rows: rows.slice(0, 0), {}, "DAT002", "the dataframe"),
        (lambda rows: rows.slice(0, 0).to_reader(), {}, "DAT002", "the stream"),
        (lambda rows: rows.drop_columns("hour"), {}, "DAT045", "hour"),
        (lambda rows: rows.set_column(2, "distance", pa.array(["x"] * 600)), {}, "DAT046", "distance"),
        (lambda rows: rows, {"event_time": "when"}, "DAT082", "when"),
        (lambda rows: rows, {"event_time": "hour"}, "DAT082", "hour"),
        (lambda _rows: "nowhere.csv", {}, "CLI052", "nowhere.csv"),
        (lambda _rows: "features.nowhere", {}, "STO010", "features.nowhere"),
        (lambda rows: rows, {"version": 7}, "CLI005", "version"),
        (lambda rows: rows, {"run_id": "a'b"}, "CLI054", "run_id"),
        (lambda rows: rows, {"to": "no/answers.csv"}, "CLI051", "no/answers.csv"),
        (lambda rows: rows, {"to": "my_prepare.parquet"}, "CLI051", "my_prepare.parquet"),
    ],
)
def test_what_cannot_be_scored_is_named(champion, rows, change, options, error, path, tmp_path):
    """Each error says which column, file, table or option; nothing is logged or written."""
    (tmp_path / "my_prepare.parquet").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises((DataError, UsageError, StoreError), match=error) as caught:
        score(champion, change(rows), **options)
    assert caught.value.path == path
    assert PredictionLog(champion.engine, champion.project).window() is None
    assert sorted(tmp_path.iterdir()) == before


def test_file_that_does_not_read_is_named(champion, rows, tmp_path):
    """Half a parquet file, and a text in a column of numbers; no value is quoted."""
    pq.write_table(rows, tmp_path / "half.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "half.parquet").read_bytes()[:500])
    pyarrow.csv.write_csv(rows.set_column(2, "distance", pa.array(["far"] * 600)), tmp_path / "text.csv")
    for name in ("half.parquet", "text.csv"):
        with pytest.raises(DataError, match="DAT057") as caught:
            score(champion, str(tmp_path / name))
        assert "far" not in str(caught.value)


def test_nothing_serves_yet(stores, rows):
    """There is nobody to answer."""
    with pytest.raises(UsageError, match="CLI050"):
        score(stores, rows)


def test_run_without_a_log(champion, rows):
    """Answers are counted, and nothing is kept."""
    report = score(champion, rows, log=False)
    assert (report.rows, report.logged) == (600, 0)
    assert report.summary["mean"] == pytest.approx(sum(answered(champion, rows).values()) / 600)
    assert PredictionLog(champion.engine, champion.project).window() is None


def test_classes_are_summed_up_by_their_shares(champion, rows):
    """A classifier's summary names its classes, the most frequent first."""
    classifier = {"class": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 3}}
    columns = {**frozen().contract.dump()["columns"]}
    config = frozen(
        name="late_flights",
        model=classifier,
        task="binary",
        target="is_ua",
        metric="accuracy",
        features=("hour", "distance", "per_mile"),
        gate={"threshold": 0.1},
        contract={"columns": columns},
    )
    stores = type(champion)(champion.workspace, "late_flights")
    deploy(config, stores)
    report = score(stores, rows)
    assert list(report.summary) == ["False", "True"]
    assert sum(report.summary.values()) == pytest.approx(1)
    found = logged(stores)
    assert set(found["prediction"].to_pylist()) <= {"True", "False"}
    assert {"probability_False", "probability_True"} <= set(found.column_names)


@pytest.mark.parametrize("point", ["score.logged", "score.written", "log.written"])
def test_killed_run_is_finished_by_the_next(champion, children, rows, tmp_path, point):
    """Whatever was done stays done: rows are logged once, and the answers are whole."""
    pq.write_table(rows, tmp_path / "rows.parquet")
    task = ("score", "rows.parquet", "answers.parquet")
    assert children.run(*task, fail=f"{point}:kill") == (-signal.SIGKILL, None)
    assert not (tmp_path / "answers.parquet").exists()
    _, report = children.run(*task)
    assert report["logged"] == (600 if point == "log.written" else 0)
    assert len(logged(champion)) == pq.read_table("answers.parquet").num_rows == 600


def test_task_of_a_job_scores_once_a_day(champion, saved, tmp_path):
    """The packaged runner's verb: repeated for the same day, it adds nothing."""
    (tmp_path / "configs").mkdir()
    frozen().write(tmp_path / "configs" / "flight_delay.yaml")
    arguments = ["score", "--config=flight_delay", "--as-of=2024-06-01", "--attempt=w1-j2-r3-p0-e1"]
    first, again = (main(arguments, configs=tmp_path / "configs") for _ in range(2))
    assert (first.logged, again.logged) == (PREPARED, 0)
    assert logged(champion)["event_time"][0].as_py() == DAY
    assert {"as-of", "config", "target", "attempt"} <= set(OPTIONS["score"])


def test_command_line(champion, rows, tmp_path, capsys):
    """`mlkit score` takes a file and tells, as text or as JSON, what was done."""
    from mlkit import cli  # noqa: PLC0415 - its parser reads the environment

    pq.write_table(rows, tmp_path / "rows.parquet")
    words = [
        "score",
        "flight_delay",
        "rows.parquet",
        "--to",
        "answers.csv",
        "--as-of",
        "2024-06-01",
        "--json",
    ]
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["logged"], told["output"]) == (600, 600, "answers.csv")
    assert cli.main(["score", "flight_delay", "--as-of", "someday"]) == 2
    assert "CLI062" in capsys.readouterr().err
