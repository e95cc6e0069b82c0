"""Encoders of the deep phase: walks against their definition in rationals, bounds against dense samples."""

from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.constructions.encoders import Mesh, Walks, cell_bound, encode_walks, walk_values
from approxrates.layers import Dyadic


def tree(smoothness: float = 0.5, seed: int = 0) -> ar.Target:
    return ar.load_target("faber_tree", smoothness=smoothness, dim=1, seed=seed)


def read_back(word: Dyadic, n_digits: int, spacing: int) -> list[tuple[int, Fraction]]:
    """Digits and analogue numbers of a word by the tent map, in rationals, first read first."""
    z, found = word.fraction, []
    for _ in range(n_digits):
        found.append((int(z > Fraction(1, 2)), z))
        z = z * 2**spacing if z <= Fraction(1, 2) else (1 - z) * 2**spacing
    return found


@pytest.mark.parametrize("spacing", [2, 3])
def test_words_give_the_walk_back(spacing: int) -> None:
    walks = encode_walks(tree(), 8, 7, spacing=spacing)
    values = walk_values(walks.digits, spacing, 1)
    for cell, word in enumerate(walks.words):
        numbers = read_back(word, 7, spacing)[::-1]
        assert [digit for digit, _ in numbers] == walks.digits[cell].tolist()
        for j in range(8):
            climb = sum((z for _, z in numbers[:j]), Fraction(0)) - Fraction(j, 2)
            assert values[cell, j] == pytest.approx(float(climb), abs=1e-12)


def test_mesh_reflects_odd_cells() -> None:
    mesh = Mesh(4, 3)
    points = mesh.points(np.arange(4), np.array([-0.25, 3.0]))
    assert points.tolist() == [[0.0, 0.25], [0.5, 0.25], [0.5, 0.75], [1.0, 0.75]]


def dense_error(target: ar.Target, walks: Walks, per_step: int) -> float:
    """Largest error at many points, the walk evaluated by ``numpy.interp`` between its bends."""
    mesh, worst = walks.mesh, 0.0
    y = np.arange(-0.25, mesh.steps + 1e-9, 1 / per_step)
    values = walk_values(walks.digits, walks.spacing, 64)
    nodes = np.arange(mesh.steps * 64 + 1) / 64
    for cell in range(mesh.cells):
        climb = np.where(y <= 0, 0.0, np.interp(y, nodes, values[cell]))
        wanted = target(mesh.points(np.array([cell]), y)[0])
        worst = max(worst, float(np.abs(walks.starts[cell] + float(walks.scale) * climb - wanted).max()))
    return worst


@pytest.mark.parametrize(("smoothness", "cells", "steps"), [(0.5, 8, 5), (0.3, 16, 9), (0.8, 16, 12)])
def test_cell_bound_covers_dense_samples_and_is_tight(smoothness: float, cells: int, steps: int) -> None:
    target = tree(smoothness)
    walks = encode_walks(target, cells, steps)
    reached, bound = cell_bound(target, walks)
    assert walks.error <= reached <= bound <= 1.011 * reached
    dense = dense_error(target, walks, 500)
    assert dense <= bound * (1 + 1e-6)
    assert dense >= 0.7 * reached


def test_a_greedy_walk_is_no_better_and_meets_the_proven_constant() -> None:
    target = tree()
    radius = target.regularity.radius
    assert radius is not None
    walks = encode_walks(target, 32, 20)
    assert cell_bound(target, walks)[1] <= 5 * radius * (32 * 20.25) ** -0.5
    scale = 4 * radius * (32 * 20.25) ** -0.5
    greedy = encode_walks(target, 32, 20, scale=scale, beam=1)
    assert cell_bound(target, greedy)[1] <= 1.25 * scale
    assert walks.error < greedy.error


def test_encoding_is_deterministic_and_cells_do_not_mix() -> None:
    target = tree(seed=3)
    first, again = encode_walks(target, 16, 6), encode_walks(target, 16, 6)
    assert np.array_equal(first.digits, again.digits)
    assert first.scale == again.scale
    some = np.array([2, 7, 11])
    alone = encode_walks(target, 16, 6, scale=first.scale, which=some, beam=128)
    together = encode_walks(target, 16, 6, scale=first.scale, beam=128)
    assert np.array_equal(alone.digits, together.digits[some])


def test_targets_of_unknown_constant_have_no_bound() -> None:
    target = ar.Target.from_callable(lambda x: np.sqrt(x[:, 0]), ar.Regularity(0.5, 1))
    walks = encode_walks(target, 4, 4)
    assert cell_bound(target, walks) == (walks.error, np.inf)
    known = ar.Target.from_callable(lambda x: np.sqrt(x[:, 0]), ar.Regularity(0.5, 1, radius=1.0))
    reached, bound = cell_bound(known, walks)
    assert reached <= bound <= 1.011 * reached


def test_meshes_refuse_odd_cells() -> None:
    with pytest.raises(ValueError, match="even"):
        encode_walks(tree(), 7, 4)
    with pytest.raises(ValueError, match="at least 1"):
        Mesh(4, 0)
