"""Plans: what would be done, and the fields that are the reason."""

from __future__ import annotations

import pytest

from mlkit import Gate, Split
from mlkit.errors import ContractError, IntegrityError, StoreError
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.plan import EXIT_PRIMARY, EXIT_SECONDARY
from mlkit.production.runner import deploy, plan_deployment
from tests.production.scenes import RIDGE, frozen, listing, publish

PIPELINE = {
    "class": "sklearn.pipeline.Pipeline",
    "params": {
        "steps": [
            {"tuple": ["scale", {"class": "sklearn.preprocessing.StandardScaler", "params": {}}]},
            {"tuple": ["ridge", RIDGE]},
        ]
    },
}


def other_alpha(alpha):
    """The pipeline with another parameter deep inside."""
    scale, _ = PIPELINE["params"]["steps"]
    ridge = {"tuple": ["ridge", {**RIDGE, "params": {"alpha": alpha}}]}
    return {**PIPELINE, "params": {"steps": [scale, ridge]}}


def test_nothing_serves_yet(stores, home):
    """A plan counts the rows, has its own exit code, and makes nothing: not even a database."""
    (home / "mlflow.db").unlink()
    before = listing(home)
    plan = plan_deployment(frozen(), stores)
    assert (plan.kind, plan.reasons, plan.champion) == ("primary", ("nothing serves yet",), None)
    assert plan.train_rows + plan.test_rows == 585
    assert plan.exit_code == EXIT_PRIMARY
    assert listing(home) == before
    assert not (home / "mlflow.db").exists()
    assert "would train on" in repr(plan)
    assert plan.to_dict()["run_key"] == plan.run_key


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {"seed": 4}, "seed: 3 -> 4"),
        ({}, {"model": {**RIDGE, "params": {"alpha": 2.0}}}, "model.params.alpha: 1.0 -> 2.0"),
        ({}, {"model": {**RIDGE, "params": {"alpha": 1}}}, "model.params.alpha: 1.0 -> 1"),
        ({}, {"model": {**RIDGE, "params": {}}}, "model.params.alpha: 1.0 -> unset"),
        pytest.param(
            {},
            {"serialization": "cloudpickle"},
            "serialization: unset -> cloudpickle",
            marks=pytest.mark.newest_only,  # of MLflow, which can write the other format too
        ),
        (
            {"model": PIPELINE},
            {"model": other_alpha(2.0)},
            "model.params.steps[1].tuple[1].params.alpha: 1.0 -> 2.0",
        ),
        (
            {"features": ("hour", "distance")},
            {"features": ("hour",)},
            'features: ["hour", "distance"] -> ["hour"]',
        ),
        (
            {},
            {"model": {"class": "sklearn.linear_model.Lasso", "params": {"alpha": 1.0}}},
            "model.class: sklearn.linear_model.Ridge -> sklearn.linear_model.Lasso",
        ),
    ],
)
def test_a_primary_plan_names_the_field(stores, before, after, reason):
    """Old and new value, at the path that a reviewer finds in the file; and no other reason."""
    deploy(frozen(**before), stores)
    plan = plan_deployment(frozen(**{**before, **after}), stores)
    assert (plan.kind, plan.reasons) == ("primary", (reason,))


def test_new_rows_are_named_by_their_part_and_fingerprint(stores, flights):
    """A digest is cut short, for nobody reads it to the end."""
    deploy(frozen(), stores)
    flights.loc[:, "distance"] += 1
    publish(stores.engine, flights)
    reasons = plan_deployment(frozen(), stores).reasons
    assert [reason[:14] for reason in reasons] == ["test rows: d1:", "train rows: d1"]
    assert all(len(reason) < 55 for reason in reasons)


def test_another_split_moves_rows_and_changes_a_rule(stores):
    """It is a new model because of its rows; the rule itself would not be."""
    deploy(frozen(), stores)
    plan = plan_deployment(frozen(split=Split(test=0.25, seed=8)), stores)
    assert [reason.partition(":")[0] for reason in plan.reasons] == ["test rows", "train rows"]


def test_a_rule_alone_is_secondary(stores):
    """Exit 6, and what is unset now is said to be."""
    deploy(frozen(), stores)
    plan = plan_deployment(frozen(gate=Gate(min_improvement=0.5)), stores)
    assert plan.exit_code == EXIT_SECONDARY
    assert set(plan.reasons) == {"gate.min_improvement: unset -> 0.5", "gate.threshold: 25 -> unset"}


def test_up_to_date(stores):
    """Nothing to do is exit 0 and names the version."""
    deploy(frozen(), stores)
    plan = plan_deployment(frozen(), stores)
    assert (plan.kind, plan.exit_code, plan.champion) == ("nothing", 0, 1)
    assert "v1" in plan.reasons[0]
    assert "deploy" not in repr(plan)


@pytest.mark.parametrize(("threshold", "said"), [(0.1, "rejected"), (25, "champion kept")])
def test_what_was_judged_before_says_so(stores, threshold, said):
    """When, with which outcome, and what serves."""
    if said == "champion kept":
        deploy(frozen(), stores)
    config = frozen(seed=9, gate=Gate(threshold=threshold))
    deploy(config, stores)
    plan = plan_deployment(config, stores)
    assert plan.kind == "nothing"
    assert said in plan.reasons[0]


@pytest.mark.parametrize("state", ["gone", "another model"])
def test_a_champion_that_the_registry_does_not_hold_is_an_integrity_error(stores, state):
    """Neither a first deployment nor a plain failure of MLflow: the message names both ids."""
    deploy(frozen(), stores)
    if state == "gone":
        stores.tracking.client.delete_registered_model(stores.project)
    else:
        head = stores.ledger.head()
        entry = {**vars(head), "seq": 2, "model_id": "m-other", "actor": actor(), "at": now()}
        stores.ledger.append(Entry(**entry), expected_seq=1)
    with pytest.raises(IntegrityError, match="rollback") as caught:
        plan_deployment(frozen(seed=4), stores)
    assert caught.value.code == "INT030"


def test_a_source_that_is_not_there(stores):
    """The error names the table and what is published."""
    with pytest.raises(StoreError, match=r"features\.trains") as caught:
        plan_deployment(frozen(source={"table": "features.trains"}), stores)
    assert "features.flights" in str(caught.value)


def test_rows_that_break_the_contract_stop_the_plan(stores):
    """Before anything is trained on them."""
    columns = {**frozen().contract.dump()["columns"], "hour": {"dtype": "int64", "checks": {"less_than": 10}}}
    with pytest.raises(ContractError, match="hour"):
        plan_deployment(frozen(contract={"columns": columns}), stores)
