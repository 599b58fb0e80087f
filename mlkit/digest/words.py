"""Arrow columns as words: what of each cell goes into the hash of its row.

A cell becomes one 64-bit word, rarely more, by its value and never by its type: the integer 1, the
float 1.0 and the decimal 1.00 are one word, and so are a null, a NaN and a NaT. One class stands for
each family of Arrow types; decimals and nested values have modules of their own.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mlkit.digest.xxh64 import Mask, Words, bytes_hash
from mlkit.errors import DataOverflowError

MISSING = np.array(0x7FF8000000000000, np.uint64)
"""The word of every missing value: the bits of the canonical NaN."""

EXACT_INTEGERS = 2**53
"""Up to this magnitude every integer is a float."""

Integers: TypeAlias = npt.NDArray[np.int64]

_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY_MICROSECONDS = 86_400_000_000
_NANOSECONDS = 1_000


class Sink(Protocol):
    """Takes the words of a block of rows, column after column."""

    def step(self, words: Words, where: Mask | None = None) -> None:
        """Take one word of each row, or of the rows in `where`; `words` is not kept."""
        ...


class Column:
    """An Arrow array that can feed the words of its cells to a hash.

    Null slots may hold anything, and the array may be a slice at any bit of its buffers.
    """

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array`, which error messages call `path`."""
        self.path = path
        self._offset: int = array.offset
        validity = array.buffers()[0] if array.null_count else None
        self._validity = None if validity is None else np.frombuffer(validity, np.uint8)

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """Give the words of the rows from `start` to `stop` to `sink`.

        Args:
            sink: Takes the words.
            start: First row.
            stop: Row after the last; there is at least one row.
            visible: Rows that stand below no null parent, shape (stop - start,); all by default.

        Raises:
            DataOverflowError: A visible value is outside what a digest can hold.
        """
        raise NotImplementedError

    def missing(self, start: int, stop: int) -> Mask | None:
        """Which of the rows are null, shape (stop - start,); None if none is."""
        if self._validity is None:
            return None
        is_null = ~bits(self._validity, self._offset + start, self._offset + stop)
        return is_null if is_null.any() else None

    def unseen(self, start: int, stop: int, visible: Mask | None) -> Mask | None:
        """Which of the rows are null or below a null parent; None if none is."""
        missing = self.missing(start, stop)
        if visible is None or visible.all():
            return missing
        return ~visible if missing is None else missing | ~visible


class NullColumn(Column):
    """A column of the null type: every cell is missing."""

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """One MISSING per row."""
        del visible
        sink.step(np.full(stop - start, MISSING))


class FloatColumn(Column):
    """Half, single and double precision: the bits of the value as a double."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        self._values: npt.NDArray[Any] = values_of(array, np.dtype(f"f{array.type.bit_width // 8}"))

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """One word per row: -0.0 becomes 0.0, and every NaN the one NaN."""
        del visible
        # Adding zero is what makes -0.0 positive; it also widens, exactly.
        numbers = np.add(self._values[start:stop], 0.0, dtype=np.float64)
        words = numbers.view(np.uint64)
        if np.isnan(numbers.min()):
            np.copyto(words, MISSING, where=np.isnan(numbers))
        sink.step(blank(words, self.missing(start, stop)))


class IntegerColumn(Column):
    """Signed and unsigned integers of any width."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        kind = "i" if pa.types.is_signed_integer(array.type) else "u"
        self._values: npt.NDArray[Any] = values_of(array, np.dtype(f"{kind}{array.type.bit_width // 8}"))

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The float of the value; then, where no float is sure to hold it, the integer itself."""
        del visible
        feed_integers(sink, self._values[start:stop], self.missing(start, stop))


class BooleanColumn(Column):
    """Truth values: the integers 0 and 1."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        self._packed = values_of(array.slice(0, 0), np.dtype(np.uint8))
        buffer = array.buffers()[1]
        if buffer is not None and len(array):
            self._packed = np.frombuffer(buffer, np.uint8)

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """0.0 or 1.0 per row."""
        del visible
        numbers = bits(self._packed, self._offset + start, self._offset + stop).astype(np.float64)
        sink.step(blank(numbers.view(np.uint64), self.missing(start, stop)))


class InstantColumn(Column):
    """Timestamps, dates and durations: microseconds, then what is left in nanoseconds."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        kind = array.type
        if pa.types.is_date32(kind):
            self._scale, width = _DAY_MICROSECONDS, "i4"
        else:
            unit = "ms" if pa.types.is_date64(kind) else kind.unit
            self._scale, width = _MICROSECONDS.get(unit, 0), "i8"
        self._values: npt.NDArray[Any] = values_of(array, np.dtype(width))

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The instant in whole microseconds; where nanoseconds remain, these too."""
        values = self._values[start:stop]
        missing = self.missing(start, stop)
        if self._scale:
            instants = self._scaled(values, self.unseen(start, stop, visible))
            sink.step(blank(instants.view(np.uint64), missing, copy=instants is values))
            return
        instants = values // _NANOSECONDS
        rests = values - instants * _NANOSECONDS
        sink.step(blank(instants.view(np.uint64), missing))
        sink.step(rests.view(np.uint64), present(rests != 0, missing))

    def _scaled(self, values: npt.NDArray[np.signedinteger[Any]], unseen: Mask | None) -> Integers:
        if self._scale == 1:
            return values.astype(np.int64, copy=False)
        limit = (2**63 - 1) // self._scale
        if int(values.max()) > limit or int(values.min()) < -limit:
            values = values.copy() if unseen is None else np.where(unseen, 0, values)
            if int(values.max()) > limit or int(values.min()) < -limit:
                raise overflow(self.path, "an instant outside the microseconds of 64 bits")
        scaled: Integers = np.multiply(values, self._scale, dtype=np.int64)
        return scaled


class BytesColumn(Column):
    """Text and binary of variable or fixed width: the hash of the bytes, one per lane."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        kind = array.type
        buffers = array.buffers()
        self._width: int = kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0
        self._ends: npt.NDArray[Any] | None = None
        if not self._width:
            is_large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
            self._ends = _read(buffers[1], np.dtype("i8" if is_large else "i4"), array.offset, len(array) + 1)
        self._data = _read(buffers[-1], np.dtype(np.uint8), 0, None)

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The hash of each string from the seed of each lane, (2, rows)."""
        del visible
        missing = self.missing(start, stop)
        if self._ends is None:
            starts = np.arange(self._offset + start, self._offset + stop) * self._width
            lengths = np.full(stop - start, self._width)
        else:
            ends = self._ends[start : stop + 1].astype(np.int64)
            starts, lengths = ends[:-1], np.diff(ends)
        if missing is not None:
            lengths[missing] = 0
        sink.step(blank(bytes_hash(self._data, starts, lengths), missing))


def feed_integers(sink: Sink, values: npt.NDArray[Any], missing: Mask | None) -> None:
    """Give integers of any width, shape (n,), to `sink` by the rule for integers."""
    numbers = values.astype(np.float64)
    sink.step(blank(numbers.view(np.uint64), missing))
    if values.dtype.itemsize < numbers.itemsize:
        return
    is_unsigned = values.dtype.kind == "u"
    if int(values.max()) > EXACT_INTEGERS or (not is_unsigned and int(values.min()) < -EXACT_INTEGERS):
        is_large = values > EXACT_INTEGERS
        if not is_unsigned:
            is_large |= values < -EXACT_INTEGERS
        sink.step(values.view(np.uint64), present(is_large, missing))


def blank(words: Words, missing: Mask | None, *, copy: bool = False) -> Words:
    """`words`, (n,) or (2, n), with MISSING where a row is missing; in place unless `copy`."""
    if missing is not None:
        words = words.copy() if copy else words
        np.copyto(words, MISSING, where=missing)
    return words


def present(rows: Mask, missing: Mask | None) -> Mask:
    """Those of `rows` that are not missing."""
    return rows if missing is None else rows & ~missing


def bits(packed: npt.NDArray[np.uint8], start: int, stop: int) -> Mask:
    """The bits from `start` to `stop` of a bitmap, least significant bit first."""
    first = start >> 3
    unpacked = np.unpackbits(packed[first : (stop + 7) >> 3], bitorder="little")
    return unpacked[start - 8 * first : stop - 8 * first].view(np.bool_)


def values_of(array: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values of an array of fixed width, null slots included, shape (len(array),)."""
    return _read(array.buffers()[1], dtype, array.offset, len(array))


def _read(buffer: pa.Buffer | None, dtype: np.dtype[Any], offset: int, count: int | None) -> npt.NDArray[Any]:
    # Arrow may leave out the buffers of an array without rows, or give empty ones.
    if buffer is None or buffer.size == 0:
        return np.zeros(count or 0, dtype)
    values = np.frombuffer(buffer, np.uint8)
    if count is None:
        return values.view(dtype)
    width = dtype.itemsize
    return values[offset * width : (offset + count) * width].view(dtype)


def overflow(path: str, found: str) -> DataOverflowError:
    """The error for a value that is too large for a digest."""
    return DataOverflowError(
        "DAT028",
        f"expected values that fit 64 bits, found {found}",
        path=path,
        fix="cast the column to float or string, or leave it out",
    )
