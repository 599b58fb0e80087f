"""Prepared rows cut in two: those a model may learn from, and the sealed test rows."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mlkit.data.split import TEST, VALIDATION, Folds, Split, assign_folds, assign_parts
from mlkit.digest.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Parts:
    """Rows by part, each in canonical order.

    Attributes:
        train: Rows a model may learn from, validation rows included.
        test: The sealed rows.
        held_out: (train rows,) bool, the validation rows among `train`.
    """

    train: pa.Table
    test: pa.Table
    held_out: NDArray[np.bool_]

    @cached_property
    def fingerprints(self) -> tuple[str, str]:
        """Fingerprints of train and test."""
        return fingerprint(self.train), fingerprint(self.test)

    def __repr__(self) -> str:
        """Rows and shares."""
        rows = self.train.num_rows + self.test.num_rows
        validation = int(self.held_out.sum())
        learned = self.train.num_rows - validation
        counts = {"train": learned, "validation": validation, "test": self.test.num_rows}
        shares = "  ".join(f"{name} {n:,} ({n / rows:.1%})" for name, n in counts.items() if n)
        return f"Parts  {shares}\n  next    project.study(search, snapshot, trials=20)"


def cut_rows(rows: pa.Table, split: Split, *, key: Sequence[str], target: str) -> Parts:
    """Cut rows by the rule.

    Args:
        rows: Prepared rows in canonical order, which both parts keep.
        split: The rule.
        key: Key columns of the project.
        target: Label column.

    Raises:
        DataError: As for `mlkit.data.split.assign_parts`.
        ConfigError: Likewise.
    """
    parts = assign_parts(rows, split, key=key, target=target)
    learn = parts != TEST
    return Parts(rows.filter(learn), rows.filter(~learn), parts[learn] == VALIDATION)


def study_folds(
    parts: Parts, count: int, *, split: Split, key: Sequence[str], target: str, seed: int
) -> Folds:
    """Folds of the train rows; with validation rows, the one fold that scores on them.

    Args:
        parts: What `cut_rows` gave.
        count: Number of folds; of no use where there are validation rows.
        split: The rule.
        key: Key columns of the project.
        target: Label column.
        seed: Seed of the study.

    Raises:
        DataError: As for `mlkit.data.split.assign_folds`.
    """
    if split.validation:
        return Folds(parts.held_out.astype(np.uint8), count=2, forward=True)
    return assign_folds(parts.train, count, split=split, key=key, target=target, seed=seed)
