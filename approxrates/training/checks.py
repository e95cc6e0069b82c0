"""What is refused at the front door of the trainer, before anything is computed."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from approxrates import activations
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.axes import has_axis
from approxrates.dataset import Dataset
from approxrates.network import Network
from approxrates.target import Target
from approxrates.training.base import Stage
from approxrates.training.starts import get_start

Architecture = FixedWidth | FixedDepth
Fitted = Target | Dataset

LARGEST = sys.float_info.max
"""Beyond it there are whole numbers in Python, but no floating-point ones."""


def check_targets(arch: Architecture, target: Fitted | Sequence[Fitted]) -> list[Fitted]:
    """The targets as a list, after the checks of architecture and targets."""
    if not isinstance(arch, (FixedWidth, FixedDepth)):
        raise TypeError(
            f"arch must be a FixedWidth or FixedDepth. Got {type(arch).__name__}. "
            "Write e.g. ar.FixedWidth(dim=1, width=8, depth=4)."
        )
    if has_axis(arch):
        raise ValueError(
            "arch must be a single architecture. Got one with an axis. Use a Study, or axes.variants(arch)."
        )
    if not activations.get(arch.activation).trainable:
        raise ValueError(
            f"activation must have a derivative to be trained. Got {arch.activation!r}. Use e.g. activation='relu'."
        )
    targets = [target] if isinstance(target, (Target, Dataset)) else target
    if isinstance(targets, (str, bytes, Mapping)) or not isinstance(targets, Sequence):
        raise TypeError(
            f"target must be a Target or a list of them. Got {type(target).__name__}. "
            "Write e.g. ar.load_target('faber_tree', smoothness=0.5)."
        )
    if not targets:
        raise ValueError("target must hold at least one Target. Got an empty list.")
    for one in targets:
        if not isinstance(one, (Target, Dataset)):
            raise TypeError(
                f"target must be a Target or a list of them. Got {type(one).__name__}. Use ar.Target.from_callable."
            )
        if one.dim != arch.dim:
            raise ValueError(
                f"target and architecture must have one dim. Got dim={one.dim} for {one.name}, dim={arch.dim}. "
                f"Use dim={one.dim}."
            )
    return list(targets)


def check_members(members: Any) -> list[tuple[Any, int]]:
    """Pairs of target and replica number; the targets are checked elsewhere."""
    if isinstance(members, (str, bytes, Mapping)) or not isinstance(members, Sequence):
        raise TypeError(
            f"members must be a list of pairs of target and replica number. Got {type(members).__name__}. "
            "Write e.g. [(target, 0)]."
        )
    for one in members:
        if not isinstance(one, (tuple, list)) or len(one) != 2:
            raise TypeError(f"a member must be a pair of target and replica number. Got {one!r}. Write (target, 0).")
        check_whole("the replica number of a member", one[1], 0)
    return [(target, int(replica)) for target, replica in members]


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse anything but a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer. Got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}. Got {name}={value}.")


def member_penalties(l2_penalty: Any, n: int, what: str) -> list[float]:
    """One L2 penalty for each of ``n`` replicas or members (``what``)."""
    if isinstance(l2_penalty, np.ndarray):
        l2_penalty = l2_penalty.tolist()
    many = not isinstance(l2_penalty, (str, bytes)) and isinstance(l2_penalty, Sequence)
    given = list(l2_penalty) if many else [l2_penalty] * n
    if len(given) != n:
        raise ValueError(f"l2_penalty must be one number, or one for each {what}. Got {len(given)} for {n}.")
    for value in given:
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
            raise TypeError(f"l2_penalty must be a number. Got {value!r}. Write e.g. l2_penalty=1e-3.")
        if not 0.0 <= value <= LARGEST:
            raise ValueError(f"l2_penalty must be at least 0 and finite. Got {value}. Write e.g. l2_penalty=1e-3.")
    return [float(value) for value in given]


def member_starts(start: Any, n: int) -> str | list[Network]:
    """The name of a start, or one network for each of ``n`` members."""
    if isinstance(start, str):
        get_start(start)
        return start
    if not isinstance(start, Sequence) or not all(isinstance(one, Network) for one in start):
        raise TypeError(f"start must be a name or a list of networks. Got {start!r}. Write start='random'.")
    if len(start) != n:
        raise ValueError(f"start must hold one network for each replica of each target. Got {len(start)} for {n}.")
    return list(start)


def with_budget(stages: tuple[Stage, ...], budget: float) -> tuple[Stage, ...]:
    """The stages with their steps multiplied."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise TypeError(f"budget must be a number. Got {budget!r}.")
    if not 0.0 < budget < float("inf"):
        raise ValueError(f"budget must be positive and finite. Got budget={budget}. Write e.g. budget=4.")
    return tuple(dataclasses.replace(stage, steps=max(1, round(stage.steps * budget))) for stage in stages)


def writable_checkpoint(checkpoint: Any) -> Path | None:
    """The path of a checkpoint, whose folder is made; a file beside it is written and removed to see that one can."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, os.PathLike)) or not str(checkpoint):
        raise TypeError(f"checkpoint must be a path. Got {checkpoint!r}. Write e.g. checkpoint='fit.checkpoint'.")
    path = Path(checkpoint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        trial.touch()
        trial.unlink()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint must be a file in a folder that can be written. Got {str(checkpoint)!r}: {error}. "
            "Write e.g. checkpoint='fit.checkpoint'."
        ) from None
    return path


def present_device(name: str) -> torch.device:
    """The torch device of this name, if it is there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError):
        raise ValueError(f"device must be a torch device that is present, such as 'cpu'. Got {name!r}.") from None
    return device
