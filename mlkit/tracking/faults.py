"""What a server, or the way to it, had to say: found in the chain of causes of a library's error.

MLflow folds most of what goes wrong on the way into one kind of exception, and what reads and writes
files raises that of its HTTP library; both keep the system's own error as a cause or context. Addresses
are not repeated in messages, for users have been seen to put passwords there.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from mlkit.errors import OutcomeUnknownError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNREADABLE_PROFILE = "Reading Databricks credential configuration failed"
_LONGEST_CHAIN = 20
_WHERE = "look at the target's tracking_uri in mlkit.toml"
_LOGIN = (
    "log in: MLFLOW_TRACKING_USERNAME and _PASSWORD or MLFLOW_TRACKING_TOKEN for a server, "
    "`databricks auth login --profile NAME` for Databricks"
)


class _Answer(NamedTuple):
    """What a status means and what to do about it."""

    code: str
    cause: str
    fix: str


_BUSY = _Answer("STO036", "the server is overloaded or failing", "see its log, then run the same again")
_STATUS = {
    401: _Answer("STO033", "the server wants to know who asks", _LOGIN),
    403: _Answer("STO034", "you may not do this there", "ask the owner of the experiment, model or server"),
    429: _BUSY,
}
# MLflow's names for what came with a status.
_NAMED = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_NO_SERVER = _Answer("STO035", "no MLflow server answers at this address", _WHERE)


def explained(error: BaseException, action: str) -> StoreError | None:
    """The error of this project for what a server answered, or for no answer; None for anything else.

    Args:
        error: What a library raised.
        action: Completes "cannot ...".
    """
    chain = list(_chain(error))
    if any(_UNREADABLE_PROFILE in str(link) for link in chain):
        message = f"cannot {action}: no credentials for Databricks were found"
        return StoreError("STO033", message, path="profile", fix=_LOGIN)
    if answer := next(filter(None, map(_answered, chain)), None):
        return StoreError(
            answer.code, f"cannot {action}: {answer.cause}", path="tracking_uri", fix=answer.fix
        )
    if any(isinstance(link, ssl.SSLError) for link in chain):
        message = f"cannot {action}: the server's certificate is not trusted"
        return StoreError("STO031", message, path="tracking_uri", fix="see MLFLOW_TRACKING_SERVER_CERT_PATH")
    if any(isinstance(link, (ConnectionRefusedError, socket.gaierror)) for link in chain):
        message = f"cannot {action}: the server cannot be reached"
        return StoreError("STO031", message, path="tracking_uri", fix=f"is it up? {_WHERE}")
    if any(isinstance(link, (TimeoutError, ConnectionError)) for link in chain):
        message = f"no answer came when asked to {action}; it may have been done"
        fix = "run the same again: what was done is found and not done twice"
        return OutcomeUnknownError("STO032", message, path="tracking_uri", fix=fix)
    return None


def _answered(error: BaseException) -> _Answer | None:
    """What the server said, if this error holds it."""
    if (
        type(error).__name__ == "RetryError"
    ):  # of requests, which is not ours to import: too many of 429 or 5xx
        return _BUSY
    name = str(getattr(error, "error_code", ""))
    status = _NAMED.get(name) or getattr(getattr(error, "response", None), "status_code", None)
    if name == "ENDPOINT_NOT_FOUND":
        return _NO_SERVER
    if isinstance(status, int) and status >= 500:  # noqa: PLR2004 - HTTP's own boundary
        return _BUSY
    return _STATUS.get(status) if isinstance(status, int) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            return
        yield link
        inside = (
            part for part in link.args if isinstance(part, BaseException)
        )  # urllib3's way of saying why
        link = link.__cause__ or link.__context__ or next(inside, None)
