"""Families placed together: labels that survive the number of tests."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from approxrates.phase.base import LEVEL, Label, PhasePoint


def place_all(points: Sequence[PhasePoint]) -> list[PhasePoint]:
    """Places of families that are looked at together: labels that do not survive Holm's correction are UNDECIDED.

    Of many families some get a label by chance. Holm's step-down procedure keeps the chance of one wrong label or more
    below 5 % over all of them, 2.5 % for each side. Whatever the dependence this is proved for claims of which each
    family can make one; that a family may err to either side is covered for independent families (Shaffer 1980,
    recalled). Every family with tests counts, labelled or not: those without a label were tested too. Labels that rest
    on no test (infinite smoothness, laws without an exponent) are left as they are and do not count.

    Args:
        points: Places of single families, as of :func:`approxrates.phase.place`.

    Returns:
        The same points, in order, with ``p_holm`` and ``label_alone``.

    Raises:
        TypeError: If it is no list, or an element is no place.

    Example:
        >>> from approxrates.phase import Label, PhasePoint, place_all
        >>> def one(p):
        ...     return PhasePoint(Label.CLASSICAL, 1.0, (0.95, 1.05), None, (), p_value=p)
        >>> [(str(q.label), round(q.p_holm, 3)) for q in place_all([one(0.02), one(0.001)])]
        [('CLASSICAL', 0.02), ('CLASSICAL', 0.002)]
        >>> [str(q.label) for q in place_all([one(0.02), one(0.02)])]
        ['UNDECIDED', 'UNDECIDED']

    Reference:
        Holm (1979), Scand. J. Statist. 6, 65-70; Shaffer (1980), Ann. Statist. 8, 1342-1347 (directions).
    """
    if not isinstance(points, Sequence):
        raise TypeError(
            f"points must be a list of PhasePoints. Got {type(points).__name__}. Write [place(...), place(...)]."
        )
    for point in points:
        if not isinstance(point, PhasePoint):
            raise TypeError(f"points must be PhasePoints. Got {type(point).__name__}. Write [place(...), place(...)].")
    tested = [i for i, point in enumerate(points) if point.tests or math.isfinite(point.p_value)]
    values = [_evidence(points[i]) for i in tested]
    adjusted = dict(zip(tested, holm(values), strict=True))
    return [_together(point, adjusted.get(i), len(tested)) for i, point in enumerate(points)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of Holm's procedure, in the order given.

    Reference:
        Holm (1979), Scand. J. Statist. 6, 65-70.
    """
    n, running = len(p_values), 0.0
    adjusted = [1.0] * n
    for rank, i in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (n - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def _evidence(point: PhasePoint) -> float:
    """P-value of the claim of a label; 1 where none is made."""
    alone = point.label_alone or point.label
    return 1.0 if alone is Label.UNDECIDED or math.isnan(point.p_value) else point.p_value


def _together(point: PhasePoint, adjusted: float | None, n_families: int) -> PhasePoint:
    """One place after the correction."""
    alone = point.label_alone or point.label
    if adjusted is None or alone is Label.UNDECIDED or math.isnan(point.p_value):
        return dataclasses.replace(point, label=alone, label_alone=alone)
    if adjusted < LEVEL:
        return dataclasses.replace(point, label=alone, label_alone=alone, p_holm=adjusted)
    reason = (
        f"Alone the family would be {alone} (p-value {point.p_value:.2g}); of {n_families} families placed together "
        f"the p-value is {adjusted:.2g} (Holm), not below {LEVEL:g}."
    )
    reasons = (reason, *(r for r in point.reasons if not r.startswith("Alone the family would be")))
    binding = point.binding if point.binding == "optimisation" else None
    return dataclasses.replace(
        point, label=Label.UNDECIDED, label_alone=alone, p_holm=adjusted, reasons=reasons, binding=binding
    )
