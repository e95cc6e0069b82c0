"""CPU time to the top Hessian eigenvalue at equal accuracy: ours, PyHessian, curvlinops and scipy, on one problem.

A contender is given the network and the points and has to return the eigenvalue: everything from the first forward pass
on counts. The tolerances of the contenders mean different things. Each is timed twice: with the accuracy wanted for its
tolerance, as a user would write who cannot know better, and with the loosest tolerance of a ladder with which it reaches
that accuracy from every one of the starts, measured against the truth in double precision. All are timed in turn.
"""

import dataclasses
import itertools
import warnings

import numpy as np
import scipy.sparse.linalg
import torch
from clock import interleaved
from torch import nn

from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.backends.hessian import Hessian
from approxrates.objectives import MeanSquare
from approxrates.spectra import dense_matrices, extreme_eigenvalues

OURS = "ours"
ACCURACIES = (1e-4, 1e-6)
LADDER = tuple(float(f"{digit}e-{power}") for power in range(1, 8) for digit in (3, 1))
STARTS = (1, 2, 3)
DENSE = 2000
MOST_STEPS = 300
ASKED, LOOSEST = "as asked", "loosest"


@dataclasses.dataclass(frozen=True)
class Task:
    """A network at random parameters (He's scale), random points and random values; mean square over points and outputs."""

    name: str
    sizes: tuple[int, ...]
    points: int = 512
    dtype: str = "float32"

    @property
    def n_params(self):
        """Weights and biases."""
        return sum(n_out * (n_in + 1) for n_in, n_out in itertools.pairwise(self.sizes))

    def data(self):
        """Points ``[M, dim]`` and values ``[M, k]``, numbers of the task's type."""
        random = np.random.default_rng(0)
        x, y = random.normal(size=(self.points, self.sizes[0])), random.normal(size=(self.points, self.sizes[-1]))
        return (torch.from_numpy(part).to(getattr(torch, self.dtype)) for part in (x, y))

    def model(self):
        """The network as ``nn.Sequential``."""
        random, layers = np.random.default_rng(1), []
        for n_in, n_out in itertools.pairwise(self.sizes):
            layer = nn.Linear(n_in, n_out)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(random.normal(size=(n_out, n_in)) * (2.0 / n_in) ** 0.5))
                layer.bias.copy_(torch.from_numpy(0.1 * random.normal(size=n_out)))
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers[:-1]).to(getattr(torch, self.dtype))


TASKS = (
    Task("1,000 parameters", (10, 24, 24, 6)),
    Task("335,000 parameters", (784, 256, 256, 256, 10)),
)


@dataclasses.dataclass
class Row:
    """One line of the table: a way to the eigenvalue, on one problem, at one accuracy."""

    task: str
    n_params: int
    accuracy: float
    chosen: str
    way: str
    status: str = "ok"
    tolerance: float = float("nan")
    error: float = float("nan")
    products: float = float("nan")
    cpu_seconds: float = float("nan")
    times_ours: float = float("nan")
    spread: float = float("nan")


def packed(task):
    """The ensemble of one network, and its parameters as a row."""
    sizes, (x, y) = task.sizes, task.data()
    layout = Layout(tuple((b, a) for a, b in itertools.pairwise(sizes)), activations.get("relu"))
    weights = torch.full((1, 1, 1, task.points), 1.0 / task.points)
    ensemble = Ensemble(layout, MeanSquare(), x.T[None, None], y.T[None, None], weights, [0], dtype=x.dtype)
    plain = torch.cat([part.detach().flatten() for part in task.model().parameters()])
    return ensemble, layout.pack(plain[None].double().numpy()).to(x.dtype)


def ours(task):
    """Lanczos on products by the R-operator."""
    ensemble, theta = packed(task)

    def run(tolerance, seed, problem=ensemble.problem, theta=theta):
        hessian = Hessian(problem, theta)
        start = tuple(theta.shape), (seed,)
        found = extreme_eigenvalues(
            hessian.product, start, n_params=hessian.n_params, tolerance=tolerance, dtype=theta.dtype
        )
        return found.top.item(), found.steps.item()

    return run


def truth(task):
    """The top eigenvalue in double precision: from the whole matrix, or by Lanczos and ARPACK, which must agree."""
    ensemble, theta = packed(task)
    hessian = Hessian(ensemble.problem, theta.double())
    if task.n_params <= DENSE:
        shape = {"n_params": hessian.n_params, "stride": theta.shape[1]}
        return float(torch.linalg.eigvalsh(dense_matrices(hessian.many, 1, **shape)[0])[-1])
    start = tuple(theta.shape), (9,)
    value = extreme_eigenvalues(hessian.product, start, n_params=hessian.n_params, tolerance=1e-9).top.item()
    other = double_backward(dataclasses.replace(task, dtype="float64"))(1e-9, 5)[0]
    if abs(value / other - 1.0) > 1e-9:
        raise RuntimeError(f"the truth of {task.name} is in doubt: {value} and {other}.")
    return value


def by_arpack(product, n_params, dtype, tolerance, seed):
    """``scipy.sparse.linalg.eigsh`` on a function of numpy vectors."""
    count = itertools.count()

    def counted(vector):
        next(count)
        return product(vector)

    linear = scipy.sparse.linalg.LinearOperator((n_params, n_params), matvec=counted, dtype=dtype)
    v0 = np.random.default_rng(seed).normal(size=n_params).astype(dtype)
    found = scipy.sparse.linalg.eigsh(
        linear, k=1, which="LA", tol=tolerance, v0=v0, maxiter=MOST_STEPS, return_eigenvectors=False
    )
    return float(found[0]), next(count)


def double_backward(task):
    """``eigsh`` on products by torch's autograd: the graph of the gradient is made once and used again."""
    model, (x, y) = task.model(), task.data()
    parameters = list(model.parameters())

    def run(tolerance, seed):
        gradient = torch.autograd.grad((model(x) - y).square().mean(), parameters, create_graph=True)

        def product(vector):
            parts = torch.from_numpy(vector.ravel()).split([p.numel() for p in parameters])
            along = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
            found = torch.autograd.grad(gradient, parameters, along, retain_graph=True)
            return torch.cat([part.flatten() for part in found]).numpy()

        return by_arpack(product, task.n_params, task.dtype, tolerance, seed)

    return run


def curvlinops(task):
    """``eigsh`` on curvlinops' operator, as its documentation does."""
    try:
        from curvlinops import HessianLinearOperator
    except ImportError:
        return None
    model, (x, y) = task.model(), task.data()
    parameters, square = list(model.parameters()), nn.MSELoss()

    def run(tolerance, seed):
        operator = HessianLinearOperator(model, square, parameters, [(x, y)], check_deterministic=False)
        return by_arpack(operator.to_scipy().matvec, task.n_params, task.dtype, tolerance, seed)

    return run


def pyhessian(task):
    """PyHessian: power iteration, which finds the largest absolute value; here it is the top."""
    try:
        from pyhessian import hessian
    except ImportError:
        return None
    model, data, square = task.model(), tuple(task.data()), nn.MSELoss()

    def run(tolerance, seed):
        torch.manual_seed(seed)
        model.zero_grad(set_to_none=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # backward(create_graph=True)
            found = hessian(model, square, data=data, cuda=False)
        values, _ = found.eigenvalues(maxIter=MOST_STEPS, tol=tolerance)
        return values[0], float("nan")

    return run


WAYS = {
    OURS: ours,
    "scipy eigsh + double backward": double_backward,
    "curvlinops + scipy eigsh": curvlinops,
    "PyHessian": pyhessian,
}


class Tried:
    """Errors and products of one contender by tolerance, from all starts; nothing is run twice.

    Args:
        run: The contender.
        exact: The truth.
    """

    def __init__(self, run, exact):
        self.run, self.exact, self.known = run, exact, {}

    def at(self, tolerance):
        """Largest error, and mean number of products."""
        if tolerance not in self.known:
            found = [self.run(tolerance, seed) for seed in STARTS]
            error = max(abs(value / self.exact - 1.0) for value, _ in found)
            self.known[tolerance] = error, float(np.mean([products for _, products in found]))
        return self.known[tolerance]

    def loosest(self, accuracy):
        """The first tolerance of the ladder that gives the accuracy; the last one if none does."""
        return next((tolerance for tolerance in LADDER if self.at(tolerance)[0] <= accuracy), LADDER[-1])


def measure(task, rounds):
    """Rows of one task."""
    exact, rows = truth(task), []
    runs = {way: make(task) for way, make in WAYS.items()}
    tried = {way: Tried(run, exact) for way, run in runs.items() if run is not None}
    for accuracy, chosen in itertools.product(ACCURACIES, (ASKED, LOOSEST)):
        found = {way: Row(task.name, task.n_params, accuracy, chosen, way, "not installed") for way in WAYS}
        calls = {}
        for way, one in tried.items():
            row = found[way]
            row.tolerance = accuracy if chosen == ASKED else one.loosest(accuracy)
            row.error, row.products = one.at(row.tolerance)
            row.status = "ok" if row.error <= accuracy else "less accurate"
            calls[way] = lambda run=one.run, tolerance=row.tolerance: [run(tolerance, seed) for seed in STARTS]
        times = {way: np.array(taken) / len(STARTS) for way, taken in interleaved(calls, rounds).items()}
        for way, taken in times.items():
            row = found[way]
            row.cpu_seconds, row.spread = float(np.median(taken)), float(taken.max() / taken.min())
            row.times_ours = float(np.median(taken / times[OURS]))
        rows += found.values()
    return rows


def table(rounds=5, tasks=TASKS):
    """Rows of all tasks."""
    return [row for task in tasks for row in measure(task, rounds)]
