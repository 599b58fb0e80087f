"""Side by side: studies on the same rows, splits of a snapshot, and the counted look at test rows."""

from __future__ import annotations

import dataclasses
import html
import math
import statistics
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlkit.boundary import expect_a
from mlkit.console import progress, say
from mlkit.data.frame import to_frame, to_target
from mlkit.data.parts import cut_rows
from mlkit.data.parts_sql import cut_frame
from mlkit.data.snapshot import scan_rows
from mlkit.errors import UsageError
from mlkit.model.estimator import describe, packages_of, steps_text
from mlkit.model.evaluation import score
from mlkit.model.folds import evaluate_folds
from mlkit.model.predictions import predict
from mlkit.model.spark_estimator import trains_on_spark
from mlkit.model.spark_training import as_frame_rows, fit_frame, predict_frame
from mlkit.model.training import as_rows, deterministic, fit
from mlkit.research.exploration import gather
from mlkit.research.study.search import check_numbers
from mlkit.research.study.trials import LOOKS_TAG, looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlkit.data.snapshot import Snapshot
    from mlkit.data.split import Split
    from mlkit.model.predictions import Predictions
    from mlkit.model.training import FoldResult
    from mlkit.research.exploration import Material, Problem
    from mlkit.research.study.trials import Study, StudySetting, Trial
    from mlkit.tracking.runs import Tracking


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of things that may be compared.

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
        table = self.frame().to_string(index=False, max_colwidth=48)  # texts of models are long
        return f"{self.title}\n{table}\n  {self.advice}"

    def _repr_html_(self) -> str:
        table = self.frame().to_html(index=False)
        return f"<h4>{html.escape(self.title)}</h4>{table}<p>{html.escape(self.advice)}</p>"


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
    cv_score: float
    rows: int
    looks: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """The score beside what cross-validation promised, and the count."""
        said = f"(cross-validation said {self.cv_score:.6g})"
        return (
            f"{self.metric} {self.score:.6g} on {self.rows:,} test rows {said}\n"
            f"  look {self.looks} at the sealed rows; each one makes this number a little less honest"
        )


def compare_studies(studies: Sequence[Study]) -> Comparison:
    """Best trials of several studies, best first.

    Raises:
        UsageError: They were made on different train rows, targets or metrics, so their numbers mean
            different things.
        StudyError: One of them has no complete trial.
    """
    if not studies:
        raise UsageError("CLI029", "nothing to compare", path="studies", fix="pass two studies")
    first = studies[0]
    for study in studies[1:]:
        _check_comparable(first, study)
    metric = first.setting.metric
    sign = 1 if metric.direction == "minimize" else -1
    rows = [
        {
            "study": study.name,
            metric.name: study.best.score,
            "spread": study.best.spread,
            "folds": study.setting.cv,
            "trials": len(study.trials),
            "seconds": round(sum(trial.seconds for trial in study.trials), 1),
            "best": steps_text(study.best.model),
        }
        for study in sorted(studies, key=lambda study: sign * (study.best.score or 0.0))
    ]
    train = f"{first.setting.train_rows:,} train rows {first.setting.train}"
    advice = f"all on {train}; differences below the spread are noise"
    return Comparison(f"{len(rows)} studies by {metric.name}", tuple(rows), advice)


def _check_comparable(first: Study, other: Study) -> None:
    here, there = first.setting, other.setting
    for what, ours, theirs in (
        ("train rows", here.train, there.train),
        ("targets", here.target, there.target),
        ("metrics", here.metric.name, there.metric.name),
    ):
        if ours != theirs:
            message = f"{first.name} and {other.name} have different {what}: {ours} and {theirs}"
            fix = "study the same snapshot with the same split, target and metric"
            raise UsageError("CLI029", message, path=other.name, fix=fix)


def try_splits(
    problem: Problem, estimator: object, snapshot: Snapshot, splits: Sequence[Split], *, cv: int, seed: int
) -> Comparison:
    """Cross-validate one estimator on the train rows of several splits of one snapshot.

    The test rows of each split stay sealed. `mean` and `spread` (standard deviation) are over folds.

    Raises:
        UsageError: No splits (CLI029), or a number that means nothing (CLI021).
        StudyError: The estimator failed.
    """
    check_numbers(trials=1, cv=cv, workers=1)
    if not splits:
        raise UsageError("CLI029", "nothing to compare", path="splits", fix="pass two splits")
    model = describe(estimator)
    rows: list[dict[str, Any]] = []
    with progress(f"{len(splits)} splits", len(splits)) as advance:
        for split in splits:
            own = dataclasses.replace(problem, split=split)
            material = gather(own, snapshot, cv=cv, seed=seed, in_spark=trains_on_spark(model))
            scores = [result.score for result in _results(model, material)]
            rows.append(
                {
                    "split": _split_text(split),
                    "train": material.setting.train_rows,
                    "test": material.setting.test_rows,
                    "mean": math.fsum(scores) / len(scores),
                    "spread": statistics.stdev(scores) if len(scores) > 1 else None,
                }
            )
            advance()
    means = [row["mean"] for row in rows]
    difference = f"means differ by {max(means) - min(means):.6g} over splits"
    advice = f"{difference}: choose a split for its meaning, not its score"
    return Comparison(f"{steps_text(model)} by {problem.metric}, {cv} folds", tuple(rows), advice)


def _results(model: Mapping[str, Any], material: Material) -> list[FoldResult]:
    setting = material.setting
    return evaluate_folds(
        model,
        material.rows,
        material.folds,
        metric=setting.metric,
        task=setting.task,
        seed=setting.seed,
        trusted=packages_of(model),
    )


def look_at_test(trial: Trial, tracking: Tracking) -> TestLook:
    """Refit a trial on all train rows and score it on the sealed test rows, counting the look.

    Raises:
        ConfigError: It is no trial.
        UsageError: The trial is not complete.
    """
    expect_a("Trial", trial, path="trial", fix="give study.best")
    setting = trial.setting
    if setting is None or trial.score is None:
        message = f"trial {trial.number} is {trial.state}"
        raise UsageError("CLI022", message, path="trial", fix="evaluate study.best")
    labels, predictions = (_test_in_spark if trains_on_spark(trial.model) else _test_here)(trial, setting)
    value = score(setting.metric, labels, predictions)
    count = looks(tracking.run(trial.study_run_id)) + 1
    tracking.log(trial.study_run_id, tags={LOOKS_TAG: str(count)})
    say(f"look {count} at the sealed test rows of this study")
    return TestLook(setting.metric.name, value, trial.score, len(labels), count)


def _test_here(trial: Trial, setting: StudySetting) -> tuple[NDArray[Any], Predictions]:
    """Labels of the test rows, and what the refitted trial predicts."""
    contract = setting.snapshot.contract
    parts = cut_rows(setting.snapshot.to_arrow(), setting.split, key=setting.key, target=setting.target)
    rows = as_rows(parts.train, contract, features=setting.features, target=setting.target)
    with deterministic(setting.seed):
        model = fit(trial.model, rows, seed=setting.seed, trusted=packages_of(trial.model))
        predictions = predict(model, to_frame(parts.test, contract, setting.features), task=setting.task)
    return to_target(parts.test, contract, setting.target), predictions


def _test_in_spark(trial: Trial, setting: StudySetting) -> tuple[NDArray[Any], Predictions]:
    """The same where the rows are."""
    snapshot, target = setting.snapshot, setting.target
    frame = scan_rows(snapshot.engine, snapshot.table, snapshot.contract)
    parts = cut_frame(frame, setting.split, key=setting.key, target=target)
    train, test = (
        as_frame_rows(
            part,
            snapshot.contract,
            features=setting.features,
            target=target,
            rows=setting.train_rows,
            most=snapshot.engine.fetch_bytes,
        )
        for part in (parts.train, parts.test)
    )
    model = fit_frame(trial.model, train, seed=setting.seed, trusted=packages_of(trial.model))
    answers = predict_frame(model, test, task=setting.task)
    return answers.labels, answers.predictions


def _split_text(split: Split) -> str:
    """``0.2 seed 7 stratified``, ``0.2 by time day``, ``0.2 by carrier seed 7``."""
    if split.time:
        return f"{split.test:g} by time {split.time}"
    group = f" by {', '.join(split.by)}" if split.by else ""
    return f"{split.test:g}{group} seed {split.seed}{' stratified' if split.stratify else ''}"
