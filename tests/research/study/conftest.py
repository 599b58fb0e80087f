"""The setting of a study that never ran, and workers in processes."""

from __future__ import annotations

import joblib
import pytest
from joblib.externals.loky import get_reusable_executor

from mlkit import Split
from mlkit.data.contract import Contract
from mlkit.data.snapshot import Snapshot
from mlkit.engines.base import TableName
from mlkit.model.evaluation import get_metric
from mlkit.research.study.trials import StudySetting


@pytest.fixture
def setting() -> StudySetting:
    """Flights, judged by rmse."""
    table = TableName("training", "flights__snapshot__" + "0" * 32)
    contract = Contract.from_values({"columns": {"delay": {"dtype": "float64"}}})
    return StudySetting(
        project="flights",
        snapshot=Snapshot("d1:" + "0" * 32, 10, table, False, contract, None, None),
        split=Split(),
        key=("flight_id",),
        target="delay",
        features=("hour",),
        task="regression",
        metric=get_metric("rmse"),
        train="d1:" + "1" * 32,
        test="d1:" + "2" * 32,
        train_rows=8,
        test_rows=2,
        cv=2,
        seed=0,
    )


@pytest.fixture
def dask():
    """Several workers are two processes of a Dask cluster, with two threads each."""
    distributed = pytest.importorskip("distributed")
    settings = {"dashboard_address": None, "threads_per_worker": 2}
    with (
        distributed.LocalCluster(n_workers=2, processes=True, **settings) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        yield cluster


@pytest.fixture
def processes():
    """Several workers are processes of their own, started for this test and ended with it."""
    get_reusable_executor().shutdown(wait=True)
    with joblib.parallel_config(backend="loky"):
        yield
    get_reusable_executor().shutdown(wait=True)
