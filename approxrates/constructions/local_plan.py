"""Sizes of the networks of local polynomials: ranges of all numbers, steps of products, digits, words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from approxrates.constructions.encoders.polynomials import MOST_DEGREE, Pieces, encode_pieces, interpolation_bound
from approxrates.constructions.local_counts import count
from approxrates.constructions.sizes import check_integer
from approxrates.target import Target

NAME = "yarotsky2017_taylor"
_SHARE = 1 / 32
_SMALL = 1 / 512
LOSSES = 1 + _SHARE + 2 * _SMALL
"""What products, entries and ramps add to the error of the interpolant, as a factor."""

Kind = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All that the layout depends on besides the entries.

    Attributes:
        cells: Cells per axis, a power of two.
        degree: The k.
        tops: Exponent of the bound of each entry.
        steps: Steps of the products, in the order they are done: k for each axis, the last axis first.
        bits: Entries are multiples of ``2**-bits``.
        words: Pairs of cells that share a hinge (d = 1).
    """

    cells: int
    degree: int
    tops: dict[Kind, int]
    steps: tuple[int, ...]
    bits: int
    words: int

    @property
    def dim(self) -> int:
        """Number of inputs."""
        return len(next(iter(self.tops)))

    @property
    def n_digits(self) -> int:
        """Binary digits of a cell's number, one to spare for x = 1."""
        return self.cells.bit_length()

    @property
    def ramp(self) -> int:
        """Ramps are ``2**-ramp`` wide."""
        return self.n_digits + self.bits


def degree_for(smoothness: float, degree: int | None) -> int:
    """The degree asked for, or the least one that serves the smoothness."""
    least = max(1, math.ceil(smoothness) - 1)
    chosen = check_integer("degree", degree, least)
    if (chosen or least) > MOST_DEGREE:
        raise ValueError(f"degree must be at most {MOST_DEGREE}. Got degree={chosen or least}. Use {MOST_DEGREE}.")
    return chosen or least


def make_plan(target: Target, cells: int, degree: int, words: int | None) -> tuple[Plan, Pieces, float]:
    """The layout on a grid, the coefficients, and the bound E of the interpolant."""
    pieces = encode_pieces(target, cells, degree)
    r = target.regularity.smoothness
    radius = target.regularity.radius
    if radius is None:  # sizes as if it were the largest value; nothing is proven then
        radius = float(pieces.largest(set(itertools.product((0, 1), repeat=target.dim)))) or 1.0
    error = max(interpolation_bound(r, radius, degree, target.dim) * math.pow(cells, -r), 1e-300)
    floor = math.frexp(error)[1] - 10
    tops = {kind: max(_exceeded(float(pieces.largest({kind}))), floor) for kind in pieces.numerators}
    largest = math.fsum(2.0**top for top in tops.values())
    bits = max(2, math.ceil(math.log2(2 * largest / (_SMALL * error))))
    scales = _all_tops(tops, degree)
    n_products = sum(map(len, scales))
    steps = tuple(
        max(1, math.ceil((max(scales_of) - 1 - math.log2(_SHARE * error / n_products)) / 2)) for scales_of in scales
    )
    plan = Plan(cells, degree, tops, steps, bits, 1)
    if target.dim == 1:
        plan = Plan(cells, degree, tops, steps, bits, _words(plan, words))
    return plan, pieces, error


def _exceeded(value: float) -> int:
    """The least exponent whose power of two is above a value."""
    return math.frexp(value * (1 + 1e-12))[1] if value else -1000


def _words(plan: Plan, words: int | None) -> int:
    """Words per hinge: as asked for, or those of the smallest count."""
    choices = [1 << j for j in range(plan.n_digits - 1)]
    if words is None:
        return min(choices, key=lambda g: count({**sizes_of(plan), "words": g}))
    if words not in choices:
        raise ValueError(f"words must be a power of two up to {choices[-1]}. Got words={words}. Leave it out.")
    return words


def _cover(*sizes: tuple[int, int]) -> int:
    """The least exponent whose power of two is at least ``sum of eighths / 8 * 2^top``."""
    low = min(top for _, top in sizes)
    total = sum(eighths << top - low for eighths, top in sizes)
    return low - 3 + (total - 1).bit_length()


def stage_tops(tops: Sequence[int]) -> tuple[list[int], int]:
    """Exponents of the factors of the k products along one axis, and of what comes out.

    Args:
        tops: Exponents of ``v_0, v_1, d_0, ..., d_(k-2)``.
    """
    inner = list(tops[2:])
    stages = [inner.pop()] if inner else []
    while inner:
        stages.append(_cover((8, inner.pop()), (9, stages[-1])))
    before = [(9, stages[-1])] if stages else []
    stages.append(_cover((8, tops[0]), (8, tops[1]), *before))
    return stages, _cover((8, tops[0]), (9, stages[-1]))


def _all_tops(tops: dict[Kind, int], degree: int) -> list[list[int]]:
    """For each product in order the exponents of its factor, one for each copy done side by side."""
    if len(next(iter(tops))) == 1:
        return [[top] for top in stage_tops([tops[(p,)] for p in range(degree + 1)])[0]]
    inner = [stage_tops([tops[p, q] for q in range(degree + 1)]) for p in range(degree + 1)]
    outer = stage_tops([result for _, result in inner])[0]
    return [list(column) for column in zip(*(stages for stages, _ in inner), strict=True)] + [[top] for top in outer]


def sizes_of(plan: Plan) -> dict[str, Any]:
    """The part of the provenance that the laws read."""
    sizes: dict[str, Any] = {
        "construction": NAME,
        "cells": plan.cells,
        "degree": plan.degree,
        "dim": plan.dim,
        "steps": list(plan.steps),
        "bits": plan.bits,
        "tops": list(plan.tops.values()),
    }
    if plan.dim == 1:
        sizes["words"] = plan.words
        sizes["mesh"] = {"cells": plan.cells, "steps": 1, "dead": [0, 1], "reflected": True, "ramp": plan.ramp - 1}
    return sizes
