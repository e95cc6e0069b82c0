"""Cells of the probe of L2 transitions: networks followed along a sweep of the penalty, by the one trainer.

The loss of the trainer is half the mean square, ``F / 2 = E (y - f)^2 / 2 + (gamma / 2) sum w^2``, of the values as
they are; penalties, losses and margins are converted here to those of ``F``, in which the closed forms are written. The
scalar curvature stays that of the graph of ``E / 2``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.probes.base import Metrics, Spec
from approxrates.seeds import seed_for
from approxrates.theory import l2_transitions as theory
from approxrates.transitions import refined, transition_bracket, vanishing

if TYPE_CHECKING:
    from approxrates.architecture import FixedWidth
    from approxrates.dataset import Dataset
    from approxrates.layers import Layer
    from approxrates.network import Network
    from approxrates.training import Fit, Stage

F64 = NDArray[np.float64]

STEPS, TOLERANCE = 3000, 1e-9
STARTS = 4  # random starts at the lowest penalty, the deepest of which is followed
TINY, KICK = 1e-3, 1e-4  # weights that the way down begins with, and that it is disturbed by
ALIVE = 1e-3  # share of the signal from which an order parameter is not zero
MEASURED = ("stability_margin", "scalar_curvature", "weight_rank")
PATH = (1e-3, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.93, 1.0)
SMALL = 0.03  # deviation of the weights that onset runs begin with
EVERY = 10


def white_data(samples: int, dim: int, modes: Sequence[float]) -> Dataset:
    """Inputs of mean zero and covariance one, exactly, with each point's mirror image; outputs ``y_k = s_k x_k``.

    Mirror images make the onset of rectified units exact: ``E[x relu(w . x)] = w / 2``.
    """
    from approxrates.dataset import Dataset

    draw = np.random.Generator(np.random.Philox(seed_for("ersoy2025_l2 data", samples=samples, dim=dim)))
    half = draw.standard_normal((samples // 2, dim))
    left, _, right = np.linalg.svd(np.concatenate([half, -half]), full_matrices=False)
    inputs = np.sqrt(samples) * left @ right
    inputs = (inputs - np.concatenate([inputs[samples // 2 :], inputs[: samples // 2]])) / 2
    return Dataset(f"white {dim}d", inputs, inputs[:, : len(modes)] * np.asarray(modes))


def architecture(spec: Spec, n_outputs: int) -> FixedWidth:
    """The network of a cell."""
    from approxrates.architecture import FixedWidth

    return FixedWidth(
        dim=spec["dim"], width=spec["width"], depth=spec["depth"], activation=spec["activation"], n_outputs=n_outputs,
        bias=False,
    )  # fmt: skip


def following(arch: FixedWidth) -> list[Stage]:
    """Stages from one penalty to the next.

    Minima of rectified units with two hidden layers or more lie on kinks: weights that would do harm end at exactly
    zero. There the first long step of a quasi-Newton method can leave the branch while it still exists, so gradient
    descent goes ahead of it.
    """
    from approxrates.activations import get
    from approxrates.training import SGD, SelfScaledBFGS

    last = SelfScaledBFGS(steps=STEPS, tolerance=TOLERANCE)
    smooth = get(arch.activation).family == "smooth" or arch.activation == "identity"
    return [last] if smooth else [SGD(steps=300, learning_rate=0.05, cosine=True), last]


def fitted(
    arch: FixedWidth, data: Dataset, penalties: Sequence[float], start: str | list[Network], *, seed: int = 0,
    plan: Sequence[Any] = (), measure: Sequence[Any] = (),
) -> Fit:  # fmt: skip
    """Networks at the minimum of F that their starts lead to, one for each penalty.

    Raises:
        RuntimeError: If one of them breaks down.
    """
    from approxrates.objectives import HalfSquare
    from approxrates.training import SelfScaledBFGS, fit_members

    fit = fit_members(
        arch, [(data, number) for number in range(len(penalties))], start=start, seed=seed, measure=measure,
        plan=[*plan] or [SelfScaledBFGS(steps=STEPS, tolerance=TOLERANCE)], objective=HalfSquare("sum"),
        l2_penalty=[gamma / 2 for gamma in penalties],
    )  # fmt: skip
    if broken := [outcome for outcome in fit.outcomes if outcome.failed]:
        raise RuntimeError(f"a fit at penalties {list(penalties)} broke down: {broken[0].sentence}")
    return fit


@dataclasses.dataclass
class Leg:
    """A network followed from penalty to penalty, each fit beginning where the last one ended.

    Attributes:
        penalties: In the order of the way.
        network: Where it begins.
        kick: Seed of the disturbances before each fit; None on the way up, which is not disturbed.
        networks: What was reached, as far as it went.
        rows: What was measured there.
    """

    penalties: F64
    network: Network
    kick: int | None = None
    networks: list[Network] = dataclasses.field(default_factory=list)
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def start(self) -> Network:
        """Where the next fit begins."""
        network = self.networks[-1] if self.networks else self.network
        if self.kick is None:
            return network
        return disturbed(network, KICK, seed_for("ersoy2025_l2 kick", seed=self.kick, step=len(self.rows)))

    def series(self) -> Metrics:
        """Columns in ascending order of the penalty, as plain data of nine digits."""
        rows = sorted(self.rows, key=lambda row: float(row["penalty"]))
        return {name: [row[name] for row in rows] for name in rows[0]}


def follow(arch: FixedWidth, data: Dataset, legs: Sequence[Leg], measure: Sequence[str] = MEASURED) -> None:
    """Goes along all legs at once, one fit of as many networks per step; legs do not influence each other."""
    while going := [leg for leg in legs if len(leg.rows) < len(leg.penalties)]:
        gammas = [float(leg.penalties[len(leg.rows)]) for leg in going]
        fit = fitted(arch, data, gammas, [leg.start() for leg in going], plan=following(arch), measure=measure)
        for leg, gamma, network, loss, final in zip(going, gammas, fit.networks, fit.losses, fit.final, strict=True):
            leg.rows.append(observed(network, data, gamma, 2 * float(loss), final))
            leg.networks.append(network)


def observed(network: Network, data: Dataset, gamma: float, loss: float, final: Any) -> dict[str, Any]:
    """What is recorded of a network on the branch."""
    x, y = data.samples
    values = np.asarray(network(x), dtype=np.float64).reshape(y.shape)
    linear = values.T @ x / len(x)  # the best linear map: inputs are white
    shares = np.mean(values * y, axis=0) / np.mean(y**2, axis=0)
    singular = np.linalg.svd(linear, compute_uv=False)
    row = {
        "penalty": gamma,
        "loss": loss,
        "error": float(np.mean(np.sum((values - y) ** 2, axis=1))),
        "norm": float(sum(np.sum(layer.weight**2) for layer in _dense(network))),
        "order": shares.tolist(),
        "rank": int(np.sum(singular > ALIVE * np.sqrt(np.mean(np.sum(y**2, axis=1))))),
    }
    if final:
        row["margin"] = 2 * float(final["stability_margin"])
        row["curvature"] = float(final["scalar_curvature"])
        row["weight_rank"] = float(final["weight_rank"])
    return {name: rounded(value) for name, value in row.items()}


def rounded(value: Any) -> Any:
    """A number, or a list of numbers, to nine digits: what is stored is plain text."""
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return value if isinstance(value, int) else float(f"{value:.9g}")


def disturbed(network: Network, size: float, seed: int) -> Network:
    """A network with normal noise of this deviation on every weight."""
    from approxrates.network import Network

    draw = np.random.Generator(np.random.Philox(seed))
    return Network(
        tuple(
            dataclasses.replace(layer, weight=layer.weight + size * draw.standard_normal(layer.weight.shape))
            for layer in _dense(network)
        )
    )


def _dense(network: Network) -> list[Layer]:
    """The layers of a network of this probe: all are dense."""
    from approxrates.layers import Layer

    return [layer for layer in network.layers if isinstance(layer, Layer)]


def small_network(arch: FixedWidth, size: float, seed: int) -> Network:
    """A network of normal weights of this deviation."""
    from approxrates.network import Network

    draw = np.random.Generator(np.random.Philox(seed))
    return Network(arch.layers(size * draw.standard_normal(arch.n_params)))


def sweep(spec: Spec) -> Metrics:
    """Up from the deepest of several random starts, down from tiny weights; then both refined by 4 and by 16."""
    data = white_data(spec["samples"], spec["dim"], spec["modes"])
    arch = architecture(spec, len(spec["modes"]))
    grid = np.linspace(spec["low"], spec["high"], spec["points"])
    seed = seed_for("ersoy2025_l2 sweep", **{name: spec[name] for name in ("activation", "depth", "modes", "seed")})
    first = fitted(arch, data, [grid[0]] * STARTS, "kaiming", seed=seed)
    up = Leg(grid, first.best())
    down = Leg(grid[::-1], small_network(arch, TINY, seed), kick=seed)
    follow(arch, data, [up, down])
    found: Metrics = {
        "up": [up.series()],
        "down": [down.series()],
        "start_losses": [2 * float(v) for v in first.losses],
    }
    if len(spec["modes"]) > 1:
        return found
    for _ in range(2):
        up, down_next = _finer(up), _finer(down) if _comes_back(down) else None
        follow(arch, data, [up] if down_next is None else [up, down_next])
        found["up"].append(up.series())
        if down_next is not None:
            found["down"].append(down_next.series())
            down = down_next
    return found


def _order(leg: Leg) -> tuple[F64, F64]:
    """Penalties and first order parameter of a leg."""
    table = leg.series()
    return np.array(table["penalty"]), np.array(table["order"])[:, 0]


def _comes_back(leg: Leg) -> bool:
    """Whether order comes back on the way down."""
    penalties, order = _order(leg)
    return bool(np.isfinite(vanishing(penalties, order, ALIVE).low))


def _finer(leg: Leg) -> Leg:
    """The same way on a grid four times as fine about the transition, from the network where the window begins."""
    penalties, order = _order(leg)
    window = refined(penalties, transition_bracket(penalties, order))
    rising = leg.penalties[0] < leg.penalties[-1]
    begin = window[0] if rising else window[-1]
    at = int(np.argmin(np.abs(leg.penalties - begin)))
    return Leg(window if rising else window[::-1], leg.networks[at], leg.kick)


def onset(spec: Spec) -> Metrics:
    """Gradient descent from small weights at several penalties: loss and norm of the weights over the steps."""
    from approxrates.measurements import get_measurement
    from approxrates.training import SGD

    data, arch = white_data(spec["samples"], spec["dim"], spec["modes"]), architecture(spec, 1)
    start = small_network(arch, SMALL, seed_for("ersoy2025_l2 onset", depth=spec["depth"], seed=spec["seed"]))
    names = [get_measurement({"measurement": name, "schedule": f"every {EVERY}"}) for name in ("loss", "weight_norm")]
    fit = fitted(
        arch, data, spec["penalties"], [start] * len(spec["penalties"]), measure=names,
        plan=[SGD(steps=spec["steps"], learning_rate=spec["learning_rate"])],
    )  # fmt: skip
    first, *_, last = (weight for weight, _ in arch.maps(arch.theta_from_layers(tuple(_dense(start)))))
    growing = (first[:, 0] + last[0]) / 2  # in two matrices: what grows as exp(c t), the rest decays
    return {
        "step": [int(step) for step in fit.measured[0]["loss"][:, 0]],
        "loss_over_steps": [rounded((2 * one["loss"][:, 1]).tolist()) for one in fit.measured],
        "norm_over_steps": [rounded((one["weight_norm"][:, 1] ** 2).tolist()) for one in fit.measured],
        "growing": float(growing @ growing),
    }


def phase_cell(spec: Spec) -> Metrics:
    """Votes of seeds: is the branch that comes from low penalties deepest, still there, or gone? And random starts."""
    data, signal = white_data(spec["samples"], spec["dim"], [spec["signal"]]), spec["signal"]
    arch, gamma, n = architecture(spec, 1), spec["penalty"], spec["seeds"]
    seed = seed_for("ersoy2025_l2 map", signal=signal, penalty=gamma, depth=spec["depth"])
    path = gamma * np.array(PATH)
    first = fitted(arch, data, [path[0]] * n, "kaiming", seed=seed)
    legs = [Leg(path[1:], network) for network in first.networks]
    follow(arch, data, legs, measure=())
    names = [_phase(leg.rows[-1], signal) for leg in legs]
    blind = fitted(arch, data, [gamma] * n, "kaiming", seed=seed)
    alive = [abs(observed(network, data, gamma, 0.0, {})["order"][0]) > ALIVE for network in blind.networks]
    return {
        "votes": {name: names.count(name) for name in sorted(set(names))},
        "random_learned": float(np.mean(alive)),
        "losses": [leg.rows[-1]["loss"] for leg in legs],
        "orders": [leg.rows[-1]["order"][0] for leg in legs],
    }


def _phase(row: dict[str, Any], signal: float) -> str:
    """The phase of the end of a branch; zero weights have the loss ``E y^2 = signal^2``."""
    if abs(row["order"][0]) <= ALIVE:
        return theory.TRIVIAL
    return theory.LEARNED if row["loss"] < signal**2 else theory.METASTABLE
