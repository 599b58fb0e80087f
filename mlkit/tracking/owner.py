"""Who works on a run: the machine and the process, so that a run whose process has died can be told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

OWNER_TAG = "mlkit_owner"
_ENDED = "ended"  # a process that its parent has not asked about yet
_STARTED = 19  # of what the kernel tells of a process behind its name: when it was started


def this_process() -> str:
    """Machine, number of the process, and when that was started, for numbers are given again."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def has_died(owner: str) -> bool | None:
    """Whether a process has ended; None of one that is not of this machine, or not known."""
    machine, _, rest = owner.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != _machine() or not number.isdigit():
        return None
    return not is_running(int(number)) or _started(int(number)) not in ("", started)


def _machine() -> str:
    """Name of the machine with the mark of its last start, which containers of one name do not share."""
    try:
        mark = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        mark, space = "", ""
    return f"{socket.gethostname()}/{mark}{space}"


def is_running(number: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _started(number: int) -> str:
    """Clock ticks since the machine was started; empty where the system does not tell."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    said = text.rpartition(")")[2].split()
    return _ENDED if said[0] == "Z" else said[_STARTED]
