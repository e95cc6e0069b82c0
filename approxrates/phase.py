"""Where a family of networks lies on the phase diagram, and what binds it.

A *family* is a target law, an activation, a size axis with its depth schedule, its precision and its samples: it is the
family that is a point on the diagram, never a single network. The vertical axis is the normalised rate
``rho = p d / r``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from approxrates import activations, theory
from approxrates.rates import Rate
from approxrates.regularity import Regularity

Binding = Literal["depth", "bits", "samples", "optimisation"]

EQUIVALENCE = 0.1
"""CLASSICAL means that the whole interval lies within this of ``rho = 1``."""
TOLERANCE = 0.1
"""Slack for constants and logarithms at the ceiling and at the terms of the resource law."""
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
class PhasePoint:
    """Place of a family on the phase diagram.

    Attributes:
        label: What the data say, see :class:`Label`.
        normalised: ``rho = p d / r``; NaN for an infinitely smooth target.
        interval: 95 % interval of ``rho``.
        binding: The constraint that explains ``rho``: a term of the resource law that the interval reaches, or
            optimisation; None if none is known to bind.
        reasons: Why, in sentences.
    """

    label: Label
    normalised: float
    interval: tuple[float, float]
    binding: Binding | None
    reasons: tuple[str, ...]

    @property
    def decided(self) -> bool:
        """Whether the data decide on a label."""
        return self.label is not Label.UNDECIDED


def place(
    rate: Rate,
    regularity: Regularity,
    activation: str = "relu",
    depth_exponent: float | None = None,
    *,
    exact_weights: bool = False,
    optimisation_limited: bool = False,
    norm: str = "sup",
    counting: str = "n_params",
    bits_exponent: float | None = None,
    sample_exponent: float | None = None,
    past_crossover: bool | None = None,
    trained: bool = True,
    saturation: float | None = None,
) -> PhasePoint:
    """Place of a family on the phase diagram.

    A label is given only if the whole interval of ``rho`` allows no other; otherwise the family is UNDECIDED.

    Args:
        rate: Fitted exponent of the family, in ``norm``, by ``counting``.
        regularity: What is known about the target law; ``information_rich`` decides whether lower bounds apply.
        activation: Name of the activation; periodic and smooth ones have no ceiling.
        depth_exponent: ``a = d log(depth) / d log(n_params)`` along the family; None if unknown.
        exact_weights: The weights are exact numbers of any length, not floating-point numbers.
        optimisation_limited: Some sizes are known to be limited by optimisation.
        norm: ``"sup"`` or ``"l2"``.
        counting: What sizes count; the diagram counts ``"n_params"`` or ``"n_params_dense"``.
        bits_exponent: ``beta = d log(bits per weight) / d log(n_params)``; 0 for floating-point weights.
        sample_exponent: ``sigma = d log(samples) / d log(n_params)``; None if unknown, or for an encoder.
        past_crossover: Whether the sizes are past the point where the construction beats a linear spline of equal size.
        trained: The networks were trained; False for constructed ones, which optimisation cannot hold back.
        saturation: Rate ``p`` that the architecture cannot pass however smooth the target, e.g. 2H for H ReLU layers.

    Raises:
        TypeError: If ``rate`` or ``regularity`` is of another kind.
        ValueError: For an unknown activation, norm or counting, or a negative exponent.

    Example:
        >>> from approxrates.rates import fit_rate
        >>> sizes = [64, 128, 256, 512, 1024]
        >>> law = Regularity(smoothness=0.5, dim=1, information_rich=True)
        >>> point = place(fit_rate(sizes, [w**-0.5 for w in sizes]), law, depth_exponent=1.0)
        >>> str(point.label), round(point.normalised, 3), point.binding
        ('CLASSICAL', 1.0, 'bits')

    Reference:
        Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477; the resource law is derived in ``docs/theory.md``.
    """
    _check(rate, regularity, norm, counting)
    case = _Case(
        rho=_normalised(rate.value, regularity),
        low=_normalised(rate.interval[0], regularity),
        high=_normalised(rate.interval[1], regularity),
        rich=regularity.information_rich,
        ceiling=theory.ceiling(*_families(activation)),
        law=_law(activation, depth_exponent, exact_weights, bits_exponent, sample_exponent),
        exact=exact_weights,
        depth_exponent=depth_exponent,
        bits_exponent=bits_exponent,
        past_crossover=past_crossover,
        limited=optimisation_limited,
        trained=trained,
        saturated=saturation is not None and _reaches(rate, saturation, regularity),
    )
    excuse = _outside_the_diagram(rate, regularity, counting)
    label, reasons = excuse if excuse else _label(case, activation)
    binding = None if excuse else _binding(case, label)
    remarks = _remarks(regularity, norm, rate, optimisation_limited)
    return PhasePoint(label, case.rho, (case.low, case.high), binding, (*reasons, *remarks))


@dataclass(frozen=True)
class _Case:
    """What a label depends on."""

    rho: float
    low: float
    high: float
    rich: bool
    ceiling: float | None
    law: dict[Binding, float]  # terms of the resource law
    exact: bool
    depth_exponent: float | None
    bits_exponent: float | None
    past_crossover: bool | None
    limited: bool
    trained: bool
    saturated: bool


def _check(rate: Rate, regularity: Regularity, norm: str, counting: str) -> None:
    """Kinds and names."""
    if not isinstance(rate, Rate):
        raise TypeError(f"rate must be a Rate. Got {type(rate).__name__}. Write place(fit_rate(...), ...).")
    if not isinstance(regularity, Regularity):
        raise TypeError(f"regularity must be a Regularity. Got {type(regularity).__name__}. Write target.regularity.")
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}. Got {norm!r}.")
    if counting not in COUNTINGS:
        raise ValueError(f"counting must be one of {', '.join(COUNTINGS)}. Got {counting!r}.")


def _normalised(value: float, regularity: Regularity) -> float:
    """``p d / r``; NaN for an infinitely smooth target."""
    return value * regularity.dim / regularity.smoothness if regularity.is_finite else math.nan


def _reaches(rate: Rate, saturation: float, regularity: Regularity) -> bool:
    """Whether a rate is held back by the most that the architecture allows: near it, and this less than ``r/d``."""
    classical = theory.classical_rate(regularity) if regularity.is_finite else math.inf
    return saturation < classical and rate.interval[1] > (1 - EQUIVALENCE) * saturation


def _families(activation: str) -> list[str]:
    """Families of the units of an activation; with a period, pieces are unbounded in number: periodic."""
    whole = activations.get(activation)
    units = whole.parts or (whole,)
    return ["periodic" if unit.period is not None else str(unit.family) for unit in units]


def _law(
    activation: str, depth: float | None, exact: bool, bits: float | None, samples: float | None
) -> dict[Binding, float]:
    """Known terms of the resource law; weights that are not exact have bounded precision."""
    for name, value in (("depth_exponent", depth), ("bits_exponent", bits), ("sample_exponent", samples)):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, or None. Got {name}={value}. Write e.g. {name}=1.0.")
    terms: dict[Binding, float] = {}
    if depth is not None:
        terms["depth"] = theory.depth_term(max(0.0, depth), *_families(activation))
    if bits is not None or not exact:
        terms["bits"] = 1 + max(0.0, bits or 0.0)
    if samples is not None:
        terms["samples"] = samples
    return terms


def _outside_the_diagram(rate: Rate, regularity: Regularity, counting: str) -> tuple[Label, list[str]] | None:
    """Label and reasons where there is no place to look for, else None."""
    if rate.verdict != "determined":
        return Label.UNDECIDED, ["The rate is undetermined.", *rate.reasons]
    if counting not in ("n_params", "n_params_dense"):
        return Label.UNDECIDED, [f"The diagram counts weights, and these sizes count {counting}."]
    if not regularity.is_finite:
        return Label.EASY_TARGET, ["The target is infinitely smooth: there is no r/d to measure the rate by."]
    return None


def _label(case: _Case, activation: str) -> tuple[Label, list[str]]:
    """Label of a determined rate on a target of finite smoothness, and why."""
    span = f"rho = {case.rho:.3f} [{case.low:.3f}, {case.high:.3f}]"
    if case.low > 1 - EQUIVALENCE and case.high < 1 + EQUIVALENCE:
        return Label.CLASSICAL, [f"{span} lies within {EQUIVALENCE:g} of 1."]
    if case.high < 1 - EQUIVALENCE:
        return Label.BELOW_CLASSICAL, [f"{span} lies below {1 - EQUIVALENCE:g}.", _what_holds_back(case)]
    if case.low <= 1:
        return Label.UNDECIDED, [f"{span} straddles a boundary. Add target draws, sizes or seeds."]
    if not case.rich:
        easy = "The target is not declared information-rich: rho > 1 proves nothing."
        return Label.EASY_TARGET, [f"{span} lies above 1.", easy]
    if case.ceiling is not None and case.low > case.ceiling:
        return Label.ALARM, [f"{span} lies above {case.ceiling:g}, the ceiling for {activation}.", *CAUSES]
    broken = _broken(case)
    if broken:
        law = (
            "the terms of the resource law are necessary: one of the numbers given is wrong, or the range is too short."
        )
        return Label.UNDECIDED, [f"{span} exceeds {', '.join(broken)}; {law}"]
    if not case.exact or case.bits_exponent == 0:
        window = "With a bounded number of bits per weight rho > 1 cannot last: at least eps^(-d/r) bits are needed."
        return Label.TRANSIENT, [f"{span} lies above 1.", window]
    return _deep(case, span)


def _broken(case: _Case) -> list[str]:
    """Terms of the resource law that the interval of rho exceeds, with their values.

    Weights of bounded precision are left to the label TRANSIENT: their term holds for large sizes only.
    """
    return [
        f"the {name} term {bound:.2f}"
        for name, bound in case.law.items()
        if case.low > bound + TOLERANCE and (name != "bits" or (case.exact and case.bits_exponent != 0))
    ]


def _deep(case: _Case, span: str) -> tuple[Label, list[str]]:
    """DEEP if everything that belongs to it is given, else UNDECIDED."""
    lacking = []
    if case.ceiling is not None and case.high > case.ceiling + TOLERANCE:
        lacking.append(f"{span} reaches beyond the ceiling {case.ceiling:g}.")
    if case.ceiling is not None and case.depth_exponent is None:
        lacking.append("The depth exponent is not known. Give depth_exponent.")
    elif case.ceiling is not None and case.depth_exponent is not None and case.depth_exponent <= 0:
        lacking.append("The depth does not grow with the size, so the resource law allows no rho > 1: a finite window?")
    if case.bits_exponent is None:
        lacking.append("The growth of the bits per weight is not known. Give bits_exponent.")
    if case.past_crossover is None:
        lacking.append(
            "Whether the sizes are past the crossover with linear splines is not known. Give past_crossover."
        )
    elif not case.past_crossover:
        lacking.append("The sizes are before the crossover: a linear spline of equal size is still better.")
    if lacking:
        return Label.UNDECIDED, [f"{span} lies above 1.", *lacking]
    return Label.DEEP, [f"{span} lies above 1 with exact weights, growing depth and growing bits per weight."]


def _what_holds_back(case: _Case) -> str:
    """The likely cause of a rate below the classical one."""
    if case.saturated:
        return "The architecture saturates: however smooth the target, its rate cannot grow beyond about this."
    if not case.trained:
        return (
            "The networks are constructed, not trained: the construction is not of this order, or the sizes are small."
        )
    if case.limited:
        return "Longer training lowers the error at some sizes: optimisation holds the family back."
    samples = case.law.get("samples", math.inf)
    if samples < 1:
        return f"The samples grow like W^{samples:g} only, which allows no more than rho = {samples:g}."
    return "Optimisation or samples are the likely causes: train longer, and with more samples, at some sizes."


def _binding(case: _Case, label: Label) -> Binding | None:
    """Optimisation if it is known to limit a rate below the law; else the smallest term, if the interval reaches it."""
    bound = min(case.law.values(), default=math.inf)
    if case.saturated:
        return "depth"
    if case.limited and case.low < bound:
        return "optimisation"
    if not case.rich or label is Label.UNDECIDED or not case.low - TOLERANCE <= bound <= case.high + TOLERANCE:
        return None
    return min(case.law, key=lambda name: case.law[name])


def _remarks(regularity: Regularity, norm: str, rate: Rate, limited: bool) -> list[str]:
    """What to keep in mind with any label."""
    remarks = []
    if limited:
        remarks.append("Some sizes are limited by optimisation: the rate describes the training, not the networks.")
    if regularity.is_finite and regularity.smoothness == round(regularity.smoothness):
        remarks.append("Integer smoothness: Lipschitz and Zygmund classes differ by logarithms, which bend the rate.")
    if norm != "sup":
        remarks.append("The diagram is proved in the sup norm; in L2 the lower bounds have other proofs (Siegel 2023).")
    if rate.log_power:
        remarks.append(f"The rate is fitted with a given log power of {rate.log_power:g}.")
    return remarks
