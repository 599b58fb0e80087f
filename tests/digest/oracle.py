"""The rules of the digest once more, one value at a time and without numpy: slow on purpose.

A cell is a plain Python value beside its Arrow type. Instants are integers in the unit of the type.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

MASK = (1 << 64) - 1
PRIME_1, PRIME_2, PRIME_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME_4, PRIME_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MISSING = struct.unpack("<Q", struct.pack("<d", float("nan")))[0]
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DAY = 24 * 60 * 60 * 10**9


def rotate(word: int, bits: int) -> int:
    """A 64-bit word turned left."""
    return (word << bits | word >> (64 - bits)) & MASK


def scramble(word: int, start: int = 0) -> int:
    """One round of XXH64."""
    return rotate((start + word * PRIME_2) & MASK, 31) * PRIME_1 & MASK


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 as its published description has it."""
    stripes = len(data) // 32
    digest = (seed + PRIME_5) & MASK
    if stripes:
        columns = [seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed, seed - PRIME_1]
        for quad in struct.iter_unpack("<4Q", data[: 32 * stripes]):
            columns = [scramble(word, column) for word, column in zip(quad, columns, strict=True)]
        digest = sum(rotate(column, bits) for column, bits in zip(columns, (1, 7, 12, 18), strict=True))
        for column in columns:
            digest = ((digest ^ scramble(column)) * PRIME_1 + PRIME_4) & MASK
    digest = (digest + len(data)) & MASK
    rest = data[32 * stripes :]
    while len(rest) >= 8:
        digest = (
            rotate(digest ^ scramble(int.from_bytes(rest[:8], "little")), 27) * PRIME_1 + PRIME_4
        ) & MASK
        rest = rest[8:]
    if len(rest) >= 4:
        half = int.from_bytes(rest[:4], "little") * PRIME_1 & MASK
        digest = (rotate(digest ^ half, 23) * PRIME_2 + PRIME_3) & MASK
        rest = rest[4:]
    for byte in rest:
        digest = rotate(digest ^ byte * PRIME_5 & MASK, 11) * PRIME_1 & MASK
    digest = (digest ^ digest >> 33) * PRIME_2 & MASK
    digest = (digest ^ digest >> 29) * PRIME_3 & MASK
    return digest ^ digest >> 32


def chain(words: Iterable[int], start: int) -> int:
    """Each word hashed with the hash so far as its seed."""
    for word in words:
        start = xxh64((word & MASK).to_bytes(8, "little"), start)
    return start


def words(value: Any, kind: pa.DataType, lane: int) -> list[int]:
    """What of a cell goes into the chain of its row."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return words(value, kind.value_type, lane)
    if value is None or value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return [MISSING]
    if pa.types.is_temporal(kind):
        return instant_words(value, kind)
    if isinstance(value, str | bytes):
        return [xxh64(value.encode() if isinstance(value, str) else value, chain([lane], 42))]
    if isinstance(value, list | dict):
        return [nested_word(value, kind, lane)]
    return number_words(value)


def nested_word(value: Any, kind: pa.DataType, lane: int) -> int:
    """A list by its length and items, a struct by its fields in the order of their names."""
    if isinstance(value, list):
        items = [row([item], [kind.value_type], lane) for item in value]
        return chain([len(value), *items], chain([lane], 42))
    fields = sorted(kind, key=lambda field: field.name.encode())
    return row([value[field.name] for field in fields], [field.type for field in fields], lane)


def number_words(value: Any) -> list[int]:
    """Truth values, integers, floats and decimals."""
    if isinstance(value, float):
        return [float_word(value)]
    return integer_words(int(value)) if isinstance(value, int) else decimal_words(value)


def float_word(value: float) -> int:
    """The bits of a double, zero without a sign."""
    return struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]


def integer_words(value: int) -> list[int]:
    """The float, and the integer too where the float may be another number."""
    return [float_word(float(value))] + [value] * (abs(value) > 2**53)


def decimal_words(value: Decimal) -> list[int]:
    """The whole part, and the fraction if there is one."""
    numerator, denominator = value.as_integer_ratio()
    whole = abs(numerator) // denominator
    fraction = (abs(numerator) - whole * denominator) * 10**18 // denominator
    sign = -1 if numerator < 0 else 1
    return integer_words(sign * whole) + [sign * fraction] * (fraction > 0)


def instant_words(value: int, kind: pa.DataType) -> list[int]:
    """Microseconds, and the nanoseconds that remain."""
    if pa.types.is_date32(kind):
        nanoseconds = value * DAY
    else:
        nanoseconds = value * NANOSECONDS["ms" if pa.types.is_date64(kind) else kind.unit]
    whole, rest = divmod(nanoseconds, 1000)
    return [whole] + [rest] * (rest > 0)


def row(values: Iterable[Any], kinds: Iterable[pa.DataType], lane: int) -> int:
    """One lane of the digest of a row whose cells stand in the order of their names."""
    cells = [word for value, kind in zip(values, kinds, strict=True) for word in words(value, kind, lane)]
    return chain(cells, chain([lane], 42))


def signed(number: int, bits: int) -> int:
    """The same bits, read as two's complement."""
    return number - (1 << bits) if number >> (bits - 1) else number


def lanes(columns: Mapping[str, list[Any]], schema: pa.Schema) -> list[list[int]]:
    """Both lanes of each row, signed."""
    names = sorted(columns, key=str.encode)
    kinds = [schema.field(name).type for name in names]
    rows = list(zip(*(columns[name] for name in names), strict=True))
    return [[signed(row(cells, kinds, lane), 64) for cells in rows] for lane in (0, 1)]


def fingerprint(columns: Mapping[str, list[Any]], schema: pa.Schema) -> str:
    """The name of the dataset."""
    both = lanes(columns, schema)
    sums = [sum(signed(lane >> shift & 0xFFFFFFFF, 32) for lane in one) for one in both for shift in (0, 32)]
    document = {"columns": sorted(columns, key=str.encode), "rows": len(both[0]), "sums": sums, "v": 1}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return "d1:" + hashlib.sha256(text.encode()).hexdigest()[:32]
