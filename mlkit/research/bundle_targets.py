"""The targets of a Databricks bundle: where each is, who may do what, and what it has of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.console import say
from mlkit.engines.base import MONITORING, TRAINING
from mlkit.errors import ConfigError
from mlkit.research.bundle_jobs import actions_of, job_key, place_job
from mlkit.targets import BundleTarget
from mlkit.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlkit.frozen import FrozenConfig
    from mlkit.targets import Target

ROOT_PATH = "/Workspace/Shared/.bundle/${bundle.name}/${bundle.target}"
PYTHON_OF = {"4": "3.12", "5": "3.12", "6": "3.12"}
"""Python of each version of the serverless environment."""


def describe_target(
    name: str,
    target: Target,
    configs: Sequence[FrozenConfig],
    *,
    verbs: Collection[str],
    wheels: str,
    default: bool,
) -> dict[str, Any]:
    """One target of the bundle.

    Args:
        name: Its name.
        target: What ``mlkit.toml`` says about it.
        configs: Configs of the projects.
        verbs: Verbs that the packaged runner knows.
        wheels: Folder of the wheels, relative to the bundle.
        default: Whether it is meant where no target is named.

    Raises:
        ConfigError: The settings of a job cluster lack the version of Spark (CFG045), or the target's tables
            are not in Spark (CFG042).
    """
    _check_place(name, target)
    bundle = settings_of(target)
    _tell_python(configs, name, bundle)
    jobs = {
        job_key(config.name, action): place_job(config.name, action, bundle, wheels=wheels)
        for config in configs
        for action in actions_of(verbs)
    }
    stores = _stores(configs, name, target) if bundle.mode == "production" else {}
    return {
        "mode": bundle.mode,
        **({"default": True} if default else {}),
        **_place(bundle),
        "resources": {**stores, "jobs": jobs},
    }


def _check_place(name: str, target: Target) -> None:
    """Refuse a job whose tables and ledger would lie on a disk that is thrown away when it ends."""
    if target.on_databricks and target.spark is None:
        message = "the tables of a job lie in Spark, and this target says nothing of it"
        fix = f"[targets.{name}.spark] with serverless = true, cluster or profile; empty for the job's own"
        raise ConfigError("CFG042", message, path=f"targets.{name}.spark", fix=fix)


def settings_of(target: Target) -> BundleTarget:
    """What a target says about its bundle."""
    return target.bundle or BundleTarget()


def _place(bundle: BundleTarget) -> dict[str, Any]:
    root = bundle.root_path or (ROOT_PATH if bundle.mode == "production" else None)
    workspace = {"host": bundle.host, "root_path": root}
    people = [
        *([{"level": "CAN_MANAGE", **_principal(bundle.run_as)}] if bundle.run_as else []),
        *({"level": "CAN_MANAGE", "group_name": group} for group in bundle.managers),
        *({"level": "CAN_VIEW", "group_name": group} for group in bundle.viewers),
    ]
    parts = {
        "workspace": {key: value for key, value in workspace.items() if value},
        "run_as": _principal(bundle.run_as) if bundle.run_as else None,
        "presets": {"trigger_pause_status": "PAUSED"} if bundle.paused else None,
        "permissions": people,
    }
    return {key: value for key, value in parts.items() if value}


def _principal(name: str) -> dict[str, str]:
    return {"user_name" if "@" in name else "service_principal_name": name}


def _stores(configs: Sequence[FrozenConfig], name: str, target: Target) -> dict[str, Any]:
    """Experiment, model and volume of each project, where Databricks keeps the runs and versions.

    A development target has none: Databricks would put the developer's name before theirs, while the
    ledger and the tables keep the names that the target gives them. The runner makes them on first use.
    """
    if not target.on_databricks:
        return {}
    workspace, bundle = Workspace(name, Path(), target), settings_of(target)
    kept = {"lifecycle": {"prevent_destroy": True}}
    experiments, models, volumes = {}, {}, {}
    for config in configs:
        project = config.name
        experiments[f"{project}_experiment"] = {"name": workspace.experiment_name(project), **kept}
        place = {"catalog_name": target.catalog, "schema_name": target.schemas[TRAINING], "name": project}
        owner = {"owner": bundle.run_as} if bundle.run_as else {}
        readers = _grants(bundle, ["EXECUTE"])
        models[f"{project}_model"] = {**place, **owner, **readers, **kept}
        place = {"catalog_name": target.catalog, "schema_name": target.schemas[MONITORING]}
        files = {"name": f"{project}_reports", "volume_type": "MANAGED"}
        grants = _grants(bundle, ["READ_VOLUME"], own=["READ_VOLUME", "WRITE_VOLUME"])
        volumes[f"{project}_reports"] = {**place, **files, **grants, **kept}
    return {"experiments": experiments, "registered_models": models, "volumes": volumes}


def _grants(
    bundle: BundleTarget, privileges: Sequence[str], *, own: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    runner = [{"principal": bundle.run_as, "privileges": list(own)}] if own and bundle.run_as else []
    grants = [*runner, *({"principal": group, "privileges": list(privileges)} for group in bundle.viewers)]
    return {"grants": grants} if grants else {}


def _tell_python(configs: Sequence[FrozenConfig], name: str, bundle: BundleTarget) -> None:
    """Say early what an installation on serverless compute would fail by."""
    python = PYTHON_OF.get(bundle.environment_version) if bundle.cluster is None else None
    for config in configs:
        if python and config.environment.python != python:
            there = f"environment {bundle.environment_version} of target {name} has Python {python}"
            say(f"{config.name} is pinned to Python {config.environment.python}, {there}: freeze it there")
