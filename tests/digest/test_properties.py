"""What a fingerprint is blind to, and what it always sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlkit.digest.fingerprint import Accumulator, State, canonical_order, fingerprint, lanes, split_codes
from mlkit.digest.xxh64 import BLOCK
from tests.digest import oracle
from tests.digest.tables import FLAT, FLAT_KINDS, NAMES, TEXT, Columns, columns

if TYPE_CHECKING:
    import random

quick = settings(deadline=None, max_examples=40)


def state_of(table: pa.Table) -> State:
    """The state of a table, batch by batch."""
    accumulator = Accumulator(table.schema)
    for batch in table.to_batches():
        accumulator.update(batch)
    return accumulator.state


@settings(deadline=None, max_examples=150)
@given(columns())
def test_agrees_with_the_oracle(data: Columns) -> None:
    """Every type, nested ones too, digests as the rules say when followed one value at a time."""
    assert lanes(data.table).tolist() == oracle.lanes(data.cells, data.schema)
    assert fingerprint(data.table) == oracle.fingerprint(data.cells, data.schema)


@pytest.mark.parametrize("kind", FLAT, ids=lambda kind: str(kind[0]))
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_agrees_with_the_oracle_on_many_rows(kind: Any, data: st.DataObject) -> None:
    """Side by side and over the edge of a block, each type still digests as one value alone."""
    few = data.draw(columns(kinds=st.just(kind), names=st.just("x"), min_rows=8, max_rows=8))
    expected = np.array(oracle.lanes(few.cells, few.schema))
    many = pa.concat_tables([few.table] * (BLOCK // 8 + 9)).combine_chunks()
    assert (lanes(many) == np.tile(expected, BLOCK // 8 + 9)).all()


@settings(deadline=None, max_examples=25)
@given(columns(min_rows=4, max_rows=8), st.integers(40, 90))
def test_agrees_with_the_oracle_on_many_nested_rows(data: Columns, times: int) -> None:
    """Lists that are stepped side by side digest as lists that are followed one by one."""
    expected = np.array(oracle.lanes(data.cells, data.schema))
    assert (lanes(pa.concat_tables([data.table] * times).combine_chunks()) == np.tile(expected, times)).all()


@quick
@given(columns(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_blind_to_order_and_chunks(data: Columns, shuffle: random.Random, size: int) -> None:
    """Rows in any order, columns in any order and batches of any size are one dataset."""
    order = list(range(data.table.num_rows))
    shuffle.shuffle(order)
    names = list(data.cells)
    shuffle.shuffle(names)
    values = {name: [data.cells[name][row] for row in order] for name in names}
    shuffled = Columns(values, pa.schema([data.schema.field(name) for name in names])).table
    batches = shuffled.to_batches(max_chunksize=size)
    assert fingerprint(pa.Table.from_batches(batches, shuffled.schema)) == fingerprint(data.table)


@quick
@given(columns(min_rows=3), st.data())
def test_blind_to_slices(data: Columns, more: st.DataObject) -> None:
    """A slice, wherever it starts in bits or bytes, is what it shows."""
    start = more.draw(st.integers(0, data.table.num_rows))
    part = Columns({name: cells[start:] for name, cells in data.cells.items()}, data.schema)
    assert fingerprint(data.table.slice(start)) == fingerprint(part.table)


@quick
@given(columns(kinds=FLAT_KINDS, min_rows=1), st.data())
def test_blind_to_encodings(data: Columns, more: st.DataObject) -> None:
    """Dictionaries, runs and repeated dictionaries per chunk never matter."""
    half = more.draw(st.integers(0, data.table.num_rows))
    chunks = [data.table.slice(0, half), data.table.slice(half)]
    for encode in (_dictionary, _runs):
        arrays = [
            pa.chunked_array([encode(chunk[name].combine_chunks()) for chunk in chunks])
            for name in data.cells
        ]
        assert fingerprint(pa.table(arrays, names=list(data.cells))) == fingerprint(data.table)


def _dictionary(array: pa.Array) -> pa.Array:
    if pa.types.is_null(array.type):
        return array
    values = pa.concat_arrays([pa.nulls(2, array.type), array])
    codes = [None if not valid.as_py() else row + 2 for row, valid in enumerate(array.is_valid())]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16()), values)


def _runs(array: pa.Array) -> pa.Array:
    ends = pa.array(range(1, len(array) + 1), pa.int32())
    return pa.RunEndEncodedArray.from_arrays(ends, array)


@quick
@given(st.lists(st.none() | st.integers(-100, 100), max_size=8))
def test_blind_to_width(values: list[int | None]) -> None:
    """An integer, a float and a decimal of one value are one value."""
    kinds = [
        pa.int8(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(9, 3),
        pa.decimal256(50, 0),
    ]
    assert len({fingerprint(pa.table({"x": pa.array(values, kind)})) for kind in kinds}) == 1


PANDAS_KINDS = st.sampled_from(
    [kind for kind in FLAT if pa.types.is_primitive(kind[0]) and not pa.types.is_temporal(kind[0])]
    + [
        (pa.string(), TEXT),
        (pa.timestamp("ns"), st.integers(-(2**60), 2**60)),
        (pa.binary(), st.binary(max_size=9)),
    ]
)


@quick
@given(columns(kinds=PANDAS_KINDS, names=NAMES.filter(lambda name: name and "\0" not in name)))
def test_blind_to_the_library(data: Columns) -> None:
    """pandas, Polars and Arrow hold one dataset; pandas even where it made floats of integers.

    A column needs a name here, and one without NUL: Polars invents one for it otherwise.
    """
    assume(all(_survives_float(cells) for cells in data.cells.values()))
    expected = fingerprint(data.table)
    assert fingerprint(data.table.to_pandas()) == expected
    assert fingerprint(data.table.to_pandas(types_mapper=_nullable)) == expected
    assert fingerprint(pl.from_arrow(data.table)) == expected


def _survives_float(cells: list[Any]) -> bool:
    return None not in cells or all(not isinstance(cell, int) or abs(cell) <= 2**53 for cell in cells)


def _nullable(kind: pa.DataType) -> Any:
    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), pa.uint8(): pd.UInt8Dtype()}.get(kind)


@quick
@given(columns(min_rows=1), st.data())
def test_sees_a_changed_cell(data: Columns, more: st.DataObject) -> None:
    """A cell that becomes null, or stops being null, is another dataset."""
    name = more.draw(st.sampled_from(sorted(data.cells)))
    row = more.draw(st.integers(0, data.table.num_rows - 1))
    cells = list(data.cells[name])
    kind = data.schema.field(name).type
    assume(oracle.words(cells[row], kind, 0) != [oracle.MISSING])
    cells[row] = None
    assert fingerprint(Columns({**data.cells, name: cells}, data.schema).table) != fingerprint(data.table)


@quick
@given(columns(min_rows=2), st.data())
def test_sees_moved_cells(data: Columns, more: st.DataObject) -> None:
    """Two cells of a column that change places are other rows, unless these are otherwise equal."""
    name = more.draw(st.sampled_from(sorted(data.cells)))
    one, other = 0, data.table.num_rows - 1
    cells = list(data.cells[name])
    cells[one], cells[other] = cells[other], cells[one]
    moved = Columns({**data.cells, name: cells}, data.schema)
    same_rows = sorted(zip(*lanes_of(moved), strict=True)) == sorted(zip(*lanes_of(data), strict=True))
    assert (fingerprint(moved.table) == fingerprint(data.table)) == same_rows


def lanes_of(data: Columns) -> list[list[int]]:
    """Both lanes by the oracle."""
    return oracle.lanes(data.cells, data.schema)


@quick
@given(columns(), NAMES)
def test_sees_a_changed_name(data: Columns, name: str) -> None:
    """The same rows under another name are another dataset."""
    assume(name not in data.cells)
    names = [name, *list(data.cells)[1:]]
    assert fingerprint(data.table.rename_columns(names)) != fingerprint(data.table)


@quick
@given(columns(min_rows=1))
def test_sees_a_repeated_row(data: Columns) -> None:
    """Duplicates count: one row more of the same is another dataset."""
    assert fingerprint(pa.concat_tables([data.table, data.table.slice(0, 1)])) != fingerprint(data.table)


@quick
@given(columns(), st.data())
def test_parts_add_up(data: Columns, more: st.DataObject) -> None:
    """States of disjoint parts are a whole, and taking one away leaves the other."""
    middle = more.draw(st.integers(0, data.table.num_rows))
    whole, first, second = map(state_of, (data.table, data.table.slice(0, middle), data.table.slice(middle)))
    assert first + second == whole
    assert whole - first == second
    assert State.from_dict(whole.to_dict()) == whole
    assert whole.fingerprint(data.table.column_names) == fingerprint(data.table)


@quick
@given(columns(min_rows=1, max_rows=8), st.integers(-(2**63), 2**63 - 1))
def test_split_codes_follow_the_rule(data: Columns, seed: int) -> None:
    """A code is the upper half of lane 0 hashed once more after the seed."""
    lane = lanes(data.table)[0]
    expected = [oracle.chain([code], oracle.chain([seed], 42)) >> 32 for code in lane.tolist()]
    assert split_codes(lane, seed).tolist() == expected


@quick
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=20))
def test_canonical_order_sorts_by_both_lanes(rows: list[tuple[int, int]]) -> None:
    """Ascending by lane 0 and lane 1; equal rows keep their order, so that it never varies."""
    order = canonical_order(np.array(rows, np.int64).reshape(-1, 2).T)
    assert order.tolist() == sorted(range(len(rows)), key=lambda row: rows[row])


def test_garbage_in_null_slots_is_not_seen() -> None:
    """Whatever stands below a null, or below a null parent, is nothing: not even an overflow."""
    huge = pa.array([10**18, 5, 10**18], pa.decimal128(38, 0))
    seconds = pa.array([2**62, 5, 2**62], pa.int64()).view(pa.timestamp("s"))
    valid = pa.py_buffer(bytes([0b010]))
    for values in (huge, seconds, pa.array(["a", "b", "c"]), pa.array([1.0, float("nan"), 3.0])):
        hidden = pa.Array.from_buffers(values.type, 3, [valid, *values.buffers()[1:]])
        assert fingerprint(pa.table({"x": hidden})) == fingerprint(
            pa.table({"x": pc.if_else(hidden.is_valid(), hidden, None)})
        )
        below = pa.StructArray.from_arrays([values], ["v"], mask=pa.array([True, False, True]))
        clean = pa.array([None, {"v": values[1].as_py()}, None], below.type)
        assert fingerprint(pa.table({"x": below})) == fingerprint(pa.table({"x": clean}))
        offsets, sizes = pa.array([0, 1, 2, 3], pa.int32()), pa.array([True, False, True])
        lists = pa.ListArray.from_arrays(offsets, values, mask=sizes)
        assert fingerprint(pa.table({"x": lists})) == fingerprint(
            pa.table({"x": pa.array([None, [values[1].as_py()], None], lists.type)})
        )
