"""Updates of dense inverse Hessians kept as products ``J J'``, one replica after the other, nothing allocated.

A step takes two passes over the factor, each row by row from front to back, since the factors of many replicas fall out
of the second-level cache and memory is fastest read in order.
"""

from __future__ import annotations

import math

from approxrates.backends.native.tiles import reducing

LEAST_CURVATURE = 1e-14
"""Of the curvature expected along a step, what must have been found for it to be learnt from."""


@reducing
def _dot(a, b, n):
    """Inner product of the first ``n`` entries."""
    total = a.dtype.type(0.0)
    for j in range(n):
        total += a[j] * b[j]
    return total


@reducing
def _turned_product(factor, vector, out):
    """``out = J' v``."""
    n, zero = factor.shape[0], factor.dtype.type(0.0)
    for j in range(n):
        out[j] = zero
    for i in range(n):
        weight, row = vector[i], factor[i]
        for j in range(n):
            out[j] += weight * row[j]


@reducing
def _descend(factor, image, direction):
    """``direction = -J z``."""
    for i in range(factor.shape[0]):
        direction[i] = -_dot(factor[i], image, factor.shape[0])


@reducing
def _change_and_descend(factor, step, along, growth, image, direction):
    """``J = growth (J - s p')``, and with it ``direction = -J z``."""
    n, zero = factor.shape[0], factor.dtype.type(0.0)
    for i in range(n):
        weight, row, total = step[i], factor[i], zero
        for j in range(n):
            entry = growth * (row[j] - weight * along[j])
            row[j] = entry
            total += entry * image[j]
        direction[i] = -total


@reducing
def _begin(factor, image, before, scale):
    """``J = scale I`` and ``z = J' g``."""
    n, zero = factor.shape[0], factor.dtype.type(0.0)
    for i in range(n):
        row = factor[i]
        for j in range(n):
            row[j] = zero
        row[i] = scale
        image[i] = scale * before[i]


@reducing
def _turn_one(factor, image, known, length, step, before, after, direction, along):
    """Learn from one step of one replica; whether something is known afterwards."""
    n, one = factor.shape[0], factor.dtype.type(1.0)
    product = curvature = factor.dtype.type(0.0)
    for j in range(n):
        change = after[j] - before[j]
        product += step[j] * change
        curvature += change * change
    energy = _dot(image, image, n) if known else _dot(before, before, n)
    if not (product > LEAST_CURVATURE * length * energy and curvature > 0.0):
        if known:
            _turned_product(factor, after, image)
            _descend(factor, image, direction)
        else:
            for j in range(n):
                direction[j] = -after[j]
        return known
    scaling = min(one, product / (length * length * energy))
    if not known:
        scale, scaling = math.sqrt(product / curvature), one
        _begin(factor, image, before, scale)
        energy = scale * scale * energy
    _turned_product(factor, after, along)
    growth, share, slope = one / math.sqrt(scaling), math.sqrt(scaling / (product * energy)), _dot(step, after, n)
    for j in range(n):
        turned = along[j]
        along[j] = (turned - image[j]) / product + share * image[j]
        image[j] = growth * (turned - slope * along[j])
    _change_and_descend(factor, step, along, growth, image, direction)
    return True


@reducing
def turn(factors, images, known, slots, lengths, steps, before, after, directions, along):
    """Learn from one step of each of some replicas, and write their next directions.

    ``factors [n, size, size]`` and ``images [n, size]`` (``J' g``) of all replicas; ``known [n]``: whether there is a
    factor yet; ``slots [k]``: which replicas have stepped; ``lengths [k]``, ``steps``, gradients ``before`` and
    ``after``, and ``directions`` ``[k, stride]``, of which the first ``size`` entries are used; ``along [size]``:
    scratch.
    """
    for k in range(slots.shape[0]):
        i = slots[k]
        known[i] = _turn_one(
            factors[i], images[i], known[i], lengths[k], steps[k], before[k], after[k], directions[k], along
        )
