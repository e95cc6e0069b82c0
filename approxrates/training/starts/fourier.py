"""Waves of half-integer frequency: cosines and sines that are complete on the cube without the target being periodic.

A function on ``[0, 1]`` is the half of an even function of period 2, whose Fourier series is one of cosines
``cos(pi m x)`` and converges whatever the ends are. Sines of the same frequencies are redundant and make smooth
functions cheap: their series need not be even (Fourier extension; Adcock, Huybrechs & Martin-Vaquero 2014,
doi:10.1007/s10208-013-9158-8). Which of them a start takes is up to the greedy choice.
"""

from __future__ import annotations

import numpy as np

from approxrates.training.starts.base import F64

_JITTER = 0.25


def waves(period: float, dim: int, count: int, rng: np.random.Generator | None) -> tuple[F64, F64]:
    """Weights ``(D, dim)`` and offsets ``(D,)`` for units of this period, the longest waves first within either phase.

    Each wave vector comes with two phases, a quarter of a period apart. Random ones have their frequencies moved by up
    to an eighth of a wave on the cube, and common phases.

    Args:
        period: Of the activation.
        dim: Dimension of the input.
        count: How many, about.
        rng: Random numbers; half integers and phases zero if None.
    """
    n = max(1, count // 2)
    vectors = _shortest(n, dim) / 2.0
    phases = np.zeros(n)
    if rng is not None:
        vectors = vectors + (rng.random((n, dim)) - 0.5) * _JITTER
        phases = rng.random(n)
    turns = np.concatenate([phases, phases + 0.25])
    return np.concatenate([vectors, vectors]) * period, turns * period


def _shortest(n: int, dim: int) -> F64:
    """The ``n`` shortest whole vectors but zero, one of each pair of opposite ones, ``(n, dim)``."""
    reach = 1
    while ((2 * reach + 1) ** dim - 1) // 2 < 2 * n:
        reach += 1
    axes = [np.arange(0, reach + 1), *[np.arange(-reach, reach + 1)] * (dim - 1)]
    if dim == 1:
        return np.arange(1.0, n + 1.0)[:, None]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    leading = np.array([next((v for v in row if v), 0) for row in grid])
    grid = grid[leading > 0]
    order = np.argsort((grid**2).sum(axis=1), kind="stable")[:n]
    return grid[order].astype(np.float64)
