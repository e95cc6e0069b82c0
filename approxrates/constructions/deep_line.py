r"""The deep discontinuous phase on the line: an r-Hölder function from ``O(N + M)`` weights, off by ``O((N M)^-r)``.

**Statement.** For ``0 < r <= 1``, ``N = 2^a`` coarse cells and ``M`` fine steps in each there is a ReLU network with

    n_params = N + 13 M + 2 N / g + 14 g + O(log N),        depth = M + O(log N),        g = ``words``,

and ``error_sup <= 5.5 C (N M)^-r`` for ``|f(x) - f(x')| <= C |x - x'|^r``. With ``M ~ N`` this is
``error_sup ~ n_params^(-2 r)``, with ``M ~ N^a`` (``depth_exponent`` a) it is ``n_params^(-r (1 + a))`` at depth
``n_params^a``: the law of Yarotsky & Zhevnerchuk (2020). Both counts are exact formulas
(:mod:`~approxrates.constructions.line_sizes`). The idea is theirs: a weight holds the digits of all fine steps of a
cell, and depth reads them. The layout, its constants and the proof below are ours.

**Cells.** Cells are reflected: even knots ``2 i / N`` start a walk in either direction, odd knots end it. ``y`` runs
from ``-1/4`` at an even knot to ``M`` at an odd one; ``left = M - y`` is the network's own variable. The target is
followed by ``V + s P(y)``, ``V`` the value at the even knot, ``P`` a walk of steps near ``+-1/2``, one digit each
(:mod:`~approxrates.constructions.encoders.walk`).

**Layout**, from left to right (channels that wait are carried, one weight a layer)::

    x ------- bits ---- table, odd knots  [U | code 2i] ----- tents --.
      |           \---- parity ------------------------------ gates ---> code ---- z, w, total, held: M stages --.
      |-- bits -------- table, even knots [V | code 2i-1] --- tents --'                                          |
      '---- x ------------------------------------------ tent^a: left ----------------------- U, V, left ------ clip

1. Two tables hold one word for each pair of cells: that of odd knots (index ``floor(N x / 2)``, which jumps at even
   knots only) the value ``U`` at the odd knot and the code of the cell left of it; that of even knots (index
   ``floor(N x / 2 + 1/2)``, which jumps at odd knots only) the value ``V`` and the code of the cell left of *it*. So
   ``N + 1`` entries hold ``N + 1`` knot values and ``N`` codes, and each value is in a table that does not jump there.
2. A word is ``value + 2^-q code``; ``q`` tents peel the value off (:mod:`~approxrates.constructions.gadgets.walks`).
   The parity of the cell picks one of the two codes.
3. ``left = (M + 1/4) (1 - tent^a(x))``, and ``M`` stages read the digits, far end first.
4. ``out = U + clip(V - U + s (total - relu(y) / 2), s (T + G left))``.

**Proof of the bound**, for every ``x`` in ``[0, 1]``. Everything that garbage can reach is bounded: index ramps
interpolate neighbouring entries and gates of numbers in ``[0, 1]`` by ramps in ``[0, 1]`` stay there, so words, values
and codes are in ``[0, 1]``, digits in ``[0, 2]``.

*Outside ramps* both words, the parity and hence the code are right, ``total - relu(y) / 2 = P(y)``, and ``V + s P`` is
off by the encoder's error and one last bit of values. The clip leaves it alone: at ``y = M`` it is within ``s T`` of
``U`` (``T`` is chosen so), ``P`` has slopes in ``[-1/2, 1/2]``, and ``G >= 2``.

*In the ramp left of an even knot* ``V`` is right; ``U``, parity and code may be garbage. There ``y <= -1/4 + 2^-8``,
so ``total = 0`` and ``relu(y) = 0`` whatever the code (gadget *walk*). The limit is at least ``s G M >= 1 >= |V - U|``,
so ``out = U + (V - U) = V``: as if there were no ramp.

*In the ramp left of an odd knot* ``U`` is right; ``V``, parity and code may be garbage. The clip keeps ``out`` within
``s (T + G left)`` of ``U``, and ``G left <= 2^-8`` there. So the error is at most ``s (T + 2^-8)``, a last bit, and
what the target moves in the ramp: at most ``C 2^(-r k)`` for ramps of width ``2^-k``. The slope of a ramp costs bits
but no weights: ``k`` makes this less than ``C h^r 2^-8``, ``h`` the fine step.

``bound`` in the provenance is the larger of the two: it covers all of ``[0, 1]``, ramps and dead zones included, for
targets that state their distance to interpolants or a Hölder constant (rounding of float64 samples counted); for other
targets ``bound_is_sampled`` is true and it covers the encoder's samples only.

**Proof of the rate.** Let ``s = 4 C h^r``, ``h = 1 / (N (M + 1/4))``. A greedy walk that always steps towards the
target has errors of at most ``3 s / 4`` at nodes: a step is between ``s/4`` and ``s/2`` and the target moves at most
``s/4``, so from an error in ``[0, 3 s/4]`` it comes to one in ``[-3 s/4, 3 s/4]``. Half a step to the nearest node adds
``s/4`` for the walk and ``s/4`` for the target: ``5 s / 4 = 5 C h^r``. The rest is for last bits and ramps. The beam
search replaces the greedy choice; it is not proven to be better, and ``bound`` says what it reached.

**Bits.** A word has ``q + 2 M`` bits, ``q = ceil(r log2(N M)) + 7``: in all about ``2 N M``, against the ``N M`` or so
that any code of the class needs (Kolmogorov & Tikhomirov 1959): the depth axis is paid for in bits per weight.

**Steps.** Non-negative units only, so everything can be carried; strictly feed-forward, no skip connections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from approxrates.constructions.base import Theorem, deep_rate
from approxrates.constructions.encoders.base import Floats, values_on
from approxrates.constructions.encoders.bounds import cell_bound
from approxrates.constructions.encoders.walk import Walks, encode_walks
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import tent_chain
from approxrates.constructions.gadgets.walks import packed, walk, word_at
from approxrates.constructions.graph import Affine, Graph, combination
from approxrates.constructions.line_sizes import Plan, choose, count, depth, depth_law, lower_order
from approxrates.layers import HALF, Dyadic
from approxrates.network import Network
from approxrates.target import Target

NAME = "yarotsky2020_deep_line"
_DEAD = Dyadic(1, -2)
_MARGIN = 8
"""Values' last bits, ramps and the limit's growth in ramps are all ``2^-_MARGIN`` of the scale or less."""


@dataclass(frozen=True)
class Coding:
    """The target's numbers: a value is ``offset + unit word``; scale ``s``, reach ``s T``, widening ``G``; ramps."""

    offset: Dyadic
    unit: Dyadic
    scale: Dyadic
    reach: Dyadic
    widening: Dyadic
    ramp: int


def build(
    target: Target,
    *,
    n_params: int | None = None,
    cells: int | None = None,
    steps: int | None = None,
    words: int | None = None,
    depth_exponent: float | None = None,
    max_bits: int | None = None,
    beam: int = 8,
) -> Network:
    """The network that follows a target, of sizes that are given or of the largest that fit.

    Without ``cells`` and ``steps`` the sizes with the most fine steps ``N M`` in all are taken (``M ~ N``: error
    exponent ``2 r``). With ``depth_exponent`` = ``a`` they belong to the family ``M = max(2, round(4 (N / 32)^a))``,
    whose error exponent is ``r (1 + a)``.

    Args:
        target: A target with ``dim == 1``, Hölder of order ``r <= 1`` (smoother ones are treated as ``r = 1``).
        n_params: Upper limit on weights and biases.
        cells: ``N``, a power of two from 4 on.
        steps: ``M``, from 2 on.
        words: Entries per hinge; None for the number with the fewest weights.
        depth_exponent: ``a = p d / r - 1`` in ``[0, 1]``.
        max_bits: Most bits of a weight that depends on the target, 24 or more; None for no cap. Ramps and other
            constants of the layout, the same for all targets, have ``O(log(N M))`` bits whatever the cap.
        beam: States of the encoder's search.

    Raises:
        ValueError: If neither a limit nor sizes are given, they do not go together, or the limit is too small.
        TypeError: For sizes that are no integers.
    """
    if target.dim != 1 or target.samples is not None:
        raise ValueError(f"{NAME} needs a function of one variable. Got {target.name} with dim={target.dim}.")
    smoothness = min(target.regularity.smoothness, 1.0)
    plan = choose(smoothness, n_params, cells, steps, words, depth_exponent, max_bits)
    walks = encode_walks(target, plan.cells, plan.steps, beam=beam)
    knots = values_on(target, np.arange(plan.cells + 1) / plan.cells)
    coding, whole = _coding(plan, walks, knots, smoothness)
    codes, q = walks.words, plan.value_bits
    odd = [packed(whole[i + 1], codes[i], q) for i in range(0, plan.cells, 2)]
    even = [packed(whole[i], codes[i - 1] if i else Dyadic(0), q) for i in range(0, plan.cells + 1, 2)]
    bound, is_sampled = _bound(target, walks, coding, plan)
    provenance = {
        "construction": NAME,
        "cells": plan.cells,
        "steps": plan.steps,
        "words": plan.words,
        "value_bits": plan.value_bits,
        "n_params": n_params,
        "depth_exponent": depth_exponent,
        "target": dict(target.parameters),
        "bound": bound,
        "bound_is_sampled": is_sampled,
        "mesh": {"cells": plan.cells, "steps": plan.steps, "dead": [1, 4], "reflected": True, "ramp": coding.ramp},
    }
    graph, output = layout(plan, odd, even, coding)
    return graph.network([output], provenance)


def layout(plan: Plan, odd: Sequence[Dyadic], even: Sequence[Dyadic], coding: Coding) -> tuple[Graph, Affine]:
    """The network of a plan for words of the ``N / 2`` odd and ``N / 2 + 1`` even knots: a graph and its output."""
    a, picks = plan.levels
    graph = Graph(1)
    x = graph.input()
    with graph.part("bits"):
        # One bit fewer selects among odd knots, so this chain starts two levels later and the words come out together.
        bits = floor_chain(graph, x, a, coding.ramp, level=3, first_bit=a - 1 - picks)
        shifted = (x + Dyadic(1, -a)) >> 1
        shifted_bits = floor_chain(graph, shifted, a, coding.ramp + 1, first_bit=a - picks)
        parity = bits.bits[-1]
    assert parity is not None
    with graph.part("table"):
        odd_word = word_at(graph, x, bits, a - 1, plan.words, odd)
        even_word = word_at(graph, shifted, shifted_bits, a, plan.words, even)
    with graph.part("unpack"):
        rest = [tent_chain(graph, word, plan.value_bits) for word in (odd_word, even_word)]
        code = graph.relu(rest[0] - parity) + graph.relu(rest[1] - (1 - parity))
    start = graph.level(code) + 1
    with graph.part("position"):
        tau = tent_chain(graph, x, a, level=start - a)
        left = graph.relu((1 - tau) * (_DEAD + plan.steps))
    with graph.part("digits"):
        total = walk(graph, code, left, plan.steps)
    with graph.part("join"):
        climbed = graph.relu(plan.steps - left, graph.level(total))
        follows = even_word - odd_word + total * coding.scale - climbed * (coding.scale * HALF)
        limit = left * (coding.scale * coding.widening) + coding.reach
        joined = odd_word + clip(graph, follows, limit)
    return graph, combination([(joined, coding.unit)], coding.offset)


def _coding(plan: Plan, walks: Walks, knots: Floats, smoothness: float) -> tuple[Coding, list[int]]:
    """Units for a walk's values, and the knots' values as whole multiples of the last bit of a value."""
    low, high, s = float(knots.min()), float(knots.max()), float(walks.scale)
    room = max((high - low) * (1 + 2.0 ** (3 - plan.value_bits)), s)
    unit = Dyadic(1, math.frexp(room)[1])
    last = math.ldexp(1.0, unit.exponent - plan.value_bits)
    offset = Dyadic(math.floor(low / last) - 2, unit.exponent - plan.value_bits)
    whole = [round(v) for v in ((knots - float(offset)) / last - 0.5).tolist()]
    scale = walks.scale << -unit.exponent
    reach = Dyadic(math.ceil((walks.end_error + s * 2.0**-20) / last) + 2, -plan.value_bits)
    widening = Dyadic(1, max(0, math.ceil(0.01 - math.log2(float(scale) * plan.steps))) + 1)
    per_step = plan.cells.bit_length() - 1 + (plan.steps + 1).bit_length() + widening.exponent
    return Coding(offset, unit, scale, reach, widening, per_step + math.ceil(_MARGIN / smoothness)), whole


def _bound(target: Target, walks: Walks, coding: Coding, plan: Plan) -> tuple[float, bool]:
    """The bound on all of [0, 1], and whether it is only sampled; see the module's proof."""
    _, cells = cell_bound(target, walks)
    sampled = not math.isfinite(cells)
    last_bit = float(coding.unit) * 2.0**-plan.value_bits
    radius, smoothness = target.regularity.radius or 0.0, min(target.regularity.smoothness, 1.0)
    in_ramps = float(coding.unit) * (float(coding.reach) + float(coding.scale) * 2.0**-_MARGIN)
    in_ramps += radius * 2.0 ** (-smoothness * coding.ramp) + (target.evaluation_error or 0.0)
    sampled = sampled or target.regularity.radius is None
    return max(walks.error if sampled else cells, in_ramps) + last_bit, sampled


def _constant(target: Target) -> float:
    """``5.5 C``; see the module's proof of the rate."""
    radius = target.regularity.radius
    return math.inf if radius is None else 5.5 * float(radius)


THEOREM = Theorem(
    name=NAME,
    statement="An r-Hölder function of one variable, r <= 1, is within 5.5 C (N M)^-r of a ReLU network with "
    "O(N + M) weights and depth M + O(log N), for any N = 2^a and M: error exponents r to 2 r as M ~ N^0 to N^1.",
    reference="Yarotsky (2018), arXiv:1802.03620; Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (the rate); "
    "the layout and its proof are given here",
    rate_law="error_sup ~ n_params^(-r (1 + a)), depth ~ n_params^a, 0 <= a <= 1",
    count_law="N + 13 M + 2 N / g + 14 g + O(log N) with g words per hinge; exact in count(provenance)",
    dims=(1,),
    rate=deep_rate,
    build=build,
    smoothness=(0.0, 1.0),
    count=count,
    depth=depth,
    size=lambda settings: float(settings["cells"] * settings["steps"]),
    constant=_constant,
    order=1.0,
    lower_order=lower_order,
    depth_law=depth_law,
)
