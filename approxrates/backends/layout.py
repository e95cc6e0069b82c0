"""Where the parameters of a fully connected network stand in a row of ``theta[N, stride]``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.activations import Activation

LANES = 32
"""Rows of parameters, and points, are padded to multiples of this many scalars: two of the widest vector registers."""


def padded(n: int) -> int:
    """The next multiple of ``LANES``."""
    return -(-n // LANES) * LANES


@dataclass(frozen=True)
class Layout:
    """Shape of a network, and where its parameters stand in a row of ``theta``.

    A row holds the layers one after the other, each as a row-major ``(n_out, n_in + 1)`` matrix whose last column is
    the bias, and is padded with zeros to a multiple of 32 scalars.

    Attributes:
        shapes: ``(n_out, n_in)`` of each layer, hidden layers first, output layer last. All hidden layers have one
            width.
        activation: Of the hidden layers.
        bias: Whether the layers have biases.
        injection: Every layer after the first takes the input of the network too, after its predecessor's units.
        residual: Hidden layers after the first add their units to those of their predecessor.
    """

    shapes: tuple[tuple[int, int], ...]
    activation: Activation
    bias: bool = True
    injection: bool = False
    residual: bool = False

    @property
    def width(self) -> int:
        """Units of a hidden layer."""
        return self.shapes[0][0]

    @property
    def dim(self) -> int:
        """Inputs of the network."""
        return self.shapes[0][1]

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.shapes) - 1

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        return self.shapes[-1][0]

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """``(offset, n_out, n_columns)`` of each layer's matrix, the bias being its last column."""
        blocks, offset = [], 0
        for n_out, n_in in self.shapes:
            blocks.append((offset, n_out, n_in + self.bias))
            offset += n_out * (n_in + self.bias)
        return tuple(blocks)

    @property
    def n_params(self) -> int:
        """Parameters of one network."""
        return sum(n_out * (n_in + self.bias) for n_out, n_in in self.shapes)

    @property
    def stride(self) -> int:
        """Length of a row, padding included."""
        return padded(self.n_params)

    def order(self) -> NDArray[np.intp]:
        """Index ``i`` such that ``row = plain[i]``; a plain vector has each layer's weights, then its biases."""
        parts, start = [], 0
        for n_out, n_in in self.shapes:
            matrix = start + np.arange(n_out * n_in).reshape(n_out, n_in)
            start += n_out * n_in
            if self.bias:
                matrix = np.concatenate([matrix, start + np.arange(n_out)[:, None]], axis=1)
                start += n_out
            parts.append(matrix.ravel())
        return np.concatenate(parts)

    def pack(self, plain: NDArray[np.float64]) -> Tensor:
        """Rows ``[N, stride]``, float64, from plain parameter vectors ``(N, n_params)``."""
        rows = np.zeros((len(plain), self.stride))
        rows[:, : self.n_params] = plain[:, self.order()]
        return torch.from_numpy(rows)

    def unpack(self, rows: Tensor) -> NDArray[np.float64]:
        """Plain parameter vectors ``(N, n_params)``, float64, from rows."""
        plain = np.empty((len(rows), self.n_params))
        plain[:, self.order()] = rows[:, : self.n_params].detach().to("cpu", torch.float64).numpy()
        return plain
