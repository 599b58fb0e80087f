"""The front door: what is public, and that opening it costs nothing."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import mlkit

HEAVY = (
    "mlflow",
    "optuna",
    "pandas",
    "pandera",
    "pyarrow",
    "numpy",
    "sklearn",
    "deltalake",
    "pyspark",
    "pydantic",
    "plotly",
)


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after some code."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_listed_names_are_all_there_and_no_others() -> None:
    """`__all__`, `dir` and what can be fetched are the same names."""
    assert sorted(mlkit.__all__) == mlkit.__all__
    assert dir(mlkit) == mlkit.__all__
    for name in mlkit.__all__:
        assert getattr(mlkit, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails as it does in any module."""
    with pytest.raises(AttributeError, match="ModelProjekt"):
        _ = mlkit.ModelProjekt


def test_a_public_name_is_the_one_of_its_room() -> None:
    """The front door hands out the thing itself."""
    assert mlkit.Split is importlib.import_module("mlkit.data.split").Split


def test_importing_mlkit_loads_no_heavy_library() -> None:
    """Only the standard library is loaded before a name is used."""
    loaded = modules_after("import mlkit")
    assert not loaded.intersection(HEAVY)


def test_the_fingerprint_needs_neither_mlflow_nor_a_trainer() -> None:
    """Hashing a table costs the table libraries, nothing else."""
    loaded = modules_after("import mlkit; mlkit.fingerprint")
    assert not loaded.intersection({"mlflow", "optuna", "sklearn", "pandera", "deltalake", "pyspark"})


def test_production_never_loads_optuna() -> None:
    """The packaged runner has no search library on the cluster."""
    loaded = modules_after("import mlkit.production.task")
    assert not loaded.intersection({"optuna", "plotly"})


def test_help_loads_no_room() -> None:
    """`mlkit --help` answers before anything heavy is imported."""
    program = (
        "import contextlib, io, mlkit.cli\nwith contextlib.redirect_stdout(io.StringIO()): mlkit.cli.main([])"
    )
    assert not modules_after(program).intersection(HEAVY)
