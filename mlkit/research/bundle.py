"""The Databricks bundle: ``databricks.yml``, generated from frozen configs and the file of targets.

It holds jobs, and on production targets the experiment, the registered model and a volume of each
project. What a promotion moves is not in it: no alias, no endpoint. Nor is what a `bundle destroy` would
take the snapshots with: no schema. The same configs give the same bytes; the first line holds the digest
of the rest, so a file that was edited by hand is known as such and never replaced unasked.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit import document
from mlkit.errors import ConfigError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.research.bundle_jobs import actions_of, job_key, make_job, package_name, wheel_glob
from mlkit.research.bundle_targets import describe_target, settings_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlkit.targets import Target

FILE = "databricks.yml"
CLI_VERSION = ">= 1.0.0"

_FIRST = re.compile(r"# mlkit bundle, sha256 of what follows: ([0-9a-f]{64})\n")
_HEADER = """\
Written by mlkit from frozen configs and mlkit.toml; edit those, then run: mlkit bundle
Deploy it with: databricks bundle deploy --target NAME"""


def make_bundle(
    configs: Sequence[FrozenConfig],
    targets: Mapping[str, Target],
    *,
    verbs: Collection[str],
    wheels: str = "dist",
    name: str | None = None,
) -> str:
    """The bundle as text: the same bytes for the same arguments.

    Args:
        configs: Configs of the projects, in any order.
        targets: All targets; those that are not for Databricks are left out.
        verbs: Verbs that the packaged runner knows; an action whose verb is missing gets no job.
        wheels: Folder of the wheels, relative to the bundle.
        name: Name of the bundle; by default that of the first project.

    Raises:
        ConfigError: No target is for Databricks, or there is no config (CFG039); or two configs have one
            name (CFG044).
    """
    ordered = _by_name(configs)
    bundled = bundle_targets(targets)
    if not bundled:
        fix = "describe one in mlkit.toml, with [targets.NAME.bundle]"
        raise ConfigError("CFG039", "no target is for Databricks", path="targets", fix=fix)
    jobs = {
        job_key(config.name, action): make_job(config.name, action)
        for config in ordered
        for action in actions_of(verbs)
    }
    first = next((key for key in bundled if settings_of(bundled[key]).mode != "production"), None)
    values = {
        "bundle": {
            "name": name or ordered[0].name,
            "databricks_cli_version": CLI_VERSION,
            "engine": "direct",
        },
        "artifacts": {package_name(config.name): _artifact(config.name, wheels) for config in ordered},
        "sync": {"exclude": [".mlkit/**"]},
        "resources": {"jobs": jobs},
        "targets": {
            key: describe_target(key, target, ordered, verbs=verbs, wheels=wheels, default=key == first)
            for key, target in bundled.items()
        },
    }
    return _signed(document.write(values, header=_HEADER))


def bundled_configs(own: FrozenConfig | None = None) -> list[FrozenConfig]:
    """All configs under ``models/``; `own` stands for the one of its name, or beside them.

    Raises:
        ConfigError: One of them does not load.
    """
    files = (FrozenConfig.load(path) for path in sorted(Path(FOLDER).glob("*.yaml")))
    others = [config for config in files if own is None or config.name != own.name]
    return [*others, *([own] if own else [])]


def bundle_targets(targets: Mapping[str, Target]) -> dict[str, Target]:
    """The targets that are for Databricks, by name."""
    return {name: target for name, target in targets.items() if target.bundle or target.on_databricks}


def check_bundle(text: str, path: Path) -> bool:
    """Whether the file holds this bundle already.

    Raises:
        ConfigError: It was edited by hand, or is none of mlkit's (CFG038).
    """
    found = _found(path)
    if found is None:
        return False
    first = _FIRST.match(found)
    if first is None or _digest(found[first.end() :]) != first[1]:
        message = "the file was edited by hand" if first else "the file is not one that mlkit wrote"
        fix = "to keep it, write to another: mlkit bundle --to FILE; to replace it: mlkit bundle --force"
        raise ConfigError("CFG038", message, path=str(path), fix=fix)
    return found == text


def write_bundle(text: str, path: Path, *, force: bool = False) -> Path:
    """Write a bundle; a file that holds it already is left untouched.

    Args:
        text: The bundle.
        path: Its file.
        force: Replace also what was edited by hand.

    Raises:
        ConfigError: The file was edited by hand, or is none of mlkit's (CFG038).
        StoreError: It cannot be written.
    """
    if force or not check_bundle(text, path):
        document.save(path, text)
    return path


def name_in(path: Path) -> str | None:
    """The name that an existing bundle has: under another one Databricks would make all jobs anew."""
    found = _found(path)
    if found is None or not _FIRST.match(found):
        return None
    section = document.parse(found.encode(), origin=str(path)).get("bundle")
    return str(section["name"]) if isinstance(section, dict) and "name" in section else None


def _by_name(configs: Sequence[FrozenConfig]) -> list[FrozenConfig]:
    if not configs:
        raise ConfigError("CFG039", "there is no config", path="models", fix="freeze a trial first")
    ordered = sorted(configs, key=lambda config: config.name)
    for one, other in itertools.pairwise(ordered):
        if one.name == other.name:
            message = f"two configs are named {one.name!r}: {one.path} and {other.path}"
            raise ConfigError("CFG044", message, path="name", fix="keep one of them, or rename it")
    return ordered


def _artifact(project: str, wheels: str) -> dict[str, Any]:
    """The wheel is the one that was rehearsed: the bundle uploads it and builds nothing."""
    return {"type": "whl", "files": [{"source": wheel_glob(project, wheels)}]}


def _found(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")  # as git may check it out
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        fix = "move it away, or write to another: mlkit bundle --to FILE"
        raise ConfigError("CFG038", "the file does not read as text", path=str(path), fix=fix) from exc


def _signed(body: str) -> str:
    return f"# mlkit bundle, sha256 of what follows: {_digest(body)}\n{body}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
