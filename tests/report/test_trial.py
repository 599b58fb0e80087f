"""The chosen trial: metrics beside a constant, curves of few numbers, segments, and why some are missing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.naive_bayes import GaussianNB

from mlkit import Gate, ModelProject, Split
from mlkit.data.snapshot import read_rows
from mlkit.production.stores import Stores
from mlkit.report import curves
from mlkit.report.context import open_context
from mlkit.report.sections.trial import trial_section
from mlkit.report.segments import by_segment
from mlkit.workspace import table_name
from tests.report.conftest import enter


def bayes(trial):
    """One kind of model."""
    return GaussianNB(var_smoothing=trial.suggest_float("smoothing", 1e-9, 1e-3, log=True))


def patients(rows=900, *, classes=("no", "yes"), seed=0):
    """Rows whose class follows from two numbers; of two classes the second is rare."""
    generator = np.random.default_rng(seed)
    age, dose = generator.normal(0, 1, rows), generator.normal(0, 1, rows)
    risk = age + 2 * dose + generator.normal(0, 1, rows)
    shares = [0.8] if len(classes) == 2 else [0.4, 0.7]
    places = np.searchsorted(np.quantile(risk, shares), risk)
    return pd.DataFrame(
        {
            "patient": np.arange(rows),
            "age": age,
            "dose": dose,
            "is_new": generator.random(rows) < 0.5,
            "label": np.array(classes, dtype=object)[places],
        }
    )


def deployed(folder, empty_store, patch, *, classes, metric, **options):
    """A project of patients that was studied, frozen and deployed; gives its context."""
    enter(folder, empty_store, patch)
    project = ModelProject(
        "patients", target="label", metric=metric, split=Split(test=0.3, seed=1), **options
    )
    rows = patients(classes=classes)
    project.publish_features("features.patients", rows, key="patient")
    study = project.study(bayes, project.snapshot("features.patients"), trials=2, cv=2)
    config = project.freeze(study.best, gate=Gate(threshold=0.0))
    project.deploy(config)
    return open_context(Stores(project.workspace, "patients"))


@pytest.fixture(scope="module")
def binary(tmp_path_factory, empty_store):
    """Two classes, told apart by a key."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("binary")
        yield deployed(folder, empty_store, patch, classes=("no", "yes"), metric="roc_auc", key="patient")


@pytest.fixture(scope="module")
def multiclass(tmp_path_factory, empty_store):
    """Three classes, and no key: rows are known by their digests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("multiclass")
        features = ["age", "dose", "is_new"]
        yield deployed(
            folder,
            empty_store,
            patch,
            classes=(0, 1, 2),
            metric="f1_macro",
            features=features,
            task="multiclass",
        )


@pytest.fixture(scope="module")
def regression(lived):
    """The flights that have lived."""
    return open_context(Stores(lived.workspace, lived.name))


def told(section):
    """What a section says, as plain values."""
    return section.to_dict()["values"]


def by_name(section):
    """The metrics of a section by their names."""
    return {row["metric"]: row for row in told(section)["metrics"]}


def test_a_regression_is_compared_with_a_constant(regression) -> None:
    """The score is that of the stored predictions; the constant's follows from the train rows."""
    section = trial_section(regression)
    decision = regression.explanation.decision.record
    stored = regression.engine.read(table_name(decision["predictions"]["table"])).read_all().to_pandas()
    rmse, mae = (by_name(section)[name] for name in ("rmse", "mae"))
    assert rmse["model"] == pytest.approx(
        metrics.root_mean_squared_error(stored["label"], stored["prediction"])
    )
    train = (
        regression.engine.read(table_name(decision["train"]["table"])).read_all().column("delay").to_numpy()
    )
    off = np.abs(stored["label"] - np.median(train)).mean()
    assert mae["constant"] == pytest.approx(off)
    assert rmse["better_by"] == pytest.approx(rmse["constant"] - rmse["model"])
    assert told(section)["rows"] == f"all {len(stored):,} rows"


def test_what_a_regression_shows(regression) -> None:
    """Residuals beside a constant's, calibration, importances with spread, segments with their rows."""
    section = trial_section(regression)
    for said in ("Residuals", "Mean label by predicted value", "What it leans on", "Where it is wrong"):
        assert said in section.body
        assert said in section.markdown
    assert section.body.count("<svg") >= 4
    assert set(told(section)["importances"]) == {"hour", "distance", "is_ua", "per_mile"}
    assert all(said["spread"] >= 0 for said in told(section)["importances"].values())
    rows = told(section)["segments"][0]["segments"]
    assert all(segment["low"] <= segment["loss"] <= segment["high"] for segment in rows)
    assert sum(segment["rows"] for segment in rows) <= regression.explanation.decision.record["test"]["rows"]


def test_looks_at_the_sealed_rows_are_told(regression) -> None:
    """The study was asked once."""
    section = trial_section(regression)
    assert told(section)["trial"]["test_looks"] == 1
    assert "looked at 1 time while exploring" in section.body


def test_findings_carry_their_numbers(regression, binary) -> None:
    """A model that is better than a constant is fine; what the folds promised stands beside the test rows."""
    for context in (regression, binary):
        found = {finding.code: finding for finding in trial_section(context).findings}
        assert found["RPT060"].severity == "fine"
        assert found["RPT060"].value > 0
        assert "the test rows say" in found["RPT061"].sentence
        assert {"RPT062", "RPT063"} <= found.keys()
        assert {finding.anchor for finding in found.values()} == {"trial"}


def test_a_binary_model_shows_its_curves(binary) -> None:
    """The areas are those of scikit-learn on the stored predictions; the rare class is the positive one."""
    section = trial_section(binary)
    stored = binary.engine.read(
        table_name(binary.explanation.decision.record["predictions"]["table"])
    ).read_all()
    positive = np.array(stored.column("label").to_pylist()) == "yes"
    chances = stored.column("probability_yes").to_numpy()
    rows = by_name(section)
    assert rows["roc_auc"]["model"] == pytest.approx(metrics.roc_auc_score(positive, chances))
    assert rows["average_precision"]["model"] == pytest.approx(
        metrics.average_precision_score(positive, chances)
    )
    assert rows["roc_auc"]["constant"] == 0.5
    assert rows["accuracy"]["constant"] == pytest.approx((~positive).mean())
    for said in ("ROC: area", "Precision by recall", "Calibration: share of", "Probability of", "Confusion"):
        assert said in section.body


def test_several_classes_without_a_key(multiclass) -> None:
    """Rows are found again by their digests; each class stands against the rest."""
    section = trial_section(multiclass)
    rows = by_name(section)
    assert next(iter(rows)) == "f1_macro"
    assert rows["f1_macro"]["better_by"] > 0.2
    assert "each class against the rest" in section.body
    assert "predicted 2" in section.markdown
    assert {each["feature"] for each in told(section)["segments"]} == {"age", "dose", "is_new"}


def test_segments_are_of_the_rows_that_were_predicted(multiclass) -> None:
    """The mean loss by segment is that of the joined tables: no row stands beside another's prediction."""
    record = multiclass.explanation.decision.record
    config = multiclass.frozen
    test = read_rows(multiclass.engine, table_name(record["test"]["table"]), config.contract)
    stored = multiclass.engine.read(table_name(record["predictions"]["table"])).read_all().to_pandas()
    lanes = stored.sort_values(["row_lane0", "row_lane1"])  # the canonical order, in which `test` is
    chances = lanes[["probability_0", "probability_1", "probability_2"]].to_numpy()
    labels = np.array([int(label) for label in test.column("label").to_pylist()])
    loss = -np.log(chances[np.arange(len(labels)), labels])
    new = np.array(test.column("is_new").to_pylist())
    section = trial_section(multiclass)
    segmented = next(each for each in told(section)["segments"] if each["feature"] == "is_new")
    found = {segment["label"]: segment["loss"] for segment in segmented["segments"]}
    assert found == pytest.approx({"True": loss[new].mean(), "False": loss[~new].mean()})


def test_before_a_deployment_the_test_rows_are_sealed(tmp_path, home) -> None:
    """What cross-validation said is shown, and why there is no more; with no study there is no section."""
    project = ModelProject("patients", target="label", metric="roc_auc", key="patient")
    context = open_context(Stores(project.workspace, "patients"))
    assert trial_section(context) is None
    study = project.study(bayes, project.snapshot(patients(300)), trials=1, cv=3)
    section = trial_section(open_context(Stores(project.workspace, "patients")))
    assert told(section)["trial"]["scores"] == list(study.best.scores)
    assert "still sealed" in section.body
    assert told(section)["metrics"] == []
    (finding,) = (finding for finding in section.findings if finding.code == "RPT060")
    assert finding.severity == "not run"


# ------------------------------------------------------------------------------ numbers behind the plots


@pytest.fixture
def answers():
    """5,000 rows: whether they are positive, and chances that are right on average."""
    generator = np.random.default_rng(1)
    chances = generator.beta(1, 3, 5000)
    return generator.random(5000) < chances, chances


def test_curves_are_few_points_with_the_exact_area(answers) -> None:
    """However many rows: the ends are kept, x rises."""
    positive, chances = answers
    curve = curves.roc(positive, chances)
    assert curve.area == pytest.approx(metrics.roc_auc_score(positive, chances))
    assert len(curve.x) <= curves.POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(curve.area, abs=0.01)
    other = curves.precision_recall(positive, chances)
    assert list(other.x) == sorted(other.x)
    assert other.area == pytest.approx(metrics.average_precision_score(positive, chances))


def test_calibration_covers_what_is_right_and_tells_what_is_not(answers) -> None:
    """Chances that are right lie in their intervals; squared ones do not."""
    positive, chances = answers
    bins = curves.reliability(chances, positive.astype(float), share=True)
    assert sum(each.rows for each in bins) == 5000
    assert sum(each.low <= each.predicted <= each.high for each in bins) >= len(bins) - 2
    assert curves.calibration_error(bins) < 0.02
    wrong = curves.reliability(chances**2, positive.astype(float), share=True)
    assert curves.calibration_error(wrong) > 0.08
    assert math.isnan(curves.calibration_error(()))


def test_histograms_have_open_ends_and_lose_no_row() -> None:
    """The outliers are in the outermost bins; one value is one bin."""
    generator = np.random.default_rng(0)
    values = np.append(generator.normal(size=1000), [1e9, -1e9])
    found = curves.histogram(values, values[:10])
    assert [sum(counts) for counts in found.counts] == [1002, 10]
    assert found.labels[0].startswith("below ")
    assert found.labels[-1].startswith("above ")
    assert curves.histogram(np.ones(3)) == curves.Histogram(("1",), ((3,),))


def test_confusion_pools_rare_classes() -> None:
    """Of many classes the frequent ones are shown in their order, the others are one; no row is lost."""
    labels = [str(number) for number in range(30) for _ in range(number + 1)]
    names, counts = curves.confusion(labels, labels)
    assert names == (*map(str, range(18, 30)), curves.OTHER)
    assert sum(map(sum, counts)) == len(labels)
    assert counts[0][0] == 19
    few, _ = curves.confusion([True, False], ["x", False])
    assert few == ("False", "True", "x")


def test_an_interval_of_a_share() -> None:
    """Wilson's: inside of 0 and 1, and wide where rows are few."""
    low, high = curves.wilson(0.0, 10)
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(0.2775, abs=1e-3)
    assert curves.wilson(0.5, 0) == (0.0, 1.0)


def test_the_feature_that_tells_most_comes_first() -> None:
    """By an analysis of variance, less what chance would tell; small groups are one."""
    generator = np.random.default_rng(0)
    kind = generator.choice(["a", "b", "c"], 2000)
    loss = np.where(kind == "c", 3.0, 1.0) + generator.normal(0, 0.1, 2000)
    rare = np.where(np.arange(2000) < 2, "one of two", "usual")
    features = pa.table({"noise": generator.normal(size=2000), "kind": kind, "rare": rare})
    found = by_segment(features, loss)
    assert [each.feature for each in found] == ["kind", "noise"]
    assert found[0].told > 0.95
    assert found[1].told < 0.01
    assert found[0].segments[0].label == "c"
    assert "one of two" not in repr(found)
