"""Rows of columns as digests; lists, structs and encodings, whose cells are made of other cells.

The digest of a row, of a struct and of a list's item are one function: a chain over the words of
some columns, in the order of their names. So this module is where columns of any type are opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mlkit.digest.decimals import DecimalColumn
from mlkit.digest.schema import name_order, unsupported
from mlkit.digest.words import (
    MISSING,
    BooleanColumn,
    BytesColumn,
    Column,
    FloatColumn,
    InstantColumn,
    IntegerColumn,
    NullColumn,
    blank,
    present,
    values_of,
)
from mlkit.digest.xxh64 import BLOCK, Chain, chain_ends, few_chains

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlkit.digest.words import Sink
    from mlkit.digest.xxh64 import Mask, Positions, Words

Kind: TypeAlias = "Callable[[pa.Array, str], Column]"
Offsets: TypeAlias = npt.NDArray[np.signedinteger[Any]]

_ITEMS = 64 * BLOCK
"""Items of lists digested at a time, so that long lists do not need memory of their own size."""


class Rows:
    """Digests of rows, structs or items: chains over the words of some columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        """Chain `columns` in this order, which is that of the UTF-8 bytes of their names."""
        self._columns = columns
        self._chain = Chain(0)

    def lanes(self, start: int, stop: int, visible: Mask | None = None) -> Words:
        """Both lanes of the rows from `start` to `stop`, shape (2, stop - start), uint64.

        Args:
            start: First row.
            stop: Row after the last.
            visible: As in `Column.feed`.

        Raises:
            DataOverflowError: A visible value is outside what a digest can hold.
        """
        out = np.empty((2, stop - start), np.uint64)
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            part = slice(first - start, last - start)
            out[:, part] = self._block(first, last, None if visible is None else visible[part])
        return out

    def _block(self, start: int, stop: int, visible: Mask | None) -> Words:
        if self._chain.state.shape[1] != stop - start:
            self._chain = Chain(stop - start)
        self._chain.restart()
        for column in self._columns:
            column.feed(self._chain, start, stop, visible)
        return self._chain.state


class StructColumn(Column):
    """Structs: the digest of the fields in the order of their names."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open the fields; what stands below a null struct is ignored."""
        super().__init__(array, path)
        names = [field.name for field in array.type]
        self._rows = Rows(
            [open_column(array.field(number), f"{path}.{names[number]}") for number in name_order(names)]
        )

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The lanes of each struct, (2, rows)."""
        missing = self.missing(start, stop)
        lanes = self._rows.lanes(start, stop, _below(visible, missing))
        sink.step(blank(lanes, missing))


class ListColumn(Column):
    """Lists of any kind: a chain over the length and the digests of the items."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open the items; what stands below a null list is ignored."""
        super().__init__(array, path)
        self._size, self._offsets, self._sizes = _layout(array)
        # The items of a slice are still those of the whole; opening more of them than needed has a price.
        starts, lengths = self._spans(0, len(array))
        self._first = int(starts.min(initial=len(array.values)))
        count = int((starts + lengths).max(initial=self._first)) - self._first
        self._items = Rows([open_column(array.values.slice(self._first, count), f"{path}[]")])

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The lanes of each list, (2, rows)."""
        missing = self.missing(start, stop)
        starts, lengths = self._spans(start, stop)
        below = _below(visible, missing)
        if below is not None:
            lengths[~below] = 0
        sink.step(blank(self._lanes(starts, lengths, is_partial=below is not None), missing))

    def _spans(self, start: int, stop: int) -> tuple[Positions, Positions]:
        if self._offsets is None:
            starts = self._size * np.arange(self._offset + start, self._offset + stop)
            return starts, np.full(stop - start, self._size)
        if self._sizes is not None:
            return self._offsets[start:stop].astype(np.int64), self._sizes[start:stop].astype(np.int64)
        ends = self._offsets[start : stop + 1].astype(np.int64)
        return ends[:-1], np.diff(ends)

    def _lanes(self, starts: Positions, lengths: Positions, *, is_partial: bool) -> Words:
        rows = starts.size
        first, last = int(starts.min()), int((starts + lengths).max())
        if rows > 1 and last - first > _ITEMS:
            half = rows // 2
            parts = (slice(half), slice(half, rows))
            return np.concatenate(
                [self._lanes(starts[part], lengths[part], is_partial=is_partial) for part in parts], axis=1
            )
        visible = _reached(starts - first, lengths, last - first) if is_partial else None
        items = self._items.lanes(first - self._first, last - self._first, visible)
        return _list_lanes(items, starts - first, lengths)


class _Book:
    """The words of distinct values, to be looked up by code."""

    def __init__(self, values: Column, size: int, used: Mask | None = None) -> None:
        """Hash the first `size` values; only the `used` ones may raise."""
        self._size = size
        self._pages: list[tuple[Words, Mask | None]] = []
        if size:
            values.feed(self, 0, size, used)

    def step(self, words: Words, where: Mask | None = None) -> None:
        """Keep one word of each value: the book is a sink itself."""
        self._pages.append((words.copy(), where))

    def feed(self, sink: Sink, codes: npt.NDArray[Any], missing: Mask | None = None) -> None:
        """Give the words of the values that `codes` stand for."""
        if not self._size:
            sink.step(np.full(codes.size, MISSING))
            return
        places = codes.astype(np.intp)
        for number, (words, where) in enumerate(self._pages):
            found = words.take(places, axis=-1, mode="clip")
            if number == 0:
                sink.step(blank(found, missing))
            elif where is not None:
                sink.step(found, present(where.take(places, mode="clip"), missing))


class DictionaryColumn(Column):
    """Dictionary-encoded cells: each distinct value is hashed once."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Hash the values that the codes use."""
        super().__init__(array.indices, path)
        codes = array.indices
        kind = "i" if pa.types.is_signed_integer(codes.type) else "u"
        self._codes = values_of(codes, np.dtype(f"{kind}{codes.type.bit_width // 8}"))
        values = array.dictionary
        self._book = _Book(open_column(values, path), len(values), self._used(len(values)))

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The words of the value that each code stands for."""
        del visible
        self._book.feed(sink, self._codes[start:stop], self.missing(start, stop))

    def _used(self, size: int) -> Mask:
        used = np.zeros(size, np.bool_)
        for start in range(0, self._codes.size, BLOCK):
            codes = self._codes[start : start + BLOCK]
            missing = self.missing(start, start + codes.size)
            used[codes if missing is None else codes[~missing]] = True
        return used


class RunColumn(Column):
    """Run-end encoded cells: each run is hashed once."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Hash the values of the runs that the slice reaches."""
        super().__init__(array, path)
        first = array.find_physical_offset()
        length = array.find_physical_length()
        self._run_ends = array.run_ends.to_numpy()[first : first + length]
        self._book = _Book(open_column(array.values.slice(first, length), path), length)

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The words of the run that each row lies in."""
        del visible
        rows = np.arange(self._offset + start, self._offset + stop)
        self._book.feed(sink, np.searchsorted(self._run_ends, rows, side="right"))


class ViewColumn(Column):
    """String and binary views: laid out one after another, a block at a time."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Keep `array` for later."""
        super().__init__(array, path)
        self._array = array

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The hash of each string, as of any other."""
        block = self._array.slice(start, stop - start).cast(pa.large_binary())
        BytesColumn(block, self.path).feed(sink, 0, stop - start, visible)


def _layout(array: pa.Array) -> tuple[int, Offsets | None, Offsets | None]:
    """How lists find their items: a fixed size, or offsets, or offsets and sizes."""
    if pa.types.is_fixed_size_list(array.type):
        return array.type.list_size, None, None
    is_view = pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type)
    return 0, array.offsets.to_numpy(), array.sizes.to_numpy() if is_view else None


def _below(visible: Mask | None, missing: Mask | None) -> Mask | None:
    """Which parents let their children be seen; None if all do."""
    if missing is None:
        return visible
    return ~missing if visible is None else visible & ~missing


def _reached(starts: Positions, lengths: Positions, size: int) -> Mask:
    """Which of `size` items lie in some list."""
    reached = np.zeros(size, np.bool_)
    gaps = starts - (np.cumsum(lengths) - lengths)
    reached[np.repeat(gaps, lengths) + np.arange(lengths.sum())] = True
    return reached


def _list_lanes(items: Words, starts: Positions, lengths: Positions) -> Words:
    """Chain the digests of each list's items, longest lists first, shape (2, lists)."""
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts.take(order), lengths.take(order)
    chain = Chain(order.size)
    chain.step(lengths.view(np.uint64))
    number = 0
    active = int(np.count_nonzero(lengths))
    while not few_chains(active):
        chain.step_first(items.take(starts[:active] + number, axis=1))
        number += 1
        active = int(np.count_nonzero(lengths[:active] > number))
    chain_ends(chain.state[:, :active], items, starts[:active] + number, lengths[:active] - number)
    out = np.empty_like(chain.state)
    out[:, order] = chain.state
    return out


def open_column(array: pa.Array, path: str) -> Column:
    """The words of an Arrow array of any supported type.

    Args:
        array: The array; may be a slice.
        path: What error messages call it, e.g. ``user.tags[]``.

    Raises:
        UnsupportedTypeError: The type has no digest.
    """
    for matches, opened in _KINDS:
        if matches(array.type):
            return opened(array, path)
    raise unsupported(array.type, path)


def _open_dictionary(array: pa.Array, path: str) -> Column:
    values = array.dictionary
    # A slice of a few rows still carries all distinct values: then the rows are fewer to hash.
    if len(values) <= len(array) or pa.types.is_nested(values.type):
        return DictionaryColumn(array, path)
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        values = values.cast(pa.large_binary())
    return open_column(values.take(array.indices), path)


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Kind], ...] = (
    (pa.types.is_floating, FloatColumn),
    (pa.types.is_integer, IntegerColumn),
    (pa.types.is_boolean, BooleanColumn),
    (pa.types.is_decimal, DecimalColumn),
    (pa.types.is_timestamp, InstantColumn),
    (pa.types.is_date, InstantColumn),
    (pa.types.is_duration, InstantColumn),
    (pa.types.is_string, BytesColumn),
    (pa.types.is_large_string, BytesColumn),
    (pa.types.is_binary, BytesColumn),
    (pa.types.is_large_binary, BytesColumn),
    (pa.types.is_fixed_size_binary, BytesColumn),
    (pa.types.is_string_view, ViewColumn),
    (pa.types.is_binary_view, ViewColumn),
    (pa.types.is_list, ListColumn),
    (pa.types.is_large_list, ListColumn),
    (pa.types.is_fixed_size_list, ListColumn),
    (pa.types.is_list_view, ListColumn),
    (pa.types.is_large_list_view, ListColumn),
    (pa.types.is_struct, StructColumn),
    (pa.types.is_dictionary, _open_dictionary),
    (pa.types.is_run_end_encoded, RunColumn),
    (pa.types.is_null, NullColumn),
)
