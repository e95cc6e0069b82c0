"""Bounds of ``|f - g|`` on b-adic cells for many networks ``g`` and one target ``f``, by their models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import Array
from approxrates.errors.models import Stack, network_models, stacked
from approxrates.network import Network
from approxrates.target import Target
from approxrates.taylor import TaylorModel, n_terms

Cells = NDArray[np.int64]
Levels = NDArray[np.int64]
Owners = NDArray[np.intp]

_ROW = 256  # boxes of a network bounded as one row of a batch; a power of two
_ENTRIES = 1 << 16  # scalars of the widest array of a batch: half a megabyte, so that it stays in the cache


class Bounder:
    """Bounds for networks of one shape against one target."""

    def __init__(self, networks: Sequence[Network], target: Target) -> None:
        assert target.enclosure is not None
        self.stack: Stack = stacked(networks)
        self.target, self.enclosure = target, target.enclosure
        self.base = max(2, target.base)

    def target_models(self, level: Levels, cells: Cells) -> TaylorModel:
        """Models of the target on cells of any levels, shapes ``(n,)`` and ``(n, dim)``."""
        terms, remainder = np.empty((n_terms(self.target.dim), len(cells))), np.empty(len(cells))
        for one in np.unique(level):
            rows = np.flatnonzero(level == one)
            found = self.enclosure(int(one), np.ascontiguousarray(cells[rows]))
            terms[:, rows], remainder[rows] = found.terms, found.remainder
        return TaylorModel(self.target.dim, terms, remainder)

    def network_models(self, owner: Owners, centres: Array, half: Array) -> TaylorModel:
        """Models of networks on boxes, shapes ``(n,)``, ``(n, dim)`` and ``(n,)``; owners in ascending order.

        What a box gets does not depend on the boxes of other networks: each network's boxes go through in rows of a
        length that only their own number decides, for matrix products may round differently in another shape.
        """
        n, full = len(owner), n_terms(self.stack.dim)
        terms, remainder = np.empty((full, n)), np.empty(n)
        for index in _rows_by_length(owner):
            step = max(1, _ENTRIES // (index.shape[1] * full * self.stack.width))
            for start in range(0, len(index), step):
                rows = index[start : start + step]
                found = network_models(self.stack, owner[rows[:, 0]], centres[rows], half[rows])
                flat = rows.reshape(-1)
                terms[:, flat], remainder[flat] = found.terms, found.remainder
        return TaylorModel(self.stack.dim, terms, remainder)

    def bounds(
        self, owner: Owners, level: Levels, cells: Cells, known: TaylorModel | None = None
    ) -> tuple[Array, Array]:
        """Upper bounds of ``|f - g|`` on cells, shape ``(n,)``, and how much of each is remainder.

        Args:
            owner: Which network, ascending.
            level: Level of each cell.
            cells: Their numbers.
            known: Models of the target, if there are some already.
        """
        side: Array = np.power(float(self.base), -level.astype(np.float64)).astype(np.float64)
        centres: Array = (cells + 0.5) * side[:, None]
        half = 0.5 * side
        model = self.network_models(owner, centres, half)
        target = self.target_models(level, cells) if known is None else known
        difference = target - model
        with np.errstate(all="ignore"):
            bound = difference.magnitude()
        return bound, np.where(np.isfinite(bound), difference.remainder, np.inf)

    def error_at(self, network: int, x: Array) -> tuple[float, float]:
        """``|f - g|`` at a point of shape ``(dim,)``, and how far that is from the truth at most.

        Rounding of the target is left out if nothing is known about it; then nothing is certified.
        """
        model = self.network_models(np.array([network]), x[None], np.zeros(1))
        value, slack = float(self.target(x[None])[0]), self.target.evaluation_error
        error = abs(value - float(model.terms[0, 0]))
        slack = 0.0 if slack is None else slack
        return error, (float(model.remainder[0]) + slack) * (1 + 1e-12) + 2.0**-52 * error


def _rows_by_length(owner: Owners) -> list[NDArray[np.intp]]:
    """Indices of boxes in rows of one owner each, shape ``(rows, length)`` for each length in use.

    Each owner's boxes are cut into rows of ``_ROW``; the last is filled up to a power of two by repeating a box.
    """
    full: list[NDArray[np.intp]] = []
    rest: dict[int, list[NDArray[np.intp]]] = {}
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(owner)], strict=True):
        whole = (end - start) // _ROW * _ROW
        if whole:
            full.append(np.arange(start, start + whole).reshape(-1, _ROW))
        left = np.arange(start + whole, end)
        if len(left):
            length = max(8, 1 << (len(left) - 1).bit_length())
            rest.setdefault(length, []).append(np.resize(left, length))
    groups = [np.concatenate(full)] if full else []
    return groups + [np.stack(rows) for rows in rest.values()]
