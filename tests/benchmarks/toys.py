"""Four toys at equal parameters and about equal CPU seconds: our trainer, pykan, and tanh networks under two optimisers.

Every learner has the same 1000 points, float64, and at most the toy's number of trainable parameters, counted by the
learner's own object. Each is run from five seeds; errors are measured at fresh points and the corners. Budgets are
counts of steps or evaluations, set so that each run takes about ``CPU_SECONDS`` on the machine of the committed table;
the seconds really used stand beside the errors. The classical column is no learner: on smooth functions of few variables
it is the line to admit to.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import peer_kan
from clock import CPU
from numpy.polynomial import chebyshev
from peers import numpy_lm, torch_lbfgs
from plain_mlp import PlainMLP
from problem import rms
from scipy.interpolate import CubicSpline
from scipy.special import j0

import approxrates as ar
from approxrates.training.plans import STAGES

CPU_SECONDS = 3.0
SEEDS = 5
TRAINING_POINTS, TEST_POINTS = 1000, 20_000


def bessel(x):
    """J0(20 x) on [0, 1]."""
    return j0(20.0 * x[:, 0])


def exp_sine(x):
    """exp(sin(pi u) + v^2) on [-1, 1]^2."""
    u, v = 2.0 * x.T - 1.0
    return np.exp(np.sin(np.pi * u) + v**2)


def product(x):
    """u v on [-1, 1]^2."""
    return np.prod(2.0 * x - 1.0, axis=1)


def nested(x):
    """exp((sin(pi (a^2 + b^2)) + sin(pi (c^2 + d^2))) / 2) on [-1, 1]^4."""
    a, b, c, d = (2.0 * x.T - 1.0) ** 2
    return np.exp(0.5 * (np.sin(np.pi * (a + b)) + np.sin(np.pi * (c + d))))


@dataclasses.dataclass(frozen=True)
class Toy:
    """A function on the unit cube and what each learner is given for it.

    Attributes:
        function: ``(n, dim) -> (n,)``.
        dim: Number of variables.
        n_params: Trainable parameters allowed.
        ours: Width, depth, activation, and stages by name with their steps.
        mlp: Width and depth of the tanh networks of the peers.
        lbfgs: Evaluations of torch's L-BFGS.
        lm: Evaluations of Levenberg-Marquardt.
        kan: Widths, grids one after the other, and steps on each, for pykan.
    """

    function: Callable
    dim: int
    n_params: int
    ours: tuple
    mlp: tuple[int, int]
    lbfgs: int
    lm: int
    kan: tuple

    @property
    def name(self):
        """What the table calls it."""
        return self.function.__doc__.removesuffix(".")

    def points(self, n, seed):
        """``n`` uniform points of the unit cube, the corners among them."""
        x = np.random.default_rng(seed).random((n, self.dim))
        corners = np.array(list(itertools.product((0.0, 1.0), repeat=self.dim)))
        x[: len(corners)] = corners
        return x


TOYS = [
    Toy(bessel, 1, 63, (6, 2, "tanh", (("lm", 1800),)), (6, 2), 2500, 3500, ((1, 1), (58,), (120,))),
    Toy(exp_sine, 2, 85, (5, 3, "tanh", (("lm", 1500),)), (5, 3), 2000, 2500, ((2, 3, 1), (4,), (18,))),
    Toy(product, 2, 42, (10, 1, "tanh", (("lm", 2200),)), (10, 1), 2500, 4500, ((2, 2, 1), (2,), (20,))),
    Toy(nested, 4, 338, (9, 4, "tanh", (("lm", 400),)), (9, 4), 3600, 500, ((4, 4, 2, 1), (8,), (28,))),
]


@dataclasses.dataclass
class Row:
    """One line of the table: a learner on a toy with one seed."""

    toy: str
    learner: str
    seed: int
    status: str = "ok"
    n_params: int = 0
    rmse: float = float("nan")
    sup: float = float("nan")
    cpu_seconds: float = float("nan")


def ours_rows(toy, budget):
    """Our trainer, all seeds as one batch; each has an equal share of its CPU seconds."""
    width, depth, activation, stages = toy.ours
    if missing := [name for name, _ in stages if name not in STAGES]:
        return [Row(toy.name, "ours", 0, f"no stage {missing[0]}")]
    x = toy.points(TRAINING_POINTS, 0)
    target = ar.Target.from_data(x, toy.function(x), ar.Regularity(smoothness=np.inf, dim=toy.dim))
    arch = ar.FixedWidth(dim=toy.dim, width=width, depth=depth, activation=activation)
    plan = [STAGES[name](steps=max(1, round(steps * budget))) for name, steps in stages]
    ar.train(
        arch, target, plan=[dataclasses.replace(stage, steps=1) for stage in plan]
    )  # compiled before the clock starts
    began = CPU()
    fit = ar.train(arch, target, replicas=SEEDS, plan=plan)
    share = (CPU() - began) / SEEDS
    return [_row(toy, "ours", seed, net, net.n_params, share) for seed, net in enumerate(fit.networks)]


def kan_rows(toy, budget):
    """pykan, one model after the other."""
    x = toy.points(TRAINING_POINTS, 0)
    y, rows = toy.function(x), []
    for seed in range(SEEDS):
        began = CPU()
        found = peer_kan.fit(x, y, *toy.kan[:2], [max(1, round(steps * budget)) for steps in toy.kan[2]], seed)
        if found is None:
            return [Row(toy.name, "pykan", 0, "not installed")]
        rows.append(_row(toy, "pykan", seed, *found, CPU() - began))
    return rows


def mlp_rows(toy, learner, optimise, evaluations):
    """A tanh network in float64 from torch's default start."""
    x = toy.points(TRAINING_POINTS, 0)
    plain, rows = PlainMLP(x, toy.function(x), *toy.mlp), []
    for seed in range(SEEDS):
        began = CPU()
        theta, _ = optimise(plain, plain.start(seed), evaluations)
        took = CPU() - began
        rows.append(_row(toy, learner, seed, lambda t, theta=theta: plain.outputs(theta, t), plain.n_params, took))
    return rows


def _row(toy, learner, seed, model, n_params, took):
    """Errors of one fit at fresh points."""
    t = toy.points(TEST_POINTS, 1)
    error = model(t) - toy.function(t)
    status = "ok" if n_params <= toy.n_params else "too many parameters"
    return Row(toy.name, learner, seed, status, n_params, rms(error), float(np.abs(error).max()), took)


def classical_rows(toy):
    """A cubic spline or a tensor Chebyshev interpolant with no more numbers than the toy's parameters."""
    made = {"Chebyshev interpolant": chebyshev_interpolant}
    if toy.dim == 1:
        made["cubic spline"] = spline
    rows = []
    for name, make in made.items():
        began = CPU()
        model, n_params = make(toy)
        rows.append(_row(toy, name, 0, model, n_params, CPU() - began))
    return rows


def spline(toy):
    """The not-a-knot interpolant at even points; its values are its parameters."""
    knots = np.linspace(0.0, 1.0, toy.n_params)
    found = CubicSpline(knots, toy.function(knots[:, None]))
    return lambda t: found(t[:, 0]), toy.n_params


def chebyshev_interpolant(toy):
    """Interpolation at tensor Chebyshev points, as many in each variable as the parameters allow."""
    n = int(toy.n_params ** (1.0 / toy.dim) + 1e-9)
    nodes = chebyshev.chebpts1(n)
    grid = np.stack(np.meshgrid(*[nodes] * toy.dim, indexing="ij"), axis=-1).reshape(-1, toy.dim)
    values = toy.function((grid + 1.0) / 2.0).reshape((n,) * toy.dim)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, n - 1))
    for axis in range(toy.dim):
        values = np.moveaxis(np.tensordot(inverse, values, axes=(1, axis)), 0, axis)

    def model(t):
        found = np.broadcast_to(values, (len(t), *values.shape))
        for column in t.T:
            found = np.einsum("ni,ni...->n...", chebyshev.chebvander(2.0 * column - 1.0, n - 1), found)
        return found

    return model, n**toy.dim


def table(budget=1.0, toys=TOYS):
    """Rows of all toys and learners.

    Args:
        budget: Multiplies steps and evaluations.
        toys: Which.
    """
    rows = []
    for toy in toys:
        rows += ours_rows(toy, budget)
        rows += kan_rows(toy, budget)
        rows += mlp_rows(toy, "tanh MLP + LM", numpy_lm, max(2, round(toy.lm * budget)))
        rows += mlp_rows(toy, "tanh MLP + torch LBFGS", torch_lbfgs, max(2, round(toy.lbfgs * budget)))
        rows += classical_rows(toy)
    return rows
