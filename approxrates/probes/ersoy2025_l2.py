"""L2 transitions: where a penalty of the weights ends learning, of which order, and what notices it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from approxrates.probes import ersoy2025_l2_cells as cells
from approxrates.probes import ersoy2025_l2_reading as reading
from approxrates.probes import ersoy2025_l2_tables as tables
from approxrates.probes.base import Metrics, Plan, Probe, Quantity, Spec
from approxrates.probes.ersoy2025_l2_settings import L2Settings, observe
from approxrates.theory import l2_transitions as theory

if TYPE_CHECKING:
    import pandas as pd


class Ersoy2025L2(Probe):
    """Sweeps of the penalty up and down, onset along training, and maps of signal strength and penalty."""

    name: ClassVar[str] = "ersoy2025_l2"
    title: ClassVar[str] = "L2 transitions of shallow and deep networks"
    source: ClassVar[str] = (
        "Ersoy & Wiesner (2025), Geometry of learning: L2 phase transitions in deep and shallow neural networks, "
        "arXiv:2505.06597; Ziyin & Ueda (2022), Exact phase transitions in deep learning, arXiv:2205.12510"
    )
    Settings: ClassVar[type[Any]] = L2Settings

    def plan(self, settings: L2Settings) -> Plan:
        """Sweeps, onsets and the Sobol runs of the maps at once; then batches of active runs, all maps side by side."""
        maps = {depth: settings.new_map(depth) for depth in settings.map_depths}
        first = [*settings.sweeps(), *settings.onsets()]
        while True:
            batches = {depth: self._next(settings, depth, found) for depth, found in maps.items()}
            specs = [*first, *(spec for batch in batches.values() for spec in batch)]
            if not specs:
                return
            answers = (yield specs)[len(first) :]
            first = []
            for depth, batch in batches.items():
                if batch:
                    observe(maps[depth], batch, answers[: len(batch)])
                answers = answers[len(batch) :]

    def _next(self, settings: L2Settings, depth: int, found: Any) -> list[Spec]:
        """The next runs of a map: all Sobol points, then a batch."""
        left = settings.map_runs - len(found.points)
        if left <= 0:
            return []
        start = found.n_start - len(found.points)
        return settings.map_cells(depth, found.suggest(min(left, start if start > 0 else settings.map_batch)))

    def cell(self, spec: Spec) -> Metrics:
        """A sweep, training runs from small weights, or one run of a map."""
        kinds = {"sweep": cells.sweep, "onset": cells.onset, "map": cells.phase_cell}
        return kinds[spec["kind"]](spec)

    def seconds(self, spec: Spec) -> float:
        """Rough CPU seconds on one core."""
        if spec["kind"] == "sweep":
            slow = 3.0 if spec["activation"] == "relu" else 1.0
            return float(slow * (0.5 + 0.015 * spec["points"] * (1 + 0.5 * spec["depth"])))
        return float(1e-3 * spec["steps"]) if spec["kind"] == "onset" else 0.1 * spec["seeds"]

    def quantities(self, settings: L2Settings, frame: pd.DataFrame) -> list[Quantity]:
        """See :class:`Probe`."""
        return tables.quantities(settings, frame)

    def findings(self, settings: L2Settings, frame: pd.DataFrame) -> list[str]:
        """See :class:`Probe`."""
        return tables.findings(settings, frame)

    def figures(self, settings: L2Settings, frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
        """Sweeps of each activation, several modes, onset along training, maps."""
        from approxrates.plots.boundary import plot_boundary
        from approxrates.plots.l2_transitions import plot_l2_sweeps, plot_modes, plot_onset

        found: dict[str, Callable[[], Any]] = {}
        for activation in settings.activations:
            columns = {depth: rows for depth in settings.depths if (rows := reading.single(frame, activation, depth))}
            if columns:
                sweeps = {depth: [_drawn(row) for row in rows] for depth, rows in columns.items()}
                found[f"sweeps-{activation}"] = functools.partial(plot_l2_sweeps, sweeps, activation)
        modes = {
            depth: [_drawn(row) for row in reading.rows_of(frame, "sweep", depth=depth) if len(row["modes"]) > 1]
            for depth in settings.mode_depths
        }
        if any(modes.values()):
            found["modes"] = functools.partial(plot_modes, {d: r for d, r in modes.items() if r}, settings.modes)
        onsets = {
            depth: rows for depth in settings.onset_depths if (rows := reading.rows_of(frame, "onset", depth=depth))
        }
        if onsets:
            found["onset"] = functools.partial(plot_onset, onsets)
        for depth in settings.map_depths:
            mapped, rows = reading.mapped(settings, frame, depth)
            if rows and mapped.phases:
                found[f"map-L{depth + 1}"] = functools.partial(
                    plot_boundary, mapped, truth=_truth(settings, depth), order=_PHASES, labels=_WORDS
                )
        return found


_PHASES = (theory.LEARNED, theory.METASTABLE, theory.TRIVIAL)
_WORDS = {"signal": "signal strength c", "penalty": "L2 penalty γ"}


def _truth(settings: L2Settings, depth: int) -> list[tuple[Any, Any]]:
    """Boundaries of the closed form."""
    if settings.map_activation != "identity":
        return []
    box = settings.new_map(depth).box
    c = np.linspace(box.x.low, box.x.high, 200)
    point = theory.transition(depth + 1, c)
    return [(c, point.critical), *([(c, point.spinodal)] if depth > 1 else [])]


def _drawn(row: reading.Row) -> dict[str, Any]:
    """What figures show of a sweep."""
    shown = {"up": reading.all_grids(row, "up"), "down": reading.all_grids(row, "down"), "seed": row["seed"]}
    one = len(row["modes"]) == 1
    return shown | ({"critical": reading.critical(row), "lost": reading.verdict(row).lost} if one else {})
