"""`mlkit report`: which project, which form, where to; nothing opens by itself."""

from __future__ import annotations

import json
import re
import webbrowser
from pathlib import Path

import pytest

from mlkit.cli import main
from mlkit.report.findings import FINDINGS
from tests.report.conftest import NAME

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "report.md"


@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was asked to show."""
    asked = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or True)
    return asked


def test_it_writes_a_page_and_says_where(copied, opened, capsys):
    """Of the only project there is; it opens nothing, unless it is asked to."""
    assert main(["report"]) == 0
    path = copied.workspace.folder / "reports" / f"{NAME}.html"
    said = capsys.readouterr().out
    assert str(path) in said
    assert re.search(r"\d+ kB|MB", said)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert opened == []
    assert main(["report", NAME, "--open", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["path"], told["project"]) == (str(path), NAME)
    assert opened == [path.as_uri()]


def test_markdown_and_json_are_printed_or_written(copied, capsys, tmp_path):
    """On standard output for a pull request or a program, or into the file that is named."""
    assert main(["report", NAME, "--format", "md"]) == 0
    assert capsys.readouterr().out.startswith(f"# {NAME}\n")
    assert main(["report", NAME, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["project"] == NAME
    assert main(["report", NAME, "--format", "md", "--out", str(tmp_path / "comment.txt")]) == 0
    assert (tmp_path / "comment.txt").read_text(encoding="utf-8").startswith(f"# {NAME}\n")


def test_a_project_that_is_not_there(home, capsys):
    """Not named and not the only one: it asks; unknown: it names the nearest."""
    assert main(["report"]) == 2
    assert "CLI100" in capsys.readouterr().err
    Path("models").mkdir()
    Path("models/flight_delay.yaml").touch()
    assert main(["report", "flihgt_delay"]) == 2
    said = capsys.readouterr().err
    assert "CLI101" in said
    assert "did you mean 'flight_delay'?" in said


def test_codes_of_findings_are_explained(home, capsys):
    """`mlkit help` knows them, in their order, and so does the guide."""
    assert list(FINDINGS) == sorted(FINDINGS)
    assert main(["help", "rpt020"]) == 0
    assert FINDINGS["RPT020"] in capsys.readouterr().out
    guide = GUIDE.read_text(encoding="utf-8")
    assert [code for code, meaning in FINDINGS.items() if f"| {code} | {meaning} |" not in guide] == []
