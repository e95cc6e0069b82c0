"""What the Gaussian families share: normal numbers by hashing, circulant embedding, and splines on dyadic nodes."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from approxrates.generators import base
from approxrates.seeds import hash_words
from approxrates.target import Point
from approxrates.taylor import UNIT

GRID_BITS = 40
NODE_ROUNDING = 2.0 ** -(GRID_BITS + 1)  # how far rounding to the grid moves a value at most
DOUBT = 1e-6  # probability, over the draws, with which a stated tail may fail
_TERMS = 4_000


def normals(seed: int, stream: int, shape: tuple[int, ...]) -> base.Floats:
    """Independent standard normal numbers from hashed words: the quantile function at 53-bit uniform numbers."""
    from scipy.special import ndtri

    words = hash_words(seed, stream, np.arange(math.prod(shape), dtype=np.uint64)) >> np.uint64(11)
    return np.asarray(ndtri((words.astype(np.float64) + 0.5) * 2.0**-53), dtype=np.float64).reshape(shape)


def stationary(covariances: base.Floats, seed: int) -> base.Floats:
    """A periodic Gaussian field on a grid with given covariances to the origin, by circulant embedding.

    The covariance matrix of a stationary field on a torus is circulant, so the Fourier transform turns white noise
    with the eigenvalues as variances into the field, exactly.

    Args:
        covariances: Covariance with the value at the origin, shape of the torus, even under reflection.
        seed: Seed of the noise.

    Returns:
        Values, same shape.

    Raises:
        ValueError: If the covariances are not those of a field (an eigenvalue is negative beyond rounding).

    Reference:
        Dietrich & Newsam (1997), SIAM J. Sci. Comput. 18, 1088-1107.
    """
    eigenvalues = np.fft.fftn(covariances).real
    if eigenvalues.min() < -1e-9 * eigenvalues.max():
        raise ValueError(f"covariances must be positive definite. Got an eigenvalue {eigenvalues.min():g}.")
    scale = np.sqrt(np.maximum(eigenvalues, 0.0) / covariances.size)
    noise = normals(seed, 0, covariances.shape) + 1j * normals(seed, 1, covariances.shape)
    return np.asarray(np.fft.fftn(scale * noise).real)


def dyadic(values: base.Floats) -> base.Floats:
    """Values rounded to multiples of ``2^-40``: exact as fractions, and almost always alike on two platforms."""
    return np.asarray(np.rint(values * 2.0**GRID_BITS) * 2.0**-GRID_BITS)


# B-splines of order 2 and 4 on one cell: weights of the nodes at and around it, as polynomials in the fraction u.
WEIGHTS: dict[int, tuple[tuple[Fraction, ...], ...]] = {
    2: ((Fraction(1), Fraction(-1)), (Fraction(0), Fraction(1))),
    4: (
        (Fraction(1, 6), Fraction(-1, 2), Fraction(1, 2), Fraction(-1, 6)),
        (Fraction(2, 3), Fraction(0), Fraction(-1), Fraction(1, 2)),
        (Fraction(1, 6), Fraction(1, 2), Fraction(1, 2), Fraction(-1, 2)),
        (Fraction(0), Fraction(0), Fraction(0), Fraction(1, 6)),
    ),
}


@dataclass(frozen=True)
class NodeSpline:
    """``sum_j c_j prod_i B(2^levels x_i - j_i)`` with B the B-spline of order 2 (hats) or 4 (cubic).

    Attributes:
        order: 2 or 4. With 2 the sum interpolates: it is the polygon through the coefficients in d = 1.
        levels: Cells have side ``2 ** -levels``.
        coefficients: Shape ``(2^levels + order - 1,) * dim``: the nodes of the cube, and for order 4 one more on each
            side.
    """

    order: int
    levels: int
    coefficients: NDArray[np.float64] = field(repr=False)

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        scaled = x * 2.0**self.levels
        cell = np.minimum(scaled.astype(np.int64), 2**self.levels - 1)
        fraction = scaled - cell
        weights = [np.polynomial.polynomial.polyval(fraction, [float(a) for a in w]) for w in WEIGHTS[self.order]]
        total = np.zeros(len(x))
        for shift in itertools.product(range(self.order), repeat=x.shape[1]):
            factor = math.prod((weights[s][:, i] for i, s in enumerate(shift)), start=np.ones(len(x)))
            total += factor * self.coefficients[tuple(cell[:, i] + s for i, s in enumerate(shift))]
        return total

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        cells, weights = [], []
        for c in point:
            cell = min(math.floor(c * 2**self.levels), 2**self.levels - 1)
            u = c * 2**self.levels - cell
            cells.append(cell)
            weights.append([sum(a * u**k for k, a in enumerate(w)) for w in WEIGHTS[self.order]])
        total = Fraction(0)
        for shift in itertools.product(range(self.order), repeat=len(point)):
            factor = math.prod((weights[i][s] for i, s in enumerate(shift)), start=Fraction(1))
            total += factor * Fraction(
                float(self.coefficients[tuple(c + s for c, s in zip(cells, shift, strict=True))])
            )
        return total

    @property
    def rounding(self) -> float:
        """Bound on the distance of float64 values from exact ones.

        The fraction of a cell is exact. A weight of order 2 is rounded once; one of order 4 is a cubic with
        coefficients of at most 1, some rounded: 12 units at most. Products of d weights, their product with a
        coefficient, and the sum of ``order^d`` terms are rounded once each; weights are not negative and sum to 1.
        """
        d, own = self.coefficients.ndim, 1.0 if self.order == 2 else 12.0
        units = d * self.order * own + d + 1.0 + float(self.order) ** d
        return 1.01 * UNIT * units * float(np.max(np.abs(self.coefficients)))

    @functools.cached_property
    def gaps(self) -> tuple[float, ...]:
        """Distance to linear interpolation at spacing ``2 ** -level`` for ``level <= levels`` (d = 1), never rising.

        With hats it is attained at a node. With cubic splines the second derivative at a node is the second difference
        of the coefficients, and linear between nodes, so the polygon through the nodes is off by ``h^2 / 8`` times the
        largest one at most.
        """
        nodes = self.evaluate(np.arange(2**self.levels + 1)[:, None] * 2.0**-self.levels)
        curved = float(np.max(np.abs(np.diff(self.coefficients, 2)))) / 8.0 if self.order == 4 else 0.0
        found: list[float] = [curved]
        for level in reversed(range(self.levels)):
            pieces = 2 ** (self.levels - level)
            inside = np.arange(pieces + 1) / pieces
            rows = np.lib.stride_tricks.sliding_window_view(nodes, pieces + 1)[::pieces]
            line = rows[:, :1] * (1.0 - inside) + rows[:, -1:] * inside
            found.append(max(found[-1], float(np.max(np.abs(rows - line))) + curved))
        # In units of 1.1e-16 times the largest coefficient: a node is off by 5 (three rounded weights of a cubic, their
        # products, two sums), and so is the line through two of them; it is rounded 2 times more, the difference
        # counts 2, the curvature 1. These are 15; 36 are allowed.
        slack = 4e-15 * float(np.max(np.abs(self.coefficients)))
        return tuple(base.ROUND_UP * g + (slack if g else 0.0) for g in reversed(found))

    def gap(self, level: int) -> float:
        """The bound of :attr:`gaps` at any level."""
        level = base.whole("level", level, 0)
        return self.gaps[level] if level <= self.levels else self.gaps[-1] * 4.0 ** (self.levels - level)


def polygon_tail(levels: int, variance: Callable[[int], float]) -> float:
    r"""Sup distance of a Gaussian function to its polygon at spacing ``2^-levels``, exceeded with probability 1e-6.

    From spacing ``2^-k`` to ``2^-(k+1)`` each of the ``2^k`` new nodes adds a hat on a cell of its own, whose height is
    a centred normal number with variance at most ``variance(k)``; so the distance is at most the sum over
    ``k >= levels`` of the largest height. As ``P(|N| > u) <= exp(-u^2/2)``, all heights of level k stay below
    ``u_k sqrt(variance(k))`` except with probability ``2^k exp(-u_k^2/2) = 2^-(k - levels + 1) 1e-6`` for
    ``u_k^2 = 2 log(2^k 2^(k - levels + 1) 1e6)``; these sum to 1e-6.

    Args:
        levels: First level that is left out.
        variance: Level to a bound on the variance of a height.

    Returns:
        The bound, or inf if it does not converge within 4,000 levels.
    """
    total = 0.0
    for k in range(levels, levels + _TERMS):
        log_odds = (2 * k - levels + 1) * math.log(2.0) - math.log(DOUBT)
        term = math.sqrt(2.0 * log_odds * variance(k))
        total += term
        if term < 1e-18 * total:
            return base.ROUND_UP * total
    return math.inf
