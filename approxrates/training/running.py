"""The stages of a plan, one after the other, on whatever can be put as an ensemble; with checkpoints and onlookers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from approxrates.backends import Ensemble
from approxrates.training.base import Descent, Onlooker, Population, Progress, Stage, State, Watch
from approxrates.training.checkpoint import Checkpoint

EnsembleOf = Callable[[Sequence[int], torch.dtype], Ensemble]
"""``(rows, dtype) -> ensemble`` of some of the replicas."""


@dataclass(frozen=True)
class Course:
    """A plan and what it needs to be gone through.

    Attributes:
        stages: The plan.
        dtype: Of the stages that do not insist on double precision.
        ensemble_of: Makes the losses of some replicas.
        checkpoint: Where the state is kept now and then.
        progress: Callback, or None.
        onlooker: Who looks on, or None.
    """

    stages: Sequence[Stage]
    dtype: torch.dtype
    ensemble_of: EnsembleOf
    checkpoint: Checkpoint
    progress: Progress | None = None
    onlooker: Onlooker | None = None

    def run(self, population: Population, saved: State, about: Callable[[], State]) -> None:
        """Every stage from the best parameters seen, on the replicas that have not broken down.

        Args:
            population: The record, which results are left in.
            saved: The state of an earlier run to be taken up; empty for none.
            about: What else a checkpoint holds.
        """
        if saved:
            population.restore(saved["population"])
            if self.onlooker is not None:
                self.onlooker.begin_stage(self.stages[int(saved["stage"])].steps)
                self.onlooker.restore(saved["seen"])
        first = int(saved.get("stage", 0))
        for index, stage in enumerate(self.stages[first:], start=first):
            descent, watch = self._begin(stage, population, saved if index == first else {})
            while descent is not None and descent.advance():
                if self.checkpoint.is_due:
                    self.checkpoint.write(about() | self._state(index, population, watch, descent))

    def precision(self, stage: Stage) -> torch.dtype:
        """Of the computations of a stage."""
        return torch.float64 if stage.needs_float64 else self.dtype

    def _begin(self, stage: Stage, population: Population, resumed: State) -> tuple[Descent | None, Watch]:
        """A stage at work, begun afresh or taken up; None if there is no replica to train."""
        rows = list(resumed["rows"]) if resumed else population.alive()
        watch = Watch(population, rows, stage.name, stage.steps, self.progress, self.onlooker)
        if not rows:
            return None, watch
        dtype = self.precision(stage)
        ensemble, theta = self.ensemble_of(rows, dtype), population.theta[rows].to(dtype)
        if resumed:
            watch.before = list(resumed["before"])
            descent = stage.begin(ensemble, theta, watch)
            descent.restore(resumed["descent"])
            return descent, watch
        if self.onlooker is not None:
            self.onlooker.begin_stage(stage.steps)
        broken = watch.record(theta, ensemble.value(theta), 0)
        if any(broken):
            keep = torch.tensor(watch.drop(broken), dtype=torch.long, device=theta.device)
            ensemble, theta = ensemble.subset(keep), theta[keep]
        watch.observe_start(ensemble, theta)
        return (stage.begin(ensemble, theta, watch) if len(theta) else None), watch

    def _state(self, index: int, population: Population, watch: Watch, descent: Descent) -> State:
        """What is needed to go on."""
        return {
            "stage": index,
            "rows": list(watch.rows),
            "before": list(watch.before),
            "population": population.state(),
            "descent": descent.state(),
            "seen": self.onlooker.state() if self.onlooker is not None else {},
        }
