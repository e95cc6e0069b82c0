r"""The deep discontinuous phase for ``2 < r <= 3`` on the line: quadratic splines read from one long weight per cell.

As :mod:`approxrates.constructions.deep_slopes`, with paths one degree higher: in each cell a quadratic spline whose
first slope ``v`` and curvature ``k`` are whole numbers of units and whose curvature moves by half a unit, up or down,
at every node. Only one product is needed in the whole network, because

    ``sum_j b_j relu(y - j)^2 = y sum_j b_j relu(y - j) - sum_j j b_j relu(y - j)``:

both sums on the right are piecewise linear, and a decoder adds them up in two channels.

LAYOUT, from left to right; ``a = log2 N``, ``S`` digits in all, ``m`` steps per square::

    level      1 ........ 2a+K   2a+K+1 ............ L = 2a+K+S+2  L+1 ..... E = L+m+1   E+1      out
    word       | digits of x, table, gates |
    triangle   |        ... tent chain     |
    z, w                                   | tent of slope 4: next digit  |
    c                                      | y, ..., y, y-1, y-2, ...     |
    m, A, D                                | sums of c where the digit is 0 | product  |   clip
    x          ============================== tent chain, tables ==================== |
    V, U                                                          | digits, tables   |  V-U    U+clip

*Decoder*, 15 weights per digit. Word, position ``y`` and gates are those of ``deep_slopes``. Digits of the first slope
add ``2 2^i b_i y`` to ``D``; digits of the first curvature add ``2^i b_i y`` to ``A``; each further digit adds
``b_j relu(y - j) - relu(y - j - 1) / 2`` to ``A`` and ``-j b_j relu(y - j) + (j + 1) relu(y - j - 1) / 2`` to ``D``, so
that in the end the digits count as ``b_j - 1/2`` for ``j >= 1``. ``A`` starts from ``M/2 y`` and ``D`` from
``(M^2/4 + 1) y``; so they are never negative. With

    ``B = A - (2^(I_2 - 1) + M/2 + 1/2) y``,  which is the slope of the path less its first slope at whole ``y``,

    ``path = V + s / 2 (y B + D - (2^(I_1) + M^2/4 + 1) y)``.

*Product.* ``|B| <= X``, which the encoder checks; ``y B = 2 M X p q - X y`` for ``p = y / M`` and
``q = (B + X) / (2 X)`` in ``[0, 1]``. The product of ``m`` steps is off by ``2^(-2m-2)`` at most, so the path by
``M X 2^(-2m-2) <= 2^-6`` units. At ``y = 0`` both squares have equal arguments and the product is exactly 0.

PROOF of the bound. As in ``deep_slopes``: off the ramps the clip must not act, in dead zones ``out = V``, in ramps left
of odd knots the clip keeps ``out`` near ``U``. Here the limit is ``s (rest + Gamma (M - y))`` with ``Gamma`` at least
the largest slope of a path, and ``rest`` at least the distance of its end from ``U``, plus the error of the product:
``|path(y) - U| <= |path(M) - U| + (M - y) max |slope|``. The error on paths is the encoder's, with the target between
samples as :func:`approxrates.constructions.encoders.bend_cells.bend_codes` says.

*For every size.* Third differences at nodes are at most ``H h^r``, ``H`` the Hölder constant of ``f''``: a second
difference is ``h^2`` times a mean of ``f''``. With ``s`` eight times the largest one, the sliding code of
:mod:`approxrates.constructions.encoders.bends` is never off by more than 275 units at nodes, ``2200 H h^r``; between
them the second derivative of ``f - path`` is at most 2.5 units and ``2 H h^r``, and an eighth of it is added. The
encoder takes the best of several scales, this one among them, and of two codes, this one among them: with room for
roundings, ``error_sup <= 2300 H (N M)^-r``. (Measured constants are below ``H``.) Targets are sampled in float64, so no
scale is below ``2^-40 max |f|``; where ``H (N M)^-r`` is, that takes its place in the law.

BITS. Words take ``2 S`` bits, about ``2 N M`` in all.

Source: Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the statement (recalled); the layout and the proof
above are this module's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.base import Theorem
from approxrates.constructions.encoders.bend_cells import BendCodes, BendSizes, bend_codes, bend_sizes
from approxrates.constructions.encoders.slope_cells import MOST_STEPS
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.reflected import ending_lookup, ending_lookup_count, index_level, position_count
from approxrates.constructions.gadgets.reflected import position as position_unit
from approxrates.constructions.gadgets.sawtooth import product
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Affine, Graph
from approxrates.constructions.sizes import check_fine_steps
from approxrates.layers import HALF, ONE, Dyadic
from approxrates.network import Network
from approxrates.target import Target

NAME = "yarotsky2020_deep_taylor"
_BALANCE = range(5)  # log2 of cells over steps, for networks chosen by n_params
_LEAST_CELLS, _LEAST_STEPS = 8, 4
_LEAST = BendSizes(2, 2, 2, 2)


@dataclass(frozen=True)
class Sizes:
    """Everything that counts and depths depend on.

    Attributes:
        cells: N, a power of two, at least 8.
        steps: M, a power of two, at least 4.
        slope_digits: Digits of the first slope.
        bend_digits: Digits of the first curvature.
        product_steps: m.
        words: Words that share a hinge, from 2 to N/2.
        entries: The same for values at knots, from 2 to N/4.
    """

    cells: int
    steps: int
    slope_digits: int
    bend_digits: int
    product_steps: int
    words: int
    entries: int

    @property
    def cell_bits(self) -> int:
        """Number ``a = log2 N`` of bits of a cell's number."""
        return self.cells.bit_length() - 1

    @property
    def first(self) -> int:
        """Level of the first digit."""
        return 2 * self.cell_bits + self.words.bit_length()

    @property
    def decoded(self) -> int:
        """Level L of the last sums."""
        return self.first + self.slope_digits + self.bend_digits + self.steps + 1

    @property
    def last(self) -> int:
        """Level E of the last steps of the product."""
        return self.decoded + self.product_steps + 1

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return self.last + 1

    @property
    def n_params(self) -> int:
        """Weights and biases of the network, part by part."""
        a, m, half = self.cell_bits, self.product_steps, self.cells // 2
        decoder = 15 * self.steps + 10 * self.slope_digits + 11 * self.bend_digits - 7
        tables = ending_lookup_count(a, self.words, self.cells)
        tables += ending_lookup_count(a - 1, self.entries, half) + ending_lookup_count(a, self.entries, half + 1) + 2
        x_carries = max(self.decoded - a, index_level(self.entries, self.last)) - 1
        carries = x_carries + (m + 1) + (m + 2)  # x; D; y
        tail = 26 + 2 + 6  # both units of the clip, U carried over them, the output
        return tables + 2 * position_count(a) + decoder + carries + (16 * m - 1) + tail


def build(
    target: Target, *, n_params: int | None = None, cells: int | None = None, steps: int | None = None
) -> Network:
    """The network of quadratic splines with the most nodes that fits, or with given sizes.

    Args:
        target: ``dim`` 1, smoothness above 2 and up to 3.
        n_params: Upper limit on weights and biases. Cells and steps are then powers of two with ``N / M`` from 1 to
            16; of those that fit, the pair with the largest ``N M`` is taken, and of these the smallest network.
        cells: N, a power of two from 8 on.
        steps: M, a power of two from 4 on.

    Returns:
        A network whose provenance holds its sizes, ``bound`` (see the module: every point of ``[0, 1]`` if the target
        declares its radius, else the samples) and ``mesh``.

    Raises:
        ValueError: For another dimension or smoothness, sizes that are no such powers of two, a limit that is too
            small (saying the least), or no size at all.
        TypeError: For sizes that are no integers.
    """
    _check_target(target)
    for name, value, least in (("n_params", n_params, 1), ("cells", cells, 8), ("steps", steps, 4)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer. Got {value!r}. Write e.g. {name}=64.")
        if name != "n_params" and (value < least or value & (value - 1)):
            raise ValueError(f"{name} must be a power of two from {least} on. Got {name}={value}. Write {name}=64.")
    sizes, ranges = _choose(target, n_params, cells, steps)
    codes = bend_codes(target, sizes.cells, sizes.steps, ranges)
    provenance = {
        "construction": NAME,
        "cells": sizes.cells,
        "steps": sizes.steps,
        "slope_digits": sizes.slope_digits,
        "bend_digits": sizes.bend_digits,
        "product_steps": sizes.product_steps,
        "words": sizes.words,
        "entries": sizes.entries,
        "n_params": None if n_params is None else int(n_params),
        "target": dict(target.parameters),
        "bound": codes.bound,
        "bound_covers": "samples" if target.regularity.radius is None else "all points",
        "scale": float(codes.scale),
        "mesh": {
            "cells": sizes.cells,
            "steps": sizes.steps,
            "dead": [1, 1 << sizes.slope_digits + 2],
            "reflected": True,
            "ramp": codes.ramp,
        },
    }
    return _network(sizes, ranges.reach, codes, provenance)


def _check_target(target: Target) -> None:
    """Refuse what the construction is not made for."""
    if target.dim != 1:
        raise ValueError(f"{NAME} is built for dim 1. Got dim={target.dim}. Use a target on the line.")
    smoothness = target.regularity.smoothness
    if not 2.0 < smoothness <= 3.0:
        raise ValueError(
            f"{NAME} is built for smoothness above 2 and up to 3. Got smoothness={smoothness:g}. "
            "Use yarotsky2020_deep, which chooses by smoothness."
        )
    if target.samples is not None:
        raise ValueError(f"{NAME} needs values everywhere. Got {target.name}, known at data points only.")


def _choose(target: Target, limit: int | None, cells: int | None, steps: int | None) -> tuple[Sizes, BendSizes]:
    """Sizes as given, or the largest that fit."""
    if limit is None and (cells is None or steps is None):
        raise ValueError(f"{NAME} needs n_params, or cells and steps. Got neither. Write e.g. n_params=2000.")
    top = max(limit or 0, 16).bit_length()
    pairs = [
        (1 << a, 1 << m)
        for a in range(3, top + 1)
        for m in range(2, top + 1)
        if cells in (None, 1 << a) and steps in (None, 1 << m) and (cells or steps or a - m in _BALANCE)
    ]
    if cells is not None and steps is not None:
        pairs = [(int(cells), int(steps))]
    for n_cells, n_steps in sorted(pairs, key=lambda pair: (-pair[0] * pair[1], pair[0] + 6 * pair[1])):
        if limit is not None and _smallest(n_cells, n_steps, _LEAST).n_params > limit:
            continue
        check_fine_steps(NAME, n_cells, n_steps, MOST_STEPS)
        ranges = bend_sizes(target, n_cells, n_steps)
        sizes = _smallest(n_cells, n_steps, ranges)
        if limit is None or sizes.n_params <= limit:
            return sizes, ranges
    n_cells, n_steps = cells or _LEAST_CELLS, steps or _LEAST_STEPS
    least = _smallest(n_cells, n_steps, bend_sizes(target, n_cells, n_steps)).n_params
    raise ValueError(f"n_params must be at least {least} for {NAME}. Got n_params={limit}. Write n_params={least}.")


def _smallest(cells: int, steps: int, ranges: BendSizes) -> Sizes:
    """The sizes with the fewest parameters among the ways of sharing hinges."""
    digits = (ranges.slope_digits, ranges.bend_digits, ranges.product_steps)
    a = cells.bit_length() - 1
    choices = (Sizes(cells, steps, *digits, 1 << w, 1 << e) for w in range(1, a) for e in range(1, a - 1))
    return min(choices, key=lambda sizes: sizes.n_params)


def _network(sizes: Sizes, reach: int, codes: BendCodes, provenance: Mapping[str, Any]) -> Network:
    """The network of a set of codes."""
    graph = Graph(1)
    x = graph.input()
    a, steps, dead = sizes.cell_bits, sizes.steps, Dyadic(1, -sizes.slope_digits - 2)
    with graph.part("word"):
        table = code_words(_digits(sizes, codes))
        word = ending_lookup(graph, x, a, codes.ramp, table, sizes.words, sizes.first - 1, Dyadic(2))
    turned, moved = _decode(graph, word, position_unit(graph, x, a, steps, dead, sizes.first), sizes)
    y = position_unit(graph, x, a, steps, dead, sizes.decoded)
    turned = turned - y * ((1 << sizes.bend_digits - 1) + (steps >> 1) + HALF)
    moved = moved - y * ((1 << sizes.slope_digits) + (steps * steps >> 2) + 1)
    with graph.part("product"):
        half = (turned * Dyadic(1, 1 - reach.bit_length())) >> 1
        lifted = product(graph, y * Dyadic(1, 1 - steps.bit_length()), half + HALF, sizes.product_steps)
    with graph.part("value at odd knot"):
        far = ending_lookup(graph, x, a - 1, codes.ramp, codes.starts[1::2], sizes.entries, sizes.last, codes.ceiling)
    with graph.part("value at even knot"):
        middle, starts, ramp = (x + Dyadic(1, -a)) >> 1, codes.starts[::2], codes.ramp + 1
        near = ending_lookup(graph, middle, a, ramp, starts, sizes.entries, sizes.last, codes.ceiling)
    rise = (lifted * (2 * steps * reach) - y * reach + moved) >> 1
    with graph.part("clip"):
        limit = (steps - y) * codes.slack + codes.rest
        out = far + clip(graph, near - far + rise * codes.scale, limit * codes.scale) + codes.lowest
    return graph.network([out], provenance)


def _digits(sizes: Sizes, codes: BendCodes) -> NDArray[np.uint8]:
    """Digits of all words, first read first: a digit is 0 where the path has a 1."""
    columns = []
    for numbers, length in ((codes.paths.slopes, sizes.slope_digits), (codes.paths.bends, sizes.bend_digits)):
        columns.append((numbers[:, None] + (1 << length - 1) >> np.arange(length - 1, -1, -1)) & 1)
    return (1 - np.concatenate([*columns, codes.paths.digits], axis=1)).astype(np.uint8)


def _decode(graph: Graph, word: Affine, y: Affine, sizes: Sizes) -> tuple[Affine, Affine]:
    """The sums ``A`` and ``D``."""
    turned, moved = y * (sizes.steps >> 1), y * ((sizes.steps * sizes.steps >> 2) + 1)
    with graph.part("decoder"):
        z, w, gate = graph.relu(word), graph.relu(word - HALF), y
        for part, k in _stages(sizes):
            kept = graph.relu(gate - w * (4 * sizes.steps))
            tent = 4 * z - 8 * w
            z, w = graph.relu(tent), graph.relu(tent - HALF)
            if part == "slope":
                moved = graph.relu(moved + (kept << k + 1))
                continue
            if part == "bend":
                turned = graph.relu(turned + (kept << k))
                continue
            centre: Affine | int = 0
            if k + 1 < sizes.steps:
                gate = graph.relu(gate - ONE, graph.level(z))  # not earlier: it would be carried
                centre = gate >> 1
            turned = graph.relu(turned + kept - centre)
            moved = graph.relu(moved - kept * k + centre * (k + 1))
    return turned, moved


def _stages(sizes: Sizes) -> Iterator[tuple[str, int]]:
    """What each digit is for, and its place or node."""
    for place in range(sizes.slope_digits - 1, -1, -1):
        yield "slope", place
    for place in range(sizes.bend_digits - 1, -1, -1):
        yield "bend", place
    for node in range(sizes.steps):
        yield "node", node


def _sizes(provenance: Mapping[str, Any]) -> Sizes:
    """The sizes that a provenance records."""
    names = ("cells", "steps", "slope_digits", "bend_digits", "product_steps", "words", "entries")
    return Sizes(**{name: int(provenance[name]) for name in names})


def _constant(target: Target) -> float:
    """``2300 H``; infinite where the target does not declare H."""
    radius = target.regularity.radius
    return math.inf if radius is None else 2300.0 * radius


THEOREM = Theorem(
    name=NAME,
    statement="For 2 < r <= 3 every function on [0, 1] with an (r - 2)-Hölder second derivative is within O(W^-2r) of "
    "a ReLU network with W weights and depth O(W).",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (statement, recalled); layout and proof here",
    rate_law="error_sup <= 2300 H (N M)^-r, H the Hölder constant of f''; n_params^(-2 r) for N ~ M",
    count_law="2 N + 15 M + 10 I_1 + 11 I_2 + 18 m + hinges and index bits; exactly: Sizes.n_params",
    dims=(1,),
    rate=lambda smoothness, dim: 2.0 * min(smoothness, 3.0),
    build=build,
    smoothness=(2.0, 3.0),
    count=lambda provenance: _sizes(provenance).n_params,
    depth=lambda provenance: _sizes(provenance).depth,
    size=lambda provenance: float(provenance["cells"] * provenance["steps"]),
    constant=_constant,
    order=3.0,
)
