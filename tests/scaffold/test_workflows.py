"""The workflows that come along: their own steps are run here, in order, as a runner would (S8).

Replaced is what only GitHub has: its actions, its expressions and the program `gh`, whose stand-in keeps the
comments of one pull request in a file. Packages are not fetched: what `pip` is to install has to be here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from mlkit.cli import main
from mlkit.commands.parser import parse
from tests.scaffold.conftest import user_code_of

EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")
GITHUB = {
    "github.token": "a-token",
    "github.event.pull_request.number": "7",
    "github.ref": "refs/pull/7/merge",
    "vars.MLKIT_TARGET || 'prod'": "prod",
    "vars.MLKIT_RUNNER || 'ubuntu-latest'": "ubuntu-latest",
}
FROM_HERE = "!cancelled() && github.event.pull_request.head.repo.full_name == github.repository"
GH = """\
import json, os, pathlib, re, subprocess, sys

comments = pathlib.Path(os.environ["COMMENTS"])
known = json.loads(comments.read_text())
words = [word for word in sys.argv[1:] if word not in ("--silent", "--paginate")]
assert os.environ["GH_TOKEN"] == "a-token" and words.pop(0) == "api"
options = {}
while any(word.startswith("--") for word in words):
    place = next(index for index, word in enumerate(words) if word.startswith("--"))
    name, value = words.pop(place), words.pop(place)
    options[name] = value
(path,) = words
number = re.fullmatch(r"repos/me/models/issues/(7/comments|comments/(\\d+))", path)
assert number, path
if "--jq" in options:
    assert path.endswith("7/comments")
    ours = [c for c in known if c["user"]["type"] == "Bot" and c["body"].startswith("<!-- mlkit plan -->")]
    assert options["--jq"].endswith('startswith("<!-- mlkit plan -->"))) | .id')
    print("\\n".join(str(c["id"]) for c in ours))
else:
    assert options["--field"].startswith("body=@")
    body = pathlib.Path(options["--field"].removeprefix("body=@")).read_text()
    if options["--method"] == "POST":
        known.append({"id": len(known) + 100, "user": {"type": "Bot"}, "body": body})
    else:
        (one,) = [c for c in known if str(c["id"]) == number[2]]
        one.update(body=body, edited=True)
    comments.write_text(json.dumps(known))
"""


class Runner:
    """Runs the steps of a workflow's only job, each in a shell of its own, until one fails."""

    def __init__(self, repository: Path, folder: Path, stores: Path) -> None:
        self.repository, self.folder, self.stores = repository, folder, stores
        self.summary, self.comments = folder / "summary.md", folder / "comments.json"
        self.summary.touch()
        human = {"id": 1, "user": {"type": "User"}, "body": "<!-- mlkit plan --> quoted by a person"}
        self.comments.write_text(json.dumps([human]))
        (folder / "bin").mkdir()
        gh = folder / "bin" / "gh"
        gh.write_text(f"#!{sys.executable}\n{GH}")
        gh.chmod(0o755)
        self.python = self._environment()
        self._done = set()  # both workflows install and check the same files first: once is enough here

    def _environment(self) -> Path:
        """An environment of its own that sees every package of ours, and takes the repository's."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder / "venv"], check=True)
        ours = sysconfig.get_path("purelib")
        (site,) = (self.folder / "venv").glob("lib/python*/site-packages")
        (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        return self.folder / "venv" / "bin"

    def run(self, workflow: str, *, only: tuple[str, ...] = (), failing: bool = False) -> str:
        """Run all steps, or those of these names; gives what they said."""
        text = (self.repository / ".github" / "workflows" / workflow).read_text()
        (job,) = yaml.safe_load(text)["jobs"].values()
        env = {name: filled(value) for name, value in yaml.safe_load(text)["env"].items()}
        said, failed = "", False
        for step in job["steps"]:
            if "run" not in step or (only and step["name"] not in only):
                continue
            always = filled(step.get("if", "")) == "here"
            what = step["run"].replace('".[dev]"', ".")
            if (failed and not always) or (what in self._done and not always):
                continue
            self._done.add(what)
            own = {name: filled(value) for name, value in step.get("env", {}).items()}
            done = self._shell(step["run"], {**env, **own})
            said += done.stdout + done.stderr
            failed = failed or done.returncode != 0
            assert failing or not failed, f"{step['name']}\n{said}"
        assert failed == failing
        return said

    def _shell(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess:
        script = filled(script)
        path = os.pathsep.join(map(str, (self.python, self.folder / "bin", Path(sys.executable).parent)))
        github = {
            "GITHUB_REPOSITORY": "me/models",
            "GITHUB_SHA": "0123abc",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "COMMENTS": str(self.comments),
            "MLKIT_HOME": str(self.stores),
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # ours, which a runner does not have
            # no index is asked, and the build backend is that of this environment
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLKIT_TEST", "PIP_"))
        }
        return subprocess.run(
            [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.repository,
            env={**kept, **env, **github},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def comment(self) -> dict:
        """The one comment of ours."""
        first, *ours = json.loads(self.comments.read_text())
        assert first["body"].endswith("quoted by a person")
        (one,) = ours
        return one


def filled(value: str) -> str:
    """A text with GitHub's expressions evaluated, as far as the workflows use them."""
    known = {**GITHUB, FROM_HERE: "here", "vars.MLKIT_HOME || '.mlkit'": ".mlkit"}
    return EXPRESSION.sub(lambda found: known[found[1]], value)


@pytest.fixture
def runner(made, tmp_path, empty_store, monkeypatch) -> Runner:
    """A runner with a clone of the repository, and stores that outlive its jobs."""
    repository = tmp_path / "clone"
    shutil.copytree(made, repository, ignore=shutil.ignore_patterns(".mlkit", "__pycache__"))
    stores = tmp_path / "stores"
    (stores / "targets" / "prod").mkdir(parents=True)
    shutil.copy(empty_store, stores / "targets" / "prod" / "mlflow.db")
    monkeypatch.chdir(repository)
    with user_code_of(repository):
        yield Runner(repository, tmp_path, stores)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_life_of_a_pull_request(runner, monkeypatch, capsys):
    """Checked, planned in a comment, merged, deployed; the next plan is empty, in the same comment."""
    said = runner.run("check.yml")
    assert "5 passed" in said
    assert "0 FAIL" in said
    assert "### Plan for `prod`: 1 new model" in runner.comment()["body"]
    assert runner.summary.read_text() == runner.comment()["body"]

    runner.run("deploy.yml")
    assert "| promoted | `diabetes` | `v1 " in runner.summary.read_text()

    monkeypatch.setenv("MLKIT_HOME", str(runner.stores))
    assert main(["plan", "--format", "md", "--target", "prod"]) == 0
    (runner.repository / "plan.md").write_text(capsys.readouterr().out)
    runner.run("check.yml", only=("One comment with the plan",))
    assert runner.comment()["body"].startswith("<!-- mlkit plan -->\n### Plan for `prod`: 1 nothing to do")
    assert runner.comment()["edited"]


@pytest.mark.timeout(600)
def test_a_check_that_fails_says_so_in_the_comment(runner):
    """What follows is not run, and no plan of an earlier commit stays there as if it were this one's."""
    (runner.repository / "tests" / "test_diabetes.py").write_text("raise SystemError\n")
    steps = ("Tests", "Generated files are current, models load", "Plan", "One comment with the plan")
    said = runner.run("check.yml", only=steps, failing=True)
    assert "1 error" in said
    assert "checked" not in said
    assert "There is no plan" in runner.comment()["body"]


def test_a_workflow_asks_for_no_more_than_it_needs(made):
    """Rights, time and what runs at once are bounded; no text of an event becomes part of a script."""
    for name, rights in (("check.yml", {"contents", "pull-requests"}), ("deploy.yml", {"contents"})):
        workflow = yaml.safe_load((made / ".github" / "workflows" / name).read_text())
        (job,) = workflow["jobs"].values()
        assert set(workflow["permissions"]) == rights
        assert workflow["permissions"]["contents"] == "read"
        assert job["timeout-minutes"]
        assert workflow["concurrency"]["cancel-in-progress"] is (name == "check.yml")
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert not any("${{" in run for run in runs)
        assert workflow["defaults"]["run"]["shell"] == "bash"


def test_every_command_of_a_workflow_is_one(made):
    """No step calls what this mlkit does not know."""
    commands = []
    for path in (made / ".github" / "workflows").iterdir():
        (job,) = yaml.safe_load(path.read_text())["jobs"].values()
        lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
        commands += [line.partition(" | ")[0] for line in lines if line.startswith("mlkit ")]
    assert len(commands) == 4
    for command in commands:
        assert parse(shlex.split(command)[1:]).verb in command
