"""Small matrix products with the points last, in plain loops that compile to vector instructions.

Inner loops run over points; two rows and four columns of a matrix are taken at a time, so that a loaded row of points
is used often enough to keep the multiply-add units busy, and not so often that registers spill. Matrices are rows of
``theta``: one-dimensional, row-major, the bias last in each row. Numbers are typed by the arrays they belong to: an
integer literal would turn single precision into double.
"""

from __future__ import annotations

import numba

reducing = numba.njit(
    fastmath={"contract", "reassoc", "nsz", "arcp"}, boundscheck=False, error_model="numpy", nogil=True, cache=True
)
"""For sums, which may be taken in any order, always the same one."""


@reducing
def _begin_pair(w, h, z0, z1, a, c, n_in, bias, b):
    """First terms of two rows of a product; returns how many columns they took."""
    zero = w.dtype.type(0)
    b0 = w[a + n_in] if bias else zero
    b1 = w[c + n_in] if bias else zero
    if n_in < 4:
        for m in range(b):
            z0[m] = b0
            z1[m] = b1
        return 0
    w00, w01, w02, w03 = w[a], w[a + 1], w[a + 2], w[a + 3]
    w10, w11, w12, w13 = w[c], w[c + 1], w[c + 2], w[c + 3]
    h0, h1, h2, h3 = h[0], h[1], h[2], h[3]
    for m in range(b):
        z0[m] = b0 + w00 * h0[m] + w01 * h1[m] + w02 * h2[m] + w03 * h3[m]
        z1[m] = b1 + w10 * h0[m] + w11 * h1[m] + w12 * h2[m] + w13 * h3[m]
    return 4


@reducing
def affine(w, h, z, n_out, n_in, bias, b):
    """``z = w h + bias``: ``w`` a matrix ``(n_out, n_in + bias)``, ``h (n_in, >= b)``, ``z (n_out, >= b)``."""
    n_columns = n_in + bias
    r = 0
    while r + 2 <= n_out:
        z0, z1 = z[r], z[r + 1]
        a = r * n_columns
        c = a + n_columns
        i = _begin_pair(w, h, z0, z1, a, c, n_in, bias, b)
        while i + 4 <= n_in:
            w00, w01, w02, w03 = w[a + i], w[a + i + 1], w[a + i + 2], w[a + i + 3]
            w10, w11, w12, w13 = w[c + i], w[c + i + 1], w[c + i + 2], w[c + i + 3]
            h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
            for m in range(b):
                z0[m] += w00 * h0[m] + w01 * h1[m] + w02 * h2[m] + w03 * h3[m]
                z1[m] += w10 * h0[m] + w11 * h1[m] + w12 * h2[m] + w13 * h3[m]
            i += 4
        while i < n_in:
            w00, w10, h0 = w[a + i], w[c + i], h[i]
            for m in range(b):
                z0[m] += w00 * h0[m]
                z1[m] += w10 * h0[m]
            i += 1
        r += 2
    if r < n_out:
        _affine_row(w[r * n_columns :], h, z[r], n_in, bias, b)


@reducing
def _affine_row(w, h, z0, n_in, bias, b):
    """One row of :func:`affine`."""
    b0 = w[n_in] if bias else w.dtype.type(0)
    i = 0
    for m in range(b):
        z0[m] = b0
    while i + 4 <= n_in:
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
        for m in range(b):
            z0[m] += w0 * h0[m] + w1 * h1[m] + w2 * h2[m] + w3 * h3[m]
        i += 4
    while i < n_in:
        w0, h0 = w[i], h[i]
        for m in range(b):
            z0[m] += w0 * h0[m]
        i += 1


@reducing
def transposed(w, d, out, n_out, n_columns, n_rows, b):
    """``out[i] = sum_r w[r, i] d[r]`` for the first ``n_rows`` columns ``i`` of a matrix ``(n_out, n_columns)``."""
    i = 0
    while i + 2 <= n_rows:
        o0, o1 = out[i], out[i + 1]
        w00, w10, d0 = w[i], w[i + 1], d[0]
        r = 1
        if n_out < 4:
            for m in range(b):
                o0[m] = w00 * d0[m]
                o1[m] = w10 * d0[m]
        else:
            w01, w02, w03 = w[n_columns + i], w[2 * n_columns + i], w[3 * n_columns + i]
            w11, w12, w13 = w[n_columns + i + 1], w[2 * n_columns + i + 1], w[3 * n_columns + i + 1]
            d1, d2, d3 = d[1], d[2], d[3]
            for m in range(b):
                o0[m] = w00 * d0[m] + w01 * d1[m] + w02 * d2[m] + w03 * d3[m]
                o1[m] = w10 * d0[m] + w11 * d1[m] + w12 * d2[m] + w13 * d3[m]
            r = 4
        while r + 4 <= n_out:
            q = r * n_columns + i
            w00, w01, w02, w03 = w[q], w[q + n_columns], w[q + 2 * n_columns], w[q + 3 * n_columns]
            q += 1
            w10, w11, w12, w13 = w[q], w[q + n_columns], w[q + 2 * n_columns], w[q + 3 * n_columns]
            d0, d1, d2, d3 = d[r], d[r + 1], d[r + 2], d[r + 3]
            for m in range(b):
                o0[m] += w00 * d0[m] + w01 * d1[m] + w02 * d2[m] + w03 * d3[m]
                o1[m] += w10 * d0[m] + w11 * d1[m] + w12 * d2[m] + w13 * d3[m]
            r += 4
        while r < n_out:
            w00, w10, d0 = w[r * n_columns + i], w[r * n_columns + i + 1], d[r]
            for m in range(b):
                o0[m] += w00 * d0[m]
                o1[m] += w10 * d0[m]
            r += 1
        i += 2
    if i < n_rows:
        _transposed_row(w[i:], d, out[i], n_out, n_columns, b)


@reducing
def _transposed_row(w, d, o0, n_out, n_columns, b):
    """One row of :func:`transposed`."""
    w0, d0 = w[0], d[0]
    for m in range(b):
        o0[m] = w0 * d0[m]
    for r in range(1, n_out):
        w0, d0 = w[r * n_columns], d[r]
        for m in range(b):
            o0[m] += w0 * d0[m]


@reducing
def add_products(d, h, g, n_out, n_in, bias, b):
    """``g[r, i] += sum_m d[r, m] h[i, m]``, the bias a further row of ones; ``g (n_out, n_in + bias)``."""
    n_columns = n_in + bias
    zero = g.dtype.type(0)
    if bias:
        for r in range(n_out):
            d0, total = d[r], zero
            for m in range(b):
                total += d0[m]
            g[r * n_columns + n_in] += total
    r = 0
    while r + 2 <= n_out:
        d0, d1 = d[r], d[r + 1]
        i = 0
        while i + 4 <= n_in:
            h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
            s00, s01, s02, s03, s10, s11, s12, s13 = zero, zero, zero, zero, zero, zero, zero, zero
            for m in range(b):
                s00 += d0[m] * h0[m]
                s01 += d0[m] * h1[m]
                s02 += d0[m] * h2[m]
                s03 += d0[m] * h3[m]
                s10 += d1[m] * h0[m]
                s11 += d1[m] * h1[m]
                s12 += d1[m] * h2[m]
                s13 += d1[m] * h3[m]
            a = r * n_columns + i
            g[a] += s00
            g[a + 1] += s01
            g[a + 2] += s02
            g[a + 3] += s03
            a += n_columns
            g[a] += s10
            g[a + 1] += s11
            g[a + 2] += s12
            g[a + 3] += s13
            i += 4
        while i < n_in:
            h0, s00, s10 = h[i], zero, zero
            for m in range(b):
                s00 += d0[m] * h0[m]
                s10 += d1[m] * h0[m]
            g[r * n_columns + i] += s00
            g[(r + 1) * n_columns + i] += s10
            i += 1
        r += 2
    if r < n_out:
        _add_row(d[r], h, g[r * n_columns :], n_in, b)


@reducing
def _add_row(d0, h, g, n_in, b):
    """One row of :func:`add_products`, without the bias."""
    zero = g.dtype.type(0)
    i = 0
    while i + 4 <= n_in:
        h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
        s0, s1, s2, s3 = zero, zero, zero, zero
        for m in range(b):
            s0 += d0[m] * h0[m]
            s1 += d0[m] * h1[m]
            s2 += d0[m] * h2[m]
            s3 += d0[m] * h3[m]
        g[i] += s0
        g[i + 1] += s1
        g[i + 2] += s2
        g[i + 3] += s3
        i += 4
    while i < n_in:
        h0, s0 = h[i], zero
        for m in range(b):
            s0 += d0[m] * h0[m]
        g[i] += s0
        i += 1
