"""What a packaged runner does to prove that it is the trial: the same rows, folds, scores and predictions.

The test rows stay sealed: the rehearsal repeats the trial's cross-validation on train rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlkit.data.parts import study_folds
from mlkit.model.training import as_rows, deterministic, evaluate_fold, held_out_fingerprint
from mlkit.production.build import build

if TYPE_CHECKING:
    from mlkit.frozen import FrozenConfig
    from mlkit.production.stores import Stores


def rehearse(config: FrozenConfig, stores: Stores, *, cv: int) -> dict[str, Any]:
    """Build the rows of a config and repeat its cross-validation; writes nothing to any store.

    Args:
        config: The frozen config.
        stores: Where its source is.
        cv: Number of folds of the study.

    Returns:
        `train`, `test` (fingerprints), `train_rows`, `test_rows`, `scores` by fold, `score`, and
        `predictions`, the fingerprint of all held-out predictions.
    """
    made = build(config, stores.engine)
    train, test = made.fingerprints
    parts = made.parts
    folds = study_folds(parts, cv, split=config.split, key=config.key, target=config.target, seed=config.seed)
    rows = as_rows(parts.train, config.contract, features=config.features, target=config.target)
    with deterministic(config.seed):
        results = [
            evaluate_fold(
                config.model,
                rows,
                fold,
                metric=config.metric_spec,
                task=config.task,
                seed=config.seed,
                trusted=config.environment.packages,
            )
            for fold in folds.pairs()
        ]
    scores = [result.score for result in results]
    return {
        "train": train,
        "test": test,
        "train_rows": parts.train.num_rows,
        "test_rows": parts.test.num_rows,
        "scores": scores,
        "score": math.fsum(scores) / len(scores),
        "predictions": held_out_fingerprint(folds, results),
    }
