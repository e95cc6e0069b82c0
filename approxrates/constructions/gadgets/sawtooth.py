"""Triangle waves, squares and products by ReLU: Telgarsky's tent map and Yarotsky's squaring network.

The tent map ``T(u) = 2 relu(u) - 4 relu(u - 1/2)`` folds ``[0, 1]`` in two; ``T^s`` has ``2^(s-1)`` teeth. The linear
interpolant of ``u^2`` on ``2^m`` cells is ``f_m(u) = u - sum_{s=1..m} T^s(u) / 4^s``: between neighbouring knots, at
distance ``h = 2^-m``, a parabola of leading coefficient 1 lies below its chord by at most ``h^2 / 4``, and it takes
that value at each midpoint; so ``sup |f_m - u^2| = 2^(-2m-2)`` exactly, and ``f_m >= u^2``. (Telgarsky 2015,
arXiv:1509.08101; Yarotsky 2017, arXiv:1610.01145, proposition 2.)
"""

from __future__ import annotations

from approxrates.constructions.graph import Affine, Graph
from approxrates.layers import HALF


def tent_chain(graph: Graph, u: Affine, steps: int, level: int = 0) -> Affine:
    """``T^steps(u)`` for ``u`` in ``[0, 1]``: 0 at even multiples of ``2^-steps``, 1 at odd ones.

    Two units per step: with ``z = T^(s-1)`` and ``w = relu(z - 1/2)`` the next tent is ``2 z - 4 w``. The first pair
    stands on ``level`` or above; the last is read out by the formula that is returned. ``5 steps`` weights together
    with those of a single unit that reads it, if ``u`` is one unit.
    """
    z, w = graph.relu(u, level), graph.relu(u - HALF, level)
    for _ in range(steps - 1):
        tent = 2 * z - 4 * w
        z, w = graph.relu(tent), graph.relu(tent - HALF)
    return 2 * z - 4 * w


def square(graph: Graph, u: Affine, steps: int) -> Affine:
    """``f_steps(u)``, off ``u^2`` by at most ``2^(-2 steps - 2)`` and never below it, for ``u`` in ``[0, 1]``.

    Width 3. If ``u`` is one unit, ``8 steps - 3`` weights together with those of a single output that reads it.
    """
    z, w = graph.relu(u), graph.relu(u - HALF)
    total: Affine | None = None
    for step in range(1, steps + 1):
        tent = 2 * z - 4 * w
        partial = (z if total is None else total) - (tent >> 2 * step)
        if step == steps:
            return partial
        z, w, total = graph.relu(tent), graph.relu(tent - HALF), graph.relu(partial)
    raise ValueError(f"steps must be at least 1. Got steps={steps}. Write steps=1 or more.")


def product(graph: Graph, p: Affine, q: Affine, steps: int) -> Affine:
    """``p q`` for ``p, q`` in ``[0, 1]``, off by at most ``2^(-2 steps - 2)``: ``((p + q) / 2)^2 - ((p - q) / 2)^2``.

    Each square lies above the true one by at most ``2^(-2 steps - 2)``, so their difference is off by no more.
    """
    half_sum = graph.relu((p + q) >> 1)
    half_distance = graph.relu((p - q) >> 1) + graph.relu((q - p) >> 1)
    return square(graph, half_sum, steps) - square(graph, half_distance, steps)
