"""Where the workers of one service see each other: a small file each, written twice a second.

They share one socket, so a request for the counts or for a refresh reaches any of them, and means all.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POST_SECONDS = 0.5
_SILENT_SECONDS = 10.0  # a worker that says nothing for so long is not counted as alive


class Board:
    """The board of one service, as one of its workers sees it."""

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._poke = folder, folder / "refresh"
        self._file = folder / f"worker-{os.getpid()}.json"
        self._one = threading.Lock()  # one draft at a time: what answers requests posts too
        self._seen = self._poked_at()

    def post(self, state: Mapping[str, Any]) -> None:
        """Say how this worker is."""
        self._write({**state, "pid": os.getpid(), "at": time.time()})

    def read(self) -> list[dict[str, Any]]:
        """What all workers said last, with `alive`; those that are gone, too: what they counted counts."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self._folder.glob("worker-*.json")]
        now = time.time()
        return [{**state, "alive": now - state["at"] < _SILENT_SECONDS} for state in found]

    def leave(self) -> None:
        """This worker ends: its counts stay, and it is not waited for."""
        if self._file.exists():
            state = json.loads(self._file.read_text(encoding="utf-8"))
            self._write({**state, "at": 0.0})

    def poke(self) -> None:
        """Ask all workers to look at the ledger."""
        self._poke.touch()
        os.utime(self._poke)
        self._seen = self._poked_at()

    def was_poked(self) -> bool:
        """Whether another worker has asked for that since the last call."""
        seen, self._seen = self._seen, self._poked_at()
        return self._seen != seen

    def _write(self, state: Mapping[str, Any]) -> None:
        """Others read at any time, and find it whole."""
        draft = self._file.with_suffix(".new")
        with self._one:
            draft.write_text(json.dumps(state), encoding="utf-8")
            draft.replace(self._file)

    def _poked_at(self) -> int:
        return self._poke.stat().st_mtime_ns if self._poke.exists() else 0
