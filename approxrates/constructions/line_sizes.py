"""Sizes of the deep networks on the line: their exact counts and depths, and the largest that fit under a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.constructions.base import Settings
from approxrates.constructions.sizes import check_fine_steps

_LEAST_BITS = 21
"""The scale of a walk is kept with 20 bits."""
_MOST_FINE = 1 << 28
"""Fine steps in all: hours of search."""


@dataclass(frozen=True)
class Plan:
    """Sizes of a network.

    Attributes:
        cells: ``N = 2^a``, at least 4.
        steps: ``M``, at least 2.
        words: ``g``, entries that share a hinge: a power of two up to ``N / 4``.
        value_bits: ``q``, bits of a knot's value.
    """

    cells: int
    steps: int
    words: int
    value_bits: int

    @property
    def word_bits(self) -> int:
        """Most bits of a weight that depends on the target: second differences of words, or the scale's 21."""
        return max(_LEAST_BITS, self.value_bits + 2 * self.steps + 3)

    @property
    def levels(self) -> tuple[int, int]:
        """``log2`` of cells and of words."""
        return self.cells.bit_length() - 1, self.words.bit_length() - 1


def value_bits(cells: int, steps: int, smoothness: float) -> int:
    """Bits of a knot's value: the last one is 2^-7 of ``(N M)^-r``."""
    return math.ceil(smoothness * math.log2(cells * steps)) + 7


def count(settings: Settings) -> int:
    """Exact ``n_params`` from ``cells``, ``steps``, ``words`` and ``value_bits``."""
    return _count(_plan_of(settings))


def depth(settings: Settings) -> int:
    """Exact number of hidden layers."""
    plan = _plan_of(settings)
    a, picks = plan.levels
    return 2 * a + _select_levels(picks) + plan.value_bits + plan.steps + 3


def depth_law(smoothness: float, dim: int, depth_exponent: float | None = None) -> float:
    """``M ~ (N + 13 M)^a`` along the family of a depth exponent; 1 for the largest ``N M``."""
    return 1.0 if depth_exponent is None else depth_exponent


def lower_order(
    smoothness: float, dim: int, n_params: int, depth_exponent: float | None = None, max_bits: int | None = None
) -> float:
    """What ``n_params`` has beyond ``N + 13 M`` in the network under a limit: terms like ``N^(1/2)`` and ``log N``."""
    plan = choose(min(smoothness, 1.0), n_params, depth_exponent=depth_exponent, max_bits=max_bits)
    return float(_count(plan) - plan.cells - 13 * plan.steps)


def _plan_of(settings: Settings) -> Plan:
    """The sizes in a provenance."""
    return Plan(*(int(settings[key]) for key in ("cells", "steps", "words", "value_bits")))


def _select_levels(picks: int) -> int:
    """Levels from the last bit to the word: the hinges' two and the word, or gates and the word."""
    return picks + 1 if picks else 3


def _count(plan: Plan) -> int:
    """The law, part by part."""
    (a, picks), q, steps, g = plan.levels, plan.value_bits, plan.steps, plan.words
    groups, late = plan.cells // (2 * g), _select_levels(picks)
    # A bit: carry 1, ramp 2 + 2, remainder 3; a selecting bit 2 more. The last remainders are not read.
    bits = (8 * a - 2 + 2 * picks) + (8 * a + 1 + 2 * picks - (4 if picks else 0))
    waiting = 3 * picks * (picks - 1) + (late + q - 2) + 4 * max(picks - 1, 0)  # bits, parity, indices
    hinges = 5 + (2 * groups - 3) + (2 * groups - 1)
    gates = g * (2 * groups + 3) + 7 * (g - 2) + 4 if picks else 2 * groups + 1
    unpack = 2 * (5 * q - 2) + 7 + (2 * q + 5 + 2 * steps)  # tents, choice of a code, both words carried to the end
    position = (5 * a + 1) + max(a + late + q + 2, 2 * (a - picks) + 1) - 1 + steps + 1
    stages = 5 + 10 * steps - 7
    join = 2 + 12 + 5
    return bits + waiting + hinges + gates + unpack + position + stages + join


def choose(
    smoothness: float,
    n_params: int | None,
    cells: int | None = None,
    steps: int | None = None,
    words: int | None = None,
    depth_exponent: float | None = None,
    max_bits: int | None = None,
) -> Plan:
    """The sizes that are given, or the largest that fit; see :func:`build`."""
    for value, what, least in (
        (n_params, "n_params", 1),
        (cells, "cells", 4),
        (steps, "steps", 2),
        (words, "words", 1),
        (max_bits, "max_bits", _LEAST_BITS),
    ):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise TypeError(f"{what} must be an integer. Got {value!r}. Write e.g. {what}={max(least, 8)}.")
        if value is not None and value < least:
            raise ValueError(f"{what} must be at least {least}. Got {what}={value}. Write e.g. {what}={max(least, 8)}.")
    for value, what in ((cells, "cells"), (words, "words")):
        if value is not None and value & (value - 1):
            raise ValueError(f"{what} must be a power of two. Got {what}={value}. Write e.g. {what}=16.")
    if depth_exponent is not None and not 0.0 <= depth_exponent <= 1.0:
        raise ValueError(f"depth_exponent must be in [0, 1]. Got {depth_exponent}. Write e.g. depth_exponent=0.5.")
    if depth_exponent is not None and steps is not None:
        raise ValueError(f"depth_exponent decides the steps. Got steps={steps} too. Leave one of them out.")
    if n_params is None and (cells is None or (steps is None and depth_exponent is None)):
        raise ValueError(
            "yarotsky2020_deep_line needs n_params, or cells and steps. Got neither. Write e.g. n_params=2000."
        )
    plans = [
        plan
        for n_cells in ([int(cells)] if cells else [1 << a for a in range(2, 25)])
        for plan in _plans(smoothness, n_params, n_cells, steps, words, depth_exponent, max_bits)
    ]
    if not plans and max_bits is not None:
        raise ValueError(
            f"yarotsky2020_deep_line needs more weights, or longer ones, for these sizes. Got n_params={n_params}, "
            f"max_bits={max_bits}. Allow more of either."
        )
    if not plans:
        least = _least(smoothness, cells, steps, words, depth_exponent)
        raise ValueError(
            f"n_params must be at least {least} for yarotsky2020_deep_line of these sizes. Got n_params={n_params}."
        )
    best = max(plans, key=lambda plan: (plan.cells * plan.steps, -_count(plan)))
    check_fine_steps("yarotsky2020_deep_line", best.cells, best.steps, _MOST_FINE)
    return best


def _least(
    smoothness: float, cells: int | None, steps: int | None, words: int | None, depth_exponent: float | None
) -> int:
    """The fewest weights of any network of the sizes that are given."""
    n_cells = int(cells) if cells else max(4, 4 * int(words or 1))
    return min(_count(plan) for plan in _plans(smoothness, None, n_cells, steps or 2, words, depth_exponent))


def _plans(
    smoothness: float,
    n_params: int | None,
    cells: int,
    steps: int | None,
    words: int | None,
    depth_exponent: float | None,
    max_bits: int | None = None,
) -> Iterator[Plan]:
    """For a number of cells, for each number of words: the plan with the most steps that fits, if any."""
    if depth_exponent is not None:
        steps = max(2, round(4 * (cells / 32) ** depth_exponent))
    choices = [1 << k for k in range(cells.bit_length() - 2)] if words is None else [int(words)]
    for g in choices:
        if g > cells // 4:
            raise ValueError(f"words must be at most cells / 4 = {cells // 4}. Got words={g}. Use more cells.")

        def plan(n_steps: int, g: int = g) -> Plan:
            return Plan(cells, n_steps, g, value_bits(cells, n_steps, smoothness))

        def fits(n_steps: int, plan: Any = plan) -> bool:
            short = max_bits is None or plan(n_steps).word_bits <= max_bits
            return short and (n_params is None or _count(plan(n_steps)) <= n_params)

        if not fits(steps or 2):
            continue
        if steps:
            yield plan(int(steps))
            continue
        low, high = 2, int(n_params or 2) + 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        yield plan(low)
