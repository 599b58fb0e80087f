"""The console: what people see while it happens, on standard error and never in the way."""

from __future__ import annotations

import contextlib
import io

import pytest

from mlkit.console import agree, console, duration, is_live, progress, say, working
from mlkit.errors import UsageError


class Terminal(io.StringIO):
    """A standard error that looks like a terminal."""

    def isatty(self) -> bool:
        """As a terminal answers."""
        return True


@pytest.fixture(autouse=True)
def aloud(monkeypatch) -> None:
    """Not silenced, and nothing known of the terminal that runs the tests."""
    for name in ("MLKIT_QUIET", "CI", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (242, "4 m 02 s"),
        (3599.4, "59 m 59 s"),
        (7500, "2 h 05 m"),
    ],
)
def test_times_have_the_digits_that_somebody_reads(seconds, text) -> None:
    """Whole seconds from ten on, and no seconds beside hours."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("variable", "value", "live"),
    [("TERM", "xterm", True), ("TERM", "dumb", False), ("CI", "true", False), ("MLKIT_QUIET", "1", False)],
)
def test_only_who_looks_on_sees_it_live(monkeypatch, variable, value, live) -> None:
    """Not a dumb terminal, nor a CI that says it is a terminal; what is said there is lines."""
    monkeypatch.setenv(variable, value)
    with contextlib.redirect_stderr(Terminal()) as shown:
        assert is_live(console()) == live
        with progress("work", 1) as advance, working("beside"):
            advance()
    assert ("\x1b[2K" in shown.getvalue()) == live
    monkeypatch.setenv("FORCE_COLOR", "1")
    with contextlib.redirect_stderr(io.StringIO()):
        assert not is_live(console())


def test_what_is_under_way_is_shown_until_it_is_done() -> None:
    """What is said meanwhile stands above it, a bar takes its place, and in the end it is gone."""
    with contextlib.redirect_stderr(Terminal()) as shown:
        with working("3/8 train"):
            say("a notice")
            with progress("trees", 2) as advance:
                advance(2)
            with working("something inside"):
                pass
        say("3/8 done")
    text = shown.getvalue()
    assert "3/8 train" in text
    assert "2/2" in text
    assert "something inside" not in text
    assert text.index("3/8 train") < text.index("2/2") < text.rindex("3/8 done")
    assert text.endswith("3/8 done\n")


def test_elsewhere_nothing_is_shown_of_it(capsys) -> None:
    """A log file gets what is said when it has ended."""
    with working("3/8 train"):
        say("a notice")
    assert capsys.readouterr().err == "a notice\n"


def test_an_error_under_way_passes() -> None:
    """And what was shown is taken away before."""
    screen = contextlib.redirect_stderr(Terminal())
    with screen as shown, pytest.raises(ZeroDivisionError), working("train"):
        _ = 1 / 0
    with screen:
        say("after")
    assert shown.getvalue().endswith("after\n")


def test_a_loss_is_agreed_to(monkeypatch, capsys) -> None:
    """Beforehand, or on a terminal by a plain yes; anything else is no."""
    assert agree("it goes", yes=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="it goes; nobody can be asked"):
        agree("it goes", yes=False)
    answers = Terminal("Y\nyes\n\nsure\n")
    monkeypatch.setattr("sys.stdin", answers)
    assert [agree("it goes", yes=False) for _ in range(5)] == [True, True, False, False, False]
    assert capsys.readouterr().err.startswith("it goes: go on? [y/N] ")
