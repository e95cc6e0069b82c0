"""Points times layers a second: columns against naive rationals and float64, at cells and inside code ramps.

Run with ``pytest tests/benchmarks/test_bench_arithmetic.py --benchmark-only``; the figures are in ``extra_info``.
"""

import time
from fractions import Fraction

import numpy as np
import pytest

from approxrates.arithmetic import dyadic_points, evaluate_columns, evaluate_exact, evaluate_float64
from approxrates.catalogue import load_target
from approxrates.constructions import deep_line, periodic

SIZES = [{"cells": 64, "steps": 16}, {"cells": 256, "steps": 64}, {"cells": 256, "steps": 256}]


@pytest.fixture(scope="module")
def built():
    """Networks by size, each built once."""
    made = {}

    def network(**sizes):
        key = tuple(sizes.items())
        if key not in made:
            made[key] = deep_line.build(load_target("takagi", smoothness=0.5, dim=1), **sizes)
        return made[key]

    return network


def ramp_points(network, n):
    """Random points in the ramps of the index, with their exponent."""
    mesh, rng = network.provenance["mesh"], np.random.default_rng(0)
    exponent = mesh["ramp"] + 20
    borders, offsets = rng.integers(1, mesh["cells"], n), rng.integers(1, 1 << 20, n)
    pairs = zip(borders.tolist(), offsets.tolist(), strict=True)
    return np.array([[(border << exponent) // mesh["cells"] - offset] for border, offset in pairs]), exponent


def measure(benchmark, network, n_points, call, rounds=1):
    """Run once or more, and tell the speed by CPU time."""
    began, runs = time.process_time(), 0

    def counted():
        nonlocal runs
        runs += 1
        return call()

    found = benchmark.pedantic(counted, rounds=rounds)
    seconds = (time.process_time() - began) / runs
    benchmark.extra_info.update(
        n_params=network.n_params,
        layers=len(network.layers),
        bits=network.max_bits,
        points=n_points,
        cpu_seconds=seconds,
        points_layers_per_second=n_points * len(network.layers) / seconds,
    )
    return found


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_columns_at_random_points(benchmark, built, sizes):
    network = built(**sizes)
    points, exponent = dyadic_points(np.random.default_rng(0).random((30_000, 1)))
    found = measure(benchmark, network, len(points), lambda: evaluate_columns(network.layers, points, exponent))
    benchmark.extra_info["radius"] = found.radius
    assert found.radius < 2.0**-49


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_columns_in_code_ramps(benchmark, built, sizes):
    network = built(**sizes)
    points, exponent = ramp_points(network, 5_000)
    found = measure(benchmark, network, len(points), lambda: evaluate_columns(network.layers, points, exponent))
    assert found.radius < 2.0**-49


@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_naive_rationals(benchmark, built, sizes):
    network = built(**sizes)
    points, exponent = dyadic_points(np.random.default_rng(0).random((5, 1)))
    rows = [[Fraction(c, 2**exponent) for c in p] for p in points.tolist()]
    exact = measure(benchmark, network, len(rows), lambda: evaluate_exact(network.layers, rows))
    found = evaluate_columns(network.layers, points, exponent)
    errors = [abs(row[0] - Fraction(float(value))) for row, value in zip(exact, found.values[:, 0], strict=True)]
    assert max(errors) <= found.radius


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_float64_on_the_same_layers(benchmark, built, sizes):
    network = built(**sizes)
    x = np.random.default_rng(0).random((30_000, 1))
    rounded = measure(benchmark, network, len(x), lambda: evaluate_float64(network.layers, x), rounds=3)
    benchmark.extra_info["error"] = error = float(np.abs(rounded[:2000, 0] - network(x[:2000])).max())
    assert error > 0.1 or sizes["steps"] < 32  # longer words are garbage


def test_columns_of_a_periodic_network(benchmark):
    network = periodic.build(load_target("takagi", smoothness=0.9, dim=1), doublings=12)
    x = np.random.default_rng(0).random(1_000)
    values = measure(benchmark, network, len(x), lambda: network(x))
    assert np.isfinite(values).all()
