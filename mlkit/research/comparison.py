"""Side by side: studies on the same rows, splits of the same snapshot, and the counted look at test rows."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlkit.console import progress, say
from mlkit.data.frame import to_frame, to_target
from mlkit.data.parts import cut_rows
from mlkit.errors import UsageError
from mlkit.model.estimator import describe, packages_of, steps_text
from mlkit.model.evaluation import score
from mlkit.model.predictions import predict
from mlkit.model.training import as_rows, deterministic, evaluate_fold, fit
from mlkit.research.exploration import gather
from mlkit.research.study.trials import LOOKS_TAG, looks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.data.snapshot import Snapshot
    from mlkit.data.split import Split
    from mlkit.research.exploration import Problem
    from mlkit.research.study.trials import Study, Trial
    from mlkit.tracking.runs import Tracking


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of things that may be compared, best first.

    Attributes:
        title: What is compared.
        rows: One row each.
        advice: What the numbers mean.
    """

    title: str
    rows: tuple[dict[str, Any], ...]
    advice: str

    def frame(self) -> pd.DataFrame:
        """The table as a pandas frame."""
        return pd.DataFrame(list(self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"title": self.title, "rows": list(self.rows), "advice": self.advice}

    def __repr__(self) -> str:
        """The table and what it means."""
        return f"{self.title}\n{self.frame().to_string(index=False)}\n  {self.advice}"

    def _repr_html_(self) -> str:
        return f"<h4>{self.title}</h4>{self.frame().to_html(index=False)}<p>{self.advice}</p>"


@dataclasses.dataclass(frozen=True)
class TestLook:
    """A look at the sealed test rows; each one is counted.

    Attributes:
        metric: Name of the metric.
        score: Score of the trial's model, refitted on all train rows.
        cv_score: What cross-validation had said.
        rows: Number of test rows.
        looks: How many looks this study has had, this one included.
    """

    metric: str
    score: float
    cv_score: float | None
    rows: int
    looks: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """The score beside what cross-validation promised, and the count."""
        return (
            f"{self.metric} {self.score:.6g} on {self.rows:,} test rows (cross-validation said {self.cv_score:.6g})\n"
            f"  look {self.looks} at the sealed rows; each one makes this number a little less honest"
        )


def compare_studies(studies: Sequence[Study]) -> Comparison:
    """Best trials of several studies, best first.

    Raises:
        UsageError: They were made on different train rows or metrics, so their numbers mean different things.
    """
    if not studies:
        raise UsageError("CLI029", "nothing to compare", path="studies", fix="pass two studies")
    first = studies[0].setting
    for study in studies[1:]:
        for what, here, there in (
            ("train rows", first.train, study.setting.train),
            ("metric", first.metric.name, study.setting.metric.name),
        ):
            if here != there:
                message = f"{studies[0].name} and {study.name} have different {what}: {here} and {there}"
                raise UsageError("CLI029", message, path=study.name, fix="study the same snapshot with the same split")
    rows = [
        {
            "study": study.name,
            first.metric.name: study.best.score,
            "spread": _spread(study.best.scores),
            "folds": study.setting.cv,
            "trials": len(study.trials),
            "seconds": round(sum(trial.seconds for trial in study.trials), 1),
            "best": steps_text(study.best.model),
        }
        for study in studies
    ]
    rows.sort(key=lambda row: row[first.metric.name], reverse=first.metric.direction == "maximize")
    advice = f"all on {first.train_rows:,} train rows {first.train}; differences below the spread are noise"
    return Comparison(f"{len(rows)} studies by {first.metric.name}", tuple(rows), advice)


def try_splits(
    problem: Problem, estimator: object, snapshot: Snapshot, splits: Sequence[Split], *, cv: int, seed: int
) -> Comparison:
    """Cross-validate one estimator on the train rows of several splits of one snapshot.

    The test rows of each split stay sealed. `mean` and `spread` (standard deviation) are over folds.
    """
    model, rows = describe(estimator), []
    with deterministic(seed), progress(f"{len(splits)} splits", len(splits) * cv) as advance:
        for split in splits:
            material = gather(dataclasses.replace(problem, split=split), snapshot, cv=cv, seed=seed)
            setting, scores = material.setting, []
            for fold in material.folds.pairs():
                result = evaluate_fold(
                    model,
                    material.rows,
                    fold,
                    metric=setting.metric,
                    task=setting.task,
                    seed=seed,
                    trusted=packages_of(model),
                )
                scores.append(result.score)
                advance()
            rows.append(
                {
                    "split": _split_text(split),
                    "train": setting.train_rows,
                    "test": setting.test_rows,
                    "mean": math.fsum(scores) / len(scores),
                    "spread": _spread(scores),
                }
            )
    means = [row["mean"] for row in rows]
    advice = f"means differ by {max(means) - min(means):.6g} over splits: choose a split for its meaning, not its score"
    return Comparison(f"{steps_text(model)} by {problem.metric}, {cv} folds", tuple(rows), advice)


def look_at_test(trial: Trial, tracking: Tracking) -> TestLook:
    """Refit a trial on all train rows and score it on the sealed test rows, counting the look.

    Raises:
        UsageError: The trial is not complete.
    """
    setting = trial.setting
    if setting is None or trial.score is None:
        raise UsageError("CLI022", f"trial {trial.number} is {trial.state}", path="trial", fix="evaluate study.best")
    contract = setting.snapshot.contract
    parts = cut_rows(setting.snapshot.to_arrow(), setting.split, key=setting.key, target=setting.target)
    rows = as_rows(parts.train, contract, features=setting.features, target=setting.target)
    with deterministic(setting.seed):
        model = fit(trial.model, rows, seed=setting.seed, trusted=packages_of(trial.model))
    predictions = predict(model, to_frame(parts.test, contract, setting.features), task=setting.task)
    value = score(setting.metric, to_target(parts.test, contract, setting.target), predictions)
    count = looks(tracking.run(trial.study_run_id)) + 1
    tracking.log(trial.study_run_id, tags={LOOKS_TAG: str(count)})
    say(f"look {count} at the sealed test rows of this study")
    return TestLook(setting.metric.name, value, trial.score, parts.test.num_rows, count)


def _spread(scores: Sequence[float]) -> float:
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def _split_text(split: Split) -> str:
    rule = split.time and f"by time {split.time}" or split.by and f"by {', '.join(split.by)}" or f"seed {split.seed}"
    return f"{split.test:g} {rule}{' stratified' if split.stratify else ''}"
