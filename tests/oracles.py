"""Slow, plain re-implementations that tests compare with: no shared code with the library, no cleverness."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

RATIONAL = {
    "identity": lambda t: t,
    "relu": lambda t: t if t > 0 else Fraction(0),
    "leaky_relu": lambda t: t if t > 0 else t * Fraction(0.01),
    "abs": abs,
    "hard_tanh": lambda t: min(max(t, Fraction(-1)), Fraction(1)),
    "relu2": lambda t: t * t if t > 0 else Fraction(0),
    "relu3": lambda t: t**3 if t > 0 else Fraction(0),
    "xabsx": lambda t: t * abs(t),
    "heaviside": lambda t: Fraction(int(t >= 0)),
    "floor": lambda t: Fraction(math.floor(t)),
    "triangle": lambda t: 1 - 4 * abs((t + Fraction(1, 4)) % 1 - Fraction(1, 2)),
    "quadratic_bspline": lambda t: sum(
        (-1) ** k * math.comb(3, k) * max(t + Fraction(3, 2) - k, Fraction(0)) ** 2 for k in range(4)
    ) / 2,
    "cubic_bspline": lambda t: sum(
        (-1) ** k * math.comb(4, k) * max(t + 2 - k, Fraction(0)) ** 3 for k in range(5)
    ) / 6,
}  # fmt: skip


def exact_outputs(network, point):
    """Outputs of a network at one rational point, unit by unit and weight by weight."""
    values = [Fraction(c) for c in point]
    for layer in network.layers:
        following = []
        for i in range(layer.n_out):
            total = Fraction(0) if layer.bias is None else Fraction(float(layer.bias[i]))
            for j in range(layer.n_in):
                total += Fraction(float(layer.weight[i, j])) * values[j]
            following.append(RATIONAL[layer.activations[i]](total))
        values = following
    return values


def exact_break_points(network):
    """All kinks of a piecewise-linear network on [0, 1] as rationals: affine pieces are cut, layer by layer."""
    kinks = {"relu": [0], "leaky_relu": [0], "abs": [0], "hard_tanh": [-1, 1], "identity": []}
    pieces = [(Fraction(0), Fraction(1))]
    depth_values = {}

    def hidden(x, depth):
        """Pre-activations of layer ``depth`` at ``x``."""
        if (x, depth) not in depth_values:
            layer = network.layers[depth]
            if depth == 0:
                below = [x]
            else:
                before = network.layers[depth - 1]
                below = [RATIONAL[c](z) for c, z in zip(before.activations, hidden(x, depth - 1), strict=True)]
            bias = [0.0] * layer.n_out if layer.bias is None else layer.bias
            depth_values[x, depth] = [
                sum((Fraction(float(w)) * v for w, v in zip(row, below, strict=True)), Fraction(float(b)))
                for row, b in zip(layer.weight, bias, strict=True)
            ]
        return depth_values[x, depth]

    for depth, layer in enumerate(network.layers):
        split = []
        for a, b in pieces:
            cuts = {a, b}
            for code, z_a, z_b in zip(layer.activations, hidden(a, depth), hidden(b, depth), strict=True):
                for kink in kinks[code]:
                    if (z_a - kink) * (z_b - kink) < 0:
                        cuts.add(a + (b - a) * (kink - z_a) / (z_b - z_a))
            ordered = sorted(cuts)
            split += list(itertools.pairwise(ordered))
        pieces = split
    return [a for a, _ in pieces] + [Fraction(1)]


def sup_distance_to_square(network):
    """Exact sup of ``|x^2 - g|`` for a piecewise-linear network, piece by piece in rationals."""
    points = exact_break_points(network)
    best = Fraction(0)
    for a, b in itertools.pairwise(points):
        g_a, g_b = exact_outputs(network, [a])[0], exact_outputs(network, [b])[0]
        slope = (g_b - g_a) / (b - a)
        inside = slope / 2  # where the derivative of x^2 - g vanishes
        for x in (a, b, inside):
            if a <= x <= b:
                best = max(best, abs(x * x - (g_a + slope * (x - a))))
    return best


def kuhn_interpolant(function, cells, points):
    """Linear interpolation on the Freudenthal triangulation: sort the fractional parts, walk along the edges."""
    result = []
    for point in points:
        scaled = [float(c) * cells for c in point]
        corner = [min(math.floor(c), cells - 1) for c in scaled]
        parts = [c - k for c, k in zip(scaled, corner, strict=True)]
        order = sorted(range(len(parts)), key=lambda i: -parts[i])
        heights = [1.0, *(parts[i] for i in order), 0.0]
        value, vertex = 0.0, list(corner)
        for step in range(len(parts) + 1):
            value += (heights[step] - heights[step + 1]) * function(np.array([vertex]) / cells)[0]
            if step < len(parts):
                vertex[order[step]] += 1
        result.append(value)
    return np.array(result)


def odd_mantissa_bits(value):
    """Bits of the odd part of the numerator of a float."""
    numerator = abs(float(value).as_integer_ratio()[0])
    while numerator and numerator % 2 == 0:
        numerator //= 2
    return numerator.bit_length()


def count_non_zero(network):
    """Non-zero weights and biases, one by one."""
    return sum(
        int(value != 0.0)
        for layer in network.layers
        for array in (layer.weight, layer.bias)
        if array is not None
        for value in array.ravel()
    )
