"""Expected against measured, and the sentences of the report, for the probe of L2 transitions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from approxrates.probes import ersoy2025_l2_reading as reading
from approxrates.probes.base import Quantity
from approxrates.theory import l2_transitions as theory
from approxrates.transitions import Located

if TYPE_CHECKING:
    import pandas as pd

    from approxrates.probes.ersoy2025_l2_settings import L2Settings

CLOSED = "closed form (docs/probes/ersoy2025_l2.md)"
HALVES = "derived in docs/probes/ersoy2025_l2.md: two half-spaces, one chain of weights each"
ORDERS = "Ersoy & Wiesner (2025), arXiv:2505.06597v2; Ziyin & Ueda (2022), arXiv:2205.12510; derived for linear units"
NAMES = {"identity": "linear", "tanh": "tanh", "relu": "ReLU"}
NEAR = 0.03
"""Relative distance from a closed form that agrees."""


def quantities(settings: L2Settings, frame: pd.DataFrame) -> list[Quantity]:
    """All rows of the table."""
    rows = []
    for activation in settings.activations:
        for depth in settings.depths:
            if sweeps := reading.single(frame, activation, depth):
                rows += _order_rows(activation, depth, sweeps) + _place_rows(activation, depth, sweeps)
    rows += [row for depth in settings.mode_depths for row in _mode_rows(settings, frame, depth)]
    rows += [row for depth in settings.onset_depths if depth == 1 for row in _onset_rows(frame, depth)]
    if settings.map_activation == "identity":
        rows += [row for depth in settings.map_depths for row in _map_rows(settings, frame, depth)]
    return rows


def _name(activation: str, depth: int) -> str:
    """How a kind of network is called: weight matrices, not hidden layers, are what the closed forms count."""
    return f"{NAMES.get(activation, activation)}, L = {depth + 1}"


def _within(value: float, low: float, high: float, right: Callable[[float], bool]) -> str:
    """Agreement of a measured value; undecided if it is wrong but an end of its interval is right."""
    if np.isnan(value):
        return "undecided"
    if right(value):
        return "agrees"
    return "undecided" if right(low) or right(high) else "differs"


def _order_rows(activation: str, depth: int, sweeps: Sequence[reading.Row]) -> list[Quantity]:
    """The order of the transition, by the votes of seeds."""
    expected = "second order" if depth == 1 else "first order"
    found, counts = reading.vote(sweeps)
    share = counts.get(expected, 0) / len(sweeps)
    verdict = "undecided" if found == "undecided" else "agrees" if found == expected else "differs"
    told = ", ".join(f"{count} of {len(sweeps)} seeds {name}" for name, count in sorted(counts.items()))
    return [
        Quantity(
            f"order, {_name(activation, depth)} (share of seeds)", f"{expected}: 1", ORDERS, share, None, None, verdict,
            told,
        )
    ]  # fmt: skip


def _place_rows(activation: str, depth: int, sweeps: Sequence[reading.Row]) -> list[Quantity]:
    """Critical penalty, jump, spinodal and hysteresis against closed forms, where there are any."""
    if activation not in ("identity", "relu") and not (activation == "tanh" and depth == 1):
        return []
    half, source = (0.5, HALVES) if activation == "relu" else (1.0, CLOSED)
    truth, step, name = theory.transition(depth + 1), reading.step_of(sweeps[0]), _name(activation, depth)
    critical, spinodal = half * float(truth.critical), half * float(truth.spinodal)
    at = reading.hull([reading.critical(row) for row in sweeps])
    rows = [_located(f"critical penalty, {name}", critical, at, NEAR * critical, source, "within 3 %")]
    if activation != "tanh":
        jumps = np.array([reading.jump(row) for row in sweeps])
        size = float(truth.jump)
        middle, low, high = float(np.median(jumps)), float(jumps.min()), float(jumps.max())
        right = _within(middle, low, high, lambda value: abs(value - size) <= NEAR * max(size, 1.0))
        rows.append(Quantity(f"jump, {name}", f"{size:.4g}", source, middle, low, high, right, "within 3 %"))
    if depth > 1:
        rows.append(_spinodal_row(name, spinodal, [_lost(row) for row in sweeps], step, source))
    else:
        widths = reading.hull([reading.verdict(row).hysteresis for row in sweeps])
        rows.append(_located(f"hysteresis width, {name}", 0.0, widths, step, source, f"one grid step, {step:.3g}"))
    margins = [one for row in sweeps for one in reading.detectors(row) if one.detector == "stability margin"]
    if margins:
        rows.append(_margin_row(name, [one.distance for one in margins], [one.agrees for one in margins], source))
    return rows


def _located(name: str, expected: float, found: Located, tolerance: float, source: str, note: str) -> Quantity:
    """A position against its closed form."""
    right = _within(found.value, found.low, found.high, lambda value: abs(value - expected) <= tolerance)
    return Quantity(name, f"{expected:.4g}", source, found.value, found.low, found.high, right, note)


def _spinodal_row(name: str, expected: float, places: Sequence[Located], step: float, source: str) -> Quantity:
    """The end of the learned branch against the spinodal: of the median, and of two thirds of the seeds at least."""
    near = sum(abs(place.value - expected) <= step for place in places)
    note = f"within one grid step, {step:.3g}: {near} of {len(places)} seeds"
    row = _located(f"spinodal, {name}", expected, reading.hull(places), step, source, note)
    if row.verdict == "agrees" and 3 * near < 2 * len(places):
        return dataclasses.replace(row, verdict="undecided")
    return row


def _margin_row(name: str, distances: Sequence[float], near: Sequence[bool], source: str) -> Quantity:
    """Whether the stability margin vanishes where the branch ends."""
    middle, low, high = float(np.median(distances)), float(min(distances)), float(max(distances))
    verdict = "agrees" if all(near) else "undecided" if any(near) else "differs"
    return Quantity(
        f"zero of the stability margin less end of the branch, {name} (grid steps)", "0", source, middle, low, high,
        verdict, "within one grid step; read on the refined grids, which lie about that end",
    )  # fmt: skip


def _mode_rows(settings: L2Settings, frame: pd.DataFrame, depth: int) -> list[Quantity]:
    """Where each of several modes is lost."""
    sweeps = [row for row in reading.rows_of(frame, "sweep", depth=depth) if len(row["modes"]) > 1]
    if not sweeps:
        return []
    step, ends = reading.step_of(sweeps[0]), theory.transition(depth + 1, np.array(settings.modes)).spinodal
    return [
        _located(
            f"rank falls below {rank}: mode {mode:g} lost, {_name('identity', depth)}", float(end), at, step, CLOSED,
            f"within one grid step, {step:.3g}",
        )
        for rank, (mode, end, at) in enumerate(zip(settings.modes, ends, reading.mode_ends(sweeps), strict=True), 1)
    ]  # fmt: skip


def _onset_rows(frame: pd.DataFrame, depth: int) -> list[Quantity]:
    """Onset of learning along training against the logistic curve."""
    rows = reading.rows_of(frame, "onset", depth=depth)
    ratios = [
        reading.onset_step(row, i).value / reading.expected_onset(row, i)
        for row in rows
        for i in range(len(row["penalties"]))
        if reading.onset_step(row, i).found
    ]
    if not ratios:
        return []
    middle, low, high = float(np.median(ratios)), float(min(ratios)), float(max(ratios))
    right = _within(middle, low, high, lambda value: abs(value - 1) <= 0.05)
    return [
        Quantity(
            f"onset along training over the logistic prediction, {_name('identity', depth)}", "1", CLOSED, middle, low,
            high, right, f"within 5 %; {len(ratios)} runs at penalties up to 0.9 of the critical one",
        )
    ]  # fmt: skip


def _map_rows(settings: L2Settings, frame: pd.DataFrame, depth: int) -> list[Quantity]:
    """Wrong area of a map."""
    found, rows = reading.mapped(settings, frame, depth)
    if not rows or not found.has_boundary:
        return []
    wrong = reading.wrong_area(found, depth)
    return [
        Quantity(
            f"wrong area of the map, {_name('identity', depth)}", "< 0.015 at 64 runs", CLOSED, wrong, None, None,
            "agrees" if wrong < 0.015 else "differs" if len(rows) >= 64 else "undecided",
            f"{len(rows)} runs; the classifier's own estimate is {found.wrong_area_estimate:.3f}",
        )
    ]  # fmt: skip


def findings(settings: L2Settings, frame: pd.DataFrame) -> list[str]:
    """What came out."""
    lines = [
        _transition_line(activation, depth, sweeps)
        for activation in settings.activations
        for depth in settings.depths
        if (sweeps := reading.single(frame, activation, depth))
    ]
    every = [row for a in settings.activations for d in settings.depths for row in reading.single(frame, a, d)]
    if every:
        lines.append(
            "Located the end of the learned branch within one grid step: "
            + _shares(every, reading.detectors)
            + " The margin is read on all grids, of which two are refined about that end, and only where minima are "
            "smooth; the others on the coarse grid."
        )
        lines.append(
            "Located the critical penalty within one grid step along the global minimum: "
            + _shares([row for row in every if row["depth"] > 1] or every, reading.on_global_path)
        )
    for depth in settings.onset_depths:
        lines += _onset_lines(frame, depth)
    for depth in settings.map_depths:
        found, rows = reading.mapped(settings, frame, depth)
        if rows and found.phases:
            lines.append(f"Map, L = {depth + 1}: {found.verdict}. {_blind(rows)}")
    return lines


def _transition_line(activation: str, depth: int, sweeps: Sequence[reading.Row]) -> str:
    """One kind of network in a sentence."""
    found, counts = reading.vote(sweeps)
    at, lost = (reading.hull([get(row) for row in sweeps]) for get in (reading.critical, _lost))
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    size = float(np.median([reading.jump(row) for row in sweeps]))
    return (
        f"**{_name(activation, depth)}** ({depth} hidden): {found} ({told}); critical penalty {at.value:.4g}, branch "
        f"lost at {lost.value:.4g} [{lost.low:.4g}, {lost.high:.4g}], order parameter {size:.3g} at the first."
    )


def _lost(row: reading.Row) -> Located:
    """Where one seed loses order."""
    return reading.verdict(row).lost


def _shares(rows: Sequence[reading.Row], looks: Callable[[reading.Row], list[Any]]) -> str:
    """How many of the sweeps each detector got right."""
    counts: dict[str, list[bool]] = {}
    for row in rows:
        for one in looks(row):
            counts.setdefault(one.detector, []).append(one.agrees)
    ordered = sorted(counts.items(), key=lambda item: -sum(item[1]) / len(item[1]))
    return "; ".join(f"{name} {sum(good)} of {len(good)}" for name, good in ordered) + "."


def _onset_lines(frame: pd.DataFrame, depth: int) -> list[str]:
    """When learning sets in along training, by penalty."""
    rows = reading.rows_of(frame, "onset", depth=depth)
    if not rows:
        return []
    parts = []
    for i, gamma in enumerate(rows[0]["penalties"]):
        steps = [reading.onset_step(row, i).value for row in rows if reading.onset_step(row, i).found]
        told = f"step {np.median(steps):.0f}" if steps else "never"
        parts.append(f"{told} ({len(steps)} of {len(rows)} seeds) at penalty {gamma:.3g}")
    return [f"Onset along training from small weights, L = {depth + 1}: " + "; ".join(parts) + "."]


def _blind(rows: Sequence[reading.Row]) -> str:
    """What random starts find where the learned branch is the global minimum, and where it is metastable."""
    done = [row for row in rows if row["status"] == "ok"]
    parts = []
    for name in (theory.LEARNED, theory.METASTABLE):
        shares = [row["random_learned"] for row in done if max(row["votes"], key=row["votes"].get) == name]
        if shares:
            parts.append(f"{100 * np.mean(shares):.0f} % of random starts learn where the phase is {name}")
    return "; ".join(parts).capitalize() + "." if parts else ""
