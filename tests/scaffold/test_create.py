"""`mlkit init`: few files that work, nothing overwritten, at most three questions."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from mlkit import FrozenConfig
from mlkit.cli import main
from mlkit.code import installed_version
from mlkit.errors import UsageError
from mlkit.scaffold.answers import Answers, ask
from mlkit.scaffold.create import create_repository
from tests.scaffold.conftest import files_in

BARE = {"pyproject.toml", "mlkit.toml", ".python-version", ".gitignore"}
WORKFLOWS = {".github/workflows/check.yml", ".github/workflows/deploy.yml"}


class Terminal(io.StringIO):
    """A person who answers."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_few_files_none_empty_each_explained_in_one_line(made):
    """A stranger reads all of it in minutes (S1)."""
    files = files_in(made)
    assert len(files) <= 18
    assert all(content.strip() for content in files.values())
    rows = [line for line in files["README.md"].decode().splitlines() if line.startswith("| `")]
    named = [row.split("`")[1] for row in rows]
    assert sorted(named) == sorted(files)
    assert all(len(row.split("|")[2].strip()) > 8 for row in rows)


def test_the_config_is_a_real_one(made, tmp_path):
    """It is what the study that comes along gives, called as the README says, with what is installed here."""
    config = FrozenConfig.load(made / "models" / "diabetes.yaml")
    origin = json.loads((made / "models" / "diabetes.provenance.json").read_text())
    assert origin["config_digest"] == config.digest
    assert origin["train_rows"] + origin["test_rows"] == 442
    assert config.environment.drift() == []
    listed = tomllib.loads((made / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(config.environment.requirements) <= set(listed)
    assert f"mlkit-sdk=={installed_version('mlkit-sdk')}" in listed
    folder = tmp_path / "again"
    shutil.copytree(made, folder)  # with its stores: the trials are known there
    (folder / "models" / "diabetes.yaml").unlink()
    (script,) = re.findall(r"`python (studies/[a-z]\S*)`", (folder / "README.md").read_text())
    installed = {**os.environ, "PYTHONPATH": "src", "MLKIT_HOME": ".mlkit"}
    subprocess.run([sys.executable, script], cwd=folder, env=installed, capture_output=True, check=True)
    assert (folder / "models" / "diabetes.yaml").read_text() == config.to_yaml()


def test_each_file_is_of_its_kind(made):
    """Nothing of a template is left in them, and each reads as what it is called."""
    for path, content in files_in(made).items():
        text = content.decode()
        assert "[[" not in text
        assert "[%" not in text
        if path.endswith((".yml", ".yaml")):
            yaml.safe_load(text)
        elif path.endswith(".json"):
            json.loads(text)
        elif path.endswith(".toml"):
            tomllib.loads(text)
        elif path.endswith(".py"):
            compile(text, path, "exec")


def test_no_address_of_a_registry_or_machine_is_written(made):
    """Where packages come from is the business of the user's tools."""
    for path, content in files_in(made).items():
        if not path.endswith("provenance.json"):
            assert b"pypi" not in content
            assert str(made).encode() not in content


def test_its_own_linter_has_nothing_to_say(made):
    """The rules that come along hold for what comes along."""
    pytest.importorskip("ruff")
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--no-cache", "."]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_time_nothing_changes(made, capsys):
    """Whatever is there is the user's, and what was stopped is finished."""
    before = files_in(made)
    assert main(["init", str(made), "--defaults", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["written"] == []
    assert set(said["kept"]) == set(before)
    assert files_in(made) == before


def test_what_is_lost_comes_back(repository):
    """A file that was removed by mistake is written again, and no other is touched."""
    kept = files_in(repository)
    (repository / "AGENTS.md").unlink()
    (repository / "README.md").write_text("mine\n")
    created = create_repository(repository, Answers("flight-models"))
    assert created.written == ("AGENTS.md",)
    assert files_in(repository) == {**kept, "README.md": b"mine\n"}


def test_an_existing_repository_keeps_what_it_has(tmp_path, config_only):
    """Only what is missing comes, and it is said what is left to do by hand (S6)."""
    folder = config_only(tmp_path / "old")
    mine = {"README.md": "mine\n", "pyproject.toml": '[project]\nname = "old"\n', ".gitignore": "*.csv\n"}
    for name, text in mine.items():
        (folder / name).write_text(text)
    created = create_repository(folder, Answers("old"))
    assert {name: (folder / name).read_text() for name in mine} == mine
    assert set(mine) <= set(created.kept)
    assert "mlkit-sdk==" in repr(created)
    assert "add .mlkit/" in repr(created)
    assert ".vscode/settings.json" in created.written


def test_no_example_comes_where_somebody_works_already(tmp_path, made):
    """Neither beside other models, nor over code of the same name."""
    (tmp_path / "a" / "models").mkdir(parents=True)
    (tmp_path / "a" / "models" / "churn.yaml").write_bytes((made / "models" / "diabetes.yaml").read_bytes())
    (tmp_path / "b" / "src" / "diabetes").mkdir(parents=True)
    (tmp_path / "b" / "src" / "diabetes" / "prepare.py").write_text('"""Mine."""\n')
    for name in ("a", "b"):
        created = create_repository(tmp_path / name, Answers(name))
        assert not any("diabetes" in path for path in created.written)
        assert "diabetes/" not in (tmp_path / name / "README.md").read_text().partition("What is here")[2]


@pytest.mark.parametrize(("ci", "more"), [("none", set()), ("github", WORKFLOWS)])
def test_bare_is_what_mlkit_itself_needs(tmp_path, ci, more):
    """No example, no page, nothing for editors (S6)."""
    create_repository(tmp_path / "bare", Answers("bare", ci=ci, bare=True))
    assert set(files_in(tmp_path / "bare")) == BARE | more


def test_databricks_comes_with_its_jobs(tmp_path, config_only, monkeypatch, capsys):
    """The bundle is what `mlkit bundle` would write, and the workflows log in without a secret."""
    folder = config_only(tmp_path / "lake")
    created = create_repository(folder, Answers("lake", store="databricks"))
    assert "catalogs named dev and prod" in repr(created)
    assert yaml.safe_load((folder / "databricks.yml").read_text())["bundle"]["name"] == "lake"
    monkeypatch.chdir(folder)
    assert main(["bundle", "--check"]) == 0
    assert main(["check"]) == 0
    for path in WORKFLOWS:
        workflow = yaml.safe_load((folder / path).read_text())
        assert workflow["permissions"]["id-token"] == "write"
        assert workflow["env"]["DATABRICKS_AUTH_TYPE"] == "github-oidc"
        assert "secrets." not in (folder / path).read_text()
    assert "`databricks.yml` \\*" in (folder / "README.md").read_text()


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    """It names the files, and that is all."""
    assert main(["init", str(tmp_path / "new"), "--defaults", "--dry-run"]) == 0
    assert "would write 16 files" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


def test_three_questions_each_with_a_default(tmp_path, monkeypatch, capsys):
    """An empty line takes the default; what is not offered is asked again (S3)."""
    monkeypatch.setattr("sys.stdin", Terminal("\nmoon\ndatabricks\n\n"))
    answers = ask(tmp_path / "Flight Models", name=None, store=None, ci=None, asking=True)
    assert answers == Answers("flight-models", "databricks", "github")
    assert capsys.readouterr().err.count("]: ") == 4


def test_what_was_said_is_not_asked(tmp_path, monkeypatch, capsys):
    """Each question is an option too."""
    monkeypatch.setattr("sys.stdin", Terminal(""))
    said = {"name": "mine", "store": "local", "ci": "none"}
    assert ask(tmp_path, **said, asking=True) == Answers("mine", "local", "none")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("option", ["--defaults", "--json", ""])
def test_nothing_is_asked_of_a_program(tmp_path, monkeypatch, capsys, option):
    """With ``--defaults`` or ``--json``, or without a terminal, no question stops a job."""
    monkeypatch.setattr("sys.stdin", Terminal("") if option else io.StringIO("surprise\n"))
    monkeypatch.setattr("sys.stderr", Terminal())
    words = ["init", str(tmp_path / "new"), "--dry-run", *([option] if option else [])]
    assert main(words) == 0
    assert "]: " not in sys.stderr.getvalue()


@pytest.mark.parametrize("name", ["", "Flights", "numpy", "mlkit-sdk", "a b", "-x", "x-", "1x", "é"])
def test_a_name_that_cannot_be_installed_is_refused(name):
    """With another one to take."""
    with pytest.raises(UsageError, match="CLI120"):
        Answers(name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Flight Models", "flight-models"), ("numpy", "models"), ("2026", "models"), ("été", "t"), ("a", "a")],
)
def test_the_name_of_the_folder_gives_the_default(tmp_path, folder, name):
    """As far as a project can have it."""
    assert ask(tmp_path / folder, name=None, store=None, ci=None).name == name


@pytest.mark.parametrize(
    ("words", "code"),
    [(["init"], "CLI125"), (["init", "file.txt"], "CLI121"), (["init", "x", "--ci", "gitlab"], "CLI001")],
)
def test_mistakes_are_clear(tmp_path, monkeypatch, capsys, words, code):
    """Each says what to type instead, and leaves no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("a file")
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_study_that_fails_ends_the_command(tmp_path, capsys):
    """Its own error is shown; what was written stays, and what follows from the config is not there yet."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / ".mlkit").write_text("in the way of the stores")
    assert main(["init", str(folder), "--defaults", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "CFG030"
    assert (folder / "README.md").is_file()
    assert not (folder / ".github").exists()
