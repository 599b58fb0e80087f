"""What a packaged runner does to prove that it is the trial: the same rows, folds, scores and predictions.

The test rows stay sealed: the rehearsal repeats the trial's cross-validation on train rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlkit.data.parts import study_folds
from mlkit.data.parts_sql import FrameParts, study_frame_folds
from mlkit.model.folds import evaluate_folds, predictions_fingerprint
from mlkit.production.build import build

if TYPE_CHECKING:
    from mlkit.data.split import Folds
    from mlkit.data.split_sql import FrameFolds
    from mlkit.frozen import FrozenConfig
    from mlkit.production.build import Build
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
    folds = _folds(made, cv)
    results = evaluate_folds(
        config.model,
        made.train_rows(),
        folds,
        metric=config.metric_spec,
        task=config.task,
        seed=config.seed,
        trusted=config.environment.packages,
    )
    scores = [result.score for result in results]
    return {
        "train": train,
        "test": test,
        "train_rows": made.rows[0],
        "test_rows": made.rows[1],
        "scores": scores,
        "score": math.fsum(scores) / len(scores),
        "predictions": predictions_fingerprint(folds, results),
    }


def _folds(made: Build, cv: int) -> Folds | FrameFolds:
    config = made.config
    rule: dict[str, Any] = {"split": config.split, "key": config.key, "target": config.target}
    if isinstance(made.parts, FrameParts):
        return study_frame_folds(made.parts, cv, **rule, seed=config.seed)
    return study_folds(made.parts, cv, **rule, seed=config.seed)
