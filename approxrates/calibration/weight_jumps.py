"""How weights move along a path of targets: continuously for the interpolant, by jumps in the deep phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from approxrates.calibration.base import Calibration
from approxrates.catalogue import load_target
from approxrates.constructions import construct
from approxrates.layers import Dyadic, sparse
from approxrates.network import Network
from approxrates.plots import draw_jumps
from approxrates.target import Target

if TYPE_CHECKING:
    import pandas as pd

SMOOTHNESS = 0.5
HALVINGS, FEW_HALVINGS = 30, 4
_FEW = 3  # repetitions below which paths are halved less often
SIZES: dict[str, dict[str, Any]] = {
    "interpolation": {"cells": 32},
    "yarotsky2020_deep": {"cells": 16, "steps": 6},
}
"""Constructions, at one size each: the architecture is the same for all targets."""


def weights(network: Network) -> list[Dyadic]:
    """All parameters of a network in order."""
    return [value for layer in network.layers for value in sparse(layer).entries()]


def blend(first: Target, second: Target, t: float) -> Target:
    """The target ``(1 - t) first + t second``: of the same Hölder ball as both."""

    def between(x: Any) -> Any:
        return (1 - t) * first(x) + t * second(x)

    return Target.from_callable(between, first.regularity, name=f"blend at {t}")


def sizes_of(first: list[Dyadic], last: list[Dyadic]) -> list[float]:
    """What changes of each parameter are measured by: the larger of its sizes at the two ends of a path.

    Raises:
        ValueError: If the two are not parameters of one architecture.
    """
    if len(first) != len(last):
        raise ValueError(f"both networks must have the same parameters. Got {len(first)} and {len(last)}.")
    return [max(abs(float(a)), abs(float(b))) for a, b in zip(first, last, strict=True)]


def largest_move(before: list[Dyadic], after: list[Dyadic], sizes: list[float]) -> float:
    """The largest change of a parameter, in units of its size; parameters of size 0 are left out."""
    return max(abs(float(b - a)) / size for a, b, size in zip(before, after, sizes, strict=True) if size > 0)


def followed(name: str, first: Target, second: Target, halvings: int = HALVINGS) -> list[tuple[float, float]]:
    """Largest changes of a weight over an interval of ``t`` that is halved again and again, the worse half kept.

    Returns:
        Pairs of the interval's length and the change over it.
    """

    def at(t: float) -> list[Dyadic]:
        return weights(construct(name, blend(first, second, t), **SIZES[name]))

    low, high = (0.0, at(0.0)), (1.0, at(1.0))
    sizes = sizes_of(low[1], high[1])

    def moved(ends: tuple[tuple[float, list[Dyadic]], tuple[float, list[Dyadic]]]) -> float:
        return largest_move(ends[0][1], ends[1][1], sizes)

    found = [(1.0, moved((low, high)))]
    for _ in range(halvings):
        t = (low[0] + high[0]) / 2
        middle = (t, at(t))
        low, high = max(((low, middle), (middle, high)), key=moved)
        found.append((high[0] - low[0], moved((low, high))))
    return found


def run(repetitions: int, seed: int) -> pd.DataFrame:
    """One row per construction, path and length of the interval."""
    import pandas as pd

    rows, halvings = [], HALVINGS if repetitions >= _FEW else FEW_HALVINGS
    for path in range(repetitions):
        ends = [
            load_target("faber_tree", smoothness=SMOOTHNESS, dim=1, seed=2 * (seed * repetitions + path) + k)
            for k in (0, 1)
        ]
        for name in SIZES:
            rows += [
                {"construction": name, "path": path, "length": length, "change": change}
                for length, change in followed(name, ends[0], ends[1], halvings)
            ]
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame) -> list[str]:
    """Whether the interpolant moved in proportion, and the deep network did not."""
    last = table[table["length"] == table["length"].min()]
    lines = []
    for name, rows in last.groupby("construction"):
        least, most, length = rows["change"].min(), rows["change"].max(), rows["length"].iloc[0]
        if name == "interpolation":
            word = "reached" if most <= 4 * length else "missed"
            lines.append(f"{word}: {name}: over a {length:.1e} of the path no weight moves by more than {most:.1e}.")
        else:
            word = "reached" if least > 0.01 else "missed"
            lines.append(f"{word}: {name}: over a {length:.1e} of each path some weight still moves by {least:.2f}.")
    return lines


WEIGHT_JUMPS = Calibration(
    name="weight-jumps",
    title="Weights along a path of targets",
    about=(
        "Two random trees of smoothness 1/2 are joined by a straight line of targets, all in one Hölder ball, and a "
        "construction of fixed architecture is made for each. The path is halved again and again, always keeping the "
        "half over which some weight moves most; changes are in units of each weight's own size at the ends of the "
        "path. No continuous choice of weights passes the rate r/d (DeVore, Howard & Micchelli 1989), so beyond it an "
        "encoder must jump: that this one does is seen here. It is an illustration: a jump shows that this encoder is "
        "discontinuous, not that every one is."
    ),
    repetitions=6,
    run=run,
    verdicts=verdicts,
    draw=draw_jumps,
)
