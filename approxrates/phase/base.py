"""Labels of the diagram, what they mean, and the record of a place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Binding = Literal["depth", "bits", "samples", "optimisation"]

EQUIVALENCE = 0.1
"""CLASSICAL means that ``rho`` is within this share of 1."""
TOLERANCE = 0.1
"""Slack for constants and logarithms at the ceiling and at the terms of the resource law."""
LEVEL = 0.025
"""Level of each one-sided test; ``rho`` is tested on two sides, so a label is wrong with a chance of at most 5 %."""
NORMS = ("sup", "l2")
COUNTINGS = ("n_params", "n_params_dense", "total_bits", "pieces", "width", "depth", "seconds")

CAUSES = (
    "Is the error certified? A sampled maximum lies below the sup error, and the more so the larger the network.",
    "Are the sizes past the pre-asymptotic range? Fit again without the smallest ones.",
    "Is the target easy? A self-similar, sparse or pseudo-random function carries too little information.",
    "Is the size counted fully? Weights hidden in constants, or bits in a weight, must be counted.",
)
"""What to check, in this order, when a rate is better than theory allows."""


class Label(StrEnum):
    """Labels of the diagram; ``sentence`` says what each means."""

    ALARM = "ALARM"
    DEEP = "DEEP"
    CLASSICAL = "CLASSICAL"
    BELOW_CLASSICAL = "BELOW CLASSICAL"
    EASY_TARGET = "EASY TARGET"
    TRANSIENT = "TRANSIENT"
    UNDECIDED = "UNDECIDED"

    @property
    def sentence(self) -> str:
        """The meaning in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    Label.ALARM: "Faster than any network with this activation can be on an information-rich target: find the flaw.",
    Label.DEEP: "Faster than the classical rate with exact weights: the deep, discontinuous phase.",
    Label.CLASSICAL: "The classical rate r/d, to within a tenth: what continuous weight assignments reach.",
    Label.BELOW_CLASSICAL: "Slower than the classical rate r/d: training, samples or too small sizes hold it back.",
    Label.EASY_TARGET: "The target is not information-rich: a rate above r/d says nothing about the phases.",
    Label.TRANSIENT: "Faster than the classical rate with weights of bounded precision: possible in a finite window.",
    Label.UNDECIDED: "The data do not decide.",
}


@dataclass(frozen=True)
class Claim:
    """A statement about ``rho`` and the p-value of its opposite: small values speak for the claim.

    Attributes:
        statement: E.g. ``"rho > 1"`` or ``"|rho - 1| < 0.1"``.
        p_value: One-sided; of an equivalence the larger of its two sides (two one-sided tests).
    """

    statement: str
    p_value: float


@dataclass(frozen=True)
class PhasePoint:
    """Place of a family on the phase diagram.

    Attributes:
        label: What the data say, see :class:`Label`.
        normalised: ``rho = p d / r``, for a law without an exponent of its mean slope; NaN for an infinitely smooth
            target.
        interval: 95 % interval of ``rho``.
        binding: The constraint that explains ``rho``: a term of the resource law that the interval reaches, or
            optimisation; None if none is known to bind.
        reasons: Why, in sentences.
        p_value: Of the claim that the label makes; NaN for a label that rests on no test.
        tests: All claims that were tested, whatever the label.
        p_holm: ``p_value`` adjusted for all families placed together (:func:`approxrates.phase.place_all`); NaN for a
            family placed alone.
        label_alone: The label before that; None for a family placed alone.
    """

    label: Label
    normalised: float
    interval: tuple[float, float]
    binding: Binding | None
    reasons: tuple[str, ...]
    p_value: float = math.nan
    tests: tuple[Claim, ...] = ()
    p_holm: float = math.nan
    label_alone: Label | None = None

    @property
    def decided(self) -> bool:
        """Whether the data decide on a label."""
        return self.label is not Label.UNDECIDED


@dataclass(frozen=True)
class Case:
    """What a label depends on; ``low`` and ``high`` are the ends of the interval of ``rho``."""

    rho: float
    low: float
    high: float
    rich: bool
    ceiling: float | None
    law: dict[Binding, float]
    exact: bool
    depth_exponent: float | None
    bits_exponent: float | None
    past_crossover: bool | None
    limited: bool
    trained: bool
    saturated: bool
    certified: bool | None
    asymptotic: bool | None
    integer: bool
    proven: float | None
