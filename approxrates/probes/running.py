"""Runs a probe: cells through an engine into the store, list after list, resumed by replay."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approxrates import store
from approxrates.engines import InlineEngine, LocalEngine
from approxrates.execution import lost_row, one_torch_thread, row_of, segment, sentence
from approxrates.probes.base import Metrics, Probe, Spec
from approxrates.probes.registry import get_probe
from approxrates.study.batches import Run
from approxrates.study.driving import Drive
from approxrates.study.progress import Listener
from approxrates.study.tail import Tail

RUN_CELLS = "approxrates.probes.running:run_cells"


def run_cells(text: str) -> str:
    """Does cells and appends their rows to this process's segment; what happens inside a cell is a row.

    Args:
        text: JSON: ``folder`` and ``runs``, a list of ``{"id", "spec", "attempt"}``.

    Returns:
        JSON: ``{"runs": [{"id", "status", "error"}]}``.

    Raises:
        OSError: If the rows cannot be written.
    """
    batch = json.loads(text)
    answers = []
    for run in batch["runs"]:
        begin = time.time()
        probe = get_probe(run["spec"]["probe"])
        with one_torch_thread():
            try:
                outcome = {"status": "ok", "metrics": probe.cell(dict(run["spec"]["cell"])), "error": None}
                json.dumps(outcome, default=_refuse)
            except Exception as problem:  # a cell that breaks is a result
                outcome = {"status": "failed", "metrics": {}, "error": sentence(problem)}
        row = row_of({**run, "plan": ""}, outcome, begin, time.time())
        segment(batch["folder"]).append([row])
        answers.append({"id": row["id"], "status": row["status"], "error": row["error"]})
    return json.dumps({"runs": answers})


def _refuse(value: Any) -> Any:
    """Numpy's scalars are taken; anything else that JSON does not know is an error of the probe."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"metrics must be plain data. Got {type(value).__name__}.")


@dataclass
class Sweep:
    """The cells of a probe, done or to be done.

    Attributes:
        probe: The probe.
        settings: Its settings.
        folder: Where the cells are stored.
        listener: Told of every cell.
        workers: Worker processes.
        retry_failed: Do failed and lost cells again.
    """

    probe: Probe
    settings: Any
    folder: Path
    listener: Listener
    workers: int = 1
    retry_failed: bool = False

    def run(self) -> list[Run]:
        """Does all cells that are not stored; returns all, in the order of the plan."""
        engine = LocalEngine(self.workers) if self.workers > 1 else InlineEngine()
        try:
            return self._replay(engine)
        except BaseException:
            engine.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            getattr(self.listener, "close", lambda: None)()
            engine.shutdown(wait=True)

    def stored(self) -> list[Run]:
        """The cells of the plan as far as the store can answer it."""
        return self._replay(None)

    def _replay(self, engine: Executor | None) -> list[Run]:
        """Goes through the plan; what is not stored is done, or ends it without an engine."""
        plan, tried = self.probe.plan(self.settings), set[str]()
        done: list[Run] = []
        answers: list[Metrics | None] | None = None
        while True:
            try:
                specs = next(plan) if answers is None else plan.send(answers)
            except StopIteration:
                return list({run.id: run for run in done}.values())
            runs = [self._cell(spec) for spec in specs]
            rows = store.read(self.folder).rows
            if engine is not None:
                again = ("failed", "lost") if self.retry_failed else ()
                todo = [
                    self._next_attempt(run, rows)
                    for run in {run.id: run for run in runs}.values()
                    if run.id not in tried and (run.id not in rows or rows[run.id]["status"] in again)
                ]
                tried |= {run.id for run in todo}
                self._drive(engine, todo, len(done) + len(runs) - len(todo))
                rows = store.read(self.folder).rows if todo else rows
            elif any(run.id not in rows for run in runs):
                return list({run.id: run for run in [*done, *(r for r in runs if r.id in rows)]}.values())
            done += runs
            answers = [_answer(rows.get(run.id)) for run in runs]

    def _cell(self, spec: Spec) -> Run:
        """A cell with its identity."""
        whole = {"probe": self.probe.name, "recipe": self.probe.recipe, "cell": json.loads(store.canonical(spec))}
        return Run(store.digest(whole), whole)

    def _next_attempt(self, run: Run, rows: Any) -> Run:
        """The cell with its attempt counted on."""
        before = int(rows[run.id].get("attempt", 1)) if run.id in rows else 0
        return Run(run.id, run.spec, "", before + 1)

    def _drive(self, engine: Executor, todo: Sequence[Run], done: int) -> None:
        """Does some cells, the longest first."""
        if not todo:
            return
        drive = Drive(
            self.probe.name, self.folder, engine, self.workers, {}, total=done + len(todo), done=done,
            listener=self.listener, write_lost=self._write_lost, tail=Tail(self.folder), keep="none", task=RUN_CELLS,
            seconds_of=self._seconds,
        )  # fmt: skip
        try:
            drive.run(sorted(([run] for run in todo), key=lambda one: -self._seconds(one)))
        except KeyboardInterrupt:
            self.listener(drive.interrupted())
            raise

    def _seconds(self, batch: Sequence[Run]) -> float:
        """Rough CPU seconds of cells."""
        return sum(self.probe.seconds(dict(run.spec["cell"])) for run in batch)

    def _write_lost(self, run: Run, deaths: int) -> None:
        """Writes the row of a cell that is given up."""
        segment(self.folder).append([lost_row({"id": run.id, "spec": run.spec, "attempt": run.attempt}, deaths)])


def _answer(row: Any) -> Metrics | None:
    """The metrics of a stored row; None if the cell failed."""
    if row is None or row["status"] != "ok":
        return None
    return {name: value for name, value in row["metrics"].items() if name != "plan"}
