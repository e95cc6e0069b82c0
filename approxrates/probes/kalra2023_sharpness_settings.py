"""What can be set in the probe of sharpness, and the cells that follow."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.probes.base import Spec

PARTS = ("constants", "edge", "trajectory", "uv", "uv-trainer", "uv-map")
"""Kinds of cells."""

_SECONDS_PER_FLOP = 1.4e-10  # of the trainer's batched products in single precision, one thread
_CELL_SECONDS = 40.0


@dataclass(frozen=True)
class Settings:
    """Settings of the probe; figures and bars are those of the reference run where nothing else is said.

    Attributes:
        data: ``"digits"``, which is always there, or ``"mnist"``, which needs the extra of that name.
        n_examples: Images that the critical constants are measured on.
        depths: Numbers of hidden layers; the depth d of the paper is one more.
        widths: Widths of the hidden layers.
        most_params: Pairs of depth and width with more parameters are left out.
        least_seeds: Initialisations of the widest networks, 3 or more.
        most_seeds: Of the narrowest: as many as ``1024 / width``, within these bounds.
        steps: Steps that count as early.
        resolution: Of log2 c.
        edge_targets: Values of ``2 / learning_rate`` for the edge of stability.
        edge_steps: Steps there.
        edge_width: Width of its two hidden tanh layers.
        edge_examples: Images there.
        edge_seeds: Initialisations there.
        pool: Side of the squares of pixels that are averaged for edge and trajectory: 2 makes 14x14 of 28x28.
        path_width: Width of the ReLU networks of the trajectories.
        path_depth: Their hidden layers.
        path_examples: Their images.
        path_c: Their learning-rate constant.
        path_steps: Their steps.
        path_seeds: Their initialisations.
        uv_widths: Widths of the uv model.
        uv_states: Its initial states at each width.
        map_runs: Runs of the active map of the uv model, at least 32.

    Raises:
        ValueError: For a value out of its range.
    """

    data: str = "digits"
    n_examples: int = 256
    depths: tuple[int, ...] = (3, 7)
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    most_params: int = 1_000_000
    least_seeds: int = 5
    most_seeds: int = 12
    steps: int = 10
    resolution: float = 0.1
    edge_targets: tuple[float, ...] = (20.0, 50.0)
    edge_steps: int = 8000
    edge_width: int = 100
    edge_examples: int = 200
    edge_seeds: int = 3
    pool: int = 1
    path_width: int = 64
    path_depth: int = 6
    path_examples: int = 256
    path_c: float = 10.0
    path_steps: int = 4000
    path_seeds: int = 5
    uv_widths: tuple[int, ...] = (4, 16, 64, 256, 1024, 4096, 16384)
    uv_states: int = 200
    map_runs: int = 96

    def __post_init__(self) -> None:
        if self.data not in ("digits", "mnist"):
            raise ValueError(f"data must be digits or mnist. Got data={self.data!r}.")
        least = {"least_seeds": 3, "edge_seeds": 3, "path_seeds": 3, "map_runs": 32, "uv_states": 20, "edge_steps": 20}
        for name, value in vars(self).items():
            values = value if isinstance(value, tuple) else (value,)
            if not values:
                raise ValueError(f"{name} must hold a number at least. Got none.")
            for one in values:
                if not isinstance(one, str) and not one >= least.get(name, 1 if isinstance(one, int) else 1e-3):
                    raise ValueError(f"{name} must be at least {least.get(name, 1)}. Got {one}.")
        if self.most_seeds < self.least_seeds:
            raise ValueError(f"most_seeds must be at least least_seeds={self.least_seeds}. Got {self.most_seeds}.")
        if self.resolution > 0.5:
            raise ValueError(f"resolution of log2 c must be at most 0.5. Got resolution={self.resolution}.")

    def seeds(self, width: int) -> int:
        """Initialisations at a width."""
        return max(self.least_seeds, min(self.most_seeds, 1024 // width))


def cells(settings: Settings) -> list[Spec]:
    """All cells, in the order of the tables."""
    return [*_constants(settings), *_edges(settings), *_paths(settings), *_uv(settings)]


def n_inputs(data: str, pool: int) -> int:
    """Pixels of an image."""
    return ({"digits": 8, "mnist": 28}[data] // pool) ** 2


def n_params(dim: int, width: int, depth: int) -> int:
    """Weights of a network without biases and with ten outputs."""
    return dim * width + (depth - 1) * width**2 + 10 * width


def seconds(spec: Spec) -> float:
    """Rough CPU seconds of a cell."""
    if spec["part"] == "constants":
        size = n_params(n_inputs(spec["data"], 1), spec["width"], spec["depth"]) * spec["n_examples"]
        # Steps and losses of about fifteen trials; Hessian products of about thirty sharpnesses.
        each = (15 * 10 if spec["event"] == "loss" else 14 * 16) * 6 * size * spec["steps"] / 10
        return float(0.5 + _SECONDS_PER_FLOP * each * len(spec["seeds"]))
    if spec["part"] in ("edge", "trajectory"):
        size = n_params(n_inputs(spec["data"], spec["pool"]), spec["width"], spec["depth"]) * spec["n_examples"]
        return float(2.0 + 0.6 * _SECONDS_PER_FLOP * 6 * size * spec["steps"])
    return 20.0 if spec["part"] == "uv-map" else 2.0


def _constants(settings: Settings) -> list[Spec]:
    """Critical constants; the seeds of a network in groups that take less than a minute."""
    found: list[Spec] = []
    dim = n_inputs(settings.data, 1)
    for depth in settings.depths:
        for width in settings.widths:
            if n_params(dim, width, depth) > settings.most_params:
                continue
            for event in ("loss", "sharpness"):
                base: Spec = {
                    "part": "constants", "event": event, "data": settings.data, "n_examples": settings.n_examples,
                    "depth": depth, "width": width, "steps": settings.steps, "resolution": settings.resolution,
                }  # fmt: skip
                together = max(1, int(_CELL_SECONDS / seconds(base | {"seeds": [0]})))
                seeds = list(range(settings.seeds(width)))
                found += [base | {"seeds": seeds[i : i + together]} for i in range(0, len(seeds), together)]
    return found


def _edges(settings: Settings) -> list[Spec]:
    """The edge of stability: one cell for each target and seed."""
    return [
        {
            "part": "edge", "data": settings.data, "n_examples": settings.edge_examples, "pool": settings.pool,
            "width": settings.edge_width, "depth": 2, "steps": settings.edge_steps, "target": target, "seed": seed,
        }
        for target in settings.edge_targets
        for seed in range(settings.edge_seeds)
    ]  # fmt: skip


def _paths(settings: Settings) -> list[Spec]:
    """Trajectories: one cell for each seed."""
    return [
        {
            "part": "trajectory", "data": settings.data, "n_examples": settings.path_examples, "pool": settings.pool,
            "width": settings.path_width, "depth": settings.path_depth, "steps": settings.path_steps,
            "c": settings.path_c, "seed": seed,
        }
        for seed in range(settings.path_seeds)
    ]  # fmt: skip


def _uv(settings: Settings) -> list[Spec]:
    """The uv model: exact constants at each width, the trainer against theory, the active map."""
    return [
        *({"part": "uv", "width": w, "n": settings.uv_states, "steps": settings.steps} for w in settings.uv_widths),
        *({"part": "uv-trainer", "width": w, "n": 12, "steps": settings.steps} for w in (4, 64, 1024)),
        {"part": "uv-map", "runs": settings.map_runs, "votes": 25, "steps": settings.steps},
    ]
