"""XXH64 over numpy: chains of words side by side, and byte strings of any length.

A row's digest is a chain: each word is hashed with the hash so far as its seed, in two lanes that
start from different seeds. `Chain.step` and `bytes_hash` are the two hot functions of the room and
the seam behind which a compiled kernel could stand.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash

Words: TypeAlias = npt.NDArray[np.uint64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Positions: TypeAlias = npt.NDArray[np.int64]

BLOCK = 16 * 1024
"""Rows hashed at a time: state and scratch of this many rows stay in a core's L2 cache."""

SEEDS: Words = np.array([-5252525462095825812, -7001672635703045582], np.int64).view(np.uint64)
"""Where lane 0 and lane 1 start: the hash of the lane's number from seed 42, shape (2,)."""

_STRIPE_BYTES = 32
_LIBRARY_FROM_BYTES = 512
_FEW_STRINGS = 512
_FEW_CHAINS = 32
_WINDOW_BYTES = 4 * 1024 * 1024

# Constants as arrays without dimensions: numpy converts a scalar again on every call.
_P1 = np.array(0x9E3779B185EBCA87, np.uint64)
_P2 = np.array(0xC2B2AE3D27D4EB4F, np.uint64)
_P3 = np.array(0x165667B19E3779F9, np.uint64)
_P4 = np.array(0x85EBCA77C2B2AE63, np.uint64)
_P5 = np.array(0x27D4EB2F165667C5, np.uint64)
_P5_AND_8 = np.array(0x27D4EB2F165667C5 + 8, np.uint64)
_BITS = tuple(np.array(bits, np.uint64) for bits in range(65))
_LOW_32 = np.array(0xFFFFFFFF, np.uint64)
_LOW_8 = np.array(0xFF, np.uint64)

# glibc hands freed blocks of 128 KiB and more back to the system until it has seen a larger one
# freed; without this, half the time for text goes into fresh pages for temporary arrays.
np.empty(16 * 1024 * 1024, np.uint8)


class Chain:
    """The running hashes of a block of rows, lane beside lane.

    Attributes:
        state: The hashes so far, shape (lanes, rows), uint64; valid until the next call.
    """

    def __init__(self, rows: int, seeds: Words = SEEDS) -> None:
        """Make room for `rows` rows, each starting at `seeds`, shape (lanes,)."""
        self.state: Words = np.empty((seeds.size, rows), np.uint64)
        self._mixed: Words = np.empty_like(self.state)
        self._spare: Words = np.empty_like(self.state)
        self.restart(seeds)

    def restart(self, seeds: Words = SEEDS) -> None:
        """Forget all steps."""
        self.state[:] = seeds[:, None]

    def step(self, words: Words, where: Mask | None = None) -> None:
        """Hash one more word of each row.

        Args:
            words: Shape (rows,), or (lanes, rows) where the lanes differ; not changed.
            where: Shape (rows,): the rows that have this word; all of them by default.
        """
        if where is None:
            _step(self.state, words, self._mixed, self._spare)
            return
        rows = np.flatnonzero(where)
        if rows.size == where.size:
            self.step(words)
        elif rows.size:
            self._step_some(words.take(rows, axis=-1, mode="clip"), rows)

    def step_first(self, words: Words) -> None:
        """Hash one more word of the first rows only, `words` being (lanes, count)."""
        count = words.shape[-1]
        _step(self.state[:, :count], words, self._mixed[:, :count], self._spare[:, :count])

    def _step_some(self, words: Words, rows: Positions) -> None:
        some = self.state.take(rows, axis=1, mode="clip")
        _step(some, words, np.empty_like(some), np.empty_like(some))
        for lane, hashes in zip(self.state, some, strict=True):
            lane[rows] = hashes


def chain_ends(state: Words, words: Words, starts: Positions, lengths: Positions) -> None:
    """Finish a few long chains in place, each over its own stretch of `words`.

    Word by word, a few chains are quicker in the library than side by side in numpy.

    Args:
        state: The hashes so far, shape (2, n).
        words: Shape (2, m).
        starts: First word of each chain, shape (n,).
        lengths: How many words each has, shape (n,).
    """
    for lane in (0, 1):
        raw = np.ascontiguousarray(words[lane]).data.cast("B")
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            running = int(state[lane, row])
            for place in range(8 * start, 8 * (start + length), 8):
                running = xxhash.xxh64_intdigest(raw[place : place + 8], running)
            state[lane, row] = running


def few_chains(count: int) -> bool:
    """Whether so few chains are better given to `chain_ends` than stepped side by side."""
    return count < _FEW_CHAINS


def bytes_hash(data: npt.NDArray[np.uint8], starts: Positions, lengths: Positions) -> Words:
    """XXH64 of byte strings from each lane's seed.

    Args:
        data: The bytes that the strings lie in.
        starts: First byte of each string, shape (n,).
        lengths: Bytes of each string, shape (n,).

    Returns:
        Shape (2, n), uint64.
    """
    count = starts.size
    if count < _FEW_STRINGS:
        return _hash_singly(data, starts, lengths)
    if int(starts[-1] + lengths[-1] - starts[0]) > _WINDOW_BYTES:
        half = count // 2
        parts = (slice(half), slice(half, count))
        return np.concatenate([bytes_hash(data, starts[part], lengths[part]) for part in parts], axis=1)
    if int(lengths.max()) < _LIBRARY_FROM_BYTES:
        return _hash_together(data, starts, lengths)
    out = np.empty((2, count), np.uint64)
    is_long = lengths >= _LIBRARY_FROM_BYTES
    for rows, kernel in ((is_long, _hash_singly), (~is_long, _hash_together)):
        if rows.any():
            out[:, rows] = kernel(data, starts[rows], lengths[rows])
    return out


def _hash_singly(data: npt.NDArray[np.uint8], starts: Positions, lengths: Positions) -> Words:
    ends = starts + lengths
    strings = [data.data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    lanes = [[xxhash.xxh64_intdigest(string, seed) for string in strings] for seed in SEEDS.tolist()]
    return np.array(lanes, np.uint64).reshape(2, -1)


def _hash_together(data: npt.NDArray[np.uint8], starts: Positions, lengths: Positions) -> Words:
    tails = (lengths & 31).astype(np.uint8)
    # Strings with equal tails side by side: each step below is then a slice, not a selection.
    order = np.argsort(tails, kind="stable")
    starts, lengths = starts.take(order), lengths.take(order)
    text = _Text(data, starts, lengths)
    state = np.repeat((SEEDS + _P5)[:, None], order.size, axis=1)
    long = np.flatnonzero(lengths >= _STRIPE_BYTES)
    if long.size:
        state[:, long] = _stripes(text, long, lengths.take(long))
    state += lengths.view(np.uint64)
    _tails(state, text, np.bincount(tails, minlength=32))
    spare = np.empty_like(state)
    _avalanche(state, spare)
    for lane in (0, 1):
        spare[lane][order] = state[lane]
    return spare


class _Text:
    """Reads eight bytes at any place of some strings, as one little-endian word.

    An unaligned word is put together from the two aligned ones that it lies in: far quicker in
    numpy than indexing an unaligned view.
    """

    def __init__(self, data: npt.NDArray[np.uint8], starts: Positions, lengths: Positions) -> None:
        first = int(starts.min())
        end = int((starts + lengths).max())
        window = np.zeros((end - first) // 8 + 3, np.uint64)
        window.view(np.uint8)[: end - first] = data[first:end]
        self._window = window
        self._starts = starts - first
        self._lengths = lengths

    def words(self, rows: slice | Positions, offsets: Positions | int, count: int) -> Words:
        """`count` words in a row of each string from its byte at `offsets`, shape (count, n)."""
        places = self._starts[rows] + offsets
        shift = ((places & 7) << 3).view(np.uint64)
        index = places >> 3
        # Where the word is aligned this is 64, and numpy shifts all bits out: the other word is not needed.
        back = _BITS[64] - shift
        out = np.empty((count, index.size), np.uint64)
        low = self._window.take(index, mode="clip")
        for number in range(count):
            index += 1
            high = self._window.take(index, mode="clip")
            np.right_shift(low, shift, low)
            np.left_shift(high, back, out[number])
            out[number] |= low
            low = high
        return out

    def tail_words(self, first: int, number: int) -> Words:
        """Word `number` of the tails of the strings from `first` on, shape (1, n)."""
        rows = slice(first, None)
        return self.words(rows, (self._lengths[rows] & ~31) + 8 * number, 1)

    def tail_rests(self) -> Words:
        """The 0 to 7 bytes after the last whole word of each string, as one word, shape (1, n)."""
        return self.words(slice(None), self._lengths & ~7, 1)


def _stripes(text: _Text, rows: Positions, lengths: Positions) -> Words:
    """Hashes of the whole 32-byte stripes of strings that have at least one, shape (2, n)."""
    counts = (lengths >> 5).astype(np.uint8)
    order = np.argsort(~counts, kind="stable")
    rows, counts = rows.take(order), counts.take(order)
    columns = np.repeat(_stripe_seeds()[:, :, None], rows.size, axis=2)
    spare = np.empty_like(columns)
    for number in range(int(counts[0])):
        active = int(np.count_nonzero(counts > number))
        words = text.words(rows[:active], 32 * number, 4)
        words *= _P2
        running = columns[:, :, :active]
        running += words
        _rotate(running, spare[:, :, :active], 31)
        running *= _P1
    merged = np.empty((2, rows.size), np.uint64)
    merged[:, order] = _merge(columns)
    return merged


def _stripe_seeds() -> Words:
    offsets = np.stack([_P1, _P2, _P2, _P1]) * np.array([1, 1, 1, 2**64 - 1], np.uint64)
    offsets[0] += _P2
    offsets[2] = 0
    return SEEDS[:, None] + offsets


def _merge(columns: Words) -> Words:
    """The four running columns of each lane (2, 4, n) as one hash (2, n)."""
    spare = np.empty_like(columns[:, 0])
    state = np.zeros_like(spare)
    for number, bits in enumerate((1, 7, 12, 18)):
        part = columns[:, number].copy()
        _rotate(part, spare, bits)
        state += part
    mixed = np.empty_like(spare)
    for number in range(4):
        _mix(columns[:, number], mixed, spare)
        state ^= mixed
        state *= _P1
        state += _P4
    return state


def _tails(state: Words, text: _Text, sizes: npt.NDArray[np.intp]) -> None:
    """Take in the last 0 to 31 bytes of strings that stand in the order of how many these are."""
    ends = [0, *np.cumsum(sizes).tolist()]
    spare = np.empty_like(state)
    for number in range(3):
        first = ends[8 * (number + 1)]
        if first < ends[-1]:
            words = text.tail_words(first, number)
            _mix(words, words, spare[:1, first:])
            _absorb(state[:, first:], words, spare[:, first:])
    if any(sizes[rest::8].any() for rest in range(1, 8)):
        _rests(state, text.tail_rests()[0], spare, ends)


def _rests(state: Words, rests: Words, spare: Words, ends: list[int]) -> None:
    """Take in what is left after whole words: four bytes at once, then single ones."""
    halves = (rests & _LOW_32) * _P1
    for tail in range(4, 32, 8):
        part = slice(ends[tail], ends[tail + 4])
        if part.stop > part.start:
            _absorb_bits(state[:, part], halves[part], spare[:, part], 23)
            state[:, part] *= _P2
            state[:, part] += _P3
            rests[part] >>= _BITS[32]
    for number in range(3):
        singles = (rests & _LOW_8) * _P5
        rests >>= _BITS[8]
        for tail in range(0, 32, 4):
            part = slice(ends[tail + number + 1], ends[tail + 4])
            if part.stop > part.start:
                _absorb_bits(state[:, part], singles[part], spare[:, part], 11)
                state[:, part] *= _P1


def _step(state: Words, words: Words, mixed: Words, spare: Words) -> None:
    """Hash the eight bytes of each word, each with its state as the seed, in place."""
    if words.ndim == 1:
        mixed = mixed[0]
        _mix(words, mixed, spare[0])
    else:
        _mix(words, mixed, spare)
    np.add(state, _P5_AND_8, state)
    _absorb(state, mixed, spare)
    _avalanche(state, spare)


def _mix(words: Words, out: Words, spare: Words) -> None:
    np.multiply(words, _P2, out)
    _rotate(out, spare, 31)
    np.multiply(out, _P1, out)


def _absorb(state: Words, mixed: Words, spare: Words) -> None:
    _absorb_bits(state, mixed, spare, 27)
    np.multiply(state, _P1, state)
    np.add(state, _P4, state)


def _absorb_bits(state: Words, mixed: Words, spare: Words, bits: int) -> None:
    np.bitwise_xor(state, mixed, state)
    _rotate(state, spare, bits)


def _rotate(state: Words, spare: Words, bits: int) -> None:
    np.left_shift(state, _BITS[bits], spare)
    np.right_shift(state, _BITS[64 - bits], state)
    np.bitwise_or(state, spare, state)


def _avalanche(state: Words, spare: Words) -> None:
    np.right_shift(state, _BITS[33], spare)
    np.bitwise_xor(state, spare, state)
    np.multiply(state, _P2, state)
    np.right_shift(state, _BITS[29], spare)
    np.bitwise_xor(state, spare, state)
    np.multiply(state, _P3, state)
    np.right_shift(state, _BITS[32], spare)
    np.bitwise_xor(state, spare, state)
