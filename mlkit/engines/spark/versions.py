"""Tables that grow, in catalogs without transactions: each version is a table of its own.

Version 3 of ``flights`` is the table ``flights__v00000003``. It is made whole under another name and never
changes, and its name is given to one writer only: that is the compare and set. The newest one counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlkit.engines.base import TableName
from mlkit.engines.names import MAX_LENGTH
from mlkit.engines.spark.catalog import STAGING
from mlkit.errors import NamingError

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = 20
"""Versions that stay readable; older ones are dropped after a write."""

_VERSION = re.compile(r"(.*)__v([0-9]{8})")
_PART = re.compile(r"(.*)__(?:v[0-9]{8}|[bt][0-9a-f]{32})")  # of a table that grows, or of a log
_SUFFIX = len("__v00000000")


def check_length(table: TableName) -> None:
    """Refuse a name that leaves no room for the number of a version.

    Raises:
        NamingError: NAM010.
    """
    if len(table.name) + _SUFFIX > MAX_LENGTH:
        most = MAX_LENGTH - _SUFFIX
        message = f"a table that grows is named by at most {most} characters here, found {len(table.name)}"
        raise NamingError("NAM010", message, path="name", fix="shorten it")


def table_of(table: TableName, version: int) -> TableName:
    """The table that holds one version."""
    return TableName(table.schema, f"{table.name}__v{version:08}")


def versions_of(table: TableName, found: Iterable[str]) -> list[int]:
    """The versions of a table that are among the names found, oldest first."""
    matches = map(_VERSION.fullmatch, found)
    return sorted(int(match[2]) for match in matches if match and match[1] == table.name)


def whole(found: Iterable[str]) -> list[str]:
    """The names of tables as users know them: each once, however many versions, in name order."""
    matches = ((name, _PART.fullmatch(name)) for name in found if not name.startswith(STAGING))
    return sorted({match[1] if match else name for name, match in matches})
