"""README and figures of results/benchmarks, from its tables."""

import pandas as pd
from throughput import LOOP, WAYS

from approxrates.plots.saving import attach_numbers, save_figure
from approxrates.plots.style import looks, new_figure, styled

NATIVE, REFERENCE, JAX = "ours, native (numba)", "ours, reference (torch)", "jax vmap + jit + scan"
HEAD = """# benchmarks

Speed and accuracy of the trainer against what users have instead. `make benchmarks` makes an environment of its own with
the peers (`make benchmark-env`) and writes this folder; [docs/benchmarks.md](../../docs/benchmarks.md) says how each
contender is run. All seconds are CPU seconds of one core.
"""


def write(folder):
    """The page, with a section for each table that is there."""
    machine = pd.read_csv(folder / "machine.csv").iloc[0]
    versions = ", ".join(f"{name} {machine[name]}" for name in machine.index[2:-1])
    parts = [HEAD, f"Measured on {machine['date']}, {machine['cpu']}, one core. {versions}.\n"]
    if machine["budget"] != 1:
        parts.append(f"**A trial run at {machine['budget']:g} times the budget: not to be quoted.**\n")
    for name, section in SECTIONS:
        if (folder / f"{name}.csv").exists():
            parts.append(section(folder, pd.read_csv(folder / f"{name}.csv")))
    if (folder / "micro.csv").exists():
        parts.append("## Parts of the trainer\n\nMedians of the pytest-benchmark tests: [micro.csv](micro.csv).\n")
    (folder / "README.md").write_text("\n".join(parts))


def markdown(rows, columns):
    """A table in markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""])


def digits(value, form=".2g"):
    """A number in few characters; a dash for none."""
    return "–" if pd.isna(value) else format(value, form)


def problem_name(row):
    """The case of a row of the throughput table in words."""
    return f"{row.activation} {row.dtype.replace('float', 'f')}, W{row.width} L{row.depth} M{row.points}"


def throughput(folder, table):
    """Rates, ratios and shares."""
    table["problem"] = [problem_name(row) for row in table.itertuples()]
    ways = [way for way in WAYS if way in set(table["way"])]
    keys = list(dict.fromkeys(zip(table["problem"], table["replicas"], strict=True)))
    cells = {(row.problem, row.replicas, row.way): row for row in table.itertuples()}
    parts = [
        "## Throughput: replica-steps per CPU second\n",
        "Full-batch Adam on N networks, all contenders in one run and in turn, medians over rounds. In brackets: how many"
        f" times the rate of {LOOP} in the same round. The loop trains one network after the other, so that its rate is the"
        " same for every N.\n",
        markdown(
            [[f"{name}, N={n}", *(_rate(cells[name, n, way]) for way in ways)] for name, n in keys], ["problem", *ways]
        ),
        "Share of the machine's peak, 6 P M operations a gradient over a 1024 x 1024 matrix product of the same"
        " precision in the same rounds:\n",
        markdown(
            [
                [f"{name}, N={n}", digits(cells[name, n, LOOP].peak_gflops, ".0f")]
                + [digits(100 * cells[name, n, way].share_of_peak, ".1f") for way in ways]
                for name, n in keys
            ],
            ["problem", "peak, GF/s", *(f"{way}, %" for way in ways)],
        ),
        _agreement(table),
        "![Replica-steps per CPU second](figures/throughput.svg)\n",
        "*Throughput.* Rates by number of replicas. ([PDF](figures/throughput.pdf), [numbers](figures/throughput.csv);"
        " everything: [throughput.csv](throughput.csv))\n",
    ]
    draw_throughput(table, ways, folder / "figures" / "throughput")
    return "\n".join(parts)


def _rate(row):
    """One cell of the table of rates."""
    return row.status if pd.isna(row.steps_per_second) else f"{row.steps_per_second:.0f} ({row.times_the_loop:.1f}×)"


def _agreement(table):
    """That all did the same, and on one core."""
    bad = sorted(set(table.loc[table["status"] == "other losses", "way"]))
    worst = {kind: part["loss_difference"].max() for kind, part in table.groupby("dtype")}
    told = ", ".join(f"{value:.0e} in {kind}" for kind, value in worst.items())
    busy = table.loc[table["way"].str.startswith("jax"), "cores_used"].max()
    return (
        f"Before the timing all took the same steps from the same start: losses differ by at most {told} (relative)"
        + (f"; **not the same: {', '.join(bad)}**. " if bad else ". ")
        + f"Most CPU seconds per wall second of any jax run: {digits(busy)}.\n"
    )


def draw_throughput(table, ways, path):
    """Rates of the two main cases against the number of replicas."""
    look = looks((way, way == LOOP) for way in ways)
    with styled():
        figure = new_figure(7.0, 3.0)
        panels = figure.subplots(1, 2)
        for ax, (kind, name) in zip(panels, (("relu", "relu, float32"), ("tanh", "tanh, float64")), strict=True):
            part = table[(table["activation"] == kind) & (table["width"] == 8) & (table["depth"] == 8)]
            for way in ways:
                line = part[part["way"] == way].dropna(subset="steps_per_second").sort_values("replicas")
                style = look[way]
                ax.plot(
                    line["replicas"], line["steps_per_second"], color=style.color, marker=style.marker, ls=style.dash,
                    lw=style.width, ms=3.5, label=way,
                )  # fmt: skip
                attach_numbers(
                    ax, line[["problem", "way", "replicas", "steps_per_second", "spread"]].to_dict("records")
                )
            ax.set(xscale="log", yscale="log", xlabel="replicas N", title=f"{name}, W8 L8 M512")
            ax.set_xticks([1, 8, 64, 256], ["1", "8", "64", "256"])
            ax.minorticks_off()
        panels[0].set_ylabel("replica-steps per CPU second")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=3, fontsize=6.5)
        figure.subplots_adjust(left=0.09, right=0.99, top=0.92, bottom=0.36, wspace=0.2)
    save_figure(figure, path)


def spread(values, form=".1e"):
    """Median, and in brackets the least and the greatest."""
    return f"{values.median():{form}} [{values.min():{form}}, {values.max():{form}}]"


def time_to_error(folder, table):
    """Errors reached after so many seconds."""
    marks = {"rmse_half_second": "0.5 s", "rmse_1_second": "1 s", "rmse_2_seconds": "2 s", "rmse_3_seconds": "3 s"}
    rows = []
    for name, part in table.groupby("optimiser", sort=False):
        if part["status"].iloc[0] != "ok":
            rows.append([name, *[part["status"].iloc[0]] * (len(marks) + 3)])
            continue
        reached = [digits(part[mark].median(), ".1e") for mark in marks]
        took = f"{part['cpu_seconds'].median():.1f}"
        rows.append([name, *reached, spread(part["rmse_end"]), f"{part['sup_fresh'].median():.1e}", took])
    curves = pd.read_csv(folder / "curves.csv")
    draw_curves(curves, list(dict.fromkeys(table["optimiser"])), folder / "figures" / "time-to-error")
    seeds = table["seed"].nunique()
    return "\n".join(
        [
            "## Time to error: a tanh network, 8 x 4 units, on exp(sin 2 pi x)\n",
            f"512 even points, float64, {seeds} seeds, the same starting weights for all. RMSE at the points after so many"
            " CPU seconds of one replica (median), at the end (median [least, greatest]), and sup error at fresh points.\n",
            markdown(rows, ["optimiser", *marks.values(), "end", "sup, fresh points", "CPU s"]),
            "![RMSE against CPU seconds](figures/time-to-error.svg)\n",
            "*Time to error.* Every seed is a line. ([PDF](figures/time-to-error.pdf),"
            " [numbers](figures/time-to-error.csv); all runs: [time-to-error.csv](time-to-error.csv))\n",
        ]
    )


def draw_curves(curves, names, path):
    """RMSE against CPU seconds."""
    look = looks((name, False) for name in names)
    with styled():
        figure = new_figure(6.0, 3.4)
        ax = figure.subplots()
        for name in names:
            for number, (_, line) in enumerate(curves[curves["optimiser"] == name].groupby("seed")):
                label, style = name if number == 0 else None, look[name]
                ax.plot(line["cpu_seconds"], line["rmse"], color=style.color, ls=style.dash, lw=0.9, label=label)
                attach_numbers(ax, line.to_dict("records"))
        ax.set(xscale="log", yscale="log", xlabel="CPU seconds of one replica", ylabel="RMSE so far")
        ax.set_xlim(left=0.02)
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=6.5)
        figure.subplots_adjust(left=0.1, right=0.7, top=0.97, bottom=0.14)
    save_figure(figure, path)


def toys(folder, table):
    """Errors on the toys."""
    rows = []
    for (toy, learner), part in table.groupby(["toy", "learner"], sort=False):
        if part["rmse"].isna().all():
            rows.append([toy, learner, *[part["status"].iloc[0]] * 4])
            continue
        one = len(part) == 1
        errors = [f"{part[c].iloc[0]:.1e}" if one else spread(part[c]) for c in ("rmse", "sup")]
        size = f"{part['n_params'].iloc[0]}" + ("" if (part["status"] == "ok").all() else " (over)")
        rows.append([toy, learner, size, *errors, f"{part['cpu_seconds'].median():.2g}"])
    return "\n".join(
        [
            "## Toys at equal parameters and CPU\n",
            f"The same 1000 points for all learners, {table['seed'].nunique()} seeds, float64. Median [least, greatest] over the"
            " seeds, at 20,000 fresh points and the corners. The interpolants are no learners and choose their own points: the"
            " line to admit to.\n",
            markdown(rows, ["target", "learner", "parameters", "RMSE", "sup", "CPU s"]),
            "All runs: [toys.csv](toys.csv).\n",
        ]
    )


def sharpness(folder, table):
    """Times to the top Hessian eigenvalue."""
    rows, ways = [], list(dict.fromkeys(table["way"]))
    for (task, accuracy, chosen), part in table.groupby(["task", "accuracy", "chosen"], sort=False):
        cells = {row.way: row for row in part.itertuples()}
        rows.append([f"{task}, {accuracy:.0e}, {chosen}", *(_sharpness_cell(cells[way]) for way in ways)])
    worst = table.loc[table["status"] == "less accurate"].groupby("way")["error"].min()
    short = "; ".join(f"{way}: {error:.1e} at best of these" for way, error in worst.items())
    return "\n".join(
        [
            "## Sharpness: CPU time to the top Hessian eigenvalue\n",
            "A ReLU network at random parameters, 512 random points, float32, mean square; from the first forward pass to the"
            " eigenvalue, mean of three starts, median over rounds, all contenders in turn. Cells: milliseconds, and in brackets"
            " how many times ours in the same round; error against the eigenvalue in double precision. *As asked*: the"
            " contender's tolerance is the accuracy; *loosest*: the loosest tolerance with which all starts reach it.\n",
            markdown(rows, ["problem, accuracy, tolerance", *ways]),
            (f"Not so accurate as asked: {short}. " if short else "") + "Everything: [sharpness.csv](sharpness.csv).\n",
        ]
    )


def _sharpness_cell(row):
    """Time, ratio, error and products of one contender."""
    if row.status == "not installed":
        return row.status
    products = "" if pd.isna(row.products) else f", {row.products:.0f} products"
    bad = "**" if row.status == "less accurate" else ""
    return f"{1e3 * row.cpu_seconds:.3g} ({row.times_ours:.1f}×), {bad}error {row.error:.0e}{bad}{products}"


SECTIONS = (
    ("throughput", throughput),
    ("time-to-error", time_to_error),
    ("toys", toys),
    ("sharpness", sharpness),
)
