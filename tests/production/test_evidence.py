"""Looking back: history, champion, and everything that is known of a version."""

from __future__ import annotations

import json

import pytest

from mlkit import Gate, document
from mlkit.errors import UsageError
from mlkit.frozen import FrozenConfig
from mlkit.production.evidence import explain_version, read_champion, read_history
from mlkit.production.marks import mark_version
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from tests.production.scenes import STUMP, frozen


@pytest.fixture
def story(stores):
    """Two promotions, one change of rules and a rollback."""
    deploy(frozen(model=STUMP), stores, origin={"commit": "c1", "study_run_id": "s1"})
    deploy(frozen(), stores)
    deploy(frozen(gate=Gate(threshold=30)), stores)
    roll_back(stores, reason="surprises")
    return stores


def test_before_the_first_promotion(stores):
    """Everything answers, and says what comes next."""
    assert len(read_history(stores)) == 0
    assert f"nothing was promoted yet in the stores of local, {stores.workspace.home}" in repr(
        read_history(stores)
    )
    assert read_champion(stores) is None
    with pytest.raises(UsageError, match="none yet"):
        explain_version(stores, 1)


def test_history_is_the_ledger(story):
    """One line an entry: what, from where, by whom, why."""
    history = read_history(story)
    assert [entry.kind for entry in history] == ["promotion", "promotion", "code", "rollback"]
    assert (history[0].seq, history[-1].to_version) == (1, 1)
    told = repr(history)
    assert "4 entries, v1 serves" in told
    assert "v2 -> v1" in told
    assert "surprises" in told
    assert json.loads(json.dumps(history.to_dict()))["entries"][3]["reason"] == "surprises"


def test_the_champion_is_what_the_ledger_names(story):
    """Also if a hand has moved the alias, which is moved back."""
    story.registry.point_alias(2)
    assert read_champion(story).version == 1
    assert story.registry.champion().version == 1


def test_a_version_explains_itself(story):
    """Rows, source, config, code, environment, scores, gate, and who moved to it when."""
    first = explain_version(story, 1)
    assert (first.serves, [entry.seq for entry in first.promotions]) == (True, [1, 4])
    assert first.decision.record["origin"]["study_run_id"] == "s1"
    told = repr(first)
    for word in ("serves now", "features.flights", "commit c1", "run s1", "scikit-learn", "threshold 25"):
        assert word in told
    second = explain_version(story, 2)
    assert (second.serves, [entry.kind for entry in second.promotions]) == (False, ["promotion", "code"])
    assert second.decision.record["scores"]["champion"] == first.decision.record["scores"]["candidate"]
    json.dumps(second.to_dict(), allow_nan=False)


def test_a_version_that_is_not_there(story):
    """Those that are, are named."""
    with pytest.raises(UsageError, match="known: v1, v2") as caught:
        explain_version(story, 3)
    assert caught.value.code == "CLI005"


def test_a_version_of_somebody_else_has_no_evidence(story):
    """Registered by hand, it is shown without a decision."""
    location = story.registry.folder(story.ledger.head().model_id).as_uri()
    story.tracking.client.create_model_version(story.project, location)
    found = explain_version(story, 3)
    assert (found.decision, found.serves, found.promotions) == (None, False, ())
    assert (found.environment, found.files.config, found.made["by"]) == ({}, "", None)
    assert "does not serve" in repr(found)
    assert "no deployment of mlkit has made it" in repr(found)


def test_the_config_is_told_as_the_file_it_was(story):
    """It freezes again to the same digest; it and the code come from the model's own folder, verified."""
    found = explain_version(story, 1)
    config = FrozenConfig.from_values(document.parse(found.files.config.encode(), origin="config"))
    assert config.digest == found.decision.record["config_digest"]
    assert found.environment == found.decision.record["ingredients"]["environment"]
    assert found.made["by"] == story.ledger.entries()[0].actor
    assert found.made["at"].startswith(f"{found.decision.at:%Y-%m-%d}")
    assert f"by {found.made['by']}" in repr(found)
    assert found.to_dict()["config"] == found.files.config


def test_what_is_damaged_can_still_be_explained(story):
    """The records speak; that the files do not is said."""
    head = story.ledger.entries()[1]
    (story.registry.folder(head.model_id) / "mlkit_config.yaml").write_text("name: other\n")
    found = explain_version(story, 2)
    assert (found.files.config, found.decision.record["metric"]) == ("", "rmse")
    assert "INT022" in found.files.damage
    assert found.files.damage in repr(found)


def test_a_mark_is_told(story):
    """At the top, with its reason."""
    mark_version(story, 2, reason="sees the label")
    assert explain_version(story, 2).mark.reason == "sees the label"
    assert "mark      v2 is marked bad by" in repr(explain_version(story, 2)).splitlines()[1]
    assert explain_version(story, 1).mark is None
