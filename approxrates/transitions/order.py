r"""The order of a transition, from sweeps of its control up and down on grids that become finer.

A grid shows a jump everywhere: what tells a discontinuity is that the jump stays when the grid is refined, and what
tells a first-order transition from a steep crossover narrower than the finest grid is that going back takes another
way.

**The jump that survives.** Let ``w(d)`` be the largest change of the order parameter over a distance ``d`` of the
control. Where the order parameter is continuous and varies no faster than a square root, ``w(4 d) >= 2 w(d)`` up to the
phase of the grid; a jump of size ``J`` on top gives ``2 w(d) - w(4 d) -> J``. This number, on the finest grid, is the
surviving jump: at most zero for kinks, square roots and resolved crossovers, ``J`` for discontinuities.

**Hysteresis.** The distance between where order is lost going up and where it comes back going down, with the interval
that the two grid brackets leave.

Verdicts: ``"first order"`` if the surviving jump exceeds noise and the smallest share of the range that is called a
jump, *and* hysteresis is proven to be wider than a step of the finest grid. ``"second order"`` if the jump does not
survive, shrinks on refining, the order parameter vanishes, and hysteresis is at most a step of the coarse grid: no jump
larger than the change over the finest step, ``jumps[2]``, can hide there, a smaller one can. Anything else is
``"undecided"``, with reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from approxrates.transitions.changepoints import largest_step
from approxrates.transitions.location import Located, as_series, vanishing

Floats = NDArray[np.float64]
Series = tuple[ArrayLike, ArrayLike]

FIRST, SECOND, UNDECIDED = "first order", "second order", "undecided"

FLOOR_SHARE = 1e-3
"""Order parameters up to this share of their largest value count as zero."""
JUMP_SHARE = 5e-3
"""Least surviving jump, as a share of the range, that is called one."""
NOISE_FACTOR = 8.0
"""Least surviving jump in deviations of the noise between neighbouring points."""
SHRINKS = 0.6
"""A jump shrinks if refining by 16 leaves at most this share: square roots leave a quarter, up to the grid's phase."""


@dataclass(frozen=True)
class OrderVerdict:
    """What the sweeps say about the order.

    Attributes:
        verdict: ``"first order"``, ``"second order"`` or ``"undecided"``.
        reasons: A sentence for each thing that was looked at.
        jumps: Largest change of the order parameter over one step of the grid, its refinement by 4, by 16.
        surviving: The jump that is left in the limit of fine grids, see the module.
        noise: Deviation between neighbouring points on the finest grid.
        lost: Where order is lost on the way up.
        regained: Where it comes back on the way down.
        hysteresis: Distance between the two, with its interval; infinite upper end if order never comes back.
    """

    verdict: str
    reasons: tuple[str, ...]
    jumps: tuple[float, float, float]
    surviving: float
    noise: float
    lost: Located
    regained: Located
    hysteresis: Located


def decide_order(up: Sequence[Series], down: Sequence[Series]) -> OrderVerdict:
    """Order of the transition at which an order parameter is lost as the control rises.

    Args:
        up: Sweep on the way up: the whole range on the coarse grid; a window of at least three coarse steps about the
            transition on a grid refined by 4; a window of at least three of its steps refined by 16. Each as
            ``(control, values)``, shape ``(n,)``.
        down: The same three on the way down, in windows about where order comes back; or the coarse sweep alone.

    Returns:
        Verdict, reasons and all the numbers behind them.

    Raises:
        ValueError: If ``up`` has not three grids, each about four times as fine as the one before, or ``down`` none.
    """
    levels = [as_series(*series) for series in up]
    back = [as_series(*series) for series in down]
    steps = [float(np.median(np.diff(x))) for x, _ in levels]
    if len(levels) != 3 or not back or not (2 < steps[0] / steps[1] < 8 and 2 < steps[1] / steps[2] < 8):
        raise ValueError(
            "decide_order needs the upward sweep on three grids, each refined by about 4, and the downward one. Got "
            f"steps {[f'{step:.3g}' for step in steps]} up and {len(back)} grids down."
        )
    noise = roughness(levels[2][1])
    size = float(np.max(np.abs(levels[0][1])))
    floor = max(FLOOR_SHARE * size, NOISE_FACTOR * noise)
    jumps = (
        largest_change(*levels[1], steps[0]),
        largest_change(*levels[2], steps[1]),
        largest_change(*levels[2], steps[2]),
    )
    lost, regained = _finest([vanishing(x, y, floor) for x, y in levels]), _finest(
        [vanishing(x, y, floor) for x, y in back]
    )  # fmt: skip
    return _judged(jumps, noise, size, steps, lost, regained)


def largest_change(control: ArrayLike, values: ArrayLike, distance: float) -> float:
    """Largest change of a series between two points at most ``distance`` apart (to a part in a thousand)."""
    x, y = as_series(control, values)
    near = np.abs(x[:, None] - x[None, :]) <= 1.001 * distance
    return float(np.max(np.where(near, np.abs(y[:, None] - y[None, :]), 0.0)))


def roughness(values: ArrayLike) -> float:
    """Deviation of independent noise on a smooth series, from the median second difference; a jump does not count."""
    bends = np.abs(np.diff(np.asarray(values, dtype=np.float64), n=2))
    return float(np.median(bends)) / (0.6745 * np.sqrt(6)) if len(bends) else 0.0


def refined(control: ArrayLike, bracket: Located, by: int = 4, margin: int = 1) -> Floats:
    """A grid ``by`` times as fine over a bracket and ``margin`` steps of the present grid on either side.

    Args:
        control: The present grid, evenly spaced, shape ``(n,)``.
        bracket: Neighbouring points of it; an open end is put at the end of the grid.
        by: Refinement.
        margin: Steps on either side, cut at the ends of the grid.

    Returns:
        Ascending, ends included.
    """
    x = np.sort(np.asarray(control, dtype=np.float64))
    step = float(np.median(np.diff(x)))
    low = max(x[0], max(bracket.low, x[0]) - margin * step)
    high = min(x[-1], min(bracket.high, x[-1]) + margin * step)
    return np.linspace(low, high, max(2, round((high - low) / step * by) + 1))


def transition_bracket(control: ArrayLike, values: ArrayLike) -> Located:
    """Where to refine: the step in which an order parameter vanishes; if it never does, the step of greatest change."""
    x, y = as_series(control, values)
    floor = max(FLOOR_SHARE * float(np.max(np.abs(y))), NOISE_FACTOR * roughness(y))
    place = vanishing(x, y, floor)
    return place if place.found else largest_step(x, y)


def _finest(places: Sequence[Located]) -> Located:
    """The position on the finest grid that brackets it."""
    closed = [place for place in places if place.found]
    return closed[-1] if closed else places[0]


def _judged(
    jumps: tuple[float, float, float], noise: float, size: float, steps: Sequence[float], lost: Located, back: Located
) -> OrderVerdict:
    """The verdict from all the numbers."""
    surviving = 2 * jumps[2] - jumps[1]
    least = max(JUMP_SHARE * size, NOISE_FACTOR * noise)
    survives, shrinks = surviving > least, jumps[2] < SHRINKS * jumps[0] or jumps[2] <= least
    never = not np.isfinite(back.low)
    gap = Located(lost.value - back.value, lost.low - back.high, lost.high - (0.0 if never else back.low))
    if never:
        gap = Located(gap.value, gap.low, float("inf"))
    proven, closed = gap.low > steps[2], gap.low <= steps[0] and gap.value <= 1.001 * steps[0]
    reasons = [
        f"largest change over a step {jumps[0]:.3g}, refined by 4 {jumps[1]:.3g}, by 16 {jumps[2]:.3g}: "
        + (f"a jump of {surviving:.3g} survives" if survives else f"none survives, and any is below {jumps[2]:.3g}"),
        "order does not come back on the way down"
        if never
        else f"hysteresis {gap.value:.3g} [{gap.low:.3g}, {gap.high:.3g}], steps {steps[0]:.3g} and {steps[2]:.3g}",
    ]
    if not lost.found:
        reasons.append("the order parameter does not vanish within the sweep")
    if survives and not proven:
        reasons.append("without hysteresis a crossover narrower than the finest grid is not excluded")
    if not survives and not shrinks:
        reasons.append("the change neither survives as a jump nor shrinks")
    verdict = UNDECIDED
    if survives and proven and lost.found:
        verdict = FIRST
    elif not survives and shrinks and closed and lost.found:
        verdict = SECOND
    return OrderVerdict(verdict, tuple(reasons), jumps, surviving, noise, lost, back, gap)
