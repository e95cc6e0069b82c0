"""Directions of the quasi-Newton methods, one replica after the other, nothing allocated.

Dense inverse Hessians are kept as products ``J J'``. A step takes two passes over the factor, each row by row from
front to back, since the factors of many replicas fall out of the second-level cache and memory is fastest read in
order.
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


@reducing
def _learn_pair(step, change, product, count, s, before, after, n):
    """Put one step into the ring of a replica; how many it has learnt."""
    zero = s.dtype.type(0.0)
    sy = ss = yy = zero
    for j in range(n):
        y = after[j] - before[j]
        sy += s[j] * y
        ss += s[j] * s[j]
        yy += y * y
    if not sy > LEAST_CURVATURE * math.sqrt(ss * yy):
        return count
    k = count % step.shape[0]
    product[k] = sy
    for j in range(n):
        step[k, j] = s[j]
        change[k, j] = after[j] - before[j]
    return count + 1


@reducing
def _two_loops(step, change, product, count, after, direction, shares, n):
    """``direction = -H g`` from the pairs remembered, the newest taken off first."""
    depth = step.shape[0]
    for j in range(n):
        direction[j] = -after[j]
    oldest = max(0, count - depth)
    for pair in range(count - 1, oldest - 1, -1):
        k = pair % depth
        shares[k] = _dot(step[k], direction, n) / product[k]
        for j in range(n):
            direction[j] -= shares[k] * change[k, j]
    if count:
        k = (count - 1) % depth
        scale = product[k] / _dot(change[k], change[k], n)
        for j in range(n):
            direction[j] *= scale
    for pair in range(oldest, count):
        k = pair % depth
        share = shares[k] - _dot(change[k], direction, n) / product[k]
        for j in range(n):
            direction[j] += share * step[k, j]


@reducing
def turn_by_pairs(steps, changes, products, counts, slots, moved, before, after, directions, shares):
    """Learn one step of each of some replicas, and write their next directions.

    ``steps`` and ``changes`` ``[n, history, stride]`` and ``products [n, history]``: rings of all replicas; ``counts
    [n]``: steps learnt; ``slots [k]``: which replicas have stepped; ``moved``, gradients ``before`` and ``after``, and
    ``directions`` ``[k, stride]``; ``shares [history]``: scratch.
    """
    n = moved.shape[1]
    for k in range(slots.shape[0]):
        i = slots[k]
        counts[i] = _learn_pair(steps[i], changes[i], products[i], counts[i], moved[k], before[k], after[k], n)
        _two_loops(steps[i], changes[i], products[i], counts[i], after[k], directions[k], shares, n)
