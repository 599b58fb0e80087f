"""The kernel against the reference implementation of XXH64, at every size that takes another path."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.digest.xxh64 import SEEDS, Chain, bytes_hash, chain_ends
from tests.digest import oracle

WORDS = st.integers(0, 2**64 - 1)


def cut(data: bytes, lengths: list[int], gap: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`data` as strings of these lengths, one after another or with gaps between them."""
    sizes = np.array(lengths, np.int64)
    starts = np.cumsum(sizes + gap) - sizes
    return np.frombuffer(data, np.uint8), starts, sizes


def expected(data: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> list[list[int]]:
    """Each string hashed by the library."""
    strings = [data[start : start + size].tobytes() for start, size in zip(starts, sizes, strict=True)]
    return [[xxhash.xxh64_intdigest(string, seed) for string in strings] for seed in SEEDS.tolist()]


@pytest.mark.parametrize(
    ("longest", "count"), [(0, 600), (1, 600), (9, 600), (31, 2000), (200, 900), (1200, 700), (5, 40)]
)
@pytest.mark.parametrize("gap", [0, 3])
def test_strings_of_any_length(longest: int, count: int, gap: int) -> None:
    """Strings side by side, few or long ones in the library: one hash, wherever they start."""
    random = np.random.default_rng(longest)
    lengths = random.integers(0, longest + 1, count).tolist()
    strings = cut(random.bytes(sum(lengths) + gap * count), lengths, gap)
    assert bytes_hash(*strings).tolist() == expected(*strings)


def test_strings_larger_than_the_window() -> None:
    """Text of many megabytes is hashed in windows of bounded memory."""
    random = np.random.default_rng(0)
    lengths = [*[400] * 11_000, 6_000_000, *[17] * 600]
    strings = cut(random.bytes(sum(lengths)), lengths)
    assert bytes_hash(*strings).tolist() == expected(*strings)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=100), WORDS)
def test_oracle_is_xxh64(data: bytes, seed: int) -> None:
    """The oracle, too, is the published hash."""
    assert oracle.xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS, st.booleans()), min_size=1, max_size=8))
def test_chain_steps(rows: list[tuple[int, int, int, bool]]) -> None:
    """A word for all rows, a word for some, a word that differs by lane."""
    first, second, third = (np.array([row[place] for row in rows], np.uint64) for place in range(3))
    where = np.array([row[3] for row in rows])
    chain = Chain(len(rows))
    chain.step(first)
    chain.step(second, where)
    chain.step(np.stack([second, third]))
    for lane in (0, 1):
        words = [[a, *([b] if some else []), (b, c)[lane]] for a, b, c, some in rows]
        assert chain.state[lane].tolist() == [oracle.chain(row, int(SEEDS[lane])) for row in words]


def test_chain_does_not_change_its_words() -> None:
    """Words are often the very buffer of an Arrow column."""
    words = np.arange(10, dtype=np.uint64)
    words.flags.writeable = False
    chain = Chain(10)
    chain.step(words)
    chain.step(words, words > 3)
    assert words.tolist() == list(range(10))


def test_long_chains_end_alike() -> None:
    """Chains that are finished in the library go on from where the steps left them."""
    words = np.random.default_rng(1).integers(0, 2**63, (2, 30), dtype=np.uint64)
    starts, lengths = np.array([0, 5, 30]), np.array([5, 25, 0])
    state = Chain(3).state
    chain_ends(state, words, starts, lengths)
    for lane in (0, 1):
        pieces = [
            words[lane, start : start + size].tolist() for start, size in zip(starts, lengths, strict=True)
        ]
        assert state[lane].tolist() == [oracle.chain(piece, int(SEEDS[lane])) for piece in pieces]
