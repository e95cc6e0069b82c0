"""Many first-order steps in one call: gradient and update of one network after the other, nothing allocated."""

from __future__ import annotations

import math

from approxrates.backends.native.passes import value_and_gradient
from approxrates.backends.native.tiles import reducing


@reducing
def _penalise(g, p, penalty):
    """The gradient of ``penalty * sum(p**2)`` added to a gradient."""
    if penalty > 0.0:
        for j in range(g.shape[0]):
            g[j] += (penalty + penalty) * p[j]


@reducing
def _moments(g, first, second, beta1, beta2):
    """Take a gradient into the averages."""
    one = g.dtype.type(1.0)
    for j in range(g.shape[0]):
        first[j] = beta1 * first[j] + (one - beta1) * g[j]
        second[j] = beta2 * second[j] + (one - beta2) * g[j] * g[j]


@reducing
def _move(p, first, second, begin, end, factor, epsilon):
    """Adam's step for some of the parameters."""
    for j in range(begin, end):
        p[j] -= factor * first[j] / (math.sqrt(second[j]) + epsilon)


@reducing
def adam_steps(
    theta, shape, kinds, numbers, power, points, values, weights, targets, sets, x, h, s, o, d, g,
    first, second, rates, epsilons, beta1, beta2, penalties,
):  # fmt: skip
    """As many steps of Adam as there are ``sets``, for every network.

    ``rates (N, K)`` are learning rates times the bias corrections of both moments, ``epsilons (K,)`` carry that of the
    second. ``penalties (N,)`` are what the squared parameters of each network count in its loss.
    """
    n_params = g.shape[0]
    for n in range(theta.shape[0]):
        t, p = targets[n], theta[n]
        for k in range(sets.shape[0]):
            q = sets[k]
            value_and_gradient(
                p, shape, kinds, numbers, power, points[t, q], values[t, q], weights[t, q], x, h, s, o, d, g, True
            )
            _penalise(g, p, penalties[n])
            _moments(g, first[n], second[n], beta1, beta2)
            _move(p, first[n], second[n], 0, n_params, rates[n, k], epsilons[k])


@reducing
def _product(a, b, out, rows, inner, columns):
    """``out = a b`` of small matrices."""
    zero = a.dtype.type(0.0)
    for i in range(rows):
        row = out[i]
        for j in range(columns):
            row[j] = zero
        for k in range(inner):
            factor, other = a[i, k], b[k]
            for j in range(columns):
                row[j] += factor * other[j]


@reducing
def _turned_product(a, b, out, rows, inner, columns):
    """``out = a' b`` of small matrices."""
    zero = a.dtype.type(0.0)
    for i in range(rows):
        row = out[i]
        for j in range(columns):
            row[j] = zero
    for k in range(inner):
        other = b[k]
        for i in range(rows):
            factor, row = a[k, i], out[i]
            for j in range(columns):
                row[j] += factor * other[j]


@reducing
def _product_turned(a, b, out, rows, inner, columns):
    """``out = a b'`` of small matrices."""
    zero = a.dtype.type(0.0)
    for i in range(rows):
        for j in range(columns):
            left, right, total = a[i], b[j], zero
            for k in range(inner):
                total += left[k] * right[k]
            out[i, j] = total


@reducing
def _average_squares(matrix, left, right, decay, rows, columns):
    """``left = decay left + (1 - decay) G G'``, and ``right`` with ``G' G``."""
    zero, rest = matrix.dtype.type(0.0), matrix.dtype.type(1.0) - decay
    for i in range(rows):
        a = matrix[i]
        for j in range(rows):
            b, total = matrix[j], zero
            for k in range(columns):
                total += a[k] * b[k]
            left[i, j] = decay * left[i, j] + rest * total
    for i in range(columns):
        row = right[i]
        for j in range(columns):
            row[j] = decay * row[j]
    for k in range(rows):
        a = matrix[k]
        for i in range(columns):
            factor, row = rest * a[i], right[i]
            for j in range(columns):
                row[j] += factor * a[j]


@reducing
def _rotated_step(p, gradient, first, begin, size, left, right, left_basis, right_basis, rotated, work, factor, epsilon,
                  beta2, decay):  # fmt: skip
    """SOAP's step for one hidden layer, whose matrix begins at ``begin``."""
    rows, columns = size
    one = p.dtype.type(1.0)
    for i in range(rows):
        for j in range(columns):
            work[0, i, j] = gradient[begin + i * columns + j]
            work[1, i, j] = first[begin + i * columns + j]
    _average_squares(work[0], left, right, decay, rows, columns)
    _turned_product(left_basis, work[0], work[2], rows, rows, columns)
    _product(work[2], right_basis, work[0], rows, columns, columns)
    _turned_product(left_basis, work[1], work[2], rows, rows, columns)
    _product(work[2], right_basis, work[1], rows, columns, columns)
    for i in range(rows):
        for j in range(columns):
            turned = work[0, i, j]
            rotated[i, j] = beta2 * rotated[i, j] + (one - beta2) * turned * turned
            work[1, i, j] /= math.sqrt(rotated[i, j]) + epsilon
    _product(left_basis, work[1], work[0], rows, rows, columns)
    _product_turned(work[0], right_basis, work[2], rows, columns, columns)
    for i in range(rows):
        for j in range(columns):
            p[begin + i * columns + j] -= factor * work[2, i, j]


@reducing
def soap_steps(
    theta, shape, kinds, numbers, power, points, values, weights, targets, sets, x, h, s, o, d, g,
    first, second, rates, epsilons, beta1, beta2, penalties, decay, hidden, left, right, left_basis, right_basis,
    rotated, work,
):  # fmt: skip
    """Steps of SOAP in a basis that stays, for every network.

    ``hidden = (n_layers, begin, rows, columns)`` tells where the matrices of the hidden layers stand; the others take
    steps of Adam. ``left`` and the like hold one matrix for each network and hidden layer.
    """
    n_layers, begin, rows, columns = hidden
    n_params, end = g.shape[0], begin + n_layers * rows * columns
    for n in range(theta.shape[0]):
        t, p = targets[n], theta[n]
        for k in range(sets.shape[0]):
            q = sets[k]
            value_and_gradient(
                p, shape, kinds, numbers, power, points[t, q], values[t, q], weights[t, q], x, h, s, o, d, g, True
            )
            _penalise(g, p, penalties[n])
            _moments(g, first[n], second[n], beta1, beta2)
            _move(p, first[n], second[n], 0, begin, rates[n, k], epsilons[k])
            _move(p, first[n], second[n], end, n_params, rates[n, k], epsilons[k])
            for layer in range(n_layers):
                i = n * n_layers + layer
                _rotated_step(
                    p, g, first[n], begin + layer * rows * columns, (rows, columns), left[i], right[i], left_basis[i],
                    right_basis[i], rotated[i], work, rates[n, k], epsilons[k], beta2, decay,
                )  # fmt: skip
