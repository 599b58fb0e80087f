"""The files of a central repository: which there are, what each is for, and who owns it.

Two owners. *Managed* files follow from ``mlkit.toml``, the configs and the version of mlkit alone, and are
written anew as a whole; every other file is the user's from the moment it is there. So an update never has
anything to merge.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.research.bundle import FILE as BUNDLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlkit.scaffold.answers import Answers

EXAMPLE = "diabetes"
CONFIG = f"models/{EXAMPLE}.yaml"
STUDY = f"studies/{EXAMPLE}_study.py"  # a script of the name of its package would hide it
TARGETS = "mlkit.toml"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the repository.

    Attributes:
        path: Where it stands, below the repository.
        template: Its template; empty of what is made in another way.
        purpose: What it is for, in the README.
        edit: Of a managed file: what decides its text; empty of the user's own.
    """

    path: str
    template: str
    purpose: str
    edit: str = ""

    @property
    def managed(self) -> bool:
        """Whether mlkit writes it anew."""
        return bool(self.edit)


_WORKFLOWS = (
    File(
        ".github/workflows/check.yml",
        "check.yml",
        "on a pull request: tests, `mlkit check`, one comment with the plan",
        edit=TARGETS,
    ),
    File(
        ".github/workflows/deploy.yml",
        "deploy.yml",
        "on a merge: `mlkit deploy --changed`",
        edit=TARGETS,
    ),
)
_GROUND = (
    File("pyproject.toml", "pyproject.toml", "exact versions, and the settings of pytest and ruff"),
    File(TARGETS, "mlkit.toml", "targets: where tables, runs and versions are"),
    File(".python-version", "python-version", "the Python that everything runs with"),
    File(".gitignore", "gitignore", "what git leaves alone, the local stores first"),
)
EXAMPLE_CODE = (
    File(f"src/{EXAMPLE}/__init__.py", "package.py", "the code of one model, which travels with it"),
    File(f"src/{EXAMPLE}/prepare.py", "prepare.py", "source, contract and prepare function"),
    File(STUDY, "study.py", "the study that found the model, and freezes it"),
    File(
        f"tests/test_{EXAMPLE}.py",
        "test_model.py",
        "contract, prepare, and a deployment into an empty store",
    ),
)
"""What the example is written in: the same text in every repository."""
_EXAMPLE_CONFIG = (
    File(CONFIG, "", "the frozen config: what decides the model"),
    File(f"models/{EXAMPLE}.provenance.json", "", "where that config came from: study, commit, scores"),
)
_DESK = (
    File("README.md", "README.md", "this page"),
    File("AGENTS.md", "AGENTS.md", "rules for coding agents"),
    File(".pre-commit-config.yaml", "pre-commit-config.yaml", "for pre-commit: ruff and `mlkit check`"),
    File(".vscode/settings.json", "settings.json", "VS Code: tests, cells in studies, ruff"),
)  # fmt: skip
_JOBS = File(BUNDLE, "", "the jobs for Databricks, from models/ and mlkit.toml", edit=f"models/ or {TARGETS}")


def files_of(answers: Answers, *, example: bool) -> Iterator[File]:
    """The files of a new repository, in the order of its README.

    Args:
        answers: What was asked for.
        example: Whether the model that shows how comes along.
    """
    if not answers.bare:
        yield _DESK[0]
    yield from _GROUND
    if example:
        yield from (*EXAMPLE_CODE, *_EXAMPLE_CONFIG)
    if answers.ci == "github":
        yield from _WORKFLOWS
    if example and answers.store == "databricks":
        yield _JOBS
    if not answers.bare:
        yield from _DESK[1:]


def managed_files() -> tuple[File, ...]:
    """Every file that mlkit writes anew, whether a repository has it or not."""
    return (*_WORKFLOWS, _JOBS)
