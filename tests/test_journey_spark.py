"""The same journey on Spark as on one machine: the same fingerprints, scores, predictions and verdicts."""

from __future__ import annotations

import importlib
import sys

import pytest
from sklearn.ensemble import RandomForestRegressor

from mlkit import Gate, ModelProject, Split, open_workspace

pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(400)]


def forest(trial):
    """A small forest whose depth is searched."""
    return RandomForestRegressor(n_estimators=5, max_depth=trial.suggest_int("max_depth", 2, 6))


def targets(tmp_path, **addresses: str) -> None:
    """Write a file of targets, each with schemas of its own."""
    (tmp_path / "mlkit.toml").write_text(
        "\n".join(
            f'[targets.{name}]\nspark = {{ remote = "{address}" }}\n'
            f'schemas = {{ features = "{name}_f", training = "{name}_t", monitoring = "{name}_m" }}\n'
            for name, address in addresses.items()
        )
    )


def journey(target: str, home, flights, user_module: str) -> dict[str, object]:
    """From rows to a rolled-back champion; everything that must be equal on every engine."""
    project = ModelProject(
        "flights",
        target="delay",
        key="flight_id",
        metric="rmse",
        split=Split(test=0.2, seed=7),
        workspace=open_workspace(target, home=home),
    )
    table = project.publish_features("features.flights", flights.head(400))
    snapshot = project.snapshot("features.flights", prepare=f"{user_module}:prepare")
    study = project.study(forest, snapshot, trials=2, cv=3)
    config = project.freeze(study.best, gate=Gate(threshold=25), path=f"models/{target}.yaml", reason="test")
    # Sail keeps its catalog in the memory of a session: no other process sees the tables.
    handoff = project.handoff(config, to=f"dist/{target}", rehearse=target == "jvm")
    if handoff.rehearsal:
        assert handoff.rehearsal.predictions == study.best.predictions
    first = project.deploy(config)
    assert project.plan(config).kind == "nothing"
    assert project.deploy(config).outcome == "unchanged"
    project.publish_features("features.flights", flights)
    second = project.deploy(config)
    moved = [entry.to_version for entry in project.history()]
    if len(moved) > 1:
        assert project.rollback(reason="to see it work").version == 1
    return {
        "features": (table.fingerprint, table.rows),
        "snapshot": (snapshot.fingerprint, snapshot.rows, str(snapshot.table)),
        "trials": [(trial.params, trial.scores, trial.predictions) for trial in study.trials],
        "config": config.digest,
        "reports": [
            (report.outcome, report.train, report.test, report.predictions, report.scores, report.verdict)
            for report in (first, second)
        ],
        "history": moved,
    }


def test_every_engine_tells_the_same_story(home, tmp_path, user_module, flights, sail, connect) -> None:
    """Bit for bit: hashes, split, trials, scores, predictions, gate and ledger."""
    importlib.import_module(user_module)
    targets(tmp_path, sail=sail, jvm=connect)
    local = journey("local", home, flights, user_module)
    for target in ("sail", "jvm"):
        assert journey(target, home, flights, user_module) == local
    assert "pyspark" in sys.modules
