"""Counts of workers, and the text that Prometheus reads."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.production.service.metrics import ROWS, SECONDS, Metrics, render

LINE = re.compile(r'mlkit_[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? -?[0-9.e+-]+')


def state(metrics=None, *, alive=True, batches=None, gauges=None):
    """What a worker says, as it comes over the board."""
    found = (metrics or Metrics()).state(batches=batches or {}, gauges=gauges or {})
    return json.loads(json.dumps({**found, "alive": alive}))


def lines(*states, **facts) -> list[str]:
    """Lines of the text."""
    text = render(states, facts=facts)
    assert text.endswith("\n")
    return text.splitlines()


def test_before_anything_happened_every_count_is_there() -> None:
    """At 0, each with what it is; so that an alarm on one that never moved can be made."""
    found = lines(state())
    samples = {line for line in found if not line.startswith("#")}
    assert {"mlkit_requests_total 0", "mlkit_dropped_rows_total 0", "mlkit_waiting 0"} <= samples
    assert {"mlkit_workers 1", "mlkit_request_seconds_count 0", "mlkit_batch_rows_sum 0"} <= samples
    kinds = [line.split()[2] for line in found if line.startswith("# TYPE")]
    assert [line.split()[2] for line in found if line.startswith("# HELP")] == kinds
    assert len(set(kinds)) == len(kinds)


def test_of_no_worker_at_all() -> None:
    """The text is whole."""
    assert "mlkit_workers 0" in lines()


@pytest.mark.parametrize("bound", SECONDS)
def test_a_bound_is_in_its_own_bucket(bound) -> None:
    """As Prometheus says: less or equal."""
    metrics = Metrics()
    metrics.answered(200, bound)
    place = SECONDS.index(bound)
    found = [line for line in lines(state(metrics)) if line.startswith("mlkit_request_seconds_bucket")]
    assert [int(line.split()[-1]) for line in found] == [0] * place + [1] * (len(SECONDS) + 1 - place)


@given(st.dictionaries(st.integers(1, 5000), st.integers(1, 5), max_size=5), st.booleans())
def test_batches_are_counted_by_their_rows(batches, alive) -> None:
    """Sum and count are those of all workers, those that have ended included."""
    found = dict(
        line.rsplit(" ", 1) for line in lines(state(batches=batches), state(batches={1: 1}, alive=alive))
    )
    count = sum(batches.values()) + 1
    assert int(found["mlkit_batch_rows_count"]) == count
    assert float(found["mlkit_batch_rows_sum"]) == sum(size * times for size, times in batches.items()) + 1
    small = sum(times for size, times in batches.items() if size <= ROWS[3]) + 1
    assert int(found['mlkit_batch_rows_bucket{le="8"}']) == small


def test_counters_add_up_and_gauges_are_of_those_alive() -> None:
    """What a worker did that is gone was done; what it holds it holds no more."""
    metrics = Metrics()
    metrics.count("rows_total", 3)
    metrics.count("rows_total")
    metrics.count("errors_total", code="NET030")
    metrics.count("errors_total", 2, code="NET029")
    gone = state(metrics, alive=False, gauges={"waiting": 5})
    found = lines(state(metrics, gauges={"waiting": 2, "spool_bytes": 0.5}), gone)
    at = found.index('mlkit_errors_total{code="NET029"} 4')
    assert found[at + 1] == 'mlkit_errors_total{code="NET030"} 2'
    assert {"mlkit_rows_total 8", "mlkit_waiting 2", "mlkit_spool_bytes 0.5", "mlkit_workers 1"} <= set(found)


@given(
    st.dictionaries(st.sampled_from(["version", "model_id"]), st.text(max_size=6) | st.integers(), min_size=1)
)
def test_a_label_of_any_characters_is_one_line(facts) -> None:
    """Quotes, backslashes and ends of lines are written as Prometheus reads them."""
    text = render([state()], facts=facts)
    info = [line for line in text.split("\n") if line.startswith("mlkit_model_info")]
    assert len(info) == 1
    assert LINE.fullmatch(info[0])
    assert info[0].endswith(" 1")


def test_a_state_is_of_its_moment() -> None:
    """What comes after does not change it."""
    metrics = Metrics()
    before = metrics.state(batches={}, gauges={})
    metrics.answered(200, 1.0)
    metrics.count("rows_total")
    assert before["counts"] == {}
    assert sum(before["seconds"]) == 0
