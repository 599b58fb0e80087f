"""Plans: what would be done, and the fields that are the reason."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from mlkit import FrozenConfig, Gate, Split
from mlkit.errors import ContractError, IntegrityError, StoreError, UsageError
from mlkit.production.blocked import try_plan
from mlkit.production.ledger import Entry, actor, now
from mlkit.production.plan import EXIT_PRIMARY, EXIT_SECONDARY
from mlkit.production.runner import deploy, plan_deployment
from mlkit.production.saved_plan import load_pins, save_plan
from tests.production.scenes import NAME, RIDGE, frozen, listing, publish

MODEL = """
from sklearn.linear_model import Ridge

A = 1


class Mine(Ridge):
    pass
"""

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
    assert plan.to_dict()["run_key"] == plan.run_key
    assert repr(plan).splitlines() == [
        "flight_delay -> local    primary: nothing serves yet, so a new model is needed",
        "would create   + train 432 rows   + test 153 rows   + test_predictions   + model version",
        "could move     > champion none -> first version   only if rmse <= 25",
        "needs          the contract of features.flights -> my_prepare:prepare holds",
        "Plan: primary; 3 tables and 1 version to create, 0 to drop, 1 alias may move.",
        "Next: mlkit deploy flight_delay",
    ]


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
    assert plan.headline == "flight_delay -> local    secondary: code or rules only; model v1 stays"
    assert (
        plan.summary == "Plan: secondary; 0 tables and 0 versions to create, 0 to drop, 0 aliases may move."
    )
    assert "would create   + ledger entry" in repr(plan)


def test_up_to_date(stores):
    """Nothing to do is exit 0 and names the version."""
    deploy(frozen(), stores)
    plan = plan_deployment(frozen(), stores)
    assert (plan.kind, plan.exit_code, plan.champion) == ("nothing", 0, 1)
    assert repr(plan) == "flight_delay -> local    nothing: v1 already is this config, code and data"
    assert (plan.changes, plan.outlook.creates) == ((), ())


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


def test_every_changed_input_has_a_line(stores, flights, saved, edit_module):
    """With old and new value, where it stands and what it means; what is unchanged is counted, or shown."""
    deploy(frozen(), stores)
    flights.loc[:, "distance"] += 1
    publish(stores.engine, flights[:-100])
    edit_module("dropna(", "copy().dropna(")
    model = {**RIDGE, "params": {"alpha": 2.0}}
    config = FrozenConfig.load(saved(frozen(model=model, gate=Gate(threshold=30, min_improvement=0.1))))
    plan = plan_deployment(config, stores)
    shown = {change.field: (change.exchange, change.place, change.effect) for change in plan.changes}
    assert list(shown) == [
        *("model.params.alpha", "test rows", "train rows"),
        *("code", "gate.threshold", "gate.min_improvement"),
    ]
    lines = Path("config.yaml").read_text(encoding="utf-8").splitlines()
    alpha, threshold = (
        next(i for i, line in enumerate(lines, 1) if word in line) for word in ("alpha:", "threshold:")
    )
    assert shown["model.params.alpha"] == ("1.0 -> 2.0", f"config.yaml:{alpha}", "new model")
    assert shown["gate.threshold"] == ("25 -> 30", f"config.yaml:{threshold}", "new rule")
    assert shown["code"][1:] == ("my_prepare.py", "new code")
    assert plan.changes[2].note == "features.flights v2 -> v3, 432 rows as before"
    text = repr(plan)
    assert [line[:4] for line in text.splitlines()[1:7]] == ["  ~ "] * 6
    assert f"    {len(plan.unchanged)} more inputs unchanged (--all)" in text
    assert "seed" not in text
    assert "    seed " in plan.text(everything=True)
    assert "(v1 had 3." in plan.outlook.moves
    assert "better than v1 by more than 0.1 on the same rows" in plan.outlook.moves
    assert plan.outlook.needs[1].startswith("the last primary took ")
    assert json.loads(json.dumps(plan.to_dict()))["changes"][0]["place"] == f"config.yaml:{alpha}"
    assert text.endswith("\nNext: mlkit deploy config.yaml")


def test_rows_that_are_stored_already_are_not_counted(stores):
    """Another model on the same rows makes one table, that of its predictions."""
    deploy(frozen(), stores)
    plan = plan_deployment(frozen(seed=4), stores)
    assert plan.outlook.reuses == ("train 432 rows", "test 153 rows")
    assert plan.summary == "Plan: primary; 1 table and 1 version to create, 0 to drop, 1 alias may move."


def test_code_of_the_model_itself_is_said_once(stores, edit_module, tmp_path, monkeypatch):
    """It makes a new model; that it is also a part of all code is not a second reason."""
    (tmp_path / "my_model.py").write_text(MODEL)
    monkeypatch.setitem(sys.modules, "my_model", None)  # so that it is forgotten in the end
    monkeypatch.delitem(sys.modules, "my_model")
    config = frozen(model={"class": "my_model.Mine", "params": {}}, serialization="cloudpickle")
    deploy(config, stores)
    edit_module("A = 1", "A = 2", name="my_model")
    plan = plan_deployment(config, stores)
    assert [(change.field, change.place, change.effect) for change in plan.changes] == [
        ("model code", "my_model.py", "new model")
    ]


def test_a_stale_plan_is_refused(stores, flights, edit_module):
    """When something it was made of is another, which is named; then nothing is done."""
    deploy(frozen(), stores)
    wanted = frozen(seed=4, gate=Gate())
    plan = plan_deployment(wanted, stores)
    assert plan.outlook.moves.endswith(
        "only if better than v1 on the same rows (v1 had 3.03153 when promoted)"
    )
    pins = load_pins(save_plan(plan, stores.workspace), stores.workspace, project=NAME)

    def refused(config):
        before = stores.ledger.head()
        with pytest.raises(UsageError, match="the plan is stale: ") as caught:
            deploy(config, stores, pins=pins)
        assert caught.value.code == "CLI130"
        assert stores.ledger.head() == before
        return caught.value.message.partition(": ")[2].partition(" changed")[0]

    assert refused(frozen(seed=5, gate=Gate())) == "config"
    edit_module("dropna(", "copy().dropna(")
    assert refused(wanted) == "code"
    publish(stores.engine, flights.assign(distance=1.0))
    assert refused(wanted) == "code, data"
    edit_module("copy().dropna(", "dropna(")
    publish(stores.engine, flights)
    stores.ledger.append(dataclasses.replace(stores.ledger.head(), seq=2), expected_seq=1)
    assert refused(wanted) == "champion"


def test_a_plan_that_still_holds_is_deployed(stores, tmp_path):
    """By its id, or by the file it was written to."""
    plan = plan_deployment(frozen(), stores)
    assert load_pins(save_plan(plan, stores.workspace), stores.workspace, project=NAME) == plan.pins
    file = save_plan(plan, stores.workspace, to=tmp_path / "plan.json")
    report = deploy(frozen(), stores, pins=load_pins(file, stores.workspace, project=NAME))
    assert report.outcome == "promoted"
    assert plan_deployment(frozen(), stores).plan_id != plan.plan_id


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "CLI131"),
        ("no json", "CLI131"),
        ("[1]", "CLI131"),
        ('{"pins": {}}', "CLI131"),
        ('{"pins": {}, "model": "other", "target": "local"}', "CLI132"),
        ('{"pins": {}, "model": "flight_delay", "target": "prod"}', "CLI132"),
    ],
)
def test_what_is_no_plan_of_this_project_is_refused(stores, tmp_path, content, code):
    """Missing, damaged, or made for another project or target."""
    if content:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UsageError) as caught:
        load_pins(str(tmp_path / "plan.json"), stores.workspace, project=NAME)
    assert caught.value.code == code
    with pytest.raises(UsageError, match="CLI131"):
        load_pins("0123abcd", stores.workspace, project=NAME)


def test_a_source_that_is_not_there(stores):
    """The error names the table and what is published."""
    with pytest.raises(StoreError, match=r"features\.trains") as caught:
        plan_deployment(frozen(source={"table": "features.trains"}), stores)
    assert "features.flights" in str(caught.value)
    blocked = try_plan(frozen(source={"table": "features.fligths"}), stores)
    assert (blocked.kind, blocked.exit_code) == ("blocked", 9)
    headline, fix, page = blocked.text().splitlines()
    assert headline == "flight_delay -> local    blocked: features.fligths: there is no such table (STO010)"
    assert fix.startswith("  fix: did you mean 'features.flights'?")
    assert page == "  page: mlkit help STO010"


def test_rows_that_break_the_contract_stop_the_plan(stores, saved):
    """Before anything is trained on them; the error says where the column stands."""
    columns = {**frozen().contract.dump()["columns"], "hour": {"dtype": "int64", "checks": {"less_than": 10}}}
    config = FrozenConfig.load(saved(frozen(contract={"columns": columns})))
    with pytest.raises(ContractError, match="hour") as caught:
        plan_deployment(config, stores)
    line = Path("config.yaml").read_text(encoding="utf-8").splitlines().index("    hour:") + 1
    assert caught.value.place == f"config.yaml:{line}"
