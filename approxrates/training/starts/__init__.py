"""Where training starts: random weights, or a network built to equal an approximation that is known to be good."""

from __future__ import annotations

from approxrates.training.starts.base import Standardised, Start
from approxrates.training.starts.classic import kaiming_start, normal_start, torch_start
from approxrates.training.starts.constructive import constructive_start
from approxrates.training.starts.random import random_start

__all__ = ["STARTS", "Standardised", "Start", "constructive_start", "get_start", "random_start"]

STARTS: dict[str, Start] = {
    "random": random_start,
    "constructive": constructive_start,
    "kaiming": kaiming_start,
    "normal": normal_start,
    "torch": torch_start,
}


def get_start(name: str) -> Start:
    """The start of this name.

    Raises:
        ValueError: For an unknown name.
    """
    if name not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}. Got {name!r}.")
    return STARTS[name]
