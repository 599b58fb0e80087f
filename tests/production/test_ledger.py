"""The ledger: append-only, compare-and-set, and readable for ever."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from mlkit.engines.base import MONITORING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import IntegrityError, RaceLostError
from mlkit.production import decisions, ledger
from mlkit.production.ledger import Entry, Ledger, actor

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "records_v1.json").read_text())


def entry(seq, **changes):
    """An entry like the one in the golden file."""
    values = {**GOLDEN["entry"], "at": dt.datetime.fromisoformat(GOLDEN["entry"]["at"]), "seq": seq}
    return Entry(**{**values, **changes})


@pytest.fixture
def engine(tmp_path):
    """An empty lake."""
    return LocalEngine(tmp_path)


def test_an_empty_ledger_has_no_head_and_makes_no_table(engine):
    """Looking is free."""
    assert (Ledger(engine, "p").entries(), Ledger(engine, "p").head()) == ([], None)
    assert engine.tables(MONITORING) == []


def test_entries_come_back_as_they_were(engine):
    """In order of their numbers, times with their zone, evidence nested."""
    written = [entry(1), entry(2, from_version=1, to_version=2, evidence={"a": {"b": [1, None, "ü"]}})]
    for each in written:
        Ledger(engine, "p").append(each, expected_seq=each.seq - 1)
    assert Ledger(engine, "p").entries() == written
    assert Ledger(engine, "p").head() == written[-1]
    assert Ledger(engine, "other").entries() == []


@pytest.mark.parametrize("expected_seq", [0, 2])
def test_another_head_than_the_one_seen_loses(engine, expected_seq):
    """Whether it is behind or ahead; the winner is named; nothing was written."""
    Ledger(engine, "p").append(entry(1, actor="ann"), expected_seq=0)
    with pytest.raises(RaceLostError, match="v1 was promoted meanwhile by ann"):
        Ledger(engine, "p").append(entry(expected_seq + 1), expected_seq=expected_seq)
    assert len(Ledger(engine, "p").entries()) == 1


def test_a_race_that_the_table_decides_is_lost_too(engine, monkeypatch):
    """Another entry may come after the head was read and before ours is written."""
    slow, fast = Ledger(engine, "p"), Ledger(LocalEngine(engine._root), "p")
    slow.append(entry(1), expected_seq=0)
    append = engine.append

    def overtaken(*arguments, **rest):
        fast.append(entry(2, actor="bob"), expected_seq=1)
        return append(*arguments, **rest)

    monkeypatch.setattr(engine, "append", overtaken)
    with pytest.raises(RaceLostError, match="bob"):
        slow.append(entry(2, actor="ann"), expected_seq=1)
    assert [each.actor for each in slow.entries()] == ["x", "bob"]


def test_the_table_only_grows(engine):
    """The store itself refuses to replace a row of it."""
    Ledger(engine, "p").append(entry(1), expected_seq=0)
    name = TableName(MONITORING, "p__ledger")
    rows = engine.read(name).read_all()
    with pytest.raises(IntegrityError):
        engine.merge(name, rows.to_reader(), key=["seq"], expected_version=engine.describe(name).version)


def test_columns_of_a_later_version_are_not_in_the_way(engine):
    """A ledger that a newer mlkit made wider is read for what is known."""
    rows = ledger._batch(entry(1)).append_column("later", pa.array(["x"]))
    engine.create(TableName(MONITORING, "p__ledger"), rows.to_reader())
    assert Ledger(engine, "p").entries() == [entry(1)]


def test_the_tables_are_those_of_version_one():
    """Stores outlive versions of mlkit: columns may be added, never changed."""
    for name, schema in (("ledger", ledger.SCHEMA), ("decisions", decisions.SCHEMA)):
        assert [[field.name, str(field.type), field.nullable] for field in schema] == GOLDEN[name]
    assert list(decisions.EVIDENCE) == GOLDEN["evidence"]


def test_an_entry_is_one_line_of_history():
    """Number, time, kind, move, who and why."""
    assert repr(entry(1)) == "  1  2026-01-02 03:04:05  promotion  v1          x  first deployment"
    assert "v1 -> v2" in repr(entry(2, from_version=1, to_version=2))
    assert entry(1).to_dict()["at"] == "2026-01-02T03:04:05+00:00"


def test_a_user_without_a_name_can_deploy(monkeypatch):
    """Containers run under numbers that no file of users knows."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987654321)
    assert actor() == "unknown"
