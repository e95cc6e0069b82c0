r"""The deep discontinuous phase in the plane: ``error_sup ~ W^-r`` for r-Hölder functions on the square, r <= 1.

*Layout.* Three networks look at three grids of ``(N M)^2`` fine cells, shifted against each other by a quarter of a
fine cell. Each knows its coarse cell (N per axis) by binary digits of the coordinates, looks up that cell's code word
in a table, and finds the number ``y`` of its fine cell on the snake path through the ``M^2`` fine cells of the coarse
cell. The word is unfolded digit by digit, far end of the path first::

    z, w     the word under the tent map of slope 4: z' = relu(4z - 8w), w' = relu(4z - 8w - 1/2)
    m        m' = relu(m - 1), from M^2 - 1 - y on: 0 as soon as the digits on the way to cell y are due
    walk     walk' = relu(walk + z - m): 0 while m >= 1, because z <= 1; then it adds up z_y + ... + z_1
    lead     relu(1 - 4w), a hard 0 or 1: the binary digits of the walk's start value, read last

and the network's value is ``V = walk - y/2 + start``, in units of the scale s: a constant in each fine cell.

*What the shifts are for.* A digit is right except on a ramp, 1/64 of a fine cell to the left of a grid line. Let F_k be
the position in fine cells of network k (A, B, C; shifts 1/8, 1/8 + 1/3, 1/8 + 2/3, each off by at most 1/512), and
``d_k`` the distance of the point to the nearest grid line of k, in either coordinate. If ``d_k > 1/64`` then V_k is the
value of the walk of k in the cell of k that holds the point; call it *good* if even ``d_k > p``. With ``p = 19/128``,
``q = 20/128``, ``clip(v, T)`` cutting v to ``[-T, T]``, ``T_A = relu(2 G (d_A - p))`` and
``T_AB = relu(2 G (d_A - q)) + relu(2 G (d_B - q))`` the output is ::

    o2 = V_B + clip(V_A - V_B, T_A)        o3 = V_C + clip(o2 - V_C, T_AB)

**Claim.** At every point of the square o3 lies between two good values, or is one. So ``|f - s o3|`` is at most the
largest distance of f from a walk on the inner parts ``[p, 1 - p]^2`` of fine cells: cells seem 45/64 as wide as they
are. *Proof.* All values, garbage included, lie within R of each other: by induction ``0 <= z <= 1``, so the walk with
its start value is between 0 and ``M^2 + 2^leads - 2``, and ``0 <= y <= M^2 + 2 M``. G is 64 R or more, so a limit is at
least R where its distance is 1/128 beyond p or q; note ``q + 1/128 = 21/128``. Clipping moves towards V_B or V_C only:
o2 lies between V_A and V_B, o3 between o2 and V_C. In one coordinate lines of two networks are at least
``1/3 - 1/256`` apart, which is more than ``2 * 21/128``.

1. *d_A >= 21/128.* Then T_A and T_AB are at least R: o3 = o2 = V_A, which is good.
2. *d_A < 21/128 <= d_B.* T_AB is at least R, o3 = o2, and V_B is good. If ``d_A <= p`` then T_A = 0 and o2 = V_B; else
   V_A is good too, and o2 is between the two.
3. *d_A, d_B < 21/128.* The line of A and the line of B that are near belong to different coordinates, because lines
   in one coordinate are further apart. So in each coordinate a line of A or B is within 21/128, and those of C are at
   least ``1/3 - 1/256 - 21/128 > p`` away: V_C is good. If ``d_A, d_B <= q``, T_AB = 0 and o3 = V_C. Else o2 is between
   good values: if ``d_A > q``, T_A is at least R and o2 = V_A is good; if ``d_A <= q < d_B``, V_B is good, and V_A is
   good or does not count (T_A = 0), as in 2. ∎

*Border.* F_k runs over ``[1/9, N M - 1/13]``: the lines 0 and N M are never reached, and every index exists.

*Error.* A fine cell has side ``h = 1/stretch`` with ``stretch = N M - 7/8`` up to 1/256. With the Hölder constant L the
middle values of neighbouring inner parts differ by at most ``L h^r``; a walk of scale ``4 L h^r`` stays within 3/4 of a
scale of them (:mod:`approxrates.constructions.encoders.plane`), and f within ``L (sqrt(2) 45/64 h)^r <= L h^r``:
``error_sup <= 4 L h^r``. The beam search does much better; where it should not, the walk of the proof is taken, so that
the bound holds always. What really counts is the oscillation of f over an inner part: half of it is lost by any walk.

*Count.* About ``33 M^2`` for the digits, ``3 (1 + 2 / words) N^2`` for the tables, ``O(log N M)`` for everything else;
exactly, see :func:`count`. Depth ``M^2 + O(log N M)``. A code word has ``2 (M^2 + leads)`` bits.

Sources: the statement is that of Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (recalled), in d = 2 with r <= 1, and
for r <= 1 of Yarotsky (2018), arXiv:1802.03620. This layout, its count and its error bound are proven here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.constructions.base import Settings, Theorem, deep_rate
from approxrates.constructions.encoders.plane import Walks, encode_plane
from approxrates.constructions.encoders.plane_cells import Grid, value_range
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import tent_chain
from approxrates.constructions.gadgets.tables import bank, select
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Affine, Graph, combination
from approxrates.constructions.sizes import check_integer, choose_size
from approxrates.layers import HALF, Dyadic, nearest
from approxrates.network import Network
from approxrates.target import Target

_SHIFTS = (Fraction(3, 24), Fraction(11, 24), Fraction(19, 24))  # in fine cells
_INNER, _SHARED = Dyadic(19, -7), Dyadic(5, -5)  # p and q above
_RAMP = 6  # ramps are 2^-6 of a fine cell wide
_FINEST_SCALE = 16.0  # the scale is at least L (N M)^-r / 16, which fixes the number of leading digits
_MAX_FINE = 4096  # fine cells per axis: beyond it the encoder's arrays take gigabytes
_MOST_LEADS = 48  # start values of walks are whole numbers in float64
_WIDEST = 256  # walks of the widest beam; their numbers fit in a byte


@dataclass(frozen=True)
class Plan:
    """Sizes of a network: N coarse cells and M fine steps per axis, words per hinge, leading digits."""

    cells: int
    steps: int
    words: int
    leads: int

    @property
    def bits(self) -> tuple[int, int, int]:
        """Binary digits of a coarse index, of a fine index, and of a place among the words of a hinge."""
        return (self.cells - 1).bit_length(), (self.steps - 1).bit_length(), self.words.bit_length() - 1

    @property
    def n_groups(self) -> int:
        """Hinges per coarse row."""
        return -(-self.cells // self.words)

    @property
    def first(self) -> int:
        """Level of the first digit of the code word."""
        coarse, fine, _ = self.bits
        return 2 * (coarse + fine) + 3

    @property
    def last(self) -> int:
        """Level of the three finished walks."""
        return self.first + self.steps**2 + self.leads

    @property
    def waves(self) -> int:
        """Tents of a distance to grid lines: the fine cells are at most ``2^waves`` per axis."""
        return (self.cells * self.steps - 1).bit_length()

    def frame(self) -> tuple[Dyadic, list[Dyadic]]:
        """Position in coarse cells as ``stretch x + shift``: the stretch, and the shift of each network."""
        below = self.bits[1] + 8
        stretch = Dyadic(((8 * self.cells * self.steps - 7) << below) // (8 * self.steps), -below)
        return stretch, [nearest(shift / self.steps, -below) for shift in _SHIFTS]

    def grids(self) -> Iterator[Grid]:
        """The three grids of fine cells."""
        stretch, shifts = self.frame()
        for shift in shifts:
            yield Grid(self.cells, self.steps, float(stretch * self.steps), float(shift * self.steps), float(_INNER))

    def gate(self) -> Dyadic:
        """G of the module's proof: a power of two, at least 64 times the range of all values."""
        reach = 3 * self.steps**2 // 2 + self.steps + 2**self.leads
        return Dyadic(64 << reach.bit_length())


def _start(graph: Graph, x: Affine, y: Affine, plan: Plan, table: list[Dyadic]) -> tuple[Affine, Affine]:
    """Code word and snake index of one network; ``x, y`` in coarse cells."""
    coarse, fine, picks = plan.bits
    with graph.part("cell"):
        along = floor_chain(graph, x >> coarse, coarse, coarse + fine + _RAMP)
        across = floor_chain(graph, y >> coarse, coarse, coarse + fine + _RAMP, first_bit=coarse - picks)
        group = (y >> picks) - across.remainders[coarse - picks - 1]
        index = graph.relu((x - along.remainders[-1]) * plan.n_groups + group)
    with graph.part("table"):
        columns = [table[k :: plan.words] for k in range(plan.words)]
        entries = bank(graph, index, columns, plan.first - 1 - max(picks, 1))
        code = select(graph, entries, [bit for bit in across.bits if bit is not None])
    with graph.part("snake"):
        places = []
        for digits, parity in ((along, None), (across, fine - 1)):
            rest = digits.remainders[-1]
            inner = floor_chain(graph, rest * Dyadic(plan.steps, -fine), fine, fine + _RAMP, first_bit=parity)
            places.append((rest * plan.steps - inner.remainders[-1], inner.bits[-1]))
        (step, _), (row, odd) = places
        if odd is None:
            raise ValueError("the parity of the row must be a unit. Got none. Ask the floor chain for it.")
        forwards = graph.relu(step - odd * plan.steps)
        backwards = graph.relu(odd * plan.steps - step - 1)
        return code, graph.relu(row * plan.steps + forwards + backwards)


def _walk(graph: Graph, code: Affine, number: Affine, plan: Plan) -> Affine:
    """The walk to fine cell ``number``, with its start value, as one unit."""
    steps = plan.steps**2
    with graph.part("digits"):
        z, w = graph.relu(code), graph.relu(code - HALF)
        held = graph.relu(steps - 1 - number)
        walk: Affine | None = None
        for stage in range(steps - 1 + plan.leads):
            lead = stage - (steps - 1)
            if lead < 0:
                moved = graph.relu(z - held if walk is None else walk + z - held)
                held = graph.relu(held - 1)
            elif walk is not None:
                moved = graph.relu(walk + (graph.relu(1 - 4 * w) << plan.leads - 1 - lead))
            tent = (z << 2) - (w << 3)
            z, w, walk = graph.relu(tent), graph.relu(tent - HALF), moved
    if walk is None:
        raise ValueError(f"steps must be at least 2. Got steps={plan.steps}. Write steps=2 or more.")
    return walk


def _limits(graph: Graph, plan: Plan, positions: list[tuple[Affine, ...]]) -> tuple[Affine, Affine]:
    """``T_A`` and ``T_AB`` from the positions of A and B in fine cells."""
    gate, start = plan.gate(), 2 * plan.bits[0] + 1
    twice = []
    with graph.part("distance"):
        for position in positions:
            first, second = (tent_chain(graph, axis >> plan.waves, plan.waves + 1, start) for axis in position)
            twice.append(graph.relu(first) - graph.relu(first - second))
        far, further = (graph.relu(distance * gate - (gate * _SHARED << 1)) for distance in twice)
        return graph.relu(twice[0] * gate - (gate * _INNER << 1)), graph.relu(far + further)


def network_of(
    plan: Plan, tables: list[list[Dyadic]], scale: Dyadic, low: Dyadic, provenance: dict[str, Any]
) -> Network:
    """The network of a plan with three tables of code words, coarse rows padded to whole groups."""
    graph = Graph(2)
    stretch, shifts = plan.frame()
    positions = [tuple(graph.input(axis) * stretch + shift for axis in range(2)) for shift in shifts]
    starts = [_start(graph, x, y, plan, table) for (x, y), table in zip(positions, tables, strict=True)]
    fine = [tuple(axis * plan.steps for axis in position) for position in positions[:2]]
    limit_a, limit_ab = _limits(graph, plan, fine)
    a, b, c = (_walk(graph, code, number, plan) - (number >> 1) for code, number in starts)
    with graph.part("select"):
        second = b + clip(graph, a - b, limit_a)
        third = c + clip(graph, second - c, limit_ab)
    return graph.network([combination([(third, scale)], low)], provenance)


def count(sizes: Settings) -> int:
    """Exact number of weights and biases of a network with these ``cells``, ``steps``, ``words`` and ``leads``."""
    plan = Plan(*(int(sizes[name]) for name in ("cells", "steps", "words", "leads")))
    coarse, fine, picks = plan.bits
    stages, entries, span = plan.steps**2 - 1, plan.cells * plan.n_groups, plan.last - plan.first
    bank_level = plan.first - 1 - max(picks, 1)
    floors = 16 * (coarse + fine) + 2 + 2 * picks + 2
    index = 5 + 2 * picks + bank_level - 2 * coarse - 2  # with the carries of the group's remainder and of the index
    bits = sum(bank_level + 3 * picks - 2 * coarse - 3 - 3 * j for j in range(picks))
    table = 2 * (entries - 1) - 1 + plan.words * entries
    gates = plan.words + 7 * (plan.words // 2 - 1) if picks else 0
    snake = 3 + 4 + 4 + 2 + 4 * fine + 2 + span + 1
    digits = (5 if picks else 3) + 5 * (stages + plan.leads - 1) - 2 + 2 * (stages - 1) + 3 * stages - 1
    each = floors + index + bits + table + gates + snake + digits + 4 * plan.leads + 1
    distances = 4 * (4 + 5 * plan.waves) + 2 * 6 + 3 * 3 + 2 + 2 * (plan.last - 2 * coarse - 2 - plan.waves)
    return 3 * each + 4 * coarse + distances + 2 * 3 + 10 + 16 + 6


def depth(sizes: Settings) -> int:
    """Exact number of hidden layers: ``M^2 + leads + 2 (bits of a coarse and of a fine index) + 5``."""
    return Plan(*(int(sizes[name]) for name in ("cells", "steps", "words", "leads"))).last + 2


def constant(target: Target) -> float:
    """``c`` with ``error_sup <= c (N M)^-r`` at every size: ``4 L (4 / 3.12)^r``.

    A fine cell has side ``1 / (N M - 0.88)`` at most, and ``N M >= 4``; 1e-4 is for the rounding of the scale.
    """
    r, radius = _holder(target)
    return 4.0 * radius * math.pow(4.0 / 3.12, r) * (1.0 + 1e-4)


def _holder(target: Target) -> tuple[float, float]:
    """Smoothness and Hölder constant of a target, or a ValueError."""
    r, radius = target.regularity.smoothness, target.regularity.radius
    if not r <= 1.0:
        raise ValueError(f"smoothness must be at most 1 for yarotsky2020_deep_plane. Got smoothness={r:g}.")
    if radius is None or not radius > 0:
        raise ValueError(
            f"yarotsky2020_deep_plane needs a target with a known Hölder constant above 0. Got radius={radius}. "
            "Write ar.Regularity(smoothness=..., dim=2, radius=...)."
        )
    return r, radius


def _leads(cells: int, steps: int, span: tuple[float, float], holder: tuple[float, float]) -> int:
    """Binary digits that write every start value in units of the least scale."""
    r, radius = holder
    leads = math.ceil(math.log2((span[1] - span[0]) * _FINEST_SCALE * (cells * steps) ** r / radius + 5.0))
    if leads > _MOST_LEADS:
        raise ValueError(
            f"radius must not be so small that values of the target are rounded to more. Got radius={radius:g} for "
            f"values over {span[1] - span[0]:g}. State a larger one."
        )
    return leads


def _thriftiest(cells: int, steps: int, words: int | None, leads: int) -> Plan:
    """The plan with the fewest weights: words per hinge a power of two, below the cells, chosen if None is given."""
    coarse, fine, _ = Plan(cells, steps, 1, leads).bits
    allowed = [1 << k for k in range(min(coarse - 1, 2 * fine) + 1)]
    if words is not None and words not in allowed:
        raise ValueError(
            f"words must be a power of two, at most {allowed[-1]} for cells={cells} and steps={steps}. "
            f"Got words={words}. Leave it out."
        )
    plans = [Plan(cells, steps, choice, leads) for choice in (allowed if words is None else [words])]
    return min(plans, key=lambda plan: count(vars(plan)))


def _choose(
    target: Target, n_params: int | None, cells: int | None, steps: int | None, words: int | None, depth_exponent: float
) -> Plan:
    """Sizes as given, or the largest ``N M`` that fits into ``n_params``."""
    span, holder = value_range(target), _holder(target)

    def plan(n: int, m: int) -> Plan:
        return _thriftiest(n, m, words, _leads(n, m, span, holder))

    def largest(m: int) -> Plan:
        return plan(
            choose_size(
                THEOREM.name, n_params, cells, "cells", lambda n: count(vars(plan(n, m))), least=2, most=_MAX_FINE // m
            ),
            m,
        )

    if steps is not None:
        return largest(steps)
    if n_params is None:
        raise ValueError(f"{THEOREM.name} needs n_params, or cells and steps. Got neither. Write e.g. n_params=5000.")
    if depth_exponent < 1.0:
        return largest(min(max(2, round((n_params / 70) ** (depth_exponent / 2))), _MAX_FINE // 2))
    least = 2 if cells is None else cells
    most = min(math.isqrt(n_params // 33) + 1, _MAX_FINE // least)
    fits = [m for m in range(2, max(2, most) + 1) if count(vars(plan(least, m))) <= n_params]
    plans = [largest(m) for m in fits or [2]]
    return max(plans, key=lambda p: (p.cells * p.steps, -count(vars(p))))


def build(
    target: Target,
    *,
    n_params: int | None = None,
    cells: int | None = None,
    steps: int | None = None,
    words: int | None = None,
    depth_exponent: float = 1.0,
    beam: int = 16,
) -> Network:
    """The network of the deep phase in the plane; see the top of the module.

    Args:
        target: Of dim 2, smoothness at most 1, with a Hölder constant.
        n_params: Upper limit on weights and biases; the plan with the largest ``cells * steps`` that fits is built.
        cells: Coarse cells per axis, N >= 2.
        steps: Fine cells per axis of a coarse cell, M >= 2.
        words: Code words that share a hinge, a power of two; None for the cheapest.
        depth_exponent: Depth knob a in [0, 1]: ``M^2 = (n_params / 70)^a`` for a < 1, so that
            ``error_sup ~ W^(-r (1 + a) / 2)``; 1 takes the best M.
        beam: Walks that the encoder keeps.

    Returns:
        A Network. ``provenance["bound"]`` is a proven bound on ``error_sup`` over the whole square: the largest
        distance of f from the walk in any fine cell of any of the three networks, with f bounded on the cell by its
        enclosures on the dyadic squares it meets (or by samples and the Hölder constant, if that is less, or there
        are no enclosures). By the claim above nothing adds to it, no ramp and no border.

    Raises:
        ValueError: If sizes are out of range, the limit is too small, or the target has no Hölder constant.
        TypeError: If a size is no integer.
    """
    limit, beam = check_integer("n_params", n_params), int(check_integer("beam", beam) or 1)
    cells, steps = check_integer("cells", cells, 2), check_integer("steps", steps, 2)
    if beam > _WIDEST:
        raise ValueError(f"beam must be at most {_WIDEST}. Got beam={beam}. Write e.g. beam=16.")
    if not 0.0 <= depth_exponent <= 1.0:
        raise ValueError(f"depth_exponent must be in [0, 1]. Got {depth_exponent}. Write e.g. depth_exponent=0.5.")
    if steps is not None and cells is None and limit is None:
        raise ValueError(f"{THEOREM.name} needs n_params or cells with steps. Got steps={steps} alone. Write cells=8.")
    if (fine := (steps or 2) * (cells or 2)) > _MAX_FINE:
        raise ValueError(f"cells * steps must be at most {_MAX_FINE}. Got {fine}. Use fewer cells.")
    plan = _choose(target, limit, cells, steps, check_integer("words", words), float(depth_exponent))
    r, radius = _holder(target)
    least = radius * (plan.cells * plan.steps) ** -r / _FINEST_SCALE
    coding = encode_plane(target, list(plan.grids()), plan.leads, value_range(target)[0], least, beam)
    provenance = {
        "construction": THEOREM.name,
        **vars(plan),
        "n_params": limit,
        "beam": beam,
        "scale": [coding.scale.mantissa, coding.scale.exponent],
        "target": dict(target.parameters),
        "bound": coding.bound,
    }
    return network_of(plan, [_table(walks, plan) for walks in coding.walks], coding.scale, coding.low, provenance)


def _table(walks: Walks, plan: Plan) -> list[Dyadic]:
    """Code words by coarse cell, each row filled up to whole groups; a last digit 1 keeps words off 0 and 1."""
    words = code_words(np.concatenate([walks.digits, np.ones((len(walks.digits), 1), dtype=np.uint8)], axis=1))
    spare = plan.n_groups * plan.words - plan.cells
    rows = [words[k : k + plan.cells] for k in range(0, len(words), plan.cells)]
    return [word for row in rows for word in [*row, *[row[-1]] * spare]]


THEOREM = Theorem(
    name="yarotsky2020_deep_plane",
    statement="Every r-Hölder function on the square, r <= 1, is within O(W^-r) of a ReLU network with W weights and "
    "depth O(W), whose weights depend on it discontinuously.",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (recalled); Yarotsky (2018), arXiv:1802.03620",
    rate_law="error_sup ~ n_params^-r",
    count_law="33 M^2 + 3 (1 + 2 / words) N^2 + O(log(N M))",
    dims=(2,),
    rate=deep_rate,
    build=build,
    smoothness=(0.0, 1.0),
    count=count,
    depth=depth,
    size=lambda sizes: float(sizes["cells"] * sizes["steps"]),
    constant=constant,
    order=1.0,
)
