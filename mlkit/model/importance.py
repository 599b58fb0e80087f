"""Which columns a model leans on: how much worse it scores when one column is shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.model.evaluation import better, score
from mlkit.model.predictions import predict

if TYPE_CHECKING:
    import pandas as pd

    from mlkit.model.evaluation import Metric, Task
    from mlkit.model.training import Rows

SAMPLE = 2000
REPEATS = 3


def feature_importances(
    model: Any,  # noqa: ANN401 - any fitted estimator
    rows: Rows,
    *,
    task: Task,
    metric: Metric,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Permutation importance of each feature, largest first.

    Args:
        model: Fitted estimator.
        rows: Rows to score on; the first `SAMPLE` in canonical order are a uniform sample.
        task: Kind of prediction.
        metric: In whose units importance is given.
        seed: Of the permutations.

    Returns:
        By feature: `mean` loss of score over `REPEATS` permutations, and its `spread`; both nan where
        the metric has no value on the sample.
    """
    sample = rows.take(np.arange(min(SAMPLE, len(rows))))
    generator = np.random.default_rng(seed)

    def score_of(frame: pd.DataFrame) -> float:
        return score(metric, sample.target, predict(model, frame, task=task))

    base = score_of(sample.frame)
    found: dict[str, dict[str, float]] = {}
    for name in sample.frame.columns:
        losses = []
        for _ in range(REPEATS):
            order = generator.permutation(len(sample))
            shuffled = sample.frame[name].take(order).reset_index(drop=True)
            losses.append(better(metric, base, score_of(sample.frame.assign(**{name: shuffled}))))
        found[name] = {"mean": float(np.mean(losses)), "spread": float(np.std(losses))}
    return dict(sorted(found.items(), key=lambda item: -np.nan_to_num(item[1]["mean"], nan=-np.inf)))
