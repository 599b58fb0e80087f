"""The check of everything: whatever is flipped, cut or deleted in a finished store is named."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pyarrow as pa
import pytest

from mlkit import open_workspace
from mlkit.cli import main
from mlkit.engines.base import MONITORING, TableName
from mlkit.errors import StoreError
from mlkit.fsck import check_stores
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import clean_up
from mlkit.production.pins import pin
from mlkit.production.prediction_log import PredictionLog
from mlkit.tracking.database import look_at_database
from mlkit.workspace import table_name
from tests.production.quick import DAY, Quick

NAME = "flight_delay"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empty_store):
    """A finished store in a folder to which each test gives it back."""
    folder = tmp_path_factory.mktemp("finished")
    home = folder / ".mlkit"
    home.mkdir()
    shutil.copy(empty_store, home / "mlflow.db")
    quick = Quick(open_workspace("local", home=home), NAME, folder / "model")
    quick.first, quick.second = quick.promote(1, 1, 1), quick.promote(2, 2, 2)
    _, run = quick.judge(quick.tables(3, 3, 3), "keep", key="other")
    tags = {"mlkit_outcome": "kept_champion", "mlkit_run_key": f"other-{run}"}
    quick.stores.tracking.log(run, tags=tags)
    many = pa.table({"value": np.random.default_rng(0).normal(size=5000)})
    quick.large = quick.stores.engine.publish("training", f"{NAME}__snapshot", many.to_reader()).name
    pin(quick.stores, 1, reason="to have a record")
    times = pa.array([quick.now] * 2, pa.timestamp("us", "UTC"))
    PredictionLog(quick.stores.engine, NAME).add(
        pa.table({"event_time": times, "prediction": [1.0, 2.0]}), batch="one"
    )
    rows = pa.table({"id": [1, 2]})
    quick.stores.engine.create(TableName("features", "flights"), rows.to_reader())
    shutil.copytree(home, folder / "kept")
    return quick


@pytest.fixture
def quick(finished):
    """The finished store, as it was."""
    home = finished.stores.workspace.home
    yield finished
    shutil.rmtree(home / "lake")
    shutil.rmtree(home / "artifacts")
    shutil.copytree(home.parent / "kept" / "lake", home / "lake")
    shutil.copytree(home.parent / "kept" / "artifacts", home / "artifacts")


def named(quick, project=NAME):
    """What is named as damaged."""
    return " ".join(
        f"{each.code} {each.what}" for each in check_stores(quick.stores.workspace, project).damages
    )


def flip(path):
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    """Take the last bytes of a file away."""
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    """What a power loss leaves."""
    path.write_bytes(b"")


DAMAGES = {"flipped": flip, "cut": cut, "empty": empty, "deleted": lambda path: path.unlink()}


def test_a_finished_store_is_sound(quick):
    """Everything in it is read, and nothing is changed."""
    report = check_stores(quick.stores.workspace)
    assert (report.damages, report.exit_code, report.projects) == ((), 0, (NAME,))
    schemas = ("features", "training", MONITORING)
    tables = [table for schema in schemas for table in quick.stores.engine.tables(schema)]
    assert report.checked == len(tables) + 3 + 2  # models, and what MLflow shows and holds
    assert "all sound" in repr(report)


@pytest.mark.parametrize("place", [0.02, 0.2, 0.5, 0.8, 0.95])
def test_a_bit_of_the_rows_of_a_published_table(quick, place):
    """Wherever in its data it is."""
    folder = quick.stores.workspace.home / "lake" / "training" / quick.large.name
    (path,) = folder.glob("*.parquet")
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 16
    path.write_bytes(content)
    assert str(quick.large) in named(quick)


@pytest.mark.parametrize("damage", ["cut", "empty", "deleted"])
def test_every_data_file_of_published_tables(quick, damage):
    """By the fingerprint in the name of the table, whatever else it still says."""
    for table in quick.stores.engine.tables("training"):
        folder = quick.stores.workspace.home / "lake" / "training" / table.name
        for path in folder.glob("*.parquet"):
            DAMAGES[damage](path)
    found = named(quick)
    assert [str(table) for table in quick.stores.engine.tables("training") if str(table) not in found] == []


@pytest.mark.parametrize("damage", ["cut", "empty", "deleted"])
def test_every_file_of_a_log_of_commits(quick, damage):
    """Of any table: published, ledger, decisions, records."""
    home = quick.stores.workspace.home / "lake"
    folders = [
        folder for schema in ("training", "monitoring") for folder in (home / schema).glob(f"{NAME}__*")
    ]
    for folder in folders:
        DAMAGES[damage](max((folder / "_delta_log").glob("*.json")))
    found = named(quick)
    missing = [folder.name for folder in folders if f".{folder.name}" not in found]
    # Of a table that grows the last commit may be lost without a trace; ledger and decisions have shadows.
    grows = {f"{NAME}__pins", f"{NAME}__predictions"} if damage == "deleted" else set()
    assert set(missing) <= grows


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_a_model(quick, damage):
    """Each by its name, not only the first."""
    folder = quick.stores.registry.folder(quick.first.model_id)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "mlkit_manifest.json"]
    for path in files:
        DAMAGES[damage](path)
    found = named(quick)
    for path in files:
        assert f"INT022 {quick.first.model_id}/{path.relative_to(folder).as_posix()}" in found
    assert quick.second.model_id not in found


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_manifest_itself(quick, damage):
    """Nothing else can vouch for the files then."""
    DAMAGES[damage](quick.stores.registry.folder(quick.second.model_id) / "mlkit_manifest.json")
    assert f"{quick.second.model_id}/mlkit_manifest.json" in named(quick)


def test_a_deleted_model_and_a_deleted_table(quick):
    """They are missed by what names them."""
    shutil.rmtree(quick.stores.registry.folder(quick.first.model_id))
    table = quick.second.evidence["train"]["table"]
    quick.stores.engine.drop(table_name(table))
    found = named(quick)
    assert f"{quick.first.model_id}/" in found
    assert f"INT065 {table}" in found


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 3}, "INT061"),
        ({"from_version": 7}, "INT061"),
        ({"run_key": "other"}, "INT062"),
        ({"manifest_digest": "other"}, "INT062"),
        ({"model_id": "m-other"}, "INT032"),
        ({"to_version": 9}, "INT062"),
        ({"evidence": "{"}, "INT060"),
    ],
)
def test_an_entry_of_the_ledger_that_says_something_else(quick, changes, code):
    """Its number, its predecessor, its version, its decision: each is compared with what stands elsewhere."""
    _rewrite(quick, "ledger", changes, last=True)
    assert f"{code} monitoring.{NAME}__ledger" in named(quick)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"outcome": "reject"}, "INT063"), ({"record": "{}"}, "INT063"), ({"run_key": "x"}, "INT063")],
)
def test_a_decision_that_says_something_else(quick, changes, code):
    """Its id is that of its content."""
    _rewrite(quick, "decisions", changes)
    assert f"{code} monitoring.{NAME}__decisions" in named(quick)


def test_records_with_a_gap(quick):
    """Somebody took one away."""
    _rewrite(quick, "pins", {"seq": 2})
    assert f"INT061 monitoring.{NAME}__pins" in named(quick)


def test_features_and_logs_are_read_through(quick):
    """That they read is all that can be known of them; features are asked for with the whole store only."""
    home = quick.stores.workspace.home / "lake"
    for path in [
        *(home / "features" / "flights").glob("*.parquet"),
        *(home / "monitoring" / f"{NAME}__predictions").rglob("*.parquet"),
    ]:
        cut(path)
    assert f"monitoring.{NAME}__predictions" in named(quick)
    assert "features.flights" not in named(quick)
    assert "features.flights" in named(quick, project=None)


def test_a_damaged_database_is_named(quick):
    """By sqlite's own check."""
    database = quick.stores.workspace.home / "mlflow.db"
    kept = database.read_bytes()
    try:
        page = bytearray(kept)
        page[4096 * 8 : 4096 * 12] = b"\x99" * (4096 * 4)
        database.write_bytes(page)
        assert look_at_database(quick.stores.workspace.tracking_uri, thorough=True).faults
        database.write_bytes(b"no database")
        assert look_at_database(quick.stores.workspace.tracking_uri).faults
    finally:
        database.write_bytes(kept)


def test_what_cleanup_removed_is_no_damage(workspace, tmp_path):
    """It was said to go, and is gone."""
    quick = Quick(workspace, NAME, tmp_path / "model")
    for number in range(3):
        quick.promote(number, number, number)
    quick.now += 100 * DAY
    asked = Retention(0, 1, models=True, versions=True)
    assert clean_up(quick.stores, asked, now=quick.now).removed != ()
    assert check_stores(workspace).damages == ()


def test_a_store_that_is_away_is_no_damage(quick, monkeypatch):
    """Nothing can be said then."""

    def away(*arguments, **rest):
        raise StoreError("STO052", "away")

    monkeypatch.setattr(type(quick.stores.engine), "scan", away)
    monkeypatch.setattr(type(quick.stores.engine), "tables", away)
    with pytest.raises(StoreError, match="away"):
        check_stores(quick.stores.workspace, NAME)


def test_the_command_exits_with_30_and_a_list(quick, capsys, monkeypatch):
    """For people and for programs."""
    monkeypatch.setenv("MLKIT_HOME", str(quick.stores.workspace.home))
    assert main(["fsck", NAME]) == 0
    began = time.monotonic()
    flip(quick.stores.registry.folder(quick.first.model_id) / "model.pkl")
    assert main(["fsck", NAME, "--json"]) == 30
    told = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    assert [each["code"] for each in told["damages"]] == ["INT022"]
    assert told["seconds"] <= time.monotonic() - began


def _rewrite(quick, kind, changes, *, last=False):
    """Put other values into a row of a table that only grows, as a hand with a tool would."""
    table = TableName(MONITORING, f"{NAME}__{kind}")
    rows = quick.stores.engine.read(table).read_all().to_pylist()
    schema = quick.stores.engine.describe(table).schema
    order = "seq" if "seq" in schema.names else "at"
    rows.sort(key=lambda row: row[order])
    rows[-1 if last else 0].update(changes)
    quick.stores.engine.drop(table)
    quick.stores.engine.create(table, pa.Table.from_pylist(rows, schema=schema).to_reader())
