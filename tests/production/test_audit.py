"""The line of time: what served when, told by the ledger's order and by no clock alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import numpy as np
import pytest

from mlkit.cli import main
from mlkit.errors import IntegrityError, UsageError
from mlkit.frozen import FrozenConfig
from mlkit.model.training import as_rows
from mlkit.production import recipe
from mlkit.production.audit import champion_at, instant, term_at
from mlkit.production.evidence import explain_version, read_champion
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores
from mlkit.production.task import main as run_task
from mlkit.production.task import task_values
from tests.production.scenes import NAME, RIDGE, STUMP, frozen

SECOND = dt.timedelta(seconds=1)
INSTANT = dt.timedelta(microseconds=1)


@pytest.fixture
def story(stores):
    """v1, v2 and back to v1, an hour apart."""
    for model in (STUMP, RIDGE):
        deploy(frozen(model=model), stores)
    roll_back(stores, reason="surprises")
    return retimed(stores, 0, 3600, 7200)


def retimed(stores, *seconds):
    """The same ledger, written at other times."""
    start = dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC)
    entries = [
        dataclasses.replace(entry, at=start + after * SECOND)
        for entry, after in zip(stores.ledger.entries(), seconds, strict=True)
    ]
    stores.ledger.entries = lambda: entries
    return stores


def versions(stores, *minutes):
    """What served so many minutes after the first promotion."""
    start = stores.ledger.entries()[0].at
    found = [champion_at(stores, start + dt.timedelta(minutes=minute)) for minute in minutes]
    return [version and version.version for version in found]


def test_each_time_has_its_champion(story):
    """From the very instant of an entry until the one of the next."""
    assert versions(story, -1, 0, 59, 60, 119, 120, 9999) == [None, 1, 1, 2, 2, 1, 1]
    edge = story.ledger.entries()[1].at
    assert champion_at(story, edge - INSTANT).version == 1
    assert champion_at(story, edge).version == 2
    assert read_champion(story, at=edge).model_id == story.ledger.entries()[1].model_id


def test_a_term_says_since_when_until_when_and_by_whose_word(story):
    """A version that served twice has two terms."""
    term = term_at(story, "2026-03-29T02:00:00Z")
    assert (term.version.version, [entry.seq for entry in term.entries]) == (2, [2])
    assert (term.since.hour, term.until.hour) == (1, 2)
    told = repr(term)
    for word in ("v2 served", "since   2026-03-29 01:30:00 UTC, until 2026-03-29 02:30:00", "mlkit explain"):
        assert word in told
    last = term_at(story, "2026-03-29T02:30:00Z")
    assert (last.version.version, last.until, [entry.seq for entry in last.entries]) == (1, None, [3])
    assert "serves still" in repr(last)
    assert json.loads(json.dumps(last.to_dict()))["until"] is None


def test_time_zones_are_read_and_never_guessed(story):
    """The hour that a clock skips or repeats is one instant each; without a zone nobody could tell."""
    for text in ("2026-03-29T02:00:00+00:00", "2026-03-29T04:00+02:00", "2026-03-28T21:00:00-05:00"):
        assert champion_at(story, text).version == 2
    for bad in ("2026-03-29T02:00:00", "2026-03-29", "last week", "", dt.datetime(2026, 3, 29), 1774749600):  # noqa: DTZ001 - that is the point
        with pytest.raises(UsageError) as caught:
            instant(bad)
        assert caught.value.code == "CLI072"
    with pytest.raises(UsageError, match="still to come"):
        champion_at(story, dt.datetime.now(dt.UTC) + dt.timedelta(days=1))


def test_a_clock_that_went_back_changes_no_order(story):
    """What came later in the ledger served later, whatever the clock of its machine said."""
    retimed(story, 0, 3600, 1800)
    assert versions(story, 29, 30, 59, 60, 61) == [1, 1, 1, 1, 1]
    term = term_at(story, "2026-03-29T02:00:00Z")
    assert (term.entries[-1].kind, term.since.hour) == ("rollback", 1)
    retimed(story, 7200, 3600, 9000)
    assert versions(story, -1, 0, 29, 30) == [None, 2, 2, 1]


def test_a_version_that_the_registry_has_lost_is_still_told(story):
    """The ledger never forgets; a number that was given away again is not mistaken for it."""
    entry = story.ledger.entries()[1]
    story.tracking.client.delete_model_version(story.registry.full_name, "2")
    found = champion_at(story, entry.at)
    assert (found.version, found.model_id, found.run_id) == (2, entry.model_id, entry.run_id)
    assert found.manifest_digest == entry.manifest_digest
    assert found.tags["mlkit_train_table"] == entry.evidence["train"]["table"]


def test_before_the_first_promotion_nothing_served(stores):
    """And nothing can be explained of that time."""
    assert champion_at(stores, "2026-03-29T02:00:00Z") is None
    with pytest.raises(UsageError, match="nothing served at 2026-03-29T02:00:00Z yet") as caught:
        explain_version(stores, at="2026-03-29T02:00:00Z")
    assert caught.value.code == "CLI078"
    with pytest.raises(UsageError, match="CLI006"):
        explain_version(stores)


def test_a_time_explains_itself(story):
    """`explain` takes a time in place of a version, and not both; without either it is what serves."""
    assert explain_version(story, at="2026-03-29T02:00:00Z").version.version == 2
    assert explain_version(story).serves
    with pytest.raises(UsageError) as caught:
        explain_version(story, 1, at="2026-03-29T02:00:00Z")
    assert caught.value.code == "CLI076"


def mlkit(capsys, *words) -> tuple[int, str, str]:
    """Run one command: exit code, standard output, standard error."""
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_on_the_command_line(story, capsys, tmp_path):
    """Every question has a command, whose answer is text or JSON; what went wrong has an exit code."""
    dates = [entry.at.isoformat() for entry in Stores(story.workspace, NAME).ledger.entries()]
    code, told, _ = mlkit(capsys, "champion", NAME, "--at", dates[1])
    assert (code, "v2 served" in told) == (0, True)
    code, told, _ = mlkit(capsys, "champion", NAME, "--at", "2020-01-01T00:00:00Z", "--json")
    assert (code, json.loads(told)) == (0, {"version": None})
    assert mlkit(capsys, "champion", NAME, "--at", "yesterday")[0] == 2
    assert "serves now" in mlkit(capsys, "explain", NAME)[1]
    assert "v2  does not serve" in mlkit(capsys, "explain", NAME, "--at", dates[1])[1]
    config = tmp_path / "again.yaml"
    config.write_text(mlkit(capsys, "explain", NAME, "2", "--config")[1])
    assert FrozenConfig.load(config).digest == frozen().digest
    code, told, _ = mlkit(capsys, "diff", NAME, "1", "2", "--json")
    change = {"before": 1, "after": None}
    assert (code, json.loads(told)["config"]["model.params.max_depth"]) == (0, change)
    assert "no version is marked bad" in mlkit(capsys, "mark", NAME)[1]
    assert "CLI071" in mlkit(capsys, "mark", NAME, "2")[2]
    assert "v2 is marked bad" in mlkit(capsys, "mark", NAME, "2", "--reason", "why")[1]
    assert "no longer" in mlkit(capsys, "mark", NAME, "2", "--unmark", "--reason", "why not")[1]
    code, told, _ = mlkit(capsys, "rollback", NAME, "--to", "2", "--reason", "back", "--mark-bad", "--json")
    assert (code, "v1 is marked bad" in json.loads(told)["notes"][0]) == (0, True)
    code, told, _ = mlkit(capsys, "reproduce", NAME, "1", "--to", str(tmp_path / "certificate.json"))
    assert (code, "v1 made again: identical" in told) == (0, True)
    assert json.loads((tmp_path / "certificate.json").read_text())["outcome"] == "identical"


def test_as_a_task_of_a_job(story, tmp_path, monkeypatch):
    """The champion is made again, or another version; what is not equal makes the task red."""
    frozen().write(tmp_path / "configs" / f"{NAME}.yaml")
    made = run_task(["reproduce"], configs=tmp_path / "configs")
    assert (made.version, task_values(made)) == (1, {"outcome": "identical", "version": "1"})
    assert run_task(["reproduce", "--version=2"], configs=tmp_path / "configs").version == 2
    report = run_task(["rollback", "--to=2", "--reason=r", "--mark-bad=true"], configs=tmp_path / "configs")
    assert "v1 is marked bad" in report.notes[0]
    monkeypatch.setattr(
        recipe, "as_rows", lambda *args, **kwargs: as_rows(*args, **kwargs).take(np.arange(9))
    )
    with pytest.raises(IntegrityError, match=r"predictions differ, by at most .* fix: "):
        run_task(["reproduce", "--version=1"], configs=tmp_path / "configs")
