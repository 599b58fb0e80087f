"""A connection that gives no client more room or time for a request's head than is stated.

The parser below knows no such bounds: a client that sends a byte a minute, or a head of a gigabyte, would
keep its connection for ever. What follows the head is bounded by whoever reads the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from mlkit.production.service.answers import RefusedError, refused

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

    from mlkit.production.service.limits import Settings

_Parser: Any = AutoHTTPProtocol
CONNECTION = "mlkit.connection"
"""Where an ASGI scope holds the connection."""
_READ_BYTES = 1024 * 1024
_END = b"\r\n\r\n"
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


def make_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The server of an application, with bounds that uvicorn itself does not have."""
    connection = type("Connection", (GuardedConnection,), {"settings": settings})
    config = uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.stop_seconds),
        h11_max_incomplete_event_size=_READ_BYTES,  # the connection counts for itself
    )
    return uvicorn.Server(config)


class GuardedConnection(_Parser):  # type: ignore[misc] # a class that is chosen by what is installed
    """One connection.

    Attributes:
        lost: Whether the client has left.
        settings: Bounds of the head; a subclass sets them.
    """

    settings: Settings

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        """Stand between the parser and the application."""
        super().__init__(*args, **kwargs)
        self.lost = False
        self._inner: Any = self.app
        self.app: Any = self._application
        self._in_head, self._head_bytes, self._tail = True, 0, b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The clock runs from here, also for who says nothing."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember it for whoever computes an answer."""
        self.lost = True
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head, and hand all of them on."""
        if self._in_head and not self._takes(data):
            self._refuse(
                "NET042", f"the head of a request has more than {self.settings.max_header_bytes:,} bytes"
            )
            return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets an answer in the form of all others."""
        del msg
        self._refuse("NET025", "this is not HTTP")

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        self._end_head()
        scope[CONNECTION] = self
        try:
            await self._inner(scope, receive, send)
        finally:
            self._in_head, self._head_bytes, self._tail = True, 0, b""

    def _takes(self, data: bytes) -> bool:
        if self._timer is None:  # the first bytes of another request
            self._start_clock()
        seen = self._tail + data if self._tail else data
        end = seen.find(_END)
        self._tail = seen[-3:]
        self._head_bytes += len(data) if end < 0 else max(end + len(_END) - (len(seen) - len(data)), 0)
        if end >= 0:
            self._end_head()
        return self._head_bytes <= self.settings.max_header_bytes

    def _end_head(self) -> None:
        self._in_head = False
        self._stop_clock()

    def _start_clock(self) -> None:
        self._timer = self.loop.call_later(self.settings.head_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._refuse("NET040", f"the head of a request was not there after {self.settings.head_seconds:g} s")

    def _refuse(self, code: str, message: str) -> None:
        """Answer and hang up."""
        self._stop_clock()
        if self.transport.is_closing():
            return
        refusal = RefusedError(
            code, message, path="head", fix="send the request whole, and with fewer headers"
        )
        answer = refused(refusal, request_id="")
        lines = [
            f"HTTP/1.1 {answer.status} {_PHRASES[answer.status]}",
            "content-type: application/json",
            f"content-length: {len(answer.body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join(lines).encode() + _END + answer.body)
        self.transport.close()
