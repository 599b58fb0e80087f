"""Jobs of the workspace: started once, waited for, and their errors are ours."""

from __future__ import annotations

import pytest

pytest.importorskip("databricks.sdk")

from mlkit.errors import (
    EXIT_INTEGRITY,
    EXIT_RACE,
    EXIT_REJECTED,
    GateRejectedError,
    IntegrityError,
    OutcomeUnknownError,
    RaceLostError,
    StoreError,
    UsageError,
)
from mlkit.production.serving.jobs import development_name, run_job
from tests.standins.workspace import Job

pytestmark = pytest.mark.newest_only

NAME = "flight_delay-deploy"


@pytest.fixture
def job(databricks):
    """A job that deploys."""
    made = databricks.jobs[7] = Job(7, NAME, parameters=("reason",))
    databricks.jobs[8] = Job(8, "flight_delay-score")
    return made


def fail(job, error, *, trace="", **fields):
    """Let the runs of a job fail."""
    job.error, job.error_trace, job.result = error, trace, "FAILED"
    for name, value in fields.items():
        setattr(job, name, value)


def test_a_job_is_started_by_name_and_waited_for(databricks, job, client, clock, capsys, monkeypatch):
    """Pending, running, success; each change is told once."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    job.looks = 4
    run = run_job(client, NAME, parameters={"reason": "june"})
    assert (run.job_id, run.state, run.job) == (7, "SUCCESS", NAME)
    assert databricks.runs[run.run_id].given == {"reason": "june"}
    assert run.url.endswith(f"/jobs/7/runs/{run.run_id}")
    assert run.url in repr(run)
    assert run.seconds == run.to_dict()["seconds"] == round(sum(clock.slept), 3) > 0
    told = [line.split()[3] for line in capsys.readouterr().err.splitlines()]
    assert told == ["PENDING", "RUNNING", "TERMINATED"]


def test_a_job_is_started_by_number_without_waiting(databricks, job, client):
    """One request, no list of jobs, and no look at the run."""
    run = run_job(client, "8", wait=False)
    assert (run.job_id, run.state) == (8, "PENDING")
    assert run.url == f"{databricks.url}/jobs/8/runs/{run.run_id}"
    assert [path.rpartition("/")[2] for _, path, _ in databricks.requests] == ["list", "run-now"]


@pytest.mark.parametrize("taken", [True, False])
def test_a_request_whose_answer_was_lost_starts_one_run(databricks, job, client, taken):
    """The SDK repeats it with the same token."""
    databricks.lose("POST", taken=taken)
    assert run_job(client, NAME).state == "SUCCESS"
    assert len(databricks.runs) == 1


def test_a_command_that_is_repeated_joins_the_run_that_it_had_started(databricks, job, client):
    """As after a time-out that left open whether the job was started."""
    databricks.lose("POST", taken=True)
    databricks.lose("POST", taken=False, times=60)
    with pytest.raises(OutcomeUnknownError) as caught:
        run_job(client, NAME, parameters={"reason": "june"})
    assert (caught.value.code, caught.value.path) == ("STO061", NAME)
    databricks._faults.clear()
    assert run_job(client, NAME, parameters={"reason": "june"}).state == "SUCCESS"
    assert len(databricks.runs) == 1


def test_after_its_end_the_same_command_starts_a_new_run(databricks, job, client):
    """New rows may have come."""
    first, second = run_job(client, NAME), run_job(client, NAME)
    assert first.run_id != second.run_id


def test_other_parameters_start_another_run(databricks, job, client):
    """Also while one is running."""
    started = [run_job(client, NAME, parameters={"reason": why}, wait=False) for why in ("a", "b", "a")]
    assert started[0].run_id == started[2].run_id != started[1].run_id


def test_a_token_of_the_callers_own_is_sent_as_it_is(databricks, job, client):
    """As a scheduler has one."""
    own = "of-the-scheduler"
    run_job(client, NAME, idempotency_token=own, wait=False)
    assert databricks.sent("POST") == [{"job_id": 7, "idempotency_token": own}]


@pytest.mark.parametrize(
    ("error", "trace", "kind", "code", "exit_code"),
    [
        ("MlkitError: [GAT001] m: rejected: 30 > 25", "", GateRejectedError, "GAT001", EXIT_REJECTED),
        (
            "  fix: again",
            "Traceback\n[STO021] m: v3 came first\n  fix: again",
            RaceLostError,
            "STO021",
            EXIT_RACE,
        ),
        (
            "[INT022] m: changed",
            "[STO020] the cause\n[INT022] m: changed",
            IntegrityError,
            "INT022",
            EXIT_INTEGRITY,
        ),
    ],
)
def test_an_error_of_mlkit_is_the_same_here_as_there(job, client, error, trace, kind, code, exit_code):
    """Its class, code and exit code, wherever in the output of the task it stands."""
    fail(job, error, trace=trace)
    with pytest.raises(kind) as caught:
        run_job(client, NAME)
    assert (caught.value.code, caught.value.exit_code, caught.value.path) == (code, exit_code, NAME)
    assert "/runs/" in caught.value.fix


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"error": "ImportError: no module 'lightgbm'"}, "ended FAILED: ImportError: no module 'lightgbm'"),
        ({"error": "[ABC999] of another tool"}, "[ABC999] of another tool"),
        ({}, "Task main failed with message: Workload failed"),
        ({"result": "TIMEDOUT"}, "ended TIMEDOUT"),
        ({"result": "CANCELED", "life_cycle": "INTERNAL_ERROR"}, "ended CANCELED"),
        ({"result": "MAXIMUM_CONCURRENT_RUNS_REACHED", "life_cycle": "SKIPPED"}, "MAXIMUM_CONCURRENT_RUNS"),
    ],
)
def test_any_other_failure_shows_the_last_words(job, client, fields, said):
    """Of the task, else of the platform."""
    fail(job, **{"error": "", **fields})
    with pytest.raises(StoreError) as caught:
        run_job(client, NAME)
    assert caught.value.code == "STO060"
    assert said in caught.value.message


def test_a_task_whose_output_cannot_be_had_still_failed(databricks, job, client):
    """The platform's own words are shown then."""
    fail(job, "not to be read")
    databricks.before["GET", 5] = lambda: databricks.refuse("GET", 403, "PERMISSION_DENIED")
    with pytest.raises(StoreError, match="Workload failed"):
        run_job(client, NAME)


def test_a_workspace_that_stumbles_while_one_waits(databricks, job, client):
    """The run goes on; so does the waiting."""
    databricks.before["GET", 3] = lambda: databricks.refuse("GET", 500, "INTERNAL_ERROR", times=3)
    assert run_job(client, NAME).state == "SUCCESS"


def test_a_run_that_takes_too_long_goes_on(databricks, job, client, clock):
    """Repeated, the command waits on for the same run."""
    job.looks = 20
    with pytest.raises(OutcomeUnknownError, match="RUNNING after 60 s") as caught:
        run_job(client, NAME, timeout_seconds=60)
    assert caught.value.code == "STO062"
    assert run_job(client, NAME).state == "SUCCESS"
    assert len(databricks.runs) == 1


@pytest.mark.parametrize(
    ("name", "said"), [("flight_delay-drift", "found 0"), ("twice", "found 2"), ("999", "no such job")]
)
def test_a_job_that_is_not_there_or_not_alone(databricks, job, client, name, said):
    """Names are not unique in a workspace; numbers are."""
    databricks.jobs |= {20: Job(20, "twice"), 21: Job(21, "TWICE")}
    with pytest.raises(UsageError, match=said) as caught:
        run_job(client, name)
    assert (caught.value.code, caught.value.path) == ("CLI040", name)
    assert databricks.runs == {}


def test_a_parameter_that_the_job_does_not_have(databricks, job, client):
    """The platform says which."""
    with pytest.raises(UsageError, match="has no parameter horizon") as caught:
        run_job(client, NAME, parameters={"horizon": "7"})
    assert caught.value.code == "CLI041"


@pytest.mark.parametrize(("method", "nth"), [("GET", 1), ("POST", 1), ("GET", 3)])
def test_a_workspace_that_does_not_permit_it(databricks, job, client, method, nth):
    """Before the start and while one waits."""
    databricks.before[method, nth] = lambda: databricks.refuse(method, 403, "PERMISSION_DENIED", "not you")
    with pytest.raises(UsageError, match="refuses: not you") as caught:
        run_job(client, NAME)
    assert (caught.value.code, caught.value.fix) == ("CLI041", "grant CAN_MANAGE_RUN on the job")


@pytest.mark.parametrize(
    ("user", "short"),
    [
        ({"userName": "Anna.O'Neil@example.com", "displayName": "Anna"}, "anna_o_neil"),
        ({"userName": "1111-2222", "displayName": "CI Runner"}, "ci_runner"),
        ({"userName": "1111-2222"}, "1111_2222"),
    ],
)
def test_a_bundle_in_development_has_jobs_of_ones_own(databricks, client, user, short):
    """Their names are those that the command line of Databricks gives."""
    databricks.user = user
    assert development_name(client, NAME) == f"[dev {short}] {NAME}"


@pytest.mark.parametrize(
    ("status", "kind", "code"), [(403, UsageError, "CLI041"), (500, StoreError, "STO063")]
)
def test_a_workspace_that_does_not_say_who_one_is(databricks, client, status, kind, code):
    """Then the name of the job is not known."""
    databricks.refuse("GET", status, "ANY", "not now")
    with pytest.raises(kind, match="not now") as caught:
        development_name(client, NAME)
    assert caught.value.code == code
