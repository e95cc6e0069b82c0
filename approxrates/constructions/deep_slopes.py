r"""The deep discontinuous phase for ``1 < r <= 2`` on the line: paths whose slopes are read from one long weight.

``[0, 1]`` has ``N`` cells of ``M`` steps. In each cell the network follows a path that is linear between nodes: its
first slope is a whole number of units and each further node bends it by half a unit, up or down, as a binary digit
says. All digits of a cell are one weight of a table; a chain of ``M`` identical layers reads them. So ``O(N + M)``
weights make ``N M`` nodes, and error ``(N M)^-r`` is ``n_params^-2r`` at ``N ~ M``: twice the exponent of any method
whose weights depend continuously on the function.

LAYOUT, from left to right; ``a = log2 N``, ``I`` slope digits, ``S = I + M``, ``K = log2 words``::

    level      1 ........ 2a+K   2a+K+1 ............ L = 2a+K+S+2          L+1       out
    word       | digits of x, table, gates |
    triangle   |        ... tent chain     |
    z, w                                   | tent of slope 4: next digit |
    c                                      | y, y, ..., y, y-1, y-2, ... |
    m, sum                                 |  c where the digit is 0     |  clip
    x          ======================================= tent chain, square |  clip
    V, U                                         | digits of x, tables    |  V-U   | U+clip

1. *Word.* The leading bits of ``x`` give the number of the cell, a table its word, in ``[0, 1]``.
2. *Position.* ``tau = T^a(x)`` is 0 at even knots and 1 at odd ones. ``y = relu((M + dead) tau - dead)`` is the
   position in steps, 0 in a dead zone at the even knot. Even knots start a path, odd ones end it.
3. *Decoder*, 11 weights per digit. Reading the word gives ``w = 0`` for digit 0 and ``w >= 1/4`` for digit 1; so
   ``m = relu(c - 4 M w)`` is ``c`` or 0. Slope digits come first, with ``c = y`` and weights ``2^(I-1), ..., 1``; then
   ``c`` falls by one per digit and is ``relu(y - j)``. The sum is ``sum_i 2^i b_i y + sum_j b_j relu(y - j)``,
   ``b = 1 - digit``.
4. *Tail.* ``path = V + s (sum - 2^(I-1) y - Q(y) / 2)``, where ``Q(y) = sum_j relu(y - j)`` is the linear interpolant
   of ``(y^2 + y) / 2`` at whole numbers: with ``f_m`` the squaring network of ``m = log2 M`` steps it is
   ``(M^2 f_m(y / M) + y) / 2`` exactly. ``V`` and ``U`` are the values at the nearest even and odd knot, and
   ``out = U + clip(path - U, s (rest + Gamma (M - y)))``.

PROOF of the bound. Index ramps are ``2^-ramp`` wide and lie left of knots only; elsewhere all tables are right.

* *Off the ramps* ``out = path``: ``|path - U|`` is at most the limit of the clip. The encoder checks it at all nodes,
  which is enough: the path and the limit are linear between them, and ``U`` is constant. So the error there is the
  encoder's, sampled at eight points per step of every cell, plus the distance of the target from its chord.
* *Dead zones.* There ``y = 0``, so every ``c`` is 0 and the sum is 0 whatever the word is: ``path = V``.
* *Ramps left of even knots* lie in dead zones (``ramp`` is chosen so), ``V`` is right there, ``U`` some number in
  ``[0, ceiling]``, ``V`` another: the clip with limit at least ``s Gamma M >= ceiling`` leaves ``V - U`` as it is.
* *Ramps left of odd knots.* Words and ``V`` may be anything. ``U`` is right, and ``out`` is within
  ``s (rest + Gamma (M - y))`` of it; ``M - y`` is at most the width of a ramp in steps, below ``2^-5 / Gamma``.

*For every size.* With ``s`` four times the largest second difference at nodes, which is at most ``H h^r`` for the
Hölder constant ``H`` of ``f'`` (``f(x+h) - 2 f(x) + f(x-h)`` is ``h`` times the difference of two slopes at most ``h``
apart in the mean), the sliding code of :mod:`approxrates.constructions.encoders.slopes` is never off by more than 8
units at nodes: ``32 H h^r``. Chords cost ``H h^r / 4`` more, roundings of ``s``, of tables and of ``rest`` less than
that. The encoder takes the best of several scales, this one among them, and of two codes, this one among them: so
``error_sup <= 34 H (N M)^-r``. (Measured constants are smaller by a factor of about 20.) Targets are sampled in
float64, so no scale is below ``2^-40 max |f|``; where ``H (N M)^-r`` is, that takes its place in the law.

BITS. Words take ``2 S`` bits; ``N`` of them, so about ``2 N M`` bits in all. In float64 words longer than 26 digits
are lost.

Source: Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the statement (recalled); the layout, its constants and
the proof above are this module's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.base import Theorem
from approxrates.constructions.encoders.slope_cells import MOST_STEPS, CellCodes, cell_codes, slope_digits
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.reflected import (
    ending_lookup,
    ending_lookup_count,
    index_level,
    position,
    position_count,
)
from approxrates.constructions.gadgets.sawtooth import square
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Affine, Graph
from approxrates.constructions.sizes import check_fine_steps
from approxrates.layers import HALF, ONE, Dyadic
from approxrates.network import Network
from approxrates.target import Target

NAME = "yarotsky2020_deep_slopes"
_BALANCE = range(5)  # log2 of cells over steps, for networks chosen by n_params
_LEAST_CELLS, _LEAST_STEPS = 8, 4


@dataclass(frozen=True)
class Sizes:
    """Everything that counts and depths depend on.

    Attributes:
        cells: N, a power of two, at least 8.
        steps: M, a power of two, at least 4.
        slope_digits: I.
        words: Words of neighbouring cells that share a hinge, a power of two from 2 to N/2.
        entries: The same for values at knots, from 2 to N/4.
    """

    cells: int
    steps: int
    slope_digits: int
    words: int
    entries: int

    @property
    def cell_bits(self) -> int:
        """Number ``a = log2 N`` of bits of a cell's number."""
        return self.cells.bit_length() - 1

    @property
    def step_bits(self) -> int:
        """Number of bits of a step's number."""
        return self.steps.bit_length() - 1

    @property
    def first(self) -> int:
        """Level of the first digit."""
        return 2 * self.cell_bits + self.words.bit_length()

    @property
    def last(self) -> int:
        """Level L of the last sum."""
        return self.first + self.slope_digits + self.steps + 1

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return self.last + 1

    @property
    def n_params(self) -> int:
        """Weights and biases of the network, part by part."""
        a, m, half = self.cell_bits, self.step_bits, self.cells // 2
        decoder = 11 * self.steps + 10 * self.slope_digits - 5
        tables = ending_lookup_count(a, self.words, self.cells)
        tables += ending_lookup_count(a - 1, self.entries, half) + ending_lookup_count(a, self.entries, half + 1) + 2
        x_carries = max(self.last - m - a, index_level(self.entries, self.last)) - 1
        y_carries = m + 1
        squares = 8 * m - 6
        tail = 20 + 2 + 6  # both units of the clip, U carried over them, the output
        return tables + 2 * position_count(a) + decoder + x_carries + y_carries + squares + tail


def build(
    target: Target,
    *,
    n_params: int | None = None,
    cells: int | None = None,
    steps: int | None = None,
    words: int | None = None,
    entries: int | None = None,
) -> Network:
    """The path network with the most nodes that fits, or with given sizes.

    Args:
        target: ``dim`` 1, smoothness above 1 and up to 2.
        n_params: Upper limit on weights and biases. Cells and steps are then powers of two with ``N / M`` from 1 to
            16; of those that fit, the pair with the largest ``N M`` is taken, and of these the smallest network.
        cells: N, a power of two from 8 on.
        steps: M, a power of two from 4 on.
        words: Words that share a hinge, by default as many as make the network smallest.
        entries: The same for values at knots.

    Returns:
        A network whose provenance holds its sizes, ``bound`` (see the module: every point of ``[0, 1]`` if the target
        declares its radius, else the samples) and ``mesh``.

    Raises:
        ValueError: For another dimension or smoothness, sizes that are no such powers of two, a limit that is too
            small (saying the least), or no size at all.
        TypeError: For sizes that are no integers.
    """
    _check_target(target)
    given = {"n_params": n_params, "cells": cells, "steps": steps, "words": words, "entries": entries}
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise TypeError(f"{name} must be an integer. Got {value!r}. Write e.g. {name}=64.")
    sizes = _choose(target, {name: None if value is None else int(value) for name, value in given.items()})
    codes = cell_codes(target, sizes.cells, sizes.steps, sizes.slope_digits)
    provenance = {
        "construction": NAME,
        "cells": sizes.cells,
        "steps": sizes.steps,
        "slope_digits": sizes.slope_digits,
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
    return _network(sizes, codes, provenance)


def _check_target(target: Target) -> None:
    """Refuse what the construction is not made for."""
    if target.dim != 1:
        raise ValueError(f"{NAME} is built for dim 1. Got dim={target.dim}. Use a target on the line.")
    smoothness = target.regularity.smoothness
    if not 1.0 < smoothness <= 2.0:
        raise ValueError(
            f"{NAME} is built for smoothness above 1 and up to 2. Got smoothness={smoothness:g}. "
            "Use yarotsky2020_deep, which chooses by smoothness."
        )
    if target.samples is not None:
        raise ValueError(f"{NAME} needs values everywhere. Got {target.name}, known at data points only.")


def _choose(target: Target, given: Mapping[str, int | None]) -> Sizes:
    """Sizes as given, or the largest that fit."""
    limit, cells, steps = given["n_params"], given["cells"], given["steps"]
    if limit is None and (cells is None or steps is None):
        raise ValueError(f"{NAME} needs n_params, or cells and steps. Got neither. Write e.g. n_params=2000.")
    for name, least in (("cells", _LEAST_CELLS), ("steps", _LEAST_STEPS)):
        value = given[name]
        if value is not None and (value < least or value & (value - 1)):
            raise ValueError(f"{name} must be a power of two from {least} on. Got {name}={value}. Write {name}=64.")
    for n_cells, n_steps in _pairs(limit, cells, steps):
        if limit is not None and _smallest(n_cells, n_steps, 1, given).n_params > limit:
            continue
        check_fine_steps(NAME, n_cells, n_steps, MOST_STEPS)
        sizes = _smallest(n_cells, n_steps, slope_digits(target, n_cells, n_steps), given)
        if limit is None or sizes.n_params <= limit:
            return sizes
    n_cells, n_steps = cells or _LEAST_CELLS, steps or _LEAST_STEPS
    least = _smallest(n_cells, n_steps, slope_digits(target, n_cells, n_steps), given).n_params
    raise ValueError(f"n_params must be at least {least} for {NAME}. Got n_params={limit}. Write n_params={least}.")


def _pairs(limit: int | None, cells: int | None, steps: int | None) -> list[tuple[int, int]]:
    """Cells and steps to try, most nodes first; with equal numbers of nodes the smaller network first."""
    if cells is not None and steps is not None:
        return [(cells, steps)]
    top = max(limit or 0, 16).bit_length()
    choices = [
        (1 << a, 1 << m)
        for a in range(3, top + 1)
        for m in range(2, top + 1)
        if (cells is not None or steps is not None or a - m in _BALANCE)
        and cells in (None, 1 << a)
        and steps in (None, 1 << m)
    ]
    return sorted(choices, key=lambda pair: (-pair[0] * pair[1], pair[0] + 4 * pair[1]))


def _smallest(cells: int, steps: int, n_digits: int, given: Mapping[str, int | None]) -> Sizes:
    """The sizes with the fewest parameters among the ways of sharing hinges."""
    shares = [_shares("words", given["words"], cells // 2), _shares("entries", given["entries"], cells // 4)]
    choices = (Sizes(cells, steps, n_digits, w, e) for w in shares[0] for e in shares[1])
    return min(choices, key=lambda sizes: sizes.n_params)


def _shares(name: str, value: int | None, top: int) -> list[int]:
    """Powers of two from 2 to ``top``, or the one that is asked for."""
    powers = [1 << k for k in range(1, top.bit_length())]
    if value is not None and value not in powers:
        raise ValueError(f"{name} must be a power of two from 2 to {top}. Got {name}={value}. Leave it out.")
    return powers if value is None else [value]


def _network(sizes: Sizes, codes: CellCodes, provenance: Mapping[str, Any]) -> Network:
    """The network of a set of codes."""
    graph = Graph(1)
    x = graph.input()
    a, steps, dead = sizes.cell_bits, sizes.steps, Dyadic(1, -sizes.slope_digits - 2)
    with graph.part("word"):
        table = code_words(_digits(sizes, codes))
        word = ending_lookup(graph, x, a, codes.ramp, table, sizes.words, sizes.first - 1, Dyadic(2))
    total = _decode(graph, word, position(graph, x, a, steps, dead, sizes.first), sizes)
    y = position(graph, x, a, steps, dead, sizes.last - sizes.step_bits)
    with graph.part("square"):
        squared = square(graph, y >> sizes.step_bits, sizes.step_bits)
    with graph.part("value at odd knot"):
        far = ending_lookup(graph, x, a - 1, codes.ramp, codes.starts[1::2], sizes.entries, sizes.last, codes.ceiling)
    with graph.part("value at even knot"):
        middle = (x + Dyadic(1, -a)) >> 1
        near = ending_lookup(
            graph, middle, a, codes.ramp + 1, codes.starts[::2], sizes.entries, sizes.last, codes.ceiling
        )
    bends = (squared * (steps * steps) + y) >> 2
    rise = total - y * (1 << sizes.slope_digits - 1) - bends
    with graph.part("clip"):
        limit = (steps - y) * codes.slack + codes.rest
        out = far + clip(graph, near - far + rise * codes.scale, limit * codes.scale) + codes.lowest
    return graph.network([out], provenance)


def _digits(sizes: Sizes, codes: CellCodes) -> NDArray[np.uint8]:
    """Digits of all words, first read first: a digit is 0 where the path has a 1."""
    places = np.arange(sizes.slope_digits - 1, -1, -1)
    slopes = codes.paths.slopes + (1 << sizes.slope_digits - 1)
    leading = (slopes[:, None] >> places) & 1
    return (1 - np.concatenate([leading, codes.paths.digits], axis=1)).astype(np.uint8)


def _decode(graph: Graph, word: Affine, y: Affine, sizes: Sizes) -> Affine:
    """``sum_i 2^i b_i y + sum_j b_j relu(y - j)`` from a word whose digits are ``1 - b``."""
    total: Affine | None = None
    with graph.part("decoder"):
        z, w, gate = graph.relu(word), graph.relu(word - HALF), y
        for weight, is_slope in _stages(sizes):
            kept = graph.relu(gate - w * (4 * sizes.steps)) * weight
            tent = 4 * z - 8 * w
            z, w = graph.relu(tent), graph.relu(tent - HALF)
            if not is_slope:
                gate = graph.relu(gate - ONE, graph.level(z))  # not earlier: it would be carried
            total = graph.relu(kept if total is None else total + kept)
    assert total is not None
    return total


def _stages(sizes: Sizes) -> Iterator[tuple[int, bool]]:
    """Weight of each digit, and whether it is a slope digit."""
    for place in range(sizes.slope_digits - 1, -1, -1):
        yield 1 << place, True
    for _ in range(sizes.steps):
        yield 1, False


def _sizes(provenance: Mapping[str, Any]) -> Sizes:
    """The sizes that a provenance records."""
    names = ("cells", "steps", "slope_digits", "words", "entries")
    return Sizes(**{name: int(provenance[name]) for name in names})


def _constant(target: Target) -> float:
    """``34 H``; infinite where the target does not declare H."""
    radius = target.regularity.radius
    return math.inf if radius is None else 34.0 * radius


THEOREM = Theorem(
    name=NAME,
    statement="For 1 < r <= 2 every function on [0, 1] with an (r - 1)-Hölder derivative is within O(W^-2r) of a ReLU "
    "network with W weights and depth O(W): the fastest rate there is for ReLU.",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (statement, recalled); layout and proof here",
    rate_law="error_sup <= 34 H (N M)^-r, H the Hölder constant of f'; n_params^(-2 r) for N ~ M",
    count_law="2 N + 11 M + 10 I + hinges and index bits, O(sqrt N + log(N M)^2); exactly: Sizes.n_params",
    dims=(1,),
    rate=lambda smoothness, dim: 2.0 * min(smoothness, 2.0),
    build=build,
    smoothness=(1.0, 2.0),
    count=lambda provenance: _sizes(provenance).n_params,
    depth=lambda provenance: _sizes(provenance).depth,
    size=lambda provenance: float(provenance["cells"] * provenance["steps"]),
    constant=_constant,
    order=2.0,
)
