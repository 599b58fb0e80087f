"""What went wrong below an engine, in the words of this project.

The texts of the libraries are not repeated: some show rows of the table. They stay as the cause.
"""

from __future__ import annotations

import contextlib
import errno
import re
from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.errors import DataError, IntegrityError, MlkitError, RaceLostError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlkit.engines.base import TableName

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
_BROKEN_CONDITION = re.compile(r"(?:(\d+) rows failed validation check|[Ii]nvariant .*violated)", re.DOTALL)


def translated(exc: Exception, what: str) -> MlkitError:
    """The error to raise for an error of the store's library or of the system.

    Args:
        exc: What was raised.
        what: The table, for the message.
    """
    broken = _BROKEN_CONDITION.search(str(exc))
    if broken:
        return condition_broken(broken.group(1) or "some", what)
    if _number(exc) in _FULL:
        return StoreError(
            "STO001",
            "the store is full, nothing was changed",
            path=what,
            fix="free some space (`mlkit cleanup` shows what may go), then repeat",
        )
    return StoreError(
        "STO002",
        f"the store failed with {type(exc).__name__}",
        path=what,
        fix="see that its folder can be read and written, then repeat; --debug shows the cause",
    )


def is_of_system(exc: Exception) -> bool:
    """Whether the system refused, rather than the library."""
    return _number(exc) is not None


def unreadable_log(exc: Exception, what: str) -> MlkitError:
    """The error for a table whose log could not be opened: damaged, or kept from us by the system."""
    if _number(exc) in {None, errno.ENOENT}:
        return damaged(what, "a log that does not read")
    return translated(exc, what)


def damaged(what: str, found: str) -> IntegrityError:
    """The error for a table whose files are not what its log says."""
    return IntegrityError(
        "INT012",
        f"the table is damaged: found {found}",
        path=what,
        fix="restore its folder from a backup, or make the table again under another name",
    )


def misnamed(table: TableName, found: str) -> IntegrityError:
    """The error for a name that is taken by something else than it says."""
    return IntegrityError(
        "INT011",
        f"expected {table} to hold what its name says, found {found}; it was left as it is",
        path=str(table),
        fix="find out who wrote it, then move it away",
    )


def race_lost(table: TableName, expected: int, found: int) -> RaceLostError:
    """The error for a writer who came second."""
    return RaceLostError(
        "STO021",
        f"expected {table} at version {expected}, found version {found}; nothing was written",
        path=str(table),
        fix="read the newest version and decide again",
    )


def condition_broken(count: str, what: str) -> DataError:
    """The error for rows that the table itself refuses."""
    return DataError(
        "DAT061",
        f"{count} rows break a condition of the table; nothing was written",
        path=what,
        fix="correct or leave out these rows",
    )


def only_grows(table: TableName) -> IntegrityError:
    """The error for a merge into a table that takes appends only."""
    return IntegrityError(
        "INT013",
        f"{table} only grows: its rows are evidence and are never replaced",
        path=str(table),
        fix="append the new rows, or merge into another table",
    )


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Translate what can go wrong while a data file is read.

    Raises:
        IntegrityError: INT012, the file is missing or not what the log says.
        StoreError: STO002, the system refuses.
    """
    try:
        yield
    except FileNotFoundError as exc:
        raise damaged(file.parent.name, "a data file missing") from exc
    except (pa.ArrowException, KeyError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise translated(exc, file.parent.name) from exc
        raise damaged(file.parent.name, "a data file that does not read") from exc


def _number(exc: Exception) -> int | None:
    """The system's error number, which delta-rs only tells in its text."""
    if isinstance(exc, OSError) and exc.errno is not None:
        return exc.errno
    found = _SYSTEM_ERROR.search(str(exc))
    return int(found.group(1)) if found else None
