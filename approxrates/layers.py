"""Plain data of a feed-forward network: affine layers with an activation code for each unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IDENTITY = "identity"


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine map followed by an activation per unit.

    Attributes:
        weight: Shape ``(n_out, n_in)``, float64.
        bias: Shape ``(n_out,)``, float64, or None for a layer without bias.
        activations: One code per unit (a name of the activation table, or ``"identity"``), length ``n_out``.
        weight_mask: Boolean, shape of ``weight``: which entries are parameters; None if all are. A construction marks the
            entries that its theorem uses; the others are structurally zero.
        bias_mask: The same for ``bias``.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    activations: tuple[str, ...]
    weight_mask: NDArray[np.bool_] | None = None
    bias_mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have shape (n_out, n_in). Got shape {self.weight.shape}.")
        n_out = self.weight.shape[0]
        if self.bias is not None and self.bias.shape != (n_out,):
            raise ValueError(f"bias must have shape (n_out,) = ({n_out},). Got shape {self.bias.shape}.")
        if len(self.activations) != n_out:
            raise ValueError(f"activations must hold one code per unit, {n_out} in all. Got {len(self.activations)}.")
        for array, mask, what in ((self.weight, self.weight_mask, "weight"), (self.bias, self.bias_mask, "bias")):
            if mask is not None and (array is None or mask.shape != array.shape):
                raise ValueError(f"{what}_mask must have the shape of {what}. Got shape {mask.shape}.")
            if mask is not None and array is not None and np.any(array[~mask] != 0.0):
                raise ValueError(f"{what} must be zero outside its mask. Got non-zero entries there.")

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return int(self.weight.shape[1])

    @property
    def n_out(self) -> int:
        """Number of units."""
        return int(self.weight.shape[0])

    @property
    def n_params(self) -> int:
        """Weights and biases that are not structurally zero."""
        weights = self.weight.size if self.weight_mask is None else int(self.weight_mask.sum())
        if self.bias is None:
            return weights
        return weights + (self.bias.size if self.bias_mask is None else int(self.bias_mask.sum()))

    @property
    def n_params_dense(self) -> int:
        """All scalars of the dense weight matrix and bias."""
        return self.weight.size + (0 if self.bias is None else self.bias.size)
