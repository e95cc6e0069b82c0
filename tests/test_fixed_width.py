"""The fully connected network of constant width: counts, its error on cells, ramps and dead zones, its narrowest form."""

from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.constructions import construct, fixed_width
from approxrates.constructions.fixed_width_sizes import Plan
from approxrates.regularity import Regularity
from approxrates.target import Target

WAVES = Target.from_callable(
    lambda x: 3.0 * np.abs(x[:, 0] - 0.37) - np.sqrt(x[:, 0]) / 2 - 5.0, Regularity(0.5, 1, radius=3.5), name="waves"
)
FLAT = Target.from_callable(lambda x: np.full(len(x), -0.6875), Regularity(0.5, 1, radius=0.0), name="flat")


def tree(smoothness=0.5, seed=0):
    return ar.load_target("faber_tree", smoothness=smoothness, dim=1, seed=seed)


def nasty_points(network, per_cell=5):
    """Knots, both ends and the inside of ramps, dead zones, bends of walks, points in between; as dyadic rationals."""
    mesh = network.provenance["mesh"]
    n, m, ramp = mesh["cells"], mesh["steps"], Fraction(1, 2 ** mesh["ramp"])
    knots = [Fraction(i, n) for i in range(n + 1)]
    ramps = [k - ramp * c for k in knots[1:] for c in (Fraction(1, 64), Fraction(1, 2), Fraction(7, 8), 1)]
    rng = np.random.default_rng(m)
    inside = [
        Fraction(round(float(v) * 2**40), 2**40)
        for v in (np.arange(n)[:, None] + rng.random((n, per_cell))).ravel() / n
    ]
    cells = rng.integers(0, n, 6)
    nodes = [(c + (Fraction(1, 4) + j) / (m + Fraction(1, 4))) / n for c in cells.tolist() for j in range(m + 1)]
    nodes = [Fraction(round(x * 2**45), 2**45) for x in nodes if x <= 1]
    return [*knots, *ramps, *inside, *nodes]


@pytest.mark.parametrize(
    ("target", "cells", "steps", "width"),
    [(tree(), 8, 2, 12), (tree(0.8, 1), 16, 4, 12), (WAVES, 16, 5, 7), (WAVES, 8, 9, 9), (FLAT, 8, 3, 12)],
)
def test_error_is_within_the_bound_in_exact_arithmetic(target, cells, steps, width):
    network = fixed_width.build(target, cells=cells, steps=steps, width=width)
    points = nasty_points(network)
    found = np.array([float(v) for v in np.ravel(network([[x] for x in points], "exact"))])
    error = np.abs(found - target(np.array([float(x) for x in points])))
    assert error.max() <= network.provenance["bound"] + 1e-12
    assert error.max() >= 0.3 * network.provenance["bound"] or target is FLAT
    assert not network.provenance["bound_is_sampled"]


@pytest.mark.parametrize("width", [7, 8, 9, 11, 12, 16])
def test_every_layer_has_the_width_and_every_scalar_counts(width):
    for cells, steps in ((8, 2), (16, 3), (32, 7), (64, 4)):
        network = fixed_width.build(WAVES, cells=cells, steps=steps, width=width)
        assert {layer.n_out for layer in network.layers[:-1]} == {width}
        assert network.depth == fixed_width.depth(network.provenance)
        assert network.n_params == network.n_params_dense == fixed_width.count(network.provenance)
        assert network.n_params == 2 * width + (network.depth - 1) * (width**2 + width) + width + 1


def test_counts_do_not_depend_on_the_target():
    sizes = {fixed_width.build(f, cells=16, steps=4).n_params for f in (tree(), tree(0.75, 3), WAVES, FLAT)}
    assert len(sizes) == 1


def test_limit_is_on_all_scalars_and_used_up():
    network = construct("yarotsky2020_fixed_width", WAVES, n_params=9000)
    p = network.provenance
    assert network.n_params_dense <= 9000 < Plan(p["cells"], p["steps"] + 1, 12).n_params
    for cells in (p["cells"] // 2, p["cells"] * 2):
        steps = p["cells"] * p["steps"] // cells + 1
        assert Plan(cells, steps, 12).n_params > 9000
    with pytest.raises(ValueError, match="all scalars of a fully connected network count"):
        construct("yarotsky2020_fixed_width", WAVES, n_params=500)
    with pytest.raises(ValueError, match="power of two"):
        construct("yarotsky2020_fixed_width", WAVES, cells=12, steps=4)
    with pytest.raises(ValueError, match="cells and steps"):
        construct("yarotsky2020_fixed_width", WAVES, cells=16)
    with pytest.raises(ValueError, match="width must be at least 7"):
        construct("yarotsky2020_fixed_width", WAVES, cells=16, steps=4, width=6)


def test_widths_give_the_same_function():
    """Only the order of the work differs: on the knots and inside cells all widths agree to the last bit."""
    points = [[Fraction(2 * k + 1, 977)] for k in range(40)]
    values = [fixed_width.build(tree(), cells=16, steps=3, width=h)(points, "exact") for h in (7, 9, 12)]
    assert np.array_equal(values[0], values[1])
    assert np.array_equal(values[0], values[2])


def test_error_law_in_cells_times_steps():
    """``error (N M)^r`` stays below a constant far under the declared one."""
    target = tree()
    found = []
    for cells, steps in ((16, 4), (64, 8), (256, 16)):
        network = fixed_width.build(target, cells=cells, steps=steps)
        found.append(network.provenance["bound"] * (cells * steps) ** 0.5)
    assert max(found) < 0.15 * fixed_width.constant(target)
    assert max(found) < 2 * min(found)


def test_depth_grows_with_steps_by_one_and_with_cells_by_an_eighteenth():
    assert Plan(1024, 65, 12).depth - Plan(1024, 64, 12).depth in (1, 2)
    growth = Plan(2**15, 64, 12).depth - Plan(2**14, 64, 12).depth
    assert 2**14 / 18 < growth < 2**14 / 17 + 10


def test_twenty_thousand_scalars_at_width_twelve():
    network = fixed_width.build(tree(), cells=512, steps=32)
    assert network.n_params_dense == 20005
    assert network.provenance["bound"] <= 0.0418
