"""Retraining: when the policy wants it, what speaks against it, and that every decision is on record."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from mlkit import cli
from mlkit.errors import ConfigError, ServingError, UsageError
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.model.retraining import Retrain, has_drifted, judge
from mlkit.production.monitor import monitor
from mlkit.production.records import Records
from mlkit.production.retrain import hand_over, is_cooling, retrain, unfinished
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.production.task import main as run_task
from mlkit.production.task import task_values
from tests.conftest import make_flights
from tests.production import scenes
from tests.production.watching import JUNE, WEEK, asked, serve, set_up, watched

DAY = dt.timedelta(days=1)
OK, DRIFT = "OK", "DRIFT"


def drifting(stores, *, months=1):
    """Weeks of answers about ever longer flights, each checked."""
    for number in range(months):
        flights = asked(seed=number + 2, shift=900.0)
        serve(stores, flights, since=JUNE + number * WEEK)
        report = monitor(stores, since=JUNE + number * WEEK, until=JUNE + (number + 1) * WEEK)
        assert report.verdict == DRIFT


def grow(stores, rows=800, *, seed=20):
    """New rows arrive in the feature table: longer flights, with their labels."""
    flights = make_flights(rows, seed=seed)
    flights["flight_id"] += 1_000_000 + seed * rows
    flights["distance"] += 900.0
    scenes.publish(stores.engine, flights)


def decisions(stores):
    """What was decided, and what became of it."""
    found = [record.record for record in Records(stores.engine, stores.project, "retrains").all()]
    return [each["decision"] if each["kind"] == "decision" else each["outcome"] for each in found]


@pytest.mark.parametrize(
    ("rule", "age", "verdicts", "wanted"),
    [
        (Retrain(), 400, [DRIFT] * 9, False),
        (Retrain(policy="schedule", every_days=30), 30, [], True),
        (Retrain(policy="schedule", every_days=30), 29.9, [DRIFT] * 9, False),
        (Retrain(policy="drift", windows=2, of=3), 400, [DRIFT, OK, DRIFT], True),
        (Retrain(policy="drift", windows=2, of=3), 400, [DRIFT, DRIFT, OK], False),
        (Retrain(policy="drift", windows=2, of=3), 400, [DRIFT, OK, OK, DRIFT], False),
        (Retrain(policy="drift", windows=1, of=1), 0, [DRIFT], True),
        (Retrain(policy="drift", windows=1, of=1), 400, [], False),
        (Retrain(policy="drift", windows=2, of=3), 400, [DRIFT, "NO_DATA", "ERROR"], False),
        (Retrain(policy="hybrid", every_days=30, windows=1, of=1), 5, [DRIFT], True),
        (Retrain(policy="hybrid", every_days=30, windows=1, of=1), 31, [OK], True),
        (Retrain(policy="hybrid", every_days=30, windows=1, of=1), 5, [OK], False),
    ],
)
def test_what_a_policy_wants(rule, age, verdicts, wanted):
    """Age for a schedule, N of the last M windows with the last one for drift; each is explained."""
    wish = judge(rule, age_days=age, verdicts=verdicts)
    assert wish.wanted is wanted
    assert wish.reasons
    assert wish == judge(rule, age_days=age, verdicts=verdicts)
    if rule.by_drift and wanted and not rule.by_schedule:
        assert has_drifted(rule, verdicts)


@pytest.mark.parametrize(
    "wrong", [{"windows": 4, "of": 3}, {"policy": "often"}, {"cooldown_days": -1}, {"of": 0}]
)
def test_a_policy_that_makes_no_sense(wrong):
    """The field is named."""
    with pytest.raises(ConfigError) as caught:
        Retrain(**wrong)
    assert caught.value.code == "CFG009"


def test_it_stands_in_the_config_and_no_older_digest_changes():
    """A default says nothing, so the file and the digest are those from before there was a policy."""
    plain, other = scenes.frozen(), scenes.frozen(retrain=Retrain(policy="drift"))
    assert "retrain" not in plain.to_yaml()
    assert "policy: drift" in other.to_yaml()
    assert plain.digest != other.digest
    assert type(plain).from_values({**plain.dump(), "retrain": {}}).digest == plain.digest


def test_drift_then_new_rows_then_a_new_champion(stores):
    """The whole way: deployed, drifted, retrained through the gate, and quiet again about the new data."""
    config = set_up(stores, retrain=Retrain(policy="drift", windows=1, of=1, cooldown_days=0))
    drifting(stores)
    same = retrain(config, stores)
    assert (same.decision, same.outcome) == ("skip", "skipped")
    assert "unchanged" in same.reasons[-1]
    grow(stores)
    before = scenes.listing(stores.workspace.home)
    planned = retrain(config, stores, dry_run=True)
    assert (planned.decision, planned.outcome, planned.deployed) == ("retrain", "planned", None)
    assert scenes.listing(stores.workspace.home) == before
    made = retrain(config, stores)
    assert (made.decision, made.outcome, made.deployed.version) == ("retrain", "promoted", 2)
    assert made.new_rows == planned.new_rows > 700
    assert stores.ledger.head().reason.startswith("retrain: drift: 1 of the last 1")
    assert decisions(stores) == ["skip", "retrain", "promoted"]
    serve(stores, asked(seed=9, shift=900.0), since=JUNE + WEEK)
    after = monitor(stores, since=JUNE + WEEK, until=JUNE + 2 * WEEK)
    assert (after.version, after.rows) == (2, 1000)
    assert after.column("input_distance").effect < 0.9
    assert retrain(config, stores).decision == "skip"
    assert "promoted" in repr(made)
    assert json.dumps(made.to_dict())


def test_by_default_it_only_says_what_it_would_do(stores):
    """Policy alert: nothing is retrained unless somebody forces it; data that are the same never are."""
    config = set_up(stores)
    drifting(stores, months=2)
    grow(stores)
    said = retrain(config, stores)
    assert (said.decision, said.policy) == ("skip", "alert")
    assert any("2 of the last 2 windows" in reason for reason in said.reasons)
    assert any("rows against those" in reason for reason in said.reasons)
    forced = retrain(config, stores, force=True)
    assert forced.outcome in ("promoted", "kept_champion")
    assert retrain(config, stores, force=True).decision == "skip"
    assert decisions(stores) == ["skip", "retrain", forced.outcome, "skip"]


def test_cooldown_least_new_rows_and_a_changed_config_speak_against_it(stores):
    """Each is a reason to skip, and each is on record."""
    rule = Retrain(policy="schedule", every_days=1, cooldown_days=7, min_new_rows=500)
    config = set_up(stores, retrain=rule)
    late = stores.ledger.head().at + 2 * DAY
    assert "not due" in retrain(config, stores).reasons[0]
    grow(stores, 300)
    assert "at least 500 are asked for" in retrain(config, stores, now=late).reasons[-1]
    grow(stores, 400, seed=21)
    edited = retrain(config.replace(seed=5), stores, now=late)
    assert (edited.decision, "seed of the file" in edited.reasons[-1]) == ("skip", True)
    assert retrain(config, stores, now=late).decision == "retrain"
    grow(stores, 600, seed=22)
    cooling = retrain(config, stores, now=late + 3 * DAY)
    assert (cooling.decision, cooling.reasons[-1]) == (
        "skip", "cooldown: retrained 3.0 days ago, 7 are to pass",
    )  # fmt: skip
    assert retrain(config, stores, now=late + 8 * DAY).decision == "retrain"
    assert decisions(stores).count("skip") == 4


@pytest.mark.parametrize("point", ["retrain.decided", "promote.ledger", "retrain.deployed"])
def test_a_retrain_that_was_stopped_is_finished(stores, monkeypatch, point):
    """By the next command, whatever the policy says by then; once, however often it is repeated."""
    rule = Retrain(policy="schedule", every_days=1, cooldown_days=7)
    config = set_up(stores, retrain=rule)
    grow(stores)
    late = stores.ledger.head().at + 2 * DAY
    monkeypatch.setenv(VARIABLE, f"{point}:raise")
    with pytest.raises(InjectedFaultError):
        retrain(config, stores, now=late)
    monkeypatch.delenv(VARIABLE)
    resumed = retrain(config, stores)
    assert resumed.decision == "retrain"
    assert "not finished" in resumed.reasons[-1]
    assert [entry.to_version for entry in stores.ledger.entries()] == [1, 2]
    assert decisions(stores)[:2] == ["retrain", resumed.outcome]
    assert retrain(config, stores).decision == "skip"


@pytest.mark.parametrize("point", ["retrain.decided", "promote.ledger", "retrain.deployed"])
def test_a_retrain_that_was_killed_ends_as_if_it_had_not_been(stores, children, saved, point):
    """Another process finishes it; one champion more, one outcome on record."""
    config = set_up(stores, retrain=Retrain(policy="drift", windows=1, of=1, cooldown_days=0))
    drifting(stores)
    grow(stores)
    assert children.run("retrain", saved(config), fail=f"{point}:kill") == (-9, None)
    code, told = children.run("retrain", saved(config))
    assert (code, told["decision"], told["version"]) == (0, "retrain", 2)
    assert [entry[1:4] for entry in told["state"]["ledger"]] == [["promotion", None, 1], ["promotion", 1, 2]]
    assert decisions(stores) == ["retrain", told["outcome"]]
    code, again = children.run("retrain", saved(config))
    assert (code, again["decision"]) == (0, "skip")


class Unreachable:
    """Serving that never answers."""

    def refresh(self, project, champion):
        """Give up."""
        message = "no answer"
        raise ServingError("NET001", message)


def test_a_retrain_that_fails_is_on_record_and_starts_no_cooldown(stores):
    """The error passes on; what comes next is decided anew."""
    config = set_up(stores, retrain=Retrain(policy="schedule", every_days=1))
    grow(stores)
    late = stores.ledger.head().at + 2 * DAY
    with pytest.raises(ServingError):
        retrain(config, stores, now=late, refresher=Unreachable())
    assert decisions(stores) == ["retrain", "failed"]
    again = retrain(config, stores, now=late)
    assert (again.decision, "unchanged" in again.reasons[-1]) == ("skip", True)


def test_nothing_to_retrain(stores):
    """Before the first deployment."""
    with pytest.raises(UsageError) as caught:
        retrain(scenes.frozen(), stores)
    assert caught.value.code == "CLI065"


def test_as_command_and_as_task(stores, tmp_path, capsys):
    """The same decision; a dry run writes nothing."""
    config = set_up(stores, retrain=Retrain(policy="schedule"))
    grow(stores)
    config.write(tmp_path / "models" / f"{scenes.NAME}.yaml")
    config.write(tmp_path / "configs" / f"{scenes.NAME}.yaml")
    assert cli.main(["retrain", scenes.NAME, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decision"] == "skip"
    assert decisions(stores) == []
    assert cli.main(["retrain", scenes.NAME, "--dry-run", "--now", "2100-01-01"]) == 0
    assert "retrain  flight_delay" in capsys.readouterr().out
    made = run_task(["retrain", "--force=true", "--dry-run="], configs=tmp_path / "configs")
    assert task_values(made)["outcome"] in ("promoted", "kept_champion")


def test_after_a_rollback_the_age_is_that_of_the_model_that_serves_again(stores):
    """And only windows of that model speak for drift."""
    rule = Retrain(policy="hybrid", every_days=10, windows=1, of=1, cooldown_days=0)
    set_up(stores, model=scenes.STUMP, retrain=rule)
    first = stores.ledger.head().at
    config = watched(retrain=rule)
    assert deploy(config, stores).outcome == "promoted"
    drifting(stores)
    assert retrain(config, stores, dry_run=True).reasons[1].startswith("drift: 1 of the last 1")
    roll_back(stores, reason="bad")
    back = retrain(watched(model=scenes.STUMP, retrain=rule), stores, dry_run=True)
    assert back.champion == 1
    assert "no window was checked yet" in back.reasons[1]
    grow(stores)
    due = retrain(watched(model=scenes.STUMP, retrain=rule), stores, now=first + 11 * DAY, dry_run=True)
    assert (due.decision, due.reasons[0].startswith("schedule: due, 11.0 of 10")) == ("retrain", True)
    other = retrain(config, stores, now=first + 11 * DAY, dry_run=True)
    assert (other.decision, "model of the file differ" in other.reasons[-1]) == ("skip", True)


def test_a_retrain_left_to_a_job_counts_for_the_cooldown(stores):
    """The deploy task of the job records no outcome; nobody waits for one, and nobody repeats it."""
    config = set_up(stores, retrain=Retrain(policy="schedule", every_days=1, cooldown_days=5))
    late = stores.ledger.head().at + 2 * DAY
    hand_over(stores, reasons=["drift"], version=1, now=late)
    grow(stores)
    assert unfinished(Records(stores.engine, stores.project, "retrains").all()) is None
    assert is_cooling(stores, config.retrain, now=late + DAY)
    assert "cooldown" in retrain(config, stores, now=late + 2 * DAY).reasons[-1]
    assert not is_cooling(stores, config.retrain, now=late + 5 * DAY)
    assert retrain(config, stores, now=late + 6 * DAY).decision == "retrain"
