"""Which part a row belongs to: decided by the row itself and a seed, never by its position.

A row goes to test, validation or train by the hash of its key (or group, or of the whole row), so an
old row never changes side when rows arrive, duplicates never straddle, and every engine agrees. Two
other rules exist where the hash does not fit: by time, the latest rows are the test rows; stratified,
the hash ranks the rows inside each class. Both cut at a rank, so rows near the cut may change side
when others arrive. The specification is ``digest.md`` section 6.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from mlkit.data.plain import plain_column
from mlkit.digest.fingerprint import lanes, split_codes
from mlkit.errors import ConfigError, DataError, UsageError
from mlkit.nearest import nearest
from mlkit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TEST, VALIDATION, TRAIN = 0, 1, 2
PARTS = ("test", "validation", "train")
MAX_FOLDS = 250
_CODES = 1 << 32


class Split(Spec):
    """The rule that assigns each row to test, validation or train.

    Attributes:
        test: Share of test rows, inside (0, 1).
        validation: Share of validation rows; studies then score on them instead of by folds.
        seed: Any 64-bit integer; another seed is another split.
        by: Column or columns whose equal values stay together, missing ones too; by default the key.
        time: Column by which the latest rows become the test rows; equal times stay together.
        stratify: Keep the share of each class equal in every part (classification only).

    Raises:
        ConfigError: Shares that leave nothing to learn from, or rules that exclude each other (CFG012).
    """

    test: float = 0.2
    validation: float = 0.0
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    by: tuple[str, ...] = ()
    time: str | None = None
    stratify: bool = False

    if TYPE_CHECKING:  # what is taken is wider than what is kept

        def __init__(
            self,
            *,
            test: float = 0.2,
            validation: float = 0.0,
            seed: int = 0,
            by: str | list[str] | tuple[str, ...] = (),
            time: str | None = None,
            stratify: bool = False,
        ) -> None:
            """`by` may be one name or a list."""

    @field_validator("by", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value, checked afterwards
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Split:
        if not 0 < self.test < 1:
            raise _wrong_share("test", "a share between 0 and 1", self.test)
        if not 0 <= self.validation < 1:
            raise _wrong_share("validation", "0, or a share below 1", self.validation)
        if Fraction(str(self.test)) + Fraction(str(self.validation)) >= 1:
            message = "test and validation leave no rows to train on"
            raise ConfigError("CFG012", message, path="test", fix="take smaller shares")
        rules = [name for name in ("by", "time", "stratify") if getattr(self, name)]
        if len(rules) > 1:
            message = f"{' and '.join(rules)} cannot be combined"
            raise ConfigError("CFG012", message, path=rules[1], fix=f"keep one of {', '.join(rules)}")
        return self

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of test and validation; train is the rest, so that it absorbs later changes."""
        return self.test, self.validation

    def dump(self) -> dict[str, Any]:
        """Plain values; the share and the seed are always written, for a reviewer to see."""
        return {"test": self.test, "seed": self.seed, **super().dump()}


@dataclasses.dataclass(frozen=True)
class Folds:
    """Folds of the rows a study may see.

    Attributes:
        ids: (n,) uint8, the fold in which each row is held out, from 0.
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


def assign_parts(
    table: pa.Table, split: Split, *, key: Sequence[str] = (), target: str = ""
) -> NDArray[np.uint8]:
    """Part of each row.

    Args:
        table: Prepared rows.
        split: The rule.
        key: Key columns of the project, hashed unless `split.by` names others.
        target: Label column, for a stratified split.

    Returns:
        (n,) uint8 of `TEST`, `VALIDATION` and `TRAIN`.

    Raises:
        DataError: A part that was asked for stays empty (DAT003), a column of the rule is missing (DAT045)
            or holds no instants or numbers (DAT046), or a time or label is missing (DAT056, DAT041).
        ConfigError: A stratified split of real numbers, or of a class too rare for every part (CFG012).
    """
    if split.time is not None:
        parts = _in_parts(_strictly_above(_times(table, split.time)), table.num_rows, split.shares)
    elif split.stratify:
        classes = _classes(table, target)
        codes = row_codes(table, key, seed=split.seed)
        parts = np.empty(table.num_rows, dtype=np.uint8)
        for rows in _members(classes):
            parts[rows] = _in_parts(_strictly_below(codes[rows]), len(rows), split.shares)
        cells = np.bincount(
            classes * len(PARTS) + parts, minlength=len(PARTS) * (int(classes.max(initial=-1)) + 1)
        )
        check_classes(cells.reshape(-1, len(PARTS)), split)
    else:
        parts = _in_parts(row_codes(table, split.by or key, seed=split.seed), _CODES, split.shares)
    check_parts(np.bincount(parts, minlength=len(PARTS)).tolist(), split)
    return parts


def assign_folds(
    table: pa.Table, count: int, *, split: Split, key: Sequence[str] = (), target: str = "", seed: int = 0
) -> Folds:
    """Fold of each row that a study may see, by the same rule as the split.

    The seed is hashed once more, so that folds are independent of the split even if both seeds are 0.

    Args:
        table: The rows, without test rows.
        count: Number of folds to score on. By time there is one more, the earliest, only to learn from.
        split: The rule of the split.
        key: Key columns of the project.
        target: Label column, for stratified folds.
        seed: Seed of the study.

    Raises:
        DataError: A fold stays empty (DAT003), or as for `assign_parts`.
        UsageError: Fewer than 2 folds, or more than `MAX_FOLDS` (CLI021).
    """
    check_count(count)
    if split.time is not None:
        earlier = _strictly_below(_times(table, split.time))
        return _checked_folds(Folds(_evenly(earlier, table.num_rows, count + 1), count + 1, forward=True))
    codes = row_codes(table, split.by or key, seed=fold_seed(seed))
    ids = _evenly(codes, _CODES, count)
    if split.stratify:
        for rows in _members(_classes(table, target)):
            ids[rows] = _evenly(_strictly_below(codes[rows]), len(rows), count)
    return _checked_folds(Folds(ids, count))


def row_codes(table: pa.Table, columns: Sequence[str], *, seed: int) -> NDArray[np.uint32]:
    """Split code of each row: the hash of lane 0 of these columns (of the whole row if there are none).

    Returns:
        (n,) uint32.

    Raises:
        DataError: A column is not there (DAT045).
    """
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise absent(missing[0], table.column_names)
    return split_codes(lanes(table, columns=list(columns) or None)[0], seed)


def fold_seed(seed: int) -> int:
    """The seed of folds, from a study's seed: in Spark ``shiftrightunsigned(xxhash64(seed, 1L), 32)``."""
    return int(split_codes(np.array([1], dtype=np.int64), seed)[0])


def cuts(shares: Sequence[float], *, end: int = _CODES) -> list[int]:
    """Upper ends of the parts on the scale [0, end), exact; by default that of split codes."""
    total, ends = Fraction(0), []
    for share in shares:
        total += Fraction(str(share))
        ends.append(int(end * total + Fraction(1, 2)))
    return [*ends, end]


def check_classes(rows: NDArray[np.int64], split: Split) -> None:
    """Refuse a stratified split that leaves some part without some class.

    Args:
        rows: (classes, 3) number of rows of each class in each part.
        split: The rule.

    Raises:
        ConfigError: CFG012.
    """
    wanted = [TEST, TRAIN, VALIDATION] if split.validation else [TEST, TRAIN]
    if rare := int((rows[:, wanted] == 0).any(axis=1).sum()):
        message = f"{rare} of {len(rows)} classes have too few rows to be in every part"
        fix = "merge rare classes in prepare, take another share, or leave stratify out"
        raise ConfigError("CFG012", message, path="split.stratify", fix=fix)


def check_parts(rows: Sequence[int], split: Split) -> None:
    """Refuse a split that leaves a part without rows.

    Args:
        rows: Number of rows of each part.
        split: The rule.

    Raises:
        DataError: DAT003.
    """
    for part, wanted in ((TEST, True), (VALIDATION, split.validation > 0), (TRAIN, True)):
        if wanted and not rows[part]:
            message = f"the split leaves no {PARTS[part]} rows of {sum(rows):,}"
            fix = "take more rows, or another share, key or seed"
            raise DataError("DAT003", message, path="split", fix=fix)


def check_folds(rows: Sequence[int]) -> None:
    """Refuse folds of which one is empty, given the number of rows of each.

    Raises:
        DataError: DAT003.
    """
    if not all(rows):
        message = f"{len(rows)} folds of {sum(rows):,} rows leave one empty"
        raise DataError("DAT003", message, path="cv", fix="take fewer folds, or a key with more values")


def check_count(count: int) -> None:
    """Refuse a number of folds that no study has.

    Raises:
        UsageError: CLI021.
    """
    if not 2 <= count <= MAX_FOLDS:  # noqa: PLR2004 - a fold to learn from and one to score on
        raise UsageError("CLI021", f"expected 2 to {MAX_FOLDS} folds, found {count}", path="cv")


def absent(column: str, known: Sequence[str]) -> DataError:
    """The error for a column that a split needs and that is not among those known."""
    message = "the split needs this column and it is not there"
    return DataError("DAT045", message, path=column, fix=nearest(column, known))


def missing_times(count: int, column: str) -> DataError:
    """The error for rows without a time in a split by time."""
    message = f"{count:,} times are missing; a split by time needs all"
    return DataError("DAT056", message, path=column, fix="fill them in, or drop these rows in prepare")


def no_times(kind: pa.DataType, column: str) -> DataError:
    """The error for a time column of a type that has no order in time."""
    message = f"a time column holds instants, dates, integers or floats; found {kind}"
    return DataError("DAT046", message, path=column, fix="convert it in prepare")


def no_classes() -> ConfigError:
    """The error for a stratified split of real numbers."""
    message = "a stratified split needs classes; the target holds real numbers"
    fix = "make the label an integer or text in prepare; for a regression leave stratify out"
    return ConfigError("CFG012", message, path="split.stratify", fix=fix)


def missing_labels(count: int, target: str) -> DataError:
    """The error for rows without a label in a stratified split."""
    return DataError("DAT041", f"{count:,} labels are missing", path=target, fix="drop these rows in prepare")


def _wrong_share(field: str, expected: str, found: float) -> ConfigError:
    return ConfigError("CFG012", f"expected {expected}, found {found:g}", path=field, fix="e.g. 0.2")


def _in_parts(numbers: NDArray[Any], end: int, shares: Sequence[float]) -> NDArray[np.uint8]:
    """The part whose stretch of [0, end) each number lies in; equal numbers go together."""
    ends = np.array(cuts(shares, end=end), dtype=np.int64)
    return np.searchsorted(ends, numbers.astype(np.int64), side="right").astype(np.uint8)


def _evenly(numbers: NDArray[Any], end: int, count: int) -> NDArray[np.uint8]:
    """Which of `count` equal stretches of [0, end) each number lies in."""
    return (numbers.astype(np.uint64) * np.uint64(count) // np.uint64(max(end, 1))).astype(np.uint8)


def _members(classes: NDArray[np.int32]) -> Iterator[NDArray[np.intp]]:
    """Positions of the rows of each class."""
    order = np.argsort(classes, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(classes))[:-1])


def _strictly_below(values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of rows with a smaller value, for each row."""
    return np.searchsorted(np.sort(values), values, side="left").astype(np.int64)


def _strictly_above(values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of rows with a greater value, for each row."""
    return len(values) - np.searchsorted(np.sort(values), values, side="right").astype(np.int64)


def _times(table: pa.Table, column: str) -> NDArray[Any]:
    """The time column as numbers in the same order, exact."""
    if column not in table.column_names:
        raise absent(column, table.column_names)
    values = table.column(column)
    kind = values.type
    if missing := pc.sum(pc.is_null(values, nan_is_null=True)).as_py():
        raise missing_times(missing, column)
    if pa.types.is_timestamp(kind) or pa.types.is_date64(kind):
        values = values.cast(pa.int64())
    elif pa.types.is_date32(kind):
        values = values.cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise no_times(kind, column)
    return np.asarray(values.to_numpy())


def _classes(table: pa.Table, target: str) -> NDArray[np.int32]:
    """Class of each row as a small integer; the order of the numbers never matters."""
    labels = plain_column(table.column(target), target)
    if pa.types.is_floating(labels.type):
        raise no_classes()
    if labels.null_count:
        raise missing_labels(labels.null_count, target)
    return np.asarray(pc.index_in(labels, value_set=labels.unique()).to_numpy(), dtype=np.int32)


def _checked_folds(folds: Folds) -> Folds:
    check_folds(np.bincount(folds.ids, minlength=folds.count).tolist())
    return folds
