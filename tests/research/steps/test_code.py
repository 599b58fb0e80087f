"""The part of the key that is code: whatever the function reaches counts, and nothing else."""

from __future__ import annotations

import importlib
import shutil
import sys
import textwrap

import pytest

from mlkit.errors import StudyError

TWICE = """
import functools
def twice(g):
    @functools.wraps(g)
    def call(x): return 2 * g(x)
    return call
"""
DATACLASS = """
import dataclasses
def make(): return [1]
@dataclasses.dataclass
class Box:
    k: int = 1
    rows: list = dataclasses.field(default_factory=make)
"""
BOX = """
class Box:
    def __init__(self, k): self.k = k
    def add(self, x): return self.k + x
"""
CHILD = """
class Parent:
    def go(self): return 1
class Child(Parent):
    def go(self): return super().go()
"""
SLOTS = """
class Slots:
    __slots__ = ("k",)
    def __init__(self): self.k = 1
"""
META = """
class Meta(type):
    def go(cls): return 1
class Box(metaclass=Meta): pass
"""
MANAGER = """
import contextlib
@contextlib.contextmanager
def box(): yield 1
"""
# Name: script, an edit of it, and what the second run is told; empty for a hit.
EDITS = {
    "body": ("def f(x): return x + 1", ("x + 1", "x + 2"), "its own code changed"),
    "helper": (
        "def add(x): return x + 1\ndef f(x): return add(x)",
        ("x + 1", "x + 2"),
        "add changed, my_script.py:1",
    ),
    "helper of a helper": (
        "def one(): return 1\ndef add(x): return x + one()\ndef f(x): return add(x)",
        ("return 1", "return 2"),
        "one changed",
    ),
    "helper in a comprehension": (
        "def add(x): return x + 1\ndef f(x): return [add(y) for y in (z for z in [x])]",
        ("x + 1", "x + 2"),
        "add changed",
    ),
    "global": ("RATE = 2\ndef f(x): return x * RATE", ("RATE = 2", "RATE = 3"), "global `RATE` changed"),
    "type of a global": ("RATE = 2\ndef f(x): return x * RATE", ("RATE = 2", "RATE = 2.0"), "global `RATE`"),
    "global in a nested function": (
        "RATE = 2\ndef f(x):\n    def inner():\n        return RATE\n    return inner()",
        ("RATE = 2", "RATE = 3"),
        "global `RATE` changed",
    ),
    "closure": (
        "def make(a):\n    def f(x): return x * a\n    return f\nf = make(2)",
        ("make(2)", "make(3)"),
        "closure `a` changed",
    ),
    "default": ("def f(x, y=1): return x + y", ("y=1", "y=2"), "input `y` changed"),
    "default by name": (
        "N = 1\ndef f(x, *, y=N): return x + y",
        ("N = 1", "N = 2"),
        "input `y` changed",
    ),
    "default of a helper": (
        "def add(x, y=1): return x + y\ndef f(x): return add(x)",
        ("y=1", "y=2"),
        "add changed",
    ),
    "decorator": (
        f"{TWICE}@twice\ndef f(x): return x",
        ("2 * g", "3 * g"),
        "its own code changed",
    ),
    "behind a decorator": (
        f"{TWICE}@twice\ndef f(x): return x + 1",
        ("x + 1", "x + 2"),
        "f changed",
    ),
    "behind a cache": (
        "import functools\n@functools.lru_cache\ndef slow(x): return x + 1\ndef f(x): return slow(x)",
        ("x + 1", "x + 2"),
        "slow changed",
    ),
    "partial": (
        "import functools as t\ndef add(x, y): return x + y\np = t.partial(add, y=1)\ndef f(x): return p(x)",
        ("y=1", "y=2"),
        "global `p` changed",
    ),
    "method": (
        "class Box:\n    def go(self): return 1\ndef f(x): return Box().go() + x",
        ("return 1", "return 2"),
        "go changed",
    ),
    "class attribute": (
        "class Box:\n    K = 1\ndef f(x): return Box.K + x",
        ("K = 1", "K = 2"),
        "Box changed",
    ),
    "base class": (
        "class Base:\n    def go(self): return 1\nclass Box(Base): pass\ndef f(x): return Box().go() + x",
        ("return 1", "return 2"),
        "go changed",
    ),
    "property": (
        "class Box:\n    @property\n    def go(self): return 1\ndef f(x): return Box().go + x",
        ("return 1", "return 2"),
        "go changed",
    ),
    "dataclass": (
        f"{DATACLASS}def f(x): return Box().k + x",
        ("k: int = 1", "k: int = 2"),
        "Box",
    ),
    "factory of a dataclass": (
        f"{DATACLASS}def f(x): return Box().rows[0] + x",
        ("[1]", "[2]"),
        "make changed",
    ),
    "field of a model": (
        "import pydantic\nclass Box(pydantic.BaseModel):\n    k: int = 1\ndef f(x): return Box().k + x",
        ("k: int = 1", "k: int = 2"),
        "Box changed",
    ),
    "static method": (
        "class Box:\n    @staticmethod\n    def go(x): return x + 1\ndef f(x): return Box.go(x)",
        ("x + 1", "x + 2"),
        "go changed",
    ),
    "class method": (
        "class Box:\n    @classmethod\n    def go(cls, x): return x + 1\ndef f(x): return Box.go(x)",
        ("x + 1", "x + 2"),
        "go changed",
    ),
    "method of a parent, by super": (
        f"{CHILD}def f(x): return Child().go() + x",
        ("return 1", "return 2"),
        "go changed",
    ),
    "class with slots": (
        f"{SLOTS}box = Slots()\ndef f(x): return box.k + x",
        ("self.k = 1", "self.k = 2"),
        "global `box` changed",
    ),
    "class within a class": (
        "class Box:\n    class Inner:\n        K = 1\ndef f(x): return Box.Inner.K + x",
        ("K = 1", "K = 2"),
        "Inner changed",
    ),
    "metaclass": (
        f"{META}def f(x): return Box.go() + x",
        ("return 1", "return 2"),
        "go changed",
    ),
    "named tuple": (
        "import typing\nclass Box(typing.NamedTuple):\n    k: int = 1\ndef f(x): return Box().k + x",
        ("k: int = 1", "k: int = 2"),
        "Box",
    ),
    "context manager": (
        f"{MANAGER}def f(x):\n    with box() as k:\n        return k + x",
        ("yield 1", "yield 2"),
        "box changed",
    ),
    "generator": (
        "def rows(): yield 1\ndef f(x): return sum(rows()) + x",
        ("yield 1", "yield 2"),
        "rows changed",
    ),
    "global frame": (
        "import pandas as pd\nRATES = pd.DataFrame({'a': [1]})\ndef f(x): return int(RATES['a'][0]) + x",
        ("[1]", "[2]"),
        "global `RATES` changed",
    ),
    "global array in a dict": (
        "import numpy as np\nRATES = {'a': np.array([1, 2])}\ndef f(x): return int(RATES['a'].sum()) + x",
        ("[1, 2]", "[1, 3]"),
        "global `RATES` changed",
    ),
    "argument that is a function": (
        "def add(x): return x + 1\ndef f(x, how=add): return how(x)",
        ("x + 1", "x + 2"),
        "add changed",
    ),
    "order of operands": ("def f(x): return x - 1", ("x - 1", "1 - x"), "its own code changed"),
    "sign of zero": ("def f(x): return str(0.0 * x)", ("0.0 * x", "-0.0 * x"), "its own code changed"),
    "type of a constant": ("def f(x): return str(1 * x)", ("1 * x", "True * x"), "its own code changed"),
    "set of constants": (
        "def f(x): return x in {1, 2, 3}",
        ("{1, 2, 3}", "{1, 2, 4}"),
        "its own code changed",
    ),
    "exception that is caught": (
        "def f(x):\n    try:\n        return {}[x]\n    except KeyError:\n        return 1",
        ("KeyError", "LookupError"),
        "its own code changed",
    ),
    "enum": (
        "import enum\nclass Kind(enum.Enum):\n    A = 1\ndef f(x): return Kind.A.value + x",
        ("A = 1", "A = 2"),
        "Kind changed",
    ),
    "state of an object": (
        f"{BOX}box = Box(1)\ndef f(x): return box.k + x",
        ("Box(1)", "Box(2)"),
        "global `box` changed",
    ),
    "self of a bound method": (
        f"{BOX}add = Box(1).add\ndef f(x): return add(x)",
        ("Box(1)", "Box(2)"),
        "global `add` changed",
    ),
    "function in a table": (
        "def add(x): return x + 1\nTABLE = {'add': add}\ndef f(x): return TABLE['add'](x)",
        ("x + 1", "x + 2"),
        "add changed",
    ),
    "lambda": ("f = lambda x: x + 1", ("x + 1", "x + 2"), "its own code changed"),
    "recursion": ("def f(x): return x > 0 and f(x - 1)", ("x - 1", "x - 2"), "its own code changed"),
    "name of a library's function": (
        "import math\ndef f(x): return math.floor(x)",
        ("math.floor", "math.ceil"),
        "its own code changed",
    ),
    "comment": ("def f(x): return x + 1  # one", ("# one", "# two\n\n"), ""),
    "docstring": ("def f(x):\n    '''One.'''\n    return x + 1", ("'''One.'''", "'''Two.'''"), ""),
    "new docstring": ("def f(x):\n    return x + 1", ("(x):\n", "(x):\n    '''Two.'''\n"), ""),
    "lines above": ("A = 1\ndef f(x): return x + 1", ("A = 1", "A = 1\n\n\n"), ""),
    "what is not reached": ("A = 1\ndef f(x): return x + 1", ("A = 1", "A = 2"), ""),
    "name of the step": ("def f(x): return x + 1", ("def f(x)", "def g(x): return x + 1\ndef f(x)"), ""),
    "annotation": ("def f(x: int): return x + 1", ("x: int", "x: float"), ""),
}


def call(bench, source, **helpers):
    """Define the step anew, as in a process of its own, and call it."""
    names = bench.run(f"{source}\nresult = project.step(f, name='f')(3)", **helpers)
    return names["result"]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_counts_if_the_function_reaches_it(bench, name) -> None:
    """The result is always that of the code as it is; a miss names what changed, other edits are hits."""
    source, (old, new), told = EDITS[name]
    assert source.count(old) == 1
    call(bench, source)
    call(bench, source)
    assert bench.outcomes == ["miss", "hit"]
    edited = source.replace(old, new)
    expected = bench.run(edited)["f"](3)
    assert call(bench, edited) == expected
    assert bench.outcomes[2] == ("miss" if told else "hit"), bench.why
    assert told in bench.why
    call(bench, source)
    assert bench.outcomes[3] == "hit"  # the result of before the edit is still there


@pytest.mark.parametrize(
    "lines",
    [
        "import helper\ndef f(x): return helper.add(x)",
        "from helper import add\ndef f(x): return add(x)",
        "def f(x):\n    import helper\n    return helper.add(x)",
        "def f(x):\n    import helper as h\n    return [h.add(y) for y in [x]][0]",
        "def f(x):\n    from helper import add, RATE as rate\n    return add(x) + rate",
        "def f(x):\n    def inner():\n        return add(x)\n    from helper import add\n    return inner()",
    ],
)
def test_helpers_in_other_modules_count(bench, lines) -> None:
    """However a module of the user's is imported, what is used of it counts."""
    helper = "RATE = 1\ndef add(x): return x + RATE"
    before = call(bench, lines, helper=helper)
    after = call(bench, lines, helper=helper.replace("RATE = 1", "RATE = 5"))
    assert after > before
    assert bench.outcomes == ["miss", "miss"]
    assert "global `RATE` changed" in bench.why


@pytest.mark.parametrize(
    "lines",
    [
        "import pack.deep\ndef f(x): return pack.deep.add(x)",
        "import pack.deep as deep\ndef f(x): return deep.add(x)",
        "from pack import deep\ndef f(x): return deep.add(x)",
        "def f(x):\n    import pack.deep\n    return pack.deep.add(x)",
        "def f(x):\n    import pack.deep as deep\n    return deep.add(x)",
        "def f(x):\n    from pack import deep\n    return (lambda y: deep.add(y))(x)",
        "from pack import front\ndef f(x): return front.add(x)",
    ],
)
def test_packages_are_followed(bench, lines) -> None:
    """Modules of a package, imported in any form, relative imports within functions included."""
    folder = bench.folder / "pack"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "front.py").write_text("def add(x):\n    from . import deep\n    return deep.add(x)")
    for number in (1, 2):
        (folder / "deep.py").write_text(f"K = {number}\ndef add(x): return x + K")
        for name in ("pack", "pack.deep", "pack.front"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        assert call(bench, lines) == 3 + number
    assert bench.outcomes == ["miss", "miss"]
    assert "global `K` changed" in bench.why


def test_what_of_a_module_is_not_used_does_not_count(bench) -> None:
    """An edit elsewhere in the module of a helper is a hit."""
    lines = "import helper\ndef f(x): return helper.add(x)"
    call(bench, lines, helper="def add(x): return x\ndef other(): return 1")
    call(bench, lines, helper="def add(x): return x\ndef other(): return 2")
    assert bench.outcomes == ["miss", "hit"]


def test_two_closures_of_one_name_are_two_steps(bench) -> None:
    """Joblib gives 6 for the second."""
    source = "def make(a):\n    @project.step\n    def times(x): return x * a\n    return times\n"
    names = bench.run(source)
    assert (names["make"](2)(3), names["make"](5)(3)) == (6, 15)


def test_two_lambdas_of_one_line_are_two_steps(bench) -> None:
    """Their text stands in the same place."""
    names = bench.run("pair = [project.step(f) for f in (lambda x: x + 1, lambda x: x + 2)]")
    assert [step(1) for step in names["pair"]] == [2, 3]


def test_a_method_has_its_object_as_input(bench) -> None:
    """Two objects of one class do not share results."""
    source = """
        class Box:
            def __init__(self, k): self.k = k
            @project.step
            def add(self, x): return self.k + x
    """
    box = bench.run(textwrap.dedent(source))["Box"]
    assert [box(1).add(1), box(2).add(1), box(1).add(1)] == [2, 3, 2]
    assert bench.outcomes == ["miss", "miss", "hit"]


def test_the_version_of_a_step_within_counts(bench) -> None:
    """What the user declares of the inner step holds for the outer one."""
    source = """
@project.step(version='1')
def inner(x): return x + 1
@project.step
def outer(x): return inner(x)
"""
    bench.run(source)["outer"](1)
    bench.run(source.replace("'1'", "'2'"))["outer"](1)
    assert [call["outcome"] for call in bench.calls if call["step"] == "outer"] == ["miss", "miss"]
    assert bench.why == "global `inner` changed, my_script.py:4"


def test_arguments_are_bound_before_they_are_compared(bench) -> None:
    """``f(1)``, ``f(x=1)`` and a default that is spelled out are the same call."""
    step = bench.run("@project.step\ndef f(x, y=2): return x + y")["f"]
    assert [step(1), step(x=1), step(1, 2), step(y=2, x=1)] == [3, 3, 3, 3]
    assert bench.outcomes == ["miss", "hit", "hit", "hit"]
    with pytest.raises(TypeError, match="missing a required argument"):
        step()


def test_what_cannot_be_seen_can_be_declared(bench) -> None:
    """`version` and `depends` are parts of the key: text, values, functions, whole modules, files."""
    source = """
        import helper, pathlib
        def f(x): return getattr(helper, 'ad' + 'd')(x)
        f = project.step(version=VERSION, depends=[helper, pathlib.Path('rates.csv')])(f)
        result = f(3)
    """
    source = (
        textwrap.dedent(source)
        .replace("getattr(helper,", "look(")
        .replace("def f", "def look(n):\n    import sys\n    return getattr(sys.modules['helper'], n)\ndef f")
    )
    changes = [
        ("'1'", "def add(x): return x", "a"),
        ("'2'", "def add(x): return x", "a"),
        ("'2'", "def add(x): return x + 1", "a"),
        ("'2'", "def add(x): return x + 1", "b"),
    ]
    told = ["first run", "option `version` changed", "add changed", "option `depends[1]` changed"]
    for (version, helper, rates), why in zip(changes, told, strict=True):
        (bench.folder / "rates.csv").write_text(rates)
        bench.run(source.replace("VERSION", version), helper=helper)
        assert bench.outcomes[-1] == "miss"
        assert why in bench.why


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        (
            "import threading\nLOCK = threading.Lock()\ndef f(x): return LOCK",
            "RUN081",
            ("LOCK", "my_script.py:3"),
        ),
        ("import sys\nOUT = sys.__stdout__\ndef f(x): return OUT", "RUN081", ("OUT", "cannot be pickled")),
        ("N = 0\ndef f(x):\n    global N\n    N = x", "RUN081", ("assigns the global `N`",)),
        ("import helper\ndef f(x): return str(helper)", "RUN081", ("module helper as a whole",)),
        ("import mlflow\ndef f(x): mlflow.log_metric('a', x)", "RUN081", ("MLflow",)),
        ("def f(x):\n    import mlflow\n    mlflow.log_metric('a', x)", "RUN081", ("MLflow",)),
        (
            "import threading as t\ndef make(a):\n    def f(x): return a\n    return f\nf = make(t.Lock())",
            "RUN081",
            ("closure a",),
        ),
    ],
)
def test_what_has_no_content_is_refused_by_name(bench, source, code, words) -> None:
    """Nothing is ignored in silence: the error names the variable and where it is used."""
    with pytest.raises(StudyError) as caught:
        call(bench, source, helper="")
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "source",
    ["def f(x): yield x", "async def f(x): return x", "class f: pass", "f = len", "f = 3"],
)
def test_only_plain_functions_are_steps(bench, source) -> None:
    """A generator gives its result bit by bit; a class or builtin has no code to read."""
    with pytest.raises(StudyError) as caught:
        bench.run(f"{source}\nproject.step(f)")
    assert caught.value.code == "RUN080"


def test_the_project_itself_may_be_used(bench) -> None:
    """A step may name its project, as long as it does not touch the stores: that is refused."""
    assert call(bench, "def f(x): return len(project.name) + x") == 10
    with pytest.raises(ValueError, match="CLI095"):
        call(bench, "def f(x): return project.champion()")
