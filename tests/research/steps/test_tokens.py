"""Sequences of tokens: no two of them look alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.research.steps.tokens import Tokens


def digest_of(*texts):
    """The digest of some texts."""
    out = Tokens()
    for text in texts:
        out.text(text)
    return out.digest()


ANY_TEXT = st.lists(st.text(st.sampled_from("ab\x00\ud800é"), max_size=3), max_size=4)


@given(ANY_TEXT, ANY_TEXT)
def test_equal_digests_are_equal_sequences(first, second) -> None:
    """Where a text ends counts, and so do empty ones."""
    assert (digest_of(*first) == digest_of(*second)) == (first == second)


@pytest.mark.parametrize(
    ("first", "second"), [(("ab", "c"), ("a", "bc")), (("a",), ("a", "")), ((), ("",)), (("a",), ("a\x00",))]
)
def test_boundaries_count(first, second) -> None:
    """The pairs that a plain concatenation would take for one."""
    assert digest_of(*first) != digest_of(*second)


def test_a_buffer_is_its_bytes() -> None:
    """Arrays of any type and shape, as long as they are in one piece; empty ones too."""
    array = np.arange(6, dtype="int32").reshape(2, 3)
    plain, typed = Tokens(), Tokens()
    plain.raw(array.tobytes())
    plain.raw(b"")
    typed.raw(array)
    typed.raw(np.zeros((0, 3)))
    assert plain.digest() == typed.digest()
    with pytest.raises((TypeError, ValueError, BufferError)):
        typed.raw(array[:, ::2])


def test_a_digest_may_be_read_while_it_grows() -> None:
    """Reading it twice gives the same 16 bytes; another token gives others."""
    out = Tokens()
    out.text("a")
    first = out.digest()
    assert (out.digest(), len(first)) == (first, 16)
    out.text("b")
    assert out.digest() == digest_of("a", "b") != first
