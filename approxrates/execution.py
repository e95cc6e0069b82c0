"""Runs one batch: trains, constructs or fits a reference, measures, and writes the rows before anyone is told.

A batch is the runs that make one ensemble: one architecture, one plan, many targets and replicas. It comes as JSON
text and leaves as JSON text, so that any executor can carry it. Nothing raises for what happens inside a run: a
failure is a row.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from approxrates import store
from approxrates.approximant import Approximant
from approxrates.errors import ApproximationError, approximation_errors
from approxrates.network import Network
from approxrates.spec import TRAINING_DEFAULTS
from approxrates.spec.sources import build_target
from approxrates.target import Target

Made = Network | Approximant
KEEP = ("best", "all", "none")
_segments: dict[tuple[int, str], store.Segment] = {}


def run_batch(text: str) -> str:
    """Does a batch and appends its rows to this process's segment.

    Args:
        text: JSON: ``folder``, ``keep`` (which weights to keep: best, all or none), ``sources`` (by target key: where
            a target comes from) and ``runs``: a list of ``{"id", "spec", "attempt", "plan"}`` that differ in target
            and replica only.

    Returns:
        JSON: ``{"runs": [{"id", "status", "error"}]}``, in the order of the runs.

    Raises:
        OSError: If the rows, or after them the weights, cannot be written: the only failures that are not rows.
    """
    batch = json.loads(text)
    runs: list[dict[str, Any]] = batch["runs"]
    begin = time.time()
    with _one_torch_thread():
        outcomes, networks = zip(*_outcomes(runs, batch), strict=True)
    rows = [_row(run, outcome, begin, time.time()) for run, outcome in zip(runs, outcomes, strict=True)]
    segment(batch["folder"]).append(rows)
    _keep_weights(runs, networks, outcomes, batch)  # after the rows: no trouble with weights takes a result back
    return json.dumps({"runs": [{"id": r["id"], "status": r["status"], "error": r["error"]} for r in rows]})


def segment(folder: str | Path) -> store.Segment:
    """This process's segment of a store."""
    key = (os.getpid(), str(Path(folder).resolve()))
    return _segments.setdefault(key, store.Segment(Path(folder)))


def lost_row(run: Mapping[str, Any], deaths: int) -> dict[str, Any]:
    """The row of a run whose worker died each time it was alone."""
    outcome = {
        "status": "lost",
        "metrics": {},
        "error": f"the worker process died {deaths} times while this run was alone in it",
    }
    return _row(run, outcome, time.time(), time.time())


def _row(run: Mapping[str, Any], outcome: Mapping[str, Any], begin: float, end: float) -> dict[str, Any]:
    """A row of the store."""
    return {
        "schema": store.SCHEMA,
        "id": run["id"],
        "spec": run["spec"],
        "status": outcome["status"],
        "attempt": run.get("attempt", 1),
        "metrics": _finite({"plan": run.get("plan", "")} | outcome["metrics"]),
        "error": outcome["error"],
        "environment": environment(),
        "times": {"begin": round(begin, 3), "end": round(end, 3)},
    }


def environment() -> dict[str, Any]:
    """Versions, processor and host of this process: told with a row, not part of its identity."""
    import numpy
    import torch

    return {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": str(torch.__version__),
        "threads": 1,
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "system": platform.system(),
        "host": platform.node(),
    }


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread while a batch runs: sums keep their order in any engine, and small networks gain nothing from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _outcomes(runs: list[dict[str, Any]], batch: Mapping[str, Any]) -> Sequence[tuple[dict[str, Any], Made | None]]:
    """What became of each run, and its network or approximant.

    A batch that breaks is taken apart, so that one bad target does not spoil the others.
    """
    try:
        return _done(runs, batch)
    except Exception as problem:
        if len(runs) == 1:
            return [({"status": "failed", "metrics": {}, "error": _sentence(problem)}, None)]
    return [outcome for run in runs for outcome in _outcomes([run], batch)]


def _sentence(problem: BaseException) -> str:
    """An exception in one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:500]


def _done(runs: list[dict[str, Any]], batch: Mapping[str, Any]) -> list[tuple[dict[str, Any], Made]]:
    """Networks or approximants made and measured."""
    targets = [
        build_target(run["spec"]["target"], batch["sources"].get(store.canonical(run["spec"]["target"]), {}))
        for run in runs
    ]
    makers = {"architecture": _trained, "construction": _constructed, "reference": _fitted}
    make = next(maker for key, maker in makers.items() if key in runs[0]["spec"])
    networks, metrics = make(runs, targets)
    errors = _errors(networks, targets)
    outcomes = [_outcome(*parts) for parts in zip(networks, targets, errors, metrics, strict=True)]
    return list(zip(outcomes, networks, strict=True))


def _trained(
    runs: Sequence[Mapping[str, Any]], targets: Sequence[Target]
) -> tuple[Sequence[Made], list[dict[str, Any]]]:
    """Trains the runs as one ensemble."""
    from approxrates import architecture, training

    spec = runs[0]["spec"]
    settings = TRAINING_DEFAULTS | spec["training"]
    assert all({**r["spec"]["training"], "replica": 0} == {**spec["training"], "replica": 0} for r in runs), (
        "batches are of one kind"
    )
    arch = architecture.from_spec(spec["architecture"])
    members = [(t, int(r["spec"]["training"]["replica"])) for t, r in zip(targets, runs, strict=True)]
    plan = tuple(training.stage_from_spec(stage) for stage in settings["plan"])
    fit = training.fit_members(
        arch, members, plan=plan, start=settings["start"], seed=settings["seed"], dtype=settings["dtype"],
        n_points=settings["n_points"], budget=settings["budget"],
    )  # fmt: skip
    metrics = [
        {
            "loss": float(fit.losses[i]), "steps": int(fit.steps[i]), "outcome": fit.outcomes[i].value,
            "seconds": float(fit.seconds[i]), "attempts": int(fit.attempts[i]), "activation": str(arch.activation),
            "n_samples": training.n_samples(arch, targets[i], settings["n_points"]),
        }
        for i in range(len(runs))
    ]  # fmt: skip
    return list(fit.networks), metrics


def _constructed(
    runs: Sequence[Mapping[str, Any]], targets: Sequence[Target]
) -> tuple[Sequence[Made], list[dict[str, Any]]]:
    """Builds each network from its theorem."""
    from approxrates import constructions

    networks, metrics = [], []
    for run, target in zip(runs, targets, strict=True):
        wanted = run["spec"]["construction"]
        start = time.perf_counter()
        network = constructions.construct(
            wanted["name"], target, n_params=wanted["n_params"], **wanted.get("options", {})
        )
        codes = sorted(set(network.activations) - {"identity"})
        networks.append(network)
        metrics.append(
            {
                "seconds": time.perf_counter() - start,
                "outcome": "constructed",
                "activation": "+".join(codes) or "identity",
            }
        )
    return networks, metrics


def _fitted(
    runs: Sequence[Mapping[str, Any]], targets: Sequence[Target]
) -> tuple[Sequence[Made], list[dict[str, Any]]]:
    """Makes each approximant by its reference method."""
    from approxrates import references

    found, metrics = [], []
    for run, target in zip(runs, targets, strict=True):
        wanted = run["spec"]["reference"]
        start = time.process_time()
        found.append(
            references.approximate(wanted["name"], target, n_params=wanted["n_params"], **wanted.get("options", {}))
        )
        metrics.append({"seconds": time.process_time() - start, "outcome": "fitted", "activation": ""})
    return found, metrics


def _errors(networks: Sequence[Made], targets: Sequence[Target]) -> list[ApproximationError]:
    """Errors of all networks; those of one target are measured together."""
    places: dict[Target, list[int]] = {}
    for i, target in enumerate(targets):
        places.setdefault(target, []).append(i)
    found: dict[int, ApproximationError] = {}
    for target, members in places.items():
        errors = approximation_errors([networks[i] for i in members], target, certify=False)
        found |= dict(zip(members, errors, strict=True))
    return [found[i] for i in range(len(networks))]


def _outcome(network: Made, target: Target, error: ApproximationError, metrics: dict[str, Any]) -> dict[str, Any]:
    """Counts and errors of one run. It has diverged if its error is not finite, or training says so."""
    shape = ("n_params_dense", "width", "depth") if isinstance(network, Network) else ()
    metrics |= {name: getattr(network, name) for name in ("n_params", *shape)} | {
        "regularity": {k: v for k, v in vars(target.regularity).items() if v not in (None, False) and k != "dim"},
    }
    lower, upper = (float(v) for v in error.sup)
    if not (math.isfinite(upper) and math.isfinite(error.l2)):
        return {"status": "diverged", "metrics": metrics, "error": "the error is not finite"}
    metrics |= {
        "error_sup_lower": lower,
        "error_sup_upper": upper,
        "certified": bool(error.certified),
        "error_method": str(error.method),
        "error_share": float(error.share),
        "ended_by": error.ended_by,
        "error_l2": float(error.l2),
        "l2_error": float(error.l2_error),
        "pieces": error.pieces,
        "total_bits": getattr(network, "total_bits", None),
        "max_bits": getattr(network, "max_bits", None),
        "description_bits": network.description_bits
        if isinstance(network, Network) and metrics["outcome"] == "constructed"
        else None,
    }
    if metrics["outcome"] in ("diverged", "non-finite"):
        return {"status": "diverged", "metrics": metrics, "error": f"training ended {metrics['outcome']}"}
    return {"status": "ok", "metrics": metrics, "error": None}


def _finite(value: Any) -> Any:
    """JSON data in which what is not a finite number is None (infinite smoothness stays, as text)."""
    if isinstance(value, Mapping):
        return {k: "inf" if k == "smoothness" and v == math.inf else _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _keep_weights(
    runs: Sequence[Mapping[str, Any]],
    networks: Sequence[Made | None],
    outcomes: Sequence[Mapping[str, Any]],
    batch: Mapping[str, Any],
) -> None:
    """Saves the weights of the best replica for each target of the batch, or of all, beside the runs.

    Approximants have no weight file: their run spec makes them again in a moment.

    Raises:
        OSError: If they cannot be written; the rows are stored by then.
    """
    if batch["keep"] == "none":
        return
    groups: dict[str, list[int]] = {}
    for i, (run, outcome) in enumerate(zip(runs, outcomes, strict=True)):
        if outcome["status"] == "ok" and isinstance(networks[i], Network):
            group = store.canonical(run["spec"]["target"]) if batch["keep"] == "best" else run["id"]
            groups.setdefault(group, []).append(i)
    folder = Path(batch["folder"]) / "weights"
    for members in groups.values():
        best = min(members, key=lambda i: outcomes[i]["metrics"]["error_sup_upper"])
        network = networks[best]
        assert isinstance(network, Network), "only networks are grouped"
        _save(network, folder / f"{runs[best]['id']}.safetensors")


def _save(network: Network, path: Path) -> None:
    """Saves a network so that a reader sees the whole file or none; what a failure leaves is removed.

    Raises:
        OSError: If the file cannot be written, saying so in one line.
    """
    scratch = path.with_name(f".{path.stem}.{os.getpid()}.safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        network.save(scratch)
        os.replace(scratch, path)
    except BaseException as problem:
        for part in path.parent.glob(f"{scratch.name}*") if path.parent.is_dir() else ():
            part.unlink(missing_ok=True)
        if not isinstance(problem, (OSError, ValueError)):
            raise
        reason = getattr(problem, "strerror", None) or problem
        raise OSError(
            f"{path.parent} must be a folder for weights. Got: {reason}. The runs are stored; make room there and run "
            "again, or use keep='none'."
        ) from None
