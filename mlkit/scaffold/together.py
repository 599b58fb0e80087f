"""All models of a repository together: plans of each, and the deployment of what changed."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlkit.console import say
from mlkit.errors import EXIT_DONE, MlkitError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.production.blocked import EXIT_BLOCKED, Blocked, try_plan
from mlkit.production.plan import EXIT_PRIMARY, EXIT_SECONDARY
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores
from mlkit.production.task import read_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.production.plan import Plan
    from mlkit.production.report import RunReport
    from mlkit.workspace import Workspace

Kind = Literal["primary", "secondary", "nothing", "blocked"]
KINDS: dict[Kind, str] = {
    "primary": "new model",
    "secondary": "code or rules only",
    "nothing": "nothing to do",
    "blocked": "blocked",
}
_EMPTY = f"no model yet: {FOLDER}/ holds no config\n  next    project.freeze(study.best, gate=...)"


@dataclasses.dataclass(frozen=True)
class Plans:
    """Plans of several models on one target.

    Attributes:
        target: Name of the stores.
        items: The plan of each model, or what keeps it from having one.
    """

    target: str
    items: tuple[Plan | Blocked, ...]

    @property
    def changed(self) -> tuple[Plan | Blocked, ...]:
        """Those with something to do, then those with something to mend."""
        found = [item for item in self.items if item.kind != "nothing"]
        return tuple(sorted(found, key=lambda item: isinstance(item, Blocked)))

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """Those that have no plan."""
        return tuple(item for item in self.items if isinstance(item, Blocked))

    @property
    def exit_code(self) -> int:
        """0, or the highest code of what could not be planned."""
        return max((item.error.exit_code for item in self.blocked), default=EXIT_DONE)

    @property
    def kind_code(self) -> int:
        """What ``--exit-code`` asks for: 9 if one is blocked, else 5 for a new model, else 6 for new code."""
        kinds = {item.kind for item in self.items}
        codes = {"blocked": EXIT_BLOCKED, "primary": EXIT_PRIMARY, "secondary": EXIT_SECONDARY}
        return next((code for kind, code in codes.items() if kind in kinds), EXIT_DONE)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"target": self.target, "plans": [item.to_dict() for item in self.items]}

    def __repr__(self) -> str:
        """One after the other, then the counts."""
        return self.text()

    @property
    def counts(self) -> str:
        """How many of each kind, in words."""
        kinds = [item.kind for item in self.items]
        words = {**KINDS, "primary": f"new model{'s' if kinds.count('primary') > 1 else ''}"}
        return ", ".join(f"{kinds.count(kind)} {said}" for kind, said in words.items() if kind in kinds)

    @property
    def summary(self) -> str:
        """One counted line."""
        return f"Plan: {counted(self.items)} on {self.target}; {self.counts}." if self.items else _EMPTY

    def text(self, *, everything: bool = False) -> str:
        """The plans for people: what has something to do, then the rest in one line, then the counts.

        Args:
            everything: Also the inputs that are unchanged, and the models that have nothing to do.
        """
        shown = self.items if everything else self.changed
        lines = [item.text(everything=everything) for item in shown]
        quiet = [item.model for item in self.items if item not in shown]
        lines += [f"{', '.join(quiet)}    nothing to do"] if quiet else []
        return "\n\n".join([*lines, self.summary])


@dataclasses.dataclass(frozen=True)
class Deployed:
    """What became of one model: its report, or why there is none.

    Attributes:
        model: The project.
        kind: What its plan said: ``primary``, ``secondary``, ``nothing`` or ``blocked``.
        report: The report of its deployment.
        error: What kept it from one.
    """

    model: str
    kind: Kind
    report: RunReport | None = None
    error: MlkitError | None = None

    @property
    def exit_code(self) -> int:
        """Of this model alone."""
        ended = self.report or self.error
        return ended.exit_code if ended else EXIT_DONE

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.report is None:
            return "failed" if self.error else "nothing"
        return "code only" if self.kind == "secondary" else self.report.outcome

    @property
    def said(self) -> str:
        """In a sentence."""
        if self.error:
            return _error_text(self.error)
        if self.report is None:
            return "up to date"
        version = f"v{self.report.version}  " if self.report.version else ""
        stays = "the model stays; " if self.kind == "secondary" else ""
        return f"{version}{stays}{'; '.join(self.report.verdict.get('reasons', ()))}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {
            "model": self.model,
            "kind": self.kind,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
        }
        if self.report:
            return {**values, "report": self.report.to_dict()}
        return {**values, "error": self.error.to_dict()} if self.error else values


@dataclasses.dataclass(frozen=True)
class Deployments:
    """What became of every model of a repository.

    Attributes:
        target: Name of the stores.
        items: What became of each model, by name.
        seconds: Wall time.
    """

    target: str
    items: tuple[Deployed, ...]
    seconds: float

    @property
    def changed(self) -> tuple[Deployed, ...]:
        """Those that had something to do."""
        return tuple(item for item in self.items if item.outcome != "nothing")

    @property
    def exit_code(self) -> int:
        """The highest of all."""
        return max((item.exit_code for item in self.items), default=EXIT_DONE)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "target": self.target,
            "seconds": self.seconds,
            "deployments": [item.to_dict() for item in self.items],
        }

    def __repr__(self) -> str:
        """One line for each, those that failed last."""
        if not self.items:
            return _EMPTY
        wide = max(len(item.model) for item in self.items)
        ordered = sorted(self.items, key=lambda item: item.exit_code != EXIT_DONE)
        lines = [f"  {item.outcome:<13}  {item.model:<{wide}}  {item.said}".rstrip() for item in ordered]
        done = f"{len(self.changed)} of {counted(self.items)} had something to do"
        return "\n".join([f"{self.target}: {done}, in {self.seconds:.1f} s", *lines])


def plan_models(workspace: Workspace, names: Sequence[str] = ()) -> Plans:
    """Plan several models; one that cannot be planned does not keep the others from it.

    Args:
        workspace: Where to.
        names: Configs by path or name; by default all under ``models/``, by name.
    """
    return Plans(workspace.target, tuple(_planned(workspace, *each) for each in _configs(names)))


def deploy_changed(workspace: Workspace, *, reason: str = "") -> Deployments:
    """Deploy every model under ``models/`` whose plan is not `nothing`, one after the other, by name.

    A model that fails is reported and the next one is deployed: what one run leaves open, the next one finds.

    Args:
        workspace: Where to.
        reason: Why, for the ledger.
    """
    started = time.perf_counter()
    items = tuple(_deployed(workspace, *each, reason=reason) for each in _configs(()))
    return Deployments(workspace.target, items, round(time.perf_counter() - started, 1))


def counted(items: Sequence[object]) -> str:
    """``1 model``, ``2 models``."""
    return f"{len(items)} model{'' if len(items) == 1 else 's'}"


def _configs(names: Sequence[str]) -> Iterator[tuple[str, FrozenConfig | MlkitError]]:
    """Name of each model and its config, or why it does not load, which is reported like anything else."""
    for path in names or sorted(map(str, Path(FOLDER).glob("*.yaml"))):
        try:
            config = FrozenConfig.load(path)
        except MlkitError as exc:
            yield Path(path).stem, exc
        else:
            yield config.name, config


def _planned(workspace: Workspace, model: str, config: FrozenConfig | MlkitError) -> Plan | Blocked:
    if isinstance(config, MlkitError):
        return Blocked(model, config, workspace.target)
    return try_plan(config, Stores(workspace, model))


def _deployed(
    workspace: Workspace, model: str, config: FrozenConfig | MlkitError, *, reason: str
) -> Deployed:
    planned = _planned(workspace, model, config)
    if isinstance(planned, Blocked):
        return Deployed(model, "blocked", error=planned.error)
    if isinstance(config, MlkitError) or planned.kind == "nothing":
        return Deployed(model, planned.kind)
    try:
        report = deploy(config, Stores(workspace, model), origin=read_origin(config), reason=reason)
    except MlkitError as exc:
        say(f"{model}: {_error_text(exc)}")
        return Deployed(model, planned.kind, error=exc)
    return Deployed(model, planned.kind, report)


def _error_text(error: MlkitError | None) -> str:
    if error is None:
        return ""
    place = f" {error.path}:" if error.path else ""
    return f"error[{error.code}]{place} {error.message}"
