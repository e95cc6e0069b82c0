"""Every registered theorem against its own declarations: counts, depths, error laws, bounds, exact values.

A theorem joins by a line in ``CASES``; one without fails the suite. Three oracles of different kinds: counts unit by
unit, values by naive rational arithmetic, errors by dense evaluation against the declared constant.
"""

import functools
import itertools
from fractions import Fraction

import numpy as np
import pytest
from oracles import RATIONAL

import approxrates as ar
from approxrates import constructions
from approxrates.constructions import construct
from approxrates.layers import sparse

TARGETS = {
    "tree": lambda: ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0),
    "other tree": lambda: ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=7),
    "rougher tree": lambda: ar.load_target("faber_tree", smoothness=0.3, dim=1, seed=3),
    "takagi": lambda: ar.load_target("takagi", smoothness=0.5),
    "short takagi": lambda: ar.load_target("takagi", smoothness=0.8, levels=6),
    "wave": lambda: smooth(1.0, 8.0),
    "curve": lambda: smooth(2.0, 50.0),
    "bumps": lambda: ar.load_target("bump_tree", smoothness=1.5, seed=1),
    "smooth bumps": lambda: ar.load_target("bump_tree", smoothness=2.5, seed=2),
    "smoother bumps": lambda: ar.load_target("bump_tree", smoothness=4.5, seed=0),
    "square": lambda: ar.load_target("polynomial", dim=1),
    "product": lambda: ar.Target.from_callable(times, ar.Regularity(2.0, 2, radius=1.0)),
    "plane tree": lambda: ar.load_target("faber_tree", smoothness=0.5, dim=2, seed=1),
    "plane takagi": lambda: ar.load_target("takagi", smoothness=0.5, dim=2),
    "plane bumps": lambda: ar.load_target("bump_tree", smoothness=1.5, dim=2, seed=1),
    "smooth plane bumps": lambda: ar.load_target("bump_tree", smoothness=2.5, dim=2),
}

ROUGH = ("tree", "other tree", "rougher tree", "takagi", "wave")

CASES = {
    "interpolation": [
        *itertools.product((*ROUGH, "bumps", "curve"), [{"cells": 7}, {"cells": 64}, {"n_params": 500}]),
        *itertools.product(("plane tree", "plane bumps"), [{"cells": 5}, {"n_params": 700}]),
    ],
    "yarotsky2017_square": [("square", {"steps": m}) for m in (1, 2, 7)] + [("square", {"n_params": 100})],
    "yarotsky2017_product": [("product", {"steps": m}) for m in (1, 2, 5)] + [("product", {"n_params": 60})],
    "yarotsky2017_taylor": [
        *itertools.product(("tree", "takagi", "wave"), [{"cells": 2}, {"cells": 32}, {"n_params": 600}]),
        *itertools.product(
            ("bumps", "smooth bumps", "smoother bumps"),
            [{"cells": 4, "words": 1}, {"cells": 32}, {"cells": 32, "words": 8}, {"n_params": 1000}],
        ),
        ("smooth bumps", {"cells": 16, "degree": 4}),
        *itertools.product(("plane tree", "plane bumps", "smooth plane bumps"), [{"cells": 2}, {"cells": 8}]),
    ],
    "takagi_exponential": [
        *itertools.product(("takagi", "short takagi"), [{"levels": 1}, {"levels": 2}, {"levels": 6}]),
        ("takagi", {"n_params": 200}),
    ],
    "yarotsky2020_periodic": [
        *itertools.product(("tree", "wave"), [{"doublings": 5}, {"doublings": 9}]),
        ("takagi", {"n_params": 300}),
    ],
    "yarotsky2020_fixed_width": [("tree", {"cells": 8, "steps": 4}), ("takagi", {"n_params": 6000})],
    "yarotsky2020_deep": [("other tree", {"n_params": 500}), ("takagi", {"cells": 16, "steps": 6})],
    "yarotsky2020_deep_line": [
        *itertools.product(ROUGH, [{"cells": 8, "steps": 4}, {"cells": 64, "steps": 16}]),
        *itertools.product(("tree", "takagi"), [{"n_params": 700}, {"n_params": 900, "depth_exponent": 0.5}]),
    ],
    "yarotsky2020_deep_slopes": [
        *itertools.product(("bumps", "curve"), [{"cells": 8, "steps": 4}, {"cells": 32, "steps": 16}]),
        ("bumps", {"n_params": 700}),
    ],
    "yarotsky2020_deep_taylor": [("smooth bumps", {"cells": 16, "steps": 8}), ("smooth bumps", {"n_params": 900})],
    "yarotsky2020_deep_plane": [("plane tree", {"cells": 4, "steps": 3}), ("plane takagi", {"n_params": 2500})],
}
"""Targets and sizes for each theorem."""

RUNS = [(name, *case) for name, cases in CASES.items() for case in cases]
IDS = [f"{name}-{target}-{'-'.join(f'{k}={v}' for k, v in options.items())}" for name, target, options in RUNS]
by_run = pytest.mark.parametrize(("name", "target", "options"), RUNS, ids=IDS)


def smooth(smoothness, radius):
    """``sin(5 x + 1) + x^2 / 2``: derivatives up to the second are at most 5.96, 26."""
    return ar.Target.from_callable(wave, ar.Regularity(smoothness, 1, radius=radius), name=f"wave {smoothness}")


def wave(x):
    return np.sin(5.0 * x[:, 0] + 1.0) + 0.5 * x[:, 0] ** 2


def times(x):
    return x[:, 0] * x[:, 1]


@functools.cache
def target_of(key):
    return TARGETS[key]()


@functools.cache
def _built(name, key, options):
    return construct(name, target_of(key), **dict(options))


def built(name, key, options):
    return _built(name, key, tuple(options.items()))


def law_of(network):
    """The theorem whose laws a network obeys: a dispatcher's is that of the layout it chose."""
    chosen = network.provenance["construction"]
    if chosen in constructions.names():
        return constructions.describe(chosen)
    from approxrates.constructions.deep import layouts

    return next(theorem for theorem in layouts() if theorem.name == chosen)


def points_for(target, cells):
    """Knots, points between them, and random ones, all of at most 40 binary digits so that nothing is rounded."""
    rng = np.random.default_rng(1)
    fine = 2 ** min(12, max(8, 3 + int(np.ceil(np.log2(cells)))))
    if target.dim == 1:
        return np.concatenate([np.arange(fine + 1) / fine, rng.integers(0, 2**40, 600) / 2.0**40])[:, None]
    axis = np.arange(49) / 48 if target.dim == 2 else np.arange(9) / 8
    axis = np.round(axis * 2**20) / 2**20
    grid = np.stack(np.meshgrid(*[axis] * target.dim, indexing="ij"), axis=-1).reshape(-1, target.dim)
    return np.concatenate([grid, rng.integers(0, 2**40, (500, target.dim)) / 2.0**40])


def rational_value(network, point):
    """The output at a point, weight by weight in fractions."""
    values = [Fraction(c) for c in point]
    for layer in map(sparse, network.layers):
        sums = []
        for row, bias in zip(layer.rows, layer.bias, strict=True):
            total = Fraction(0) if bias is None else Fraction(bias.mantissa) * Fraction(2) ** bias.exponent
            for source, weight in row:
                total += Fraction(weight.mantissa) * Fraction(2) ** weight.exponent * values[source]
            sums.append(total)
        values = [RATIONAL[code](total) for code, total in zip(layer.activations, sums, strict=True)]
    return values[0]


def test_every_registered_theorem_has_cases():
    assert set(CASES) == set(constructions.names())


@pytest.mark.parametrize("name", constructions.names())
def test_declarations_are_complete(name):
    theorem = constructions.describe(name)
    assert theorem.name == name
    assert all((theorem.statement, theorem.reference, theorem.rate_law, theorem.count_law, theorem.dims))
    low, high = theorem.smoothness
    assert 0 <= low < high


@by_run
def test_counts_and_depths_follow_from_the_sizes_alone(name, target, options):
    network = built(name, target, options)
    law = law_of(network)
    stored = sum(len(row) for layer in map(sparse, network.layers) for row in layer.rows)
    stored += sum(bias is not None for layer in map(sparse, network.layers) for bias in layer.bias)
    assert network.n_params == stored == law.count(network.provenance)
    assert network.depth == law.depth(network.provenance)


@by_run
def test_provenance_rebuilds_the_network_and_respects_the_limit(name, target, options):
    network = built(name, target, options)
    record = network.provenance
    assert record["target"] == dict(target_of(target).parameters)
    assert record["n_params"] == options.get("n_params")
    if "n_params" in options:
        assert network.n_params <= options["n_params"]
    for key in options.keys() - {"n_params", "depth_exponent"}:
        assert record[key] == options[key]


@by_run
def test_measured_errors_obey_the_declared_law_and_the_bound(name, target, options):
    network, known = built(name, target, options), target_of(target)
    law = law_of(network)
    size = law.size(network.provenance)
    points = points_for(known, size)
    measured = np.abs(network(points) - known(points)).max()
    power = min(known.regularity.smoothness, law.order)
    assert measured <= law.constant(known) * size**-power * (1 + 1e-9) + 1e-13
    assert measured <= network.provenance["bound"] + 1e-13
    assert network.provenance["bound"] < 1e3


@by_run
def test_values_are_those_of_naive_rational_arithmetic(name, target, options):
    """Sines have no rational values: ball arithmetic is the other engine there."""
    network = built(name, target, options)
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.integers(0, 2**40, (3, network.dim)) / 2.0**40, np.eye(2, network.dim)])
    if not network.activations <= RATIONAL.keys():
        middle, radius = network(points, arithmetic="ball")
        assert radius.max() < 1e-12
        np.testing.assert_allclose(network(points), middle, rtol=0, atol=1e-9)
        return
    exact = [rational_value(network, point) for point in points]
    np.testing.assert_allclose(network(points), [float(value) for value in exact], rtol=0, atol=1e-9)
    assert network([[Fraction(c) for c in points[0]]], arithmetic="exact")[0] == exact[0]


@pytest.mark.parametrize("name", constructions.names())
def test_building_twice_gives_the_same_weights(name):
    key, options = CASES[name][0]
    first, second = built(name, key, options), construct(name, target_of(key), **options)
    for one, other in zip(map(sparse, first.layers), map(sparse, second.layers), strict=True):
        assert (one.rows, one.bias, one.activations) == (other.rows, other.bias, other.activations)


@pytest.mark.parametrize("name", constructions.names())
def test_weights_longer_than_float64_are_not_rounded_silently(name):
    for key, options in CASES[name]:
        network = built(name, key, options)
        stored = [value for layer in map(sparse, network.layers) for value in layer.entries()]
        if all(value.is_float() for value in stored):
            floats = [value for layer in network.dense_layers for value in sparse(layer).entries()]
            assert sorted(floats) == sorted(stored)
        else:
            with pytest.raises(ValueError, match="float64 holds"):
                _ = network.dense_layers


@pytest.mark.parametrize("name", constructions.names())
def test_targets_of_another_kind_are_refused(name):
    theorem = constructions.describe(name)
    key, options = CASES[name][0]
    dim = next(d for d in range(1, 6) if d not in theorem.dims)
    with pytest.raises(ValueError, match=f"Got dim={dim}"):
        construct(name, ar.load_target("polynomial", dim=dim), **options)
    if np.isfinite(theorem.smoothness[1]):
        with pytest.raises(ValueError, match="built for smoothness"):
            construct(name, ar.load_target("polynomial", dim=theorem.dims[0]), **options)
    with pytest.raises(TypeError, match=f"options of {name} must be among"):
        construct(name, target_of(key), knots=3)


# Squares and products


def test_squares_have_exactly_the_error_of_the_formula():
    """All knots and middles in rationals: nothing on the knots, 2^(-2m-2) in every middle, and convexity in between."""
    for m in (1, 2, 3, 6):
        network = construct("yarotsky2017_square", target_of("square"), steps=m)
        assert (network.n_params, network.max_bits) == (8 * m - 3, 1)
        assert (network.n_params_dense, network.width) == ((7, 2) if m == 1 else (12 * m - 7, 3))
        for j in range(2 ** (m + 1) + 1):
            x = Fraction(j, 2 ** (m + 1))
            expected = Fraction(1, 4 ** (m + 1)) if j % 2 else 0
            assert network([[x]], arithmetic="exact")[0] - x * x == expected


@pytest.mark.parametrize("m", [10, 30, 40])
def test_squares_of_many_steps_are_exact_where_float64_has_long_stalled(m):
    network = construct("yarotsky2017_square", target_of("square"), steps=m)
    rng = np.random.default_rng(m)
    middles = [Fraction(2 * int(j) + 1, 2 ** (m + 1)) for j in rng.integers(0, 2**m, 20)]
    exact = network([[x] for x in middles], arithmetic="exact")
    assert {value - x * x for value, x in zip(exact, middles, strict=True)} == {Fraction(1, 4 ** (m + 1))}
    floats = network(np.array([float(x) for x in middles]), arithmetic="float64")
    off = max(abs(Fraction(float(v)) - x * x) for v, x in zip(floats, middles, strict=True))
    stalled = off > 2 * Fraction(1, 4 ** (m + 1))
    assert stalled == (m >= 30)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_products_have_exactly_the_error_of_the_formula(m):
    """The network is affine between points where both squares have a knot or a middle: a grid of 2^-(m+1) shows all."""
    network = construct("yarotsky2017_product", target_of("product"), steps=m)
    assert (network.n_params, network.depth) == (16 * m + 2, m + 1)
    n = 2 ** (m + 1)
    axis = [Fraction(j, n) for j in range(n + 1)]
    points = [[x, y] for x in axis for y in axis]
    values = network(points, arithmetic="exact")
    errors = [abs(value - x * y) for value, (x, y) in zip(values, points, strict=True)]
    assert max(errors) == Fraction(1, 4 ** (m + 1))


def test_other_functions_than_the_square_and_the_product_are_refused():
    with pytest.raises(ValueError, match=r"target must be x\^2"):
        construct("yarotsky2017_square", target_of("tree"), steps=3)
    with pytest.raises(ValueError, match="target must be x_1 x_2"):
        construct("yarotsky2017_product", target_of("plane tree"), steps=3)
    with pytest.raises(ValueError, match="n_params or steps"):
        construct("yarotsky2017_square", target_of("square"))
    with pytest.raises(ValueError, match="at least 5 "):
        construct("yarotsky2017_square", target_of("square"), n_params=4)


# Easy targets


def test_a_takagi_network_of_all_levels_is_the_function_itself():
    for key in ("takagi", "short takagi"):
        known = target_of(key)
        levels = int(known.parameters.get("levels", 40))
        network = construct("takagi_exponential", known, levels=levels)
        assert network.n_params == 8 * levels - 3
        assert network.provenance["bound"] == 0.0
        points = [[Fraction(p, q)] for p, q in ((1, 3), (2, 7), (1, 2), (1, 1), (123, 1024), (99, 1000))]
        assert network(points, arithmetic="exact") == known.exact([point[0] for point in points])


def test_what_a_takagi_network_leaves_out_is_the_rest_of_the_sum():
    known = target_of("takagi")
    network = construct("takagi_exponential", known, levels=5)
    third = Fraction(1, 3)
    off = known.exact([third])[0] - network([[third]], arithmetic="exact")[0]
    assert float(off) == pytest.approx(2 ** (-5 * 0.5) * (2 / 3) / (1 - 2**-0.5), rel=1e-5)
    assert float(off) <= network.provenance["bound"] <= float(off) * 1.00001
    with pytest.raises(ValueError, match="levels must be at most 40"):
        construct("takagi_exponential", known, levels=41)
    with pytest.raises(ValueError, match="Takagi-Landsberg"):
        construct("takagi_exponential", target_of("tree"), levels=4)


# Local polynomials


def test_local_polynomials_reproduce_polynomials_of_their_degree_up_to_the_declared_losses():
    cubic = ar.Target.from_callable(lambda x: x[:, 0] ** 3 - x[:, 0], ar.Regularity(3.5, 1, radius=0.01))
    network = construct("yarotsky2017_taylor", cubic, cells=8)
    x = np.random.default_rng(0).integers(0, 2**40, 500) / 2.0**40
    assert np.abs(network(x) - cubic(x)).max() <= network.provenance["bound"]


def test_steep_ramps_of_local_polynomials_do_no_harm():
    """Points inside the ramps, next to all borders, in exact arithmetic: no worse than elsewhere."""
    known = target_of("smooth bumps")
    network = construct("yarotsky2017_taylor", known, cells=16)
    ramp = network.provenance["mesh"]["ramp"]
    places = [Fraction(i, 16) - Fraction(k, 4 << ramp) for i in range(1, 17) for k in (1, 2, 3)]
    values = network([[x] for x in places], arithmetic="exact")
    errors = [abs(value - exact) for value, exact in zip(values, known.exact(places), strict=True)]
    assert max(errors) <= network.provenance["bound"] / 4


def test_weights_of_local_polynomials_depend_linearly_on_the_target():
    """Halving the target halves all coefficients: with ranges halved too, the entries are the same numbers."""

    def scaled(factor):
        def function(x):
            return factor * wave(x)

        return ar.Target.from_callable(function, ar.Regularity(2.5, 1, radius=130.0 * factor), name=f"{factor}")

    full, half = (construct("yarotsky2017_taylor", scaled(f), cells=16) for f in (1.0, 0.5))
    assert [top - 1 for top in full.provenance["tops"]] == half.provenance["tops"]
    for one, other in zip(full.layers[:-1], half.layers[:-1], strict=True):
        assert sparse(one).rows == sparse(other).rows


@pytest.mark.slow
@pytest.mark.parametrize(("smoothness", "sizes"), [(0.5, (1024, 4096)), (1.5, (1024, 4096)), (2.5, (512, 4096))])
def test_local_polynomials_keep_their_constant(smoothness, sizes):
    known = ar.load_target("bump_tree", smoothness=smoothness)
    scaled = []
    for cells in sizes:
        network = construct("yarotsky2017_taylor", known, cells=cells)
        x = np.concatenate(
            [np.arange(8 * cells) / (8 * cells), np.random.default_rng(0).integers(0, 2**40, 4000) / 2**40]
        )
        scaled.append(np.abs(network(x) - known(x)).max() * cells**smoothness)
    assert max(scaled) < 1.6 * min(scaled)
