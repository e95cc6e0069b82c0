"""Replica-steps per CPU second of full-batch Adam: the ways users have, jax, and our two backends, in one run.

Everything runs on one core and takes turns, round by round, with a large matrix product that tells what the machine
gives at that moment. Before anything is timed, all contenders take the same steps from the same parameters and their
losses are compared. A rate is the median over rounds; a ratio to the loop is the median of the ratios within a round.
"""

import dataclasses

import contender_jax
import contenders
import numpy as np
import ours
import torch
from clock import CPU, cores, interleaved
from problem import Problem

LOOP = "nn.Sequential + Adam"
PEAK_SIZE = 1024
CHECKED_STEPS = 20
AGREEMENT = {"float32": 1e-3, "float64": 1e-9}

CASES = [
    *(Problem("relu", "float32", n) for n in (1, 8, 64, 256)),
    *(Problem("tanh", "float64", n) for n in (1, 8, 64, 256)),
    Problem("relu", "float32", 64, depth=4, n_points=256),
    Problem("tanh", "float64", 64, depth=4, n_points=256),
    Problem("relu", "float32", 8, width=64, n_points=1024),
    Problem("tanh", "float64", 8, width=64, n_points=1024),
]

# How each is made, and the replica-steps of W8 L8 M512 that a sample has: about a tenth of a second.
WAYS = {
    LOOP: (contenders.sequential, 100),
    "nn.Sequential + fused Adam": (contenders.fused_sequential, 150),
    "torch.func vmap + fused Adam": (contenders.vectorised, 250),
    "stacked baddbmm + fused Adam": (contenders.stacked, 500),
    "jax vmap + jit + scan": (contender_jax.points_last, 1000),
    "jax, points first": (contender_jax.points_first, 1000),
    "ours, reference (torch)": (ours.reference, 1500),
    "ours, native (numba)": (ours.native, 3000),
}


@dataclasses.dataclass
class Row:
    """One line of the table: a way to train, on one problem."""

    activation: str
    dtype: str
    width: int
    depth: int
    points: int
    replicas: int
    way: str
    status: str = "ok"
    steps_per_second: float = float("nan")
    times_the_loop: float = float("nan")
    share_of_peak: float = float("nan")
    peak_gflops: float = float("nan")
    spread: float = float("nan")
    cores_used: float = float("nan")
    loss_difference: float = float("nan")
    setup_seconds: float = float("nan")


def disagreement(activation, dtype):
    """Relative difference of each way's loss after some steps from the loop's; the same small problem for all."""
    problem = Problem(activation, dtype, 2)
    found = {way: make(problem, CHECKED_STEPS) for way, (make, _) in WAYS.items()}
    losses = {}
    for way, made in found.items():
        if made is not None:
            made.run()
            losses[way] = made.losses()[0]
    return {way: abs(loss / losses[LOOP] - 1.0) for way, loss in losses.items()}


def steps_for(problem, way):
    """Steps that take about a tenth of a second; fewer the larger the network, but large ones are more efficient."""
    one = Problem(problem.activation, problem.dtype, 1)
    replicas = 1 if "Sequential" in way else problem.replicas
    factor = (one.flops / problem.flops) ** 0.7 * (0.5 if problem.dtype == "float64" else 1.0)
    return max(2, round(WAYS[way][1] * factor / replicas))


def measure(problem, differences, rounds=5):
    """Rows of one problem: everything is made and run once, then timed in turn."""
    a = torch.rand(PEAK_SIZE, PEAK_SIZE, dtype=contenders.DTYPES[problem.dtype])
    out = torch.empty_like(a)
    calls, rows, steps = {"peak": lambda: torch.mm(a, a, out=out)}, {}, {}
    for way, (make, _) in WAYS.items():
        size = (problem.width, problem.depth, problem.n_points)
        row = rows[way] = Row(problem.activation, problem.dtype, *size, problem.replicas, way)
        steps[way], began = steps_for(problem, way), CPU()
        made = make(problem, steps[way])
        if made is None:
            row.status = "not installed"
            continue
        made.run()
        row.setup_seconds = CPU() - began
        row.loss_difference = differences[way]
        row.status = "ok" if row.loss_difference < AGREEMENT[problem.dtype] else "other losses"
        row.cores_used = cores(made.run)
        steps[way] *= made.replicas
        calls[way] = made.run
    times = interleaved(calls, rounds)
    peaks = np.array([2.0 * PEAK_SIZE**3 / took for took in times.pop("peak")])
    loops = steps[LOOP] / np.array(times[LOOP])
    for way, taken in times.items():
        rates, row = steps[way] / np.array(taken), rows[way]
        row.steps_per_second = float(np.median(rates))
        row.times_the_loop = float(np.median(rates / loops))
        row.share_of_peak = float(np.median(rates * problem.flops / peaks))
        row.peak_gflops = float(np.median(peaks)) / 1e9
        row.spread = float(rates.max() / rates.min())
    return list(rows.values())


def table(rounds=5, cases=CASES):
    """Rows of all cases."""
    differences = {kind: disagreement(*kind) for kind in {(case.activation, case.dtype) for case in cases}}
    return [row for case in cases for row in measure(case, differences[case.activation, case.dtype], rounds)]
