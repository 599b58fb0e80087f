"""Where rows are worked on, and where models are served."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mlkit.errors import ConfigError
from mlkit.spec import Spec
from mlkit.targets.forms import check_form

_SESSION = re.compile(r"sc://[^\s/;:@]+(:[0-9]+)?(/(;[^\s;=]+=[^\s;=]*)*)?")
_MASTER = re.compile(r"local(\[(\*|[0-9]+)\])?|spark://\S+|yarn|k8s://\S+")
_ENDPOINT = re.compile(r"[A-Za-z0-9_-]{1,63}")
_PROJECT = "{project}"


class SparkTarget(Spec):
    """How a Spark session is opened; with no field set it is the session of the job or environment.

    Attributes:
        remote: URL of a Spark Connect server, ``sc://host:port``.
        master: Master of classic Spark, e.g. ``local[2]``.
        profile: Profile of databricks-sdk's unified authentication.
        cluster: Id of a Databricks cluster.
        serverless: Use Databricks serverless compute.
        format: Format of new tables; by default Delta where the catalog has it, else Parquet.
    """

    remote: str | None = None
    master: str | None = None
    profile: str | None = None
    cluster: str | None = None
    serverless: bool = False
    format: Literal["delta", "parquet"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        check_form(self.remote, _SESSION, "remote", "a URL such as sc://host:15002")
        check_form(self.master, _MASTER, "master", "a Spark master such as local[2]")
        given = {"remote": self.remote, "master": self.master, "profile": self.on_databricks}
        ways = [name for name, value in given.items() if value]
        if len(ways) > 1:
            message = "a session is opened by remote, by master, or on Databricks"
            raise ConfigError("CFG042", message, path=ways[-1], fix="keep one of them")
        if self.cluster and self.serverless:
            message = "compute is a cluster or serverless, not both"
            raise ConfigError("CFG042", message, path="serverless", fix="keep one of them")
        return self

    @property
    def on_databricks(self) -> bool:
        """Whether Databricks Connect opens the session."""
        return bool(self.profile or self.cluster or self.serverless)


class ServingTarget(Spec):
    """The serving endpoint that a promotion refreshes.

    Attributes:
        endpoint: Its name; ``{project}`` in it stands for the name of the project.
        workload_size: Size of its compute.
        scale_to_zero: Let it sleep when nobody asks.
        timeout_seconds: How long a refresh waits until the new version answers.
    """

    endpoint: str
    workload_size: Literal["Small", "Medium", "Large"] = "Small"
    scale_to_zero: bool = True
    timeout_seconds: int = Field(default=1200, ge=1, le=86400)

    @field_validator("endpoint")
    @classmethod
    def _form(cls, value: str) -> str:
        expected = "up to 63 letters, digits, hyphens and underscores"
        check_form(value.replace(_PROJECT, "p"), _ENDPOINT, "", expected)
        return value

    def endpoint_of(self, project: str) -> str:
        """Name of the endpoint that serves a project."""
        return self.endpoint.replace(_PROJECT, project)
