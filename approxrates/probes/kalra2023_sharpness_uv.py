"""Cells of the uv model: exact constants, the trainer against theory, the plane of (c, 1/w) mapped actively."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from approxrates.boundary import BoundaryMap, BoxAxis
from approxrates.probes.base import Metrics, Spec
from approxrates.seeds import seed_for
from approxrates.theory.uv_model import UVStates, uv_critical_constants, uv_events, uv_loss_constant, uv_trajectories

F64 = NDArray[np.float64]

PHASES = ("loss falls", "loss rises", "loss and sharpness rise", "diverges")
"""Phases of the plane, in the order of growing c."""

RESOLUTION = 1e-3
"""Of log2 c in the exact constants."""

C_RANGE, INVERSE_WIDTHS = (1.0, 8.0), (2.0**-14, 0.25)
"""Box of the map."""

_BATCH = 8
_TRUTH = (61, 400)  # widths and constants, and initial states at each, that the exact phases are taken from
_QUANTILES = np.linspace(0.0, 1.0, 41)


def initial_states(width: int, n: int, use: str) -> UVStates:
    """Initial states by width and use."""
    seed = seed_for("uv-model", width=width, use=use)
    return UVStates.initial(width, n, np.random.Generator(np.random.Philox(seed)))


def uv(spec: Spec) -> Metrics:
    """Critical constants at one width, exactly.

    Returns:
        For ``c_loss``, ``c_sharp``, ``c_barrier`` and ``c_max``: mean, its standard error, and 41 evenly spaced
        quantiles; ``closed_form_error``: largest distance in log2 c from the closed form of c_loss, where there is one.
    """
    states = initial_states(spec["width"], spec["n"], "constants")
    found = uv_critical_constants(states, steps=spec["steps"], resolution=RESOLUTION)
    metrics: Metrics = {}
    named = {"c_loss": found.loss, "c_sharp": found.sharpness, "c_barrier": found.barrier, "c_max": found.maximum}
    for name, values in named.items():
        metrics[f"{name}_mean"] = float(values.mean())
        metrics[f"{name}_error"] = float(values.std(ddof=1) / np.sqrt(len(values)))
        metrics[f"{name}_quantiles"] = np.quantile(values, _QUANTILES).tolist()
    closed = uv_loss_constant(states.asymmetry)
    return metrics | {"closed_form_error": float(np.nanmax(np.abs(np.log2(found.loss / closed))))}


def uv_trainer(spec: Spec) -> Metrics:
    """The trainer on the uv model against its exact trajectories.

    Returns:
        ``loss_difference`` and ``sharpness_difference``: the largest over seeds and steps, each over the
        largest value of its trajectory.
    """
    from approxrates.architecture import FixedWidth
    from approxrates.dataset import Dataset
    from approxrates.layers import Layer
    from approxrates.objectives import HalfSquare
    from approxrates.training import SGD, fit_members

    width, n = spec["width"], spec["n"]
    arch = FixedWidth(1, width, 1, "identity", bias=False)
    example = Dataset("one-example", np.array([[1.0 / np.sqrt(width)]]), np.zeros((1, 1)))
    members = [(example, seed) for seed in range(n)]
    begun = fit_members(arch, members, plan=[SGD(1, 1e-12)], start="normal", objective=HalfSquare()).starts
    flat = [arch.theta_from_layers([one for one in network.layers if isinstance(one, Layer)]) for network in begun]
    u, v = np.stack(flat)[:, :width], np.stack(flat)[:, width:]
    states, c = UVStates.of_vectors(u, v), np.exp2(np.linspace(-1.0, 1.9, n))
    rates = tuple((c / states.sharpness).tolist())
    fit = fit_members(
        arch, members, plan=[SGD(spec["steps"], rates)], start="normal", objective=HalfSquare(),
        measure=[{"measurement": name, "schedule": "every 1"} for name in ("loss", "sharpness")],
    )  # fmt: skip
    path = uv_trajectories(states, c, steps=spec["steps"])
    differences = {
        name: max(
            float(np.max(np.abs(one[name][:, 1] - exact[:, i])) / np.max(exact[:, i]))
            for i, one in enumerate(fit.measured)
        )
        for name, exact in (("loss", path.loss), ("sharpness", path.sharpness))
    }
    return {f"{name}_difference": value for name, value in differences.items()}


def uv_map(spec: Spec) -> Metrics:
    """The plane of (c, 1/w), mapped by runs of which each is a vote of initial states.

    Returns:
        ``points`` and ``ballots`` (shares of the phases at each) in their order, ``wrong_area`` against the exact
        phases, and ``estimated_area``, the map's own opinion of it.
    """
    found = new_map()
    ballots: list[dict[str, float]] = []
    while len(found.points) < spec["runs"]:
        points = found.suggest(min(_BATCH, spec["runs"] - len(found.points)))
        votes = [_ballot(c, inverse, spec["votes"], spec["steps"]) for c, inverse in points]
        found.observe(points, votes)
        ballots += votes
    grid, truth = exact_phases(spec["steps"])
    wrong = float(np.mean(found.predict(grid) != truth))
    return {
        "points": found.points.tolist(),
        "ballots": ballots,
        "wrong_area": wrong,
        "estimated_area": found.wrong_area_estimate,
    }


def new_map() -> BoundaryMap:
    """A map of the plane without observations."""
    return BoundaryMap(BoxAxis("c", *C_RANGE, log=True), BoxAxis("inverse_width", *INVERSE_WIDTHS, log=True))


def stored_map(row: Metrics) -> BoundaryMap:
    """The map of a stored cell."""
    found = new_map()
    found.observe(row["points"], row["ballots"])
    return found


def exact_phases(steps: int) -> tuple[F64, NDArray[np.str_]]:
    """Points ``(n, 2)`` of a grid over the box, even in its scales, and the phase of most initial states at each."""
    side, n_states = _TRUTH
    grid = new_map().box.grid(side)
    names = np.empty(len(grid), dtype=object)
    for inverse in np.unique(grid[:, 1]):
        row = grid[:, 1] == inverse
        states = initial_states(round(1.0 / inverse), n_states, "truth")
        shares = np.stack(list(phase_shares(uv_events(states, grid[row, :1], steps=steps)).values()))
        names[row] = np.array(PHASES)[shares.argmax(0)]
    return grid, names.astype(str)


def phase_shares(events: dict[str, NDArray[np.bool_]]) -> dict[str, F64]:
    """Shares of initial states (last axis of the events) in each phase."""
    loss, sharpness, diverged = events["loss"], events["sharpness"], events["diverged"]
    both = loss & sharpness & ~diverged
    found = dict(zip(PHASES, (~loss, loss & ~sharpness, both, diverged), strict=True))
    return {name: np.asarray(held.mean(-1)) for name, held in found.items()}


def _ballot(c: float, inverse: float, n: int, steps: int) -> dict[str, float]:
    """Shares of the phases among some initial states at a point, phases without any left out."""
    states = initial_states(round(1.0 / inverse), n, f"ballot {c!r}")
    shares = phase_shares(uv_events(states, np.array([[c]]), steps=steps))
    return {name: float(share[0]) for name, share in shares.items() if share[0] > 0.0}
