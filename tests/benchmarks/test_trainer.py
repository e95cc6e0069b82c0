"""Speed of the trainer. Run with ``pytest tests/benchmarks --benchmark-only``; compare medians on one machine."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from networks import adam, ensemble, sequential

from approxrates.training import SOAP, SelfScaledBFGS
from approxrates.training.base import Population, Watch
from approxrates.training.ssbfgs import _Descent

CASES = [("relu", "float32"), ("tanh", "float64")]


def note(benchmark, **facts):
    benchmark.extra_info.update(facts, threads=torch.get_num_threads())


@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_loop_step(benchmark, activation, dtype):
    benchmark.group = f"adam {activation} {dtype}"
    note(benchmark, replicas=1)
    assert benchmark(sequential(activation, dtype)).isfinite()


@pytest.mark.parametrize("n", [1, 8, 64, 256])
@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_batched_adam_step(benchmark, activation, dtype, n):
    benchmark.group = f"adam {activation} {dtype}"
    note(benchmark, replicas=n)
    assert benchmark(adam(activation, dtype, n)).isfinite().all()


@pytest.mark.parametrize(("width", "depth", "m"), [(8, 4, 256), (8, 8, 512), (16, 8, 512), (64, 8, 1024)])
def test_batched_adam_step_of_several_sizes(benchmark, width, depth, m):
    benchmark.group = "adam relu float32, N = 16"
    note(benchmark, replicas=16, width=width, depth=depth, points=m)
    assert benchmark(adam("relu", "float32", 16, width=width, depth=depth, m=m)).isfinite().all()


@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_soap_step(benchmark, activation, dtype):
    benchmark.group = f"adam {activation} {dtype}"
    made, theta = ensemble(activation, dtype, 64)
    rule, gradient, count = SOAP(steps=1).rule(theta, made.layout), torch.zeros_like(theta), [0]

    def step():
        count[0] += 1
        loss = made.value_and_gradient(theta, gradient)
        rule.update(theta, gradient, 1e-3, count[0])
        return loss

    note(benchmark, replicas=64)
    assert benchmark(step).isfinite().all()


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_self_scaled_bfgs_round(benchmark, depth):
    benchmark.group = "ssbfgs tanh, N = 8"
    made, theta = ensemble("tanh", "float64", 8, depth=depth, m=512)
    stage = SelfScaledBFGS(steps=10**6, tolerance=0.0, patience=10**6)
    watch = Watch(Population(theta.clone(), range(8)), range(8), stage.name, stage.steps, None)
    descent = _Descent(stage, made, theta, watch)
    for _ in range(20):
        descent._round()
    note(benchmark, replicas=8, n_params=made.layout.n_params)
    benchmark(descent._round)
    assert max(descent.loss) < 1.0
