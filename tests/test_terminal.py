"""What the command line prints on: colours only where they are wanted, and letters that a stream lacks."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from mlkit.cli import main
from mlkit.terminal import coloured, show, wants_colour


class Screen(io.StringIO):
    """A stream that is a terminal, or says so."""

    def __init__(self, *, terminal=True):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        """As a terminal answers."""
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "wanted"),
    [
        (True, {}, True),
        (True, {"TERM": "xterm"}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"CLICOLOR": "0"}, False),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"CLICOLOR_FORCE": "0"}, False),
        (False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (True, {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_when_colours_are_wanted(terminal, environment, wanted) -> None:
    """On a terminal that can; what somebody asked for comes first, and no colours before colours."""
    assert wants_colour(Screen(terminal=terminal), environment) == wanted


PLAN = """\
flight_delay -> prod    primary: a new model is needed
  ~ seed   3 -> 4   models/x.yaml:4   new model
    6 more inputs unchanged (--all)
would create   + train 4 rows
"""


def test_colours_change_no_letter(monkeypatch) -> None:
    """A text with its escape sequences taken out is the text; a plain stream gets no sequence at all."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Screen()
    show(shown, PLAN)
    assert "\x1b[33m  ~\x1b[0m seed" in shown.getvalue()
    assert "\x1b[1;33mprimary\x1b[0m: a new" in shown.getvalue()
    plain = Screen(terminal=False)
    show(plain, PLAN)
    assert plain.getvalue() == PLAN
    for sequence in {part.partition("m")[0] for part in coloured(PLAN).split("\x1b[")[1:]}:
        assert sequence in {"0", "2", "32", "33", "1;33"}


def test_a_stream_without_our_letters_is_no_crash(tmp_path) -> None:
    """A name in Greek comes out of a pipe of Windows as numbers, and as itself where it can."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "x.yaml").write_text("name: δelay\n", encoding="utf-8")
    for encoding, shown in (("cp1252", "\\u03b4elay"), ("utf-8", "δelay")):
        done = subprocess.run(
            [sys.executable, "-m", "mlkit", "δelay"],
            cwd=tmp_path,
            env={"PYTHONIOENCODING": encoding, "PATH": "", "PYTHONUTF8": "0"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2
        assert shown in done.stderr.decode(encoding)
    program = (
        "import sys\nfrom mlkit.cli import main\nfrom mlkit.terminal import show\n"
        "main(['--version'])\nshow(sys.stdout, 'δ ok\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONIOENCODING": "cp1252", "PATH": "", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("cp1252").splitlines()[-1] == "\\u03b4 ok"


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path) -> None:
    """`mlkit help | head` ends with no traceback."""
    program = (
        "import os, sys\nfrom mlkit.cli import main\nread, write = os.pipe()\nos.close(read)\n"
        "os.dup2(write, 1)\nsys.exit(main(['help']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A config with a mistake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "flights.yaml").write_text("format: 1\nname: flights\ntask: guess\n")


def test_an_error_says_where_and_is_last(broken, capsys, monkeypatch) -> None:
    """Code, cause, place, way out and page, in this order."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert main(["deploy", "flights"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error[CFG009] task: ")
    assert lines[1] == "  at models/flights.yaml:3"
    assert lines[2].startswith("  fix: ")
    assert lines[3:] == ["  page: mlkit help CFG009"]
    assert main(["deploy", "flights", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["place"] == "models/flights.yaml:3"


def test_on_github_an_error_is_shown_beside_its_line(broken, capsys, monkeypatch) -> None:
    """As an annotation before the error itself; what would end it is written as numbers."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    main(["deploy", "flights"])
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("::error title=CFG009,file=models/flights.yaml,line=3::task: ")
    assert second.startswith("error[CFG009]")
    main(["deploy", "100%,\nx"])
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("::error title=CFG001::100%25,%0Ax: ")
