"""What can be set in the probe of L2 transitions, and the cells that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.boundary import BoundaryMap, BoxAxis
from approxrates.probes.base import Metrics, Spec
from approxrates.theory import l2_transitions as theory

LEAST_PENALTY = 0.02
BEYOND = 1.3
"""Sweeps end at this multiple of the spinodal."""
SIGNALS, PENALTIES = (0.1, 1.5), 0.01
"""The mapped plane: signal strengths, and the least penalty; the greatest is a fifth beyond the last spinodal."""
ONSET_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
"""Penalties of the training runs from small weights, in units of the critical one."""


@dataclass(frozen=True)
class L2Settings:
    """Settings of the probe; the defaults are those of the reference run.

    Attributes:
        activations: ``"identity"`` (deep linear networks), ``"tanh"``, ``"relu"``, or others whose onset is odd.
        depths: Numbers of hidden layers; the authors' depth and the number of weight matrices L are one more.
        seeds: Initialisations of each sweep.
        points: Penalties of a sweep, at least 12.
        width: Units in each hidden layer.
        samples: Points of the data, an even number.
        dim: Inputs.
        modes: Singular values of the target map of several modes, falling; each with an output of its own.
        mode_depths: Depths that it is swept at; none leaves it out.
        mode_seeds: Initialisations there.
        onset_depths: Depths of the training runs from small weights; none leaves them out.
        onset_steps: Steps of gradient descent there.
        onset_rate: Learning rate there.
        map_depths: Depths whose plane of signal strength and penalty is mapped; none leaves it out.
        map_activation: Activation of the mapped networks.
        map_runs: Runs of each map, at least 32.
        map_batch: Runs of a map under way at once.
        map_seeds: Initialisations that vote in each run.

    Raises:
        ValueError: For a value out of its range.
    """

    activations: tuple[str, ...] = ("identity", "tanh", "relu")
    depths: tuple[int, ...] = (1, 2, 3, 4)
    seeds: int = 5
    points: int = 60
    width: int = 6
    samples: int = 200
    dim: int = 3
    modes: tuple[float, ...] = (1.0, 0.6, 0.3)
    mode_depths: tuple[int, ...] = (1, 2)
    mode_seeds: int = 3
    onset_depths: tuple[int, ...] = (1, 2)
    onset_steps: int = 3000
    onset_rate: float = 0.05
    map_depths: tuple[int, ...] = (1, 2)
    map_activation: str = "identity"
    map_runs: int = 64
    map_batch: int = 4
    map_seeds: int = 3

    def __post_init__(self) -> None:
        least = {
            "seeds": 1, "points": 12, "width": 1, "samples": 2, "dim": 1, "mode_seeds": 1, "onset_steps": 10,
            "map_batch": 1, "map_seeds": 1, "map_runs": 32,
        }  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} must be at least {value}. Got {name}={getattr(self, name)}.")
        if self.samples % 2 or self.samples < 2 * self.dim:
            raise ValueError(f"samples must be even and at least twice dim={self.dim}. Got samples={self.samples}.")
        if not 0 < self.onset_rate < 0.5:
            raise ValueError(f"onset_rate must be between 0 and 0.5. Got onset_rate={self.onset_rate}.")
        for name in ("depths", "mode_depths", "onset_depths", "map_depths"):
            if any(depth < 1 for depth in getattr(self, name)):
                raise ValueError(f"{name} must be at least 1 each. Got {getattr(self, name)}.")
        falling = all(a > b > 0 for a, b in zip(self.modes, (*self.modes[1:], 1e-12), strict=True))
        if not falling or len(self.modes) > min(self.dim, self.width):
            raise ValueError(f"modes must fall, be positive and at most min(dim, width) many. Got {self.modes}.")
        self._check_activations()

    def _check_activations(self) -> None:
        """Refuses names that no activation has."""
        from approxrates.activations import get

        for name in (*self.activations, self.map_activation):
            get(name)

    def shape(self, activation: str, depth: int) -> Spec:
        """Keys that every cell has."""
        return {
            "activation": activation, "depth": depth, "width": self.width, "samples": self.samples, "dim": self.dim,
        }  # fmt: skip

    def sweeps(self) -> list[Spec]:
        """One cell for each activation, depth, set of modes and seed: a sweep up and down."""
        single = [
            self._sweep(activation, depth, (1.0,), seed)
            for activation in self.activations
            for depth in self.depths
            for seed in range(self.seeds)
        ]
        several = [
            self._sweep("identity", depth, self.modes, seed)
            for depth in self.mode_depths
            for seed in range(self.mode_seeds)
        ]
        return [*single, *several]

    def onsets(self) -> list[Spec]:
        """One cell for each depth and seed: training runs of deep linear networks from small weights."""
        return [
            {"kind": "onset", **self.shape("identity", depth), "modes": [1.0], "seed": seed,
             "penalties": [share * float(theory.transition(depth + 1).critical) for share in ONSET_SHARES],
             "steps": self.onset_steps, "learning_rate": self.onset_rate}
            for depth in self.onset_depths for seed in range(self.seeds)
        ]  # fmt: skip

    def map_cells(self, depth: int, points: NDArray[np.float64]) -> list[Spec]:
        """Cells of a map at some ``(signal, penalty)``, shape ``(n, 2)``."""
        return [
            {"kind": "map", **self.shape(self.map_activation, depth), "signal": float(signal),
             "penalty": float(penalty), "seeds": self.map_seeds}
            for signal, penalty in points
        ]  # fmt: skip

    def new_map(self, depth: int) -> BoundaryMap:
        """The map of a depth, with nothing observed."""
        top = 1.2 * float(theory.transition(depth + 1, SIGNALS[1]).spinodal)
        return BoundaryMap(BoxAxis("signal", *SIGNALS), BoxAxis("penalty", PENALTIES, top), seed=depth)

    def _sweep(self, activation: str, depth: int, modes: tuple[float, ...], seed: int) -> Spec:
        """A cell of a sweep; rectified units lose order at half the penalty of linear ones."""
        end = BEYOND * float(theory.transition(depth + 1).spinodal) * (0.5 if activation == "relu" else 1.0)
        return {
            "kind": "sweep", **self.shape(activation, depth), "modes": list(modes), "seed": seed,
            "points": self.points, "low": LEAST_PENALTY * (0.5 if activation == "relu" else 1.0), "high": end,
        }  # fmt: skip


def observe(found: BoundaryMap, specs: list[Spec], answers: list[Metrics | None]) -> None:
    """Shows runs to a map; seeds vote, and a failed cell has no vote."""
    points = [[spec["signal"], spec["penalty"]] for spec in specs]
    votes = [None if answer is None else answer["votes"] for answer in answers]
    found.observe(points, votes, [1.0 if vote is None else float(sum(vote.values())) for vote in votes])
