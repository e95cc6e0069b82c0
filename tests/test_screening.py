"""Errors of many networks at little cost: single precision where it suffices, values that are kept, quick bounds."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import exact_outputs

import approxrates as ar
from approxrates import activations, sampling
from approxrates.constructions import construct
from approxrates.errors import screening
from approxrates.errors.breakpoints import pieces_of
from approxrates.errors.screening import errors_at, exact_errors_at, known_values
from approxrates.layers import Layer
from approxrates.network import Network

PLANE = ar.load_target("bump_tree", smoothness=1.5, dim=2, seed=3)
TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)


def network_of(code="tanh", dim=2, width=8, depth=4, seed=0, gain=2.0):
    rng, layers, n_in = np.random.default_rng(seed), [], dim
    for _ in range(depth):
        weight = rng.normal(size=(width, n_in)) * math.sqrt(gain / n_in)
        layers.append(Layer(weight, 0.3 * rng.normal(size=width), activations.get(code).units(width)))
        n_in = width
    return Network((*layers, Layer(rng.normal(size=(1, n_in)) * 0.1, None, ("identity",))))


@pytest.mark.parametrize("code", ["relu", "tanh", "sin", "gelu", "relu+tanh"])
def test_errors_in_single_precision_are_those_in_double(code):
    network, x = network_of(code, gain=0.5 if code == "sin" else 2.0), sampling.even_grid(10_000, 2)
    quick, exact = errors_at(network, x, PLANE(x)), exact_errors_at(network, x, PLANE(x))
    assert 0.0 < np.abs(quick - exact).max() <= 1e-4 * exact.max()
    assert exact == pytest.approx(np.abs(PLANE(x) - network(x)), rel=1e-12)


@pytest.mark.parametrize("what", ["tiny error", "overflow of single precision", "not a number", "few points"])
def test_double_precision_takes_over_where_single_does_not_do(what):
    network, x = network_of("relu", gain=1e8 if what.startswith("overflow") else 2.0), sampling.even_grid(10_000, 2)
    x = x[:500] if what == "few points" else x
    values = network(x) + 1e-9 * np.cos(x[:, 0]) if what == "tiny error" else PLANE(x)
    if what.startswith("overflow"):
        first = network.layers[0]
        network = Network((dataclasses.replace(first, weight=first.weight * 1e30), *network.layers[1:]))
    if what == "not a number":
        last = network.layers[-1]
        network = Network((*network.layers[:-1], dataclasses.replace(last, weight=last.weight * np.inf)))
    found, wanted = errors_at(network, x, values), exact_errors_at(network, x, values)
    assert np.array_equal(found, wanted)
    assert not np.any(np.isnan(found))


@pytest.mark.parametrize("code", ["relu", "tanh", "sin"])
def test_the_sup_error_found_is_an_error_in_double_precision(code):
    network = network_of(code, gain=0.5 if code == "sin" else 2.0)
    found = ar.approximation_error(network, PLANE, certify=False)
    where = np.array([found.where])
    assert found.sup[0] == pytest.approx(float(np.abs(PLANE(where) - network(where))[0]), rel=1e-13)
    dense = sampling.even_grid(400_000, 2)
    assert found.sup[0] >= 0.999 * np.abs(PLANE(dense) - network(dense)).max()
    rms = float(np.sqrt(np.mean((PLANE(dense) - network(dense)) ** 2)))
    assert found.l2 == pytest.approx(rms, rel=0.02)


def test_values_are_kept_for_one_target_and_never_handed_to_another(monkeypatch):
    asked = []

    def counting(x):
        asked.append(len(x))
        return np.sin(x[:, 0])

    counted = dataclasses.replace(PLANE, evaluate=counting, parameters={"name": "counted"})
    other = dataclasses.replace(counted, evaluate=lambda x: np.cos(x[:, 0]))
    x = sampling.even_grid(1000, 2)
    monkeypatch.setattr(screening, "_kept", {})
    first = known_values(counted, x, "grid")
    again = known_values(counted, x, "grid")
    assert again is first
    assert asked[0] == len(x)
    assert sum(asked[1:]) < 100
    assert np.array_equal(known_values(other, x, "grid"), np.cos(x[:, 0]))
    assert np.array_equal(known_values(counted, x, "grid"), np.sin(x[:, 0]))
    unproven = dataclasses.replace(counted, evaluation_error=None, parameters={"name": "a user's"})
    asked.clear()
    known_values(unproven, x, "grid"), known_values(unproven, x, "grid")
    assert asked == [len(x), len(x)]
    for i in range(40):
        known_values(dataclasses.replace(counted, parameters={"name": str(i)}), x, "grid")
    assert len(screening._kept) == 16


@pytest.mark.parametrize("code", ["relu", "leaky_relu", "abs", "hard_tanh", "triangle"])
@pytest.mark.parametrize("depth", [1, 3, 8])
def test_quick_rounding_bounds_hold_against_exact_rationals(code, depth):
    rng = np.random.default_rng(1)
    for seed in range(3):
        network = network_of(code, dim=1, width=5, depth=depth, seed=seed, gain=0.5 if code == "triangle" else 2.0)
        quick, sharp = pieces_of(network, quick=True), pieces_of(network)
        assert quick.is_quick
        assert not sharp.is_quick
        assert quick.count == sharp.count
        assert quick.rounding < 1e-9 * np.abs(sharp.values).max()
        for k in rng.integers(len(quick.t) - 1, size=12):
            a, b = Fraction(float(quick.t[k])), Fraction(float(quick.t[k + 1]))
            share = Fraction(float(rng.random()))
            low, high = Fraction(float(quick.values[k])), Fraction(float(quick.values[k + 1]))
            exact = exact_outputs(network, [a + (b - a) * share])[0]
            assert abs(low + (high - low) * share - exact) <= Fraction(quick.rounding)


def test_quick_bounds_give_way_where_they_would_be_seen():
    """A network that is the target but for rounding: the enclosure is as narrow as with sharp bounds alone."""
    flat = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0, levels=3)
    network = construct("interpolation", flat, cells=8)
    assert pieces_of(network, quick=True).rounding > 0.0
    found = ar.approximation_error(network, flat)
    assert found.certified
    assert found.sup[1] < 1e-13
    rough = ar.approximation_error(construct("interpolation", TREE, cells=8), TREE)
    assert rough.gap <= 4.1e-4


def test_the_sup_on_rough_targets_is_as_sharp_as_a_dense_search():
    for seed in range(3):
        network = network_of("relu", dim=1, seed=seed, depth=3)
        found = ar.approximation_error(network, TREE)
        k = int(found.where[0] * 2**30)
        x = (np.arange(max(0, k - 20_000), min(2**30, k + 20_000)) / 2**30)[:, None]
        grid = (np.arange(2**17 + 1) / 2**17)[:, None]
        best = max(float(np.abs(TREE(p) - network(p)).max()) for p in (x, grid))
        assert found.sup[0] >= (1 - 4.1e-4) * best
        assert best <= found.sup[1]
