"""The state of a dataset: five exact integers, its row count and the sums of the pieces of its row digests.

States of disjoint parts add up, and so do insertions and deletions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import numpy.typing as npt

VERSION = 1
"""Version of the rules; it is part of every fingerprint."""


@dataclasses.dataclass(frozen=True)
class State:
    """What a fingerprint is made of; adds and subtracts with the rows it stands for.

    Attributes:
        rows: How many rows.
        sums: Exact sums over the rows of the signed 32-bit pieces of their digests: low and high
            half of lane 0, low and high half of lane 1.
    """

    rows: int
    sums: tuple[int, int, int, int]

    @classmethod
    def zero(cls) -> Self:
        """The state of no rows."""
        return cls(0, (0, 0, 0, 0))

    @classmethod
    def of(cls, lanes: npt.NDArray[np.int64]) -> Self:
        """The state of some rows, given both lanes, shape (2, n) with n below 2**31."""
        high = (lanes >> 32).sum(axis=1)
        low = ((lanes << 32) >> 32).sum(axis=1)
        return cls(lanes.shape[1], (int(low[0]), int(high[0]), int(low[1]), int(high[1])))

    def __add__(self, other: State) -> State:
        """The state of both parts together."""
        return State(self.rows + other.rows, _each(self, other, 1))

    def __sub__(self, other: State) -> State:
        """The state of what is left when `other` is taken away."""
        return State(self.rows - other.rows, _each(self, other, -1))

    def fingerprint(self, names: Iterable[str]) -> str:
        """``d1:`` and 32 hex digits of these rows under columns of these names, in any order."""
        document = {
            "columns": sorted(names, key=str.encode),
            "rows": self.rows,
            "sums": list(self.sums),
            "v": VERSION,
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return f"d{VERSION}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {"rows": self.rows, "sums": list(self.sums)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The state that `to_dict` wrote."""
        lane0_low, lane0_high, lane1_low, lane1_high = (int(value) for value in values["sums"])
        return cls(int(values["rows"]), (lane0_low, lane0_high, lane1_low, lane1_high))


def _each(one: State, other: State, sign: int) -> tuple[int, int, int, int]:
    a, b, c, d = (mine + sign * theirs for mine, theirs in zip(one.sums, other.sums, strict=True))
    return a, b, c, d
