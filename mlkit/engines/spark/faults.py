"""What went wrong in Spark, in the words of this project.

The texts of Spark are not repeated: some show rows, some show addresses with a token. They stay as the
cause. What an error means is read from its condition and status where there are any, and from its first
words on servers that send neither.
"""

from __future__ import annotations

import contextlib
import enum
import json
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa

from mlkit import errors
from mlkit.errors import DataError, MlkitError, OutcomeUnknownError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Rows(Protocol):
    """Rows on their way into a table."""

    @property
    def fault(self) -> BaseException | None:
        """What the caller's own stream raised."""


class Kind(enum.Enum):
    """What an error of Spark means to its caller."""

    NOT_FOUND = "not found"
    HALF_MADE = "half made"
    EXISTS = "exists"
    NO_FORMAT = "no such format"
    UNSUPPORTED = "unsupported"
    BAD_COLUMN_NAME = "bad column name"
    DENIED = "denied"
    UNAUTHENTICATED = "unauthenticated"
    TOO_LARGE = "too large"
    UNAVAILABLE = "unavailable"
    OTHER = "other"


class _Sign(NamedTuple):
    """How a kind is recognised: by the name of a condition or status, or by the first words."""

    kind: Kind
    names: re.Pattern[str]
    words: re.Pattern[str]


_DETAILS = re.compile(r'details = "(.*)"')
_CONDITION = re.compile(r"(?:^|: )\[([A-Z][A-Z0-9_.]+)\]")  # in the text of an error that Java has thrown
_MARK = "mlkit-error:"
_CARRIED = re.compile(rf"{_MARK}([0-9a-f]+)\.")
_NEVER = re.compile(r"(?!)")

# In this order: the first that fits names the kind. The words are those of Sail, which sends no conditions.
_SIGNS = (
    _Sign(
        Kind.UNAVAILABLE,
        re.compile(
            r"UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|INVALID_HANDLE.*|NO_ACTIVE_SESSION|RETRIES_EXCEEDED"
        ),
        re.compile(r"Cannot invoke RPC on closed channel|.*session .*closed", re.IGNORECASE),
    ),
    _Sign(Kind.UNAUTHENTICATED, re.compile(r"UNAUTHENTICATED"), _NEVER),
    _Sign(
        Kind.DENIED,
        re.compile(r"PERMISSION_DENIED.*|INSUFFICIENT_PERMISSIONS.*|UNAUTHORIZED_ACCESS|42501"),
        re.compile(r"(\([\w.$]+\) )?(PERMISSION_DENIED|Insufficient privileges)"),
    ),
    _Sign(
        Kind.EXISTS,
        re.compile(r"(TABLE_OR_VIEW|TABLE|RELATION|VIEW|DELTA_TABLE|LOCATION)_ALREADY_EXISTS"),
        re.compile(r"(Delta )?table already exists", re.IGNORECASE),
    ),
    _Sign(
        Kind.NO_FORMAT,
        re.compile(r"DATA_SOURCE_NOT_FOUND|UNSUPPORTED_DATASOURCE.*"),
        re.compile(r"No data source found"),
    ),
    _Sign(
        Kind.NOT_FOUND,
        re.compile(r"(TABLE_OR_VIEW|SCHEMA|TABLE|VIEW|CATALOG)_NOT_FOUND|NO_SUCH_[A-Z]+_EXCEPTION"),
        re.compile(r"(Table|Database|Schema|Catalog)( or view)? not found", re.IGNORECASE),
    ),
    _Sign(Kind.HALF_MADE, _NEVER, re.compile(r"Invalid table location: No commit files found")),
    _Sign(
        Kind.BAD_COLUMN_NAME,
        re.compile(r".*INVALID_CHARACTERS?_IN_COLUMN_NAMES?|INVALID_COLUMN_NAME_AS_PATH"),
        _NEVER,
    ),
    _Sign(
        Kind.TOO_LARGE,
        re.compile(r"RESOURCE_EXHAUSTED|.*LOCAL_RELATION_SIZE_LIMIT_EXCEEDED|.*MAX_RESULT_SIZE.*"),
        re.compile(r".*bigger than .*maxResultSize", re.DOTALL),
    ),
    _Sign(
        Kind.UNSUPPORTED,
        re.compile(
            r"UNSUPPORTED_.*|NOT_SUPPORTED.*|PARSE_SYNTAX_ERROR|IDENTIFIER_TOO_MANY_NAME_PARTS|UNIMPLEMENTED"
        ),
        re.compile(r"invalid argument: found|unsupported|not supported", re.IGNORECASE),
    ),
)


_ERRORS = (("pyspark.errors", "PySparkException"), ("grpc", "RpcError"), ("py4j.protocol", "Py4JError"))


def of_spark() -> tuple[type[Exception], ...]:
    """What Spark and the libraries below it raise; whoever has a session has loaded them."""
    found: list[type[Exception]] = [ConnectionError]
    for module, name in _ERRORS:
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def kind_of(exc: BaseException) -> Kind:
    """What an error of Spark means."""
    if isinstance(exc, ConnectionError) or type(exc).__name__ == "Py4JNetworkError":
        return Kind.UNAVAILABLE
    names, words = _names(exc), _words(exc)
    for sign in _SIGNS:
        if any(sign.names.fullmatch(name) for name in names) or sign.words.match(words):
            return sign.kind
    return Kind.OTHER


def translated(exc: Exception, what: str) -> MlkitError:
    """The error to raise for one of Spark.

    Args:
        exc: What was raised.
        what: The table, for the message.
    """
    if carried := _carried(exc):
        return carried
    kind = kind_of(exc)
    if kind in _KNOWN:
        error, code, message, fix = _KNOWN[kind]
        return error(code, message, path=what, fix=fix)
    found = next(iter(_names(exc)), type(exc).__name__)
    return StoreError("STO050", f"Spark failed with {found}", path=what, fix="--debug shows the cause")


def as_text(error: MlkitError) -> str:
    """An error as a word that finds its way from an executor here, inside whatever Spark makes of it."""
    values = {**error.to_dict(), "type": type(error).__name__}
    return f"{_MARK}{json.dumps(values).encode().hex()}."


def _carried(exc: BaseException) -> MlkitError | None:
    """The error of this project that was raised on an executor, if that is what Spark failed of."""
    found = _CARRIED.search(str(exc))
    if found is None:
        return None
    values = json.loads(bytes.fromhex(found.group(1)))
    kind = getattr(errors, str(values["type"]), StoreError)
    error: MlkitError = kind(values["code"], values["message"], path=values["path"], fix=values["fix"])
    return error


def outcome_unknown(what: str) -> OutcomeUnknownError:
    """The error for a write that was sent and not answered."""
    return OutcomeUnknownError(
        "STO054",
        "the connection was lost while a write was under way; it may have taken place",
        path=what,
        fix="read the table again before anything else is written",
    )


@contextlib.contextmanager
def door(what: str, rows: Rows | None = None) -> Iterator[None]:
    """Let out the errors of this project only, and what the caller's own stream raised."""
    try:
        yield
    except (MlkitError, pa.ArrowException, *of_spark()) as exc:
        if rows is not None and rows.fault is not None:
            raise rows.fault from rows.fault.__cause__
        error = _let_out(exc, what)
        if error is exc:
            raise
        raise error from (exc.__cause__ if isinstance(exc, MlkitError) else exc)


def _let_out(exc: Exception, what: str) -> Exception:
    """The error as it may be seen; the digest says of each error of Spark just that there was one."""
    if isinstance(exc, StoreError) and exc.code == "STO050" and isinstance(exc.__cause__, of_spark()):
        return translated(exc.__cause__, what)
    if isinstance(exc, MlkitError):
        return exc
    return translated(exc, what) if isinstance(exc, (*of_spark(), pa.ArrowException)) else exc


def _names(exc: BaseException) -> list[str]:
    """Names of the condition, of the SQL state and of the status of a call, as far as there are any."""
    told = _CONDITION.search(str(exc))
    condition = _called(exc, "getCondition") or (told.group(1) if told else "")
    found = (condition, _called(exc, "getSqlState"), _status(exc))
    return [name for name in found if name]


def _words(exc: BaseException) -> str:
    """What the server said, without what the client wraps around it."""
    details = _DETAILS.search(str(exc))
    return details.group(1) if details else str(exc).lstrip()


def _called(exc: BaseException, method: str) -> str:
    return str(getattr(exc, method, lambda: None)() or "")


def _status(exc: BaseException) -> str:
    """Name of the status of a remote call that failed; UNKNOWN says nothing."""
    for method in ("code", "getGrpcStatusCode"):
        status: Any = getattr(exc, method, lambda: None)()
        name = str(getattr(status, "name", ""))
        if name and name not in ("UNKNOWN", "INTERNAL"):
            return name
    return ""


_KNOWN: dict[Kind, tuple[type[MlkitError], str, str, str]] = {
    Kind.DENIED: (
        StoreError,
        "STO051",
        "the catalog refuses: a right is missing",
        "ask for USE CATALOG, USE SCHEMA, SELECT, MODIFY and CREATE TABLE on its schemas",
    ),
    Kind.UNAVAILABLE: (
        StoreError,
        "STO052",
        "Spark is away: its server does not answer, or the session has ended",
        "see that it runs, then repeat; nothing is half done",
    ),
    Kind.UNAUTHENTICATED: (
        StoreError,
        "STO053",
        "Spark does not accept the credentials of this session",
        "log in again, or name another profile in mlkit.toml",
    ),
    Kind.TOO_LARGE: (
        DataError,
        "DAT070",
        "Spark does not let this many rows pass to or from one process",
        "take fewer columns or rows in prepare, or an estimator that trains on Spark",
    ),
    Kind.BAD_COLUMN_NAME: (
        DataError,
        "DAT016",
        "a column name holds a character that the catalog refuses",
        "rename it: letters, digits and _ are safe",
    ),
}
