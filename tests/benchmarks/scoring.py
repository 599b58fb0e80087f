"""Measures scoring: rows per second and memory of `score`, beside the model's own predict loop.

Run by hand: ``python tests/benchmarks/scoring.py [millions of rows] [rounds]``. A pipeline of a scaler, an
encoder and 200 boosted trees is deployed. Then, in turns and each in a fresh process, its own `predict`
goes over the batches of a Parquet file and drops the answers: of frames as Arrow makes them (`native`), and
of frames as it was trained with (`frames`); and `score` does so without the log (`scored`) and with it
(`logged`). Time is that of the loop, without loading; memory is the peak of the process, base is that
before the loop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from mlkit import Gate, Source, Split, open_workspace
from mlkit.data.features import publish_features
from mlkit.engines.base import TableName
from mlkit.frozen import FrozenConfig
from mlkit.model.estimator import describe
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores

MILLION = 1_000_000
TRAIN_ROWS = 100_000
NAME = "scored"
NUMBERS = [f"x{place}" for place in range(10)]
WORDS = ["carrier", "origin"]

CHILD = """\
import json, os, sys, time
import pyarrow as pa
import pyarrow.parquet as pq
from mlkit import open_workspace
from mlkit.production.scorer import open_scorer
from mlkit.production.scoring import score
from mlkit.production.stores import Stores
how, file = sys.argv[1:]
stores = Stores(open_workspace(), "scored")
scorer = open_scorer(stores)
def peak():
    with open("/proc/self/status") as status:  # getrusage tells that of the parent, if it is more
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
base, started, rows = peak(), time.perf_counter(), 0
if how in ("native", "frames"):
    columns = list(scorer.features)
    for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=65_536, columns=columns):
        frame = batch.to_pandas() if how == "native" else scorer.frame(pa.Table.from_batches([batch]))
        rows += len(scorer.estimator.predict(frame))
else:
    rows = score(stores, file, run_id=f"bench-{os.getpid()}", log=how == "logged").rows
print(json.dumps([rows, time.perf_counter() - started, base, peak()]))
"""


def piece(rows: int, seed: int) -> pa.Table:
    """Rows with ten numbers, two texts and a label."""
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(len(NUMBERS), rows))
    words = pa.array([f"w{place}" for place in range(20)])
    columns = dict(zip(NUMBERS, map(pa.array, numbers), strict=True))
    columns |= {name: words.take(pa.array(generator.integers(0, 20, rows))) for name in WORDS}
    first = np.int64(seed) * rows
    return pa.table(
        {
            "id": pa.array(first + np.arange(rows)),
            **columns,
            "label": pa.array(numbers[0] + numbers[1] * numbers[2] + generator.normal(size=rows)),
        }
    )


def prepare_production() -> None:
    """Deploy the pipeline."""
    stores = Stores(open_workspace(), NAME)
    publish_features(
        stores.engine, TableName("features", NAME), piece(TRAIN_ROWS, 0), contract=None, key=("id",)
    )
    steps = [("numbers", StandardScaler(), NUMBERS), ("words", OrdinalEncoder(), WORDS)]
    model = Pipeline(
        [("columns", ColumnTransformer(steps)), ("trees", HistGradientBoostingRegressor(max_iter=200))]
    )
    dtypes = {"id": "int64", **dict.fromkeys(NUMBERS, "float64"), **dict.fromkeys(WORDS, "string")}
    columns = {name: {"dtype": dtype} for name, dtype in {**dtypes, "label": "float64"}.items()}
    config = FrozenConfig.from_values(
        {
            "name": NAME,
            "task": "regression",
            "target": "label",
            "key": ("id",),
            "features": (*NUMBERS, *WORDS),
            "metric": "rmse",
            "seed": 0,
            "model": describe(model),
            "serialization": "cloudpickle",
            "source": Source(table=f"features.{NAME}"),
            "split": Split(test=0.1),
            "gate": Gate(threshold=100),
            "contract": {"columns": columns},
            "environment": {"python": "3.11", "requirements": []},
        }
    )
    deploy(config, stores)


def main() -> None:
    """Print a table."""
    rows = round(float(sys.argv[1] if len(sys.argv) > 1 else 10) * MILLION)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ |= {
            "MLKIT_HOME": f"{place}/.mlkit",
            "MLKIT_QUIET": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        prepare_production()
        file = Path(place) / "rows.parquet"
        with pq.ParquetWriter(file, piece(1, 0).schema) as writer:
            for number in range(-(-rows // 131_072)):
                writer.write_table(piece(min(131_072, rows - number * 131_072), number))
        print(f"{rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(f"{'':10}{'seconds':>9}{'rows/s':>12}{'base MB':>9}{'peak MB':>9}")
        for how in ("native", "frames", "scored", "logged") * int(sys.argv[2] if len(sys.argv) > 2 else 2):
            command = [sys.executable, "-c", CHILD, how, str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found, seconds, base, peak = json.loads(done.stdout.splitlines()[-1])
            print(f"{how:10}{seconds:9.1f}{found / seconds:12,.0f}{base:9.0f}{peak:9.0f}")


if __name__ == "__main__":
    main()
