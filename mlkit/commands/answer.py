"""What a command gives: read by people as its `repr`, by programs as `to_dict()`."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol


class Printable(Protocol):
    """A result: read by people as its `repr`, by programs as `to_dict()`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """A result that is a text with some values."""

    text: str
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The values."""
        return self.values

    def __repr__(self) -> str:
        """The text."""
        return self.text
