"""The console: what people see while it happens, on standard error and never in the way."""

from __future__ import annotations

import contextlib
import io

import pytest

from mlkit.console import progress, say


class Terminal(io.StringIO):
    """A standard error that looks like a terminal."""

    def isatty(self) -> bool:
        """As a terminal answers."""
        return True


@pytest.fixture(autouse=True)
def aloud(monkeypatch) -> None:
    """Not silenced, and nothing known of the terminal that runs the tests."""
    for name in ("MLKIT_QUIET", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_notices_go_to_standard_error_as_they_are(capsys) -> None:
    """No markup, emoji or colours are read into a text, and no line is folded."""
    text = "[bold]models[/bold] :tada: 'x' " + "word " * 60 + "end"
    say(text)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"{text}\n"


def test_long_work_gives_a_line_a_tenth(capsys) -> None:
    """In a log file progress is at most ten lines, the last one at the end."""
    with progress("study of 30 trials", 30) as advance:
        for number in range(30):
            advance(note=f"best [rmse] {number}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("study of 30 trials 3/30 ")
    assert lines[-1].startswith("study of 30 trials 30/30 ")
    assert lines[-1].endswith("s  best [rmse] 29")


@pytest.mark.parametrize(("total", "steps", "lines"), [(3, [1, 1, 1], 3), (100, [5, 4, 91], 1), (0, [], 0)])
def test_steps_of_any_size_are_counted(capsys, total, steps, lines) -> None:
    """A step over several tenths is one line; no work is no line and no error."""
    with progress("copy", total) as advance:
        for units in steps:
            advance(units)
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_terminal_shows_a_bar_and_clears_it() -> None:
    """The bar shows title, units and note, whatever brackets they hold, and leaves nothing behind."""
    with contextlib.redirect_stderr(Terminal()) as terminal, progress("study [of] 4", 4) as advance:
        advance(2, note="best [rmse] 7")
    shown = terminal.getvalue()
    assert "study [of] 4" in shown
    assert "2/4" in shown
    assert "best [rmse] 7" in shown
    assert shown.endswith("\x1b[2K")


@pytest.mark.parametrize("screen", [Terminal, io.StringIO])
def test_quiet_is_quiet(monkeypatch, screen) -> None:
    """Neither notices nor progress, on a terminal or elsewhere."""
    monkeypatch.setenv("MLKIT_QUIET", "1")
    with contextlib.redirect_stderr(screen()) as shown:
        say("a notice")
        with progress("work", 10) as advance:
            advance(10, note="done")
    assert shown.getvalue() == ""


def test_an_error_ends_the_bar_and_passes() -> None:
    """Progress hides no failure of the work."""
    screen = contextlib.redirect_stderr(Terminal())
    with screen as terminal, pytest.raises(ZeroDivisionError), progress("work", 2):
        _ = 1 / 0
    assert "work" in terminal.getvalue()
