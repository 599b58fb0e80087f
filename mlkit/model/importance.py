"""Which columns a model leans on: how much worse it scores when one column is shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.model.evaluation import better, score
from mlkit.model.predictions import predict

if TYPE_CHECKING:
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
        By feature: `mean` loss of score over `REPEATS` permutations, and its `spread`.
    """
    sample = rows.take(np.arange(min(SAMPLE, len(rows))))
    generator = np.random.default_rng(seed)
    base = score(metric, sample.target, predict(model, sample.frame, task=task))
    found: dict[str, dict[str, float]] = {}
    for name in sample.frame.columns:
        losses = []
        for _ in range(REPEATS):
            shuffled = sample.frame.copy()
            order = generator.permutation(len(sample))
            shuffled[name] = sample.frame[name].take(order).reset_index(drop=True)
            losses.append(better(metric, base, score(metric, sample.target, predict(model, shuffled, task=task))))
        found[str(name)] = {"mean": float(np.mean(losses)), "spread": float(np.std(losses))}
    return dict(sorted(found.items(), key=lambda item: -item[1]["mean"]))
