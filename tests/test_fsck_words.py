"""What fsck says of damage, and what it finds in records and tables of a store without a deployment."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from mlkit import fsck
from mlkit.engines.base import TableName
from mlkit.errors import EXIT_DONE, EXIT_INTEGRITY, DataError, IntegrityError
from mlkit.fsck import Damage, FsckReport, check_stores
from mlkit.production import decisions, ledger, records
from mlkit.production.records import Records

TORN = Damage("training.p__test", "INT064", "it holds other rows")
ROW = {"seq": 1, "at": dt.datetime(2026, 6, 1, tzinfo=dt.UTC)}


def found(workspace, project="p") -> list:
    """Code and place of each damage."""
    return [(each.code, each.what) for each in check_stores(workspace, project).damages]


def write(workspace, name, schema, rows):
    """A table of records as somebody's hand might leave it."""
    table = pa.Table.from_pylist(rows, schema=schema)
    workspace.engine.create(TableName("monitoring", name), table.to_reader())


def record(**changes) -> dict:
    """A row of a table of records."""
    return {**ROW, "record_id": "a", "actor": "ann", "record": "{}", **changes}


@pytest.mark.parametrize(
    ("projects", "damages", "said", "code"),
    [
        ((), (), "no project  7 tables, models and records read in 1.2 s: all sound", EXIT_DONE),
        (("p", "q"), (), "p, q  7 tables, models and records read in 1.2 s: all sound", EXIT_DONE),
        (("p",), (TORN, TORN), "p  7 tables, models and records read in 1.2 s: 2 damaged", EXIT_INTEGRITY),
    ],
)
def test_a_report_is_its_sum_and_each_damage(projects, damages, said, code):
    """With what to do next only where something is damaged."""
    report = FsckReport(projects, 7, damages, 1.23)
    lines = repr(report).splitlines()
    assert lines[0] == said
    assert lines[1 : 1 + len(damages)] == ["  INT064  training.p__test: it holds other rows"] * len(damages)
    assert ("restore them from a backup" in repr(report)) is bool(damages)
    values = json.loads(json.dumps(report.to_dict()))
    assert (report.exit_code, values["sound"], len(values["damages"])) == (code, not damages, len(damages))


def test_an_empty_store_is_sound_and_stays_empty(workspace):
    """Of all projects, and of one that nobody has heard of."""
    assert check_stores(workspace).projects == ()
    assert found(workspace, None) == found(workspace, "nobody") == []
    assert workspace.engine.tables("monitoring") == workspace.engine.tables("training") == []


def test_records_that_were_kept_are_sound(workspace):
    """Whatever their kind; other tables of the project are read through."""
    for kind in ("marks", "pins"):
        for number in range(3):
            Records(workspace.engine, "p", kind).add({"number": number, "text": "ä"})
    workspace.engine.create(TableName("monitoring", "p__notes"), pa.table({"x": [1, None]}).to_reader())
    before = check_stores(workspace, "other").checked
    report = check_stores(workspace, "p")
    assert (report.damages, report.checked - before) == ((), 3)
    assert check_stores(workspace).projects == ("p",)


@pytest.mark.parametrize(
    ("rows", "damages"),
    [
        ([], []),
        ([record(), record(seq=2)], []),
        ([record(seq=2), record()], []),
        ([record(), record(seq=3)], [("INT061", "monitoring.p__marks")]),
        ([record(), record()], [("INT061", "monitoring.p__marks")]),
        ([record(seq=0)], [("INT061", "monitoring.p__marks")]),
        ([record(record="{")], [("INT060", "monitoring.p__marks 1")]),
        (
            [record(record=""), record(seq=3, record="nul")],
            [
                ("INT061", "monitoring.p__marks"),
                ("INT060", "monitoring.p__marks 1"),
                ("INT060", "monitoring.p__marks 3"),
            ],
        ),
    ],
)
def test_records_are_numbered_and_read(workspace, rows, damages):
    """Each one that does not read is named by its number."""
    write(workspace, "p__marks", records.SCHEMA, rows)
    assert found(workspace) == damages


def test_a_decision_that_does_not_read_or_says_something_else(workspace):
    """Each is named by its own id; the others are read."""
    row = {"run_key": "k", "champion_model_id": "", "outcome": "keep", "at": ROW["at"]}
    said = {"candidate": {"model_id": "m"}, "scores": {"champion_error": ""}}
    known = decisions.Decision("k", "", "keep", said, ROW["at"])
    rows = [
        {**row, "decision_id": known.decision_id, "record": json.dumps(said)},
        {**row, "decision_id": "other", "record": json.dumps(said)},
        {**row, "decision_id": "torn", "record": "{"},
        {**row, "decision_id": "part", "record": '{"candidate": {}}'},
    ]
    fields = set(decisions.SCHEMA.names)
    write(
        workspace, "p__decisions", decisions.SCHEMA, [{**dict.fromkeys(fields, ""), **each} for each in rows]
    )
    assert [place.rpartition(" ")[2] for code, place in found(workspace) if code == "INT063"] == [
        *("other", "torn", "part"),
    ]


def test_a_ledger_that_stands_on_nothing(workspace):
    """Its decision, tables and version are missed; an entry that does not read leaves a gap."""
    text = ("kind", "actor", "reason", "model_id", "run_id", "manifest_digest", "run_key", "model_key")
    row = {**ROW, **dict.fromkeys(text, "x"), "from_version": None, "to_version": 1, "evidence": "{}"}
    rows = [row, {**row, "seq": 2, "evidence": "{"}, {**row, "seq": 3, "from_version": 2, "to_version": 3}]
    write(workspace, "p__ledger", ledger.SCHEMA, rows)
    damages = found(workspace)
    assert ("INT060", "monitoring.p__ledger 2") in damages
    assert ("INT061", "monitoring.p__ledger") in damages
    assert ("INT061", "monitoring.p__ledger 3") in damages
    assert [place for code, place in damages if code == "INT065"] == [
        *["monitoring.p__ledger 1"] * 3,
        *["monitoring.p__ledger 3"] * 3,
    ]
    assert ("INT062", "monitoring.p__ledger 1") in damages


def test_tables_are_held_to_their_names_where_these_are_digests(workspace):
    """A published table is; one whose name is no digest is read through."""
    rows = pa.table({"x": [1, 2]})
    workspace.engine.publish("training", "p__test", rows.to_reader())
    workspace.engine.create(TableName("training", "p__notes"), rows.to_reader())
    assert found(workspace) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (IntegrityError("INT020", "cut", path="a.bin"), "a.bin: cut"),
        (DataError("DAT046", "another type"), "another type"),
        (IntegrityError("INT020", "cut", path="features"), "cut"),
    ],
)
def test_an_error_of_one_check_is_a_damage_and_the_others_go_on(workspace, monkeypatch, error, message):
    """Its place is said once."""

    def stops(_rows):
        raise error

    for name in ("a", "b"):
        workspace.engine.create(TableName("features", name), pa.table({"x": [1]}).to_reader())
    monkeypatch.setattr(fsck, "fingerprint", stops)
    assert check_stores(workspace).damages == tuple(
        Damage(f"features.{name}", error.code, message) for name in ("a", "b")
    )
