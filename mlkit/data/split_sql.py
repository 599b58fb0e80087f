"""The split of `mlkit.data.split` as SQL, for rows that stay in Spark: every row gets the part it gets there.

A row's part (and its fold) is the number of thresholds that a number of the row exceeds. By hash the number
is its code and the thresholds are constants. By time and stratified the thresholds are exact ranks, found
by counting where the rows are (`mlkit.data.ranks_sql`); rows are never sorted or numbered.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlkit.data.order_sql import has_order, ordinal
from mlkit.data.ranks_sql import GROUP, NUMBER, group_sizes, smallest
from mlkit.data.spark_types import arrow_schema
from mlkit.data.split import (
    PARTS,
    Split,
    absent,
    check_classes,
    check_count,
    check_folds,
    cuts,
    fold_seed,
    missing_labels,
    missing_times,
    no_classes,
    no_times,
)
from mlkit.digest.spark_frame import fields_of, translated
from mlkit.digest.sql import lane, quoted, split_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlkit.engines.base import Frame

    Bounds = Callable[[int], Sequence[int]]

_CODES = 1 << 32


@dataclasses.dataclass(frozen=True)
class FrameFolds:
    """Folds of the rows a study may see, as `mlkit.data.split.Folds` has them.

    Attributes:
        expression: SQL of the fold in which a row is held out, from 0.
        count: Number of folds.
        forward: True if a fold may only learn from earlier ones (split by time).
    """

    expression: str
    count: int
    forward: bool = False

    def pairs(self) -> Iterator[tuple[str, str]]:
        """SQL conditions of the rows to fit on and to score on, fold by fold."""
        for fold in range(1 if self.forward else 0, self.count):
            yield (
                f"({self.expression}) {'<' if self.forward else '<>'} {fold}",
                f"({self.expression}) = {fold}",
            )


def part_sql(frame: Frame, split: Split, *, key: Sequence[str] = (), target: str = "") -> str:
    """SQL of the part of a row: `TEST`, `VALIDATION` or `TRAIN` as `assign_parts` gives it.

    That some part stays empty is for those to say who count the rows of each (`cut_frame` does).

    Args:
        frame: Prepared rows in Spark; evaluated where the rule cuts at a rank.
        split: The rule.
        key: Key columns of the project, hashed unless `split.by` names others.
        target: Label column, for a stratified split.

    Raises:
        DataError: A column of the rule is missing (DAT045) or holds no instants or numbers (DAT046), or a
            time or label is missing (DAT056, DAT041).
        ConfigError: A stratified split of real numbers, or of a class too rare for every part (CFG012).
        StoreError: Spark failed.
    """

    def bounds(rows: int) -> Sequence[int]:
        return cuts(split.shares, end=rows)[:-1]

    if split.time is not None:
        # With the order turned round: the latest rows are the test rows.
        return _by_rank(frame, f"(-1L - {_ordinal(frame, split.time)})", bounds)
    if not split.stratify:
        code = _code(frame, split.by or key, seed=split.seed)
        return _steps(code, [bound - 1 for bound in bounds(_CODES)])
    part = _by_class(frame, _code(frame, key, seed=split.seed), target, bounds)
    _check_classes(frame, part, target, split)
    return part


def frame_folds(
    frame: Frame, count: int, *, split: Split, key: Sequence[str] = (), target: str = "", seed: int = 0
) -> FrameFolds:
    """Folds of the rows that a study may see, each row in the fold that `assign_folds` gives it.

    Args:
        frame: The rows in Spark, without test rows; they are evaluated.
        count: Number of folds to score on. By time there is one more, the earliest, only to learn from.
        split: The rule of the split.
        key: Key columns of the project.
        target: Label column, for stratified folds.
        seed: Seed of the study.

    Raises:
        DataError: A fold stays empty (DAT003), or as for `part_sql`.
        UsageError: Fewer than 2 folds, or more than `MAX_FOLDS` (CLI021).
    """
    check_count(count)
    found = FrameFolds(*_folds(frame, count, split, key, target, seed), forward=split.time is not None)
    counts = [f"count_if(mlkit_fold = {fold})" for fold in range(found.count)]
    with translated("count the rows of each fold"):
        (rows,) = frame.selectExpr(f"{found.expression} AS mlkit_fold").selectExpr(*counts).collect()
    check_folds([int(number) for number in rows])
    return found


def _folds(
    frame: Frame, count: int, split: Split, key: Sequence[str], target: str, seed: int
) -> tuple[str, int]:
    """SQL of the fold, and how many there are."""
    if split.time is not None:
        return _by_rank(frame, _ordinal(frame, split.time), _even(count + 1)), count + 1
    code = _code(frame, split.by or key, seed=fold_seed(seed))
    if split.stratify:
        return _by_class(frame, code, target, _even(count)), count
    return f"CAST(shiftright({code} * {count}L, 32) AS INT)", count


def _even(count: int) -> Bounds:
    """First rank of each but the first of `count` equal stretches of some rows."""
    return lambda rows: [-(-fold * rows // count) for fold in range(1, count)]


def _code(frame: Frame, columns: Sequence[str], *, seed: int) -> str:
    """SQL of the split code, of these columns or of the whole row."""
    names = [str(field["name"]) for field in fields_of(frame)]
    if missing := [name for name in columns if name not in names]:
        raise absent(missing[0], names)
    return split_code(lane(0, fields_of(frame, list(columns) or None)), seed)


def _by_rank(frame: Frame, number: str, bounds: Bounds) -> str:
    """SQL of how many bounds the rank of a row reaches: the number of rows with a smaller number."""
    rows = frame.selectExpr(f"0L AS {GROUP}", f"{number} AS {NUMBER}")
    return _steps(number, _thresholds(rows, bounds).get(0, []))


def _by_class(frame: Frame, number: str, target: str, bounds: Bounds) -> str:
    """The same with ranks inside each class."""
    label = _label(frame, target)
    rows = frame.selectExpr(f"{label} AS {GROUP}", f"{number} AS {NUMBER}")
    cases = [
        f"WHEN CAST('{group}' AS BIGINT) THEN {_steps(number, found)}"
        for group, found in sorted(_thresholds(rows, bounds).items())
    ]
    return f"CASE {label} {' '.join(cases)} END" if cases else "0"


def _thresholds(rows: Frame, bounds: Bounds) -> dict[int, list[int | None]]:
    """By group, the number that a row must exceed to reach each bound; None where every row does."""
    reached = {group: list(bounds(size)) for group, size in group_sizes(rows).items()}
    found = smallest(rows, {group: [rank for rank in ranks if rank] for group, ranks in reached.items()})
    return {
        group: [None] * (len(ranks) - len(found[group])) + found[group] for group, ranks in reached.items()
    }


def _steps(number: str, thresholds: Sequence[int | None]) -> str:
    """SQL of how many of these ascending thresholds a number exceeds; it exceeds any that is None."""
    cases = [
        f"WHEN {number} > CAST('{threshold}' AS BIGINT) THEN {place}"
        for place, threshold in reversed(list(enumerate(thresholds, start=1)))
        if threshold is not None
    ]
    least = sum(threshold is None for threshold in thresholds)
    return f"CASE {' '.join(cases)} ELSE {least} END" if cases else str(least)


def _label(frame: Frame, target: str) -> str:
    """SQL of a number that tells classes apart.

    Raises:
        ConfigError: The target holds real numbers.
        DataError: A label is missing.
    """
    fields = fields_of(frame, [target])
    if pa.types.is_floating(arrow_schema(frame).field(target).type):
        raise no_classes()
    with translated("look at the labels"):
        ((missing,),) = frame.selectExpr(f"count_if({quoted(target)} IS NULL)").collect()
    if missing:
        raise missing_labels(int(missing), target)
    return lane(0, fields)


def _check_classes(frame: Frame, part: str, target: str, split: Split) -> None:
    fields = fields_of(frame, [target])
    marked = frame.selectExpr(f"{lane(0, fields)} AS {GROUP}", f"{part} AS {NUMBER}")
    found: dict[int, list[int]] = {}
    with translated("count the rows of each class"):
        for group, number, count in marked.groupBy(GROUP, NUMBER).count().collect():
            found.setdefault(int(group), [0] * len(PARTS))[int(number)] = int(count)
    check_classes(np.array(list(found.values()), np.int64).reshape(-1, len(PARTS)), split)


def _ordinal(frame: Frame, column: str) -> str:
    """SQL of a whole number in the order of the times, exact.

    Raises:
        DataError: The column is not there, holds no times, or misses one.
    """
    schema = arrow_schema(frame)
    if column not in schema.names:
        raise absent(column, schema.names)
    kind, value = schema.field(column).type, quoted(column)
    missing = f"{value} IS NULL" + (f" OR isnan({value})" if pa.types.is_floating(kind) else "")
    with translated("look at the times"):
        ((count,),) = frame.selectExpr(f"count_if({missing})").collect()
    if count:
        raise missing_times(int(count), column)
    if not has_order(kind):
        raise no_times(kind, column)
    return ordinal(value, kind)
