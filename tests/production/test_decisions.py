"""Decision records: one for each finding, found again, and never a half of one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math

import pytest

from mlkit.engines.base import MONITORING, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import IntegrityError, StoreError
from mlkit.production.decisions import Decision, Decisions, plain
from tests.production.test_ledger import entry

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def decision(outcome="promote", *, run="r1", champion="", score=1.0, error="", minutes=0, model="m1"):
    """A decision with as much of a record as identifies it."""
    scores = {"candidate": score, "champion": None, "champion_error": error}
    record = {"candidate": {"model_id": model}, "scores": scores}
    return Decision(run, champion, outcome, record, NOON + dt.timedelta(minutes=minutes))


@pytest.fixture
def decisions(tmp_path):
    """An empty table."""
    return Decisions(LocalEngine(tmp_path), "p")


def test_the_same_finding_is_kept_once(decisions):
    """A repeated run adds nothing, and is given what stands, with its time."""
    first = decisions.record(decision())
    assert decisions.record(decision(minutes=5)) == first
    assert decisions.find("r1") == [first]


@pytest.mark.parametrize(
    "other",
    [
        decision("keep"),
        decision(champion="m0"),
        decision(score=2.0),
        decision(error="unreadable"),
        decision(model="m2"),
    ],
)
def test_another_finding_is_another_record(decisions, other):
    """Outcome, champion, candidate and scores tell decisions about one run apart."""
    decisions.record(decision())
    assert decisions.record(dataclasses.replace(other, at=NOON + dt.timedelta(minutes=1))).at > NOON
    assert len(decisions.find("r1")) == 2


def test_the_name_of_a_decision_stays():
    """Records of an older mlkit are found again by a newer one."""
    assert decision().decision_id == "7bd6bf8bd45aa34da8e71308308f09fa"


def test_decisions_are_in_the_order_of_their_time(decisions):
    """However they came to lie in the table."""
    for minutes in (3, 1, 2):
        decisions.record(decision(score=float(minutes), minutes=minutes))
    assert [found.record["scores"]["candidate"] for found in decisions.find("r1")] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("known", "served_by", "settles"),
    [
        (decision("keep", champion="m0"), "m0", True),
        (decision("keep", champion="m0"), "m9", False),
        (decision("keep", champion="m0", error="unreadable"), "m0", False),
        (decision("reject"), None, True),
        (decision("reject"), "m0", False),
        (decision("promote"), None, False),
        (decision("promote"), "m0", False),
        (decision("keep", champion="m0", run="r2"), "m0", False),
    ],
)
def test_what_settles_a_run(decisions, known, served_by, settles):
    """The champion that it lost to still serves, and could be read."""
    decisions.record(known)
    entries = [entry(1, model_id=served_by, run_key="r0")] if served_by else []
    assert (decisions.settled("r1", entries) is not None) is settles


def test_a_promotion_settles_its_run_for_ever(decisions):
    """Also under the run key of new code for the same model."""
    first = decisions.record(decision())
    entries = [
        entry(1, run_key="r1", model_id="m1"),
        entry(2, run_key="new code", model_id="m1", kind="code"),
    ]
    entries += [entry(3, run_key="r3", model_id="m3")]
    assert decisions.settled("r1", entries) == decisions.settled("new code", entries) == first


def test_a_promotion_without_its_record_is_an_integrity_error(decisions):
    """The ledger and the records are kept together."""
    with pytest.raises(IntegrityError) as caught:
        decisions.settled("r1", [entry(1, run_key="r1", model_id="m1")])
    assert caught.value.code == "INT032"


def test_writers_that_keep_coming_are_an_error_of_the_store(decisions, monkeypatch):
    """It is tried again, but not for ever; repeating is safe."""
    other = Decisions(decisions._engine, "p")
    append = decisions._engine.append
    turns = iter(range(100))
    busy = True

    def overtaken(*arguments, **rest):
        nonlocal busy
        if busy:
            busy = False
            other.record(decision(score=float(next(turns))))
            busy = True
        return append(*arguments, **rest)

    monkeypatch.setattr(decisions._engine, "append", overtaken)
    with pytest.raises(StoreError, match="kept writing") as caught:
        decisions.record(decision("keep"))
    assert caught.value.code == "STO028"


def test_values_become_json():
    """What is not finite is missing; tuples are lists; the rest stays as it is."""
    values = {"a": math.nan, "b": (math.inf, 1, True, None), "c": {"d": -math.inf, "e": "nan"}}
    assert plain(values) == {"a": None, "b": [None, 1, True, None], "c": {"d": None, "e": "nan"}}


def test_the_table_is_made_with_the_first_record(decisions):
    """Looking makes nothing."""
    table = TableName(MONITORING, "p__decisions")
    assert (decisions.find("r1"), decisions._engine.describe(table)) == ([], None)
    decisions.record(decision())
    assert decisions._engine.describe(table).rows == 1
