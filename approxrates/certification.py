"""Certifying a finished study: the stored networks are measured again, with proof.

Studies measure quickly while they run. This goes over the weights they kept and bounds each error by branch and bound.
The results are appended beside the runs (:mod:`approxrates.records.certificates`), so it may be stopped or killed at
any moment and called again: what is settled is not done again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from approxrates import store
from approxrates.engines import InlineEngine, LocalEngine, WorkerDied, call
from approxrates.errors import ApproximationError, approximation_errors
from approxrates.execution import environment
from approxrates.network import Network
from approxrates.records.certificates import append_certificates, is_settled, read_certificates, width_of
from approxrates.spec.sources import build_target
from approxrates.study import Study
from approxrates.study.progress import Listener, Progress, listener
from approxrates.study.standing import standing_study

_BATCH = {1: 8}
"""Networks of one target that are certified together; above d = 1 each takes long enough alone."""
_CERTIFY = "approxrates.certification:certify_batch"


@dataclass
class Certified:
    """What :func:`recertify` did.

    Attributes:
        folder: Results folder.
        gap: Relative width asked for.
        n_runs: Successful runs of the folder.
        n_weights: Those whose weights were kept.
        n_before: Those of them that were settled before: proven to the gap, or tried as hard.
        n_proven: Proven now, to the gap.
        n_wider: Proven now, but wider than asked: the budget or float64 ended it.
        n_unproven: No proof exists for them: targets without enclosures, more than three dimensions.
        seconds: Wall seconds.
        notes: One sentence for each network that could not be measured.
    """

    folder: Path
    gap: float
    n_runs: int = 0
    n_weights: int = 0
    n_before: int = 0
    n_proven: int = 0
    n_wider: int = 0
    n_unproven: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kept = f"{self.n_weights} of {self.n_runs} runs have weights, {self.n_before} of them were settled before."
        done = (
            f"proven to a gap of {100 * self.gap:g} %: {self.n_proven}; proven, but wider: {self.n_wider}; "
            f"without proof: {self.n_unproven}; failed: {len(self.notes)}."
        )
        return f"{kept} Now {done}"


def recertify(
    folder: str | Path,
    *,
    gap: float = 0.05,
    budget: int | None = None,
    workers: int = 1,
    progress: bool | Listener | None = None,
) -> Certified:
    """Measures every stored network of a results folder again, with proof, and keeps the certificates beside the runs.

    Afterwards ``load_records(folder)`` has the proven errors in place of the measured ones. Runs whose weights were not
    kept stay as they are (a study keeps the best replica; ``keep="all"`` keeps all).

    Args:
        folder: Results folder of a study.
        gap: Largest ``(upper - lower) / lower`` asked for. What is proven so far to this gap is left alone.
        budget: Most evaluations for each network, as for :func:`approxrates.errors.approximation_error`.
        workers: Worker processes with one thread each; 1 stays in this process.
        progress: As for ``Study.run``.

    Raises:
        ValueError: If the folder holds no runs or no weights, or an argument is out of range.
        TypeError: If an argument is of the wrong kind.
        OSError: If certificates cannot be written; those finished are stored.
        KeyboardInterrupt: If interrupted; those finished are stored.
    """
    if not isinstance(folder, (str, Path)):
        raise TypeError(f"folder must be a path. Got {folder!r}. Write e.g. recertify('results/mine').")
    folder, hear = Path(folder), listener(progress)
    _check(gap, budget, workers)
    result, begin = Certified(folder, float(gap)), time.monotonic()
    due = _due(folder, result, budget)
    sources = _sources(folder, result) if due else {}
    batches = _batches(due)

    def tell(message: str = "") -> None:
        done = result.n_proven + result.n_wider + result.n_unproven + len(result.notes)
        seconds = time.monotonic() - begin
        left = seconds / done * (len(due) - done) if done else None
        name = f"certificates of {folder.resolve().name}"
        hear(Progress(name, result.n_before + done, result.n_weights, len(result.notes), seconds, left, message))

    engine = LocalEngine(workers) if workers > 1 else InlineEngine()
    try:
        tell()
        message = {"folder": str(folder), "gap": float(gap), "budget": budget}
        # Inline, a task is done when it is submitted: so each is settled before the next one begins.
        ahead = len(batches) if workers > 1 else 1
        for start in range(0, len(batches), ahead):
            flight: dict[Future[str], list[dict[str, Any]]] = {}
            for batch in batches[start : start + ahead]:
                own = {key: sources[key] for key in {store.canonical(r["target"]) for r in batch} if sources.get(key)}
                text = json.dumps(message | {"sources": own, "runs": batch})
                flight[engine.submit(call, _CERTIFY, text)] = batch
            for future in as_completed(flight):
                _settle(result, flight[future], future, tell)
    except BaseException:
        engine.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        getattr(hear, "close", lambda: None)()
    engine.shutdown(wait=True)
    result.seconds = time.monotonic() - begin
    return result


def _check(gap: Any, budget: Any, workers: Any) -> None:
    """Raise for arguments that are of no use."""
    if isinstance(gap, bool) or not isinstance(gap, (int, float)):
        raise TypeError(f"gap must be a number. Got {gap!r}. Write e.g. gap=0.05.")
    if not 0 < gap < math.inf:
        raise ValueError(f"gap must be positive and finite. Got gap={gap}. Write e.g. gap=0.05.")
    for name, value, example in (("budget", budget, "budget=100_000"), ("workers", workers, "workers=2")):
        if name == "budget" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer. Got {value!r}. Write e.g. {example}.")
        if value < 1:
            raise ValueError(f"{name} must be at least 1. Got {name}={value}. Write e.g. {example}.")


def _due(folder: Path, result: Certified, budget: int | None) -> list[dict[str, Any]]:
    """The runs whose weights are there and that are not settled; counts them.

    Raises:
        ValueError: If there are no runs, or no weights.
    """
    contents = store.read(folder)
    if not contents.segments:
        raise ValueError(
            f"folder must hold the runs of a study. Got {folder}, which has no runs/*.jsonl. Run the study first: "
            "approxrates run."
        )
    certificates = read_certificates(folder).rows
    good = [row for row in contents.rows.values() if row["status"] == "ok"]
    held = [row for row in good if (folder / "weights" / f"{row['id']}.safetensors").exists()]
    if not held:
        raise ValueError(
            f"folder must hold weights. Got {folder}, which has none of its {len(good)} runs in weights/*.safetensors. "
            "Weights are not committed: run the study again, with keep='best' or keep='all'."
        )
    due = [
        row
        for row in held
        if not is_settled(certificates.get(row["id"]), result.gap, budget) and not _is_proven(row, result.gap)
    ]
    result.n_runs, result.n_weights, result.n_before = len(good), len(held), len(held) - len(due)
    return [
        {"id": row["id"], "target": row["spec"]["target"], "made": _made(row["spec"], row["spec"].get("training"))}
        for row in due
    ]


def _made(record: Mapping[str, Any], training: Any) -> dict[str, Any]:
    """What a spec and the provenance of its network have in common: a weight file of another run differs here."""
    target = record.get("target")
    return {
        "target": None if target is None else {k: v for k, v in target.items() if k != "file"},
        "architecture": record.get("architecture"),
        "replica": (training or {}).get("replica"),
    }


def _of_run(path: Path, wanted: Mapping[str, Any]) -> Network:
    """The network of a run.

    Raises:
        ValueError: If the file says that it belongs to another run.
    """
    network = Network.load(path)
    found = _made(network.provenance, network.provenance)
    for name, value in wanted.items():
        if value is not None and found[name] is not None and store.canonical(value) != store.canonical(found[name]):
            raise ValueError(f"{path} must hold the network of this run. Got one of another {name}. Put it back.")
    return network


def _is_proven(row: Mapping[str, Any], gap: float) -> bool:
    """Whether the run itself was measured with proof, to the gap; rows that do not say what ended it are older."""
    metrics = row.get("metrics") or {}
    if not metrics.get("certified") or metrics.get("ended_by") is None:
        return False
    return width_of(metrics["error_sup_lower"], metrics["error_sup_upper"]) <= gap


def _sources(folder: Path, result: Certified) -> dict[str, dict[str, Any]]:
    """By target key, where another process takes a target from; the catalogue needs no source."""
    if not (folder / "study.toml").exists():
        return {}
    try:
        study = standing_study(folder, Study.from_toml)
    except ValueError as problem:
        result.notes.append(f"targets are taken from the catalogue only: {problem}")
        return {}
    if isinstance(study, store.Selection):
        return {}
    return {s.key: dict(s.source) for block in study.blocks for s in block.targets}


def _batches(due: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs of one target at a time, a few together."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in due:
        groups.setdefault(store.canonical(run["target"]), []).append(run)
    batches = []
    for members in groups.values():
        size = _BATCH.get(int(members[0]["target"].get("dim", 1)), 1)
        batches += [members[i : i + size] for i in range(0, len(members), size)]
    return batches


def _settle(result: Certified, batch: Sequence[Mapping[str, Any]], future: Future[str], tell: Any) -> None:
    """Counts what came of a batch.

    Raises:
        OSError: If certificates could not be written.
    """
    try:
        answers: list[dict[str, Any]] = json.loads(future.result())["runs"]
    except WorkerDied as problem:
        answers = [{"id": run["id"], "error": str(problem)} for run in batch]
    messages = []
    for answer in answers:
        if answer.get("error"):
            messages.append(f"run {answer['id'][:12]} could not be measured: {answer['error']}")
            result.notes.append(messages[-1])
        elif not answer["certified"]:
            result.n_unproven += 1
        elif answer["width"] <= result.gap:
            result.n_proven += 1
        else:
            result.n_wider += 1
    tell("\n".join(messages))


def certify_batch(text: str) -> str:
    """Certifies the networks of a batch and appends the certificates before it answers. Runs in a worker.

    Args:
        text: JSON: ``folder``, ``gap``, ``budget``, ``sources`` and ``runs``: a list of ``{"id", "target", "made"}``
            of one target.

    Returns:
        JSON: ``{"runs": [{"id", "certified", "width"} or {"id", "error"}]}``, in the order of the runs.

    Raises:
        OSError: If the certificates cannot be written.
    """
    task = json.loads(text)
    answers, rows = [], []
    for run, found in zip(task["runs"], _measured(task, task["runs"]), strict=True):
        if isinstance(found, str):
            answers.append({"id": run["id"], "error": found})
            continue
        error, seconds = found
        lower, upper = (float(v) for v in error.sup)
        finite = math.isfinite(upper) and math.isfinite(error.l2)
        answers.append({"id": run["id"], "certified": error.certified and finite, "width": width_of(lower, upper)})
        if finite:
            rows.append(_row(run["id"], error, seconds, task))
    append_certificates(task["folder"], rows)
    return json.dumps({"runs": answers})


def _measured(
    task: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> list[tuple[ApproximationError, float] | str]:
    """The error of each network with its seconds, or what went wrong; one bad network does not spoil the others."""
    begin = time.process_time()
    try:
        target = build_target(runs[0]["target"], task["sources"].get(store.canonical(runs[0]["target"]), {}))
        folder = Path(task["folder"]) / "weights"
        networks = [_of_run(folder / f"{run['id']}.safetensors", run.get("made", {})) for run in runs]
        errors = approximation_errors(networks, target, task["gap"], task["budget"], certify=True)
    except Exception as problem:
        if len(runs) == 1:
            return [f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:500]]
        return [result for run in runs for result in _measured(task, [run])]
    return [(error, (time.process_time() - begin) / len(runs)) for error in errors]


def _row(run_id: str, error: ApproximationError, seconds: float, task: Mapping[str, Any]) -> dict[str, Any]:
    """A certificate as it is stored."""
    return {
        "id": run_id,
        "gap": task["gap"],
        "budget": task["budget"],
        "lower": float(error.sup[0]),
        "upper": float(error.sup[1]),
        "certified": bool(error.certified),
        "method": str(error.method),
        "share": float(error.share),
        "ended_by": error.ended_by,
        "where": [float(c) for c in error.where],
        "l2": float(error.l2),
        "l2_error": float(error.l2_error) if math.isfinite(error.l2_error) else None,
        "seconds": round(seconds, 4),
        "environment": environment(),
        "times": {"end": round(time.time(), 3)},
    }
