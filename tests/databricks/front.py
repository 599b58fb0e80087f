"""The outside of a Databricks workspace on loopback: TLS, a token and a cluster id before a Spark server.

The unmodified databricks-connect talks to it as to a workspace. What it asks in HTTP/1.1 (which runtime has
the cluster?) is answered here; what it asks in HTTP/2 is Spark Connect and goes, once token and cluster id
are right, to a real server behind. No message of Spark is looked into or changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import ipaddress
import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNTIME = "18.0.x-scala2.13"
HERE = "127.0.0.1"
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_HOP = ("authorization", "user-agent", "x-databricks-")


@dataclasses.dataclass
class Front:
    """A workspace that is up.

    Attributes:
        backend: Host and port of the Spark Connect server behind it.
        token: The token that is accepted.
        cluster: Id of the only cluster.
        revoked: The cluster no longer accepts the token, though the rest of the workspace does.
        host: Its address.
        asked: Paths of HTTP requests and methods of remote calls that were let through, in order.
    """

    backend: str
    token: str
    cluster: str
    revoked: bool = False
    host: str = ""
    asked: list[str] = dataclasses.field(default_factory=list)

    def accepts(self, authorization: str | None) -> bool:
        """Whether somebody may come in."""
        return authorization == f"Bearer {self.token}"


@contextlib.contextmanager
def workspace_front(folder: Path, front: Front) -> Iterator[Path]:
    """Bring a front up; gives the file of its certificate, which clients must be told to trust."""
    certificate = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    relay = grpc.server(ThreadPoolExecutor(16), handlers=[_Relay(front)], options=_NO_LIMIT)
    door = _Door(front, relay.add_insecure_port(f"{HERE}:0"))
    relay.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(door.open(context), loop).result()
        front.host = f"https://{HERE}:{port}"
        yield certificate
        asyncio.run_coroutine_threadsafe(door.close(), loop).result()
    finally:
        relay.stop(grace=None).wait()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def self_signed(folder: Path) -> Path:
    """A certificate for loopback with its key, made now, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mlkit tests")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "front.pem"
    file.write_bytes(key.private_bytes(pem, *form) + made.public_bytes(pem))
    return file


class _Relay(grpc.GenericRpcHandler):
    """Passes every remote call on, message by message, if it comes with the right headers."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._channel = grpc.insecure_channel(front.backend, options=_NO_LIMIT)

    def service(self, handler_call_details):
        method = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, call: self._passed(method, requests, call)
        )

    def _passed(self, method, requests, call):
        headers = dict(call.invocation_metadata())
        if self._front.revoked or not self._front.accepts(headers.get("authorization")):
            call.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid access token.")
        if headers.get("x-databricks-cluster-id") != self._front.cluster:
            call.abort(grpc.StatusCode.INVALID_ARGUMENT, "No such cluster.")
        self._front.asked.append(method)
        kept = [(name, value) for name, value in headers.items() if not name.startswith(_HOP)]
        answers = self._channel.stream_stream(method)(requests, metadata=kept)
        call.add_callback(answers.cancel)
        try:
            yield from answers
        except grpc.RpcError as exc:
            call.set_trailing_metadata(exc.trailing_metadata() or ())
            call.abort(exc.code(), exc.details())


class _Door:
    """What stands at the port: HTTP/2 goes to the relay byte by byte, HTTP/1.1 is answered."""

    def __init__(self, front: Front, relay_port: int) -> None:
        self._front, self._relay_port = front, relay_port
        self._inside: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, context: ssl.SSLContext) -> int:
        """Let connections in; gives the port."""
        self._server = await asyncio.start_server(self._enter, HERE, 0, ssl=context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Send everybody out."""
        self._server.close()
        for writer in self._inside.values():
            writer.transport.abort()  # a client that is idle would not answer a farewell
        await asyncio.gather(*self._inside, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._inside[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                relay_reader, relay_writer = await asyncio.open_connection(HERE, self._relay_port)
                await asyncio.gather(_piped(reader, relay_writer), _piped(relay_reader, writer))
            else:
                await self._answer(reader, writer)
        writer.close()
        del self._inside[task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        status, body = self._found(path, headers.get("authorization"))
        text = json.dumps(body).encode()
        fixed = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        writer.write(f"{fixed}Connection: close\r\n\r\n".encode() + text)
        await writer.drain()

    def _found(self, path: str, authorization: str | None) -> tuple[str, dict[str, str]]:
        parts = urlsplit(path)
        if parts.path != "/api/2.1/clusters/get":
            return "404 Not Found", {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found."}
        if not self._front.accepts(authorization):
            return "403 Forbidden", {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}
        self._front.asked.append(parts.path)
        if parse_qs(parts.query).get("cluster_id") != [self._front.cluster]:
            return "400 Bad Request", {"error_code": "INVALID_PARAMETER_VALUE", "message": "No such cluster."}
        return "200 OK", {"cluster_id": self._front.cluster, "spark_version": RUNTIME, "state": "RUNNING"}


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
