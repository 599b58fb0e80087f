"""Fitting and predicting where the rows are: in canonical order, the same every time, no row left out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.contract import Contract
from mlkit.data.split_sql import FrameFolds
from mlkit.digest.fingerprint import canonical_order, lanes
from mlkit.errors import DataError, StudyError
from mlkit.model.estimator import describe
from mlkit.model.evaluation import get_metric, score
from mlkit.model.folds import evaluate_folds, predictions_fingerprint
from mlkit.model.spark_training import as_frame_rows, fit_frame, predict_frame
from tests.conftest import make_flights
from tests.spark_ml import opened, steps

pytest.importorskip("pyspark.ml")
pytestmark = [pytest.mark.newest_only, pytest.mark.timeout(300)]

from pyspark.ml import classification, feature, regression  # noqa: E402 - it may not be there

FEATURES = ("hour", "distance", "is_ua")


@pytest.fixture(scope="module")
def session(request):
    """A session that trains models."""
    with opened(request) as (session, _):
        yield session


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """300 flights with labels of every kind."""
    flights = make_flights(320).dropna().head(300).reset_index(drop=True)
    flights["late"] = flights["delay"] > 10
    flights["kind"] = np.digitize(flights["delay"], [5, 20])
    flights["word"] = flights["late"].map({True: "late", False: "early"})
    return pa.Table.from_pandas(flights, preserve_index=False)


def rows_of(session, table, target, *, partitions=2, most=None):
    """The rows in Spark, in some layout."""
    frame = session.createDataFrame(table).repartition(partitions)
    contract = Contract.infer(table)
    return as_frame_rows(frame, contract, features=FEATURES, target=target, rows=table.num_rows, most=most)


def test_more_answers_than_may_come_here_are_refused(session, table) -> None:
    """With both sizes, and before anything is predicted."""
    rows = rows_of(session, table, "delay", most=10_000)
    with pytest.raises(DataError, match="DAT070"):
        predict_frame(object(), rows, task="regression")


def test_answers_are_in_canonical_order(session, table) -> None:
    """Labels, lanes and what was asked for belong together, as if the rows had been here."""
    rows = rows_of(session, table, "delay")
    model = fit_frame(describe(steps(regression.LinearRegression(labelCol="delay"))), rows, seed=1)
    answers = predict_frame(model, rows, task="regression", columns=["flight_id"])
    here = lanes(table)
    ordered = table.take(pa.array(canonical_order(here)))
    assert answers.columns.column("flight_id").to_pylist() == ordered.column("flight_id").to_pylist()
    assert answers.labels.tolist() == ordered.column("delay").to_pylist()
    assert answers.lanes.tolist() == here[:, canonical_order(here)].tolist()
    assert abs(answers.predictions.values - answers.labels).mean() < 6


@pytest.mark.parametrize(
    ("estimator", "target", "metric", "classes"),
    [
        (classification.LogisticRegression, "late", "roc_auc", (False, True)),
        (classification.RandomForestClassifier, "kind", "log_loss", (0, 1, 2)),
        (classification.LinearSVC, "late", "accuracy", ()),
    ],
)
def test_classes_are_those_of_the_labels(session, table, estimator, target, metric, classes) -> None:
    """Spark counts classes from 0.0; what comes back is what the rows hold."""
    rows = rows_of(session, table, target)
    model = fit_frame(describe(steps(estimator(labelCol=target))), rows, seed=1)
    answers = predict_frame(model, rows, task="binary" if target == "late" else "multiclass")
    assert answers.predictions.classes == classes
    assert set(answers.predictions.values.tolist()) <= set(table.column(target).to_pylist())
    assert answers.predictions.values.dtype == answers.labels.dtype
    if classes:
        np.testing.assert_allclose(answers.predictions.probabilities.sum(axis=1), 1)
    value = score(get_metric(metric), answers.labels, answers.predictions)
    assert value < 0.5 if metric == "log_loss" else value > 0.9


def test_the_same_rows_give_the_same_model(session, table) -> None:
    """In whatever order and layout Spark holds them, random forests included; another seed is another one."""
    forest = describe(steps(regression.RandomForestRegressor(labelCol="delay", numTrees=3)))
    folds = FrameFolds("CAST(flight_id % 3 AS INT)", count=3)
    found = []
    for partitions, seed in ((2, 5), (7, 5), (2, 6)):
        rows = rows_of(session, table, "delay", partitions=partitions)
        results = evaluate_folds(forest, rows, folds, metric=get_metric("rmse"), task="regression", seed=seed)
        found.append(([result.score for result in results], predictions_fingerprint(folds, results)))
    assert found[0] == found[1]
    assert found[0][1] != found[2][1]
    assert all(score < 15 for score in found[0][0])


def test_no_row_may_be_left_out(session, table) -> None:
    """A step that skips what is missing would make the score one of other rows."""
    holed = table.set_column(2, "distance", pa.array([None, *table.column("distance").to_pylist()[1:]]))
    rows = rows_of(session, holed, "delay")
    assembler = feature.VectorAssembler(inputCols=["distance"], outputCol="features", handleInvalid="skip")
    pipeline = steps(regression.LinearRegression(labelCol="delay"))
    pipeline.setStages([assembler, pipeline.getStages()[1]])
    model = fit_frame(describe(pipeline), rows, seed=1)
    with pytest.raises(StudyError, match="one prediction for each of 300 rows, found 299") as caught:
        predict_frame(model, rows, task="regression")
    assert caught.value.code == "RUN040"


def test_a_prediction_of_another_name_is_not_found(session, table) -> None:
    """The one place to look is named."""
    rows = rows_of(session, table, "delay")
    named = regression.LinearRegression(labelCol="delay", predictionCol="said")
    model = fit_frame(describe(steps(named)), rows, seed=1)
    with pytest.raises(StudyError, match="no column 'prediction'"):
        predict_frame(model, rows, task="regression")


def test_what_an_estimator_raises_is_its_own(session, table) -> None:
    """Named by its class, without rows."""
    rows = rows_of(session, table, "delay")
    with pytest.raises(StudyError, match="fit raised") as caught:
        fit_frame(describe(steps(regression.LinearRegression(labelCol="nowhere"))), rows, seed=1)
    assert (caught.value.code, caught.value.path) == ("RUN010", "pyspark.ml.Pipeline")


def test_labels_are_numbers(session, table) -> None:
    """Spark's estimators would say so in other words, in the middle of a fit."""
    with pytest.raises(DataError, match="found labels of type string") as caught:
        rows_of(session, table, "word")
    assert caught.value.code == "DAT046"
