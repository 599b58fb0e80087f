"""Counts: how many rows fell into each bin. They add up: hours to days, files to tables, servers to one.

Only whole numbers come from here, and the rule is written twice (here and in `mlkit.data.drift_sql`), so
that any engine finds the same ones: the bin of a number is how many cuts it reaches; nan, which no
comparison can place, is counted first.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.drift_bins import as_numbers, as_texts, form_of, plain_chunks
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from mlkit.data.drift_bins import Bins

CHUNK_ROWS = 1 << 16
"""How many numbers are compared with all cuts before the next ones: they stay in the processor's cache."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many rows fell into each cell of some bins.

    Attributes:
        bins: Digest of the bins.
        numbers: One count for each of `Bins.labels`.
    """

    bins: str
    numbers: tuple[int, ...]

    @classmethod
    def empty(cls, bins: Bins) -> Counts:
        """Counts of no rows."""
        return cls(bins.digest, (0,) * bins.cells)

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.numbers)

    def __add__(self, other: Counts) -> Counts:
        """Counts of the rows of both.

        Raises:
            DataError: They were counted in other bins (DAT094).
        """
        if self.bins != other.bins or len(self.numbers) != len(other.numbers):
            raise other_bins()
        return Counts(self.bins, tuple(map(int.__add__, self.numbers, other.numbers)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"bins": self.bins, "numbers": list(self.numbers)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counts:
        """The counts that `to_dict` described."""
        return cls(str(values["bins"]), tuple(map(int, values["numbers"])))


def count(column: pa.ChunkedArray | pa.Array, bins: Bins, *, path: str = "") -> Counts:
    """Count the rows of a column.

    Args:
        column: (n,) values.
        bins: Where the column is cut.
        path: Name of the column, for an error.

    Raises:
        DataError: Values of another type than the bins are for (DAT091).
    """
    if bins.kind == "category":
        form_of(column.type, path, category=True)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        numbers = sum((_count_texts(chunk, bins) for chunk in chunks), np.zeros(bins.cells, np.int64))
    else:
        check_form(column.type, bins, path)
        plain = plain_chunks(column, path)
        numbers = sum((_count_numbers(chunk, bins) for chunk in plain), np.zeros(bins.cells, np.int64))
    return Counts(bins.digest, tuple(numbers.tolist()))


def count_stream(batches: Iterable[pa.RecordBatch], bins: Mapping[str, Bins]) -> dict[str, Counts]:
    """Count several columns of a stream; memory is bounded by one batch.

    Args:
        batches: Record batches, such as a reader gives; used up.
        bins: By name of the column.

    Raises:
        DataError: A column is missing (DAT092) or of another type (DAT091).
    """
    found = {name: Counts.empty(cut) for name, cut in bins.items()}
    for batch in batches:
        check_columns(batch.schema.names, bins)
        for name, cut in bins.items():
            found[name] += count(batch.column(name), cut, path=name)
    return found


def check_columns(found: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse rows that lack a column.

    Raises:
        DataError: DAT092.
    """
    there = set(found)
    if lacking := [name for name in wanted if name not in there]:
        fix = "watch only what is logged, or wait for rows that have it"
        raise DataError("DAT092", "expected a column to count, found none", path=lacking[0], fix=fix)


def check_form(kind: pa.DataType, bins: Bins, path: str) -> None:
    """Refuse a column of numbers whose bins are for something else.

    Raises:
        DataError: DAT091.
        UnsupportedTypeError: DAT090.
    """
    found = form_of(kind, path)
    if found != (bins.kind, bins.measure) and kind != pa.null():
        said = {"days": "days", "microseconds": "instants"}.get(bins.measure, "numbers")
        message = f"the bins are for {said}, the column holds {kind}"
        raise DataError("DAT091", message, path=path, fix="log the type that was trained on, or train again")


def other_bins() -> DataError:
    """The error for counts that cannot be brought together."""
    message = "expected counts in the same bins, found counts in others"
    return DataError("DAT094", message, fix="compare what was counted in the bins of one model")


def _count_numbers(chunk: pa.Array, bins: Bins) -> NDArray[np.int64]:
    """(cells,) counts of one chunk, cut after cut over pieces that fit into the cache."""
    found = np.zeros(bins.cells, np.int64)
    found[-1] = chunk.null_count
    reached = np.empty(CHUNK_ROWS, np.bool_)
    for start in range(0, len(chunk), CHUNK_ROWS):
        numbers = as_numbers(chunk.slice(start, CHUNK_ROWS))
        mask = reached[: numbers.size]
        minus, plus, nan = (
            int(np.count_nonzero(test))
            for test in (numbers == -np.inf, numbers == np.inf, np.not_equal(numbers, numbers, out=mask))
        )
        reach = [np.count_nonzero(np.greater_equal(numbers, cut, out=mask)) for cut in bins.cuts]
        found[: len(reach) + 1] -= np.diff([numbers.size - nan - minus, *reach, plus])
        found[-4:-1] += (minus, plus, nan)
    return found


def _count_texts(chunk: pa.Array, bins: Bins) -> NDArray[np.int64]:
    """(cells,) counts of one chunk, by way of its distinct values."""
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    other, null = len(bins.categories), len(bins.categories) + 1
    values = encoded.dictionary
    if form_of(values.type, "")[0] == "category":
        values = values.cast(pa.string())
        cells = (
            pc.index_in(values, value_set=pa.array(bins.categories, pa.string())).fill_null(other).to_numpy()
        )
        cells = np.where(values.is_null().to_numpy(zero_copy_only=False), null, cells)
    else:
        known = {text: place for place, text in enumerate(bins.categories)}
        cells = np.array(
            [null if text is None else known.get(text, other) for text in as_texts(values)], np.int64
        )
    indices = encoded.indices.drop_null().to_numpy()
    rows = np.bincount(indices, minlength=len(values))
    found = np.bincount(cells, weights=rows, minlength=bins.cells).astype(np.int64)
    found[null] += len(chunk) - len(indices)
    return found
