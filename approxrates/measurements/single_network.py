"""One replica taken apart: its matrices, its sampling points, and what its hidden units get to see there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends import Layout
    from approxrates.measurements.base import Moment


def matrices_of(layout: Layout, row: Tensor) -> list[Tensor]:
    """The matrices of the layers, ``[n_out, n_in + 1]`` with the biases last, as views of a row ``[stride]``."""
    return [
        row[offset : offset + n_out * n_columns].view(n_out, n_columns) for offset, n_out, n_columns in layout.blocks
    ]


def sampling_points(moment: Moment, place: int) -> Tensor:
    """Points ``[dim, m]`` of positive weight in the full sampling set of one replica, float64."""
    inside = moment.ensemble.weights()[place, 0] > 0
    return moment.ensemble.points()[place].double()[:, inside]


def hidden_units(layout: Layout, matrices: Sequence[Tensor], points: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What the units of each hidden layer are given, and what they hand on, ``[width, m]`` each for each layer.

    Args:
        layout: Shape of the network.
        matrices: See :func:`matrices_of`.
        points: ``[dim, m]``.
    """
    import torch

    found: list[tuple[Tensor, Tensor]] = []
    units, ones = points, [points.new_ones(1, points.shape[1])] if layout.bias else []
    for layer in range(layout.depth):
        injected = [points] if layout.injection and layer else []
        given = matrices[layer] @ torch.cat([units, *injected, *ones])
        active = layout.activation(given)
        units = active + units if layout.residual and layer else active
        found.append((given, units))
    return found
