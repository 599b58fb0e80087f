"""What code says: names that it looks up, globals that it writes, and a digest of its meaning."""

from __future__ import annotations

import textwrap

import pytest

from mlkit.research.steps.bytecode import Lookup, read_code


def read(source):
    """What the function `f` of a source says."""
    names = {}
    exec(compile(textwrap.dedent(source), "somewhere.py", "exec"), names)  # noqa: S102 - code of a test
    return read_code(names["f"].__code__)


def body(*lines):
    """A function of some lines."""
    return read("def f(x=None):\n" + textwrap.indent("\n".join(lines), "    "))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["return 1"], []),
        (["y = x.a", "return y.b"], []),
        (["return a"], [(None, "a")]),
        (["return a.b.c"], [(None, "a.b.c")]),
        (["return a.b().c"], [(None, "a.b")]),
        (["return a[0].b"], [(None, "a")]),
        (["return a + a"], [(None, "a")]),
        (["return a.b + a"], [(None, "a.b"), (None, "a")]),
        (["return [a for y in b]"], [(None, "b"), (None, "a")]),
        (["return lambda: a.b"], [(None, "a.b")]),
        (["import a", "return a.b"], [("a", ""), ("a", "b")]),
        (["import a.b", "return a.b.c"], [("a.b", ""), ("a", "b.c")]),
        (["import a.b.c as d", "return d.e"], [("a", "b.c.e")]),
        (["from a import b", "return b.c"], [("a", "b.c")]),
        (["from a import b as c, d", "return d, c"], [("a", "d"), ("a", "b")]),
        (["from . import b", "return b"], [(".", "b")]),
        (["from ..a import b", "return b"], [("..a", "b")]),
        (["import a", "def g(): return a.b", "return g"], [("a", ""), ("a", "b")]),
    ],
)
def test_names_are_looked_up_in_order(lines, found) -> None:
    """Globals with their attributes, and what the code imports itself, each once."""
    expected = [Lookup(module, tuple(chain.split("."))) for module, chain in found]
    assert list(body(*lines).lookups) == expected


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        (["global n", "n = 1"], ("n",)),
        (["global n, m", "m = 1", "n = 2", "m = 3"], ("m", "n")),
        (["global n", "del n"], ("n",)),
        (["def g():", "    global n", "    n = 1"], ("n",)),
        (["global n", "return n"], ()),
        (["n = 1", "n += 1"], ()),
    ],
)
def test_globals_that_are_written_are_known(lines, written) -> None:
    """Assigned or deleted, in nested code too; reading one or a local one is none."""
    assert body(*lines).writes == written


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("def f(x): return x", "def f(x):\n    'What it does.'\n    # a word\n\n    return x"),
        ("def f(x): return x + 1", "\n\n\ndef f(x):\n    return (x\n        + 1)"),
        ("def f(x): return x + 1", "def g(x): return x + 1\nf = g"),
        ("def f(x): return x in {1, 2, 3}", "def f(x): return x in {3, 2, 1}"),
        ("def f(x, y=1): return x", "def f(x, y=2): return x"),  # defaults are values, read elsewhere
        ("def f(x): return x", "def f(x: int) -> int: return x"),
        (
            "def f():\n    def g(): return 1\n    return g",
            "def f():\n    def g():\n        'g'\n        return 1\n    return g",
        ),
    ],
)
def test_what_means_the_same_has_one_digest(first, second) -> None:
    """Comments, docstrings, places, and the name of the function are no part of it."""
    assert read(first).digest == read(second).digest


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("return 1", "return 1.0"),
        ("return 1", "return True"),
        ("return 0.0", "return -0.0"),
        ("return 'a'", "return b'a'"),
        ("return (1, 2)", "return (1, 2.0)"),
        ("return x in {1, 2}", "return x in {1, 3}"),
        ("return a", "return b"),
        ("return x.a", "return x.b"),
        ("return x + 1", "return x - 1"),
        ("return x < 1", "return x <= 1"),
        ("return lambda: 1", "return lambda: 2"),
        ("return [y for y in x]", "return [y for y in x if y]"),
        ("try: x()\nexcept KeyError: pass", "try: x()\nexcept ValueError: pass"),
        ("try: x()\nfinally: a()", "x()\na()"),
        ("return len(x)", "y = len(x)\nreturn y"),
        ("yield x", "return x"),
    ],
)
def test_what_means_something_else_has_another(first, second) -> None:
    """Constants with their type and sign, names, operations, and where errors are caught."""
    assert body(*first.splitlines()).digest != body(*second.splitlines()).digest


@pytest.mark.parametrize("other", ["a, *, b", "a, /, b", "a, *b", "a, **b", "b, a", "a"])
def test_how_arguments_are_passed_counts(other) -> None:
    """The same body with parameters of another kind is another function."""
    assert read("def f(a, b): return a").digest != read(f"def f({other}): return a").digest


def test_many_names_need_wide_arguments() -> None:
    """More than 256 constants and names: the last one counts like the first."""
    lines = [f"x = a{number}.b + {number + 1000}" for number in range(300)]
    long, other = body(*lines), body(*lines[:-1], "x = a299.b + 7")
    assert Lookup(None, ("a299", "b")) in long.lookups
    assert len(long.lookups) == 300
    assert long.digest != other.digest
