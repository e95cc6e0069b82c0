r"""Local polynomials of any smoothness by ReLU: the continuous phase ``error ~ W^(-r/d)``, d = 1 and 2.

On cells of side ``h = 1/N`` the target is replaced by polynomials of degree ``k = ceil(r) - 1`` (at least 1) that agree
on common faces (:mod:`~approxrates.constructions.encoders.polynomials` tells which). Their coefficients are looked up
in tables, and k products (k (k + 2) in d = 2) put them together: the tables cost ``O(N^d)`` weights, everything else
``O(log N)`` or, in d = 2, ``O(N)``. So the logarithm of Yarotsky's bound is a summand here, not a factor.

*Layout*, d = 1, N a power of two, ``t = x / 2`` and ``a = log2(N) + 1`` binary digits::

    part                 levels                channels
    tent chain           1 .. a + 1            tau = T^a(t): place in the cell, cells reflected in turn
    index of odd border  1 .. 2 a              leading digits of t, as a number; the last ones as bits
    index of even border 1 .. 2 a - 2          the same for t + 2^-a
    table                one                   hinges over the number; formulas: entries of neighbouring groups
    gates                one per bit           pick the entry of the group: v_0, v_1, d_0 .. d_(k-2)
    products             m_s + 2 for each      v_0 + tau ((v_1 - v_0) + (1 - tau) (d_0 + tau (d_1 + ...)))

In d = 2 the hinges run over all cells of the second axis and the gates over those of the first; the products are done
for the second axis in ``k + 1`` copies side by side, then for the first.

*No garbage*. An index has steep ramps in place of jumps, and there the entries that are read are arbitrary numbers of
their range. But a table of ``v_0`` (values at even borders) steps at the odd borders only, where ``1 - tau`` vanishes,
one of ``v_1`` where ``tau`` does, and one of ``d_j`` where ``tau (1 - tau)`` does. So one copy of the network is
enough: no partition of unity, no shifted copies, no clipping.

*Error*. Let S be the sum of the bounds ``2^top`` of all entries. Four parts, ``E = c h^r`` the first:

1. The interpolant: ``c = (1 + Lambda)^d radius 2^-r Gamma(1 + alpha) / Gamma(1 + r)``.
2. Products. A factor ``v`` in ``[-B, B]`` is the unit ``u = (1 + v/B) / 2``, and ``v q = B (2 u q - q)``; the product
   gadget is off by ``2^(-2 m - 2)``, so this by ``B 2^(-2 m - 1)``, and later factors are at most 1. Steps m are taken
   so that all together are off by at most ``E / 32``. Every B is a power of two that covers entries anywhere in their
   range and the products before, with 1/8 for errors: units never leave ``[0, 1]``, in ramps neither.
3. Entries are multiples of ``2^-bits``: ``2 S 2^-bits <= E / 512``.
4. Ramps are ``2^-ramp`` wide in t, and there the factor that vanishes is at most ``2^(a - ramp)``: ``2 S 2^(a - ramp)
   <= E / 512`` with ``ramp = a + bits``.

Together at most ``(1 + 1/32 + 1/256) E``: :func:`constant`. ``provenance["bound"]`` adds the rounding of the target's
values. It covers all cells and ramps; it is left out if the target states no Hölder radius.

*Continuity*. Only the entries of the tables depend on the target, and they are linear in its values at the nodes, up to
their rounding, for all targets of a ball that have the same ``tops``, bits and steps. (Those of one target are chosen
by its own largest coefficients; a larger choice would serve as well.) So this is the continuous phase.

*Count*: :func:`count`, exactly, with every carry. For d = 1 the leading term is k N: N/2 even borders, N/2 odd ones,
``(k - 1) N`` other coefficients, and hinges shared by ``words`` pairs of cells each.

Proven here. That ``O(N^d log N)`` weights suffice is theorem 1 of Yarotsky (2017), arXiv:1610.01145, with Taylor
polynomials and a partition of unity; that no continuous choice of W weights does better than ``W^(-r/d)`` is DeVore,
Howard & Micchelli (1989), recalled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approxrates.constructions.base import Theorem
from approxrates.constructions.encoders.polynomials import MOST_DEGREE, Pieces, entry, interpolation_bound
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import product, tent_chain
from approxrates.constructions.gadgets.tables import bank, select
from approxrates.constructions.graph import Affine, Graph
from approxrates.constructions.local_counts import count, depth
from approxrates.constructions.local_plan import LOSSES, NAME, Kind, Plan, degree_for, make_plan, sizes_of, stage_tops
from approxrates.constructions.sizes import check_integer, choose_size
from approxrates.layers import HALF, Dyadic
from approxrates.network import Network
from approxrates.target import Target

_MOST_CELLS = 1 << 20


@dataclass(frozen=True)
class _Value:
    """A number ``2^top (2 unit - 1)`` in ``[-2^top, 2^top]``."""

    unit: Affine
    top: int

    @property
    def signed(self) -> Affine:
        """The number itself."""
        return (self.unit << self.top + 1) - Dyadic(1, self.top)


def build(
    target: Target,
    *,
    n_params: int | None = None,
    cells: int | None = None,
    degree: int | None = None,
    words: int | None = None,
) -> Network:
    """The network of local polynomials on the finest grid that fits.

    Args:
        target: What is approximated, of smoothness at most 7, in d = 1 or 2; point values suffice.
        n_params: Upper limit on non-zero weights: the largest power of two of cells per axis is taken that fits.
        cells: Cells per axis, a power of two from 2 on, instead of a limit.
        degree: Degree k of the polynomials, from ``ceil(r) - 1`` to 6; the least by default, and at least 1.
        words: Pairs of cells that share a hinge (d = 1), a power of two up to ``cells / 2``; by default the choice of
            fewest weights.

    Raises:
        ValueError: If neither or too small a size is given, both do not fit together, or a size is out of range; or if
            the target is known at data points only.
        TypeError: If a size is no integer.

    Example:
        >>> from approxrates.catalogue import load_target
        >>> network = build(load_target("bump_tree", smoothness=2.5), cells=64)
        >>> network.n_params == count(network.provenance), network.provenance["steps"]
        (True, [4, 9])
    """
    if target.samples is not None:
        raise ValueError(f"{NAME} needs values on a grid. Got {target.name}, known at data points only.")
    k = degree_for(target.regularity.smoothness, degree)
    check_integer("words", words)
    plans: dict[int, tuple[Plan, Pieces, float]] = {}

    def planned(doublings: int) -> tuple[Plan, Pieces, float]:
        if doublings not in plans:
            plans[doublings] = make_plan(target, 1 << doublings, k, words)
        return plans[doublings]

    wanted = check_integer("cells", cells, 2)
    if wanted is not None and (wanted & (wanted - 1) or wanted > _MOST_CELLS):
        raise ValueError(f"cells must be a power of two up to {_MOST_CELLS}. Got cells={cells}. Write e.g. cells=64.")
    if wanted is None and n_params is None:
        raise ValueError(f"{NAME} needs n_params or cells. Got neither. Write e.g. n_params=2000.")
    doublings = choose_size(
        NAME,
        n_params,
        None if wanted is None else wanted.bit_length() - 1,
        "log2(cells)",
        lambda size: count(sizes_of(planned(size)[0])),
        most=_MOST_CELLS.bit_length() - 1,
    )
    plan, pieces, error = planned(doublings)
    provenance = {**sizes_of(plan), "n_params": n_params, "target": dict(target.parameters)}
    if target.regularity.radius is not None:
        provenance["bound"] = LOSSES * error + pieces.noise
    graph = Graph(target.dim)
    return graph.network([_formula(graph, plan, pieces)], provenance)


def constant(target: Target) -> float:
    """``c`` with ``error_sup <= c cells^-r`` for polynomials of degree ``max(1, ceil(r) - 1)``; see the module's text.

    Raises:
        ValueError: If the Hölder radius is not stated: then nothing is proven.
    """
    if target.regularity.radius is None:
        raise ValueError(
            f"the constant of {NAME} needs a Hölder radius. Got {target.name} without one. State it: "
            "ar.Regularity(smoothness=1.5, dim=1, radius=3.0)."
        )
    r = target.regularity.smoothness
    return LOSSES * interpolation_bound(r, target.regularity.radius, degree_for(r, None), target.dim)


def _formula(graph: Graph, plan: Plan, pieces: Pieces) -> Affine:
    """The whole network."""
    k = plan.degree
    places = [graph.input(axis) * Dyadic(plan.cells, -plan.n_digits) for axis in range(plan.dim)]
    with graph.part("tent chain"):
        taus = [graph.relu(tent_chain(graph, place, plan.n_digits)) for place in places]
    read = _read_line if plan.dim == 1 else _read_plane
    values = {kind: _Value(unit, plan.tops[kind]) for kind, unit in read(graph, plan, pieces, places).items()}
    with graph.part("products"):
        if plan.dim == 1:
            return _along(graph, [values[(p,)] for p in range(k + 1)], taus[0], plan.steps)[0]
        rows = [
            _normalised(graph, *_along(graph, [values[p, q] for q in range(k + 1)], taus[1], plan.steps[:k]))
            for p in range(k + 1)
        ]
        return _along(graph, rows, taus[0], plan.steps[k:])[0]


def _along(graph: Graph, values: Sequence[_Value], tau: Affine, steps: Sequence[int]) -> tuple[Affine, int]:
    """``v_0 + tau ((v_1 - v_0) + (1 - tau) (d_0 + tau (d_1 + ...)))`` and an exponent that covers it."""
    stages, result = stage_tops([value.top for value in values])
    even, odd, *inner = values
    rise = odd.signed - even.signed
    if inner:
        value = inner.pop()
        for lower, m, top in zip(reversed(inner), steps, stages[1:], strict=False):
            value = _normalised(graph, lower.signed + _times(graph, value, tau, m), top)
        rise = rise + _times(graph, value, 1 - tau, steps[-2])
    value = _normalised(graph, rise, stages[-1])
    return even.signed + _times(graph, value, tau, steps[-1]), result


def _times(graph: Graph, value: _Value, factor: Affine, steps: int) -> Affine:
    """``value * factor`` for a factor in ``[0, 1]``, off by at most ``2^(top - 2 steps - 1)``."""
    return (2 * product(graph, value.unit, factor, steps) - factor) << value.top


def _normalised(graph: Graph, formula: Affine, top: int) -> _Value:
    """A formula in ``[-2^top, 2^top]`` as a unit in ``[0, 1]``."""
    return _Value(graph.relu((formula >> top + 1) + HALF), top)


def _tables(plan: Plan, pieces: Pieces, kind: Kind) -> Any:
    """Entries of one coefficient in the order of its indices: values at borders once, other ones for every cell.

    Along each axis one more entry than needed stands for x = 1, but for the even borders, of which it is one.
    """
    table = pieces.numerators[kind]
    for axis, part in enumerate(kind):
        evens = [0, *range(1, plan.cells, 2)]
        odds = [*range(0, plan.cells, 2), plan.cells - 1]
        cells = [*range(plan.cells), plan.cells - 1]
        table = table.take((evens, odds, cells)[min(part, 2)], axis=axis)
    return [entry(int(n), pieces.scale, plan.tops[kind], plan.bits) for n in table.ravel()], table.shape


def _read_line(graph: Graph, plan: Plan, pieces: Pieces, places: Sequence[Affine]) -> dict[Kind, Affine]:
    """Entries of the cell of a point, d = 1, as units: hinges over leading digits, gates over the last ones."""
    place, a, k, picks = places[0], plan.n_digits, plan.degree, plan.words.bit_length() - 1
    lead = a - 1 - picks
    found: dict[Kind, Affine] = {}
    for t, kinds, n_bits in (
        (place + Dyadic(1, -a), [0], a - 1),
        (place, list(range(1, k + 1)), a if k > 1 else a - 1),
    ):
        with graph.part("index"):
            digits = floor_chain(graph, t, n_bits, plan.ramp, first_bit=lead, settled=True)
            index = graph.relu((t << lead) - digits.remainders[lead - 1])
        bits = _units(digits.bits[lead:])
        own = [bits[: picks + (kind > 1)] for kind in kinds]
        columns: list[list[Dyadic]] = []
        for kind, gates in zip(kinds, own, strict=True):
            table, group = _tables(plan, pieces, (kind,))[0], 1 << len(gates)
            table += [table[-1]] * (-len(table) % group)
            columns += [table[j::group] for j in range(group)]
        with graph.part("table"):
            read = bank(graph, index, columns, 2 * n_bits)
            for kind, gates in zip(kinds, own, strict=True):
                mine, read = read[: 1 << len(gates)], read[1 << len(gates) :]
                found[(kind,)] = _picked(graph, mine, gates)
    return found


def _read_plane(graph: Graph, plan: Plan, pieces: Pieces, places: Sequence[Affine]) -> dict[Kind, Affine]:
    """Entries of the cell of a point, d = 2, as units: hinges over the second axis, gates over the first."""
    a, k, level = plan.n_digits, plan.degree, 2 * plan.n_digits + 2
    first, second = places
    shift = Dyadic(1, -a)
    n_bits = a if k > 1 else a - 1
    with graph.part("index"):
        even = floor_chain(graph, first + shift, a - 1, plan.ramp, first_bit=0, settled=True)
        other = floor_chain(graph, first, n_bits, plan.ramp, first_bit=0, settled=True)
        even_rest = floor_chain(graph, second + shift, a - 1, plan.ramp, settled=True).remainders
        other_rest = floor_chain(graph, second, n_bits, plan.ramp, settled=True).remainders
        indices = [
            graph.relu((second + shift << a - 1) - even_rest[a - 2]),
            graph.relu((second << a - 1) - other_rest[a - 2]),
        ]
        if k > 1:
            indices.append(graph.relu((second << a) - other_rest[a - 1]))
    gates = [_units(even.bits), _units(other.bits)[: a - 1], _units(other.bits)]
    found: dict[Kind, Affine] = {}
    for sort, index in enumerate(indices):
        kinds = [(p, q) for q in range(k + 1) if min(q, 2) == sort for p in range(k + 1)]
        columns: list[list[Dyadic]] = []
        for kind in kinds:
            table, (_, length) = _tables(plan, pieces, kind)
            columns += [table[j : j + length] for j in range(0, len(table), length)]
        with graph.part("table"):
            read = bank(graph, index, columns, level)
            for kind in kinds:
                n_rows = plan.cells + 1 if kind[0] > 1 else plan.cells // 2 + 1
                mine, read = read[:n_rows], read[n_rows:]
                found[kind] = _picked(graph, mine, gates[min(kind[0], 2)])
    return found


def _picked(graph: Graph, entries: list[Affine], bits: list[Affine]) -> Affine:
    """The entry that bits spell, as a unit."""
    return graph.relu(select(graph, entries, bits) if bits else entries[0])


def _units(bits: Sequence[Affine | None]) -> list[Affine]:
    """Bits that were made units."""
    return [bit for bit in bits if bit is not None]


THEOREM = Theorem(
    name=NAME,
    statement="An r-smooth function in d = 1 or 2 is approximated by ReLU networks of O(N^d) weights and O(log N) "
    "depth with sup error O(N^-r), the weights depending continuously on it.",
    reference="Yarotsky (2017), arXiv:1610.01145, theorem 1 (with a partition of unity, and log N more weights)",
    rate_law="error_sup ~ n_params^(-r / d)",
    count_law="local_counts.count; about (k N)^d, degree k = max(1, ceil(r) - 1)",
    dims=(1, 2),
    rate=lambda smoothness, dim: smoothness / dim,
    build=build,
    smoothness=(0.0, float(MOST_DEGREE + 1)),
    count=count,
    depth=depth,
    size=lambda settings: float(settings["cells"]),
    constant=constant,
)
