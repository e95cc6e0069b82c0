"""Batches of runs: what can be stacked into one ensemble, how long it takes, how much memory it needs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approxrates.architecture import from_spec
from approxrates.sampling import SampleLaw
from approxrates.store import canonical

MAX_RUNS = 32
MAX_BYTES = 256 * 2**20
MEASURING_SECONDS = 0.04
"""Sampling a target and measuring an error, in one dimension."""
DENSE_STAGES = ("ssbfgs", "self_scaled_bfgs", "selfscaledbfgs")


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        id: Hash of the spec.
        spec: Run spec.
        plan: The plan as the study names it (``"default"``), for tables; the resolved one is in the spec.
        attempt: 1 for the first attempt.
    """

    id: str
    spec: Mapping[str, Any]
    plan: str = ""
    attempt: int = 1

    @property
    def target_key(self) -> str:
        """Canonical text of the target's parameters."""
        return canonical(self.spec["target"])


def n_params_of(spec: Mapping[str, Any]) -> int:
    """Parameters of a run: of its architecture, or the limit of its construction or reference."""
    made = _made(spec)
    if made is not None:
        return int(made["n_params"])
    return _count(canonical(spec["architecture"]))


def _made(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The construction or reference of a run that is not trained."""
    found: Mapping[str, Any] | None = spec.get("construction") or spec.get("reference")
    return found


@functools.lru_cache(maxsize=4096)
def _count(text: str) -> int:
    """Parameter count of a canonical architecture spec."""
    import json

    return int(from_spec(json.loads(text)).n_params)


def _points_of(spec: Mapping[str, Any]) -> int:
    """Training points of a run; without a given number, about what a fit of that size takes."""
    given, arch = spec["training"].get("n_points"), spec["architecture"]
    dim, size = int(arch["dim"]), n_params_of(spec)
    wanted = 10 * int(arch["width"]) * int(arch["depth"]) if dim == 1 else max(256, 2 * size)
    usual = min(max(64, wanted), 16384 if dim == 1 else 2048)
    if isinstance(given, str):  # in one set, or spread over so many as a fit can see
        allowed = SampleLaw.parse(given).n_values(size)
        return allowed if allowed < 3 * usual else max(usual, allowed // 129)
    return int(given) if given else usual


def seconds_of(spec: Mapping[str, Any]) -> float:
    """Rough CPU seconds of one run: steps x parameters x points, with the dense matrices of second-order stages.

    The constants are those of a current core with compiled loops, float32; they are good to a factor of three, and
    plain torch takes three times as long. Plans are made with them, nothing is decided by them but the order of work.
    """
    if _made(spec) is not None:
        dim = int(spec["target"].get("dim", 1))
        return MEASURING_SECONDS * (1 if dim == 1 else 8) + _making_seconds(spec, dim) * n_params_of(spec)
    size, points, depth = n_params_of(spec), _points_of(spec), int(spec["architecture"].get("depth", 1))
    gradient = 4e-10 * size * points + 1.5e-6 * depth
    seconds = MEASURING_SECONDS * (1 if int(spec["architecture"]["dim"]) == 1 else 8)
    for stage in spec["training"]["plan"]:
        extra = {"adam": 5e-9 * size, "soap": 6e-8 * size}.get(
            stage["stage"], 1e-8 * size**2 if stage["stage"] in DENSE_STAGES else 0.0
        )
        seconds += int(stage.get("steps", 0)) * (gradient + extra)
    return seconds * float(spec["training"].get("budget", 1))


def _making_seconds(spec: Mapping[str, Any], dim: int) -> float:
    """Rough CPU seconds per parameter of what is not trained; exact weights are coded and evaluated slowly."""
    construction = spec.get("construction") or {}
    if construction.get("name", "interpolation") == "interpolation":
        return 2e-5
    compiled = (construction.get("options") or {}).get("activation", "relu") != "relu"
    return 5e-4 * (1 if dim == 1 else 4) * (8 if compiled else 1)


def bytes_of(spec: Mapping[str, Any]) -> int:
    """Rough memory of one run in an ensemble: activations of all layers, dense matrices of second-order stages."""
    if _made(spec) is not None:
        return 0
    size, points, arch = n_params_of(spec), _points_of(spec), spec["architecture"]
    activations = 3 * 8 * points * int(arch.get("width", 1)) * (int(arch.get("depth", 1)) + 1)
    dense = any(stage["stage"] in DENSE_STAGES for stage in spec["training"]["plan"])
    return activations + 10 * 8 * size + (16 * size**2 if dense else 0)


def batches_of(runs: Iterable[Run], *, max_runs: int = MAX_RUNS, max_bytes: int = MAX_BYTES) -> list[list[Run]]:
    """Runs in batches, the longest first, so that workers end together.

    Runs of one batch share architecture, resolved plan, start, seed, dtype, points and budget, and differ in target
    and replica.

    Args:
        runs: Runs to do.
        max_runs: Most runs in one batch.
        max_bytes: Memory that one batch may take, roughly.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_kind(run.spec), []).append(run)
    batches = []
    for members in groups.values():
        each = max(1, bytes_of(members[0].spec))
        most = max(1, min(max_runs, max_bytes // each))
        n_batches = -(-len(members) // most)
        batches += [
            members[i * len(members) // n_batches : (i + 1) * len(members) // n_batches] for i in range(n_batches)
        ]
    return sorted(batches, key=lambda batch: -batch_seconds(batch))


def batch_seconds(batch: Sequence[Run]) -> float:
    """Rough CPU seconds of a batch."""
    return sum(seconds_of(run.spec) for run in batch)


def _kind(spec: Mapping[str, Any]) -> str:
    """What the runs of one batch have in common."""
    made = _made(spec)
    if made is not None:
        return canonical(["reference" in spec, made])
    training = {k: v for k, v in spec["training"].items() if k != "replica"}
    return canonical([spec["architecture"], training, spec["recipe"]])
