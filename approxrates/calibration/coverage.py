"""How often the intervals of rates and forecasts hold the truth: simulated studies with a known exponent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.calibration.base import Calibration
from approxrates.rates import Rate, fit_rate
from approxrates.study.studyplan import expected_half_width

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Generator = np.random.Generator

SIZES: Array = np.geomspace(50, 5000, 8)
"""Eight sizes over two decades."""
SHORT: Array = np.geomspace(50, 750, 5)
TRUTH = 1.0
BAND = (0.90, 0.99)
MOST_UNDETERMINED = 0.2

LATE = float(SIZES[0] / SIZES[5])
"""A floor that is as large as the power law where the last third of eight sizes begins."""
_FLOORED = {"seeds": 10, "bad": 0.1}

# (asked for in the bar, label, simulation, options of fit_rate)
SETTINGS: tuple[tuple[bool, str, dict[str, Any], dict[str, Any]], ...] = (
    (True, "clean", {}, {}),
    (True, "10 % of runs missing", {"missing": 0.1}, {}),
    (True, "10 % of runs end badly", {"bad": 0.1}, {}),
    (True, "floor in the last third", {"floor": LATE}, {}),
    (True, "known factor log W", {"log_power": 1.0}, {"log_power": 1.0}),
    (False, "floor in the last third, known", {"floor": LATE}, {"floor": LATE}),
    (False, "floor a third of the last error", {"floor": float(SIZES[0] / SIZES[-1]) / 3, **_FLOORED}, {}),
    (False, "size scatter .05 shared by draws", {"draw_sd": 0.02, "size_sd": 0.05, "bad": 0.1}, {}),
    (False, "3 draws", {"draws": 3, "bad": 0.1}, {}),
    (False, "4 draws, 5 sizes over a factor of 15", {"draws": 4, "sizes": SHORT}, {}),
    (False, "1 draw, 10 seeds", {"draws": 1, "seeds": 10, "draw_sd": 0.0, "bad": 0.1}, {}),
    (False, "large sizes out of budget, flagged", {"limited": 0.4}, {}),
    (False, "errors below a detection limit, flagged", {"limit": 0.03}, {}),
    (False, "break in the middle, 12 sizes", {"sizes": np.geomspace(50, 50_000, 12), "bend": 0.5}, {}),
)


def simulate(
    rng: Generator, *, draws: int = 8, sizes: Array = SIZES, seeds: int = 4, p: float = TRUTH, draw_sd: float = 0.05,
    size_sd: float = 0.0, seed_sd: float = 0.25, bad: float = 0.1, floor: float = 0.0, log_power: float = 0.0,
    bend: float = 0.0,
) -> Array:  # fmt: skip
    """Errors ``(draws, k, seeds)`` of a study of a power law.

    Args:
        rng: Source of randomness.
        draws: Target draws; they differ in constant (standard deviation .2 of its logarithm) and slope.
        sizes: Shape ``(k,)``.
        seeds: Runs at each draw and size.
        p: The exponent; of the last segment if there is a break.
        draw_sd: Standard deviation of the slope between draws.
        size_sd: Standard deviation of what all draws share at a size, in log error.
        seed_sd: Standard deviation between seeds, in log error.
        bad: Share of runs that end badly: their log error is larger by an exponential variable of mean 1.5.
        floor: Added to the law, whose error at the smallest size is about 1.
        log_power: Power of the factor ``log W / log W_1``.
        bend: By how much the slope is smaller before a break in the middle of the sizes.
    """
    x = np.log(sizes / sizes[0])
    constant = rng.normal(0, 0.2, (draws, 1))
    slope = p + rng.normal(0, draw_sd, (draws, 1))
    line = constant - slope * x + rng.normal(0, size_sd, len(x)) + log_power * np.log(np.log(sizes) / np.log(sizes[0]))
    line = line + bend * np.minimum(x, (x[len(x) // 2] + x[len(x) // 2 - 1]) / 2)
    law = np.exp(line) + floor
    errors: Array = law[..., None] * np.exp(rng.normal(0, seed_sd, (draws, len(x), seeds)))
    unlucky = rng.random(errors.shape) < bad
    return np.where(unlucky, errors * np.exp(rng.exponential(1.5, errors.shape)), errors)


def spoil(
    rng: Generator, errors: Array, *, missing: float = 0.0, limited: float = 0.0, limit: float = 0.0
) -> tuple[Array, NDArray[np.bool_]]:
    """Errors with runs missing or known by an upper bound only, and the mask of the latter.

    Args:
        rng: Source of randomness.
        errors: Shape ``(draws, k, seeds)``.
        missing: Share of runs without an error.
        limited: Share of (draw, size) cells in the larger half that ran out of budget: all their errors too large by
            an exponential factor of mean ``e^.5``.
        limit: Errors below this read as this: all that is known is that they are not larger.
    """
    flags = errors < limit
    errors = np.maximum(errors, limit)
    k = errors.shape[1]
    cells = (rng.random(errors.shape[:2]) < limited) & (np.arange(k) >= k // 2)
    errors = np.where(cells[..., None], errors * np.exp(rng.exponential(0.5, errors.shape)), errors)
    errors = np.where(rng.random(errors.shape) < missing, np.nan, errors)
    return errors, (flags | cells[..., None]) & np.isfinite(errors)


def data_set(rng: Generator, options: Mapping[str, Any]) -> tuple[Array, NDArray[np.bool_], float]:
    """Errors of one simulated study, which are upper bounds, and the error of a new draw at the next size."""
    spoils = {key: options[key] for key in ("missing", "limited", "limit") if key in options}
    law = {"seeds": 5, "bad": 0.0} | {key: value for key, value in options.items() if key not in spoils}
    sizes = law.pop("sizes", SIZES)
    longer = np.append(sizes, sizes[-1] * sizes[-1] / sizes[-2])
    if law.get("bend"):  # the place of the break follows from the sizes: there is no next one
        errors, following = simulate(rng, sizes=sizes, **law), float("nan")
    elif law.get("draws") == 1:  # the forecast is for this target
        errors = simulate(rng, sizes=longer, **law)
        errors, following = errors[:, :-1], float(np.median(errors[0, -1]))
    else:
        errors = simulate(rng, sizes=sizes, **law)
        following = float(np.median(simulate(rng, sizes=longer, **(law | {"draws": 1}))[0, -1]))
    return *spoil(rng, errors, **spoils), following


def _run(repetitions: int, seed: int) -> pd.DataFrame:
    """One row for each setting."""
    import pandas as pd

    rows = []
    for i, (asked, label, options, keywords) in enumerate(SETTINGS):
        rng = np.random.default_rng([seed, i])
        sizes = options.get("sizes", SIZES)
        rates, forecasts = [], []
        for _ in range(repetitions):
            errors, flags, following = data_set(rng, options)
            rates.append(fit_rate(sizes, errors, censored=flags if flags.any() else None, **keywords))
            _, low, high = rates[-1].next_error()
            forecasts.append(low <= following <= high if following == following else np.nan)
        rows.append(_row(asked, label, options, rates, np.array(forecasts, dtype=np.float64)))
    return pd.DataFrame(rows)


def _row(asked: bool, label: str, options: Mapping[str, Any], rates: list[Rate], forecasts: Array) -> dict[str, Any]:
    """What came of one setting."""
    covered = np.array([rate.interval[0] <= TRUTH <= rate.interval[1] for rate in rates])
    determined = np.array([rate.verdict == "determined" for rate in rates])
    best = np.array([rate.best is not None and rate.best[1] <= TRUTH <= rate.best[2] for rate in rates])
    half = float(np.median([(rate.interval[1] - rate.interval[0]) / 2 for rate in rates]))
    low, high = binomial_interval(int(covered.sum()), len(rates))
    sizes = options.get("sizes", SIZES)
    planned = expected_half_width(sizes, options.get("draws", 8), options.get("seeds", 5), 0.25)
    return {
        "setting": label,
        "asked": asked,
        "repetitions": len(rates),
        "covers": float(covered.mean()),
        "covers_low": low,
        "covers_high": high,
        "determined": float(determined.mean()),
        "covers_given_determined": float(covered[determined].mean()) if determined.any() else float("nan"),
        "half_width": half,
        "half_width_planned": planned,
        "bias": float(np.mean([rate.value for rate in rates])) - TRUTH,
        "covers_best": float(best.mean()),
        "covers_next_error": float(forecasts.mean()),
    }


def binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a probability.

    Reference:
        Clopper & Pearson (1934), Biometrika 26, 404-413.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(successes, trials - successes + 1, 0.025)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 0.975)) if successes < trials else 1.0
    return low, high


def _verdicts(table: pd.DataFrame) -> list[str]:
    """What was reached: coverage and decidedness of the settings that the bar names."""
    said = []
    asked = table[table["asked"]].to_dict("records")
    for row in asked:
        good = BAND[0] <= row["covers"] <= BAND[1]
        said.append(
            f"{'reached' if good else 'missed'}: {row['setting']}: intervals hold the truth in {row['covers']:.1%} of "
            f"{row['repetitions']} studies (asked: {BAND[0]:.0%} to {BAND[1]:.0%})."
        )
    worst = min(asked, key=lambda row: float(row["determined"]))
    rest = 1 - float(worst["determined"])
    said.append(
        f"{'reached' if rest < MOST_UNDETERMINED else 'missed'}: at most {rest:.1%} of these are undetermined "
        f"({worst['setting']}; asked: fewer than {MOST_UNDETERMINED:.0%})."
    )
    return said


def _draw(table: pd.DataFrame) -> Any:
    """Coverage of every setting."""
    from approxrates.plots.calibration import draw_coverage

    bounds = list(zip(table["covers_low"].tolist(), table["covers_high"].tolist(), strict=True))
    return draw_coverage(table["setting"].tolist(), table["covers"].tolist(), bounds, band=BAND, nominal=0.95)


COVERAGE = Calibration(
    name="coverage",
    title="Coverage of the intervals of rates",
    about=(
        "Errors of studies with a known exponent, p = 1, are simulated and given to `fit_rate`. Unless the setting "
        "says otherwise there are 8 sizes over two decades, 8 target draws whose slopes differ with standard deviation "
        ".05, and 5 seeds with standard deviation .25 of the log error. *covers* is the share of 95 % intervals that "
        "hold the truth, with its binomial interval; *covers best* the same for the best over seeds; *covers next "
        "error* the share of prediction intervals that hold the error of a new draw (with one draw: of this target) at "
        "the next size; *half width "
        "planned* what `study.plan()` announces for clean data without a floor. Where a floor is simulated the scatter "
        "of the seeds acts on it too, so that the best of them sees a lower floor than the one that is given as known. "
        "The first five settings are those of the bar."
    ),
    repetitions=200,
    run=_run,
    verdicts=_verdicts,
    draw=_draw,
)
"""Coverage of rates and forecasts in simulated studies."""
