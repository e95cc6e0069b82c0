"""What the families share: dyadic amplitudes, b-adic cells, Hölder constants, and sums of bumps with signs."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from approxrates.generators.signs import AllPlus, Signs
from approxrates.target import Point

RECIPE = 1  # part of a run's identity: raise it when the values of any family change
DEFAULT_LEVELS = 40
LEAST = 1e-12  # smaller smoothnesses are no smoothness, and their bounds overflow
ROUND_UP = 1.0 + 1e-12  # makes a bound computed in float64 an upper bound
_MANTISSA_BITS = 60
_GRID_BITS = 53
_CHUNK = 16_384  # points per pass: the half-dozen work arrays of a pass stay in the second-level cache

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


class Bump(Protocol):
    """A function on ``[0, 1]`` that vanishes at both ends and peaks at 1."""

    def values(self, u: Floats) -> Floats:
        """Values at fractions of a cell, shape ``(n,)``; may overwrite ``u``."""

    def exact(self, u: Fraction) -> Fraction:
        """Value at a rational fraction of a cell."""


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number in ``[least, most]``.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is out of range.
    """
    kind_error = TypeError(f"{name} must be an integer. Got {value!r}. Write e.g. {name}={least}.")
    if isinstance(value, bool):
        raise kind_error
    try:
        number = operator.index(value)
    except TypeError:
        raise kind_error from None
    if number < least or (most is not None and number > most):
        span = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {span}. Got {name}={number}. Use e.g. {name}={least}.")
    return number


def positive(family: str, smoothness: Any, below: float = math.inf) -> float:
    """A smoothness in ``(0, below)``, at least :data:`LEAST`.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is out of range.
    """
    if isinstance(smoothness, bool) or not isinstance(smoothness, (int, float, np.floating, np.integer)):
        raise TypeError(f"smoothness must be a number. Got {smoothness!r}. Write e.g. smoothness=0.5.")
    r = float(smoothness)
    span = "positive" if math.isinf(below) else f"between 0 and {below:g}"
    if not (0 < r < below and math.isfinite(r)):
        raise ValueError(f"smoothness of {family} must be {span}. Got smoothness={r:g}. Use e.g. smoothness=0.5.")
    if r < LEAST:
        raise ValueError(f"smoothness of {family} must be at least {LEAST:g}. Got smoothness={r:g}. Use e.g. 0.5.")
    return r


def rough(family: str, smoothness: Any, below: float = math.inf) -> float:
    """A non-integer smoothness in ``(0, below)``.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is an integer or out of range.
    """
    r = positive(family, smoothness, below)
    if r == int(r):
        raise ValueError(
            f"smoothness of {family} must not be an integer (a log factor spoils the rate there). "
            f"Got smoothness={r:g}. Use e.g. smoothness={r - 0.5:g} or {r + 0.5:g}."
        )
    return r


def infinite(family: str, smoothness: Any) -> None:
    """Refuse any smoothness but ``inf``, which may also be written as the word.

    Raises:
        ValueError: If it is anything else.
    """
    if smoothness not in (math.inf, "inf"):
        raise ValueError(f"smoothness of {family} must be inf. Got smoothness={smoothness!r}. Leave it out.")


def deepest(base: int) -> int:
    """The largest number of levels whose cell numbers fit into 64 bits."""
    return 1 + int(np.searchsorted([float(base) ** k for k in range(1, 64)], 2.0**63, side="right"))


def identity(name: str, regularity: tuple[float, int], seed: int, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON-able arguments that rebuild a target: smoothness and dim, seed, and whatever is not at its default."""
    smoothness, dim = regularity
    shown: float | str = smoothness if math.isfinite(smoothness) else "inf"
    return {"name": name, "smoothness": shown, "dim": dim, "seed": seed, **extra}


@functools.lru_cache(maxsize=256)
def amplitudes(base: int, smoothness: float, levels: int) -> tuple[Fraction, ...]:
    """Dyadic numbers ``base ** (-k * smoothness)``, rounded to 60 significant bits, for ``k < levels``.

    Computed in decimal arithmetic of 120 digits, so that they are the same numbers on every platform.
    """
    result = []
    with localcontext() as context:
        context.prec = 120
        exponent = Decimal(repr(float(smoothness)))
        for k in range(levels):
            inverse = Decimal(base) ** (k * exponent)
            bits = _MANTISSA_BITS + max(int(inverse).bit_length() - 1, 0)
            scaled = (Decimal(2) ** bits / inverse).to_integral_value()
            result.append(Fraction(int(scaled), 1 << bits))
    return tuple(result)


def geometric(base: float, exponent: float) -> float:
    """The sum of ``base ** (-k * exponent)`` over ``k >= 0``, good to a few units however small the exponent is."""
    return -1.0 / math.expm1(-exponent * math.log(base))


def tail_sum(base: int, smoothness: float, levels: int) -> float:
    """Upper bound on the sum of ``base ** (-k * smoothness)`` over ``k >= levels``."""
    return ROUND_UP * math.pow(base, -levels * smoothness) * geometric(base, smoothness)


def holder_constant(base: int, alpha: float, slope: float, swing: float) -> float:
    r"""Upper bound on the ``alpha``-Hölder constant of ``sum_k base^(-k alpha) g_k``, ``0 < alpha < 1``.

    Needs ``|g_k(x) - g_k(y)| <= min(slope base^k h, swing)`` with ``h = |x - y|``. Then the increment of the sum is at
    most ``S(h) = sum over all integers k of base^(-k alpha) min(slope base^k h, swing)``. ``S`` is piecewise linear
    and ``S(base h) = base^alpha S(h)``; a linear function with non-negative coefficients divided by ``h^alpha`` has no
    interior maximum, so ``S(h) / h^alpha`` is greatest at a kink ``h = swing / slope``, where two geometric series give
    ``swing (1 / (1 - base^(alpha-1)) + 1 / (base^alpha - 1)) (slope / swing)^alpha``.
    """
    series = geometric(base, 1.0 - alpha) + 1.0 / math.expm1(alpha * math.log(base))
    return ROUND_UP * swing * series * math.pow(slope / swing, alpha)


def cells(x: Floats, base: int, levels: int) -> Iterator[tuple[Words, Floats]]:
    """Cell number and fraction of the cell at levels ``0 .. levels-1`` for points of ``[0, 1)``, shapes ``(n,)``.

    Exact for bases that are powers of two: scaling by them and taking the whole part off loses no bit of a float64. For
    other bases the leading 53 binary digits are multiplied exactly as integers, and only what is below them is rounded.
    The arrays yielded are overwritten at the next level.
    """
    if base & (base - 1) == 0:
        fraction, floor = np.empty_like(x), np.empty_like(x)
        for level in range(levels):
            np.multiply(x, float(base) ** level, out=fraction)
            np.floor(fraction, out=floor)
            np.subtract(fraction, floor, out=fraction)
            yield floor.astype(np.uint64), fraction
        return
    digits = np.floor(x * 2.0**_GRID_BITS)
    below = x - digits * 2.0**-_GRID_BITS
    grid, index = digits.astype(np.uint64), np.zeros(len(x), dtype=np.uint64)
    mask, shift, factor = np.uint64((1 << _GRID_BITS) - 1), np.uint64(_GRID_BITS), np.uint64(base)
    for level in range(levels):
        if level:
            grid *= factor
            index = index * factor + (grid >> shift)
            grid &= mask
        fraction = grid * 2.0**-_GRID_BITS + below * float(base) ** level
        carry = np.floor(fraction)
        yield index + carry.astype(np.uint64), fraction - carry


def chunks(x: Floats) -> Iterator[tuple[slice, list[Floats]]]:
    """Rows of ``x`` in cache-sized pieces: where they stand, and their coordinates as contiguous columns."""
    for start in range(0, len(x), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(x)))
        yield rows, [np.ascontiguousarray(x[rows, i]) for i in range(x.shape[1])]


@dataclass(frozen=True)
class BumpSum:
    r"""The sum over levels ``k`` of ``amplitudes[k] sum_j s_kj prod_i bump(base^k x_i - j_i)`` on ``[0, 1]^dim``.

    Attributes:
        bump: One-dimensional profile of a cell.
        base: Cells of level ``k`` have side ``base ** -k``.
        dim: Number of coordinates.
        amplitudes: Height of a bump at each level, as exact numbers.
        signs: The signs ``s_kj``; ``signs.of_cells(level, index)`` gives those of many cells at once.
    """

    bump: Bump
    base: int
    dim: int
    amplitudes: tuple[Fraction, ...]
    signs: Signs

    def evaluate(self, x: Floats) -> Floats:
        """Values at points of the cube, ``(n, dim) -> (n,)``."""
        total = np.zeros(len(x))
        heights = [float(a) for a in self.amplitudes]
        vary = not isinstance(self.signs, AllPlus)
        for rows, columns in chunks(x):
            # Bumps vanish at both ends of a cell, so 1 may stand for 0: no cell number beyond the last is ever formed.
            walks = [cells(np.where(c == 1.0, 0.0, c), self.base, len(heights)) for c in columns]
            for level, (height, places) in enumerate(zip(heights, zip(*walks, strict=True), strict=True)):
                if not height:
                    continue
                values = self.bump.values(places[0][1])
                for _, fraction in places[1:]:
                    values *= self.bump.values(fraction)
                if vary:
                    values *= self.signs.of_cells(level, [index for index, _ in places])
                values *= height
                total[rows] += values
        return total

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        total = Fraction(0)
        for level, height in enumerate(self.amplitudes):
            places = [divmod(c.numerator * self.base**level, c.denominator) for c in point]
            if not all(rest for _, rest in places):
                break  # on a face of a cell: here this level vanishes, and so do all finer ones
            if not height:
                continue
            inside = (Fraction(rest, c.denominator) for (_, rest), c in zip(places, point, strict=True))
            sign = self.signs.of_cell(level, [index for index, _ in places])
            if sign:
                total += sign * math.prod(map(self.bump.exact, inside), start=height)
        return total


def gap_function(base: int, sizes: list[float], coarse: Callable[[float], float]) -> Callable[[int], float]:
    """The bound on the distance to linear interpolation at spacing ``base ** -level``.

    Args:
        base: The b of the cells.
        sizes: Height of each level of the sum.
        coarse: Largest distance of a level of unit height from its interpolant, as a function of spacing / cell side,
            which is below 1; at spacings of a cell and more the terms vanish at the nodes, and their height counts.
    """
    return functools.partial(_gap_of_sum, base, tuple(sizes), coarse)


def _gap_of_sum(base: int, sizes: tuple[float, ...], coarse: Callable[[float], float], level: int) -> float:
    """The bound of :func:`gap_function` at one level; a module's function, so that targets can be pickled."""
    level = whole("level", level, 0)
    terms = (a * (coarse(float(base) ** (k - level)) if k < level else 1.0) for k, a in enumerate(sizes))
    return ROUND_UP * math.fsum(terms)


def affine_pieces(spacing: float) -> float:
    """Distance of a level from its interpolant at the nodes of finer cells, on which it is affine: none."""
    return 0.0


def curvature_gap(curvature: float) -> Callable[[int], float]:
    """The bound ``curvature h^2 / 8`` on the distance to linear interpolation at spacing ``h = 2 ** -level``."""
    return functools.partial(_gap_of_curvature, curvature)


def _gap_of_curvature(curvature: float, level: int) -> float:
    """The bound of :func:`curvature_gap` at one level."""
    return ROUND_UP * curvature * 4.0 ** -whole("level", level, 0) / 8.0
