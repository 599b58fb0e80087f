"""Reproduction: a version made again from its records, bit by bit, or a certificate of how it is not."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlkit import Source
from mlkit.errors import IntegrityError, StudyError, UsageError
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.model.estimator import describe
from mlkit.production import certificate as certificates
from mlkit.production import recipe
from mlkit.production.certificate import read_certificates
from mlkit.production.evidence import explain_version
from mlkit.production.reproduce import compare_predictions, reproduce
from mlkit.production.runner import deploy
from mlkit.tracking.models import CODE
from tests.conftest import make_flights
from tests.production.scenes import NAME, STUMP, frozen
from tests.spark_ml import opened, project_on, steps

OWN = '''\
"""Estimators of the user's own."""

from sklearn.linear_model import Ridge

import my_numbers


class Shifted(Ridge):
    """Ridge regression with something added to each answer."""

    def predict(self, X):
        """What Ridge says, and more."""
        return super().predict(X) + my_numbers.MORE
'''


@pytest.fixture
def own(tmp_path, user_module, monkeypatch):
    """A config of an estimator of the user's own, of two files that travel with the model."""
    (tmp_path / "my_models.py").write_text(OWN)
    (tmp_path / "my_numbers.py").write_text("MORE = 0.25\n")
    for name in ("my_models", "my_numbers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield frozen(model={"class": "my_models.Shifted", "params": {"alpha": 2.0}}, serialization="cloudpickle")
    for name in ("my_models", "my_numbers"):
        sys.modules.pop(name, None)


def test_a_version_is_made_again_bit_by_bit(stores, tmp_path):
    """Stored, written to a file, told by `explain`; the feature table and the source may be gone."""
    deploy(frozen(), stores)
    shutil.rmtree(stores.workspace.folder / "lake" / "features")
    (tmp_path / "my_prepare.py").unlink()
    made = reproduce(stores, to=tmp_path / "certificate.json")
    record = made.record
    assert (made.version, made.outcome, made.environment_changes) == (1, "identical", {})
    assert record["predictions"]["found"] == record["predictions"]["fingerprint"]
    assert record["differences"] == {"rows": 0, "largest": 0.0, "columns": {}}
    assert record["model_id"] == stores.ledger.head().model_id
    assert (len(record["model_file"]["found"]), record["tolerance"]) == (64, 0.0)
    (stored,) = read_certificates(stores, 1)
    assert stored == made
    assert json.loads((tmp_path / "certificate.json").read_text()) == made.to_dict()
    assert stored.digest == made.to_dict()["digest"]
    told = repr(made)
    for word in (
        "v1 made again: identical",
        "are equal, bit by bit",
        "the recorded versions",
        "mlkit explain",
    ):
        assert word in told
    explained = explain_version(stores, 1)
    assert explained.certificates == (made,)
    assert "again     identical on" in repr(explained)
    assert read_certificates(stores, 2) == []


def test_the_code_that_travelled_is_the_code_that_runs(stores, own, tmp_path):
    """What the working tree has become since makes no difference, and stays in place."""
    deploy(own, stores)
    (tmp_path / "my_models.py").write_text("raise RuntimeError\n")
    (tmp_path / "my_numbers.py").write_text("MORE = 0.5\n")
    made = reproduce(stores, 1)
    assert made.outcome == "identical"
    folder = stores.registry.folder(stores.ledger.head().model_id)
    assert sorted(recipe.code_files(folder)) == ["my_models.py", "my_numbers.py"]
    decision = explain_version(stores, 1).decision
    assert made.record["code"]["digest"] == decision.record["ingredients"]["model_code"]
    assert (folder / CODE / "my_numbers.py").read_text() == "MORE = 0.25\n"


def test_other_predictions_are_counted_recorded_and_refused(stores, monkeypatch):
    """Exit 30 with how much, and with what is different about the environment; never silently."""
    deploy(frozen(), stores)
    off(monkeypatch, 1e-9)
    monkeypatch.setattr(
        "mlkit.production.reproduce.installed_version", lambda name: "9.9" if name == "joblib" else "1"
    )
    with pytest.raises(
        IntegrityError, match=r"[0-9]+ of [0-9]+ predictions differ, by at most 1e-09"
    ) as caught:
        reproduce(stores)
    assert (caught.value.code, caught.value.exit_code) == ("INT045", 30)
    assert "repeat it with what was recorded: " in caught.value.fix
    assert "joblib==" in caught.value.fix
    (kept,) = read_certificates(stores)
    assert (kept.outcome, kept.record["differences"]["columns"].keys()) == ("different", {"prediction"})
    assert kept.record["differences"]["rows"] == kept.record["predictions"]["rows"]
    assert "another environment: " in repr(kept)
    assert kept.certificate_id[:12] in caught.value.message


def test_within_a_tolerance_is_close_and_not_equal(stores, monkeypatch):
    """That is said, with the number that was found and the one that was given."""
    deploy(frozen(), stores)
    off(monkeypatch, 1e-9)
    made = reproduce(stores, tolerance=1e-6)
    assert made.outcome == "close"
    assert "by at most 1e-09; tolerance 1e-06" in repr(made)
    with pytest.raises(IntegrityError, match="differ"):
        reproduce(stores, tolerance=1e-12)
    assert [kept.outcome for kept in read_certificates(stores)] == ["close", "different"]


def off(monkeypatch, by) -> None:
    """Let this environment compute something else."""
    predict = recipe.predict

    def other(*args, **kwargs):
        made = predict(*args, **kwargs)
        return type(made)(made.values + by, made.probabilities, made.classes)  # noqa: PD011 - an array already

    monkeypatch.setattr(recipe, "predict", other)


@pytest.mark.parametrize("part", ["train", "test", "predictions", "model"])
def test_nothing_is_made_from_what_is_damaged(stores, home, part):
    """Rows and files are verified first, and no certificate is given."""
    deploy(frozen(model=STUMP), stores)
    head = stores.ledger.head()
    if part == "model":
        (stores.registry.folder(head.model_id) / "mlkit_config.yaml").write_text("name: other\n")
    else:
        shutil.rmtree(home / "lake" / head.evidence[part]["table"].replace(".", "/"))
    with pytest.raises(IntegrityError):
        reproduce(stores, 1)
    assert read_certificates(stores) == []


def test_an_estimator_that_does_not_fit_here(stores, own, monkeypatch):
    """The error is the user's code's; no certificate is given for what was not made."""
    deploy(own, stores)

    def gone(*args, **kwargs):
        message = "RUN010"
        raise StudyError(message, "fit raised ImportError")

    monkeypatch.setattr(recipe, "fit", gone)
    with pytest.raises(StudyError):
        reproduce(stores, 1)
    assert read_certificates(stores) == []


def test_what_makes_no_sense_is_refused(stores):
    """Nothing serves, no such version, made by hand, a tolerance that is none."""
    with pytest.raises(UsageError, match="nothing serves yet"):
        reproduce(stores)
    deploy(frozen(model=STUMP), stores)
    location = stores.registry.folder(stores.ledger.head().model_id).as_uri()
    stores.tracking.client.create_model_version(NAME, location)
    for number, tolerance, code in (
        (7, 0, "CLI005"),
        (2, 0, "CLI075"),
        (1, -1, "CLI077"),
        (1, float("nan"), "CLI077"),
    ):
        with pytest.raises(UsageError) as caught:
            reproduce(stores, number, tolerance=tolerance)
        assert caught.value.code == code


def test_predictions_are_compared_row_by_row_whatever_their_order():
    """Numbers by how much, a missing one equals a missing one, classes by being equal."""
    known = pa.table(
        {"id": [3, 1, 2, 4], "prediction": ["a", "b", "c", "d"], "p": [0.5, np.nan, 0.25, np.inf]}
    )
    same = known.take(pa.array([2, 0, 3, 1]))
    assert compare_predictions(known, same, identity=["id"])["rows"] == 0
    made = pa.table({"id": [1, 2, 3, 4], "prediction": ["b", "x", "a", "d"], "p": [np.nan, 0.5, 0.5, np.inf]})
    found = compare_predictions(known, made, identity=["id"])
    assert (found["rows"], found["largest"]) == (1, None)
    assert found["columns"] == {"prediction": {"rows": 1, "largest": None}, "p": {"rows": 1, "largest": 0.25}}
    numbers = made.set_column(1, "prediction", pa.array(["b", "c", "a", "d"]))
    assert compare_predictions(known, numbers, identity=["id"])["largest"] == 0.25
    missing = numbers.set_column(2, "p", pa.array([0.0, 0.25, 0.5, np.inf]))
    assert compare_predictions(known, missing, identity=["id"])["largest"] is None
    for other in (made.drop_columns(["p"]), made.slice(1)):
        assert compare_predictions(known, other, identity=["id"])["columns"] is None


def test_differences_are_told_in_words():
    """By class, by number, or that nothing can be compared."""
    record = {"predictions": {"rows": 10}, "differences": {"rows": 2, "largest": None, "columns": {"p": {}}}}
    assert certificates.differences(record) == "2 of 10 predictions differ, in class or by any number"
    record["differences"]["columns"] = None
    assert "other columns" in certificates.differences(record)


@pytest.mark.newest_only
def test_the_past_of_tables_in_spark_is_told_alike(sail, home, tmp_path, monkeypatch):
    """Made again, compared, marked and dated through the same seam; rows are counted where they are."""
    project = project_on(tmp_path, f'remote = "{sail}"')
    flights = make_flights(300).dropna().astype({"hour": "int64"})
    project.publish_features("features.flights", flights)
    base = {"source": Source(table="features.flights"), "name": "flights"}
    plain = {"features": ("hour", "distance"), "contract": project.snapshot("features.flights").contract}
    assert project.deploy(frozen(model=STUMP, **base, **plain)).version == 1
    later = flights.assign(hour=flights.hour.where(flights.flight_id > 20, 4))
    later = pd.concat([later, flights.tail(40).assign(flight_id=lambda rows: rows.flight_id + 1000)])
    project.publish_features("features.flights", later)
    assert project.deploy(frozen(**base, **plain)).version == 2
    assert project.reproduce(2).outcome == "identical"
    found = project.diff(1, 2)
    told = {name: sum(getattr(part, name) for part in found.rows.values()) for name in ("added", "removed")}
    assert told == {"added": 40, "removed": 0}
    assert sum(part.changed for part in found.rows.values()) == (later.hour == 4).sum()
    assert found.exchanged == {"train_to_test": 0, "test_to_train": 0}
    assert found.shifts.keys() == {"hour", "distance"}
    assert [entry.to_version for entry in project.history()] == [1, 2]
    assert project.champion(at=project.history()[0].at).version == 1
    assert project.rollback(reason="late", mark_bad=True).version == 1
    assert project.explain(2).mark.reason == "late"
    assert project.mark(2, reason="not late", bad=False).bad is False
    off(monkeypatch, 1.0)
    with pytest.raises(IntegrityError, match="by at most 1;"):
        project.reproduce(2)


def test_what_was_stopped_leaves_no_certificate_and_is_repeated(stores, monkeypatch):
    """Nothing but the certificate is written, and that last."""
    deploy(frozen(model=STUMP), stores)
    monkeypatch.setenv(VARIABLE, "reproduce.predicted:raise")
    with pytest.raises(InjectedFaultError):
        reproduce(stores)
    assert read_certificates(stores) == []
    monkeypatch.delenv(VARIABLE)
    assert [reproduce(stores).outcome, len(read_certificates(stores))] == ["identical", 1]


@pytest.mark.newest_only
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_spark_trained_is_trained_there_again(request, home, tmp_path):
    """From its tables, whose rows stay there; a tree repeats itself bit by bit."""
    regression = pytest.importorskip("pyspark.ml.regression")
    with opened(request) as (_, way):
        project = project_on(tmp_path, way)
        project.publish_features("features.flights", make_flights(300).dropna())
        model = steps(regression.DecisionTreeRegressor(labelCol="delay", maxDepth=3), "hour", "distance")
        base = {"name": "flights", "source": Source(table="features.flights"), "serialization": "spark"}
        contract = project.snapshot("features.flights").contract
        config = frozen(model=describe(model), features=("hour", "distance"), contract=contract, **base)
        assert project.deploy(config).version == 1
        made = project.reproduce()
        assert (made.outcome, made.record["model_file"]["name"]) == ("identical", None)
        assert project.diff(1, 1).config == {}
