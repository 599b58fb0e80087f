"""What a target has to refresh (services, or an endpoint of Databricks) and jobs to start there.

The SDK of Databricks is loaded for these only.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from mlkit.errors import StoreError, UsageError
from mlkit.production.refresh import NoRefresher
from mlkit.production.serving.replicas import ReplicaRefresher
from mlkit.targets import BundleTarget
from mlkit.workspace import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.production.ledger import Entry
    from mlkit.production.refresh import Refresher
    from mlkit.production.serving.jobs import JobRun
    from mlkit.production.serving.replicas import Heard
    from mlkit.production.stores import Stores
    from mlkit.targets import ServingTarget, Target
    from mlkit.workspace import Workspace


def choose_refresher(stores: Stores) -> Refresher:
    """What tells the serving of a target of a new champion: its services, its endpoint, or nothing.

    The workspace is asked for only when there is a champion to tell of.

    Raises:
        StoreError: The SDK of Databricks is not installed (STO037).
    """
    settings, project = stores.workspace.spec, stores.project
    if settings.serving is None:
        return NoRefresher()
    if settings.serving.replicas:
        return _replicas(settings.serving, project)
    with _needing_sdk(stores.workspace.target):
        from mlkit.production.serving.client import open_client  # noqa: PLC0415 - the chooser of the seam
        from mlkit.production.serving.refresher import DatabricksRefresher  # noqa: PLC0415 - as above

    return DatabricksRefresher(
        lambda: open_client(_profile(settings)),
        endpoint=settings.serving.endpoint_of(project),
        model=stores.workspace.model_name(project),
        serving=settings.serving,
        newest=stores.ledger.head,
    )


def ask_serving(stores: Stores, champion: Entry, *, seconds: float) -> list[Heard] | str:
    """What the services of a target answer with now, or a sentence that says why none was asked.

    Args:
        stores: Of which project.
        champion: What the ledger names.
        seconds: How long each may take.
    """
    serving = stores.workspace.spec.serving
    if serving is None:
        return f"the target {stores.workspace.target} names none"
    if not serving.replicas:
        endpoint = serving.endpoint_of(stores.project)
        return f"the endpoint {endpoint} of Databricks is asked by a deployment, which waits for it"
    return _replicas(serving, stores.project).ask(stores.project, champion, seconds=seconds)


def _replicas(serving: ServingTarget, project: str) -> ReplicaRefresher:
    return ReplicaRefresher(
        serving.replicas_of(project),
        variable=serving.admin_variable,
        timeout_seconds=serving.replica_seconds,
    )


def start_job(
    workspace: Workspace,
    name: str,
    *,
    job: str | None = None,
    parameters: Mapping[str, str] | None = None,
    wait: bool = True,
) -> JobRun:
    """Start a job of the bundle in the workspace of a target.

    Args:
        workspace: Whose target is on Databricks.
        name: What the bundle calls it, ``<project>-<action>``.
        job: Name or number of the job where it is another one.
        parameters: Values of job parameters.
        wait: Until it has ended; an error of its task is raised here.

    Raises:
        UsageError: The target is not on Databricks (CLI042), no credentials (CLI013), no such job
            (CLI040), or the workspace refuses (CLI041).
        StoreError: The SDK of Databricks is not installed (STO037).
        MlkitError: What `run_job` raises.
    """
    settings = workspace.spec
    if not (settings.on_databricks or (settings.spark and settings.spark.on_databricks)):
        fix = "take a --target whose runs or Spark session are on Databricks"
        raise UsageError("CLI042", "this target has no jobs", path=workspace.target, fix=fix)
    with _needing_sdk(workspace.target):
        from mlkit.production.serving.client import open_client  # noqa: PLC0415 - as above
        from mlkit.production.serving.jobs import development_name, run_job  # noqa: PLC0415 - as above

    client = open_client(_profile(settings))
    bundle = settings.bundle or BundleTarget()  # as the generated bundle takes a target that says nothing
    if job is None and bundle.mode == "development":
        name = development_name(client, name)
    return run_job(client, job or name, parameters=parameters, wait=wait)


@contextlib.contextmanager
def _needing_sdk(target: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        if not (exc.name or "").startswith("databricks"):
            raise
        message = "what this target has on Databricks needs databricks-sdk, which is not installed"
        raise StoreError("STO037", message, path=target, fix="pip install databricks-sdk") from exc


def _profile(settings: Target) -> str | None:
    """None inside a job, which has credentials of its own."""
    return None if RUNTIME in os.environ else settings.profile
