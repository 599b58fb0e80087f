"""Rows are put into groups of like values; what cannot be grouped is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mlkit.model.groups import grouped, variance_told


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([True, False, None], {"True", "False", "missing"}),
        (["a", None, "a"], {"a", "missing"}),
        (
            [1.0, 2.0, float("nan")],
            {"1 to 1.2", "1.2 to 1.4", "1.4 to 1.6", "1.6 to 1.8", "1.8 to 2", "missing"},
        ),
        ([3, 4, 3], {"3", "4", "missing"}),
        (pa.array(["x", "y"]).dictionary_encode(), {"x", "y", "missing"}),
    ],
)
def test_groups_of_a_column(values, labels) -> None:
    """Few values are groups, many numbers are bins, missing ones are told apart."""
    found, codes = grouped(pa.chunked_array([pa.array(values)]))
    assert set(found) == labels
    assert len(codes) == len(values)


def test_columns_without_groups() -> None:
    """Times, and numbers of which there is one."""
    times = pa.chunked_array([pa.array([0], pa.timestamp("us"))])
    assert grouped(times) is None
    assert grouped(pa.chunked_array([pa.array([1.5, 1.5])])) is None
    assert variance_told(np.array([0, 0, 0]), np.array([1.0, 2.0, 3.0])) == 0.0
