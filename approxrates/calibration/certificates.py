"""Are certified errors right and close? Random and trained networks against a million points each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from approxrates.architecture import FixedWidth
from approxrates.calibration.base import Calibration
from approxrates.catalogue import load_target
from approxrates.errors import ApproximationError, approximation_errors
from approxrates.network import Network
from approxrates.target import Target

if TYPE_CHECKING:
    import pandas as pd

_ACTIVATIONS = ("relu", "hard_tanh", "relu2", "tanh", "sin", "gelu")
_TIMED = ("relu", "tanh", "sin")
_TARGETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("faber_tree", {"smoothness": 0.5}),
    ("weierstrass", {"smoothness": 0.5}),
    ("analytic", {"function": "sine"}),
)
_GAP = 0.05
_SECONDS = {1: 2.0, 2: 60.0}
_SMALL, _LARGE = (4, 2), (8, 8)  # width and depth
_FEW = 10  # repetitions below which everything is small
_POINTS, _FEW_POINTS = 1_000_000, 20_000

_ABOUT = f"""Networks as training starts them (width {_SMALL[0]}, depth {_SMALL[1]}) of six activations against three
targets in one and two dimensions: a Faber tree and a Weierstrass function of smoothness 1/2, and a product of sines.
Each error is enclosed to a gap of 5 % by `approximation_error` and compared with the largest of {_POINTS:,} random
points, which may not exceed the upper end; the error at the point that is named for the lower end may not be below it.
Then networks of width {_LARGE[0]} and depth {_LARGE[1]}, as they start and after 400 steps of Adam and 200 of BFGS, for
the gap and the time. Seconds are those of one processor. Fewer than {_FEW} repetitions make a toy of it: two targets,
two activations, {_FEW_POINTS:,} points."""


def _run(repetitions: int, seed: int) -> pd.DataFrame:
    """One row per kind of network, target, dimension and activation."""
    import pandas as pd

    few = repetitions < _FEW
    n_points = _FEW_POINTS if few else _POINTS
    rows = []
    for dim in (1, 2):
        points = np.random.default_rng(seed).random((n_points, dim))
        for name, options in _TARGETS[::2] if few else _TARGETS:
            target = load_target(name, dim=dim, seed=seed, **options)
            values = target(points)
            for activation in _ACTIVATIONS[2:4] if few else _ACTIVATIONS:
                networks = _started(activation, dim, _SMALL, range(seed, seed + repetitions))
                rows.append(_row("small", activation, target, networks, points, values))
            for kind, networks, activation in _timed_networks(target, seed, few):
                rows.append(_row(kind, activation, target, networks, points, values))
    return pd.DataFrame(rows)


def _started(activation: str, dim: int, size: tuple[int, int], seeds: range) -> list[Network]:
    """Random networks as training starts them."""
    arch = FixedWidth(dim=dim, width=size[0], depth=size[1], activation=activation)
    return [Network(arch.layers(theta)) for theta in arch.initialise(list(seeds))]


def _timed_networks(target: Target, seed: int, few: bool) -> Iterator[tuple[str, list[Network], str]]:
    """One network of the large size at its start, and one trained, of each activation that has a bar."""
    from approxrates.training import Adam, SelfScaledBFGS, train

    for activation in _TIMED if not few else _TIMED[1:2]:
        yield "large", _started(activation, target.dim, _LARGE, range(seed, seed + 1)), activation
        if few:
            continue
        arch = FixedWidth(dim=target.dim, width=_LARGE[0], depth=_LARGE[1], activation=activation)
        fit = train(arch, target, plan=[Adam(steps=400), SelfScaledBFGS(steps=200)], seed=seed)
        yield "large trained", list(fit.networks), activation


def _row(
    kind: str,
    activation: str,
    target: Target,
    networks: list[Network],
    points: np.ndarray[Any, np.dtype[np.float64]],
    values: np.ndarray[Any, np.dtype[np.float64]],
) -> dict[str, Any]:
    """Enclosures of some networks against the largest errors on points."""
    began = time.process_time()
    errors = approximation_errors(networks, target, _GAP)
    seconds = time.process_time() - began
    sampled = [float(np.abs(values - network(points)).max()) for network in networks]
    held = [_holds(e, s, n, target) for e, s, n in zip(errors, sampled, networks, strict=True)]
    gaps, ended = [error.gap for error in errors], Counter(error.ended_by for error in errors)
    return {
        "networks": kind,
        "target": target.name,
        "dim": target.dim,
        "activation": activation,
        "n": len(networks),
        "held": sum(held),
        "certified": sum(error.certified for error in errors),
        "gap_median": float(np.median(gaps)),
        "gap_largest": max(gaps),
        "sampled_share_least": min(s / e.sup[0] for s, e in zip(sampled, errors, strict=True)),
        "ended_gap": ended["gap"],
        "ended_budget": ended["budget"],
        "ended_resolution": ended["resolution"],
        "seconds_each": seconds / len(networks),
    }


def _holds(error: ApproximationError, sampled: float, network: Network, target: Target) -> bool:
    """No point above the upper end, and the named point not below the lower end."""
    at = np.array([error.where])
    named = float(np.abs(target(at) - network(at))[0])
    return sampled <= error.sup[1] and error.sup[0] <= named * (1 + 1e-9) + 1e-13


def _verdicts(table: pd.DataFrame) -> list[str]:
    """What came out."""
    n, held, certified = (int(table[c].sum()) for c in ("n", "held", "certified"))
    close = int(table["ended_gap"].sum())
    lines = [
        f"{_word(held == n)}: {held} of {n} enclosures hold the largest sampled error, and that at their own point.",
        f"{_word(certified == n)}: {certified} of {n} enclosures are certified.",
        f"{_word(close == n)}: {close} of {n} came to a gap of {_GAP:.0%} before anything else ended them.",
    ]
    for dim, most in _SECONDS.items():
        some = table[(table["dim"] == dim) & table["networks"].str.startswith("large")]
        gap, seconds = float(some["gap_largest"].max()), float(some["seconds_each"].max())
        fine = gap <= _GAP and seconds <= most
        lines.append(
            f"{_word(fine)}: width {_LARGE[0]}, depth {_LARGE[1]}, d = {dim}: gaps up to {gap:.1%} in up to "
            f"{seconds:.2g} s each (asked for: {_GAP:.0%} in {most:g} s)."
        )
    return lines


def _word(fine: bool) -> str:
    """How a verdict begins."""
    return "reached" if fine else "missed"


CERTIFICATES = Calibration(
    name="certificates",
    title="Certified errors against a million points",
    about=_ABOUT,
    repetitions=100,
    run=_run,
    verdicts=_verdicts,
)
