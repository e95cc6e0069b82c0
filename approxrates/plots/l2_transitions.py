"""Sweeps of the L2 penalty up and down with what theory says of them, several modes, and onset along training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import DASHES, GUIDE, GUIDE_TEXT, MARKERS, OKABE_ITO, new_figure, small_labels, styled
from approxrates.theory import l2_transitions as theory

F64 = NDArray[np.float64]
Sweep = Mapping[str, Any]

UP, DOWN, TRUTH = OKABE_ITO[0][0], OKABE_ITO[1][0], "#000000"
ROWS = (
    ("order", "order parameter b"),
    ("error", "error E"),
    ("norm", "Σw²"),
    ("margin", "margin / 2γ"),
    ("curvature", "curvature R"),
)
_GAP = 0.1
_MARKS = 24


def plot_l2_sweeps(sweeps: Mapping[int, Sequence[Sweep]], activation: str) -> Axes:
    """Order parameter, error, squared norm of the weights, stability margin and scalar curvature against the penalty.

    One column for each depth. Blue lines go up from a network trained at the lowest penalty, orange ones come down from
    weights near zero; every seed is a line through the points of all grids, the first one with marks. Grey curves are
    the closed form of the learned branch (linear units; rectified ones lose order at half the penalty), dashed lines
    the critical penalty, dotted ones the spinodal: of the closed form where there is one, measured otherwise.

    Args:
        sweeps: By number of hidden layers one mapping for each seed: ``up`` and ``down`` with arrays ``penalty``,
            ``order``, ``error``, ``norm``, ``margin``, ``curvature``; ``critical`` and ``lost``, where these are.
        activation: ``"identity"``, ``"tanh"``, ``"relu"``, or another.

    Returns:
        The first Axes of the new figure.
    """
    depths = sorted(sweeps)
    with styled():
        figure = new_figure(1.2 + 2.15 * len(depths), 7.4)
        panels = _panels(figure, len(ROWS), len(depths))
        for column, depth in enumerate(depths):
            for row, (name, label) in enumerate(ROWS):
                ax = panels[row][column]
                _draw_sweeps(ax, sweeps[depth], name)
                _lines(ax, sweeps[depth], depth, activation, named=row == 0)
                _truth(ax, sweeps[depth], depth, activation, name)
                small_labels(ax)
                if column == 0:
                    ax.set_ylabel(label)
                if row < len(ROWS) - 1:
                    ax.tick_params(labelbottom=False)
            panels[0][column].set_title(f"{depth} hidden, L = {depth + 1}", pad=14)
            panels[-1][column].set_xlabel("L2 penalty γ")
            attach_numbers(panels[0][column], _numbers(sweeps[depth], depth))
        handles = [
            Line2D([], [], color=UP, marker="o", ms=3, lw=0.8, label="up"),
            Line2D([], [], color=DOWN, marker="s", ms=3, lw=0.8, ls=DASHES[1], label="down"),
        ]
        if activation in ("identity", "relu"):
            handles.append(Line2D([], [], color=TRUTH, lw=2.6, alpha=0.3, label="theory"))
        figure.legend(handles=handles, loc="upper right", ncols=3, bbox_to_anchor=(0.99, 1.0), borderaxespad=0.2)
    return panels[0][0]


def plot_modes(sweeps: Mapping[int, Sequence[Sweep]], modes: Sequence[float]) -> Axes:
    """Order parameters of several modes and the rank of the end-to-end map on the way up, a column for each depth.

    Dotted lines are the ends of the learned branches by the closed form, grey curves the branches.

    Args:
        sweeps: As for :func:`plot_l2_sweeps`, with ``orders`` of shape ``(n, modes)`` and ``rank``.
        modes: Singular values of the target map.

    Returns:
        The first Axes of the new figure.
    """
    depths = sorted(sweeps)
    with styled():
        figure = new_figure(1.2 + 2.9 * len(depths), 3.6)
        panels = _panels(figure, 2, len(depths))
        for column, depth in enumerate(depths):
            points = theory.transition(depth + 1, np.asarray(modes))
            for sweep in sweeps[depth]:
                up = sweep["up"]
                for mode, value in enumerate(modes):
                    label = f"mode {value:g}" if sweep is sweeps[depth][0] else None
                    panels[0][column].plot(
                        up["penalty"], np.abs(up["orders"][:, mode]), color=OKABE_ITO[mode % 7][0],
                        marker=MARKERS[mode % 9], ms=2, lw=0.6, label=label,
                    )  # fmt: skip
                panels[1][column].plot(up["penalty"], up["rank"], color=UP, marker="o", ms=2, lw=0.6)
            gammas = np.asarray(sweeps[depth][0]["up"]["penalty"])
            for value in modes:
                branch = theory.learned_branch(gammas, depth + 1, value) / value
                panels[0][column].plot(gammas, branch, color=TRUTH, lw=2.6, alpha=0.3, zorder=1)
            for ax in (panels[0][column], panels[1][column]):
                for place in points.spinodal:
                    ax.axvline(place, color=GUIDE, lw=0.7, ls=(0, (1, 1.5)), zorder=0)
                small_labels(ax)
            panels[0][column].set_title(f"{depth} hidden, L = {depth + 1}")
            panels[0][column].tick_params(labelbottom=False)
            panels[1][column].set_xlabel("L2 penalty γ")
            attach_numbers(panels[0][column], _numbers(sweeps[depth], depth))
        panels[0][0].set_ylabel("order parameter")
        panels[1][0].set_ylabel("rank")
        panels[0][-1].legend(loc="upper right")
    return panels[0][0]


def plot_onset(runs: Mapping[int, Sequence[Mapping[str, Any]]]) -> Axes:
    """Squared norm of the weights over the steps of gradient descent from small weights, a panel for each depth.

    A colour for each penalty, in units of the critical one of the depth; every seed is drawn.

    Args:
        runs: By number of hidden layers one mapping for each seed: ``penalties``, ``step``, ``norm_over_steps``.

    Returns:
        The first Axes of the new figure.
    """
    depths = sorted(runs)
    with styled():
        figure = new_figure(1.2 + 2.9 * len(depths), 2.6)
        panels = _panels(figure, 1, len(depths))[0]
        for ax, depth in zip(panels, depths, strict=True):
            critical, rows = float(theory.transition(depth + 1).critical), []
            for run in runs[depth]:
                for i, gamma in enumerate(run["penalties"]):
                    step, norm = np.asarray(run["step"][1:]), np.asarray(run["norm_over_steps"][i][1:])
                    share = f"{gamma / critical:.2g} γc" if gamma else "γ = 0"
                    ax.plot(
                        step, norm, color=OKABE_ITO[i % 7][0], ls=DASHES[i % 5], lw=0.8,
                        label=share if run is runs[depth][0] else None,
                    )  # fmt: skip
                    rows += [
                        {"depth": depth, "seed": run["seed"], "penalty": gamma, "step": int(s), "norm": float(n)}
                        for s, n in zip(step[::10], norm[::10], strict=True)
                    ]
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_ylim(max(1e-6, ax.get_ylim()[0]), ax.get_ylim()[1])
            ax.set_title(f"{depth} hidden, L = {depth + 1}")
            ax.set_xlabel("steps of gradient descent")
            small_labels(ax)
            attach_numbers(ax, rows)
        panels[0].set_ylabel("Σw²")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="upper right", ncols=len(names), bbox_to_anchor=(0.99, 1.0), borderaxespad=0.2
        )
    return panels[0]


def _panels(figure: Figure, rows: int, columns: int) -> list[list[Axes]]:
    """Axes in a grid with room for the labels on the left, the titles on top and the words of the last row."""
    width, height = figure.get_size_inches()
    left, right, bottom, top = 0.6 / width, 1 - 0.12 / width, 0.45 / height, 1 - 0.42 / height
    wide, high = (right - left) / columns, (top - bottom) / rows
    size = (wide * (1 - 1.6 * _GAP), high * 0.88)
    return [
        [
            figure.add_axes((left + (column + _GAP) * wide, top - (row + 0.94) * high, *size))
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def _shown(table: Mapping[str, F64], name: str) -> F64:
    """A series as it is drawn: the margin in units of ``2 gamma``."""
    values = np.asarray(table[name], dtype=np.float64)
    return values / (2 * np.asarray(table["penalty"])) if name == "margin" else values


def _draw_sweeps(ax: Axes, sweeps: Sequence[Sweep], name: str) -> None:
    """All seeds, down beneath up; marks on some points of the first only, lest the figure become megabytes of them."""
    for direction, color, marker, dash in (("down", DOWN, "s", DASHES[1]), ("up", UP, "o", "-")):
        for number, sweep in enumerate(sweeps):
            table = sweep[direction]
            (line,) = ax.plot(table["penalty"], _shown(table, name), color=color, ls=dash, lw=0.6, alpha=0.9)
            if number == 0:
                line.set(marker=marker, markevery=max(1, len(table["penalty"]) // _MARKS), ms=2.2, mec="none")
    if name == "margin":
        ax.axhline(0, color=GUIDE, lw=0.6, zorder=0)
        ax.set_ylim(-0.35, max(1.25, ax.get_ylim()[1]) if ax.get_ylim()[1] < 3 else 2.2)


def _places(sweeps: Sequence[Sweep], depth: int, activation: str) -> tuple[float, float]:
    """Critical penalty and end of the branch: of the closed form, or the medians measured."""
    point = theory.transition(depth + 1)
    if activation in ("identity", "relu"):
        half = 0.5 if activation == "relu" else 1.0
        return half * float(point.critical), half * float(point.spinodal)
    return (
        float(np.median([sweep["critical"].value for sweep in sweeps])),
        float(np.median([sweep["lost"].value for sweep in sweeps])),
    )


def _lines(ax: Axes, sweeps: Sequence[Sweep], depth: int, activation: str, named: bool) -> None:
    """Vertical lines at the critical penalty and at the spinodal, named above the first row."""
    critical, end = _places(sweeps, depth, activation)
    apart = depth > 1
    for place, dash, text in ((critical, (0, (4, 2)), "γc"), (end, (0, (1, 1.5)), "γsp"))[: 2 if apart else 1]:
        ax.axvline(place, color=GUIDE, lw=0.8, ls=dash, zorder=0)
        if named:
            ax.text(
                place, 1.02, text, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=7,
                color=GUIDE_TEXT,
            )  # fmt: skip


def _truth(ax: Axes, sweeps: Sequence[Sweep], depth: int, activation: str, name: str) -> None:
    """The closed form of the learned branch; of rectified units it is that of linear ones at twice the penalty."""
    if activation not in ("identity", "relu"):
        return
    copies = 2 if activation == "relu" else 1
    n, end = depth + 1, float(theory.transition(depth + 1).spinodal) / copies
    gammas = np.append(np.linspace(float(sweeps[0]["up"]["penalty"][0]), end, 300), end)
    b = theory.learned_branch(np.minimum(copies * gammas, float(theory.transition(n).spinodal)), n)
    curves: dict[str, Callable[[], F64]] = {
        "order": lambda: b,
        "error": lambda: (1 - b) ** 2,
        "norm": lambda: copies * n * b ** (2 / n),
    }
    if activation == "identity":
        curves["margin"] = lambda: theory.stability_margin(gammas, n) / (2 * gammas)
    if name in curves:
        ax.plot(gammas, curves[name](), color=TRUTH, lw=2.6, alpha=0.3, zorder=1)


def _numbers(sweeps: Sequence[Sweep], depth: int) -> list[dict[str, Any]]:
    """Every point drawn."""
    names = ("penalty", *(name for name, _ in ROWS), "rank")
    return [
        {"depth": depth, "seed": sweep["seed"], "direction": direction}
        | {name: float(np.asarray(sweep[direction][name])[i]) for name in names}
        for sweep in sweeps
        for direction in ("up", "down")
        for i in range(len(sweep[direction]["penalty"]))
    ]
