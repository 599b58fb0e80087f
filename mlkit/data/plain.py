"""Plain Arrow: the types that a Delta table holds exactly, and the way there without changing a value.

Encodings (dictionaries, runs, views, 64-bit offsets) are undone, unsigned integers become the next
signed width, instants become microseconds, in UTC where they have a zone. A value means the same
before and after, so fingerprints are equal; what cannot be held exactly is refused by its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlkit.data.names import check_names
from mlkit.errors import DataError, DataOverflowError, UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Offsets of a plain text column have 32 bits, so one chunk holds at most 2 GiB of text.
MAX_CHUNK_BYTES = 2**31 - 1

_MAX_PRECISION = 38

_HELD = frozenset({
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(),
    pa.string(), pa.binary(), pa.date32(),
})  # fmt: skip
_BECOMES = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.date64(): pa.date32(),
}
_LOSSES = {
    pa.uint64(): (
        "DAT027",
        "a value is beyond int64, and tables have no unsigned integers",
        "float64 or text",
    ),
    pa.date64(): ("DAT032", "a date has a time of day", "a timestamp"),
}


def plain_type(kind: pa.DataType, path: str) -> pa.DataType:
    """The type that a table holds for values of this type.

    Args:
        kind: Any Arrow type.
        path: Column path for the error message, e.g. ``user.tags[]``.

    Raises:
        UnsupportedTypeError: No table holds such values exactly.
    """
    if scalar := _plain_scalar(kind):
        return scalar
    if _is_encoded(kind):
        return plain_type(kind.value_type, path)
    if _is_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type, f"{path}[]")))
    if pa.types.is_struct(kind):
        check_names([field.name for field in kind], path=path)
        return pa.struct([field.with_type(plain_type(field.type, f"{path}.{field.name}")) for field in kind])
    raise _unsupported(kind, path)


def plain_column(column: pa.Array | pa.ChunkedArray, path: str) -> pa.ChunkedArray:
    """The same values in the type that a table holds.

    Args:
        column: (n,) values of any type.
        path: Column path for the error message.

    Returns:
        (n,) values of `plain_type`, cut so that no chunk outgrows its offsets.

    Raises:
        DataError: A value cannot be held exactly.
    """
    target = plain_type(column.type, path)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if column.type == target:
        return pa.chunked_array(chunks, type=target)
    return pa.chunked_array([part for chunk in chunks for part in _parts(chunk, target, path)], type=target)


def nan_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Missing values in one form; columns that hold no floats stay as they are."""
    if not pa.types.is_floating(column.type):
        return column
    mask = pc.is_nan(column)
    if not pc.any(mask).as_py():
        return column
    return pc.if_else(mask, pa.scalar(None, column.type), column)


def _plain_scalar(kind: pa.DataType) -> pa.DataType | None:
    if kind in _HELD:
        return kind
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_decimal(kind) and kind.precision <= _MAX_PRECISION and kind.scale >= 0:
        return pa.decimal128(kind.precision, kind.scale)
    return pa.binary() if pa.types.is_fixed_size_binary(kind) else _BECOMES.get(kind)


def _is_encoded(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind))


def _is_list(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _unsupported(kind: pa.DataType, path: str) -> UnsupportedTypeError:
    if pa.types.is_null(kind):
        fix = "declare its type in a contract, or cast it, e.g. .astype('float64')"
        return UnsupportedTypeError("DAT034", "only missing values and no declared type", path=path, fix=fix)
    if pa.types.is_duration(kind):
        fix = "make it a number with its unit in the name, e.g. delay_seconds"
        return UnsupportedTypeError("DAT024", "tables hold no durations", path=path, fix=fix)
    if pa.types.is_time(kind):
        fix = "make it a number, e.g. seconds since midnight"
        return UnsupportedTypeError("DAT025", "tables hold no time of day", path=path, fix=fix)
    fix = "cast it to a number, text, date or timestamp, or leave it out"
    return UnsupportedTypeError("DAT030", f"no table holds the type {kind} exactly", path=path, fix=fix)


def _parts(chunk: pa.Array, target: pa.DataType, path: str) -> Iterator[pa.Array]:
    """Convert a chunk in halves until the text of each part fits its offsets."""
    if len(chunk) > 1 and _text_bytes(chunk) > MAX_CHUNK_BYTES:
        half = len(chunk) // 2
        for part in (chunk.slice(0, half), chunk.slice(half)):
            # A copy: a slice keeps its offsets into all of the text, which no smaller type can hold.
            yield from _parts(pa.concat_arrays([part, part.slice(0, 0)]), target, path)
        return
    try:
        yield _decoded(chunk).cast(target)
    except pa.ArrowInvalid:
        # Arrow's message quotes the value, which must not reach a log: no chaining.
        raise _loss(chunk, path) from None
    except pa.ArrowNotImplementedError as exc:
        raise _unsupported(chunk.type, path) from exc


def _decoded(array: pa.Array) -> pa.Array:
    """Values of an encoded array; others as they are."""
    if pa.types.is_run_end_encoded(array.type):
        return _decoded(pc.run_end_decode(array))
    if pa.types.is_dictionary(array.type):
        values = array.dictionary.cast(plain_type(array.type.value_type, ""))
        return values.take(array.indices)
    return array


def _text_bytes(array: pa.Array) -> int:
    """At least as many bytes as the longest text column inside needs when it is plain."""
    return max((_leaf_bytes(leaf) for _, leaf in _leaves(array, "")), default=0)


def _leaf_bytes(leaf: pa.Array) -> int:
    kind = leaf.type
    if _is_encoded(kind):
        values = leaf.dictionary if pa.types.is_dictionary(kind) else leaf.values
        return len(leaf) * _longest(values)
    if kind in {pa.string_view(), pa.binary_view()}:
        return len(leaf) * _longest(leaf)
    return int(leaf.nbytes)


def _longest(values: pa.Array) -> int:
    """Bytes of the longest text (0 for other types)."""
    if plain_type(values.type, "") not in {pa.string(), pa.binary()}:
        return 0
    if values.type in {pa.string_view(), pa.binary_view()}:
        values = values.cast(pa.large_binary())
    return int(pc.max(pc.binary_length(values)).as_py() or 0)


def _leaves(array: pa.Array, path: str) -> Iterator[tuple[str, pa.Array]]:
    """The arrays inside a nested array, each with its path; a flat array is its own leaf."""
    if _is_list(array.type):
        yield from _leaves(array.flatten(), f"{path}[]")
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(child, f"{path}.{field.name}")
    else:
        yield path, array


def _loss(array: pa.Array, path: str) -> DataError:
    """Say which column inside `array` does not fit, and why."""
    for leaf_path, leaf in _leaves(array, path):
        try:
            _decoded(leaf).cast(plain_type(leaf.type, leaf_path))
        except pa.ArrowInvalid:
            return _leaf_loss(leaf.type, leaf_path)
    return DataError("DAT030", f"no table holds these values of type {array.type} exactly", path=path)


def _leaf_loss(kind: pa.DataType, path: str) -> DataError:
    while _is_encoded(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        if kind.unit == "ns":
            fix = "round it to microseconds, e.g. .dt.floor('us')"
            return DataError("DAT032", "microseconds would lose nanoseconds", path=path, fix=fix)
        message = "holds an instant beyond what microseconds since 1970 can hold"
        return DataOverflowError("DAT028", message, path=path, fix="make it missing")
    code, cause, cast = _LOSSES[kind]
    return DataError(code, cause, path=path, fix=f"cast it to {cast}")
