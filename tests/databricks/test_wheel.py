"""The packaged runner where Databricks runs it: on the versions of its runtime, installed by pip."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("databricks.connect")

from mlkit import FrozenConfig
from mlkit.errors import ConfigError
from mlkit.research.interpreter import _own_wheel
from tests.databricks import research

ROOT = Path(__file__).parents[2]
# As a wheel task does: the entry point from the metadata of the distribution, and its name as first argument.
TASK = """
import sys
from importlib.metadata import distribution
folder, *sys.argv[:] = sys.argv[1:]
sys.path.insert(0, folder)
(entry,) = [entry for entry in distribution(sys.argv[0]).entry_points if entry.name == sys.argv[0]]
report = entry.load()()
import mlkit
assert mlkit.__file__.startswith(folder)
print(report.outcome)
"""


@pytest.fixture
def project(home, monkeypatch):
    """The project in a folder of its own."""
    monkeypatch.syspath_prepend(str(home.parent))
    monkeypatch.delitem(sys.modules, "flight_rules", raising=False)
    yield research.make_project()
    sys.modules.pop("flight_rules", None)


def pip(*arguments: str) -> None:
    """Install without an index: what is not here is not needed."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*command, *arguments], check=True, timeout=100)


def test_versions_are_those_of_the_runtime() -> None:
    """What is tested here is what the file of versions says, and the pins that matter are in it."""
    lines = (ROOT / "constraints" / "databricks.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    assert {name: importlib.metadata.version(name) for name in pins} == pins
    wanted = {
        "pandas": "2.2.3",
        "numpy": "2.1.3",
        "scikit-learn": "1.6.1",
        "mlflow": "3.8.1",
        "optuna": "3.6.1",
    }
    assert wanted.items() <= pins.items()
    assert sys.version_info[:2] == (3, 12)


def test_the_wheel_installs_and_deploys(project, tmp_path) -> None:
    """Studied, frozen, rehearsed and packaged here, installed by pip, run as a job: once, and once more."""
    project.publish_features(research.TABLE, research.make_rows())
    package = project.handoff(research.freeze(project))
    assert package.rehearsal.compared_with == "trial"
    site = str(tmp_path / "site")
    wheels = [str(package.wheel), str(_own_wheel(tmp_path))]
    pip("--dry-run", *wheels)  # all that they ask for is here, in versions that they take
    pip("--no-deps", "--no-compile", "--target", site, *wheels)
    task = [sys.executable, "-I", "-c", TASK, site, package.entry_point, *package.parameters]
    for outcome in ("promoted", "unchanged"):
        done = subprocess.run(task, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.strip()) == (0, outcome), done.stderr
    assert [entry.to_version for entry in project.history()] == [1]


def test_a_config_of_pandas_3_finds_the_same_rows(project, tmp_path) -> None:
    """Frozen on the newest versions and deployed on these: equal fingerprints, and notes of what differs."""
    newest = os.environ.get("MLKIT_TEST_NEWEST")
    if newest is None:
        pytest.skip("did not run: a config of the newest versions: `make databricks` brings them")
    folder = tmp_path / "newest"
    folder.mkdir()
    environment = {**os.environ, "MLKIT_HOME": str(folder / ".mlkit"), "PYTHONPATH": str(ROOT)}
    command = [newest, "-m", "tests.databricks.research"]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=100)
    found = json.loads((folder / research.FOUND).read_text())
    published = project.publish_features(research.TABLE, pd.read_parquet(folder / research.ROWS))
    config = FrozenConfig.load(folder / research.CONFIG)
    with pytest.raises(ConfigError, match="CFG031") as caught:
        project.deploy(config)
    assert "set serialization: cloudpickle" in caught.value.fix
    config.path.write_text(config.to_yaml().replace("serialization: skops", "serialization: cloudpickle"))
    report = project.deploy(FrozenConfig.load(config.path))
    assert {"features": published.fingerprint, **research.facts(report)} == found
    assert any(f"{pd.__version__} here" in note for note in report.notes)
