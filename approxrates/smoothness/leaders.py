"""Wavelet leaders with Daubechies' filters: the largest coefficient near a place, at a scale and all finer ones."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from approxrates.smoothness.base import Floats
from approxrates.smoothness.sampled import Sampled

_LEAST_COEFFICIENTS = 2
SPAN = 8  # scales used at most, the finest of those that remain: the exponent is a limit


@functools.cache
def daubechies(moments: int) -> tuple[Floats, Floats]:
    r"""Low-pass and high-pass filter with so many vanishing moments, of length ``2 moments``.

    Spectral factorisation: ``|m_0(w)|^2 = (cos^2 w/2)^N P(sin^2 w/2)``, ``P(y) = sum_{k<N} C(N-1+k, k) y^k``. Each
    root y of P gives a pair z, 1/z with ``y = (2 - z - 1/z) / 4``; the one inside the unit circle is kept. The low-pass
    filter is normalised to sum 1, so that averages stay averages and coefficients have the size of the function.

    Args:
        moments: The N, from 1 to 10.

    Returns:
        Filters h and g with ``g_n = (-1)^n h_(2N-1-n)``.

    Reference:
        Daubechies (1992), Ten Lectures on Wavelets, section 6.1.
    """
    roots = np.roots([math.comb(moments - 1 + k, k) for k in reversed(range(moments))])
    polynomial = np.poly1d([1.0])
    for y in roots:
        half = 1.0 - 2.0 * y
        pair = half + np.array([1.0, -1.0]) * np.sqrt(half * half - 1.0 + 0j)
        polynomial *= np.poly1d([1.0, -pair[np.argmin(np.abs(pair))]])
    for _ in range(moments):
        polynomial *= np.poly1d([1.0, 1.0])
    low = np.asarray(np.real(polynomial.coeffs), dtype=np.float64)
    low = np.asarray(low / low.sum(), dtype=np.float64)
    return low, np.asarray(low[::-1] * (-1.0) ** np.arange(len(low)), dtype=np.float64)


def _filtered(values: Floats, taps: Floats, axis: int) -> Floats:
    """Every second value of a correlation with a filter along an axis, where it fits inside."""
    moved = np.moveaxis(values, axis, 0)
    count = (len(moved) - len(taps)) // 2 + 1
    total = np.zeros((count, *moved.shape[1:]))
    for i, tap in enumerate(taps):
        total += tap * moved[i : i + 2 * count - 1 : 2]
    return np.moveaxis(total, 0, axis)


def coefficients(field: Sampled, moments: int) -> list[Floats]:
    """Largest detail coefficient at every place, one array per scale, finest first; borders are left out."""
    low, high = daubechies(moments)
    average, scales = field.values, []
    while min(average.shape[a] for a in field.axes) >= len(low) + 2 * _LEAST_COEFFICIENTS:
        bands = []
        for kinds in itertools.product((low, high), repeat=len(field.axes)):
            band = average
            for axis, taps in zip(field.axes, kinds, strict=True):
                band = _filtered(band, taps, axis)
            bands.append(band)
        average = bands[0]
        scales.append(np.max(np.abs(bands[1:]), axis=0))
    return scales


def leaders(scales: list[Floats], axes: tuple[int, ...]) -> list[Floats]:
    """Leaders, one array per scale, finest first: sup over the 3^d neighbours and all finer scales inside of them.

    Args:
        scales: As :func:`coefficients` gives them.
        axes: Axes of the grid.

    Reference:
        Jaffard (2004), Wavelet techniques in multifractal analysis; Wendt, Abry & Jaffard (2007), IEEE Signal Process.
        Mag. 24, 38-48.
    """
    found, below = [], None
    for own in scales:
        cube = own
        if below is not None:
            for halves in itertools.product((0, 1), repeat=len(axes)):
                pick: list[slice] = [slice(None)] * own.ndim
                for axis, half in zip(axes, halves, strict=True):
                    pick[axis] = slice(half, half + 2 * own.shape[axis] - 1, 2)
                cube = np.maximum(cube, below[tuple(pick)])
        near = cube
        for axis in axes:
            moved = np.moveaxis(near, axis, 0)
            padded = np.concatenate([moved[:1], moved, moved[-1:]])
            near = np.moveaxis(np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:]), 0, axis)
        found.append(near)
        below = cube
    return found


def leader_function(field: Sampled, moments: int) -> tuple[Floats, Floats]:
    """Largest leader at each scale: steps, descending, and sizes, each of shape ``(k,)``."""
    found = leaders(coefficients(field, moments), field.axes)
    steps = np.asarray(field.spacing * 2.0 ** np.arange(1, len(found) + 1), dtype=np.float64)
    return steps[::-1], np.array([float(a.max()) for a in found])[::-1]


def chosen(above_noise: NDArray[np.bool_], dim: int) -> NDArray[np.bool_]:
    """The scales of the regression: without the finest three, which feel the sampling, and the coarsest two.

    In d = 2 a grid has few scales: there two and one.
    """
    coarse, fine = (2, 3) if dim == 1 else (1, 2)
    inner = np.flatnonzero(above_noise[coarse : len(above_noise) - fine]) + coarse
    used = np.zeros(len(above_noise), dtype=bool)
    used[inner[-SPAN:]] = True
    return used
