"""One replica taken apart: its matrices, its sampling points, and what its hidden units get to see there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class HiddenLayer:
    """One hidden layer at the sampling points.

    Attributes:
        inputs: What it reads, a row of ones for the biases included, ``[n_columns, m]``.
        given: Pre-activations of its units, ``[width, m]``.
        handed_on: What the units hand on, ``[width, m]``: their activations, of residual layers added to those before.
    """

    inputs: Tensor
    given: Tensor
    handed_on: Tensor


def hidden_layers(layout: Layout, matrices: Sequence[Tensor], points: Tensor) -> list[HiddenLayer]:
    """The hidden layers of a network at some points.

    Args:
        layout: Shape of the network.
        matrices: See :func:`matrices_of`.
        points: ``[dim, m]``.
    """
    import torch

    found: list[HiddenLayer] = []
    units, ones = points, [points.new_ones(1, points.shape[1])] if layout.bias else []
    for layer in range(layout.depth):
        injected = [points] if layout.injection and layer else []
        inputs = torch.cat([units, *injected, *ones])
        given = matrices[layer] @ inputs
        active = layout.activation(given)
        units = active + units if layout.residual and layer else active
        found.append(HiddenLayer(inputs, given, units))
    return found
