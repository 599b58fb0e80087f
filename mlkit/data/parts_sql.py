"""Prepared rows in Spark cut in two: those a model may learn from, and the sealed test rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlkit.data.split import PARTS, TEST, TRAIN, VALIDATION, Split, check_parts
from mlkit.data.split_sql import FrameFolds, frame_folds, part_sql
from mlkit.digest import sql
from mlkit.digest.spark_frame import fields_of, state_of, translated
from mlkit.digest.state import State
from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlkit.engines.base import Frame


@dataclasses.dataclass(frozen=True)
class FrameParts:
    """Rows by part, in Spark; `mlkit.data.parts.Parts` is the same for rows that are here.

    Attributes:
        train: Rows a model may learn from, validation rows included: a Spark dataframe.
        test: The sealed rows: a Spark dataframe.
        held_out: SQL condition of the validation rows among `train`.
        states: States of train and test.
        validation: Number of validation rows.
        names: Names of the columns.
    """

    train: Frame = dataclasses.field(repr=False)
    test: Frame = dataclasses.field(repr=False)
    held_out: str
    states: tuple[State, State]
    validation: int
    names: tuple[str, ...]

    @property
    def rows(self) -> tuple[int, int]:
        """Number of train and of test rows."""
        train, test = self.states
        return train.rows, test.rows

    @property
    def fingerprints(self) -> tuple[str, str]:
        """Fingerprints of train and test."""
        train, test = self.states
        return train.fingerprint(self.names), test.fingerprint(self.names)

    def __repr__(self) -> str:
        """Rows and shares."""
        train, test = self.rows
        counts = {"train": train - self.validation, "validation": self.validation, "test": test}
        shares = "  ".join(f"{name} {n:,} ({n / (train + test):.1%})" for name, n in counts.items() if n)
        return f"FrameParts  {shares}  (in Spark)"


def cut_frame(frame: Frame, split: Split, *, key: Sequence[str], target: str) -> FrameParts:
    """Cut rows in Spark by the rule; every row goes where `mlkit.data.parts.cut_rows` puts it.

    Args:
        frame: Prepared rows, in the types of their contract; they are evaluated and stay where they are.
        split: The rule.
        key: Key columns of the project.
        target: Label column.

    Raises:
        DataError: The frame gives other rows each time it is read (DAT050), a part stays empty (DAT003), or
            as for `part_sql`.
        ConfigError: As for `part_sql`.
        StoreError: Spark failed.
    """
    part = part_sql(frame, split, key=key, target=target)
    states = _states(frame, part)
    check_parts([states[number].rows for number in (TEST, VALIDATION, TRAIN)], split)
    train, test = states[TRAIN] + states[VALIDATION], states[TEST]
    if train + test != state_of(frame):
        message = "two readings of the prepared rows gave different rows"
        fix = "leave out of prepare what depends on the day or on chance, such as rand() and now()"
        raise DataError("DAT050", message, path="prepare", fix=fix)
    return FrameParts(
        train=frame.where(f"({part}) <> {TEST}"),
        test=frame.where(f"({part}) = {TEST}"),
        held_out=f"({part}) = {VALIDATION}" if split.validation else "FALSE",
        states=(train, test),
        validation=states[VALIDATION].rows,
        names=tuple(str(field["name"]) for field in fields_of(frame)),
    )


def study_frame_folds(
    parts: FrameParts, count: int, *, split: Split, key: Sequence[str], target: str, seed: int
) -> FrameFolds:
    """Folds of the train rows; with validation rows, the one fold that scores on them.

    Args:
        parts: What `cut_frame` gave.
        count: Number of folds; of no use where there are validation rows.
        split: The rule.
        key: Key columns of the project.
        target: Label column.
        seed: Seed of the study.

    Raises:
        DataError: As for `mlkit.data.split_sql.frame_folds`.
    """
    if split.validation:
        return FrameFolds(f"CAST({parts.held_out} AS INT)", count=2, forward=True)
    return frame_folds(parts.train, count, split=split, key=key, target=target, seed=seed)


def _states(frame: Frame, part: str) -> list[State]:
    """State of each part, by one aggregation."""
    fields = fields_of(frame)
    lanes = [f"{sql.lane(index, fields)} AS l{index}" for index in (0, 1)]
    marked = [
        f"CASE WHEN mlkit_part = {number} THEN l{index} END AS p{number}_{index}"
        for number in range(len(PARTS))
        for index in (0, 1)
    ]
    sums = []
    for number in range(len(PARTS)):
        names = [f"p{number}_{index}" for index in (0, 1)]
        sums += [f"count({names[0]})", *sql.state(names)[1:]]
    with translated("digest the parts of a frame"):
        rows = frame.selectExpr(*lanes, f"{part} AS mlkit_part").selectExpr(*marked)
        (found,) = rows.selectExpr(*sums).collect()
    numbers = [int(number or 0) for number in found]
    size = len(numbers) // len(PARTS)
    return [_state(numbers[size * number : size * (number + 1)]) for number in range(len(PARTS))]


def _state(numbers: Sequence[int]) -> State:
    rows, a, b, c, d = numbers
    return State(rows, (a, b, c, d))
