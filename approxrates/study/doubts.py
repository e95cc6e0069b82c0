"""Doubts about what a user claims: declared smoothness that the function contradicts, told before any training."""

from __future__ import annotations

from collections.abc import Iterable

from approxrates.smoothness import smoothness_warning
from approxrates.target import Target


def doubts(targets: Iterable[Target]) -> tuple[str, ...]:
    """Notes on functions and data whose declared and measured smoothness disagree.

    Targets of the catalogue are left out: their smoothness is proven.

    Args:
        targets: Targets of a study; equal ones are measured once.
    """
    own = {t.key: t for t in targets if "callable" in t.parameters or "data" in t.parameters}
    return tuple(note for note in map(smoothness_warning, own.values()) if note is not None)
