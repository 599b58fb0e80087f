"""Ages and leftovers of a folder, and what the files of a Delta log tell."""

from __future__ import annotations

import datetime as dt
import json
import os
import re

import pyarrow as pa
import pytest

from mlkit.engines import log
from mlkit.engines.base import FEATURES, MONITORING, SCHEMAS, TRAINING, Leftover, TableName
from mlkit.engines.local import LocalEngine
from mlkit.engines.local_log import is_log
from mlkit.engines.local_table import load
from mlkit.engines.local_upkeep import STAGING, LocalUpkeep
from mlkit.errors import IntegrityError, StoreError

TABLE = TableName(FEATURES, "flights")
ROWS = pa.table({"number": pa.array([1, 2, 3], pa.int64())})
LONG_AGO = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


@pytest.fixture
def engine(tmp_path) -> LocalEngine:
    """An engine over a folder that is not there yet, and whose path has to be handled with care."""
    return LocalEngine(tmp_path / "a lake #1 ü")


@pytest.fixture
def root(engine, tmp_path):
    """The folder."""
    return tmp_path / "a lake #1 ü"


def aged(path, when=LONG_AGO) -> None:
    """Make everything below a path as old as this."""
    for inner in (path, *path.rglob("*")):
        os.utime(inner, (when.timestamp(), when.timestamp()))


def test_the_clock_of_a_lake_that_is_not_there(root):
    """It is asked of the folder above, and nothing is made or left."""
    before, found, after = (
        dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2),
        LocalUpkeep(root / "deep" / "er").now(),
        dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2),
    )
    assert before < found < after
    assert not root.exists()
    assert list(root.parent.iterdir()) == []


def test_a_table_is_as_old_as_what_was_last_done_to_it(engine, root):
    """Its folder or its log, whichever is newer; another table beside it has an age of its own."""
    engine.create(TABLE, ROWS.to_reader())
    other = TableName(FEATURES, "other")
    engine.create(other, ROWS.to_reader())
    folder = root / FEATURES / "flights"
    aged(folder)
    assert engine.upkeep.made_at(TABLE) == LONG_AGO
    assert engine.upkeep.made_at(other) > LONG_AGO
    engine.append(TABLE, ROWS.to_reader(), expected_version=engine.describe(TABLE).version)
    assert abs(engine.upkeep.made_at(TABLE) - engine.upkeep.now()) < dt.timedelta(minutes=1)


def test_reading_makes_no_table_younger(engine, root):
    """Nor does a second attempt to create it."""
    engine.create(TABLE, ROWS.to_reader())
    aged(root / FEATURES / "flights")
    engine.read(TABLE).read_all()
    assert not engine.create(TABLE, ROWS.to_reader())
    assert engine.upkeep.made_at(TABLE) == LONG_AGO


@pytest.mark.parametrize("left", ["nothing", "folder", "file"])
def test_what_is_no_table_has_no_age(engine, root, left):
    """It is said which table is not there."""
    (root / FEATURES).mkdir(parents=True)
    if left == "folder":
        (root / FEATURES / "flights").mkdir()
    elif left == "file":
        (root / FEATURES / "flights").write_text("")
    with pytest.raises(StoreError, match="STO010") as caught:
        engine.upkeep.made_at(TABLE)
    assert caught.value.path == str(TABLE)


def test_leftovers_of_each_schema(engine, root):
    """As old as the newest thing in them, as large as all of it; tables are none."""
    engine.create(TABLE, ROWS.to_reader())
    assert engine.upkeep.leftovers() == []
    for schema in SCHEMAS:
        folder = root / schema / STAGING / f"w-{schema}"
        (folder / "deep").mkdir(parents=True)
        (folder / "part.parquet").write_bytes(b"123")
        (folder / "deep" / "part.parquet").write_bytes(b"12345")
        aged(folder)
    newer = LONG_AGO + dt.timedelta(days=1)
    os.utime(root / TRAINING / STAGING / f"w-{TRAINING}" / "deep" / "part.parquet", (0, newer.timestamp()))
    found = {left.schema: left for left in engine.upkeep.leftovers()}
    assert list(found) == list(SCHEMAS)
    assert found[TRAINING].made_at == newer
    assert found[MONITORING].made_at == LONG_AGO
    assert all(left.size >= 8 for left in found.values())
    assert found[FEATURES].name == f"w-{FEATURES}"


def test_a_leftover_is_removed_and_nothing_else(engine, root):
    """Once more is fine; the table of the same name and the other leftovers stay."""
    engine.create(TABLE, ROWS.to_reader())
    for name in ("flights", "b"):
        (root / FEATURES / STAGING / name).mkdir(parents=True, exist_ok=True)
        (root / FEATURES / STAGING / name / "part").write_text("x")
    first, second = engine.upkeep.leftovers()
    assert [first.name, second.name] == ["b", "flights"]
    for _ in range(2):
        engine.upkeep.remove(second)
    assert engine.upkeep.leftovers() == [first]
    assert engine.read(TABLE).read_all() == ROWS
    engine.upkeep.remove(Leftover(MONITORING, "never there", None, None))


def test_a_leftover_that_goes_while_it_is_looked_at(engine, root, monkeypatch):
    """Its writer has just finished: it is none."""
    for name in ("gone", "stays"):
        (root / FEATURES / STAGING / name).mkdir(parents=True)
    kind = type(root)
    rglob = kind.rglob

    def finishing(path, pattern, **options):
        if path.name == "gone":
            path.rmdir()
            yield path
        yield from rglob(path, pattern, **options)

    monkeypatch.setattr(kind, "rglob", finishing)
    assert [left.name for left in engine.upkeep.leftovers()] == ["stays"]


def entries(folder) -> list[str]:
    """Names of the commits of a table."""
    return sorted(path.name for path in (folder / log.FOLDER).glob("*.json"))


def test_properties_of_the_newest_commit_that_has_any(engine, root):
    """Of any version; the commits of other tools between them say nothing about ours."""
    engine.create(TABLE, ROWS.to_reader(), properties={"a": "1"})
    first = engine.describe(TABLE).version
    second = engine.merge(
        TABLE, ROWS.to_reader(), key=["number"], expected_version=first, properties={"a": "ü", "b": '"'}
    )
    folder = root / FEATURES / "flights"
    assert log.changed_properties(folder, second) == {"a": "ü", "b": '"'}
    assert log.changed_properties(folder, first) == {}
    foreign = folder / log.FOLDER / f"{second + 1:020}.json"
    foreign.write_text(json.dumps({"commitInfo": {"operation": "OPTIMIZE"}}) + "\n")
    assert log.changed_properties(folder, second + 1) == {"a": "ü", "b": '"'}
    for entry in entries(folder):  # as another tool does that throws old entries away
        (folder / log.FOLDER / entry).unlink()
    assert log.changed_properties(folder, second + 1) == {}


def test_what_a_commit_keeps_does_not_depend_on_the_order():
    """The same properties are the same text."""
    assert log.record_of({"b": "2", "a": "1"}) == log.record_of({"a": "1", "b": "2"})
    assert log.record_of({}) == {"mlkit.properties": "{}"}


def test_only_an_empty_commit_is_damage(engine, root):
    """Files of other names may be empty, and one that stands before the checkpoint was durable once."""
    engine.create(TABLE, ROWS.to_reader())
    folder = root / FEATURES / "flights"
    for name in ("00000000000000000000.json.tmp", "x.json", "_last", f"{1:020}.crc"):
        (folder / log.FOLDER / name).touch()
    log.check_whole(folder)
    (folder / log.FOLDER / f"{7:020}.json").touch()
    with pytest.raises(IntegrityError, match="INT012"):
        log.check_whole(folder)
    (folder / log.FOLDER / "_last_checkpoint").write_text('{"version": 7}')
    log.check_whole(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": null}', '{"version": "x"}'])
def test_a_checkpoint_that_is_named_wrongly_counts_for_nothing(engine, root, text):
    """The log itself says the same: every commit of it is looked at."""
    engine.create(TABLE, ROWS.to_reader())
    folder = root / FEATURES / "flights"
    (folder / log.FOLDER / "_last_checkpoint").write_text(text)
    log.check_whole(folder)
    (folder / log.FOLDER / f"{0:020}.json").write_text("")
    with pytest.raises(IntegrityError, match="INT012"):
        log.check_whole(folder)


def test_logs_and_other_tables_are_told_apart(engine, root):
    """By what they were made with, however they look."""
    logged = TableName(MONITORING, "flights__predictions")
    now = pa.array([LONG_AGO] * 3, pa.timestamp("us", "UTC"))
    assert engine.log(logged, ROWS.append_column("event_time", now).to_reader(), batch="one")
    engine.create(TABLE, ROWS.to_reader(), properties={"kind": "table"})
    assert is_log(load(root / MONITORING / logged.name))
    assert not is_log(load(root / FEATURES / "flights"))


def test_a_batch_without_rows_takes_its_name(engine, root):
    """No file is written for it, and the name is taken; the log is there."""
    logged = TableName(MONITORING, "flights__predictions")
    schema = pa.schema([("number", pa.int64()), ("event_time", pa.timestamp("us", "UTC"))])
    assert engine.log(logged, schema.empty_table().to_reader(), batch="b ü '\"")
    assert not engine.log(logged, schema.empty_table().to_reader(), batch="b ü '\"")
    assert engine.scan_log(logged).read_all() == schema.empty_table()
    assert list((root / MONITORING / logged.name).glob("*.parquet")) == []
    assert engine.trim_log(logged, before=LONG_AGO) == 0


def test_a_column_with_quotes_bounds_a_log(engine):
    """Rows are read and trimmed by it, on the microsecond and before 1970 too."""
    logged = TableName(MONITORING, "flights__predictions")
    early = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    times = pa.array([early, early + dt.timedelta(microseconds=1), None], pa.timestamp("us", "UTC"))
    name = 'the "time" of it'
    assert engine.log(logged, ROWS.append_column(name, times).to_reader(), batch="one")
    bound = early + dt.timedelta(microseconds=1)
    assert engine.scan_log(logged, column=name, until=bound).read_all().column("number").to_pylist() == [1]
    assert engine.trim_log(logged, before=bound, column=name) == 1
    assert sorted(engine.scan_log(logged).read_all().column("number").to_pylist()) == [2, 3]


def test_a_version_that_is_not_there(engine):
    """The versions that there are are said, and the newest is offered."""
    engine.create(TABLE, ROWS.to_reader())
    newest = engine.describe(TABLE).version
    for wrong in (-1, newest + 1):
        with pytest.raises(StoreError, match=re.escape(f"from 0 to {newest}, found {wrong}")) as caught:
            engine.read(TABLE, version=wrong)
        assert caught.value.code == "STO011"
