"""What a target has on Databricks, an endpoint to refresh and jobs to start; loads its SDK for these only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.production.refresh import NoRefresher
from mlkit.workspace import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.production.refresh import Refresher
    from mlkit.production.serving.jobs import JobRun
    from mlkit.production.stores import Stores
    from mlkit.targets import Target
    from mlkit.workspace import Workspace


def choose_refresher(stores: Stores) -> Refresher:
    """What tells the serving of a target of a new champion: its endpoint, or nothing.

    The workspace is asked for only when there is a champion to tell of.
    """
    settings, project = stores.workspace.spec, stores.project
    if settings.serving is None:
        return NoRefresher()
    from mlkit.production.serving.client import open_client  # noqa: PLC0415 - the chooser of the seam
    from mlkit.production.serving.refresher import DatabricksRefresher  # noqa: PLC0415 - as above

    return DatabricksRefresher(
        lambda: open_client(_profile(settings)),
        endpoint=settings.serving.endpoint_of(project),
        model=stores.workspace.model_name(project),
        serving=settings.serving,
        newest=stores.ledger.head,
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
        MlkitError: What `run_job` raises.
    """
    settings = workspace.spec
    if not (settings.on_databricks or (settings.spark and settings.spark.on_databricks)):
        fix = "take a --target whose runs or Spark session are on Databricks"
        raise UsageError("CLI042", "this target has no jobs", path=workspace.target, fix=fix)
    from mlkit.production.serving.client import open_client  # noqa: PLC0415 - as above
    from mlkit.production.serving.jobs import development_name, run_job  # noqa: PLC0415 - as above

    client = open_client(_profile(settings))
    if job is None and settings.bundle and settings.bundle.mode == "development":
        name = development_name(client, name)
    return run_job(client, job or name, parameters=parameters, wait=wait)


def _profile(settings: Target) -> str | None:
    """None inside a job, which has credentials of its own."""
    return None if RUNTIME in os.environ else settings.profile
