"""Models on cells of the families that are no plain sums of bumps: against exact values.

As in ``test_target_models``: polynomials and targets are evaluated at rational points in rational arithmetic, or in
balls of radius 2^-180, so that nothing of float64 is trusted.
"""

import math
import pickle
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import approxrates as ar
from approxrates.generators import GENERATORS
from approxrates.network import Network
from approxrates.taylor import n_terms

# Family, options, and a place where it is singular: cells around it are looked at on every level.
CASES = [
    *[("brownian", {"smoothness": h}, 0.3) for h in (0.25, 0.5, 0.75)],
    ("brownian", {"smoothness": 0.5, "levels": 1, "seed": 4}, 0.5),
    *[
        ("matern", {"smoothness": nu, "dim": d}, 0.3)
        for nu, d in [(0.5, 1), (1.5, 1), (2.5, 1), (0.7, 2), (1.5, 2), (2.5, 2)]
    ],
    *[("power", {"smoothness": r}, 1 / 3) for r in (0.3, 0.5, 1.5, 2.5, 3.5)],
    *[("power", {"smoothness": r, "shape": "plus", "centre": 0.5}, 0.5) for r in (0.5, 1.5, 2.5)],
    *[("power", {"smoothness": r, "shape": "plus"}, 1 / 3) for r in (0.5, 3.5)],
    *[("power", {"smoothness": r, "shape": "endpoint"}, 0.0) for r in (0.5, 1.5, 3.5)],
    *[("power", {"smoothness": r, "centre": 1.0}, 1.0) for r in (0.5, 2.5)],
    ("power", {"smoothness": 0.5, "centre": 1e-17}, 0.0),
    *[("power", {"smoothness": r, "dim": d}, 1 / 3) for r, d in [(0.5, 2), (1.5, 2), (3.5, 2), (2.5, 3)]],
    ("power", {"smoothness": 0.5, "dim": 2, "centre": 0.5}, 0.5),
    *[("gevrey", {"order": s}, 0.0) for s in (1.1, 2.0, 8.0)],
    *[("gevrey", {"order": 2.0, "dim": d}, 0.0) for d in (2, 3)],
    *[("corner", {"smoothness": r}, 0.0) for r in (0.3, 2 / 3, 1.5, 2.5, 3.5)],
    ("ridge", {"smoothness": 0.5, "direction": [-1.0]}, 0.0),
    *[("ridge", {"smoothness": r, "dim": d}, 0.4) for r, d in [(0.25, 2), (0.5, 2), (1.5, 2), (2.5, 3)]],
    ("ridge", {"smoothness": 0.5, "dim": 2, "direction": [1.0, 0.0]}, 0.5),
    *[("radial", {"smoothness": r, "dim": d}, 0.0) for r, d in [(0.5, 1), (0.5, 2), (0.75, 3)]],
    *[("compositional", {"smoothness": 0.5, "dim": d}, 0.5) for d in (4, 8)],
]
LEVELS = (0, 1, 2, 3, 5, 8, 13, 16, 21, 34, 45, 50, 52)
PLACES = [Fraction(-1), Fraction(0), Fraction(1), Fraction(1, 3), Fraction(-1, 3), Fraction(1, 5)]
TEN = 10**6


def named(case):
    return case[0] + "-" + "-".join(f"{k}={v}" for k, v in case[1].items())


every_target = pytest.mark.parametrize("case", CASES, ids=named)


def made(case):
    return GENERATORS[case[0]](**case[1])


def rational(value):
    """A value of ``Target.exact`` as a fraction; balls far below all remainders count as 0."""
    if isinstance(value, Fraction):
        return value
    mantissa, exponent = value.mid().man_exp()
    return int(mantissa) * Fraction(2) ** int(exponent) if int(exponent) > -3000 else Fraction(0)


def off(target, model, box, level, cell, t):
    """Exact distance of target and polynomial at one point of one box."""
    c = [Fraction(float(v)) for v in model.terms[:, box]]
    value = c[0] + sum(a * ti for a, ti in zip(c[1:], t, strict=False))
    pairs = zip(*np.triu_indices(model.dim), strict=True)
    value += sum(a * t[i] * t[j] for a, (i, j) in zip(c[1 + model.dim :], pairs, strict=True))
    point = tuple((2 * j + 1 + ti) / (2 * target.base**level) for j, ti in zip(cell, t, strict=True))
    return abs(rational(target.exact([point])[0]) - value)


def some_cells(rng, target, level, centre):
    """Cells at the singular point and next to it, and any."""
    count = target.base**level
    at = min(int(Fraction(centre) * count), count - 1)
    near = [
        [min(max(at + (k if i == 0 else rng.randint(-1, 1)), 0), count - 1) for i in range(target.dim)]
        for k in (-1, 0, 1)
    ]
    return [*near, *([rng.randrange(count) for _ in range(target.dim)] for _ in range(2))]


def some_places(rng, dim, n):
    for k in range(n):
        yield [rng.choice(PLACES) if k % 2 else Fraction(rng.randint(-TEN, TEN), TEN) for _ in range(dim)]


@every_target
def test_the_model_holds_at_rational_points_of_cells_of_every_level(case):
    target, rng = made(case), random.Random(0)
    for level in [level for level in LEVELS[:: 3 if target.dim == 8 else 1] if target.base**level <= 2**52]:
        cells = some_cells(rng, target, level, case[2])
        model = target.enclosure(level, np.array(cells))
        assert model.terms.shape == (n_terms(target.dim), len(cells))
        assert np.all(np.isfinite(model.remainder))
        for box, cell in enumerate(cells):
            for t in some_places(rng, target.dim, 3):
                assert off(target, model, box, level, cell, t) <= Fraction(float(model.remainder[box]))


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_model_of_a_power_or_corner_holds_for_any_exponent_centre_cell_and_point(data):
    r = data.draw(st.floats(0.02, 3.98).filter(lambda r: min(r % 1, 1 - r % 1) > 1e-3))
    if data.draw(st.booleans()):
        target, centre = GENERATORS["corner"](r), 0.0
    else:
        dim, centre = data.draw(st.integers(1, 2)), data.draw(st.floats(0, 1))
        shape = data.draw(st.sampled_from(["abs", "plus"])) if dim == 1 else "abs"
        target = GENERATORS["power"](r, dim=dim, centre=centre, shape=shape)
    level = data.draw(st.integers(0, 52))
    count = 2**level
    at, reach = min(int(Fraction(centre) * count), count - 1), data.draw(st.sampled_from([1, 3, count]))
    cell = [min(max(at + data.draw(st.integers(-reach, reach)), 0), count - 1) for _ in range(target.dim)]
    t = [data.draw(st.fractions(-1, 1, max_denominator=TEN)) for _ in range(target.dim)]
    model = target.enclosure(level, np.array([cell]))
    assert off(target, model, 0, level, cell, t) <= Fraction(float(model.remainder[0]))


def dense_ratio(target, level, n):
    """Largest distance of target and polynomial on a grid, over the remainder: one number per cell."""
    d, count = target.dim, target.base**level
    cells = np.stack(np.meshgrid(*[np.arange(count)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    t = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, n)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    model, (rows, columns) = target.enclosure(level, cells), np.triu_indices(d)
    basis = np.concatenate([np.ones((1, len(t))), t.T, t.T[rows] * t.T[columns]])
    x = (2 * cells[:, None, :] + 1 + t) / (2.0 * count)
    values = target(np.clip(x, 0.0, 1.0).reshape(-1, d)).reshape(len(cells), -1)
    allowed = target.evaluation_error + 1e-11  # the points themselves are rounded
    keep = model.remainder > 1e-9
    return ((np.abs(values - model.terms.T @ basis).max(axis=1) - allowed) / model.remainder)[keep]


GRIDS = {1: (5, 1025), 2: (3, 65), 3: (1, 17)}
# Least of the largest ratio over all cells, and of the median.
TIGHT = {"brownian": (0.99, 0.9), "matern": (0.97, 0.7), "power": (0.99, 0.3), "gevrey": (0.99, 0.15)}
TIGHT |= {"corner": (0.95, 0.6), "ridge": (0.75, 0.6), "radial": (0.65, 0.55)}


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in TIGHT and not c[1].get("levels")], ids=named)
def test_the_model_holds_and_is_tight_on_a_dense_grid_of_all_cells(case):
    target, (level, n) = made(case), GRIDS[case[1].get("dim", 2 if case[0] == "corner" else 1)]
    ratio = dense_ratio(target, min(level, 2 if target.base > 2 else level) if target.dim < 3 else 1, n)
    assert len(ratio)
    assert ratio.max() <= 1.0
    assert ratio.max() >= TIGHT[case[0]][0]
    assert np.median(ratio) >= TIGHT[case[0]][1]


@pytest.mark.parametrize(
    ("case", "levels", "rate"),
    [
        (c, (6, 14), c[1]["smoothness"])
        for c in CASES
        if c[0] in ("brownian", "power", "corner") and "levels" not in c[1]
    ]
    + [(c, (6, 14), c[1]["smoothness"]) for c in CASES if c[0] in ("ridge", "radial") and c[1]["smoothness"] < 1]
    + [(c, (3, 7), 2 * c[1]["smoothness"]) for c in CASES if c[0] == "ridge" and c[1]["smoothness"] > 1]
    + [(c, (10, 20), 0.5) for c in CASES if c[0] == "compositional"]
    + [(c, (18, 26), 0.9) for c in CASES if c[0] == "gevrey" and c[1]["order"] == 8.0],
    ids=lambda v: named(v) if isinstance(v, tuple) and isinstance(v[0], str) else str(v),
)
def test_remainders_shrink_at_the_rate_even_where_the_target_is_singular(case, levels, rate):
    target, rng = made(case), random.Random(1)
    sizes = []
    for level in levels:
        cells = [cell for _ in range(8) for cell in some_cells(rng, target, level, case[2])]
        sizes.append(target.enclosure(level, np.array(cells)).remainder.max())
    measured = math.log2(sizes[0] / sizes[1]) / (levels[1] - levels[0])
    assert measured >= min(rate, 3.0 * math.log2(target.base)) - 0.15


@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[5], CASES[7], CASES[9]], ids=named)
def test_paths_are_polynomials_on_their_mesh_and_coarser_cells_know_their_own_deviation(case):
    target = made(case)
    levels = target.enclosure.total.levels
    on_mesh = target.enclosure(levels, np.array([[5] * target.dim]))
    if target.enclosure.total.order == 2:
        assert on_mesh.remainder.max() < 1e-12
    above = target.enclosure(levels - 3, np.arange(2 ** (levels - 3))[:, None].repeat(target.dim, axis=1)).remainder
    assert above.max() > 1.9 * above.min()  # one number for all cells would be wrong for most


@every_target
def test_float_values_are_within_the_proven_error(case):
    target, rng = made(case), random.Random(3)
    tiny = [0.0, 1.0, 5e-324, 2.0**-60, float(np.nextafter(1.0, 0.0)), 1 / 3, case[2]]
    near = [min(max(float(np.nextafter(case[2], s)), 0.0), 1.0) for s in (0.0, 1.0)]
    one = [*tiny, *near, *(rng.random() for _ in range(20)), *(rng.randrange(1, 64) / 64 for _ in range(5))]
    x = np.array([[rng.choice(one) for _ in range(target.dim)] for _ in range(50)])
    exact = [rational(v) for v in target.exact([tuple(map(Fraction, row)) for row in x])]
    worst = max(abs(e - Fraction(float(v))) for e, v in zip(exact, target(x), strict=True))
    assert worst <= Fraction(target.evaluation_error)
    assert target.evaluation_error < 1e-8


@every_target
def test_models_survive_pickling_and_empty_calls(case):
    target = made(case)
    cell = np.zeros((1, target.dim), dtype=np.int64)
    model, again = target.enclosure(3, cell), pickle.loads(pickle.dumps(target)).enclosure(3, cell)
    assert np.array_equal(model.terms, again.terms)
    assert np.array_equal(model.remainder, again.remainder)
    assert target.enclosure(3, cell[:0]).terms.shape == (n_terms(target.dim), 0)
    with pytest.raises(ValueError, match="must lie in"):
        target.enclosure(1, cell + 100)


def test_jumps_have_no_enclosure():
    assert GENERATORS["jump"]().enclosure is None
    assert GENERATORS["jump"](dim=2).enclosure is None


@pytest.mark.parametrize("code", ["tanh", "relu"])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("brownian", {"smoothness": 0.5}),
        ("matern", {"smoothness": 1.5, "dim": 2}),
        ("power", {"smoothness": 0.5}),
        ("power", {"smoothness": 1.5, "dim": 2}),
        ("gevrey", {}),
        ("corner", {}),
        ("ridge", {"smoothness": 0.5, "dim": 2}),
        ("radial", {"smoothness": 0.5, "dim": 2}),
    ],
)
def test_networks_of_both_kinds_are_certified_and_the_truth_is_inside(family, options, code):
    target = GENERATORS[family](**options)
    arch = ar.FixedWidth(dim=target.dim, width=6, depth=2, activation=code)
    network = Network(arch.layers(arch.initialise([0])[0]))
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.ended_by == "gap"
    lower, upper = error.sup
    assert upper <= 1.05 * lower
    side = np.linspace(0.0, 1.0, 20_001 if target.dim == 1 else 257)
    x = np.stack(np.meshgrid(*[side] * target.dim, indexing="ij"), axis=-1).reshape(-1, target.dim)
    seen = np.abs(np.asarray(network(x)).ravel() - target(x)).max()
    assert 0.9 * lower <= seen <= upper * (1.0 + 1e-9)


def test_compositions_are_too_many_variables_for_a_certificate_and_it_says_so():
    target = GENERATORS["compositional"](0.5)
    arch = ar.FixedWidth(dim=4, width=4, depth=2, activation="tanh")
    error = ar.approximation_error(Network(arch.layers(arch.initialise([0])[0])), target)
    assert not error.certified
