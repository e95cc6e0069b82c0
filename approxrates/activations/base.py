"""What an activation is: a function with its derivative, its family and its break-points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import ModuleType
from typing import Any

Function = Callable[[Any, Any], Any]
"""``(z, xp) -> values``, elementwise; ``xp`` is the module numpy or the module torch, whichever ``z`` belongs to."""

Forward = Callable[[Any, Any], None]
"""``(z, out)``: writes ``sigma(z)`` into ``out``; torch tensors."""

Chain = Callable[[Any, Any, Any, Any], None]
"""``(z, h, delta, scratch)``: ``delta *= sigma'(z)`` in place; ``h = sigma(z)``; ``scratch`` may be spoilt, or None."""


class Family(StrEnum):
    """The families that the phase diagram tells apart (Yarotsky & Zhevnerchuk 2020, arXiv:1906.09477).

    Continuous piecewise polynomials that are not polynomials share one diagram, with the ceiling ``2r/d``; periodic
    functions know no such ceiling; piecewise-constant ones have a lower one, ``r/d``. Members come in the order of what
    they can express.
    """

    PIECEWISE_CONSTANT = "piecewise-constant"
    PIECEWISE_LINEAR = "piecewise-linear"
    PIECEWISE_POLYNOMIAL = "piecewise-polynomial"
    SMOOTH = "smooth"
    PERIODIC = "periodic"


def module_of(z: Any) -> ModuleType:
    """The module, numpy or torch, whose functions apply to ``z``. Does not import torch for numpy data."""
    if type(z).__module__.partition(".")[0] == "torch":
        import torch

        return torch
    import numpy

    return numpy


@dataclass(frozen=True, eq=False)
class Kernel:
    """Hand-written forward and backward passes with as few passes over memory as possible.

    Attributes:
        forward: Writes ``sigma(z)`` into ``out``.
        chain: Multiplies ``delta`` by ``sigma'(z)``.
        in_place: ``out`` may be ``z`` itself, and ``chain`` asks for ``h`` only.
    """

    forward: Forward
    chain: Chain
    in_place: bool = False


@dataclass(frozen=True)
class InitRule:
    """How a layer is started so that the signal lives at every depth (see :mod:`approxrates.initialisation`).

    Attributes:
        hidden_scale: Standard deviation over the domain of the pre-activations, from the second hidden layer on.
        first_scale: The same for the first hidden layer.
        pass_through: Share of the units, from the second hidden layer on, that have their whole signal on the right of
            zero, where the activation bends little; the others bend inside the domain.
        margin: How far on the right at most, in lengths of the signal's range.

    Raises:
        ValueError: If a scale is not positive, or the share is outside [0, 1).
    """

    hidden_scale: float = 1.0
    first_scale: float = 1.0
    pass_through: float = 0.0
    margin: float = 0.2

    def __post_init__(self) -> None:
        if not (0.0 < self.hidden_scale < math.inf and 0.0 < self.first_scale < math.inf):
            raise ValueError(
                f"scales must be positive. Got {self.hidden_scale} and {self.first_scale}. Write e.g. 1.0."
            )
        if not (0.0 <= self.pass_through < 1.0 and 0.0 <= self.margin < math.inf):
            raise ValueError(
                f"pass_through must lie in [0, 1) and margin be >= 0. Got {self.pass_through} and {self.margin}."
            )


@dataclass(frozen=True, eq=False)
class Activation:
    """One activation function, evaluated elementwise on numpy arrays or torch tensors.

    Attributes:
        name: What :func:`approxrates.activations.get` knows it by.
        family: Where the theory of the phase diagram puts it.
        function: ``(z, xp) -> sigma(z)`` with ``xp`` numpy or torch.
        slope: ``(z, xp) -> sigma'(z)``, at a break-point the value of either side or between; None for functions that
            have no useful derivative: these serve constructions only.
        degree: Highest degree of the pieces of a piecewise polynomial, else None.
        breakpoints: Where the function is not smooth, ascending; of one period if there is a period.
        period: ``T > 0`` with ``sigma(t + T) = sigma(t) + drift`` for all ``t``, or None.
        drift: What is gained over one period: 0 for a periodic function, not for ``floor`` or ``snake``.
        pieces: Polynomials in ``t`` as coefficients, constant first: one left of each break-point and one right of
            the last; with a period, one right of each break-point. None if not given, or not polynomial.
        init: How networks of it are started.
        kernel: Fast torch passes; without it they go through ``function`` and ``slope``.
        parts: For a mixed layer the activations of its units, a first and a second half; else empty.
        curvature: ``(z, xp) -> sigma''(z)``, at a break-point the value of either side or between; without it
            :meth:`second_derivative` differentiates ``slope`` automatically in torch.

    Raises:
        ValueError: For an unknown family, break-points out of order, or a wrong number of pieces.
    """

    name: str
    family: Family
    function: Function
    slope: Function | None = None
    degree: int | None = None
    breakpoints: tuple[float, ...] = ()
    period: float | None = None
    drift: float = 0.0
    pieces: tuple[tuple[Fraction, ...], ...] | None = None
    init: InitRule = InitRule()
    kernel: Kernel | None = None
    parts: tuple[Activation, ...] = ()
    curvature: Function | None = None

    def __post_init__(self) -> None:
        if self.family not in tuple(Family):
            raise ValueError(f"family must be one of {', '.join(Family)}. Got {self.family!r}.")
        object.__setattr__(self, "family", Family(self.family))
        object.__setattr__(self, "breakpoints", tuple(float(b) for b in self.breakpoints))
        if any(a >= b for a, b in zip(self.breakpoints, self.breakpoints[1:], strict=False)):
            raise ValueError(f"breakpoints must be strictly increasing. Got {self.breakpoints}.")
        if self.period is not None and not (0.0 < self.period < math.inf):
            raise ValueError(f"period must be a positive number, or None. Got period={self.period}.")
        if self.pieces is not None:
            expected = len(self.breakpoints) + (self.period is None)
            if len(self.pieces) != expected:
                raise ValueError(
                    f"{self.name} must have {expected} pieces for its break-points. Got {len(self.pieces)}."
                )

    @property
    def trainable(self) -> bool:
        """Whether there is a derivative to train with."""
        return self.slope is not None

    @property
    def piecewise_linear(self) -> bool:
        """Whether it is continuous and made of straight pieces (the triangle wave is, and periodic too)."""
        return self.degree == 1

    @property
    def bends(self) -> bool:
        """Whether the second derivative is more than zero between break-points."""
        if self.parts:
            return any(part.bends for part in self.parts)
        return self.degree is None or self.degree > 1

    @property
    def in_place(self) -> bool:
        """Whether ``forward(z, z)`` is allowed, ``chain`` then needing ``h`` only."""
        if self.parts:
            return all(part.in_place for part in self.parts)
        return self.kernel is not None and self.kernel.in_place

    def __call__(self, z: Any) -> Any:
        """Values ``sigma(z)``: array to array, tensor to tensor, of the same shape.

        Of a mixed layer, ``z`` has the units on its last axis but one, as in ``(units, points)``.
        """
        if self.parts:
            return self._joined(z, [part(half) for part, half in zip(self.parts, self._split(z, -2), strict=True)])
        return self.function(z, module_of(z))

    def derivative(self, z: Any) -> Any:
        """Values ``sigma'(z)``: array to array, tensor to tensor, of the same shape.

        Raises:
            ValueError: If the activation has no derivative.
        """
        self._require_slope()
        if self.parts:
            return self._joined(
                z, [part.derivative(half) for part, half in zip(self.parts, self._split(z, -2), strict=True)]
            )
        assert self.slope is not None
        return self.slope(z, module_of(z))

    def second_derivative(self, z: Any) -> Any:
        """Values ``sigma''(z)``: array to array, tensor to tensor, of the same shape; zero for straight pieces.

        At a break-point it is the value of either side or between: a jump of the derivative has no share in it.

        Raises:
            ValueError: If the activation has no derivative, or one that cannot be differentiated automatically.
        """
        self._require_slope()
        if self.parts:
            return self._joined(
                z, [part.second_derivative(half) for part, half in zip(self.parts, self._split(z, -2), strict=True)]
            )
        if not self.bends:
            return z * 0
        return self._slope_differentiated(z) if self.curvature is None else self.curvature(z, module_of(z))

    def _slope_differentiated(self, z: Any) -> Any:
        """The derivative of ``slope`` by torch, for activations that come without ``curvature``."""
        import torch

        assert self.slope is not None
        leaf = torch.as_tensor(z).detach().clone().requires_grad_()
        try:
            with torch.enable_grad():
                slopes = self.slope(leaf, torch)
            # A derivative that is constant on every piece may not depend on the leaf at all.
            found = torch.autograd.grad(slopes.sum(), leaf)[0] if slopes.requires_grad else torch.zeros_like(leaf)
        except RuntimeError as error:
            raise ValueError(
                f"the derivative of {self.name} cannot be differentiated by torch: {str(error).splitlines()[0]} "
                f"Give Activation(..., curvature=lambda z, xp: ...), its second derivative."
            ) from error
        return found if isinstance(z, torch.Tensor) else found.numpy()

    def exact(self, t: Fraction) -> Fraction:
        """The rational value at a rational point, from the pieces.

        Raises:
            ValueError: If the activation is not piecewise polynomial with given pieces.
        """
        if self.pieces is None:
            raise ValueError(f"{self.name} has no exact values. Use a piecewise-polynomial activation.")
        shift = Fraction(0)
        if self.period is not None:
            turns = math.floor((t - Fraction(self.breakpoints[0])) / Fraction(self.period))
            t, shift = t - turns * Fraction(self.period), turns * Fraction(self.drift)
        index = sum(Fraction(b) <= t for b in self.breakpoints) - (self.period is not None)
        value = Fraction(0)
        for coefficient in reversed(self.pieces[index]):
            value = value * t + coefficient
        return value + shift

    def units(self, width: int) -> tuple[str, ...]:
        """The code of each unit of a layer: one name; of a mixed layer a first half of one, then the other."""
        if not self.parts:
            return (self.name,) * width
        first = split_at(width)
        return (self.parts[0].name,) * first + (self.parts[1].name,) * (width - first)

    def forward(self, z: Any, out: Any) -> None:
        """Write ``sigma(z)`` into ``out``; torch tensors of shape ``(replicas, width, points)``.

        ``out`` may be ``z`` itself only where :attr:`in_place` says so. The value of an element does not depend on how
        many others there are, as long as the last axis is a multiple of 16.
        """
        if self.parts:
            for part, a, b in zip(self.parts, self._split(z, 1), self._split(out, 1), strict=True):
                part.forward(a, b)
        elif self.kernel is not None:
            self.kernel.forward(z, out)
        else:
            out.copy_(self.function(z, module_of(z)))

    def chain(self, z: Any, h: Any, delta: Any, scratch: Any = None) -> None:
        """Multiply ``delta`` by ``sigma'(z)`` in place, ``h = sigma(z)``; shapes as in :meth:`forward`.

        Args:
            z: Pre-activations; not changed. If :attr:`in_place`, ``h`` itself may be given.
            h: Activations; not changed.
            delta: The derivative with respect to ``h``, turned into that with respect to ``z``.
            scratch: A tensor like ``z`` that may be spoilt, which saves an allocation; optional.

        Raises:
            ValueError: If the activation has no derivative.
        """
        self._require_slope()
        if self.parts:
            scratches = (None, None) if scratch is None else self._split(scratch, 1)
            groups = zip(
                self.parts, self._split(z, 1), self._split(h, 1), self._split(delta, 1), scratches, strict=True
            )
            for part, a, b, c, d in groups:
                part.chain(a, b, c, d)
        elif self.kernel is not None:
            self.kernel.chain(z, h, delta, scratch)
        else:
            assert self.slope is not None
            delta.mul_(self.slope(z, module_of(z)))

    def _require_slope(self) -> None:
        """Refuse to differentiate what has no derivative."""
        if self.slope is None:
            raise ValueError(
                f"{self.name} has no derivative to train with. Use it in constructions, or train with relu."
            )

    def _split(self, z: Any, axis: int) -> tuple[Any, Any]:
        """The two halves of the units, as views."""
        if z.ndim < 2:
            raise ValueError(f"{self.name} needs units on the last axis but one. Got shape {tuple(z.shape)}.")
        first = split_at(z.shape[axis])
        index = (slice(None),) * (axis % z.ndim)
        return z[(*index, slice(0, first))], z[(*index, slice(first, None))]

    def _joined(self, z: Any, halves: list[Any]) -> Any:
        """The two halves put together again."""
        return module_of(z).concatenate(halves, -2)


def split_at(width: int) -> int:
    """How many units of a mixed layer are of its first kind."""
    return (width + 1) // 2


def polynomials(*rows: tuple[Any, ...]) -> tuple[tuple[Fraction, ...], ...]:
    """Coefficient rows as fractions; floats are taken as the dyadic numbers they are."""
    return tuple(tuple(Fraction(c) for c in row) for row in rows)
