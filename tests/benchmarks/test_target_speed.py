"""How long a million points take: under one second in d = 1 (20 levels), under three in d = 2, on one core."""

import numpy as np
import pytest

from approxrates.catalogue import load_target

TARGETS = [
    {"name": "faber_tree", "smoothness": 0.5, "levels": 20},
    {"name": "faber_tree", "smoothness": 0.5},
    {"name": "bump_tree", "smoothness": 1.5},
    {"name": "takagi", "smoothness": 0.5},
    {"name": "weierstrass", "smoothness": 0.5, "levels": 20},
    {"name": "weierstrass", "smoothness": 0.5},
]


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("arguments", TARGETS, ids=lambda a: "-".join(map(str, a.values())))
def test_a_million_points(benchmark, arguments, dim):
    target = load_target(**arguments, dim=dim)
    x = np.random.default_rng(0).random((1_000_000, dim))
    target(x[:10])
    benchmark.extra_info["parameters"] = dict(target.parameters)
    values = benchmark.pedantic(target, args=(x,), rounds=3)
    assert np.all(np.abs(values) <= target.tail() + 1 / (1 - float(target.base) ** -target.regularity.smoothness))
