"""What is said about a target in the bundle that Databricks deploys."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mlkit.spec import Spec
from mlkit.targets.forms import Texts, check_form

_HOST = re.compile(r"https://[^\s/?#@:]+(:[0-9]+)?/?")
_PATH = re.compile(r"/\S.*[^/]")
_MAIL = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")
_CRON = re.compile(r"\S+( \S+){5,6}")
_ZONE = re.compile(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+)*")


class BundleTarget(Spec):
    """What the generated ``databricks.yml`` says about a target.

    Attributes:
        mode: ``production``, or ``development``, in which Databricks prefixes names and pauses schedules.
        host: Workspace, ``https://...``; by default that of the profile which deploys the bundle.
        root_path: Workspace folder of the bundle's files.
        run_as: Service principal (its application id) or user that the jobs run as.
        managers: Groups that may manage everything.
        viewers: Groups that may look.
        oncall: Group that may run the rollback job.
        notify: Mail addresses told of failures.
        deploy_cron: Quartz schedule of the deploy job; none runs by hand only. So for the others.
        score_cron: Schedule of the score job.
        drift_cron: Schedule of the drift job.
        cleanup_cron: Schedule of the cleanup job.
        timezone: Zone of the schedules.
        environment_version: Version of the serverless environment.
        cluster: Settings of a job cluster (``spark_version``, ``node_type_id``, ...); without them jobs
            are serverless.
        paused: Deploy the schedules paused.
    """

    mode: Literal["development", "production"] = "development"
    host: str | None = None
    root_path: str | None = None
    run_as: str | None = None
    managers: Texts = ()
    viewers: Texts = ()
    oncall: str | None = None
    notify: Texts = ()
    deploy_cron: str | None = None
    score_cron: str | None = None
    drift_cron: str | None = None
    cleanup_cron: str | None = None
    timezone: str = "UTC"
    environment_version: str = Field(default="5", pattern=r"^[1-9][0-9]*$")
    cluster: dict[str, Any] | None = None
    paused: bool = False

    @model_validator(mode="after")
    def _forms(self) -> Self:
        check_form(self.host, _HOST, "host", "an address such as https://prod.example.com")
        check_form(self.root_path, _PATH, "root_path", "an absolute workspace path")
        check_form(self.timezone, _ZONE, "timezone", "a zone such as UTC or Europe/Paris")
        for name in ("deploy_cron", "score_cron", "drift_cron", "cleanup_cron"):
            check_form(getattr(self, name), _CRON, name, "six or seven fields such as '0 0 5 * * ?'")
        for place, address in enumerate(self.notify):
            check_form(address, _MAIL, f"notify.{place}", "a mail address")
        return self
