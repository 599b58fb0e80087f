"""Where rows are worked on, and where models are served."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mlkit.errors import ConfigError
from mlkit.spec import Spec
from mlkit.targets.forms import VARIABLE, Texts, check_form

_SESSION = re.compile(r"sc://[^\s/;:@]+(:[0-9]+)?(/(;[^\s;=]+=[^\s;=]*)*)?")
_MASTER = re.compile(r"local(\[(\*|[0-9]+)\])?|spark://\S+|yarn|k8s://\S+")
_ENDPOINT = re.compile(r"[A-Za-z0-9_-]{1,63}")
_ADDRESS = re.compile(r"https?://[^\s/?#@:]+(:[0-9]{1,5})?(/[^\s?#@]*)?")
_PROJECT = "{project}"
_REPLICA_SECONDS = 60


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
    """What serves and is refreshed after a promotion: an endpoint of Databricks, or services of mlkit.

    Attributes:
        endpoint: Name of the endpoint; ``{project}`` in it stands for the name of the project.
        workload_size: Size of its compute.
        scale_to_zero: Let it sleep when nobody asks.
        replicas: Addresses of services (`mlkit serve`), each with ``{project}`` where it has the name.
        admin_variable: Environment variable with the services' admin token; the first of several counts.
        timeout_seconds: How long a refresh waits until the new version answers; by default 20 minutes for an
            endpoint, one for replicas.
    """

    endpoint: str | None = None
    workload_size: Literal["Small", "Medium", "Large"] = "Small"
    scale_to_zero: bool = True
    replicas: Texts = ()
    admin_variable: str = "MLKIT_ADMIN_TOKENS"
    timeout_seconds: int = Field(default=1200, ge=1, le=86400)

    @field_validator("endpoint")
    @classmethod
    def _form(cls, value: str | None) -> str | None:
        expected = "up to 63 letters, digits, hyphens and underscores"
        check_form(value and value.replace(_PROJECT, "p"), _ENDPOINT, "", expected)
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        check_form(self.admin_variable, VARIABLE, "admin_variable", "the name of an environment variable")
        for place, address in enumerate(self.replicas):
            path, expected = f"replicas.{place}", "an address such as http://host:8000"
            check_form(address.replace(_PROJECT, "p"), _ADDRESS, path, expected)
        if self.endpoint and self.replicas:
            message = "what serves is an endpoint or replicas, not both"
            raise ConfigError("CFG042", message, path="replicas", fix="keep one of them")
        if not (self.endpoint or self.replicas):
            message = "this key is required and is not there, and neither is replicas"
            raise ConfigError("CFG021", message, path="endpoint", fix="name what serves")
        return self

    def endpoint_of(self, project: str) -> str:
        """Name of the endpoint that serves a project."""
        return str(self.endpoint).replace(_PROJECT, project)

    def replicas_of(self, project: str) -> tuple[str, ...]:
        """Addresses of the services of a project."""
        return tuple(address.replace(_PROJECT, project).rstrip("/") for address in self.replicas)

    @property
    def replica_seconds(self) -> int:
        """How long replicas are waited for."""
        return self.timeout_seconds if "timeout_seconds" in self.model_fields_set else _REPLICA_SECONDS
