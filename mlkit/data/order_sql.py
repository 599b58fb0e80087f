"""Times as whole numbers in the same order, in SQL of Spark: exact, and blind to the zone of a session."""

from __future__ import annotations

import pyarrow as pa

_DAY, _HOUR, _MINUTE, _SECOND = 86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000
_FRACTION_BITS, _BIAS, _SPECIAL = 52, 1023, 2047
_HALF_WAY = 537  # half the power of two by which the smallest doubles become whole numbers


def has_order(kind: pa.DataType) -> bool:
    """Whether a column of this type can be one of times."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_date, pa.types.is_timestamp)
    return any(test(kind) for test in tests)


def ordinal(value: str, kind: pa.DataType) -> str:
    """SQL of a BIGINT for a time that is there: equal for equal times, greater for later ones.

    Args:
        value: SQL of the time.
        kind: Its type, one that `has_order`.
    """
    if pa.types.is_integer(kind):
        return f"CAST({value} AS BIGINT)"
    if pa.types.is_floating(kind):
        return _float(value)
    if pa.types.is_date(kind):
        return f"CAST(unix_date({value}) AS BIGINT)"
    return f"unix_micros({value})" if kind.tz else _wall_clock(value)


def _wall_clock(value: str) -> str:
    """Microseconds of an instant without a zone, from its parts: any cast would take the session's zone."""
    days = f"unix_date(CAST({value} AS DATE)) * {_DAY}L"
    seconds = f"CAST(date_part('SECOND', {value}) * {_SECOND} AS BIGINT)"
    return f"({days} + hour({value}) * {_HOUR}L + minute({value}) * {_MINUTE}L + {seconds})"


def _float(value: str) -> str:
    """The bits of a double as those of an integer, whose order is that of the doubles of one sign.

    Spark has no function for it. The exponent is a guess from the logarithm, put right by the fraction
    that it leaves: a division by a power of two is exact, and so is what follows.
    """
    size = f"abs(CAST({value} AS DOUBLE))"
    guess = f"floor(log2({size}))"
    fraction = f"({size} / pow(2D, {guess}))"
    exponent = f"({guess} + CASE WHEN {fraction} >= 2D THEN 1L WHEN {fraction} < 1D THEN -1L ELSE 0L END)"
    one = 2.0**_FRACTION_BITS
    whole = f"CAST({size} / pow(2D, {exponent}) * CAST('{one!r}' AS DOUBLE) AS BIGINT)"
    normal = f"({exponent} + {_BIAS - 1}L) * {1 << _FRACTION_BITS}L + {whole}"
    scale = f"CAST('{2.0**_HALF_WAY!r}' AS DOUBLE)"
    bits = (
        f"CASE WHEN {size} = double('Infinity') THEN {_SPECIAL << _FRACTION_BITS}L "
        f"WHEN {size} < CAST('{2.0 ** (1 - _BIAS)!r}' AS DOUBLE) "
        f"THEN CAST({size} * {scale} * {scale} AS BIGINT) ELSE {normal} END"
    )
    return f"(CASE WHEN {value} < 0 THEN -1L ELSE 1L END * {bits})"
