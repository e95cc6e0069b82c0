"""How far a network is from a target: sup norm as an enclosure, L2 norm by quadrature. See docs/errors.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from approxrates.approximant import Approximant
from approxrates.errors.base import UNIT, ApproximationError, Array, Ending, Method, Pieces, values_of
from approxrates.errors.bracket import Bracket, enclose, start_level
from approxrates.errors.breakpoints import pieces_of, pieces_of_linear
from approxrates.errors.exact import exact_error
from approxrates.errors.grid import make_grid, search_grid
from approxrates.errors.models import can_be_enclosed, shape_of
from approxrates.errors.quadrature import Rule, piece_rule, root_mean_square, shared_rule
from approxrates.errors.screening import errors_at, exact_errors_at, known_values
from approxrates.errors.search import Enclosed, default_budget, enclose_networks
from approxrates.network import Network
from approxrates.target import Target

__all__ = ["ApproximationError", "approximation_error", "approximation_errors"]

Function = Network | Approximant

_TOLERANCE = 4e-4
"""Relative width of the sup enclosure from break-points, however large ``gap`` is: ``lower`` is at least .9995 sup."""
_UNSEEN = 1e-6
"""Share of the sup error that rounding may leave open, for targets of less than C^2, before it is bounded sharply."""
_BATCH = 32
_OPEN = 6_000_000
"""Budgets of the networks that are searched at once, together: what their open cells take stays below 300 MB."""
_ASSUMED_ULPS = 8.0
"""Rounding of a target of which nothing is known, in ``u max|f|``: for estimates."""


def approximation_error(
    network: Function, target: Target, gap: float = 0.05, budget: int | None = None, *, certify: bool = True
) -> ApproximationError:
    """Sup and L2 distance of a network to a target on the unit cube.

    A piecewise-linear network in d = 1 is followed through all its break-points, and the sup is enclosed by branch and
    bound over b-adic cells. Other networks in d <= 3 are enclosed by branch and bound with quadratic models of network
    and target on each cell. Both are proofs where the target has what they need: a bound on its rounding and a proven
    interpolation gap (the first) or an enclosure (the second). Everything else is measured on a refined b-adic grid
    with endpoints and corners, uncertified. Data targets are measured on their points. Networks whose weights float64
    does not hold are never rounded to it: ReLU networks in d = 1 are proven interval by interval in exact arithmetic,
    others measured at points. See docs/errors.md.

    Args:
        network: One output, ``network.dim == target.dim``; or an ``Approximant``. Weights that are not finite give
            ``sup = (inf, inf)``.
        target: What it shall approximate.
        gap: Largest ``(upper - lower) / lower`` asked for. Break-points reach 4e-4 by themselves; a smaller gap is
            tried for. Grids give what they give.
        budget: Most target evaluations, bounds over cells counted like values; by default 200,000 (break-points),
            400,000 or 6,000,000 (branch and bound, d = 1 and 2; fewer for networks larger than width 8 and depth 8),
            16,384 or 131,072 (grid, d = 1 and d > 1), 65,536 or 32,768 points (exact weights, d = 1 and d > 1). If it
            is spent, the enclosure is wider.
        certify: False measures at points what only branch and bound, or the proof for exact weights, could prove: much
            faster, uncertified.

    Raises:
        ValueError: If dimensions differ, the network has several outputs, ``gap <= 0`` or ``budget < 1``.
        TypeError: If an argument is of the wrong kind.

    Example:
        >>> from approxrates.regularity import Regularity
        >>> from approxrates.constructions import construct
        >>> target = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(smoothness=2.0, dim=1), name="square")
        >>> error = approximation_error(construct("interpolation", target, cells=8), target)
        >>> f"{error.sup[0]:.6f}", f"{8**-2 / 4:.6f}", error.pieces, error.method
        ('0.003906', '0.003906', 8, 'break-points')
    """
    return approximation_errors([network], target, gap, budget, certify=certify)[0]


def approximation_errors(
    networks: Sequence[Function],
    target: Target,
    gap: float = 0.05,
    budget: int | None = None,
    *,
    certify: bool = True,
) -> list[ApproximationError]:
    """The same for many networks and one target, with its values on common points computed once.

    Args:
        networks: Networks as for :func:`approximation_error`; sizes and activations may differ.
        target: What they shall approximate.
        gap: As there.
        budget: As there, for each network.
        certify: As there.

    Returns:
        One result per network, in order: what :func:`approximation_error` gives.

    Raises:
        ValueError: As there.
        TypeError: As there.
    """
    networks = list(networks)
    _check(networks, target, gap, budget)
    if not isinstance(certify, bool):
        raise TypeError(f"certify must be True or False. Got {certify!r}. Write e.g. certify=False.")
    if target.samples is not None:
        return [_on_data(network, *target.samples) for network in networks]
    results: dict[int, ApproximationError] = {}
    bent: dict[int, Pieces] = {}
    shapes: dict[Any, list[int]] = {}
    rest: dict[int, int] = {}
    provable = certify and target.enclosure is not None and target.evaluation_error is not None and target.dim <= 3
    by_pieces = target.dim == 1 and not (provable and target.interpolation_gap is None)
    for i, network in enumerate(networks):
        if isinstance(network, Network) and not network.is_float:
            finite = network.is_finite  # float layers may stand beside exact ones
            results[i] = (
                exact_error(network, target, gap, budget, certify=certify) if finite else _infinite(network, target.dim)
            )
            continue
        pieces = _pieces(network, quick=not _by_pieces(target)) if by_pieces else None
        if not _is_finite(network) or (pieces is not None and not np.all(np.isfinite(pieces.values))):
            results[i] = _infinite(network, target.dim)
        elif pieces is not None:
            bent[i] = pieces
        elif provable and isinstance(network, Network) and can_be_enclosed(network):
            shapes.setdefault(shape_of(network), []).append(i)
        else:
            rest[i] = network.n_params
    for chunk in _chunks(rest):
        results |= dict(zip(chunk, _on_grid([networks[i] for i in chunk], target, budget), strict=True))
    for members in shapes.values():
        results |= _searched({i: networks[i] for i in members}, target, gap, budget)
    shared = _shared_rule(target) if bent and not _by_pieces(target) else None
    while bent:
        again: dict[int, Pieces] = {}
        for chunk in _chunks({i: start_level([pieces], max(2, target.base)) for i, pieces in bent.items()}):
            found = enclose([bent[i] for i in chunk], target, min(gap, _TOLERANCE), budget)
            for i, bracket in zip(chunk, found, strict=True):
                results[i] = _by_break_points(bent[i], bracket, target, gap, budget, shared)
                if bent[i].is_quick and not bent[i].rounding <= _UNSEEN * min(1.0, 20.0 * gap) * bracket.lower:
                    sharp = _pieces(networks[i], quick=False)
                    assert sharp is not None, "its break-points could be followed"
                    again[i] = sharp
        bent = again
    return [results[i] for i in range(len(networks))]


def _check(networks: Sequence[Function], target: Target, gap: float, budget: int | None) -> None:
    """Raise for arguments that do not fit together."""
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    for network in networks:
        if not isinstance(network, (Network, Approximant)):
            raise TypeError(
                f"network must be a Network or an Approximant. Got {type(network).__name__}. "
                "Write ar.Network.from_torch(...)."
            )
        if network.dim != target.dim:
            raise ValueError(f"network must take dim={target.dim} inputs like the target. Got dim={network.dim}.")
        if isinstance(network, Network) and network.n_outputs != 1:
            raise ValueError(
                f"network must have one output. Got n_outputs={network.n_outputs}. Keep one row of its last layer."
            )
    if isinstance(gap, bool) or not isinstance(gap, (int, float)):
        raise TypeError(f"gap must be a number. Got {gap!r}. Write e.g. gap=0.05.")
    if not gap > 0:
        raise ValueError(f"gap must be positive. Got gap={gap}. Write e.g. gap=0.05.")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
        raise TypeError(f"budget must be an integer or None. Got {budget!r}. Write e.g. budget=100_000.")
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be at least 1. Got budget={budget}. Write e.g. budget=100_000.")


def _chunks(sizes: dict[int, int]) -> Iterator[list[int]]:
    """Batches of bounded memory and one size each, so that no result depends on what else is measured."""
    for size in sorted(set(sizes.values())):
        members = [i for i, own in sizes.items() if own == size]
        for start in range(0, len(members), _BATCH):
            yield members[start : start + _BATCH]


def _is_finite(network: Function) -> bool:
    """Whether all weights and biases are."""
    return isinstance(network, Approximant) or all(np.all(np.isfinite(layer.parameters())) for layer in network.layers)


def _pieces(network: Function, *, quick: bool) -> Pieces | None:
    """A function in d = 1 by its linear pieces, if it has such and they can be followed."""
    if isinstance(network, Approximant):
        return None if network.linear_pieces is None else pieces_of_linear(*network.linear_pieces)
    return pieces_of(network, quick=quick) if network.is_piecewise_linear and _is_finite(network) else None


def _infinite(network: Function, dim: int) -> ApproximationError:
    """The result for a network that has diverged."""
    linear = isinstance(network, Network) and network.is_piecewise_linear
    method: Method = "break-points" if dim == 1 and linear else "grid"
    return ApproximationError((math.inf, math.inf), False, math.inf, (0.0,) * dim, method, None, 0)


def _on_data(network: Function, x: Array, y: Array) -> ApproximationError:
    """Largest and root-mean-square error on data points."""
    error = np.abs(y - values_of(network, x))
    error = np.where(np.isnan(error), math.inf, error)
    k, n = int(error.argmax()), len(y)
    largest, mean = float(error[k]), root_mean_square(error, np.full(n, 1.0 / n))
    return ApproximationError((largest, largest), False, mean, tuple(map(float, x[k])), "data", None, n, 0.0)


def _on_grid(networks: list[Function], target: Target, budget: int | None) -> list[ApproximationError]:
    """Results from the refined grid, for networks of one size."""
    grid = make_grid(target, networks[0].n_params, budget)
    rule, values = _shared_rule(target)
    results = []
    for network, found in zip(networks, search_grid(networks, target, grid), strict=True):
        # A rule by samples is good to 1 %; the others deserve all digits.
        measure = errors_at if rule.is_sampled else exact_errors_at
        error = measure(network, rule.points, values)
        lower, upper, where = found.lower, found.upper, found.where
        k = int(error.argmax())
        largest = float(exact_errors_at(network, rule.points[k : k + 1], values[k : k + 1])[0])
        if largest > lower:
            lower, where = largest, tuple(map(float, rule.points[k]))
        l2, l2_error = rule.norm(error)
        spent = found.n_evaluations + len(values)
        results.append(ApproximationError((lower, max(lower, upper)), False, l2, where, "grid", None, spent, l2_error))
    return results


def _searched(
    members: dict[int, Function], target: Target, gap: float, budget: int | None
) -> dict[int, ApproximationError]:
    """Results from branch and bound, for networks of one shape."""
    order = list(members)
    networks = [network for network in members.values() if isinstance(network, Network)]
    at_once = max(1, min(_BATCH, _OPEN // (default_budget(networks[0]) if budget is None else budget)))
    found: list[Enclosed] = []
    for start in range(0, len(networks), at_once):
        found += enclose_networks(networks[start : start + at_once], target, gap, budget)
    rule, values = _shared_rule(target)
    results = {}
    for i, network, enclosed in zip(order, networks, found, strict=True):
        error = np.abs(values - values_of(network, rule.points))
        l2, l2_error = rule.norm(np.where(np.isnan(error), math.inf, error))
        sup, spent = (enclosed.lower, enclosed.upper), enclosed.n_evaluations + len(values)
        certified = math.isfinite(enclosed.upper)
        results[i] = ApproximationError(
            sup, certified, l2, enclosed.where, "branch-and-bound", None, spent, l2_error, enclosed.ended_by
        )
    return results


def _by_pieces(target: Target) -> bool:
    """Whether the target is smooth enough for quadrature piece by piece."""
    return target.dim == 1 and target.regularity.smoothness >= 2.0


def _shared_rule(target: Target) -> tuple[Rule, Array]:
    """Nodes and target values that serve every network."""
    rule = shared_rule(target.dim, target.regularity.smoothness)
    return rule, known_values(target, rule.points, f"rule {len(rule.points)}")


def _by_break_points(
    pieces: Pieces,
    bracket: Bracket,
    target: Target,
    gap: float,
    budget: int | None,
    shared: tuple[Rule, Array] | None,
) -> ApproximationError:
    """The result from a bracket, rounding allowed for at both ends."""
    if shared is None:
        rule = piece_rule(pieces.t)
        values = target(rule.points)
    else:
        rule, values = shared
    difference = np.abs(values - pieces(rule.points[:, 0]))
    rounding = target.evaluation_error
    assumed = _ASSUMED_ULPS * UNIT * float(np.abs(values).max())
    allowance = pieces.rounding + (assumed if rounding is None else rounding) + _position_error(target)
    known = math.isfinite(allowance)
    lower, upper = (max(0.0, bracket.lower - allowance) if known else bracket.lower), bracket.upper + allowance
    certified = known and rounding is not None and target.interpolation_gap is not None
    (l2, l2_error), spent = rule.norm(difference, rounding=allowance), bracket.n_evaluations + len(values)
    ended: Ending = "resolution" if budget is None or bracket.n_evaluations < budget else "budget"
    if upper - lower <= gap * lower:
        ended = "gap"
    return ApproximationError(
        (lower, upper), certified, l2, (bracket.where,), "break-points", pieces.count, spent, l2_error, ended
    )


def _position_error(target: Target) -> float:
    """What rounded b-adic points do: nothing in a base 2^k, else the target's variation over one rounding."""
    gap: Any = target.interpolation_gap
    if gap is None or target.base & (target.base - 1) == 0:
        return 0.0
    return 4.0 * float(gap(int(52 * math.log(2) / math.log(target.base))))
