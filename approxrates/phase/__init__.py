"""Where a family of networks lies on the phase diagram, and what binds it.

A *family* is a target law, an activation, a size axis with its depth schedule, its precision and its samples: it is the
family that is a point on the diagram, never a single network. The vertical axis is the normalised rate
``rho = p d / r``.
"""

from __future__ import annotations

import math

import numpy as np

from approxrates import activations, theory
from approxrates.phase.base import (
    CAUSES,
    COUNTINGS,
    EQUIVALENCE,
    LEVEL,
    NORMS,
    TOLERANCE,
    Binding,
    Case,
    Claim,
    Label,
    PhasePoint,
)
from approxrates.phase.claims import claims, p_value_of
from approxrates.phase.labels import binding_of, label_of, remarks_on, without_exponent
from approxrates.phase.several import holm, place_all
from approxrates.rates import Rate
from approxrates.regularity import Regularity

__all__ = [
    "CAUSES",
    "COUNTINGS",
    "EQUIVALENCE",
    "LEVEL",
    "NORMS",
    "TOLERANCE",
    "Binding",
    "Claim",
    "Label",
    "PhasePoint",
    "holm",
    "place",
    "place_all",
]


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
    certified: bool | None = None,
    proven_rate: float | None = None,
) -> PhasePoint:
    """Place of a family on the phase diagram.

    A label is given only if the whole interval of ``rho`` allows no other; otherwise the family is UNDECIDED. That is a
    one-sided test at 2.5 % of each statement, and the p-values are in ``tests``. Families that are looked at together
    go through :func:`place_all` afterwards.

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
        certified: Whether the errors are proved, not sampled; None if unknown.
        proven_rate: Rate ``p`` that the construction's own error and count laws prove; a steeper slope over the sizes
            measured is then no alarm, but terms of lower order.

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
    case = Case(
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
        certified=certified,
        asymptotic=rate.asymptotic,
        integer=regularity.is_finite and regularity.smoothness == round(regularity.smoothness),
        proven=None if proven_rate is None else _normalised(proven_rate, regularity),
    )
    powerless = rate.model == "stretched-exponential"
    excuse = _outside_the_diagram(rate, regularity, norm, counting)
    if excuse is None and powerless:
        excuse = without_exponent(case, activation, "periodic" in _families(activation), rate.gamma_interval)
    label, reasons = excuse if excuse else label_of(case, activation)
    binding = None if excuse else binding_of(case, label)
    tests = () if powerless else claims(rate, regularity, case.ceiling)
    p_value = math.nan if excuse else p_value_of(label, case, tests)
    reasons = [*reasons, *remarks_on(regularity, norm, rate, optimisation_limited)]
    return PhasePoint(label, case.rho, (case.low, case.high), binding, tuple(reasons), p_value, tests)


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
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating))
        ):
            raise TypeError(f"{name} must be a number, or None. Got {value!r}. Write e.g. {name}=1.0.")
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


def _outside_the_diagram(
    rate: Rate, regularity: Regularity, norm: str, counting: str
) -> tuple[Label, list[str]] | None:
    """Label and reasons where there is no place to look for, else None."""
    if norm == "sup" and not regularity.is_continuous:
        jump = "The target jumps: no sequence of continuous networks converges to it in the sup norm. Use norm='l2'."
        return Label.UNDECIDED, [jump]
    if rate.verdict != "determined" and rate.model != "stretched-exponential":
        return Label.UNDECIDED, ["The rate is undetermined.", *rate.reasons]
    if counting not in ("n_params", "n_params_dense"):
        return Label.UNDECIDED, [f"The diagram counts weights, and these sizes count {counting}."]
    if not regularity.is_finite:
        return Label.EASY_TARGET, ["The target is infinitely smooth: there is no r/d to measure the rate by."]
    return None
