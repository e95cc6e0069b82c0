"""Families of dense networks: what is fixed, what grows, and where each weight lies in the flat vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from approxrates import axes, folding, initialisation
from approxrates.activations import get
from approxrates.layers import Layer

Slices = tuple[slice, slice | None]


@dataclass(frozen=True)
class Dense:
    """A fully connected network: ``depth`` hidden layers of ``width`` units, and an affine output layer.

    With ``injection`` each layer after the first reads the network's input beside the units before it. With
    ``residual`` each hidden layer after the first adds to what it reads: ``h_k = h_{k-1} + sigma(z_k)``, where ``z_k``
    is affine in ``h_{k-1}``, or in ``[h_{k-1}, x]`` with both.

    The flat parameter vector holds for each layer the weight, row-major ``(n_out, n_in)``, then the bias if it has one.
    Any field may be an axis; the object is then a template, and ``axes.variants`` makes the concrete ones.

    Attributes:
        dim: Input dimension d.
        width: Units in each hidden layer.
        depth: Number of hidden layers.
        activation: A name that :func:`approxrates.activations.get` knows.
        n_outputs: Outputs of the network.
        bias: Whether each layer has a bias.
        injection: Whether layers after the first read the input too.
        residual: Whether hidden layers after the first add to what they read.

    Raises:
        TypeError: If a value is of the wrong kind.
        ValueError: If a number is below 1, the activation is unknown, or a mixed layer has a single unit.
    """

    kind: ClassVar[str]

    dim: int
    width: int
    depth: int
    activation: str = "relu"
    n_outputs: int = 1
    bias: bool = True
    injection: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        if axes.has_axis(self):
            return
        for field in ("dim", "width", "depth", "n_outputs"):
            _check_count(field, getattr(self, field))
        for field in ("bias", "injection", "residual"):
            if not isinstance(getattr(self, field), bool):
                raise TypeError(f"{field} must be True or False. Got {getattr(self, field)!r}.")
        if get(self.activation).parts and self.width < 2:
            raise ValueError(f"width must be at least 2 for the mixed layer {self.activation}. Got width={self.width}.")

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """``(n_out, n_in)`` of each of the ``depth + 1`` layers; with injection the inputs are ``[h, x]``."""
        self._require_concrete()
        n_in = self.width + self.dim * self.injection
        hidden = ((self.width, n_in),) * (self.depth - 1)
        return ((self.width, self.dim), *hidden, (self.n_outputs, n_in))

    @property
    def n_params(self) -> int:
        """All weights and biases."""
        self._require_concrete()
        columns = self.width + self.dim * self.injection + self.bias
        inner = (self.depth - 1) * columns * self.width
        return (self.dim + self.bias) * self.width + inner + columns * self.n_outputs

    @property
    def slices(self) -> tuple[Slices, ...]:
        """Where each layer's weight and bias lie in the flat vector; None for a bias that is not there."""
        found: list[Slices] = []
        start = 0
        for n_out, n_in in self.shapes:
            stop = start + n_out * n_in
            end = stop + n_out * self.bias
            found.append((slice(start, stop), slice(stop, end) if self.bias else None))
            start = end
        return tuple(found)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each layer begins in the flat vector."""
        return tuple(weight.start for weight, _ in self.slices)

    def initialise(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Random starting weights, shape ``(N, P)``; replica ``i`` depends on ``seeds[i]`` alone.

        See :mod:`approxrates.initialisation` for the rule.
        """
        return initialisation.initialise(
            self.shapes, self.activation, self.bias, seeds, injection=self.injection, residual=self.residual
        )

    def maps(self, theta: NDArray[Any]) -> tuple[folding.Map, ...]:
        """Weight and bias of each layer of one network, in the shapes of :attr:`shapes`.

        Args:
            theta: Flat parameters, shape ``(P,)``; copied, as float64.

        Raises:
            ValueError: If the length is not ``n_params``.
        """
        if theta.shape != (self.n_params,):
            raise ValueError(f"theta must have shape (n_params,) = ({self.n_params},). Got shape {theta.shape}.")
        flat = np.array(theta, dtype=np.float64)
        return tuple(
            (flat[weight].reshape(shape), None if bias is None else flat[bias])
            for shape, (weight, bias) in zip(self.shapes, self.slices, strict=True)
        )

    def layers(self, theta: NDArray[Any]) -> tuple[Layer, ...]:
        """The layers of one network; injection and residual sums are carried by units (:mod:`approxrates.folding`).

        Args:
            theta: Flat parameters, shape ``(P,)``; copied, as float64.

        Raises:
            ValueError: If the length is not ``n_params``.
        """
        codes = get(self.activation).units(self.width)
        return folding.fold(self.maps(theta), codes, injection=self.injection, residual=self.residual)

    def theta_from_layers(self, layers: Sequence[Layer]) -> NDArray[np.float64]:
        """The flat parameters, shape ``(P,)``, of layers of this shape: the inverse of :meth:`layers`.

        Raises:
            ValueError: If the layers are not of this architecture.
        """
        expected = tuple(layer.weight.shape for layer in self.layers(np.zeros(self.n_params)))
        shapes = tuple(layer.weight.shape for layer in layers)
        if shapes != expected:
            raise ValueError(f"layers must have shapes (n_out, n_in) = {expected}. Got {shapes}.")
        if any((layer.bias is not None) != self.bias for layer in layers):
            raise ValueError(f"layers must {'all' if self.bias else 'not'} have a bias for bias={self.bias}.")
        maps = folding.unfold(layers, self.shapes, injection=self.injection, residual=self.residual)
        arrays = [a for weight, bias in maps for a in (weight.ravel(), bias) if a is not None]
        return np.concatenate(arrays).astype(np.float64)

    def to_spec(self) -> dict[str, Any]:
        """Plain data for :func:`from_spec`; what follows ``activation`` is left out where it is the default."""
        self._require_concrete()
        spec = {"kind": self.kind, "dim": self.dim, "width": self.width, "depth": self.depth}
        spec |= {"activation": get(self.activation).name}
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in spec}
        return spec | {name: value for name, value in options.items() if value != _defaults(type(self))[name]}

    def _require_concrete(self) -> None:
        """Refuse to count a template."""
        if axes.has_axis(self):
            raise ValueError(
                f"{type(self).__name__} holds an axis. Use axes.variants(...) for the single architectures."
            )


def _defaults(cls: type[Dense]) -> dict[str, Any]:
    """The fields of a family with their defaults, ``dataclasses.MISSING`` for what must be given."""
    return {field.name: field.default for field in dataclasses.fields(cls)}


@dataclass(frozen=True)
class FixedWidth(Dense):
    """Dense networks of one width that grow in depth, or along a schedule of both.

    Attributes:
        exponent: Of the schedule depth ~ n_params^exponent that a network is a size of; None for fixed width. It
            changes nothing of the network, and tells the families of a study apart.

    Raises:
        ValueError: If the exponent is outside [0, 1].
    """

    kind: ClassVar[str] = "fixed_width"

    exponent: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exponent is not None and not axes.has_axis(self):
            _check_exponent(self.exponent)

    @classmethod
    def for_params(
        cls,
        n: int,
        *,
        dim: int,
        width: int,
        activation: str = "relu",
        n_outputs: int = 1,
        bias: bool = True,
        injection: bool = False,
        residual: bool = False,
    ) -> Self:
        """The deepest with at most ``n`` parameters.

        Raises:
            ValueError: If none is so small.

        Example:
            >>> FixedWidth.for_params(500, dim=1, width=8).depth
            7
        """
        _check_count("n", n)
        least = cls(dim, width, 1, activation, n_outputs, bias, injection, residual)
        per_layer = dataclasses.replace(least, depth=2).n_params - least.n_params
        if least.n_params > n:
            raise ValueError(f"n must be at least {least.n_params} for width={width}. Got n={n}. Use a smaller width.")
        return dataclasses.replace(least, depth=1 + (n - least.n_params) // per_layer)

    @classmethod
    def schedule(
        cls,
        *,
        n_params: Sequence[int],
        exponent: float,
        dim: int,
        width: int = 8,
        activation: str = "relu",
        n_outputs: int = 1,
        bias: bool = True,
        injection: bool = False,
        residual: bool = False,
    ) -> tuple[Any, Any]:
        """Linked axes of width and depth with ``depth ~ n_params^exponent`` and the width to match.

        Args:
            n_params: Upper limits on the number of parameters, ascending.
            exponent: 1 keeps the width, 0 keeps the depth.
            dim: Input dimension.
            width: Width at the smallest size.
            activation: Name of the activation.
            n_outputs: Outputs of the network.
            bias: Whether there are biases.
            injection: Whether layers after the first read the input too.
            residual: Whether hidden layers after the first add to what they read.

        Returns:
            ``(width_axis, depth_axis)``, to be given as the fields of a template, with ``exponent`` beside them where
            the study holds networks of fixed width too.

        Raises:
            ValueError: If the exponent is outside [0, 1] or a size is too small.

        Example:
            >>> width, depth = FixedWidth.schedule(n_params=[200, 800, 3200], exponent=0.5, dim=1)
            >>> width.values, depth.values
            ((8, 11, 16), (3, 6, 12))
        """
        _check_exponent(exponent)
        sizes = list(n_params)
        if not sizes:
            raise ValueError("n_params must hold at least one size. Got none. Write e.g. n_params=[100, 400, 1600].")
        rest: dict[str, Any] = {"dim": dim, "activation": activation, "n_outputs": n_outputs, "bias": bias}
        rest |= {"injection": injection, "residual": residual}
        first = cls.for_params(sizes[0], width=width, **rest)
        found = []
        for n in sizes:
            growth = n / sizes[0]
            # The quantity that moves less is rounded, the other one then fills the budget.
            if exponent >= 0.5:
                found.append(cls.for_params(n, width=round(width * growth ** ((1.0 - exponent) / 2.0)), **rest))
            else:
                wide = FixedDepth.for_params(n, depth=max(1, round(first.depth * growth**exponent)), **rest)
                found.append(dataclasses.replace(first, width=wide.width, depth=wide.depth))
        columns = axes.axis.zip([a.width for a in found], [a.depth for a in found])
        return columns[0], columns[1]


@dataclass(frozen=True)
class FixedDepth(Dense):
    """Dense networks of one depth that grow in width."""

    kind: ClassVar[str] = "fixed_depth"

    @classmethod
    def for_params(
        cls,
        n: int,
        *,
        dim: int,
        depth: int,
        activation: str = "relu",
        n_outputs: int = 1,
        bias: bool = True,
        injection: bool = False,
        residual: bool = False,
    ) -> Self:
        """The widest with at most ``n`` parameters.

        Raises:
            ValueError: If none is so small.

        Example:
            >>> FixedDepth.for_params(500, dim=1, depth=1).width
            166
        """
        _check_count("n", n)
        low = 2 if get(activation).parts else 1
        least = cls(dim, low, depth, activation, n_outputs, bias, injection, residual)
        if least.n_params > n:
            raise ValueError(f"n must be at least {least.n_params} for depth={depth}. Got n={n}. Use a smaller depth.")
        high = n + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = dataclasses.replace(least, width=middle).n_params <= n
            low, high = (middle, high) if fits else (low, middle)
        return dataclasses.replace(least, width=low)


_KINDS: dict[str, type[Dense]] = {cls.kind: cls for cls in (FixedWidth, FixedDepth)}


def from_spec(spec: Mapping[str, Any]) -> FixedWidth | FixedDepth:
    """The architecture that :meth:`Dense.to_spec` described.

    Raises:
        ValueError: For an unknown kind, or missing or unknown keys, naming the allowed ones.

    Example:
        >>> from_spec({"kind": "fixed_width", "dim": 1, "width": 8, "depth": 6, "activation": "relu"}).n_params
        385
    """
    if spec.get("kind") not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}. Got {spec.get('kind')!r}.")
    defaults = _defaults(_KINDS[spec["kind"]])
    allowed = [*defaults]
    unknown = [key for key in spec if key not in ("kind", *allowed)]
    if unknown:
        raise ValueError(
            f"an architecture has the keys kind, {', '.join(allowed)}. Got {', '.join(map(repr, unknown))}."
        )
    missing = [k for k in allowed if defaults[k] is dataclasses.MISSING and k not in spec]
    if missing:
        raise ValueError(f"an architecture needs the keys dim, width and depth. Missing: {', '.join(missing)}.")
    made = _KINDS[spec["kind"]](**{k: v for k, v in spec.items() if k != "kind"})
    assert isinstance(made, (FixedWidth, FixedDepth))
    return made


def _check_exponent(exponent: Any) -> None:
    """Require an exponent of a depth schedule."""
    if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
        raise TypeError(f"exponent must be a number. Got {exponent!r}. Write e.g. exponent=0.5.")
    if not 0.0 <= exponent <= 1.0:
        raise ValueError(f"exponent must lie in [0, 1]. Got exponent={exponent}. Write 1.0 for fixed width.")


def _check_count(field: str, value: Any) -> None:
    """Require a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field} must be an integer. Got {value!r}. Write e.g. {field}=8.")
    if value < 1:
        raise ValueError(f"{field} must be at least 1. Got {field}={value}. Write e.g. {field}=8.")
