"""Hessians written down as matrices, for networks that are small enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends.hessian import Hessian

MOST_PARAMETERS = 2000
"""Networks of up to so many parameters have their Hessian written down (32 MB, and a second for its eigenvalues)."""


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
    from approxrates.spectra import dense_matrices

    one = of_replica(hessian, place)
    matrix = dense_matrices(
        lambda units: one.many(units.to(one.theta.device)).cpu(), 1,
        n_params=one.n_params, stride=one.theta.shape[1], dtype=one.theta.dtype,
    )[0]  # fmt: skip
    return 0.5 * (matrix + matrix.T)
