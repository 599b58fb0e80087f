"""Rows cut in two: nothing lost, nothing twice, test rows never among the folds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.parts import cut_rows, study_folds
from mlkit.data.source import ordered
from mlkit.data.split import Split
from mlkit.digest.fingerprint import Accumulator, fingerprint

ROWS = ordered(pa.table({"id": range(500), "label": ["a", "b"] * 250, "x": np.linspace(0, 1, 500)}))
NAMES = {"key": ("id",), "target": "label"}


def state(table: pa.Table):
    """State of a table, which adds up over disjoint parts."""
    digest = Accumulator(table.schema)
    for batch in table.to_batches():
        digest.update(batch)
    return digest.state


@pytest.mark.parametrize("split", [Split(), Split(validation=0.3), Split(time="x"), Split(stratify=True)])
def test_train_and_test_add_up_to_all_rows(split) -> None:
    """The states of both parts sum to that of all rows, and both keep the canonical order."""
    parts = cut_rows(ROWS, split, **NAMES)
    assert state(parts.train) + state(parts.test) == state(ROWS)
    assert parts.fingerprints == (fingerprint(parts.train), fingerprint(parts.test))
    assert parts.train.equals(ordered(parts.train))
    assert parts.test.equals(ordered(parts.test))


def test_validation_rows_are_train_rows_that_are_held_out() -> None:
    """With validation rows a study scores on them once, learning from the other train rows."""
    parts = cut_rows(ROWS, Split(validation=0.3), **NAMES)
    pairs = list(study_folds(parts, 5, split=Split(validation=0.3), seed=0, **NAMES).pairs())
    assert len(pairs) == 1
    fit, held_out = pairs[0]
    assert parts.held_out.sum() == len(held_out) > 100
    assert parts.held_out[held_out].all()
    assert sorted([*fit, *held_out]) == list(range(parts.train.num_rows))


def test_folds_cover_the_train_rows_alone() -> None:
    """Without validation rows there are as many folds as asked for; their seed is the study's."""
    parts = cut_rows(ROWS, Split(), **NAMES)
    folds = study_folds(parts, 4, split=Split(), seed=1, **NAMES)
    assert len(list(folds.pairs())) == 4
    assert len(folds.ids) == parts.train.num_rows
    assert (folds.ids != study_folds(parts, 4, split=Split(), seed=2, **NAMES).ids).any()


def test_the_shares_are_shown() -> None:
    """A part that was not asked for is not mentioned."""
    text = repr(cut_rows(ROWS, Split(time="x"), **NAMES))
    assert "train 400 (80.0%)" in text
    assert "test 100 (20.0%)" in text
    assert "validation" not in text
    assert "validation 50 (10.0%)" in repr(cut_rows(ROWS, Split(time="x", validation=0.1), **NAMES))
