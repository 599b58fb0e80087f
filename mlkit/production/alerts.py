"""Alarms leave the house: a program is started or an address called, with the report as JSON.

No shell reads the command, no redirect is followed, and whether it went well is said. What was found
stands in the drift table before; a message that is lost loses nothing else.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlkit.errors import ConfigError, MlkitError, ServingError
from mlkit.targets import check_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.targets import Alert

_OK = range(200, 300)


@dataclasses.dataclass(frozen=True)
class Sent:
    """What became of an alarm.

    Attributes:
        told: Who was told, in words; empty if nobody is to be told.
        error: Why somebody was not; None if all were.
    """

    told: tuple[str, ...] = ()
    error: MlkitError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"told": list(self.told), "error": self.error.to_dict() if self.error else None}


def send(alert: Alert | None, report: Mapping[str, Any]) -> Sent:
    """Tell whoever is to be told; a failure is part of the answer.

    Args:
        alert: Whom, and how long that may take.
        report: The report.
    """
    if alert is None:
        return Sent()
    body = json.dumps(report, default=str).encode()
    told, error = [], None
    for name, tell in (("command", _start), ("url", _post)):
        try:
            if tell(alert, body):
                told.append(name)
        except MlkitError as exc:  # the other one is told all the same
            error = error or exc
    return Sent(tuple(told), error)


def _start(alert: Alert, body: bytes) -> bool:
    if not alert.command:
        return False
    fix = "run it by hand with the report on its standard input: mlkit monitor NAME --json"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, as a list, without a shell
            alert.command,
            input=body,
            stdout=subprocess.DEVNULL,  # a child that outlives the program must not hold us by a pipe
            stderr=subprocess.DEVNULL,
            timeout=alert.timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        message = f"the alert command was ended after {alert.timeout_seconds} s"
        raise ServingError("NET090", message, path="alert.command", fix=fix) from exc
    except (OSError, ValueError) as exc:  # a text that no program can be given is the latter
        message = f"the alert command cannot be started: {getattr(exc, 'strerror', 'it holds a zero byte')}"
        raise ServingError("NET090", message, path="alert.command", fix=fix) from exc
    if done.returncode:
        message = f"the alert command ended with exit code {done.returncode}, expected 0"
        raise ServingError("NET090", message, path="alert.command", fix=fix)
    return True


def _post(alert: Alert, body: bytes) -> bool:
    url = _address(alert)
    if url is None:
        return False
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    caller = kind(parts.hostname or "", parts.port, timeout=alert.timeout_seconds)
    place = parts.path or "/"
    try:
        caller.request(
            "POST",
            f"{place}?{parts.query}" if parts.query else place,
            body=body,
            headers={"Content-Type": "application/json", "User-Agent": "mlkit"},
        )
        status = caller.getresponse().status
    except (OSError, UnicodeError, http.client.HTTPException) as exc:  # a name that is no host's, too
        message = f"the address of the alert did not answer: {type(exc).__name__}"
        fix = "is it up, and reachable from here?"
        raise ServingError("NET091", message, path="alert.url", fix=fix) from exc
    finally:
        caller.close()
    if status not in _OK:
        message = (
            f"the address of the alert answered {status}, expected 200 to 299; redirects are not followed"
        )
        raise ServingError("NET091", message, path="alert.url", fix="give the address that takes the report")
    return True


def _address(alert: Alert) -> str | None:
    """The address, which may stand in the environment; errors never show it."""
    if alert.url_variable is None:
        return alert.url
    url = os.environ.get(alert.url_variable)
    if not url:
        message = f"the environment has no {alert.url_variable}, which was to hold the address of the alert"
        raise ConfigError(
            "CFG009", message, path="alert.url_variable", fix=f"export {alert.url_variable}=https://..."
        )
    check_address(url, path=f"${alert.url_variable}")
    return url
