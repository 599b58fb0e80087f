"""A run of the tests that had to leave a part out says so, and is no success of CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_server(number):
    pytest.skip("{reason}")

def test_other():
    pass
"""


def run(folder: Path, reason: str, *, ci: str) -> tuple[int, str]:
    """Exit status and output of a run of three tests, two of which are skipped."""
    file = folder / "test_part.py"
    file.write_text(TESTS.format(reason=reason))
    plugins = ["-p", "pytest_timeout", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, str(file)]
    environment = {**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the others take a second
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_part_that_could_not_run_is_named(tmp_path, ci, status) -> None:
    """Once, with why and the number of tests; only CI fails for it."""
    found, output = run(tmp_path, "did not run: PostgreSQL: no program of it here", ci=ci)
    assert (found, output.count("did not run:")) == (status, 1)
    assert "did not run: PostgreSQL: no program of it here (2 tests)" in output


def test_another_skip_is_none_of_these(tmp_path) -> None:
    """A library that an environment does not have on purpose fails nothing."""
    found, output = run(tmp_path, "could not import 'pyspark'", ci="true")
    assert (found, "did not run" in output) == (0, False)
