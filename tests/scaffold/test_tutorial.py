"""The tutorial of the central repository is followed word by word: its commands, its edits, what it shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mlkit.cli import main
from tests.scaffold.conftest import user_code_of

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "central-repository.md"
EDIT = re.compile(r"[Ii]n `(?P<file>[^`]+)` change `(?P<before>[^`]+)` to `(?P<after>[^`]+)`")
ELSEWHERE = ("python -m venv", ". .venv", "pip install", "pytest", "git add . && ", "python studies/")
"""What the workflows of the repository do too, their own test runs, and a model of the reader's own."""


def read_steps() -> list[tuple[str, list[str]]]:
    """Commands with the lines that the page shows of their output, and edits, in their order."""
    steps, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            steps.append((line.removeprefix("$ "), []))
        elif inside and line != "...":  # which says that lines are left out
            steps[-1][1].append(line)
        elif EDIT.search(line):
            steps.append((line, []))
    return steps


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_keeps_its_promises(made, home, tmp_path, monkeypatch, capsys) -> None:
    """Each command ends well and prints what the page shows, line after line."""
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "reader@example.com")
    folder = tmp_path / "health-models"
    (folder / "src").mkdir(parents=True)
    with user_code_of(folder):
        for command, shown in read_steps():
            follow(command, made, folder, monkeypatch)
            printed = iter(capsys.readouterr().out.splitlines())
            for line in [re.sub(r"\d+\.\d s$", "", line) for line in shown if line != "..."]:
                assert any(each.startswith(line) for each in printed), f"{command}: not printed: {line}"
    log = subprocess.run(
        [shutil.which("git"), "log", "--oneline"], capture_output=True, text=True, check=True
    )
    assert len(log.stdout.splitlines()) == 3


def follow(command: str, made: Path, folder: Path, monkeypatch) -> None:
    """Do what one line says."""
    if edit := EDIT.search(command):
        text = Path(edit["file"]).read_text()
        assert text.count(edit["before"]) == 1
        Path(edit["file"]).write_text(text.replace(edit["before"], edit["after"]))
    elif command == "mlkit init health-models --defaults":  # which the fixture has done, under another name
        shutil.copytree(
            made, folder, ignore=shutil.ignore_patterns(".mlkit", "__pycache__"), dirs_exist_ok=True
        )
    elif command.startswith("cd "):
        assert command == f"cd {folder.name}"
        monkeypatch.chdir(folder)
    elif command.startswith(ELSEWHERE):
        pass
    elif command.startswith("mlkit "):
        assert main(shlex.split(command)[1:]) == 0, command
    else:
        assert command.startswith("git "), command
        subprocess.run(shlex.split(command), check=True, env=dict(os.environ))
