"""The jobs of a Databricks bundle: what they call, with what, when, and on which compute."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mlkit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlkit.targets import BundleTarget

COMPUTE = "runner"
TIMEOUT_SECONDS = 4 * 3600
RETRY_AFTER_MILLIS = 60_000
REFRESHED_BY = "deploy"

# What every task says of itself: a job run that is repeated is known by it, and so is where it came from. The
# address of the repository is left out: Databricks takes it as it is cloned, a login in it included.
_SAID = (
    "--attempt=w{{workspace.id}}-j{{job.id}}-r{{job.run_id}}-p{{job.repair_count}}-e{{task.execution_count}}",
    "--started-at={{job.start_time.iso_datetime}}",
    "--git-commit=${bundle.git.commit}",
    "--bundle=${bundle.name}/${bundle.target}",
)
_MODEL = {"model_name": "", "model_version": ""}  # what Unity Catalog calls a deployment job with


@dataclasses.dataclass(frozen=True)
class Action:
    """A job that every project has.

    Attributes:
        name: What it does; jobs are named ``<project>-<action>``.
        verb: Verb of the packaged runner.
        parameters: Default of each job parameter; the option of the verb is spelled with hyphens, except
            for those that Databricks spells itself.
        retries: How often a failed task is tried again: never where a gate decides.
        follow_up: Whether it ends by starting the deploy job when its task says so.
    """

    name: str
    verb: str
    parameters: Mapping[str, str]
    retries: int = 0
    follow_up: bool = False


ACTIONS = (
    Action("deploy", "deploy", {"reason": "", **_MODEL}),
    Action("score", "score", {"as_of": "{{job.start_time.iso_date}}"}, retries=2),
    Action("drift", "monitor", {"auto_retrain": "false"}, follow_up=True),
    Action("cleanup", "cleanup", {"apply": "false", "keep_days": "90"}),
    Action("rollback", "rollback", {"to": "previous", "reason": "", **_MODEL}),
)


def actions_of(verbs: Collection[str]) -> list[Action]:
    """The actions whose verb the packaged runner knows."""
    return [action for action in ACTIONS if action.verb in verbs]


def job_key(project: str, action: Action | str) -> str:
    """Key of a job among the resources: no other kind of resource ends so."""
    return f"{project}_{action if isinstance(action, str) else action.name}"


def package_name(project: str) -> str:
    """Distribution, module and entry point of a project's package."""
    return f"{project}_model"


def make_job(project: str, action: Action) -> dict[str, Any]:
    """What a job is on every target.

    Args:
        project: Whose job it is; its config has the same name.
        action: What it does.
    """
    package = package_name(project)
    parameters = [
        *(action.verb, f"--config={project}", "--target=${bundle.target}"),
        *(f"--{_option(name)}={{{{job.parameters.{name}}}}}" for name in action.parameters),
        *_SAID,
    ]
    task = {
        "task_key": action.name,
        "max_retries": action.retries,
        **({"min_retry_interval_millis": RETRY_AFTER_MILLIS} if action.retries else {}),
        "disable_auto_optimization": True,  # serverless compute retries by itself unless told not to
        "python_wheel_task": {"package_name": package, "entry_point": package, "parameters": parameters},
    }
    return {
        "name": f"{project}-{action.name}",
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "timeout_seconds": TIMEOUT_SECONDS,
        "parameters": [{"name": name, "default": text} for name, text in action.parameters.items()],
        "tasks": [task, *(_retrain(project, action) if action.follow_up else [])],
    }


def place_job(project: str, action: Action, bundle: BundleTarget, *, wheels: str) -> dict[str, Any]:
    """What a job is on one target besides: its schedule, its compute, and who is told or may run it.

    Args:
        project: Whose job it is.
        action: What it does.
        bundle: What the target says.
        wheels: Folder of the wheels, relative to the bundle.

    Raises:
        ConfigError: The settings of a job cluster lack the version of Spark (CFG045).
    """
    cron = getattr(bundle, f"{action.name}_cron", None)
    zone = {"quartz_cron_expression": cron, "timezone_id": bundle.timezone}
    oncall = [{"level": "CAN_MANAGE_RUN", "group_name": bundle.oncall}]
    return {
        **({"schedule": zone} if cron else {}),
        **({"email_notifications": {"on_failure": list(bundle.notify)}} if bundle.notify else {}),
        **({"permissions": oncall} if bundle.oncall and action.name == "rollback" else {}),
        **_compute(action, wheel_glob(project, wheels), bundle),
    }


def wheel_glob(project: str, wheels: str) -> str:
    """Where a project's wheel lies; its version is left open, so that new code needs no new bundle."""
    folder = "." if wheels == "." else f"./{wheels}"
    return f"{folder}/{package_name(project)}-*.whl"


def _compute(action: Action, wheel: str, bundle: BundleTarget) -> dict[str, Any]:
    if bundle.cluster is None:
        spec = {"environment_version": bundle.environment_version, "dependencies": [wheel]}
        environment = {"environment_key": COMPUTE, "spec": spec}
        return {
            "environments": [environment],
            "tasks": [{"task_key": action.name, "environment_key": COMPUTE}],
        }
    if "spark_version" not in bundle.cluster:
        fix = "name a runtime, as `databricks clusters spark-versions` lists them"
        message = "a job cluster needs a spark_version"
        raise ConfigError("CFG045", message, path="bundle.cluster", fix=fix)
    # Of the access modes only this one and the shared one reach Unity Catalog; this one takes any library.
    cluster = {"data_security_mode": "SINGLE_USER", **bundle.cluster}
    libraries = [{"whl": wheel}]
    task = {"task_key": action.name, "job_cluster_key": COMPUTE, "libraries": libraries}
    return {"job_clusters": [{"job_cluster_key": COMPUTE, "new_cluster": cluster}], "tasks": [task]}


def _retrain(project: str, action: Action) -> list[dict[str, Any]]:
    """Two tasks behind a check: look at what it said, and start the deploy job."""
    asked = f"{{{{tasks.{action.name}.values.should_retrain}}}}"
    job = f"${{resources.jobs.{job_key(project, REFRESHED_BY)}.id}}"
    return [
        {
            "task_key": "should_retrain",
            "depends_on": [{"task_key": action.name}],
            "condition_task": {"op": "EQUAL_TO", "left": asked, "right": "true"},
        },
        {
            "task_key": "retrain",
            "depends_on": [{"task_key": "should_retrain", "outcome": "true"}],
            "max_retries": 0,
            "run_job_task": {"job_id": job, "job_parameters": {"reason": "drift"}},
        },
    ]


def _option(parameter: str) -> str:
    return parameter if parameter in _MODEL else parameter.replace("_", "-")
