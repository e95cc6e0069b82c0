"""What exact networks cost: columns, building and evaluating, proofs, memory. Seconds are those of one processor."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from approxrates.arithmetic import dyadic_points, evaluate_columns
from approxrates.calibration.exactness import Row, ramp_points, rough, row, smooth
from approxrates.catalogue import load_target
from approxrates.constructions import construct, deep_line
from approxrates.errors import approximation_error
from approxrates.network import Network
from approxrates.target import Target

SPEED = 2e6
"""Points times layers a second that columns are to reach at words of 512 bits."""
BUILD, EVALUATE = 2.0, 30.0
"""Seconds for a network of 2,000 weights, and for its values at 100,000 points."""
MEMORY = 4.0
"""Gigabytes that the process may take at most."""
GAP, LEFT_OUT = 0.01, 1e-5
"""Relative width of a bracket, and the share of ``[0, 1]`` that a proof may leave out, for small networks."""
PROVE, PROVE_LARGE = 10.0, 60.0
"""Seconds for a proof at about 768 weights, and at more than 5,000."""
_LARGE = ((512, 320), (1024, 256))
"""Cells and steps of networks of more than 5,000 weights: with long words, and with more cells."""


def takagi() -> Target:
    """The self-similar target of smoothness 1/2."""
    return load_target("takagi", smoothness=0.5, dim=1)


def timed(call: Callable[[], Any], times: int) -> tuple[Any, float]:
    """The result, and the median of the processor time of some calls."""
    spent = []
    result = None
    for _ in range(times):
        began = time.process_time()
        result = call()
        spent.append(time.process_time() - began)
    return result, float(np.median(spent))


def engine(few: bool, times: int, seed: int) -> Iterator[Row]:
    """Speed of columns at words of about 512 bits, at random points and inside code ramps."""
    cells, steps = (8, 4) if few else (256, 256)
    network = deep_line.build(takagi(), cells=cells, steps=steps)
    counts = (200, 100) if few else (30_000, 5_000)
    scattered = dyadic_points(np.random.default_rng(seed).random((counts[0], 1)))
    for where, points in (("random points", scattered), ("points in ramps", ramp_points(network, counts[1], seed))):
        n_points = len(points[0])
        found, seconds = timed(partial(evaluate_columns, network.layers, *points), times)
        speed = n_points * len(network.layers) / seconds
        counted = {"unit": "radius", "measured": found.radius, "rule": "<=", "asked": 2.0**-49}
        spent = {"seconds": seconds, "speed": speed, "speed_asked": SPEED}
        yield row("engine", f"{n_points:,} {where}", steps, network, **counted, **spent)


def building(few: bool, times: int, seed: int) -> Iterator[Row]:
    """Time to build a network under a limit, and to evaluate it at many points."""
    limit, n_points = (300, 1_000) if few else (2_000, 100_000)
    x = np.random.default_rng(seed).random((n_points, 1))
    for target in (takagi(), rough(seed), smooth(seed)):
        network, seconds = timed(partial(construct, "yarotsky2020_deep", target, n_params=limit), times)
        counted = {"unit": "weights", "measured": network.n_params, "rule": "<=", "asked": limit}
        yield row("construct", target.name, limit, network, **counted, seconds=seconds, seconds_asked=BUILD)
        values, seconds = timed(partial(network, x), times)
        bad = int((~np.isfinite(values)).sum())
        counted = {"unit": "infinite values", "measured": bad, "rule": "<=", "asked": 0}
        setting = f"{target.name}, {n_points:,} points"
        yield row("evaluate", setting, limit, network, **counted, seconds=seconds, seconds_asked=EVALUATE)


def proofs(few: bool, times: int, seed: int) -> Iterator[Row]:
    """Certified errors: brackets, what they leave out of ``[0, 1]``, and their time."""
    limit = 250 if few else 768
    for target in (takagi(), rough(seed)):
        yield from _proof(deep_line.build(target, n_params=limit), target, times, PROVE, LEFT_OUT)
    for cells, steps in () if few else _LARGE:
        yield from _proof(deep_line.build(takagi(), cells=cells, steps=steps), takagi(), 1, PROVE_LARGE, 0.0)


def _proof(network: Network, target: Target, times: int, most: float, left_out: float) -> Iterator[Row]:
    """Bracket and share of one network; the time stands with both."""
    error, seconds = timed(partial(approximation_error, network, target, GAP, certify=True), times)
    found = {"relative width": (error.gap, GAP), "share left out": (1.0 - error.share, left_out)}
    for unit, (measured, asked) in found.items():
        counted = {"unit": unit, "measured": measured, "rule": "<=", "asked": asked}
        yield row("proof", target.name, network.n_params, network, **counted, seconds=seconds, seconds_asked=most)


def memory(network_row: Row) -> Iterator[Row]:
    """The most memory that the process has taken so far; nothing where the system does not tell."""
    if sys.platform == "win32":
        return
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sizes = {name: network_row[name] for name in ("size", "n_params", "layers", "bits")}
    yield {"check": "memory", "setting": "peak, up to here", **sizes, "memory": peak / 1e9, "memory_asked": MEMORY}
