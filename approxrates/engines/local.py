"""The local engine: worker processes of this machine, one torch thread each.

Every worker is a process pool of one, so that the death of a worker points at one task. Workers are forked from a
server that has torch loaded, and are made again when they die. They never run the user's script: it may start a study
without a ``__name__`` guard, or come from standard input. They die with the driver, however it dies: a thread in each
waits for the pipe to the driver to close; with the last worker the fork server ends, and with it the resource tracker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

from approxrates.engines.base import WorkerDied

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PRELOAD = ["torch", "approxrates.execution"]
_START_ATTEMPTS = 3
_starting = threading.Lock()


class InlineEngine(Executor):
    """Runs each task in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of a call; an interrupt goes through to the caller."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


class LocalEngine(Executor):
    """An executor of ``workers`` processes that outlives them.

    A task whose worker dies ends in :class:`WorkerDied`; the others are not touched, and the next task gets a new
    worker.

    Args:
        workers: Number of worker processes, at least 1.

    Raises:
        TypeError: If ``workers`` is not an integer.
        ValueError: If it is below 1.
    """

    def __init__(self, workers: int) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int):
            raise TypeError(f"workers must be an integer. Got {workers!r}. Write e.g. workers=2.")
        if workers < 1:
            raise ValueError(f"workers must be at least 1. Got workers={workers}. Write e.g. workers=2.")
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="approxrates-worker")
        self._own = threading.local()
        self._pools: dict[ProcessPoolExecutor, int] = {}
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return tuple(self._pools.values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs ``fn`` in a worker as soon as one is free."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Hands one task to this thread's worker and waits for it."""
        pool = getattr(self._own, "pool", None)
        try:
            if pool is None:
                self._own.pool = pool = self._new_pool()
            if self._closed:
                raise WorkerDied("the engine is shut down")
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            self._own.pool = None
            if pool is not None:
                self._pools.pop(pool, None)
                pool.shutdown(wait=False)
            raise WorkerDied("the worker process died (killed, out of memory, or crashed)") from None

    def _new_pool(self) -> ProcessPoolExecutor:
        """A pool of one fresh worker.

        Raises:
            RuntimeError: If workers die again and again while they start: that is no fault of the task.
        """
        for _ in range(_START_ATTEMPTS):
            pool = ProcessPoolExecutor(1, mp_context=_context(), initializer=_begin, initargs=(list(sys.path),))
            try:
                with _starting, _no_main_module(), _one_thread_each():
                    self._pools[pool] = pool.submit(os.getpid).result()
            except BrokenProcessPool:
                pool.shutdown(wait=False)
            else:
                return pool
        raise RuntimeError("a worker process could not be started. Try workers=1, which stays in this process.")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers; with ``cancel_futures`` also what they are doing."""
        if cancel_futures:
            self._closed = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._closed = True
        for pool in list(self._pools):
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._pools.clear()


def _context() -> Any:
    """Fork server with torch loaded; where there is none (Windows), fresh processes."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hides the script while a worker starts: multiprocessing would run it there again, and the study with it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What the fork server loads must see these variables before it starts; the driver keeps its own."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(path: list[str]) -> None:
    """First act of a worker: die with the driver, leave interrupts to it, find the same modules, use one thread."""
    threading.Thread(target=_die_with_driver, name="watch-driver", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = path
    import torch

    torch.set_num_threads(1)


def _die_with_driver() -> None:
    """Waits for the end of the driver, then ends this process at once: its finished rows are on the disk already."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
