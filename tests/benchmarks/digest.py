"""Measures the digest: CPU seconds, and as multiples of one pass over the same memory.

Run by hand: ``python tests/benchmarks/digest.py [rows]``. All figures of a table are taken in turns in
one process, the least of several rounds each, so that a busy machine disturbs them alike. Beside the
digest stand the sum of all buffers (what reading alone costs) and ``joblib.hash`` of the same frame.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pyarrow as pa

from mlkit.digest.fingerprint import canonical_order, fingerprint, lanes, split_codes

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 1_000_000
ROUNDS = 7
JOBLIB_ROUNDS = 2


def numeric(rows: int) -> pa.Table:
    """Twenty columns: ten of floats, six of long and four of short integers."""
    random = np.random.default_rng(0)
    return pa.table(
        {f"float{number}": random.standard_normal(rows) for number in range(10)}
        | {f"long{number}": random.integers(-(10**6), 10**6, rows) for number in range(6)}
        | {f"short{number}": random.integers(0, 100, rows, dtype=np.int32) for number in range(4)}
    )


def mixed(rows: int) -> pa.Table:
    """Twenty columns of every common type, a tenth of the cells missing in half of them."""
    random = np.random.default_rng(1)
    missing = random.random(rows) < 0.1
    names = np.array([f"station {number} of the line" for number in range(500)])
    columns = {f"float{number}": pa.array(random.standard_normal(rows), mask=missing) for number in range(8)}
    columns |= {f"integer{number}": pa.array(random.integers(0, 1000, rows)) for number in range(4)}
    columns |= {
        f"instant{number}": pa.array(random.integers(0, 2**50, rows), pa.timestamp("us"))
        for number in range(2)
    }
    columns |= {
        "truth": pa.array(random.random(rows) < 0.5),
        "day": pa.array(random.integers(0, 20_000, rows, np.int32), pa.date32()),
    }
    columns |= {
        "code": pa.array(random.integers(0, 10**6, rows).astype("U7")),
        "name": pa.array(names[random.integers(0, 500, rows)]),
    }
    columns["category"] = columns["name"].dictionary_encode()
    columns["price"] = pa.array(random.integers(0, 10**6, rows)).cast(pa.decimal128(20, 0))
    return pa.table(columns)


def wide(rows: int) -> pa.Table:
    """A thousand columns of floats in a fiftieth of the rows."""
    random = np.random.default_rng(2)
    return pa.table({f"float{number}": random.standard_normal(rows // 50) for number in range(1000)})


def text(rows: int) -> pa.Table:
    """One column of sentences of up to 400 bytes in a tenth of the rows."""
    random = np.random.default_rng(3)
    page = "the quick brown fox jumps over the lazy dog " * 10
    return pa.table({"text": [page[: random.integers(10, 400)] for _ in range(rows // 10)]})


def read_pass(table: pa.Table) -> None:
    """Read every byte once and do as little as possible with it."""
    for chunk in (chunk for column in table.columns for chunk in column.chunks):
        for buffer in chunk.buffers():
            if buffer is not None:
                np.frombuffer(buffer, np.uint64, buffer.size // 8).sum()


def least(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU seconds of each job, taken in turns."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def report(name: str, table: pa.Table) -> None:
    """Print the figures of one table."""
    frame = table.to_pandas()
    seconds = least(
        {
            "digest": lambda: fingerprint(table),
            "digest of the pandas frame": lambda: fingerprint(frame),
            "read pass": lambda: read_pass(table),
        },
        ROUNDS,
    )
    seconds |= least({"joblib.hash": lambda: joblib.hash(frame)}, JOBLIB_ROUNDS)
    sys.stdout.write(f"{name}: {table.num_rows:,} x {table.num_columns}, {table.nbytes / 1e9:.2f} GB\n")
    for job, spent in seconds.items():
        reads, digests = spent / seconds["read pass"], spent / seconds["digest"]
        sys.stdout.write(f"  {job:28} {spent:7.3f} s {reads:8.1f} x read {digests:7.2f} x digest\n")


def report_order(table: pa.Table) -> None:
    """Print the figures of splitting and ordering."""
    both = lanes(table)
    seconds = least(
        {
            "lanes of one key": lambda: lanes(table, columns=["long0"]),
            "split codes": lambda: split_codes(both[0], 7),
            "canonical order": lambda: canonical_order(both),
        },
        ROUNDS,
    )
    for job, spent in seconds.items():
        sys.stdout.write(f"  {job:28} {spent:7.3f} s {1e9 * spent / table.num_rows:8.1f} ns a row\n")


def main(rows: int = ROWS) -> None:
    """Measure tables of this many rows."""
    report("numeric", numeric(rows))
    report_order(numeric(rows))
    report("mixed", mixed(rows))
    report("wide", wide(rows))
    report("text", text(rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
