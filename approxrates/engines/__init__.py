"""Where batches are computed.

Engines are executors with PEP 3148's ``submit(fn, *args) -> Future``, over whose wire only strings go. Any executor
will do for :func:`call` (a process pool, Dask's ``client.get_executor()``); :class:`LocalEngine` is the one that
survives the death of its workers and leaves no process behind.
"""

from approxrates.engines.base import WorkerDied, call
from approxrates.engines.local import InlineEngine, LocalEngine

__all__ = ["InlineEngine", "LocalEngine", "WorkerDied", "call"]
