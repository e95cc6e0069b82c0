"""The structure function of a target, with its fitted slope and the declared one."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from approxrates.plots.families import readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import OKABE_ITO, check_axes, new_figure, styled
from approxrates.smoothness import SmoothnessMeasurement


def plot_structure_function(measurement: SmoothnessMeasurement, ax: Axes | None = None) -> Axes:
    """Largest differences (or leaders) against step, log-log, with the measured and the declared slope.

    Hollow marks are scales that the slope does not rest on.

    Args:
        measurement: What ``measure_smoothness`` returned.
        ax: Axes to draw on; a new figure if left out.

    Returns:
        The Axes drawn on.

    Raises:
        TypeError: If measurement is not a SmoothnessMeasurement.
    """
    check_axes(ax)
    if not isinstance(measurement, SmoothnessMeasurement):
        raise TypeError(
            f"measurement must be a SmoothnessMeasurement. Got {type(measurement).__name__}. "
            "Write ar.plot_structure_function(ar.measure_smoothness(target))."
        )
    with styled():
        panel = new_figure(4.4, 3.0).add_subplot() if ax is None else ax
        _draw(panel, measurement)
    return panel


def _draw(ax: Axes, found: SmoothnessMeasurement) -> None:
    """Marks, slopes, labels."""
    color = OKABE_ITO[0][0]
    positive = found.sizes > 0
    used, rest = found.used & positive, ~found.used & positive
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.plot(found.steps[used], found.sizes[used], "o", color=color, ms=3.4)
    ax.plot(found.steps[rest], found.sizes[rest], "o", color=color, mfc="white", ms=3.4, mew=0.8)
    if used.any():
        ends = np.array([found.steps[used].min(), found.steps[used].max()])
        middle = math.exp(float(np.mean(np.log(found.steps[used]))))
        height = math.exp(float(np.mean(np.log(found.sizes[used]))))
        low, high = found.interval
        shown = f"at least {low:.2f}" if found.saturated else f"{found.value:.2f} [{low:.2f}, {high:.2f}]"
        ax.plot(ends, height * (ends / middle) ** found.value, color=color, lw=1.0, label=f"measured {shown}")
        declared = found.declared
        if declared is not None and declared.is_finite and found.agrees is not None:
            r = declared.smoothness if declared.is_continuous else 0.0
            ax.plot(ends, height * (ends / middle) ** r, color="black", ls="--", lw=0.9, label=f"declared r = {r:g}")
        ax.legend(loc="upper left", fontsize=7)
    name = readable(found.name)
    ax.set_title(f"{name[:1].upper()}{name[1:]}, d = {found.dim}", pad=4)
    ax.set_xlabel("step h", labelpad=1)
    label = f"max |Δ$_h^{{{found.order}}}$ f|" if found.method == "structure" else "largest wavelet leader"
    ax.set_ylabel(label)
    rows = zip(found.steps, found.sizes, found.used, strict=True)
    attach_numbers(ax, [{"function": found.name, "step": h, "size": s, "used": bool(u)} for h, s, u in rows])
