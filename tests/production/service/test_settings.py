"""Bounds, tokens and counts: what a service starts with, and what it refuses to start with."""

from __future__ import annotations

import pytest

from mlkit.errors import SecurityError, UsageError
from mlkit.production.service.auth import Tokens
from mlkit.production.service.limits import Settings
from mlkit.production.service.metrics import Metrics, render

LONG = "t" * 20


HERE = ("127.0.0.1", "127.1.2.3", "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::", "10.0.0.1", "example.org")  # noqa: S104 - what is to be refused


@pytest.mark.parametrize(("host", "alone"), [(host, host in HERE) for host in (*HERE, *EVERYWHERE)])
def test_without_tokens_only_this_machine_is_listened_to(host, alone) -> None:
    """A public address needs tokens for predictions."""
    settings = Settings(host=host)
    assert settings.is_loopback is alone
    Tokens.read({"MLKIT_SERVE_TOKENS": LONG}).check_bind(settings)
    for environment in ({}, {"MLKIT_ADMIN_TOKENS": LONG}):
        if alone:
            Tokens.read(environment).check_bind(settings)
        else:
            with pytest.raises(SecurityError) as caught:
                Tokens.read(environment).check_bind(settings)
            assert caught.value.code == "SEC021"


def test_tokens_come_from_variables_and_files(tmp_path) -> None:
    """Several at a time, so that one can be replaced without a gap; none of them is kept."""
    file = tmp_path / "tokens"
    file.write_text(f"{LONG}-of-the-file\n\n")
    tokens = Tokens.read({"MLKIT_SERVE_TOKENS": f"{LONG}-1, {LONG}-2", "MLKIT_SERVE_TOKENS_FILE": str(file)})
    for token in (f"{LONG}-1", f"{LONG}-2", f"{LONG}-of-the-file"):
        tokens.check_serve(f"bearer  {token}".encode())
    assert LONG not in f"{tokens!r} {vars(tokens)}"


@pytest.mark.parametrize("text", ["short", f"{LONG},short", f"{LONG} {LONG}", f"{LONG}é"])
def test_a_token_that_is_not_safe(text) -> None:
    """It is refused at the start, without being shown."""
    with pytest.raises(SecurityError) as caught:
        Tokens.read({"MLKIT_ADMIN_TOKENS": text})
    assert caught.value.code == "SEC020"
    assert LONG not in str(caught.value)


def test_a_file_of_tokens_that_is_not_there(tmp_path) -> None:
    """A service does not start open because a file is missing."""
    with pytest.raises(SecurityError, match="MLKIT_SERVE_TOKENS_FILE"):
        Tokens.read({"MLKIT_SERVE_TOKENS_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "changes", [{"port": 70_000}, {"workers": 0}, {"max_rows": 0}, {"refresh_seconds": 0}]
)
def test_a_setting_out_of_range(changes) -> None:
    """It is named."""
    with pytest.raises(UsageError) as caught:
        Settings(**changes)
    assert (caught.value.code, caught.value.path) == ("CLI055", next(iter(changes)))


def test_a_histogram_counts_up() -> None:
    """Buckets hold all that is smaller; the last one all there is, of all workers."""
    metrics = Metrics()
    for seconds in (0.001, 0.002, 100.0):
        metrics.answered(200, seconds)
    state = metrics.state(batches={1: 2, 3000: 1}, gauges={"waiting": 1})
    workers = [{**state, "alive": True}, {**state, "alive": False}]
    text = render(workers, facts={"version": 'a"b\\'}).splitlines()
    for line in (
        'mlkit_request_seconds_bucket{le="0.001"} 2',
        'mlkit_request_seconds_bucket{le="60"} 4',
        'mlkit_request_seconds_bucket{le="+Inf"} 6',
        "mlkit_request_seconds_sum 200.006",
        "mlkit_request_seconds_count 6",
        'mlkit_batch_rows_bucket{le="1024"} 4',
        'mlkit_batch_rows_bucket{le="4096"} 6',
        "mlkit_batch_rows_sum 6004",
        "mlkit_waiting 1",
        "mlkit_workers 1",
        'mlkit_model_info{version="a\\"b\\\\"} 1',
    ):
        assert line in text
