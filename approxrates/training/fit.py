"""The front door of the trainer: checks, batches, plans run one stage after the other, networks folded back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from approxrates import activations
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.network import Network
from approxrates.objectives import MeanSquare, Objective
from approxrates.target import Target
from approxrates.training.base import Outcome, Population, Progress, Stage, Watch
from approxrates.training.checks import check_targets, check_whole, present_device, with_budget
from approxrates.training.ensemble import Ensemble, Layout
from approxrates.training.plans import resolve_plan
from approxrates.training.points import Sampling, sample
from approxrates.training.result import Fit
from approxrates.training.starts import Standardised, get_start

Architecture = FixedWidth | FixedDepth
Member = tuple[Target, int]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def train(
    arch: Architecture,
    target: Target | Sequence[Target],
    *,
    replicas: int = 1,
    plan: Any = "default",
    start: str = "random",
    seed: int = 0,
    dtype: str = "float64",
    n_points: int | None = None,
    device: str = "cpu",
    objective: Objective | None = None,
    budget: float = 1,
    strict: bool = False,
    progress: Progress | None = None,
) -> Fit:
    """Networks of one architecture fitted to one target or to several, many replicas at once.

    The result of a replica depends on architecture, target, replica number, plan, start, seed, dtype, number of points
    and budget only: bit for bit the same alone or among others (on one machine and with one number of torch threads).

    Args:
        arch: Shape of the networks.
        target: What to fit, or a list.
        replicas: Independent fits of each target.
        plan: ``"default"``, or a list of stages such as ``[ar.Adam(steps=500), ar.SelfScaledBFGS(steps=300)]``.
        start: ``"random"``, or ``"constructive"``: a network equal to the spline interpolant.
        seed: Of the initial weights.
        dtype: ``"float64"`` or ``"float32"``, of the first-order stages; second-order ones are always in double
            precision.
        n_points: Sampling points in a set; chosen from the number of parameters if left out.
        device: ``"cpu"``, or a torch device such as ``"cuda"``.
        objective: The loss; mean square if left out.
        budget: Multiplies the steps of every stage.
        strict: Raise if a replica breaks down, instead of recording it.
        progress: Called as ``progress(stage, step, steps, median_loss)`` a few times a second at most.

    Returns:
        Networks in target-major order with outcomes, losses, steps and times.

    Raises:
        ValueError: For an argument out of its range, a target that does not suit the architecture or is not finite, an
            activation without derivative.
        TypeError: For an argument of the wrong kind.
        RuntimeError: With ``strict``, if a replica diverged.

    Example:
        >>> import approxrates as ar
        >>> square = ar.load_target("polynomial")
        >>> arch = ar.FixedWidth(dim=1, width=4, depth=1, activation="tanh")
        >>> fit = ar.train(arch, square, replicas=2, plan=[ar.Adam(steps=50), ar.SelfScaledBFGS(steps=100)])
        >>> bool(fit.losses.min() < 1e-6)
        True
    """
    targets = check_targets(arch, target)
    check_whole("replicas", replicas, 1)
    members = [(one, replica) for one in targets for replica in range(replicas)]
    plans = [resolve_plan(plan, arch, one, start=start) for one in targets]
    options: dict[str, Any] = {"start": start, "seed": seed, "dtype": dtype, "n_points": n_points, "device": device}
    options |= {"objective": objective, "budget": budget, "progress": progress}
    places: dict[tuple[Stage, ...], list[int]] = {}
    for i in range(len(members)):
        places.setdefault(plans[i // replicas], []).append(i)
    parts = [fit_members(arch, [members[i] for i in group], plan=stages, **options) for stages, group in places.items()]
    fit = Fit.joined(parts, _positions(list(places.values())))
    if strict:
        _raise_for(fit)
    return fit


def fit_members(
    arch: Architecture,
    members: Sequence[Member],
    *,
    plan: Sequence[Stage | Mapping[str, Any]],
    start: str = "random",
    seed: int = 0,
    dtype: str = "float64",
    n_points: int | None = None,
    device: str = "cpu",
    objective: Objective | None = None,
    budget: float = 1,
    progress: Progress | None = None,
) -> Fit:
    """The same as :func:`train` for given pairs of target and replica number, and a resolved plan.

    Args:
        arch: Shape of the networks.
        members: ``(target, replica)`` pairs.
        plan: Stages, or their descriptions.
        start: See :func:`train`, and so for the others.
        seed: Of the initial weights.
        dtype: Of the first-order stages.
        n_points: Sampling points in a set.
        device: Where to compute.
        objective: The loss.
        budget: Multiplies the steps.
        progress: Callback.

    Raises:
        ValueError: As :func:`train` does.
        TypeError: As :func:`train` does.
    """
    targets = check_targets(arch, [target for target, _ in members])
    stages = with_budget(resolve_plan(plan, arch, targets), budget)
    objective = MeanSquare() if objective is None else objective
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must be an Objective. Got {type(objective).__name__}. Write e.g. ar.MeanSquare().")
    check_whole("seed", seed, 0)
    if n_points is not None:
        check_whole("n_points", n_points, 1)
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Got {dtype!r}.")
    job = _Job(arch, stages, start, seed, DTYPES[dtype], present_device(device), objective, progress)
    samplings = {target: sample(arch, target, objective, n_points) for target in dict.fromkeys(targets)}
    # Only members with sets of one size can share tensors; which size that is depends on the target alone.
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, one in enumerate(targets):
        groups.setdefault(samplings[one].points.shape, []).append(i)
    parts = [_fit_group(job, [members[i] for i in group], samplings) for group in groups.values()]
    return Fit.joined(parts, _positions(list(groups.values())))


@dataclasses.dataclass(frozen=True)
class _Job:
    """What all members of a fit have in common."""

    arch: Architecture
    stages: tuple[Stage, ...]
    start: str
    seed: int
    dtype: torch.dtype
    device: torch.device
    objective: Objective
    progress: Progress | None


def _fit_group(job: _Job, members: Sequence[Member], samplings: Mapping[Target, Sampling]) -> Fit:
    """Train members whose sampling sets have one shape."""
    began = time.perf_counter()
    layout = Layout(job.arch.shapes, activations.get(job.arch.activation), job.arch.bias)
    begin = get_start(job.start)
    started = [
        begin(job.arch, Standardised(target, samplings[target].mean, samplings[target].scale), replica, job.seed)
        for target, replica in members
    ]
    theta = layout.pack(np.stack([plain for plain, _ in started])).to(job.device)
    population = Population(theta, [replica for _, replica in members])
    for stage in job.stages:
        _run_stage(job, stage, layout, population, members, samplings)
    plain = layout.unpack(population.theta)
    networks = [
        _network(job, plain[i], samplings[target], target, replica, started[i][1])
        for i, (target, replica) in enumerate(members)
    ]
    degree = job.objective.degree or 0.0
    scales = np.array([samplings[target].scale for target, _ in members])
    return Fit(
        members=tuple(members),
        networks=tuple(networks),
        outcomes=tuple(outcome or Outcome.BUDGET_SPENT for outcome in population.outcomes),
        losses=population.loss.cpu().numpy() * scales**degree,
        steps=np.array(population.steps, dtype=np.int64),
        seconds=np.full(len(members), (time.perf_counter() - began) / len(members)),
        attempts=np.array([attempts for _, attempts in started], dtype=np.int64),
    )


def _run_stage(
    job: _Job,
    stage: Stage,
    layout: Layout,
    population: Population,
    members: Sequence[Member],
    samplings: Mapping[Target, Sampling],
) -> None:
    """Run one stage on the replicas that have not broken down, from the best parameters seen."""
    rows = population.alive()
    if not rows:
        return
    dtype = torch.float64 if stage.needs_float64 else job.dtype
    used = list(dict.fromkeys(members[row][0] for row in rows))
    number = {target: i for i, target in enumerate(used)}
    ensemble = Ensemble(
        layout,
        job.objective,
        np.stack([samplings[target].points for target in used]),
        np.stack([samplings[target].values for target in used]),
        np.stack([samplings[target].weights for target in used]),
        [number[members[row][0]] for row in rows],
        dtype=dtype,
        device=job.device,
    )
    theta = population.theta[rows].to(dtype)
    watch = Watch(population, rows, stage.name, stage.steps, job.progress)
    broken = watch.record(theta, ensemble.value(theta), 0)
    if any(broken):
        keep = torch.tensor(watch.drop(broken), dtype=torch.long, device=theta.device)
        ensemble, theta = ensemble.subset(keep), theta[keep]
    if len(theta):
        stage.run(ensemble, theta, watch)


def _network(
    job: _Job, plain: NDArray[np.float64], sampling: Sampling, target: Target, replica: int, attempts: int
) -> Network:
    """The network in the units of the target: mean and scale go into the last layer."""
    *hidden, last = job.arch.layers(plain)
    bias = None if last.bias is None else last.bias * sampling.scale + sampling.mean
    layers = (*hidden, dataclasses.replace(last, weight=last.weight * sampling.scale, bias=bias))
    provenance = {
        "method": "train",
        "target": dict(target.parameters),
        "architecture": job.arch.to_spec(),
        "plan": [stage.to_spec() for stage in job.stages],
        "start": job.start,
        "replica": replica,
        "seed": job.seed,
        "attempts": attempts,
    }
    return Network(layers, provenance)


def _positions(groups: Sequence[Sequence[int]]) -> list[int]:
    """Where each member stands once the groups are laid end to end."""
    position = {member: place for place, member in enumerate(member for group in groups for member in group)}
    return [position[i] for i in range(len(position))]


def _raise_for(fit: Fit) -> None:
    """Turn the first breakdown into an exception."""
    for (target, replica), outcome in zip(fit.members, fit.outcomes, strict=True):
        if outcome.failed:
            raise RuntimeError(f"replica {replica} of {target.name}: {outcome.value}. {outcome.sentence}")
