"""Drives the batches of a study through an engine, to the end, whatever happens to the workers."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from approxrates import store
from approxrates.engines import InlineEngine, WorkerDied, call
from approxrates.study.batches import Run, batch_seconds
from approxrates.study.progress import Listener, Progress
from approxrates.study.tail import Tail

MAX_DEATHS = 3
IN_FLIGHT_PER_WORKER = 4
_NO_ROW = {"attempt": 0}
RUN_BATCH = "approxrates.execution:run_batch"


class StudyStopped(RuntimeError):
    """A study was to stop at the first run that fails, and one did; what is done is stored."""


@dataclass
class Drive:
    """One session of a study.

    Attributes:
        name: Name of the study.
        folder: Results folder.
        engine: Executor that takes the batches.
        workers: Number of its workers.
        sources: By target key, where another process takes a target from.
        total: Runs of the study.
        done: Runs stored so far.
        listener: Told of every batch and every failure.
        write_lost: Writes the row of a run that is given up, given the run and the number of deaths.
        keep: Which weights to keep: ``"best"``, ``"all"`` or ``"none"``.
        curves: Whether to keep the loss curve of every replica.
        fail_fast: Stop at the first run that fails or is lost.
        tail: Rows that appear in the store meanwhile: those of another process are not done again here.
        task: The function that does a batch, as ``"module:function"``.
        seconds_of: Rough CPU seconds of a batch.
    """

    name: str
    folder: Path
    engine: Executor
    workers: int
    sources: Mapping[str, Any]
    total: int
    done: int
    listener: Listener
    write_lost: Callable[[Run, int], None]
    tail: Tail
    keep: str = "best"
    curves: bool = False
    fail_fast: bool = False
    task: str = RUN_BATCH
    seconds_of: Callable[[Sequence[Run]], float] = batch_seconds
    failed: int = 0
    _deaths: Counter[str] = field(default_factory=Counter)
    _begin: float = field(default_factory=time.monotonic)
    _work_done: float = 0.0
    _work: float = 0.0

    def run(self, batches: Sequence[list[Run]]) -> None:
        """Does all batches.

        Raises:
            StudyStopped: If ``fail_fast`` is set and a run fails.
            OSError: If a worker cannot write its rows or weights.
        """
        queue = deque(batches)
        flight: dict[Future[str], list[Run]] = {}
        self._work = sum(map(self.seconds_of, batches))
        most = 1 if isinstance(self.engine, InlineEngine) else IN_FLIGHT_PER_WORKER * self.workers
        self._tell()
        while queue or flight:
            while queue and len(flight) < most:
                batch = self._without_stored(self._next(queue))
                if not batch:
                    continue
                flight[self.engine.submit(call, self.task, self._message(batch))] = batch
            finished, _ = wait(flight, return_when=FIRST_COMPLETED)
            for future in finished:
                batch = flight.pop(future)
                try:
                    answer = json.loads(future.result())
                except (WorkerDied, BrokenExecutor):
                    queue.extendleft(self._after_death(batch))
                else:
                    self._settle(batch, answer["runs"])

    def _next(self, queue: deque[list[Run]]) -> list[Run]:
        """The next batch: the longest, or any if another process does this study too, so that they keep apart."""
        if self.tail.others:
            queue.rotate(-random.randrange(len(queue)))  # the order of work; no number depends on it
        return queue.popleft()

    def _without_stored(self, batch: list[Run]) -> list[Run]:
        """A batch less the runs that another process has stored since this session began."""
        self.tail.look()
        found = {r.id: self.tail.rows[r.id] for r in batch if self.tail.rows.get(r.id, _NO_ROW)["attempt"] >= r.attempt}
        there = [r for r in batch if r.id in found]
        if there:
            self._settle(there, list(found.values()))
        left = [r for r in batch if r.id not in found]
        self.tail.mine.update((r.id, r.attempt) for r in left)
        return left

    def _message(self, batch: Sequence[Run]) -> str:
        """A batch as text."""
        known = {run.target_key for run in batch} if self.sources else set()
        sources = {key: self.sources[key] for key in known if self.sources.get(key)}
        runs = [{"id": r.id, "spec": r.spec, "plan": r.plan, "attempt": r.attempt} for r in batch]
        message = {"folder": str(self.folder), "keep": self.keep, "curves": self.curves}
        return json.dumps(message | {"sources": sources, "runs": runs})

    def _settle(self, batch: Sequence[Run], answers: Sequence[Mapping[str, Any]]) -> None:
        """Counts a finished batch and tells of what went wrong in it."""
        self._work_done += self.seconds_of(batch)
        for answer in answers:
            self.done += 1
            if answer["status"] != "ok":
                self.failed += 1
                self._tell(f"run {answer['id'][:12]} {answer['status']}: {answer['error']}")
                if self.fail_fast and answer["status"] != "diverged":
                    raise StudyStopped(
                        f"run {answer['id'][:12]} {answer['status']}: {str(answer['error']).rstrip('.')}. Stopped by "
                        "fail_fast; what is done is stored."
                    )
        self._tell()

    def _after_death(self, batch: list[Run]) -> list[list[Run]]:
        """What is left to do of a batch whose worker died.

        Its rows may have been written just before. A batch of many is halved, and nobody is charged; a run that was
        alone is charged, and given up after three deaths.
        """
        stored = store.read(self.folder).rows
        here = [r for r in batch if r.id in stored and int(stored[r.id].get("attempt", 1)) >= r.attempt]
        if here:
            self._settle(here, [{k: stored[r.id].get(k) for k in ("id", "status", "error")} for r in here])
        left = [r for r in batch if r not in here]
        if len(left) > 1:
            return [left[len(left) // 2 :], left[: len(left) // 2]]
        if left and len(batch) == 1:
            self._deaths[left[0].id] += 1
            if self._deaths[left[0].id] >= MAX_DEATHS:
                self.write_lost(left[0], MAX_DEATHS)
                self._settle(
                    left, [{"id": left[0].id, "status": "lost", "error": f"its worker died {MAX_DEATHS} times"}]
                )
                return []
        return [left] if left else []

    def interrupted(self) -> Progress:
        """The state to tell after an interrupt, with how to go on."""
        message = (
            f"Stopped: {self.done} of {self.total} runs are stored in {self.folder}. Start it again to do the rest."
        )
        return Progress(self.name, self.done, self.total, self.failed, time.monotonic() - self._begin, None, message)

    def _tell(self, message: str = "") -> None:
        """Tells the listener how things stand."""
        seconds = time.monotonic() - self._begin
        left = seconds * (self._work - self._work_done) / self._work_done if self._work_done > 0 else None
        self.listener(Progress(self.name, self.done, self.total, self.failed, seconds, left, message))
