"""The tree of errors: as documented, catchable by builtin, whole after a trip between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from mlkit import errors
from mlkit.errors import ConfigError, MlkitError, StoreError

LINE = re.compile(r" {4,}[x-] (\w+) *(?:\((\w+)\))? *([A-Z]{3})? ")
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MlkitError) and kind is not MlkitError
}
EXIT_CODES = {
    "CFG": 2,
    "NAM": 2,
    "CLI": 2,
    "DAT": 10,
    "STO": 20,
    "INT": 30,
    "SEC": 30,
    "NET": 4,
    "GAT": 3,
    "RUN": 10,
}


def documented() -> dict[str, tuple[str, str, str]]:
    """Parent, builtin and family of each class in the tree that the module shows."""
    tree, parent = {}, ""
    for line in errors.__doc__.splitlines():
        if found := LINE.match(line):
            name, builtin, family = (group or "" for group in found.groups())
            parent = name if family else parent
            tree[name] = ("MlkitError" if family else parent, builtin, family or tree[parent][2])
    return tree


def test_the_tree_shown_is_the_tree_there_is() -> None:
    """Each class stands under its parent, with the builtin it resembles."""
    shown = documented()
    assert shown.keys() == CLASSES.keys()
    for name, (parent, builtin, _) in shown.items():
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == [parent, builtin] if builtin else [parent]


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_is_also_the_builtin_it_resembles(name) -> None:
    """A stranger who catches ValueError or OSError catches ours; the family decides the exit code."""
    kind = CLASSES[name]
    error = kind("XXX000", "expected this, found that", path="a.b", fix="do it")
    builtins = [
        base for base in kind.__mro__ if base.__module__ == "builtins" and issubclass(base, Exception)
    ]
    assert len(set(builtins) - {Exception}) >= 1
    expected = EXIT_CODES[documented()[name][2]]
    assert error.exit_code == (errors.EXIT_RACE if name == "RaceLostError" else expected)
    assert str(error) == "[XXX000] a.b: expected this, found that\n  fix: do it"


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_survives_the_way_between_processes(name) -> None:
    """All its parts arrive, for a worker's error is shown by its parent."""
    error = CLASSES[name]("XXX000", "a message", path="a.b", fix="do it")
    error.place = "models/a.yaml:3"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert copy.to_dict() == error.to_dict()
    assert copy.place == "models/a.yaml:3"
    assert str(copy) == str(error)


def test_parts_that_are_empty_are_not_shown() -> None:
    """Code and message are enough."""
    assert str(ConfigError("CFG009", "it is wrong")) == "[CFG009] it is wrong"
    assert StoreError("STO001", "the store is full").to_dict() == {
        "code": "STO001",
        "message": "the store is full",
        "path": "",
        "place": "",
        "fix": "",
        "exit_code": 20,
    }
