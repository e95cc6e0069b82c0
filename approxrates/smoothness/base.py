"""The record of a measured smoothness, and the regression it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from approxrates.regularity import Regularity

Method = Literal["structure", "leaders"]
Floats = NDArray[np.float64]

SCATTER: dict[tuple[str, bool], tuple[float, float]] = {
    ("structure", False): (0.08, 0.08),
    ("structure", True): (0.08, 0.16),
    ("leaders", False): (0.08, 0.16),
    ("leaders", True): (0.10, 0.25),
}
"""Widths added in quadrature below and above the interval of the regression, by method and whether d > 1.

They are the scatter on the catalogue's families of known r (the table in docs/targets.md). It is lopsided: at finer
steps the largest difference is sought over more places, so slopes come out low.
"""
LEAST_SCALES = 4
_HOLDER_KINDS = ("holder", "holder-log", "zygmund", "lipschitz-log")
_SMOOTH_KINDS = ("analytic", "gevrey", "polynomial", "constant")


@dataclass(frozen=True, eq=False)
class SmoothnessMeasurement:
    """A measured Hölder exponent; ``sentence`` says it in words.

    Attributes:
        name: Name of the function.
        method: ``structure`` or ``leaders``.
        value: Slope of log size against log step.
        interval: t interval of the slope over scales, widened by :data:`SCATTER`; the upper end is inf where the
            order saturates.
        order: Order of the differences, or vanishing moments of the wavelet: no larger smoothness can be seen.
        steps: Steps h, descending, shape ``(k,)``.
        sizes: Largest difference or leader at each step, shape ``(k,)``.
        used: Scales of the regression, shape ``(k,)``.
        dim: Input dimension of the function.
        along_lines: Whether the function was seen on random segments only: roughness at single points is missed.
        one_size: Whether it is a sum of bumps of one size, whose r relates height and width and is no exponent.
        declared: What is claimed, or None.
    """

    name: str
    method: Method
    value: float
    interval: tuple[float, float]
    order: int
    steps: Floats
    sizes: Floats
    used: NDArray[np.bool_]
    dim: int
    along_lines: bool = False
    one_size: bool = False
    declared: Regularity | None = None

    @property
    def saturated(self) -> bool:
        """Whether the function is as smooth as can be seen, or smoother."""
        return math.isinf(self.interval[1])

    @property
    def holds(self) -> bool | None:
        """Whether the declared smoothness lies in the interval; None where nothing comparable is declared.

        Besov, Sobolev and mixed numbers are no Hölder exponents, and are not compared. A jump has exponent 0.
        """
        if self.declared is None or self.declared.kind not in (*_HOLDER_KINDS, *_SMOOTH_KINDS, "jump"):
            return None
        r = _exponent(self.declared)
        return self.saturated if math.isinf(r) else self.interval[0] <= r <= self.interval[1]

    @property
    def exceeds(self) -> bool:
        """Whether the function is smoother than a claim that is no more than a lower bound: one that is not sharp."""
        declared = self.declared
        if declared is None or self.holds is not False or declared.sharp or not declared.is_continuous:
            return False
        return self.interval[0] > declared.smoothness

    @property
    def agrees(self) -> bool | None:
        """Whether the values fit the claim; None where nothing comparable is declared, or nothing is decided.

        A claim that is not ``sharp`` is a lower bound, and a smoother function agrees with it. Segments bound the
        smoothness from above only: a smoother function along them decides nothing, as roughness between them is missed.
        Nor is anything decided for bumps of one size outside of their interval.
        """
        if self.holds is not False or self.declared is None:
            return self.holds
        if self.one_size or (self.along_lines and self.interval[0] > _exponent(self.declared)):
            return None
        return self.exceeds

    @property
    def sentence(self) -> str:
        """The measurement and the verdict in words."""
        low, high = self.interval
        how = "structure function" if self.method == "structure" else "wavelet leaders"
        seen = f"at least {low:.2f}" if self.saturated else f"{self.value:.2f} [{low:.2f}, {high:.2f}]"
        text = f"{self.name}: smoothness {seen} by {how} over {int(self.used.sum())} scales"
        if self.along_lines:
            text += ", along random segments"
        if self.declared is None:
            return f"{text}."
        claim = f"{'r' if self.declared.is_continuous else 'a jump, with r'} = {self.declared.smoothness:g}"
        return f"{text}; {claim} is declared{self._verdict(self.declared)}."

    def _verdict(self, declared: Regularity) -> str:
        """The end of the sentence, after "is declared"."""
        if self.holds is None:
            return f" in a {declared.kind} class, which is not comparable"
        if self.agrees is not None:
            if self.exceeds:
                return " as a lower bound, which the function exceeds"
            return f", which {'agrees' if self.agrees else 'does not agree'}"
        if self.one_size:
            return ", which relates height and width of bumps of one size and is no exponent: nothing is decided"
        return ", which a lower bound along segments leaves open"


def _exponent(declared: Regularity) -> float:
    """The Hölder exponent that is claimed: a jump has 0, though its number in L^2 is another."""
    return 0.0 if declared.kind == "jump" else declared.smoothness


def slope(steps: Floats, sizes: Floats) -> tuple[float, float]:
    """Least-squares slope of log sizes against log steps, and the half width of its 95 % t interval."""
    from scipy.special import stdtrit

    x, y = np.log(steps), np.log(sizes)
    x = x - x.mean()
    value = float(x @ y / (x @ x))
    rest = y - y.mean() - value * x
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / float(x @ x))
    return value, float(stdtrit(len(x) - 2, 0.975)) * error


def widened(value: float, half: float, method: Method, dim: int, *, saturated: bool) -> tuple[float, float]:
    """The interval that is reported."""
    below, above = SCATTER[method, dim > 1]
    return value - math.hypot(half, below), math.inf if saturated else value + math.hypot(half, above)
