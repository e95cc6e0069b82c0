"""Evaluation: float64 against rationals against a plain loop, and each other's limits."""

from fractions import Fraction

import numpy as np
import pytest
from oracles import RATIONAL, exact_outputs

from approxrates import activations
from approxrates.arithmetic import evaluate, evaluate_compensated, evaluate_float64
from approxrates.layers import Layer
from approxrates.network import Network


def random_network(code, widths=(5, 4), dim=1, seed=0):
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for width in widths:
        codes = activations.get(code).units(width)
        layers.append(Layer(rng.normal(size=(width, n_in)), rng.normal(size=width), codes))
        n_in = width
    return Network((*layers, Layer(rng.normal(size=(1, n_in)), rng.normal(size=1), ("identity",))))


@pytest.mark.parametrize("code", sorted(RATIONAL))
def test_exact_evaluation_equals_the_plain_loop(code):
    network = random_network(code, dim=2)
    points = [(Fraction(1, 3), Fraction(5, 7)), (Fraction(0), Fraction(1)), (Fraction(1, 2), Fraction(3, 8))]
    assert network(points, arithmetic="exact") == [exact_outputs(network, p)[0] for p in points]


@pytest.mark.parametrize("code", sorted(RATIONAL))
def test_float64_agrees_with_rationals_to_rounding(code):
    network = random_network(code)
    x = np.random.default_rng(1).random(20)
    exact = np.array([float(v) for v in network(x, arithmetic="exact")])
    np.testing.assert_allclose(network(x), exact, rtol=1e-13, atol=1e-13)


def test_every_piecewise_polynomial_activation_of_the_table_has_exact_values():
    for code in activations.names():
        if activations.get(code).degree is not None:
            assert random_network(code)([Fraction(1, 3)], arithmetic="exact") == exact_outputs(
                random_network(code), [Fraction(1, 3)]
            )


@pytest.mark.parametrize("code", ["relu", "abs", "hard_tanh", "identity"])
def test_compensated_evaluation_is_the_exact_value_rounded(code):
    network = random_network(code, widths=(9, 8, 8), seed=3)
    x = np.random.default_rng(2).random((30, 1))
    exact = np.array([float(exact_outputs(network, [Fraction(c) for c in p])[0]) for p in x])
    np.testing.assert_array_max_ulp(evaluate_compensated(network.layers, x)[:, 0], exact, maxulp=1)


def test_compensated_evaluation_survives_cancellation_that_ruins_float64():
    big = Layer(np.array([[1e8], [1e8]]), np.array([1e-9, 0.0]), ("relu", "relu"))
    network = Network((big, Layer(np.array([[1e8, -1e8]]), None, ("identity",))))
    x = np.array([[0.1], [0.7]])
    exact = np.array([float(exact_outputs(network, [Fraction(float(c[0]))])[0]) for c in x])
    np.testing.assert_allclose(evaluate_compensated(network.layers, x)[:, 0], exact, rtol=1e-14)
    assert np.abs(evaluate_float64(network.layers, x)[:, 0] - exact).max() > 0.05


def test_compensated_evaluation_refuses_activations_that_round():
    with pytest.raises(ValueError, match="compensated evaluation needs"):
        evaluate_compensated(random_network("sin").layers, np.zeros((1, 1)))


def test_chunks_do_not_change_values():
    network = random_network("tanh", widths=(700, 600))
    x = np.random.default_rng(0).random((1000, 1))
    whole = evaluate_float64(network.layers, x)
    np.testing.assert_allclose(
        np.concatenate([evaluate_float64(network.layers, p) for p in np.array_split(x, 7)]), whole, rtol=1e-11
    )


def test_large_matrices_with_few_entries_give_the_same_values_as_dense_ones():
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((1024, 512)) < 0.01, rng.normal(size=(1024, 512)), 0.0)
    first = Layer(rng.normal(size=(512, 1)), rng.normal(size=512), ("relu",) * 512)
    out = Layer(rng.normal(size=(1, 1024)), None, ("identity",))
    layers = (first, Layer(weight, None, ("relu",) * 1024), out)
    x = rng.random((50, 1))
    hidden = np.maximum(weight @ np.maximum(first.weight @ x.T + first.bias[:, None], 0), 0)
    np.testing.assert_allclose(evaluate_float64(layers, x)[:, 0], (out.weight @ hidden)[0], rtol=1e-12, atol=1e-12)


def test_overflow_gives_no_exception():
    layer = Layer(np.array([[1e300], [-1e300]]), None, ("relu2", "relu2"))
    network = Network((layer, Layer(np.array([[1e300, 1.0]]), None, ("identity",))))
    assert not np.isfinite(network(np.array([1.0]))[0])


@pytest.mark.parametrize("name", ["balls", "double", ""])
def test_unknown_arithmetic_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="'auto', 'float64', 'exact', 'ball'"):
        random_network("relu")(np.zeros(1), arithmetic=name)


@pytest.mark.parametrize("code", ["sin", "tanh", "relu+sin"])
def test_exact_arithmetic_refuses_what_is_not_rational(code):
    with pytest.raises(ValueError, match="piecewise-polynomial"):
        random_network(code)(np.zeros(1), arithmetic="exact")


def test_exact_arithmetic_refuses_weights_that_are_not_finite():
    layer = Layer(np.array([[np.nan]]), None, ("identity",))
    with pytest.raises(ValueError, match="finite weights"):
        evaluate((layer,), [[0.5]], "exact")
