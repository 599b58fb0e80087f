"""What a step does besides its result: written down once, and done again by a hit."""

from __future__ import annotations

import io
import json
import sys

import pytest

from mlkit.errors import UsageError
from mlkit.research.steps import replay as module
from mlkit.research.steps.replay import can_replay, recording, refuse_in_step, replay, replayed

KEPT = []


@replayed
def keep(name, *, size=1):
    """Something that a hit does again."""
    KEPT.append((name, size))
    return name.upper()


NAME = f"{__name__}:keep"


@pytest.fixture(autouse=True)
def empty():
    """Nothing is kept yet."""
    KEPT.clear()


def test_text_and_calls_are_written_down_in_order(capsys) -> None:
    """They also happen at once; pieces of text are one, and all of it is plain values."""
    with recording() as effects:
        sys.stdout.writelines(["a", " 1", "\n"])
        sys.stdout.write("b\n")
        assert keep("x", size=2) == "X"
        sys.stdout.write("é")
    assert effects == [["out", "a 1\nb\n"], ["call", NAME, ["x"], {"size": 2}], ["out", "é"]]
    assert json.loads(json.dumps(effects)) == effects
    assert (capsys.readouterr().out, KEPT) == ("a 1\nb\né", [("x", 2)])


def test_a_replay_does_it_again(capsys) -> None:
    """In the same order, as often as it is asked for."""
    effects = [["out", "a\n"], ["call", NAME, ["x"], {}], ["out", "b\n"]]
    replay(effects)
    replay(effects)
    assert (capsys.readouterr().out, KEPT) == ("a\nb\n" * 2, [("x", 1)] * 2)


def test_a_step_within_a_step_belongs_to_both(capsys) -> None:
    """Whether the inner one runs or is a hit."""
    with recording() as outer:
        with recording() as inner:
            sys.stdout.write("inside\n")
            keep("x")
        replay(inner)
        sys.stdout.write("outside\n")
    call = ["call", NAME, ["x"], {}]
    assert inner == [["out", "inside\n"], call]
    assert outer == [["out", "inside\n"], call, ["out", "inside\n"], call, ["out", "outside\n"]]
    assert capsys.readouterr().out == "inside\ninside\noutside\n"


def test_outside_of_steps_nothing_is_written_down() -> None:
    """The function is itself, with its name and result."""
    with recording() as effects:
        pass
    assert (keep("x"), keep.__name__, effects) == ("X", "keep", [])


def test_an_error_ends_the_recording() -> None:
    """Standard output is what it was, and the next recording begins empty."""
    screen = sys.stdout
    with pytest.raises(ZeroDivisionError), recording():
        _ = 1 / 0
    assert sys.stdout is screen
    refuse_in_step("project.deploy")  # no step is running any more
    with recording() as effects:
        assert effects == []


def test_only_so_much_text_is_kept(monkeypatch, capsys) -> None:
    """All of it is shown."""
    monkeypatch.setattr(module, "MOST_TEXT", 5)
    with recording() as effects:
        sys.stdout.write("abc")
        sys.stdout.write("defgh")
        keep("x")
        sys.stdout.write("more")
    assert effects == [["out", "abcde"], ["call", NAME, ["x"], {}]]
    assert capsys.readouterr().out == "abcdefghmore"


def test_the_screen_is_still_the_screen(monkeypatch) -> None:
    """What is asked of standard output is answered by it: its encoding, whether it is a terminal."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", screen)
    with recording():
        assert (sys.stdout.encoding, sys.stdout.isatty()) == ("latin-1", False)
        assert sys.stdout.write("abc") == 3
        with pytest.raises(AttributeError):
            _ = sys.stdout.no_such_thing


@pytest.mark.parametrize(
    ("effects", "can"),
    [
        ([], True),
        ([["out", "a"]], True),
        ([["call", NAME, [], {}]], True),
        ([["out", "a"], ["call", "other.module:function", [], {}]], False),
    ],
)
def test_functions_that_are_not_loaded_cannot_be_replayed(effects, can) -> None:
    """A hit is only one where all that was called is known."""
    assert can_replay(effects) is can


def test_what_a_hit_could_not_repeat_is_refused() -> None:
    """By its name, with what to do."""
    with recording(), pytest.raises(UsageError, match="call it outside") as caught:
        refuse_in_step("project.deploy")
    assert (caught.value.code, caught.value.path) == ("CLI095", "project.deploy")
