"""The client of a Databricks workspace: quiet, and patient within bounds.

databricks-sdk finds the credentials (profile, environment, the job's own), repeats what a 429 or a lost
connection stopped, and gives typed errors. Its bounds are set here: no call with all its repeats takes
longer than about `CALL_SECONDS`, whatever a server asks for in ``Retry-After``.
"""

from __future__ import annotations

import logging
import time

from databricks.sdk import WorkspaceClient
from databricks.sdk.clock import RealClock
from databricks.sdk.config import Config
from databricks.sdk.errors import (
    BadRequest,
    InvalidState,
    NotFound,
    NotImplemented,  # noqa: A004 - the name that the SDK gave to an error
    PermissionDenied,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError

from mlkit.errors import UsageError

CALL_SECONDS = 60
ANSWER_SECONDS = 30
_MOST_WORDS = 300

NO_ANSWER = (OSError, ValueError)
"""All that a call of the SDK raises: its typed errors, lost connections, credentials that do not count."""

_REFUSED = (BadRequest, NotFound, NotImplemented, PermissionDenied, Unauthenticated)


class _Clock(RealClock):
    """Never goes back, and never sleeps long because a server said so."""

    def time(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, CALL_SECONDS))


def open_client(profile: str | None = None) -> WorkspaceClient:
    """A client of the workspace of a profile, or of the environment.

    Args:
        profile: Profile of databricks-sdk's unified authentication.

    Raises:
        UsageError: No credentials were found (CLI013).
    """
    logger = logging.getLogger("databricks.sdk")
    if logger.level == logging.NOTSET:  # else somebody wants to hear it
        logger.setLevel(logging.ERROR)
    try:
        config = Config(
            profile=profile,
            product="mlkit",
            retry_timeout_seconds=CALL_SECONDS,
            http_timeout_seconds=ANSWER_SECONDS,
            clock=_Clock(),
        )
    except ValueError as exc:
        who = f"--profile {profile}" if profile else "--host https://..."
        fix = f"databricks auth login {who}, or set DATABRICKS_HOST and DATABRICKS_TOKEN"
        message = "databricks-sdk found no credentials for the workspace"
        raise UsageError("CLI013", message, path=profile or "DATABRICKS_HOST", fix=fix) from exc
    return WorkspaceClient(config=config)


def is_refusal(error: Exception) -> bool:
    """Whether the answer stays the same however often one asks."""
    if isinstance(error, OSError):
        return isinstance(error, _REFUSED) and not isinstance(error, InvalidState)
    return isinstance(error, ValueError)  # of the credentials


def words_of(error: BaseException) -> str:
    """What an error says, in one line, without the SDK's list of settings."""
    if isinstance(error, TimeoutError) and error.__cause__ is not None:  # what it was that was repeated
        return words_of(error.__cause__)
    if isinstance(error, DatabricksError):
        return in_short(str(error).split(". Config: ")[0])
    return type(error).__name__


def in_short(text: str) -> str:
    """A text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_WORDS else f"{line[:_MOST_WORDS]}..."
