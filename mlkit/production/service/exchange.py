"""One request and its answer: headers, a body that is counted while it comes in, and the sending."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mlkit.production.prediction_log import PRODUCTION
from mlkit.production.service.answers import Answer, RefusedError
from mlkit.production.service.connection import CONNECTION
from mlkit.production.windows import micros

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from mlkit.production.service.limits import Settings

REQUEST_ID, TRAFFIC, EVENT_TIME = b"x-request-id", b"x-mlkit-traffic", b"x-mlkit-event-time"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_TRAFFIC = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_CLOSE = (b"connection", b"close")
_DRAIN_SECONDS = 2.0
_YES = frozenset({"1", "true"})


class ClientLeftError(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


class Exchange:
    """A request on its way.

    Attributes:
        started: When its head was there, on the monotonic clock.
        request_id: The client's, if well-formed; else a new one.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing is read yet."""
        self.started = time.perf_counter()
        self._scope, self._receive, self._send = scope, receive, send
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._unread = True
        self.request_id = ""
        self.name(self._headers.get(REQUEST_ID, b"").decode("latin-1"))

    def name(self, request_id: str) -> None:
        """Call the request so, if that is well-formed and it has no name yet."""
        if not self.request_id and _WELL_FORMED.fullmatch(request_id):
            self.request_id = request_id

    def named(self) -> str:
        """The request's id, a new one if the client gave none."""
        self.request_id = self.request_id or uuid.uuid4().hex
        return self.request_id

    def header(self, name: bytes) -> bytes | None:
        """A header by its name in lowercase; the last one if it stands several times."""
        return self._headers.get(name)

    @property
    def headers(self) -> dict[str, str]:
        """All headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}

    @property
    def has_left(self) -> bool:
        """Whether the client has hung up."""
        return bool(getattr(self._scope.get(CONNECTION), "lost", False))

    def wants_probabilities(self) -> bool:
        """Whether ``?proba=1`` is asked for."""
        query: bytes = self._scope.get("query_string", b"")
        return bool(query) and parse_qs(query.decode("latin-1")).get("proba", [""])[-1].lower() in _YES

    def traffic(self) -> str:
        """The class of traffic.

        Raises:
            RefusedError: It is no plain word (NET044).
        """
        given = self._headers.get(TRAFFIC)
        if given is None:
            return PRODUCTION
        word = given.decode("latin-1")
        if not _TRAFFIC.fullmatch(word):
            message = "expected a word of lowercase letters, digits, - and _, at most 32"
            raise RefusedError("NET044", message, path="X-Mlkit-Traffic", fix="X-Mlkit-Traffic: canary")
        return word

    def event_time(self) -> int:
        """Microseconds since 1970 of what the request is about; now, if the client does not say.

        Raises:
            RefusedError: It is no time with a zone (NET044).
        """
        given = self._headers.get(EVENT_TIME)
        if given is None:
            return time.time_ns() // 1000
        fix = "X-Mlkit-Event-Time: 2024-01-31T12:00:00Z"
        try:
            moment = dt.datetime.fromisoformat(given.decode("latin-1"))
            since = micros(moment)
            moment.astimezone(dt.UTC)  # one that is in no year there could not be read from the log
        except (ValueError, TypeError, OverflowError) as exc:  # the second: it has no zone
            message = "expected a time with its zone"
            raise RefusedError("NET044", message, path="X-Mlkit-Event-Time", fix=fix) from exc
        return since

    def check_json(self) -> None:
        """Refuse a body that is not plain JSON before it is read.

        Raises:
            RefusedError: Another type (NET021), or it is compressed (NET022).
        """
        kind = self._headers.get(b"content-type", b"").decode("latin-1").lower().replace(" ", "")
        if kind not in {
            "application/json",
            "application/json;charset=utf-8",
            'application/json;charset="utf-8"',
        }:
            message = "expected a body of the type application/json, in UTF-8"
            raise RefusedError("NET021", message, path="Content-Type", fix="Content-Type: application/json")
        if self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            message = "a compressed body is not taken"
            raise RefusedError("NET022", message, path="Content-Encoding", fix="send the JSON as it is")

    async def read(self, settings: Settings, *, most: int, hold: Callable[[int], None]) -> bytes:
        """The body.

        Args:
            settings: How long it may take.
            most: Most bytes, counted as they come in; what the client says of the length only counts
                against it.
            hold: Is told of bytes that are held, and may refuse them.

        Raises:
            RefusedError: It is too large (NET023) or too slow (NET040).
            ClientLeftError: The client hung up.
        """
        told = self._headers.get(b"content-length", b"0")
        if len(told) > len(str(most)) or int(told) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(settings.body_seconds):
                return await self._whole(most, hold)
        except TimeoutError as exc:
            message = f"the body was not there after {settings.body_seconds:g} s"
            raise RefusedError(
                "NET040", message, path="body", fix="send it faster, or in several requests"
            ) from exc

    async def send(self, answer: Answer) -> None:
        """Send an answer; what has not been read of the request is read and forgotten, within bounds."""
        head = [*answer.head, _CLOSE] if self._unread else answer.head
        await self._send({"type": "http.response.start", "status": answer.status, "headers": head})
        if not self._unread:
            await self._send({"type": "http.response.body", "body": answer.body})
            return
        await self._send({"type": "http.response.body", "body": answer.body, "more_body": True})
        # A client that is still sending when the connection closes would never see the answer.
        with contextlib.suppress(TimeoutError, ClientLeftError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._unread:
                    await self._chunk()
        await self._send({"type": "http.response.body", "body": b""})

    async def _whole(self, most: int, hold: Callable[[int], None]) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._unread:
            part = await self._chunk()
            size += len(part)
            if size > most:
                raise _too_large(most)
            hold(len(part))
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _chunk(self) -> bytes:
        message: dict[str, Any] = dict(await self._receive())
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        self._unread = bool(message.get("more_body"))
        return bytes(message.get("body", b""))


def _too_large(most: int) -> RefusedError:
    message = f"expected a body of at most {most:,} bytes"
    return RefusedError(
        "NET023", message, path="body", fix="send fewer rows in a request, or use mlkit score"
    )
