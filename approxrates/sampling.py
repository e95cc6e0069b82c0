"""Points of the unit cube on which networks are fitted and errors looked for. Every set holds the corners of the cube.

A fixed grid hides the spikes that a network grows between its points, hence :func:`stratified_jitter`: sets of points,
one in every cell of a grid, that a first-order optimiser swaps every few steps. Points on the b-adic grid of a tree
are where its finest terms vanish or are extremal, hence :func:`badic_grid` and :func:`even_badic`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_LAW = re.compile(rf"(?:{_NUMBER}\s*\*\s*)?P(?:\s*\^\s*{_NUMBER})?")
_CELL_BITS, _PLACE_BITS = 20, 62  # of a coordinate, and of a place on the curve of neighbours


@dataclasses.dataclass(frozen=True)
class SampleLaw:
    """How many values of the target a fit may see, as a power of the number of parameters: ``m = factor P^exponent``.

    Attributes:
        exponent: 1 for control arms with ``m ~ P``, 2 for ``m ~ P^2``.
        factor: Positive.

    Raises:
        ValueError: If a number is not positive and finite.

    Example:
        >>> law = SampleLaw.parse("4*P^1.5")
        >>> law.n_values(100), law.text, SampleLaw.parse("P").text
        (4000, '4*P^1.5', 'P^1')
    """

    exponent: float
    factor: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("exponent", self.exponent), ("factor", self.factor)):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} of a sample law must be positive and finite. Got {name}={value}.")

    @classmethod
    def parse(cls, text: str) -> SampleLaw:
        """The law written as ``"P^2"``, ``"4*P^1.5"`` or ``"P"``.

        Raises:
            ValueError: For any other text.
        """
        found = _LAW.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"a sample law must be a power of P, the number of parameters. Got {text!r}. Write 'P^2'.")
        return cls(float(found[2] or 1.0), float(found[1] or 1.0))

    @property
    def text(self) -> str:
        """The law in one spelling, which :meth:`parse` reads."""
        return ("" if self.factor == 1.0 else f"{_plain(self.factor)}*") + f"P^{_plain(self.exponent)}"

    def n_values(self, n_params: int) -> int:
        """Values that a fit of so many parameters may see, rounded to the nearest number."""
        return round(self.factor * math.pow(n_params, self.exponent))


def _plain(number: float) -> str:
    """A positive number without an exponent of ten."""
    return str(int(number)) if number.is_integer() else f"{number:.17f}".rstrip("0") if number < 1e-4 else repr(number)


def _check(n_points: int, dim: int, least: int) -> None:
    """Refuse a dimension below one and sets too small to hold the corners."""
    if dim < 1:
        raise ValueError(f"dim must be at least 1. Got dim={dim}.")
    if n_points < least:
        raise ValueError(
            f"n_points must be at least {least} for dim={dim}. Got n_points={n_points}. Use n_points={least} or more."
        )


def corners(dim: int) -> Points:
    """The ``2**dim`` corners of the unit cube, shape ``(2**dim, dim)``.

    Example:
        >>> corners(2).tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    _check(2 ** max(dim, 0), dim, 0)
    return np.array(list(itertools.product((0.0, 1.0), repeat=dim)))


def badic_grid(level: int, *, base: int = 2, dim: int = 1) -> Points:
    """All points with coordinates multiples of ``base**-level``, ends included, ``((base**level + 1)**dim, dim)``.

    Args:
        level: Number of refinements, at least 0.
        base: The ``b`` of the b-adic cells, at least 2.
        dim: Dimension of the cube.

    Raises:
        ValueError: For ``level < 0``, ``base < 2``, ``dim < 1``, or more than 2**26 points.
    """
    if level < 0 or base < 2:
        raise ValueError(f"badic_grid needs level >= 0 and base >= 2. Got level={level}, base={base}.")
    _check(2, dim, 0)
    if (base**level + 1) ** dim > 2**26:
        raise ValueError(f"badic_grid is limited to 2**26 points. Got {(base**level + 1) ** dim}. Use a smaller level.")
    axis = np.arange(base**level + 1) / base**level
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def even_badic(n_points: int, *, base: int = 2) -> Points:
    """``n_points`` almost evenly spaced b-adic points of ``[0, 1]``, ends included, shape ``(n_points, 1)``.

    The points of the even grid are moved to the nearest multiple of ``base**-level``, at least two levels finer than
    their distance: each is then a point where a tree of that base is a finite sum.

    Raises:
        ValueError: For ``n_points < 2`` or ``base < 2``.
    """
    _check(n_points, 1, 2)
    if base < 2:
        raise ValueError(f"base must be at least 2. Got base={base}.")
    level = math.ceil(math.log(n_points) / math.log(base)) + 2
    cells = base**level
    points: Points = np.rint(np.arange(n_points) * (cells / (n_points - 1))) / cells
    return points[:, None]


def even_grid(n_points: int, dim: int) -> Points:
    """The largest tensor grid of at most ``n_points`` points, ends included, shape ``(m**dim, dim)``.

    Raises:
        ValueError: If ``n_points < 2**dim``.
    """
    _check(n_points, dim, 2**dim)
    axis = np.linspace(0.0, 1.0, _root(n_points, dim))
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def chebyshev(n_points: int) -> Points:
    """Extrema of the Chebyshev polynomial of degree ``n_points - 1`` on ``[0, 1]``, ascending, ``(n_points, 1)``.

    Least squares on them is nearly minimax: for smooth functions the sup error is about twice the root mean square
    one, against six to seven times on an even grid.

    Raises:
        ValueError: If ``n_points < 2``.

    Example:
        >>> chebyshev(3).ravel().tolist()
        [0.0, 0.5, 1.0]
    """
    _check(n_points, 1, 2)
    angle = np.pi * (2.0 * np.arange(n_points) - (n_points - 1)) / (2 * (n_points - 1))
    return (0.5 + 0.5 * np.sin(angle))[:, None]


def sobol(n_points: int, dim: int, *, seed: int) -> Points:
    """The corners, then a scrambled Sobol sequence, shape ``(n_points, dim)``.

    Raises:
        ValueError: If ``n_points < 2**dim``.

    Reference:
        Owen (1998), doi:10.1145/272991.273010 (the scrambling); Joe & Kuo (2008), doi:10.1137/070709359 (the direction
        numbers).
    """
    from scipy.stats import qmc

    _check(n_points, dim, 2**dim)
    n_inner = n_points - 2**dim
    power = max(n_inner - 1, 0).bit_length()
    inner = qmc.Sobol(dim, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)[:n_inner]
    return np.concatenate([corners(dim), inner])


def stratified_jitter(n_points: int, dim: int, *, seed: int) -> Points:
    """One random point in every cell of an even grid, and the corners, shape ``(at most n_points, dim)``.

    In one dimension exactly ``n_points`` points, ascending, of which the first is 0 and the last 1. In ``dim``
    dimensions ``m**dim`` points and the ``2**dim`` corners, with the largest ``m`` that fits.

    Raises:
        ValueError: If ``n_points`` leaves no room for a point besides the corners.
    """
    _check(n_points, dim, 2**dim + 1)
    n_side = n_points - 2 if dim == 1 else _root(n_points - 2**dim, dim)
    cells = np.stack(np.meshgrid(*[np.arange(n_side)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    inner = (cells + np.random.default_rng(seed).random(cells.shape)) / n_side
    if dim == 1:
        return np.concatenate([[[0.0]], inner, [[1.0]]])
    return np.concatenate([inner, corners(dim)])


def _root(n: int, dim: int) -> int:
    """Largest integer whose ``dim``-th power is at most ``n``."""
    root: int = math.floor(n ** (1.0 / dim) + 0.5)
    return root if root**dim <= n else root - 1


def along_curve(points: Points) -> NDArray[np.intp]:
    """Order of points ``(n, dim)`` of the unit cube in which neighbours lie close together: index, shape ``(n,)``.

    Their places on the Z-shaped curve through a dyadic grid, whose bits are those of the coordinates interleaved: any
    run of the order covers few cubes.

    Reference:
        Morton (1966), A computer oriented geodetic data base (IBM technical report; recalled).
    """
    dim = points.shape[1]
    if dim == 1:
        return np.argsort(points[:, 0], kind="stable")
    bits = min(_CELL_BITS, _PLACE_BITS // dim)
    cells = np.minimum((points * 2.0**bits).astype(np.int64), 2**bits - 1)
    place = np.zeros(len(points), dtype=np.int64)
    for bit in range(bits):
        for axis in range(dim):
            place |= ((cells[:, axis] >> bit) & 1) << (bit * dim + axis)
    return np.argsort(place, kind="stable")
