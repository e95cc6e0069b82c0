"""Tests about the normalised rate: one-sided against a boundary, and of equivalence to the theoretical rates."""

from __future__ import annotations

import math

from approxrates import theory
from approxrates.phase.base import EQUIVALENCE, TOLERANCE, Case, Claim, Label
from approxrates.rates import Rate
from approxrates.regularity import Regularity


def claims(rate: Rate, regularity: Regularity, ceiling: float | None) -> tuple[Claim, ...]:
    """All claims about ``rho`` that a label may make, with p-values; none without a rate or a classical rate.

    Equivalence to the classical rate and to twice that is tested by two one-sided tests, to within a tenth of either
    (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657-680).
    """
    if not (regularity.is_finite and math.isfinite(rate.value)):
        return ()
    unit = theory.classical_rate(regularity)

    def above(rho: float) -> float:
        return rate.p_value(rho * unit, "above")

    def below(rho: float) -> float:
        return rate.p_value(rho * unit, "below")

    found = [
        Claim(_BELOW, below(1 - EQUIVALENCE)),
        *(Claim(near(c), max(above(c * (1 - EQUIVALENCE)), below(c * (1 + EQUIVALENCE)))) for c in (1.0, 2.0)),
        Claim(_ABOVE, above(1.0)),
    ]
    if ceiling is not None:
        found.append(Claim(beyond(ceiling), above(ceiling)))
        found.append(Claim(within(ceiling), below(ceiling + TOLERANCE)))
    return tuple(found)


def near(centre: float) -> str:
    """Name of the equivalence to a boundary."""
    return f"|rho - {centre:g}| < {EQUIVALENCE * centre:g}"


def beyond(ceiling: float) -> str:
    """Name of the claim that the ceiling is exceeded."""
    return f"rho > {ceiling:g} (ceiling)"


def within(ceiling: float) -> str:
    """Name of the claim that the ceiling is kept, up to constants and logarithms."""
    return f"rho < {ceiling + TOLERANCE:g} (ceiling and slack)"


_BELOW, _ABOVE = f"rho < {1 - EQUIVALENCE:g}", "rho > 1"


def p_value_of(label: Label, case: Case, tests: tuple[Claim, ...]) -> float:
    """P-value of what a label says; of several statements the largest. NaN if it rests on no test."""
    ceiling = case.ceiling
    stated = {
        Label.CLASSICAL: [near(1.0)],
        Label.BELOW_CLASSICAL: [_BELOW],
        Label.EASY_TARGET: [_ABOVE],
        Label.TRANSIENT: [_ABOVE],
        Label.DEEP: [_ABOVE] if ceiling is None else [_ABOVE, within(ceiling)],
        Label.ALARM: [] if ceiling is None else [beyond(ceiling)],
        Label.UNDECIDED: [],
    }[label]
    known = {claim.statement: claim.p_value for claim in tests}
    return max((known.get(s, math.nan) for s in stated), default=math.nan)
