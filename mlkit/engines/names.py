"""Names of tables: one grammar for every store, checked before anything is touched."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from mlkit.engines.base import SCHEMAS
from mlkit.errors import NamingError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlkit.engines.base import TableName

MAX_LENGTH = 255  # of a file name on the usual file systems, and of a table in Unity Catalog

_GRAMMAR = re.compile(r"[a-z][a-z0-9_]*")
_PUBLISHED = re.compile(r".*__[0-9a-f]{32}")
_PARTS = re.compile(
    r"mlkit_staging_.*|.*__(v[0-9]{8}|[bt][0-9a-f]{32})(__.*)?"
)  # of tables, in stores that have no folders
_PATH_MARKS = frozenset("/\\:.")


def check_schema(schema: str) -> None:
    """Refuse a schema that is not one of `mlkit.engines.base.SCHEMAS`.

    Raises:
        NamingError: NAM002, or NAM003 if it could leave the store's folder.
    """
    _check(schema, "schema")
    if schema not in SCHEMAS:
        raise NamingError(
            "NAM002",
            f"expected one of the schemas {', '.join(SCHEMAS)}, found {schema!r}",
            path="schema",
            fix=_nearest(schema, SCHEMAS),
        )


def check_name(name: str, *, path: str = "name") -> None:
    """Refuse a table name or prefix that some store would refuse or read as a path.

    Raises:
        NamingError: NAM002 (grammar), NAM003 (path), NAM006 (stands for a part), NAM010 (too long).
    """
    _check(name, path)
    if _PARTS.fullmatch(name):
        message = f"{name!r} would be a part of another table in some store"
        raise NamingError("NAM006", message, path=path, fix="choose another name")
    if len(name) > MAX_LENGTH:
        raise NamingError(
            "NAM010",
            f"a table name has at most {MAX_LENGTH} characters, found {len(name)}",
            path=path,
            fix="shorten it",
        )


def check_table(table: TableName) -> None:
    """Refuse a table whose schema or name breaks the grammar.

    Raises:
        NamingError: See `check_schema` and `check_name`.
    """
    check_schema(table.schema)
    check_name(table.name)


def check_growing(table: TableName) -> None:
    """Refuse to create or change a table under a name that stands for published content.

    Raises:
        NamingError: NAM011, or what `check_table` raises.
    """
    check_table(table)
    if _PUBLISHED.fullmatch(table.name):
        raise NamingError(
            "NAM011",
            f"{table} is named by its content: such a table is published once and never changes",
            path="name",
            fix="publish the new rows, or use a name that does not end in __ and 32 hex digits",
        )


def no_such_table(table: TableName, known: Iterable[TableName]) -> StoreError:
    """The error for a table that is not there, with the nearest names that are."""
    return StoreError(
        "STO010",
        f"there is no table {table} in this store",
        path=str(table),
        fix=_nearest(table.name, [other.name for other in known]),
    )


def _check(text: str, path: str) -> None:
    if _GRAMMAR.fullmatch(text):
        return
    if _PATH_MARKS.intersection(text):
        raise NamingError(
            "NAM003",
            f"a name is no path: found a dot, a colon or a slash in {text!r}",
            path=path,
            fix="use lower-case letters, digits and _",
        )
    raise NamingError(
        "NAM002",
        f"expected lower-case letters, digits and _ after a letter, found {text!r}",
        path=path,
        fix=f"for example {_tame(text)!r}",
    )


def _tame(text: str) -> str:
    """A name near `text` that the grammar takes."""
    tame = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")
    return tame if _GRAMMAR.fullmatch(tame) else f"t_{tame}".rstrip("_")


def _nearest(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text, sorted(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else "create it first, or look at the names there are"
