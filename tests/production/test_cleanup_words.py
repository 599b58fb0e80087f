"""Rules, plans, reports, pins and removals of a cleanup as values and in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.engines.base import TableName
from mlkit.errors import ConfigError, StoreError, UsageError
from mlkit.production.cleanup import command
from mlkit.production.cleanup.command import Cleanups, cleanup_task, run_cleanup
from mlkit.production.cleanup.plan import CleanupPlan, Item, plan_cleanup, projects_of, readable, why_kept
from mlkit.production.cleanup.reach import (
    LONGEST_RUN,
    Reach,
    configs_of,
    find_reach,
    is_alive,
    snapshot_of,
    window,
)
from mlkit.production.cleanup.retention import Retention
from mlkit.production.cleanup.sweep import CleanupReport, clean_up
from mlkit.production.marks import MarkList
from mlkit.production.pins import HOLD, Pin, PinList, Pins, read_pins, unpin
from mlkit.production.removals import Removal, Removals, Target
from mlkit.production.stores import Stores
from mlkit.tracking.owner import OWNER_TAG, this_process
from mlkit.tracking.runs import RunRecord
from tests.production.test_audit_words import DAY as START
from tests.production.test_audit_words import entry, mark

DAY = dt.timedelta(days=1)
DIGITS = "0123456789abcdef" * 2


def item(kind="table", name="training.p__test__0", age=20.0, size=None, place="") -> Item:
    """Something that could go."""
    return Item(Target(kind, name, place), "no version has it", age, size)


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        ({}, ""),
        ({"keep_days": 90}, ""),
        ({"keep_days": 0, "grace_days": 0}, "--keep-days 0 --grace-days 0 "),
        ({"models": True, "versions": True, "log_days": 30}, "--models --versions --log-days 30 "),
        ({"runs": True, "keep_versions": 1}, "--keep-versions 1 --runs "),
    ],
)
def test_rules_are_told_as_options(rules, options):
    """Only those that differ; the plan says the command that follows them."""
    retention = Retention(**rules)
    assert retention.options == options
    plan = CleanupPlan("p", retention, (item(),), ())
    assert repr(plan).endswith(f"mlkit cleanup p {options}--apply")
    assert json.loads(json.dumps(plan.to_dict()))["rules"] == dataclasses.asdict(retention)


@pytest.mark.parametrize(
    ("rules", "path", "fix"),
    [
        ({"keep_versions": True}, "keep-versions", "--keep-versions=30"),
        ({"keep_days": "90"}, "keep-days", "--keep-days=30"),
        ({"grace_days": 36501}, "grace-days", "--grace-days=30"),
        ({"versions": True, "runs": True}, "versions", "--models --versions"),
    ],
)
def test_rules_that_are_none_name_the_option(rules, path, fix):
    """With one that would do."""
    with pytest.raises(UsageError) as caught:
        Retention(**rules)
    assert (caught.value.code, caught.value.path, caught.value.fix) == ("CLI084", path, fix)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (999_999, "1.0 MB"),
        (10**15, "1.0 PB"),
    ],
)
def test_bytes_for_people(size, text):
    """In the largest unit that gives a whole one; beyond the last there is none."""
    assert readable(size) == text
    assert readable(5 * 10**18) == "5000.0 PB"


REACH = Reach(
    tables={"training.p__train__1": "v3 serves"},
    models={"m-3": "v3 serves"},
    versions={3: "v3 serves"},
    runs={"r-3": "v3 serves"},
)


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (item(), ""),
        (item(age=14.0), ""),
        (item(age=13.99), "younger than 14 days"),
        (item(age=None), "its age is not known"),
        (item(name="training.p__train__1"), "v3 serves"),
        (item("model", "m-3", age=None), "v3 serves"),
        (item("version", "3"), "v3 serves"),
        (item("version", "33"), ""),
        (item("run", "child", place="r-3"), "v3 serves"),
        (item("run", "child", place="other"), ""),
        (item("staging", "training.p__train__1"), ""),
        (item("copy", "m-3", age=1.0), "younger than 14 days"),
        (item("log", "monitoring.p__predictions", age=0.0), ""),
    ],
)
def test_what_is_reached_or_young_stays(thing, why):
    """A child stays with its parent; the log has an age of its own."""
    assert why_kept(thing, REACH, Retention()) == why


def test_while_something_runs_it_keeps_what_it_could_be_using():
    """A study all snapshots; a deployment all else that one makes, but neither staging nor runs."""
    reach = Reach(deploying="a deployment runs", studying="a study runs")
    snapshot = snapshot_of("p", f"d1:{DIGITS}")
    assert snapshot == f"training.p__snapshot__{DIGITS}"
    found = [reach.why(*thing) for thing in (("table", snapshot), ("table", "training.p__test__0"))]
    assert found == ["a study runs", "a deployment runs"]
    found = [
        reach.why(*thing) for thing in (("model", "m"), ("version", "9"), ("run", "r"), ("staging", "x"))
    ]
    assert found == ["a deployment runs"] * 2 + ["", ""]


def test_the_first_reason_stands():
    """An entry marks all that belongs to it: version, model, tables, its runs and the study behind them."""
    reach = Reach()
    origin = {"origin": {"study_run_id": "study", "run_id": ""}}
    first = entry(1, 1, START)
    reach.add_entry(dataclasses.replace(first, evidence={**first.evidence, **origin}), "first")
    reach.add_entry(entry(2, 1, START, run_id="again"), "second")
    assert reach.runs == {"r-1": "first", "study": "first", "again": "second"}
    assert (reach.versions, reach.models) == ({1: "first"}, {"m-1": "first"})
    assert reach.tables == {f"training.p__{part}": "first" for part in ("train", "test", "predictions")}


def reasons(entries, marks=(), days=0, **rules):
    """Why which versions stay, so many days after the last entry."""
    retention = Retention(**{"keep_days": 0, "keep_versions": 1, **rules})
    return [
        (each.to_version, why)
        for each, why in window(entries, MarkList("p", marks), retention, entries[-1].at + days * DAY)
    ]


def test_the_way_back_stays_as_far_as_a_rollback_would_go():
    """Over versions that are marked bad to one that is not."""
    line = [entry(n, n, START + n * 10 * DAY, from_version=n - 1 or None) for n in (1, 2, 3, 4)]
    assert {version for version, _ in reasons(line, days=9)} == {4, 3}
    assert {version for version, _ in reasons(line, (mark(3),), days=9)} == {4, 3, 2}
    assert {version for version, _ in reasons(line, (mark(3), mark(2), mark(1)), days=9)} == {4, 3, 2, 1}
    assert reasons(line)[0] == (4, "v4 serves")
    assert reasons(line)[1] == (3, "a rollback goes back to v3")
    assert list(window([], MarkList("p", ()), Retention(), START)) == []


@given(st.integers(0, 40), st.integers(1, 5))
def test_what_served_within_the_days_or_among_the_last_stays(days, versions):
    """A version served until the next one came; a limit of days is inclusive."""
    line = [entry(n, n, START + n * 10 * DAY, from_version=n - 1 or None) for n in (1, 2, 3, 4)]
    kept = {version for version, _ in reasons(line, days=5, keep_days=days, keep_versions=versions)}
    left = {1: 25, 2: 15, 3: 5, 4: 0}
    assert kept == {4, 3} | {n for n in left if left[n] <= days or n > 4 - versions}


def run(status="RUNNING", days=0.0, owner="") -> RunRecord:
    """A run that was started so many days ago."""
    started = START - dt.timedelta(days=days)
    return RunRecord("r", "deploy", status, {}, {}, {OWNER_TAG: owner}, started)


@pytest.mark.parametrize(
    ("record", "alive"),
    [
        (run(), True),
        (run(owner=this_process()), True),
        (run(owner="another-machine 1 2"), True),
        (run(owner=f"{this_process()}0"), False),
        (run("FINISHED", owner=this_process()), False),
        (run(days=LONGEST_RUN / DAY), True),
        (run(days=LONGEST_RUN / DAY + 0.01, owner=this_process()), False),
    ],
)
def test_a_run_is_alive_unless_it_is_known_not_to_be(record, alive):
    """Of another machine nobody knows; a number that was given to a later process is another one."""
    assert is_alive(record, START) is alive


def test_configs_of_a_project_and_no_other(tmp_path):
    """In order of their files; one whose origin does not read stops everything."""
    assert list(configs_of("p", tmp_path)) == []
    for name, project in (("b", "p"), ("a", "p"), ("c", "other")):
        origin = {"project": project, "snapshot": f"d1:{name}", "study_run_id": f"study-{name}"}
        (tmp_path / f"{name}.provenance.json").write_text(json.dumps(origin))
    assert list(configs_of("p", tmp_path)) == [
        (str(tmp_path / "a.yaml"), "d1:a", "study-a"),
        (str(tmp_path / "b.yaml"), "d1:b", "study-b"),
    ]
    for text in ("{", "[]", '{"project": "other"}', "\udcff"):
        (tmp_path / "d.provenance.json").write_text(text, errors="surrogateescape")
        with pytest.raises(ConfigError) as caught:
            list(configs_of("p", tmp_path))
        assert caught.value.code == "CFG004"


def test_a_plan_shows_the_largest_first_and_twenty():
    """Sizes that the store does not tell count as none; of unknown age is said so."""
    goes = tuple(item(name=f"training.t{n}", size=n * 1000) for n in range(22))
    plan = CleanupPlan("p", Retention(), (*goes, item(age=None)), (item(),), unfinished=2)
    lines = repr(plan).splitlines()
    assert lines[0] == "p  23 go (231.0 kB), 1 stay"
    assert "an earlier cleanup of 2 things was stopped; this one goes on" in lines[1]
    assert lines[2].split() == [
        "goes",
        "table",
        *["training.t21", "21.0", "kB", "20", "days", "no", "version", "has", "it"],
    ]
    assert "  goes   and 3 more; --json lists all" in lines
    values = json.loads(json.dumps(plan.to_dict()))
    assert (len(values["goes"]), values["bytes"], values["unfinished"]) == (23, 231_000, 2)
    assert "age unknown" in repr(item(age=None))
    assert "next" not in repr(CleanupPlan("p", Retention(), (), (item(),)))
    assert "next" in repr(CleanupPlan("p", Retention(), (), (), unfinished=1))


def test_a_report_says_what_went_and_what_stayed_after_all():
    """And how the files of runs are freed, where runs went."""
    report = CleanupReport("p", (item(size=2000),), {"m-1": "v1 is pinned: audit"}, (item(),))
    assert repr(report).startswith("p  1 removed (2.0 kB), 1 stay\n  removed table")
    assert "kept    m-1: v1 is pinned: audit" in repr(report)
    assert "mlflow gc" not in repr(report)
    assert "mlflow gc" in repr(dataclasses.replace(report, removed=(item("run", "r"),)))
    values = json.loads(json.dumps(report.to_dict()))
    assert (values["bytes"], values["kept"]) == (2000, {"m-1": "v1 is pinned: audit"})
    assert repr(Cleanups(())) == "there is no project in this store"
    assert Cleanups((report, report)).to_dict()["projects"] == [report.to_dict()] * 2


def test_what_a_removal_names_while_it_is_open_and_after():
    """Everything that may go; then only what has gone."""
    targets = (Target("table", "a"), Target("model", "b"))
    begun = Removal("id", START, "ann", targets)
    assert begun.names == {"a", "b"}
    assert dataclasses.replace(begun, removed=("a",), is_open=False).names == {"a"}


def test_removals_are_begun_ended_once_and_found_by_name(workspace):
    """Whoever builds on something old is told to wait while it may go, and that it is gone after."""
    removals, engine = Removals(workspace.engine, "p"), workspace.engine
    assert (removals.all(), removals.of("training.p__a")) == ([], None)
    for name in "ab":
        engine.create(TableName("training", f"p__{name}"), pa.table({"x": [1]}).to_reader())
    begun = removals.begin([Target("table", "training.p__a"), Target("model", "m-1")], rules={"keep_days": 0})
    assert removals.open() == removals.all() == [begun]
    for tables, models, path in ((["training.p__a"], (), "training.p__a"), ([], ["m-1"], "m-1")):
        with pytest.raises(StoreError, match="is about to remove it") as caught:
            removals.check_there(tables, models)
        assert (caught.value.code, caught.value.path) == ("STO081", path)
    removals.check_there(["training.p__b"], ["m-2"])
    engine.drop(TableName("training", "p__a"))
    removals.end(begun, removed=["training.p__a"], kept={"m-1": "pinned"})
    removals.end(begun, removed=["training.p__a", "m-1"], kept={})
    (ended,) = removals.all()
    assert (ended.is_open, ended.removed) == (False, ("training.p__a",))
    assert removals.of("m-1") is None
    assert removals.of("training.p__a").removal_id == begun.removal_id
    with pytest.raises(StoreError, match="has removed it"):
        removals.check_there(["training.p__a"])
    removals.check_there([], ["m-1"])


def test_the_last_word_about_a_pin_counts_and_a_hold_ends_by_itself(workspace, monkeypatch):
    """A hold changes no pin of people, is none of theirs, and is over after a day."""
    stores = Stores(workspace, "p")
    pins = Pins(workspace.engine, "p")
    for word in ("first", "second"):
        pins.pin("v1", reason=word)
    pins.pin("training.p__a", reason="audit")
    pins.hold("v1", reason="a rollback")
    pins.hold("v2", reason="a rollback")
    assert [(each.what, each.reason, each.version) for each in pins.all()] == [
        *(("v1", "second", 1), ("training.p__a", "audit", None), ("v2", "a rollback", 2)),
    ]
    assert [each.what for each in read_pins(stores).pins] == ["v1", "training.p__a"]
    with pytest.raises(UsageError, match="CLI085") as caught:
        unpin(stores, 2)
    assert caught.value.fix == "pinned: v1, training.p__a"
    assert [each.what for each in unpin(stores, 1).pins] == ["training.p__a"]
    later = dt.datetime.now(dt.UTC) + HOLD + dt.timedelta(minutes=1)
    monkeypatch.setattr(type(workspace.engine.upkeep), "now", lambda _self: later)
    assert [each.what for each in pins.all()] == ["training.p__a"]


def test_pins_in_words():
    """One line each; what to do where there is none."""
    assert "mlkit pin p v3 --reason" in repr(PinList("p", ()))
    pins = PinList("p", (Pin("v3", "audit of May", "ann", START),))
    assert repr(pins) == "p: cleanup leaves these alone\n  v3  2026-03-01  ann  audit of May"
    assert pins.to_dict()["pins"][0]["what"] == "v3"
    assert [Pin(what, "", "", START).version for what in ("v12", "v0", "vx", "training.v1")] == [
        *(12, None, None, None),
    ]


@pytest.mark.parametrize(
    ("options", "path", "code"),
    [
        ({"keep-days": "0"}, "keep-days", "CLI004"),
        ({"keep-days": "1.5"}, "keep-days", "CLI004"),
        ({"keep-days": "99999"}, "keep-days", "CLI084"),
        ({"apply": "yes"}, "apply", "CLI069"),
    ],
)
def test_words_of_a_job_that_are_none_are_refused(workspace, options, path, code):
    """Before anything is looked at."""
    with pytest.raises(UsageError) as caught:
        cleanup_task(Stores(workspace, "p"), options)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_store_of_several_projects_is_cleaned_project_by_project(workspace, monkeypatch):
    """Only tables with the name and digest of ours go; nobody is asked where nothing would go."""
    engine, rows, later = workspace.engine, pa.table({"x": [1]}), dt.datetime.now(dt.UTC) + 30 * DAY
    ours, theirs = (engine.publish("training", f"{name}__test", rows.to_reader()).name for name in "pq")
    for name in ("p__notes", f"p__test__{DIGITS}0", "plain"):
        engine.create(TableName("training", name), rows.to_reader())
    assert projects_of(engine) == ["p", "q"]
    stores = Stores(workspace, "p")
    plan = plan_cleanup(stores, Retention(), now=later)
    assert [each.target.name for each in plan.goes] == [str(ours)]
    assert plan.goes[0].size == engine.size(ours) > 0
    assert (plan_cleanup(stores, Retention()).goes, find_reach(stores, Retention(), later)) == ((), Reach())
    monkeypatch.setattr(sys, "stdin", io.StringIO("no answer"))
    done = run_cleanup(workspace, None, Retention(), apply=True, yes=False)
    assert [each.removed for each in done.projects] == [(), ()]
    gone = clean_up(stores, Retention(), now=later)
    assert [each.target.name for each in gone.removed] == [str(ours)]
    assert clean_up(stores, Retention(), now=later).removed == ()
    assert engine.describe(theirs) is not None


def test_nobody_is_asked_where_there_is_no_terminal(workspace, monkeypatch):
    """What would go stays, and the way to say it beforehand is told."""
    name = workspace.engine.publish("training", "p__test", pa.table({"x": [1]}).to_reader()).name
    rules = Retention(grace_days=0)
    monkeypatch.setattr(command.sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError) as caught:
        run_cleanup(workspace, "p", rules, apply=True, yes=False)
    assert (caught.value.code, caught.value.fix[-13:]) == ("CLI007", "--apply --yes")
    assert caught.value.message.startswith("1 thing, ")
    assert isinstance(run_cleanup(workspace, "p", rules, apply=False, yes=True), CleanupPlan)
    assert workspace.engine.describe(name) is not None
    assert len(run_cleanup(workspace, "p", rules, apply=True, yes=True).removed) == 1
