r"""What the terms finer than a cell are together: suprema of self-similar sums, by a recursion over a grid.

``T_L(x) = sum_{n >= L} a_n g_n(b^(n-L) x)`` with ``g_n`` of period 1 satisfies ``T_L(x) = a_L g_L(x) + T_{L+1}(b x)``.
On a grid of ``b^g`` equal cells of ``[0, 1]`` cell c is mapped by ``x -> b x`` onto the cells ``b c .. b c + b - 1``,
modulo their number: so bounds on the cells follow from those of the next level, from the finest upwards.
"""

from __future__ import annotations

import math

import numpy as np

from approxrates.generators.base import ROUND_UP, Floats

_GRID_CELLS = 2048
_SLACK = 1e-12
_WEIGHINGS = 20
_THINNED = 256


def grid_size(base: int) -> int:
    """Cells of the grid: the largest power of the base up to 2,048, and at least the base."""
    return int(base ** max(1, math.floor(math.log(_GRID_CELLS, base) + 1e-9)))


def cosine_bounds(phase: float, n_cells: int) -> tuple[Floats, Floats]:
    """Upper and lower bounds of ``cos(2 pi (x + phase))`` on the cells of the grid, each of shape ``(n_cells,)``."""
    middle = np.cos(2.0 * math.pi * ((np.arange(n_cells) + 0.5) / n_cells + phase))
    reach = math.pi / n_cells + _SLACK
    return np.minimum(middle + reach, 1.0), np.maximum(middle - reach, -1.0)


def greatest_below(values: Floats, base: int) -> Floats:
    """For each cell of the grid the greatest value on the cells that ``x -> base x`` maps it onto."""
    return np.tile(values.reshape(-1, base).max(axis=1), base)


def tail_bounds(base: int, heights: list[float], bounds: list[tuple[Floats, Floats]]) -> list[tuple[Floats, Floats]]:
    """Upper and lower bounds of ``T_L`` on the cells of the grid for each L, given those of ``g_L``; last comes 0."""
    high, low = np.zeros(grid_size(base)), np.zeros(grid_size(base))
    result = [(high, low)]
    for height, (upper, lower) in zip(reversed(heights), reversed(bounds), strict=True):
        above, under = greatest_below(high, base), -greatest_below(-low, base)
        high = height * upper + above + _SLACK * (height + np.abs(above))
        low = height * lower + under - _SLACK * (height + np.abs(under))
        result.append((high, low))
    return result[::-1]


def best_quadratic(high: Floats, low: Floats) -> tuple[float, float, float, float]:
    """``(a, b, c, e)``: a function between these bounds is ``a + b t + c t^2`` up to e, ``t`` in ``[-1, 1]``.

    The polynomial is found by Lawson's reweighted least squares, nearly the best there is; e holds for any.
    """
    n = len(high)
    t = (2.0 * np.arange(n) + 1.0) / n - 1.0
    thin = slice(n // (2 * _THINNED), n, max(1, n // _THINNED))
    basis, middle = np.stack([np.ones(n), t, t * t], axis=1)[thin], 0.5 * (high + low)[thin]
    weights, best = np.full(len(middle), 1.0 / len(middle)), (0.0, 0.0, 0.0, math.inf)
    candidates = [np.zeros(3)]
    for _ in range(_WEIGHINGS):
        weighted = basis.T * weights
        candidates.append(np.linalg.solve(weighted @ basis, weighted @ middle))
        weights = weights * np.abs(middle - basis @ candidates[-1]) + 1e-30
        weights /= weights.sum()
    for _, slope, square in candidates:
        inside = slope * t + square * t * t
        moved = (abs(slope) + 2.0 * abs(square)) / n + _SLACK * (abs(slope) + abs(square))
        top, bottom = float((high - inside).max()) + moved, float((low - inside).min()) - moved
        reach = 0.5 * (top - bottom) * ROUND_UP + _SLACK * (abs(top) + abs(bottom))
        if reach < best[3]:
            best = (0.5 * (top + bottom), float(slope), float(square), reach)
    return best
