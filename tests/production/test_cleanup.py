"""Cleanup: what is reached stays, whatever is asked; the rest goes once, however often it is stopped."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest

from mlkit import ModelProject
from mlkit.cli import main
from mlkit.engines.base import TableName
from mlkit.errors import IntegrityError, StoreError, UsageError
from mlkit.failpoints import VARIABLE, InjectedFaultError
from mlkit.production import task
from mlkit.production.cleanup.plan import plan_cleanup, projects_of
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import clean_up, remove
from mlkit.production.pins import Pins, pin, read_pins, unpin
from mlkit.production.prediction_log import PredictionLog
from mlkit.production.removals import Removals, Target
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy
from mlkit.tracking import owner
from mlkit.tracking.owner import OWNER_TAG
from tests.production.quick import DAY, Quick, tables_of
from tests.production.scenes import NAME, RIDGE, STUMP, frozen, publish

TIGHT = Retention(keep_days=0, keep_versions=1)
POINTS = ("cleanup.begun", "cleanup.checked", "drop.renamed", "cleanup.removed")


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """Where the files of one model are made once."""
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def quick(workspace, model_files):
    """A production that costs nothing."""
    return Quick(workspace, NAME, model_files)


@pytest.fixture
def aged(quick):
    """Three versions, the first of which nothing reaches by now, and a candidate that was kept out."""
    quick.first = quick.promote(1, 1, 1)
    quick.second = quick.promote(1, 2, 2)
    quick.third = quick.promote(3, 2, 3)
    quick.refused, _ = quick.judge(quick.tables(4, 2, 4), "keep", key="other")
    quick.now += 100 * DAY
    return quick


def names(items, kind="table"):
    """Names of the things of one kind."""
    return {item.target.name for item in items if item.target.kind == kind}


def own(decision):
    """Names of the tables of a decision."""
    return {decision.record[part]["table"] for part in ("train", "test", "predictions")}


def test_a_plan_tells_what_goes_and_what_stays_and_why(aged):
    """With kind, size, age and reason; what two versions share stays with the one that stays."""
    plan = plan_cleanup(aged.stores, TIGHT, now=aged.now)
    kept = tables_of(aged.second) | tables_of(aged.third)
    assert names(plan.goes) == (tables_of(aged.first) | own(aged.refused)) - kept
    assert names(plan.stays) == kept
    assert all(item.size > 0 and 99 < item.age_days < 101 for item in plan.goes)
    assert plan.size == sum(item.size for item in plan.goes)
    why = {item.target.name: item.why for item in (*plan.goes, *plan.stays)}
    assert why[aged.third.evidence["train"]["table"]] == "v3 serves"
    assert why[aged.second.evidence["train"]["table"]] == "a rollback goes back to v2"
    assert "v1, which served last before" in why[aged.first.evidence["predictions"]["table"]]
    assert "did not promote (keep)" in why[aged.refused.record["train"]["table"]]
    assert "mlkit cleanup flight_delay --keep-days 0 --keep-versions 1 --apply" in repr(plan)
    assert json.loads(json.dumps(plan.to_dict()))["bytes"] == plan.size


def test_planning_writes_nothing(aged):
    """Not even a record."""
    before = [
        str(table) for schema in ("training", "monitoring") for table in aged.stores.engine.tables(schema)
    ]
    plan_cleanup(aged.stores, TIGHT, now=aged.now)
    after = [
        str(table) for schema in ("training", "monitoring") for table in aged.stores.engine.tables(schema)
    ]
    assert after == before


def test_only_what_the_plan_names_goes(aged):
    """Feature tables, records and all that is reached are as before; a second cleanup finds nothing."""
    features = TableName("features", "flight_delay__train__" + "0" * 31)
    rows = pa.table({"a": [1]})
    aged.stores.engine.create(features, rows.to_reader())
    aged.stores.engine.publish("training", "other__train", rows.to_reader())
    plan = plan_cleanup(aged.stores, TIGHT, now=aged.now)
    before, ledger = aged.there(), aged.stores.ledger.entries()
    report = clean_up(aged.stores, TIGHT, now=aged.now)
    assert names(report.removed) == names(plan.goes) == before - aged.there()
    assert report.size == plan.size
    assert aged.stores.engine.describe(features) is not None
    assert any(table.startswith("training.other__train__") for table in aged.there())
    assert aged.stores.ledger.entries() == ledger
    assert clean_up(aged.stores, TIGHT, now=aged.now).removed == ()
    assert "removed" in repr(report)


def test_nothing_goes_before_its_grace(aged):
    """Also if it was made long ago and published again since: it counts as new."""
    assert plan_cleanup(aged.stores, Retention(0, 1, grace_days=101), now=aged.now).goes == ()
    aged.tables(4, 2, 4)
    plan = plan_cleanup(aged.stores, TIGHT, now=aged.now)
    assert not own(aged.refused) & names(plan.goes)
    assert "younger than 14 days" in {item.why for item in plan.stays}


@pytest.mark.parametrize(("days", "goes"), [(120, False), (90, True)])
def test_what_has_served_lately_stays(quick, days, goes):
    """From the day on which it was replaced."""
    first = quick.promote(1, 1, 1)
    quick.now += 50 * DAY
    quick.promote(2, 2, 2)
    quick.promote(3, 3, 3)
    quick.now += 100 * DAY
    plan = plan_cleanup(quick.stores, Retention(keep_days=days, keep_versions=1), now=quick.now)
    assert (tables_of(first) <= names(plan.goes)) is goes
    assert (tables_of(first) <= names(plan.stays)) is not goes


def test_the_last_versions_stay_whatever_their_age(aged):
    """As many as are asked for."""
    assert not tables_of(aged.first) & names(plan_cleanup(aged.stores, Retention(0, 3), now=aged.now).goes)


def test_a_pin_keeps_a_version_with_all_that_belongs_to_it(aged):
    """Until it is unpinned; pins say who, when and why."""
    pin(aged.stores, 1, reason="the audit of june")
    listed = pin(aged.stores, aged.refused.record["train"]["table"], reason="to look at")
    assert next(each.what for each in listed.pins) == "v1"
    assert "the audit of june" in repr(listed)
    plan = plan_cleanup(aged.stores, Retention(0, 1, models=True), now=aged.now)
    assert tables_of(aged.first) <= names(plan.stays)
    assert aged.first.model_id in names(plan.stays, "model")
    assert aged.refused.record["train"]["table"] in names(plan.stays)
    assert aged.refused.record["predictions"]["table"] in names(plan.goes)
    unpin(aged.stores, "v1")
    assert tables_of(aged.first) - tables_of(aged.second) <= names(
        plan_cleanup(aged.stores, TIGHT, now=aged.now).goes
    )


@pytest.mark.parametrize(
    ("what", "reason", "code"),
    [("v9", "x", "CLI082"), ("training.other__x", "x", "CLI082"), ("v1", " ", "CLI081")],
)
def test_a_pin_names_something_and_has_a_reason(aged, what, reason, code):
    """Else it would keep nothing, and nobody would know why it is there."""
    with pytest.raises(UsageError) as caught:
        pin(aged.stores, what, reason=reason)
    assert caught.value.code == code
    assert read_pins(aged.stores).pins == ()
    with pytest.raises(UsageError, match="CLI085"):
        unpin(aged.stores, "v1")


def test_an_alias_that_people_set_keeps_its_version(aged):
    """Whatever it is called."""
    client = aged.stores.tracking.client
    client.set_registered_model_alias(aged.stores.registry.full_name, "challenger", "1")
    plan = plan_cleanup(aged.stores, TIGHT, now=aged.now)
    assert tables_of(aged.first) <= names(plan.stays)


def test_a_running_deployment_keeps_what_it_could_be_using(aged):
    """A process that has died uses nothing, and neither does a run that is older than any run takes."""
    tracking, experiment = aged.stores.tracking, aged.stores.experiment
    running = tracking.start(experiment, "deploy", tags={"mlkit_kind": "deploy"})
    aged.now = dt.datetime.now(dt.UTC) + 13 * DAY
    retention = Retention(0, 1, grace_days=0)
    plan = plan_cleanup(aged.stores, retention, now=aged.now)
    assert plan.goes == ()
    assert any("a deployment has been running since" in item.why for item in plan.stays)
    assert plan_cleanup(aged.stores, retention, now=aged.now + 2 * DAY).goes != ()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = owner.this_process().split(" ")
    tracking.log(running, tags={OWNER_TAG: f"{mine[0]} {ended.pid} {mine[2]}"})
    assert plan_cleanup(aged.stores, retention, now=aged.now).goes != ()


def test_snapshots_of_the_newest_study_and_of_configs_stay(quick, tmp_path):
    """An older study's goes; while a study runs, all stay."""
    snapshots = [_snapshot(quick, number) for number in range(3)]
    tracking, experiment = quick.stores.tracking, quick.stores.experiment
    runs = []
    for fingerprint, _ in snapshots[:2]:
        run = tracking.start(experiment, "study", tags={"mlkit_kind": "study"})
        tracking.log(run, params={"snapshot": fingerprint})
        tracking.end(run)
        runs.append(run)
    origin = {"project": NAME, "snapshot": snapshots[2][0], "study_run_id": "none"}
    (tmp_path / "models").mkdir()
    config = tmp_path / "models" / "mine.provenance.json"
    config.write_text(json.dumps(origin))
    later = quick.now + 20 * DAY
    assert names(plan_cleanup(quick.stores, TIGHT, now=later).goes) == {snapshots[0][1]}
    config.write_text(json.dumps({**origin, "project": "other"}))
    assert names(plan_cleanup(quick.stores, TIGHT, now=later).goes) == {snapshots[0][1], snapshots[2][1]}
    tracking.reopen(runs[0])
    soon = plan_cleanup(quick.stores, Retention(grace_days=0), now=quick.now + DAY)
    assert (names(soon.goes), names(soon.stays)) == (set(), {name for _, name in snapshots})
    config.write_text("{")
    with pytest.raises(Exception, match="CFG004"):
        plan_cleanup(quick.stores, TIGHT, now=later)


def test_a_young_decision_keeps_what_it_judged(quick):
    """Its tables may be old: they were published before with the same rows."""
    quick.promote(1, 1, 1)
    tables = quick.tables(2, 2, 2)
    quick.now += 30 * DAY
    decision, _ = quick.judge(tables, "keep")
    assert own(decision) <= names(plan_cleanup(quick.stores, TIGHT, now=quick.now + DAY).stays)
    assert own(decision) <= names(plan_cleanup(quick.stores, TIGHT, now=quick.now + 15 * DAY).goes)


def test_models_versions_and_runs_go_only_where_asked(aged):
    """Files and all; what serves, and what a rollback goes back to, keeps each of them."""
    first = aged.stores.registry.folder(aged.first.model_id)
    assert {item.target.kind for item in plan_cleanup(aged.stores, TIGHT, now=aged.now).goes} == {"table"}
    asked = Retention(0, 1, models=True, versions=True, runs=True)
    report = clean_up(aged.stores, asked, now=aged.now)
    gone = {aged.first.model_id, aged.refused.record["candidate"]["model_id"]}
    assert names(report.removed, "model") == gone
    assert names(report.removed, "version") == {"1"}
    assert not first.exists()
    assert [version.version for version in aged.stores.registry.versions()] == [2, 3]
    assert {aged.second.run_id, aged.third.run_id}.isdisjoint(names(report.removed, "run"))
    assert aged.first.run_id in names(report.removed, "run")
    for entry in (aged.second, aged.third):
        aged.stores.registry.verify(entry.model_id, manifest_digest=entry.manifest_digest)
    assert "mlflow gc" in repr(report)


def test_an_upload_that_was_never_finished_goes_with_the_models(aged, monkeypatch):
    """A killed deployment leaves it behind."""
    monkeypatch.setenv(VARIABLE, "train.model_uploaded:raise")
    with pytest.raises(InjectedFaultError):
        aged.judge(aged.tables(9, 9, 9), key="x")
    monkeypatch.delenv(VARIABLE)
    goes = plan_cleanup(aged.stores, Retention(0, 1, models=True), now=aged.now).goes
    assert "its upload was never finished" in {item.why for item in goes}


def test_staging_of_killed_writers_goes_after_its_grace(quick, home):
    """A writer who still writes is younger."""
    staging = home / "lake" / "training" / ".staging" / "ab12"
    staging.mkdir(parents=True)
    (staging / "part.parquet").write_bytes(b"x" * 1000)
    assert plan_cleanup(quick.stores, TIGHT).goes == ()
    report = clean_up(quick.stores, TIGHT, now=quick.now + 15 * DAY)
    assert [(item.target.kind, item.size >= 1000) for item in report.removed] == [("staging", True)]
    assert not staging.exists()


def test_models_that_a_killed_process_had_fetched_go(quick, tmp_path, monkeypatch):
    """Those of a process that lives stay, and nothing else of the temporary directory is touched."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [
        tmp_path / f"mlkit-models-{os.getpid()}-ab",
        tmp_path / "mlkit-models-old",
        tmp_path / "other-1-a",
    ]
    left = tmp_path / f"mlkit-models-{ended.pid}-ab"
    for folder in (*kept, left):
        folder.mkdir()
    assert clean_up(quick.stores, TIGHT, now=quick.now).removed == ()
    report = clean_up(quick.stores, TIGHT, now=quick.now + 15 * DAY)
    assert [item.target.name for item in report.removed] == [left.name]
    assert (left.exists(), all(folder.exists() for folder in kept)) == (False, True)


def test_the_prediction_log_forgets_old_rows_only_where_asked(quick):
    """By the time of what they are about."""
    log = PredictionLog(quick.stores.engine, NAME)
    times = pa.array([quick.now - 40 * DAY, quick.now - DAY], pa.timestamp("us", "UTC"))
    log.add(pa.table({"event_time": times, "prediction": [1.0, 2.0]}), batch="one")
    clean_up(quick.stores, Retention(), now=quick.now)
    assert log.window().read_all().num_rows == 2
    clean_up(quick.stores, Retention(log_days=30), now=quick.now)
    assert log.window().read_all().column("prediction").to_pylist() == [2.0]


@pytest.mark.parametrize(
    "wrong",
    [{"keep_versions": 0}, {"keep_days": -1}, {"grace_days": 1.5}, {"log_days": 0}, {"versions": True}],
)
def test_options_out_of_range_are_refused(wrong):
    """At least the champion is kept."""
    with pytest.raises(UsageError, match="CLI084"):
        Retention(**wrong)


@pytest.mark.parametrize("kind", ["table", "model", "version", "run"])
def test_what_serves_is_refused_whoever_asks(aged, kind):
    """The last look does not depend on the marks."""
    named = {
        "table": aged.third.evidence["test"]["table"],
        "model": aged.third.model_id,
        "version": "3",
        "run": aged.third.run_id,
    }
    with pytest.raises(IntegrityError) as caught:
        remove(aged.stores, Target(kind, named[kind]))
    assert caught.value.code == "INT003"


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_is_gone_on_with(aged, children, point):
    """What was said to go and is not reached goes with the next one, and is counted once."""
    retention, end = {"keep_days": 0, "keep_versions": 1, "models": True}, aged.now.isoformat()
    wanted = names(plan_cleanup(aged.stores, Retention(**retention), now=aged.now).goes)
    before = aged.there()
    assert children.run("cleanup", retention, end, fail=f"{point}:kill") == (-9, None)
    assert aged.there() >= before - wanted
    (begun,) = Removals(aged.stores.engine, NAME).open()
    assert wanted <= begun.names
    code, answer = children.run("cleanup", retention, end)
    assert code == 0
    assert aged.there() == before - wanted
    assert wanted <= {item["name"] for item in answer["removed"]}
    assert Removals(aged.stores.engine, NAME).open() == []


def test_what_is_reached_after_it_was_said_to_go_stays(aged, monkeypatch):
    """Each thing is looked at again right before it goes."""
    monkeypatch.setenv(VARIABLE, "cleanup.begun:raise")
    with pytest.raises(InjectedFaultError):
        clean_up(aged.stores, TIGHT, now=aged.now)
    monkeypatch.delenv(VARIABLE)
    aged.serve_again(aged.first)
    report = clean_up(aged.stores, TIGHT, now=aged.now)
    assert tables_of(aged.first) <= aged.there()
    assert tables_of(aged.first) & set(report.kept) == tables_of(aged.first) - tables_of(aged.second)
    assert "v1 serves" in repr(report)


def test_it_stops_at_the_first_error_and_says_how_to_go_on(aged, monkeypatch):
    """What was removed is gone, the rest is there, and so does the error say."""
    dropped = []
    drop = type(aged.stores.engine).drop

    def failing(engine, table):
        if dropped:
            raise StoreError("STO002", "the disk is gone", path=str(table))
        dropped.append(table)
        drop(engine, table)

    monkeypatch.setattr(type(aged.stores.engine), "drop", failing)
    before = aged.there()
    with pytest.raises(StoreError, match=r"1 of \d were removed, then: the disk is gone") as caught:
        clean_up(aged.stores, TIGHT, now=aged.now)
    assert caught.value.code == "STO080"
    assert len(before - aged.there()) == 1
    monkeypatch.undo()
    assert clean_up(aged.stores, TIGHT, now=aged.now).removed != ()


def test_a_deployment_does_not_build_on_what_is_about_to_go(stores):
    """An unfinished cleanup that names its tables stops it; when that is finished it goes on."""
    deploy(frozen(model={**RIDGE, "params": {"alpha": 1e9}}), stores)
    train = stores.ledger.head().evidence["train"]["table"]
    removals = Removals(stores.engine, NAME)
    removals.begin([Target("table", train)], rules={})
    with pytest.raises(StoreError) as caught:
        deploy(frozen(), stores)
    assert (caught.value.code, caught.value.path) == ("STO081", train)
    assert stores.ledger.head().seq == 1
    clean_up(stores, Retention())
    assert deploy(frozen(), stores).version == 2


def test_what_was_settled_stays_settled_when_its_tables_are_gone(stores, flights):
    """A candidate that was kept out is not trained again because cleanup has removed it, and that is said."""
    deploy(frozen(model={**RIDGE, "params": {"alpha": 1e9}}), stores)
    deploy(frozen(), stores)
    flights.loc[5, "distance"] += 1
    publish(stores.engine, flights)
    kept = deploy(frozen(model=STUMP), stores)
    assert kept.outcome == "kept_champion"
    report = clean_up(stores, TIGHT, now=dt.datetime.now(dt.UTC) + 100 * DAY)
    assert kept.predictions.table in names(report.removed)
    again = deploy(frozen(model=STUMP), stores)
    assert again.outcome == "unchanged"
    assert "the cleanup of" in again.notes[-1]


def test_a_rollback_to_what_was_removed_says_so(quick):
    """It is no damage: nothing has to be restored."""
    first = quick.promote(1, 1, 1)
    quick.promote(2, 2, 2)
    quick.promote(3, 3, 3)
    quick.now += 100 * DAY
    clean_up(quick.stores, TIGHT, now=quick.now)
    with pytest.raises(UsageError) as caught:
        roll_back(quick.stores, to=1, reason="x")
    assert caught.value.code == "CLI083"
    assert caught.value.path in tables_of(first)


def test_a_rollback_holds_what_it_goes_to(quick):
    """Before it looks; a cleanup that looks meanwhile sees that. It ends by itself."""
    first = quick.promote(1, 1, 1)
    quick.promote(2, 2, 2)
    quick.promote(3, 3, 3)
    roll_back(quick.stores, to=1, reason="x")
    (held,) = Pins(quick.stores.engine, NAME).all()
    assert (held.what, held.until > quick.now) == ("v1", True)
    assert read_pins(quick.stores).pins == ()
    assert tables_of(first) <= quick.there()


def test_the_command_asks_before_anything_goes(aged, capsys, monkeypatch):
    """On a terminal; elsewhere it has to be said. Without a name it is about every project."""
    words = ["cleanup", NAME, "--keep-days", "0", "--keep-versions", "1", "--grace-days", "0"]
    before = aged.there()
    assert main(words) == 0
    said = "next    mlkit cleanup flight_delay --keep-days 0 --keep-versions 1 --grace-days 0 --apply"
    assert said in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main([*words, "--apply"]) == 2
    assert "CLI007" in capsys.readouterr().err
    for answer in ("", "no\n", "n\n"):
        _terminal(monkeypatch, answer)
        assert main([*words, "--apply"]) == 0
    assert aged.there() == before
    assert "for good? [y/N]" in capsys.readouterr().err
    assert main([*words[:1], *words[2:], "--json"]) == 0
    assert [each["project"] for each in json.loads(capsys.readouterr().out)["projects"]] == [NAME]
    assert projects_of(aged.stores.engine) == [NAME]


def _terminal(monkeypatch, answer):
    stream = io.StringIO(answer)
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", stream)


def test_pins_from_the_command_line(aged, capsys):
    """Set, listed, taken back."""
    assert main(["pin", NAME, "v1", "--reason", "audit"]) == 0
    assert main(["pin", NAME]) == 0
    assert "v1" in capsys.readouterr().out
    assert main(["unpin", NAME, "1"]) == 0
    assert "nothing is pinned" in capsys.readouterr().out


def test_a_job_cleans_up_by_its_parameters(stores, tmp_path):
    """Plans unless it is told to apply; it has nobody to ask."""
    deploy(frozen(), stores)
    frozen().write(tmp_path / "configs" / f"{NAME}.yaml")
    words = ["cleanup", "--keep-days=30", "--apply=false"]
    assert task.main(words, configs=tmp_path / "configs").goes == ()
    assert task.main([*words[:2], "--apply=true"], configs=tmp_path / "configs").removed == ()
    with pytest.raises(UsageError, match="CLI004"):
        task.main(["cleanup", "--keep-days=x"], configs=tmp_path / "configs")


def test_a_project_cleans_up_and_pins(aged):
    """The same from Python."""
    project = ModelProject(NAME, target="delay", metric="rmse", workspace=aged.stores.workspace)
    assert project.cleanup().goes == ()
    assert project.cleanup(apply=True, keep_days=0, keep_versions=1).removed == ()
    assert project.pin(1, reason="audit").pins[0].what == "v1"


def _snapshot(quick, number) -> tuple[str, str]:
    """Fingerprint and name of a snapshot."""
    rows = pa.table({"value": [number, number + 10]})
    published = quick.stores.engine.publish("training", f"{NAME}__snapshot", rows.to_reader())
    quick.age(str(published.name))
    return published.fingerprint, str(published.name)
