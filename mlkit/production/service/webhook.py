"""MLflow's webhooks: a poke that is believed only if it is signed, fresh and new.

What it says is not believed at all: deliveries come late, twice and in any order, so a good one only means
that the ledger is read again. The signature is ``v1,`` and the base64 of HMAC-SHA256 of
``id.timestamp.body``, made with a secret that both sides know; it is compared before anything is parsed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlkit.production.service.holder import RefreshResult

SIGNATURE, DELIVERY, TIMESTAMP = "x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp"
FRESH_SECONDS = 300
REMEMBERED_SECONDS = 600
_MOST_REMEMBERED = 10_000
_LONGEST_ID, _LONGEST_STAMP = 200, 12
_EVENTS = frozenset({("model_version_alias", "created"), ("model_version_alias", "deleted")})


class Refreshable(Protocol):
    """What a webhook pokes."""

    def refresh(self) -> RefreshResult:
        """Look at the ledger now."""
        ...


class WebhookAnswer(NamedTuple):
    """What the sender is told: HTTP status, and a few words."""

    status: int
    outcome: str


class Webhook:
    """Receives what an MLflow server sends when the alias of a model moves."""

    def __init__(self, secret: str, holder: Refreshable, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing was received yet.

        Args:
            secret: What the webhook was made with on the server.
            holder: Poked by each delivery that counts.
            clock: Seconds since 1970.
        """
        self._secret, self._holder, self._clock = secret.encode(), holder, clock
        self._lock = threading.Lock()
        self._known: dict[str, float] = {}  # id -> when it may be forgotten, oldest first

    def receive(self, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        """Take one delivery; never raises.

        Args:
            headers: Of the request; upper and lower case are the same.
            body: Its raw bytes.

        Returns:
            200 refreshed, or delivered before; 202 nothing that concerns this service; 400 no JSON; 401 not
            signed with the secret, or too old.
        """
        given = {name.lower(): value for name, value in headers.items()}
        delivery, stamp = given.get(DELIVERY, ""), given.get(TIMESTAMP, "")
        if not self._is_signed(given.get(SIGNATURE, ""), delivery, stamp, body):
            return WebhookAnswer(401, "the signature is not that of the secret")
        if abs(self._clock() - int(stamp)) > FRESH_SECONDS:
            return WebhookAnswer(401, "the timestamp is too far from now")
        try:
            event = json.loads(body)
            kind = (event["entity"], event["action"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return WebhookAnswer(400, "the body is no event of MLflow")
        if not self._is_new(delivery):
            return WebhookAnswer(200, "delivered before")
        if kind not in _EVENTS:
            return WebhookAnswer(202, "nothing that moves an alias")
        told = self._holder.refresh()
        return WebhookAnswer(200, told.error or ("refreshed" if told.changed else "unchanged"))

    def _is_signed(self, signature: str, delivery: str, stamp: str, body: bytes) -> bool:
        plain = delivery.isascii() and stamp.isascii() and stamp.isdigit() and signature.isascii()
        if not plain or not 0 < len(delivery) <= _LONGEST_ID or len(stamp) > _LONGEST_STAMP:
            return False
        signed = f"{delivery}.{stamp}.".encode() + body
        expected = base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest())
        return hmac.compare_digest(signature.encode(), b"v1," + expected)

    def _is_new(self, delivery: str) -> bool:
        """Whether a delivery was not seen lately; it is from now on."""
        now = self._clock()
        with self._lock:
            while self._known and (
                len(self._known) >= _MOST_REMEMBERED or next(iter(self._known.values())) <= now
            ):
                self._known.pop(next(iter(self._known)))
            if delivery in self._known:
                return False
            self._known[delivery] = now + REMEMBERED_SECONDS
            return True
