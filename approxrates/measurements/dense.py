"""Hessians written down as matrices, for networks that are small enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends.hessian import Hessian

MOST_PARAMETERS = 2000
"""Networks of up to so many parameters have their Hessian written down (32 MB, and a second for its eigenvalues)."""

_COLUMNS = 64


def columns(hessian: Hessian) -> Iterator[tuple[int, Tensor]]:
    """Columns of the Hessian of a single replica, some at a time: the first one's number, and ``[q, n_params]``."""
    import torch

    for start in range(0, hessian.n_params, _COLUMNS):
        n = min(_COLUMNS, hessian.n_params - start)
        unit = torch.zeros(1, n, hessian.theta.shape[1], dtype=hessian.theta.dtype, device=hessian.theta.device)
        unit[0, :, start : start + n].fill_diagonal_(1.0)
        yield start, hessian.many(unit)[0, :, : hessian.n_params]


def of_replica(hessian: Hessian, place: int) -> Hessian:
    """The Hessian of one replica."""
    import torch

    return hessian.subset(torch.tensor([place], device=hessian.theta.device))


def dense_hessian(hessian: Hessian, place: int) -> Tensor:
    """The Hessian of one replica as a symmetric matrix ``[n_params, n_params]``.

    Args:
        hessian: Of some replicas.
        place: Which of them.
    """
    import torch

    matrix = torch.cat([part for _, part in columns(of_replica(hessian, place))])
    return 0.5 * (matrix + matrix.T)
