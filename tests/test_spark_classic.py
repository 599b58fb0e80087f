"""Everything that is promised on Spark, on classic Spark: a session inside the process.

It cannot share a process with a client of Spark Connect, so the same tests run in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark.ml")
pytestmark = [pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[1]
TESTS = (
    "tests/digest/test_spark.py",
    "tests/engines/test_spark.py",
    "tests/data/test_contract_sql.py",
    "tests/data/test_split_sql.py",
    "tests/data/test_spark_source.py",
    "tests/model/test_spark_training.py",
    # MLflow's own reader of models needs a JVM in its process.
    "tests/research/test_spark_models.py::test_mlflow_reads_the_folder_too",
    "tests/research/test_spark_models.py::test_a_plan_right_after_a_deployment_says_nothing",
)


def test_everything_holds_on_classic_spark() -> None:
    """The same tests on a session inside the process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *TESTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    environment.pop("PYTEST_XDIST_WORKER", None)
    environment["MLKIT_TEST_SPARKS"] = "classic"
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
