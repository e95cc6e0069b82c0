"""Errors of networks with exact dyadic weights: proofs interval by interval, or values at many points.

See docs/errors.md, "Networks with exact weights".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from approxrates.errors.base import ApproximationError, Ending
from approxrates.errors.exact.measure import Measured, measure, snapped, values_and_radius
from approxrates.errors.exact.prepared import can_be_followed
from approxrates.errors.exact.proof import Proof, prove
from approxrates.errors.quadrature import Rule, shared_rule
from approxrates.network import Network
from approxrates.target import Target

__all__ = ["Measured", "Proof", "can_be_followed", "exact_error", "measure", "prove"]

_TOLERANCE = 4e-4


def exact_error(
    network: Network, target: Target, gap: float, budget: int | None, *, certify: bool
) -> ApproximationError:
    """The result for a network whose weights floats do not hold.

    ReLU networks in d = 1 are proven interval by interval (``method="exact-pieces"``) if ``certify``; all others, and
    all with ``certify=False``, are measured at points where their values are exact up to a proven radius
    (``"exact-grid"``). Where the proof leaves something out, ``share < 1``, ``certified`` is False, and the upper end
    is the largest of the bound on the covered share, what was measured, and the bound that the construction states of
    itself (``provenance["bound"]``).
    """
    if certify and can_be_followed(network):
        return _proven(network, target, gap, budget)
    found = measure(network, target, budget)
    rule = _snapped_rule(target)
    g, off = values_and_radius(network, rule.points)
    l2, l2_error = rule.norm(np.abs(target(rule.points) - g), rounding=off)
    upper = max(found.largest, stated_bound(network))
    spent = found.n_evaluations + len(rule.points)
    sup = (min(found.lower, upper), upper)
    return ApproximationError(sup, False, l2, found.where, "exact-grid", None, spent, l2_error, None, 0.0)


def stated_bound(network: Network) -> float:
    """The bound that a construction states of its own error, 0 if it states none."""
    value: Any = network.provenance.get("bound")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0.0


def _proven(network: Network, target: Target, gap: float, budget: int | None) -> ApproximationError:
    """The result of a proof."""
    proof = prove(network, target, min(gap, _TOLERANCE), budget)
    rule = shared_rule(1, target.regularity.smoothness)
    difference = np.abs(target(rule.points) - proof.pieces(rule.points[:, 0]))
    l2, l2_error = rule.norm(difference, rounding=proof.pieces.rounding)
    certified = proof.share == 1.0
    upper = proof.upper if certified else max(proof.upper, proof.lower, stated_bound(network))
    wide = upper - proof.lower > gap * proof.lower
    ended: Ending = (
        "gap" if not wide else "budget" if budget is not None and proof.n_evaluations >= budget else "resolution"
    )
    spent = proof.n_evaluations + len(rule.points)
    return ApproximationError(
        (proof.lower, upper), certified, l2, (proof.where,), "exact-pieces", None, spent, l2_error, ended, proof.share
    )


def _snapped_rule(target: Target) -> Rule:
    """The shared nodes, moved to points that float64 and the network both hold exactly."""
    rule = shared_rule(target.dim, target.regularity.smoothness)
    return Rule(snapped(rule.points), rule.weights, rule.check_weights, rule.n_cells)
