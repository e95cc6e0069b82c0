"""What a reference method declares of itself, and the checks that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.approximant import Approximant

Array = NDArray[np.float64]


def no_options() -> None:
    """The check of a method that takes no options."""


@dataclass(frozen=True)
class Method:
    """A classical method of approximation, made by library code and counted like a network.

    Attributes:
        name: What ``approximate`` knows it by.
        statement: What is known about it.
        reference: Author, year, place.
        rate_law: The declared error law in ``n_params``, for people.
        count_law: What is counted, for people.
        dims: Input dimensions that it is built for; None for all.
        least: Smallest ``n_params`` by dimension.
        most: Largest ``n_params``; more takes too much time or memory.
        rate: Declared exponent ``p`` of ``error ~ n_params**-p``: ``(smoothness, dim, **options) -> p`` for the
            functions that ``rate_law`` names; ``inf`` if the error falls faster than any power, NaN if no law is known.
        build: ``(target, n_params, **options) -> Approximant``, with the largest count up to ``n_params``.
        check: Takes the options by keyword and raises for those that are out of range; its parameters are their names.
        takes_data: Whether a target known at data points can be fitted.
    """

    name: str
    statement: str
    reference: str
    rate_law: str
    count_law: str
    dims: tuple[int, ...] | None
    least: Callable[[int], int]
    most: int
    rate: Callable[..., float]
    build: Callable[..., Approximant]
    check: Callable[..., None] = no_options
    takes_data: bool = False


def check_number(name: str, value: Any, low: float, high: float, example: str) -> None:
    """A number in ``[low, high]``.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number. Got {value!r}. Write e.g. {example}.")
    if not low <= value <= high or not math.isfinite(value):
        raise ValueError(f"{name} must be from {low:g} to {high:g}. Got {name}={value}. Write e.g. {example}.")


def check_seed(value: Any) -> None:
    """A whole number that is not negative.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"seed must be an integer. Got {value!r}. Write e.g. seed=0.")
    if not 0 <= value < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1. Got seed={value}. Write e.g. seed=0.")


def root(n: int, dim: int) -> int:
    """Largest integer whose ``dim``-th power is at most ``n``."""
    found: int = round(n ** (1.0 / dim))
    while found**dim > n:
        found -= 1
    while (found + 1) ** dim <= n:
        found += 1
    return found


def tensor(axis: Array, dim: int) -> Array:
    """The tensor grid of an axis, shape ``(len(axis)**dim, dim)``, first coordinate slowest."""
    result: Array = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return result
