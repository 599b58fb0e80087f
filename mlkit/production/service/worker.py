"""One process that answers. It ends when it is told to, or when the process that started it is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.console import say
from mlkit.errors import MlkitError
from mlkit.production.service.app import make_app
from mlkit.production.service.assignment import Assignment, serving_folder
from mlkit.production.service.auth import Tokens
from mlkit.production.service.board import POST_SECONDS, Board
from mlkit.production.service.connection import make_server
from mlkit.production.service.holder import Holder
from mlkit.production.service.spool import Spool
from mlkit.production.service.trial import trial_holder
from mlkit.production.service.webhook import Webhook

if TYPE_CHECKING:
    from uvicorn import Server

    from mlkit.production.service.app import ModelHolder, Service
    from mlkit.production.service.limits import Settings
    from mlkit.production.stores import Stores

WEBHOOK_SECRET = "MLKIT_WEBHOOK_SECRET"  # noqa: S105 - a variable's name


def work(told: Assignment) -> None:
    """Answer until told to stop; what was answered is on disk then."""
    stores, settings, board = told.stores(), told.settings, Board(Path(told.board))
    folder = serving_folder(stores)
    holder = trial_holder(stores, told.trial) if told.trial else _holder(stores, folder, settings)
    spool = None if told.trial else _spool(folder, settings)
    secret = os.environ.get(WEBHOOK_SECRET)
    webhook = Webhook(secret, holder) if secret else None
    tokens = Tokens.read(os.environ)
    app = make_app(holder, spool, settings, tokens=tokens, webhook=webhook, board=board)
    stop = threading.Event()
    server = make_server(app, settings)
    _stop_on_signals(server)
    keeper = threading.Thread(target=keep_posted, args=(app, holder, board, stop), daemon=True)
    holder.start()  # until then connections wait for this worker, or go to another
    keeper.start()
    try:
        server.run(sockets=[socket.socket(fileno=told.listener)])
    finally:
        stop.set()
        app.close()
        holder.close()
        if spool is not None:
            spool.close()
        keeper.join()
        board.leave()


def _holder(stores: Stores, folder: Path, settings: Settings) -> Holder:
    return Holder(stores, folder=folder / "models", poll_seconds=settings.refresh_seconds)


def _spool(folder: Path, settings: Settings) -> Spool:
    return Spool(folder / "spool", policy=settings.policy, limit_bytes=settings.spool_bytes)


def keep_posted(app: Service, holder: ModelHolder, board: Board, stop: threading.Event) -> None:
    """Post how this worker is, and follow when another one was told to refresh."""
    while True:
        with contextlib.suppress(OSError):  # a full disk: to others it is silent until it can post again
            board.post(app.state())
        if board.was_poked():
            holder.refresh()
            continue
        if stop.wait(POST_SECONDS):
            return


def _until_orphaned() -> None:
    while os.read(sys.stdin.fileno(), 1):  # whoever started this process holds the other end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _stop_on_signals(server: Server) -> None:
    """Stop a server that has not begun, and end in order one that has.

    While it runs it listens to signals itself; when it has stopped it raises the one that it has heard once
    more, which would end the process before the log is closed.
    """

    def stop(*_: Any) -> None:  # noqa: ANN401 - a signal's arguments
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def main() -> None:
    """What the process runs."""
    threading.Thread(target=_until_orphaned, daemon=True).start()
    try:
        work(Assignment.from_text(sys.argv[1]))
    except MlkitError as exc:
        say(f"a worker cannot serve: {exc}")
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
