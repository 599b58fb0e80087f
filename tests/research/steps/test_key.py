"""The key of a call, and the words for what changed since another one."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pytest

from mlkit.errors import StudyError
from mlkit.research.steps.key import Recipe, changed_parts
from mlkit.research.steps.reach import Part


def add(x, y=2, *more, scale=1, **rest):
    """A function with every kind of parameter."""
    return (x + y + sum(more)) * scale


def double(x):
    """Another function."""
    return 2 * x


def part(kind, name, digest="1", note=""):
    """A part, its content in one digit."""
    return Part(kind, name, digest, note)


@pytest.mark.parametrize(
    ("kind", "name", "note", "words"),
    [
        ("input", "x", "", "input `x` changed"),
        ("code", "", "a.py:3", "its own code changed, a.py:3"),
        ("code", "my.helper.g", "h.py:1", "g changed, h.py:1"),
        ("code", "my.helper.g#2", "", "g changed"),
        ("code", "my.f.<locals>.g", "", "my.f.<locals>.g changed"),
        ("global", "my.helper.RATE", "a.py:9", "global `RATE` changed, a.py:9"),
        ("closure", ".k", "a.py:9", "closure `k` changed, a.py:9"),
        ("option", "version", "", "option `version` changed"),
        ("option", "depends[0]", "", "option `depends[0]` changed"),
        ("library", "numpy", "", "numpy 1 -> 2"),
    ],
)
def test_a_change_is_a_phrase(kind, name, note, words) -> None:
    """As people call the part, with its place where it has one."""
    assert changed_parts([part(kind, name, "1", note)], [part(kind, name, "2", note)]) == [words]


def test_shapes_of_inputs_are_told() -> None:
    """Only where they differ: the same shape says nothing."""
    before = [part("input", "x", "1", "3 x 2")]
    assert changed_parts(before, [part("input", "x", "2", "4 x 2")]) == ["input `x` changed (3 x 2 -> 4 x 2)"]
    assert changed_parts(before, [part("input", "x", "2", "3 x 2")]) == ["input `x` changed"]
    assert changed_parts(before, [part("input", "x", "1", "no matter")]) == []


def test_changes_come_before_additions_and_removals() -> None:
    """What is gone has no place any more; parts of two kinds may have one name."""
    before = [part("code", "m.old", note="a.py:1"), part("input", "x"), part("library", "scipy")]
    now = [part("library", "numpy"), part("code", "m.new", note="a.py:2"), part("input", "x", "2")]
    words = ["input `x` changed", "numpy is new", "new is new, a.py:2", "old is gone", "scipy is gone"]
    assert changed_parts(before, now) == words
    assert changed_parts([part("global", "x")], [part("input", "x")]) == [
        "input `x` is new",
        "global `x` is gone",
    ]
    assert changed_parts([], []) == []


@pytest.mark.parametrize(
    ("args", "kwargs", "bound"),
    [
        ((1,), {}, {"x": 1, "y": 2, "more": (), "scale": 1, "rest": {}}),
        ((), {"x": 1, "scale": 3}, {"x": 1, "y": 2, "more": (), "scale": 3, "rest": {}}),
        ((1, 2, 3, 4), {"z": 5}, {"x": 1, "y": 2, "more": (3, 4), "scale": 1, "rest": {"z": 5}}),
    ],
)
def test_arguments_are_bound_with_their_defaults(args, kwargs, bound) -> None:
    """However they are spelled, in the order of the function."""
    found = Recipe("add", add).arguments(args, kwargs)
    assert (dict(found), list(found)) == (bound, list(bound))


def test_a_decorator_is_what_is_called() -> None:
    """The parameters are those of the wrapper, which may change them before the function sees them."""

    @functools.wraps(double)
    def anything(*args):
        return double(*args)

    assert dict(Recipe("f", anything).arguments((1,), {})) == {"args": (1,)}
    with pytest.raises(TypeError, match="unexpected keyword"):
        Recipe("f", anything).arguments((), {"x": 1})


def test_the_name_is_for_people() -> None:
    """It is no part of the key; function, arguments, version and dependencies are."""
    key = Recipe("a", double).key({"x": 1})
    assert Recipe("b", double).key({"x": 1}) == key
    assert len(key.hex) == 32
    others = [
        Recipe("a", add).key({"x": 1}),
        Recipe("a", double).key({"x": 2}),
        Recipe("a", double).key({"y": 1}),
        Recipe("a", double, version="2").key({"x": 1}),
        Recipe("a", double, depends=(1, 2)).key({"x": 1}),
        Recipe("a", double, depends=(2, 1)).key({"x": 1}),
    ]
    assert len({key.hex, *(other.hex for other in others)}) == 7


def test_parts_are_in_the_order_they_are_reached() -> None:
    """The version first, then inputs with their shape, the code, and libraries last."""
    key = Recipe("double", double).key({"x": np.zeros((3, 2))})
    assert [(part.kind, part.name) for part in key.parts[:3]] == [
        ("option", "version"),
        ("input", "x"),
        ("code", ""),
    ]
    assert (key.parts[1].note, key.parts[-1].kind) == ("3 x 2", "library")
    assert "numpy" in {part.name for part in key.parts if part.kind == "library"}
    assert "numpy" not in {part.name for part in Recipe("double", double).key({"x": 1}).parts}


def test_a_dependency_without_content_is_refused() -> None:
    """The error says that it is one of `depends`, and of which step."""
    with pytest.raises(StudyError, match=r"RUN082.*") as caught:
        Recipe("double", double, depends=("a", threading.Lock())).key({"x": 1})
    assert caught.value.path == "depends"
    assert "step double depends on depends: an object of _thread.lock" in caught.value.message
