"""Decimals as words: exact and blind to the declared scale.

A decimal is split in its whole part, which goes by the rule for integers, and its fraction in units
of 10**-18; so 42, 42.0 and 42.00 are one value, and no text is ever formatted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.digest.schema import DECIMAL_DIGITS
from mlkit.digest.words import Column, feed_integers, overflow, present, values_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from mlkit.digest.words import Integers, Sink
    from mlkit.digest.xxh64 import Mask, Words
    from mlkit.errors import DataOverflowError

_LIMIT = 10**DECIMAL_DIGITS
_HALF_DIGITS = 9
_LOW_32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


class DecimalColumn(Column):
    """Decimals of any width, scale 0 to 18, below 10**18 in magnitude."""

    def __init__(self, array: pa.Array, path: str) -> None:
        """Open `array` without a copy."""
        super().__init__(array, path)
        self._scale: int = array.type.scale
        width = array.type.bit_width // 8
        limb = min(width, 8)
        values = values_of(array, np.dtype((np.void, width)))
        self._limbs = values.view(f"i{limb}").reshape(len(array), width // limb)

    def feed(self, sink: Sink, start: int, stop: int, visible: Mask | None = None) -> None:
        """The words of the whole part; where there is a fraction, one more."""
        missing = self.missing(start, stop)
        limbs = self._limbs[start:stop]
        unseen = self.unseen(start, stop, visible)
        if unseen is not None:
            limbs = np.where(unseen[:, None], 0, limbs)
        whole, fraction = self._split(limbs)
        feed_integers(sink, whole, missing)
        sink.step(fraction.view(np.uint64), present(fraction != 0, missing))

    def _split(self, limbs: npt.NDArray[Any]) -> tuple[Integers, Integers]:
        """Whole part and fraction in units of 10**-18, both with the sign of the value."""
        low = limbs[:, 0].astype(np.int64)
        is_negative = limbs[:, -1] < 0
        if (limbs[:, 1:] == (low >> 63)[:, None]).all():
            magnitude = np.abs(low).view(np.uint64)
            unit = np.uint64(10**self._scale)
            whole = magnitude // unit
            fraction = magnitude - whole * unit
        else:
            whole, fraction = self._split_wide(limbs, is_negative)
        if int(whole.max()) >= _LIMIT:
            raise self._overflow()
        fraction *= np.uint64(10 ** (DECIMAL_DIGITS - self._scale))
        return _signed(whole, is_negative), _signed(fraction, is_negative)

    def _split_wide(self, limbs: npt.NDArray[Any], is_negative: Mask) -> tuple[Words, Words]:
        if not (limbs[:, 2:] == (limbs[:, 1:2] >> 63)).all():
            raise self._overflow()
        low = limbs[:, 0].astype(np.uint64)
        high = limbs[:, 1].astype(np.uint64)
        low[is_negative] = -low[is_negative]
        high[is_negative] = ~high[is_negative] + (low[is_negative] == 0)
        first = min(self._scale, _HALF_DIGITS)
        digits, low_part = _divide([high >> _32, high & _LOW_32, low >> _32, low & _LOW_32], 10**first)
        digits, high_part = _divide(digits, 10 ** (self._scale - first))
        if digits[0].any() or digits[1].any():
            raise self._overflow()
        return (digits[2] << _32) | digits[3], high_part * np.uint64(10**first) + low_part

    def _overflow(self) -> DataOverflowError:
        return overflow(self.path, "a decimal of 10**18 or more")


def _divide(digits: list[Words], divisor: int) -> tuple[list[Words], Words]:
    """Long division of numbers in base 2**32, most significant digit first, by less than 2**32."""
    quotients = []
    rest = np.zeros_like(digits[0])
    for digit in digits:
        part = (rest << _32) | digit
        quotient = part // np.uint64(divisor)
        rest = part - quotient * np.uint64(divisor)
        quotients.append(quotient)
    return quotients, rest


def _signed(magnitude: Words, is_negative: Mask) -> Integers:
    numbers = magnitude.view(np.int64)
    return np.where(is_negative, -numbers, numbers)
