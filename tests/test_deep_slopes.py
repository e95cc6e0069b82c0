"""The deep construction for 1 < r <= 2: codes against brute force, networks against rationals, laws against networks."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from approxrates.arithmetic.columns import evaluate_columns
from approxrates.catalogue import load_target
from approxrates.constructions import construct, deep_slopes
from approxrates.constructions.deep_slopes import THEOREM
from approxrates.constructions.encoders import slope_cells, slopes
from approxrates.layers import SparseLayer, dyadic, sparse
from approxrates.network import Network
from approxrates.regularity import Regularity
from approxrates.target import Target

TREE = load_target("bump_tree", smoothness=1.5, seed=0)


def flat(slope: float) -> Target:
    """A function without any curvature."""
    return Target.from_callable(lambda x: slope * x[:, 0], Regularity(1.5, 1, radius=1.0), name=f"slope {slope}")


def values(network: Network, points: list[Fraction]) -> list[Fraction]:
    """Exact outputs."""
    out = network(np.array(points, dtype=object).reshape(-1, 1), arithmetic="exact")
    return [Fraction(value) for value in np.asarray(out).ravel()]


def random_functions(n: int, steps: int, bend: float, seed: int, per_step: int = 4) -> np.ndarray:
    """Piecewise linear functions from 0 whose slope moves by at most ``bend`` at nodes."""
    rng = np.random.default_rng(seed)
    moves = rng.choice([-bend, bend], (n, steps)) if seed % 2 else rng.uniform(-bend, bend, (n, steps))
    rises = rng.uniform(-5, 5, (n, 1)) + np.cumsum(moves, axis=1)
    nodes = np.concatenate([np.zeros((n, 1)), np.cumsum(rises, axis=1)], axis=1)
    fine = np.linspace(0, steps, steps * per_step + 1)
    return np.stack([np.interp(fine, np.arange(steps + 1), row) for row in nodes])


@pytest.mark.parametrize("seed", range(6))
def test_the_sliding_code_stays_within_eight_units(seed: int) -> None:
    samples = random_functions(40, 400, 0.25, seed)
    code = slopes._sliding(samples, 4)
    assert code.errors.max() <= slopes.SLIDING_ERROR
    assert code.errors.max() > 0.5  # the bound is about something


def test_a_function_that_pushes_always_the_wrong_way_stays_within_eight_units() -> None:
    steps, position, slope = 300, 0.0, 0.5
    nodes, rise, state = [0.0], 0.0, 0.5
    for _ in range(steps):
        rise += 0.25 if state < 0 else -0.25
        nodes.append(nodes[-1] + rise)
        slope += 0.5 if rise - (position - nodes[-2]) / 8 > slope else -0.5
        state = slope - rise + (position - nodes[-2]) / 8
        position += slope
    code = slopes._sliding(np.array(nodes)[None], 1)
    assert code.errors[0] <= slopes.SLIDING_ERROR


@pytest.mark.parametrize("seed", range(4))
def test_the_window_code_is_the_best_of_all_codes(seed: int) -> None:
    steps = 9
    samples = random_functions(3, steps, 0.4, seed)
    code = slopes._window(samples, 4)
    digits = np.array(list(itertools.product((0, 1), repeat=steps)), dtype=np.uint8)
    for row in range(len(samples)):
        best = np.inf
        for first in range(-9, 9):
            paths = slopes.SlopePaths(np.full(len(digits), first), digits, np.empty(0))
            best = min(best, slopes.errors_at(np.repeat(samples[row : row + 1], len(digits), 0), 4, paths).min())
        assert code.errors[row] == pytest.approx(best, abs=1e-12)


def test_errors_of_a_code_are_those_of_its_path() -> None:
    samples = random_functions(20, 64, 0.5, 3)
    code = slopes.encode(samples, 4)
    assert slopes.errors_at(samples, 4, code) == pytest.approx(code.errors, abs=1e-12)
    assert np.all(code.errors <= slopes._sliding(samples, 4).errors)


@pytest.mark.parametrize(("cells", "steps"), [(8, 4), (16, 16)])
def test_the_network_is_the_encoders_path_at_every_node(cells: int, steps: int) -> None:
    network = deep_slopes.build(TREE, cells=cells, steps=steps)
    digits = network.provenance["slope_digits"]
    codes = slope_cells.cell_codes(TREE, cells, steps, digits)
    dead = Fraction(1, 1 << digits + 2)
    points, expected = [], []
    for cell in range(0, cells, 3):
        even = cell + cell % 2
        held = codes.starts[even] + codes.lowest
        for j in range(steps + cell % 2):  # an odd knot belongs to the cell on its right
            part = (dead + j) / (steps + dead)
            points.append((cell + (part if cell % 2 == 0 else 1 - part)) / Fraction(cells))
            expected.append((held + codes.scale * dyadic(float(codes.paths.nodes[cell, j]))).fraction)
    assert values(network, points) == expected


@pytest.mark.parametrize(("cells", "steps", "words", "entries"), [(8, 4, 4, 2), (16, 8, 2, 4)])
def test_no_point_is_further_off_than_the_bound(cells: int, steps: int, words: int, entries: int) -> None:
    network = deep_slopes.build(TREE, cells=cells, steps=steps, words=words, entries=entries)
    ramp, digits = network.provenance["mesh"]["ramp"], network.provenance["slope_digits"]
    knots = [Fraction(k, cells) for k in range(cells + 1)]
    ramps = [k - Fraction(q, 16 << ramp) for k in knots[1:] for q in (1, 5, 9, 13, 16, 17, 40)]
    dead = Fraction(1, (1 << digits + 2) * cells * steps)
    dead_zones = [k + side * dead / q for k in knots[1:-1] for side in (-1, 1) for q in (1, 2, 9)]
    rng = np.random.default_rng(1)
    inside = [Fraction(int(v), 1 << 40) for v in rng.integers(0, 1 << 40, 150)]
    points = knots + ramps + dead_zones + inside
    errors = [abs(a - b) for a, b in zip(values(network, points), TREE.exact(points), strict=True)]
    assert max(errors) <= network.provenance["bound"]
    assert max(errors) > 0.4 * network.provenance["bound"]


def test_a_large_network_is_within_its_bound_at_many_points() -> None:
    network = deep_slopes.build(TREE, n_params=1500)
    provenance, exponent = network.provenance, 50
    cells, steps = provenance["cells"], provenance["steps"]
    knots = np.arange(cells + 1, dtype=np.int64) << exponent - cells.bit_length() + 1
    ramp = 1 << exponent - provenance["mesh"]["ramp"]
    fine = np.arange(16 * cells * steps, dtype=np.int64) * ((1 << exponent) // (16 * cells * steps))
    grid = np.concatenate([fine, knots, *(knots[1:] - ramp * q // 8 for q in (1, 4, 7, 8, 9, 20))])
    found = evaluate_columns(network.layers, grid[:, None], exponent)
    worst = np.abs(found.values[:, 0] - TREE(grid / 2.0**exponent)).max()
    assert 0.8 * provenance["bound"] < worst <= provenance["bound"] + found.radius


@pytest.mark.parametrize("words", [None, 2, 4])
@pytest.mark.parametrize("target", [TREE, load_target("bump_tree", smoothness=1.5, seed=2), flat(0.0), flat(3.0)])
def test_counts_and_depths_are_what_the_laws_say(target: Target, words: int | None) -> None:
    for cells, steps in [(8, 4), (8, 32), (16, 4), (32, 8), (64, 4), (128, 16)]:
        network = deep_slopes.build(target, cells=cells, steps=steps, words=words)
        assert THEOREM.count is not None
        assert THEOREM.depth is not None
        assert network.n_params == THEOREM.count(network.provenance)
        assert network.depth == THEOREM.depth(network.provenance)


@pytest.mark.parametrize("entries", [2, 4, 8, 16])
def test_counts_hold_for_every_sharing_of_hinges(entries: int) -> None:
    for words in (2, 4, 8, 16, 32):
        network = deep_slopes.build(TREE, cells=64, steps=8, words=words, entries=entries)
        assert THEOREM.count is not None
        assert network.n_params == THEOREM.count(network.provenance)


@pytest.mark.parametrize("seed", range(3))
def test_errors_follow_the_law_and_its_constant(seed: int) -> None:
    target = load_target("bump_tree", smoothness=1.5, seed=seed)
    assert THEOREM.constant is not None
    assert THEOREM.size is not None
    constants = []
    for cells, steps in [(8, 4), (16, 8), (32, 16), (64, 16), (64, 32), (128, 32), (256, 32)]:
        provenance = deep_slopes.build(target, cells=cells, steps=steps).provenance
        constants.append(provenance["bound"] * THEOREM.size(provenance) ** 1.5)
    assert max(constants) <= THEOREM.constant(target)
    assert max(constants[2:]) <= 2 * min(constants[2:])


def test_2000_parameters_do_better_than_the_bar() -> None:
    network = deep_slopes.build(TREE, n_params=2000)
    assert 1800 <= network.n_params <= 2000
    assert network.provenance["bound"] <= 1.5e-5


def test_the_limit_is_kept_and_a_larger_one_never_hurts() -> None:
    bounds = []
    for limit in (270, 400, 700, 1200):
        network = deep_slopes.build(TREE, n_params=limit)
        assert network.n_params <= limit
        bounds.append(network.provenance["bound"])
    assert bounds == sorted(bounds, reverse=True)


def test_a_network_is_built_twice_the_same() -> None:
    first, second = (deep_slopes.build(TREE, n_params=600) for _ in range(2))
    assert first.provenance == second.provenance
    for one, other in zip(first.layers, second.layers, strict=True):
        assert sparse(one).rows == sparse(other).rows
        assert sparse(one).bias == sparse(other).bias


def in_float64(network: Network) -> Network:
    """The same network with every weight rounded to the nearest float64 number."""
    layers = []
    for layer in map(sparse, network.layers):
        rows = tuple(tuple((source, dyadic(float(weight))) for source, weight in row) for row in layer.rows)
        bias = tuple(None if value is None else dyadic(float(value)) for value in layer.bias)
        layers.append(SparseLayer(layer.n_in, rows, bias, layer.activations, layer.labels))
    return Network(tuple(layers))


def test_words_of_32_digits_are_lost_in_float64_and_words_of_16_are_not() -> None:
    points = [Fraction(16 * i + 14, 512) for i in range(0, 32, 2)]
    for steps, lost in ((16, False), (32, True)):
        network = deep_slopes.build(TREE, cells=32, steps=steps)
        rounded = in_float64(network)
        moved = max(abs(a - b) for a, b in zip(values(network, points), values(rounded, points), strict=True))
        assert (moved > 10 * network.provenance["bound"]) is lost
        assert (network.max_bits > 53) is lost


@pytest.mark.parametrize("smoothness", [2.0, 3.0])
def test_a_small_function_is_approximated_as_well_as_a_large_one(smoothness: float) -> None:
    """Sizes, digits and errors in units of the function are the same for any power of two in front of it."""
    built = []
    for factor in (1.0, 2.0**-30):
        regularity = Regularity(smoothness, 1, radius=27.0 * factor)
        target = Target.from_callable(lambda x, c=factor: c * np.sin(3.0 * x[:, 0]), regularity, name="wave")
        built.append(construct("yarotsky2020_deep", target, n_params=1100))
    large, small = built
    assert small.n_params == large.n_params
    assert small.provenance["bound"] * 2.0**30 == pytest.approx(large.provenance["bound"], rel=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "n_params"),
        ({"n_params": 100}, "at least"),
        ({"cells": 12, "steps": 8}, "power of two"),
        ({"cells": 16, "steps": 2}, "power of two from 4"),
        ({"cells": 16, "steps": 8, "words": 3}, "words"),
        ({"cells": 16, "steps": 8, "entries": 8}, "entries"),
    ],
)
def test_sizes_that_do_not_work_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deep_slopes.build(TREE, **options)


def test_targets_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="smoothness above 1"):
        deep_slopes.build(load_target("faber_tree", smoothness=0.5), n_params=2000)
    with pytest.raises(ValueError, match="dim 1"):
        deep_slopes.build(load_target("bump_tree", smoothness=1.5, dim=2), n_params=2000)
    with pytest.raises(TypeError, match="integer"):
        deep_slopes.build(TREE, n_params=2000.5)
