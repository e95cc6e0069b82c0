"""The network that training and constructions both return: layers, honest counts, evaluation, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.arithmetic import check_arithmetic, evaluate
from approxrates.layers import IDENTITY, AnyLayer, Dyadic, Layer, SparseLayer, dense, description_bits
from approxrates.network.description import SKIP, layer_lines, origin, parts_of
from approxrates.network.weightfile import load_layers, save_layers
from approxrates.target import float_array

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A feed-forward network on ``[0, 1]^dim``. Immutable; the weights are float64 or exact dyadic numbers.

    Attributes:
        layers: Affine layers with an activation per unit; the last one is the output layer.
        provenance: JSON-able record of where the network comes from.

    Raises:
        ValueError: If there is no layer, shapes do not follow each other, an activation is unknown, or provenance is
            not JSON.
        TypeError: If ``layers`` holds anything but layers.

    Example:
        >>> hat = Network((Layer(np.array([[2.0], [4.0]]), np.array([0.0, -2.0]), ("relu", "relu")),
        ...                Layer(np.array([[1.0, -1.0]]), None, ("identity",))))
        >>> hat(np.array([0.0, 0.5, 0.75])).tolist(), hat.n_params, hat.depth, hat.width
        ([0.0, 1.0, 0.5], 6, 1, 2)
    """

    layers: tuple[AnyLayer, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("layers must hold at least one layer. Got none.")
        for layer in self.layers:
            if not isinstance(layer, (Layer, SparseLayer)):
                raise TypeError(
                    f"layers must hold Layer objects. Got {type(layer).__name__}. "
                    "For torch modules use Network.from_torch."
                )
        for index, (before, after) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if before.n_out != after.n_in:
                raise ValueError(
                    f"layer {index + 1} must take the {before.n_out} outputs of layer {index}. Got n_in={after.n_in}."
                )
        for code in self.activations - {IDENTITY}:
            activations.get(code)
        try:
            object.__setattr__(self, "provenance", json.loads(json.dumps(dict(self.provenance))))
        except (TypeError, ValueError) as error:
            raise ValueError(f"provenance must be JSON-able. Got a value that is not: {error}.") from None

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.layers[0].n_in

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1].n_out

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.layers) - 1

    @property
    def width(self) -> int:
        """Units of the widest hidden layer, without those that a skip connection is made of; 0 for an affine map."""
        return max((layer.n_out - self._skips(layer) for layer in self.layers[:-1]), default=0)

    @property
    def n_skips(self) -> int:
        """Units that skip connections are made of: wired only, without a parameter."""
        return sum(self._skips(layer) for layer in self.layers)

    @staticmethod
    def _skips(layer: AnyLayer) -> int:
        """Units of a layer that are wired only; a sparse layer has none, as all that it stores counts."""
        return int(layer.carried.sum()) if isinstance(layer, Layer) else 0

    @property
    def n_params(self) -> int:
        """Weights and biases: all, or those inside the masks of a construction; wiring of skip connections is none."""
        return sum(layer.n_params for layer in self.layers)

    @property
    def n_params_dense(self) -> int:
        """All scalars of the dense matrices and biases."""
        return sum(layer.n_params_dense for layer in self.layers)

    @cached_property
    def dense_layers(self) -> tuple[Layer, ...]:
        """The layers as float64 matrices: what methods that work in floating point read.

        Raises:
            ValueError: If a weight is longer than a float64 number, or a matrix would be too large.
        """
        return tuple(dense(layer) for layer in self.layers)

    @cached_property
    def is_float(self) -> bool:
        """Whether the network is one of floats: dense layers only.

        Exact layers may happen to have short weights; float64 can fail them all the same, because a deep network needs
        longer numbers between its layers than its weights have.
        """
        return all(isinstance(layer, Layer) for layer in self.layers)

    @cached_property
    def is_finite(self) -> bool:
        """Whether no weight is infinite or NaN; exact weights never are."""
        return all(
            isinstance(layer, SparseLayer) or bool(np.isfinite(layer.parameters()).all()) for layer in self.layers
        )

    @cached_property
    def _bits(self) -> NDArray[np.int64]:
        """Bits of the odd mantissa of each non-zero parameter."""
        bits = []
        for layer in self.layers:
            if isinstance(layer, SparseLayer):
                bits.append(np.array([value.bits for value in layer.entries() if value], dtype=np.int64))
            else:
                values = layer.parameters()
                bits.append(odd_mantissa_bits(values[values != 0.0]))
        return np.concatenate(bits)

    @property
    def max_bits(self) -> int:
        """Longest mantissa in bits: a weight is ``+-m 2^e`` with odd ``m``, and ``m`` is counted; 1 for ``+-2^e``."""
        return int(self._bits.max(initial=0))

    @property
    def total_bits(self) -> int:
        """Bits of the odd mantissas of all non-zero parameters plus one each for the sign; exponents not counted."""
        return int(self._bits.sum()) + len(self._bits)

    @cached_property
    def description_bits(self) -> int:
        """Bits of all parameters in a prefix-free code, exponents included; see ``layers.description_bits``."""
        return description_bits(self.layers)

    @property
    def bits_per_weight(self) -> float:
        """``total_bits / n_params``; 0 for a network without parameters."""
        return self.total_bits / self.n_params if self.n_params else 0.0

    @cached_property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """What each unit is for, by layer: ``"hidden"`` and ``"output"`` where a layer has no labels.

        The label of a unit that only carries a value on ends in ``" carry"``.
        """
        found = []
        for index, layer in enumerate(self.layers):
            plain = "hidden" if index < self.depth else "output"
            if isinstance(layer, SparseLayer):
                own = layer.labels or ("",) * layer.n_out
            else:
                own = tuple(SKIP if wired else "" for wired in layer.carried)
            found.append(tuple(label or plain for label in own))
        return tuple(found)

    @property
    def parts(self) -> dict[str, int]:
        """Parts of a construction by label, with their weights and biases; those of carries under ``"carries"``."""
        return parts_of(self.layers, self.labels)

    @property
    def activations(self) -> frozenset[str]:
        """Codes in use, ``"identity"`` included."""
        return frozenset(code for layer in self.layers for code in layer.activations)

    @property
    def is_piecewise_linear(self) -> bool:
        """Whether every activation is continuous and piecewise linear, so that the network is too."""
        return all(code == IDENTITY or activations.get(code).piecewise_linear for code in self.activations)

    def __call__(self, x: Any, arithmetic: str = "auto") -> Any:
        """Values at points.

        Args:
            x: Array or tensor of shape ``(n, dim)``, or ``(n,)`` when ``dim == 1``. Floats are the dyadic numbers they
                are. Where the arithmetic is not float64, also rows of dyadic or rational numbers.
            arithmetic: ``"auto"``: float64 if all layers are float matrices, else exact columns (piecewise linear
                activations and sin) or balls, right to 2^-42 and a last place; ``"float64"``, which rounds longer
                weights; ``"exact"``: rational numbers, point by point, piecewise-polynomial activations only;
                ``"ball"``: any activation, with proven radii.

        Returns:
            Values of shape ``(n,)``, or ``(n, n_outputs)`` if there are several outputs: float64, as array or tensor
            like ``x`` (on its device, without gradient). For exact arithmetic a list of ``n`` fractions (or tuples of
            them); for balls the values and their radii, a pair.

        Raises:
            TypeError: If ``x`` is not an array of real numbers.
            ValueError: For a wrong shape, an unknown arithmetic, or activations that it cannot evaluate.
        """
        is_tensor = type(x).__module__.partition(".")[0] == "torch"
        name = check_arithmetic(arithmetic)
        if name == "float64" or (name == "auto" and self.is_float):
            name, points = "float64", float_array("x", x)
        else:
            points = _numbers(x.detach().cpu().numpy() if is_tensor else x)
        if points.ndim == 1 and self.dim == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(f"x must have shape (n, dim) with dim={self.dim}. Got shape {tuple(points.shape)}.")
        found = evaluate(self.layers, points, name)
        if name == "exact":
            return [row[0] for row in found] if self.n_outputs == 1 else found
        pair = tuple(self._like(x, part) for part in (found if name == "ball" else (found,)))
        return pair if name == "ball" else pair[0]

    def _like(self, x: Any, values: NDArray[np.float64]) -> Any:
        """Values in the shape for one or several outputs, as a tensor if ``x`` is one."""
        values = values[:, 0] if self.n_outputs == 1 else values
        if type(x).__module__.partition(".")[0] != "torch":
            return values
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(x.device)

    def save(self, path: str | Path) -> None:
        """Write the network into one safetensors file: weights bit for bit, masks, activation codes, provenance.

        Exact weights of any length are kept, labels too.

        Raises:
            ValueError: If the exponent of an exact weight takes more than 64 bits.
            OSError: If the file cannot be written.
        """
        save_layers(path, self.layers, self.provenance)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a file that :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged or of another kind.
        """
        return cls(*load_layers(path))

    def to_torch(self, dtype: Any = "float64", *, allow_rounding: bool = False) -> nn.Sequential:
        """The network as a plain ``nn.Sequential`` mapping ``(n, dim)`` to ``(n, n_outputs)``.

        Structural zeros are written out.

        Raises:
            ValueError: If the dtype is unknown, the network has more than 10^8 dense scalars, or the dtype would round
                weights and ``allow_rounding`` is False (saying how many, and by how much).
        """
        from approxrates.network.interchange import layers_to_module

        return layers_to_module(self.layers, dtype, allow_rounding=allow_rounding)

    @classmethod
    def from_torch(cls, module: Any, provenance: Mapping[str, Any] | None = None) -> Network:
        """A network from an ``nn.Sequential`` or a list of ``nn.Linear`` and activation modules.

        Raises:
            TypeError: If ``module`` is of another kind.
            ValueError: For a module that has no counterpart here.
        """
        from approxrates.network.interchange import layers_from_module

        return cls(layers_from_module(module), {"source": "torch"} if provenance is None else provenance)

    def describe(self) -> str:
        """Some lines for people: shape, counts, bits, parts, layers (runs of equal ones together), origin."""
        longest = f"{self.max_bits:,}" + ("" if self.max_bits <= 53 else ", longer than float64 holds")
        lines = [
            f"Network on [0, 1]^{self.dim}: depth {self.depth:,}, width {self.width:,}, {self.n_outputs} output(s)",
            f"parameters: {self.n_params:,} not structurally zero, {self.n_params_dense:,} dense"
            + (f"; {self.n_skips:,} units of skip connections have none" if self.n_skips else ""),
            f"bits: {self.total_bits:,} in all, {self.bits_per_weight:.3g} per weight, longest mantissa {longest}",
            *layer_lines(self.layers, self.labels),
        ]
        if self.provenance:
            lines.append(f"from: {origin(self.provenance)}")
        return "\n  ".join(lines)

    def __repr__(self) -> str:
        return f"Network(dim={self.dim}, depth={self.depth}, width={self.width}, n_params={self.n_params})"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: nothing that can be computed again."""
        return {"layers": self.layers, "provenance": self.provenance}


def _numbers(x: Any) -> NDArray[Any]:
    """Points as floats, or as objects where they are numbers of another kind: rationals, dyadic numbers."""
    given = np.asarray(x)
    if given.dtype == object and given.size and all(isinstance(c, (Dyadic, Fraction, int, float)) for c in given.flat):
        return given
    return float_array("x", x)


def odd_mantissa_bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Length of ``m`` in ``values = +-m 2^e`` with odd ``m``, in bits; 53 for what is not finite, 0 for zero."""
    finite = np.isfinite(values)
    mantissa = np.ldexp(np.abs(np.frexp(np.where(finite, values, 0.0))[0]), 53).astype(np.int64)
    trailing = np.frexp((mantissa & -mantissa).astype(np.float64))[1] - 1
    return np.where(finite, np.where(mantissa == 0, 0, 53 - trailing), 53).astype(np.int64)
