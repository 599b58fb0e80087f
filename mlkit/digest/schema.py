"""What a digest admits: which Arrow types, and which names of columns."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from mlkit.errors import DataError, UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DECIMAL_DIGITS = 18
"""Digits that a decimal may have after the point, and before it."""

_EXTENSION = b"ARROW:extension:name"

_REFUSED: tuple[tuple[Callable[[pa.DataType], bool], str, str], ...] = (
    (pa.types.is_time, "DAT025", "cast it to a duration or a string, or leave it out"),
    (pa.types.is_interval, "DAT030", "cast it to a duration or to integers, or leave it out"),
    (pa.types.is_map, "DAT021", "cast it to a list of structs, sorted by key, or leave it out"),
)
_NAMES_SHOWN = 10
_DEFAULT_FIX = "cast it to a plain type, or leave it out"


def name_order(names: Sequence[str]) -> list[int]:
    """Positions of the columns in the order of their digest: by the UTF-8 bytes of their names."""
    return sorted(range(len(names)), key=lambda position: names[position].encode())


def positions_of(names: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Where the wanted `columns` stand among `names`.

    Raises:
        DataError: One is missing, or there twice.
    """
    for column in columns:
        count = names.count(column)
        if count != 1:
            raise DataError(
                "DAT010" if count else "DAT045",
                f"expected one column of this name, found {count or 'none'} among {len(names)}",
                path=column,
                fix="rename or drop all but one" if count else _nearest(column, names),
            )
    return [names.index(column) for column in columns]


def check_schema(schema: pa.Schema) -> None:
    """Refuse what has no digest, before any row is read.

    Raises:
        DataError: No columns, or two of one name.
        UnsupportedTypeError: A column, field or item of a type without a digest.
    """
    if not len(schema):
        raise DataError(
            "DAT001", "expected at least one column, found none", fix="check the query or the file"
        )
    check_names(schema.names, "")
    for field in schema:
        _check_field(field, field.name)


def unsupported(kind: pa.DataType | str, path: str) -> UnsupportedTypeError:
    """The error for a type that has no digest."""
    code, fix = "DAT021", _DEFAULT_FIX
    if isinstance(kind, pa.DataType):
        code, fix = next(((code, fix) for matches, code, fix in _REFUSED if matches(kind)), (code, fix))
    elif kind in {"pandas.period", "pandas.interval"}:
        code, fix = "DAT030", "cast it to strings or to its bounds, or leave it out"
    return UnsupportedTypeError(code, f"expected a type that has a digest, found {kind}", path=path, fix=fix)


def _nearest(column: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(column, names, n=3)
    return f"choose {' or '.join(near)}" if near else f"choose among {', '.join(names[:_NAMES_SHOWN])}"


def check_names(names: Sequence[str], parent: str) -> None:
    """Refuse a name that stands twice; `parent` is put before it in the error.

    Raises:
        DataError: One does.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(
                "DAT010",
                f"expected each name once, found it {count} times",
                path=f"{parent}{name}",
                fix="rename or drop all but one",
            )


def _check_field(field: pa.Field, path: str) -> None:
    kind = field.type
    extension = _extension_name(field)
    if extension:
        raise unsupported(extension, path)
    if pa.types.is_struct(kind):
        check_names([child.name for child in kind], f"{path}.")
        for child in kind:
            _check_field(child, f"{path}.{child.name}")
    elif _is_list(kind):
        _check_field(kind.value_field, f"{path}[]")
    elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        _check_field(pa.field(field.name, kind.value_type), path)
    elif pa.types.is_union(kind) or _is_refused(kind):
        raise unsupported(kind, path)


def _is_refused(kind: pa.DataType) -> bool:
    if pa.types.is_decimal(kind):
        return not 0 <= kind.scale <= DECIMAL_DIGITS
    return any(matches(kind) for matches, _, _ in _REFUSED)


def _extension_name(field: pa.Field) -> str:
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    # An extension that this process has not registered arrives as its storage, marked.
    marked: bytes = (field.metadata or {}).get(_EXTENSION, b"")
    return marked.decode()


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )
