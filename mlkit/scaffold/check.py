"""`mlkit check`: whether what is committed holds together, without any store: for CI and commits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlkit.boundary import user_code
from mlkit.code import load_object
from mlkit.errors import EXIT_DONE, EXIT_USAGE, MlkitError
from mlkit.frozen import FOLDER, FrozenConfig
from mlkit.scaffold.managed import Managed, look_at_managed
from mlkit.targets import read_targets

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAID = {
    "stale": "mlkit would write it otherwise by now",
    "edited": "it was edited by hand",
    "newer": "a newer mlkit than this one wrote it",
}


@dataclasses.dataclass(frozen=True)
class Checked:
    """One thing that was looked at.

    Attributes:
        what: The file.
        state: ``OK``; ``WARN``: works, but look at it; ``FAIL``.
        said: What was found.
        mend: What to do about it.
    """

    what: str
    state: Literal["OK", "WARN", "FAIL"]
    said: str
    mend: str = ""

    def __repr__(self) -> str:
        """One line, and a second one if there is something to do."""
        return f"{self.state:<4}  {self.what}: {self.said}" + (
            f"\n        -> {self.mend}" if self.mend else ""
        )


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What was found in a repository.

    Attributes:
        looks: Everything that was looked at, in the order of the files.
    """

    looks: tuple[Checked, ...]

    @property
    def exit_code(self) -> int:
        """0, or 2 if something fails."""
        return EXIT_USAGE if any(look.state == "FAIL" for look in self.looks) else EXIT_DONE

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"looks": [dataclasses.asdict(look) for look in self.looks]}

    def __repr__(self) -> str:
        """What fails stands last, before the count."""
        order = sorted(self.looks, key=lambda look: ("OK", "WARN", "FAIL").index(look.state))
        states = [look.state for look in self.looks]
        count = ", ".join(f"{states.count(state)} {state}" for state in ("OK", "WARN", "FAIL"))
        return "\n".join([*(f"  {look!r}" for look in order), f"checked {len(self.looks)}: {count}"])


def check_repository(folder: Path | None = None) -> CheckReport:
    """Look at targets, managed files and models of a repository.

    Args:
        folder: The repository; by default the working directory.
    """
    place = folder or Path()
    looks = [*_targets(), *_models(place)]
    if all(look.state != "FAIL" for look in looks):  # else what would be written is not known
        looks = [*looks, *_managed(place)]
    return CheckReport(tuple(looks))


def _targets() -> Iterator[Checked]:
    try:
        names = ", ".join(read_targets())
    except MlkitError as exc:
        yield _failed("targets", exc)
    else:
        yield Checked("targets", "OK", names)


def _models(folder: Path) -> Iterator[Checked]:
    """Each config loads, is called like its file, and finds its code and its versions here."""
    for path in sorted((folder / FOLDER).glob("*.yaml")):
        what = f"{FOLDER}/{path.name}"
        try:
            yield _model(what, FrozenConfig.load(path), path)
        except MlkitError as exc:
            yield _failed(what, exc)


def _model(what: str, config: FrozenConfig, path: Path) -> Checked:
    if config.name != path.stem:
        return Checked(
            what, "FAIL", f"it is the config of {config.name!r}", f"rename it to {config.name}.yaml"
        )
    for reference in config.references:
        with user_code(reference, action="import"):
            load_object(reference)
    if other := config.environment.drift():
        mend = "install what is pinned, or freeze again: a deployment here would need a new model"
        return Checked(what, "WARN", "; ".join(other), mend)
    return Checked(what, "OK", f"loads; {config.digest[:12]}")


def _managed(folder: Path) -> Iterator[Checked]:
    for file in look_at_managed(folder):
        if file.state == "current":
            yield Checked(file.file.path, "OK", "current")
        elif file.state != "absent":
            yield Checked(file.file.path, "FAIL", _SAID[file.state], _mend(file))


def _mend(file: Managed) -> str:
    if file.state == "edited":
        return f"edit {file.file.edit} instead, then: mlkit init --update --force"
    return "mlkit init --update" if file.state == "stale" else f"install mlkit {file.version}"


def _failed(what: str, error: MlkitError) -> Checked:
    return Checked(what, "FAIL", f"[{error.code}] {error.sentence}", error.fix)
