"""Three questions about a new repository: each has a default and is an option; none needs a terminal."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING

from mlkit.errors import UsageError
from mlkit.frozen import GROUND

if TYPE_CHECKING:
    from pathlib import Path

STORES = ("local", "databricks")
CIS = ("github", "none")
_NAME = re.compile(r"[a-z]([a-z0-9_-]{0,61}[a-z0-9])?")
_TAKEN = GROUND | {"mlkit", "mlkit-sdk", "mlflow", "optuna", "pandera"}  # it installs these


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a new repository is to be.

    Attributes:
        name: Of the repository: its project, and its bundle on Databricks.
        store: Where `prod` keeps tables, runs and versions: ``local`` or ``databricks``.
        ci: Whose workflows come along: ``github`` or ``none``.
        bare: Neither example, nor README, nor files for editors: for a repository that has its own.
    """

    name: str
    store: str = "local"
    ci: str = "github"
    bare: bool = False

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            UsageError: It is none that a project can be installed under (CLI120).
        """
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            message = f"expected a lowercase letter, then letters, digits, - or _, found {self.name!r}"
            if self.name in _TAKEN:
                message = f"{self.name!r} is the name of something that the repository installs"
            raise UsageError("CLI120", message, path="name", fix="mlkit init DIR --name flight-models")


def ask(
    folder: Path,
    *,
    name: str | None,
    store: str | None,
    ci: str | None,
    bare: bool = False,
    asking: bool = False,
) -> Answers:
    """Take what was said, ask for the rest where somebody can answer, and else take the defaults.

    Args:
        folder: Of the repository, which gives the default of its name.
        name: As said; None if it was not. So for the others.
        store: As said.
        ci: As said.
        bare: As said.
        asking: Whether questions may be asked.

    Raises:
        UsageError: The name is none (CLI120).
    """
    usual = _usual_name(folder)
    if asking:
        name = name or _asked("Name of the repository", usual)
        store = store or _asked("Where does prod keep tables, runs and versions", *STORES)
        ci = ci or _asked("Whose workflows", *CIS)
    return Answers(name or usual, store or STORES[0], ci or CIS[0], bare)


def can_ask() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _usual_name(folder: Path) -> str:
    """The name of the folder, as far as a project can have it."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-0123456789")
    return name if _NAME.fullmatch(name) and name not in _TAKEN else "models"


def _asked(question: str, usual: str, *others: str) -> str:
    """One answer; an empty line is the default, and what is not offered is asked again."""
    offered = f" ({' or '.join((usual, *others))})" if others else ""
    while True:
        sys.stderr.write(f"{question}{offered} [{usual}]: ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip() or usual
        if not others or answer in (usual, *others):
            return answer
