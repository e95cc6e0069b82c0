"""What the members of a fit have in common, what each has for itself, and what does not go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from approxrates import activations
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.backends import Layout, obstacle
from approxrates.dataset import Dataset
from approxrates.layers import Layer
from approxrates.measurements import Measurement, get_measurements
from approxrates.network import Network
from approxrates.objectives import MeanSquare, Objective
from approxrates.target import Target
from approxrates.training.base import Progress, Stage

Architecture = FixedWidth | FixedDepth


@dataclass(frozen=True)
class Extra:
    """What a member may have for itself.

    Attributes:
        l2_penalty: What the sum of its squared parameters counts in its loss.
        start: The network it starts from; None for the start of the job.
    """

    l2_penalty: float = 0.0
    start: Network | None = None


@dataclass(frozen=True)
class Job:
    """What all members of a fit have in common.

    Attributes:
        arch: Shape of the networks.
        stages: The plan, its budget taken in.
        start: Name of the start.
        seed: Of the initial weights.
        dtype: Of the first-order stages.
        device: Where to compute.
        objective: The loss.
        progress: Callback, or None.
        rounds: Networks that are added up, each fitted to what the ones before leave over.
        backend: Which backend to use.
        measurements: What is measured.
    """

    arch: Architecture
    stages: tuple[Stage, ...]
    start: str
    seed: int
    dtype: torch.dtype
    device: torch.device
    objective: Objective
    progress: Progress | None
    rounds: int = 1
    backend: str = "auto"
    measurements: tuple[Measurement, ...] = ()

    @property
    def layout(self) -> Layout:
        """Where the parameters stand."""
        return layout_of(self.arch)


def layout_of(arch: Architecture) -> Layout:
    """Where the parameters of an architecture stand."""
    return Layout(arch.shapes, activations.get(arch.activation), arch.bias, arch.injection, arch.residual)


def check_job(job: Job, targets: Sequence[Target | Dataset], extras: Sequence[Extra]) -> None:
    """Refuse, before anything is computed, what does not go together.

    Raises:
        ValueError: Saying what is required, what came, and what to write.
    """
    check_penalty(job.stages, max((one.l2_penalty for one in extras), default=0.0))
    for stage in job.stages:
        stage.check(job.layout, job.objective)
    if job.backend == "native":
        why_not = obstacle(job.layout, job.objective, job.dtype, job.device)
        if why_not:
            raise ValueError(f"backend='native' cannot be used: {why_not}. Write backend='auto'.")
    if job.start == "constructive" and any(isinstance(one, Dataset) for one in targets):
        raise ValueError("start='constructive' needs targets on the cube. Got a Dataset. Write start='random'.")
    alone = not job.measurements and not any(one.l2_penalty or one.start for one in extras)
    if job.rounds > 1 and not (
        alone and job.objective.degree == 2.0 and not job.arch.injection and not job.arch.residual
    ):
        raise ValueError(
            "rounds > 1 needs the mean square, an architecture without injection and residual sums, and no l2_penalty, "
            f"measurements or networks to start from. Got rounds={job.rounds}. Write rounds=1."
        )
    if any(one.start for one in extras) and (job.arch.injection or job.arch.residual):
        raise ValueError("networks to start from must be without injection and residual sums. Write start='random'.")
    for one in extras:
        if one.start is not None and _shapes(one.start) != list(job.arch.shapes):
            raise ValueError(
                f"a network to start from must have layers of shapes {list(job.arch.shapes)}. Got {_shapes(one.start)}."
            )
    _check_starts(job.arch, [one.start for one in extras if one.start is not None])
    check_measurements(job.measurements, job.stages, job.layout, job.objective)


def _check_starts(arch: Architecture, starts: Sequence[Network]) -> None:
    """Refuse networks of other units than those to be trained, or with biases where there are none."""
    expected = arch.layers(np.zeros(arch.n_params)) if starts else ()
    for start in starts:
        for layer, own in zip((x for x in start.layers if isinstance(x, Layer)), expected, strict=True):
            if layer.activations != own.activations:
                codes, got = (", ".join(dict.fromkeys(x.activations)) for x in (own, layer))
                raise ValueError(
                    f"a network to start from must have the activations of the architecture, {codes}. Got {got}. "
                    "Give the architecture the activation of the network."
                )
            if (layer.bias is None) != (own.bias is None):
                raise ValueError(
                    f"a network to start from must have biases as the architecture has, bias={arch.bias}. "
                    f"Got a layer {'without' if layer.bias is None else 'with'} one. Write bias={not arch.bias}."
                )


def _shapes(network: Network) -> list[tuple[int, ...]]:
    """Shapes of the weights of a network."""
    return [tuple(layer.weight.shape) for layer in network.layers if isinstance(layer, Layer)]


def check_stages(
    stages: Sequence[Stage],
    arch: Architecture,
    measure: Sequence[Any],
    l2_penalty: float,
    objective: Objective | None = None,
) -> None:
    """Refuse what a plan cannot do: minimise a loss with a penalty, or be measured so.

    Args:
        stages: The plan.
        arch: Shape of the networks.
        measure: Measurements, or their names or descriptions.
        l2_penalty: The largest penalty.
        objective: The loss; mean square if left out.

    Raises:
        ValueError: Saying what is required, what came, and what to write.
    """
    check_penalty(stages, l2_penalty)
    check_measurements(get_measurements(measure), stages, layout_of(arch), objective or MeanSquare())


def check_penalty(stages: Sequence[Stage], l2_penalty: float) -> None:
    """Refuse stages that cannot minimise a loss with a penalty."""
    for stage in stages if l2_penalty > 0.0 else ():
        if not stage.takes_penalty:
            raise ValueError(f"the stage {stage.name} cannot minimise a loss with l2_penalty. Use e.g. ar.LBFGS.")


def check_measurements(
    measurements: Sequence[Measurement], stages: Sequence[Stage], layout: Layout, objective: Objective
) -> None:
    """Refuse measurements of networks, losses or stages that do not have what is to be measured."""
    for one in measurements:
        one.check(layout, objective)
        for stage in stages if one.needs_preconditioner else ():
            if not stage.is_preconditioned(layout):
                raise ValueError(
                    f"{one.name} needs stages whose rule divides the gradient by a diagonal. Got {stage.name}. "
                    "Use ar.Adam or ar.SGD."
                )
