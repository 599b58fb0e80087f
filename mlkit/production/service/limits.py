"""What the service takes and how long it waits: every bound has a number, and a name to change it by."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Literal

from mlkit.errors import UsageError

Policy = Literal["durable", "fast"]
_MIB = 2**20
_MOST_WORKERS = 256
_MOST_PORT = 65_535


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of one service; plain values, so that they travel to its workers.

    Attributes:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        workers: Processes that answer.
        policy: ``durable``: an answer is sent after its log is on disk; ``fast``: before.
        max_rows: Most rows of one request.
        max_body_bytes: Most bytes of one body, counted while it comes in.
        max_header_bytes: Most bytes of a request's head.
        head_seconds: A request's head must be there by then.
        body_seconds: And then its body.
        predict_seconds: And then its answer; the thread that computes it is not stopped.
        max_waiting: Most requests under way in one worker; the next are told to come back.
        max_held_bytes: Most bytes of bodies under way in one worker.
        batch_rows: Most rows that are predicted in one go; larger requests go alone.
        large_threads: Threads for those.
        refresh_seconds: Time between two looks at the ledger.
        stop_seconds: Requests under way when the service stops have this long.
        spool_bytes: Most bytes of answers that are not in the prediction log yet.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    policy: Policy = "durable"
    max_rows: int = 10_000
    max_body_bytes: int = 16 * _MIB
    max_header_bytes: int = 16 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    predict_seconds: float = 60.0
    max_waiting: int = 1024
    max_held_bytes: int = 256 * _MIB
    batch_rows: int = 256
    large_threads: int = 2
    refresh_seconds: float = 30.0
    stop_seconds: float = 30.0
    spool_bytes: int = 1024 * _MIB

    def __post_init__(self) -> None:
        """Refuse what no service could run with.

        Raises:
            UsageError: A number is out of its range (CLI055).
        """
        ranges: dict[str, tuple[float, float]] = {
            "port": (0, _MOST_PORT),
            "workers": (1, _MOST_WORKERS),
            "max_rows": (1, 10_000_000),
            "max_body_bytes": (1024, 1024 * _MIB),
            "refresh_seconds": (0.1, 86_400),
        }
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                message = f"expected {least:,} to {most:,}, found {getattr(self, name):,}"
                raise UsageError("CLI055", message, path=name, fix="mlkit serve --help")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
