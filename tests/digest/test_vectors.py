"""The vectors of the specification: bit for bit, for ever."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlkit.digest.fingerprint import Accumulator, State, canonical_order, fingerprint, lanes, split_codes
from mlkit.digest.xxh64 import SEEDS
from mlkit.errors import DataError, DataOverflowError, UnsupportedTypeError

VECTORS = json.loads((Path(__file__).parent / "golden" / "digest-vectors.json").read_text("utf-8"))
CELLS = {cell["name"]: cell for cell in VECTORS["cells"]}
NAMES_IN_VALUES = {"Decimal": Decimal, "datetime": dt, "inf": float("inf"), "nan": float("nan")}
PLAIN = {
    "bool": pa.bool_(),
    "date32[day]": pa.date32(),
    "double": pa.float64(),
    "float": pa.float32(),
    "map<string, int32>": pa.map_(pa.string(), pa.int32()),
    "null": pa.null(),
}


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type that prints as `text`."""
    if text in PLAIN:
        return PLAIN[text]
    if found := re.fullmatch(r"list<item: (.*)>", text):
        return pa.list_(arrow_type(found[1]))
    if found := re.fullmatch(r"fixed_size_list<item: (.*)>\[(\d+)\]", text):
        return pa.list_(arrow_type(found[1]), int(found[2]))
    if found := re.fullmatch(r"struct<(.*)>", text):
        fields = (field.split(": ") for field in found[1].split(", "))
        return pa.struct([(name, arrow_type(kind)) for name, kind in fields])
    name, *arguments = filter(None, re.split(r"[\[\](), ]+|tz=", text))
    return getattr(pa, name)(*(int(argument) if argument.isdigit() else argument for argument in arguments))


def value_of(text: str) -> Any:
    """The Python value that a vector spells."""
    return eval(text, NAMES_IN_VALUES)  # noqa: S307 - our own golden file


def one_cell(cell: dict[str, Any]) -> pa.Table:
    """A table of one row and one column."""
    return pa.table({"x": pa.array([value_of(cell["value"])], arrow_type(cell["arrow"]))})


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str) -> None:
    """Each cell alone in a table has the lanes that every engine gives it."""
    assert [str(lane) for lane in lanes(one_cell(CELLS[name]))[:, 0]] == CELLS[name]["lanes"]


def test_lane_seeds() -> None:
    """The lanes start where Spark's xxhash64 of their numbers does."""
    assert [str(seed) for seed in SEEDS.view(np.int64)] == VECTORS["lane_seeds"]


@pytest.mark.parametrize("group", VECTORS["equal"], ids=lambda group: group[0])
def test_equal_values(group: list[str]) -> None:
    """Equal values of different types are one dataset."""
    assert len({fingerprint(one_cell(CELLS[name])) for name in group}) == 1


@pytest.mark.parametrize("pair", VECTORS["different"], ids=" / ".join)
def test_different_values(pair: list[str]) -> None:
    """Values that look alike stay different datasets."""
    one, other = (fingerprint(one_cell(CELLS[name])) for name in pair)
    assert one != other


def golden_table() -> pa.Table:
    """The table that the vectors describe as a Spark query."""
    return pa.table(
        {
            "n": [1, 2, 2, 2**53 + 1],
            "é name": ["a", None, None, ""],
            "B": pa.array([1.5, float("nan"), None, -0.0]),
            "date": [None, dt.date(2024, 2, 29), dt.date(2024, 2, 29), None],
        }
    )


def test_table() -> None:
    """Lanes, state and fingerprint of a table of several columns."""
    expected = VECTORS["table"]
    table = golden_table()
    accumulator = Accumulator(table.schema)
    for batch in table.to_batches(max_chunksize=3):
        accumulator.update(batch)
    state = accumulator.state
    assert [[str(lane) for lane in row] for row in lanes(table).T] == expected["lanes"]
    assert [str(number) for number in (state.rows, *state.sums)] == expected["state"]
    assert accumulator.fingerprint == state.fingerprint(expected["columns"]) == expected["fingerprint"]
    assert fingerprint(table) == expected["fingerprint"]


def test_split_and_order() -> None:
    """Split codes and canonical order of the table."""
    expected = VECTORS["table"]
    both = lanes(golden_table())
    assert split_codes(both[0], 7).tolist() == expected["split_seed_7"]
    assert split_codes(both[0], -1).tolist() == expected["split_seed_minus1"]
    assert canonical_order(both).tolist() == expected["canonical_row_order"]


def test_empty_table() -> None:
    """No rows are a dataset too; only its column names tell it from another."""
    expected = VECTORS["empty"]
    table = pa.table({name: pa.array([], pa.int32()) for name in expected["columns"]})
    assert fingerprint(table) == State.zero().fingerprint(expected["columns"]) == expected["fingerprint"]
    assert lanes(table).shape == (2, 0)


ERRORS = {
    "UnsupportedType": UnsupportedTypeError,
    "OverflowError": DataOverflowError,
    "ValueError": DataError,
}
INPUTS = {
    "two columns named 'a'": pa.table([[1], [2]], names=["a", "a"]),
    "pandas frame with a named index": pd.DataFrame({"a": [1]}, index=pd.Index([5], name="id")),
}


@pytest.mark.parametrize("case", VECTORS["errors"], ids=lambda case: case.get("arrow", case.get("input")))
def test_error(case: dict[str, Any]) -> None:
    """What has no digest is refused with the error of the specification, which names the column."""
    if "input" in case:
        data = INPUTS[case["input"]]
    else:
        kind = arrow_type(case["arrow"])
        value = value_of(case.get("value", "None"))
        data = pa.table(
            {"a": pa.array([Decimal(value) if pa.types.is_decimal(kind) and value else value], kind)}
        )
    with pytest.raises(ERRORS[case["error"]]) as caught:
        fingerprint(data)
    assert caught.value.path in {"a", "id"}
    assert caught.value.fix


def test_every_equal_group_has_a_name() -> None:
    """A group that speaks of an unknown cell would test nothing."""
    assert set(itertools.chain(*VECTORS["equal"], *VECTORS["different"])) <= set(CELLS)
