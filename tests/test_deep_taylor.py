"""The deep construction for 2 < r <= 3: codes against brute force, networks against rationals, laws against networks."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from approxrates.arithmetic.columns import evaluate_columns
from approxrates.catalogue import load_target
from approxrates.constructions import deep_taylor
from approxrates.constructions.deep_taylor import THEOREM
from approxrates.constructions.encoders import bend_cells, bends
from approxrates.layers import sparse
from approxrates.network import Network
from approxrates.regularity import Regularity
from approxrates.target import Target

TREE = load_target("bump_tree", smoothness=2.5, seed=0)


def parabola(bend: float) -> Target:
    """A function without any third difference."""
    return Target.from_callable(lambda x: bend * x[:, 0] ** 2, Regularity(2.5, 1, radius=1.0), name=f"bend {bend}")


def values(network: Network, points: list[Fraction]) -> list[Fraction]:
    """Exact outputs."""
    out = network(np.array(points, dtype=object).reshape(-1, 1), arithmetic="exact")
    return [Fraction(value) for value in np.asarray(out).ravel()]


@pytest.mark.parametrize("seed", range(4))
def test_the_window_code_is_the_best_of_all_codes(seed: int) -> None:
    steps, per_step = 7, 2
    rng = np.random.default_rng(seed)
    curvature = rng.uniform(-1, 1) + np.cumsum(rng.uniform(-0.4, 0.4, steps * per_step + 1))
    slope = rng.uniform(-2, 2) + np.cumsum(curvature) / per_step
    samples = (np.concatenate([[0.0], np.cumsum(slope[:-1])]) / per_step)[None]
    code = bends.encode(samples, per_step)
    reached = np.abs(code.sampled(per_step) - samples).max()
    digits = np.array(list(itertools.product((0, 1), repeat=steps)), dtype=np.uint8)
    best = np.inf
    for first, second in itertools.product(range(-7, 8), range(-5, 5)):
        paths = bends.BendPaths(np.full(len(digits), first), np.full(len(digits), second), digits)
        best = min(best, np.abs(paths.sampled(per_step) - samples).max(axis=1).min())
    assert reached == pytest.approx(best, abs=1e-12)


def test_paths_are_the_splines_that_they_are_said_to_be() -> None:
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 2, (3, 9)).astype(np.uint8)
    paths = bends.BendPaths(np.array([2, -1, 0]), np.array([0, 1, -2]), digits)
    y = np.arange(9 * 4 + 1) / 4
    truncated = np.maximum(y - np.arange(9)[:, None], 0.0) ** 2 / 2
    expected = paths.slopes[:, None] * y + paths.bends[:, None] * y**2 / 2 + (digits - 0.5) @ truncated
    assert np.array_equal(paths.sampled(4), expected)


@pytest.mark.parametrize(("cells", "steps"), [(8, 4), (16, 16)])
def test_the_network_is_the_encoders_path(cells: int, steps: int) -> None:
    network = deep_taylor.build(TREE, cells=cells, steps=steps)
    codes = bend_cells.bend_codes(TREE, cells, steps, bend_cells.bend_sizes(TREE, cells, steps))
    dead = Fraction(*network.provenance["mesh"]["dead"])
    sampled = codes.paths.sampled(2)
    points, expected = [], []
    for cell in range(0, cells, 3):
        held = (codes.starts[cell + cell % 2] + codes.lowest).fraction
        for i in range(2 * steps):
            part = (dead + Fraction(i, 2)) / (steps + dead)
            points.append((cell + (part if cell % 2 == 0 else 1 - part)) / Fraction(cells))
            expected.append(held + codes.scale.fraction * Fraction(float(sampled[cell, i])))
    tolerance = codes.scale.fraction / 64  # of the product
    assert max(abs(a - b) for a, b in zip(values(network, points), expected, strict=True)) <= tolerance


@pytest.mark.parametrize(("cells", "steps"), [(8, 4), (32, 8), (64, 32)])
def test_no_point_is_further_off_than_the_bound(cells: int, steps: int) -> None:
    network = deep_taylor.build(TREE, cells=cells, steps=steps)
    exponent = 50
    rng = np.random.default_rng(2)
    knots = np.arange(cells + 1, dtype=np.int64) << exponent - cells.bit_length() + 1
    ramp = 1 << exponent - network.provenance["mesh"]["ramp"]
    near = [knots[1:] - ramp * q // 8 for q in (1, 4, 7, 8, 9, 20)]
    step = (1 << exponent) // (cells * steps)
    around = [np.clip(knots + side * step // q, 0, 1 << exponent) for side in (-1, 1) for q in (1, 2, 4, 1 << 12)]
    grid = np.concatenate([knots, *near, *around, rng.integers(0, 1 << exponent, 4000)])
    found = evaluate_columns(network.layers, grid[:, None], exponent)
    errors = np.abs(found.values[:, 0] - TREE(grid / 2.0**exponent))
    assert errors.max() <= network.provenance["bound"]
    assert errors.max() > 0.5 * network.provenance["bound"]
    some = rng.choice(len(grid), 12, replace=False)
    exact = values(network, [Fraction(int(grid[i]), 1 << exponent) for i in some])
    assert [float(value) for value in exact] == pytest.approx(found.values[some, 0], abs=2 * found.radius)


@pytest.mark.parametrize("target", [TREE, load_target("bump_tree", smoothness=2.5, seed=1), parabola(0.0), parabola(1)])
def test_counts_and_depths_are_what_the_laws_say(target: Target) -> None:
    for cells, steps in [(8, 4), (8, 32), (16, 4), (32, 8), (64, 4), (128, 16), (256, 4)]:
        network = deep_taylor.build(target, cells=cells, steps=steps)
        assert THEOREM.count is not None
        assert THEOREM.depth is not None
        assert network.n_params == THEOREM.count(network.provenance)
        assert network.depth == THEOREM.depth(network.provenance)


@pytest.mark.parametrize("seed", range(3))
def test_errors_follow_the_law(seed: int) -> None:
    target = load_target("bump_tree", smoothness=2.5, seed=seed)
    assert THEOREM.size is not None
    constants = []
    for cells, steps in [(32, 8), (64, 16), (64, 32)]:
        provenance = deep_taylor.build(target, cells=cells, steps=steps).provenance
        constants.append(provenance["bound"] * THEOREM.size(provenance) ** 2.5)
    assert max(constants) <= 2 * min(constants)
    assert max(constants) <= 600


def test_2000_parameters_reach_five_times_ten_to_the_minus_seven() -> None:
    network = deep_taylor.build(TREE, n_params=2000)
    assert network.n_params <= 2000
    assert network.provenance["bound"] <= 5e-7


def test_a_network_is_built_twice_the_same() -> None:
    first, second = (deep_taylor.build(TREE, n_params=800) for _ in range(2))
    assert first.provenance == second.provenance
    for one, other in zip(first.layers, second.layers, strict=True):
        assert sparse(one).rows == sparse(other).rows
        assert sparse(one).bias == sparse(other).bias


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "n_params"), ({"n_params": 100}, "at least"), ({"cells": 12, "steps": 8}, "power of two")],
)
def test_sizes_that_do_not_work_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deep_taylor.build(TREE, **options)


def test_targets_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="smoothness above 2"):
        deep_taylor.build(load_target("bump_tree", smoothness=1.5), n_params=2000)
    with pytest.raises(TypeError, match="integer"):
        deep_taylor.build(TREE, n_params=2000.5)


@pytest.mark.parametrize("seed", range(4))
def test_the_sliding_code_stays_within_its_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, steps = 20, 3000
    jumps = rng.choice([-0.125, 0.125], (n, steps)) if seed % 2 else rng.uniform(-0.125, 0.125, (n, steps))
    jumps[0] = 0.125 * np.sign(np.sin(np.arange(steps) / (10 * seed + 7)))
    curvature = rng.uniform(-1, 1, (n, 1)) + np.cumsum(jumps, axis=1)
    slope = rng.uniform(-3, 3, (n, 1)) + np.cumsum(curvature, axis=1)
    nodes = np.concatenate([np.zeros((n, 1)), np.cumsum(slope, axis=1)], axis=1)
    off = np.abs(bends._sliding(nodes).sampled(1) - nodes).max()
    assert 1.0 < off <= bends.SLIDING_ERROR


def test_the_sums_of_the_proof_are_as_large_as_it_says() -> None:
    a, b, t = 1 / 8, 1 / 256, 1 / 8
    step = np.array([[1 - b / 2, 1 - a / 2], [-b, 1 - a]])
    assert np.abs(np.linalg.eigvals(step)).max() < 0.95
    pushed, jumped, start = np.array([0.5, 1.0]), np.array([0.0, 0.5]), np.eye(2)
    sums, tops = np.array([0.0, 0.0, 1.0]), np.zeros(3)  # of e, d, k; sigma itself is a part of k
    for _ in range(1000):  # 0.95^1000 < 1e-22: nothing is left
        for drive, size in ((pushed, 1.0), (jumped, t)):
            sums += size * np.abs([drive[0], drive[1], b * drive[0] + a * drive[1]])
        tops = np.maximum(tops, np.abs([*start, np.array([b, a]) @ start]) @ np.array([0.25, 0.5]))
        pushed, jumped, start = step @ pushed, step @ jumped, step @ start
    e, d, k = sums + tops
    assert e < bends.SLIDING_ERROR
    assert d < 13.5
    assert k < 2.5
    assert (a + b / 2) * 2.5 + b * 13.5 + (1 - a / 2) * t < 0.5
