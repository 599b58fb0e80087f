"""Training on classic Spark, which cannot share a process with a client of Spark Connect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark.ml")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
TESTS = (
    "tests/model/test_spark_training.py",
    "tests/research/test_spark_models.py::test_mlflow_reads_the_folder_too",
)


def test_models_are_trained_by_classic_spark_too() -> None:
    """The same tests on a session inside the process; and MLflow's own reader, which needs its JVM."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *TESTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    environment.pop("PYTEST_XDIST_WORKER", None)
    environment["MLKIT_TEST_SPARKS"] = "classic"
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert "skipped" not in done.stdout
