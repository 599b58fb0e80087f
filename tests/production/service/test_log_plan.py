"""Rows of the log: those that scoring a table writes, made faster."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.contract import Contract
from mlkit.model.predictions import Predictions
from mlkit.production.prediction_log import INSTANT, log_rows
from mlkit.production.service.log_plan import LogPlan
from mlkit.production.service.plan import Plan
from tests.production.service.standin import scorer

COLUMNS = {
    "flight": {"dtype": "int64"},
    "gate": {"dtype": "category", "categories": ["A", "B"]},
    "price": {"dtype": "decimal(9,2)", "nullable": True},
    "seats": {"dtype": "int64", "nullable": True},
    "is_late": {"dtype": "bool"},
    "miles": {"dtype": "float32"},
    "day": {"dtype": "date"},
    "label": {"dtype": "string"},
}
FEATURES = ("gate", "price", "seats", "is_late", "miles", "day")
VALUES = {
    "gate": ["A", "B", "A"],
    "price": [0.1, None, "12.30"],
    "seats": [2**62 + 1, None, 3],
    "is_late": [True, False, True],
    "miles": [0.1, 2, 3.5],
    "day": ["2024-01-31", "2024-02-01", "2024-02-29"],
}
TIMES = [1_700_000_000_000_001, 1_700_000_000_000_002]
REGRESSION = Predictions(np.array([1.5, np.nan, -0.0]))
CLASSES = Predictions(
    np.array([True, False, True]), np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]), (False, True)
)


def made(predictions, *, key=("flight",), task="regression", with_key=True):
    """Rows of two requests, of one and of two rows, by the plan and by `log_rows`."""
    contract = Contract.from_values({"columns": COLUMNS})
    changes = {"contract": contract, "features": FEATURES, "inputs": FEATURES, "key": key, "target": "label"}
    model = scorer(None, task=task, **changes)
    plan = Plan(contract, FEATURES, key)
    columns = plan.check({**VALUES, **({"flight": [7, 8, 9]} if with_key and key else {})})
    rows = LogPlan(model, plan).rows(
        columns, predictions, request_id=["a", "b"], event_time=TIMES, sizes=[1, 2], traffic="canary"
    )
    expected = log_rows(
        model,
        plan.table(columns),
        predictions.to_table(),
        request_id=pa.array(["a", "b", "b"]),
        event_time=pa.array([TIMES[0], TIMES[1], TIMES[1]]).cast(INSTANT),
        source="serve",
        batch="",
        traffic="canary",
    )
    return rows, expected


@pytest.mark.parametrize(("predictions", "task"), [(REGRESSION, "regression"), (CLASSES, "binary")])
@pytest.mark.parametrize("key", [("flight",), ()])
def test_rows_are_those_that_scoring_writes(predictions, task, key) -> None:
    """Column by column, types and order included; only when it was written differs."""
    rows, expected = made(predictions, task=task, key=key)
    assert rows.schema.equals(expected.schema)
    for name in set(rows.column_names) - {"logged_at", "prediction"}:
        assert rows[name].combine_chunks().equals(expected[name].combine_chunks()), name
    assert str(rows["prediction"].to_pylist()) == str(expected["prediction"].to_pylist())
    assert abs(rows["logged_at"][0].as_py() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_without_the_key_the_position_tells_rows_apart() -> None:
    """Two equal rows of one request stay two rows."""
    rows, _ = made(REGRESSION, with_key=False)
    assert rows["row_id"].to_pylist() == ["0" * 32, "0" * 32, "0" * 31 + "1"]
