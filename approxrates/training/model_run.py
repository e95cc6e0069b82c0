"""One fit of a model: its replicas through the stages of a plan, with checkpoints, and what they reached."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from approxrates.backends import Ensemble
from approxrates.backends.autograd import AutogradEnsemble, FlatLayout
from approxrates.measurements import Measurement
from approxrates.models import Model
from approxrates.seeds import seed_for
from approxrates.training.base import Outcome, Population, Progress, Stage, State
from approxrates.training.checkpoint import Checkpoint
from approxrates.training.observer import Observer
from approxrates.training.running import Course

F64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFit:
    """Trained replicas of one model.

    Attributes:
        model: The model.
        replicas: Number of each replica.
        parameters: The best parameters seen, by loss on all data, shape ``(N, n_params)``.
        last: The parameters as training left them, whatever their loss, ``(N, n_params)``.
        begun: The parameters that training began with, ``(N, n_params)``.
        outcomes: How each fit ended.
        losses: Loss F of each on all data, penalty included, shape ``(N,)``; infinite if none was ever finite.
        steps: Steps done by each, shape ``(N,)``.
        seconds: Wall time of the fit divided by the number of replicas, shape ``(N,)``.
        curves: ``(step, loss)`` of each at its checkpoints, shape ``(n, 2)``.
        measured: By column of each the measurements on their schedules, ``(step, value)``, shape ``(n, 2)``.
        final: By column of each the measurements at the best parameters; NaN where there is none.
    """

    model: Model
    replicas: tuple[int, ...]
    parameters: F64
    last: F64
    begun: F64
    outcomes: tuple[Outcome, ...]
    losses: F64
    steps: NDArray[np.int64]
    seconds: F64
    curves: tuple[F64, ...]
    measured: tuple[Mapping[str, F64], ...]
    final: tuple[Mapping[str, float], ...]

    def best(self) -> F64:
        """The parameters of the lowest finite loss, ``(n_params,)``.

        Raises:
            ValueError: If no loss is finite.
        """
        if not np.isfinite(self.losses).any():
            raise ValueError("no replica has a finite loss. Lower the learning rate, or train more replicas.")
        return np.asarray(self.parameters[int(np.argmin(self.losses))])


@dataclasses.dataclass(frozen=True, eq=False)
class ModelRun:
    """A fit, after all checks.

    Attributes:
        model: The model.
        tables: Its data.
        replicas: Numbers of the replicas.
        stages: The plan.
        measurements: What is measured.
        coefficients: By name one number for each replica.
        penalties: One for each replica.
        batch_size: Points of a mini-batch, or None.
        batch_data: Where batches are cut from; None for the data.
        begun: Starting parameters ``(N, n_params)``.
        seed: Of the batches.
        dtype: Of the first-order stages.
        device: Where to compute.
    """

    model: Model
    tables: Mapping[str, F64]
    replicas: Sequence[int]
    stages: Sequence[Stage]
    measurements: Sequence[Measurement]
    coefficients: Mapping[str, Sequence[float]]
    penalties: Sequence[float]
    batch_size: int | None
    batch_data: Mapping[str, F64] | None
    begun: F64
    seed: int
    dtype: torch.dtype
    device: torch.device
    _made: dict[torch.dtype, AutogradEnsemble] = dataclasses.field(default_factory=dict, init=False)

    def fit(self, progress: Progress | None, path: Path | None) -> ModelFit:
        """Train, from the checkpoint if there is one.

        Args:
            progress: Callback, or None.
            path: Where the state is kept, or None.
        """
        began, checkpoint = time.perf_counter(), Checkpoint(path, self.identity() if path else "")
        saved = checkpoint.read() or {}
        clock = float(saved.get("seconds", 0.0)) - began
        people = Population(self.layout.pack(self.begun).to(self.device), self.replicas)
        observer = Observer(self.measurements, people.theta.clone(), self.replicas) if self.measurements else None
        course = Course(self.stages, self.dtype, self._ensemble_of, checkpoint, progress, observer)
        course.run(people, saved, lambda: {"seconds": clock + time.perf_counter()})
        dtype, finals = course.precision(self.stages[-1]), None
        if observer is not None:
            whole = cast(Ensemble, self._ensemble(dtype, batches=False))
            finals = observer.finals(whole, people.theta.to(dtype))
        return self._result(people, observer, finals, clock + time.perf_counter())

    def _result(
        self,
        people: Population,
        observer: Observer | None,
        finals: Sequence[Mapping[str, float]] | None,
        seconds: float,
    ) -> ModelFit:
        """What was reached."""
        losses = self._ensemble(torch.float64, batches=False).value(people.theta).cpu().numpy()
        n = len(self.replicas)
        return ModelFit(
            model=self.model,
            replicas=tuple(self.replicas),
            parameters=self.layout.unpack(people.theta),
            last=self.layout.unpack(people.last),
            begun=self.begun,
            outcomes=tuple(outcome or Outcome.BUDGET_SPENT for outcome in people.outcomes),
            losses=np.where(np.isfinite(people.loss.cpu().numpy()), losses, math.inf),
            steps=np.array(people.steps, dtype=np.int64),
            seconds=np.full(n, seconds / n),
            curves=tuple(np.array(curve, dtype=np.float64).reshape(-1, 2) for curve in people.curves),
            measured=tuple({} if observer is None else observer.arrays(i) for i in self._all),
            final=tuple(finals or [{} for _ in self._all]),
        )

    @property
    def layout(self) -> FlatLayout:
        """How long a row of parameters is."""
        return FlatLayout(self.model.n_params)

    @property
    def _all(self) -> range:
        """Rows of all replicas."""
        return range(len(self.replicas))

    def _ensemble_of(self, rows: Sequence[int], dtype: torch.dtype) -> Ensemble:
        """Losses of some of the replicas.

        Stages and measurements ask of an ensemble what both kinds have; those that ask for more are refused at the
        front door. Hence the cast.
        """
        if dtype not in self._made:
            self._made[dtype] = self._ensemble(dtype)
        chosen = self._made[dtype].subset(torch.tensor(list(rows), dtype=torch.long, device=self.device))
        return cast(Ensemble, chosen)

    def _ensemble(self, dtype: torch.dtype, *, batches: bool = True) -> AutogradEnsemble:
        """Losses of all replicas; without batches on the full set alone."""
        settings: dict[str, Any] = {"coefficients": self.coefficients, "dtype": dtype, "device": self.device}
        settings["l2_penalty"] = self.penalties if any(self.penalties) else None
        if batches and self.batch_size is not None:
            source = self.tables if self.batch_data is None else self.batch_data
            settings |= {"batch_size": self.batch_size, "batch_data": self._shuffled(source)}
        return AutogradEnsemble(self.model, self.tables, len(self.replicas), **settings)

    def _shuffled(self, source: Mapping[str, F64]) -> dict[str, F64]:
        """Tables in the order in which batches are cut from them."""
        n = len(source[self.model.tables[0]])
        order = Generator(Philox(seed_for("batches", seed=self.seed, n=n))).permutation(n)
        return {name: table[order] for name, table in source.items()}

    def identity(self) -> str:
        """Digest of everything that the result depends on."""
        told: State = {
            "model": self.model.to_spec(),
            "data": {name: _digest(table) for name, table in self.tables.items()},
            "batch_data": {name: _digest(table) for name, table in (self.batch_data or {}).items()},
            "replicas": list(self.replicas),
            "plan": [stage.to_spec() for stage in self.stages],
            "measure": [one.to_spec() for one in self.measurements],
            "coefficients": {name: list(values) for name, values in self.coefficients.items()},
            "penalties": list(self.penalties),
            "batches": [self.batch_size, self.seed],
            "start": _digest(self.begun),
            "arithmetic": [str(self.dtype), str(self.device), str(torch.__version__)],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _digest(array: F64) -> str:
    """Digest of numbers."""
    return hashlib.sha256(str(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
