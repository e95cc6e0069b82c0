"""A layer of exact dyadic weights, stored row by row: what constructions are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.layers.dense import Layer
from approxrates.layers.dyadic import Dyadic, dyadic

Row = tuple[tuple[int, Dyadic], ...]
_MAX_DENSE = 50_000_000
"""Scalars of the largest dense matrix that is made of a sparse layer (400 MB)."""


@dataclass(frozen=True, eq=False, repr=False)
class SparseLayer:
    """One affine map with exact dyadic weights, followed by an activation per unit.

    A stored entry is a parameter, also where its value happens to be zero: a table's entry is a weight of the
    architecture whatever the target is. What is not stored is structurally zero.

    Attributes:
        n_in: Number of inputs.
        rows: For each unit the pairs ``(input, weight)``, each input at most once.
        bias: For each unit its bias, None where it is structurally zero.
        activations: One code per unit, as for :class:`Layer`.
        labels: What each unit is for, in a word, for drawings; or None.

    Raises:
        ValueError: If lengths differ, or an input is out of range or named twice.
    """

    n_in: int
    rows: tuple[Row, ...]
    bias: tuple[Dyadic | None, ...]
    activations: tuple[str, ...]
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        for what in ("bias", "activations", "labels"):
            value = getattr(self, what)
            if value is None:
                continue
            object.__setattr__(self, what, tuple(value))
            if len(value) != len(self.rows):
                raise ValueError(f"{what} must hold one entry per unit, {len(self.rows)} in all. Got {len(value)}.")
        for unit, row in enumerate(self.rows):
            sources = [source for source, _ in row]
            if sources and not (min(sources) >= 0 and max(sources) < self.n_in):
                raise ValueError(
                    f"unit {unit} must read inputs 0 to {self.n_in - 1}. Got {min(sources)}..{max(sources)}."
                )
            if len(set(sources)) < len(sources):
                raise ValueError(f"unit {unit} must read each input once. Got one twice. Add its weights.")

    @property
    def n_out(self) -> int:
        """Number of units."""
        return len(self.rows)

    @property
    def n_params(self) -> int:
        """Weights and biases that are stored."""
        return sum(map(len, self.rows)) + sum(b is not None for b in self.bias)

    @property
    def n_params_dense(self) -> int:
        """All scalars of the dense weight matrix and bias."""
        return self.n_out * (self.n_in + 1)

    def entries(self) -> Iterable[Dyadic]:
        """The stored parameters, weights row by row and then biases."""
        for row in self.rows:
            for _, weight in row:
                yield weight
        for bias in self.bias:
            if bias is not None:
                yield bias

    def __repr__(self) -> str:
        return f"SparseLayer({self.n_in} -> {self.n_out}, {self.n_params} parameters)"

    def parameters(self) -> NDArray[np.float64]:
        """The stored parameters as float64, rounded where they are longer: for statistics only."""
        return np.array([float(value) for value in self.entries()])


def sparse(layer: Layer | SparseLayer) -> SparseLayer:
    """A layer with its float weights as the dyadic numbers they are; wiring becomes weights like any other.

    Raises:
        ValueError: If a weight is not finite.
    """
    if isinstance(layer, SparseLayer):
        return layer
    rows = [
        tuple((int(i), dyadic(w[i])) for i in np.flatnonzero(m)) for w, m in zip(layer.weight, layer.used, strict=True)
    ]
    bias: list[Dyadic | None] = [None] * layer.n_out
    if layer.bias is not None:
        stored = np.ones(layer.n_out, dtype=bool) if layer.bias_mask is None else layer.bias_mask
        bias = [dyadic(b) if k else None for b, k in zip(layer.bias, stored, strict=True)]
    return SparseLayer(layer.n_in, tuple(rows), tuple(bias), layer.activations)


def dense(layer: Layer | SparseLayer, *, allow_rounding: bool = False) -> Layer:
    """A layer as float64 matrices with masks.

    Raises:
        ValueError: If a weight is longer than a float64 number and ``allow_rounding`` is False, or the matrix would be
            too large.
    """
    if isinstance(layer, Layer):
        return layer
    if layer.n_params_dense > _MAX_DENSE:
        raise ValueError(
            f"a dense layer must hold at most {_MAX_DENSE} scalars. Got {layer.n_params_dense}. Keep the layer sparse."
        )
    longest = max((value.bits for value in layer.entries() if not value.is_float()), default=0)
    if longest and not allow_rounding:
        raise ValueError(
            f"float64 holds mantissas of 53 bits within its range. Got a weight of {longest} bits: rounding would lose "
            f"{max(0, longest - 53)} of them. Use arithmetic='auto', or allow rounding."
        )
    weight, weight_mask = np.zeros((layer.n_out, layer.n_in)), np.zeros((layer.n_out, layer.n_in), dtype=bool)
    for unit, row in enumerate(layer.rows):
        for source, value in row:
            weight[unit, source], weight_mask[unit, source] = float(value), True
    bias = np.array([0.0 if b is None else float(b) for b in layer.bias])
    bias_mask = np.array([b is not None for b in layer.bias])
    return Layer(weight, bias, layer.activations, weight_mask, bias_mask)
