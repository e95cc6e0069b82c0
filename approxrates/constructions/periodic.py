r"""Periodic lookup: one giant weight holds a table of ``2^K`` entries, a sine reads it, ``n_params`` is linear in K.

The unit is ``sin`` of the table, ``sigma(t) = sin(2 pi t)``, of period 1: a whole number in front of a phase is
forgotten for nothing. ``N = 2^K`` cells of width ``h = 1/N``, base ``B = 2^b``.

*Layout.* Two copies, the second half a cell to the left; each does, for the cell index ``n`` of ``t``::

    level        1        2          3            4           ...  2K+2   2K+3             2K+4
    floor chain  t u v -> t' bit ->  t u v     -> t' bit  ...
    shift                            g0 h0     -> p1   -> g1 h1 .. p_K -> sin(C p_K) \
    selection    x     -> x       -> x         -> x ...           sin(Nx-1/4) -> T  -> z, up, dn -> output

* The floor chain (:mod:`.gadgets.floors`) gives the bits of ``n``, exact but for ramps of width ``h/8`` to the left of
  the cell borders.
* The shift. ``p_0 = 1``, and for the bit of weight ``2^i``, with ``c = B^(-2^i)``: ``g = relu(p - bit)``,
  ``h = relu(p + bit - 1)``, ``p' = relu(c g + h)``. As ``0 < p <= 1``, bit 0 gives ``p' = c p`` and bit 1 gives
  ``p' = p``: in the end ``p_K = B^-(N-1-n)``. This is computed once for all digits of an entry: the gain over a lookup
  for every digit, which takes ``K log2(1/eps)`` weights instead of ``K``.
* The word. ``C = sum_n t_n B^(N-1-n) / B`` with digits ``0 <= t_n < B``; modulo 1, ``C p_K = 0.t_n t_{n+1} ...`` in
  base B, so that ``sin(2 pi C p_K)`` takes any wanted value within ``pi 2^-b (1 + 2^(1-b))``.
* ``r <= 1``: a copy is ``mid + a sin(C p)``, a step function. ``1 < r <= 2``: it is
  ``y(t) = mid + a sin(C1 p + k t) + a sin(C2 p + k t)`` with the place ``t`` in the cell, which the floor chain has
  left over. A sum of sines of one frequency is a sine: ``y - mid = R sin(2 pi k t + psi)``, and the two phases give
  any ``(R sin psi, R cos psi)`` of length up to ``2 a``; so value and slope are free in every cell and no product is
  needed. What is left is its bend, ``y'' = -(2 pi k)^2 (y - mid)``: with the least ``k = 2^-j`` that yields the slopes,
  ``k = O(h)``, this moves ``y`` off its chord by ``O(h^2)``.
* Selection. ``T = relu(G sin(N x - 1/4)) = relu(-G cos(2 pi N x))`` and ``output = B + clip(A - B, T)``.

*Proof of the error.* Let ``e`` bound ``|A - f|`` and ``|B - f|`` off their ramps. ``T = 0`` within ``h/4`` of the
borders of A, so the output is B on A's ramps, and B is clean there. On B's ramps, within ``h/8`` of the middle of A's
cells, ``T >= G cos(pi/4) >= sup |A - B|`` and the output is A, clean there. Elsewhere both are clean and the output
lies between them. So ``sup |output - f| <= e``. The last cell of B is ``3h/2`` wide, the others at most ``h``.
For ``r <= 1``, ``e <= osc / 2`` over a cell and the rounding of digits; for ``1 < r <= 2`` the deviation from a chord.
With ``|f|_r`` the Hölder constant this is ``O(N^-r)``: ``error_sup = O(exp(-c n_params))``, ``c = r ln 2 / 36``.

*Count.* Per copy and bit: 5 for ``t, u, v``, 5 for ``t', bit``, 7 for ``g, h, p'``; two levels of the carried ``x``;
together ``36 K``, and a constant (:func:`count`).

*What is not claimed.* The bound is in the model of real weights. A word has ``N b`` bits, so the total is of the order
``eps^(-1/r) log(1/eps)``, that of any code of the target: nothing is gained in bits. Piecewise polynomial networks have
ceilings that follow from their finite Vapnik--Chervonenkis dimension; the sine has none, and ``exp(-c W)`` is an upper
bound, not an optimum. Yarotsky and Zhevnerchuk's statement is recalled as ``exp(-c sqrt(W))`` for every smoothness and
any periodic unit of a class; the layout here is not theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from approxrates.constructions.base import Settings, Theorem
from approxrates.constructions.encoders.phases import MOST_DIGITS, Phases, encode_phases
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.graph import Affine, Graph, affine, combination
from approxrates.constructions.sizes import check_integer, choose_size
from approxrates.layers import Dyadic
from approxrates.network import Network
from approxrates.target import Target

MOST_DOUBLINGS = 22
"""A word of ``2^22`` entries is a weight of some ten megabytes."""
_MOST_BY_LIMIT = 16  # a limit that is ample makes a network of a second, not of a minute
_QUARTER = Dyadic(1, -2)


def build(
    target: Target,
    *,
    n_params: int | None = None,
    doublings: int | None = None,
    readouts: int | None = None,
    digits: int | None = None,
) -> Network:
    """The lookup network with ``2^doublings`` cells; provenance says what its error is bounded by.

    ``provenance["bound"]`` covers every cell of both copies: the largest deviation of the copies from the target at
    sampled points (2^10 spacings in a cell, fewer above 2^20 in all, but at least 4), the rounding of digits, and what
    can happen between the points: the proven ``interpolation_gap`` of the target, or the Hölder remainder ``radius
    (spacing/2)^r`` (``r <= 1``) or ``radius spacing^r / 2``, and the bend of the sines. This is proven up to
    float64 rounding of the target's values and of the phases (1e-14 of the range); for targets that declare neither,
    ``provenance["bound_is_sampled"]`` is true and nothing is added for what is between the points.

    Args:
        target: What is approximated; ``dim`` 1.
        n_params: Upper limit on non-zero parameters; the most doublings that fit are taken, at most 16.
        doublings: ``K``, from 2 to 22, instead of a limit.
        readouts: Sines that read in each copy, 1 (steps) or 2 (slopes); 1 for smoothness up to 1, if not given.
        digits: Bits ``b`` per entry; as many as make their rounding 1/16 of the other errors, if not given.

    Raises:
        ValueError: If neither size is given, one is out of range, both do not fit together, or the target is known at
            data points only.
        TypeError: If a size is no integer.
    """
    if target.dim != 1:
        raise ValueError(f"the periodic lookup needs dim 1. Got dim={target.dim}. Use a target of one variable.")
    if target.samples is not None:
        raise ValueError(
            f"the periodic lookup needs values everywhere. Got {target.name}, known at data points only. "
            "Use Target.from_callable."
        )
    sines = check_integer("readouts", readouts) or (1 if target.regularity.smoothness <= 1 else 2)
    per_entry = check_integer("digits", digits, 4)
    if sines > 2 or (per_entry or 0) > MOST_DIGITS:
        raise ValueError(
            f"the periodic lookup has at most 2 readouts and {MOST_DIGITS} digits. Got readouts={sines}, "
            f"digits={per_entry}. Leave them out."
        )

    def size(k: int) -> int:
        return _count(k, sines)

    most = _MOST_BY_LIMIT if doublings is None else MOST_DOUBLINGS
    k = choose_size("yarotsky2020_periodic", n_params, doublings, "doublings", size, least=2, most=most)
    plan = encode_phases(target, k, sines, per_entry)
    provenance = {
        "construction": "yarotsky2020_periodic",
        "doublings": k,
        "cells": 2**k,
        "readouts": sines,
        "digits": plan.digits,
        "n_params": n_params,
        "target": dict(target.parameters),
        "bound": plan.bound,
        "bound_is_sampled": plan.sampled,
        "mesh": {"cells": 2**k, "steps": 1, "dead": [0, 1], "reflected": False, "ramp": k + 3},
    }
    return _network(plan, k, provenance)


def count(provenance: Settings) -> int:
    """``36 K + 8`` for one read-out in each copy, ``36 K + 31`` for two."""
    return _count(int(provenance["doublings"]), int(provenance["readouts"]))


def _count(k: int, readouts: int) -> int:
    """The law of :func:`count`."""
    return 36 * k + (8 if readouts == 1 else 31)


def depth(provenance: Settings) -> int:
    """``2 K + 4`` hidden layers."""
    return 2 * int(provenance["doublings"]) + 4


def constant(target: Target) -> float:
    """``c`` with ``error_sup <= c N^-min(r, 2)``; infinite if the target declares no Hölder constant.

    ``r <= 1``: an entry is the middle of samples at most ``h/4`` apart, over at most ``3h/2``; so the error is at most
    ``radius (1.5^r / 2 + 8^-r) h^r``, and a 16th more for digits. ``r > 1``: off the chord over ``h``, extended to
    ``3h/2``, by at most ``radius 1.5^r h^r / 2`` (twice, for the shift that balances the samples), the bend by
    ``(2 pi k)^2 2a 3/8``, where ``k`` is at most twice the least that yields the slopes.
    """
    r, radius = min(target.regularity.smoothness, 2.0), target.regularity.radius
    if radius is None or not target.regularity.is_finite or target.regularity.smoothness > 2.0:
        return math.inf
    if r <= 1.0:
        return 17 / 16 * radius * (math.pow(1.5, r) / 2 + math.pow(8.0, -r))
    fine = 4096
    values = target(np.arange(fine + 1) / fine)
    slope = float(np.abs(np.diff(values)).max()) * fine + radius * math.pow(fine, 1.0 - r)
    half = max(float(np.ptp(values)) / 2, 1e-300)
    return 17 / 16 * (radius * math.pow(1.5, r) + 16.0 * (slope + half) ** 2 / half)


def _network(plan: Phases, k: int, provenance: Mapping[str, Any]) -> Network:
    """Two copies and the selection."""
    graph = Graph(1)
    x = graph.input()
    copies = []
    for name, shift, words in zip("AB", (None, Dyadic(1, -k - 1)), plan.words, strict=True):
        with graph.part(f"copy {name}"):
            copies.append(_copy(graph, x if shift is None else x + shift, k, plan, words))
    first, second = copies
    with graph.part("selection"):
        level = graph.level(first, second)
        reach = plan.amplitude * (len(plan.words[0]) * 4)
        wave = graph.unit((x << k) - _QUARTER, "sin", level - 1)
        gate = graph.relu(wave * reach)
        above = graph.relu(first - second + gate)
        below = graph.relu(first - second - gate)
        lift = reach + plan.amplitude * len(plan.words[0])
        base = graph.relu(second - gate + lift)
        out = combination([(base, 1), (above, 1), (below, -1)], plan.middle - lift)
    return graph.network([out], provenance)


def _copy(graph: Graph, t: Affine, k: int, plan: Phases, words: tuple[Dyadic, ...]) -> Affine:
    """One copy, less ``mid``: the sines that read the words at the cell of ``t``."""
    chain = floor_chain(graph, t, k, k + 3, first_bit=0)
    shift = affine(1)
    for i, bit in enumerate(bit for bit in chain.bits if bit is not None):
        zero, one = graph.relu(shift - bit), graph.relu(shift + bit - 1)
        shift = graph.relu(zero * Dyadic(1, -plan.digits << k - 1 - i) + one)
    phases = [combination([(shift, word)]) for word in words]
    if plan.turn is not None:
        phases = [phase + chain.remainders[-1] * plan.turn for phase in phases]
    total = Affine()
    for phase in phases:
        total = total + graph.unit(phase, "sin") * plan.amplitude
    return total


THEOREM = Theorem(
    name="yarotsky2020_periodic",
    statement="With sin(2 pi t) among the units, an r-Hölder function on [0, 1], r <= 2, is met up to exp(-c W) by a "
    "network with W weights, two or four of which carry all the information.",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (recalled there: exp(-c sqrt(W)), every r); layout "
    "and proof here",
    rate_law="error_sup = O(exp(-c n_params)), c = min(r, 2) ln 2 / 36; total bits of the order "
    "error_sup^(-1/r) log(1/error_sup)",
    count_law="36 K + 8 (r <= 1), 36 K + 31 (r > 1), for 2^K cells",
    dims=(1,),
    rate=lambda smoothness, dim: math.inf,
    build=build,
    count=count,
    depth=depth,
    size=lambda provenance: float(provenance["cells"]),
    constant=constant,
    order=2.0,
)
