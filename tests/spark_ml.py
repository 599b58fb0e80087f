"""Estimators that train on Spark, for the tests: a session that has them, and a target that does."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from sklearn.tree import DecisionTreeRegressor

from mlkit import FrozenConfig, Gate, ModelProject, Source, Split, open_workspace
from mlkit.model.estimator import describe
from tests.conftest import SPARKS, make_flights
from tests.servers import classic_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def opened(request) -> Iterator[tuple[object, str]]:
    """A session that is the active one, and what ``mlkit.toml`` says to get its like."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - it may not be there

    if "classic" in SPARKS:
        with classic_session(request.getfixturevalue("shared")) as session:
            yield session, 'master = "local[2]"'
        return
    address = request.getfixturevalue("connect")
    session = SparkSession.builder.remote(address).create()
    yield session, f'remote = "{address}"'
    session.stop()


def project_on(folder: Path, way: str, *, fetch_gb: float = 1.0, **changes) -> ModelProject:
    """A project of the flights on a target of Spark, whose schemas are its own."""
    mark = uuid.uuid4().hex[:8]
    schemas = ", ".join(f'{name} = "{name}_{mark}"' for name in ("features", "training", "monitoring"))
    text = f"[targets.spark]\nfetch_gb = {fetch_gb}\nspark = {{ {way} }}\nschemas = {{ {schemas} }}\n"
    (folder / "mlkit.toml").write_text(text)
    usual = {"target": "delay", "key": "flight_id", "metric": "rmse", "split": Split(test=0.25, seed=7)}
    workspace = open_workspace("spark", home=folder / ".mlkit")
    return ModelProject("flights", **{**usual, "workspace": workspace, **changes})


def steps(estimator, *columns: str):
    """A pipeline that puts columns together for an estimator."""
    from pyspark.ml import Pipeline  # noqa: PLC0415 - as above
    from pyspark.ml.feature import VectorAssembler  # noqa: PLC0415 - as above

    names = list(columns) or ["hour", "distance", "is_ua"]
    return Pipeline(stages=[VectorAssembler(inputCols=names, outputCol="features"), estimator])


def config_of(project, model, *, snapshot=None, **changes) -> FrozenConfig:
    """A frozen config of a model of the flights: of those of the features, or of a snapshot."""
    table = str(snapshot.table) if snapshot else "features.flights"
    snapshot = snapshot or project.snapshot(table)
    values = {
        "name": "flights",
        "task": "regression",
        "target": "delay",
        "key": ("flight_id",),
        "features": ("distance", "hour", "is_ua"),
        "metric": "rmse",
        "seed": 3,
        "model": describe(model),
        "serialization": "cloudpickle" if hasattr(model, "get_params") else "spark",
        "source": Source(table=table),
        "split": {"test": 0.25, "seed": 7},
        "gate": Gate(threshold=25),
        "contract": snapshot.contract,
        "environment": {"python": "3.11", "requirements": []},
    }
    return FrozenConfig.from_values({**values, **changes})


def plan_after_deployment(project: ModelProject) -> str:
    """Kind of the plan that follows a deployment of a small model right away."""
    snapshot = project.snapshot(make_flights(80).dropna())
    config = config_of(project, DecisionTreeRegressor(max_depth=2), snapshot=snapshot)
    assert project.deploy(config).outcome == "promoted"
    return project.plan(config).kind
