"""How far a network is from a target: sup norm as an enclosure, L2 norm by quadrature. See docs/errors.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from approxrates.arithmetic import evaluate_float64
from approxrates.errors.base import UNIT, ApproximationError, Array, Method, Pieces
from approxrates.errors.bracket import Bracket, enclose, start_level
from approxrates.errors.breakpoints import pieces_of
from approxrates.errors.grid import make_grid, search
from approxrates.errors.quadrature import Rule, piece_rule, root_mean_square, shared_rule
from approxrates.network import Network
from approxrates.target import Target

__all__ = ["ApproximationError", "approximation_error", "approximation_errors"]

_TOLERANCE = 4e-4
"""Relative width of the sup enclosure from break-points, however large ``gap`` is: ``lower`` is at least .9995 sup."""
_BATCH = 32


def approximation_error(
    network: Network, target: Target, gap: float = 0.05, budget: int | None = None, *, certify: bool = True
) -> ApproximationError:
    """Sup and L2 distance of a network to a target on the unit cube.

    A piecewise-linear network in d = 1 is followed through all its break-points, and the sup is enclosed by branch and
    bound over b-adic cells, certified if the target has a proven interpolation gap: up to the target's own float64
    evaluation, taken as good to ``target.evaluation_ulps`` times ``u max|f|``, and to first order in the unit round-off
    ``u``. Everything else is measured on a refined b-adic grid with endpoints and corners, uncertified. Data targets
    are measured on their points.

    Args:
        network: One output, ``network.dim == target.dim``. Weights that are not finite give ``sup = (inf, inf)``.
        target: What it shall approximate.
        gap: Largest ``(upper - lower) / lower`` asked for. Break-points reach 4e-4 by themselves; a smaller gap is
            tried for. Grids give what they give.
        budget: Most target evaluations; by default 200,000 (break-points), 16,384 (grid, d = 1) or 131,072 (grid, d >
            1). If it is spent, the enclosure is wider.

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
    networks: Sequence[Network],
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

    Returns:
        One result per network, in order: what :func:`approximation_error` gives.

    Raises:
        ValueError: As there.
        TypeError: As there.
    """
    networks = list(networks)
    _check(networks, target, gap, budget)
    if target.samples is not None:
        return [_on_data(network, *target.samples) for network in networks]
    results: dict[int, ApproximationError] = {}
    bent: dict[int, Pieces] = {}
    for i, network in enumerate(networks):
        if not _is_finite(network):
            results[i] = _infinite(network, target.dim)
        elif target.dim == 1 and network.is_piecewise_linear:
            pieces = pieces_of(network)
            if pieces is not None and not np.all(np.isfinite(pieces.values)):
                results[i] = _infinite(network, 1)
            elif pieces is not None:
                bent[i] = pieces
    unbent = [i for i in range(len(networks)) if i not in bent and i not in results]
    for chunk in _chunks({i: networks[i].n_params for i in unbent}):
        results |= dict(zip(chunk, _on_grid([networks[i] for i in chunk], target, budget), strict=True))
    shared = _shared_rule(target) if bent and not _by_pieces(target) else None
    for chunk in _chunks({i: start_level([pieces], max(2, target.base)) for i, pieces in bent.items()}):
        found = enclose([bent[i] for i in chunk], target, min(gap, _TOLERANCE), budget)
        for i, bracket in zip(chunk, found, strict=True):
            results[i] = _by_break_points(bent[i], bracket, target, shared)
    return [results[i] for i in range(len(networks))]


def _check(networks: Sequence[Network], target: Target, gap: float, budget: int | None) -> None:
    """Raise for arguments that do not fit together."""
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    for network in networks:
        if not isinstance(network, Network):
            raise TypeError(
                f"network must be a Network. Got {type(network).__name__}. Write ar.Network.from_torch(...)."
            )
        if network.dim != target.dim:
            raise ValueError(f"network must take dim={target.dim} inputs like the target. Got dim={network.dim}.")
        if network.n_outputs != 1:
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


def _is_finite(network: Network) -> bool:
    """Whether all weights and biases are."""
    return all(np.all(np.isfinite(layer.parameters())) for layer in network.layers)


def _infinite(network: Network, dim: int) -> ApproximationError:
    """The result for a network that has diverged."""
    method: Method = "break-points" if dim == 1 and network.is_piecewise_linear else "grid"
    return ApproximationError((math.inf, math.inf), False, math.inf, (0.0,) * dim, method, None, 0)


def _on_data(network: Network, x: Array, y: Array) -> ApproximationError:
    """Largest and root-mean-square error on data points."""
    error = np.abs(y - evaluate_float64(network.layers, x)[:, 0])
    error = np.where(np.isnan(error), math.inf, error)
    k, n = int(error.argmax()), len(y)
    largest, mean = float(error[k]), root_mean_square(error, np.full(n, 1.0 / n))
    return ApproximationError((largest, largest), False, mean, tuple(map(float, x[k])), "data", None, n, 0.0)


def _on_grid(networks: list[Network], target: Target, budget: int | None) -> list[ApproximationError]:
    """Results from the refined grid, for networks of one size."""
    grid = make_grid(target, networks[0].n_params, budget)
    rule, values = _shared_rule(target)
    results = []
    for network, found in zip(networks, search(networks, target, grid), strict=True):
        error = np.abs(values - evaluate_float64(network.layers, rule.points)[:, 0])
        error = np.where(np.isnan(error), math.inf, error)
        lower, upper, where = found.lower, found.upper, found.where
        k = int(error.argmax())
        if error[k] > lower:
            lower, where = float(error[k]), tuple(map(float, rule.points[k]))
        l2, l2_error = rule.norm(error)
        spent = found.n_evaluations + len(values)
        results.append(ApproximationError((lower, max(lower, upper)), False, l2, where, "grid", None, spent, l2_error))
    return results


def _by_pieces(target: Target) -> bool:
    """Whether the target is smooth enough for quadrature piece by piece."""
    return target.dim == 1 and target.regularity.smoothness >= 2.0


def _shared_rule(target: Target) -> tuple[Rule, Array]:
    """Nodes and target values that serve every network."""
    rule = shared_rule(target.dim, target.regularity.smoothness)
    return rule, target(rule.points)


def _by_break_points(
    pieces: Pieces, bracket: Bracket, target: Target, shared: tuple[Rule, Array] | None
) -> ApproximationError:
    """The result from a bracket, rounding allowed for at both ends."""
    if shared is None:
        rule = piece_rule(pieces.t)
        values = target(rule.points)
    else:
        rule, values = shared
    difference = np.abs(values - pieces(rule.points[:, 0]))
    allowance = pieces.rounding + target.evaluation_ulps * UNIT * float(np.abs(values).max()) + _position_error(target)
    known = math.isfinite(allowance)
    lower, upper = (max(0.0, bracket.lower - allowance) if known else bracket.lower), bracket.upper + allowance
    certified = known and target.interpolation_gap is not None
    (l2, l2_error), spent = rule.norm(difference, rounding=allowance), bracket.n_evaluations + len(values)
    where = (bracket.where,)
    return ApproximationError((lower, upper), certified, l2, where, "break-points", pieces.count, spent, l2_error)


def _position_error(target: Target) -> float:
    """What rounded b-adic points do: nothing in a base 2^k, else the target's variation over one rounding."""
    gap: Any = target.interpolation_gap
    if gap is None or target.base & (target.base - 1) == 0:
        return 0.0
    return 4.0 * float(gap(int(52 * math.log(2) / math.log(target.base))))
