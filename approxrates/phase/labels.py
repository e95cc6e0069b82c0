"""From the interval of the normalised rate, and what else is known, to a label with reasons."""

from __future__ import annotations

import math

from approxrates.phase.base import CAUSES, EQUIVALENCE, TOLERANCE, Binding, Case, Label
from approxrates.rates import Rate
from approxrates.regularity import Regularity


def label_of(case: Case, activation: str) -> tuple[Label, list[str]]:
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
    if case.ceiling is not None and case.low > case.ceiling and case.proven is not None and case.proven <= case.ceiling:
        steep = f"{span} is steeper than the proven law rho = {case.proven:.3g} of this construction."
        return Label.UNDECIDED, [steep, "Terms of lower order of its count are still melting. Add larger sizes."]
    if case.ceiling is not None and case.low > case.ceiling:
        beyond = f"{span} lies above {case.ceiling:g}, the ceiling for {activation}."
        return Label.ALARM, [beyond, *CAUSES, *_known_causes(case)]
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


def _known_causes(case: Case) -> list[str]:
    """What is known already of the causes of an alarm."""
    known = []
    if case.certified is not None:
        known.append(
            "Known: every error is certified, so a sampled maximum is not the cause."
            if case.certified
            else "Known: not every error is certified, the likeliest cause."
        )
    if case.asymptotic is not None:
        known.append(
            "Known: the local slope shows no drift over the sizes used."
            if case.asymptotic
            else "Known: the sizes are not in the asymptotic range, a likely cause."
        )
    if case.integer:
        known.append("Known: r is an integer, where logarithms between the classes bend the rate.")
    return known


def without_exponent(
    case: Case, activation: str, periodic: bool, gamma: tuple[float, float]
) -> tuple[Label, list[str]]:
    """Label of a law that falls faster than every power, and why. It makes no statement about ``rho``, so no test."""
    law = f"The errors follow exp(-c W^gamma), gamma in [{gamma[0]:.2f}, {gamma[1]:.2f}]: faster than every power."
    if not case.rich:
        return Label.EASY_TARGET, [law, "The target is not declared information-rich: this proves nothing."]
    if not periodic:
        bound = f"for {activation} no such law can last on an information-rich target"
        return Label.UNDECIDED, [f"{law} But {bound}: a finite range, or a flaw.", *CAUSES, *_known_causes(case)]
    law += " A periodic activation allows that."
    if not case.exact or case.bits_exponent == 0:
        window = "With a bounded number of bits per weight it cannot last: at least eps^(-d/r) bits are needed."
        return Label.TRANSIENT, [law, window]
    if not case.past_crossover:
        return Label.UNDECIDED, [law, _CROSSOVER if case.past_crossover is None else _BEFORE]
    return Label.DEEP, [law, "The weights are exact; no rate 2r/d bounds it."]


_CROSSOVER = "Whether the sizes are past the crossover with linear splines is not known. Give past_crossover."
_BEFORE = "The sizes are before the crossover: a linear spline of equal size is still better."


def _broken(case: Case) -> list[str]:
    """Terms of the resource law that the interval of rho exceeds, with their values.

    Weights of bounded precision are left to the label TRANSIENT: their term holds for large sizes only.
    """
    return [
        f"the {name} term {bound:.2f}"
        for name, bound in case.law.items()
        if case.low > bound + TOLERANCE and (name != "bits" or (case.exact and case.bits_exponent != 0))
    ]


def _deep(case: Case, span: str) -> tuple[Label, list[str]]:
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
        lacking.append(_CROSSOVER)
    elif not case.past_crossover:
        lacking.append(_BEFORE)
    if lacking:
        return Label.UNDECIDED, [f"{span} lies above 1.", *lacking]
    return Label.DEEP, [f"{span} lies above 1 with exact weights, growing depth and growing bits per weight."]


def _what_holds_back(case: Case) -> str:
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


_FIRST: tuple[Binding, ...] = ("samples", "depth", "bits")
"""Which of equal terms is named. Of a fit on ``m ~ W`` samples with floating-point weights both terms are 1, and
samples bind: a few per weight are seen, while every weight has room for 64 signs."""


def binding_of(case: Case, label: Label) -> Binding | None:
    """Optimisation if it is known to limit a rate below the law; else the smallest term, if the interval reaches it.

    Nothing binds a rate that no network can have.
    """
    if label is Label.ALARM:
        return None
    bound = min(case.law.values(), default=math.inf)
    if case.saturated:
        return "depth"
    if case.limited and case.low < bound:
        return "optimisation"
    if not case.rich or label is Label.UNDECIDED or not case.low - TOLERANCE <= bound <= case.high + TOLERANCE:
        return None
    return next(name for name in _FIRST if case.law.get(name, math.inf) <= bound + TOLERANCE)


def remarks_on(regularity: Regularity, norm: str, rate: Rate, limited: bool) -> list[str]:
    """What to keep in mind with any label."""
    remarks = []
    if limited:
        remarks.append("Some sizes are limited by optimisation: the rate describes the training, not the networks.")
    if regularity.kind in ("holder-log", "lipschitz-log", "zygmund"):
        remarks.append("The class differs from Hölder's by a logarithm, which bends the rate.")
    elif regularity.is_finite and regularity.smoothness == round(regularity.smoothness):
        remarks.append("Integer smoothness: Lipschitz and Zygmund classes differ by logarithms, which bend the rate.")
    if norm != "sup":
        remarks.append("The diagram is proved in the sup norm; in L2 the lower bounds have other proofs (Siegel 2023).")
    if rate.log_power:
        remarks.append(f"The rate is fitted with a given log power of {rate.log_power:g}.")
    return remarks
