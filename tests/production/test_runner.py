"""The outcomes of a deployment, what makes one necessary, and what it refuses to build on."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from mlkit import Gate, Split, open_workspace
from mlkit.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_REJECTED, IntegrityError, ServingError, StudyError
from mlkit.production.refresh import Refreshed
from mlkit.production.rollback import roll_back
from mlkit.production.runner import deploy, plan_deployment
from mlkit.workspace import table_name
from tests.production.scenes import MODEL_FILE, NAME, RIDGE, STUMP, Stores, frozen, listing, publish, state

FOREST = {"class": "sklearn.ensemble.RandomForestRegressor", "params": {"n_estimators": 5}}
PARTS = ("train", "test", "predictions")


def test_a_first_deployment_reaches_everything(stores):
    """Report, ledger, alias, version, tables and the run of the tracking store tell the same story."""
    report = deploy(frozen(), stores, origin={"commit": "abc"}, reason="the first")
    head, champion = stores.ledger.head(), stores.registry.champion()
    assert (report.outcome, report.version, report.exit_code) == ("promoted", 1, EXIT_DONE)
    assert (head.kind, head.reason, head.from_version) == ("promotion", "the first", None)
    assert head.model_id == champion.model_id == report.model_id
    assert champion.tags["mlkit_run_key"] == report.run_key == head.run_key
    assert champion.tags["mlkit_commit"] == head.evidence["origin"]["commit"] == "abc"
    for part in PARTS:
        stored = getattr(report, part)
        assert champion.tags[f"mlkit_{part}_table"] == stored.table == head.evidence[part]["table"]
        assert stores.engine.describe(table_name(stored.table)).rows == stored.rows
    run = stores.tracking.run(report.run_id)
    assert (run.status, run.tags["mlkit_outcome"]) == ("FINISHED", "promoted")
    assert run.metrics["candidate_rmse"] == report.scores["candidate"]
    steps = {"plan", "snapshot", "train", "evaluate", "gate", "register", "promote", "refresh"}
    assert report.seconds.keys() == steps


def test_a_second_deployment_changes_nothing(stores, home):
    """Not a file, a run, a version or an entry is added; the report names what is there."""
    first = deploy(frozen(), stores)
    before, files = state(stores), listing(home)
    again = deploy(frozen(), stores)
    assert (again.outcome, again.exit_code, again.verdict["passed"]) == ("unchanged", EXIT_DONE, True)
    same = ("version", "model_id", "run_key", "run_id", "scores", *PARTS)
    assert [getattr(again, name) for name in same] == [getattr(first, name) for name in same]
    assert state(stores) == before
    assert listing(home) == files


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {**RIDGE, "params": {"alpha": 1.5}}},
        {"seed": 4},
        {"features": ("hour", "distance", "is_ua")},
        {"split": Split(test=0.25, seed=8)},
    ],
    ids=["parameter", "seed", "features", "split"],
)
def test_a_change_that_matters_is_not_unchanged(stores, changes):
    """One field of the config is enough for a new candidate."""
    first = deploy(frozen(), stores)
    second = deploy(frozen(**changes), stores)
    assert second.outcome in ("promoted", "kept_champion")
    assert second.run_key != first.run_key
    assert second.model_id != first.model_id


def test_one_other_cell_is_not_unchanged(stores, flights):
    """The features are a part of the run, down to one value."""
    first = deploy(frozen(), stores)
    flights.loc[5, "distance"] += 1
    publish(stores.engine, flights)
    assert plan_deployment(frozen(), stores).kind == "primary"
    assert deploy(frozen(), stores).run_key != first.run_key


@pytest.mark.parametrize("model", [RIDGE, FOREST], ids=["ridge", "forest"])
def test_the_order_of_rows_and_columns_changes_no_bit(stores, flights, tmp_path, empty_store, model):
    """In another store, from shuffled rows, a config gives the same run key and the same predictions."""
    first = deploy(frozen(model=model), stores)
    elsewhere = Stores(open_workspace(home=tmp_path / "elsewhere"), NAME)
    elsewhere.workspace.home.mkdir()
    shutil.copy(empty_store, elsewhere.workspace.home / "mlflow.db")
    publish(elsewhere.engine, flights.sample(frac=1, random_state=1)[flights.columns[::-1]])
    second = deploy(frozen(model=model), elsewhere)
    assert second.run_key == first.run_key
    assert [getattr(second, part) for part in PARTS] == [getattr(first, part) for part in PARTS]
    assert second.scores == first.scores
    assert second.model_id != first.model_id


def test_a_worse_candidate_keeps_the_champion_and_then_is_known(stores):
    """A retrain that is not better is a normal end; nothing is registered; repeating it does nothing."""
    deploy(frozen(), stores)
    kept = deploy(frozen(model=STUMP), stores)
    assert (kept.outcome, kept.exit_code, kept.version) == ("kept_champion", EXIT_DONE, None)
    assert kept.scores["candidate"] > kept.scores["champion"]
    assert len(stores.registry.versions()) == len(stores.ledger.entries()) == 1
    before = state(stores)
    again = deploy(frozen(model=STUMP), stores)
    assert (again.outcome, again.model_id, again.run_id) == ("unchanged", kept.model_id, kept.run_id)
    assert again.verdict == kept.verdict
    assert state(stores) == before


def test_a_candidate_that_was_kept_out_is_judged_anew_by_another_champion(stores):
    """Only the champion that it lost to settles it."""
    deploy(frozen(model={**RIDGE, "params": {"alpha": 1e9}}), stores)
    deploy(frozen(), stores)
    assert deploy(frozen(model=STUMP), stores).outcome == "kept_champion"
    roll_back(stores, reason="surprises")
    assert plan_deployment(frozen(model=STUMP), stores).kind == "primary"
    assert deploy(frozen(model=STUMP), stores).outcome == "promoted"


def test_a_first_deployment_below_the_threshold_is_rejected_and_stays_so(stores):
    """Exit 3, also when it is repeated; nothing is registered and nothing serves."""
    strict = frozen(gate=Gate(threshold=0.1))
    first, again = deploy(strict, stores), deploy(strict, stores)
    assert (first.outcome, first.exit_code) == (again.outcome, again.exit_code) == ("rejected", EXIT_REJECTED)
    assert again.verdict == first.verdict
    assert not again.verdict["passed"]
    assert (stores.registry.versions(), stores.ledger.entries(), stores.reconciled_head()) == ([], [], None)
    assert state(stores)["runs"] == [[first.run_key, "FINISHED", "rejected"]]


def test_a_gate_that_asks_for_less_lets_the_rejected_model_in(stores):
    """The model that is there is judged again, not trained again."""
    rejected = deploy(frozen(gate=Gate(threshold=0.1)), stores)
    report = deploy(frozen(), stores)
    assert (report.outcome, report.model_id) == ("promoted", rejected.model_id)


def test_other_rules_are_a_secondary_deployment(stores):
    """The gate, the metric, the way rows are prepared: the model stays, the ledger notes the news."""
    first = deploy(frozen(), stores)
    lenient = frozen(gate=Gate(threshold=30), metric="mae")
    plan = plan_deployment(lenient, stores)
    assert (plan.kind, plan.reasons) == ("secondary", ("gate.threshold: 25 -> 30", "metric: rmse -> mae"))
    report = deploy(lenient, stores)
    assert (report.outcome, report.version, report.model_id) == ("unchanged", 1, first.model_id)
    assert report.scores == first.scores
    assert [entry.kind for entry in stores.ledger.entries()] == ["promotion", "code"]
    assert stores.ledger.head().reason == "gate.threshold: 25 -> 30; metric: rmse -> mae"
    assert len(stores.registry.versions()) == 1
    assert plan_deployment(lenient, stores).kind == "nothing"
    assert deploy(lenient, stores).outcome == "unchanged"


def test_a_stricter_gate_is_noted_but_removes_nobody(stores):
    """The champion stays; that it would not pass any more is said, if both gates speak of one metric."""
    deploy(frozen(), stores)
    report = deploy(frozen(gate=Gate(threshold=0.1)), stores)
    assert (report.outcome, report.version, report.verdict["passed"]) == ("unchanged", 1, False)
    assert "by today's gate it would not pass" in report.verdict["reasons"][-1]
    other = deploy(frozen(metric="r2", gate=Gate(threshold=0.99)), stores)
    assert (other.verdict["passed"], other.verdict["reasons"][-1]) == (True, "the model stays v1")


def test_rules_that_are_taken_back_are_noted_too(stores):
    """The ledger tells which rules hold, not only which were ever new."""
    for config in (frozen(), frozen(gate=Gate(threshold=30)), frozen()):
        assert plan_deployment(config, stores).kind != "nothing"
        deploy(config, stores)
        assert plan_deployment(config, stores).kind == "nothing"
    assert [entry.kind for entry in stores.ledger.entries()] == ["promotion", "code", "code"]


def test_new_code_that_prepares_the_same_rows_is_secondary(stores, edit_module):
    """A comment in `prepare` needs no new model, and is done with after one deployment."""
    deploy(frozen(), stores)
    edit_module("return frame", "return frame  # as it always was")
    plan = plan_deployment(frozen(), stores)
    assert (plan.kind, [reason.partition(":")[0] for reason in plan.reasons]) == ("secondary", ["code"])
    assert deploy(frozen(), stores).version == 1
    assert plan_deployment(frozen(), stores).kind == "nothing"


def test_a_config_that_served_before_is_unchanged_with_a_note(stores):
    """Deploying does not bring a version back that was rolled back; the note tells what does."""
    deploy(frozen(model=STUMP), stores)
    better = deploy(frozen(), stores)
    roll_back(stores, reason="surprises")
    again = deploy(frozen(), stores)
    assert (again.outcome, again.version, again.model_id) == ("unchanged", 2, better.model_id)
    assert "mlkit rollback flight_delay --to 2" in again.notes[-1]
    assert stores.registry.champion().version == 1


def test_versions_that_differ_from_the_pins_are_noted(stores):
    """The model is what is installed here; that it is not what was frozen is said."""
    pinned = frozen(environment={"python": "2.7", "requirements": ["numpy==0.1", "no-such-thing==1.0"]})
    notes = deploy(pinned, stores).notes
    assert notes[0].startswith("python 2.7 pinned, 3.")
    assert notes[1] == f"numpy 0.1 pinned, {np.__version__} here"
    assert notes[2] == "no-such-thing 1.0 pinned, absent here"


def test_a_tie_keeps_the_champion(stores):
    """The same predictions under another seed are not better."""
    deploy(frozen(), stores)
    report = deploy(frozen(seed=4), stores)
    assert report.outcome == "kept_champion"
    assert "a tie keeps the champion" in report.verdict["reasons"][-1]


def test_an_alias_moved_by_hand_is_moved_back(stores):
    """The ledger says what serves; the alias is its shadow, for every verb that looks."""
    deploy(frozen(model=STUMP), stores)
    deploy(frozen(), stores)
    stores.registry.point_alias(1)
    plan_deployment(frozen(), stores)
    assert stores.registry.champion().version == 2
    stores.registry.point_alias(1)
    assert deploy(frozen(), stores).outcome == "unchanged"
    assert stores.registry.champion().version == 2


def test_serving_that_does_not_follow_is_told_again(stores):
    """The champion has moved; the error says so; the next run tells serving again and closes the run."""

    class Deaf:
        def refresh(self, model, champion):
            raise ServingError("NET001", "no answer", path=model)

    class Listening:
        def refresh(self, model, champion):
            told.append((model, champion.to_version))
            return Refreshed(champion.to_version, "it answers")

    told = []
    with pytest.raises(ServingError):
        deploy(frozen(), stores, refresher=Deaf())
    assert stores.registry.champion().version == 1
    assert state(stores)["runs"][0][1] == "FAILED"
    assert deploy(frozen(), stores, refresher=Listening()).outcome == "unchanged"
    assert told == [(NAME, 1)]
    assert state(stores)["runs"][0][1:] == ["FINISHED", "promoted"]


def test_a_candidate_that_is_kept_out_lets_serving_be_told_again(stores):
    """A refresh that had failed is not left so because the next candidate is worse."""

    class Noting:
        def refresh(self, model, champion):
            told.append(champion.to_version)
            return Refreshed(champion.to_version, "noted")

    told = []
    deploy(frozen(), stores, refresher=Noting())
    report = deploy(frozen(model=STUMP), stores, refresher=Noting())
    assert (report.outcome, told) == ("kept_champion", [1, 1])
    assert "refresh" in report.seconds


def test_every_course_tells_serving_of_the_champion(stores):
    """Whatever a deployment comes to, serving is brought to what the ledger says."""

    class Noting:
        def refresh(self, model, champion):
            told.append(champion.seq)
            return Refreshed(champion.to_version, "noted")

    told = []
    for config in (frozen(), frozen(), frozen(gate=Gate(threshold=30))):
        deploy(config, stores, refresher=Noting())
    assert told == [1, 1, 2]


def test_a_flipped_byte_of_the_champion_is_found(stores):
    """Unchanged means verified: exit 30, and the file is named."""
    report = deploy(frozen(), stores)
    file = stores.registry.folder(report.model_id) / MODEL_FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        deploy(frozen(), stores)
    assert (caught.value.code, caught.value.path) == ("INT022", MODEL_FILE)
    assert caught.value.exit_code == EXIT_INTEGRITY


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["cut", "other rows", "gone"])
def test_a_damaged_table_of_the_champion_is_found(stores, home, part, damage):
    """Every row of every table is read again before anything is called unchanged."""
    report = deploy(frozen(), stores)
    folder = home / "lake" / getattr(report, part).table.replace(".", "/")
    (file,) = folder.glob("*.parquet")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "gone":
        shutil.rmtree(folder)
    else:
        rows = pq.ParquetFile(file).read()
        first = rows.column_names.index("label" if part == "predictions" else "delay")
        changed = rows.set_column(first, rows.field(first), [rows.column(first).to_numpy()[::-1]])
        pq.write_table(changed, file)
    with pytest.raises(IntegrityError) as caught:
        deploy(frozen(), stores)
    assert caught.value.code in {"cut": {"INT012"}, "other rows": {"INT031"}, "gone": {"INT031"}}[damage]


def test_a_damaged_model_of_a_stopped_run_is_trained_again(stores, monkeypatch):
    """What nothing was built on yet is not restored but made anew, under its own decision."""
    monkeypatch.setenv("MLKIT_TEST_FAIL", "register.done:raise")
    with pytest.raises(RuntimeError):
        deploy(frozen(), stores)
    monkeypatch.delenv("MLKIT_TEST_FAIL")
    (version,) = stores.registry.versions()
    (stores.registry.folder(version.model_id) / MODEL_FILE).write_bytes(b"")
    report = deploy(frozen(), stores)
    assert (report.outcome, report.version) == ("promoted", 2)
    assert report.model_id != version.model_id
    assert stores.decisions.find(report.run_key)[-1].record["candidate"]["model_id"] == report.model_id


def test_an_error_of_the_user_s_code_leaves_the_champion(stores, edit_module):
    """`prepare` that raises stops the plan; nothing was written."""
    deploy(frozen(), stores)
    before = state(stores)
    edit_module("frame = frame", "raise ValueError('no flights'); frame = frame")
    with pytest.raises(StudyError, match="my_prepare:prepare"):
        deploy(frozen(), stores)
    assert state(stores) == before
