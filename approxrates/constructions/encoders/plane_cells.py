"""Fine cells of shifted grids in the plane: sampled ranges of a target, proven bounds on its distance from constants.

A fine cell of a shifted grid is no dyadic square. Proven ranges come from the target's enclosures on the dyadic squares
that a cell meets: first on all squares of one level, then, for the few cells whose bound matters, on finer ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.target import Target

Array = NDArray[np.float64]
Places = NDArray[np.intp]
_DEEPEST = 12  # all dyadic squares of side 2^-12: 134 MB for each of the two bounds
_REFINED = 30  # squares this fine are looked at one by one
_WIDEN = 1e-6  # of a dyadic square: more than the rounding of cell borders, below 2^30 of them per axis
_BUDGET = 12_000_000  # enclosures at one level of refinement
_CHUNK = 200_000
_CLOSE = 1.03  # a proven error this close to the sampled one is good enough


@dataclass(frozen=True)
class Grid:
    """Fine cells of one network: of cell i of an axis ``[i + inner - shift, i + 1 - inner - shift] / stretch`` counts.

    What lies outside of ``[0, 1]`` is moved to its border.

    Attributes:
        n_coarse: Coarse cells per axis, N.
        n_fine: Fine cells per axis of a coarse cell, M.
        stretch: Fine cells per unit length.
        shift: Offset, in fine cells.
        inner: Margin of a cell that does not count, in fine cells.
    """

    n_coarse: int
    n_fine: int
    stretch: float
    shift: float
    inner: float

    def places(self, parts: int) -> Array:
        """Both ends of what counts of each cell and ``parts - 1`` points between them, ``(N M, parts + 1)``."""
        within = self.inner + (1.0 - 2.0 * self.inner) * np.arange(parts + 1) / parts
        cells = np.arange(self.n_coarse * self.n_fine)
        return np.clip((cells[:, None] + within - self.shift) / self.stretch, 0.0, 1.0)


def snake(n_fine: int) -> NDArray[np.int64]:
    """Cells of the path, shape ``(M^2, 2)``: rows along axis 0, even ones forwards, odd ones backwards."""
    row, along = np.divmod(np.arange(n_fine * n_fine), n_fine)
    return np.stack([np.where(row % 2 == 0, along, n_fine - 1 - along), row], axis=1)


def on_path(cells: Array, n_fine: int) -> Array:
    """A quantity of all fine cells, shape ``(N M, N M)``, as one row per coarse cell in path order: ``(N^2, M^2)``."""
    n_coarse = len(cells) // n_fine
    path = snake(n_fine)
    blocks = cells.reshape(n_coarse, n_fine, n_coarse, n_fine).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks.reshape(n_coarse * n_coarse, n_fine, n_fine)[:, path[:, 0], path[:, 1]])


def off_path(values: Array, n_fine: int) -> Array:
    """The inverse of :func:`on_path`."""
    n_coarse, path = math.isqrt(len(values)), snake(n_fine)
    blocks = np.empty((len(values), n_fine, n_fine))
    blocks[:, path[:, 0], path[:, 1]] = values
    side = n_coarse * n_fine
    return blocks.reshape(n_coarse, n_coarse, n_fine, n_fine).transpose(0, 2, 1, 3).reshape(side, side)


def sampled_ranges(target: Target, grid: Grid, parts: int = 2) -> tuple[Array, Array]:
    """Least and greatest value at ``(parts + 1)^2`` points of each fine cell, corners included; two ``(N M, N M)``."""
    places = grid.places(parts)
    n_cells, each = places.shape
    low, high = np.empty((n_cells, n_cells)), np.empty((n_cells, n_cells))
    rows = max(1, _CHUNK // (each * places.size))
    for first in range(0, n_cells, rows):
        lines = places[first : first + rows].ravel()
        points = np.stack(np.meshgrid(lines, places.ravel(), indexing="ij"), axis=-1).reshape(-1, 2)
        values = target.evaluate(points).reshape(-1, each, n_cells, each)
        low[first : first + rows], high[first : first + rows] = values.min(axis=(1, 3)), values.max(axis=(1, 3))
    return low, high


def value_range(target: Target) -> tuple[float, float]:
    """Proven lower and upper bounds of a Hölder function on the square."""
    axis = np.arange(65) / 64
    values = target.evaluate(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2))
    reach = float(target.regularity.radius or 0.0) * (math.sqrt(0.5) / 64) ** target.regularity.smoothness
    reach += float(target.evaluation_error or 1e-12)
    low, high = float(values.min()) - reach, float(values.max()) + reach
    if target.enclosure is not None and target.base == 2:
        below, above = _dyadic_ranges(target, 5)
        low, high = max(low, float(below.min())), min(high, float(above.max()))
    return low, high


def constants_error(
    target: Target, grids: Sequence[Grid], constants: Sequence[Array], sampled: float, fallback: Array | float
) -> float:
    """Proven bound on ``|f - constant|`` over all fine cells of some grids.

    Args:
        target: The function f.
        grids: The grids.
        constants: For each grid the constant of each fine cell, shape ``(N M, N M)``.
        sampled: The largest error seen; cells whose bound is close to it are refined no further.
        fallback: A bound on the errors that is known already, for all grids alike.
    """
    if target.enclosure is None or target.base != 2:
        return float(np.max(fallback))
    level = min(_DEEPEST, int(np.ceil(np.log2(grids[0].stretch))) + 1)
    low, high = _dyadic_ranges(target, level)
    largest = 0.0
    for grid, values in zip(grids, constants, strict=True):
        first, stop = _met(grid, level)
        under, over = _windows(low, first, stop, np.minimum), _windows(high, first, stop, np.maximum)
        bound = np.minimum(np.maximum(values - under, over - values), fallback)
        goal = max(_CLOSE * sampled, largest)
        for finer in range(level + 1, min(level + 6, _REFINED)):
            rows, columns = np.nonzero(bound > goal)
            first, stop = _met(grid, finer)
            if not len(rows) or len(rows) * int((stop - first).max()) ** 2 > _BUDGET:
                break
            errors = _refined(target, finer, first, stop, rows, columns, values)
            bound[rows, columns] = np.minimum(bound[rows, columns], errors)
        largest = max(largest, float(bound.max()))
    return largest


def _dyadic_ranges(target: Target, level: int) -> tuple[Array, Array]:
    """Proven bounds of the target on all dyadic squares of a level, two arrays of shape ``(2^level, 2^level)``."""
    side = 2**level
    low, high = np.empty((side, side)), np.empty((side, side))
    rows = max(1, _CHUNK // side)
    for start in range(0, side, rows):
        numbers = np.arange(start, min(side, start + rows))
        squares = np.stack(np.meshgrid(numbers, np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2)
        below, above = _enclosed(target, level, squares)
        low[start : start + rows], high[start : start + rows] = below.reshape(-1, side), above.reshape(-1, side)
    return low, high


def _enclosed(target: Target, level: int, squares: NDArray[np.int64]) -> tuple[Array, Array]:
    """Proven bounds on dyadic squares, shape ``(n, 2)``."""
    if target.enclosure is None:
        raise ValueError(f"{target.name} must have enclosures. Got none. Use a target of the catalogue.")
    return target.enclosure(level, squares).range()


def _met(grid: Grid, level: int) -> tuple[Places, Places]:
    """The dyadic intervals ``first <= j < stop`` that each cell of an axis meets, rounding allowed for."""
    ends = grid.places(1) * 2.0**level
    first = np.clip(np.floor(ends[:, 0] - _WIDEN), 0, 2**level - 1).astype(np.intp)
    return first, np.clip(np.ceil(ends[:, 1] + _WIDEN), first + 1, 2**level).astype(np.intp)


def _windows(values: Array, first: Places, stop: Places, best: np.ufunc) -> Array:
    """Minimum or maximum over the windows ``first <= j < stop`` of both axes."""
    pairs = np.stack([first, stop], axis=1).ravel()
    for _ in range(2):
        padded = np.concatenate([values, values[-1:]])  # a window may end with the array
        values = np.ascontiguousarray(best.reduceat(padded, pairs, axis=0)[::2].T)
    return values


def _refined(
    target: Target, level: int, first: Places, stop: Places, rows: Places, columns: Places, values: Array
) -> Array:
    """Errors of some cells, from the enclosures on all dyadic squares that each of them meets."""
    reach = np.arange(int((stop - first).max()))
    errors = np.empty(len(rows))
    step = max(1, _CHUNK // len(reach) ** 2)
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        down = np.minimum(first[i][:, None] + reach, stop[i][:, None] - 1)
        right = np.minimum(first[j][:, None] + reach, stop[j][:, None] - 1)
        squares = np.empty((len(i), len(reach), len(reach), 2), dtype=np.int64)
        squares[..., 0], squares[..., 1] = down[:, :, None], right[:, None, :]
        low, high = (side.reshape(len(i), -1) for side in _enclosed(target, level, squares.reshape(-1, 2)))
        value = values[i, j]
        errors[start : start + step] = np.maximum(value - low.min(axis=1), high.max(axis=1) - value)
    return errors
