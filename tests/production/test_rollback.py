"""Rollback: to an earlier version that is whole, with a reason, and never forward by accident."""

from __future__ import annotations

import shutil

import pytest

from mlkit.errors import IntegrityError, RaceLostError, ServingError, UsageError
from mlkit.production.marks import mark_version, read_marks
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from tests.production.scenes import NAME, RIDGE, STUMP, frozen, state

WEAK = {**RIDGE, "params": {"alpha": 1e9}}


@pytest.fixture
def three(stores):
    """Three versions, each better than the one before; v3 serves."""
    for model in (WEAK, STUMP, RIDGE):
        deploy(frozen(model=model), stores)
    return stores


def test_by_default_to_the_version_that_the_champion_replaced(three):
    """Ledger and alias move; version, files and tables of the target are in the report."""
    report = roll_back(three, reason="too many complaints")
    head = three.ledger.head()
    assert (report.outcome, report.version, report.exit_code) == ("promoted", 2, 0)
    assert repr(report).startswith(f"rolled back to v2 (was v3)  {three.project}  in ")
    assert (head.kind, head.from_version, head.to_version) == ("rollback", 3, 2)
    assert (head.reason, head.seq) == ("too many complaints", 4)
    assert report.model_id == head.model_id == three.registry.champion().model_id
    assert report.predictions.table == head.evidence["predictions"]["table"]
    assert report.verdict == {"passed": True, "reasons": ["too many complaints"]}


def test_again_for_another_reason_goes_further_back_and_never_forward(three):
    """The version that was rolled back is not what served before: it is what was fled from."""
    assert roll_back(three, reason="first").version == 2
    assert roll_back(three, reason="second").version == 1
    with pytest.raises(UsageError, match="replaced no other") as caught:
        roll_back(three, reason="third")
    assert caught.value.code == "CLI006"


def test_repeated_it_is_the_same_rollback(three):
    """Whoever repeats a command that was stopped does not go back twice."""
    roll_back(three, reason="first")
    before = state(three)
    assert roll_back(three, reason="first").outcome == "unchanged"
    assert state(three) == before


def test_to_a_named_version_and_forward_again(three):
    """By number one may go anywhere that ever served."""
    assert roll_back(three, to=1, reason="back").version == 1
    assert roll_back(three, to=3, reason="forth").version == 3
    assert [entry.to_version for entry in three.ledger.entries()] == [1, 2, 3, 1, 3]


def test_to_the_champion_changes_nothing_but_mends_the_alias(three):
    """It serves already."""
    three.registry.point_alias(1)
    report = roll_back(three, to=3, reason="again")
    assert (report.outcome, report.verdict["reasons"]) == ("unchanged", ["it serves already"])
    assert len(three.ledger.entries()) == 3
    assert three.registry.champion().version == 3


@pytest.mark.parametrize(
    ("to", "reason", "code"),
    [
        (None, "", "CLI025"),
        (None, " \n", "CLI025"),
        (9, "why", "CLI005"),
        (0, "why", "CLI004"),
        (-1, "why", "CLI004"),
        (True, "why", "CLI004"),
        ("2", "why", "CLI004"),
    ],
)
def test_what_makes_no_sense_is_refused(stores, to, reason, code):
    """Exit 2 and the stable code; nothing moved."""
    deploy(frozen(), stores)
    with pytest.raises(UsageError) as caught:
        roll_back(stores, to=to, reason=reason)
    assert caught.value.code == code
    assert len(stores.ledger.entries()) == 1


def test_a_version_that_never_served_is_named_with_those_that_did(stores):
    """A loser of a race is registered, but is no target."""
    deploy(frozen(), stores)
    with pytest.raises(UsageError, match="one of v1"):
        roll_back(stores, to=2, reason="why")


def test_with_nothing_to_go_back_to(stores):
    """Before the first promotion, and after it."""
    with pytest.raises(UsageError, match="nothing was ever promoted"):
        roll_back(stores, reason="why")
    deploy(frozen(), stores)
    with pytest.raises(UsageError, match="v1 replaced no other version"):
        roll_back(stores, reason="why")


@pytest.mark.parametrize(("damage", "code"), [("file", "INT022"), ("table", "INT031"), ("version", "INT030")])
def test_a_target_that_is_not_whole_is_refused(three, home, damage, code):
    """Verified first: files against the manifest, rows against the fingerprint, the number against the id."""
    target = three.ledger.entries()[1]
    if damage == "file":
        (three.registry.folder(target.model_id) / "requirements.txt").write_text("")
    if damage == "table":
        shutil.rmtree(home / "lake" / target.evidence["predictions"]["table"].replace(".", "/"))
    if damage == "version":
        three.tracking.client.delete_model_version(NAME, "2")
    with pytest.raises(IntegrityError) as caught:
        roll_back(three, reason="why")
    assert caught.value.code == code
    assert len(three.ledger.entries()) == 3
    assert three.registry.champion().version == 3


def test_a_champion_that_is_damaged_can_be_left(three):
    """That is what rollback is for: neither its files nor its version need to be there."""
    head = three.ledger.head()
    shutil.rmtree(three.registry.folder(head.model_id))
    three.tracking.client.delete_model_version(NAME, "3")
    assert roll_back(three, reason="the disk ate it").version == 2
    assert three.registry.champion().version == 2


def test_serving_that_does_not_follow(three):
    """The champion has moved back; the error says so; the same command again tells serving again."""

    class Deaf:
        def refresh(self, model, champion):
            raise ServingError("NET001", "no answer", path=model)

    with pytest.raises(ServingError):
        roll_back(three, reason="first", refresher=Deaf())
    assert three.registry.champion().version == 2
    assert roll_back(three, reason="first").outcome == "unchanged"


def test_a_promotion_that_comes_between_wins(three, monkeypatch):
    """The rollback was meant against the champion that was seen, and changes nothing."""
    append = three.ledger.append
    meanwhile = iter([1])

    def late(entry, *, expected_seq):
        for version in meanwhile:
            roll_back(three, to=version, reason="faster")
        return append(entry, expected_seq=expected_seq)

    monkeypatch.setattr(three.ledger, "append", late)
    with pytest.raises(RaceLostError):
        roll_back(three, reason="slower")
    assert [entry.reason for entry in three.ledger.entries()[3:]] == ["faster"]


def test_what_is_marked_bad_is_passed_over(three):
    """To the version before the bad one, which is said; if none is left, nothing moves."""
    mark_version(three, 2, reason="sees the label")
    report = roll_back(three, reason="too many complaints")
    assert (report.version, len(report.notes)) == (1, 1)
    assert "v2 is marked bad" in report.notes[0]
    roll_back(three, to=3, reason="forth")
    mark_version(three, 1, reason="too weak")
    with pytest.raises(UsageError, match=r"nothing is left: v2 is marked bad .*; v1 is marked bad") as caught:
        roll_back(three, reason="once more")
    assert caught.value.code == "CLI070"
    with pytest.raises(UsageError, match="v2 is marked bad") as caught:
        roll_back(three, to=2, reason="in spite of all")
    assert (caught.value.code, "--unmark" in caught.value.fix) == ("CLI070", True)
    assert three.ledger.head().to_version == 3
    mark_version(three, 2, reason="it did not", bad=False)
    assert roll_back(three, to=2, reason="in spite of all").version == 2


def test_the_version_that_is_left_is_marked(three):
    """In the same command; repeated it says the same, and without a move nothing is left to mark."""
    report = roll_back(three, reason="sees the label", mark_bad=True)
    assert (report.version, "v3 is marked bad" in report.notes[-1]) == (2, True)
    again = roll_back(three, reason="sees the label", mark_bad=True)
    assert (again.outcome, len(read_marks(three)), len(three.ledger.entries())) == ("unchanged", 1, 4)
    with pytest.raises(UsageError, match="v2 serves already") as caught:
        roll_back(three, to=2, reason="other", mark_bad=True)
    assert caught.value.code == "CLI073"
    assert [mark.version for mark in read_marks(three)] == [3]


def test_the_same_reason_leaves_also_a_version_that_was_marked_meanwhile(three):
    """It is no repetition of the rollback to a version that is bad itself."""
    roll_back(three, reason="late flights")
    mark_version(three, 2, reason="late flights too")
    assert roll_back(three, reason="late flights").version == 1


@pytest.mark.parametrize("point", ["rollback.marked", "promote.ledger"])
def test_marking_killed_anywhere_converges(three, children, point):
    """One mark on the version that was left, one entry, and the alias where it belongs."""
    code, _ = children.run("leave", "sees the label", fail=f"{point}:kill")
    assert code == -9
    assert [mark.version for mark in read_marks(three)] == [3]
    code, told = children.run("leave", "sees the label")
    assert (code, told["version"]) == (0, 2)
    assert [mark.version for mark in read_marks(three)] == [3]
    assert [entry.to_version for entry in three.ledger.entries()] == [1, 2, 3, 2]
    assert three.registry.champion().version == 2
