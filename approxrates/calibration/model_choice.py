"""How often ``choose_law`` finds the law that the errors were simulated from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.calibration.base import Calibration
from approxrates.rates import choose_law
from approxrates.rates.choice import LAWS

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

SMALLEST, SEEDS, SPREADS = 50.0, 10, (0.1, 0.25, 0.5)
BAR = 0.95
LONG, BRIEF = 2.1, 1.4
"""Decades of size."""


def _floored(sizes: Array) -> Array:
    """A floor as large as the power law at the largest size."""
    law: Array = 1 / sizes + 1 / sizes[-1]
    return law


def _broken(sizes: Array) -> Array:
    """Exponent .5, and 1.5 from the middle of the range on."""
    middle = float(np.sqrt(sizes[0] * sizes[-1]))
    law: Array = sizes**-0.5 * (1 + (sizes / middle) ** 10) ** -0.1
    return law


TRUTHS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "W^-1": ("power", lambda w: w**-1.0),
    "W^-2": ("power", lambda w: w**-2.0),
    "exp(-.12 W^.5)": ("stretched-exponential", lambda w: np.exp(-0.12 * np.sqrt(w))),
    "W^-1 + floor": ("power+floor", _floored),
    "W^-.5, then W^-1.5": ("broken", _broken),
}
# (truth, decades, sizes, whether the bar of 95 % holds)
SETTINGS = (
    *((name, LONG, 8, True) for name in ("W^-1", "W^-2", "exp(-.12 W^.5)")),
    *((name, LONG, 8, False) for name in ("W^-1 + floor", "W^-.5, then W^-1.5")),
    ("W^-.5, then W^-1.5", 3.0, 12, False),
    *((name, BRIEF, 8, False) for name in ("W^-1", "exp(-.12 W^.5)", "W^-1 + floor")),
)


def simulate_law(
    rng: np.random.Generator, truth: str, decades: float, n_sizes: int, spread: float
) -> tuple[Array, Array]:
    """Sizes and errors ``(k, seeds)`` of one simulated family."""
    sizes = np.geomspace(SMALLEST, SMALLEST * 10**decades, n_sizes)
    noise = np.exp(spread * rng.normal(size=(n_sizes, SEEDS)))
    errors: Array = TRUTHS[truth][1](sizes)[:, None] * noise
    return sizes, errors


def _run(repetitions: int, seed: int) -> pd.DataFrame:
    """One row for each truth, range and noise."""
    import pandas as pd

    rows = []
    for i, (truth, decades, n_sizes, asked) in enumerate(SETTINGS):
        for j, spread in enumerate(SPREADS):
            rng = np.random.default_rng([seed, i, j])
            outcomes: Counter[str] = Counter()
            for _ in range(repetitions):
                choice = choose_law(*simulate_law(rng, truth, decades, n_sizes, spread))
                outcomes[choice.chosen if choice.decided else "undecided"] += 1
            rows.append(_row(truth, decades, n_sizes, asked, spread, outcomes, repetitions))
    return pd.DataFrame(rows)


def _row(
    truth: str, decades: float, n_sizes: int, asked: bool, spread: float, outcomes: Counter[str], repetitions: int
) -> dict[str, Any]:
    """Shares of the outcomes of one setting."""
    law = TRUTHS[truth][0]
    shares = {name: outcomes[name] / repetitions for name in (*LAWS, "undecided")}
    right = {"truth": truth, "law": law, "decades": decades, "sizes": n_sizes, "noise": spread, "asked": asked}
    return right | {"repetitions": repetitions, "right": shares[law]} | shares


def _verdicts(table: pd.DataFrame) -> list[str]:
    """What was reached: the right law where the bar asks for it, and no decision where there can be none."""
    said = []
    for truth, rows in table[table["asked"]].groupby("truth", sort=False):
        worst = rows.sort_values("right").iloc[0]
        said.append(
            f"{'reached' if worst['right'] >= BAR else 'missed'}: {truth} over {worst['decades']:g} decades is found "
            f"in at least {worst['right']:.0%} of {worst['repetitions']} simulations (asked: {BAR:.0%}; worst at noise "
            f"{worst['noise']:g})."
        )
    brief = table[(table["decades"] < 1.5) & table["law"].isin(["power+floor", "stretched-exponential"])]
    pair = float((brief["power+floor"] + brief["stretched-exponential"]).max())
    least = float(brief["undecided"].min())
    said.append(
        f"{'reached' if pair == 0 else 'missed'}: over {BRIEF:g} decades neither a floor nor a stretched exponential "
        f"may count as decided: {pair:.0%} do. At least {least:.0%} are undecided; the rest is taken for a power law."
    )
    return said


def _draw(table: pd.DataFrame) -> Any:
    """Shares of the outcomes."""
    from approxrates.plots.calibration import draw_shares

    labels = [f"{r.truth}, {r.decades:g} decades, noise {r.noise:g}" for r in table.itertuples(index=False)]
    return draw_shares(labels, {name: table[name].tolist() for name in (*LAWS, "undecided")})


MODEL_CHOICE = Calibration(
    name="model-choice",
    title="Choice of the law",
    about=(
        "Errors of one family are simulated from a known law: sizes from 50 on, 10 seeds with log-normal noise of the "
        "given standard deviation. `choose_law` sees the errors only. The bar is for power laws and the stretched "
        "exponential over 2.1 decades. The other rows say what to expect: a faint floor or break drowns in noise and "
        "is then taken for a power law, whose interval allows for it (see coverage); over 1.4 decades a floor and a "
        "stretched exponential are not told apart."
    ),
    repetitions=100,
    run=_run,
    verdicts=_verdicts,
    draw=_draw,
)
"""Choice of a law in simulations."""
