"""What is known about a target's smoothness, in one place and one convention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

RegularityClass = Literal[
    "holder",
    "holder-log",
    "zygmund",
    "lipschitz-log",
    "besov",
    "mixed",
    "sobolev",
    "jump",
    "gevrey",
    "polynomial",
    "analytic",
    "constant",
]
CLASSES: tuple[str, ...] = get_args(RegularityClass)


@dataclass(frozen=True)
class Regularity:
    r"""Declared smoothness of a function on ``[0, 1]^dim``.

    The convention is Hölder's: ``r = k + alpha`` with ``k`` an integer and ``0 < alpha <= 1``; the derivatives of order
    ``k`` are ``alpha``-Hölder. An analytic, Gevrey, polynomial or constant function has ``smoothness = inf``. Two
    classes need a word: in ``holder-log`` the modulus is ``h^r`` times a root of ``log(1/h)``, as for Gaussian paths; a
    ``jump`` function is not continuous, and its ``smoothness`` is the Besov number in L^2.

    Attributes:
        smoothness: ``r > 0``, or ``inf``.
        dim: Input dimension ``d >= 1``.
        kind: Function class the number refers to.
        radius: Upper bound on the Hölder seminorm of order ``r`` (for ``r <= 1``: the Hölder constant), if known.
        sharp: The function is nowhere smoother than ``r``; without it ``r`` is only a lower bound.
        information_rich: The function carries about ``eps^(-d/r)`` free bits, so the lower bounds of the class hold for
            it; a self-similar or analytic function does not, and may be approximated faster than its class.

    Raises:
        ValueError: If ``smoothness <= 0``, ``dim < 1`` or ``radius < 0``, or for an unknown class.
        TypeError: If a value is of the wrong kind.
    """

    smoothness: float
    dim: int
    kind: RegularityClass = "holder"
    radius: float | None = None
    sharp: bool = False
    information_rich: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.smoothness, bool) or not isinstance(self.smoothness, (int, float)):
            raise TypeError(f"smoothness must be a number. Got {self.smoothness!r}. Write e.g. smoothness=0.5.")
        if not self.smoothness > 0:
            raise ValueError(f"smoothness must be positive. Got smoothness={self.smoothness}. Use e.g. smoothness=0.5.")
        if isinstance(self.dim, bool) or not isinstance(self.dim, int):
            raise TypeError(f"dim must be an integer. Got {self.dim!r}. Write e.g. dim=1.")
        if self.dim < 1:
            raise ValueError(f"dim must be at least 1. Got dim={self.dim}. Write e.g. dim=1.")
        if self.kind not in CLASSES:
            raise ValueError(f"kind must be one of {', '.join(CLASSES)}. Got {self.kind!r}.")
        if self.radius is not None and not (self.radius >= 0 and math.isfinite(self.radius)):
            raise ValueError(f"radius must be a finite number >= 0, or None. Got radius={self.radius}.")
        object.__setattr__(self, "smoothness", float(self.smoothness))

    @property
    def order(self) -> int:
        """``k`` of ``r = k + alpha``: the number of derivatives that are Hölder continuous."""
        if math.isinf(self.smoothness):
            raise ValueError("An infinitely smooth function has no order k. Ask for is_finite first.")
        return math.ceil(self.smoothness) - 1

    @property
    def exponent(self) -> float:
        """``alpha`` of ``r = k + alpha``, in ``(0, 1]``."""
        return self.smoothness - self.order

    @property
    def is_finite(self) -> bool:
        """Whether ``r`` is finite, so that the diagram in ``p d / r`` applies."""
        return math.isfinite(self.smoothness)

    @property
    def is_continuous(self) -> bool:
        """Whether the sup norm makes sense: no sequence of continuous networks converges to a jump in it."""
        return self.kind != "jump"
