"""What sweeps of the penalty say: order, critical point, spinodal, detectors; onset along training; maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.probes.ersoy2025_l2_cells import ALIVE
from approxrates.probes.ersoy2025_l2_settings import observe
from approxrates.theory import l2_transitions as theory
from approxrates.transitions import (
    Agreement,
    Located,
    OrderVerdict,
    agreement,
    at_position,
    combined,
    compressed,
    crossing,
    decide_order,
    largest_step,
    nearest_to_zero,
    two_lines,
    vanishing,
)

if TYPE_CHECKING:
    import pandas as pd

    from approxrates.boundary import BoundaryMap
    from approxrates.probes.ersoy2025_l2_settings import L2Settings

F64 = NDArray[np.float64]
Row = Mapping[str, Any]


def rows_of(frame: pd.DataFrame, kind: str, **wanted: Any) -> list[dict[str, Any]]:
    """Cells of a kind that were done, those with given entries, by seed."""
    if not len(frame) or "kind" not in frame:
        return []
    rows = frame[(frame["kind"] == kind) & (frame["status"] == "ok")].to_dict("records")
    return [
        {str(name): value for name, value in row.items()}
        for row in sorted(rows, key=lambda row: row["seed"] if kind != "map" else 0)
        if all(row[name] == value for name, value in wanted.items())
    ]


def single(frame: pd.DataFrame, activation: str, depth: int) -> list[dict[str, Any]]:
    """Sweeps of one mode, by seed."""
    return [row for row in rows_of(frame, "sweep", activation=activation, depth=depth) if len(row["modes"]) == 1]


def table(row: Row, direction: str = "up", level: int = 0) -> dict[str, F64]:
    """A sweep as arrays over ascending penalties; ``order`` of the first mode, ``orders`` of all."""
    found = {name: np.array(values, dtype=np.float64) for name, values in row[direction][level].items()}
    found["orders"] = found["order"]
    found["order"] = np.abs(found["orders"][:, 0])
    return found


def all_grids(row: Row, direction: str) -> dict[str, F64]:
    """The points of a sweep's coarse and refined grids together, each penalty once, the finest counting."""
    tables = [table(row, direction, level) for level in reversed(range(len(row[direction])))]
    joined = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    _, first = np.unique(joined["penalty"], return_index=True)
    return {name: values[first] for name, values in joined.items()}


def step_of(row: Row) -> float:
    """Step of the coarse grid."""
    return float(np.median(np.diff(table(row)["penalty"])))


def verdict(row: Row) -> OrderVerdict:
    """The order that one seed's sweeps show."""
    up, down = (
        [(one["penalty"], one["order"]) for one in (table(row, direction, i) for i in range(len(row[direction])))]
        for direction in ("up", "down")
    )
    return decide_order(up, down)


def branch(row: Row) -> dict[str, F64]:
    """The learned branch on the way up, as far as it goes."""
    whole = table(row)
    alive = whole["order"] > ALIVE
    return {name: values[alive] for name, values in whole.items()}


def critical(row: Row) -> Located:
    """Penalty at which the learned branch stops being deeper than zero weights; where it ends, if it never does."""
    alive = branch(row)
    depth = alive["loss"] - sum(signal**2 for signal in row["modes"])
    found = crossing(alive["penalty"], depth) if len(depth) > 1 else crossing([0, 1], [1, 1])
    return found if found.found else verdict(row).lost


def jump(row: Row) -> float:
    """Order parameter on the learned branch at the critical penalty; the bound of the finest grid if continuous."""
    alive = branch(row)
    found = at_position(alive["penalty"], alive["order"], critical(row).value) if len(alive["order"]) > 1 else np.nan
    return verdict(row).jumps[2] if np.isnan(found) else found


def vote(rows: Sequence[Row]) -> tuple[str, dict[str, int]]:
    """Order that at least two thirds of the seeds show, else ``"undecided"``; and the count of each."""
    counts: dict[str, int] = {}
    for row in rows:
        name = verdict(row).verdict
        counts[name] = counts.get(name, 0) + 1
    leading = max(counts, key=lambda name: counts[name], default="undecided")
    return (leading if rows and 3 * counts[leading] >= 2 * len(rows) else "undecided"), counts


def hull(parts: Sequence[Located]) -> Located:
    """Median over seeds within the hull of their brackets."""
    return combined(parts)


SERIES = ("error", "norm", "weight_rank", "curvature")


def detectors(row: Row) -> list[Agreement]:
    """What notices the end of the learned branch on the way up, each within one step of the coarse grid or not.

    The margin is taken in units of ``2 gamma``, its value for directions that the error does not bend, and on the
    points of all grids together: it falls as a square root, for many layers within less than a coarse step.
    """
    whole, at, step = table(row), verdict(row).lost, step_of(row)
    x = whole["penalty"]
    found = []
    if row["activation"] != "relu" or row["depth"] == 1:  # deeper rectified minima lie on kinks, without a Hessian
        every = all_grids(row, "up")
        ratio = every["margin"] / (2 * every["penalty"])
        found.append(agreement("stability margin", nearest_to_zero(every["penalty"], ratio), at, step))
    for name in SERIES:
        title = {"curvature": "scalar curvature R", "weight_rank": "rank"}.get(name, name)
        lines = compressed(whole[name]) if name == "curvature" else whole[name]
        found.append(agreement(f"{title}, largest step", largest_step(x, whole[name]), at, step))
        found.append(agreement(f"{title}, two lines", two_lines(x, lines), at, step))
    return found


def on_global_path(row: Row) -> list[Agreement]:
    """The same at the critical penalty, along the deeper of the two branches."""
    up, zero = table(row), table(row, "down")
    learned = up["loss"] < sum(signal**2 for signal in row["modes"])
    found = []
    for name in SERIES:
        title = {"curvature": "scalar curvature R", "weight_rank": "rank"}.get(name, name)
        series = np.where(learned, up[name], zero[name])
        found.append(
            agreement(f"{title}, largest step", largest_step(up["penalty"], series), critical(row), step_of(row))
        )
    return found


def mode_ends(rows: Sequence[Row], direction: str = "up") -> list[Located]:
    """Where each mode is lost, weakest last, over the seeds."""
    found = []
    for mode in range(len(rows[0]["modes"])):
        places = [
            vanishing(one["penalty"], one["orders"][:, mode], ALIVE) for one in (table(row, direction) for row in rows)
        ]
        found.append(hull(places))
    return found


def onset_step(row: Row, which: int) -> Located:
    """Step at which the squared norm of the weights has come halfway to its last value, if it grows at all."""
    step, norm = np.array(row["step"], dtype=np.float64), np.array(row["norm_over_steps"][which])
    least = int(np.argmin(norm))
    if norm[-1] < 4 * norm[least] or least == len(norm) - 1 or norm[-1] < 0.1:
        return Located(float("nan"), float("-inf"), float("inf"))
    return crossing(step[least:], norm[least:], 0.5 * float(norm[-1]))


def onset_change(row: Row, which: int) -> Located:
    """Change point of the logarithm of the squared norm, from its least value on: growth, then saturation."""
    step, norm = np.array(row["step"], dtype=np.float64), np.array(row["norm_over_steps"][which])
    least = int(np.argmin(norm))
    end = onset_step(row, which)
    if not end.found:
        return end
    chosen = slice(least, int(np.searchsorted(step, 2 * end.value)) + 1)
    return two_lines(step[chosen], np.log(norm[chosen]))


def expected_onset(row: Row, which: int) -> float:
    """Step at which ``b`` is half its last value, two weight matrices: the logistic curve of gradient flow, in steps.

    ``b' = 2 b (c - gamma - b)`` for balanced weights, ``b = |u|^2`` at the start, ``u`` the growing part of the
    weights; a step of rate ``h`` grows weights by ``1 + h (c - gamma)`` instead of ``exp(h (c - gamma))``.
    """
    rate = 1.0 - float(row["penalties"][which])
    growth = float(np.log1p(row["learning_rate"] * rate))
    return float(np.log(rate / row["growing"] - 1) / (2 * growth))


def mapped(settings: L2Settings, frame: pd.DataFrame, depth: int) -> tuple[BoundaryMap, list[dict[str, Any]]]:
    """The map of a depth from the stored cells, in their order, and these cells."""
    found = settings.new_map(depth)
    rows = [
        {str(name): value for name, value in row.items()}
        for row in (frame[frame["kind"] == "map"].to_dict("records") if "kind" in frame else [])
        if row["depth"] == depth
    ]
    if rows:
        observe(found, rows, [row if row["status"] == "ok" else None for row in rows])
    return found, rows


def wrong_area(found: BoundaryMap, depth: int, side: int = 160) -> float:
    """Share of a dense grid on which a map of deep linear networks differs from the closed form."""
    grid = found.box.grid(side)
    return float(np.mean(found.predict(grid) != theory.phase(grid[:, 1], depth + 1, grid[:, 0])))
