"""A new central repository, or what an existing one lacks of it: nothing that is there is ever touched."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit import document
from mlkit.code import DISTRIBUTION, installed_version
from mlkit.errors import UsageError
from mlkit.frozen import FOLDER
from mlkit.page.words import counted
from mlkit.scaffold.example import run_example
from mlkit.scaffold.files import CONFIG, EXAMPLE, EXAMPLE_CODE, File, files_of
from mlkit.scaffold.managed import managed_text
from mlkit.scaffold.render import exact_versions, render_own, render_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlkit.scaffold.answers import Answers

_SERVERLESS_PYTHON = "3.12"
_SHOWN = 6  # of the files that are kept


@dataclasses.dataclass(frozen=True)
class Created:
    """What `mlkit init` wrote, or would write.

    Attributes:
        folder: The repository.
        answers: What was asked for.
        written: Files that were not there.
        kept: Files that were, and are as they were.
        notes: What is left to the user.
        dry_run: Whether nothing was written.
        seconds: Wall time.
    """

    folder: Path
    answers: Answers
    written: tuple[str, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    dry_run: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: getattr(self, name) for name in ("written", "kept", "notes", "dry_run", "seconds")}
        return {"folder": str(self.folder), **dataclasses.asdict(self.answers), **values}

    def __repr__(self) -> str:
        """The files, what is left to do, and what to type next."""
        verb = "would write" if self.dry_run else "wrote"
        wrote = f"{verb} {counted(len(self.written), 'file')} in {self.folder}"
        lines = [f"{self.answers.name}  {wrote}  ({self.seconds:.1f} s)"]
        lines += [f"  + {path}" for path in self.written]
        lines += [f"  = {path}  is there, and stays as it is" for path in self.kept[:_SHOWN]]
        lines += [f"  = and {len(self.kept) - _SHOWN} more"] if len(self.kept) > _SHOWN else []
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, *self._next()])

    def _next(self) -> Iterator[str]:
        if self.dry_run:
            yield "  next    the same without --dry-run"
            return
        first = [] if self.folder == Path() else [f"cd {self.folder}"]
        steps = [*first, 'pip install -e ".[dev]"   (in an environment of its own)']
        steps.append("mlkit plan" if self.answers.bare else "mlkit plan && pytest")
        for place, step in enumerate(steps):
            yield f"  {'' if place else 'next':<8}{step}"


def create_repository(folder: Path, answers: Answers, *, dry_run: bool = False) -> Created:
    """Write the files that a repository lacks; the model that comes along is searched and frozen now.

    Args:
        folder: The repository; made if it does not exist.
        answers: What it is to be.
        dry_run: Only say what would be written.

    Raises:
        UsageError: The folder is a file (CLI121).
        StoreError: A file cannot be written (STO023); a second call goes on.
    """
    started = time.perf_counter()
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            "CLI121", "expected a folder, found a file", path=str(folder), fix="name another one"
        )
    files = list(files_of(answers, example=not answers.bare and _has_room(folder)))
    kept = [file for file in files if (folder / file.path).exists()]
    missing = [file for file in files if file not in kept]
    if not dry_run:
        _write(missing, folder, answers, files)
    return Created(
        folder=folder,
        answers=answers,
        written=tuple(file.path for file in missing),
        kept=tuple(file.path for file in kept),
        notes=tuple(_notes(kept, folder, answers)),
        dry_run=dry_run,
        seconds=round(time.perf_counter() - started, 1),
    )


def _write(missing: Sequence[File], folder: Path, answers: Answers, files: Sequence[File]) -> None:
    """The user's files, then the example's config, then what follows from both."""
    for file in missing:
        if file.template and not file.managed:
            document.save(folder / file.path, render_own(file, answers, files))
    if any(file.path == CONFIG for file in missing):
        run_example(folder)
    for file in missing:
        if file.managed and (text := managed_text(file, folder, name=answers.name)):
            document.save(folder / file.path, text)


def _has_room(folder: Path) -> bool:
    """Whether the example may come: nobody has models here, or other code where its own would be."""
    others = any(path.stem != EXAMPLE for path in (folder / FOLDER).glob("*.yaml"))
    return not others and all(_is_free(folder / file.path, render_plain(file)) for file in EXAMPLE_CODE)


def _is_free(path: Path, text: str) -> bool:
    return not path.exists() or (path.is_file() and _text(path) == text)


def _notes(kept: Sequence[File], folder: Path, answers: Answers) -> Iterator[str]:
    paths = {file.path for file in kept}
    if "pyproject.toml" in paths and DISTRIBUTION not in _text(folder / "pyproject.toml"):
        pins = ", ".join([f"{DISTRIBUTION}=={installed_version(DISTRIBUTION)}", *exact_versions()])
        yield f'pyproject.toml is yours: add the dependencies {pins}, and pytest\'s pythonpath = ["src"]'
    if ".gitignore" in paths and ".mlkit" not in _text(folder / ".gitignore"):
        yield ".gitignore is yours: add .mlkit/, which holds the local stores"
    if answers.store == "databricks":
        yield "mlkit.toml has catalogs named dev and prod: put in yours"
        if (found := installed_version("python")) != _SERVERLESS_PYTHON:
            yield f"serverless compute has Python {_SERVERLESS_PYTHON}, this is {found}: freeze with that one"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
