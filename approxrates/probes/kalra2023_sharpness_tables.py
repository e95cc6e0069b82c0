"""What the cells of the probe of sharpness come to: tables by seed, expected against measured, sentences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.probes.base import Quantity
from approxrates.regimes import Regimes, label_regimes

if TYPE_CHECKING:
    import pandas as pd

F64 = NDArray[np.float64]

CONSTANTS = ("c_loss", "c_sharp", "c_barrier", "c_max")

PAPER = "Kalra & Barkeshli (2023), arXiv:2302.12250"
CLOSED = "closed form (docs/probes/kalra2023_sharpness.md)"
TRIAL = "a trial implementation, three initialisations, MNIST, N = 256"

# Means measured before, by hidden layers and width: c_loss, c_sharp, c_max.
TRIAL_MEANS = {
    (3, 32): (13.7, 16.8, 30.9), (3, 64): (7.7, 9.7, 14.8), (3, 128): (5.2, 6.7, 11.3), (3, 256): (3.35, 6.1, 11.9),
    (3, 512): (2.46, 3.33, 10.3), (7, 128): (10.5, 15.4, 21.0), (7, 256): (4.62, 7.65, 16.0),
}  # fmt: skip
_TRIAL_SEEDS = 3

TELLING = 1.4
"""Means measured before are judged where the interval is no wider than this factor either way: beyond, hardly
anything could differ. Chosen after the measurement; 1.4 is how far depths collapse in d/w by the same trial."""


def rows(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Cells of one kind that succeeded."""
    if not len(frame):
        return frame
    return frame[(frame["part"] == part) & (frame["status"] == "ok")]


def records(frame: pd.DataFrame, part: str) -> list[dict[str, Any]]:
    """The same, one mapping for each."""
    return [{str(name): value for name, value in row.items()} for row in rows(frame, part).to_dict("records")]


def by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """Critical constants with one row for each depth, width and seed.

    NaN for what is missing, infinity for what lies beyond what was tried.
    """
    import pandas as pd

    found: dict[tuple[int, int, int], dict[str, Any]] = {}
    for row in records(frame, "constants"):
        for i, seed in enumerate(row["seeds"]):
            key = (int(row["depth"]), int(row["width"]), int(seed))
            entry = found.setdefault(key, dict.fromkeys(CONSTANTS, np.nan))
            names = ("c_sharp",) if row["event"] == "sharpness" else ("c_loss", "c_barrier", "c_max")
            entry |= {name: np.inf if row[name][i] is None else float(row[name][i]) for name in names}
            entry["sharpness_start"] = float(row["sharpness_start"][i])
    table = pd.DataFrame(
        [dict(zip(("depth", "width", "seed"), key, strict=True)) | entry for key, entry in sorted(found.items())],
        columns=["depth", "width", "seed", *CONSTANTS, "sharpness_start"],
    )
    return table.astype({"depth": int, "width": int, "seed": int})


def paths(frame: pd.DataFrame) -> list[tuple[dict[str, Any], Regimes]]:
    """Trajectories with their regimes, in the order of seeds."""
    found = sorted(records(frame, "trajectory"), key=lambda row: row["seed"])
    return [
        (row, label_regimes(row["steps"], row["loss"], row["sharpness"], row["learning_rate"]))
        for row in found
        if row["outcome"] not in ("diverged", "non-finite")
    ]


def best_path(frame: pd.DataFrame) -> tuple[dict[str, Any], Regimes] | None:
    """The first trajectory with all four regimes; without one, that with most of them."""
    found = paths(frame)
    return max(found, key=lambda one: (one[1].all_four, len(one[1].found)), default=None)


def mean_interval(values: Sequence[float] | F64) -> tuple[float, float | None, float | None]:
    """Mean of some seeds with its 95 % interval by Student's law; no interval of a single one."""
    from scipy import stats

    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2 or not np.isfinite(mean):
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, mean - half, mean + half


def verdict(low: float | None, high: float | None, least: float, most: float) -> str:
    """Whether an interval lies in a range, outside of it, or across its ends."""
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "undecided"
    if least <= low and high <= most:
        return "agrees"
    return "differs" if high < least or low > most else "undecided"


def quantities(settings: Any, frame: pd.DataFrame) -> list[Quantity]:
    """Expected against measured."""
    table = by_seed(frame)
    found = [*_uv(frame), *_order(table, settings.resolution), *_width(table), *_edge(frame), *_regimes(frame)]
    return found + (against_trial(table, settings.resolution) if _is_trial(settings) else [])


def _is_trial(settings: Any) -> bool:
    """Whether the settings are those of the trial."""
    return (settings.data, settings.n_examples, settings.steps) == ("mnist", 256, 10)


def _uv(frame: pd.DataFrame) -> list[Quantity]:
    """The uv model against its closed forms and the trainer."""
    found = []
    for row in sorted(records(frame, "uv"), key=lambda one: one["width"]):
        if row["width"] < 256:
            continue
        width = int(row["width"])
        expected = [("c_loss", "2 to 2.1", 2.0, 2.1), ("c_max", "4 ± 0.15", 3.85, 4.15)]
        if row["width"] >= 1024:
            expected.insert(1, ("c_sharp", "5/2 as w grows (2.45 to 2.55)", 2.45, 2.55))
        for name, text, least, most in expected:
            mean, half = row[f"{name}_mean"], 1.96 * row[f"{name}_error"]
            found.append(_quantity(
                f"uv model, w = {width}: mean {name}", text, CLOSED, mean, mean - half, mean + half, least, most
            ))  # fmt: skip
    exact = rows(frame, "uv")
    if len(exact):
        worst = float(exact["closed_form_error"].max())
        found.append(_quantity(
            "uv model: largest distance of c_loss from its closed form, in log2 c", "at most 0.001, the resolution",
            CLOSED, worst, worst, worst, 0.0, 1e-3,
        ))  # fmt: skip
    if len(trained := rows(frame, "uv-trainer")):
        worst = float(trained["loss_difference"].max())
        found.append(_quantity(
            "uv model: trained losses against the exact ones, largest difference over the largest loss",
            "at most 1e-10", CLOSED, worst, worst, worst, 0.0, 1e-10,
        ))  # fmt: skip
    for row in records(frame, "uv-map"):
        wrong, note = row["wrong_area"], f"by its own estimate {row['estimated_area']:.3f}"
        found.append(_quantity(
            f"uv model: wrongly named area of the map of {int(row['runs'])} runs", "at most 5 %", CLOSED, wrong, wrong,
            wrong, 0.0, 0.05, note,
        ))  # fmt: skip
    return found


def _order(table: pd.DataFrame, resolution: float) -> list[Quantity]:
    """Which constant comes first, by depth: of the medians at every width, and of single networks.

    A constant is known to one step of the grid, so one that comes before another by one step is not out of order.
    """
    found, step = [], 2.0**resolution * (1.0 + 1e-9)
    for depth, part in table.groupby("depth"):
        d = int(str(depth)) + 1
        medians = part.groupby("width")[["c_loss", "c_sharp", "c_max"]].median().dropna()
        if len(medians):
            held = (medians["c_loss"] <= medians["c_sharp"]) & (medians["c_sharp"] <= medians["c_max"])
            found.append(Quantity(
                f"d = {d}: share of widths at which the medians obey c_loss <= c_sharp <= c_max", "1", PAPER,
                float(held.mean()), None, None, "agrees" if held.all() else "differs", f"{len(held)} widths",
            ))  # fmt: skip
        for first, second in itertools.pairwise(CONSTANTS):
            both = part.dropna(subset=[first, second])
            if len(both):
                found.append(
                    _barrier_before_divergence(d, both)
                    if second == "c_max"
                    else _share_in_order(d, both, first, second, step)
                )
    return found


def _share_in_order(d: int, both: pd.DataFrame, first: str, second: str, step: float) -> Quantity:
    """The share of networks of one depth in which a constant does not come after another, with Wilson's interval."""
    held = both[first] <= both[second] * step
    low, high = wilson(int(held.sum()), len(held))
    share, note = float(held.mean()), f"{len(held)} networks, to one step of the grid"
    if not held.all():
        note += f"; all others have w <= {int(both['width'][~held].max())}"
    judged = "agrees" if low >= 0.9 else "differs" if high < 0.9 else "undecided"
    return Quantity(
        f"d = {d}: share of networks with {first} <= {second}", "1 (interval from 0.9)", PAPER, share, low, high,
        judged, note,
    )  # fmt: skip


def _barrier_before_divergence(d: int, both: pd.DataFrame) -> Quantity:
    """The share of networks of one depth that have a barrier at a constant at which they do not diverge.

    Divergence counts as a barrier, so c_barrier is at most one step of the grid above c_max whatever the network does:
    to one step the order could not fail. A barrier that comes with divergence leaves the order undecided.
    """
    held = both["c_barrier"] <= both["c_max"] * (1.0 + 1e-9)
    low, high = wilson(int(held.sum()), len(held))
    return Quantity(
        f"d = {d}: share of networks with c_barrier <= c_max, the barrier seen before divergence",
        "1 (interval from 0.9)", PAPER, float(held.mean()), low, high, "agrees" if low >= 0.9 else "undecided",
        f"{len(held)} networks; in the others the barrier is divergence itself, which decides nothing",
    )  # fmt: skip


def _width(table: pd.DataFrame) -> list[Quantity]:
    """How the constant of the loss falls with the width."""
    from scipy import stats

    found = []
    for depth, part in table[np.isfinite(table["c_loss"])].groupby("depth"):
        if part["width"].nunique() < 3:
            continue
        line = stats.linregress(np.log2(part["width"]), np.log2(part["c_loss"]))
        half = float(stats.t.ppf(0.975, len(part) - 2) * line.stderr)
        judged = "agrees" if line.slope + half < 0.0 else "differs" if line.slope - half > 0.0 else "undecided"
        found.append(Quantity(
            f"d = {int(str(depth)) + 1}: exponent of c_loss in w", "negative: c_loss falls towards 2", PAPER,
            float(line.slope), float(line.slope) - half, float(line.slope) + half, judged, f"{len(part)} networks",
        ))  # fmt: skip
    wide = table[(table["width"] == 512) & (table["depth"] == 3)]["c_loss"].dropna()
    if len(wide):
        mean, low, high = mean_interval(wide.to_numpy())
        found.append(_quantity("d = 4, w = 512: mean c_loss", "2 to 2.8", TRIAL, mean, low, high, 2.0, 2.8))
    return found


def _edge(frame: pd.DataFrame) -> list[Quantity]:
    """The sharpness at the edge over ``2 / learning_rate``."""
    found = []
    part = rows(frame, "edge")
    for target, same in part.groupby("target") if len(part) else []:
        ratios = same["ratio"].to_numpy(dtype=float)
        mean, low, high = mean_interval(ratios)
        reached = bool((same["largest_ratio"] >= 0.9).all())
        found.append(Quantity(
            f"tanh, 2/eta = {float(str(target)):g}: mean sharpness over the last half, over 2/eta", "1 ± 0.03", PAPER,
            mean, low, high, verdict(low, high, 0.97, 1.03) if reached else "undecided",
            f"{len(ratios)} networks" + ("" if reached else "; sharpening had not reached the edge in all of them"),
        ))  # fmt: skip
    return found


def _regimes(frame: pd.DataFrame) -> list[Quantity]:
    """In how many trajectories all four regimes are found in their order."""
    found = paths(frame)
    if not found:
        return []
    hits = sum(regimes.all_four for _, regimes in found)
    share = hits / len(found)
    low, high = wilson(hits, len(found))
    return [Quantity(
        "share of trajectories in which all four regimes are found in their order", "more than one trajectory", PAPER,
        share, low, high, "agrees" if hits > 1 else "undecided" if hits else "differs",
        f"{hits} of {len(found)} initialisations; labels by approxrates.regimes",
    )]  # fmt: skip


def against_trial(table: pd.DataFrame, resolution: float) -> list[Quantity]:
    """Means against those measured before with another program, as ratios."""
    from scipy import stats

    found = []
    for (depth, width), means in TRIAL_MEANS.items():
        part = table[(table["depth"] == depth) & (table["width"] == width)]
        for name, before in zip(("c_loss", "c_sharp", "c_max"), means, strict=True):
            values = np.log2(part[name].dropna().to_numpy())
            if len(values) < 2 or not np.isfinite(values).all():
                continue
            spread = values.std(ddof=1) * np.sqrt(1.0 / len(values) + 1.0 / _TRIAL_SEEDS)
            half = float(stats.t.ppf(0.975, len(values) - 1) * spread) + resolution
            away = float(np.log2(2.0**values).mean() - np.log2(before))
            found.append(Quantity(
                f"d = {depth + 1}, w = {width}: {name}, mean over seeds", f"{before:g}", TRIAL,
                float((2.0**values).mean()), before * 2.0 ** (away - half), before * 2.0 ** (away + half),
                "differs" if abs(away) > half else "agrees" if half <= np.log2(TELLING) else "undecided",
                "interval of the difference, seeds of both counted"
                + ("" if half <= np.log2(TELLING) or abs(away) > half else f"; wider than a factor of {TELLING:g}"),
            ))  # fmt: skip
    return found


def _quantity(
    name: str,
    expected: str,
    source: str,
    measured: float,
    low: float | None,
    high: float | None,
    least: float,
    most: float,
    note: str = "",
) -> Quantity:
    """A quantity that is expected in a range."""
    return Quantity(name, expected, source, measured, low, high, verdict(low, high, least, most), note)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Interval of a share at 95 % (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Example:
        >>> [round(end, 3) for end in wilson(10, 10)]
        [0.722, 1.0]
    """
    z = 1.959964
    centre, scale = (hits + z * z / 2) / (n + z * z), z / (n + z * z)
    half = scale * float(np.sqrt(hits * (n - hits) / n + z * z / 4))
    return max(0.0, centre - half), min(1.0, centre + half)


def findings(settings: Any, frame: pd.DataFrame) -> list[str]:
    """What came out, a sentence each."""
    table, told = by_seed(frame), []
    for depth, part in table.groupby("depth"):
        medians = part.groupby("width")[list(CONSTANTS)].median()
        ends = [(int(str(w)), medians.loc[w]) for w in (medians.index.min(), medians.index.max())]
        text = "; ".join(
            f"w = {w}: " + ", ".join(f"{name} {row[name]:.2f}" for name in CONSTANTS if np.isfinite(row[name]))
            for w, row in ends
        )
        told.append(f"d = {int(str(depth)) + 1} (medians over seeds): {text}.")
    told += _collapse(table)
    if scans := [one for one in records(frame, "constants") if one["event"] == "loss"]:
        told.append(
            f"Conditions on loss, barrier and divergence failed again beyond their first crossing at "
            f"{sum(int(one['falls_back']) for one in scans)} of the points scanned, over "
            f"{sum(len(one['seeds']) for one in scans)} networks."
        )
    if _is_trial(settings) and (before := against_trial(table, settings.resolution)):
        agree, differ, open_ = (sum(q.verdict == word for q in before) for word in ("agrees", "differs", "undecided"))
        told.append(
            f"Means measured before with another program, {len(before)} of them: agrees {agree}, differs {differ}, "
            f"undecided {open_}, whose intervals of 95 % hold the mean but are wider than a factor of {TELLING:g}."
        )
    if len(uv := rows(frame, "uv")):
        widest = uv.sort_values("width").iloc[-1]
        told.append(
            f"uv model, w = {int(widest['width'])}: c_loss {widest['c_loss_mean']:.3f}, c_barrier "
            f"{widest['c_barrier_mean']:.3f}, c_sharp {widest['c_sharp_mean']:.3f}, c_max {widest['c_max_mean']:.3f}; "
            "in wide models the barrier comes before the sharpness."
        )
    for row, regimes in [one] if (one := best_path(frame)) else []:
        stretches = ", ".join(f"{i.regime} {i.begin:.0f} to {i.end:.0f}" for i in regimes.intervals)
        told.append(f"Regimes of the trajectory of seed {int(row['seed'])}, by steps: {stretches}.")
    return told


def _collapse(table: pd.DataFrame) -> list[str]:
    """How well depth and width enter as d/w only: constants at one ratio, over each other."""
    medians = table.assign(ratio=(table["depth"] + 1) / table["width"]).groupby(["ratio", "depth"])["c_loss"].median()
    medians = medians[np.isfinite(medians)]
    spreads = [
        (float(str(ratio)), float(same.max() / same.min())) for ratio, same in medians.groupby("ratio") if len(same) > 1
    ]
    if not spreads:
        return []
    worst = max(spreads, key=lambda one: one[1])
    return [
        f"At equal d/w the medians of c_loss of different depths differ by a factor of at most {worst[1]:.2f} "
        f"({len(spreads)} ratios)."
    ]
