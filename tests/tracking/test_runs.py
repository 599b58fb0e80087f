"""Runs on a real store: by explicit id from any thread, nothing cut in silence, nothing left ambient."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import shutil

import mlflow
import mlflow.data
import pytest

from mlkit.engines.base import TableName
from mlkit.errors import StoreError
from mlkit.targets import Target
from mlkit.tracking import runs
from mlkit.tracking.runs import Tracking
from mlkit.workspace import open_workspace


@pytest.fixture
def tracking(workspace) -> Tracking:
    """Runs of an empty workspace."""
    return Tracking(workspace)


@pytest.fixture
def experiment(tracking) -> str:
    """An experiment without runs."""
    return tracking.experiment("flights")


def test_an_experiment_is_made_once(tracking, workspace) -> None:
    """Threads and later calls get the same one, whose files lie in the home."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: Tracking(workspace).experiment("flights"), range(8)))
    assert found == {tracking.experiment("flights")}
    made = tracking.client.get_experiment(found.pop())
    assert made.artifact_location == f"{(workspace.home / 'artifacts').as_uri()}/flights"


def test_an_experiment_that_was_deleted_is_named(tracking, experiment) -> None:
    """MLflow keeps the name taken; the way to restore it is shown with its id, and then it goes on."""
    tracking.client.delete_experiment(experiment)
    with pytest.raises(StoreError) as caught:
        tracking.experiment("flights")
    assert (caught.value.code, caught.value.path) == ("STO030", "flights")
    assert caught.value.fix.endswith(f"--experiment-id {experiment}")
    tracking.client.restore_experiment(experiment)
    assert tracking.experiment("flights") == experiment


def test_threads_write_to_runs_of_their_own(tracking, experiment) -> None:
    """Runs are addressed by id: values never mix, and no run is left active."""
    parent = tracking.start(experiment, "study", tags={"kind": "study"})

    def child(number: int) -> str:
        run_id = tracking.start(experiment, f"trial {number}", tags={}, parent=parent)
        tracking.log(run_id, params={"number": number}, metrics={"score": number / 7})
        tracking.end(run_id, "FAILED" if number % 2 else "FINISHED")
        return run_id

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(child, range(18)))
    children = {run.run_id: run for run in tracking.children(experiment, parent)}
    assert children.keys() == set(ids)
    for number, run_id in enumerate(ids):
        run = children[run_id]
        assert (run.name, run.params, run.metrics) == (
            f"trial {number}",
            {"number": str(number)},
            {"score": number / 7},
        )
        assert run.status == ("FAILED" if number % 2 else "FINISHED")
    assert tracking.run(parent).status == "RUNNING"
    assert mlflow.active_run() is None


def test_more_than_mlflow_takes_at_once_is_logged_in_parts(tracking, experiment) -> None:
    """Hundreds of parameters, tags and steps arrive complete."""
    run_id = tracking.start(experiment, "big", tags={})
    params = {f"p{number}": number for number in range(250)}
    tags = {f"t{number}": f"v{number}" for number in range(120)}
    steps = {"loss": [1 / (step + 1) for step in range(230)]}
    tracking.log(run_id, params=params, metrics={"score": 0.1}, steps=steps, tags=tags)
    run = tracking.run(run_id)
    assert run.params == {name: str(value) for name, value in params.items()}
    assert tags.items() <= run.tags.items()
    assert run.metrics == {"score": 0.1, "loss": 1 / 230}
    history = sorted(tracking.client.get_metric_history(run_id, "loss"), key=lambda point: point.step)
    assert [point.value for point in history] == steps["loss"]
    tracking.log(run_id)
    assert tracking.run(run_id) == run


def test_a_long_parameter_is_cut_where_one_can_see_it(tracking, experiment) -> None:
    """An ellipsis ends what was cut; what just fits is whole; values are shown as JSON."""
    run_id = tracking.start(experiment, "long", tags={})
    values = {"fits": "x" * 250, "long": "y" * 251, "list": [1, None], "none": None, "text": "ü"}
    tracking.log(run_id, params=values)
    assert tracking.run(run_id).params == {
        "fits": "x" * 250,
        "long": "y" * 249 + "…",
        "list": "[1, null]",
        "none": "null",
        "text": "ü",
    }


def test_a_long_tag_is_refused(tracking, experiment) -> None:
    """Tags are read back, so they are whole or not there; no half-made run is left."""
    run_id = tracking.start(experiment, "tagged", tags={"whole": "x" * 5000})
    assert tracking.run(run_id).tags["whole"] == "x" * 5000
    for write in (
        lambda: tracking.log(run_id, params={"a": 1}, tags={"long": "x" * 5001}),
        lambda: tracking.start(experiment, "another", tags={"long": "x" * 5001}),
    ):
        with pytest.raises(StoreError) as caught:
            write()
        assert (caught.value.code, caught.value.path) == ("STO025", "long")
    assert [run.name for run in tracking.runs(experiment, tags={})] == ["tagged"]
    assert tracking.run(run_id).params == {}


def test_runs_are_found_by_their_tags(tracking, experiment) -> None:
    """Every tag must be equal; values are data, whatever they hold; the oldest comes first."""
    values = ["plain", 'double "quoted"', "50 %", "a_b", "ü ✈", "-- ; DROP", "aXb"]
    ids = [tracking.start(experiment, value, tags={"key.of": value, "all": "yes"}) for value in values]
    for run_id, value in zip(ids, values, strict=True):
        assert [run.run_id for run in tracking.runs(experiment, tags={"key.of": value, "all": "yes"})] == [
            run_id
        ]
    assert [run.run_id for run in tracking.runs(experiment, tags={"all": "yes"})] == ids
    assert tracking.runs(experiment, tags={"all": "yes", "key.of": "other"}) == []
    assert tracking.runs(tracking.experiment("other"), tags={"all": "yes"}) == []


@pytest.mark.parametrize("value", ["it's", "' OR tags.`a` = '", "a\\", "\\'"])
def test_a_value_that_could_end_the_quotes_is_refused(tracking, experiment, value) -> None:
    """It would search for something else than it says."""
    with pytest.raises(StoreError, match="STO026"):
        tracking.runs(experiment, tags={"a": value})


def test_pages_of_runs_are_put_together(tracking, experiment, monkeypatch) -> None:
    """A search gives all runs, however many fit on a page of the store."""
    monkeypatch.setattr(runs, "_PAGE", 3)
    ids = [tracking.start(experiment, str(number), tags={"a": "b"}) for number in range(7)]
    assert [run.run_id for run in tracking.runs(experiment, tags={"a": "b"})] == ids


@pytest.mark.parametrize(
    ("spec", "kind", "source"),
    [
        ({}, "delta_table", {"path": "{home}/lake/training/t"}),
        ({"spark": {"master": "local"}}, "spark", {"table_name": "training.t"}),
        (
            {"spark": {"master": "local"}, "catalog": "c", "schemas": {"training": "tr"}},
            "spark",
            {"table_name": "c.tr.t"},
        ),
    ],
)
def test_a_dataset_is_logged_under_its_fingerprint(workspace, experiment, spec, kind, source) -> None:
    """Its digest is the whole fingerprint, and MLflow can read its source, which says where the table is."""
    tracking = Tracking(dataclasses.replace(workspace, spec=Target.from_values(spec)))
    fingerprint = "d1:" + "0123456789abcdef" * 2
    run_id = tracking.start(experiment, "study", tags={})
    table = TableName("training", "t")
    tracking.dataset(run_id, table, fingerprint=fingerprint, rows=7, context="training")
    (entry,) = tracking.client.get_run(run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("training.t", fingerprint)
    assert entry.dataset.source_type == kind
    assert json.loads(entry.dataset.source) == {
        key: value.format(home=workspace.home) for key, value in source.items()
    }
    assert mlflow.data.get_source(entry.dataset).to_dict() == json.loads(entry.dataset.source)
    assert json.loads(entry.dataset.profile) == {"num_rows": 7}
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ({"params": {f"p{n}": n for n in range(1601)}}, "parameters"),
        ({"tags": {f"t{n}": "x" for n in range(1601)}}, "tags"),
        ({"params": {"p" * 251: 1}}, "parameters.ppp"),
        ({"metrics": {"m" * 251: 1.0}}, "metrics.mmm"),
    ],
)
def test_what_a_run_would_not_take_is_refused_before(tracking, experiment, entries, path) -> None:
    """The limits of the strictest store, on each: nothing of the call is logged."""
    run_id = tracking.start(experiment, "big", tags={})
    with pytest.raises(StoreError) as caught:
        tracking.log(run_id, **{"metrics": {"first": 1.0}, **entries})
    assert caught.value.code == "STO038"
    assert caught.value.path.startswith(path)
    assert tracking.run(run_id).metrics == {}


def test_a_digest_that_mlflow_would_refuse(tracking, experiment) -> None:
    """As is a name that is too long."""
    for table, digest in (("t", "d" * 37), ("t" * 500, "d")):
        with pytest.raises(StoreError, match="STO038"):
            tracking.dataset(
                experiment, TableName("training", table), fingerprint=digest, rows=1, context="training"
            )


def test_files_of_a_run_lie_in_the_home(tmp_path, empty_store) -> None:
    """Also where the path holds what an address must escape."""
    home = tmp_path / "my stores ü #1"
    home.mkdir()
    shutil.copy(empty_store, home / "mlflow.db")
    tracking = Tracking(open_workspace("local", home=home))
    run_id = tracking.start(tracking.experiment("flights"), "study", tags={})
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.txt").write_text("1")
    tracking.text(run_id, "notes/page.html", "<p>ü</p>")
    tracking.document(run_id, "study.json", {"b": 1.5, "a": home})
    tracking.folder(run_id, tmp_path / "figures", "figures")
    files = home / "artifacts" / "flights" / run_id / "artifacts"
    assert (files / "notes" / "page.html").read_text(encoding="utf-8") == "<p>ü</p>"
    assert json.loads((files / "study.json").read_text(encoding="utf-8")) == {"b": 1.5, "a": str(home)}
    assert (files / "figures" / "one.txt").read_text() == "1"
    assert {path.name for path in tmp_path.iterdir()} == {home.name, "figures"}


def test_a_run_is_closed_and_opened_again(tracking, experiment) -> None:
    """A resumed study runs again under its old id."""
    run_id = tracking.start(experiment, "study", tags={})
    tracking.end(run_id, "KILLED")
    assert tracking.run(run_id).status == "KILLED"
    tracking.reopen(run_id)
    assert tracking.run(run_id).status == "RUNNING"
    tracking.end(run_id)
    assert tracking.run(run_id).status == "FINISHED"


def test_a_run_that_is_not_there_is_an_error_of_the_store(tracking) -> None:
    """It says what was being done and what MLflow calls it."""
    with pytest.raises(StoreError, match="refused to read a run: RESOURCE_DOES_NOT_EXIST"):
        tracking.run("0" * 32)
    with pytest.raises(StoreError, match="refused to log to a run"):
        tracking.log("0" * 32, params={"a": 1})


def test_a_parameter_with_an_odd_name_is_logged(tracking, experiment) -> None:
    """What MLflow takes in no name is replaced; the study is not lost over it."""
    run_id = tracking.start(experiment, "study", tags={})
    tracking.log(run_id, params={"depth[0]": 3})
    assert tracking.run(run_id).params == {"depth_0_": "3"}
