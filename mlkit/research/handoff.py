"""Handoff: config and code in a wheel, and the proof that the wheel repeats the trial.

The wheel's version follows from its content, it is built without network, and building it twice gives
the same bytes. The rehearsal calls the wheel's entry point with the job's parameters in a fresh
interpreter that can import the wheel and installed packages, but nothing of the user's source tree.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.code import WHEEL_GROUP, user_files
from mlkit.errors import ConfigError, IntegrityError
from mlkit.frozen import FrozenConfig, provenance_path
from mlkit.research.interpreter import Interpreter, isolated, sandboxed, unpackaged
from mlkit.research.wheel import content_version, write_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.workspace import Workspace

FOLDER = "dist"
COMPARED = ("train", "test", "train_rows", "test_rows", "scores", "predictions")

_ENTRY = '''\
"""The packaged runner of {name}, made by mlkit; the configs beside it decide what it does."""

from pathlib import Path


def main(arguments=None):
    """Run one verb: deploy, plan or rollback, with --name=value options."""
    from mlkit.production.task import main as run

    return run(arguments, configs=Path(__file__).parent / "configs")
'''


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """Proof that the packaged runner repeats the trial.

    Attributes:
        isolated: Whether it ran in a fresh environment made from the pinned requirements.
        compared_with: ``trial``, or ``source tree`` for a config that was edited after the freeze.
        train: Fingerprint of the train rows, equal on both sides.
        test: Fingerprint of the test rows, equal on both sides.
        scores: Score by fold, equal on both sides bit for bit.
        predictions: Fingerprint of the held-out predictions, equal on both sides.
    """

    isolated: bool
    compared_with: str
    train: str
    test: str
    scores: tuple[float, ...]
    predictions: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Handoff:
    """A package that is ready for production.

    Attributes:
        wheel: The wheel's file.
        version: Its version, derived from its content.
        entry_point: What a job calls: distribution and entry point have this name.
        parameters: What a job passes.
        rehearsal: The proof; None if it was not asked for.
        bundle: The job definition; None on a local target.
    """

    wheel: Path
    version: str
    entry_point: str
    parameters: tuple[str, ...]
    rehearsal: Rehearsal | None
    bundle: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "wheel": str(self.wheel), "bundle": str(self.bundle) if self.bundle else None}

    def __repr__(self) -> str:
        """The file, the proof and what to do next."""
        proof = "not rehearsed"
        if self.rehearsal:
            where = "a fresh environment" if self.rehearsal.isolated else "a fresh interpreter"
            proof = f"rehearsed in {where}: rows, fold scores and predictions equal the {self.rehearsal.compared_with}'s"
        return (
            f"Handoff {self.wheel}\n"
            f"  runs    {self.entry_point} {' '.join(self.parameters)}\n"
            f"  proof   {proof}\n"
            f"  next    project.deploy(config), or: mlkit deploy"
        )


def hand_off(
    config: FrozenConfig, *, workspace: Workspace, to: Path | str | None, rehearse: bool, fresh_environment: bool
) -> Handoff:
    """Build the wheel of a config and rehearse it.

    Args:
        config: A config that stands in a file.
        workspace: Where its source is.
        to: Folder of the wheel; by default ``dist``.
        rehearse: Prove that the wheel repeats the trial.
        fresh_environment: Rehearse in a new environment made from the pinned requirements.

    Raises:
        IntegrityError: The packaged runner gave something else than the trial; the message says what.
        StudyError: The packaged runner failed.
    """
    files = package_files(config)
    version = content_version(files)
    name = entry_name(config)
    wheel = write_wheel(
        Path(to or FOLDER),
        name=name,
        version=version,
        files=files,
        requires=[f"mlkit-sdk>={mlkit_version()}", *config.environment.requirements],
        entry_points={"console_scripts": {name: f"{name}:main"}, WHEEL_GROUP: {config.name: name}},
        requires_python=f"=={config.environment.python}.*",
        summary=f"The packaged runner of {config.name}.",
    )
    parameters = ("deploy", f"--config={config.name}", f"--target={workspace.target}")
    proof = _rehearsed(config, wheel, name, parameters, workspace, fresh_environment) if rehearse else None
    return Handoff(wheel, version, name, parameters, proof)


def package_files(config: FrozenConfig) -> dict[str, bytes]:
    """Content of the wheel: the entry module, the config with its origin, and the user's code."""
    name = entry_name(config)
    code = {path: file.read_bytes() for path, file in user_files(config.references).items()}
    if taken := [path for path in code if path.split("/")[0] in (name, f"{name}.py", "mlkit")]:
        fix = f"rename it: the wheel needs {name} for itself"
        raise ConfigError("CFG036", "a module of yours has the name of the package", path=taken[0], fix=fix)
    own = {
        f"{name}/__init__.py": _ENTRY.format(name=config.name).encode(),
        f"{name}/configs/{config.name}.yaml": config.to_yaml().encode(),
    }
    if config.path and provenance_path(config.path).is_file():
        own[f"{name}/configs/{config.name}.provenance.json"] = provenance_path(config.path).read_bytes()
    return {**own, **code}


def entry_name(config: FrozenConfig) -> str:
    """Distribution, module and entry point of a config's package."""
    return f"{config.name}_model"


def mlkit_version() -> str:
    """The version of mlkit that the package asks for."""
    import importlib.metadata  # noqa: PLC0415 - only here

    return importlib.metadata.version("mlkit-sdk")


def _rehearsed(
    config: FrozenConfig,
    wheel: Path,
    name: str,
    parameters: tuple[str, ...],
    workspace: Workspace,
    fresh_environment: bool,  # noqa: FBT001 - one caller, by name there
) -> Rehearsal:
    origin = _origin(config)
    with tempfile.TemporaryDirectory(prefix="mlkit-rehearsal-") as folder:
        place = Path(folder)
        runner = (isolated if fresh_environment else sandboxed)(place, wheel, config.environment.requirements)
        cv = origin.get("cv", 5)
        found = _call(runner, name, parameters, place / "packaged.json", cv, workspace)
        if origin.get("config_digest") == config.digest:
            expected, with_what = origin, "trial"
        else:
            bare = unpackaged(Path(str(config.path)).parent)
            expected, with_what = _call(bare, name, parameters, place / "tree.json", cv, workspace), "source tree"
    _check_equal(expected, found, with_what)
    return Rehearsal(
        isolated=fresh_environment,
        compared_with=with_what,
        train=found["train"],
        test=found["test"],
        scores=tuple(found["scores"]),
        predictions=found["predictions"],
    )


def _call(
    runner: Interpreter, name: str, parameters: tuple[str, ...], out: Path, cv: int, workspace: Workspace
) -> dict[str, Any]:
    runner.run(name, [*parameters, f"--rehearse={out}", f"--cv={cv}"], home=workspace.home)
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def _origin(config: FrozenConfig) -> dict[str, Any]:
    path = provenance_path(Path(str(config.path)))
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _check_equal(expected: Mapping[str, Any], found: Mapping[str, Any], with_what: str) -> None:
    different = [name for name in COMPARED if expected.get(name) != found.get(name)]
    if different:
        details = "; ".join(f"{name}: {with_what} {expected.get(name)}, package {found.get(name)}" for name in different)
        fix = "has the source table moved on since the study? snapshot and study it again, or rehearse=False"
        raise IntegrityError("INT033", f"the packaged runner differs from the {with_what}: {details}", path="rehearsal", fix=fix)
