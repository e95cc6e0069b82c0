"""The deep phase in the plane: laws, walks against exact values, points where single networks are garbage."""

from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.arithmetic.columns import evaluate_columns
from approxrates.constructions import deep_plane
from approxrates.constructions.deep_plane import THEOREM, Plan, build, count, depth
from approxrates.constructions.encoders import plane, plane_cells
from approxrates.constructions.graph import Graph
from approxrates.generators.faber_tree import faber_tree
from approxrates.layers import Dyadic

EXPONENT = 40
THRESHOLDS = np.array([18.99, 19, 19.01, 19.5, 19.99, 20, 20.01, 20.5, 21, 21.01]) / 128


def tree(seed=0, smoothness=0.5):
    return faber_tree(smoothness, dim=2, seed=seed, levels=20)


def plan_of(network):
    return Plan(*(network.provenance[name] for name in ("cells", "steps", "words", "leads")))


def near_lines(plan, rng, n):
    """Coordinates on and beside the grid lines of all three networks: in ramps, at the ends of clips, at corners."""
    fine = plan.cells * plan.steps
    offsets = np.array(
        [0.0, 1e-9, 2.0**-9, 2.0**-8, 2.0**-7, 0.99 * 2.0**-6, 2.0**-6, 1.01 * 2.0**-6, 1 / 32, *THRESHOLDS]
    )
    positions = rng.integers(0, fine + 1, n) + rng.choice(offsets, n) * rng.choice([-1, -1, 1], n)
    grids = list(plan.grids())
    shifts = np.array([grid.shift for grid in grids])
    return np.clip((positions - rng.choice(shifts, n)) / grids[0].stretch, 0.0, 1.0)


def adversarial(plan, n, seed=0):
    """Integer points times ``2^-40``: half of them near lines in one coordinate, a quarter in both; the corners."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2))
    points[: n // 2, 0] = near_lines(plan, rng, n // 2)
    points[n // 4 : 3 * n // 4, 1] = near_lines(plan, rng, 3 * n // 4 - n // 4)
    points[-4:] = [[0, 0], [0, 1], [1, 0], [1, 1]]
    return np.rint(points * 2.0**EXPONENT).astype(np.int64)


def values(network, points):
    result = evaluate_columns(network.layers, points, EXPONENT, bits=30)
    assert result.radius < 1e-6
    return result.values[:, 0]


@pytest.mark.parametrize(
    ("cells", "steps", "words"),
    [
        (2, 2, 1),
        (3, 2, 1),
        (4, 2, 2),
        (5, 3, 1),
        (5, 3, 4),
        (6, 4, None),
        (7, 5, 2),
        (9, 2, 4),
        (12, 3, 8),
        (17, 4, 16),
    ],
)
def test_count_and_depth_are_exact(cells, steps, words):
    network = build(tree(), cells=cells, steps=steps, words=words, beam=2)
    assert network.n_params == count(network.provenance)
    assert network.depth == depth(network.provenance)
    assert network.n_params <= 200 + 45 * steps**2 + 9.5 * cells**2 + 120 * np.log2(cells * steps)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_error_is_below_the_proven_bound_everywhere(seed):
    target = tree(seed)
    network = build(target, cells=7, steps=4)
    points = adversarial(plan_of(network), 6000, seed)
    errors = np.abs(values(network, points) - target(points * 2.0**-EXPONENT))
    bound = network.provenance["bound"]
    assert errors.max() <= bound <= 1.4 * errors.max()
    assert bound <= deep_plane.constant(target) * THEOREM.size(network.provenance) ** -0.5


@pytest.mark.parametrize(("smoothness", "sizes"), [(0.3, (6, 3)), (0.8, (6, 3)), (0.5, (16, 2)), (0.5, (3, 6))])
def test_other_smoothness_and_shapes(smoothness, sizes):
    target = tree(3, smoothness)
    network = build(target, cells=sizes[0], steps=sizes[1])
    points = adversarial(plan_of(network), 4000)
    errors = np.abs(values(network, points) - target(points * 2.0**-EXPONENT))
    assert errors.max() <= network.provenance["bound"]
    assert network.provenance["bound"] <= deep_plane.constant(target) * (sizes[0] * sizes[1]) ** -smoothness


def test_columns_and_rationals_agree_also_in_ramps():
    network = build(tree(), cells=4, steps=2)
    points = adversarial(plan_of(network), 120)
    exact = [float(y) for y in network(points * 2.0**-EXPONENT, arithmetic="exact")]
    assert np.abs(values(network, points) - exact).max() < 1e-6


def test_at_cell_centres_the_output_lies_between_the_walks_of_the_encoder():
    """The oracle reads the tables' words digit by digit, in rationals, and knows nothing of layers."""
    target = tree(1)
    network = build(target, cells=3, steps=3)
    plan = plan_of(network)
    r, radius = deep_plane._holder(target)
    coding = plane.encode_plane(
        target, list(plan.grids()), plan.leads, plane_cells.value_range(target)[0], radius * 9**-r / 16, 16
    )
    scale, low = float(coding.scale), float(coding.low)
    rng = np.random.default_rng(0)
    points = rng.random((40, 2))
    outputs = [float(y) for y in network(points, arithmetic="exact")]
    for point, output in zip(points, outputs, strict=True):
        candidates = []
        for grid, walks in zip(plan.grids(), coding.walks, strict=True):
            place = point * grid.stretch + grid.shift
            cell = np.floor(place).astype(int)
            coarse, fine = np.divmod(cell, plan.steps)
            y = fine[1] * plan.steps + (fine[0] if fine[1] % 2 == 0 else plan.steps - 1 - fine[0])
            if np.abs(place - np.rint(place)).min() > 19 / 128:
                walk = walked(walks.digits[coarse[0] * plan.cells + coarse[1]], plan.leads, int(y))
                candidates.append(low + scale * float(walk))
        assert min(candidates) - 1e-9 <= output <= max(candidates) + 1e-9


def walked(digits, leads, y):
    """Value of fine cell y, from the definition: the itinerary read backwards, then the sum."""
    rest, found = Fraction(1), []
    for digit in digits[::-1]:
        rest = 1 - rest / 4 if digit else rest / 4
        found.append(rest)
    increments = found[leads:]
    start = sum(2**k for k in range(leads) if found[k] < Fraction(1, 2))
    return start + sum((z - Fraction(1, 2) for z in increments[:y]), Fraction(0))


@pytest.mark.parametrize("leads", [3, 9])
def test_garbage_of_single_networks_does_not_reach_the_output(leads):
    """Neighbouring cells have extreme walks, so that ramps make garbage as large as it can be."""
    plan = Plan(4, 2, 1, leads)
    digits = np.zeros((16, plan.steps**2 - 1 + leads), dtype=np.uint8)
    digits[::2, -leads:], digits[1::2, : plan.steps**2 - 1] = 1, 1
    walks = plane.Walks(digits, plane.walk_values(digits, leads))
    table = deep_plane._table(walks, plan)
    network = deep_plane.network_of(plan, [table] * 3, Dyadic(1), Dyadic(0), {})
    points = adversarial(plan, 4000)
    found = values(network, points)
    low, high = good_range(plan, walks, points * 2.0**-EXPONENT)
    assert np.isfinite(low).all()  # some network is good at every point
    assert np.all(low - 1e-6 <= found)
    assert np.all(found <= high + 1e-6)


def test_single_networks_are_garbage_in_their_ramps():
    """Without the selection the same points give values far from any walk: the test above has something to catch."""
    plan = Plan(4, 2, 1, 6)
    digits = np.zeros((16, plan.steps**2 - 1 + 6), dtype=np.uint8)
    digits[::2, -6:] = 1
    walks = plane.Walks(digits, plane.walk_values(digits, 6))
    table = deep_plane._table(walks, plan)
    graph = Graph(2)
    stretch, shifts = plan.frame()
    code, number = deep_plane._start(graph, *(graph.input(k) * stretch + shifts[0] for k in range(2)), plan, table)
    network = graph.network([deep_plane._walk(graph, code, number, plan) - (number >> 1)])
    points = adversarial(plan, 4000)
    far = np.abs(values(network, points)[:, None] - np.unique(walks.path)[None]).min(axis=1)
    assert far.max() > 2.0


def good_range(plan, walks, points):
    """Least and greatest good value of the three networks at points, when all have the same walks."""
    low, high = np.full(len(points), np.inf), np.full(len(points), -np.inf)
    for grid in plan.grids():
        place = points * grid.stretch + grid.shift
        cell = np.floor(place).astype(int)
        good = (np.abs(place - np.rint(place)) > 19 / 128 - 1e-9).all(axis=1)
        coarse, fine = np.divmod(cell, plan.steps)
        y = fine[:, 1] * plan.steps + np.where(fine[:, 1] % 2 == 0, fine[:, 0], plan.steps - 1 - fine[:, 0])
        value = walks.path[coarse[:, 0] * plan.cells + coarse[:, 1], y]
        low, high = np.where(good, np.minimum(low, value), low), np.where(good, np.maximum(high, value), high)
    return low, high


@pytest.mark.parametrize("limit", [600, 1500, 2600])
def test_the_largest_network_under_a_limit_is_returned(limit):
    target = tree()
    network = ar.construct(THEOREM.name, target, n_params=limit, beam=2)
    assert network.n_params <= limit
    size = THEOREM.size(network.provenance)
    span, holder = plane_cells.value_range(target), deep_plane._holder(target)
    for cells in range(2, 24):
        for steps in range(2, 10):
            if cells * steps > size:
                leads = deep_plane._leads(cells, steps, span, holder)
                assert min(count(vars(Plan(cells, steps, words, leads))) for words in (1, 2, 4, 8)) > limit


def test_exponent_is_a_depth_knob():
    depths = [build(tree(), n_params=2500, depth_exponent=a, beam=2).depth for a in (0.0, 0.75, 1.0)]
    assert depths == sorted(depths)
    assert depths[0] < depths[1]
    small, large = (build(tree(), n_params=limit, depth_exponent=0.6, beam=2).provenance for limit in (1200, 3000))
    assert large["steps"] / small["steps"] == pytest.approx((3000 / 1200) ** 0.3, abs=0.35)


def test_building_is_deterministic():
    first, second = (build(tree(4), cells=5, steps=3) for _ in range(2))
    assert first.provenance == second.provenance
    assert [layer.rows for layer in first.layers] == [layer.rows for layer in second.layers]
    assert [layer.bias for layer in first.layers] == [layer.bias for layer in second.layers]


def test_targets_without_enclosures_have_a_bound_by_the_holder_constant():
    regularity = ar.Regularity(smoothness=1.0, dim=2, radius=1.0)
    target = ar.Target.from_callable(lambda x: np.abs(x[:, 0] - 0.3) - 0.5, regularity, name="fold")
    network = build(target, cells=6, steps=4)
    points = adversarial(plan_of(network), 3000)
    errors = np.abs(values(network, points) - target(points * 2.0**-EXPONENT))
    assert errors.max() <= network.provenance["bound"] <= deep_plane.constant(target) / 24


def test_a_greedy_walk_stays_within_three_quarters():
    rng = np.random.default_rng(5)
    middle = 40.0 + np.cumsum(rng.choice([-0.25, 0.25, 0.1, -0.24], (200, 64)), axis=1)
    walks = plane.follow(middle, middle, 7, 1, greedy=True)
    assert np.abs(walks.path - middle).max() <= 0.75 + 1e-12
    beamed = plane.follow(middle, middle, 7, 16)
    assert np.abs(beamed.path - middle).max(axis=1).mean() < 0.5 * np.abs(walks.path - middle).max(axis=1).mean() + 0.2


def test_proven_ranges_hold_and_are_close():
    target = tree(2)
    grid = plane_cells.Grid(3, 4, 11.1, 0.375, 0.15)
    constants = np.zeros((12, 12))
    low, high = plane_cells.sampled_ranges(target, grid, parts=24)
    sampled = float(np.maximum(-low, high).max())
    proven = plane_cells.constants_error(target, [grid], [constants], sampled, np.inf)
    assert sampled <= proven <= 1.1 * sampled


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, ValueError),
        ({"n_params": 100}, ValueError),
        ({"cells": 4}, ValueError),
        ({"steps": 4}, ValueError),
        ({"cells": 4, "steps": 1}, ValueError),
        ({"cells": 4, "steps": 2, "words": 3}, ValueError),
        ({"cells": 4000, "steps": 20}, ValueError),
        ({"n_params": 1000, "depth_exponent": 1.5}, ValueError),
        ({"n_params": 1000.0}, TypeError),
    ],
)
def test_bad_sizes_are_told(options, error):
    with pytest.raises(error, match=r"must be|needs"):
        build(tree(), **options)


@pytest.mark.parametrize(("smoothness", "radius"), [(1.5, 1.0), (0.5, None), (0.5, 0.0)])
def test_targets_that_do_not_fit_are_refused(smoothness, radius):
    regularity = ar.Regularity(smoothness=smoothness, dim=2, radius=radius)
    target = ar.Target.from_callable(lambda x: 0.0 * x[:, 0], regularity, name="none")
    with pytest.raises(ValueError, match=r"must be at most 1|known Hölder constant"):
        build(target, cells=4, steps=2)


@pytest.mark.slow
def test_figures_at_size():
    """W <= 29,500 below .115, and the error law over one and a half decades of weights."""
    target = tree()
    constants = []
    for limit in (900, 4000, 8604, 29500):
        network = build(target, n_params=limit)
        points = adversarial(plan_of(network), 40000)
        error = np.abs(values(network, points) - target(points * 2.0**-EXPONENT)).max()
        assert error <= network.provenance["bound"]
        constants.append(error * np.sqrt(THEOREM.size(network.provenance)))
    assert error <= 0.115
    assert max(constants[1:]) <= 1.4 * min(constants[1:])
