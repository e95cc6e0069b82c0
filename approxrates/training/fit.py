"""The front door of the trainer: checks, batches, plans run one stage after the other, networks folded back."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.backends import check_backend, obstacle
from approxrates.dataset import Dataset
from approxrates.layers import Layer
from approxrates.measurements import get_measurements
from approxrates.network import Network
from approxrates.objectives import MeanSquare, Objective
from approxrates.target import Target
from approxrates.training.base import Progress, Stage
from approxrates.training.checkpoint import Checkpoint
from approxrates.training.checks import (
    check_members,
    check_targets,
    check_whole,
    member_penalties,
    member_starts,
    present_device,
    with_budget,
    writable_checkpoint,
)
from approxrates.training.group import Group
from approxrates.training.job import Extra, Job, check_job
from approxrates.training.plans import resolve_plan
from approxrates.training.points import Sampling, check_n_points, sample
from approxrates.training.result import Fit

Architecture = FixedWidth | FixedDepth
Fitted = Target | Dataset
Member = tuple[Fitted, int]

MEMORY = 2**30
"""Bytes for the replicas trained together, if nothing else is said."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def train(
    arch: Architecture,
    target: Fitted | Sequence[Fitted],
    *,
    replicas: int = 1,
    plan: Any = "default",
    start: str | Sequence[Network] = "random",
    seed: int = 0,
    dtype: str = "float64",
    n_points: int | str | None = None,
    device: str = "cpu",
    objective: Objective | None = None,
    budget: float = 1,
    rounds: int = 1,
    strict: bool = False,
    progress: Progress | None = None,
    backend: str | None = None,
    checkpoint: str | Path | None = None,
    memory: int = MEMORY,
    l2_penalty: float | Sequence[float] = 0.0,
    measure: Sequence[Any] = (),
) -> Fit:
    """Networks of one architecture fitted to one target or to several, many replicas at once.

    The result of a replica depends on architecture, target, replica number, plan, start, seed, dtype, number of points
    and budget only: bit for bit the same alone or among others (on one machine and with one number of torch threads).

    Args:
        arch: Shape of the networks.
        target: What to fit, or a list: targets on the cube, or :class:`~approxrates.dataset.Dataset`.
        replicas: Independent fits of each target.
        plan: ``"default"``, or a list of stages such as ``[ar.Adam(steps=500), ar.SelfScaledBFGS(steps=300)]``.
        start: ``"random"``; ``"constructive"``, a network equal to the spline interpolant; ``"kaiming"``, ``"normal"``
            or ``"torch"``, the rules of the literature; or networks to go on from, one for each replica of each target.
        seed: Of the initial weights.
        dtype: ``"float64"`` or ``"float32"``, of the first-order stages; second-order ones are always in double
            precision.
        n_points: Sampling points in a set, or a law of the values that the fit may see in all sets, such as ``"P^2"``;
            chosen from the shape of the networks if left out.
        device: ``"cpu"``, or a torch device such as ``"cuda"``.
        objective: The loss; mean square if left out.
        budget: Multiplies the steps of every stage.
        rounds: With more than one, networks are added up, each fitted to what the ones before leave over (residual
            boosting): one block-diagonal network of ``rounds`` times the width.
        strict: Raise if a replica breaks down, instead of recording it.
        progress: Called as ``progress(stage, step, steps, median_loss)`` a few times a second at most.
        backend: ``"auto"``, ``"reference"`` (plain torch) or ``"native"`` (compiled loops); if left out, what the
            environment variable ``APPROXRATES_BACKEND`` says, else ``"auto"``. Both agree up to rounding.
        checkpoint: A file beside which the state is kept about once a minute, and from which a killed fit goes on; with
            identical results.
        memory: Bytes that replicas trained together may take; more replicas are trained in several groups. A single
            replica is trained in any case.
        l2_penalty: ``gamma >= 0`` of the term ``gamma * sum(theta**2)`` of the loss, over all parameters of the network
            in training (of the standardised target); one number, or one for each replica.
        measure: What to measure and when: names such as ``"sharpness"``, or objects such as
            ``Sharpness(schedule="every 10")`` of :mod:`approxrates.measurements`. Training does not change by it.

    Returns:
        Networks in target-major order with outcomes, losses, steps and times, and what was measured.

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
    plans = [resolve_plan(plan, arch, one, start=start if isinstance(start, str) else "network") for one in targets]
    penalties = member_penalties(l2_penalty, replicas, "replica") * len(targets)
    starts = member_starts(start, len(members))
    options: dict[str, Any] = {"measure": measure, "seed": seed, "dtype": dtype, "n_points": n_points, "device": device}
    options |= {"objective": objective, "budget": budget, "rounds": rounds, "progress": progress}
    options |= {"backend": backend, "memory": memory}
    path = writable_checkpoint(checkpoint)
    places: dict[tuple[Stage, ...], list[int]] = {}
    for i in range(len(members)):
        places.setdefault(plans[i // replicas], []).append(i)
    parts = [
        fit_members(
            arch, [members[i] for i in group], plan=stages, l2_penalty=[penalties[i] for i in group],
            start=starts if isinstance(starts, str) else [starts[i] for i in group],
            checkpoint=path and path.with_name(f"{path.name}.plan{number}"), **options,
        )
        for number, (stages, group) in enumerate(places.items())
    ]  # fmt: skip
    fit = Fit.joined(parts, _positions(list(places.values())))
    if strict:
        _raise_for(fit)
    return fit


def fit_members(
    arch: Architecture,
    members: Sequence[Member],
    *,
    plan: Sequence[Stage | Mapping[str, Any]],
    start: str | Sequence[Network] = "random",
    seed: int = 0,
    dtype: str = "float64",
    n_points: int | str | None = None,
    device: str = "cpu",
    objective: Objective | None = None,
    budget: float = 1,
    rounds: int = 1,
    progress: Progress | None = None,
    backend: str | None = None,
    checkpoint: str | Path | None = None,
    memory: int = MEMORY,
    l2_penalty: float | Sequence[float] = 0.0,
    measure: Sequence[Any] = (),
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
        rounds: Networks added up.
        progress: Callback.
        backend: Who computes.
        checkpoint: Where the state is kept.
        memory: Bytes for replicas trained together.
        l2_penalty: One number, or one for each member.
        measure: What to measure and when.

    Raises:
        ValueError: As :func:`train` does.
        TypeError: As :func:`train` does.
    """
    members = check_members(members)
    targets = check_targets(arch, [target for target, _ in members])
    stages = with_budget(resolve_plan(plan, arch, targets), budget)
    objective = MeanSquare() if objective is None else objective
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must be an Objective. Got {type(objective).__name__}. Write e.g. ar.MeanSquare().")
    check_whole("seed", seed, 0)
    check_n_points(n_points)
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Got {dtype!r}.")
    check_whole("rounds", rounds, 1)
    check_whole("memory", memory, 1)
    penalties, starts = member_penalties(l2_penalty, len(members), "member"), member_starts(start, len(members))
    job = Job(
        arch, stages, starts if isinstance(starts, str) else "network", seed, DTYPES[dtype], present_device(device),
        objective, progress, rounds, check_backend(backend), get_measurements(measure),
    )  # fmt: skip
    extras = [Extra(penalty, None if isinstance(starts, str) else starts[i]) for i, penalty in enumerate(penalties)]
    check_job(job, targets, extras)
    path = writable_checkpoint(checkpoint)
    samplings = {target: sample(arch, target, objective, n_points) for target in dict.fromkeys(targets)}
    groups = [
        part for same in _alike(targets, samplings, extras) for part in _within_memory(job, same, samplings, memory)
    ]
    parts = []
    for number, group in enumerate(groups):
        chosen = [members[i] for i in group]
        data = [samplings[targets[i]] for i in group]
        file = path and path.with_name(f"{path.name}.{number}")
        own = [extras[i] for i in group]
        parts.append(Group(job, chosen, data, Checkpoint(file, _identity(job, chosen, data, own)), own).fit())
    return Fit.joined(parts, _positions(groups))


def _alike(targets: Sequence[Fitted], samplings: Mapping[Fitted, Sampling], extras: Sequence[Extra]) -> list[list[int]]:
    """Members that can share tensors: of one shape of sampling sets, which depends on the target alone.

    Those with a penalty are apart from those without, whose losses nothing is added to.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, one in enumerate(targets):
        groups.setdefault((*samplings[one].points.shape, extras[i].l2_penalty > 0.0), []).append(i)
    return list(groups.values())


def _within_memory(job: Job, group: list[int], samplings: Mapping[Fitted, Sampling], memory: int) -> list[list[int]]:
    """A group cut into parts of nearly equal size that the stages can hold in the memory allowed."""
    n_points = (
        next(iter(samplings.values())).points.shape[-1]
        if len(samplings) == 1
        else max(data.points.shape[-1] for data in samplings.values())
    )
    each = max(stage.bytes_per_replica(job.layout, n_points) for stage in job.stages)
    n_parts = -(-len(group) // max(1, memory // each))
    cuts = [round(i * len(group) / n_parts) for i in range(n_parts + 1)]
    return [group[a:b] for a, b in itertools.pairwise(cuts)]


def _identity(job: Job, members: Sequence[Member], data: Sequence[Sampling], extras: Sequence[Extra]) -> str:
    """Digest of everything that the result of a group depends on; targets by their values, not by their names alone."""
    plain = job.backend == "reference" or obstacle(job.layout, job.objective, job.dtype, job.device)
    versions = [str(torch.__version__), "" if plain else importlib.metadata.version("numba")]
    told = {
        "architecture": job.arch.to_spec(),
        "plan": [stage.to_spec() for stage in job.stages],
        "start": [job.start, job.seed, job.rounds],
        "arithmetic": [str(job.dtype), str(job.device), *versions],
        "objective": job.objective.to_spec(),
        "members": [[target.key, replica] for target, replica in members],
        "penalties": [one.l2_penalty for one in extras],
        "starts": [_digest(*_arrays(one.start)) for one in extras if one.start is not None],
        "measure": [one.to_spec() for one in job.measurements],
        "data": [_digest(one.points, one.values) for one in {id(one): one for one in data}.values()],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _digest(*arrays: NDArray[np.float64]) -> str:
    """Digest of numbers."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _arrays(network: Network) -> list[NDArray[np.float64]]:
    """Weights and biases of a network."""
    dense = [layer for layer in network.layers if isinstance(layer, Layer)]
    return [array for layer in dense for array in (layer.weight, layer.bias) if array is not None]


def _positions(groups: Sequence[Sequence[int]]) -> list[int]:
    """Where each member stands once the groups are laid end to end."""
    position = {member: place for place, member in enumerate(member for group in groups for member in group)}
    return [position[i] for i in range(len(position))]


def _raise_for(fit: Fit) -> None:
    """Turn the first breakdown into an exception."""
    for (target, replica), outcome in zip(fit.members, fit.outcomes, strict=True):
        if outcome.failed:
            raise RuntimeError(f"replica {replica} of {target.name}: {outcome.value}. {outcome.sentence}")
