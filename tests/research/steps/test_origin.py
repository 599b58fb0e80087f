"""Whose code it is: the user's is read, a library's is its version."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import sysconfig
import types

import numpy as np
import pytest

import mlkit
from mlkit.research.steps.origin import is_library, is_library_file, versions_of

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
GROUND = {"numpy", "pandas", "scipy", "sklearn"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("json", True),
        ("json.decoder", True),
        ("builtins", True),
        ("numpy.linalg", True),
        ("mlkit.watch", True),
        ("pyspark.sql", True),
        ("dbruntime", True),
        ("__main__", False),
        ("tests.research", False),
        ("no_such_module_anywhere", False),
        ("", False),
    ],
)
def test_a_module_is_a_librarys_or_the_users(name, expected) -> None:
    """By its name, loaded or not; mlkit and Spark are libraries wherever they lie."""
    assert is_library(name) is expected


def test_a_module_of_the_user_may_appear_later(tmp_path, monkeypatch) -> None:
    """What is not there yet, or made by hand, is not remembered as the user's or a library's."""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_library("appears_later")
    folder = tmp_path / "site-packages" / "appears_later"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder.parent))
    assert is_library("appears_later")
    monkeypatch.setitem(sys.modules, "made_here", types.ModuleType("made_here"))
    assert not is_library("made_here")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<frozen importlib._bootstrap>", True),
        (json.__file__, True),
        (np.__file__, True),
        (mlkit.__file__, True),
        (f"{sysconfig.get_path('stdlib')}/functools.py", True),
        ("lib/site-packages/thing.py", True),
        ("lib/dist-packages/thing.py", True),
        ("lib/my-site-packages/thing.py", False),
        (__file__, False),
        ("<stdin>", False),
        ("<string>", False),
        ("script.py", False),
    ],
)
def test_a_file_is_a_librarys_or_the_users(path, expected) -> None:
    """By where it lies."""
    assert is_library_file(path) is expected


def test_versions_stand_for_libraries() -> None:
    """Of one library those below most others too; of the standard library Python's alone."""
    assert versions_of(set()) == versions_of({"json", "functools"}) == {"python": PYTHON}
    found = versions_of({"sklearn", "json"})
    assert set(found) == {"python", *GROUND}
    assert list(found)[1:] == sorted(GROUND)
    assert found["numpy"] == np.__version__
    assert found["sklearn"] == importlib.metadata.version("scikit-learn")


def test_a_library_of_another_name_is_found() -> None:
    """By what its distribution installs; one that nothing installs is unknown."""
    found = versions_of({"dateutil", "no_such_module_anywhere"})
    assert found["dateutil"] == f"python-dateutil {importlib.metadata.version('python-dateutil')}"
    assert found["no_such_module_anywhere"] == "unknown"
