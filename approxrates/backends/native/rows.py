"""Activations over rows of points: values in place, derivatives beside them."""

from __future__ import annotations

import math

import numpy as np

from approxrates.backends.native.elementary import elementwise, exp, sine_cosine, sine_cosine_of_turns, tanh
from approxrates.backends.native.kinds import (
    ABS,
    CUBIC,
    HARD_TANH,
    LAST_BY_VALUE,
    LEAKY,
    QUADRATIC,
    RELU,
    RELU2,
    RELU3,
    SILU,
    SINE,
    SNAKE,
    TRIANGLE,
    TURNS,
    XABSX,
)


@elementwise
def _straight(kind, parameter, h, s, slopes, b):
    """Kinds made of straight pieces, and tanh, whose derivative follows from the value."""
    T = h.dtype.type
    zero, one = T(0.0), T(1.0)
    if kind == RELU:
        for m in range(b):
            h[m] = zero if h[m] < zero else h[m]
    elif kind == LEAKY:
        for m in range(b):
            h[m] = parameter * h[m] if h[m] < zero else h[m]
    elif kind == HARD_TANH:
        for m in range(b):
            v = -one if h[m] < -one else h[m]
            h[m] = one if v > one else v
    else:
        for m in range(b):
            h[m] = tanh(h[m], T)
    if slopes:
        for m in range(b):
            s[m] = _slope_by_value(kind, parameter, h[m], T)


@elementwise
def _slope_by_value(kind, parameter, v, T):
    """Derivative of a kind up to ``LAST_BY_VALUE`` where its value is ``v``."""
    zero, one = T(0.0), T(1.0)
    if kind == RELU:
        return one if v > zero else zero
    if kind == LEAKY:
        return one if v > zero else parameter
    if kind == HARD_TANH:
        return one if abs(v) < one else zero
    return one - v * v


@elementwise
def _powers(kind, h, s, b):
    """Powers of the rectifier, ``t |t|``, and the modulus."""
    T = h.dtype.type
    zero, one, two, three = T(0.0), T(1.0), T(2.0), T(3.0)
    if kind == ABS:
        for m in range(b):
            s[m] = one if h[m] > zero else (-one if h[m] < zero else zero)
            h[m] = abs(h[m])
    elif kind == RELU2:
        for m in range(b):
            v = zero if h[m] < zero else h[m]
            s[m] = two * v
            h[m] = v * v
    elif kind == RELU3:
        for m in range(b):
            v = zero if h[m] < zero else h[m]
            s[m] = three * (v * v)
            h[m] = v * v * v
    else:
        for m in range(b):
            v = abs(h[m])
            s[m] = two * v
            h[m] = h[m] * v


@elementwise
def _splines(kind, h, s, b):
    """Cardinal B-splines of degree 2 and 3 about zero, by truncated powers."""
    T = h.dtype.type
    zero, half = T(0.0), T(0.5)
    outer_knot, inner_knot = (T(1.5), half) if kind == QUADRATIC else (T(2.0), T(1.0))
    for m in range(b):
        v = abs(h[m])
        sign = T(1.0) if h[m] > zero else (T(-1.0) if h[m] < zero else zero)
        outer, inner = max(outer_knot - v, zero), max(inner_knot - v, zero)
        if kind == QUADRATIC:
            s[m] = sign * (T(3.0) * inner - outer)
            h[m] = half * outer * outer - T(1.5) * inner * inner
        else:
            s[m] = sign * (T(2.0) * inner * inner - half * outer * outer)
            h[m] = (outer * outer * outer - T(4.0) * inner * inner * inner) * T(1.0 / 6.0)


@elementwise
def _waves(kind, parameter, h, s, b):
    """Periodic kinds."""
    T = h.dtype.type
    one, two, four, turn = T(1.0), T(2.0), T(4.0), T(6.283185307179586)
    if kind == TRIANGLE:
        for m in range(b):
            t = h[m] - np.rint(h[m])
            u = abs(t)
            s[m] = four if u < T(0.25) else (-four if u > T(0.25) else T(0.0))
            h[m] = min(max(four * t, -two - four * t), two - four * t)
    elif kind == TURNS:
        for m in range(b):
            sine, cosine = sine_cosine_of_turns(h[m], T)
            h[m] = sine
            s[m] = turn * cosine
    elif kind == SINE:
        for m in range(b):
            sine, cosine = sine_cosine(parameter * h[m], T)
            h[m] = sine
            s[m] = parameter * cosine
    else:
        for m in range(b):
            sine, cosine = sine_cosine(parameter * h[m], T)
            s[m] = one + two * sine * cosine
            h[m] = h[m] + sine * sine / parameter


@elementwise
def _bells(kind, h, s, b):
    """Kinds made of the exponential and the error function."""
    T = h.dtype.type
    half, one = T(0.5), T(1.0)
    for m in range(b):
        v = h[m]
        if kind == SILU:
            e = exp(-abs(v), T)
            p = (one if v >= T(0.0) else e) / (one + e)
            h[m] = v * p
            s[m] = p * (one + v * (one - p))
        else:
            p = half * (one + T(math.erf(v * T(0.7071067811865476))))
            h[m] = v * p
            s[m] = p + v * exp(-half * v * v, T) * T(0.3989422804014327)


@elementwise
def _pieces(breaks, n_breaks, coefficients, period, drift, h, s, b):
    """Piecewise polynomials by their coefficients, constant first; with a period the value gains ``drift`` in each."""
    T = h.dtype.type
    for m in range(b):
        t, shift, first = h[m], T(0.0), 0
        if period > T(0.0):
            turns = np.floor((t - breaks[0]) / period)
            t = t - turns * period
            shift = turns * drift
            first = 1
        index = 0
        for j in range(first, n_breaks):
            if breaks[j] <= t:
                index += 1
        value, slope = T(0.0), T(0.0)
        for j in range(coefficients.shape[1] - 1, -1, -1):
            slope = slope * t + value
            value = value * t + coefficients[index, j]
        h[m] = value + shift
        s[m] = slope


@elementwise
def activate(kinds, numbers, split, h, s, slopes, n, b):
    """Turn rows of pre-activations into activations in place; derivatives into ``s`` where they are not in the values.

    Args:
        kinds: Kinds of the first and the second group of units.
        numbers: ``(parameters, breaks, n_breaks, coefficients, periods, drifts)``, the first axis the group.
        split: Units of the first group.
        h: Rows ``(n, >= b)``.
        s: Derivatives, like ``h``.
        slopes: Write derivatives of all kinds.
        n: Units.
        b: Points.
    """
    parameters, breaks, n_breaks, coefficients, periods, drifts = numbers
    for r in range(n):
        g = 0 if r < split else 1
        kind = kinds[g]
        if kind <= LAST_BY_VALUE:
            _straight(kind, parameters[g], h[r], s[r], slopes, b)
        elif kind <= XABSX:
            _powers(kind, h[r], s[r], b)
        elif kind <= CUBIC:
            _splines(kind, h[r], s[r], b)
        elif kind <= SNAKE:
            _waves(kind, parameters[g], h[r], s[r], b)
        elif kind <= SILU:
            _bells(kind, h[r], s[r], b)
        else:
            _pieces(breaks[g], n_breaks[g], coefficients[g], periods[g], drifts[g], h[r], s[r], b)


@elementwise
def chain(kinds, numbers, split, h, s, d, stored, n, b):
    """Multiply rows ``d`` by the derivative at their points: the stored one, or the one that follows from the value."""
    T = d.dtype.type
    zero, one = T(0.0), T(1.0)
    for r in range(n):
        g = 0 if r < split else 1
        kind, parameter = kinds[g], numbers[0][g]
        v, w, e = h[r], s[r], d[r]
        if kind > LAST_BY_VALUE or stored:
            for m in range(b):
                e[m] = e[m] * w[m]
        elif kind == RELU:
            for m in range(b):
                e[m] = e[m] if v[m] > zero else zero
        elif kind == LEAKY:
            for m in range(b):
                e[m] = e[m] if v[m] > zero else parameter * e[m]
        elif kind == HARD_TANH:
            for m in range(b):
                e[m] = e[m] if abs(v[m]) < one else zero
        else:
            for m in range(b):
                e[m] = e[m] * (one - v[m] * v[m])
