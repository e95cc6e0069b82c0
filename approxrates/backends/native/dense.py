"""Directions of the quasi-Newton methods, one replica after the other, nothing allocated.

Dense inverse Hessians are kept as products ``J J'``. A step takes two passes over the factor, each row by row from
front to back, since the factors of many replicas fall out of the second-level cache and memory is fastest read in
order.
"""

from __future__ import annotations

import math

from approxrates.backends.broyden import LEAST_CURVATURE, self_scaled
from approxrates.backends.native.tiles import reducing

_self_scaled = reducing(self_scaled)


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
def _change_and_descend(factor, step, p, growth, image, direction):
    """``J = growth (J + s p')``, and with it ``direction = -J z``."""
    n, zero = factor.shape[0], factor.dtype.type(0.0)
    for i in range(n):
        weight, row, total = step[i], factor[i], zero
        for j in range(n):
            entry = growth * (row[j] + weight * p[j])
            row[j] = entry
            total += entry * image[j]
        direction[i] = -total


@reducing
def _change_twice_and_descend(factor, step, bent, p, q, growth, image, direction):
    """``J = growth (J + s p' + w q')``, and with it ``direction = -J z``."""
    n, zero = factor.shape[0], factor.dtype.type(0.0)
    for i in range(n):
        first, second, row, total = step[i], bent[i], factor[i], zero
        for j in range(n):
            entry = growth * (row[j] + first * p[j] + second * q[j])
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
def _bfgs(factor, image, product, energy, length, step, after, direction, scratch):
    """The update of BFGS, scaled; ``energy`` is ``z' z``."""
    n, one = factor.shape[0], factor.dtype.type(1.0)
    p, scaling = scratch[0], min(one, product / (length * length * energy))
    _turned_product(factor, after, p)
    growth, share, slope = one / math.sqrt(scaling), math.sqrt(scaling / (product * energy)), _dot(step, after, n)
    for j in range(n):
        turned = p[j]
        p[j] = (image[j] - turned) / product - share * image[j]
        image[j] = growth * (turned + slope * p[j])
    _change_and_descend(factor, step, p, growth, image, direction)


@reducing
def _broyden(factor, image, product, energy, length, step, after, direction, scratch, n_params):
    """The update of Broyden's family, scaled."""
    n, one = factor.shape[0], factor.dtype.type(1.0)
    p, q, bent = scratch[0], scratch[1], scratch[2]
    _turned_product(factor, after, p)
    for j in range(n):
        q[j] = p[j] - image[j]
    for i in range(n):
        bent[i] = _dot(factor[i], q, n)
    h, b = _dot(q, q, n) / product, length * length * energy / product
    scaling, phi, corner = _self_scaled(h, b, n_params)
    growth, ratio = one / math.sqrt(scaling), math.sqrt(scaling / h)
    lean = h * phi / (product * (one + math.sqrt(corner)))
    mixed, own = ratio / product - lean / h, (ratio - one) / (h * product)
    slope, other = _dot(step, after, n), _dot(bent, after, n)
    for j in range(n):
        turned, change = p[j], q[j]
        p[j] = mixed * change - lean * length * image[j]
        q[j] = own * change - p[j] / h
        image[j] = growth * (turned + slope * p[j] + other * q[j])
    _change_twice_and_descend(factor, step, bent, p, q, growth, image, direction)


@reducing
def _turn_one(factor, image, known, start, end, before, after, direction, length, scratch, n_params):
    """Learn from one step of one replica; whether something is known afterwards."""
    n, step = factor.shape[0], scratch[3]
    product = curvature = factor.dtype.type(0.0)
    for j in range(n):
        step[j] = end[j] - start[j]
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
    if known and n_params:
        _broyden(factor, image, product, energy, length, step, after, direction, scratch, n_params)
        return True
    if not known:
        # The multiple of the identity that has the curvature just seen, and the length that needs no scaling.
        scale = math.sqrt(product / curvature)
        _begin(factor, image, before, scale)
        energy *= scale * scale
        length = math.sqrt(product / energy)
    _bfgs(factor, image, product, energy, length, step, after, direction, scratch)
    return True


@reducing
def turn(
    factors, images, known, rows, slots, theta, trial, before, after, direction, lengths, scratch, n_params
):  # fmt: skip
    """Learn from one step of each of some replicas, and write their next directions.

    ``factors [n, size, size]`` and ``images [n, size]`` (``J' g``) of all replicas; ``known [n]``: whether there is a
    factor yet; ``rows [k]`` and ``slots [k]``: which replicas have stepped, as rows of the next five and of the first
    three; where the steps began and ended, gradients there, and directions, of which the first ``size`` entries are
    used; ``lengths [k]``; ``scratch [4, size]``; ``n_params``: for updates of Broyden's family, 0 for those of BFGS.
    """
    for k in range(slots.shape[0]):
        i, row = slots[k], rows[k]
        known[i] = _turn_one(
            factors[i], images[i], known[i], theta[row], trial[row], before[row], after[row], direction[row],
            lengths[k], scratch, n_params,
        )  # fmt: skip


@reducing
def _learn_pair(step, change, product, count, start, end, before, after, n):
    """Put one step into the ring of a replica; how many it has learnt."""
    sy = ss = yy = step.dtype.type(0.0)
    for j in range(n):
        s, y = end[j] - start[j], after[j] - before[j]
        sy += s * y
        ss += s * s
        yy += y * y
    if not sy > LEAST_CURVATURE * math.sqrt(ss * yy):
        return count
    k = count % step.shape[0]
    product[k] = sy
    for j in range(n):
        step[k, j] = end[j] - start[j]
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
def turn_by_pairs(
    steps, changes, products, counts, rows, slots, theta, trial, before, after, direction, shares
):  # fmt: skip
    """Learn one step of each of some replicas, and write their next directions.

    ``steps`` and ``changes`` ``[n, history, stride]`` and ``products [n, history]``: rings of all replicas; ``counts
    [n]``: steps learnt; ``shares [history]``: scratch; the others as for :func:`turn`.
    """
    n = theta.shape[1]
    for k in range(slots.shape[0]):
        i, row = slots[k], rows[k]
        counts[i] = _learn_pair(
            steps[i], changes[i], products[i], counts[i], theta[row], trial[row], before[row], after[row], n
        )
        _two_loops(steps[i], changes[i], products[i], counts[i], after[row], direction[row], shares, n)
