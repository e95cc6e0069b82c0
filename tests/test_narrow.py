"""Shallow networks as deep narrow ones: equality in rationals, the count law, refusals."""

from fractions import Fraction

import numpy as np
import pytest

from approxrates.constructions import interpolation
from approxrates.constructions.narrow import count, fully_connected, to_fixed_width
from approxrates.layers import IDENTITY, Layer
from approxrates.network import Network
from approxrates.regularity import Regularity
from approxrates.target import Target


def shallow(dim: int, units: int, seed: int) -> Network:
    rng = np.random.default_rng(seed)
    hidden = Layer(rng.normal(size=(units, dim)), rng.normal(size=units), ("relu",) * units)
    return Network((hidden, Layer(rng.normal(size=(1, units)), rng.normal(size=1), (IDENTITY,))))


@pytest.mark.parametrize(("dim", "units"), [(1, 3), (1, 9), (2, 7), (3, 5)])
def test_deep_narrow_network_is_the_same_function(dim, units):
    for seed in range(4):
        wide = shallow(dim, units, seed)
        deep = to_fixed_width(wide)
        points = [[Fraction(int(c), 60) for c in row] for row in np.random.default_rng(seed).integers(0, 61, (12, dim))]
        points += [[Fraction(0)] * dim, [Fraction(1)] * dim]
        assert np.array_equal(deep(points, "exact"), wide(points, "exact"))
        assert (deep.width, deep.depth) == (dim + 2, units)
        assert deep.n_params == count(wide) == wide.layers[0].n_params + (dim + 2) * (units - 1) + 3


def test_all_terms_negative_still_pass_relu_unchanged():
    hidden = Layer(np.array([[1.0], [2.0], [-1.0]]), np.array([0.0, -1.0, 1.0]), ("relu",) * 3)
    wide = Network((hidden, Layer(np.array([[-3.0, -5.0, -7.0]]), None, (IDENTITY,))))
    deep = to_fixed_width(wide)
    at = [Fraction(k, 16) for k in range(17)]
    assert list(deep(at, "exact")) == [-3 * x - 5 * max(2 * x - 1, 0) - 7 * (1 - x) for x in at]


def test_interpolant_and_its_narrow_twin():
    square = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(2.0, 1), name="square")
    wide = interpolation.build(square, cells=6)
    deep = to_fixed_width(wide)
    assert [float(v) for v in deep([k / 6 for k in range(7)], "exact")] == pytest.approx(
        [(k / 6) ** 2 for k in range(7)]
    )
    assert deep.provenance["of"]["cells"] == 6
    assert deep.n_params == count(wide)


def test_one_hinge_needs_nothing():
    wide = shallow(2, 1, 3)
    deep = to_fixed_width(wide)
    assert (deep.width, deep.depth, deep.n_params) == (1, 1, wide.n_params)
    assert deep([[0.25, 0.75]], "exact")[0] == wide([[0.25, 0.75]], "exact")[0]


def test_networks_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match="one hidden layer of relu units"):
        to_fixed_width(to_fixed_width(shallow(1, 3, 0)))
    tanh = Network((Layer(np.ones((2, 1)), None, ("tanh",) * 2), Layer(np.ones((1, 2)), None, (IDENTITY,))))
    with pytest.raises(ValueError, match="units identity, tanh"):
        to_fixed_width(tanh)
    twice = Network((Layer(np.ones((2, 1)), None, ("relu",) * 2), Layer(np.ones((2, 2)), None, (IDENTITY,) * 2)))
    with pytest.raises(ValueError, match="2 output"):
        to_fixed_width(twice)


def test_filled_up_layers_have_the_dense_count_and_the_same_values():
    deep = to_fixed_width(shallow(1, 6, 1))
    full = Network(fully_connected(deep.layers, 5))
    assert {layer.n_out for layer in full.layers[:-1]} == {5}
    assert full.n_params == full.n_params_dense == 2 * 5 + 5 * (5 * 5 + 5) + 5 + 1
    at = [Fraction(k, 7) for k in range(8)]
    assert np.array_equal(full(at, "exact"), deep(at, "exact"))
    with pytest.raises(ValueError, match="Got width=2, 3 units"):
        fully_connected(deep.layers, 2)
