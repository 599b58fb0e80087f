"""Findings of the doctor as values and in words, and checks that need no finished store."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sqlite3
from importlib import metadata
from types import SimpleNamespace

import pytest

from mlkit.doctor import environment, examine, projects, stores
from mlkit.doctor.finding import DoctorReport, Finding
from mlkit.engines.base import Leftover
from mlkit.errors import EXIT_DONE, EXIT_INTEGRITY, EXIT_STORE, IntegrityError, StoreError, UsageError
from mlkit.production.removals import Removals, Target
from mlkit.production.stores import Stores
from mlkit.tracking.database import Database

FINE, WORN = Finding("a", "OK", "fine"), Finding("b", "WARN", "worn", "mend it")


def broken(**changes) -> Finding:
    """A finding that fails."""
    return dataclasses.replace(Finding("c", "FAIL", "broken", "mend it"), **changes)


def text(findings) -> list:
    """States of findings with what was said."""
    return [(each.state, each.said) for each in findings]


def test_a_finding_in_words():
    """A second line only where there is something to do."""
    assert repr(FINE) == "OK      a: fine"
    assert repr(dataclasses.replace(FINE, mend="nothing")) == "OK      a: fine"
    assert repr(WORN) == "WARN    b: worn\n        -> mend it"
    assert repr(broken(mend="")) == "FAIL    c: broken"


def test_a_cure_is_taken_once_and_only_where_something_is_wrong():
    """Afterwards it is a finding like any other that is fine."""
    taken = []
    ill = broken(cure=lambda: taken.append(1) or "whole again")
    well = ill.cured()
    assert (well.state, well.said, well.mended, well.mend, well.cure) == ("OK", "whole again", True, "", None)
    assert repr(well) == "mended  c: whole again"
    assert well.cured() is well
    assert dataclasses.replace(ill, state="OK").cured().mended is False
    assert WORN.cured() is WORN
    assert taken == [1]
    assert (ill.to_dict()["fixable"], well.to_dict()["fixable"]) == (True, False)
    assert json.loads(json.dumps(ill.to_dict()))["state"] == "FAIL"


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (StoreError("STO001", "away", path="lake", fix="wait"), "[STO001] lake: away", EXIT_STORE),
        (IntegrityError("INT020", "cut"), "[INT020] cut", EXIT_INTEGRITY),
        (UsageError("CLI001", "what", path="x"), "[CLI001] x: what", 2),
    ],
)
def test_an_error_is_a_finding_with_its_exit_code(error, said, code):
    """Its way out is how to mend it."""
    found = Finding.of_error("tables", error)
    assert (found.state, found.said, found.exit_code, found.mend) == ("FAIL", said, code, error.fix)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((), EXIT_DONE),
        ((FINE, WORN), EXIT_DONE),
        ((dataclasses.replace(WORN, exit_code=EXIT_INTEGRITY), broken()), EXIT_STORE),
        ((broken(exit_code=EXIT_INTEGRITY), broken()), EXIT_INTEGRITY),
        ((broken(exit_code=EXIT_INTEGRITY, cure=lambda: "whole").cured(),), EXIT_DONE),
    ],
)
def test_the_exit_code_is_that_of_the_worst_that_fails(findings, code):
    """A warning fails nothing, and neither does what was mended."""
    assert DoctorReport("local", findings).exit_code == code


def test_a_report_counts_states_and_says_what_could_be_mended():
    """The worst stands last, before the count; as values each finding keeps its place."""
    cure = {"cure": lambda: "whole"}
    report = DoctorReport("local", (broken(**cure), FINE, dataclasses.replace(WORN, **cure), broken()))
    lines = repr(report).splitlines()
    assert [line.split()[0] for line in lines[:-2] if "->" not in line] == ["OK", "WARN", "FAIL", "FAIL"]
    assert lines[-2] == "local: 1 OK, 1 WARN, 2 FAIL"
    assert lines[-1] == "  next    mlkit doctor --fix mends 2 of these"
    assert [each["what"] for each in report.to_dict()["findings"]] == ["c", "a", "b", "c"]
    well = DoctorReport("local", (dataclasses.replace(FINE, **cure), broken()))
    assert "--fix" not in repr(well)


def test_a_check_that_stops_keeps_what_it_has_found(home, monkeypatch):
    """And the checks after it are made all the same."""

    def stops(_workspace):
        yield Finding("first", "OK", "seen")
        raise StoreError("STO001", "away", path="lake")

    last = Finding("last", "OK", "seen too")
    monkeypatch.setattr(examine, "_OF_STORES", {"half": stops, "last": lambda _workspace: iter((last,))})
    found = {each.what: each.state for each in examine.examine("local", project="p").findings}
    assert (found["first"], found["half"], found["last"]) == ("OK", "FAIL", "OK")


def test_a_cure_that_fails_is_a_finding(home, monkeypatch):
    """It does not keep others from theirs."""

    def cannot():
        raise StoreError("STO001", "away", fix="wait")

    ill = (broken(what="one", cure=cannot), broken(what="two", cure=lambda: "whole"))
    monkeypatch.setattr(examine, "_OF_STORES", {"ill": lambda _workspace: iter(ill)})
    report = examine.examine("local", project="p", fix=True)
    found = {each.what: each for each in report.findings}
    assert (found["one"].said, found["one"].mend, found["one"].mended) == ("[STO001] away", "wait", False)
    assert (found["two"].said, found["two"].mended) == ("whole", True)


def database(**changes) -> Database:
    """What a sound database says."""
    values = {"journal": "wal", "revision": "abc", "wanted": "abc", "faults": ()}
    return Database(**{"path": "mlflow.db", **values, **changes})


@pytest.mark.parametrize(
    ("changes", "state", "said", "code"),
    [
        ({}, "OK", "sound, write-ahead, revision abc", EXIT_STORE),
        ({"faults": ("row 1 missing", "row 2")}, "FAIL", "row 1 missing; row 2", EXIT_INTEGRITY),
        ({"faults": ("torn",), "revision": "old"}, "FAIL", "torn", EXIT_INTEGRITY),
        ({"revision": ""}, "FAIL", "it was never finished, the installed MLflow works with abc", EXIT_STORE),
        ({"revision": "old"}, "FAIL", "it is of revision old, the installed MLflow", EXIT_STORE),
        ({"journal": "delete"}, "WARN", "it is in delete mode", EXIT_STORE),
    ],
)
def test_a_database_says_the_worst_first(monkeypatch, changes, state, said, code):
    """Damage before a wrong revision, that before a slow mode."""
    monkeypatch.setattr(stores, "look_at_database", lambda _uri: database(**changes))
    (found,) = stores.check_database(SimpleNamespace(tracking_uri=""))
    assert (found.state, found.exit_code) == (state, code)
    assert found.said.startswith(said)


def test_a_store_without_a_database_file_has_nothing_to_say(workspace, tmp_path):
    """A server, or a file that was never used; one that is there is sound as MLflow left it."""
    for uri in ("https://tracking.example", f"sqlite:///{tmp_path / 'none.db'}"):
        assert list(stores.check_database(SimpleNamespace(tracking_uri=uri))) == []
    assert not (tmp_path / "none.db").exists()
    with sqlite3.connect(workspace.home / "mlflow.db") as file:
        file.execute("PRAGMA journal_mode=WAL")
    (found,) = stores.check_database(workspace)
    assert found.state == "OK"


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("http://127.9.9.9:5000", False),
        ("http://[::1]:5000", False),
        ("http://tracking.localhost", False),
        ("http://0.0.0.0:5000", True),
        ("http://localhost.example", True),
        ("http://[2001:db8::1]", True),
        ("HTTP://tracking.example", True),
        ("https://tracking.example", False),
        ("databricks", False),
    ],
)
def test_only_this_machine_is_reached_in_the_clear(host, warned):
    """By number or by name, whatever it begins with."""
    found = list(stores.check_address(SimpleNamespace(tracking_uri=host)))
    assert [each.state for each in found] == ["WARN"] * warned


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (stores.LITTLE, "OK"),
        (stores.LITTLE - 1, "WARN"),
        (stores.TOO_LITTLE, "WARN"),
        (stores.TOO_LITTLE - 1, "FAIL"),
    ],
)
def test_room_on_the_disk(tmp_path, monkeypatch, free, state):
    """Also of a home that is not made yet, which this does not make."""
    monkeypatch.setattr(stores.shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
    home = tmp_path / "not" / "yet"
    (found,) = stores.check_home(SimpleNamespace(home=home))
    assert found.state == state
    assert not home.parent.exists()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_only_when_they_are_old_for_sure():
    """What has no age stays; sizes that nobody knows count as none."""
    now, removed = dt.datetime(2026, 6, 1, tzinfo=dt.UTC), []
    ages = {"edge": stores.YOUNG, "old": stores.YOUNG + dt.timedelta(seconds=1), "new": dt.timedelta()}
    found = [Leftover("training", name, now - age, 2000) for name, age in ages.items()]
    found += [
        Leftover("training", "unknown", None, 1),
        Leftover("training", "oldest", now - stores.YOUNG * 2, None),
    ]
    upkeep = SimpleNamespace(leftovers=lambda: found, now=lambda: now, remove=removed.append)
    workspace = SimpleNamespace(engine=SimpleNamespace(upkeep=upkeep))
    (finding,) = stores.check_leftovers(workspace)
    assert (finding.state, finding.said) == ("WARN", "2 writers were killed and left 2.0 kB")
    assert finding.cured().said == "2 removed"
    assert [left.name for left in removed] == ["old", "oldest"]
    del found[1], found[-1]
    assert text(stores.check_leftovers(workspace)) == [("OK", "3 younger than 14 days")]
    found.clear()
    assert text(stores.check_leftovers(workspace)) == [("OK", "none")]


def test_a_project_without_anything_is_healthy(workspace):
    """Nothing serves, no version, no run; and looking at it makes nothing."""
    empty = Stores(workspace, "p")
    checks = (projects.check_alias, projects.check_files, projects.check_orphans, projects.check_runs)
    assert [text(check(empty)) for check in checks] == [
        *([("OK", "nothing serves yet")], [("OK", "0, their files are there")]),
        *([("OK", "none")], [("OK", "0 running")]),
    ]
    assert list(projects.check_removals(empty)) == []
    assert workspace.engine.tables("monitoring") == []


def test_cleanups_that_were_stopped_are_each_told(workspace):
    """Until they are ended."""
    removals = Removals(workspace.engine, "p")
    begun = [removals.begin([Target("model", name)], rules={}) for name in "ab"]
    found = list(projects.check_removals(Stores(workspace, "p")))
    assert [(each.state, each.mend) for each in found] == [("WARN", "mlkit cleanup p --apply")] * 2
    removals.end(begun[0], removed=["a"], kept={})
    (left,) = projects.check_removals(Stores(workspace, "p"))
    assert f"by {begun[1].actor}" in left.said


def test_without_being_installed_versions_cannot_be_compared(monkeypatch):
    """A warning, and nothing is said of what is needed; Spark is looked at all the same."""
    monkeypatch.setattr(environment, "version_of", {}.get)
    assert [(each.what, each.state) for each in environment.check_environment()] == [
        *(("name", "WARN"), ("pyspark", "OK")),
    ]
    assert environment.check_python(">=3.11,<3.14", "3.14.0rc1").state == "FAIL"
    assert environment.check_python(">=3.11", "3.14.0rc1").state == "OK"


def test_versions_of_distributions():
    """By any spelling of the name; of what is not here, none."""
    assert environment.version_of("PyArrow") == metadata.version("pyarrow")
    assert environment.version_of("no-such-distribution-of-mlkit") is None
