"""The page of a watched script: served to this machine alone, and shown anew when there is something new.

The page on disk stays as it is; what makes it follow the runs is put in only when it is served. Whoever opens
it must know a random word, which stands in its address; nothing else on this machine does.
"""

from __future__ import annotations

import dataclasses
import html
import http.server
import importlib.resources
import json
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"
PING_SECONDS = 10.0
"""A browser that has gone is noticed when something is written to it."""

_WAITING = """\
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 16px/1.5 system-ui; }} body {{ margin: 3rem; }}</style>
</head><body><h1>{title}</h1><p>The report of its project comes here when a run has ended.</p></body></html>
"""


@dataclasses.dataclass
class _State:
    """What a browser is told: which page there is, what runs, and what went wrong since."""

    version: int = 0
    page_run: int = 0
    page_at: float = 0.0
    running: int = 0
    trouble: str = ""
    trouble_run: int = 0
    trouble_at: float = 0.0


class LivePage:
    """A page that follows a watch; a context that ends its server.

    Args:
        title: What stands there before the first page.
    """

    def __init__(self, title: str) -> None:
        """Nothing is served yet."""
        self._page = _WAITING.format(title=html.escape(title))
        self._state = _State(page_at=time.time())
        self._changed = threading.Condition()
        self._ended = False
        self._word = secrets.token_urlsafe(16)
        self._server: _Server

    def __enter__(self) -> Self:
        """Answer on a free port of this machine from now on."""
        self._server = _Server((HOST, 0), _Handler)
        self._server.live = self
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer no longer."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{HOST}:{self.port}{self.path}"

    @property
    def path(self) -> str:
        """The part of the address that only those know who were told."""
        return f"/{self._word}/"

    def begin(self, run: int) -> None:
        """Say that a run has started."""
        self._change(running=run)

    def show(self, page: str, *, run: int) -> None:
        """Show another page; what went wrong before is over."""
        self._page = page
        version = self._state.version + 1
        self._change(version=version, page_run=run, page_at=time.time(), running=0, trouble="")

    def fail(self, trouble: str, *, run: int) -> None:
        """Keep the page, and say above it why there is no newer one."""
        self._change(trouble=trouble, trouble_run=run, trouble_at=time.time(), running=0)

    def served(self) -> str:
        """The page with what makes it follow."""
        script = importlib.resources.files("mlkit.watch").joinpath("live.js").read_text(encoding="utf-8")
        state = html.escape(json.dumps(self.state()), quote=True)
        follow = f'<script data-state="{state}">\n{script}</script>'
        before, end, after = self._page.rpartition("</body>")
        return f"{before}{follow}{end}{after}" if end else f"{self._page}{follow}"

    def state(self) -> dict[str, Any]:
        """What a browser is told; times in seconds since the epoch."""
        return dataclasses.asdict(self._state)

    def wait(self, seen: dict[str, Any] | None) -> dict[str, Any] | None:
        """The state once it is another than the one that was seen; that one again after a while.

        Returns:
            None when the watch has ended.
        """
        with self._changed:
            if not self._ended and self.state() == seen:
                self._changed.wait(PING_SECONDS)
            return None if self._ended else self.state()

    def _change(self, **news: Any) -> None:  # noqa: ANN401 - fields of the state
        with self._changed:
            self._state = dataclasses.replace(self._state, **news)
            self._changed.notify_all()


class _Server(http.server.ThreadingHTTPServer):
    """One thread for each browser; none of them keeps the process alive."""

    daemon_threads = True
    block_on_close = False
    live: LivePage


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers two addresses: the page, and what happens."""

    server: _Server
    server_version, sys_version = "mlkit", ""

    def do_GET(self) -> None:
        """The page, or the stream of its states."""
        live = self.server.live
        # The name of the host tells a page of somebody else, whose name was pointed at this machine.
        known = self.headers.get("Host", "") in (f"{HOST}:{live.port}", f"localhost:{live.port}")
        if not known or not secrets.compare_digest(self.path.rpartition("/")[0] + "/", live.path):
            self.send_error(404)
        elif self.path == live.path:
            self._page(live.served().encode())
        elif self.path == f"{live.path}events":
            self._events(live)
        else:
            self.send_error(404)

    def _page(self, body: bytes) -> None:
        self.send_response(200)
        self._headers("text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self, live: LivePage) -> None:
        self.send_response(200)
        self._headers("text/event-stream")
        self.end_headers()
        seen: dict[str, Any] | None = None
        try:
            while (state := live.wait(seen)) is not None:
                self.wfile.write(b": still there\n\n" if state == seen else _event(state))
                self.wfile.flush()
                seen = state
        except OSError:  # the browser has gone
            return

    def _headers(self, kind: str) -> None:
        for name, value in (
            ("Content-Type", kind),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
        ):
            self.send_header(name, value)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Say nothing: the terminal is the script's."""


def _event(state: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(state)}\n\n".encode()
