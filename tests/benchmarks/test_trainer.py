"""Speed of the trainer, part by part. Run with ``pytest tests/benchmarks --benchmark-only``; compare medians on one machine.

Comparisons that quote ratios are in ``throughput.py``, ``peers.py`` and ``toys.py``, which take turns in one run.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import contenders
import ours
from plain_mlp import PlainMLP
from problem import Problem

from approxrates import activations
from approxrates.activations import Family
from approxrates.training.plans import STAGES

CASES = [("relu", "float32"), ("tanh", "float64")]
BACKENDS = {"reference": ours.reference, "native": ours.native}
SIZES = [(8, 4, 256), (8, 8, 512), (16, 8, 512), (64, 8, 1024)]
DENSE = [name for name in ("lbfgs", "ssbfgs", "lm") if name in STAGES]
STEPS = 10


def note(benchmark, problem, **facts):
    facts |= {"replicas": problem.replicas, "n_params": problem.n_params, "points": problem.n_points}
    benchmark.extra_info.update(facts, threads=torch.get_num_threads())


def wave(problem, backend, activation=None):
    """Replicas on the points of a problem, with their starting rows."""
    x, y = problem.points()
    name = activation or problem.activation
    made = ours.ensemble(problem.shapes, name, x[:, None], y, problem.replicas, dtype=problem.dtype, backend=backend)
    return made, made.layout.pack(problem.plain()).to(made.dtype)


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "native":
        pytest.importorskip("numba")
    return request.param


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_loop_of_ten_steps(benchmark, activation, dtype, fused):
    benchmark.group = f"ten steps of Adam, {activation} {dtype}"
    problem = Problem(activation, dtype, 1)
    made = contenders.sequential(problem, STEPS, fused=fused)
    note(benchmark, problem)
    benchmark(made.run)
    assert np.isfinite(made.losses()).all()


@pytest.mark.parametrize("n", [1, 8, 64, 256])
@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_ten_steps_of_the_adam_stage(benchmark, backend, activation, dtype, n):
    benchmark.group = f"ten steps of Adam, {activation} {dtype}"
    problem = Problem(activation, dtype, n)
    made = BACKENDS[backend](problem, STEPS)
    note(benchmark, problem, backend=backend)
    before = made.losses()
    benchmark.pedantic(made.run, rounds=10, warmup_rounds=1)
    assert np.median(made.losses() / before) < 1.0


@pytest.mark.parametrize(("width", "depth", "m"), SIZES)
def test_gradient_by_size(benchmark, backend, width, depth, m):
    benchmark.group = f"gradient, relu float32, W{width} L{depth} M{m}, N = 16"
    problem = Problem("relu", "float32", 16, width, depth, m)
    made, theta = wave(problem, backend)
    gradient = torch.zeros_like(theta)
    note(benchmark, problem, backend=backend)
    assert benchmark(made.value_and_gradient, theta, gradient).isfinite().all()


@pytest.mark.parametrize("name", [name for name in activations.names() if activations.get(name).trainable])
def test_gradient_by_activation(benchmark, backend, name):
    benchmark.group = f"gradient, {name} float64, W8 L4 M512, N = 16"
    problem = Problem("tanh", "float64", 16, depth=4)
    made, theta = wave(problem, backend="reference" if backend == "reference" else "auto", activation=name)
    if backend != made.backend:
        pytest.skip(f"{name} has no compiled form")
    if activations.get(name).family is not Family.SMOOTH:
        theta *= 0.5  # powers would grow from layer to layer
    note(benchmark, problem, backend=backend)
    assert benchmark(made.value_and_gradient, theta, torch.zeros_like(theta)).isfinite().all()


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_jacobian(benchmark, backend, depth):
    benchmark.group = f"Jacobian, tanh float64, W8 L{depth} M512, N = 8"
    problem = Problem("tanh", "float64", 8, depth=depth)
    made, theta = wave(problem, backend)
    jacobian = torch.zeros(len(theta), made.layout.stride, problem.n_points, dtype=theta.dtype)
    note(benchmark, problem, backend=backend)
    benchmark(made.jacobian, theta, jacobian)
    # By numpy, for one network: the same numbers, or the time is not worth having.
    x, y = problem.points()
    plain = PlainMLP(x[:, None], y, problem.width, depth)
    expected = plain.jacobian(theta[3, : problem.n_params].numpy())
    assert np.allclose(jacobian[3, : problem.n_params].numpy().T, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [8, 64])
@pytest.mark.parametrize(("activation", "dtype"), CASES)
def test_ten_steps_of_soap(benchmark, backend, activation, dtype, n):
    benchmark.group = f"ten steps of SOAP, {activation} {dtype}"
    problem = Problem(activation, dtype, n)
    made, theta = wave(problem, backend)
    descent, _ = ours.begin(STAGES["soap"](steps=20 * STEPS), made, theta)
    note(benchmark, problem, backend=backend)
    benchmark.pedantic(descent.advance, rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("depth", [2, 4, 8])
@pytest.mark.parametrize("stage", DENSE)
def test_fifty_steps_of_stages_in_double_precision(benchmark, stage, depth):
    problem = Problem("tanh", "float64", 8, depth=depth)
    made, theta = wave(problem, "auto")
    benchmark.group = f"fifty steps, tanh W8 L{depth} M512, N = 8"
    note(benchmark, problem, backend=made.backend)

    def run():
        descent, population = ours.begin(STAGES[stage](steps=50), made, theta.clone())
        while descent.advance():
            pass
        return population

    before = made.value(theta)
    assert (benchmark.pedantic(run, rounds=2, warmup_rounds=1).loss < before).all()
