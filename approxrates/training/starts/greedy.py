"""Choice of features from a dictionary: orthogonal greedy, layer after layer, with quotas for the kinds of units."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from approxrates.training.starts.base import F64
from approxrates.training.starts.channels import Channels, Features
from approxrates.training.starts.ridge import dictionary

SOFTNESS = 1e-4
_SHORTLIST = 8
_SURPLUS = 4.0
_LEAST_SURPLUS = 1.5
_BLOCKS = 64
_MOST_ROUNDS = 8
_WORK = 2e9


def choose(channels: Channels, points: F64, y: F64, smoothness: float, rng: np.random.Generator | None) -> Features:
    """Features out of a dictionary, for each layer among the functions that the layer can really compute.

    Args:
        channels: The plan.
        points: Shape ``(M, dim)``.
        y: What is to be fitted, ``(M,)``.
        smoothness: Its smoothness.
        rng: Makes the dictionary; an even one if None.
    """
    arch, n = channels.arch, channels.n_features
    rounds = 1 if channels.carry.exact else min(arch.depth, _MOST_ROUNDS)
    # Large networks are given fewer candidates, as the work grows with the third power of their size.
    surplus = min(_SURPLUS, max(_LEAST_SURPLUS, _WORK / (len(points) * n * n * rounds)))
    candidates = dictionary(channels.feature_codes, arch.dim, surplus, smoothness, rng)
    choice = Choice(np.concatenate([np.ones((len(points), 1)), points], axis=1), y)
    free, received = np.ones(len(candidates.kinds), dtype=bool), channels.received(points)
    slots: list[int] = []
    cuts = [i * arch.depth // rounds for i in range(rounds + 1)]
    for start, stop in itertools.pairwise(cuts):
        codes = channels.feature_codes[: channels.per_layer * (stop - start)]
        quotas = [codes.count(code) for code in candidates.codes]
        atoms = candidates.values(received[(start + stop) // 2])
        taken = choice.take(atoms, candidates.kinds, quotas, free, max(1, n // _BLOCKS))
        queues = {code: [j for j in taken if candidates.kinds[j] == i] for i, code in enumerate(candidates.codes)}
        slots += [queues[code].pop(0) for code in codes]
    return Features(candidates.weights[slots], candidates.offsets[slots])


class Choice:
    """A growing choice of atoms.

    Each step takes the atom that lowers the squared error most once everything chosen is fitted anew (orthogonal least
    squares; Chen, Cowan & Grant 1991, doi:10.1109/72.80341), softened: an atom of which little is new would need a
    large coefficient, so its gain is divided by ``new + SOFTNESS`` and not by ``new``, the squared length of what is
    new.

    Args:
        base: Columns that are fitted anyway, ``(M, b)``.
        y: What is to be fitted, ``(M,)``.
    """

    def __init__(self, base: F64, y: F64) -> None:
        self.basis = np.linalg.qr(base)[0]
        self.residual = y - self.basis @ (self.basis.T @ y)

    def take(
        self, atoms: F64, kinds: NDArray[np.intp], quotas: list[int], free: NDArray[np.bool_], block: int
    ) -> list[int]:
        """So many more atoms of each kind, in the order of their choice.

        Args:
            atoms: Columns ``(M, D)``.
            kinds: Kind of each, ``(D,)``.
            quotas: How many of each kind.
            free: Which may be taken, ``(D,)``; those taken are struck off.
            block: Atoms taken out of a short list before the others are made orthogonal to them: as good where atoms
                are many, and most of the time is saved.
        """
        left, chosen = np.array(quotas), []
        lengths = np.linalg.norm(atoms, axis=0)
        rest = atoms / np.where(lengths > 0.0, lengths, 1.0)
        rest -= self.basis @ (self.basis.T @ rest)
        while left.sum():
            usable = free & (left[kinds] > 0)
            scores = np.where(usable, _gains(rest, self.residual), -1.0)
            near = np.argsort(-scores, kind="stable")[: min(_SHORTLIST * block if block > 1 else 1, int(usable.sum()))]
            picked, directions = self._from_list(rest[:, near], kinds[near], left, block)
            chosen += [int(near[place]) for place in picked]
            free[chosen] = False
            rest -= directions @ (directions.T @ rest)
            self.basis = np.concatenate([self.basis, directions], axis=1)
        return chosen

    def _from_list(
        self, atoms: F64, kinds: NDArray[np.intp], left: NDArray[np.intp], block: int
    ) -> tuple[list[int], F64]:
        """Up to ``block`` of a few atoms, one by one, and the orthonormal directions they add; lowers ``left``."""
        picked: list[int] = []
        directions = []
        atoms = atoms.copy()
        while len(picked) < block:
            scores = np.where(left[kinds] > 0, _gains(atoms, self.residual), -1.0)
            scores[picked] = -1.0
            best = int(np.argmax(scores))
            if scores[best] < 0.0:
                break
            picked.append(best)
            left[kinds[best]] -= 1
            length = float(np.linalg.norm(atoms[:, best]))
            if length > 1e-8:
                direction = atoms[:, best] / length
                directions.append(direction)
                self.residual = self.residual - direction * (direction @ self.residual)
                atoms -= np.outer(direction, direction @ atoms)
        return picked, np.stack(directions, axis=1) if directions else np.zeros((len(atoms), 0))


def _gains(atoms: F64, residual: F64) -> F64:
    """How much each atom lowers the squared error, softened."""
    gains: F64 = (residual @ atoms) ** 2 / (np.einsum("ij,ij->j", atoms, atoms) + SOFTNESS)
    return gains
