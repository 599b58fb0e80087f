"""Measures what a hit costs over loading the stored object alone, and what a miss adds to the function.

Run by hand: ``python tests/benchmarks/steps.py [rows]``. The step's input and result are one frame of 17
columns of numbers and two of text, as of flights. Times are the least of several rounds.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mlkit.research.steps.key import Recipe
from mlkit.research.steps.step import make_step

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 1_000_000
ROUNDS = 5


def make_rows(rows: int) -> pd.DataFrame:
    """Rows like those of flights."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"number{index}": random.normal(size=rows) for index in range(17)}
    for index in range(2):
        columns[f"text{index}"] = random.choice(["AA", "B6", "UA", "DL"], rows)
    return pd.DataFrame(columns)


def clean(rows: pd.DataFrame) -> pd.DataFrame:
    """A step."""
    return rows[rows["number0"] > 0].reset_index(drop=True)


def add(x: int) -> int:
    """A step of next to no data."""
    return x + 1


def least(action: Callable[[], Any]) -> float:
    """Seconds of the fastest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - began)
    return best


def load_arrow(path: Path) -> pd.DataFrame:
    """What a script without steps would do: read the file into a frame."""
    table: pd.DataFrame = pa.ipc.open_file(pa.py_buffer(path.read_bytes())).read_all().to_pandas()
    return table


def load_pickle(data: bytes) -> object:
    """As `load_arrow`, of bytes."""
    return pickle.load(io.BytesIO(data))  # noqa: S301 - made above


def main(rows: int) -> None:
    """Print the figures."""
    os.environ["MLKIT_QUIET"] = "1"
    data = make_rows(rows)
    size = data.memory_usage(deep=True).sum() / 1e9
    print(f"{rows:,} rows, {size:.2f} GB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "steps"
        step, small = make_step(clean, folder=folder), make_step(add, folder=folder)
        bare = least(lambda: clean(data))
        began = time.perf_counter()
        result = step(data)
        miss = time.perf_counter() - began
        (path,) = folder.glob("entries/*/0.pandas.arrow")
        pickled = pickle.dumps(result, protocol=5)
        recipe = Recipe("clean", clean)
        figures = {
            "the function itself": bare,
            "miss (key, store, read back, compare)": miss,
            "hit": least(lambda: step(data)),
            "  of it: key of the input": least(lambda: recipe.key({"rows": data})),
            "load the stored Arrow file alone": least(lambda: load_arrow(path)),
            "load a pickle of the result alone": least(lambda: load_pickle(pickled)),
        }
        small(1)
        figures["hit of a small value"] = least(lambda: small(1))
        for label, seconds in figures.items():
            print(f"  {label:<40} {seconds * 1000:10.1f} ms")
        in_memory = result.memory_usage(deep=True).sum() / 1e6
        print(f"  stored {path.stat().st_size / 1e6:.0f} MB of {in_memory:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
