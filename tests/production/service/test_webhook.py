"""Webhooks: a poke that is believed only if it is signed, fresh and new."""

from __future__ import annotations

import base64
import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import MlflowClient
from mlflow.webhooks.delivery import _generate_hmac_signature

from mlkit.production.service.holder import RefreshResult
from mlkit.production.service.webhook import Webhook
from tests.tracking.backends import backend, mlflow_server

SECRET = "a secret of both sides"  # noqa: S105 - of this test
NOW = 1_800_000_000
MOVED = {"entity": "model_version_alias", "action": "created", "data": {"alias": "champion", "version": "1"}}


class Poked:
    """Counts how often it was asked to look."""

    def __init__(self) -> None:
        self.times = 0
        self.told = RefreshResult(changed=True, version=2, seq=2)

    def refresh(self):
        """As a holder does."""
        self.times += 1
        return self.told


@pytest.fixture
def holder():
    """What is poked."""
    return Poked()


@pytest.fixture
def clock():
    """The time, which a test may change."""
    return [NOW]


@pytest.fixture
def webhook(holder, clock):
    """The receiver."""
    return Webhook(SECRET, holder, clock=lambda: clock[0])


def delivery(event=MOVED, *, number="d-1", stamp=NOW, secret=SECRET, body=None):
    """Headers and body as MLflow sends them."""
    body = json.dumps(event) if body is None else body
    return {
        "X-MLflow-Signature": _generate_hmac_signature(secret, number, str(stamp), body),
        "X-MLflow-Delivery-Id": number,
        "X-MLflow-Timestamp": str(stamp),
    }, body.encode()


def test_a_good_delivery_lets_the_ledger_be_read(webhook, holder):
    """Whatever version it names; what came of it is said."""
    assert webhook.receive(*delivery()) == (200, "refreshed")
    holder.told = RefreshResult(changed=False, version=2, seq=2)
    deleted = {**MOVED, "action": "deleted"}
    assert webhook.receive(*delivery(deleted, number="d-2")) == (200, "unchanged")
    holder.told = RefreshResult(changed=False, version=2, seq=2, error="[STO031] away")
    assert webhook.receive(*delivery(number="d-3")) == (200, "[STO031] away")
    assert holder.times == 3


def test_a_delivery_that_is_repeated_does_nothing(webhook, holder, clock):
    """For ten minutes, in which its timestamp has become too old to be believed again."""
    headers, body = delivery()
    assert webhook.receive(headers, body).outcome == "refreshed"
    assert webhook.receive({name.lower(): value for name, value in headers.items()}, body) == (
        200,
        "delivered before",
    )
    clock[0] += 301
    assert webhook.receive(headers, body).status == 401
    clock[0] += 300
    assert webhook.receive(*delivery(stamp=clock[0])).outcome == "refreshed"
    assert holder.times == 2


@pytest.mark.parametrize("apart", [-301, 301, 10**9])
def test_an_old_or_early_delivery_is_refused(webhook, holder, apart):
    """Signed or not; five minutes either way are allowed."""
    assert webhook.receive(*delivery(stamp=NOW + apart)).status == 401
    assert holder.times == 0
    assert webhook.receive(*delivery(stamp=NOW + (300 if apart > 0 else -300))).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"X-MLflow-Signature": ""},
        {"X-MLflow-Signature": "v1,"},
        {"X-MLflow-Signature": "v1,ü"},
        {"X-MLflow-Signature": "v1," + base64.b64encode(bytes(32)).decode()},
        {"X-MLflow-Delivery-Id": "d-2"},
        {"X-MLflow-Delivery-Id": ""},
        {"X-MLflow-Delivery-Id": "d" * 201},
        {"X-MLflow-Timestamp": str(NOW + 1)},
        {"X-MLflow-Timestamp": ""},
        {"X-MLflow-Timestamp": "-1"},
        {"X-MLflow-Timestamp": "1_800_000_000"},
        {"X-MLflow-Timestamp": "1800000000.0"},
        {"X-MLflow-Timestamp": "9" * 400},
        {"X-MLflow-Timestamp": "١٢٣"},
    ],
)
def test_what_is_not_signed_as_it_stands_is_refused(webhook, holder, change):
    """Any header of another value, of whatever form."""
    headers, body = delivery()
    assert webhook.receive({**headers, **change}, body).status == 401
    assert holder.times == 0


def test_another_body_or_secret_is_refused(webhook, holder):
    """Also if only a space was added: the raw bytes are signed."""
    headers, body = delivery()
    assert webhook.receive(headers, body + b" ").status == 401
    assert webhook.receive({}, body).status == 401
    assert webhook.receive(*delivery(secret="another")).status == 401  # noqa: S106 - of this test
    assert holder.times == 0


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', '{"entity": "x"}', "[" * 5000])
def test_a_signed_body_that_is_no_event(webhook, holder, body):
    """The sender is told; nothing is looked at."""
    assert webhook.receive(*delivery(body=body)).status == 400
    assert holder.times == 0


def test_events_that_move_no_alias_are_taken_and_left(webhook, holder):
    """Those of other things, and those that nobody has thought of yet."""
    for number, entity in enumerate(["registered_model", "model_version", "budget_policy", ["odd"]]):
        event = {"entity": entity, "action": "created"} if entity != ["odd"] else {**MOVED, "action": "odd"}
        assert webhook.receive(*delivery(event, number=f"d-{number}")).status == 202
    assert holder.times == 0


def test_what_is_remembered_is_bounded(webhook, holder):
    """The oldest go first; each of these was a real delivery."""
    for number in range(10_050):
        webhook._is_new(f"x-{number}")
    assert len(webhook._known) == 10_000
    assert not webhook._is_new("x-10049")


@pytest.mark.slow
@pytest.mark.newest_only
def test_a_real_server_sends_what_is_believed(tmp_path, empty_store, monkeypatch, holder):
    """MLflow's own server, on loopback by its two development variables, when an alias is set."""
    webhook, answers = Webhook(SECRET, holder), queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = webhook.receive(dict(self.headers), body)
            self.send_response(answer.status)
            self.end_headers()
            answers.put(answer)

        def log_message(self, *_):
            """Quiet."""

    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_CACHE_TTL", "0")
    monkeypatch.setenv(
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", base64.urlsafe_b64encode(os.urandom(32)).decode()
    )
    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        with backend("sqlite", tmp_path, empty_store) as address, mlflow_server(address, tmp_path) as url:
            client = MlflowClient(url, url)
            target = f"http://127.0.0.1:{receiver.server_port}/-/webhook"
            client.create_webhook("mlkit", target, ["model_version_alias.created"], secret=SECRET)
            client.create_registered_model("flights")
            run = client.create_run("0").info
            client.create_model_version("flights", run.artifact_uri, run_id=run.run_id, await_creation_for=0)
            client.set_registered_model_alias("flights", "champion", "1")
            assert answers.get(timeout=30) == (200, "refreshed")
    finally:
        receiver.shutdown()
        receiver.server_close()
    assert holder.times == 1
