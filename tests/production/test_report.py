"""Reports: what a run says of itself, to people, programs and jobs."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mlkit.engines.base import Published, TableName
from mlkit.errors import EXIT_DONE, EXIT_REJECTED, GateRejectedError
from mlkit.production.refresh import NoRefresher
from mlkit.production.report import STEPS, Clock, RollbackReport, RunReport, StoredTable
from tests.production.test_ledger import entry

TABLE = StoredTable("training.p__train__aa", "d1:aa", 5)
REPORT = RunReport(
    outcome="promoted",
    model="p",
    run_key="rr",
    config_digest="cc",
    version=2,
    model_id="m-1",
    train=TABLE,
    scores={"candidate": 1.5, "champion": None},
    verdict={"passed": True, "reasons": ["good enough"]},
    seconds={"plan": 0.5, "train": 1.0},
    notes=("numpy 1 pinned, 2 here",),
)
CONTRACT = (
    *("outcome", "model", "version", "model_id", "run_key", "config_digest", "train", "test"),
    *("predictions", "scores", "verdict", "seconds"),
)


def test_as_values_it_is_json_with_all_that_was_promised():
    """What `mlkit deploy NAME --json` prints; a program may rely on these names."""
    values = json.loads(json.dumps(REPORT.to_dict(), allow_nan=False))
    assert values.keys() >= set(CONTRACT)
    assert values["train"] == {"table": TABLE.table, "fingerprint": "d1:aa", "rows": 5}
    assert values["verdict"] == {"passed": True, "reasons": ["good enough"]}


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("promoted", EXIT_DONE),
        ("kept_champion", EXIT_DONE),
        ("unchanged", EXIT_DONE),
        ("rejected", EXIT_REJECTED),
    ],
)
def test_only_a_rejection_is_an_error(outcome, code):
    """By exit code on a shell, by exception in a job."""
    report = dataclasses.replace(REPORT, outcome=outcome)
    assert report.exit_code == code
    if code == EXIT_DONE:
        report.raise_if_rejected()
    else:
        with pytest.raises(GateRejectedError, match="good enough") as caught:
            report.raise_if_rejected()
        assert (caught.value.code, caught.value.exit_code) == ("GAT001", code)


def test_people_read_the_outcome_first():
    """Then reasons, notes and what to type next."""
    lines = repr(REPORT).splitlines()
    assert lines[0] == "promoted  p v2  in 1.5 s"
    assert lines[1:3] == ["  good enough", "  note: numpy 1 pinned, 2 here"]
    assert lines[-1].endswith("mlkit history p, mlkit explain p 2")
    assert "explain" not in repr(dataclasses.replace(REPORT, version=None))
    assert REPORT._repr_html_() == f"<pre>{REPORT!r}</pre>"


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"previous": 1}, "promoted  p v2 (was v1)  in 1.5 s"),
        ({"previous": 2}, "promoted  p v2  in 1.5 s"),
        ({"outcome": "kept_champion", "version": None, "previous": 1}, "kept_champion  p v1 stays  in 1.5 s"),
        ({"outcome": "rejected", "version": None}, "rejected [GAT001]  p; nothing serves yet  in 1.5 s"),
        ({"outcome": "unchanged", "previous": 2}, "unchanged  p v2  in 1.5 s"),
    ],
)
def test_the_first_line_says_which_version_serves(changes, head):
    """And which one it replaced; only then there is something to undo."""
    shown = repr(dataclasses.replace(REPORT, **changes))
    assert shown.splitlines()[0] == head
    assert ("mlkit rollback p --to 1 --reason" in shown) == ("was v1" in head)


def test_a_rollback_is_called_one():
    """In words only: to programs it is a promotion of an earlier version, as it always was."""
    report = RollbackReport(**{**vars(REPORT), "previous": 3})
    assert repr(report).splitlines()[0] == "rolled back to v2 (was v3)  p  in 1.5 s"
    assert repr(dataclasses.replace(report, outcome="unchanged")).startswith("unchanged  p v2  in ")
    assert report.to_dict() == dataclasses.replace(REPORT, previous=3).to_dict()


def test_a_table_that_was_published():
    """By its whole name."""
    published = Published(TableName("training", "p__train__aa"), "d1:aa", 5, created=False)
    assert StoredTable.of(published) == TABLE


def test_a_clock_tells_each_step_when_it_ends(capsys, monkeypatch):
    """Its number of eight, what was said, and the seconds; a step that failed tells nothing."""
    monkeypatch.delenv("MLKIT_QUIET")
    clock = Clock()
    with clock.step("train") as said:
        said.append("trained m-1")
    with clock.step("verify") as said:
        said.append("all is well")
    with pytest.raises(ZeroDivisionError), clock.step("gate"):
        raise ZeroDivisionError
    told = capsys.readouterr().err.splitlines()
    assert told[0].split()[:4] == ["3/8", "train", "trained", "m-1"]
    assert told[1].split()[:2] == ["verify", "all"]
    assert list(clock.seconds) == ["train", "verify"]
    assert len(told) == 2
    assert len(STEPS) == 8


def test_without_a_server_the_alias_is_where_to_look():
    """Nothing is told, and it says how the champion is read."""
    answer = NoRefresher().refresh("p", entry(1))
    assert (answer.version, "models:/p@champion is v1" in answer.message) == (1, True)
