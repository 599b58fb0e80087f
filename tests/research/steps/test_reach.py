"""What a function reaches, part by part, and how it is named."""

from __future__ import annotations

import functools
import os
import sys
import threading
import types

import pytest

from mlkit.errors import StudyError
from mlkit.research.steps.reach import Walk, place_of

SOURCE = """
import functools, math
RATE = 2
def helper(x): return x * RATE
def other(x): return x
class Box:
    def size(self): return helper(1)
def f(x): return helper(x) + math.floor(x)
def g(x): return Box().size() + helper(x)
def unknown(x): return no_such_name + x
"""


@pytest.fixture
def user(monkeypatch):
    """A module of the user's."""
    module = types.ModuleType("my_reach")
    monkeypatch.setitem(sys.modules, "my_reach", module)
    exec(compile(SOURCE, os.path.abspath("my_reach.py"), "exec"), vars(module))  # noqa: S102, PTH100 - a module of a test
    return module


def reached(function):
    """Kinds and names of what a function reaches."""
    walk = Walk("step")
    walk.begin(function)
    return [(part.kind, part.name) for part in walk.finish()]


def test_what_is_called_is_reached(user) -> None:
    """Functions, their globals, classes and methods; not what stands beside them."""
    assert reached(user.f)[:3] == [("code", ""), ("global", "my_reach.RATE"), ("code", "my_reach.helper")]
    assert set(reached(user.g)) == {
        ("code", ""),
        ("code", "my_reach.Box"),
        ("code", "my_reach.Box.size"),
        ("code", "my_reach.helper"),
        ("global", "my_reach.RATE"),
        ("library", "python"),
    }
    assert reached(user.unknown) == [("code", ""), ("library", "python")]


def test_two_of_one_name_are_two_parts() -> None:
    """And one that is reached twice is one."""

    def made(number):
        def inner(x):
            return x + number

        return inner

    first, second = made(1), made(2)

    def f(x):
        return first(x) + second(x) + first(x)

    names = [name for kind, name in reached(f) if kind == "code"]
    inner = f"{__name__}.{first.__qualname__}"
    assert names == ["", inner, f"{inner}#2"]
    numbers = [name for kind, name in reached(f) if kind == "closure" and name.endswith("number")]
    assert numbers == [f"{inner}.number", f"{inner}#2.number"]


def test_a_module_that_is_declared_is_all_that_it_defines(user) -> None:
    """Not what it imports: that is another module's."""
    user.partial, user.Walk = functools.partial, Walk
    walk = Walk("step")
    walk.depend(0, user)
    names = {part.name for part in walk.finish() if part.kind == "code"}
    assert names == {
        f"my_reach.{name}" for name in ("helper", "other", "Box", "Box.size", "f", "g", "unknown")
    }


def test_code_and_values_are_followed_apart(user) -> None:
    """A global that changes is that part alone; so is the code of a helper."""

    def parts():
        walk = Walk("step")
        walk.begin(user.f)
        return {part.name: part.digest for part in walk.finish()}

    before = parts()
    user.RATE = 3
    after = parts()
    assert {name for name in before if before[name] != after[name]} == {"my_reach.RATE"}
    user.helper = user.other
    assert "my_reach.RATE" not in parts()


def test_what_has_no_content_is_named_with_its_place(user) -> None:
    """The variable, the step, and the line of the function that reads it."""
    user.RATE = threading.Lock()
    walk = Walk("train")
    with pytest.raises(StudyError, match=r"RUN081") as caught:
        walk.begin(user.f)
    assert caught.value.path == "global RATE"
    assert caught.value.message.startswith("step train depends on global RATE at my_reach.py:4: ")
    assert "__mlkit_key__" in caught.value.fix


def test_a_place_is_a_file_and_a_line(user, tmp_path, monkeypatch) -> None:
    """From the working directory where that is shorter; of a class its module."""
    assert place_of(user.helper) == "my_reach.py:4"
    assert place_of(user.Box) == "my_reach"
    assert place_of(3) == ""
    whole = user.helper.__code__.co_filename
    monkeypatch.chdir(tmp_path)
    assert place_of(user.helper) == f"{whole}:4"
