"""How often the interval of a rate covers the truth: simulated studies, as the table of docs/rates.md.

Run as ``python tests/coverage_table.py`` (minutes on one core); the test suite repeats some settings with less data.
"""

import numpy as np

from approxrates.rates import fit_rate

SIZES = np.geomspace(50, 5000, 8)
TEN_SIZES = np.geomspace(50, 5000, 10)
FIVE_SIZES = np.geomspace(50, 5000, 5)
SIX_SIZES = np.geomspace(50, 5000, 6)
SHORT = np.geomspace(50, 750, 5)
DATA_SETS = 150

SETTINGS = {
    "8 draws, 4 seeds": {},
    "8 draws, 4 seeds, size scatter .05 shared by all draws": {"draw_sd": 0.02, "size_sd": 0.05},
    "8 draws, 10 seeds, floor as large as the power law at the end": {"seeds": 10, "floor": 0.01},
    "8 draws, 10 seeds, floor a third of that": {"seeds": 10, "floor": 0.003},
    "8 draws, 10 sizes, 10 seeds, floor a tenth of that": {"seeds": 10, "sizes": TEN_SIZES, "floor": 0.001},
    "3 draws, 4 seeds": {"draws": 3},
    "4 draws, 5 sizes, 4 seeds": {"draws": 4, "sizes": FIVE_SIZES},
    "8 draws, 5 sizes, 10 seeds, floor a third of the power law at the end": {
        "seeds": 10,
        "sizes": FIVE_SIZES,
        "floor": 1 / 300,
    },
    "4 draws, 5 sizes over a factor of 15": {"draws": 4, "sizes": SHORT, "bad": 0.0},
    "the same with a floor a third of the power law at the end": {
        "draws": 4,
        "sizes": SHORT,
        "bad": 0.0,
        "floor": 1 / 45,
    },
    "1 draw, 10 seeds": {"draws": 1, "seeds": 10, "draw_sd": 0.0},
    "1 draw, 10 seeds, floor as large as the power law at the end": {
        "draws": 1,
        "seeds": 10,
        "draw_sd": 0.0,
        "floor": 0.01,
    },
    "1 draw, 10 seeds, floor a third of that": {"draws": 1, "seeds": 10, "draw_sd": 0.0, "floor": 1 / 300},
    "1 draw, 6 sizes, 10 seeds, floor a third of that": {
        "draws": 1,
        "seeds": 10,
        "draw_sd": 0.0,
        "sizes": SIX_SIZES,
        "floor": 1 / 300,
    },
}


def simulate(rng, *, draws=8, sizes=SIZES, seeds=4, p=1.0, draw_sd=0.05, size_sd=0.0, seed_sd=0.25, bad=0.1, floor=0.0):
    """Errors (draws, k, seeds): draws differ in constant and slope, sizes and seeds scatter, some seeds end badly."""
    x = np.log(sizes / sizes[0])
    constant = rng.normal(0, 0.2, (draws, 1))
    slope = p + rng.normal(0, draw_sd, (draws, 1))
    law = np.exp(constant - slope * x + rng.normal(0, size_sd, len(x))) + floor
    errors = law[..., None] * np.exp(rng.normal(0, seed_sd, (draws, len(x), seeds)))
    unlucky = rng.random(errors.shape) < bad
    return np.where(unlucky, errors * np.exp(rng.exponential(1.5, errors.shape)), errors)


def coverage(setting, data_sets=DATA_SETS):
    """Share of intervals that hold the truth p = 1, their median half width, share determined, coverage among those."""
    rng = np.random.default_rng(1)
    rates = [fit_rate(setting.get("sizes", SIZES), simulate(rng, **setting)) for _ in range(data_sets)]
    covered = np.array([rate.interval[0] <= 1.0 <= rate.interval[1] for rate in rates])
    determined = np.array([rate.verdict == "determined" for rate in rates])
    half = np.median([(rate.interval[1] - rate.interval[0]) / 2 for rate in rates])
    return covered.mean(), half, determined.mean(), covered[determined].mean() if determined.any() else np.nan


def main():
    """Print the table."""
    print("| setting | covers | median half width | determined | covers given determined |\n|---|---|---|---|---|")
    for name, setting in SETTINGS.items():
        covered, half, determined, given = coverage(setting)
        print(f"| {name} | {covered:.3f} | {half:.3f} | {determined:.2f} | {given:.3f} |", flush=True)


if __name__ == "__main__":
    main()
