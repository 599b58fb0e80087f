"""Which part a row belongs to: decided by the row itself and a seed, never by its position.

A row goes to test, validation or train by the hash of its key (or group, or of the whole row), so an
old row never changes side when rows arrive, duplicates never straddle, and every engine agrees. Two
other rules exist where the hash does not fit: by time, the latest rows are the test rows; stratified,
the hash ranks the rows inside each class. The specification is ``digest.md`` section 6.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from mlkit.digest.fingerprint import lanes, split_codes
from mlkit.errors import ConfigError, DataError
from mlkit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TEST, VALIDATION, TRAIN = 0, 1, 2
PARTS = ("test", "validation", "train")
_CODES = 1 << 32


class Split(Spec):
    """The rule that assigns each row to test, validation or train.

    Args:
        test: Share of test rows, inside (0, 1).
        validation: Share of validation rows; studies then score on them instead of by folds.
        seed: Any 64-bit integer; another seed is another split.
        by: Column or columns whose equal values stay together; by default the key.
        time: Column by which the latest rows become the test rows.
        stratify: Keep the share of each class equal in every part (classification only).
    """

    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    by: tuple[str, ...] = ()
    time: str | None = None
    stratify: bool = False

    @field_validator("by", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Split:
        if Fraction(str(self.test)) + Fraction(str(self.validation)) >= 1:
            raise ConfigError("CFG012", "test and validation leave no rows to train on", path="test")
        rules = [name for name in ("by", "time", "stratify") if getattr(self, name)]
        if len(rules) > 1:
            message = f"{' and '.join(rules)} cannot be combined"
            raise ConfigError("CFG012", message, path=rules[1], fix=f"keep one of {', '.join(rules)}")
        return self

    def dump(self) -> dict[str, Any]:
        """Plain values; the share and the seed are always written, for a reviewer to see."""
        return {"test": self.test, "seed": self.seed, **super().dump()}


@dataclasses.dataclass(frozen=True)
class Folds:
    """Folds of the rows a study may see.

    Attributes:
        ids: (n,) uint8, the fold in which each row is held out.
        count: Number of folds.
        forward: True if a fold may only learn from earlier ones (split by time).
    """

    ids: NDArray[np.uint8]
    count: int
    forward: bool = False

    def pairs(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Row positions to fit on and to score on, fold by fold."""
        for fold in range(1 if self.forward else 0, self.count):
            fit = self.ids < fold if self.forward else self.ids != fold
            yield np.flatnonzero(fit), np.flatnonzero(self.ids == fold)


def assign_parts(table: pa.Table, split: Split, *, key: Sequence[str] = (), target: str = "") -> NDArray[np.uint8]:
    """Part of each row.

    Args:
        table: Prepared rows.
        split: The rule.
        key: Key columns of the project, hashed unless `split.by` names others.
        target: Label column, for a stratified split.

    Returns:
        (n,) uint8 of `TEST`, `VALIDATION` and `TRAIN`.

    Raises:
        DataError: A part that was asked for stays empty, or the time column is missing or has nulls.
    """
    shares = [split.test, split.validation]
    if split.time is not None:
        parts = _by_rank(_latest_first(table, split.time), shares)
    else:
        codes = row_codes(table, split.by or key, seed=split.seed)
        parts = _by_rank_in_class(codes, _classes(table, target), shares) if split.stratify else _by_code(codes, shares)
    _check_none_empty(parts, split)
    return parts


def assign_folds(
    table: pa.Table, count: int, *, split: Split, key: Sequence[str] = (), target: str = "", seed: int = 0
) -> Folds:
    """Fold of each row that a study may see, by the same rule as the split.

    The seed is hashed once more, so that folds are independent of the split even if both seeds are 0.

    Raises:
        DataError: A fold stays empty.
    """
    if split.time is not None:
        rank = _dense_position(-_latest_first(table, split.time))
        ids = (rank * (count + 1) // table.num_rows).astype(np.uint8)
        return _checked_folds(Folds(ids, count + 1, forward=True))
    codes = row_codes(table, split.by or key, seed=fold_seed(seed))
    if split.stratify:
        ids = _ranked_folds(codes, _classes(table, target), count)
    else:
        ids = (codes.astype(np.uint64) * np.uint64(count) >> np.uint64(32)).astype(np.uint8)
    return _checked_folds(Folds(ids, count))


def row_codes(table: pa.Table, columns: Sequence[str], *, seed: int) -> NDArray[np.uint32]:
    """Split code of each row, in [0, 2**32): the hash of lane 0 of these columns (or of the whole row)."""
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError("DAT045", "the split needs this column and it is not there", path=missing[0])
    return split_codes(lanes(table, columns=list(columns) or None)[0], seed)


def fold_seed(seed: int) -> int:
    """The seed of folds, hashed from a study's seed: in Spark, ``shiftrightunsigned(xxhash64(seed, 1L), 32)``."""
    return int(split_codes(np.array([1], dtype=np.int64), seed)[0])


def cuts(shares: Sequence[float]) -> list[int]:
    """Upper ends of the parts on the scale of split codes, exact (`digest.md` section 6)."""
    total, ends = Fraction(0), []
    for share in shares:
        total += Fraction(str(share))
        ends.append(int(_CODES * total + Fraction(1, 2)))
    return [*ends, _CODES]


def _by_code(codes: NDArray[np.uint32], shares: Sequence[float]) -> NDArray[np.uint8]:
    ends = np.array(cuts(shares), dtype=np.uint64)
    return np.searchsorted(ends, codes.astype(np.uint64), side="right").astype(np.uint8)


def _by_rank(order: NDArray[Any], shares: Sequence[float]) -> NDArray[np.uint8]:
    """Parts by position in ascending `order`; rows that tie go together, to the first part."""
    position, total, ends = _dense_position(order), Fraction(0), []
    for share in shares:
        total += Fraction(str(share))
        ends.append(int(len(order) * total + Fraction(1, 2)))
    return np.searchsorted(np.array(ends), position, side="right").astype(np.uint8)


def _by_rank_in_class(
    codes: NDArray[np.uint32], classes: NDArray[np.int32], shares: Sequence[float]
) -> NDArray[np.uint8]:
    parts = np.empty(len(codes), dtype=np.uint8)
    for members in _members(classes):
        parts[members] = _by_rank(codes[members], shares)
    return parts


def _ranked_folds(codes: NDArray[np.uint32], classes: NDArray[np.int32], count: int) -> NDArray[np.uint8]:
    ids = np.empty(len(codes), dtype=np.uint8)
    for members in _members(classes):
        ids[members] = _dense_position(codes[members]) * count // len(members)
    return ids


def _members(classes: NDArray[np.int32]) -> Iterator[NDArray[np.intp]]:
    for value in range(int(classes.max(initial=-1)) + 1):
        yield np.flatnonzero(classes == value)


def _dense_position(order: NDArray[Any]) -> NDArray[np.int64]:
    """Number of rows that stand strictly before each row (rows that tie share the position)."""
    return np.searchsorted(np.sort(order), order, side="left").astype(np.int64)


def _latest_first(table: pa.Table, column: str) -> NDArray[Any]:
    """Sort key of the time column, latest first, exact for integers and instants."""
    if column not in table.column_names:
        raise DataError("DAT045", "the split needs this time column and it is not there", path=column)
    values = table.column(column)
    if values.null_count:
        raise DataError("DAT049", f"{values.null_count:,} times are missing; a split by time needs all", path=column)
    if pa.types.is_temporal(values.type):
        values = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        message = f"a time column holds instants, dates or numbers; found {values.type}"
        raise DataError("DAT046", message, path=column, fix="convert it in prepare")
    return -values.to_numpy()


def _classes(table: pa.Table, target: str) -> NDArray[np.int32]:
    """Class of each row as a small integer; the order of the numbers never matters."""
    column = table.column(target)
    if pa.types.is_floating(column.type):
        message = "a stratified split needs classes; the target holds real numbers"
        raise ConfigError("CFG012", message, path="split.stratify", fix="leave stratify out for a regression")
    encoded = column.combine_chunks().dictionary_encode()
    merged = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    if merged.null_count:
        raise DataError("DAT041", f"{merged.null_count:,} labels are missing", path=target)
    return np.asarray(merged.indices, dtype=np.int32)


def _check_none_empty(parts: NDArray[np.uint8], split: Split) -> None:
    rows = np.bincount(parts, minlength=3)
    for part, wanted in ((TEST, True), (VALIDATION, split.validation > 0), (TRAIN, True)):
        if wanted and not rows[part]:
            message = f"the split leaves no {PARTS[part]} rows of {len(parts):,}"
            raise DataError("DAT003", message, path="split", fix="take more rows, or another share, key or seed")


def _checked_folds(folds: Folds) -> Folds:
    rows = np.bincount(folds.ids, minlength=folds.count)
    if not rows.all():
        message = f"{folds.count} folds of {len(folds.ids):,} rows leave one empty"
        raise DataError("DAT003", message, path="cv", fix="take fewer folds, or a key with more values")
    return folds
