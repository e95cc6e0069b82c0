"""Dense matrices of operators that are known by their products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Many = Callable[[Tensor], Tensor]
"""``many(V [N, q, stride]) -> [N, q, stride]``: of every replica the products with several vectors."""

_CHUNK_BYTES = 4_000_000
"""What the unit vectors of one replica that are multiplied at once may take, however many there are."""


def unit_vectors(begin: int, end: int, n: int, stride: int, dtype: torch.dtype) -> Tensor:
    """Unit vectors ``begin`` to ``end``, the same for ``n`` replicas, ``[n, end - begin, stride]``."""
    units = torch.zeros(end - begin, stride, dtype=dtype)
    units[range(end - begin), range(begin, end)] = 1.0
    return units.expand(n, -1, -1)


def chunk_size(n_params: int, stride: int, dtype: torch.dtype) -> int:
    """How many unit vectors are multiplied at once."""
    return max(1, min(n_params, _CHUNK_BYTES // (stride * dtype.itemsize)))


def dense_matrices(many: Many, n: int, *, n_params: int, stride: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Matrices ``[N, n_params, n_params]`` of N symmetric operators, from products with the unit vectors.

    Args:
        many: The operators.
        n: Number of replicas N.
        n_params: Order of the operators.
        stride: Length of a row, padding included.
        dtype: Of the vectors.

    Returns:
        The matrices as the products have them, not made symmetric: asymmetry shows rounding.
    """
    matrices = torch.empty(n, n_params, n_params, dtype=dtype)
    size = chunk_size(n_params, stride, dtype)
    for begin in range(0, n_params, size):
        end = min(n_params, begin + size)
        matrices[:, begin:end] = many(unit_vectors(begin, end, n, stride, dtype))[..., :n_params]
    return matrices
