"""Bit extraction: every bit at every point, exactly, for every pattern of a small size and random ones of others."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from approxrates.constructions.bit_extraction import count, depth, extract


def read(bits: np.ndarray) -> list[list[Fraction]]:
    """Outputs at all points, in rationals."""
    n_cells, steps = bits.shape
    network = extract(bits)
    rows = []
    for n in range(n_cells):
        row = []
        for j in range(steps):
            values = [Fraction(n, n_cells) + Fraction(j, n_cells * steps)]
            for layer in network.layers:
                sums = [
                    sum((w.fraction * values[k] for k, w in entries), Fraction(0))
                    + (b.fraction if b is not None else 0)
                    for entries, b in zip(layer.rows, layer.bias, strict=True)
                ]
                relu = layer.activations[0] == "relu"
                values = [max(v, Fraction(0)) if relu else v for v in sums]
            row.append(values[0])
        rows.append(row)
    return rows


def test_every_dichotomy_of_four_points() -> None:
    for pattern in itertools.product((0, 1), repeat=4):
        bits = np.array(pattern).reshape(2, 2)
        assert read(bits) == bits.tolist()


@pytest.mark.parametrize(("n_cells", "steps"), [(4, 3), (8, 5), (4, 11)])
def test_random_bits_come_back_exactly(n_cells: int, steps: int) -> None:
    bits = np.random.default_rng(steps).integers(0, 2, (n_cells, steps))
    assert read(bits) == bits.tolist()
    assert read(1 - bits) == (1 - bits).tolist()


@pytest.mark.parametrize(("n_cells", "steps"), [(2, 2), (8, 2), (16, 9), (64, 40), (256, 30)])
def test_laws_are_exact_whatever_the_bits(n_cells: int, steps: int) -> None:
    for bits in (np.zeros((n_cells, steps)), np.random.default_rng(0).integers(0, 2, (n_cells, steps))):
        network = extract(bits)
        assert network.n_params == count(network.provenance)
        assert network.depth == depth(network.provenance)
        assert network.max_bits <= 2 * steps + 5


def test_more_bits_than_weights() -> None:
    sizes = {"cells": 2048, "steps": 300}
    assert count(sizes) < 2048 * 300 / 40


def test_refuses_what_is_no_table_of_bits() -> None:
    with pytest.raises(ValueError, match="shape"):
        extract(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="0 or 1"):
        extract(np.full((4, 4), 2))
