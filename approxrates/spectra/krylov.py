"""The Krylov space of one replica: its basis, the matrix of the operator in it, and what that tells of the extremes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_KEY = 0x5350454354524131
"""Key of the vectors that continue a search which has come to its end: the same for every replica."""

_DROP = 0.7
"""A vector is orthogonalised once more if its norm fell below this share (Daniel, Gragg, Kaufman & Stewart 1976)."""


def random_vector(key: int, number: int, n_params: int, stride: int, like: Tensor) -> Tensor:
    """Normal entries ``[stride]`` from a counter-based generator, zero in the padding."""
    random = np.random.Generator(np.random.Philox(key=[key & (2**64 - 1), number]))
    values = np.zeros(stride)
    values[:n_params] = random.standard_normal(n_params)
    return torch.from_numpy(values).to(like)


@dataclass(frozen=True)
class Wanted:
    """What is searched, and how well.

    Attributes:
        ends: Signs: 1 for the top, -1 for the bottom.
        tolerance: Largest residual over the size of the eigenvalue.
        absolute: Residual that is small enough anyway.
        most_steps: Basis vectors at once; the search is restarted from the best of them if they do not suffice.
        most_products: Products after which the search is given up.
        vectors: Whether Ritz vectors are kept.
    """

    ends: tuple[int, ...]
    tolerance: float
    absolute: float
    most_steps: int
    most_products: int
    vectors: bool


@dataclass
class Found:
    """One end of a spectrum: ``value`` is within ``residual`` of an eigenvalue."""

    value: float = math.nan
    residual: float = math.nan
    converged: bool = False
    vector: Tensor | None = None


@dataclass
class Krylov:
    """Lanczos for one replica, driven from outside: multiply :attr:`vector`, give the product to :meth:`absorb`.

    Every new vector is orthogonalised against all before, and again if that took much of it. If the space turns out
    invariant, a random vector orthogonal to it begins a second one: the start may have had no share in an eigenvector.
    If ``most_steps`` vectors do not suffice, the best Ritz vectors are kept (thick restart).

    Attributes:
        rows: Vectors to be orthogonal to: those kept out, those of a first invariant space, those of the present one.
        first: Where the present one begins.
        dimension: What is left for the present one.
        wanted: What is searched.
        n_params: Entries beyond are padding.

    Reference:
        Wu & Simon (2000), Thick-restart Lanczos method for large symmetric eigenvalue problems, SIAM J. Matrix Anal.
        Appl. 22.
    """

    rows: Tensor
    first: int
    dimension: int
    wanted: Wanted
    n_params: int
    products: int = 0
    done: bool = False
    found: dict[int, Found] = field(default_factory=dict)

    @classmethod
    def begin(cls, start: Tensor, project: Tensor | None, wanted: Wanted, n_params: int) -> Krylov:
        """Start from a vector ``[stride]``, keeping out the rows of ``project [q, stride]`` (zeros count for none)."""
        kept_out = start.new_zeros(0, len(start)) if project is None else project[project.any(1)].to(start)
        self = cls(kept_out, len(kept_out), n_params - len(kept_out), wanted, n_params)
        if self.dimension <= 0:
            self.done = True
        else:
            self._open(start)
        return self

    @property
    def vector(self) -> Tensor:
        """What is to be multiplied next, ``[stride]``."""
        return self.rows[self.first + self.size - 1]

    def release(self) -> None:
        """Give the basis back."""
        self.rows = self.rows[:0].clone()

    def _open(self, start: Tensor) -> None:
        """Begin a space from a vector, orthogonal to all rows."""
        room = min(self.wanted.most_steps, self.dimension)
        taken, self.rows = self.rows[: self.first], start.new_empty(self.first + room + 1, len(start))
        self.rows[: self.first] = taken
        self.room, self.size, self.scale = room, 1, 0.0
        self.matrix = np.zeros((min(room, 31) + 1,) * 2)
        for number in range(3):
            vector, norm = self._orthogonal(start / start.norm(), self.first)
            if norm > 1e-3:
                break
            start = random_vector(_KEY, 1 + number, self.n_params, len(start), start)
        self.rows[self.first] = vector / norm

    def _orthogonal(self, vector: Tensor, count: int) -> tuple[Tensor, float]:
        """A vector less its share in the first rows, and its norm."""
        against, norm = self.rows[:count], _norm(vector)
        for _ in range(3 if count else 0):
            before = norm
            vector = torch.addmv(vector, against.T, against @ vector, alpha=-1.0)
            norm = _norm(vector)
            if norm > _DROP * before:
                break
        return vector, norm

    def absorb(self, product: Tensor) -> None:
        """Take the product with :attr:`vector`, extend the space, and see whether it suffices."""
        self.products += 1
        vector, place, matrix = product.to(self.rows, copy=True), self.size - 1, self.matrix
        vector[self.n_params :] = 0.0
        own = self.rows[self.first : self.first + self.size]
        known = np.flatnonzero(matrix[:place, place])
        if len(known) == 1:
            vector.sub_(own[int(known[0])], alpha=float(matrix[known[0], place]))
        elif len(known):
            vector.addmv_(own[:place].T, torch.from_numpy(matrix[:place, place]).to(own), alpha=-1.0)
        share = _dot(own[place], vector)
        vector.sub_(own[place], alpha=share)
        vector, norm = self._orthogonal(vector, self.first + self.size)
        if not math.isfinite(share + norm):
            self.found, self.done = {end: Found() for end in self.wanted.ends}, True
            return
        matrix[place, place] = share
        self.scale = max(self.scale, abs(share) + norm + float(np.linalg.norm(matrix[:place, place])))
        self._decide(vector, norm)

    def _decide(self, vector: Tensor, norm: float) -> None:
        """Stop, close an invariant space, restart, or go on with the next vector."""
        eps = torch.finfo(vector.dtype).eps
        whole = self.size == self.dimension
        invariant = norm <= 8.0 * eps * self.scale
        if whole or invariant:
            norm = 0.0
        spent = self.products >= self.wanted.most_products
        full = self.size == self.room
        if whole or invariant or spent or full or self.size % max(1, self.size // 8) == 0:
            values, basis = np.linalg.eigh(self.matrix[: self.size, : self.size])
            known = self._known(values, basis, norm, eps)
            enough = all(known.values())
            # A space that began at random and is invariant holds every eigenvalue of what was left to it.
            unfinished = invariant and not whole and not self.found
            if unfinished and spent:
                known = dict.fromkeys(known, False)
            if (enough and not unfinished) or spent:
                self._settle(values, basis, norm, known)
                self.done = True
                return
            if unfinished:
                self._settle(values, basis, norm, known)
                self.first, self.dimension = self.first + self.size, self.dimension - self.size
                self._open(random_vector(_KEY, 0, self.n_params, len(vector), vector))
                return
            if full:
                self._compress(values, basis, norm)
        if not full:
            if self.size == len(self.matrix):
                # Memory as needed: most searches are short.
                self.matrix = np.pad(self.matrix, (0, min(self.size, self.room + 1 - self.size)))
            self.matrix[self.size, self.size - 1] = self.matrix[self.size - 1, self.size] = norm
        torch.div(vector, norm, out=self.rows[self.first + self.size])
        self.size += 1

    def _known(
        self, values: NDArray[np.float64], basis: NDArray[np.float64], norm: float, eps: float
    ) -> dict[int, bool]:
        """Whether each of the wanted ends is known well enough."""
        enough = {}
        least = max(self.wanted.absolute, 10.0 * eps * float(np.abs(values).max()))
        for end in self.wanted.ends:
            place = -1 if end > 0 else 0
            best = max([end * values[place], *(end * f.value for e, f in self.found.items() if e == end)])
            limit = max(max(self.wanted.tolerance, 2.0 * eps) * abs(best), least)
            enough[end] = norm * abs(float(basis[-1, place])) <= limit
        return enough

    def _settle(
        self, values: NDArray[np.float64], basis: NDArray[np.float64], norm: float, enough: dict[int, bool]
    ) -> None:
        """Note what is known of the wanted ends, if it is better than what an earlier space knew."""
        for end in self.wanted.ends:
            place, known = (-1 if end > 0 else 0), self.found.get(end)
            if known is None or end * values[place] > end * known.value:
                vector = None
                if self.wanted.vectors:
                    vector = self._combined(basis[:, place : place + 1 or None])[0]
                self.found[end] = Found(float(values[place]), norm * abs(float(basis[-1, place])), enough[end], vector)
            elif not enough[end]:
                known.converged = False

    def _combined(self, coefficients: NDArray[np.float64]) -> Tensor:
        """Ritz vectors ``[k, stride]`` from their coefficients ``(size, k)``."""
        own = self.rows[self.first : self.first + self.size]
        return torch.from_numpy(np.ascontiguousarray(coefficients.T)).to(own) @ own

    def _compress(self, values: NDArray[np.float64], basis: NDArray[np.float64], norm: float) -> None:
        """Keep the Ritz vectors nearest to the wanted ends; the next vector is coupled to each of them."""
        each = max(1, self.size // (2 * len(self.wanted.ends)))
        places = [
            i
            for i in range(self.size)
            if (-1 in self.wanted.ends and i < each) or (1 in self.wanted.ends and i >= self.size - each)
        ]
        kept = self._combined(basis[:, places])
        self.size = len(places)
        self.rows[self.first : self.first + self.size] = kept
        self.matrix[:] = 0.0
        self.matrix[range(self.size), range(self.size)] = values[places]
        self.matrix[: self.size, self.size] = self.matrix[self.size, : self.size] = norm * basis[-1, places]


def _norm(vector: Tensor) -> float:
    """Euclidean norm."""
    return math.sqrt(_dot(vector, vector))


def _dot(a: Tensor, b: Tensor) -> float:
    """Inner product; torch sums in cascades, so that single precision keeps its digits with many entries too."""
    return float((a * b).sum())
