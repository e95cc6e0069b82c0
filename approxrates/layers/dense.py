"""Plain data of a feed-forward network: affine layers with an activation code for each unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

IDENTITY = "identity"
Rows = slice | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine map followed by an activation per unit.

    Attributes:
        weight: Shape ``(n_out, n_in)``, float64.
        bias: Shape ``(n_out,)``, float64, or None for a layer without bias.
        activations: One code per unit (a name of the activation table, or ``"identity"``), length ``n_out``.
        weight_mask: Boolean, shape of ``weight``: which entries are parameters; None if all are. A construction marks
            the entries that its theorem uses; the others are structurally zero.
        bias_mask: The same for ``bias``.
        wiring: Boolean, shape of ``weight``: entries outside ``weight_mask`` that the architecture sets, and that are
            not zero and not parameters either: the ones of a skip connection, and the second copy of a weight that
            reads a sum; None if there are none.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    activations: tuple[str, ...]
    weight_mask: NDArray[np.bool_] | None = None
    bias_mask: NDArray[np.bool_] | None = None
    wiring: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for array, what in ((self.weight, "weight"), (self.bias, "bias")):
            if array is not None and not (isinstance(array, np.ndarray) and array.dtype == np.float64):
                kind = getattr(array, "dtype", type(array).__name__)
                raise TypeError(
                    f"{what} must be a numpy array of float64. Got {kind}. Write np.asarray({what}, dtype=np.float64)."
                )
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have shape (n_out, n_in). Got shape {self.weight.shape}.")
        n_out = self.weight.shape[0]
        if self.bias is not None and self.bias.shape != (n_out,):
            raise ValueError(f"bias must have shape (n_out,) = ({n_out},). Got shape {self.bias.shape}.")
        if len(self.activations) != n_out:
            raise ValueError(f"activations must hold one code per unit, {n_out} in all. Got {len(self.activations)}.")
        self._check_masks()

    def _check_masks(self) -> None:
        """Refuse masks of other shapes, and entries that no mask allows for."""
        for array, mask, what in ((self.weight, self.weight_mask, "weight"), (self.bias, self.bias_mask, "bias")):
            if mask is not None and (array is None or mask.shape != array.shape):
                raise ValueError(f"{what}_mask must have the shape of {what}. Got shape {mask.shape}.")
        if self.wiring is not None:
            if self.wiring.shape != self.weight.shape:
                raise ValueError(f"wiring must have the shape of weight. Got shape {self.wiring.shape}.")
            if self.weight_mask is None or np.any(self.weight_mask & self.wiring):
                raise ValueError(
                    "wiring must lie outside weight_mask. Got entries that are both. Take them out of one."
                )
        allowed = self.weight_mask if self.wiring is None else self.used
        for array, mask, what in ((self.weight, allowed, "weight"), (self.bias, self.bias_mask, "bias")):
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
    def used(self) -> NDArray[np.bool_]:
        """Entries of the weight that are not structurally zero: parameters and wiring."""
        used = np.ones(self.weight.shape, dtype=bool) if self.weight_mask is None else self.weight_mask
        return used if self.wiring is None else used | self.wiring

    @property
    def carried(self) -> NDArray[np.bool_]:
        """Units that are wired only, shape ``(n_out,)``: they carry a value on and have no parameter."""
        if self.wiring is None or self.weight_mask is None:
            return np.zeros(self.n_out, dtype=bool)
        return np.asarray(self.wiring.any(axis=1) & ~self.weight_mask.any(axis=1))

    @property
    def n_params(self) -> int:
        """Weights and biases that are neither structurally zero nor wiring."""
        weights = self.weight.size if self.weight_mask is None else int(self.weight_mask.sum())
        if self.bias is None:
            return weights
        return weights + (self.bias.size if self.bias_mask is None else int(self.bias_mask.sum()))

    @property
    def n_params_dense(self) -> int:
        """All scalars of the dense weight matrix and bias."""
        return self.weight.size + (0 if self.bias is None else self.bias.size)

    def parameters(self) -> NDArray[np.float64]:
        """The parameters that are not structurally zero, weights row by row and then biases, shape ``(n_params,)``."""
        weights = self.weight.ravel() if self.weight_mask is None else self.weight[self.weight_mask]
        if self.bias is None:
            return weights
        return np.concatenate([weights, self.bias if self.bias_mask is None else self.bias[self.bias_mask]])


@lru_cache(maxsize=1024)
def unit_groups(activations: tuple[str, ...]) -> tuple[tuple[str, Rows], ...]:
    """Units of a layer by code: ``(code, rows)`` in order of first appearance, a slice where they are neighbours."""
    groups: list[tuple[str, Rows]] = []
    for code in dict.fromkeys(activations):
        rows = np.flatnonzero([c == code for c in activations])
        neighbours = rows[-1] - rows[0] + 1 == len(rows)
        groups.append((code, slice(int(rows[0]), int(rows[-1]) + 1) if neighbours else rows))
    return tuple(groups)
