"""Handoff: config and code in a wheel, and the proof that the wheel repeats the trial.

The wheel's version follows from its content, it is built without network, and building it twice gives
the same bytes. The rehearsal calls the wheel's entry point with the job's parameters in a fresh
interpreter that can import the wheel and installed packages, but nothing of the user's source tree.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import importlib.metadata
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename

from mlkit import document
from mlkit.boundary import expect_config
from mlkit.code import DISTRIBUTION, WHEEL_GROUP, user_files
from mlkit.errors import ConfigError, IntegrityError, StoreError
from mlkit.frozen import FrozenConfig, provenance_path, read_provenance
from mlkit.research import bundle
from mlkit.research.bundle_jobs import package_name
from mlkit.research.interpreter import Interpreter, isolated, sandboxed, unpackaged
from mlkit.research.rehearsals import keep_rehearsal
from mlkit.research.wheel import content_version, write_wheel
from mlkit.targets import FILE, read_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mlkit.workspace import Workspace

FOLDER = "dist"
DEFAULT_FOLDS = 5
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
        bundle = str(self.bundle) if self.bundle else None
        return {**dataclasses.asdict(self), "wheel": str(self.wheel), "bundle": bundle}

    def __repr__(self) -> str:
        """The file, the proof and what to do next."""
        proof = "not rehearsed"
        if self.rehearsal:
            where = "a fresh environment" if self.rehearsal.isolated else "a fresh interpreter"
            equal = f"rows, fold scores and predictions equal the {self.rehearsal.compared_with}'s"
            proof = f"rehearsed in {where}: {equal}"
        return (
            f"Handoff {self.wheel}\n"
            f"  runs    {self.entry_point} {' '.join(self.parameters)}\n"
            f"  proof   {proof}\n"
            f"  next    {self._next}"
        )

    @property
    def _next(self) -> str:
        if self.bundle is None:
            return f"project.deploy(config), or: mlkit deploy {self.parameters[1].partition('=')[2]}"
        target = self.parameters[-1].partition("=")[2]
        return f"databricks bundle deploy --target {target}  ({self.bundle})"


def hand_off(
    config: FrozenConfig,
    *,
    workspace: Workspace,
    to: Path | str | None,
    rehearse: bool,
    fresh_environment: bool,
    verbs: Collection[str],
) -> Handoff:
    """Build the wheel of a config and rehearse it; a wheel that fails its rehearsal is not kept.

    Args:
        config: A frozen config.
        workspace: Where its source is.
        to: Folder of the wheel; by default ``dist``.
        rehearse: Prove that the wheel repeats the trial.
        fresh_environment: Rehearse in a new environment made from the pinned requirements.
        verbs: Verbs that the packaged runner knows; for a target on Databricks they decide its jobs.

    Raises:
        ConfigError: A module of the user has the name of the package (CFG036), or cannot travel; this
            environment is not the pinned one, and no fresh one was asked for (CFG037); or the bundle was
            edited by hand (CFG038).
        IntegrityError: The packaged runner gave something else than the trial (INT033): it says what.
        StudyError: The packaged runner failed (RUN014), or its environment cannot be made (RUN015).
    """
    expect_config(config)
    name = entry_name(config)
    parameters = ("deploy", f"--config={config.name}", f"--target={workspace.target}")
    build = _builder(config, workspace)
    jobs = _planned_bundle(config, workspace, Path(to or FOLDER), verbs)
    proof = None
    if rehearse:
        with tempfile.TemporaryDirectory(prefix="mlkit-rehearsal-") as folder:
            stage = _Stage(config, name, parameters, workspace.home, Path(folder))
            proof = _rehearsed(stage, build(stage.place), fresh_environment=fresh_environment)
    wheel = build(Path(to or FOLDER))
    if jobs is not None:
        _remove_older(wheel, name)
        bundle.write_bundle(*jobs)
    version = str(parse_wheel_filename(wheel.name)[1])
    if proof is not None:
        said = {**proof.to_dict(), "wheel": wheel.name, "at": dt.datetime.now(dt.UTC).isoformat()}
        keep_rehearsal(workspace.home, config.name, config.digest, said)
    return Handoff(wheel, version, name, parameters, proof, jobs[1] if jobs else None)


def _planned_bundle(
    config: FrozenConfig, workspace: Workspace, folder: Path, verbs: Collection[str]
) -> tuple[str, Path] | None:
    """Text and file of the bundle that runs the wheels of a folder; None on a target without jobs.

    Raises:
        ConfigError: The file was edited by hand (CFG038): said before any work is done.
    """
    targets = read_targets(workspace.config) if workspace.config else {}
    if workspace.target not in bundle.bundle_targets(targets):
        return None
    path, wheels = Path(bundle.FILE), Path(FOLDER)
    try:
        wheels = folder.resolve().relative_to(Path.cwd().resolve())
    except ValueError:  # the wheels lie elsewhere: so does what runs them
        path, wheels = folder / bundle.FILE, Path()
    configs = bundle.bundled_configs(config)
    name = bundle.name_in(path)
    text = bundle.make_bundle(configs, targets, verbs=verbs, wheels=wheels.as_posix(), name=name)
    bundle.check_bundle(text, path)
    return text, path


def _remove_older(wheel: Path, name: str) -> None:
    """Leave one wheel of a package in its folder: of several, Databricks would pick one by its name."""
    try:
        for older in wheel.parent.glob(f"{name}-*.whl"):
            if older != wheel:
                older.unlink()
    except OSError as exc:
        message = f"cannot remove an older wheel: {exc.strerror}"
        raise StoreError("STO041", message, path=str(wheel.parent), fix="remove it by hand") from exc


def _builder(config: FrozenConfig, workspace: Workspace) -> Callable[[Path], Path]:
    """What writes the wheel into a folder; the files are read now, so each call gives the same bytes."""
    name = entry_name(config)
    files = package_files(config, targets=workspace.config)
    own = f"{DISTRIBUTION}>={importlib.metadata.version(DISTRIBUTION)}"
    requires = [own, *config.environment.requirements]
    return functools.partial(
        write_wheel,
        name=name,
        version=content_version({**files, "requires": "\n".join(requires).encode()}),
        files=files,
        requires=requires,
        entry_points={"console_scripts": {name: f"{name}:main"}, WHEEL_GROUP: {config.name: name}},
        requires_python=f"=={config.environment.python}.*",
        summary=f"The packaged runner of {config.name}.",
    )


def package_files(config: FrozenConfig, *, targets: Path | None = None) -> dict[str, bytes]:
    """Content of the wheel: the entry module, the config with its origin, the targets, and the user's code.

    Args:
        config: A frozen config.
        targets: File of the targets; it holds no secret. A job has no working directory to find it in.

    Returns:
        Posix path inside the wheel -> content.

    Raises:
        ConfigError: A module of the user has the name of the package (CFG036), or cannot travel.
    """
    name = entry_name(config)
    code = {path: file.read_bytes() for path, file in user_files(config.references).items()}
    if taken := [path for path in code if path.split("/")[0] in (name, f"{name}.py", "mlkit")]:
        fix = f"rename it: the wheel needs {name} for itself"
        raise ConfigError("CFG036", "a module of yours has the name of the package", path=taken[0], fix=fix)
    own = {
        f"{name}/__init__.py": _ENTRY.format(name=config.name).encode(),
        f"{name}/configs/{config.name}.yaml": config.to_yaml().encode(),
    }
    origin = _origin_file(config)
    if origin is not None:
        own[f"{name}/configs/{config.name}.provenance.json"] = origin.read_bytes()
    if targets is not None:
        own[f"{name}/configs/{FILE}"] = targets.read_bytes()
    return {**own, **code}


def entry_name(config: FrozenConfig) -> str:
    """Distribution, module and entry point of a config's package."""
    return package_name(config.name)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """What a rehearsal calls, with what, and where."""

    config: FrozenConfig
    name: str
    parameters: tuple[str, ...]
    home: Path
    place: Path

    def call(self, runner: Interpreter, cv: int, *, out: str) -> dict[str, Any]:
        """What the runner found, from the file it wrote."""
        file = self.place / out
        runner.run(self.name, [*self.parameters, f"--rehearse={file}", f"--cv={cv}"], home=self.home)
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def _rehearsed(stage: _Stage, wheel: Path, *, fresh_environment: bool) -> Rehearsal:
    """Compare the package with the trial, or with the source tree for a config that no trial stands for."""
    drift = stage.config.environment.drift()
    if drift and not fresh_environment:
        message = f"this environment is not the one the wheel asks for: {'; '.join(drift)}"
        fix = "rehearse in a fresh one (--isolated), install the pins, or freeze again"
        raise ConfigError("CFG037", message, path="environment", fix=fix)
    made = isolated if fresh_environment else sandboxed
    runner = made(stage.place, wheel, stage.config.environment.requirements)
    origin = read_provenance(stage.config)
    cv = origin.get("cv", DEFAULT_FOLDS)
    found = stage.call(runner, cv, out="packaged.json")
    if origin.get("config_digest") == stage.config.digest:
        expected, with_what = origin, "trial"
    else:
        configs = stage.place / "configs"
        document.save(configs / f"{stage.config.name}.yaml", stage.config.to_yaml())
        expected, with_what = stage.call(unpackaged(configs), cv, out="tree.json"), "source tree"
    _check_equal(expected, found, with_what)
    return Rehearsal(
        isolated=fresh_environment,
        compared_with=with_what,
        train=found["train"],
        test=found["test"],
        scores=tuple(found["scores"]),
        predictions=found["predictions"],
    )


def _origin_file(config: FrozenConfig) -> Path | None:
    file = provenance_path(config.path) if config.path else None
    return file if file is not None and file.is_file() else None


def _check_equal(expected: Mapping[str, Any], found: Mapping[str, Any], with_what: str) -> None:
    different = [name for name in COMPARED if expected.get(name) != found.get(name)]
    if different:
        pairs = [f"{name}: {with_what} {expected.get(name)}, package {found.get(name)}" for name in different]
        message = f"the packaged runner differs from the {with_what}: {'; '.join(pairs)}"
        fix = "has the source table moved on since the study? snapshot and study it again, or rehearse=False"
        raise IntegrityError("INT033", message, path="rehearsal", fix=fix)
