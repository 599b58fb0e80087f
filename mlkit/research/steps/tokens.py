"""Digests of sequences of tokens: each has its length before it, so that no two sequences look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable


class Tokens:
    """A digest of 16 bytes that grows by one token at a time; against accident, not against an enemy."""

    def __init__(self) -> None:
        """No tokens yet."""
        self._state = xxhash.xxh3_128()

    def text(self, token: str) -> None:
        """Add a text; surrogates are allowed."""
        self.raw(token.encode("utf-8", "surrogatepass"))

    def raw(self, token: Any) -> None:  # noqa: ANN401 - whatever has a buffer
        """Add the bytes of a contiguous buffer."""
        view = memoryview(token)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # an empty one cannot be cast
        self._state.update(view.nbytes.to_bytes(8, "little"))
        self._state.update(view)

    def digest(self) -> bytes:
        """The 16 bytes."""
        return self._state.digest()


class Keys(Protocol):
    """What makes keys of the parts of a value; see `values.Values`."""

    refer: Callable[[object], str]

    def digest(self, value: object) -> bytes:
        """Key of a value."""
        ...

    def add(self, out: Tokens, value: object) -> None:
        """Add one value to a sequence."""
        ...

    def add_all(self, out: Tokens, values: Any) -> None:  # noqa: ANN401 - whatever can be iterated
        """Add several values."""
        ...


class NotKeyedError(TypeError):
    """A value without content to key; the message says what it is, for a sentence."""
