"""Runners that start together: exactly one of them moves the champion."""

from __future__ import annotations

import pytest

from mlkit.errors import EXIT_RACE
from mlkit.production.ledger import Ledger
from mlkit.production.runner import deploy
from tests.production.scenes import RIDGE, STUMP, TREE, frozen, state

MODELS = {"ridge": RIDGE, "stump": STUMP, "tree": TREE}


@pytest.mark.parametrize("names", [("ridge", "stump"), ("ridge", "stump", "tree")])
@pytest.mark.parametrize("champion", [False, True])
def test_one_of_several_candidates_wins(stores, children, saved, names, champion):
    """All have registered a version and stand before the ledger together; the losers change nothing."""
    if champion:
        deploy(frozen(model={**STUMP, "params": {"max_depth": 1, "max_features": 1}}), stores)
    files = [saved(frozen(model=MODELS[name]), name) for name in names]
    results = children.race([("deploy", file) for file in files], meet_at="register.done")
    won = [answer for _, answer in results if answer.get("outcome") == "promoted"]
    lost = [answer for _, answer in results if answer.get("code") == "STO021"]
    assert (len(won), len(lost)) == (1, len(names) - 1)
    assert {answer["exit_code"] for answer in lost} == {EXIT_RACE}
    assert all("judged against" in answer["fix"] for answer in lost)
    head = stores.ledger.head()
    assert (head.seq, head.model_id) == (2 if champion else 1, won[0]["model_id"])
    assert stores.reconciled_head() == head
    assert stores.registry.champion().model_id == head.model_id
    assert len(stores.registry.versions()) == len(names) + champion


def test_the_loser_is_judged_against_the_winner_when_it_comes_again(stores, children, saved):
    """A race that is lost is no verdict: the next run compares with the champion that came between."""
    files = {name: saved(frozen(model=MODELS[name]), name) for name in ("ridge", "stump")}
    tasks = [("deploy", file) for file in files.values()]
    outcomes = [answer.get("outcome") for _, answer in children.race(tasks, meet_at="register.done")]
    winner = stores.ledger.head()
    loser = list(files)[outcomes.index(None)]
    report = deploy(frozen(model=MODELS[loser]), stores)
    # A ridge is better than a stump, so the outcome depends on who was first.
    assert report.outcome == ("promoted" if loser == "ridge" else "kept_champion")
    decision = stores.decisions.find(report.run_key)[-1]
    assert decision.champion_model_id == winner.model_id
    assert decision.record["champion"]["seq"] == winner.seq


def test_two_runners_of_one_config_make_one_champion(stores, children, saved):
    """Both may train, one promotes; whoever comes again finds nothing to do."""
    file = saved(frozen())
    results = children.race([("deploy", file), ("deploy", file)], meet_at="register.done")
    assert sorted(answer.get("outcome", answer.get("code")) for _, answer in results) == [
        "STO021",
        "promoted",
    ]
    head = stores.ledger.head()
    assert head.seq == 1
    again = deploy(frozen(), stores)
    assert (again.outcome, again.model_id) == ("unchanged", head.model_id)
    assert state(stores)["tables"] == [
        *(f"training.{name}" for name in sorted(table.split(".")[1] for table in _tables(head))),
        "monitoring.flight_delay__decisions",
        "monitoring.flight_delay__ledger",
    ]


def test_the_alias_follows_the_ledger_even_if_the_slower_runner_is_last(stores, monkeypatch):
    """A runner that was held up between its ledger entry and the alias does not undo a later promotion."""
    deploy(frozen(model=STUMP), stores)
    point_alias, pointed = stores.registry.point_alias, []
    meanwhile = iter([frozen()])

    def held_up(version):
        for config in meanwhile:
            deploy(config, stores)
        pointed.append(version)
        point_alias(version)

    monkeypatch.setattr(stores.registry, "point_alias", held_up)
    deploy(frozen(model=TREE), stores)
    assert pointed == [2, 3, 2, 3]  # the other run first finds the alias behind, then moves it on
    assert stores.registry.champion().version == stores.ledger.head().to_version == 3


def test_three_processes_append_in_one_order(stores, children, saved):
    """Fifteen entries of three writers: every number once, each writer's own in the order it won them."""
    deploy(frozen(), stores)
    results = children.race([("append", reason, 5) for reason in "abc"])
    won = [numbers for _, numbers in results]
    assert sorted(number for numbers in won for number in numbers) == list(range(2, 17))
    entries = Ledger(stores.engine, stores.project).entries()
    assert [entry.seq for entry in entries] == list(range(1, 17))
    for reason, numbers in zip("abc", won, strict=True):
        assert [entry.seq for entry in entries if entry.reason == reason] == numbers == sorted(numbers)


def _tables(entry):
    return [entry.evidence[part]["table"] for part in ("train", "test", "predictions")]
