"""The baseline in a model's folder: what it was trained on and what it says, in bins."""

from __future__ import annotations

import pytest

from mlkit import Monitor
from mlkit.data.drift import BINS_FILE, SAMPLE_ROWS, count, count_stream, make_bins, read_baseline
from mlkit.data.snapshot import read_rows
from mlkit.errors import ConfigError
from mlkit.frozen import FrozenConfig
from mlkit.production.runner import deploy, plan_deployment
from mlkit.workspace import table_name
from tests.conftest import make_flights
from tests.production.scenes import frozen
from tests.production.test_candidate import candidate_of

LOGISTIC = {"class": "sklearn.linear_model.LogisticRegression", "params": {}}
FEATURES = ("hour", "distance", "is_ua", "per_mile")


def baseline_of(stores, report):
    """What stands in the folder of a model."""
    return read_baseline(stores.registry.folder(report.model_id))


def table_of(stores, table: str):
    """All rows of a table."""
    return stores.engine.read(table_name(table)).read_all()


def test_what_was_trained_on_and_what_is_said_of_the_test_rows(stores):
    """Inputs are counted over all train rows, predictions over the test rows: the numbers of the tables."""
    report = deploy(frozen(), stores)
    found = baseline_of(stores, report)
    assert list(found.bins) == ["prediction", *(f"input_{name}" for name in FEATURES)]
    train, said = (table_of(stores, table.table) for table in (report.train, report.predictions))
    inputs = train.rename_columns([f"input_{name}" for name in train.column_names])
    of_inputs = {name: cut for name, cut in found.bins.items() if name != "prediction"}
    assert {name: found.counts[name] for name in of_inputs} == count_stream(inputs.to_batches(), of_inputs)
    of_output = {"prediction": found.bins["prediction"]}
    assert found.counts["prediction"] == count_stream(said.to_batches(), of_output)["prediction"]
    assert report.train.rows < SAMPLE_ROWS
    assert found.bins["prediction"] == make_bins(said.column("prediction"))


def test_it_is_under_the_manifest_and_the_same_each_time(stores):
    """A changed file is found out, and a training repeated writes the same bytes."""
    first = candidate_of(frozen(), stores)
    file = stores.registry.folder(first.model_id) / BINS_FILE
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("prediction", "Prediction"))
    again = candidate_of(frozen(), stores)
    assert (again.model_id != first.model_id, again.reused) == (True, False)
    assert (stores.registry.folder(again.model_id) / BINS_FILE).read_text(encoding="utf-8") == text


def test_classes_and_their_probabilities(stores):
    """Classes are texts; of two probabilities one has bins."""
    config = frozen(
        task="binary",
        target="is_ua",
        features=("hour", "distance"),
        metric="log_loss",
        model=LOGISTIC,
        gate={},
    )
    found = baseline_of(stores, deploy(config, stores))
    assert list(found.bins) == ["prediction", "probability_True", "input_hour", "input_distance"]
    assert found.bins["prediction"].kind == "category"
    assert set(found.bins["prediction"].categories) <= {"True", "False"}
    assert 0 <= found.bins["probability_True"].edges[0] <= found.bins["probability_True"].high <= 1


def test_what_is_watched_is_no_part_of_the_model(stores):
    """Another monitor is a secondary change: the same model, with bins for all of its features."""
    first = deploy(frozen(monitor={"inputs": ["hour"]}), stores)
    changed = frozen(monitor={"inputs": ["hour", "distance"], "alpha": 0.01})
    plan = plan_deployment(changed, stores)
    assert (plan.kind, any("monitor" in reason for reason in plan.reasons)) == ("secondary", True)
    assert deploy(changed, stores).model_id == first.model_id


def test_a_config_of_before_keeps_its_digest():
    """Without the section nothing is watched but the output, and the file is as it was."""
    config = frozen()
    assert (config.monitor, "monitor" in config.dump(), "monitor" in config.meaning) == (
        Monitor(),
        False,
        False,
    )
    assert frozen(monitor={"inputs": []}).digest == config.digest
    watched = frozen(monitor={"inputs": list(FEATURES)})
    assert watched.digest != config.digest
    assert watched.dump()["monitor"] == {"inputs": list(FEATURES)}
    assert FrozenConfig.from_values(watched.dump()) == watched
    with pytest.raises(ConfigError, match="CFG050"):
        frozen(monitor={"inputs": ["delay"]})


@pytest.mark.newest_only
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_spark_finds_the_same_baseline(home, tmp_path, request):
    """A model trained where the rows are has the bins and counts that its rows give here."""
    pytest.importorskip("pyspark.ml")
    from pyspark.ml.regression import LinearRegression  # noqa: PLC0415 - it may not be there

    from tests.research.test_spark_models import config_of  # noqa: PLC0415 - as above
    from tests.spark_ml import opened, project_on, steps  # noqa: PLC0415 - as above

    with opened(request) as (_, way):
        project = project_on(tmp_path, way)
        project.publish_features("features.flights", make_flights(900).dropna())
        config = config_of(project, steps(LinearRegression(labelCol="delay")))
        report = project.deploy(config)
        found = read_baseline(project._stores.registry.folder(report.model_id))
        train = read_rows(project._stores.engine, table_name(report.train.table), config.contract)
        said = project._stores.engine.read(table_name(report.predictions.table)).read_all()
    for name in ("distance", "hour", "is_ua"):
        bins = make_bins(train.column(name))
        assert found.bins[f"input_{name}"] == bins
        assert found.counts[f"input_{name}"] == count(train.column(name), bins)
    assert found.counts["prediction"] == count(said.column("prediction"), found.bins["prediction"])
