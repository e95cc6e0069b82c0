"""Clipping by ReLU: keep a difference that is small enough, cut what garbage makes of it."""

from __future__ import annotations

from approxrates.constructions.graph import Affine, Graph


def clip(graph: Graph, value: Affine, limit: Affine) -> Affine:
    """``min(max(value, -limit), limit)`` for ``limit >= 0``: two units.

    ``relu(v + b) - relu(v - b) - b``. Whatever ``value`` is, the result lies in ``[-limit, limit]``, because ReLU is
    monotone and 1-Lipschitz: the difference of the two units lies between 0 and ``2 b``.
    """
    return graph.relu(value + limit) - graph.relu(value - limit) - limit
