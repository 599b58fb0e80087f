"""The documentation is true: its code runs as it stands, and its lists are complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlkit
from mlkit.cli import _parser

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?ms)^```python(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$")


def blocks(page: str) -> list[tuple[str | None, str]]:
    """Title and text of each Python block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(found["title"], found["code"]) for found in BLOCK.finditer(text)]


def run_page(page: str, folder: Path) -> str:
    """Run the blocks of a page as one script, in a folder of its own; titled blocks are files."""
    script = []
    for title, code in blocks(page):
        if title is None:
            script.append(code)
        else:
            (folder / title).write_text(code, encoding="utf-8")
    (folder / "page.py").write_text("\n".join(script), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_ten_lines_run(home, tmp_path, page) -> None:
    """From a dataframe to a champion, as printed, and a second time it is unchanged."""
    assert "promoted" in run_page(page, tmp_path)
    assert "unchanged" in run_page(page, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_tutorial_runs_word_by_word(home, tmp_path) -> None:
    """Every step of the tutorial happens, with the outcomes it promises."""
    told = run_page("docs/start/first-champion.md", tmp_path)
    for promised in ("DAT060", "promoted  diabetes v1", "unchanged", "primary", "rehearsed"):
        assert promised in told
    assert (tmp_path / "models" / "diabetes.yaml").is_file()
    assert list((tmp_path / "dist").glob("*.whl"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_guide_of_scoring_runs(home, tmp_path) -> None:
    """Its answers are stored, and its second run logs nothing."""
    assert "100 rows scored  trips v1" in run_page("docs/guides/scoring.md", tmp_path)


def test_the_guide_of_cleanup_runs(home, tmp_path) -> None:
    """Its Python gives a plan."""
    assert "flight_delay  0 go" in run_page("docs/guides/cleanup.md", tmp_path)


def test_the_example_is_what_the_readme_shows() -> None:
    """The ten lines exist once, in two places."""
    example = (ROOT / "examples" / "ten_lines.py").read_text(encoding="utf-8")
    assert example.endswith(blocks("README.md")[0][1])


def test_every_public_name_is_in_the_reference() -> None:
    """`__all__` and the reference list the same names."""
    pages = [*(ROOT / "docs" / "reference").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    documented = set(re.findall(r"^::: mlkit\.[\w.]*?\.?(\w+)$", text, re.MULTILINE))
    assert set(mlkit.__all__) - {"MlkitError"} <= documented
    assert "errors" in documented


def test_every_command_is_explained() -> None:
    """No command is without a line of help."""
    actions = [action for action in _parser()._actions if action.choices]
    helps = {choice.dest: choice.help for choice in actions[0]._choices_actions}
    assert set(helps) == set(actions[0].choices)
    assert all(helps.values())


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/start/install.md"])
def test_nobody_is_told_to_install_the_wrong_distribution(page) -> None:
    """`mlkit` on the index is not ours."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.search(r"pip install (-\S+ )*['\"]?mlkit(?!-sdk)\b", text)
