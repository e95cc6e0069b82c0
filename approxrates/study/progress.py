"""Progress of a study: a bar on a terminal, plain lines where the output is piped, or whatever the caller wants."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PLAIN_SECONDS = 15.0
PLAIN_SHARE = 0.10


@dataclass(frozen=True)
class Progress:
    """Where a study stands.

    Attributes:
        study: Name of the study.
        done: Runs stored, those of earlier sessions included.
        total: Runs of the study.
        failed: Runs of this session that failed, diverged or were lost.
        seconds: Wall seconds of this session.
        left: Rough wall seconds to go, or None while unknown.
        message: A sentence about a run that failed, else empty.
    """

    study: str
    done: int
    total: int
    failed: int
    seconds: float
    left: float | None
    message: str = ""


Listener = Callable[[Progress], None]


def listener(progress: bool | Listener | None) -> Listener:
    """The listener for the ``progress`` argument of a run.

    None or True shows progress, False is silent, a callable gets each state.

    Raises:
        TypeError: For anything else.
    """
    if progress is False:
        return lambda state: None
    if progress is None or progress is True:
        return Bar() if sys.stderr.isatty() else Lines()
    if callable(progress):
        return progress
    raise TypeError(f"progress must be None, True, False or a function of a Progress. Got {progress!r}.")


@dataclass
class Lines:
    """Plain lines on stderr: at both ends, every tenth of the way or quarter of a minute, and for each failure."""

    _done: int = -1
    _when: float = field(default_factory=time.monotonic)

    def __call__(self, state: Progress) -> None:
        """Prints a line if it is time for one."""
        if state.message:
            print(state.message, file=sys.stderr, flush=True)
        far = state.done - self._done >= PLAIN_SHARE * state.total
        late = time.monotonic() - self._when >= PLAIN_SECONDS
        if state.done != self._done and (self._done < 0 or far or late or state.done == state.total):
            self._done, self._when = state.done, time.monotonic()
            print(_text(state), file=sys.stderr, flush=True)


@dataclass
class Bar:
    """A bar on the terminal; failures scroll above it."""

    _bar: Any = None
    _task: Any = None

    def __call__(self, state: Progress) -> None:
        """Moves the bar; takes it down at the end."""
        from rich import progress
        from rich.console import Console

        if self._bar is None:
            columns = (
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[left]}"),
            )
            self._bar = progress.Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(state.study, total=state.total, completed=state.done, left="")
            self._bar.start()
        if state.message:
            self._bar.console.print(state.message, highlight=False, markup=False)
        failed = f"{state.failed} failed  " if state.failed else ""
        left = (
            f"about {_duration(state.left)} left"
            if state.left is not None and state.done < state.total
            else _duration(state.seconds)
        )
        self._bar.update(self._task, completed=state.done, left=failed + left)
        if state.done >= state.total:
            self.close()

    def close(self) -> None:
        """Takes the bar down, so that the terminal is whole after an interrupt."""
        if self._bar is not None:
            self._bar.stop()


def _text(state: Progress) -> str:
    """One line for a state."""
    failed = f", {state.failed} failed" if state.failed else ""
    left = f", about {_duration(state.left)} left" if state.left is not None and state.done < state.total else ""
    return f"{state.study}: {state.done} of {state.total} runs{failed}, {_duration(state.seconds)}{left}"


def _duration(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> _duration(3.2), _duration(185), _duration(7300)
        ('3 s', '3 min 05 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
