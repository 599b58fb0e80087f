"""A target: where the rows, runs and versions of its projects are."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from mlkit.engines.base import SCHEMAS
from mlkit.errors import ConfigError
from mlkit.spec import Spec
from mlkit.targets.alert import Alert  # noqa: TC001 - pydantic reads the annotations
from mlkit.targets.bundle import BundleTarget  # noqa: TC001 - pydantic reads the annotations
from mlkit.targets.forms import check_form, unknown_key
from mlkit.targets.spark import ServingTarget, SparkTarget  # noqa: TC001 - as above

DATABRICKS, UNITY = "databricks", "databricks-uc"

# What Unity Catalog keeps as it is written: it lowers capitals, and no other store sees a difference.
_CATALOG_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,254}")
_FOLDER = re.compile(r"/?\w[^\s:%]*(?<!/)")
_HTTP = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")


class Target(Spec):
    """A set of stores.

    Attributes:
        catalog: Unity Catalog, or catalog of the Spark session, that holds the schemas.
        schemas: Real name of each of the schemas `features`, `training` and `monitoring`.
        tracking_uri: Where MLflow keeps runs: ``databricks``, ``databricks://PROFILE`` or the URL of an
            MLflow server; by default a sqlite file of the local stores.
        registry_uri: Where it keeps versions: by default ``databricks-uc`` for Databricks, else the same.
        experiment_root: Folder of the experiments, e.g. ``/Shared/mlkit``; Databricks needs one.
        fetch_gb: The most gigabytes of one table that may come to one process.
        spark: Where rows live and are worked on; without it in the local stores.
        serving: The endpoint that a promotion refreshes, if there is one.
        bundle: What the generated Databricks bundle says about this target.
        alert: Who is told of an alarm.
    """

    catalog: str | None = None
    schemas: dict[str, str] = Field(default_factory=lambda: {name: name for name in SCHEMAS})
    tracking_uri: str | None = None
    registry_uri: str | None = None
    experiment_root: str | None = None
    fetch_gb: float = Field(default=4.0, gt=0, le=1024)
    spark: SparkTarget | None = None
    serving: ServingTarget | None = None
    bundle: BundleTarget | None = None
    alert: Alert | None = None

    @field_validator("fetch_gb", mode="before")
    @classmethod
    def _whole_gigabytes(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("schemas")
    @classmethod
    def _every_schema(cls, value: dict[str, str]) -> dict[str, str]:
        for key, name in value.items():
            if key not in SCHEMAS:
                raise unknown_key(key, SCHEMAS, path=key)
            check_form(name, _CATALOG_NAME, key, "lowercase letters, digits, _ and -", code="NAM002")
        chosen = {key: value.get(key, key) for key in SCHEMAS}
        if len(set(chosen.values())) < len(chosen):
            message = "features, training and monitoring lie in different schemas"
            raise ConfigError("CFG016", message, fix="give each a name of its own")
        return chosen

    @model_validator(mode="after")
    def _stores_fit(self) -> Self:
        check_form(
            self.catalog, _CATALOG_NAME, "catalog", "lowercase letters, digits, _ and -", code="NAM002"
        )
        check_form(self.experiment_root, _FOLDER, "experiment_root", "a folder's path")
        if self.tracking_uri is not None:
            _check_tracking(self.tracking_uri)
        _check_registry(self)
        _check_needs(self)
        return self

    @property
    def on_databricks(self) -> bool:
        """Whether Databricks keeps the runs and versions."""
        return (self.tracking_uri or "").partition("://")[0] == DATABRICKS

    @property
    def profile(self) -> str | None:
        """Profile of databricks-sdk's unified authentication; None asks the environment."""
        named = (self.tracking_uri or "").partition("://")[2] if self.on_databricks else ""
        return named or (self.spark.profile if self.spark else None)


def _check_tracking(uri: str) -> None:
    kind, _, rest = uri.partition("://")
    if uri == DATABRICKS or (kind == DATABRICKS and rest) or _HTTP.fullmatch(uri):
        return
    message = "runs are kept at databricks, databricks://PROFILE or the http(s) URL of an MLflow server"
    fix = "leave it out to keep them in sqlite among the local stores"
    raise ConfigError("CFG015", message, path="tracking_uri", fix=fix)


def _check_registry(target: Target) -> None:
    """Runs and versions lie in one store: MLflow cannot register across two."""
    uri, tracking = target.registry_uri, target.tracking_uri
    if uri is None or (uri == tracking and not target.on_databricks):
        return
    if target.on_databricks:
        wanted = UNITY + (tracking or "").removeprefix(DATABRICKS)
        if uri in {wanted, UNITY}:
            return
        fix = f'registry_uri = "{wanted}", or leave it out'
    elif uri.partition("://")[0] == UNITY:
        fix = f'tracking_uri = "{DATABRICKS}"'
    else:
        fix = "leave registry_uri out"
    message = "runs and versions lie in two stores, between which MLflow cannot register a model"
    raise ConfigError("CFG041", message, path="registry_uri", fix=fix)


def _check_profiles(target: Target) -> None:
    """Rows and models lie in one workspace."""
    named = (target.tracking_uri or "").partition("://")[2] if target.on_databricks else ""
    other = target.spark.profile if target.spark else None
    if named and other and named != other:
        message = f"the runs are in the workspace of profile {named}, the rows in that of {other}"
        raise ConfigError(
            "CFG041", message, path="spark.profile", fix=f"profile = {named!r}, or leave it out"
        )


def _check_needs(target: Target) -> None:
    """Fields that mean something only beside others."""
    _check_profiles(target)
    if target.on_databricks:
        for name in ("catalog", "experiment_root"):
            if not getattr(target, name):
                message = f"Databricks needs a {name} here"
                fix = f'e.g. {name} = "{"main" if name == "catalog" else "/Shared/mlkit"}"'
                raise ConfigError("CFG042", message, path=name, fix=fix)
        if not str(target.experiment_root).startswith("/"):
            message = "on Databricks it is an absolute workspace path"
            raise ConfigError("CFG042", message, path="experiment_root", fix='e.g. "/Shared/mlkit"')
    elif target.spark is None:
        renamed = any(key != name for key, name in target.schemas.items())
        if needless := "catalog" if target.catalog else "schemas" if renamed else "":
            message = "the local stores have neither catalogs nor other schemas"
            raise ConfigError("CFG042", message, path=needless, fix="add [targets.NAME.spark] or remove it")
