"""Hypothesis strategies of tables: plain values beside the Arrow type that holds them."""

from __future__ import annotations

import dataclasses
import decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.integers(30, 70).map(
    lambda n: "€a" * n
)
UNITS = ("s", "ms", "us", "ns")

Kind = tuple[pa.DataType, st.SearchStrategy[Any]]


@dataclasses.dataclass(frozen=True)
class Columns:
    """A table as plain values and as Arrow."""

    cells: dict[str, list[Any]]
    schema: pa.Schema

    @property
    def table(self) -> pa.Table:
        """The Arrow table."""
        arrays = [pa.array(self.cells[field.name], field.type) for field in self.schema]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    limit = 10 ** min(precision, scale + 18) - 1
    context = decimal.Context(prec=80)
    return st.integers(-limit, limit).map(lambda unscaled: context.scaleb(decimal.Decimal(unscaled), -scale))


def _instants(scale: int) -> st.SearchStrategy[int]:
    limit = (2**63 - 1) // scale
    return st.integers(-limit, limit) | st.integers(-3000, 3000)


FLAT: list[Kind] = [
    *(
        (getattr(pa, f"int{bits}")(), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
        for bits in (8, 16, 32, 64)
    ),
    *((getattr(pa, f"uint{bits}")(), st.integers(0, 2**bits - 1)) for bits in (8, 16, 32, 64)),
    (pa.int64(), st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 0, 1])),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats() | st.sampled_from([0.0, -0.0, 1.0])),
    (pa.bool_(), st.booleans()),
    (pa.decimal128(9, 2), _decimals(9, 2)),
    (pa.decimal128(18, 18), _decimals(18, 18)),
    (pa.decimal128(38, 10), _decimals(38, 10)),
    (pa.decimal128(38, 18), _decimals(38, 18)),
    (pa.decimal128(20, 0), _decimals(18, 0)),
    (pa.decimal256(60, 18), _decimals(36, 18)),
    *(
        (pa.timestamp(unit), _instants(scale))
        for unit, scale in zip(UNITS, (10**6, 10**3, 1, 1), strict=True)
    ),
    (pa.timestamp("ns", "Asia/Tokyo"), _instants(1)),
    (pa.duration("ms"), _instants(10**3)),
    (pa.duration("ns"), _instants(1)),
    (pa.date32(), st.integers(-(10**6), 10**6)),
    (pa.date64(), st.integers(-(10**4), 10**4).map(lambda day: day * 86_400_000)),
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.binary(), st.binary(max_size=40)),
    (pa.large_binary(), st.binary(max_size=40)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.string_view(), TEXT),
    (pa.binary_view(), st.binary(max_size=40)),
    (pa.null(), st.none()),
]


def _lists(item: Kind) -> st.SearchStrategy[Kind]:
    kind, values = item
    nullable = st.none() | values
    some = st.lists(nullable, max_size=4)
    return st.sampled_from(
        [
            (pa.list_(kind), some),
            (pa.large_list(kind), some),
            (pa.list_(kind, 2), st.lists(nullable, min_size=2, max_size=2)),
        ]
    )


def _structs(fields: dict[str, Kind]) -> Kind:
    kind = pa.struct([(name, field[0]) for name, field in fields.items()])
    return kind, st.fixed_dictionaries({name: st.none() | field[1] for name, field in fields.items()})


FLAT_KINDS = st.sampled_from(FLAT)
KINDS = FLAT_KINDS | st.recursive(
    FLAT_KINDS,
    lambda inner: inner.flatmap(_lists) | st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(_structs),
    max_leaves=4,
)


@st.composite
def columns(
    draw: st.DrawFn,
    *,
    kinds: st.SearchStrategy[Kind] = KINDS,
    names: st.SearchStrategy[str] = NAMES,
    min_rows: int = 0,
    max_rows: int = 6,
) -> Columns:
    """Tables of one to four columns."""
    rows = draw(st.integers(min_rows, max_rows))
    chosen = draw(st.dictionaries(names, kinds, min_size=1, max_size=4))
    cells = {
        name: draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        for name, (_, values) in chosen.items()
    }
    return Columns(cells, pa.schema([(name, kind) for name, (kind, _) in chosen.items()]))
