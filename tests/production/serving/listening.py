"""Services of mlkit as who asks them sees them: they may be slow, deaf or ill."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.production.scenes import NAME


@dataclasses.dataclass
class Service:
    """One service."""

    project: str = NAME
    seq: int = 1
    model_id: str = "m-1"
    version: int = 1
    follows: bool = True
    deaf: int = 0
    status: int = 200
    body: bytes | None = None
    token: str | None = None
    error_code: str | None = None
    heard: list = dataclasses.field(default_factory=list)
    port: int = 0

    @property
    def url(self):
        """Its address."""
        return f"http://127.0.0.1:{self.port}/prefix"

    def answer(self, method, path, headers, content):
        """Status and body of an answer."""
        self.heard.append((method, path, json.loads(content) if content else None))
        if self.token and headers["Authorization"] != f"Bearer {self.token}":
            return 401, b"{}"
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b"{}"
        if method == "POST":
            self.deaf -= 1
            if self.follows and self.deaf < 0:
                self.seq = self.version = json.loads(content)["wanted_seq"]
                self.model_id = f"m-{self.seq}"
        names = ("project", "seq", "model_id", "version", "error_code")
        told = {name: getattr(self, name) for name in names}
        return 200, json.dumps({**told, "seq_everywhere": self.seq}).encode()


@contextlib.contextmanager
def served(service, port=0):
    """Let it answer on a socket."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = service.answer(self.command, self.path, self.headers, content)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    service.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
