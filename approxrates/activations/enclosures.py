r"""Every activation as a quadratic with a remainder that is proven: what errors of networks are certified with.

For a centre ``c`` and a radius ``rho``, ``|sigma(c + s) - (f0 + f1 s + f2 s^2)| <= r`` for all ``|s| <= rho``, rounding
of the computed ``f0, f1, f2`` included. Two cases:

- *Smooth* (sin, snake, tanh, gelu, silu): where the range is narrow, Taylor to order two. The rest is
  ``sigma'''(x) s^3 / 6`` for some ``x`` between, and also ``sigma'''(c) s^3 / 6 + sigma''''(x) s^4 / 24``; the smaller
  of the two bounds is taken. Where the range is wide, a straight line if it is better: by the extreme slopes (tanh),
  along relu, from which gelu and silu differ by a known bump, along ``t`` (snake).
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
Jet = tuple[Array, Array, Array, Array, Array]
Encloser = Callable[[Array, Array], Expansion]
"""``(centre, radius) -> expansion``, elementwise on arrays of one shape."""

_ROUNDING = 48 * UNIT
"""Relative error of a derivative of order up to three, computed from an elementary function good to 4 ulp."""
_TWO_PI = 2.0 * math.pi
_WIDE = 0.3
"""Ranges over which the slope may change by this share of its largest value are tried with a straight line."""


@dataclass(frozen=True)
class _Smooth:
    """A smooth activation ``sigma(t) = scale g(w t)`` or the like, by its derivatives.

    Attributes:
        jet: ``c -> (sigma, sigma', sigma''/2, sigma'''/6)``, and the argument of the elementary function inside.
        sizes: Bounds of ``|sigma'|``, ``|sigma''|``, ``|sigma'''|`` and ``|sigma''''|`` on the whole line.
        amplitude: ``|sigma| <= amplitude``; inf if there is no bound.
        line: ``(c, rho) -> (value, slope, remainder, least, most)``: a straight line and bounds of ``sigma``, for wide
            ranges; or None.
    """

    jet: Callable[[Array], Jet]
    sizes: tuple[float, float, float, float]
    amplitude: float
    line: Callable[[Array, Array], Jet] | None = None

    def __call__(self, c: Array, rho: Array) -> Expansion:
        """The expansion; see the module."""
        c, rho = np.ascontiguousarray(c), np.ascontiguousarray(rho)
        f0, f1, f2, f3, argument = self.jet(c)
        first, second, third, fourth = self.sizes
        cube = rho * rho * rho
        rest = np.minimum(third / 6.0 * cube, (np.abs(f3) + fourth / 24.0 * rho) * cube)
        size = first * rho + second * rho * rho + third * cube
        rounding = _ROUNDING * (1.0 + np.abs(argument)) * (1.0 + np.abs(f0) + size)
        level, spread = f0, first * rho * (1.0 + _ROUNDING) + _ROUNDING * (1.0 + np.abs(argument)) * (1.0 + np.abs(f0))
        if math.isfinite(self.amplitude):
            wide = spread > self.amplitude
            level, spread = np.where(wide, 0.0, f0), np.where(wide, self.amplitude, spread)
        found = Expansion(f0, f1, f2, rest + rounding, level + 0.0, spread)
        broad = np.flatnonzero(rho.ravel() * second > _WIDE * first)
        if self.line is not None and len(broad):
            self._straighten(found, broad, *(a.ravel()[broad] for a in (c, rho)))
        return found

    def _straighten(self, found: Expansion, index: NDArray[np.intp], c: Array, rho: Array) -> None:
        """Put the straight line where it is better, and the bounds where they are narrower."""
        assert self.line is not None
        value, slope, rest, least, most = self.line(c, rho)
        rounding = _ROUNDING * (1.0 + np.abs(c) + rho)
        rest, level, spread = rest + rounding, 0.5 * (least + most), 0.5 * (most - least) + rounding
        flat = {name: column.reshape(-1) for name, column in vars(found).items()}
        better = rest < flat["remainder"][index]
        lines = {"value": value, "slope": slope, "curvature": np.zeros_like(c), "remainder": rest}
        for name, column in lines.items():
            flat[name][index[better]] = column[better]
        narrower = spread < flat["spread"][index]
        flat["level"][index[narrower]] = level[narrower]
        flat["spread"][index[narrower]] = spread[narrower]


def _tanh(c: Array) -> Jet:
    t = np.tanh(c)
    s = 1.0 - t * t
    # Where tanh has come to 1 the computed s has a large relative error, but a small absolute one.
    return t, s, -t * s, s * (3.0 * t * t - 1.0) / 3.0, np.zeros_like(c)


def _gelu(c: Array) -> Jet:
    from scipy.special import erf

    square = c * c
    density = np.exp(-0.5 * square) / math.sqrt(_TWO_PI)
    share = 0.5 * (1.0 + erf(c * math.sqrt(0.5)))
    f2, f3 = density * (1.0 - 0.5 * square), density * c * (square - 4.0) / 6.0
    return c * share, share + c * density, f2, np.where(np.isfinite(f3), f3, 0.0), c


def _silu(c: Array) -> Jet:
    from scipy.special import expit

    s = expit(c)
    d1 = s * (1.0 - s)
    d2 = d1 * (1.0 - 2.0 * s)
    d3 = d1 * (1.0 - 6.0 * d1)
    return c * s, s + c * d1, d1 + 0.5 * c * d2, 0.5 * d2 + c * d3 / 6.0, c


def _sine(w: float, whole_turns: bool, c: Array) -> Jet:
    angle = w * (c - np.round(c) if whole_turns else c)
    sine, cosine = np.sin(angle), np.cos(angle)
    return sine, w * cosine, -0.5 * w * w * sine, -(w**3) / 6.0 * cosine, angle


def _snake(a: float, c: Array) -> Jet:
    angle = 2.0 * a * c
    sine, cosine = np.sin(angle), np.cos(angle)
    f0 = c + np.sin(a * c) ** 2 / a
    return f0, 1.0 + sine, a * cosine, -(2.0 / 3.0) * a * a * sine, (1.0 + 1.0 / a) * (np.abs(angle) + np.abs(c))


def _gelu_value(c: Array) -> Array:
    return _gelu(c)[0]


def _silu_value(c: Array) -> Array:
    return _silu(c)[0]


def _tanh_line(c: Array, rho: Array) -> Jet:
    least, most = np.tanh(c - rho), np.tanh(c + rho)
    ends = 1.0 - least * least, 1.0 - most * most
    low, high = np.minimum(*ends), np.where(np.abs(c) <= rho, 1.0, np.maximum(*ends))
    return np.tanh(c), 0.5 * (low + high), 0.5 * (high - low) * rho, least, most


def _hinge_line(depth: float, turn: float, curve: Callable[[Array], Array], c: Array, rho: Array) -> Jet:
    """A function between relu and relu less an even bump of this depth that falls beyond its turn: gelu and silu."""
    least, most = c - rho, c + rho
    near = np.maximum(np.abs(c) - rho, 0.0)
    below = np.where(near > turn, np.abs(curve(-np.maximum(near, turn))), depth)
    crosses = (least < 0.0) & (most > 0.0)
    chord = np.where(crosses, most / np.where(rho > 0.0, 2.0 * rho, 1.0), np.where(c > 0.0, 1.0, 0.0))
    miss = np.where(crosses, -0.5 * chord * least, 0.0)
    value = np.where(crosses, chord * (c - 0.5 * least), np.maximum(c, 0.0)) - 0.5 * below
    return value, chord, miss + 0.5 * below, np.maximum(least, 0.0) - below, np.maximum(most, 0.0)


def _snake_line(a: float, c: Array, rho: Array) -> Jet:
    half = np.full_like(c, 0.5 / a)
    return c + half, np.ones_like(c), half, c - rho, c + rho + 2.0 * half


# Largest derivatives on the line, rounded up; a dense evaluation of each is in the tests. Those of tanh are polynomials
# in tanh, those of gelu a polynomial times the normal density, those of silu polynomials in the logistic function plus
# t times such. gelu and silu are below relu by at most 0.16998 and 0.27847, at 0.752 and 1.279.
_FIXED: dict[str, Any] = {
    "tanh": _Smooth(_tanh, (1.0, 0.77, 2.0, 4.09), 1.0, _tanh_line),
    "gelu": _Smooth(
        _gelu, (1.129, 0.798, 0.779, 1.596), math.inf, functools.partial(_hinge_line, 0.17, 0.76, _gelu_value)
    ),
    "silu": _Smooth(_silu, (1.1, 0.5, 0.31, 0.5), math.inf, functools.partial(_hinge_line, 0.2785, 1.28, _silu_value)),
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
    return _Smooth(
        jet, (2.0, up * 2.0 * a, up * 4.0 * a * a, up * 8.0 * a**3), math.inf, functools.partial(_snake_line, a)
    )


@functools.cache
def encloser(activation: Activation) -> Encloser | None:
    """Expansions of an activation with proven remainders; None if nothing is known about it.

    Args:
        activation: One of the table, or any other whose ``pieces`` are given.

    Example:
        >>> from approxrates import activations
        >>> found = encloser(activations.get("tanh"))(np.array([0.0]), np.array([0.1]))
        >>> float(found.slope[0]), abs(float(found.curvature[0])), bool(found.remainder[0] < 0.1**3 / 2.5)
        (1.0, 0.0, True)
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
