"""Managed files: brought up to date as a whole, shown first, never over somebody's edit."""

from __future__ import annotations

import hashlib
import json

import pytest

from mlkit.cli import main
from mlkit.code import installed_version
from mlkit.errors import UsageError
from mlkit.scaffold.answers import Answers
from mlkit.scaffold.create import create_repository
from mlkit.scaffold.managed import look_at_managed
from mlkit.scaffold.update import update_repository
from tests.scaffold.conftest import files_in

CHECK, DEPLOY = ".github/workflows/check.yml", ".github/workflows/deploy.yml"


def of_version(version: str, body: str) -> str:
    """A managed file as another version of mlkit wrote it."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f"# managed by mlkit {version}: edit mlkit.toml\n# sha256 of what follows: {digest}\n{body}"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A repository with workflows and little else."""
    create_repository(tmp_path / "bare", Answers("bare", bare=True))
    monkeypatch.chdir(tmp_path / "bare")
    return tmp_path / "bare"


def states(folder) -> dict[str, str]:
    """State of each managed file."""
    return {managed.file.path: managed.state for managed in look_at_managed(folder)}


def test_what_was_just_written_is_current(bare, capsys):
    """An update right after a start has nothing to do."""
    assert states(bare) == {CHECK: "current", DEPLOY: "current", "databricks.yml": "absent"}
    before = files_in(bare)
    assert main(["init", "--update"]) == 0
    assert "nothing to write" in capsys.readouterr().out
    assert files_in(bare) == before


def test_the_header_says_who_writes_and_what_to_edit(bare):
    """A reader knows from the first line (S10)."""
    first = (bare / CHECK).read_text().splitlines()[0]
    assert first.startswith(f"# managed by mlkit {installed_version('mlkit-sdk')}: edit mlkit.toml")
    assert first.endswith("mlkit init --update")


def test_an_older_file_is_written_anew_and_no_other(bare, capsys):
    """The plan comes first, with its lines counted (S5)."""
    (bare / CHECK).write_text(of_version("0.0.9", "name: old\n"))
    (bare / ".gitignore").write_text("mine\n")
    before = files_in(bare)
    assert main(["init", "--update", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"~ {CHECK}  of mlkit 0.0.9: +" in said
    assert " -1 lines" in said
    assert f"= {DEPLOY}  current" in said
    assert files_in(bare) == before
    assert main(["init", "--update", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == [CHECK]
    assert {path for path, content in files_in(bare).items() if content != before[path]} == {CHECK}
    assert states(bare)[CHECK] == "current"


def test_the_version_alone_makes_nothing_stale(bare):
    """An upgrade that would write the same text asks for no commit."""
    body = (bare / CHECK).read_text().split("\n", 2)[2]
    (bare / CHECK).write_text(of_version("0.0.9", body))
    assert states(bare)[CHECK] == "current"


def test_what_the_file_follows_from_makes_it_stale(bare):
    """Another target in mlkit.toml is another target in the workflow."""
    (bare / "mlkit.toml").write_text("[targets.team]\n")
    assert states(bare)[CHECK] == states(bare)[DEPLOY] == "stale"
    assert update_repository(bare).written == (CHECK, DEPLOY)
    assert "|| 'team' }}" in (bare / DEPLOY).read_text()


def test_line_ends_of_windows_are_no_edit(bare):
    """Git may check a file out with them."""
    (bare / CHECK).write_bytes((bare / CHECK).read_bytes().replace(b"\n", b"\r\n"))
    assert states(bare)[CHECK] == "current"


@pytest.mark.parametrize("edit", [lambda text: text + "# mine\n", lambda text: "name: mine\n"])
def test_an_edit_by_hand_is_never_overwritten_silently(bare, capsys, edit):
    """Nothing at all is written, not even what is stale; with ``--force`` all is."""
    (bare / CHECK).write_text(edit((bare / CHECK).read_text()))
    (bare / DEPLOY).write_text(of_version("0.0.9", "name: old\n"))
    before = files_in(bare)
    assert main(["init", "--update"]) == 2
    said = capsys.readouterr().err
    assert f"error[CLI123] {CHECK}: it was edited by hand: 1 lines" in said
    assert "--force" in said
    assert files_in(bare) == before
    assert "edited by hand" in repr(update_repository(bare, dry_run=True))
    assert update_repository(bare, force=True).written == (CHECK, DEPLOY)
    assert set(states(bare).values()) == {"current", "absent"}


def test_a_newer_file_is_not_taken_back(bare):
    """Who has the older mlkit installs the newer one, or insists."""
    (bare / CHECK).write_text(of_version("999.0", "name: new\n"))
    with pytest.raises(UsageError, match=r"CLI124.*999\.0") as caught:
        update_repository(bare)
    assert caught.value.fix.startswith("pip install 'mlkit-sdk==999.0'")
    assert states(bare)[CHECK] == "newer"
    (bare / CHECK).write_text(of_version("strange", "name: new\n"))
    assert states(bare)[CHECK] == "stale"


def test_a_file_that_was_removed_stays_away(bare):
    """Nobody's decision against a workflow is undone by an update."""
    (bare / DEPLOY).unlink()
    assert update_repository(bare).written == ()
    assert not (bare / DEPLOY).exists()
    assert "not here; to have it: mlkit init ." in repr(update_repository(bare))


def test_where_nothing_is_managed_it_is_said(tmp_path, monkeypatch, capsys):
    """With what would make it so."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--update"]) == 2
    assert "CLI122" in capsys.readouterr().err


def test_jobs_follow_the_configs(tmp_path, config_only, monkeypatch, capsys):
    """A schedule in mlkit.toml makes databricks.yml stale; an edit by hand is kept like any other."""
    folder = config_only(tmp_path / "lake")
    create_repository(folder, Answers("lake", store="databricks"))
    monkeypatch.chdir(folder)
    text = (folder / "mlkit.toml").read_text()
    (folder / "mlkit.toml").write_text(f'{text}deploy_cron = "0 0 4 ? * MON"\n')
    assert states(folder)["databricks.yml"] == "stale"
    assert main(["check"]) == 2
    assert "databricks.yml: mlkit would write it otherwise by now" in capsys.readouterr().out
    assert update_repository(folder).written == ("databricks.yml",)
    (folder / "databricks.yml").write_text((folder / "databricks.yml").read_text() + "mine: 1\n")
    with pytest.raises(UsageError, match=r"CLI123.*databricks.yml|databricks.yml.*"):
        update_repository(folder)
    assert update_repository(folder, force=True).written == ("databricks.yml",)
    assert main(["check"]) == 0
