"""Checkpoints of a fit: written now and then, whole or not at all, and taken up again after a kill."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from approxrates.training.base import State

SECONDS_BETWEEN = 60.0
"""Time between two checkpoints, unless something else is asked for."""


class Checkpoint:
    """The file that one group of replicas is saved to.

    When it is written depends on the clock; what the fit yields does not, because a fit that goes on from a checkpoint
    takes the same steps as one that was never left.

    Args:
        path: The file; None keeps nothing.
        identity: Digest of everything that the result depends on. A file of another identity is not taken up.
        seconds: Time between two checkpoints; ``SECONDS_BETWEEN`` if left out.
    """

    def __init__(self, path: Path | None, identity: str, seconds: float | None = None) -> None:
        self.path, self.identity = path, identity
        self.seconds = SECONDS_BETWEEN if seconds is None else seconds
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the time has come to write."""
        return self.path is not None and time.monotonic() - self._last >= self.seconds

    def write(self, state: State) -> None:
        """Write a state: beside the file, then in its place in one step.

        Raises:
            OSError: If it cannot be written.
        """
        if self.path is None:
            return
        tensors, plain = _split(state)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The name begins like the file's, so that whoever clears away ``path*`` clears what a kill left behind.
        scratch = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            save_file(tensors, scratch, metadata={"identity": self.identity, "plain": json.dumps(plain)})
            os.replace(scratch, self.path)
        finally:
            scratch.unlink(missing_ok=True)
        self._last = time.monotonic()

    def read(self) -> State | None:
        """The state last written; None if there is none, it is damaged, or it belongs to another fit."""
        if self.path is None or not self.path.exists():
            return None
        with contextlib.suppress(SafetensorError, OSError, ValueError, KeyError):
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata["identity"] != self.identity:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return _joined(tensors, json.loads(metadata["plain"]))
        return None


def _split(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by their path, and the rest with the tensors left out; states may hold states."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().to("cpu").clone().contiguous()
        elif isinstance(value, Mapping):
            inner, plain[name] = _split(value, f"{prefix}{name}/")
            tensors |= inner
        else:
            plain[name] = value
    return tensors, plain


def _joined(tensors: Mapping[str, Tensor], plain: dict[str, Any]) -> State:
    """The inverse of :func:`_split`."""
    state: State = json.loads(json.dumps(plain))
    for path, tensor in tensors.items():
        *parents, name = path.split("/")
        place = state
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = tensor
    return state
