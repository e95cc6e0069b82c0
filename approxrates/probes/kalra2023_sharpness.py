"""Sharpness in early training and beyond: critical learning rates, four regimes, the edge of stability."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from approxrates.probes import kalra2023_sharpness_cells as networks
from approxrates.probes import kalra2023_sharpness_settings as sweep
from approxrates.probes import kalra2023_sharpness_tables as tables
from approxrates.probes import kalra2023_sharpness_uv as uv
from approxrates.probes.base import Metrics, Plan, Probe, Quantity, Spec

if TYPE_CHECKING:
    import pandas as pd


class Kalra2023Sharpness(Probe):
    """Critical constants of the learning rate, regimes of a trajectory, and the uv model."""

    name: ClassVar[str] = "kalra2023_sharpness"
    title: ClassVar[str] = "Sharpness: critical learning rates, four regimes, the edge of stability"
    source: ClassVar[str] = (
        "Kalra & Barkeshli (2023), Phase diagram of early training dynamics in deep neural networks: effect of the "
        "learning rate, depth, and width, arXiv:2302.12250"
    )
    recipe: ClassVar[int] = 1
    Settings: ClassVar[type[Any]] = sweep.Settings

    def plan(self, settings: Any) -> Plan:
        """See :class:`Probe`: all cells at once, for none waits for another."""
        yield sweep.cells(settings)

    def cell(self, spec: Spec) -> Metrics:
        """See :class:`Probe`."""
        parts: dict[str, Callable[[Spec], Metrics]] = {
            "constants": networks.constants, "edge": networks.edge, "trajectory": networks.trajectory, "uv": uv.uv,
            "uv-trainer": uv.uv_trainer, "uv-map": uv.uv_map,
        }  # fmt: skip
        return parts[spec["part"]](spec)

    def seconds(self, spec: Spec) -> float:
        """See :class:`Probe`."""
        return sweep.seconds(spec)

    def quantities(self, settings: Any, frame: pd.DataFrame) -> list[Quantity]:
        """See :class:`Probe`."""
        return tables.quantities(settings, frame)

    def findings(self, settings: Any, frame: pd.DataFrame) -> list[str]:
        """See :class:`Probe`."""
        return tables.findings(settings, frame)

    def figures(self, settings: Any, frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
        """See :class:`Probe`."""
        from approxrates import plots

        found: dict[str, Callable[[], Any]] = {}
        table = tables.by_seed(frame)
        if len(table.dropna(subset=["c_loss"])):
            found["phase-diagram"] = lambda: plots.plot_critical_constants(table)
            found["seed-fractions"] = lambda: plots.plot_seed_fractions(table)
        if chosen := tables.best_path(frame):
            row, regimes = chosen
            found["trajectory"] = lambda: plots.plot_regimes(row["steps"], row["loss"], row["sharpness"], regimes)
        if edges := tables.records(frame, "edge"):
            found["edge-of-stability"] = lambda: plots.plot_edge(edges)
        if exact := tables.records(frame, "uv"):
            found["uv-model"] = lambda: plots.plot_uv_model(exact)
        if mapped := tables.records(frame, "uv-map"):
            found["uv-map"] = lambda: plots.plot_uv_map(uv.stored_map(mapped[0]), exact)
        return found
