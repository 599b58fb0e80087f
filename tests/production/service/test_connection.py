"""A connection without a socket: bytes go in, bytes come out."""

from __future__ import annotations

import asyncio
import json

import pytest
from uvicorn.server import ServerState

from mlkit.production.service.connection import CONNECTION, make_server
from mlkit.production.service.limits import Settings

HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.closed = b"", False

    def write(self, data) -> None:
        """Keep it."""
        self.out += data

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""


def talk(*parts: bytes, seconds=0.0, lose=False, **settings):
    """What a connection answers to bytes that come in these parts; and the paths that reached the app."""
    paths, scopes = [], []

    async def app(scope, receive, send) -> None:
        paths.append(scope["path"])
        scopes.append(scope)
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> Transport:
        config = make_server(app, Settings(**settings)).config
        config.load()
        protocol = config.http_protocol_class(config=config, server_state=ServerState(), app_state={})
        transport = Transport()
        protocol.connection_made(transport)
        for part in parts:
            protocol.data_received(part)
            for _ in range(5):
                await asyncio.sleep(0)
        if seconds:
            async with asyncio.timeout(seconds):
                while not transport.closed:  # noqa: ASYNC110 - closed by a timer of the connection
                    await asyncio.sleep(0.001)
        assert not [one for one in scopes if one[CONNECTION].lost]
        protocol.connection_lost(None)
        assert all(one[CONNECTION].lost for one in scopes)
        return transport

    return asyncio.run(main()), paths


def refused(transport) -> tuple[int, str]:
    """Status and code of a refusal, which is whole, and the last word."""
    last = transport.out[transport.out.rindex(b"HTTP/1.1 ") :]
    head, _, body = last.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert b"connection: close" in head
    assert transport.closed
    return int(head.split()[1]), json.loads(body)["error"]["code"]


@pytest.mark.parametrize("size", range(1, len(HEAD) + 1))
def test_a_head_in_pieces_of_any_size(size) -> None:
    """Each of its bytes counts once: it is answered with the very least room, and refused with one less."""
    pieces = [HEAD[at : at + size] for at in range(0, len(HEAD), size)]
    transport, paths = talk(*pieces, max_header_bytes=len(HEAD))
    assert (paths, transport.out[:15]) == (["/livez"], b"HTTP/1.1 200 OK")
    transport, paths = talk(*pieces, max_header_bytes=len(HEAD) - 1)
    assert refused(transport)[1] == "NET042"
    assert paths == []


def test_a_body_does_not_count_as_head() -> None:
    """Not in the part in which the head ends, and not after it."""
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    transport, paths = talk(head + b"x" * 2000, b"y" * 3000, max_header_bytes=len(head))
    assert (paths, transport.out[9:12]) == (["/invocations"], b"200")


def test_the_next_head_is_counted_anew() -> None:
    """On one connection; what the first had is forgotten."""
    transport, paths = talk(HEAD, HEAD, HEAD[:9], HEAD[9:], max_header_bytes=len(HEAD))
    assert (len(paths), transport.out.count(b"HTTP/1.1 200")) == (3, 3)
    transport, paths = talk(HEAD, b"GET /" + b"x" * len(HEAD), max_header_bytes=len(HEAD))
    assert (refused(transport), len(paths)) == ((431, "NET042"), 1)


@pytest.mark.parametrize("content", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / SMTP/9\r\n\r\n"])
def test_what_is_no_http(content) -> None:
    """It gets an answer in the form of all others, once."""
    transport, paths = talk(content, content)
    assert (refused(transport), paths) == ((400, "NET025"), [])
    assert transport.out.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("parts", [(), (HEAD[:10],), (HEAD, HEAD[:1])])
def test_a_head_that_does_not_end(parts) -> None:
    """Its clock runs from the start of the connection, and from the first byte of another head."""
    transport, paths = talk(*parts, seconds=10, head_seconds=0.01)
    assert (refused(transport), len(paths)) == ((408, "NET040"), len(parts) // 2)


def test_the_server_has_the_bounds_of_the_settings() -> None:
    """And none of the habits that tell strangers what runs here."""
    config = make_server(None, Settings(stop_seconds=7.9)).config
    assert config.timeout_graceful_shutdown == 7
    assert (config.server_header, config.proxy_headers, config.access_log) == (False, False, False)
