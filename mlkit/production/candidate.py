"""The candidate: a model of exactly this build, trained now or found finished from a run that was stopped."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mlkit.boundary import user_code
from mlkit.console import say
from mlkit.data.drift import BINS_FILE
from mlkit.data.snapshot import scan_rows
from mlkit.errors import IntegrityError
from mlkit.failpoints import failpoint
from mlkit.model.predictions import predict
from mlkit.model.spark_training import fit_frame
from mlkit.model.training import as_rows, deterministic, fit
from mlkit.production.baseline import baseline_here, baseline_in_spark
from mlkit.production.build import model_code
from mlkit.production.registry import MANIFEST_TAG, MODEL_KEY
from mlkit.tracking.models import save_model

if TYPE_CHECKING:
    import pandas as pd

    from mlkit.data.drift import Baseline
    from mlkit.data.parts import Parts
    from mlkit.production.build import Build
    from mlkit.production.stores import Stores

CONFIG_FILE = "mlkit_config.yaml"
ANSWERS_FILE = "mlkit_example.json"
"""What a model answers to its stored example: values of each column. One that trains on Spark has none."""
_EXAMPLE_ROWS = 20  # enough to tell a model that answers a row alone otherwise than among others


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A fitted model with files in the store.

    Attributes:
        estimator: The fitted estimator, as read back from its files.
        model_id: MLflow's id of the logged model.
        manifest_digest: sha256 of the manifest of its files.
        reused: True if an earlier run had trained and stored it.
    """

    estimator: Any
    model_id: str
    manifest_digest: str
    reused: bool


class _Fitted(NamedTuple):
    """A fitted estimator, rows as it sees them, the numpy kind of what it predicts, and its baseline."""

    estimator: object
    example: pd.DataFrame
    output: str
    baseline: Baseline
    answers: str | None = None


def make_candidate(build: Build, stores: Stores, *, run_id: str) -> Candidate:
    """Train on the train rows and store the model, unless a finished model of the same key is there."""
    found = _stored(build, stores)
    if found is not None:
        return found
    fitted = _fit_in_spark(build, stores) if build.config.serialization == "spark" else _fit_here(build)
    failpoint("train.fitted")
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "model"
        digest = _save(where, fitted, build)
        tags = {MODEL_KEY: build.model_key, MANIFEST_TAG: digest}
        model_id = stores.registry.log(where, experiment=stores.experiment, run_id=run_id, tags=tags)
    return _loaded(stores, model_id, digest, reused=False)


def _stored(build: Build, stores: Stores) -> Candidate | None:
    for model_id, digest in stores.registry.logged(stores.experiment, model_key=build.model_key).items():
        try:
            return _loaded(stores, model_id, digest, reused=True)
        except IntegrityError as exc:
            say(f"the stored model {model_id} is damaged ({exc.message}); training again")
    return None


def _loaded(stores: Stores, model_id: str, digest: str, *, reused: bool) -> Candidate:
    with user_code(model_id, action="load"):
        estimator = stores.registry.load(model_id, manifest_digest=digest)
    return Candidate(estimator, model_id, digest, reused)


def _fit_here(build: Build) -> _Fitted:
    config, parts = build.config, cast("Parts", build.parts)
    rows = as_rows(parts.train, config.contract, features=config.features, target=config.target)
    with deterministic(config.seed):
        estimator = fit(config.model, rows, seed=config.seed, trusted=config.environment.packages)
        baseline = baseline_here(estimator, build)
    example = rows.frame.head(_EXAMPLE_ROWS)
    predictions = predict(estimator, example, task=config.task)
    kind = predictions.values.dtype.kind  # noqa: PD011 - an array already
    answers = json.dumps(predictions.to_table().to_pydict())
    return _Fitted(estimator, example, kind, baseline, answers)


def _fit_in_spark(build: Build, stores: Stores) -> _Fitted:
    """Learn from the published rows: `prepare` is not run again for each pass over them."""
    config = build.config
    rows = build.frame_rows(scan_rows(stores.engine, build.table("train"), config.contract))
    model = fit_frame(config.model, rows, seed=config.seed, trusted=config.environment.packages)
    baseline = baseline_in_spark(model, build, stores)
    return _Fitted(model, rows.example(config.contract, _EXAMPLE_ROWS), rows.answers(config.task), baseline)


def _save(folder: Path, fitted: _Fitted, build: Build) -> str:
    config = build.config
    extra = {CONFIG_FILE: config.to_yaml(), BINS_FILE: fitted.baseline.to_text()}
    if fitted.answers is not None:
        extra[ANSWERS_FILE] = fitted.answers
    return save_model(
        folder,
        fitted.estimator,
        serialization=config.serialization,
        example=fitted.example,
        output=fitted.output,
        requirements=config.environment.requirements,
        code=model_code(config),
        extra=extra,
    )
