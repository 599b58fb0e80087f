"""What a model is asked before it may serve: the rows that were stored with it, alone and together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from mlkit.errors import IntegrityError
from mlkit.production.candidate import ANSWERS_FILE
from mlkit.production.service.answers import RefusedError
from mlkit.production.service.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from mlkit.production.scorer import Scorer

EXAMPLE = "serving_input_example.json"
BATCHES = (32, 256)
_TOLERANCE = 1e-6  # other machines add up in other orders


def example_rows(scorer: Scorer) -> pa.Table | None:
    """The rows that were stored with a model; None if it has none that can be read."""
    found = _json(scorer.folder / EXAMPLE)
    if not isinstance(found, dict) or "dataframe_split" not in found:
        return None
    plan = Plan(scorer.contract, scorer.features)
    try:
        split = found["dataframe_split"]
        columns = dict(zip(split["columns"], zip(*split["data"], strict=True), strict=True))
        return plan.table(plan.check(columns))
    except (RefusedError, KeyError, TypeError, ValueError):  # of no rows, or of another form
        return None


def rehearse(scorer: Scorer) -> bool:
    """Let a model answer its stored example; gives whether it answers each row the same in any batch.

    Passing is evidence for these rows, not a proof for all.

    Raises:
        StudyError: The model raised.
        IntegrityError: It answers otherwise than where it was made (INT042).
    """
    rows = example_rows(scorer)
    if rows is None or not rows.num_rows:
        return False
    together = scorer.predict(rows)
    _check_answers(together, _json(scorer.folder / ANSWERS_FILE))
    alone = pa.concat_tables([scorer.predict(rows.slice(place, 1)) for place in range(rows.num_rows)])
    if not _same_bits(alone, together):
        return False
    return all(_same_in_batch(scorer, rows, alone, size) for size in BATCHES)


def _same_in_batch(scorer: Scorer, rows: pa.Table, alone: pa.Table, size: int) -> bool:
    places = pa.array(np.arange(size) % rows.num_rows)
    return _same_bits(scorer.predict(rows.take(places)), alone.take(places))


def _same_bits(left: pa.Table, right: pa.Table) -> bool:
    return left.schema == right.schema and all(
        _bits(left.column(name)) == _bits(right.column(name)) for name in left.column_names
    )


def _bits(column: pa.ChunkedArray) -> bytes | list[object]:
    if pat.is_floating(column.type):
        bits: bytes = column.to_numpy().tobytes()
        return bits
    values: list[object] = column.to_pylist()
    return values


def _check_answers(answers: pa.Table, stored: object) -> None:
    if not isinstance(stored, dict):
        return
    for name, expected in stored.items():
        found = answers.column(name).to_pylist() if name in answers.column_names else []
        if len(found) != len(expected) or not all(map(_close, found, expected)):
            message = "the model answers its stored example otherwise than where it was made"
            fix = "compare the versions of its libraries here with those of its requirements.txt"
            raise IntegrityError("INT042", message, path=name, fix=fix)


def _close(found: object, expected: object) -> bool:
    if expected is None:  # what `_json` makes of an answer that was not finite
        return isinstance(found, float) and not np.isfinite(found)
    if isinstance(found, float) and isinstance(expected, int | float):
        return bool(np.isclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))
    return found == expected


def _json(path: Path) -> object:
    """The values of a file of JSON, NaN as None; None if it is not there or does not read."""
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError):
        return None
    return found
