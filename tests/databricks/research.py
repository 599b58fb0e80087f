"""What a scientist does before production: rows, a study, a frozen config, a wheel, a first deployment.

Run as ``python -m tests.databricks.research`` by the Python of the newest versions, in a folder of its own,
it leaves there the rows, the config and ``found.json``: what must be the same elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlkit import Gate, ModelProject, Split

if TYPE_CHECKING:
    from optuna import Trial

    from mlkit import FrozenConfig
    from mlkit.production.report import RunReport

TABLE = "features.flights"
ROWS, CONFIG, FOUND = Path("rows.parquet"), Path("models/flights.yaml"), Path("found.json")
PREPARE = '''\
"""A user's module."""


def prepare(frame):
    """Labelled rows, with the day of the week and without what no model takes."""
    frame = frame.dropna(subset=["delay"])
    known = frame["carrier"].fillna("none")
    return frame.assign(weekday=frame["day"].dt.weekday, carrier=known).drop(columns="day")
'''


def make_rows(rows: int = 800) -> pd.DataFrame:
    """Columns that pandas 2 and 3 hold differently: texts and times, some missing."""
    generator = np.random.default_rng(5)
    hour = generator.integers(5, 23, rows)
    carrier = generator.choice(np.array(["AA", "B6", None], dtype=object), rows)
    delay = 2.0 * hour + 9.0 * (carrier == "AA") + generator.normal(0, 3, rows)
    delay[generator.random(rows) < 0.02] = np.nan
    start = pd.Timestamp("2024-02-28 22:30:00.123456")
    day = start + pd.to_timedelta(np.arange(rows), unit="h")
    return pd.DataFrame({"id": np.arange(rows), "hour": hour, "carrier": carrier, "day": day, "delay": delay})


def make_project() -> ModelProject:
    """The project, in the stores of the working directory, with the user's module beside it."""
    Path("flight_rules.py").write_text(PREPARE)
    return ModelProject("flights", target="delay", key="id", metric="rmse", split=Split(test=0.25, seed=7))


def ridge(trial: Trial) -> object:
    """A ridge regression over hours, weekdays and carriers."""
    words = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    return make_pipeline(words, Ridge(trial.suggest_float("alpha", 0.1, 10)))


def freeze(project: ModelProject) -> FrozenConfig:
    """Study the published rows and freeze the best trial."""
    snapshot = project.snapshot(TABLE, prepare="flight_rules:prepare")
    study = project.study(ridge, snapshot, trials=4, cv=3)
    return project.freeze(study.best, gate=Gate(threshold=10), path=CONFIG, reason="test")


def facts(report: RunReport) -> dict[str, object]:
    """What a deployment found that depends on rows and code only."""
    return {
        "outcome": report.outcome,
        "train": dataclasses.asdict(report.train),
        "test": dataclasses.asdict(report.test),
    }


def main() -> None:
    """Leave rows, config and findings in the working directory."""
    sys.path.insert(0, "")
    project = make_project()
    make_rows().to_parquet(ROWS)
    published = project.publish_features(TABLE, pd.read_parquet(ROWS))
    config = freeze(project)
    found = {"features": published.fingerprint, **facts(project.deploy(config))}
    FOUND.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
