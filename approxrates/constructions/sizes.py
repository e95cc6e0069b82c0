"""Sizes of constructions: the largest one whose count fits under a limit, with the same messages everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def check_integer(what: str, value: Any, least: int = 1) -> int | None:
    """A size as an int, None if it is not given.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is below ``least``.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer. Got {value!r}. Write e.g. {what}={max(least, 8)}.")
    if value < least:
        raise ValueError(f"{what} must be at least {least}. Got {what}={value}. Write e.g. {what}={max(least, 8)}.")
    return int(value)


def check_fine_steps(name: str, cells: int, steps: int, most: int) -> None:
    """Refuse sizes whose encoding would take hours or more memory than there is.

    Raises:
        ValueError: If ``cells * steps`` is above ``most``.
    """
    if cells * steps > most:
        raise ValueError(
            f"cells * steps must be at most {most} for {name}. Got {cells} * {steps}. "
            "Use a lower limit, or give cells and steps."
        )


def choose_size(
    name: str,
    n_params: int | None,
    size: int | None,
    size_name: str,
    count: Callable[[int], int],
    *,
    least: int = 1,
    most: int | None = None,
) -> int:
    """The size that was asked for, or the largest one with at most ``n_params`` weights.

    Args:
        name: The construction, for messages.
        n_params: Upper limit on weights, or None.
        size: The size, or None.
        size_name: What the size is called.
        count: Weights of a size; increasing.
        least: Smallest size.
        most: Largest size, None if there is none.

    Raises:
        TypeError: If a number is no integer.
        ValueError: If neither is given, the size is out of range, or the limit is too small (saying the least).
    """
    limit, chosen = check_integer("n_params", n_params), check_integer(size_name, size, least)
    if limit is None and chosen is None:
        raise ValueError(f"{name} needs n_params or {size_name}. Got neither. Write e.g. n_params=500.")
    if chosen is not None and most is not None and chosen > most:
        raise ValueError(f"{size_name} must be at most {most} for {name}. Got {size_name}={chosen}. Use {most}.")
    smallest = count(least if chosen is None else chosen)
    if limit is not None and limit < smallest:
        what = f"{size_name}={least if chosen is None else chosen}"
        raise ValueError(
            f"n_params must be at least {smallest} for {name} with {what}. Got n_params={limit}. "
            f"Use n_params={smallest} or more."
        )
    if chosen is not None or limit is None:
        return int(chosen or least)
    return _largest(limit, count, least, most)


def _largest(limit: int, count: Callable[[int], int], least: int, most: int | None) -> int:
    """The largest size whose count is at most the limit, by doubling and bisection."""
    low, high = least, 2 * least
    while (most is None or high <= most) and count(high) <= limit:
        low, high = high, 2 * high
    if most is not None and high > most:
        if count(most) <= limit:
            return most
        high = most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= limit else (low, middle)
    return low
