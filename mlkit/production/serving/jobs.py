"""Starts a job of the workspace, once, and waits for what it says.

A request whose answer was lost can be repeated, by the SDK or by a person: it carries a token made of the
job, its parameters and the newest run that had ended, so the platform starts one run for all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.jobs import RunLifeCycleState, RunResultState

from mlkit import errors
from mlkit.console import say
from mlkit.errors import MlkitError, OutcomeUnknownError, StoreError, UsageError
from mlkit.production.serving.client import NO_ANSWER, in_short, is_refusal, words_of
from mlkit.production.serving.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

JOB_SECONDS = 4 * 3600
_ENDED = (RunLifeCycleState.TERMINATED, RunLifeCycleState.SKIPPED, RunLifeCycleState.INTERNAL_ERROR)
_DEPLOY = "databricks bundle deploy, or give the number of a job"
_OWN_ERROR = re.compile(r"\[[A-Z]{3}\d{3}\] .+")
_KINDS: Mapping[str, type[MlkitError]] = {
    "CFG": errors.ConfigError,
    "CLI": errors.UsageError,
    "DAT": errors.DataError,
    "GAT": errors.GateRejectedError,
    "INT": errors.IntegrityError,
    "NAM": errors.NamingError,
    "NET": errors.ServingError,
    "RUN": errors.StudyError,
    "SEC": errors.SecurityError,
    "STO": errors.StoreError,
    "STO021": errors.RaceLostError,
}


@dataclasses.dataclass(frozen=True)
class JobRun:
    """A run of a job.

    Attributes:
        job: Its name.
        job_id: Its number.
        run_id: Number of the run.
        state: ``SUCCESS``, or how far it is if nobody waited.
        url: Its page.
        seconds: How long it was waited for.
    """

    job: str
    job_id: int
    run_id: int
    state: str
    url: str
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """State first, then where to look."""
        return f"{self.state}  {self.job}, run {self.run_id}, in {self.seconds:.0f} s\n  look    {self.url}"


def run_job(
    client: WorkspaceClient,
    job: str,
    *,
    parameters: Mapping[str, str] | None = None,
    idempotency_token: str | None = None,
    wait: bool = True,
    timeout_seconds: float = JOB_SECONDS,
) -> JobRun:
    """Start a job and wait for its end.

    Args:
        client: Of the workspace.
        job: Its name, or its number.
        parameters: Values of job parameters.
        idempotency_token: Requests with one token start one run; by default made so that a repeated
            command joins the run it had started, until that ends.
        wait: Otherwise it is only started.
        timeout_seconds: How long to wait; the run goes on.

    Raises:
        UsageError: No job or several of this name (CLI040), or the workspace refuses (CLI041).
        OutcomeUnknownError: No answer (STO061), or it runs on after the time (STO062).
        StoreError: It failed (STO060).
        MlkitError: The task raised an error of mlkit: its code, and so the exit code, are the same here.
    """
    pace = Pace(client.config.clock, timeout_seconds)
    try:
        job_id, name = _found(client, job)
        given = dict(parameters or {})
        token = idempotency_token or _token(client, job_id, given)
        sent = client.jobs.run_now(job_id, job_parameters=given or None, idempotency_token=token)
        number = int(sent.bind()["run_id"])
        run = JobRun(name, job_id, number, "PENDING", f"{client.config.host}/jobs/{job_id}/runs/{number}")
    except MlkitError:
        raise
    except NO_ANSWER as exc:
        raise _not_started(exc, job) from exc
    return _Watch(client, run, pace).wait() if wait else run


def development_name(client: WorkspaceClient, job: str) -> str:
    """Name under which a bundle in development mode deploys a job of the caller's own.

    Raises:
        MlkitError: The workspace refuses (CLI041) or does not answer (STO063).
    """
    try:
        user = client.current_user.me()
    except NO_ANSWER as exc:
        if is_refusal(exc):
            raise _refused(exc, job) from exc
        message = f"the workspace does not say who you are: {words_of(exc)}"
        raise StoreError("STO063", message, path=job, fix="repeat later, or name the job: --job") from exc
    # As the command line of Databricks does it: service principals go by their display name.
    human = "@" in (user.user_name or "")
    name = (user.user_name if human else user.display_name or user.user_name) or ""
    short = "".join(letter if letter.isalnum() else "_" for letter in name.partition("@")[0].lower())
    return f"[dev {short}] {job}"


@dataclasses.dataclass
class _Watch:
    """Looks at a run until it has ended."""

    client: WorkspaceClient
    run: JobRun
    pace: Pace
    told: str = ""

    def wait(self) -> JobRun:
        """The run when it has succeeded."""
        while True:
            native = self._look()
            if native is not None and native.state and native.state.life_cycle_state in _ENDED:
                return self._judged(native)
            if self.pace.over:
                message = (
                    f"run {self.run.run_id} was {self.told or 'not seen'} after {self.pace.seconds:.0f} s"
                )
                fix = f"it goes on: {self.run.url}; repeat to wait on"
                raise OutcomeUnknownError("STO062", message, path=self.run.job, fix=fix)
            self.pace.wait()

    def _look(self) -> Run | None:
        try:
            native = self.client.jobs.get_run(self.run.run_id)
        except NO_ANSWER as exc:
            if is_refusal(exc):
                raise _refused(exc, self.run.job) from exc
            return None
        self.run = dataclasses.replace(self.run, url=native.run_page_url or self.run.url)
        state = native.state.life_cycle_state if native.state else None
        if state and state.value != self.told:
            self.told = state.value
            say(f"{self.run.job}: run {self.run.run_id} {self.told}  {self.run.url}")
        return native

    def _judged(self, native: Run) -> JobRun:
        result = native.state.result_state if native.state else None
        if result is not RunResultState.SUCCESS:
            raise self._failure(native)
        return dataclasses.replace(self.run, state=result.value, seconds=round(self.pace.seconds, 3))

    def _failure(self, native: Run) -> MlkitError:
        """The error of the task that failed, as it would have been here."""
        state = native.state
        said = next(self._last_words(native), None) or (state and state.state_message) or "no reason"
        fix = f"its page has the whole log: {self.run.url}"
        code, _, rest = said.removeprefix("[").partition("] ")
        kind = (_KINDS.get(code) or _KINDS.get(code[:3])) if _OWN_ERROR.fullmatch(said) else None
        if kind:
            return kind(code, f"in run {self.run.run_id}: {in_short(rest)}", path=self.run.job, fix=fix)
        ended = state.result_state or state.life_cycle_state if state else None
        how = ended.value if ended else "without a state"
        message = f"run {self.run.run_id} ended {how}: {in_short(said)}"
        return StoreError("STO060", message, path=self.run.job, fix=fix)

    def _last_words(self, native: Run) -> Iterator[str]:
        """Errors of the tasks that failed, each in its last attempt."""
        last = {task.task_key: task for task in native.tasks or ()}
        for task in last.values():
            if task.run_id and task.state and task.state.result_state is RunResultState.FAILED:
                try:
                    output = self.client.jobs.get_run_output(task.run_id)
                except NO_ANSWER:
                    continue
                # `error` is the last line of the exception; one of several lines has its code further up.
                own = _OWN_ERROR.findall(f"{output.error_trace or ''}\n{output.error or ''}")
                if said := own[-1] if own else output.error:
                    yield said


def _found(client: WorkspaceClient, job: str) -> tuple[int, str]:
    if job.isascii() and job.isdigit():
        return int(job), job
    found = [one for one in client.jobs.list(name=job) if one.job_id]
    if len(found) == 1 and found[0].job_id:
        return found[0].job_id, job
    numbers = ", ".join(str(one.job_id) for one in found)
    fix = f"give its number: one of {numbers}" if found else _DEPLOY
    raise UsageError("CLI040", f"expected one job of this name, found {len(found)}", path=job, fix=fix)


def _token(client: WorkspaceClient, job_id: int, parameters: Mapping[str, str]) -> str:
    """Equal for equal requests until a run of the job ends; 64 characters are the most it may have."""
    ended = next(iter(client.jobs.list_runs(job_id=job_id, completed_only=True, limit=1)), None)
    parts = [job_id, sorted(parameters.items()), ended.run_id if ended else None]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _not_started(error: Exception, job: str) -> MlkitError:
    if is_refusal(error):
        return _refused(error, job)
    message = f"whether the job was started is not known: {words_of(error)}"
    fix = "repeat the command: it joins the run if there is one"
    return OutcomeUnknownError("STO061", message, path=job, fix=fix)


def _refused(error: Exception, job: str) -> UsageError:
    match error:
        case NotFound():
            return UsageError(
                "CLI040", f"there is no such job: {words_of(error)}", path=job, fix="bundle deploy"
            )
        case PermissionDenied():
            fix = "grant CAN_MANAGE_RUN on the job"
        case _:
            fix = "correct the parameters, or the credentials"
    return UsageError("CLI041", f"the workspace refuses: {words_of(error)}", path=job, fix=fix)
