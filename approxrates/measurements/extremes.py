"""Ends of the spectra of Hessians, of many replicas at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Moment, numbers
from approxrates.measurements.dense import dense_hessian
from approxrates.seeds import seed_for

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends.hessian import Hessian
    from approxrates.spectra import Extremes

MOST_PRODUCTS = 3000
"""Products after which a search is given up; the residual then tells how far it came."""


def extremes(
    hessian: Hessian,
    seeds: Sequence[int],
    ends: str,
    tolerance: float,
    *,
    absolute: Tensor | float = 0.0,
    scale: Tensor | None = None,
    project: Tensor | None = None,
) -> Extremes:
    """Ends of the spectra of some replicas, by Lanczos with a residual stop.

    Args:
        hessian: Of the replicas.
        seeds: Of the start vectors, one for each replica.
        ends: ``"top"``, ``"bottom"`` or ``"both"``.
        tolerance: Residual over the size of the eigenvalue.
        absolute: A residual that is small enough anyway, one number or ``[n]``.
        scale: ``D [n, stride]``: the spectra are those of ``D H D``.
        project: Orthonormal directions ``[n, q, stride]`` that are kept out.
    """
    from approxrates.spectra import extreme_eigenvalues

    n, stride = hessian.theta.shape
    return extreme_eigenvalues(
        _Products(hessian, scale), ((n, stride), list(seeds)), n_params=hessian.n_params, ends=ends,
        tolerance=tolerance, absolute=absolute, project=project, dtype=hessian.theta.dtype, most_products=MOST_PRODUCTS,
    )  # fmt: skip


class _Products:
    """Products of ``D H D`` for some of the replicas; the Hessian of the last ones asked for is kept.

    Args:
        hessian: ``H`` of all replicas.
        scale: ``D [n, stride]``, or None for one.
    """

    def __init__(self, hessian: Hessian, scale: Tensor | None) -> None:
        self.whole, self.scale, self.rows, self.some = hessian, scale, list(range(len(hessian))), hessian

    def __call__(self, directions: Tensor, rows: Tensor) -> Tensor:
        if rows.tolist() != self.rows:
            self.rows, self.some = rows.tolist(), self.whole.subset(rows.to(self.whole.theta.device))
        if self.scale is None:
            return self.some.products(directions)
        return self.some.products(directions * self.scale[rows]).mul_(self.scale[rows])


def seeds_of(name: str, moment: Moment) -> list[int]:
    """Seeds of a measurement, one for each replica, by its number."""
    return [seed_for(name, replica=replica) for replica in moment.replicas]


def bottom_of_dense(hessian: Hessian, place: int, kept_out: Tensor | None = None) -> float:
    """Smallest eigenvalue of one replica's Hessian from the whole matrix.

    Args:
        hessian: Of some replicas, in double precision.
        place: Which of them.
        kept_out: Orthonormal directions ``[k, n_params]``; the eigenvalue is that on their complement.
    """
    import torch

    matrix = dense_hessian(hessian, place)
    if not bool(torch.isfinite(matrix).all()):
        return float("nan")
    if kept_out is not None and len(kept_out):
        if len(kept_out) == len(matrix):
            return float("nan")
        complement = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device) - kept_out.T @ kept_out
        # Lifted above the rest of the spectrum, directions that are kept out cannot be the bottom.
        lift = 2.0 * float(matrix.square().sum().sqrt()) + 1.0
        matrix = complement @ matrix @ complement + lift * (kept_out.T @ kept_out)
        matrix = 0.5 * (matrix + matrix.T)
    return float(torch.linalg.eigvalsh(matrix)[0])


def bottoms(
    name: str, moment: Moment, tolerance: float, most_dense: int, project: Sequence[Tensor] | None = None
) -> tuple[F64, F64]:
    """Smallest eigenvalues of the Hessians of F, and residuals, ``(n,)`` each: the common part of two measurements.

    Small networks have the whole matrix, with residual zero. For others Lanczos stops at a residual of ``tolerance``
    times the top eigenvalue: the bottom may be zero, which is no measure of what is small.

    Args:
        name: Of the measurement; seeds depend on it.
        moment: Replicas at a step of their training.
        tolerance: See above.
        most_dense: Largest number of parameters for the whole matrix.
        project: For each replica orthonormal directions ``[k, stride]`` that are kept out.
    """
    hessian = moment.precise
    n, n_params = len(moment), hessian.n_params
    if n_params <= most_dense:
        found = [bottom_of_dense(hessian, i, None if project is None else project[i][:, :n_params]) for i in range(n)]
        return np.array(found), np.zeros(n)
    kept_out = None
    if project is not None and (most := max(map(len, project))):
        kept_out = hessian.theta.new_zeros(n, most, hessian.theta.shape[1])
        for rows, own in zip(kept_out, project, strict=True):
            rows[: len(own)] = own
    seeds = seeds_of(name, moment)
    tops = extremes(hessian, seeds, "top", 0.1).top
    ends = extremes(hessian, seeds, "bottom", tolerance, absolute=tolerance * tops.abs(), project=kept_out)
    return numbers(ends.bottom), numbers(ends.bottom_residual)
