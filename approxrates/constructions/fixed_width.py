r"""The deep discontinuous phase at constant width: a fully connected network, 12 units wide, or only 7.

``N = 2^a`` coarse cells with ``M`` fine steps each, all in one stream of layers of ``H`` units. Every scalar of the
``H``-wide network counts, zeros as well: ``W = 2 H + (L - 1)(H^2 + H) + H + 1`` with depth ``L``.

*Layout*: five passes, one after the other; ``x`` is carried until its last use (units in use in brackets)::

    odd     floor chain of x            [x, t u v]             index of the odd knot in x's pair of cells
            serial table                [I, t, hinges, words]  word of that knot
            selection by the last bits  [x, t u v, words, bits]
    even    the same for (x + 1/N)/2    [.. and odd word]      word of the nearest even knot, parity of the cell
    unpack  word of the cell's code, its first digits peeled off by tents, tents of x      [odd, even, z w, z w]
    digits  one step a layer            [odd, even, left, z, w, held, walk]
    join    output = odd + clip(even - odd + walk, limit)

* A word holds a knot's value in its first bits and the walk of a neighbouring cell in the rest: cell ``2i`` in the word
  of knot ``2i + 1``, cell ``2i - 1`` in that of knot ``2i``. So two tables of ``N/2`` words serve four purposes.
* *Serial tables* (:func:`.gadgets.tables.serial_bank`). Hinges at ``q`` entries a level, with ``g`` tables side by side
  for ``g`` neighbouring knots, picked by the last bits of the index afterwards: ``N / (2 g q)`` levels for each table.
  Between integers the running values interpolate, so they stay within ``[0, 1]``. In place of ``x`` two units are
  carried, the index ``I`` and the rest ``t``, whose sum is ``x``.
* *Digits*. A walk starts at the even knot of its cell, stands still for 1/4 step, and goes up or down by about ``s/2``
  at each step (:mod:`.encoders.walk`). Position ``y`` in ``[-1/4, M]``, ``left = M - y``. The code is read from the far
  end of the walk on: ``walk' = relu(walk + z - held)``, ``held' = relu(held - 1)``, so that a digit counts from where
  the walk passes it; then ``z' = T(z)``, by two units.

*Proof of the error.* The odd table's index is wrong only in ramps left of even knots, the even one's left of odd knots,
the parity's in both; a ramp is narrower than ``2^-8`` fine steps.

1. Off the ramps every word is right and what follows it is exact: the output is the clip of ``V + s P(y)`` to within
   ``s (tau + c left)`` of ``U``, with the knots' values ``U, V``, P the walk and ``tau >= |V + s P(M) - U| / s``. Steps
   are at most ``s/2``, so ``|V + s P(y) - U| <= s tau + s left / 2``, and ``c >= 1`` lets it pass unchanged.
2. In a ramp left of an even knot ``y <= -1/4 + 2^-8``. Garbage words stay in ``[0, 1]``, garbage ``z`` in ``[0, 2]``
   (``T <= 2``, and 0 where ``z > 1``), the last digit is cut at 1; ``held >= 2`` before it and ``held >= 1`` at it; so
   the walk is 0. ``V`` is right and the limit, ``s c M`` or more, exceeds the range of the table: the output is V.
3. In a ramp left of an odd knot ``U`` is right and the output is within ``s (tau + c 2^-8 / c)`` of it, whatever the
   rest is: the ramp's width is chosen ``2^-8 / c`` for this.

So ``error_sup`` is at most the error of the walks, plus the rounding of values, or in the ramps ``s (tau + 2^-8)`` plus
the change of the target over a ramp.

*Depth.* ``M`` for the digits, ``N / (g q)`` for tables, and ``O(log (N M))`` for chains and unpacking: with ``N ~ M ~
W`` the error ``(N M)^-r`` is ``W^(-2r)``. No logarithm is lost for ``r <= 1``. Bits: a word has ``2 M + O(log)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from approxrates.constructions.base import Settings, Theorem
from approxrates.constructions.encoders import Walks, encode_walks
from approxrates.constructions.encoders.base import values_on
from approxrates.constructions.encoders.bounds import cell_bound
from approxrates.constructions.fixed_width_sizes import WIDTH, Plan, choose
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import tent_chain
from approxrates.constructions.gadgets.tables import Table, select, serial_bank
from approxrates.constructions.graph import Affine, Graph, combination
from approxrates.constructions.narrow import fully_connected
from approxrates.layers import HALF, ZERO, Dyadic
from approxrates.network import Network
from approxrates.target import Target

NAME = "yarotsky2020_fixed_width"
_DEAD = Dyadic(1, -2)
_MARGIN = 8  # ramps are 2^-8 fine steps wide, over the slope of the clip's limit


@dataclass(frozen=True)
class Coding:
    """Numbers that the target decides; values of the target are ``offset + unit v`` with ``v`` in ``[0, 1]``.

    Attributes:
        offset: See above.
        unit: A power of two.
        scale: ``s``, in units.
        slack: ``tau``.
        widening: ``c``, a power of two.
        ramp: ``log2`` of one over the width of a ramp in ``x``.
        odd: Words of the odd knots.
        even: Words of the even ones.
    """

    offset: Dyadic
    unit: Dyadic
    scale: Dyadic
    slack: Dyadic
    widening: Dyadic
    ramp: int
    odd: Table
    even: Table


def build(
    target: Target,
    *,
    n_params: int | None = None,
    cells: int | None = None,
    steps: int | None = None,
    width: int = WIDTH,
) -> Network:
    """The fully connected network of constant width; every scalar is a parameter, so ``n_params = n_params_dense``.

    ``provenance["bound"]`` covers every cell and every ramp: an upper bound of the walks' error on whole cells (proven
    by bisection where the target declares an interpolation gap or a Hölder constant; else the largest sampled error,
    and ``provenance["bound_is_sampled"]`` is true), the rounding of values, and in ramps ``s (tau + 2^-8)`` plus the
    Hölder constant times a ramp's width to the ``r``, where it is known.

    Args:
        target: What is approximated; ``dim`` 1. Smoothness above 1 is made use of only up to 1.
        n_params: Upper limit on *all* scalars of the fully connected network; cells and steps are chosen for the most
            fine steps under it.
        cells: ``N``, a power of two, at least 8; together with ``steps``, instead of a limit.
        steps: ``M``, at least 2.
        width: ``H``, from 7 on; 12 is ``2 dim + 10``.

    Raises:
        ValueError: If sizes are missing, out of range or above the limit (saying the least one), or the target is known
            at data points only.
        TypeError: If a size is no integer.
    """
    if target.dim != 1 or target.samples is not None:
        raise ValueError(
            f"{NAME} needs a function of one variable, known everywhere. Got {target.name}, dim={target.dim}. "
            "Use Target.from_callable."
        )
    plan = choose(NAME, n_params, cells, steps, width)
    walks = encode_walks(target, plan.cells, plan.steps)
    coding, rounding = _coding(target, plan, walks)
    graph, output = _graph(plan, coding)
    network = graph.network([output], max_width=plan.width)
    seen, proven = cell_bound(target, walks)
    regularity = target.regularity
    ramps = float(coding.unit * coding.scale) * (float(coding.slack) + 2.0**-_MARGIN)
    if regularity.radius is not None:
        ramps += regularity.radius * math.pow(2.0**-coding.ramp, min(1.0, regularity.smoothness))
    inside = proven if math.isfinite(proven) else seen
    provenance = {
        "construction": NAME,
        "cells": plan.cells,
        "steps": plan.steps,
        "width": plan.width,
        "n_params": n_params,
        "target": dict(target.parameters),
        "bound": max(inside, ramps) + rounding,
        "bound_is_sampled": not math.isfinite(proven),
        "mesh": {
            "cells": plan.cells,
            "steps": plan.steps,
            "dead": [1, 4],
            "reflected": True,
            "ramp": coding.ramp,
        },
    }
    return Network(fully_connected(network.layers, plan.width), provenance)


def _graph(plan: Plan, coding: Coding) -> tuple[Graph, Affine]:
    """The five passes."""
    graph = Graph(1)
    a, k = plan.doublings, plan.picks
    with graph.part("odd knots"):
        odd, x, _ = _pass(graph, graph.input(), a - 1, k, 0, coding.odd, plan.hinges[0], coding.ramp, 1)
    with graph.part("even knots"):
        half = (x + Dyadic(1, -a)) >> 1
        even, half, is_even = _pass(
            graph, half, a, k, 1, coding.even, plan.hinges[1], coding.ramp + 1, graph.level(odd) + 1
        )
    with graph.part("unpack"):
        word = graph.relu(odd - (1 - is_even)) + graph.relu(even - is_even)
        code = tent_chain(graph, word, plan.value_bits)
    with graph.part("position"):
        tau = tent_chain(graph, 2 * half - Dyadic(1, -a), a, level=graph.level(code) - a + 1)
        left = graph.relu((1 - tau) * (_DEAD + plan.steps))
    with graph.part("digits"):
        walk = _decode(graph, code, left, plan.steps)
    with graph.part("join"):
        climb = graph.relu(plan.steps - left, graph.level(walk))
        follows = even - odd + walk * coding.scale - climb * (coding.scale * HALF)
        limit = left * (coding.scale * coding.widening) + coding.scale * coding.slack
        joined = odd + clip(graph, follows, limit)
    return graph, combination([(joined, coding.unit)], coding.offset)


def _pass(
    graph: Graph, t: Affine, n_bits: int, picks: int, after: int, table: Table, per_level: int, ramp: int, level: int
) -> tuple[Affine, Affine, Affine]:
    """Entry ``floor(2^n_bits t)`` of a table at constant width; also ``t`` again, and the bit after the index."""
    lead, groups = n_bits - picks, -(-len(table) >> picks)
    rest = floor_chain(graph, t, lead, ramp, level).remainders[-1]
    index = graph.relu((t << lead) - rest)
    padded = [*table, *[table[-1]] * ((groups << picks) - len(table))]
    columns = [padded[k :: 1 << picks] for k in range(1 << picks)]
    words, free = serial_bank(graph, index, columns, per_level, graph.level(index) + 1)
    again = graph.relu((index + rest) >> lead, free)
    bits: list[Affine] = []
    if picks + after:
        last = floor_chain(graph, rest, picks + after, ramp - lead, free, first_bit=0)
        bits = [bit for bit in last.bits if bit is not None]
    word = select(graph, words, bits[:picks])
    return graph.relu(word) if picks else word, again, bits[-1] if after else word


def _decode(graph: Graph, code: Affine, left: Affine, steps: int) -> Affine:
    """``sum_j relu(z_j - relu(left - (steps - 1 - j)))`` over the digits of a code, one level each, last digit first.

    The last ``z`` is cut at 1, which changes nothing but garbage.
    """
    start = graph.level(left)
    z, w, held = graph.relu(code, start), graph.relu(code - HALF, start), left
    walk = Affine()
    for stage in range(1, steps):
        walk = graph.relu(walk + z - held)
        tent = (z << 2) - (w << 3)
        z, w, held = graph.relu(tent), graph.relu(tent - (1 if stage == steps - 1 else HALF)), graph.relu(held - 1)
    return graph.relu(walk + z - w - held)


def _coding(target: Target, plan: Plan, walks: Walks) -> tuple[Coding, float]:
    """Words and scales, and the rounding of values."""
    knots = values_on(target, np.arange(plan.cells + 1) / plan.cells)
    low, high = float(knots.min()), float(knots.max())
    bits, scale = plan.value_bits, walks.scale
    unit = Dyadic(1, math.frexp(max((high - low) * (1 + 2.0 ** (3 - bits)), float(scale)))[1])
    bit = unit << -bits
    offset = Dyadic(math.floor(math.ldexp(low, -bit.exponent)) - 1, bit.exponent)
    whole = [math.floor(v) for v in np.ldexp(knots - float(offset), -bit.exponent).tolist()]
    scale = scale << -unit.exponent
    slack = walks.end_error / float(walks.scale) + 2 * float(bit) / float(walks.scale)
    widening = Dyadic(1, max(0, math.ceil(-math.log2(float(scale) * plan.steps))))
    ramp = plan.doublings + (plan.steps + 1).bit_length() + widening.exponent + _MARGIN
    codes = walks.words

    def word(knot: int, cell: int) -> Dyadic:
        code = codes[cell] if cell >= 0 else ZERO
        return Dyadic(whole[knot], -bits) + ((1 - code if whole[knot] % 2 else code) << -bits)

    return Coding(
        offset,
        unit,
        scale,
        Dyadic(math.ceil(math.ldexp(slack, _MARGIN)), -_MARGIN),
        widening,
        ramp,
        [word(knot, knot - 1) for knot in range(1, plan.cells, 2)],
        [word(knot, knot - 1) for knot in range(0, plan.cells + 1, 2)],
    ), float(bit)


def count(provenance: Settings) -> int:
    """``2 H + (L - 1)(H^2 + H) + H + 1``: all scalars."""
    return _of(provenance).n_params


def depth(provenance: Settings) -> int:
    """``L``: see :attr:`Plan.depth`."""
    return _of(provenance).depth


def constant(target: Target) -> float:
    """``5.5 C``, ``C`` the Hölder constant; infinite if none is declared.

    With ``s = 4 C h^r`` a walk that always steps towards the target is off by at most ``3 s / 4`` at nodes: a step is
    between ``s/4`` and ``s/2``, the target moves by at most ``s/4``. Half a step from a node adds ``s/4`` for the walk
    and as much for the target, ``5 C h^r`` in all; the rest is for last bits and ramps. The beam search that replaces
    this walk is not proven to be better: ``bound`` says what it reached.
    """
    radius = target.regularity.radius
    return math.inf if radius is None else 5.5 * float(radius)


def _of(provenance: Settings) -> Plan:
    """The sizes of a network."""
    return Plan(int(provenance["cells"]), int(provenance["steps"]), int(provenance["width"]))


THEOREM = Theorem(
    name=NAME,
    statement="On fully connected networks of constant width 2 d + 10 = 12, ReLU, a weight assignment that is not "
    "continuous reaches error_sup = O(W^(-2 r)) for every r-Hölder function on [0, 1], r <= 1.",
    reference="Yarotsky (2018), arXiv:1802.03620; Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (width 2 d + 10 and "
    "the rate recalled; layout and proof here)",
    rate_law="error_sup ~ n_params^(-2 r), n_params counting every scalar",
    count_law="2 H + (L - 1)(H^2 + H) + H + 1, L about M + N / 18 + O(log(N M)) at H = 12",
    dims=(1,),
    rate=lambda smoothness, dim: 2.0 * min(smoothness, 1.0),
    build=build,
    smoothness=(0.0, 1.0),
    count=count,
    depth=depth,
    size=lambda provenance: float(provenance["cells"] * provenance["steps"]),
    constant=constant,
    order=1.0,
)
