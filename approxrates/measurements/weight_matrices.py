"""The weight matrices of a network, and numbers of their singular values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Moment
from approxrates.measurements.single_network import matrices_of

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends import Layout


def weight_matrices(layout: Layout, row: Tensor) -> list[Tensor]:
    """The weights of each layer ``[n_out, n_in]``, without biases, from a row ``[stride]``; copies, float64."""
    return [
        matrix[:, :n_in].double().contiguous()
        for matrix, (_, n_in) in zip(matrices_of(layout, row), layout.shapes, strict=True)
    ]


def singular_values(matrix: Tensor) -> F64:
    """Singular values of one matrix, falling; a factorisation of its own, so that the bits are those of the matrix."""
    import torch

    return np.asarray(torch.linalg.svdvals(matrix).cpu().numpy(), dtype=np.float64)


def of_each_layer(name: str, moment: Moment, number: Callable[[F64], float]) -> dict[str, F64]:
    """A number of the singular values of each weight matrix: ``name_1``, ``name_2``, ..., and the smallest, ``name``.

    Args:
        name: Of the columns.
        moment: Replicas at a step of their training.
        number: From singular values ``(k,)``.
    """
    found = np.array(
        [
            [number(singular_values(matrix)) for matrix in weight_matrices(moment.layout, row)]
            for row in moment.theta.detach()
        ]
    )
    layers = {f"{name}_{layer}": found[:, layer - 1].copy() for layer in range(1, found.shape[1] + 1)}
    return {name: found.min(1), **layers}
