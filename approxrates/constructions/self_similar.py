r"""Takagi-Landsberg functions as networks: rough, and yet exponentially easy, because they are self-similar.

The catalogue's ``takagi`` is ``f = sum_{k < levels} a_k hat(2^k x)`` with hats of peak 1 and ``a_k = 2^(-k r)`` rounded
to 60 bits. The hat of level k is the tent map iterated, ``hat(2^k x) = T^(k+1)(x)``, so one chain serves all levels.

*Layout* (one level of the sum per layer, width 3)::

    level       channel 1            channel 2                  channel 3
    1           z = relu(x)          w = relu(x - 1/2)          -
    s + 1       relu(2 z - 4 w)      relu(2 z - 4 w - 1/2)      relu(acc + a_(s-1) (2 z - 4 w))
    output      acc + a_(K-1) (2 z - 4 w)

*Error.* The network with K levels *is* the sum of the first K terms, in rationals: its weights are the target's own
60-bit amplitudes. So its error is the rest of the sum, ``sum_{K <= k < levels} a_k T^(k+1)(x)``. All terms are
non-negative, so the sup is at most ``sum a_k``. It is also at most that of the infinite sum with ``w = 2^-r`` in
``[1/2, 1)``, ``w^K F(2^K x)`` with ``F = sum_n w^n T^(n+1)``, and ``max F = F(1/3) = (2/3) / (1 - w)``. Proof: let m be
the maximum. ``F(x) = T(x) + w F(T(x))``. If ``T(x) <= 2/3`` then ``F(x) <= 2/3 + w m``. If ``y = T(x) > 2/3`` then
``T(y) = 2 - 2 y``, so ``F(x) = y + w (2 - 2 y) + w^2 F(T(y)) <= (1 - 2 w) y + 2 w + w^2 m``, and because ``1 - 2 w <=
0`` the right side is at most its value at ``y = 2/3``, ``(2/3)(1 + w) + w^2 m``. In the first case ``m (1 - w) <= 2/3``
and in the second ``m (1 - w^2) <= (2/3)(1 + w)``: the same. At 1/3 all tents are 2/3. With all levels the error is 0.

*Count.* As for the square: 3, then 5 for the tent and 3 for the sum (2 the first time), 3 for the output: ``8 K - 3``.

This is the control that a deep network must pass and that proves nothing about a class: such an f is named by a few
numbers. Weierstrass functions are of the same kind, but their cosines cost a product network per level; they are left
out. Proven here; that self-similar functions are exponentially easy is in Elbrächter, Perekrestenko, Grohs & Bölcskei
(2021), arXiv:1901.02220 (recalled), and for Takagi's function in Daubechies, DeVore, Foucart, Hanin & Petrova (2022),
arXiv:1905.02199 (recalled).
"""

from __future__ import annotations

import math
from fractions import Fraction

from approxrates.catalogue import load_target
from approxrates.constructions.base import Settings, Theorem
from approxrates.constructions.graph import Affine, Graph
from approxrates.constructions.sizes import choose_size
from approxrates.generators.base import DEFAULT_LEVELS, ROUND_UP, amplitudes
from approxrates.layers import HALF, dyadic
from approxrates.network import Network
from approxrates.target import Target


def build(target: Target, *, n_params: int | None = None, levels: int | None = None) -> Network:
    """The first levels of a Takagi-Landsberg function, exactly.

    ``provenance["bound"]`` bounds the levels left out, everywhere on ``[0, 1]``; it is 0 if none is.

    Args:
        target: The catalogue's ``takagi`` in d = 1, of any smoothness and number of levels.
        n_params: Upper limit on non-zero weights.
        levels: Levels K of the network, at most those of the target, instead of a limit.

    Raises:
        ValueError: If the target is another function, neither or too small a size is given, or both do not fit.
        TypeError: If a size is no integer.

    Example:
        >>> from approxrates.catalogue import load_target
        >>> target = load_target("takagi", smoothness=0.5)
        >>> network = build(target, levels=40)
        >>> third = [Fraction(1, 3)]
        >>> network.n_params, network([third], arithmetic="exact") == target.exact([third])
        (317, True)
    """
    if target.parameters.get("name") != "takagi" or target.dim != 1:
        raise ValueError(
            f"takagi_exponential is built for Takagi-Landsberg functions. Got {target.name} with dim={target.dim}. "
            "Use ar.load_target('takagi', smoothness=0.5, dim=1)."
        )
    r, every = target.regularity.smoothness, int(target.parameters.get("levels", DEFAULT_LEVELS))
    heights = amplitudes(2, r, every)
    n_levels = choose_size("takagi_exponential", n_params, levels, "levels", lambda k: 8 * k - 3, most=every)
    provenance = {
        "construction": "takagi_exponential",
        "levels": n_levels,
        "n_params": n_params,
        "target": dict(target.parameters),
        "bound": _rest(r, heights[n_levels:], n_levels),
    }
    graph = Graph(1)
    return graph.network([tent_sum(graph, graph.input(), heights[:n_levels])], provenance)


def tent_sum(graph: Graph, x: Affine, heights: tuple[Fraction, ...]) -> Affine:
    """``sum_k heights[k] T^(k+1)(x)`` for dyadic heights >= 0 and x in ``[0, 1]``; width 3."""
    z, w = graph.relu(x), graph.relu(x - HALF)
    total: Affine | None = None
    for height in heights[:-1]:
        tent = 2 * z - 4 * w
        partial = tent * dyadic(height) if total is None else total + tent * dyadic(height)
        z, w, total = graph.relu(tent), graph.relu(tent - HALF), graph.relu(partial)
    last = (2 * z - 4 * w) * dyadic(heights[-1])
    return last if total is None else total + last


def _rest(smoothness: float, heights: tuple[Fraction, ...], first: int) -> float:
    """Bound on the levels from ``first`` on, the smaller one of the two of the module's text."""
    if not heights:
        return 0.0
    geometric = math.pow(2.0, -first * smoothness) * _constant(smoothness)
    return ROUND_UP * min(float(sum(heights)), geometric)


def _constant(smoothness: float) -> float:
    """``(2/3) / (1 - 2^-r)``, the maximum of the infinite sum."""
    return ROUND_UP * (2.0 / 3.0) / -math.expm1(-smoothness * math.log(2.0))


def _levels(settings: Settings) -> int:
    return int(settings["levels"])


THEOREM = Theorem(
    name="takagi_exponential",
    statement="The Takagi-Landsberg function of smoothness r is, up to an error of O(2^(-K r)), a ReLU network of "
    "width 3 with K layers; with all levels of the finite sum it is that sum.",
    reference="Proven here; the tent chain is of Telgarsky (2015), arXiv:1509.08101",
    rate_law="error_sup <= (2/3) / (1 - 2^-r) 2^(-r (n_params + 3) / 8)",
    count_law="8 K - 3",
    dims=(1,),
    rate=lambda smoothness, dim: float("inf"),
    build=build,
    smoothness=(0.0, 1.0),
    count=lambda settings: 8 * _levels(settings) - 3,
    depth=_levels,
    size=lambda settings: 2.0 ** _levels(settings),
    constant=lambda target: _constant(target.regularity.smoothness),
    order=1.0,
    example=lambda: load_target("takagi", smoothness=0.5),
)
