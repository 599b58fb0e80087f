"""Measures drift checks: the cost of counting from a cold start, and how often the test is right.

Run by hand: ``python tests/benchmarks/drift.py [millions of rows]``. Rows are counted by a fresh process that
imports mlkit, opens a Parquet file and reads it in small batches, which is what `mlkit monitor` pays; time is
the wall clock from the start of that process, and its CPU time. Text is read as text, and as the codes that
Parquet keeps of it. The tables say how often windows without a change alarm, and how often a shift is seen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlkit.data.drift import Baseline, compare, count, in_deviations, make_bins, smallest_shift

MILLION = 1_000_000
WINDOWS = 400
REFERENCE = 2000

CHILD = """\
import json, resource, sys, time
from pathlib import Path
import pyarrow.parquet as pq
from mlkit.data.drift import compare, count_stream, read_baseline
folder, column, codes = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
baseline = read_baseline(folder)
bins = {column: baseline.bins[column]}
file = pq.ParquetFile(folder / "log.parquet", pre_buffer=False, read_dictionary=codes)
started = time.perf_counter()
counts = count_stream(file.iter_batches(batch_size=32_768, columns=[column]), bins)
counted = time.perf_counter()
found = compare(baseline.counts[column], counts[column], bins[column], alpha=0.01)
used = resource.getrusage(resource.RUSAGE_SELF)
cpu = used.ru_utime + used.ru_stime
times = counted - started, time.perf_counter() - counted
print(json.dumps([counts[column].total, cpu, *times, used.ru_maxrss / 1024]))
"""


def write_log(folder: Path, rows: int) -> None:
    """A log of numbers and categories, and the baseline of both."""
    generator = np.random.default_rng(0)
    kinds = pa.array([f"kind {place}" for place in range(60)])

    def piece(size: int) -> dict[str, pa.Array]:
        codes = pa.array(generator.integers(0, 60, size).astype(np.int32))
        return {"number": pa.array(generator.normal(size=size)), "kind": kinds.take(codes)}

    sample = piece(10_000)
    bins = {name: make_bins(column) for name, column in sample.items()}
    counts = {name: count(column, bins[name]) for name, column in sample.items()}
    (folder / "mlkit_bins.json").write_text(Baseline(bins, counts).to_text())
    schema = pa.table(sample).schema
    with pq.ParquetWriter(folder / "log.parquet", schema) as writer:
        for _ in range(rows // MILLION):
            writer.write_table(pa.table(piece(MILLION)), row_group_size=MILLION)


def time_cold_starts(folder: Path, rounds: int = 3) -> None:
    """One fresh process for each column and round."""
    heads = ("process s", "cpu s", "counting s", "test s", "peak MB")
    print(f"{'column':11} {'rows':>12}", *(f"{head:>10}" for head in heads))
    for column in (["number"], ["kind"], ["kind", "kind"]):
        for _ in range(rounds):
            started = time.perf_counter()
            command = [sys.executable, "-c", CHILD, str(folder), *column]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = time.perf_counter() - started
            rows, *measured = json.loads(done.stdout)
            name = column[0] + " codes" * (len(column) - 1)
            print(f"{name:11} {rows:12,}", *(f"{number:10.2f}" for number in (seconds, *measured)))


def alarms(draw: Any, rows: int, alpha: float, shift: float = 0.0) -> float:
    """Share of windows whose p-value is at most alpha."""
    found = 0
    for _ in range(WINDOWS):
        reference = pa.array(draw(REFERENCE))
        bins = make_bins(reference)
        window = count(pa.array(draw(rows) + shift), bins)
        found += compare(count(reference, bins), window, bins, alpha=alpha).p_value <= alpha
    return found / WINDOWS


def print_rates() -> None:
    """False alarms of three distributions, and power for a shift of 0.2 standard deviations."""
    generator = np.random.default_rng(1)
    draws = {
        "normal": lambda size: generator.normal(size=size),
        "lognormal": lambda size: generator.lognormal(size=size),
        "zeros": lambda size: generator.lognormal(size=size) * (generator.random(size) < 0.2),
    }
    sizes = (50, 100, 500, 2000, 5000)
    print(f"\nfalse alarms at 5 %, reference {REFERENCE:,} rows, {WINDOWS} windows")
    for name, draw in draws.items():
        print(f"{name:10}", *(f"n={size}: {alarms(draw, size, 0.05):.3f} " for size in sizes))
    print("\nhow often a shift of 0.2 standard deviations is seen, and which is seen four times out of five")
    for alpha in (0.05, 0.01, 0.0027):
        power = [alarms(draws["normal"], size, alpha, 0.2) for size in sizes]
        least = [in_deviations(smallest_shift(REFERENCE, size, alpha=alpha)) for size in sizes]
        cells = zip(sizes, power, least, strict=True)
        print(
            f"alpha {alpha:<6}", *(f"n={size}: {share:.2f} ({shift:.2f} sd) " for size, share, shift in cells)
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        write_log(Path(name), int(sys.argv[1] if len(sys.argv) > 1 else 50) * MILLION)
        time_cold_starts(Path(name))
    print_rates()
