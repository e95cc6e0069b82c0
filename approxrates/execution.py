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
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.approximant import Approximant
from approxrates.errors import ApproximationError, approximation_errors
from approxrates.network import Network
from approxrates.spec import TRAINING_DEFAULTS
from approxrates.spec.sources import build_target
from approxrates.target import Target

if TYPE_CHECKING:
    import numpy as np

Made = Network | Approximant
_Making = tuple["Sequence[Made]", "list[dict[str, Any]]", "Sequence[np.ndarray[Any, Any] | None]"]
KEEP = ("best", "all", "none")
_segments: dict[tuple[int, str], store.Segment] = {}


@dataclass(frozen=True)
class Done:
    """One run of a batch, done.

    Attributes:
        outcome: ``status``, ``metrics`` and ``error`` of its row.
        made: Its network or approximant; None if it failed.
        curve: Steps and losses at the checkpoints of its training, shape ``(n, 2)``; None if it was not trained.
    """

    outcome: dict[str, Any]
    made: Made | None = None
    curve: np.ndarray[Any, Any] | None = None


def run_batch(text: str) -> str:
    """Does a batch and appends its rows to this process's segment.

    Args:
        text: JSON: ``folder``, ``keep`` (which weights to keep: best, all or none), ``curves`` (whether to keep the
            loss curve of every replica; may be left out), ``sources`` (by target key: where a target comes from) and
            ``runs``: a list of ``{"id", "spec", "attempt", "plan"}`` that differ in target and replica only.

    Returns:
        JSON: ``{"runs": [{"id", "status", "error"}]}``, in the order of the runs.

    Raises:
        OSError: If the rows, or after them the weights or the curves, cannot be written: the only failures that are
            not rows.
    """
    batch = json.loads(text)
    runs: list[dict[str, Any]] = batch["runs"]
    begin = time.time()
    checkpoint = Path(batch["folder"]) / "checkpoints" / store.digest([run["id"] for run in runs])
    with one_torch_thread():
        done = _all_done(runs, {**batch, "checkpoint": checkpoint})
    rows = [row_of(run, one.outcome, begin, time.time()) for run, one in zip(runs, done, strict=True)]
    segment(batch["folder"]).append(rows)
    for left_behind in checkpoint.parent.glob(f"{checkpoint.name}*"):
        left_behind.unlink(missing_ok=True)
    _keep_weights(runs, done, batch)  # after the rows: no trouble with weights takes a result back
    if batch.get("curves"):
        _keep_curves(runs, done, Path(batch["folder"]) / "curves")
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
    return row_of(run, outcome, time.time(), time.time())


def row_of(run: Mapping[str, Any], outcome: Mapping[str, Any], begin: float, end: float) -> dict[str, Any]:
    """A row of the store.

    Args:
        run: ``id``, ``spec``, and perhaps ``attempt`` and ``plan``.
        outcome: ``status``, ``metrics`` and ``error``.
        begin: When it began, in seconds of the clock.
        end: When it ended.
    """
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

    from approxrates.backends import check_backend

    try:
        compiled = {"numba": metadata.version("numba")}
    except metadata.PackageNotFoundError:
        compiled = {}
    return compiled | {
        "backend": check_backend(None),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": str(torch.__version__),
        "threads": 1,
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "system": platform.system(),
        "host": platform.node(),
    }


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread while a batch runs: sums keep their order in any engine, and small networks gain nothing from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _all_done(runs: list[dict[str, Any]], batch: Mapping[str, Any]) -> list[Done]:
    """What became of each run.

    A batch that breaks is taken apart, so that one bad target does not spoil the others.
    """
    try:
        return _done(runs, batch)
    except Exception as problem:
        if len(runs) == 1:
            return [Done({"status": "failed", "metrics": {}, "error": sentence(problem)})]
    return [one for run in runs for one in _all_done([run], batch)]


def sentence(problem: BaseException) -> str:
    """An exception in one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:500]


def _done(runs: list[dict[str, Any]], batch: Mapping[str, Any]) -> list[Done]:
    """Networks or approximants made and measured."""
    targets = [
        build_target(run["spec"]["target"], batch["sources"].get(store.canonical(run["spec"]["target"]), {}))
        for run in runs
    ]
    makers = {"architecture": _trained, "construction": _constructed, "reference": _fitted}
    make = next(maker for key, maker in makers.items() if key in runs[0]["spec"])
    made, metrics, curves = make(runs, targets, batch)
    errors = _errors(made, targets)
    outcomes = [_outcome(*parts) for parts in zip(made, targets, errors, metrics, strict=True)]
    return [Done(*parts) for parts in zip(outcomes, made, curves, strict=True)]


def _trained(runs: Sequence[Mapping[str, Any]], targets: Sequence[Target], batch: Mapping[str, Any]) -> _Making:
    """Trains the runs as one ensemble; what was killed goes on from its checkpoint."""
    from approxrates import architecture, training

    spec = runs[0]["spec"]
    settings = TRAINING_DEFAULTS | spec["training"]
    assert all({**r["spec"]["training"], "replica": 0} == {**spec["training"], "replica": 0} for r in runs), (
        "batches are of one kind"
    )
    arch = architecture.from_spec(spec["architecture"])
    members = [(t, int(r["spec"]["training"]["replica"])) for t, r in zip(targets, runs, strict=True)]
    plan = tuple(training.stage_from_spec(stage) for stage in settings["plan"])
    precision = "float64" if plan[-1].needs_float64 else str(settings["dtype"])
    fit = training.fit_members(
        arch, members, plan=plan, start=settings["start"], seed=settings["seed"], dtype=settings["dtype"],
        n_points=settings["n_points"], budget=settings["budget"], l2_penalty=settings["l2_penalty"],
        measure=settings["measure"], checkpoint=batch.get("checkpoint"),
    )  # fmt: skip
    metrics: list[dict[str, Any]] = [
        {
            "loss": float(fit.losses[i]), "steps": int(fit.steps[i]), "outcome": fit.outcomes[i].value,
            "seconds": float(fit.seconds[i]), "attempts": int(fit.attempts[i]), "activation": str(arch.activation),
            "n_samples": training.n_samples(arch, targets[i], settings["n_points"]),
            "rms_at_points": float(fit.rms_at_points[i]), "sup_at_points": float(fit.sup_at_points[i]),
            **_floor(fit.networks[i], targets[i], precision),
            **({"measured": dict(fit.final[i])} if settings["measure"] else {}),
        }
        for i in range(len(runs))
    ]  # fmt: skip
    if settings["start"] != "random":
        metrics = [own | before for own, before in zip(metrics, _before(fit.starts, targets), strict=True)]
    return list(fit.networks), metrics, fit.curves


def _floor(network: Network, target: Target, precision: str) -> dict[str, float]:
    """Rounding noise of a network in the precision that it was trained in, in both norms.

    The largest noise is taken to be as many times its root mean square as that of evaluation.
    """
    from approxrates.training.floors import float_floor

    floor = float_floor(network, target, precision)
    peak = floor.evaluation_sup / floor.evaluation_rms if floor.evaluation_rms > 0 else 1.0
    return {"float_floor": floor.rms, "float_floor_sup": floor.rms * peak}


def _before(starts: Sequence[Network], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Errors before the first step, of starts that are built to be good: what training has to improve on."""
    return [
        {
            "start_error_sup_lower": float(error.sup[0]),
            "start_error_sup_upper": float(error.sup[1]),
            "start_error_l2": float(error.l2),
            "start_certified": bool(error.certified),
        }
        for error in _errors(starts, targets)
    ]


def _constructed(runs: Sequence[Mapping[str, Any]], targets: Sequence[Target], batch: Mapping[str, Any]) -> _Making:
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
    return networks, metrics, [None] * len(networks)


def _fitted(runs: Sequence[Mapping[str, Any]], targets: Sequence[Target], batch: Mapping[str, Any]) -> _Making:
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
    return found, metrics, [None] * len(found)


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


def _keep_weights(runs: Sequence[Mapping[str, Any]], done: Sequence[Done], batch: Mapping[str, Any]) -> None:
    """Saves the weights of the best replica for each target of the batch, or of all, beside the runs.

    Approximants have no weight file: their run spec makes them again in a moment.

    Raises:
        OSError: If they cannot be written; the rows are stored by then.
    """
    if batch["keep"] == "none":
        return
    groups: dict[str, list[int]] = {}
    for i, (run, one) in enumerate(zip(runs, done, strict=True)):
        if one.outcome["status"] == "ok" and isinstance(one.made, Network):
            group = store.canonical(run["spec"]["target"]) if batch["keep"] == "best" else run["id"]
            groups.setdefault(group, []).append(i)
    folder = Path(batch["folder"]) / "weights"
    for members in groups.values():
        best = min(members, key=lambda i: done[i].outcome["metrics"]["error_sup_upper"])
        network = done[best].made
        assert isinstance(network, Network), "only networks are grouped"
        _save(network, folder / f"{runs[best]['id']}.safetensors")


def _keep_curves(runs: Sequence[Mapping[str, Any]], done: Sequence[Done], folder: Path) -> None:
    """Writes the loss curve of every trained run, whatever became of it, as a table of steps and losses.

    Raises:
        OSError: If they cannot be written; the rows are stored by then.
    """
    for run, one in zip(runs, done, strict=True):
        if one.curve is not None:
            lines = [f"{int(step)},{float(loss)!r}\n" for step, loss in one.curve]
            store.write_atomically(folder / f"{run['id']}.csv", "".join(["step,loss\n", *lines]).encode())


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
