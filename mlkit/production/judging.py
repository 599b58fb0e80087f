"""Evaluation and gate: candidate and champion on the same test rows, none of which either has learnt from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlkit import document
from mlkit.boundary import user_code
from mlkit.data.contract import Contract
from mlkit.data.frame import to_frame, to_target
from mlkit.digest.fingerprint import lanes
from mlkit.engines.base import TRAINING
from mlkit.errors import MlkitError, StoreError
from mlkit.frozen import FrozenConfig
from mlkit.model.evaluation import score
from mlkit.model.gate import Scores, Verdict, judge
from mlkit.model.predictions import Predictions, predict
from mlkit.production.candidate import CONFIG_FILE
from mlkit.production.decisions import Decision
from mlkit.production.ledger import now
from mlkit.production.report import StoredTable
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlkit.production.build import Build
    from mlkit.production.candidate import Candidate
    from mlkit.production.ledger import Entry
    from mlkit.production.stores import Stores

ROW_COLUMNS = ("row_lane0", "row_lane1")
"""Columns of test_predictions that identify a row where the project has no key: its two digest lanes."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the gate judges by, and the evidence for it."""

    scores: Scores
    predictions: StoredTable


def evaluate(build: Build, candidate: Candidate, stores: Stores, head: Entry | None) -> Evaluation:
    """Predict the test rows, keep the predictions as a table, and score both models on the same rows."""
    config, test = build.config, build.parts.test
    labels = to_target(test, config.contract, config.target)
    predictions = predict(candidate.estimator, to_frame(test, config.contract, config.features), task=config.task)
    stored = _publish(build, candidate, stores, predictions)
    if head is None:
        value = score(config.metric_spec, labels, predictions)
        return Evaluation(Scores(candidate=value, rows=len(labels), has_champion=False), stored)
    return Evaluation(_against(head, build, stores, labels, predictions), stored)


def decide(build: Build, candidate: Candidate, evaluation: Evaluation, evidence: Mapping[str, Any], head: Entry | None) -> tuple[Verdict, Decision]:
    """Judge, and make the record of it."""
    config = build.config
    verdict = judge(evaluation.scores, config.gate, direction=config.metric_spec.direction)
    record = {
        **evidence,
        "metric": config.metric,
        "direction": config.metric_spec.direction,
        "gate": config.gate.model_dump(),
        "scores": dataclasses.asdict(evaluation.scores),
        "verdict": verdict.to_dict(),
        "candidate": {"model_id": candidate.model_id, "manifest_digest": candidate.manifest_digest},
        "champion": head.to_dict() if head else None,
    }
    model_id = head.model_id if head else ""
    return verdict, Decision(build.run_key, model_id, verdict.outcome, record, now())


def _publish(build: Build, candidate: Candidate, stores: Stores, predictions: Predictions) -> StoredTable:
    """`test_predictions`: one row per test row with its key, label and prediction."""
    test, config = build.parts.test, build.config
    if config.key:
        identity = {name: test.column(name) for name in config.key}
    else:
        identity = {name: pa.array(lane) for name, lane in zip(ROW_COLUMNS, lanes(test), strict=True)}
    made = predictions.to_table()
    columns = {
        **identity,
        "label": test.column(config.target),
        **{name: made.column(name) for name in made.column_names},
        "model_id": pa.array([candidate.model_id] * test.num_rows),
    }
    prefix = f"{config.name}__test_predictions"
    published = stores.engine.publish(TRAINING, prefix, pa.table(columns).to_reader())
    return StoredTable(str(published.name), published.fingerprint, published.rows)


def _against(
    head: Entry, build: Build, stores: Stores, labels: NDArray[Any], predictions: Predictions
) -> Scores:
    """Both scores on the test rows that the champion was not trained on; a champion that cannot be read fails closed."""
    metric, task = build.config.metric_spec, build.config.task
    try:
        unseen = ~_seen_by(head, build, stores)
        champion = _champion_predictions(head, build, stores, unseen, task)
        value = score(metric, labels[unseen], champion)
    except MlkitError as exc:
        own = score(metric, labels, predictions)
        return Scores(candidate=own, rows=len(labels), has_champion=True, champion_error=str(exc))
    own = score(metric, labels[unseen], _only(predictions, unseen)) if unseen.any() else None
    excluded = int((~unseen).sum())
    return Scores(
        candidate=own,
        champion=value if unseen.any() else None,
        rows=int(unseen.sum()),
        excluded=excluded,
        has_champion=True,
        champion_error="" if unseen.any() else "it was trained on every test row",
    )


def _champion_predictions(
    head: Entry, build: Build, stores: Stores, rows: NDArray[np.bool_], task: Any  # noqa: ANN401 - a task
) -> Predictions:
    folder = stores.registry.folder(head.model_id)
    with user_code(f"champion v{head.to_version}", action="load"):
        model = stores.registry.load(head.model_id, manifest_digest=head.manifest_digest)
    path = folder / CONFIG_FILE
    config = FrozenConfig.from_values(document.read(path), path=CONFIG_FILE)
    names = config.features
    contract = Contract(columns={name: config.contract.columns[name] for name in names})
    missing = [name for name in names if name not in build.parts.test.column_names]
    if missing:
        raise StoreError("STO029", "the champion needs this feature, and the rows no longer have it", path=missing[0])
    test = contract.cast(build.parts.test.select(list(names)).filter(pa.array(rows)))
    return predict(model, to_frame(test, contract, names), task=task)


def _seen_by(head: Entry, build: Build, stores: Stores) -> NDArray[np.bool_]:
    """Which test rows the champion was trained on: by key if both have the same, else by whole row."""
    test = build.parts.test
    trained = stores.engine.read(table_name(head.evidence["train"]["table"])).read_all()
    key = list(build.config.key)
    columns = key if key and list(head.evidence["key"]) == key else None
    if columns is None and set(trained.column_names) != set(test.column_names):
        return np.zeros(test.num_rows, dtype=np.bool_)  # rows of other columns are other rows
    return np.isin(_pairs(lanes(test, columns=columns)), _pairs(lanes(trained, columns=columns)))


def _pairs(both: NDArray[np.int64]) -> NDArray[Any]:
    """Both lanes of each row as one value that compares whole."""
    return np.ascontiguousarray(both.T).view([("a", np.int64), ("b", np.int64)]).reshape(-1)


def _only(predictions: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    probabilities = None if predictions.probabilities is None else predictions.probabilities[rows]
    return Predictions(predictions.values[rows], probabilities, predictions.classes)
