"""What every engine promises of logs, once; `EngineContract` inherits it."""

from __future__ import annotations

import concurrent.futures
import datetime as dt

import pyarrow as pa
import pytest

from mlkit.engines.base import FEATURES, MONITORING, TRAINING, TableName
from mlkit.errors import DataError, NamingError

LOG = TableName(MONITORING, "flights__predictions")
START = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
INSTANT = pa.timestamp("us", "UTC")
MICROSECOND = dt.timedelta(microseconds=1)


def at(hour: float) -> dt.datetime:
    """An instant so many hours after the start."""
    return START + dt.timedelta(hours=hour)


def answers(first: int, count: int = 3, **more) -> pa.Table:
    """Answers with the numbers from `first` on, one an hour, and further columns."""
    numbers = range(first, first + count)
    columns = {
        "number": pa.array(numbers, pa.int64()),
        "event_time": pa.array([at(number) for number in numbers], INSTANT),
        "prediction": pa.array([number / 7 for number in numbers], pa.float64()),
    }
    return pa.table({**columns, **more})


def fetched(rows) -> pa.Table:
    """Rows of a log, here, by number."""
    table = rows.read_all() if isinstance(rows, pa.RecordBatchReader) else rows.toArrow()
    return table.sort_by("number") if "number" in table.column_names else table


def numbers(engine, **window) -> list[int]:
    """Numbers of the answers inside a window."""
    return fetched(engine.scan_log(LOG, **window)).column("number").to_pylist()


class _Logged:
    """A log of three batches."""

    @pytest.fixture
    def logged(self, engine):
        """An engine with a log of nine answers in three batches."""
        for first in (0, 3, 6):
            assert engine.log(LOG, answers(first).to_reader(), batch=f"run {first}")
        return engine


class LogContract(_Logged):
    """What a store may break; the fixture `engine` gives an engine over an empty store."""

    def test_batch_is_logged_once_for_ever(self, logged):
        """The same name again adds nothing, whatever rows come with it; another name does."""
        assert not logged.log(LOG, answers(0).to_reader(), batch="run 0")
        assert not logged.log(LOG, answers(90).to_reader(), batch="run 3")
        assert numbers(logged) == list(range(9))
        assert logged.log(LOG, answers(0).to_reader(), batch="run 0 again")
        assert numbers(logged) == [0, 0, 1, 1, 2, 2, *range(3, 9)]

    def test_log_gives_back_what_it_was_given(self, engine):
        """Values and types, microseconds included; all columns may be missing."""
        rows = answers(0, 5, word=["é", None, "", "x", "y"])
        engine.log(LOG, rows.to_reader(), batch="one")
        assert fetched(engine.scan_log(LOG)).equals(rows)
        assert all(field.nullable for field in engine.describe(LOG).schema)
        assert engine.describe(LOG).properties["kind"] == "log"

    def test_batch_without_rows_counts(self, engine):
        """It is known afterwards as any other."""
        assert engine.log(LOG, answers(0, 0).to_reader(), batch="none")
        assert not engine.log(LOG, answers(0).to_reader(), batch="none")
        assert numbers(engine) == numbers(engine, since=at(0)) == []

    def test_columns_may_come_and_go(self, logged):
        """A later batch brings one and leaves one out; where it was not, it is missing."""
        rows = answers(9, 1, input_hour=pa.array([5.0])).drop_columns("prediction")
        assert logged.log(LOG, rows.to_reader(), batch="wider")
        found = fetched(logged.scan_log(LOG))
        assert found.column("input_hour").to_pylist() == [None] * 9 + [5.0]
        assert found.column("prediction").null_count == 1
        assert numbers(logged, since=at(8)) == [8, 9]
        assert fetched(logged.read(LOG)).equals(found)

    def test_window_is_half_open(self, logged):
        """The first instant counts, the last does not; to the microsecond, in any zone."""
        for window, expected in (
            ({"since": at(2), "until": at(4)}, [2, 3]),
            ({"since": at(2) + MICROSECOND}, [3, 4, 5, 6, 7, 8]),
            ({"until": at(2) + MICROSECOND}, [0, 1, 2]),
            ({"since": at(3), "until": at(6)}, [3, 4, 5]),
            ({"since": at(2), "until": at(2)}, []),
            ({"since": at(99)}, []),
            ({"since": at(2).astimezone(dt.timezone(dt.timedelta(hours=-7))), "until": at(4)}, [2, 3]),
        ):
            assert numbers(logged, **window) == expected

    def test_window_by_another_column(self, logged):
        """A row without the instant is left out where there is a bound, a batch without the column too."""
        late = pa.array([at(50), None, at(60)], INSTANT)
        logged.log(LOG, answers(9, label_time=late).to_reader(), batch="labels")
        assert numbers(logged, column="label_time", until=at(55)) == [9]
        assert numbers(logged, column="label_time", since=at(0)) == [9, 11]
        assert len(numbers(logged, column="label_time")) == 12

    def test_racers_log_a_batch_once(self, engine):
        """Of five threads that log the same new batches, the first of the log among them, one adds each."""
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            tasks = [
                pool.submit(engine.log, LOG, answers(3 * batch).to_reader(), batch=f"run {batch}")
                for batch in range(3)
                for _ in range(5)
            ]
            assert sum(task.result(100) for task in tasks) == 3
        assert numbers(engine) == list(range(9))

    def test_trimmed_rows_are_gone_for_good(self, logged):
        """Batches that ended earlier go; their names stay taken."""
        assert logged.trim_log(LOG, before=at(6)) == 6
        assert numbers(logged) == [6, 7, 8]
        assert not logged.log(LOG, answers(0).to_reader(), batch="run 0")
        assert logged.trim_log(LOG, before=at(6)) == 0
        assert numbers(logged) == [6, 7, 8]
        assert logged.tables(MONITORING) == [LOG]

    def test_dropped_table_is_gone(self, engine):
        """A published one, one that grows and a log; each can be made anew."""
        published = engine.publish(TRAINING, "answers", answers(0).to_reader()).name
        grown = TableName(FEATURES, "answers")
        engine.create(grown, answers(0).to_reader())
        engine.append(grown, answers(3).to_reader(), expected_version=engine.describe(grown).version)
        engine.log(LOG, answers(0).to_reader(), batch="one")
        engine.log(LOG, answers(3).to_reader(), batch="two")
        for table in (published, grown, LOG):
            assert engine.size(table) >= 0
            engine.drop(table)
            engine.drop(table)
            assert engine.describe(table) is None
            assert engine.size(table) == 0
            assert engine.tables(table.schema) == []
        assert engine.publish(TRAINING, "answers", answers(0).to_reader()).created
        assert engine.log(LOG, answers(0).to_reader(), batch="one")
        assert numbers(engine) == [0, 1, 2]


class LogCallContract(_Logged):
    """What is kept by an engine's own code, whatever its store answers."""

    def test_no_log_is_none(self, engine):
        """Nothing was logged yet."""
        assert engine.scan_log(LOG) is None
        assert engine.trim_log(LOG, before=START) == 0

    def test_column_never_changes_its_type(self, logged):
        """The error names it, and nothing is written."""
        rows = answers(9).set_column(2, "prediction", pa.array(["late"] * 3))
        with pytest.raises(DataError, match="DAT080") as caught:
            logged.log(LOG, rows.to_reader(), batch="texts")
        assert caught.value.path == "prediction"
        with pytest.raises(DataError, match="DAT011"):
            logged.log(LOG, answers(9, Prediction=pa.array([1.0] * 3)).to_reader(), batch="case")
        assert numbers(logged) == list(range(9))

    def test_window_of_some_columns(self, logged):
        """In the order asked for, the column of the window not among them."""
        found = fetched(logged.scan_log(LOG, since=at(2), until=at(4), columns=["prediction", "number"]))
        assert found.column_names == ["prediction", "number"]
        assert found.column("number").to_pylist() == [2, 3]

    def test_texts_may_come_as_dictionaries(self, logged):
        """The same texts, in batches that never had the column too; other types come as they are."""
        logged.log(LOG, answers(9, 4, word=["a", None, "", "a"]).to_reader(), batch="texts")
        columns = ["word", "number"]
        plain = fetched(logged.scan_log(LOG, since=at(5), columns=columns))
        coded = fetched(logged.scan_log(LOG, since=at(5), columns=columns, coded=[*columns, "none"]))
        assert coded.to_pylist() == plain.to_pylist()
        assert coded.column("number").type == plain.column("number").type
        assert plain.column("word").to_pylist().count("a") == 2

    def test_wrong_window_is_refused(self, engine):
        """A column that is not there or holds no instants, a wall clock as a bound."""
        engine.log(LOG, answers(0).to_reader(), batch="one")
        for options, code in (
            ({"columns": ["numbr"]}, "DAT045"),
            ({"column": "when", "since": START}, "DAT045"),
            ({"column": "number", "since": START}, "DAT081"),
            ({"since": START.replace(tzinfo=None)}, "DAT081"),
        ):
            with pytest.raises(DataError, match=code):
                engine.scan_log(LOG, **options)

    def test_log_is_one_table_among_others(self, logged):
        """It is listed once under its name, and no other table may have the name of a part."""
        assert logged.tables(MONITORING) == [LOG]
        for kind in "bt":
            with pytest.raises(NamingError, match="NAM006"):
                logged.create(TableName(MONITORING, f"{LOG.name}__{kind}{'0' * 32}"), answers(0).to_reader())
