"""Signs of the cells of a tree: hashed, all +1, true random bits that are stored, or 0 outside the cells kept.

A strategy is a small frozen record, so that targets can be pickled and tables of coarse levels be shared.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from approxrates import shipped
from approxrates.seeds import hash_sign, hash_signs, hash_words, mix, seed_for

STORED_BITS = 1 << 20
BITS_FILE = "random_bits.bin"
CHOICES = ("hashed", "stored")
_TABLE_CELLS = 1 << 16  # levels with at most so many cells keep their signs in a table

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


class Signs(Protocol):
    """Signs of the cells of all levels, for one base and dimension; hashable."""

    @property
    def base(self) -> int:
        """The b of the cells: level k has ``base ** k`` of them along each coordinate."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    def of_cells(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs of cells of one level, ``dim`` arrays of shape ``(n,)`` -> ``(n,)`` of +1.0, -1.0 or 0.0."""

    def of_cell(self, level: int, index: Sequence[int]) -> int:
        """The sign of one cell; levels and numbers of any size."""


class _Computed(Signs, Protocol):
    """Signs with a slow form, of which coarse levels keep a table."""

    def compute(self, level: int, index: Sequence[Words]) -> Floats:
        """As ``of_cells``, without a table."""

    def __hash__(self) -> int: ...


def number_of_cell(base: int, level: int, index: Sequence[Words]) -> Words:
    """Numbers of the cells of one level in row-major order; they must fit into 64 bits."""
    return functools.reduce(lambda left, right: left * np.uint64(base**level) + right, index)


@functools.lru_cache(maxsize=256)
def _table(signs: _Computed, level: int) -> Floats:
    """Signs of all cells of a coarse level, in row-major order."""
    side = np.arange(signs.base**level, dtype=np.uint64)
    return signs.compute(level, [a.ravel() for a in np.meshgrid(*[side] * signs.dim, indexing="ij")])


def _looked_up(signs: _Computed, level: int, index: Sequence[Words]) -> Floats:
    """Signs from the table of a coarse level, computed on finer ones."""
    if signs.base ** (level * signs.dim) > _TABLE_CELLS:
        return signs.compute(level, index)
    return _table(signs, level).take(number_of_cell(signs.base, level, index).view(np.int64))


@dataclass(frozen=True)
class AllPlus:
    """Every sign +1: the cells repeat one pattern."""

    base: int
    dim: int

    def of_cells(self, level: int, index: Sequence[Words]) -> Floats:
        """Ones."""
        return np.ones(len(index[0]))

    def of_cell(self, level: int, index: Sequence[int]) -> int:
        """One."""
        return 1


@dataclass(frozen=True)
class HashedSigns:
    """Signs by counter-based hashing of (seed, level, cell)."""

    base: int
    dim: int
    seed: int

    def of_cells(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs of cells of one level."""
        return _looked_up(self, level, index)

    def compute(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs by hashing."""
        return hash_signs(self.seed, level, *index)

    def of_cell(self, level: int, index: Sequence[int]) -> int:
        """The sign of one cell."""
        return hash_sign(self.seed, level, *index)


@functools.cache
def stored_bits() -> NDArray[np.uint8]:
    """The 2^20 true random bits of the catalogue, one per element.

    Raises:
        ValueError: If the file is missing or not of its size.
    """
    path = shipped.folder() / BITS_FILE
    try:
        packed = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise ValueError(f"{path} must be readable. Got {error.strerror}. Install approxrates again.") from None
    if 8 * len(packed) != STORED_BITS:
        raise ValueError(f"{path} must hold {STORED_BITS // 8} bytes. Got {len(packed)}. Install approxrates again.")
    return np.unpackbits(packed)


@functools.lru_cache(maxsize=64)
def stored_levels(base: int, dim: int) -> int:
    """How many levels of a tree take their signs from the stored bits: levels ``0 .. stored_levels - 1``.

    Cells are numbered level by level, in row-major order within one; a level counts if all its cells fit into the 2^20
    bits. Up to the finest such level a lower bound for random signs holds without any assumption about the hash.

    Example:
        >>> stored_levels(2, 1), stored_levels(2, 2), stored_levels(4, 3)
        (20, 10, 4)
    """
    used, level = 0, 0
    while used + base ** (level * dim) <= STORED_BITS:
        used += base ** (level * dim)
        level += 1
    return level


@dataclass(frozen=True)
class StoredSigns:
    """True random bits, mixed by XOR with the hashed signs of a seed; finer levels than are stored are hashed.

    Whatever the seed, the signs of the stored levels of one draw are independent fair coins, because the bits are. Two
    draws differ as two hashes do: together they are no more random than that.
    """

    base: int
    dim: int
    seed: int

    def of_cells(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs of cells of one level."""
        return _looked_up(self, level, index)

    def compute(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs by hashing, flipped where the stored bit is 1."""
        signs = hash_signs(self.seed, level, *index)
        if level < stored_levels(self.base, self.dim):
            place = number_of_cell(self.base, level, index) + np.uint64(self._start(level))
            signs *= 1.0 - 2.0 * stored_bits().take(place.view(np.int64))
        return signs

    def of_cell(self, level: int, index: Sequence[int]) -> int:
        """The sign of one cell."""
        sign = hash_sign(self.seed, level, *index)
        if level < stored_levels(self.base, self.dim):
            place = functools.reduce(lambda left, right: left * self.base**level + right, index)
            sign *= 1 - 2 * int(stored_bits()[self._start(level) + place])
        return sign

    def _start(self, level: int) -> int:
        """Number of cells on the levels above."""
        return sum(self.base ** (k * self.dim) for k in range(level))


@dataclass(frozen=True)
class SparseSigns:
    r"""Signs on one random cell of every block, 0 elsewhere: ``base ** ceil(theta k d)`` cells are kept on level k.

    The blocks of level k are boxes of cells that share their leading ``a_i`` digits in coordinate i, with
    ``sum_i a_i = ceil(theta k d)`` spread evenly. One cell of each block is drawn by hashing, uniformly. So the number
    of cells kept is exact, every cell has the same chance, and every ball holds kept cells of all fine levels.
    """

    base: int
    dim: int
    theta: float
    seed: int
    signs: HashedSigns | StoredSigns

    def count(self, level: int) -> int:
        """How many cells of a level are kept."""
        return int(self.base ** sum(self.digits(level)))

    def digits(self, level: int) -> list[int]:
        """The ``a_i``: how many leading digits each coordinate of a block of this level has."""
        total = min(math.ceil(self.theta * level * self.dim - 1e-9), level * self.dim)
        return [total // self.dim + (i < total % self.dim) for i in range(self.dim)]

    def kept(self, level: int) -> list[Words]:
        """Indices of all cells kept on a level, ``dim`` arrays of shape ``(count,)``."""
        sides = [np.arange(self.base**a, dtype=np.uint64) for a in self.digits(level)]
        blocks = [a.ravel() for a in np.meshgrid(*sides, indexing="ij")]
        return self._drawn(level, blocks)

    def of_cells(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs of cells of one level, 0 where a cell is not kept."""
        return _looked_up(self, level, index)

    def compute(self, level: int, index: Sequence[Words]) -> Floats:
        """Signs, computed for the kept cells only."""
        widths = [np.uint64(self.base ** (level - a)) for a in self.digits(level)]
        drawn = self._drawn(level, [j // w for j, w in zip(index, widths, strict=True)])
        found = np.logical_and.reduce([j == own for j, own in zip(index, drawn, strict=True)])
        signs = np.zeros(len(found))
        if np.any(found):
            signs[found] = self.signs.compute(level, [j[found] for j in index])
        return signs

    def of_cell(self, level: int, index: Sequence[int]) -> int:
        """The sign of one cell."""
        one = [np.array([j], dtype=np.uint64) for j in index]
        widths = [np.uint64(self.base ** (level - a)) for a in self.digits(level)]
        drawn = self._drawn(level, [j // w for j, w in zip(one, widths, strict=True)])
        kept = all(int(own[0]) == j for own, j in zip(drawn, index, strict=True))
        return self.signs.of_cell(level, index) if kept else 0

    def _drawn(self, level: int, blocks: Sequence[Words]) -> list[Words]:
        """The cell drawn in each block, as indices."""
        words = hash_words(seed_for("kept cells", seed=self.seed), level, *blocks)
        drawn = []
        for axis, (block, a) in enumerate(zip(blocks, self.digits(level), strict=True)):
            width = np.uint64(self.base ** (level - a))
            own = mix(words + np.uint64(seed_for("cell in its block", coordinate=axis)))
            drawn.append(block * width + own % width)
        return drawn


def chosen(signs: Any, base: int, dim: int, seed: int) -> HashedSigns | StoredSigns:
    """The signs of a random tree by name.

    Raises:
        TypeError: If it is no text.
        ValueError: For an unknown name.
    """
    if not isinstance(signs, str):
        raise TypeError(f"signs must be a name. Got {signs!r}. Write e.g. signs='stored'.")
    if signs not in CHOICES:
        raise ValueError(f"signs must be one of {', '.join(CHOICES)}. Got signs={signs!r}. Write e.g. signs='stored'.")
    return (HashedSigns if signs == "hashed" else StoredSigns)(base, dim, seed)
