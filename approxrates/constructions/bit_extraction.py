r"""Bit extraction: any ``N M`` bits at ``N M`` points from ``O(N + M)`` weights, by a network of depth about ``M``.

**Statement.** For any bits ``b(n, j)``, ``n < N = 2^a``, ``j < M``, the network below gives ``b(n, j)`` *exactly* at
``x = n / N + j / (N M)``, with

    n_params = 3 N + 20 M + 10 a + 6,        depth = M + 2 a + 5.

So networks of this one architecture realise all ``2^(N M)`` dichotomies of these points: its VC dimension is at least
``N M``, of the order of ``n_params^2`` when ``M ~ N``. That is why depth can double an exponent of approximation.
(Koiran & Sontag 1997; Bartlett, Maiorov & Meir 1998, for piecewise polynomial networks.)

**Layout.** The floor chain takes ``a`` bits off ``x`` and leaves ``t = j / M``; the index is ``N x - t``. A hinge for
each index but the first gives the word of row ``n``, 2 bits a digit. Two walks
(:func:`~approxrates.constructions.gadgets.walks.walk`) read it side by side, one up to ``y = j + 1``, one up to
``y = j``; a clip rounds their difference to a bit.

**Proof.** At these points the floor chain is exact: its ramps are narrower than ``1 / (N M)`` and lie left of
multiples of ``1 / N``. At a whole ``y`` a walk is ``sum_{i < y} z_i`` of the word's analogue numbers, so the difference
is ``z_j``, which is in ``[0, 1/4]`` for the digit 0 and in ``[3/4, 1]`` for 1; ``relu(2 z - 1/2) - relu(2 z - 3/2)`` is
0 on the former and 1 on the latter. Weights: 8 a bit of the index, ``2 a`` carries of ``x``, 2 for the index,
``2 N - 3`` for the hinges, ``N`` for the word, 4 for the two positions, 3 carries of ``t``, ``10 M - 4`` for each
walk, 8 for the bit. An entry has ``2 M`` bits, in all about ``2 N M``: twice what is stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.base import Settings
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.walks import walk, word_at
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Graph
from approxrates.layers import HALF, Dyadic
from approxrates.network import Network


def extract(bits: NDArray[Any]) -> Network:
    """The network that gives ``bits[n, j]`` at ``x = n / N + j / (N M)``.

    Args:
        bits: 0 or 1, shape ``(N, M)``, ``N`` a power of two from 2 on, ``M`` at least 2.

    Returns:
        A network of one input and one output; its provenance holds ``cells`` and ``steps``.

    Raises:
        ValueError: For another shape, or entries that are no bits.
    """
    table = np.asarray(bits)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[0] & (table.shape[0] - 1) or table.shape[1] < 2:
        raise ValueError(
            f"bits must have shape (N, M), N a power of two, both at least 2. Got {table.shape}. Use (8, 5)."
        )
    if not np.isin(table, (0, 1)).all():
        raise ValueError("bits must be 0 or 1. Got other numbers. Write e.g. (values > 0).astype(int).")
    n_cells, steps = (int(n) for n in table.shape)
    a = n_cells.bit_length() - 1
    words = code_words(np.ascontiguousarray(table[:, ::-1]).astype(np.uint8))
    graph = Graph(1)
    x = graph.input()
    with graph.part("bits"):
        digits = floor_chain(graph, x, a, ramp=a + steps.bit_length() + 1)
        rest = digits.remainders[-1]
    with graph.part("table"):
        word = word_at(graph, x, digits, a, 1, words)
    start = graph.level(word) + 1
    with graph.part("position"):
        left = [graph.relu(steps - k - rest * steps, start) for k in (1, 0)]
    with graph.part("digits"):
        longer, shorter = (walk(graph, word, place, steps) for place in left)
    with graph.part("bit"):
        digit = longer - shorter
        bit = graph.relu(2 * digit - HALF) - graph.relu(2 * digit - Dyadic(3, -1))
    return graph.network([bit], {"construction": "bit_extraction", "cells": n_cells, "steps": steps})


def count(settings: Settings) -> int:
    """Exact ``n_params`` from ``cells`` and ``steps``."""
    n_cells, steps = int(settings["cells"]), int(settings["steps"])
    return 3 * n_cells + 20 * steps + 10 * (n_cells.bit_length() - 1) + 6


def depth(settings: Settings) -> int:
    """Exact number of hidden layers."""
    return int(settings["steps"]) + 2 * (int(settings["cells"]).bit_length() - 1) + 5
