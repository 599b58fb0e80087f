"""Bins: fixed once at training, stored with the model, and the same wherever rows are counted.

A column is cut at edges taken from the reference sample, so that what is compared later are whole numbers:
how many rows fell where. Numbers, booleans (0 and 1), decimals, days (since 1970) and instants (microseconds
since 1970) are looked at as float64; whole numbers beyond 2**53 are rounded to the nearest one it has, as
every engine does. Texts, and whatever is to be a category, are looked at by their text.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.plain import plain_column, plain_type
from mlkit.errors import UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SAMPLE_ROWS = 10_000
"""How many rows bins are made from: the first in canonical order, a sample that every engine finds."""

MOST_BINS, MOST_VALUES = 20, 50
QUANTILES = (5, 25, 50, 75, 95)
"""Percentages of the rows, of which `Bins.quantiles` says below which value they are."""

_SEEN_AT_LEAST = 2  # a value of one row alone tells nothing, and may be somebody's name
_LONGEST_VALUE, _LABEL_LENGTH = 200, 60  # characters
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Kind = Literal["number", "category"]
Measure = Literal["number", "days", "microseconds"]


@dataclasses.dataclass(frozen=True)
class Bins:
    """Where a column is cut.

    A number falls into the cell whose place is the number of `cuts` that it reaches; then come cells of
    -inf, +inf, nan and null. A category falls into the cell of its value, the one of other values, or null.

    Attributes:
        kind: ``number`` or ``category``.
        measure: What the numbers of a column of days or instants count.
        edges: First value of each bin, ascending; none where the sample had no finite number.
        high: Largest finite value of the sample; only more than that is above the last bin.
        categories: The most frequent values of a category, most frequent first.
        mean: Mean of the finite values of the sample, to be shown.
        quantiles: Values of the sample at `QUANTILES`, to be shown.
    """

    kind: Kind
    measure: Measure = "number"
    edges: tuple[float, ...] = ()
    high: float | None = None
    categories: tuple[str, ...] = ()
    mean: float | None = None
    quantiles: tuple[float, ...] = ()

    @cached_property
    def cuts(self) -> tuple[float, ...]:
        """The edges, and the next float64 after `high`."""
        return () if self.high is None else (*self.edges, math.nextafter(self.high, math.inf))

    @cached_property
    def digest(self) -> str:
        """sha256 (64 hex) of what decides where a row is counted."""
        said = [self.kind, self.measure, self.edges, self.high, self.categories]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def cells(self) -> int:
        """How many counts there are."""
        return len(self.categories) + 2 if self.kind == "category" else len(self.cuts) + 5

    @property
    def labels(self) -> tuple[str, ...]:
        """What people call each cell; holds values of the data."""
        if self.kind == "category":
            return (*map(_shortened, self.categories), "other values", "missing")
        special = ("-inf", "+inf", "nan", "missing")
        if self.high is None:
            return ("any number", *special)
        texts = [self._text(edge) for edge in self.edges]
        ends = [*texts[1:], self._text(self.high)]
        pairs = zip(texts, ends, strict=True)
        inside = [start if start == end else f"{start} to {end}" for start, end in pairs]
        return (f"below {texts[0]}", *inside, f"above {ends[-1]}", *special)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those that say nothing."""
        said = dataclasses.asdict(self)
        kind = said.pop("kind")
        return {
            "kind": kind,
            **{name: value for name, value in said.items() if value not in (None, (), "number")},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Bins:
        """The bins that `to_dict` described."""
        lists = {name: tuple(found) for name, found in values.items() if isinstance(found, list)}
        return cls(**{**values, **lists})

    def _text(self, number: float) -> str:
        if self.measure == "number":
            return f"{number:.6g}"
        per_day = 1 if self.measure == "days" else 86_400_000_000
        try:
            moment = _EPOCH + dt.timedelta(days=number / per_day)
        except OverflowError:
            return f"{number:.6g}"
        return str(moment.date()) if self.measure == "days" else f"{moment:%Y-%m-%d %H:%M}"


def make_bins(column: pa.ChunkedArray | pa.Array, *, category: bool = False, path: str = "") -> Bins:
    """Bins of a reference sample.

    Numbers get up to `MOST_BINS` bins of about equally many rows, where a frequent value has one of its
    own; as many distinct values or fewer get one each. Categories keep the `MOST_VALUES` most frequent
    values that occur twice or more.

    Args:
        column: (n,) values of the sample, n up to `SAMPLE_ROWS`.
        category: Take numbers for categories too, by their text.
        path: Name of the column, for an error.

    Raises:
        UnsupportedTypeError: Values that are neither numbers, booleans, times nor text (DAT090).
    """
    kind, measure = form_of(column.type, path, category=category)
    if kind == "category":
        return Bins("category", categories=_frequent(column))
    numbers = np.concatenate([np.empty(0), *(as_numbers(chunk) for chunk in plain_chunks(column, path))])
    finite = np.sort(numbers[np.isfinite(numbers)])
    if not finite.size:
        return Bins("number", measure)
    return Bins(
        "number",
        measure,
        edges=tuple(_starts(finite)),
        high=float(finite[-1]),
        mean=_mean(finite),
        quantiles=tuple(float(finite[(finite.size - 1) * share // 100]) for share in QUANTILES),
    )


def _mean(finite: NDArray[np.float64]) -> float:
    """The mean of (n,) sorted numbers, whatever their order was; it lies between the ends."""
    try:
        return math.fsum((finite / finite.size).tolist())
    except OverflowError:  # the largest numbers there are, and rounding took one step further
        return min(2 * math.fsum((finite / finite.size / 2).tolist()), float(finite[-1]))


def form_of(kind: pa.DataType, path: str, *, category: bool = False) -> tuple[Kind, Measure]:
    """How values of a type are counted.

    Args:
        kind: The type.
        path: Name of the column, for an error.
        category: Take numbers and booleans for categories too.

    Raises:
        UnsupportedTypeError: Not at all (DAT090).
    """
    plain = plain_type(kind, path) if kind != pa.null() else kind
    if pa.types.is_string(plain):
        return "category", "number"
    simple = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    if any(test(plain) for test in simple):
        return "category" if category else "number", "number"
    if pa.types.is_decimal(plain) and not category:
        return "number", "number"
    if pa.types.is_date(plain) and not category:
        return "number", "days"
    if pa.types.is_timestamp(plain) and not category:
        return "number", "microseconds"
    message = f"expected numbers, booleans, times or text to watch, found {kind}"
    raise UnsupportedTypeError("DAT090", message, path=path, fix="leave it out of monitor.inputs")


def plain_chunks(column: pa.ChunkedArray | pa.Array, path: str) -> Sequence[pa.Array]:
    """Chunks of a column of numbers, in the types of tables."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    chunks: Sequence[pa.Array] = plain_column(column, path).chunks
    return chunks


def as_numbers(chunk: pa.Array) -> NDArray[np.float64]:
    """The values of a chunk that are not null, as (n,) float64."""
    if chunk.null_count:
        chunk = chunk.drop_null()
    if pa.types.is_boolean(chunk.type) or pa.types.is_date(chunk.type):
        chunk = chunk.cast(pa.int32())
    if pa.types.is_timestamp(chunk.type):
        chunk = chunk.cast(pa.int64())
    if pa.types.is_decimal(chunk.type):  # by way of text, which alone is rounded correctly everywhere
        chunk = chunk.cast(pa.string())
    if not pa.types.is_float64(chunk.type):
        chunk = chunk.cast(pa.float64(), safe=False)
    return np.asarray(chunk.to_numpy(zero_copy_only=False), dtype=np.float64)


def as_texts(values: pa.Array) -> list[str | None]:
    """Values as texts: what Python's `str` makes of them, -0.0 being 0.0; None for a missing one."""
    if pa.types.is_floating(values.type):
        found = [None if value is None or math.isnan(value) else value + 0.0 for value in values.to_pylist()]
        return [None if value is None else str(value) for value in found]
    return [None if value is None else str(value) for value in values.to_pylist()]


def _frequent(column: pa.ChunkedArray | pa.Array) -> tuple[str, ...]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    counted = pc.value_counts(column)
    found: Counter[str] = Counter()
    for text, rows in zip(
        as_texts(counted.field("values")), counted.field("counts").to_pylist(), strict=True
    ):
        if text is not None and len(text) <= _LONGEST_VALUE:
            found[text] += rows
    known = sorted((-rows, text) for text, rows in found.items() if rows >= _SEEN_AT_LEAST)
    return tuple(text for _, text in known[:MOST_VALUES])


def _starts(ordered: NDArray[np.float64]) -> list[float]:
    """First value of each bin of (n,) ascending numbers: about equally many rows in each."""
    values, counts = np.unique(ordered + 0.0, return_counts=True)  # -0.0 becomes the zero that it equals
    if len(values) <= MOST_BINS:
        return [float(value) for value in values]
    starts, closed, held = [float(values[0])], 0, int(counts[0])
    for value, count in zip(values[1:].tolist(), counts[1:].tolist(), strict=True):
        share = (len(ordered) - closed) / (MOST_BINS + 1 - len(starts))
        if (held >= share or count >= share) and len(starts) < MOST_BINS:
            starts.append(value)
            closed, held = closed + held, 0
        held += count
    return starts


def _shortened(text: str) -> str:
    return text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 1]}…"
