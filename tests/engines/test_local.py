from __future__ import annotations

import collections
import concurrent.futures
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from mlkit.engines import local
from mlkit.engines.base import FEATURES, TRAINING, TableName
from mlkit.engines.local import STAGING, LocalEngine
from mlkit.engines.local_table import CHECKPOINT_INTERVAL
from mlkit.errors import IntegrityError, NamingError, StoreError
from mlkit.failpoints import VARIABLE, InjectedFaultError
from tests.engines import children
from tests.engines.children import ROWS, TABLE, counted
from tests.engines.contract import FLIGHTS, EngineContract, content, flights

REPOSITORY = Path(__file__).parents[2]
RACERS = 3
ROUNDS = 10


@pytest.fixture
def root(tmp_path):
    """A folder whose path has to be handled with care."""
    return tmp_path / "a lake #1 ü"


@pytest.fixture
def engine(root):
    """An engine over an empty folder."""
    return LocalEngine(root)


@pytest.fixture(scope="module")
def racers():
    """Processes that start each move at the same moment; gives a function that runs one race."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(RACERS)
    with concurrent.futures.ProcessPoolExecutor(RACERS, context, children.join, (barrier,)) as pool:

        def race(task, root, argument):
            futures = [pool.submit(children.race, task, root, argument) for _ in range(RACERS)]
            return [future.result(100) for future in futures]

        yield race


def run_child(task, root, *arguments, fail=None):
    """Run a task in a process of its own; its exit status and what it said."""
    environment = {**os.environ, "MLKIT_TEST": "1", "MLKIT_HOME": str(root)}
    if fail:
        environment[VARIABLE] = fail
    command = [sys.executable, "-m", "tests.engines.children", task, str(root), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def staged(root, schema):
    """What is left in the staging folder of a schema."""
    folder = root / schema / STAGING
    return list(folder.iterdir()) if folder.exists() else []


def data_files(root, table):
    """Data files in the folder of a table, referenced or not."""
    return list((root / table.schema / table.name).glob("*.parquet"))


class TestContract(EngineContract):
    """Every promise of an engine, kept on the local disk."""


class TestRaces:
    def test_one_of_several_publishers_creates(self, engine, root, racers):
        """Ten rounds: one process creates, the others verify; each row is there once."""
        for number in range(ROUNDS):
            outcomes = racers("publish", root, number)
            assert sorted(outcome["created"] for outcome in outcomes) == [False, False, True]
            (name,) = {outcome["name"] for outcome in outcomes}
            assert content(engine, TableName(TRAINING, name)) == counted(number)
        assert len(engine.tables(TRAINING)) == ROUNDS
        assert staged(root, TRAINING) == []

    def test_one_of_several_creators_wins(self, engine, root, racers):
        """Ten rounds: one process creates, and only its rows are there."""
        for number in range(1, ROUNDS + 1):
            outcomes = racers("create", root, number)
            assert sorted(outcome["created"] for outcome in outcomes) == [False, False, True]
            assert content(engine, TableName(FEATURES, f"{TABLE.name}{number}")) == counted(0)
        assert staged(root, FEATURES) == []

    @pytest.mark.parametrize("task", ["append", "merge"])
    def test_one_writer_wins_each_version(self, engine, root, racers, task):
        """Ten rounds on one table: a version has one writer, the others know that they lost."""
        engine.create(TABLE, counted(0).to_reader())
        start = engine.describe(TABLE).version
        for version in range(start, start + ROUNDS):
            outcomes = racers(task, root, version)
            told = collections.Counter(str(*outcome.values()) for outcome in outcomes)
            assert told == {str(version + 1): 1, "STO021": RACERS - 1}
        expected = ROWS * (1 + ROUNDS) if task == "append" else ROWS + ROWS // 2
        assert engine.describe(TABLE).rows == expected == engine.read(TABLE).read_all().num_rows


class TestKills:
    @pytest.mark.parametrize("point", ["publish.staged", "publish.verified", "publish.renamed"])
    def test_killed_publish_leaves_nothing_or_all(self, engine, root, point):
        """After a kill at any step no half table is visible, and the same call again converges."""
        status, _ = run_child("publish", root, fail=f"{point}:kill")
        assert status == -signal.SIGKILL
        assert len(engine.tables(TRAINING)) == (point == "publish.renamed")
        published = engine.publish(TRAINING, "counted", counted(0).to_reader())
        assert published.created == (point != "publish.renamed")
        assert engine.tables(TRAINING) == [published.name]
        assert content(engine, published.name) == counted(0)

    @pytest.mark.parametrize("point", ["create.staged", "create.renamed"])
    def test_killed_create_leaves_nothing_or_all(self, engine, root, point):
        """As with publish."""
        status, _ = run_child("create", root, fail=f"{point}:kill")
        assert status == -signal.SIGKILL
        assert engine.create(TABLE, counted(0).to_reader()) == (point == "create.staged")
        assert content(engine, TABLE) == counted(0)

    @pytest.mark.parametrize(("task", "rows"), [("append", 2 * ROWS), ("merge", ROWS + ROWS // 2)])
    def test_killed_writer_has_written_once(self, engine, root, task, rows):
        """After the commit the version has moved: the same call again is a lost race, not a double."""
        engine.create(TABLE, counted(0).to_reader())
        version = engine.describe(TABLE).version
        status, _ = run_child(task, root, version, fail=f"{task}.written:kill")
        assert status == -signal.SIGKILL
        assert engine.describe(TABLE).version == version + 1
        assert children.attempt(task, root, version) == {"error": "STO021"}
        assert content(engine, TABLE).num_rows == rows

    def test_kill_in_the_middle_of_the_stream(self, engine, root):
        """Files without a commit are no table and no rows; what follows is not disturbed."""
        assert run_child("publish_interrupted", root)[0] == -signal.SIGKILL
        assert engine.tables(TRAINING) == []
        engine.create(TABLE, counted(0).to_reader())
        assert run_child("append_interrupted", root)[0] == -signal.SIGKILL
        assert content(engine, TABLE) == counted(0)
        children.append(root)
        assert content(engine, TABLE) == counted(0, 2 * ROWS)

    @pytest.mark.parametrize("point", ["publish.staged", "publish.verified"])
    def test_staging_is_removed_on_failure(self, engine, root, monkeypatch, point):
        """An exception, unlike a kill, leaves no file behind."""
        monkeypatch.setenv("MLKIT_TEST", "1")
        monkeypatch.setenv("MLKIT_HOME", str(root))
        monkeypatch.setenv(VARIABLE, f"{point}:raise")
        with pytest.raises(InjectedFaultError):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert engine.tables(TRAINING) == staged(root, TRAINING) == []


class TestDamage:
    def test_other_rows_than_written_are_not_published(self, engine, root, monkeypatch):
        """What reads back differently never gets its name."""

        def tamper(point):
            if point == "publish.staged":
                (file,) = staged(root, TRAINING)[0].glob("*.parquet")
                pq.write_table(flights(1), file)

        monkeypatch.setattr(local, "failpoint", tamper)
        with pytest.raises(IntegrityError, match="INT010"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert engine.tables(TRAINING) == staged(root, TRAINING) == []

    def test_name_that_holds_other_rows_is_never_overwritten(self, engine, root):
        """A published table that was changed behind our back is found, and left as evidence."""
        name = engine.publish(TRAINING, "flights", flights(0).to_reader()).name
        (file,) = data_files(root, name)
        pq.write_table(flights(1), file)
        with pytest.raises(IntegrityError, match="INT011"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        assert content(engine, name) == flights(1)

    def test_name_taken_by_something_else(self, engine, root):
        """A folder that is no table stands in the way of publish and create, and stays."""
        name = engine.publish(TRAINING, "flights", flights(0).to_reader()).name
        for table in (name, FLIGHTS):
            folder = root / table.schema / table.name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "note").touch()
        with pytest.raises(IntegrityError, match="INT011"):
            engine.publish(TRAINING, "flights", flights(0).to_reader())
        with pytest.raises(IntegrityError, match="INT011"):
            engine.create(FLIGHTS, flights(0).to_reader())
        assert engine.tables(FEATURES) == staged(root, FEATURES) == []

    @pytest.mark.parametrize("damage", ["missing", "cut", "zeroed", "other"])
    def test_damaged_data_file_is_loud(self, engine, root, damage):
        """A lost or broken file is an integrity error, never fewer rows."""
        engine.create(FLIGHTS, flights(0).to_reader())
        (file,) = data_files(root, FLIGHTS)
        good = file.read_bytes()
        file.unlink()
        if damage == "cut":
            file.write_bytes(good[: len(good) // 2])
        if damage == "zeroed":
            file.write_bytes(good[:4] + bytes(60) + good[64:])
        if damage == "other":
            pq.write_table(pa.table({"id": [1]}), file)
        with pytest.raises(IntegrityError, match="INT012"):
            engine.read(FLIGHTS).read_all()

    @pytest.mark.parametrize("left", [b"", b'{"add":'])
    def test_damaged_log_is_loud(self, engine, root, left):
        """An empty commit would read as one that changed nothing."""
        engine.create(FLIGHTS, flights(0).to_reader())
        version = engine.append(FLIGHTS, flights(3).to_reader(), expected_version=1)
        commit = root / "features" / "flights" / "_delta_log" / f"{version:020}.json"
        commit.write_bytes(left)
        for use in (lambda: engine.read(FLIGHTS), lambda: engine.describe(FLIGHTS)):
            with pytest.raises(IntegrityError, match="INT012"):
                use()

    def test_tables_of_other_tools_that_would_be_misread(self, engine, root):
        """Partition columns stand in no file: refused rather than lost."""
        write_deltalake(str(root / "features" / "flights"), flights(0), partition_by=["carrier"])
        with pytest.raises(StoreError, match="STO004") as caught:
            engine.read(FLIGHTS)
        assert "partitions" in caught.value.message

    def test_row_count_without_statistics(self, engine, root):
        """Files of other tools may lack the count; it is then taken from the file."""
        folder = root / "features" / "flights"
        write_deltalake(str(folder), flights(0))
        commit = folder / "_delta_log" / f"{0:020}.json"
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for action in actions:
            action.get("add", {}).pop("stats", None)
        commit.write_text("\n".join(map(json.dumps, actions)))
        assert engine.describe(FLIGHTS).rows == 3
        assert engine.describe(FLIGHTS).properties == {}


class TestDisk:
    def test_all_is_flushed_before_the_name_appears(self, engine, root, monkeypatch):
        """Data files, log and folders are durable before the rename, the parent after it."""
        flushed, renamed_after = [], []
        fsync, rename = os.fsync, Path.rename

        def spy(descriptor):
            flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        def spy_rename(self, target):
            renamed_after.extend(flushed)
            return rename(self, target)

        monkeypatch.setattr(os, "fsync", spy)
        monkeypatch.setattr(Path, "rename", spy_rename)
        name = engine.publish(TRAINING, "flights", flights(0).to_reader()).name
        final = root / TRAINING / name.name
        staging = next(path.parent for path in renamed_after if path.name == "_delta_log")
        written = {staging / path.relative_to(final) for path in [final, *final.rglob("*")]}
        assert written <= set(renamed_after)
        assert flushed[-1] == final.parent

    def test_commits_are_flushed(self, engine, root, monkeypatch):
        """After an append its data file, the log entry and both folders are durable."""
        engine.create(FLIGHTS, flights(0).to_reader())
        before, flushed, fsync = set(data_files(root, FLIGHTS)), set(), os.fsync

        def spy(descriptor):
            flushed.add(Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", spy)
        version = engine.append(FLIGHTS, flights(3).to_reader(), expected_version=1)
        folder = root / "features" / "flights"
        (new,) = set(data_files(root, FLIGHTS)) - before
        log = folder / "_delta_log"
        assert {new, folder, log, log / f"{version:020}.json"} <= flushed

    def test_failed_flush_is_an_unknown_outcome(self, engine, root, monkeypatch):
        """A commit that may not last is told apart from one that was not written."""
        engine.create(FLIGHTS, flights(0).to_reader())

        def fail(descriptor):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="STO003"):
            engine.append(FLIGHTS, flights(3).to_reader(), expected_version=1)
        assert content(engine) == flights(0, 6)

    def test_full_disk_leaves_no_table(self, engine, root):
        """No space is a store error of its own; nothing is left behind."""
        status, outcome = run_child("publish_without_space", root)
        assert (status, outcome) == (0, {"error": "STO001"})
        assert engine.tables(TRAINING) == staged(root, TRAINING) == []

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
    def test_store_that_may_not_be_written(self, engine, root):
        """A refusal of the system is translated."""
        root.mkdir()
        root.chmod(0o500)
        with pytest.raises(StoreError, match="STO002"):
            engine.create(FLIGHTS, flights(0).to_reader())

    def test_store_below_a_file(self, tmp_path):
        """A path that cannot become a folder is translated."""
        (tmp_path / "lake").touch()
        with pytest.raises(StoreError, match="STO002"):
            LocalEngine(tmp_path / "lake").create(FLIGHTS, flights(0).to_reader())

    def test_path_that_would_be_decoded_is_refused(self, tmp_path):
        """delta-rs takes %20 for a space and would look elsewhere."""
        with pytest.raises(NamingError, match="NAM003"):
            LocalEngine(tmp_path / "a%20b")


class TestStore:
    def test_published_tables_refuse_deletes_of_other_tools(self, engine, root):
        """The append-only property is set in the table itself."""
        name = engine.publish(TRAINING, "flights", flights(0).to_reader(), properties={"key": "id"}).name
        delta = DeltaTable(str(root / TRAINING / name.name))
        assert delta.metadata().configuration == {"delta.appendOnly": "true", "mlkit.key": "id"}
        with pytest.raises(DeltaError):
            delta.delete()

    def test_commits_of_other_tools_do_not_hide_properties(self, engine, root):
        """Properties that changed are found below a foreign commit."""
        engine.create(FLIGHTS, flights(0).to_reader())
        change = {"owner": "ds"}
        engine.merge(FLIGHTS, flights(1).to_reader(), key=["id"], expected_version=1, properties=change)
        DeltaTable(str(root / "features" / "flights")).optimize.compact()
        assert engine.describe(FLIGHTS).properties == change
        assert content(engine) == flights(0, 4)

    def test_log_is_checkpointed_and_kept(self, engine, root):
        """Many commits open fast, and old versions still read."""
        engine.create(FLIGHTS, flights(0).to_reader())
        for version in range(1, CHECKPOINT_INTERVAL + 1):
            engine.append(FLIGHTS, flights(3 * version).to_reader(), expected_version=version)
        log = root / "features" / "flights" / "_delta_log"
        assert len(list(log.glob("*.checkpoint.parquet"))) == 1
        assert len(list(log.glob("*.json"))) == CHECKPOINT_INTERVAL + 2
        assert content(engine) == flights(0, 3 * CHECKPOINT_INTERVAL + 3)
        assert content(engine, version=1) == flights(0)

    def test_wide_table_is_written_in_small_row_groups(self, engine, root):
        """The memory that a row group takes does not grow with the number of columns."""
        wide = pa.table({f"c{i}": pa.array(range(10_000), pa.int16()) for i in range(1000)})
        engine.create(FLIGHTS, wide.to_reader())
        (file,) = data_files(root, FLIGHTS)
        assert pq.read_metadata(file).num_row_groups == 2

    @pytest.mark.slow
    def test_memory_does_not_grow_with_the_stream(self, tmp_path):
        """Publishing eight times the rows takes about the same memory."""
        peaks = []
        for megabytes in (64, 512):
            status, outcome = run_child("publish_large", tmp_path / str(megabytes), megabytes)
            assert status == 0
            assert outcome["rows"] == (megabytes // 4) << 16
            peaks.append(outcome["peak"])
        assert peaks[1] - peaks[0] < 250
