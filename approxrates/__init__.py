"""approxrates: the laboratory for approximation rates of deep networks.

The flow of the library is its interface: a target of known smoothness, a network that is trained or constructed, a
certified error, a rate with an interval, a place on the phase diagram. Names load on first use, so that importing this
package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names in the order of the flow, and the module each one lives in.
_HOMES = {
    "Regularity": "regularity",
    "Target": "target",
    "load_target": "catalogue",
    "load_target_file": "catalogue",
    "Dataset": "dataset",
    "load_dataset": "datasets",
    "measure_smoothness": "smoothness",
    "smoothness_warning": "smoothness",
    "SmoothnessMeasurement": "smoothness",
    "Activation": "activations",
    "register_activation": "activations",
    "FixedWidth": "architecture",
    "FixedDepth": "architecture",
    "Network": "network",
    "construct": "constructions",
    "compile_network": "constructions.compiler",
    "to_fixed_width": "constructions.narrow",
    "extract_bits": "constructions.bit_extraction",
    "approximate": "references",
    "Approximant": "approximant",
    "train": "training",
    "train_model": "training",
    "Model": "models",
    "SGD": "training",
    "Adam": "training",
    "SOAP": "training",
    "SelfScaledBFGS": "training",
    "LBFGS": "training",
    "LevenbergMarquardt": "training",
    "Minimax": "training",
    "MeanSquare": "objectives",
    "HalfSquare": "objectives",
    "LpPower": "objectives",
    "SoftmaxCrossEntropy": "objectives",
    "approximation_error": "errors",
    "sobolev_error": "errors.sobolev",
    "fit_rate": "rates",
    "choose_law": "rates",
    "compare_rates": "rates",
    "place": "phase",
    "place_all": "phase",
    "axis": "axes",
    "Construction": "spec",
    "Reference": "spec",
    "Study": "study",
    "recertify": "certification",
    "probe": "probes",
    "load_probe": "probes",
    "plot_probe": "probes",
    "load_records": "records",
    "records_from_table": "records",
    "plot_rates": "plots",
    "plot_rates_against": "plots",
    "plot_measurement": "plots",
    "plot_channel_layout": "plots",
    "plot_sandwich": "plots",
    "plot_phase_diagram": "plots",
    "plot_precision": "plots",
    "plot_comparison": "plots",
    "plot_gaps": "plots",
    "plot_error_split": "plots",
    "plot_training_curves": "plots",
    "plot_targets": "plots",
    "plot_structure_function": "plots",
    "plot_error_map": "plots",
    "save_figure": "plots",
    "write_report": "report",
}
_RENAMED = {"register_activation": "register", "extract_bits": "extract"}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from approxrates.activations import Activation
    from approxrates.activations import register as register_activation
    from approxrates.approximant import Approximant
    from approxrates.architecture import FixedDepth, FixedWidth
    from approxrates.axes import axis
    from approxrates.catalogue import load_target, load_target_file
    from approxrates.certification import recertify
    from approxrates.constructions import construct
    from approxrates.constructions.bit_extraction import extract as extract_bits
    from approxrates.constructions.compiler import compile_network
    from approxrates.constructions.narrow import to_fixed_width
    from approxrates.dataset import Dataset
    from approxrates.datasets import load_dataset
    from approxrates.errors import approximation_error
    from approxrates.errors.sobolev import sobolev_error
    from approxrates.models import Model
    from approxrates.network import Network
    from approxrates.objectives import HalfSquare, LpPower, MeanSquare, SoftmaxCrossEntropy
    from approxrates.phase import place, place_all
    from approxrates.plots import (
        plot_channel_layout,
        plot_comparison,
        plot_error_map,
        plot_error_split,
        plot_gaps,
        plot_measurement,
        plot_phase_diagram,
        plot_precision,
        plot_rates,
        plot_rates_against,
        plot_sandwich,
        plot_structure_function,
        plot_targets,
        plot_training_curves,
        save_figure,
    )
    from approxrates.probes import load_probe, plot_probe, probe
    from approxrates.rates import choose_law, compare_rates, fit_rate
    from approxrates.records import load_records, records_from_table
    from approxrates.references import approximate
    from approxrates.regularity import Regularity
    from approxrates.report import write_report
    from approxrates.smoothness import SmoothnessMeasurement, measure_smoothness, smoothness_warning
    from approxrates.spec import Construction, Reference
    from approxrates.study import Study
    from approxrates.target import Target
    from approxrates.training import (
        LBFGS,
        SGD,
        SOAP,
        Adam,
        LevenbergMarquardt,
        Minimax,
        SelfScaledBFGS,
        train,
        train_model,
    )


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"approxrates has no {name!r}. Public names: {', '.join(_HOMES)}.")
    value = getattr(import_module(f"approxrates.{_HOMES[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
