"""Cells with networks: critical learning-rate constants, the edge of stability, long trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.architecture import FixedWidth
from approxrates.dataset import Dataset
from approxrates.datasets import load_dataset
from approxrates.measurements.sharpness import Sharpness
from approxrates.network import Network
from approxrates.objectives import HalfSquare
from approxrates.probes.base import Metrics, Spec
from approxrates.theory.bisection import Scan, first_crossings

F64 = NDArray[np.float64]
Cases = NDArray[np.intp]

DIVERGED = 1e5
"""A loss above it counts as divergent, as in the authors' code; so does what the trainer calls diverged."""

COARSE = 0.8
"""Steps of the scan in log2 c that comes before the bisection."""

LARGEST = 8.0
"""End of the scan in log2 c."""

TOLERANCE = 1e-3
"""Residual of the sharpness over the sharpness; the error of the value is about its square."""

_LOSS_RISES = 1.0 + 1e-6  # more than single precision rounds
_SHARPNESS_RISES = 1.0 + 1e-3
_FIRST_LOOK = (1, 2, 3)  # where most rises are seen already; the other steps are measured if they are not


@dataclass(frozen=True)
class Begun:
    """Networks at their initial weights.

    Attributes:
        arch: Their shape.
        data: What they are trained on.
        seeds: Their seeds, which are replica numbers of the trainer.
        networks: One for each seed.
        loss: Training losses.
        sharpness: Top Hessian eigenvalues.
    """

    arch: FixedWidth
    data: Dataset
    seeds: Sequence[int]
    networks: Sequence[Network]
    loss: F64
    sharpness: F64


def constants(spec: Spec) -> Metrics:
    """Critical constants of some seeds of one depth and width.

    Args:
        spec: With ``event`` "loss" those of loss, barrier and divergence; with "sharpness" that of the sharpness.

    Returns:
        Lists in the order of ``seeds``: ``sharpness_start``, ``loss_start``, ``c_loss``, ``c_barrier``, ``c_max`` (or
        ``c_sharp``), None where log2 c = 8 is not enough; ``falls_back``: points of the coarse scan at which a
        condition fails again beyond its first crossing.
    """
    begun = begin(spec)
    stride = max(1, round(COARSE / spec["resolution"]))
    scan = Scan(0.0, spec["resolution"], stride * round(LARGEST / (stride * spec["resolution"])), stride)
    metrics: Metrics = {"sharpness_start": begun.sharpness.tolist(), "loss_start": begun.loss.tolist()}
    if spec["event"] == "sharpness":
        found = first_crossings(
            lambda cases, x: sharpness_rises(begun, cases, x, spec["steps"]), len(begun.seeds), scan
        )
        return metrics | {"c_sharp": _powers(found.above)}
    seen = Events(begun, scan, spec["steps"])
    seen.look(np.repeat(np.arange(len(begun.seeds)), scan.n_steps // stride + 1), seen.coarse)
    crossings = {name: first_crossings(seen.holds(name), len(begun.seeds), scan) for name in Events.NAMES}
    last = np.where(np.isnan(crossings["diverged"].above), np.nan, crossings["diverged"].below)
    return metrics | {
        "c_loss": _powers(crossings["loss"].above),
        "c_barrier": _powers(crossings["barrier"].above),
        "c_max": _powers(last),
        "falls_back": seen.falls_back(),
    }


class Events:
    """What happens to each seed at each constant of a scan; every trial is done once.

    Args:
        begun: Initial networks.
        scan: Values of log2 c.
        steps: Steps of a trial.
    """

    NAMES = ("loss", "barrier", "diverged")

    def __init__(self, begun: Begun, scan: Scan, steps: int) -> None:
        self.begun, self.scan, self.steps = begun, scan, steps
        self.known: dict[tuple[int, int], dict[str, bool]] = {}

    @property
    def coarse(self) -> NDArray[np.int64]:
        """The points of the coarse scan, for each seed."""
        return np.tile(np.arange(0, self.scan.n_steps + 1, self.scan.stride), len(self.begun.seeds))

    def look(self, cases: Cases, steps: NDArray[np.int64]) -> None:
        """Do the trials that have not been done, all at once."""
        todo = [key for key in zip(cases.tolist(), steps.tolist(), strict=True) if key not in self.known]
        if todo:
            chosen, at = (np.array(column) for column in zip(*todo, strict=True))
            found = events(self.begun, chosen, self.scan.values(at), self.steps)
            self.known |= {key: {name: bool(found[name][i]) for name in self.NAMES} for i, key in enumerate(todo)}

    def holds(self, name: str) -> Any:
        """The condition of a name, for :func:`first_crossings`."""

        def condition(cases: Cases, values: F64) -> NDArray[np.bool_]:
            steps = np.round((values - self.scan.low) / self.scan.resolution).astype(np.int64)
            self.look(cases, steps)
            return np.array([self.known[key][name] for key in zip(cases.tolist(), steps.tolist(), strict=True)])

        return condition

    def falls_back(self) -> int:
        """Points of the coarse scan at which a condition does not hold beyond a point at which it does."""
        return sum(
            int(np.sum(~row[np.argmax(row) :])) if row.any() else 0
            for name in self.NAMES
            for case in range(len(self.begun.seeds))
            for row in [np.array([self.known[case, k][name] for k in sorted(set(self.coarse.tolist()))])]
        )


def begin(spec: Spec) -> Begun:
    """Networks of a cell at their initial weights, with loss and sharpness."""
    from approxrates.training import SGD, fit_members

    data = load_dataset(spec["data"], n=spec["n_examples"], pool=spec.get("pool", 1))
    arch = FixedWidth(data.dim, spec["width"], spec["depth"], "relu", data.n_outputs, bias=False)
    fit = fit_members(
        arch, [(data, seed) for seed in spec["seeds"]], plan=[SGD(steps=1, learning_rate=1e-12)], start="kaiming",
        objective=HalfSquare(), dtype="float32",
        measure=[Sharpness(schedule="at 0", tolerance=TOLERANCE), _loss("at 0")],
    )  # fmt: skip
    first = [{name: float(series[0, 1]) for name, series in one.items()} for one in fit.measured]
    return Begun(
        arch, data, spec["seeds"], fit.starts,
        np.array([one["loss"] for one in first]), np.array([one["sharpness"] for one in first]),
    )  # fmt: skip


def events(begun: Begun, cases: Cases, log2_c: F64, steps: int) -> dict[str, NDArray[np.bool_]]:
    """Whether loss and barrier exceed the first loss, and whether training diverges; shapes ``(m,)``.

    Args:
        begun: Initial networks.
        cases: Which of them, ``(m,)``.
        log2_c: At which constants, ``(m,)``.
        steps: Steps of training.
    """
    measure = [_loss("every 1"), {"measurement": "barrier", "schedule": f"at {steps}"}]
    fit = _trained(begun, cases, log2_c, steps, measure, list(range(len(cases))))
    found = []
    for case, outcome, measured in zip(cases, fit.outcomes, fit.measured, strict=True):
        losses = measured["loss"][:, 1]
        diverged = outcome.failed or not np.all(losses <= DIVERGED)
        barrier = measured["barrier"][:, 1] if "barrier" in measured else np.empty(0)
        found.append(
            (
                diverged or bool(losses.max() > begun.loss[case] * _LOSS_RISES),
                diverged or bool(len(barrier) and barrier[-1] > _LOSS_RISES),
                diverged,
            )
        )
    return {name: np.array(column) for name, column in zip(Events.NAMES, zip(*found, strict=True), strict=True)}


def sharpness_rises(begun: Begun, cases: Cases, log2_c: F64, steps: int) -> NDArray[np.bool_]:
    """Whether the sharpness exceeds its first value at some step, or training diverges; shape ``(m,)``.

    The first steps are looked at before the others, since most rises are seen there.
    """
    held = np.zeros(len(cases), dtype=bool)
    for look in (_FIRST_LOOK, range(_FIRST_LOOK[-1] + 1, steps + 1)):
        at, open_ = [step for step in look if step <= steps], np.flatnonzero(~held)
        if not at or not len(open_):
            continue
        measure = [Sharpness(schedule=" ".join(map(str, ("at", *at))), tolerance=TOLERANCE)]
        seeds = [begun.seeds[case] for case in cases[open_]]
        fit = _trained(begun, cases[open_], log2_c[open_], at[-1], measure, seeds)
        for place, outcome, measured in zip(open_, fit.outcomes, fit.measured, strict=True):
            values = measured["sharpness"][:, 1]
            level = begun.sharpness[cases[place]] * _SHARPNESS_RISES
            held[place] = outcome.failed or not bool(np.all(values <= level))
    return held


def _trained(
    begun: Begun, cases: Cases, log2_c: F64, steps: int, measure: Sequence[Any], numbers: Sequence[int]
) -> Any:
    """Gradient descent of some of the networks, each at its own rate ``c / sharpness``.

    Args:
        begun: Initial networks.
        cases: Which of them, ``(m,)``.
        log2_c: At which constants, ``(m,)``.
        steps: Steps.
        measure: What to measure.
        numbers: Replica numbers, all different: rates and seeds of measurements go by them.
    """
    from approxrates.training import SGD, fit_members

    rates = np.ones(max(numbers) + 1)
    rates[list(numbers)] = np.exp2(log2_c) / begun.sharpness[cases]
    return fit_members(
        begun.arch, [(begun.data, number) for number in numbers],
        plan=[SGD(steps=steps, learning_rate=tuple(rates.tolist()))], start=[begun.networks[case] for case in cases],
        objective=HalfSquare(), dtype="float32", measure=measure,
    )  # fmt: skip


def edge(spec: Spec) -> Metrics:
    """Long full-batch training of a tanh network at a given ``2 / learning_rate``.

    Returns:
        Series ``steps``, ``loss``, ``sharpness``, the ``learning_rate``; ``ratio``: the mean sharpness over the last
        half of the records, over ``2 / learning_rate``; ``rises``: the share of records there at which the loss grew.
    """
    from approxrates.training import SGD, fit_members

    data = load_dataset(spec["data"], n=spec["n_examples"], pool=spec["pool"])
    arch = FixedWidth(data.dim, spec["width"], spec["depth"], "tanh", data.n_outputs)
    every, rate = max(1, spec["steps"] // 40), 2.0 / spec["target"]
    fit = fit_members(
        arch, [(data, spec["seed"])], plan=[SGD(steps=spec["steps"], learning_rate=rate)], start="torch",
        objective=HalfSquare("sum"), dtype="float32",
        measure=[Sharpness(schedule=f"every {every}", tolerance=TOLERANCE), _loss(f"every {max(1, every // 10)}")],
    )  # fmt: skip
    measured, losses = fit.measured[0], fit.measured[0]["loss"]
    steps, sharpness = measured["sharpness"].T
    late = losses[losses[:, 0] >= spec["steps"] / 2, 1]
    return {
        "steps": steps.tolist(),
        "sharpness": sharpness.tolist(),
        "loss": np.interp(steps, *losses.T).tolist(),
        "learning_rate": rate,
        "ratio": float(sharpness[len(sharpness) // 2 :].mean() / spec["target"]),
        "largest_ratio": float(sharpness.max() / spec["target"]),
        "rises": float(np.mean(np.diff(late) > 0.0)),
        "outcome": fit.outcomes[0].value,
    }


def trajectory(spec: Spec) -> Metrics:
    """A long full-batch training of a ReLU network at ``c / sharpness``, recorded on a logarithmic clock.

    Returns:
        Series ``steps``, ``loss``, ``sharpness``, and the ``learning_rate``.
    """
    from approxrates.training import SGD, fit_members

    data = load_dataset(spec["data"], n=spec["n_examples"], pool=spec["pool"])
    arch = FixedWidth(data.dim, spec["width"], spec["depth"], "relu", data.n_outputs, bias=False)
    options: dict[str, Any] = {"start": "kaiming", "objective": HalfSquare(), "dtype": "float32"}
    first = fit_members(
        arch, [(data, spec["seed"])], plan=[SGD(steps=1, learning_rate=1e-12)],
        measure=[Sharpness(schedule="at 0", tolerance=TOLERANCE)], **options,
    )  # fmt: skip
    rate = float(spec["c"] / first.measured[0]["sharpness"][0, 1])
    late = np.geomspace(10, spec["steps"], max(2, round(28 * np.log10(spec["steps"] / 10.0))))
    when = sorted({*range(min(10, spec["steps"] + 1)), *np.round(late).astype(int).tolist()})
    schedule = " ".join(map(str, ("at", *when)))
    fit = fit_members(
        arch, [(data, spec["seed"])], plan=[SGD(steps=spec["steps"], learning_rate=rate)],
        measure=[Sharpness(schedule=schedule, tolerance=TOLERANCE), _loss(schedule)], **options,
    )  # fmt: skip
    measured = fit.measured[0]
    return {
        "steps": measured["sharpness"][:, 0].tolist(),
        "sharpness": measured["sharpness"][:, 1].tolist(),
        "loss": measured["loss"][:, 1].tolist(),
        "learning_rate": rate,
        "outcome": fit.outcomes[0].value,
    }


def _loss(schedule: str) -> dict[str, str]:
    """The loss on a schedule."""
    return {"measurement": "loss", "schedule": schedule}


def _powers(log2_c: F64) -> list[float | None]:
    """Constants as plain data."""
    return [None if np.isnan(x) else float(np.exp2(x)) for x in log2_c]
