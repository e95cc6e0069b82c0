r"""Squares and products by ReLU, with errors that fall exponentially in the number of weights (Yarotsky 2017).

*Layout* (one step per layer, width 3): the tent map ``T(u) = 2 relu(u) - 4 relu(u - 1/2)`` is applied again and again,
and what it gives is subtracted with weights ``4^-s``::

    level       channel 1            channel 2                  channel 3
    1           z = relu(x)          w = relu(x - 1/2)          -
    s + 1       relu(2 z - 4 w)      relu(2 z - 4 w - 1/2)      relu(acc - (2 z - 4 w) 4^-s)
    output      acc - (2 z - 4 w) 4^-m

*Error.* After m steps the output is the linear interpolant of ``x^2`` on ``2^m`` cells, ``f_m = x - sum_{s <= m} 4^-s
T^s(x)``. Proof by induction: ``f_0 = x`` interpolates at 0 and 1. On a cell ``[a, a + h]``, ``h = 2^-(s-1)``, the
chord of the square lies above it by ``h^2 / 4 = 4^-s`` in the middle, and ``T^s`` is the hat of height 1 there: so
``f_s`` has the right values in the middles too, and is affine on the halves. A chord of ``x^2`` over a length h lies
above it by ``(x - a)(a + h - x)``, at most ``h^2 / 4`` and this in the middle. Hence ``0 <= f_m - x^2 <= 2^(-2m-2)``
with equality in the middle of each cell: the sup error *is* ``2^(-2m-2)``.

*Count.* Level 1 has 3 weights, each further level 2 + 3 for the tent and 3 for the sum (2 the first time), the output
3 (2 if m = 1): ``8 m - 3`` in all, every mantissa one bit long. As a dense network of width 3: ``12 m - 7`` (m = 1
has width 2 and takes 7).

*Product*: ``x y = ((x + y) / 2)^2 - ((x - y) / 2)^2``, two squaring networks side by side on ``(x + y) / 2`` and
``|x - y| / 2``. Both squares are over-estimated by at most ``2^(-2m-2)``, so their difference is off by no more; at
``x = y = 2^(-m-1)`` the first is off by just that and the second is 0. So the sup error is ``2^(-2m-2)`` again, with
``16 m + 2`` weights: ``6`` for the sum and the two halves of the distance, ``8 m - 3`` for the first square, and two
more for the second, which reads two units.

Proven here; the theorem is that of Yarotsky (2017), arXiv:1610.01145, propositions 2 and 3 (his product is on
``[-M, M]^2``, and takes three squares). Float64 shows this law up to m = 24: from then on it stalls at its rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from approxrates.catalogue import load_target
from approxrates.constructions.base import Settings, Theorem
from approxrates.constructions.gadgets.sawtooth import product, square
from approxrates.constructions.graph import Graph
from approxrates.constructions.sizes import choose_size
from approxrates.network import Network
from approxrates.regularity import Regularity
from approxrates.target import Target

_PROBES = 9
"""Points per axis at which a target is compared with the function that a network is built for."""


def square_network(steps: int) -> Network:
    """``x^2`` on ``[0, 1]``, over-estimated by at most ``2^(-2 steps - 2)``; ``8 steps - 3`` weights, width 3.

    Raises:
        ValueError: If ``steps < 1``.

    Example:
        >>> network = square_network(3)
        >>> network.n_params, network.depth, network.width, network.max_bits, float(network([0.5])[0])
        (21, 3, 3, 1, 0.25)
    """
    graph = Graph(1)
    return graph.network([square(graph, graph.input(), steps)], _record("yarotsky2017_square", steps))


def product_network(steps: int) -> Network:
    """``x y`` on ``[0, 1]^2``, off by at most ``2^(-2 steps - 2)``; ``16 steps + 2`` weights, width 6.

    Raises:
        ValueError: If ``steps < 1``.

    Example:
        >>> network = product_network(4)
        >>> network.n_params, network.depth, float(network([[0.5, 0.25]])[0])
        (66, 5, 0.125)
    """
    graph = Graph(2)
    return graph.network(
        [product(graph, graph.input(0), graph.input(1), steps)], _record("yarotsky2017_product", steps)
    )


def build_square(target: Target, *, n_params: int | None = None, steps: int | None = None) -> Network:
    """The squaring network for a target that is ``x^2``.

    Args:
        target: The square on ``[0, 1]``: the catalogue's ``polynomial``, or any target that equals it at nine points
            (a check against mistakes, no proof: what the target is between them is the caller's word).
        n_params: Upper limit on non-zero weights.
        steps: Steps m, instead of a limit.

    Raises:
        ValueError: If the target is another function, neither or too small a size is given, or both do not fit.
        TypeError: If a size is no integer.
    """
    _check_values(target, lambda x: x[0] * x[0], "x^2", "ar.load_target('polynomial', dim=1)")
    chosen = choose_size("yarotsky2017_square", n_params, steps, "steps", lambda m: 8 * m - 3)
    network = square_network(chosen)
    return Network(network.layers, {**network.provenance, "n_params": n_params, "target": dict(target.parameters)})


def build_product(target: Target, *, n_params: int | None = None, steps: int | None = None) -> Network:
    """The product network for a target that is ``x_1 x_2``.

    Args:
        target: The product on ``[0, 1]^2``, e.g. by ``Target.from_callable``; it is compared at 81 points (a check
            against mistakes, no proof).
        n_params: Upper limit on non-zero weights.
        steps: Steps m, instead of a limit.

    Raises:
        ValueError: If the target is another function, neither or too small a size is given, or both do not fit.
        TypeError: If a size is no integer.
    """
    example = "ar.Target.from_callable(lambda x: x[:, 0] * x[:, 1], ...)"
    _check_values(target, lambda x: x[0] * x[1], "x_1 x_2", example)
    chosen = choose_size("yarotsky2017_product", n_params, steps, "steps", lambda m: 16 * m + 2)
    network = product_network(chosen)
    return Network(network.layers, {**network.provenance, "n_params": n_params, "target": dict(target.parameters)})


def _record(name: str, steps: int) -> dict[str, Any]:
    """Provenance of a network of ``steps`` steps; its bound is the sup error itself."""
    return {"construction": name, "steps": int(steps), "bound": 2.0 ** (-2 * int(steps) - 2)}


def _check_values(target: Target, function: Callable[[Any], Any], formula: str, example: str) -> None:
    """Compare a target with a formula at dyadic points, where its float64 values are exact or nearly so."""
    axis = np.arange(_PROBES) / (_PROBES - 1)
    points = np.stack(np.meshgrid(*[axis] * target.dim, indexing="ij"), axis=-1).reshape(-1, target.dim)
    known = target.samples is None
    if not known or np.abs(target(points) - function(points.T)).max() > 1e-15:
        raise ValueError(f"target must be {formula} on [0, 1]^{target.dim}. Got {target.name}. Use {example}.")


def _steps(settings: Settings) -> int:
    return int(settings["steps"])


def _square() -> Target:
    return load_target("polynomial", dim=1)


def _product() -> Target:
    return Target.from_callable(lambda x: x[:, 0] * x[:, 1], Regularity(math.inf, 2), name="product")


SQUARE = Theorem(
    name="yarotsky2017_square",
    statement="x^2 on [0, 1] is the limit of ReLU networks of width 3 with m layers and sup error exactly 2^(-2m-2).",
    reference="Yarotsky (2017), arXiv:1610.01145, proposition 2",
    rate_law="error_sup = 2^(-2 m - 2) = 2^(-(n_params + 11) / 4)",
    count_law="8 m - 3 (dense: 12 m - 7)",
    dims=(1,),
    rate=lambda smoothness, dim: float("inf"),
    build=build_square,
    count=lambda settings: 8 * _steps(settings) - 3,
    depth=_steps,
    size=lambda settings: 2.0 ** _steps(settings),
    constant=lambda target: 0.25,
    order=2.0,
    example=_square,
)

PRODUCT = Theorem(
    name="yarotsky2017_product",
    statement="x y on [0, 1]^2 is the limit of ReLU networks of width 6 with m + 1 layers and sup error 2^(-2m-2).",
    reference="Yarotsky (2017), arXiv:1610.01145, proposition 3",
    rate_law="error_sup = 2^(-2 m - 2) = 2^(-(n_params + 14) / 8)",
    count_law="16 m + 2",
    dims=(2,),
    rate=lambda smoothness, dim: float("inf"),
    build=build_product,
    count=lambda settings: 16 * _steps(settings) + 2,
    depth=lambda settings: _steps(settings) + 1,
    size=lambda settings: 2.0 ** _steps(settings),
    constant=lambda target: 0.25,
    order=2.0,
    example=_product,
)
