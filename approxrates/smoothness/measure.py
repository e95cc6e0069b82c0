"""The measurement: which order, which scales, which slope; and the warning where it contradicts a claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from approxrates.regularity import Regularity
from approxrates.smoothness import leaders, structure
from approxrates.smoothness.base import LEAST_SCALES, Floats, Method, SmoothnessMeasurement, slope, widened
from approxrates.smoothness.sampled import Sampled, sampled
from approxrates.target import Target

METHODS = ("structure", "leaders")
MOST_ORDER = 6
LEAST_POINTS = 32
ROOM = 0.5  # the order must exceed the slope by so much, or the next order is taken
_ROUNDING = 2.0**-50
_ONE_SIZE = ("single_scale", "needle")


def measure_smoothness(
    target: Target | Callable[[Floats], Any],
    method: Method = "structure",
    *,
    dim: int = 1,
    order: int | None = None,
    levels: int | None = None,
    noise: float = 0.0,
) -> SmoothnessMeasurement:
    r"""The uniform Hölder exponent of a function, measured; a check of a claim and not a proof.

    ``structure``: the slope of ``log max |Delta_h^o f|`` against ``log h``, the maximum sought on a grid and then
    between its nodes near the best place. ``leaders``: the slope of the largest wavelet leader against the scale, on
    the grid alone. Both see all of the cube in d = 1, 2; in d > 2 random segments, where roughness at single points is
    missed. Left out are the outermost scales, and sizes within a factor of 8 of the noise or 100 of rounding; structure
    functions use 7 octaves at the fine end of the rest. The order rises from 2 until it exceeds the slope by 1/2, at
    most to 6; a function that is smoother than can be seen is "at least" so smooth. For functions declared
    ``holder-log`` the root of ``log(1/h)`` is divided out.

    Args:
        target: A target, or a function ``(n, dim) -> (n,)``.
        method: ``structure`` or ``leaders``.
        dim: Dimension of a bare function; a target knows its own.
        order: Order of the differences, or vanishing moments; None chooses.
        levels: Grid cells have side ``2 ** -levels``; by default 16 in d = 1, 10 in d = 2, 13 on a segment.
        noise: Largest error of the values; float64 rounding is always counted.

    Returns:
        The measurement, with the interval and the scales used.

    Raises:
        TypeError: If target is not a target or a function.
        ValueError: For an unknown method, an order out of range, or too few scales above the noise.

    Example:
        >>> import numpy as np
        >>> found = measure_smoothness(lambda x: np.abs(x[:, 0] - 1 / 3) ** 0.5)
        >>> found.interval[0] < 0.5 < found.interval[1]
        True

    Reference:
        DeVore & Lorentz (1993), Constructive Approximation, chapter 2, for moduli; Jaffard (2004) for leaders.
    """
    known, goal = _goal(target, dim)
    _check(method, order, levels, noise)
    field = sampled(goal, levels)
    _enough(goal, field)
    if field is None:
        return _scattered(goal, known, method, noise)
    first, last = (2, MOST_ORDER) if order is None else (order, order)
    found: SmoothnessMeasurement | None = None
    for tried in range(first, last + 1):
        step = _measured(goal, known, method, field, tried, noise)
        if step is None:
            break
        found = step
        if not found.saturated:
            return found
    if found is None:
        raise ValueError(
            f"{goal.name} must show {LEAST_SCALES} scales above the noise. Got fewer. "
            "Give more points or levels, or a lower order."
        )
    return found


def _goal(target: Any, dim: int) -> tuple[Regularity | None, Target]:
    """What is declared, and the target to measure."""
    if isinstance(target, Target):
        return target.regularity, target
    if not callable(target):
        raise TypeError(f"target must be a Target or a function. Got {type(target).__name__}.")
    return None, Target.from_callable(target, Regularity(1.0, dim), name=getattr(target, "__name__", None))


def _check(method: Any, order: Any, levels: Any, noise: Any) -> None:
    """Arguments of a measurement."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Got {method!r}.")
    if order is not None and not (isinstance(order, int) and 1 <= order <= 10):
        raise ValueError(f"order must be a whole number from 1 to 10. Got order={order!r}. Leave it out.")
    if levels is not None and not (isinstance(levels, int) and 6 <= levels <= 20):
        raise ValueError(f"levels must be a whole number from 6 to 20. Got levels={levels!r}. Leave it out.")
    if not (isinstance(noise, (int, float)) and noise >= 0):
        raise ValueError(f"noise must be a number >= 0. Got noise={noise!r}.")


def _enough(goal: Target, field: Sampled | None) -> None:
    """Refuses data of too few points to show any scale."""
    count = field.n if field is not None else len(goal.samples[1]) if goal.samples is not None else 0
    if count < LEAST_POINTS:
        raise ValueError(
            f"{goal.name} must have at least {LEAST_POINTS} points along each axis. Got {count}. Give more data."
        )


def _corrected(declared: Regularity | None, steps: Floats, sizes: Floats) -> Floats:
    """Sizes without the logarithm that the declared class has."""
    if declared is None or declared.kind != "holder-log":
        return sizes
    return np.asarray(sizes / np.sqrt(np.log(1.0 / np.minimum(steps, 0.5))))


def _measured(
    goal: Target, known: Regularity | None, method: Method, field: Sampled, order: int, noise: float
) -> SmoothnessMeasurement | None:
    """The measurement at one order; None with too few scales above the noise."""
    peaks = None
    if method == "structure":
        steps, sizes, peaks = structure.structure_function(field, order, goal)
    else:
        steps, sizes = leaders.leader_function(field, order)
    height = float(np.max(np.abs(field.values)))
    loud = sizes > 2.0**order * (100.0 * _ROUNDING * height + 8.0 * noise)
    used = structure.chosen(steps, loud) if method == "structure" else leaders.chosen(loud, len(field.axes))
    if not np.any(sizes > 2.0**order * _ROUNDING * height):
        return _vanished(goal, known, method, order, steps, sizes)
    if used.sum() < LEAST_SCALES:
        return None
    if peaks is not None and (used & peaks.fitting(used, order)).sum() >= LEAST_SCALES:
        used = used & peaks.fitting(used, order)
    value, half = slope(steps[used], _corrected(known, steps, sizes)[used])
    saturated = value + half > order - ROOM
    interval = widened(value, half, method, goal.dim, saturated=saturated)
    return SmoothnessMeasurement(
        goal.name, method, value, interval, order, steps, sizes, used, goal.dim,
        along_lines=goal.dim > 2, one_size=_one_size(goal), declared=known,
    )  # fmt: skip


def _vanished(
    goal: Target, known: Regularity | None, method: Method, order: int, steps: Floats, sizes: Floats
) -> SmoothnessMeasurement:
    """A polynomial of degree below the order: all differences are rounding."""
    interval = (float(order), math.inf)
    used = np.zeros(len(steps), dtype=bool)
    return SmoothnessMeasurement(
        goal.name, method, float(order), interval, order, steps, sizes, used, goal.dim,
        along_lines=goal.dim > 2, one_size=_one_size(goal), declared=known,
    )  # fmt: skip


def _one_size(goal: Target) -> bool:
    """Whether a target is made of bumps of one size."""
    return goal.parameters.get("name") in _ONE_SIZE


def _scattered(goal: Target, known: Regularity | None, method: Method, noise: float) -> SmoothnessMeasurement:
    """Scattered data: the modulus over pairs, which sees smoothness up to 1."""
    if method == "leaders":
        raise ValueError(f"{goal.name} must lie on a uniform grid for leaders. Got scattered data. Use 'structure'.")
    assert goal.samples is not None, "called for data only"
    x, y = goal.samples
    steps, sizes = structure.pair_function(x, y)
    # In d dimensions n points are n^(-1/d) apart: closer pairs are too few to show the largest change.
    used = (steps <= steps[0] / 2) & (steps >= 3.0 * len(x) ** (-1.0 / goal.dim)) & (sizes > 8.0 * noise)
    if used.sum() < LEAST_SCALES:
        raise ValueError(
            f"{goal.name} must show {LEAST_SCALES} scales above the noise. Got {int(used.sum())}, of {len(x)} points. "
            "Give more points, or points on a uniform grid."
        )
    value, half = slope(steps[used], sizes[used])
    saturated = value > 1.0 - 0.15
    interval = widened(value, half, method, goal.dim, saturated=saturated)
    return SmoothnessMeasurement(goal.name, method, value, interval, 1, steps, sizes, used, goal.dim, declared=known)


def smoothness_warning(target: Target) -> str | None:
    """One sentence if the declared smoothness of a target and its measured one disagree, else None.

    A claim that cannot be measured (too few data, a class that is no Hölder class) gives no warning.

    Args:
        target: The target.
    """
    try:
        found = measure_smoothness(target)
    except ValueError:
        return None
    if found.agrees is not False:
        return None
    if found.interval[0] > target.regularity.smoothness:  # the claim is sharp, or it would agree
        advice = "Rates above r/d would then say nothing; declare the larger r if it is known."
    else:
        advice = "Rates below r/d would then be no surprise; check the claim."
    return f"{found.sentence} {advice}"
