"""Figures and tables of a study. The only place that imports matplotlib; every plot draws on an Axes and returns it."""

from approxrates.plots.channel_layout import plot_channel_layout
from approxrates.plots.comparison import plot_comparison
from approxrates.plots.error_map import plot_error_map
from approxrates.plots.error_split import plot_error_split
from approxrates.plots.families import (
    brief,
    by_law_and_family,
    by_target,
    construction_name,
    family_names,
    readable,
    target_name,
    target_options,
)
from approxrates.plots.gap_curves import plot_gaps
from approxrates.plots.jumps import draw_jumps
from approxrates.plots.lower_curves import plot_sandwich, sandwich_runs
from approxrates.plots.measurement_curves import plot_measurement_curves
from approxrates.plots.measurement_sizes import plot_measurement
from approxrates.plots.phase_diagram import is_easy, plot_phase_diagram
from approxrates.plots.precision import plot_precision, precision_families
from approxrates.plots.rate_against import plot_rates_against
from approxrates.plots.rate_curves import plot_rates
from approxrates.plots.regimes import plot_edge, plot_regimes
from approxrates.plots.saving import drawn_numbers, save_figure
from approxrates.plots.sharpness import (
    plot_critical_constants,
    plot_seed_fractions,
    plot_uv_map,
    plot_uv_model,
)
from approxrates.plots.smoothness import plot_structure_function
from approxrates.plots.tables import HEADINGS, rates_cells, rates_table_latex, rates_table_markdown
from approxrates.plots.target_curves import plot_targets
from approxrates.plots.training_curves import plot_training_curves

__all__ = [
    "HEADINGS",
    "brief",
    "by_law_and_family",
    "by_target",
    "construction_name",
    "draw_jumps",
    "drawn_numbers",
    "family_names",
    "is_easy",
    "plot_channel_layout",
    "plot_comparison",
    "plot_critical_constants",
    "plot_edge",
    "plot_error_map",
    "plot_error_split",
    "plot_gaps",
    "plot_measurement",
    "plot_measurement_curves",
    "plot_phase_diagram",
    "plot_precision",
    "plot_rates",
    "plot_rates_against",
    "plot_regimes",
    "plot_sandwich",
    "plot_seed_fractions",
    "plot_structure_function",
    "plot_targets",
    "plot_training_curves",
    "plot_uv_map",
    "plot_uv_model",
    "precision_families",
    "rates_cells",
    "rates_table_latex",
    "rates_table_markdown",
    "readable",
    "sandwich_runs",
    "save_figure",
    "target_name",
    "target_options",
]
