"""What a session's Spark can do, found out by trying, once per session."""

from __future__ import annotations

import dataclasses
import enum
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DELTA, PARQUET = "delta", "parquet"


class Move(enum.Enum):
    """How a table gets a name that nobody else may have."""

    RENAME = "by its full name"  # Unity Catalog, where a short name would be looked up elsewhere
    RENAME_IN_PLACE = "by its short name"  # Spark's own catalogs, which take no other
    COPY = "by a copy"  # which refuses a name that is taken


@dataclasses.dataclass
class Dialect:
    """What is left to try; the first of each is in use. Several threads may find out the same at once.

    Attributes:
        formats: Formats of new tables.
        moves: Ways to give a table its name.
    """

    formats: tuple[str, ...] = (DELTA, PARQUET)
    moves: tuple[Move, ...] = tuple(Move)

    def without_format(self, tried: str) -> bool:
        """Give up a format; whether there is another."""
        self.formats = tuple(name for name in self.formats if name != tried) or self.formats
        return tried not in self.formats

    def without_move(self, tried: Move) -> bool:
        """Give up a way; whether there is another."""
        self.moves = tuple(move for move in self.moves if move is not tried) or self.moves
        return tried not in self.moves


_KNOWN: weakref.WeakKeyDictionary[SparkSession, Dialect] = weakref.WeakKeyDictionary()


def dialect_of(session: SparkSession) -> Dialect | None:
    """What is known of a session; None if it is new."""
    return _KNOWN.get(session)


def remember(session: SparkSession) -> Dialect:
    """Begin to know a session."""
    return _KNOWN.setdefault(session, Dialect())
