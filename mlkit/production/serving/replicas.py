"""Brings services of `mlkit serve` to the champion: each is told, then asked until it answers with it.

A service follows the ledger by itself; being told only saves it the wait. So nothing is assumed from a
request that was sent: what a service says it answers with counts, and repeating does no harm.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from mlkit.errors import ServingError
from mlkit.production.refresh import Refreshed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlkit.production.ledger import Entry
    from mlkit.production.refresh import Refresher

ANSWER_SECONDS = 30.0
_FIRST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.1, 2.0, 1.5
_MOST_AT_ONCE = 16
_MOST_BYTES = 1_000_000
_OK, _FORBIDDEN, _BROKEN = 200, (401, 403), 500
_AGAIN = "see the log of that service; then deploy again: it goes on from here"


class _Failure(NamedTuple):
    """Why a replica does not answer with the champion; `final` if waiting does not help."""

    code: str
    words: str
    fix: str = _AGAIN
    final: bool = False


@dataclasses.dataclass(frozen=True)
class Heard:
    """What one service says it answers with.

    Attributes:
        url: Its address.
        words: What it says, or why it says nothing.
        code: Of the error that a deployment would end with; empty if it answers with the champion.
    """

    url: str
    words: str
    code: str = ""

    @property
    def silent(self) -> bool:
        """Whether it has not said what it answers with, for better or worse."""
        return self.code in {"NET061", "NET062", "NET064"}


@dataclasses.dataclass(frozen=True)
class ReplicaRefresher:
    """Brings all replicas of a service to the champion.

    Attributes:
        urls: Their addresses.
        variable: Environment variable with the admin token; the first of several counts.
        timeout_seconds: How long each is waited for.
    """

    urls: tuple[str, ...]
    variable: str
    timeout_seconds: float

    def refresh(self, model: str, champion: Entry) -> Refreshed:
        """Tell every replica, then ask until each answers with the champion or one that came after it.

        Raises:
            ServingError: A replica does not answer with it in time (NET060), refuses the token (NET061), is
                no service of mlkit (NET062), serves another project (NET063) or does not answer (NET064).
                All that do not are named; those that do stay with it.
        """
        replicas = self._replicas(ANSWER_SECONDS)
        deadline = time.monotonic() + self.timeout_seconds
        found = _at_once(lambda replica: replica.bring(model, champion, deadline), replicas)
        failed = {url: failure for url, failure in zip(self.urls, found, strict=True) if failure}
        if failed:
            raise self._error(failed, champion)
        number = f"{len(replicas)} replicas answer" if len(replicas) > 1 else f"{self.urls[0]} answers"
        return Refreshed(champion.to_version, f"{number} with v{champion.to_version}")

    def ask(self, model: str, champion: Entry, *, seconds: float) -> list[Heard]:
        """What each replica answers with now; none is told anything, and none is asked twice.

        Args:
            model: The project.
            champion: What the ledger names.
            seconds: How long an answer may take.
        """
        found = _at_once(lambda replica: replica.look(model, champion), self._replicas(seconds))
        own = f"answers with v{champion.to_version}"
        return [
            Heard(url, failure.words, failure.code) if failure else Heard(url, own)
            for url, failure in zip(self.urls, found, strict=True)
        ]

    def _replicas(self, seconds: float) -> list[_Replica]:
        token = os.environ.get(self.variable, "").replace(",", "\n").split("\n")[0].strip()
        return [_Replica(url, token, self.variable, seconds) for url in self.urls]

    def _error(self, failed: dict[str, _Failure], champion: Entry) -> ServingError:
        """One error for all that failed; its code is theirs if they agree."""
        first = next(iter(failed.values()))
        code = first.code if {one.code for one in failed.values()} == {first.code} else "NET060"
        each = "; ".join(f"{url} {failure.words}" for url, failure in failed.items())
        message = (
            f"{len(failed)} of {len(self.urls)} replicas do not answer with v{champion.to_version}: {each}"
        )
        return ServingError(code, message, path=next(iter(failed)), fix=first.fix)


@dataclasses.dataclass(frozen=True)
class _Replica:
    """One service."""

    url: str
    token: str
    variable: str
    seconds: float  # for an answer

    def bring(self, project: str, champion: Entry, deadline: float) -> _Failure | None:
        """Tell and ask until it answers with the champion; None, or why it does not."""
        pause = _FIRST_SECONDS
        while True:
            failure = self._tell(champion)
            if failure is None or not failure.final:  # a lost answer may have been heard
                failure = self.look(project, champion)
            if failure is None or failure.final or time.monotonic() + pause > deadline:
                return failure
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_SECONDS)

    def _tell(self, champion: Entry) -> _Failure | None:
        body = json.dumps({"wanted_seq": champion.seq}).encode()
        answer = self._ask("POST", "/-/refresh", body)
        return answer if isinstance(answer, _Failure) else None

    def look(self, project: str, champion: Entry) -> _Failure | None:
        """What it answers with, compared with the champion."""
        answer = self._ask("GET", "/version")
        if isinstance(answer, _Failure):
            return answer
        if answer.get("project") != project:
            words, fix = "serves another project", "correct [targets.NAME.serving] replicas"
            return _Failure("NET063", words, fix, final=True)
        seq, same = answer.get("seq_everywhere", answer.get("seq")), answer.get("model_id")
        if isinstance(seq, int) and (seq > champion.seq or (seq, same) == (champion.seq, champion.model_id)):
            return None
        return _Failure("NET060", _behind(answer))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any] | _Failure:
        """The JSON that it answers; no redirect is followed, for the token goes where it was meant to."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = kind(parts.netloc, timeout=self.seconds)
        try:
            connection.request(method, parts.path + path, body, headers)
            answer = connection.getresponse()
            return self._read(answer.status, answer.read(_MOST_BYTES))
        except (OSError, http.client.HTTPException) as exc:
            return _Failure("NET064", f"does not answer: {_reason(exc, self.seconds)}", f"is it up? {_AGAIN}")
        finally:
            connection.close()

    def _read(self, status: int, content: bytes) -> dict[str, Any] | _Failure:
        if status in _FORBIDDEN:
            fix = f"set {self.variable} to an admin token of the service, then deploy again"
            words = "refuses the token" if self.token else "asks for a token"
            return _Failure("NET061", f"{words} ({status})", fix, final=True)
        if status >= _BROKEN:
            return _Failure("NET060", f"is not ready ({status})")
        try:
            values = json.loads(content) if status == _OK else None
        except ValueError:
            values = None
        if not isinstance(values, dict):
            fix = "correct [targets.NAME.serving] replicas"
            return _Failure("NET062", f"is no service of mlkit ({status})", fix, final=True)
        return values


def _at_once(
    do: Callable[[_Replica], _Failure | None], replicas: Sequence[_Replica]
) -> list[_Failure | None]:
    with ThreadPoolExecutor(min(len(replicas), _MOST_AT_ONCE)) as pool:
        return list(pool.map(do, replicas))


def _behind(answer: dict[str, Any]) -> str:
    version = answer.get("version")
    serves = f"v{version}" if isinstance(version, int) else "nothing"
    code = answer.get("error_code")
    why = f", because of {code}" if isinstance(code, str) else ""
    return f"answers with {serves} of entry {answer.get('seq_everywhere', answer.get('seq'))}{why}"


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {seconds:.0f} s"
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


if TYPE_CHECKING:
    _: type[Refresher] = ReplicaRefresher
