r"""Every activation as a quadratic with a remainder that is proven: what errors of networks are certified with.

For a centre ``c`` and a radius ``rho``, ``|sigma(c + s) - (f0 + f1 s + f2 s^2)| <= r`` for all ``|s| <= rho``, rounding
of the computed ``f0, f1, f2`` included. Two cases:

- *Smooth* (sin, snake, tanh, gelu, silu): Taylor to order two. The rest is ``sigma'''(x) s^3 / 6`` for some ``x``
  between, and also ``sigma'''(c) s^3 / 6 + sigma''''(x) s^4 / 24``; the smaller of the two bounds is taken.
- *Piecewise polynomials*, from their ``pieces``: exact where the range lies in one piece, up to terms of order three
  and more, which join the remainder. Where it does not, see :mod:`approxrates.activations.kinks`.

Elementary functions of numpy and scipy are taken to be good to 4 units in the last place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.activations.base import Activation
from approxrates.activations.kinks import UNIT, Expansion, pieced

Array = NDArray[np.float64]
Encloser = Callable[[Array, Array], Expansion]
"""``(centre, radius) -> expansion``, elementwise on arrays of one shape."""

_ROUNDING = 48 * UNIT
"""Relative error of a derivative of order up to three, computed from an elementary function good to 4 ulp."""
_TWO_PI = 2.0 * math.pi


@dataclass(frozen=True)
class _Smooth:
    """A smooth activation ``sigma(t) = scale g(w t)`` or the like, by its derivatives.

    Attributes:
        jet: ``c -> (sigma, sigma', sigma''/2, sigma'''/6)``, and the argument of the elementary function inside.
        sizes: Bounds of ``|sigma'|``, ``|sigma''|``, ``|sigma'''|`` and ``|sigma''''|`` on the whole line.
        amplitude: ``|sigma| <= amplitude``; inf if there is no bound.
    """

    jet: Callable[[Array], tuple[Array, Array, Array, Array, Array]]
    sizes: tuple[float, float, float, float]
    amplitude: float

    def __call__(self, c: Array, rho: Array) -> Expansion:
        """The expansion; see the module."""
        f0, f1, f2, f3, argument = self.jet(c)
        first, second, third, fourth = self.sizes
        cube = rho * rho * rho
        rest = np.minimum(third / 6.0 * cube, (np.abs(f3) + fourth / 24.0 * rho) * cube)
        size = first * rho + second * rho * rho + third * cube
        rounding = _ROUNDING * (1.0 + np.abs(argument)) * (1.0 + np.abs(f0) + size)
        level, spread = f0, first * rho
        if math.isfinite(self.amplitude):
            wide = spread > self.amplitude
            level, spread = np.where(wide, 0.0, f0), np.where(wide, self.amplitude, spread)
        return Expansion(f0, f1, f2, rest + rounding, level, spread + rounding)


def _tanh(c: Array) -> tuple[Array, ...]:
    t = np.tanh(c)
    s = 1.0 - t * t
    # Where tanh has come to 1 the computed s has a large relative error, but a small absolute one.
    return t, s, -t * s, s * (3.0 * t * t - 1.0) / 3.0, np.zeros_like(c)


def _gelu(c: Array) -> tuple[Array, ...]:
    from scipy.special import erf

    square = c * c
    density = np.exp(-0.5 * square) / math.sqrt(_TWO_PI)
    share = 0.5 * (1.0 + erf(c * math.sqrt(0.5)))
    f2, f3 = density * (1.0 - 0.5 * square), density * c * (square - 4.0) / 6.0
    return c * share, share + c * density, f2, np.where(np.isfinite(f3), f3, 0.0), c


def _silu(c: Array) -> tuple[Array, ...]:
    from scipy.special import expit

    s = expit(c)
    d1 = s * (1.0 - s)
    d2 = d1 * (1.0 - 2.0 * s)
    d3 = d1 * (1.0 - 6.0 * d1)
    return c * s, s + c * d1, d1 + 0.5 * c * d2, 0.5 * d2 + c * d3 / 6.0, c


def _sine(w: float, whole_turns: bool, c: Array) -> tuple[Array, ...]:
    angle = w * (c - np.round(c) if whole_turns else c)
    sine, cosine = np.sin(angle), np.cos(angle)
    return sine, w * cosine, -0.5 * w * w * sine, -(w**3) / 6.0 * cosine, angle


def _snake(a: float, c: Array) -> tuple[Array, ...]:
    angle = 2.0 * a * c
    sine, cosine = np.sin(angle), np.cos(angle)
    f0 = c + np.sin(a * c) ** 2 / a
    return f0, 1.0 + sine, a * cosine, -(2.0 / 3.0) * a * a * sine, (1.0 + 1.0 / a) * (np.abs(angle) + np.abs(c))


# Largest derivatives on the line, rounded up; a dense evaluation of each is in the tests. Those of tanh are polynomials
# in tanh, those of gelu a polynomial times the normal density, those of silu polynomials in the logistic function plus
# t times such.
_FIXED: dict[str, Any] = {
    "tanh": _Smooth(_tanh, (1.0, 0.77, 2.0, 4.09), 1.0),  # type: ignore[arg-type]
    "gelu": _Smooth(_gelu, (1.129, 0.798, 0.779, 1.596), math.inf),  # type: ignore[arg-type]
    "silu": _Smooth(_silu, (1.1, 0.5, 0.31, 0.5), math.inf),  # type: ignore[arg-type]
}


def _waves(kind: str, frequency: float | None) -> _Smooth:
    """Sine and snake of any frequency."""
    up = 1.0 + 1e-12
    if kind == "sin":
        w = _TWO_PI if frequency is None else frequency
        jet: Any = functools.partial(_sine, w, frequency is None)
        return _Smooth(jet, (up * w, up * w**2, up * w**3, up * w**4), 1.0)
    a = 1.0 if frequency is None else frequency
    jet = functools.partial(_snake, a)
    return _Smooth(jet, (2.0, up * 2.0 * a, up * 4.0 * a * a, up * 8.0 * a**3), math.inf)


@functools.cache
def encloser(activation: Activation) -> Encloser | None:
    """Expansions of an activation with proven remainders; None if nothing is known about it.

    Args:
        activation: One of the table, or any other whose ``pieces`` are given.

    Example:
        >>> from approxrates import activations
        >>> found = encloser(activations.get("tanh"))(np.array([0.0]), np.array([0.1]))
        >>> found.slope[0], found.curvature[0], bool(found.remainder[0] < 0.1**3 / 2.9)
        (1.0, -0.0, True)
    """
    if activation.parts:
        return None  # layers name the kind of each unit
    if activation.pieces is not None:
        return pieced(activation)
    kind, _, parameter = activation.name.partition(":")
    if kind in ("sin", "snake"):
        return _waves(kind, float(parameter) if parameter else None)
    found: Encloser | None = _FIXED.get(activation.name)
    return found
