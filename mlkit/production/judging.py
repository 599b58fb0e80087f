"""Evaluation and gate: candidate and champion on the same test rows, none of which either has learnt from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlkit.data.frame import to_frame, to_target
from mlkit.data.parts_sql import FrameParts
from mlkit.data.snapshot import scan_rows
from mlkit.digest.fingerprint import lanes
from mlkit.engines.base import TRAINING
from mlkit.errors import MlkitError, StoreError
from mlkit.model.evaluation import score
from mlkit.model.gate import Scores, Verdict, judge
from mlkit.model.interval import intervals_between
from mlkit.model.predictions import predict
from mlkit.model.spark_training import Answers, predict_frame
from mlkit.production.champion import champion_predictions, unseen_rows
from mlkit.production.decisions import Decision, plain
from mlkit.production.ledger import now
from mlkit.production.report import StoredTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.model.gate import Outcome
    from mlkit.production.build import Build
    from mlkit.production.candidate import Candidate
    from mlkit.production.ledger import Entry
    from mlkit.production.marks import Mark
    from mlkit.production.stores import Stores

ROW_COLUMNS = ("row_lane0", "row_lane1")
"""Columns of test_predictions that identify a row where the project has no key: its two digest lanes."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the gate judges by, and the evidence for it.

    Attributes:
        scores: Of candidate and champion, on the same rows.
        predictions: What the candidate said of the test rows.
        intervals: How far both scores and their difference may be off, or the reason why nobody knows; None
            where nothing was compared.
    """

    scores: Scores
    predictions: StoredTable
    intervals: Mapping[str, Any] | None = None


def evaluate(build: Build, candidate: Candidate, stores: Stores, head: Entry | None) -> Evaluation:
    """Predict the test rows, keep the predictions as a table, and score both models on the same rows.

    Raises:
        StoreError: A store is away. Any other reason why the champion cannot be scored is the gate's.
    """
    answers = _answers(build, candidate, stores)
    stored = _publish(build, stores, answers)
    if head is None:
        value = score(build.config.metric_spec, answers.labels, answers.predictions)
        return Evaluation(Scores(candidate=value, rows=len(answers.labels), has_champion=False), stored)
    scores, intervals = _compared(head, build, stores, answers)
    return Evaluation(scores, stored, intervals)


def _answers(build: Build, candidate: Candidate, stores: Stores) -> Answers:
    """What the candidate says of the test rows, in canonical order, wherever they are."""
    config = build.config
    columns = [*config.key, config.target]
    if isinstance(build.parts, FrameParts):
        rows = build.frame_rows(scan_rows(stores.engine, build.table("test"), config.contract))
        return predict_frame(candidate.estimator, rows, task=config.task, columns=columns)
    test = build.parts.test
    labels = to_target(test, config.contract, config.target)
    frame = to_frame(test, config.contract, config.features)
    predictions = predict(candidate.estimator, frame, task=config.task)
    return Answers(lanes(test), labels, predictions, test.select(columns))


def decide(
    build: Build,
    candidate: Candidate,
    evaluation: Evaluation,
    head: Entry | None,
    *,
    tables: Mapping[str, StoredTable],
    origin: Mapping[str, Any],
    mark: Mark | None = None,
) -> Decision:
    """Judge, and make the record of it.

    Args:
        build: What the candidate was made of.
        candidate: The model being judged.
        evaluation: Scores and predictions.
        head: The champion it was compared with.
        tables: Its train and test tables.
        origin: Where its config came from.
        mark: The mark on this very model, if it was found bad before.
    """
    config = build.config
    direction = config.metric_spec.direction
    verdict = judge(evaluation.scores, config.gate, direction=direction)
    if mark is not None:
        verdict = _barred(verdict, evaluation.scores, mark)
    record = {
        **({"marked": mark.to_dict()} if mark else {}),
        **{part: dataclasses.asdict(table) for part, table in tables.items()},
        "predictions": dataclasses.asdict(evaluation.predictions),
        "key": list(config.key),
        "config_digest": config.digest,
        "code": build.code,
        "ingredients": build.ingredients,
        "rules": build.rules,
        "source": str(config.source),
        "source_version": build.source_version,
        "origin": dict(origin),
        "metric": config.metric,
        "direction": direction,
        "gate": config.gate.model_dump(),
        "scores": dataclasses.asdict(evaluation.scores),
        **({"intervals": dict(evaluation.intervals)} if evaluation.intervals else {}),
        "verdict": verdict.to_dict(),
        "candidate": {"model_id": candidate.model_id, "manifest_digest": candidate.manifest_digest},
        "champion": head.to_dict() if head else None,
    }
    return Decision(build.run_key, head.model_id if head else "", verdict.outcome, plain(record), now())


def _barred(verdict: Verdict, scores: Scores, mark: Mark) -> Verdict:
    """What the gate says of a model that was marked bad, whatever its score."""
    reason = f"it is the model of v{mark.version}: {mark.sentence}"
    stays: Outcome = "reject" if scores.first_deployment else "keep"
    return Verdict(passed=False, outcome=stays, reasons=(*verdict.reasons, reason))


def _publish(build: Build, stores: Stores, answers: Answers) -> StoredTable:
    """`test_predictions`: one row per test row with its key, label and prediction.

    The model is named by its key, which follows from config and data, and not by MLflow's id, which is
    drawn: so the same model trained anywhere gives the very same table.
    """
    config = build.config
    rows = prediction_rows(answers, key=config.key, target=config.target, model_key=build.model_key)
    prefix = f"{config.name}__test_predictions"
    return StoredTable.of(stores.engine.publish(TRAINING, prefix, rows.to_reader()))


def prediction_rows(answers: Answers, *, key: Sequence[str], target: str, model_key: str) -> pa.Table:
    """Answers as the rows of `test_predictions`.

    Args:
        answers: What the model says of the test rows, with key and target among the columns.
        key: Key columns of the project; without any, rows are known by their digests.
        target: Label column.
        model_key: What decides the model.
    """
    known = answers.columns
    identity = [known.column(name) for name in key] or list(map(pa.array, answers.lanes))
    made = answers.predictions.to_table()
    columns = {
        **dict(zip(key or ROW_COLUMNS, identity, strict=True)),
        "label": known.column(target),
        **{name: made.column(name) for name in made.column_names},
        "model_key": pa.array([model_key] * known.num_rows, pa.string()),
    }
    return pa.table(columns)


def _compared(
    head: Entry, build: Build, stores: Stores, answers: Answers
) -> tuple[Scores, dict[str, Any] | None]:
    """Both scores on the test rows that the champion has not seen, and how sure they are.

    If it has seen them all, or cannot be asked, that is said.
    """
    metric, labels, predictions = build.config.metric_spec, answers.labels, answers.predictions
    try:
        unseen = unseen_rows(head, build, stores, answers.lanes)
        if not unseen.any():
            own = score(metric, labels, predictions)
            seen = "it was trained on every test row; go back to its split, or take new rows"
            scores = Scores(
                candidate=own, rows=0, excluded=len(labels), has_champion=True, champion_error=seen
            )
            return scores, None
        champion = champion_predictions(head, build, stores, rows=unseen)
        champion_score = score(metric, labels[unseen], champion)
    except StoreError:  # it may be back in a minute: nothing is decided
        raise
    except MlkitError as exc:
        own = score(metric, labels, predictions)
        failed = _sentence(exc)
        return Scores(candidate=own, rows=len(labels), has_champion=True, champion_error=failed), None
    labels, predictions = labels[unseen], predictions.only(unseen)
    scores = Scores(
        candidate=score(metric, labels, predictions),
        champion=champion_score,
        rows=len(labels),
        excluded=int((~unseen).sum()),
        has_champion=True,
    )
    return scores, intervals_between(metric, labels, predictions, champion)


def _sentence(error: MlkitError) -> str:
    return f"{error.sentence}{f'; {error.fix}' if error.fix else ''} [{error.code}]"
