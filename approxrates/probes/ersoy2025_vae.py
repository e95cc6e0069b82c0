"""Posterior collapse as a transition: sweeps of the weight of a variational autoencoder's rate, up and down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from approxrates.probes import ersoy2025_vae_reading as reading
from approxrates.probes.base import Metrics, Plan, Probe, Quantity, Spec
from approxrates.probes.ersoy2025_vae_settings import VaeSettings
from approxrates.transitions import Located

if TYPE_CHECKING:
    import pandas as pd

LUCAS = "Lucas et al. (2019), arXiv:1911.02469; closed form"
DERIVED = "derived in docs/probes/ersoy2025_vae.md; same criterion: arXiv:2510.01621 (abstract)"
PAPER = "Ersoy & Wiesner (2025), arXiv:2505.06597 (abstract)"


class Ersoy2025Vae(Probe):
    """The variational autoencoder of the paper, and the linear one that theory solves, on the same images."""

    name: ClassVar[str] = "ersoy2025_vae"
    title: ClassVar[str] = "Transitions of variational autoencoders"
    source: ClassVar[str] = (
        "Ersoy & Wiesner (2025), Geometry of learning: L2 phase transitions in deep and shallow neural networks, "
        "arXiv:2505.06597, third part; Lucas, Tucker, Grosse & Norouzi (2019), arXiv:1911.02469"
    )
    Settings: ClassVar[type[Any]] = VaeSettings

    def plan(self, settings: VaeSettings) -> Plan:
        """Sweeps of all seeds; then windows about the last transition of the linear one, refined by 4 and by 16."""
        seeds, linear = range(settings.seeds), settings.linear and settings.has_theory
        grid = settings.values(settings.linear_values)
        coarse = [settings.linear_cell(seed, 0, grid) for seed in seeds] if linear else []
        walks = [settings.nonlinear_cell(seed, steps) for steps in settings.steps for seed in seeds]
        found = (yield [*coarse, *walks])[: len(coarse)]
        known = [(spec, metrics) for spec, metrics in zip(coarse, found, strict=True) if metrics is not None]
        for level in (1, 2):
            rows = [spec | metrics for spec, metrics in known]
            specs = [
                settings.linear_cell(row["seed"], level, reading.window(row, 4))
                for row in rows
                if reading.deaths(row, "up")[0].found
            ]
            if not specs:
                return
            found = yield specs
            known = [(spec, metrics) for spec, metrics in zip(specs, found, strict=True) if metrics is not None]

    def cell(self, spec: Spec) -> Metrics:
        """One seed, up and down."""
        from approxrates.probes.ersoy2025_vae_cells import spectrum_of, walk

        found = walk(spec)
        row = spec | found
        places = {f"collapse_{d}": reading.as_weight(reading.deaths(row, d)[0]) for d in ("up", "down")}
        told = {name: place.value if place.found else None for name, place in places.items()}
        return found | told | {"spectrum": spectrum_of(spec), "units_lost": reading.units_lost(row, "up")}

    def seconds(self, spec: Spec) -> float:
        """Rough CPU seconds."""
        n_fits = 2 * len(spec["values"])
        if spec["kind"] == "linear":
            return float(3.0 + 0.2 * n_fits)
        step = 1.5e-5 * spec["batch_size"]
        return float(3.0 + n_fits * (step * spec["steps"] + 2e-4 * spec["n"]) + step * spec["first_steps"])

    def quantities(self, settings: VaeSettings, frame: pd.DataFrame) -> list[Quantity]:
        """The linear autoencoder against closed forms, and two bounds on the other one."""
        grids = [reading.rows_of(frame, "linear", level=level) for level in range(3)]
        return [*linear_quantities(grids), *bounds(settings, frame)] if settings.has_theory else []

    def figures(self, settings: VaeSettings, frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
        """Distortion, rate and active units against the weight; rates of single units."""
        from approxrates.plots.vae_sweep import plot_unit_rates, plot_vae_sweep

        linear, slow = reading.rows_of(frame, "linear"), _slowest(settings, frame)
        groups = {label: rows for label, rows in (("autoencoder", slow), ("linear", linear)) if rows}
        if not groups:
            return {}
        symbol = "weight of the rate β" if settings.swept == "beta" else "L2 weight γ"
        thresholds = reading.expected_deaths(slow[0] if slow else linear[0]).tolist() if settings.has_theory else []
        drawn: dict[str, Callable[[], Any]] = {
            "vae-sweep": functools.partial(plot_vae_sweep, groups, symbol, thresholds),
            "unit-rates": functools.partial(plot_unit_rates, groups, symbol, thresholds),
        }
        return drawn

    def findings(self, settings: VaeSettings, frame: pd.DataFrame) -> list[str]:
        """Where units die and come back."""
        lines = []
        for steps in settings.steps:
            rows = reading.rows_of(frame, "vae", steps=steps)
            if rows:
                lines += _sweep_findings(steps, rows)
        if not lines:
            errors: Any = frame.loc[frame["status"] != "ok", "error"].dropna() if len(frame) else []
            lines.append(f"No sweep of the autoencoder was done. {next(iter(errors), '')}".strip())
        return lines + _lag_finding(settings, frame)


def _slowest(settings: VaeSettings, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The sweeps of most steps at each value."""
    return reading.rows_of(frame, "vae", steps=max(settings.steps))


def linear_quantities(grids: Sequence[Sequence[Mapping[str, Any]]]) -> list[Quantity]:
    """The linear autoencoder against its closed forms.

    Args:
        grids: Its sweeps on the whole grid and on both windows.
    """
    rows = grids[0]
    if not rows:
        return []
    expected, low, high = reading.expected_deaths(rows[0]), rows[0]["values"][0], rows[0]["values"][-1]
    inside = int(((expected > low) & (expected < high)).sum())
    lost = [reading.units_lost(row, "up") for row in rows]
    found = [
        Quantity(
            "linear: latent units lost on the way up", str(inside), LUCAS, float(np.median(lost)), min(lost), max(lost),
            "agrees" if set(lost) == {inside} else "differs",
        )
    ]  # fmt: skip
    for direction, words in (("up", "die, way up"), ("down", "come back, way down")):
        gaps = [reading.worst_deviation(row, direction) for row in rows]
        found.append(
            _at_most(f"linear: weights at which units {words}: worst deviation in grid steps", 1.0, gaps, LUCAS)
        )
    excess = [reading.excess_loss(row, direction) for row in rows for direction in ("up", "down")]
    found.append(_at_most("linear: relative excess of the loss over the least possible", 1e-3, excess, LUCAS))
    return found + _last_transition(grids)


def _last_transition(grids: Sequence[Sequence[Mapping[str, Any]]]) -> list[Quantity]:
    """Place, order and hysteresis of the last transition, and what the Hessian says of it."""
    if not grids[2]:
        return []
    row, step = grids[2][0], reading.step_of(grids[2][0])
    total = float(reading.expected_deaths(row)[0])
    place = reading.collapse(grids[2], "up")
    near = abs(np.log(place.value / total)) <= 2 * step
    lost = [reading.stability_loss(one) for one in grids[1]]
    bare = float(row["spectrum"][0] / row["noise_variance"])
    seeds = [{one["seed"] for one in rows} for rows in grids]
    both = sorted(set.intersection(*seeds))
    orders = [reading.order_of([_of(rows, seed) for rows in grids]) for seed in both]
    return [
        _quantity("linear: weight of total collapse", f"{total:.4g}", LUCAS, place.value, place.low, place.high, near),
        _quantity(
            "linear: weight at which the dead state loses stability (smallest eigenvalue)", f"{bare:.4g} ± 1 %",
            DERIVED, float(np.median(lost)), min(lost), max(lost),
            max(abs(one / bare - 1.0) for one in lost) <= 0.01,
        ),
        _curvature_quantity(grids[2], bare),
        _order_quantity([one.verdict for one in orders], [one.surviving for one in orders]),
        _hysteresis_quantity([one.hysteresis.value / (16 * step) for one in orders]),
    ]  # fmt: skip


def _curvature_quantity(rows: Sequence[Mapping[str, Any]], bare: float) -> Quantity:
    """Change point of the scalar curvature on the finest grid, against the transition itself."""
    place = reading.curvature_change(rows)
    near = abs(np.log(place.value / bare)) <= 2 * reading.step_of(rows[0])
    return _quantity(
        "linear: change point of the scalar curvature", f"{bare:.4g}, the transition", PAPER, place.value, place.low,
        place.high, near, f"looked for from {rows[0]['values'][0]:.4g} to {rows[0]['values'][-1]:.4g} only",
    )  # fmt: skip


def _of(rows: Sequence[Mapping[str, Any]], seed: int) -> Mapping[str, Any]:
    """The row of a seed."""
    return next(row for row in rows if row["seed"] == seed)


def _order_quantity(verdicts: Sequence[str], jumps: Sequence[float]) -> Quantity:
    """Order of the last transition of the linear autoencoder."""
    agree = verdicts.count("second order") / len(verdicts)
    against = verdicts.count("first order") / len(verdicts)
    verdict = "agrees" if agree == 1.0 else "differs" if against == 1.0 else "undecided"
    note = (
        f"measured: jump of the decoder that survives refining; second order for {agree:.0%} of {len(verdicts)} seeds"
    )
    return Quantity(
        "linear: order of the last transition", "second order", LUCAS, float(np.median(jumps)), min(jumps), max(jumps),
        verdict, note,
    )  # fmt: skip


def _hysteresis_quantity(widths: Sequence[float]) -> Quantity:
    """Hysteresis of the linear autoencoder in steps of the coarse grid."""
    return _at_most("linear: hysteresis in steps of the coarse grid", 1.0, [abs(one) for one in widths], LUCAS)


def _at_most(what: str, bound: float, values: Sequence[float], source: str) -> Quantity:
    """A quantity that all seeds must keep below a bound."""
    worst = max(values)
    verdict = "undecided" if not np.isfinite(worst) else "agrees" if worst <= bound else "differs"
    return Quantity(what, f"0 (at most {bound:g})", source, float(np.median(values)), min(values), worst, verdict)


def _quantity(
    what: str, expected: str, source: str, value: float, low: float, high: float, agrees: bool, note: str = ""
) -> Quantity:
    """A quantity with an interval; undecided where the interval is open."""
    closed = np.isfinite(low) and np.isfinite(high)
    verdict = "undecided" if not closed else "agrees" if agrees else "differs"
    return Quantity(what, expected, source, value, low, high, verdict, note)


def bounds(settings: VaeSettings, frame: pd.DataFrame) -> list[Quantity]:
    """What holds for every autoencoder that contains the linear one: it collapses no earlier and comes back no earlier.

    Going up, a state that pays exists below the leading eigenvalue. Going down, the dead state is stable above it.
    """
    rows = _slowest(settings, frame)
    if not rows:
        return []
    edge = float(reading.expected_deaths(rows[0])[0])
    note = f"leading eigenvalue over the variance of the decoder, at rate {settings.active_rate:g}: {edge:.4g}"
    dead = [reading.as_weight(reading.deaths(row, "up")[0]).high for row in rows]
    back = [reading.as_weight(reading.deaths(row, "down")[0]).low for row in rows]
    collapsed = all(np.isfinite(dead))
    return [
        _bounded(
            "autoencoder: first weight without an active unit, way up", f">= {edge:.4g}", dead, collapsed,
            min(dead) >= edge, note,
        ),
        _bounded(
            "autoencoder: largest weight with an active unit, way down", f"<= {edge:.4g}", back,
            collapsed and min(back) > 0.0, max(back) <= edge, note,
        ),
    ]  # fmt: skip


def _bounded(what: str, expected: str, values: Sequence[float], known: bool, agrees: bool, note: str) -> Quantity:
    """A bound that every seed must keep; undecided where one has not shown what is asked."""
    if not known:
        return Quantity(what, expected, DERIVED, None, None, None, "undecided", note)
    verdict = "agrees" if agrees else "differs"
    return Quantity(what, expected, DERIVED, float(np.median(values)), min(values), max(values), verdict, note)


def _sweep_findings(steps: int, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Collapse, return and hysteresis at one speed."""
    up, down = reading.collapse(rows, "up"), reading.collapse(rows, "down")
    lost = [reading.units_lost(row, "up") for row in rows]
    seen = [reading.transitions_seen(row, "up") for row in rows]
    widths = [reading.hysteresis(row) for row in rows]
    return [
        f"**{steps} steps at each value, {len(rows)} seeds:** the last unit dies at {_place(up)} on the way up; the "
        f"first comes back at {_place(down)} on the way down: hysteresis of {np.median(widths):.2g} grid steps "
        f"({min(widths):.2g} to {max(widths):.2g}).",
        f"Units lost: {_range(lost)}, in {_range(seen)} steps of the grid.",
    ]


def _lag_finding(settings: VaeSettings, frame: pd.DataFrame) -> list[str]:
    """Hysteresis at the fastest sweep and at the slowest, over the seeds that both have."""
    fast, slow = min(settings.steps), max(settings.steps)
    widths = [
        {row["seed"]: reading.hysteresis(row) for row in reading.rows_of(frame, "vae", steps=s)} for s in (fast, slow)
    ]
    both = sorted(seed for seed in widths[0] if seed in widths[1] and np.isfinite(widths[0][seed] + widths[1][seed]))
    if fast == slow or not both:
        return []
    medians = [float(np.median([one[seed] for seed in both])) for one in widths]
    return [
        f"Lag: hysteresis of {medians[0]:.2g} grid steps with {fast} steps at each value, {medians[1]:.2g} with "
        f"{slow}. Lag would shrink as the sweep slows down; each width is known to a step of the grid at either end."
    ]


def _place(place: Located) -> str:
    """A position with its interval."""
    return f"{place.value:.3g} [{place.low:.3g}, {place.high:.3g}]"


def _range(values: Sequence[int]) -> str:
    """One number, or the range of several."""
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"
