"""The digest of rows in Spark, as a ratio to Spark's own 64-bit hash of the same columns.

Rows are made by the server itself from ``range``, so nothing is read or sent; what is measured is the
work on values. Run by hand: ``python tests/benchmarks/spark.py [million rows]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession

from mlkit.digest.spark_frame import state_of

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers import connect_server, sail_server

if TYPE_CHECKING:
    from collections.abc import Callable

MILLIONS = 50
ROUNDS = 3
COLUMNS = (
    "id",
    "id * 7919 % 1000003 AS other",
    "cast(id AS double) / 7 AS x",
    "cast(id % 97 AS double) AS y",
    "cast(id % 24 AS int) AS hour",
    "id % 3 = 0 AS flag",
    "concat('carrier ', cast(id % 1000 AS string)) AS text",
    "CASE WHEN id % 10 > 0 THEN date_add(DATE'2013-01-01', cast(id % 365 AS int)) END AS day",
)


def best_seconds(work: Callable[[], object]) -> float:
    """Least wall time of a few rounds."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def measure(name: str, address: str, rows: int) -> None:
    """Print seconds and ratios of one server."""
    session = SparkSession.builder.remote(address).create()
    frame = session.range(rows).selectExpr(*COLUMNS)
    names = ", ".join(f"`{column}`" for column in frame.columns)
    native = frame.selectExpr(f"sum(xxhash64({names}) % 1000) AS total")
    made: Any = frame.selectExpr(*(f"count(`{column}`)" for column in frame.columns))
    making, hashing = best_seconds(made.collect), best_seconds(native.collect)
    ours = best_seconds(lambda: state_of(frame))
    speed = f"{ours:.1f} s ({rows / ours / 1e6:.1f} M rows/s)"
    print(
        f"{name:<8} {rows / 1e6:.0f}M x {len(COLUMNS)}: digest {speed}, "
        f"{ours / hashing:.1f} x Spark's 64-bit hash ({hashing:.1f} s), {ours / making:.1f} x making the rows"
    )
    session.stop()


def main() -> None:
    """Both servers, one after the other."""
    rows = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else MILLIONS * 10**6
    with tempfile.TemporaryDirectory() as folder:
        with sail_server(Path(folder)) as address:
            measure("Sail", address, rows)
        with connect_server(Path(folder)) as address:
            measure("JVM", address, rows)


if __name__ == "__main__":
    main()
