"""What engines share: the call that goes over the wire, and the one thing that can go wrong with a worker."""

from __future__ import annotations

import importlib


class WorkerDied(RuntimeError):
    """The worker process of a task was killed or crashed; the task was the only one it had."""


def call(name: str, text: str) -> str:
    """Calls the module-level function ``"module:function"`` with a text and returns its text.

    This is the only function an engine runs: it can be found by name on any machine that has the package, and strings
    need no agreement on classes.

    Raises:
        TypeError: If the function does not return a text.
    """
    module, _, function = name.partition(":")
    answer = getattr(importlib.import_module(module), function)(text)
    if not isinstance(answer, str):
        raise TypeError(f"{name} must return a str. Got {type(answer).__name__}.")
    return answer
