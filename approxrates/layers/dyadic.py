"""Dyadic numbers ``m 2^e``: exact weights of any length, closed under sums and products, cheap to compare and to shift.

Every finite float is one. Rationals would do too, but each of their sums takes a greatest common divisor, which is
quadratic in the length; here it is one shift.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import total_ordering
from typing import Any

import numpy as np


@total_ordering
class Dyadic:
    """The number ``mantissa * 2**exponent``, in lowest terms: the mantissa is odd, or both are 0. Immutable.

    Args:
        mantissa: Any integer.
        exponent: Any integer.

    Example:
        >>> Dyadic(12, -4), float(Dyadic(3, -2)), Dyadic(3, -2) * 2 - 1, Dyadic(5).bits
        (Dyadic(3, -2), 0.75, Dyadic(1, -1), 3)
    """

    __slots__ = ("exponent", "mantissa")

    mantissa: int
    exponent: int

    def __init__(self, mantissa: int, exponent: int = 0) -> None:
        if mantissa == 0:
            exponent = 0
        elif not mantissa & 1:
            zeros = (mantissa & -mantissa).bit_length() - 1
            mantissa >>= zeros
            exponent += zeros
        object.__setattr__(self, "mantissa", mantissa)
        object.__setattr__(self, "exponent", exponent)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Dyadic cannot be changed. Got {name}={value!r}. Make another.")

    def __reduce__(self) -> tuple[type[Dyadic], tuple[int, int]]:
        return Dyadic, (self.mantissa, self.exponent)

    @property
    def bits(self) -> int:
        """Length of the odd mantissa in bits; 0 for zero, 1 for ``+-2^e``."""
        return self.mantissa.bit_length()

    def __bool__(self) -> bool:
        return self.mantissa != 0

    def __neg__(self) -> Dyadic:
        return Dyadic(-self.mantissa, self.exponent)

    def __abs__(self) -> Dyadic:
        return Dyadic(abs(self.mantissa), self.exponent)

    def __add__(self, other: Dyadic | int) -> Dyadic:
        right = other if isinstance(other, Dyadic) else dyadic(other)
        if not right.mantissa:
            return self
        if not self.mantissa:
            return right
        shift = self.exponent - right.exponent
        if shift >= 0:
            return Dyadic((self.mantissa << shift) + right.mantissa, right.exponent)
        return Dyadic(self.mantissa + (right.mantissa << -shift), self.exponent)

    __radd__ = __add__

    def __sub__(self, other: Dyadic | int) -> Dyadic:
        return self + -dyadic(other)

    def __rsub__(self, other: int) -> Dyadic:
        return dyadic(other) + -self

    def __mul__(self, other: Dyadic | int) -> Dyadic:
        right = other if isinstance(other, Dyadic) else dyadic(other)
        return Dyadic(self.mantissa * right.mantissa, self.exponent + right.exponent)

    __rmul__ = __mul__

    def __lshift__(self, places: int) -> Dyadic:
        """``self * 2**places``; negative places divide."""
        return Dyadic(self.mantissa, self.exponent + places)

    def __rshift__(self, places: int) -> Dyadic:
        return self << -places

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dyadic):
            return self.mantissa == other.mantissa and self.exponent == other.exponent
        return bool(self.fraction == other)

    def __lt__(self, other: Dyadic | int) -> bool:
        return (self - other).mantissa < 0

    def __hash__(self) -> int:
        return hash(self.fraction)

    @property
    def fraction(self) -> Fraction:
        """The same number as a rational."""
        return Fraction(self.mantissa << max(0, self.exponent), 1 << max(0, -self.exponent))

    def __float__(self) -> float:
        """The nearest float64 number; infinite beyond its range."""
        extra = self.mantissa.bit_length() - 64
        try:
            if extra <= 0:
                return math.ldexp(self.mantissa, self.exponent)
            sticky = 1 if self.mantissa & ((1 << extra) - 1) else 0  # keeps halves from being rounded twice
            return math.ldexp(self.mantissa >> extra << 1 | sticky, self.exponent + extra - 1)
        except OverflowError:
            return -math.inf if self.mantissa < 0 else math.inf

    def __int__(self) -> int:
        """The whole part, towards zero."""
        whole = abs(self.mantissa) << self.exponent if self.exponent >= 0 else abs(self.mantissa) >> -self.exponent
        return -whole if self.mantissa < 0 else whole

    def log2(self) -> float:
        """``log2(abs(self))``, within 1e-12 of it; ``-inf`` for zero."""
        if not self.mantissa:
            return -math.inf
        extra = max(0, self.mantissa.bit_length() - 1000)
        return math.log2(abs(self.mantissa) >> extra) + extra + self.exponent

    def is_float(self) -> bool:
        """Whether a float64 number is exactly this."""
        if not self.mantissa:
            return True
        return self.bits <= 53 and self.exponent >= -1074 and self.bits + self.exponent <= 1024

    def __repr__(self) -> str:
        # Python refuses to write integers of more than some thousand digits as decimals.
        return f"Dyadic({self.mantissa if self.bits <= 10_000 else hex(self.mantissa)}, {self.exponent})"

    def __str__(self) -> str:
        if self.bits <= 24 and abs(self.exponent) <= 24:
            return f"{float(self):.9g}"
        return f"{'-' if self.mantissa < 0 else ''}{self.bits}-bit x 2^{self.exponent}"


ZERO, ONE, HALF = Dyadic(0), Dyadic(1), Dyadic(1, -1)


def dyadic(value: Any) -> Dyadic:
    """A number as the dyadic number that it is: an integer, a finite float, a rational over a power of two.

    Raises:
        ValueError: If the number is not dyadic, or not finite.
        TypeError: If it is no number.
    """
    if isinstance(value, Dyadic):
        return value
    if isinstance(value, (int, np.integer)):
        return Dyadic(int(value))
    if isinstance(value, (float, np.floating, Fraction)):
        if not isinstance(value, Fraction) and not math.isfinite(value):
            raise ValueError(f"a dyadic number must be finite. Got {value}. Use finite weights.")
        over, under = (value if isinstance(value, Fraction) else float(value)).as_integer_ratio()
        if under & (under - 1):
            raise ValueError(f"a dyadic number needs a power of two below. Got {value}. Round it: nearest(value, -60).")
        return Dyadic(over, 1 - under.bit_length())
    raise TypeError(f"a dyadic number must come from a number. Got {type(value).__name__}. Write e.g. dyadic(0.5).")


def nearest(value: float | Fraction | Dyadic, exponent: int) -> Dyadic:
    """The multiple of ``2**exponent`` nearest to a value, off by at most half of that; ties to even.

    Raises:
        ValueError: If the value is not finite.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a dyadic number must be finite. Got {value}. Use finite weights.")
    scaled = (value.fraction if isinstance(value, Dyadic) else Fraction(value)) * Fraction(2) ** -exponent
    return Dyadic(round(scaled), exponent)
