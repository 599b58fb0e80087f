"""Marks: a model that was found bad does not serve again, however it is asked for."""

from __future__ import annotations

import json
import threading

import pytest

from mlkit import Gate
from mlkit.errors import UsageError
from mlkit.production.marks import mark_version, read_marks
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from tests.production.scenes import RIDGE, STUMP, frozen


@pytest.fixture
def two(stores):
    """Two versions, the second better; it serves."""
    for model in (STUMP, RIDGE):
        deploy(frozen(model=model), stores)
    return stores


def test_a_mark_says_who_why_and_what_to_do(two):
    """Marked, listed, repeated without effect, and taken back; each word is kept in its order."""
    assert "no version is marked bad" in repr(read_marks(two))
    mark = mark_version(two, 2, reason="sees the label")
    assert (mark.version, mark.bad, mark.serves, mark.reason) == (2, True, True, "sees the label")
    assert mark.model_key == two.ledger.head().model_key
    assert "it serves now; next    mlkit rollback flight_delay" in repr(mark)
    assert mark_version(two, 2, reason="again").reason == "sees the label"
    assert [found.version for found in read_marks(two)] == [2]
    assert "1 marked bad" in repr(read_marks(two))
    assert json.loads(json.dumps(read_marks(two).to_dict()))["marks"][0]["reason"] == "sees the label"
    undone = mark_version(two, 2, reason="it did not", bad=False)
    assert (undone.bad, len(read_marks(two))) == (False, 0)
    assert "rollback flight_delay --to 2" in repr(undone)
    assert mark_version(two, 2, reason="after all").reason == "after all"
    assert mark_version(two, 1, reason="too weak").serves is False
    assert [found.version for found in read_marks(two)] == [2, 1]


@pytest.mark.parametrize(
    ("version", "reason", "bad", "code"),
    [(1, " ", True, "CLI071"), (7, "why", True, "CLI005"), (1, "why", False, "CLI074")],
)
def test_what_makes_no_sense_is_refused(stores, version, reason, bad, code):
    """No reason, no such version, nothing to take back."""
    deploy(frozen(model=STUMP), stores)
    with pytest.raises(UsageError) as caught:
        mark_version(stores, version, reason=reason, bad=bad)
    assert caught.value.code == code
    assert len(read_marks(stores)) == 0


def test_a_version_that_was_made_by_hand_has_nothing_to_mark(stores):
    """Nothing could promote it."""
    deploy(frozen(model=STUMP), stores)
    location = stores.registry.folder(stores.ledger.head().model_id).as_uri()
    stores.tracking.client.create_model_version(stores.project, location)
    with pytest.raises(UsageError, match="not made by a deployment") as caught:
        mark_version(stores, 2, reason="why")
    assert caught.value.code == "CLI075"


def test_of_several_marks_at_once_one_stands(two):
    """Who comes second is told what the first one said."""
    marks = []
    tasks = [
        threading.Thread(target=lambda n=n: marks.append(mark_version(two, 1, reason=f"reason {n}")))
        for n in range(4)
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert len({mark.reason for mark in marks}) == 1
    assert len(read_marks(two)) == 1


def test_the_gate_keeps_a_marked_model_out_under_any_config(stores):
    """Another gate makes another run of the same model, which is the one that was found bad."""
    deploy(frozen(model=STUMP), stores)
    config, other = frozen(), frozen(gate=Gate(threshold=24))
    assert deploy(config, stores).version == 2
    assert roll_back(stores, reason="sees the label", mark_bad=True).version == 1
    plan = plan_deployment(other, stores)
    assert plan.kind == "primary"
    assert "would keep it out: it is the model of v2" in plan.reasons[-1]
    report = deploy(other, stores)
    assert (report.outcome, report.version) == ("kept_champion", None)
    assert "v2 is marked bad" in report.verdict["reasons"][-1]
    assert report.scores["candidate"] < report.scores["champion"]
    assert stores.ledger.head().to_version == 1
    again = deploy(other, stores)
    assert again.outcome == "kept_champion"
    assert len(stores.decisions.find(again.run_key)) == 1
    known = deploy(config, stores)
    assert (known.outcome, stores.ledger.head().to_version) == ("unchanged", 1)
    assert "v1 serves; v2 is marked bad" in known.notes[-1]
    mark_version(stores, 2, reason="it was the feature table", bad=False)
    freed = deploy(other, stores)
    assert freed.outcome == "promoted"
    assert [decision.outcome for decision in stores.decisions.find(freed.run_key)] == ["keep", "promote"]
