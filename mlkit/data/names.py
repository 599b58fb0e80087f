"""Column names that every engine takes and tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlkit.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME_LENGTH = 255

_FORBIDDEN = frozenset(" ,;{}()\n\t=`")
_RESERVED = frozenset({"_change_type", "_commit_version", "_commit_timestamp"})


def check_names(names: Sequence[str], *, path: str = "") -> None:
    """Refuse column names that some engine would refuse or confuse.

    Args:
        names: Column names, or field names of one struct.
        path: The struct that holds them; empty for a table.

    Raises:
        DataError: With the code of the first broken rule.
    """
    if not names:
        raise DataError("DAT001", "there are no columns", path=path, fix="give at least one column")
    for name in names:
        _check_name(name, f"{path}.{name}" if path else name)
    seen: dict[str, str] = {}
    for name in names:
        if twin := seen.get(name.lower()):
            _refuse_twins(twin, name)
        seen[name.lower()] = name


def _check_name(name: str, path: str) -> None:
    shown = repr(name)
    if not name.strip():
        raise DataError("DAT015", "a column has no name", path=path, fix="name it")
    edges = {edge for edge in (name[0], name[-1]) if edge.isspace()} - {"\n", "\t"}
    if edges or "\0" in name:
        message = f"{shown} starts or ends with a space, or holds a NUL"
        raise DataError("DAT018", message, path=path, fix="strip it")
    if bad := sorted(_FORBIDDEN & set(name)):
        found = " ".join(map(repr, bad))
        fix = "use letters, digits and underscores"
        raise DataError("DAT016", f"{shown} holds {found}, which Spark refuses", path=path, fix=fix)
    if len(name) > MAX_NAME_LENGTH:
        message = f"the name has {len(name)} characters, at most {MAX_NAME_LENGTH} are held"
        raise DataError("DAT017", message, path=f"{path[:40]}...", fix="shorten it")
    if name.lower() in _RESERVED:
        message = f"{shown} is reserved by Delta's change feed"
        raise DataError("DAT019", message, path=path, fix="rename the column")


def _refuse_twins(first: str, second: str) -> None:
    if first == second:
        raise DataError("DAT010", "two columns have this name", path=second, fix="rename or drop one")
    message = f"{first!r} and {second!r} differ in case only, which Spark does not see"
    raise DataError("DAT011", message, path=second, fix="rename one")
