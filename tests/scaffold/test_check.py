"""`mlkit check`: what is committed holds together, told without any store, by an exit code."""

from __future__ import annotations

import json

import pytest

from mlkit.cli import main
from mlkit.doctor.examine import examine
from mlkit.scaffold.check import check_repository

CHECK = ".github/workflows/check.yml"


def failing(report) -> list[str]:
    """What fails."""
    return [look.what for look in report.looks if look.state == "FAIL"]


def test_a_new_repository_is_sound(repository, capsys):
    """Targets, the model, both workflows; and no store is opened for it."""
    stores = sorted((repository.parent / ".mlkit").rglob("*"))
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    assert "models/diabetes.yaml: loads" in said
    assert said.endswith("checked 4: 4 OK, 0 WARN, 0 FAIL\n")
    assert not (repository / ".mlkit").exists()
    assert sorted((repository.parent / ".mlkit").rglob("*")) == stores


def test_an_edited_workflow_fails_it(repository, capsys):
    """CI says so, and how to mend it (S10)."""
    (repository / CHECK).write_text((repository / CHECK).read_text().replace("60", "6"))
    assert main(["check", "--json"]) == 2
    looks = {look["what"]: look for look in json.loads(capsys.readouterr().out)["looks"]}
    assert (looks[CHECK]["state"], looks[CHECK]["said"]) == ("FAIL", "it was edited by hand")
    assert "--force" in looks[CHECK]["mend"]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("format: 1", "fromat: 1", "CFG006"),
        ("target: progression", "target: nothing", "CFG034"),
        ("diabetes.prepare:load", "diabetes.prepare:nowhere", "CFG024"),
        ("diabetes.prepare:load", "no_such_module:load", "CFG023"),
    ],
)
def test_a_model_that_does_not_load_fails_it(repository, before, after, code):
    """A field, a column, a function, a module: each with its code and what to do."""
    path = repository / "models" / "diabetes.yaml"
    path.write_text(path.read_text().replace(before, after))
    report = check_repository()
    assert failing(report) == ["models/diabetes.yaml"]
    assert report.exit_code == 2
    assert f"[{code}]" in repr(report)


def test_code_that_does_not_import_fails_it(repository):
    """What its import raises is told as the user's."""
    (repository / "src" / "diabetes" / "prepare.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in repr(check_repository())
    assert failing(check_repository()) == ["models/diabetes.yaml"]


def test_a_config_is_called_like_its_file(repository):
    """Otherwise `mlkit deploy NAME` and the ledger would speak of two."""
    (repository / "models" / "diabetes.yaml").rename(repository / "models" / "glucose.yaml")
    report = check_repository()
    assert failing(report) == ["models/glucose.yaml"]
    assert "rename it to diabetes.yaml" in repr(report)


def test_other_versions_than_the_pinned_ones_are_said_aloud(repository):
    """A deployment from here would need a new model, which is no fault of what is committed."""
    path = repository / "models" / "diabetes.yaml"
    path.write_text(path.read_text().replace("pandas==", "pandas==0"))
    report = check_repository()
    assert report.exit_code == 0
    assert "pandas 0" in repr(report)
    assert "1 WARN, 0 FAIL" in repr(report)


def test_targets_that_do_not_read_fail_it(repository):
    """Then nothing is said of files that follow from them."""
    (repository / "mlkit.toml").write_text("[targets.prod]\nno_such_field = 1\n")
    report = check_repository()
    assert failing(report) == ["targets"]
    assert not any(look.what == CHECK for look in report.looks)


def test_an_empty_folder_is_sound(tmp_path, monkeypatch):
    """Nothing there is wrong."""
    monkeypatch.chdir(tmp_path)
    report = check_repository()
    assert ([look.what for look in report.looks], report.exit_code) == (["targets"], 0)


def test_the_doctor_says_when_files_are_behind(repository):
    """One line, with the command that mends it; without managed files, none (S10)."""
    (finding,) = [found for found in examine().findings if found.what == "managed files"]
    assert (finding.state, finding.said) == ("OK", "current")
    (repository / "mlkit.toml").write_text("[targets.team]\n")
    (finding,) = [found for found in examine().findings if found.what == "managed files"]
    assert (finding.state, finding.mend) == ("WARN", "mlkit init --update")
    assert CHECK in finding.said
    for path in (repository / ".github" / "workflows").iterdir():
        path.unlink()
    assert not any(found.what == "managed files" for found in examine().findings)
