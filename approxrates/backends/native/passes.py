"""Forward and backward passes of one network after the other, block of points by block of points, in the cache."""

from __future__ import annotations

from approxrates.backends.native.rows import activate, chain
from approxrates.backends.native.tiles import add_products, affine, reducing, transposed


@reducing
def _load(shape, points, x, h, at, b):
    """Bring ``b`` points from ``at`` on into the input block, and into the injected rows of every layer."""
    width, depth, dim, injection = shape[0], shape[1], shape[2], shape[5]
    for i in range(dim):
        row, source = x[i], points[i]
        for m in range(b):
            row[m] = source[at + m]
    if injection:
        for layer in range(depth):
            for i in range(dim):
                row, source = h[layer, width + i], x[i]
                for m in range(b):
                    row[m] = source[m]


@reducing
def forward_block(p, shape, kinds, numbers, x, h, s, o, slopes, b):
    """Outputs ``o`` of the network ``p`` at the points in ``x``; activations stay in ``h``, derivatives in ``s``."""
    width, depth, dim, n_outputs, bias, injection, residual, split = shape
    inputs, n_in, offset = x, dim, 0
    for layer in range(depth):
        z = h[layer]
        affine(p[offset:], inputs, z, width, n_in, bias, b)
        activate(kinds, numbers, split, z, s[layer], slopes and residual, width, b)
        if residual and layer > 0:
            for r in range(width):
                row, before = z[r], inputs[r]
                for m in range(b):
                    row[m] += before[m]
        offset += width * (n_in + bias)
        inputs, n_in = z, width + injection * dim
    affine(p[offset:], inputs, o, n_outputs, n_in, bias, b)


@reducing
def _first_delta(p, shape, o, d, last, b):
    """Derivatives by the last hidden units."""
    width, dim, n_outputs, bias, injection = shape[0], shape[2], shape[3], shape[4], shape[5]
    transposed(p[last:], o, d[0], n_outputs, width + injection * dim + bias, width, b)


@reducing
def _step_back(p, shape, d, a, offset, n_columns, b):
    """Derivatives by the units of the layer before, from those by the pre-activations in ``d[a]``; where they are."""
    width, residual = shape[0], shape[6]
    transposed(p[offset:], d[a], d[1 - a], width, n_columns, width, b)
    if residual:
        for r in range(width):
            row, carried = d[1 - a, r], d[2, r]
            for m in range(b):
                row[m] += carried[m]
    return 1 - a


@reducing
def _through_units(shape, kinds, numbers, h, s, d, a, b):
    """Derivatives by the pre-activations from those by the units, in place; residual ones are kept beside."""
    width, residual, split = shape[0], shape[6], shape[7]
    if residual:
        for r in range(width):
            row, source = d[2, r], d[a, r]
            for m in range(b):
                row[m] = source[m]
    chain(kinds, numbers, split, h, s, d[a], residual, width, b)


@reducing
def backward_block(p, shape, kinds, numbers, x, h, s, o, d, g, b):
    """Add to ``g`` the gradient of a loss whose derivative by the outputs is ``o``, after :func:`forward_block`."""
    width, depth, dim, n_outputs, bias, injection = shape[:6]
    n_inner = width + injection * dim
    offset = width * (dim + bias) + (depth - 1) * width * (n_inner + bias)
    add_products(o, h[depth - 1], g[offset:], n_outputs, n_inner, bias, b)
    _first_delta(p, shape, o, d, offset, b)
    a = 0
    for layer in range(depth - 1, -1, -1):
        _through_units(shape, kinds, numbers, h[layer], s[layer], d, a, b)
        if layer > 0:
            offset -= width * (n_inner + bias)
            add_products(d[a], h[layer - 1], g[offset:], width, n_inner, bias, b)
            a = _step_back(p, shape, d, a, offset, n_inner + bias, b)
        else:
            add_products(d[a], x, g, width, dim, bias, b)


@reducing
def _block_products(d, inputs, target, n_out, n_in, bias, at, b):
    """Write ``d[r] * inputs[i]`` into the rows of ``target``, the biases being products with one."""
    one = d.dtype.type(1.0)
    for r in range(n_out):
        e = d[r]
        for i in range(n_in):
            row, source = target[r * (n_in + bias) + i], inputs[i]
            for m in range(b):
                row[at + m] = e[m] * source[m]
        if bias:
            row = target[r * (n_in + bias) + n_in]
            for m in range(b):
                row[at + m] = e[m] * one


@reducing
def jacobian_block(p, shape, kinds, numbers, x, h, s, o, d, target, at, b):
    """Write the derivatives of the single output by all parameters, ``target (P, M)``, after :func:`forward_block`."""
    width, depth, dim, bias, injection = shape[0], shape[1], shape[2], shape[4], shape[5]
    one = o.dtype.type(1.0)
    for m in range(b):
        o[0, m] = one
    n_inner = width + injection * dim
    offset = width * (dim + bias) + (depth - 1) * width * (n_inner + bias)
    _block_products(o, h[depth - 1], target[offset:], 1, n_inner, bias, at, b)
    _first_delta(p, shape, o, d, offset, b)
    a = 0
    for layer in range(depth - 1, -1, -1):
        _through_units(shape, kinds, numbers, h[layer], s[layer], d, a, b)
        if layer > 0:
            offset -= width * (n_inner + bias)
            _block_products(d[a], h[layer - 1], target[offset:], width, n_inner, bias, at, b)
            a = _step_back(p, shape, d, a, offset, n_inner + bias, b)
        else:
            _block_products(d[a], x, target, width, dim, bias, at, b)


@reducing
def _loss_block(power, o, values, weights, terms, n_outputs, at, b):
    """Loss of a block of outputs ``o``, which become its derivatives: the mean of ``|error|**power`` over outputs.

    Terms are written down first and added up after. A loop that does both is compiled twice, with and without vector
    instructions, and where the arrays lie in memory decides which runs: sums would differ in the last place.
    """
    T = o.dtype.type
    loss, share, p = T(0.0), T(1.0) / T(n_outputs), T(power)
    for k in range(n_outputs):
        row, value, weight = o[k], values[k], weights[0]
        if power == 2.0:
            for m in range(b):
                e = row[m] - value[at + m]
                w = weight[at + m] * share
                terms[m] = w * e * e
                row[m] = p * w * e
        else:
            for m in range(b):
                e = row[m] - value[at + m]
                w = weight[at + m] * share * abs(e) ** (p - T(2.0))
                terms[m] = w * e * e
                row[m] = p * w * e
        for m in range(b):
            loss += terms[m]
    return loss


@reducing
def value_and_gradient(p, shape, kinds, numbers, power, points, values, weights, x, h, s, o, d, g, wanted):
    """Loss of one network; its gradient is written into ``g`` if wanted."""
    T = p.dtype.type
    n_points, block = points.shape[1], x.shape[1]
    loss = T(0.0)
    if wanted:
        for j in range(g.shape[0]):
            g[j] = T(0.0)
    at = 0
    while at < n_points:
        b = min(block, n_points - at)
        _load(shape, points, x, h, at, b)
        forward_block(p, shape, kinds, numbers, x, h, s, o, wanted, b)
        loss += _loss_block(power, o, values, weights, d[0, 0], shape[3], at, b)
        if wanted:
            backward_block(p, shape, kinds, numbers, x, h, s, o, d, g, b)
        at += b
    return loss


@reducing
def values_and_gradients(
    theta, shape, kinds, numbers, power, points, values, weights, targets, which, x, h, s, o, d, losses, g, wanted
):
    """Losses of all networks, and their gradients if wanted."""
    for n in range(theta.shape[0]):
        t = targets[n]
        losses[n] = value_and_gradient(
            theta[n], shape, kinds, numbers, power, points[t, which], values[t, which], weights[t, which],
            x, h, s, o, d, g[n] if wanted else g[0], wanted,
        )  # fmt: skip


@reducing
def outputs(theta, shape, kinds, numbers, points, targets, which, x, h, s, o, d, found, jacobian, wanted):
    """Outputs of all networks, ``found (N, n_outputs, M)``; derivatives into ``jacobian (N, P, M)`` if wanted."""
    n_points, block = points.shape[3], x.shape[1]
    for n in range(theta.shape[0]):
        source = points[targets[n], which]
        at = 0
        while at < n_points:
            b = min(block, n_points - at)
            _load(shape, source, x, h, at, b)
            forward_block(theta[n], shape, kinds, numbers, x, h, s, o, wanted, b)
            for k in range(o.shape[0]):
                row, target = o[k], found[n, k]
                for m in range(b):
                    target[at + m] = row[m]
            if wanted:
                jacobian_block(theta[n], shape, kinds, numbers, x, h, s, o, d, jacobian[n], at, b)
            at += b
