r"""Products of one-variable models, one per coordinate: what tensor bumps and products of cosines are on a cell.

A factor is ``a + b t + c t^2`` with an error of at most ``e``, for ``t`` in ``[-1, 1]``; c and e may be None for 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from approxrates.taylor import Array, n_terms

Factor = tuple[Array, Array, Array | None, Array | None]


def product(factors: Sequence[Factor]) -> tuple[Array, Array | None]:
    """Model of the product of functions of one coordinate each, all of them at most 1 in absolute value.

    The error of a product is that of the factors before times 1, plus the size of their model (at most 1 plus its
    error) times that of the new factor; terms of degree three and more count by their absolute value.

    Returns:
        ``(terms, remainder)`` as in :class:`~approxrates.taylor.TaylorModel`, rounding not counted; None for 0.
    """
    dim = len(factors)
    if dim == 1:
        a, b, c, e = factors[0]
        return np.stack([a, b, np.zeros_like(a) if c is None else c]), e
    terms = np.zeros((n_terms(dim), len(factors[0][0])))
    rows, columns = np.triu_indices(dim)
    squares = {(int(i), int(j)): 1 + dim + row for row, (i, j) in enumerate(zip(rows, columns, strict=True))}
    terms[0], terms[1] = factors[0][:2]
    if factors[0][2] is not None:
        terms[squares[0, 0]] = factors[0][2]
    lost = factors[0][3]
    affine = lost is None and factors[0][2] is None
    for i, (a, b, c, e) in enumerate(factors[1:], start=1):
        if not (affine and i == 1 and c is None and e is None):
            lost = _lost(terms, dim, (a, b, c, e), lost)
        if i > 1 or not affine:
            terms[1 + dim :] *= a
        for j in range(i):
            terms[squares[j, i]] = terms[1 + j] * b
            terms[1 + j] *= a
        if c is not None:
            terms[squares[i, i]] = terms[0] * c
        terms[1 + i] = terms[0] * b
        terms[0] *= a
    return terms, lost


def _lost(terms: Array, dim: int, factor: Factor, before: Array | None) -> Array:
    """Bound on what the next factor pushes beyond degree two, and on the errors of the factors."""
    _, b, c, e = factor
    linear, square = np.abs(terms[1 : 1 + dim]).sum(axis=0), np.abs(terms[1 + dim :]).sum(axis=0)
    lost: Array = square * np.abs(b)
    if c is not None:
        lost += (square + linear) * np.abs(c)
    if before is not None:
        lost += before
    if e is not None:
        reach = 1.0 if before is None else 1.0 + before
        lost += np.minimum(np.abs(terms[0]) + linear + square, reach) * e
    return lost
