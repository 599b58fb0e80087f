"""Answers: predictions as MLflow gives them, and errors that tell what to do and quote nothing.

An error's body is ``{"error": {code, message, path, fix, request_id}}``. No value of the request, no path
of this machine and no traceback is ever in it: `path` is a column, a header or a key of the request.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlkit.errors import DataError, ServingError, StudyError
from mlkit.production.service.spool import SpoolFullError

try:  # both write the same values; this one twenty times as fast
    import orjson
except ImportError:  # pragma: no cover - the extra `serve` brings it
    orjson = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from mlkit.errors import MlkitError
    from mlkit.model.predictions import Predictions

Headers = list[tuple[bytes, bytes]]
RETRY_SECONDS = 1

STATUS = {
    "NET020": 405,
    "NET021": 415,
    "NET022": 415,
    "NET023": 413,
    "NET024": 413,
    "NET025": 400,
    "NET026": 400,
    "NET027": 400,
    "NET028": 400,
    "NET029": 400,
    "NET030": 422,
    "NET031": 422,
    "NET032": 422,
    "NET033": 422,
    "NET034": 422,
    "NET035": 401,
    "NET036": 403,
    "NET037": 503,
    "NET038": 503,
    "NET039": 504,
    "NET040": 408,
    "NET041": 404,
    "NET042": 431,
    "NET043": 500,
    "NET044": 400,
    "NET045": 500,
    "NET046": 422,
    "NET047": 422,
    "NET048": 422,
}
_UNAVAILABLE, _UNPROCESSABLE, _UNAUTHORIZED, _NOT_ALLOWED = 503, 422, 401, 405


class RefusedError(ServingError):
    """A request that is not answered with predictions; its code says with which status."""

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUS[self.code]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    headers: Headers
    kind: bytes = b"application/json"

    @property
    def head(self) -> Headers:
        """All headers of the answer."""
        return [(b"content-type", self.kind), (b"content-length", b"%d" % len(self.body)), *self.headers]


def ok(values: object, *, status: int = 200, headers: Headers | None = None) -> Answer:
    """Plain values as JSON."""
    return Answer(status, json.dumps(values, default=str).encode(), headers or [])


def predicted(predictions: Predictions, *, with_probabilities: bool, headers: Headers) -> tuple[Answer, int]:
    """Predictions as JSON, and how many of them were not finite and are null.

    Args:
        predictions: Of the rows of one request.
        with_probabilities: Add one list for each row: the probability of each class, named in ``classes``.
        headers: Further headers.
    """
    values, lost = _plain(predictions.values)
    body: dict[str, Any] = {"predictions": values}
    if with_probabilities and predictions.probabilities is not None:
        shape = predictions.probabilities.shape
        flat, lost_too = _plain(predictions.probabilities.ravel())
        body["classes"] = list(predictions.classes)
        body["probabilities"] = [flat[at : at + shape[1]] for at in range(0, len(flat), shape[1])]
        lost += lost_too
    return Answer(200, write_json(body), headers), lost


def write_json(values: object) -> bytes:
    """Plain values as JSON bytes."""
    return json.dumps(values).encode() if orjson is None else orjson.dumps(values)


def refused(error: MlkitError, *, request_id: str) -> Answer:
    """The answer to a request that raised, of an error that is `for_strangers`."""
    status = _status(error)
    body = {"code": error.code, "message": error.message, "path": error.path, "fix": error.fix}
    headers: Headers = [(b"x-request-id", request_id.encode())]
    if status == _UNAVAILABLE:
        seconds = math.ceil(getattr(error, "retry_after_seconds", RETRY_SECONDS))
        headers.append((b"retry-after", b"%d" % max(seconds, 1)))
    if status == _NOT_ALLOWED:
        headers.append((b"allow", error.fix.encode()))
    if status == _UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return Answer(status, json.dumps({"error": {**body, "request_id": request_id}}).encode(), headers)


def model_failed() -> RefusedError:
    """The model raised: what it said stays here, for it may quote the rows."""
    message = "the model raised an error on these rows"
    return RefusedError("NET043", message, fix="send the rows one by one to find which it is")


def internal_error() -> RefusedError:
    """Anything that nobody thought of."""
    message = "the service failed; what happened is in its log"
    return RefusedError("NET045", message, fix="report the request id to who runs the service")


def for_strangers(error: MlkitError) -> MlkitError:
    """The error, or another one in its place where its text is for who runs the service alone."""
    if isinstance(error, (ServingError, DataError, SpoolFullError)):
        return error
    return model_failed() if isinstance(error, StudyError) else internal_error()


def _status(error: MlkitError) -> int:
    if isinstance(error, RefusedError):
        return error.status
    return _UNPROCESSABLE if isinstance(error, DataError) else _UNAVAILABLE


def _plain(values: np.ndarray[Any, Any]) -> tuple[list[Any], int]:
    """Python values, with None for what is not finite, and the number of those."""
    plain = values.tolist()
    if values.dtype.kind != "f":
        return plain, 0
    finite = np.isfinite(values)
    lost = len(plain) - int(finite.sum())
    return (
        [value if fine else None for value, fine in zip(plain, finite, strict=True)] if lost else plain
    ), lost
