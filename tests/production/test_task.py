"""The packaged runner: a list of `--name=value`, a return or an exception, and nothing else."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlkit import Gate
from mlkit.errors import (
    ConfigError,
    ContractError,
    GateRejectedError,
    IntegrityError,
    StoreError,
    StudyError,
    UsageError,
)
from mlkit.frozen import provenance_path
from mlkit.production.plan import Plan
from mlkit.production.report import RunReport
from mlkit.production.task import main, read_origin, task_values
from tests.production.scenes import MODEL_FILE, NAME, RIDGE, STUMP, frozen, publish, state


@pytest.fixture
def configs(stores, tmp_path):
    """The folder of configs in a package."""
    frozen().write(tmp_path / "configs" / f"{NAME}.yaml")
    return tmp_path / "configs"


def test_deploy_plan_and_rollback(configs, stores):
    """Each verb returns what it made; the only config need not be named."""
    assert isinstance(main(["plan"], configs=configs), Plan)
    first = main(["deploy", f"--config={NAME}", "--target=local", "--reason=by the job"], configs=configs)
    assert isinstance(first, RunReport)
    assert (first.outcome, stores.ledger.head().reason) == ("promoted", "by the job")
    again = main(["rollback", "--to=1", "--reason=by the job"], configs=configs)
    assert again.outcome == "unchanged"


@pytest.mark.parametrize("to", ["--to=1", "--to=", "--to=previous"])
def test_a_job_may_leave_the_version_open(configs, stores, to):
    """An empty parameter is none."""
    frozen(model=STUMP).write(configs / f"{NAME}.yaml")
    main(["deploy"], configs=configs)
    frozen().write(configs / f"{NAME}.yaml")
    main(["deploy"], configs=configs)
    assert main(["rollback", to, "--reason=test"], configs=configs).version == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], "CLI001", "expected one of deploy, plan, "),
        (["destroy"], "CLI001", "expected one of deploy, plan, "),
        (["deploy", "--force=1"], "CLI001", "--config=, --target=, --reason="),
        (["deploy", "--config"], "CLI001", "--name=value"),
        (["deploy", "config=a"], "CLI001", "--name=value"),
        (["plan", "--reason=x"], "CLI001", "--config=, --target="),
        (["deploy", "--reason=a", "--reason=b"], "CLI001", "twice"),
        (["deploy", "--config=other"], "CLI002", NAME),
        (["deploy", "--reason={{job.parameters.reason}}"], "CLI026", "correct its name"),
        (["rollback", "--to={{x}}", "--reason=a"], "CLI026", "correct its name"),
        (["rollback", "--to=one", "--reason=a"], "CLI004", "whole number"),
        (["rollback", "--to=-1", "--reason=a"], "CLI004", "whole number"),
        (["rollback", "--reason="], "CLI025", "reason"),
        (["deploy", "--rehearse=out.json", "--cv=five"], "CLI004", "whole number"),
        (["deploy --config=flight_delay"], "CLI011", "list"),
        ("deploy --config=flight_delay", "CLI011", "list"),
    ],
)
def test_arguments_that_make_no_sense(configs, arguments, code, said):
    """A UsageError with what is known; nothing was done."""
    with pytest.raises(UsageError) as caught:
        main(arguments, configs=configs)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_an_unknown_target_names_the_known(configs):
    """As the command line does."""
    with pytest.raises(ConfigError, match="local"):
        main(["deploy", "--target=prod"], configs=configs)


def test_two_configs_need_a_name(configs):
    """Neither is guessed."""
    frozen().write(configs / "other.yaml")
    with pytest.raises(UsageError) as caught:
        main(["deploy"], configs=configs)
    assert caught.value.code == "CLI002"


def test_a_rejection_is_an_exception_for_a_job(configs):
    """The page of the job shows the last line: why."""
    frozen(gate=Gate(threshold=0.1)).write(configs / f"{NAME}.yaml")
    for _ in range(2):
        with pytest.raises(GateRejectedError, match=r"is not <= threshold 0\.1"):
            main(["deploy"], configs=configs)


def test_a_kept_champion_is_no_exception(configs):
    """A retrain that is not better is a normal end."""
    main(["deploy"], configs=configs)
    frozen(model=STUMP).write(configs / f"{NAME}.yaml")
    assert main(["deploy"], configs=configs).outcome == "kept_champion"


def test_by_default_the_arguments_are_those_of_the_process(configs, monkeypatch):
    """As an entry point is called."""
    monkeypatch.setattr(sys, "argv", ["flight_delay_model", "plan"])
    assert main(configs=configs).kind == "primary"


def test_the_origin_beside_a_config_goes_with_the_version(configs, stores):
    """Commit and study are kept; what is not known to be harmless is not."""
    kept = {"commit": "abc", "study_run_id": "s1", "dirty": ["a.py"], "config_digest": frozen().digest}
    provenance_path(configs / f"{NAME}.yaml").write_text(json.dumps({**kept, "params": {"alpha": 1}}))
    main(["deploy"], configs=configs)
    assert stores.ledger.head().evidence["origin"] == kept
    assert stores.registry.champion().tags["mlkit_commit"] == "abc"


def test_an_edited_config_did_not_come_from_the_study(configs, stores):
    """Only what it was edited from is said, and how often the test rows had been looked at."""
    origin = {"commit": "abc", "study_run_id": "s1", "config_digest": "f" * 64, "test_looks": 2}
    provenance_path(configs / f"{NAME}.yaml").write_text(json.dumps(origin))
    report = main(["deploy"], configs=configs)
    assert stores.ledger.head().evidence["origin"] == {"edited_from": "f" * 64, "test_looks": 2}
    assert "looked at 2 times" in report.notes[-1]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_an_origin_that_does_not_read_is_a_mistake_of_the_config(configs, text):
    """And one that is not there is none."""
    config = frozen().write(configs / f"{NAME}.yaml")
    assert read_origin(config) == {}
    provenance_path(config.path).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_origin(config)
    assert caught.value.code == "CFG004"


def test_a_process_ends_with_the_error_and_no_exit_code_of_ours(configs, tmp_path):
    """An exception reaches Python itself: status 1, and the sentence at the end of the trace."""
    program = (
        "from pathlib import Path; from mlkit.production.task import main\n"
        f"main(['destroy'], configs=Path({str(configs)!r}))"
    )
    command = [sys.executable, "-c", program]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 1
    assert "UsageError: [CLI001] verb: expected one of deploy, plan, " in done.stderr
    assert done.stderr.count("Traceback (most recent call last)") == 1


# ------------------------------------------------------------------ jobs: retries, repairs, deployment jobs

JOB_RUN = "w1-j22-r333"


def attempt(repair=0, execution=1, *, job_run=JOB_RUN) -> str:
    """The option by which a job says which of its executions this is."""
    return f"--attempt={job_run}-p{repair}-e{execution}"


def deployed(configs, *models):
    """The folder of configs, after models were promoted outside any job, each better than the one before."""
    for model in models:
        frozen(model=model).write(configs / f"{NAME}.yaml")
        assert main(["deploy"], configs=configs).outcome == "promoted"
    return configs


@pytest.fixture
def two(configs):
    """Two versions; v2 serves."""
    return deployed(configs, STUMP, RIDGE)


@pytest.fixture
def three(configs):
    """Three versions, so that one could go back twice."""
    return deployed(configs, {**RIDGE, "params": {"alpha": 1e9}}, STUMP, RIDGE)


def test_what_a_job_says_of_itself_is_kept(configs, stores):
    """In the ledger and as tags of the run; a login in the address of the repository is not."""
    said = {
        "started-at": "2026-08-30T05:00:00Z",
        "git-commit": "abc123",
        "git-origin": "https://bob:pass@git.example.com/team/flights.git",
        "bundle": "flights/prod",
    }
    options = [f"--{name}={value}" for name, value in said.items()]
    report = main(["deploy", attempt(), *options], configs=configs)
    kept = stores.ledger.head().evidence["attempt"]
    assert kept == {
        "attempt": "w1-j22-r333-p0-e1",
        "job_run": JOB_RUN,
        "started_at": "2026-08-30T05:00:00Z",
        "git_commit": "abc123",
        "git_origin": "https://git.example.com/team/flights.git",
        "bundle": "flights/prod",
    }
    tags = stores.tracking.run(report.run_id).tags
    assert {name: tags[f"mlkit_{name}"] for name in kept} == kept


def test_an_attempt_is_part_of_no_key(configs, stores):
    """Another job run on the same rows finds everything done, and adds nothing to the ledger."""
    first = main(["deploy", attempt()], configs=configs)
    again = main(["deploy", attempt(job_run="w1-j22-r444")], configs=configs)
    assert (again.outcome, again.run_key) == ("unchanged", first.run_key)
    assert len(stores.ledger.entries()) == 1
    assert len(stores.decisions.find(first.run_key)) == 1


@pytest.mark.parametrize("repeat", [attempt(execution=2), attempt(repair=1)])
def test_a_job_run_that_promoted_says_so_again_and_promotes_no_more(configs, stores, flights, repeat):
    """Also if rows came meanwhile: a retry or repair finishes its own job run, it starts no new one."""
    first = main(["deploy", attempt()], configs=configs)
    publish(stores.engine, flights.assign(flight_id=flights["flight_id"] + 10_000))
    before = state(stores)
    again = main(["deploy", repeat], configs=configs)
    assert (again.outcome, again.version, again.run_id) == ("promoted", 1, first.run_id)
    assert (again.scores, again.train) == (first.scores, first.train)
    assert "ledger entry 1 (w1-j22-r333-p0-e1)" in again.verdict["reasons"][-1]
    assert state(stores) == before
    assert main(["deploy", attempt(job_run="w1-j22-r444")], configs=configs).run_key != first.run_key


def test_a_repeat_closes_the_run_that_a_stopped_attempt_left_open(configs, stores):
    """The attempt died after the champion moved: run, report and alias are completed."""
    report = main(["deploy", attempt()], configs=configs)
    stores.tracking.reopen(report.run_id)
    stores.tracking.client.delete_registered_model_alias(NAME, "champion")
    main(["deploy", attempt(execution=2)], configs=configs)
    assert stores.tracking.run(report.run_id).status == "FINISHED"
    assert stores.registry.champion().version == 1


def test_a_repeat_with_another_package_or_after_a_rollback_says_so(two, stores):
    """It deploys neither the new config nor the version that was left."""
    frozen(gate=Gate(threshold=24)).write(two / f"{NAME}.yaml")
    assert main(["deploy", attempt()], configs=two).outcome == "unchanged"
    main(["rollback", "--reason=by hand"], configs=two)
    frozen(gate=Gate(threshold=23)).write(two / f"{NAME}.yaml")
    again = main(["deploy", attempt(repair=1)], configs=two)
    assert again.outcome == "unchanged"
    assert any("another config by now" in note for note in again.notes)
    assert any("v2 is this run, but v1 serves" in note for note in again.notes)
    assert [entry.kind for entry in stores.ledger.entries()] == ["promotion", "promotion", "code", "rollback"]


def test_a_repeat_verifies_what_was_promoted(configs, stores):
    """What is damaged is not reported as done."""
    main(["deploy", attempt()], configs=configs)
    (stores.registry.folder(stores.ledger.head().model_id) / MODEL_FILE).write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        main(["deploy", attempt(execution=2)], configs=configs)
    assert caught.value.code == "INT022"


@pytest.mark.parametrize("to", ["--to=previous", "--to=2"])
def test_a_rollback_is_done_once_by_a_job_run(three, stores, to):
    """A retry does not go back a second version, nor undo what somebody did after it."""
    first = main(["rollback", to, "--reason=bad", attempt()], configs=three)
    again = main(["rollback", to, "--reason=bad", attempt(execution=2)], configs=three)
    assert [(done.outcome, done.version) for done in (first, again)] == [("promoted", 2)] * 2
    main(["rollback", "--to=3", "--reason=it was the data"], configs=three)
    late = main(["rollback", to, "--reason=bad", attempt(repair=1)], configs=three)
    assert (late.outcome, late.version, stores.ledger.head().to_version) == ("promoted", 2, 3)
    assert len(stores.ledger.entries()) == 5


def test_a_repair_may_name_another_version(three, stores):
    """That is another wish than the one that was fulfilled."""
    main(["rollback", "--reason=bad", attempt()], configs=three)
    assert main(["rollback", "--to=1", "--reason=bad", attempt(repair=1)], configs=three).version == 1


def test_another_job_run_goes_back_further_for_the_same_reason(three, stores):
    """Outside a job the reason tells a repeated command; a job run is known by its number."""
    main(["rollback", "--reason=bad", attempt()], configs=three)
    assert main(["rollback", "--reason=bad", attempt(job_run="w1-j22-r444")], configs=three).version == 1


def test_an_entry_inherits_no_attempt(two, stores):
    """A rollback made by hand, to a version that a job had promoted, belongs to no job."""
    frozen(gate=Gate(threshold=24)).write(two / f"{NAME}.yaml")
    main(["deploy", attempt()], configs=two)
    main(["rollback", "--to=1", "--reason=by hand"], configs=two)
    main(["rollback", "--to=2", "--reason=by hand"], configs=two)
    marked = ["attempt" in entry.evidence for entry in stores.ledger.entries()]
    assert marked == [False, False, True, False, False]


def test_a_deployment_job_is_told_of_a_version_and_makes_no_other(configs, stores, flights):
    """Else each version would start the job that makes the next one."""
    main(["deploy"], configs=configs)
    publish(stores.engine, flights.assign(flight_id=flights["flight_id"] + 10_000))
    told = main(["deploy", f"--model_name={NAME}", "--model_version=1", attempt()], configs=configs)
    assert (told.outcome, told.version) == ("unchanged", 1)
    assert "started this job" in told.verdict["reasons"][0]
    assert len(stores.registry.versions()) == 1
    assert main(["deploy", "--model_name=", "--model_version="], configs=configs).version != 1


def test_a_deployment_job_may_roll_back_to_its_version(three):
    """Unless another one is named."""
    options = ["--reason=bad", f"--model_name={NAME.upper()}", "--model_version=1"]
    assert main(["rollback", "--to=previous", *options], configs=three).version == 1
    assert main(["rollback", "--to=2", *options], configs=three).version == 2


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("--attempt=17", "CLI035"),
        ("--attempt=w1-j2-r3", "CLI035"),
        ("--attempt=w-j-r-p-e", "CLI035"),
        ("--model_name=main.training.other", "CLI036"),
        ("--model_version=latest", "CLI004"),
        ("--model_version=0", "CLI004"),
    ],
)
def test_what_a_job_cannot_mean_is_refused(configs, stores, argument, code):
    """Before anything is done."""
    with pytest.raises(UsageError) as caught:
        main(["deploy", argument], configs=configs)
    assert caught.value.code == code
    assert stores.ledger.entries() == []


def test_the_last_line_says_why_and_what_to_do(configs):
    """One line with code, cause and way out: it is all that the page of a job shows."""
    frozen(gate=Gate(threshold=0.1)).write(configs / f"{NAME}.yaml")
    with pytest.raises(GateRejectedError) as caught:
        main(["deploy"], configs=configs)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"[GAT001] {NAME}: rejected: candidate ")
    assert "; fix: find a better model" in line


def test_a_message_of_many_lines_becomes_one(configs, stores, flights):
    """A broken contract lists column, check, count and keys."""
    contract = frozen().dump()["contract"]
    contract["columns"]["hour"] = {"dtype": "int64", "checks": {"less_than": 9}}
    frozen(contract=contract).write(configs / f"{NAME}.yaml")
    with pytest.raises(ContractError) as caught:
        main(["deploy"], configs=configs)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("[DAT060]")
    assert "hour" in line


def test_what_somebody_else_raised_stays_behind_the_line(configs, edit_module):
    """One's own code is looked for by its own traceback, errors of mlkit between are left out."""
    edit_module("    frame = frame", "    raise ZeroDivisionError\n    frame = frame")
    with pytest.raises(StudyError) as caught:
        main(["deploy"], configs=configs)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("code", ["0", "None", "3"])
def test_code_that_leaves_the_process_is_an_error(configs, edit_module, code):
    """Whatever its exit code: a job would call it failed, and not say why."""
    edit_module("    frame = frame", f"    raise SystemExit({code})\n    frame = frame")
    with pytest.raises(StudyError) as caught:
        main(["deploy"], configs=configs)
    assert (caught.value.code, f"exit code {code}" in str(caught.value)) == ("RUN018", True)


def test_the_targets_of_the_package_are_used(configs, stores, tmp_path, monkeypatch):
    """A job has no working directory with mlkit.toml; MLKIT_CONFIG goes before it."""
    (configs / "mlkit.toml").write_text("[targets.dev]\n")
    assert main(["plan", "--target=local"], configs=configs).kind == "primary"
    with pytest.raises(StoreError):  # known, and without these flights
        main(["plan", "--target=dev"], configs=configs)
    (tmp_path / "other.toml").write_text("[targets.prod]\n")
    monkeypatch.setenv("MLKIT_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(ConfigError) as caught:
        main(["plan", "--target=dev"], configs=configs)
    assert caught.value.code == "CFG030"


def test_what_later_tasks_are_told(configs, stores):
    """Texts: a condition of a job compares texts."""
    assert task_values(main(["plan"], configs=configs)) == {"kind": "primary"}
    first, again = (main(["deploy"], configs=configs) for _ in range(2))
    assert task_values(first) == {"outcome": "promoted", "version": "1", "promoted": "true"}
    assert task_values(again) == {"outcome": "unchanged", "version": "1", "promoted": "false"}


DBRUNTIME = '''
"""A stand-in for the package that processes of Databricks have, as databricks-sdk asks it."""

told = {}


class TaskValues:
    @staticmethod
    def set(key, value):
        if BROKEN:
            raise RuntimeError("no job is running")
        told[key] = value


class UserNamespaceInitializer:
    @classmethod
    def getOrCreate(cls):
        return cls()

    def get_namespace_globals(self):
        if REMOTE:
            raise RuntimeError("CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT")
        jobs = type("Jobs", (), {"taskValues": TaskValues})
        return {"dbutils": type("DbUtils", (), {"jobs": jobs})}
'''


@pytest.fixture
def databricks(tmp_path, monkeypatch):
    """A function that makes this process look like one of Databricks to databricks-sdk."""
    pytest.importorskip("databricks.sdk")

    def pretend(*, broken=False, remote=False):
        (tmp_path / "runtime").mkdir()
        source = f"BROKEN, REMOTE = {broken}, {remote}\n{DBRUNTIME}"
        (tmp_path / "runtime" / "dbruntime.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "runtime"))
        return importlib.import_module("dbruntime")

    yield pretend
    for name in ("dbruntime", "databricks.sdk.runtime"):
        sys.modules.pop(name, None)


@pytest.mark.newest_only
def test_a_job_is_told_what_happened(configs, databricks):
    """Through the dbutils that Databricks injects, also when the gate refuses."""
    told = databricks().told
    frozen(gate=Gate(threshold=0.1)).write(configs / f"{NAME}.yaml")
    with pytest.raises(GateRejectedError):
        main(["deploy"], configs=configs)
    assert told == {"outcome": "rejected", "version": "", "promoted": "false"}


@pytest.mark.newest_only
@pytest.mark.parametrize("kind", ["broken", "remote"])
def test_task_values_that_cannot_be_set_fail_no_run(configs, databricks, kind):
    """The truth stands in the ledger; a stand-in that drops values silently is not spoken to."""
    runtime = databricks(**{kind: True})
    assert main(["deploy"], configs=configs).outcome == "promoted"
    assert runtime.told == {}


def test_outside_databricks_nothing_of_it_is_loaded(configs, monkeypatch):
    """Its SDK would look for credentials and open a session."""
    monkeypatch.delitem(sys.modules, "databricks.sdk.runtime", raising=False)
    main(["plan"], configs=configs)
    assert "databricks.sdk.runtime" not in sys.modules
