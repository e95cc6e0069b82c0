"""One group of replicas through all rounds and stages of a plan, with checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.backends import Ensemble
from approxrates.dataset import Dataset
from approxrates.layers import Layer
from approxrates.network import Network
from approxrates.seeds import seed_for
from approxrates.target import Target
from approxrates.training.base import Outcome, Population, State
from approxrates.training.boosting import block_diagonal, remainder, scaled, unscaled
from approxrates.training.checkpoint import Checkpoint
from approxrates.training.job import Extra, Job
from approxrates.training.observer import Observer
from approxrates.training.points import Sampling
from approxrates.training.result import Fit
from approxrates.training.running import Course
from approxrates.training.starts import Standardised, get_start

Architecture = FixedWidth | FixedDepth
Member = tuple[Target | Dataset, int]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Round:
    """What one round of a group began with and reached.

    Attributes:
        data: Points and standardised values of each member.
        begun: Starting parameters, plain, ``(N, P)``.
        population: The best found.
        attempts: Draws of random weights of each member.
    """

    data: Sequence[Sampling]
    begun: F64
    population: Population
    attempts: Sequence[int]


class Group:
    """Members of a fit whose sampling sets have one shape.

    Args:
        job: What they have in common.
        members: Targets and replica numbers.
        samplings: Points and values of each member; members of one target share one object.
        checkpoint: Where the state is kept now and then.
        extras: What each member has for itself.
    """

    def __init__(
        self,
        job: Job,
        members: Sequence[Member],
        samplings: Sequence[Sampling],
        checkpoint: Checkpoint,
        extras: Sequence[Extra],
    ) -> None:
        self.job, self.members, self.samplings, self.checkpoint = job, list(members), list(samplings), checkpoint
        self.extras = list(extras)
        self.observer: Observer | None = None
        self.layout = job.layout
        self.rounds: list[Round] = []
        self._clock = 0.0

    def fit(self) -> Fit:
        """Train, from the checkpoint if there is one."""
        began = time.perf_counter()
        saved = self.checkpoint.read() or {}
        self._clock = float(saved.get("seconds", 0.0)) - began
        for number in range(self.job.rounds):
            self._round(number, saved)
        return self._result(self._clock + time.perf_counter())

    def _round(self, number: int, saved: State) -> None:
        """One network for every member."""
        data = self.samplings if number == 0 else self._remainders()
        started = [self._start(number, i, data[i]) for i in range(len(self.members))]
        begun = np.stack([plain for plain, _ in started])
        population = Population(self.layout.pack(begun).to(self.job.device), [replica for _, replica in self.members])
        if self.job.measurements:
            self.observer = Observer(self.job.measurements, population.theta.clone(), population.replicas)
        if str(number) in saved.get("done", {}):
            population.restore(saved["done"][str(number)])
        else:
            self._run(number, population, data, saved if saved.get("round") == number else {})
        self.rounds.append(Round(data, begun, population, [attempts for _, attempts in started]))

    def _start(self, number: int, i: int, data: Sampling) -> tuple[F64, int]:
        """Starting parameters of a member; later rounds draw from a seed of their own."""
        target, replica = self.members[i]
        given = self.extras[i].start
        if given is not None:
            return theta_of(self.job.arch, given, data), 1
        seed = self.job.seed if number == 0 else seed_for("round", seed=self.job.seed, round=number)
        start = self.job.start if number == 0 else "random"
        return get_start(start)(self.job.arch, Standardised(target, data.mean, data.scale), replica, seed)

    def _run(self, number: int, population: Population, data: Sequence[Sampling], saved: State) -> None:
        """The stages of the plan."""
        course = Course(
            self.job.stages, self.job.dtype, lambda rows, dtype: self._ensemble(rows, data, dtype), self.checkpoint,
            self.job.progress, self.observer,
        )  # fmt: skip
        course.run(population, saved, lambda: self._about(number))

    def _about(self, number: int) -> State:
        """What a checkpoint holds besides the state of the stage at work."""
        return {
            "round": number,
            "done": {str(i): past.population.state() for i, past in enumerate(self.rounds)},
            "seconds": self._clock + time.perf_counter(),
        }

    def _ensemble(self, rows: Sequence[int], data: Sequence[Sampling], dtype: torch.dtype) -> Ensemble:
        """Loss and gradient of some members; members of one sampling share its memory."""
        used = {id(data[row]): data[row] for row in rows}
        number = {key: i for i, key in enumerate(used)}
        points, values, weights = (
            np.stack([getattr(one, name) for one in used.values()]) for name in ("points", "values", "weights")
        )
        return Ensemble(
            self.layout, self.job.objective, points, values, weights, [number[id(data[row])] for row in rows],
            dtype=dtype, device=self.job.device, backend=self.job.backend, l2_penalty=self._penalty(rows),
        )  # fmt: skip

    def _penalty(self, rows: Sequence[int]) -> list[float] | None:
        """The L2 penalties of some members; None if no member has one."""
        penalties = [self.extras[row].l2_penalty for row in rows]
        return penalties if any(one.l2_penalty for one in self.extras) else None

    def _outputs(self, past: Round) -> list[list[F64]]:
        """Outputs of the networks of a round in double precision: by member and set, ``(k, M)``."""
        everyone = range(len(self.members))
        ensemble = self._ensemble(everyone, past.data, torch.float64)
        found = [ensemble.outputs(past.population.theta, q).cpu().numpy() for q in range(ensemble.n_sets)]
        return [[outputs[i] for outputs in found] for i in everyone]

    def _remainders(self) -> list[Sampling]:
        """What the round before leaves over."""
        past = self.rounds[-1]
        return [
            remainder(data, outputs, self.job.arch.bias)
            for data, outputs in zip(past.data, self._outputs(past), strict=True)
        ]

    def _result(self, seconds: float) -> Fit:
        """The fit of the sum of all rounds, measured at its sampling points."""
        n = len(self.members)
        objective, last = self.job.objective, self.rounds[-1]
        degree = objective.degree or 0.0
        scales = np.array([np.prod([past.data[i].scale for past in self.rounds]) for i in range(n)])
        losses = self._ensemble(range(n), last.data, torch.float64).value(last.population.theta).cpu().numpy()
        broken = ~np.isfinite(last.population.loss.cpu().numpy())
        at_points = [self._at_points(i, outputs) for i, outputs in enumerate(self._outputs(last))]
        begun = [layers_of(self.job.arch, self.rounds[0].begun[i], self.samplings[i]) for i in range(n)]
        return Fit(
            members=tuple(self.members),
            networks=tuple(Network(self._layers(i), self._provenance(i)) for i in range(n)),
            last=tuple(self._last(i) for i in range(n)),
            starts=tuple(Network(layers, self._provenance(i)) for i, layers in enumerate(begun)),
            outcomes=tuple(outcome or Outcome.BUDGET_SPENT for outcome in last.population.outcomes),
            losses=np.where(broken, np.inf, losses) * scales**degree,
            rms_at_points=np.array([rms for rms, _ in at_points]) * scales,
            sup_at_points=np.array([sup for _, sup in at_points]) * scales,
            steps=np.sum([past.population.steps for past in self.rounds], axis=0, dtype=np.int64),
            seconds=np.full(n, seconds / n),
            attempts=np.array([self._attempts(i) for i in range(n)], dtype=np.int64),
            curves=tuple(self._curve(i) for i in range(n)),
            measured=tuple({} if self.observer is None else self.observer.arrays(i) for i in range(n)),
            final=self._final(),
        )

    def _final(self) -> tuple[Mapping[str, float], ...]:
        """Every measurement at the parameters that are returned, in the precision of the last stage."""
        if self.observer is None:
            return ({},) * len(self.members)
        past, everyone = self.rounds[-1], range(len(self.members))
        dtype = torch.float64 if self.job.stages[-1].needs_float64 else self.job.dtype
        return tuple(self.observer.finals(self._ensemble(everyone, past.data, dtype), past.population.theta.to(dtype)))

    def _last(self, i: int) -> Network | None:
        """The network that training ended with, good or bad; None after several rounds, or if it is not finite."""
        past = self.rounds[-1]
        row = past.population.last[i : i + 1]
        if self.job.rounds > 1 or not bool(torch.isfinite(row).all()):
            return None
        return Network(layers_of(self.job.arch, self.layout.unpack(row)[0], past.data[i]), self._provenance(i))

    def _at_points(self, i: int, outputs: Sequence[F64]) -> tuple[float, float]:
        """Root mean square and largest error of a member on the full set; NaN where values are labels."""
        data = self.rounds[-1].data[i]
        if data.values[-1].shape != outputs[-1].shape:
            return math.nan, math.nan
        error = outputs[-1] - data.values[-1]
        inside = data.weights[-1][0] > 0.0
        mean = float((error**2 * data.weights[-1]).sum() / len(error))
        return math.sqrt(mean), float(np.abs(error[:, inside]).max())

    def _curve(self, i: int) -> F64:
        """Steps and losses of a member at its checkpoints, over all rounds, ``(n, 2)``; losses are standardised."""
        parts, done = [np.empty((0, 2))], 0
        for past in self.rounds:
            part = np.array(past.population.curves[i], dtype=np.float64).reshape(-1, 2)
            parts.append(part + np.array([done, 0.0]))
            done += past.population.steps[i]
        return np.concatenate(parts)

    def _layers(self, i: int) -> tuple[Layer, ...]:
        """The layers of a member, in the units of the target."""
        made, scale = [], 1.0
        for past in self.rounds:
            plain = self.layout.unpack(past.population.theta[i : i + 1])[0]
            data = past.data[i]
            made.append(scaled(self.job.arch.layers(plain), data.mean * scale, data.scale * scale))
            scale *= data.scale
        return block_diagonal(made)

    def _attempts(self, i: int) -> int:
        """Draws of random weights of a member: one for each round and one more for each draw that was dead."""
        return int(sum(past.attempts[i] for past in self.rounds)) - self.job.rounds + 1

    def _provenance(self, i: int) -> dict[str, Any]:
        """Where the network of a member comes from."""
        target, replica = self.members[i]
        told = {
            "method": "train",
            "target": dict(target.parameters),
            "architecture": self.job.arch.to_spec(),
            "plan": [stage.to_spec() for stage in self.job.stages],
            "start": self.job.start if self.extras[i].start is None else "network",
            "replica": replica,
            "seed": self.job.seed,
            "attempts": self._attempts(i),
        }
        penalty = self.extras[i].l2_penalty
        told |= {"rounds": self.job.rounds} if self.job.rounds > 1 else {}
        return told | ({"l2_penalty": penalty} if penalty else {})


def theta_of(arch: Architecture, network: Network, data: Sampling) -> F64:
    """Plain parameters of a network of this architecture in the units of training: the inverse of :func:`layers_of`."""
    layers = [layer for layer in network.layers if isinstance(layer, Layer)]
    return arch.theta_from_layers(unscaled(layers, data.mean, data.scale))


def layers_of(arch: Architecture, plain: F64, data: Sampling) -> tuple[Layer, ...]:
    """The layers of plain parameters, in the units of the target."""
    return scaled(arch.layers(plain), data.mean, data.scale)
