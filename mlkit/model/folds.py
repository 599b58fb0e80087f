"""Cross-validation of a description, wherever the rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlkit.data.split_sql import FrameFolds
from mlkit.model.spark_training import FrameRows, evaluate_frame_fold, frame_results_fingerprint
from mlkit.model.training import deterministic, evaluate_fold, held_out_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlkit.data.split import Folds
    from mlkit.model.evaluation import Metric, Task
    from mlkit.model.training import FoldResult, Rows


def evaluate_folds(
    description: Mapping[str, Any],
    rows: Rows | FrameRows,
    folds: Folds | FrameFolds,
    *,
    metric: Metric,
    task: Task,
    seed: int,
    trusted: Sequence[str] = (),
) -> list[FoldResult]:
    """Fit and score each fold, one after the other.

    Args:
        description: Class path and parameters.
        rows: What a study may see, here or in Spark.
        folds: Their folds, of the same kind.
        metric: How predictions are scored.
        task: Kind of prediction.
        seed: Seed of the study.
        trusted: Further packages that may be imported.

    Raises:
        StudyError: The estimator refused to fit or to predict.
        ConfigError: The estimator cannot be built, or has no answer to what the metric needs.
        StoreError: Spark is away.
    """
    rest: dict[str, Any] = {"metric": metric, "task": task, "seed": seed, "trusted": trusted}
    pairs: Any = folds.pairs()
    if isinstance(rows, FrameRows):
        return [evaluate_frame_fold(description, rows, fold, **rest) for fold in pairs]
    with deterministic(seed):
        return [evaluate_fold(description, rows, fold, **rest) for fold in pairs]


def predictions_fingerprint(folds: Folds | FrameFolds, results: Sequence[Any]) -> str:
    """Fingerprint of all held-out predictions: equal only if each prediction is."""
    if isinstance(folds, FrameFolds):
        return frame_results_fingerprint(results)
    return held_out_fingerprint(folds, results)
