"""What sweeps of variational autoencoders say: where units die and come back, and how that compares with theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.theory.linear_vae import critical_weights, least_loss
from approxrates.transitions import (
    Located,
    OrderVerdict,
    combined,
    decide_order,
    refined,
    two_lines,
    vanishing,
)

if TYPE_CHECKING:
    import pandas as pd

F64 = NDArray[np.float64]
DEAD = 1e-3
"""Sizes of a linear decoder up to here are the dead state."""
Row = Mapping[str, Any]


def rows_of(frame: pd.DataFrame, kind: str, *, level: int = 0, steps: int | None = None) -> list[dict[str, Any]]:
    """The cells of a kind that were done, by seed."""
    if not len(frame):
        return []
    chosen = frame[(frame["kind"] == kind) & (frame["level"] == level) & (frame["status"] == "ok")]
    if steps is not None:
        chosen = chosen[chosen["steps"] == steps]
    return [{str(k): v for k, v in row.items()} for row in chosen.sort_values("seed").to_dict("records")]


def series(row: Row, direction: str, column: str) -> F64:
    """A column of a sweep over its values; the columns of units are ``(n_values, latent)``."""
    return np.array(row[direction][column], dtype=np.float64)


def logs(row: Row) -> F64:
    """Logarithms of the swept weight, in which the grids are even."""
    return np.log(np.array(row["values"], dtype=np.float64))


def step_of(row: Row) -> float:
    """Step of the grid in the logarithm."""
    return float(np.diff(logs(row)).mean())


def deaths(row: Row, direction: str) -> list[Located]:
    """Where the number of active units falls below ``k`` for good, for ``k`` from 1; in the logarithm of the weight."""
    rates = series(row, direction, "unit_rates")
    return [vanishing(logs(row), rates[:, k], row["active_rate"]) for k in range(rates.shape[1])]


def collapse(rows: Sequence[Row], direction: str) -> Located:
    """Where the last unit dies (up) or the first comes back (down), over all seeds; as weight."""
    return as_weight(combined([deaths(row, direction)[0] for row in rows]))


def hysteresis(row: Row) -> float:
    """Distance between where the last unit dies going up and the first comes back going down, in steps of the grid.

    NaN where one of them does not happen within the sweep.
    """
    up, down = (deaths(row, direction)[0] for direction in ("up", "down"))
    return (up.value - down.value) / step_of(row) if up.found and down.found else float("nan")


def as_weight(place: Located) -> Located:
    """A position on the logarithmic scale as weight."""
    return Located(*(float(np.exp(one)) for one in (place.value, place.low, place.high)))


def units_lost(row: Row, direction: str) -> int:
    """Units active at the first value and not at the last."""
    active = series(row, direction, "active")
    return int(active[0] - active[-1])


def transitions_seen(row: Row, direction: str) -> int:
    """Steps of the grid over which the number of active units falls."""
    return int((np.diff(series(row, direction, "active")) < 0).sum())


def expected_deaths(row: Row) -> F64:
    """Weights at which theory lets the units of the linear autoencoder fall to the rate that counts as active."""
    found = critical_weights(row["spectrum"], noise_variance=row["noise_variance"], least_rate=row["active_rate"])
    return np.asarray(found[: row["latent"]])


def worst_deviation(row: Row, direction: str) -> float:
    """Largest distance of a unit's bracket from where theory lets it die, in steps of the grid."""
    inside = (np.log(expected_deaths(row)) > logs(row)[0]) & (np.log(expected_deaths(row)) < logs(row)[-1])
    gaps = [
        max(0.0, place.low - expected, expected - place.high) / step_of(row)
        for place, expected, known in zip(deaths(row, direction), np.log(expected_deaths(row)), inside, strict=True)
        if known
    ]
    return max(gaps, default=float("nan"))


def excess_loss(row: Row, direction: str) -> float:
    """Largest relative excess of the loss of a linear autoencoder over the least possible."""
    found = series(row, direction, "loss")
    least = [
        least_loss(row["spectrum"], beta, latent=row["latent"], noise_variance=row["noise_variance"])
        for beta in row["values"]
    ]
    return float(np.max(found / np.array(least) - 1.0))


def window(row: Row, by: int) -> list[float]:
    """A grid refined about the place where the last unit dies, ascending."""
    return [float(value) for value in np.exp(refined(logs(row), deaths(row, "up")[0], by=by))]


def order_of(levels: Sequence[Row]) -> OrderVerdict:
    """Order of the last transition of the linear autoencoder: its order parameter is the size of the decoder."""
    up, down = ([(logs(row), series(row, direction, "decoder_norm")) for row in levels] for direction in ("up", "down"))
    return decide_order(up, down)


def stability_loss(row: Row) -> float:
    """Weight at which the smallest eigenvalue of the Hessian reaches zero on the branch where all units are dead.

    It is read off the side on which that branch is stable, going down: a straight line through the two points nearest
    to its end. NaN where there are not two.
    """
    dead = np.flatnonzero(series(row, "down", "decoder_norm") < DEAD)
    if len(dead) < 2:
        return float("nan")
    i, j = int(dead[0]), int(dead[1])
    x, y = np.array(row["values"]), series(row, "down", "smallest_eigenvalue")
    return float(x[i] - y[i] * (x[j] - x[i]) / (y[j] - y[i]))


def curvature_change(rows: Sequence[Row]) -> Located:
    """Change point of the scalar curvature in a window, over all seeds: of the slope of its logarithm; as weight."""
    places = [two_lines(logs(row), np.log(np.abs(series(row, "up", "scalar_curvature")))) for row in rows]
    return as_weight(combined(places))
