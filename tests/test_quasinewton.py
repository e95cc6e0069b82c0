"""The quasi-Newton stages: their formulas against textbook ones, line search, stopping, interruption, both backends."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import MeanSquare
from approxrates.training import LBFGS, Outcome, SelfScaledBFGS
from approxrates.training import quasinewton as loop
from approxrates.training.base import Population, Watch
from approxrates.training.linesearch import LineSearch, Verdict
from approxrates.training.quasinewton import Moves
from tests.passes import backends

STAGES = {"bfgs": SelfScaledBFGS, "broyden": partial(SelfScaledBFGS, update="broyden"), "lbfgs": LBFGS}
stages = pytest.mark.parametrize("kind", STAGES.values(), ids=STAGES)
LAYOUT = Layout(((4, 1), (4, 4), (4, 4), (1, 4)), activations.get("tanh"))


def problem(n=3, m=64, backend="reference"):
    x = np.linspace(0, 1, m).reshape(1, 1, 1, m)
    ensemble = Ensemble(LAYOUT, MeanSquare(), x, np.cos(5 * x), np.full_like(x, 1 / m), [0] * n, backend=backend)
    return ensemble, LAYOUT.pack(np.random.default_rng(0).normal(size=(n, LAYOUT.n_params)) * 0.5)


class Bowl:
    """Stands in for an ensemble: ``f(t) = sum(h (t - c)^2) / 2`` with one row of ``h`` for each replica."""

    layout = Layout(((2, 8), (4, 2), (2, 4)), activations.get("tanh"), bias=False)
    device = torch.device("cpu")

    def __init__(self, h, c, backend):
        self.h, self.c, self.backend = h, c, backend

    def __len__(self):
        return len(self.h)

    def value_and_gradient(self, theta, gradient):
        gradient.copy_(self.h * (theta - self.c))
        return self.value(theta)

    def value(self, theta):
        return (self.h * (theta - self.c) ** 2).sum(1) / 2

    def subset(self, rows):
        return Bowl(self.h[rows], self.c[rows], self.backend)


def bowl(n=3, backend="reference"):
    assert Bowl.layout.n_params == 32
    rng = np.random.default_rng(2)
    h, c = 10 ** rng.uniform(-2, 2, (n, 32)), rng.normal(size=(n, 32))
    return Bowl(torch.from_numpy(h), torch.from_numpy(c), backend)


def begun(stage, ensemble, theta):
    population = Population(theta.clone(), range(len(theta)))
    watch = Watch(population, range(len(theta)), stage.name, stage.steps, None)
    watch.record(theta, ensemble.value(theta), 0)
    return stage.begin(ensemble, theta.clone(), watch), population


def run(stage, ensemble, theta):
    descent, population = begun(stage, ensemble, theta)
    while descent.advance():
        pass
    return population


def through_a_file(state):
    """A state as it comes back from a checkpoint: plain data by way of JSON, tensors copied."""
    if isinstance(state, dict):
        return {name: through_a_file(value) for name, value in state.items()}
    return state.clone() if isinstance(state, torch.Tensor) else json.loads(json.dumps(state))


@backends
@stages
def test_minimum_of_a_quadratic_is_found(kind, backend):
    quadratic = bowl(backend=backend)
    people = run(kind(steps=1000, tolerance=1e-9), quadratic, torch.zeros_like(quadratic.c))
    assert torch.allclose(people.theta, quadratic.c, atol=1e-6)
    assert people.outcomes == [Outcome.CONVERGED] * 3


def updated(inverse, step, change, scaling):
    """BFGS from the scaled inverse Hessian, Nocedal & Wright (6.17), written down with whole matrices."""
    left = np.eye(len(step)) - np.outer(step, change) / (step @ change)
    return left @ (inverse / scaling) @ left.T + np.outer(step, step) / (step @ change)


def curvatures(n, backend, kind=SelfScaledBFGS, **settings):
    return kind(steps=1, **settings).curvature(bowl(n, backend))


def turned(curvature, slots, lengths, steps, before, after):
    """Directions after steps from the origin."""
    direction = torch.zeros_like(steps)
    rows = list(range(len(steps)))
    curvature.turn(Moves(rows, slots, lengths, torch.zeros_like(steps), steps, before, after, direction))
    return direction


class Walk:
    """Steps of ``n`` replicas down quadratic bowls of 32 parameters, with lengths drawn at random."""

    def __init__(self, n, seed=5):
        self.rng = np.random.default_rng(seed)
        self.hessian = np.diag(10 ** self.rng.uniform(-1, 1, 32))
        self.gradient = self.rng.normal(size=(n, 32))
        self.direction = -self.gradient

    def step(self, curvature):
        """Go a step; returns steps and changes of the gradient."""
        lengths, before = self.rng.uniform(0.1, 1.5, len(self.gradient)), self.gradient
        steps = lengths[:, None] * self.direction
        self.gradient = before + steps @ self.hessian
        tensors = (torch.from_numpy(a.copy()) for a in (steps, before, self.gradient))
        self.direction = turned(curvature, list(range(len(steps))), lengths.tolist(), *tensors).numpy()
        return steps, self.gradient - before


def broyden(inverse, step, change):
    """The self-scaled update of Broyden's family with whole matrices, by Urbán, Stefanou & Pons; also the scaling."""
    product, bent = step @ change, inverse @ change
    bend, h, b = change @ bent, change @ bent / product, step @ np.linalg.solve(inverse, step) / product
    a = h * b - 1
    low = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
    theta = max((low - 1) / a, min(1 / low, (1 - b) / b))
    sigma, rho = 1 + a * theta, min(1.0, 1 / b)
    root = sigma ** (1 / (1 - len(step)))
    scaling = min(rho * root, sigma) if theta <= 0 else rho * min(root, 1 / theta)
    v = step / product - bent / bend
    phi = (1 - theta) / (1 + a * theta)
    inner = inverse - np.outer(bent, bent) / bend + phi * bend * np.outer(v, v)
    return inner / scaling + np.outer(step, step) / product, theta, scaling


@backends
@pytest.mark.parametrize("update", ["bfgs", "broyden"])
def test_factors_are_those_of_the_textbook_update(update, backend):
    n = 4
    curvature, walk = curvatures(n, backend, SelfScaledBFGS, update=update), Walk(n)
    inverses, chosen = [None] * n, []
    for _ in range(30):
        for i, (s, y) in enumerate(zip(*walk.step(curvature), strict=True)):
            if inverses[i] is None:
                inverses[i] = updated(np.eye(32) * (s @ y) / (y @ y), s, y, 1.0)
            elif update == "broyden":
                inverses[i], theta, scaling = broyden(inverses[i], s, y)
                chosen.append((scaling, theta))
            else:
                scaling = min(1.0, (s @ y) / (s @ np.linalg.solve(inverses[i], s)))
                inverses[i] = updated(inverses[i], s, y, scaling)
                chosen.append((scaling, 0.0))
            mine, direction = (curvature.factors[i] @ curvature.factors[i].T).numpy(), walk.direction[i]
            assert np.allclose(mine, inverses[i], rtol=1e-8, atol=1e-10 * np.abs(mine).max())
            assert np.allclose(mine @ y, s, rtol=1e-8, atol=1e-10 * np.abs(s).max())
            assert np.allclose(direction, -mine @ walk.gradient[i], rtol=1e-8, atol=1e-10 * np.abs(direction).max())
    scalings, thetas = zip(*chosen, strict=True)
    assert min(scalings) < 0.9
    if update == "broyden":
        assert min(thetas) < -0.1
        assert max(thetas) > 0.1
    else:
        assert max(scalings) == 1.0


@backends
def test_two_loops_are_the_updates_by_the_last_steps_of_a_scaled_identity(backend):
    n, history = 3, 6
    curvature, walk, pairs = curvatures(n, backend, LBFGS, history=history), Walk(n), []
    for _ in range(20):
        pairs = [*pairs, walk.step(curvature)][-history:]
        for i in range(n):
            s, y = pairs[-1][0][i], pairs[-1][1][i]
            inverse = np.eye(32) * (s @ y) / (y @ y)
            for steps, changes in pairs:
                inverse = updated(inverse, steps[i], changes[i], 1.0)
            expected = -inverse @ walk.gradient[i]
            assert np.allclose(walk.direction[i], expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@backends
@stages
def test_step_without_curvature_turns_the_direction_but_teaches_nothing(kind, backend):
    curvature, rng = curvatures(2, backend, kind), np.random.default_rng(6)
    step, before = (torch.from_numpy(rng.normal(size=(2, 32))) for _ in range(2))
    after = before - step
    assert torch.equal(turned(curvature, [0, 1], [1.0, 1.0], step, before, after), -after)
    assert not curvature.knows(0)
    first = turned(curvature, [0], [1.0], step[:1], before[:1], before[:1] + 2 * step[:1])
    known = through_a_file(curvature.state([0, 1]))
    second = turned(curvature, [0], [1.0], step[:1], before[:1] + 4 * step[:1], before[:1] + 2 * step[:1])
    assert torch.allclose(first, second, rtol=1e-12, atol=0)
    for name, value in curvature.state([0, 1]).items():
        if name != "images":
            assert torch.equal(value, known[name]) if isinstance(value, torch.Tensor) else value == known[name]
    assert curvature.knows(0)
    assert not curvature.knows(1)
    curvature.forget(0)
    assert not curvature.knows(0)


@backends
@stages
def test_backends_and_companions_give_the_same_directions(kind, backend):
    n = 5
    together, reference, alone = (curvatures(n, where, kind) for where in (backend, "reference", backend))
    walk, other = Walk(n), Walk(n)
    for _ in range(25):
        walk.step(together)
        other.step(reference)
        assert np.allclose(walk.direction, other.direction, rtol=1e-8, atol=1e-10 * np.abs(walk.direction).max())
        other.direction, other.gradient = walk.direction, walk.gradient
    rng = np.random.default_rng(7)
    step, before = (torch.from_numpy(rng.normal(size=(n, 32))) for _ in range(2))
    rows = (step, before, before + 2 * step)
    alone.restore(through_a_file(together.state(range(n))))
    found = turned(together, list(range(n)), [0.5] * n, *rows)
    for i in (3, 1):
        one = turned(alone, [i], [0.5], *(part[i : i + 1] for part in rows))
        assert torch.equal(one[0], found[i])


@backends
@stages
def test_replicas_do_not_depend_on_companions(kind, backend):
    ensemble, theta = problem(n=5, backend=backend)
    stage = kind(steps=60, tolerance=2e-4, patience=20, progress=0.5)
    whole = run(stage, ensemble, theta)
    assert len(set(whole.steps)) > 1
    for some in ([2], [4, 0], [3, 1, 2]):
        part = run(stage, ensemble.subset(torch.tensor(some)), theta[some])
        assert torch.equal(part.theta, whole.theta[some])
        for name in ("steps", "outcomes", "curves"):
            assert getattr(part, name) == [getattr(whole, name)[i] for i in some], name


@backends
@stages
@pytest.mark.parametrize("rounds", [1, 7])
def test_run_interrupted_after_every_stretch_gives_the_same_bits(monkeypatch, kind, backend, rounds):
    monkeypatch.setattr(loop, "_ROUNDS", rounds)
    ensemble, theta = problem(n=3, backend=backend)
    stage = kind(steps=40, tolerance=3e-4, patience=11, progress=0.3)
    whole = run(stage, ensemble, theta)
    descent, people = begun(stage, ensemble, theta)
    stretches, searching = 0, 0
    while descent.advance():
        rows, state, kept = descent.watch.rows, through_a_file(descent.state()), through_a_file(people.state())
        searching += any(one.search._trials for one in descent.replicas)
        people = Population(torch.full_like(theta, math.nan), range(3))
        people.restore(kept)
        watch = Watch(people, rows, stage.name, stage.steps, None)
        descent = stage.begin(ensemble.subset(torch.tensor(rows)), people.theta[rows], watch)
        descent.restore(state)
        stretches += 1
    assert stretches > 40 // rounds
    assert searching > 0
    assert torch.equal(people.theta, whole.theta)
    assert torch.equal(people.loss, whole.loss)
    assert (people.steps, people.outcomes, people.curves) == (whole.steps, whole.outcomes, whole.curves)


def test_state_before_the_first_stretch_is_a_state():
    ensemble, theta = problem()
    stage = SelfScaledBFGS(steps=5)
    whole = run(stage, ensemble, theta)
    first, people = begun(stage, ensemble, theta)
    second = stage.begin(ensemble, torch.zeros_like(theta), first.watch)
    second.restore(through_a_file(first.state()))
    while second.advance():
        pass
    assert torch.equal(people.theta, whole.theta)


def test_a_replica_that_cannot_improve_is_stalled_and_one_at_its_minimum_converged():
    quadratic = bowl()
    theta = quadratic.c.clone()
    theta[1] += 1.0
    people = run(SelfScaledBFGS(steps=100, patience=3, progress=0.999999), quadratic, theta)
    assert people.outcomes[0] is Outcome.CONVERGED
    assert people.outcomes[1] is Outcome.STALLED
    assert people.steps[0] == 0


def test_curves_are_kept_and_losses_fall_along_them():
    ensemble, theta = problem()
    people = run(SelfScaledBFGS(steps=100, tolerance=0.0), ensemble, theta)
    for curve, loss in zip(people.curves, people.loss.tolist(), strict=True):
        steps, losses = zip(*curve, strict=True)
        assert list(steps) == [*range(0, 101, 5)]
        assert list(losses) == sorted(losses, reverse=True)
        assert losses[-1] == loss


def test_progress_is_told_between_checkpoints():
    told, (ensemble, theta) = [], problem()
    stage = SelfScaledBFGS(steps=100_000, tolerance=0.0)
    watch = Watch(
        Population(theta.clone(), range(3)), range(3), stage.name, stage.steps, lambda *news: told.append(news)
    )
    stage.begin(ensemble, theta.clone(), watch).advance()
    assert [(name, of) for name, _, of, _ in told] == [("ssbfgs", 100_000)]
    assert 25 < told[0][1] <= 50
    assert 0 < told[0][3] < ensemble.value(theta).median()


@stages
def test_memory_is_announced(kind):
    stage = kind(steps=1)
    curvature = stage.curvature(problem(n=2)[0])
    taken = sum(part.nbytes for part in vars(curvature).values() if hasattr(part, "nbytes")) / 2
    assert taken <= stage.bytes_per_replica(LAYOUT, 64) <= 1.6 * taken


def test_update_must_be_known():
    with pytest.raises(ValueError, match="update of ssbfgs must be one of bfgs, broyden"):
        SelfScaledBFGS(steps=1, update="dfp")


@pytest.mark.parametrize("history", [0, -3, 2.5, True, "all"])
def test_history_must_be_a_positive_whole_number(history):
    with pytest.raises((TypeError, ValueError), match="history of lbfgs must be"):
        LBFGS(steps=1, history=history)


@pytest.mark.parametrize("first", [1e-6, 1e-2, 1.0, 50.0, 1e6])
@pytest.mark.parametrize(
    "curve",
    [
        (lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1)),
        (lambda t: math.cosh(t - 3) if t < 600 else math.inf, lambda t: math.sinh(t - 3) if t < 600 else math.nan),
        (lambda t: -math.sin(t) + 0.01 * t * t, lambda t: -math.cos(t) + 0.02 * t),
    ],
    ids=["parabola", "cosh", "waves"],
)
def test_line_search_ends_with_both_wolfe_conditions(curve, first):
    f, slope = curve
    search = LineSearch(f(0.0), slope(0.0), first)
    for _ in range(40):
        t = search.length
        search = LineSearch.resumed(json.loads(json.dumps(search.state())))
        verdict = search.advance(f(t), slope(t))
        if verdict is not Verdict.AGAIN:
            break
    assert verdict is Verdict.ACCEPT
    assert f(t) <= f(0.0) + 1e-4 * t * slope(0.0)
    assert slope(t) >= 0.9 * slope(0.0)


def test_line_search_fails_uphill_and_settles_for_decrease_without_curvature():
    uphill = LineSearch(0.0, -1.0, 1.0)
    while (verdict := uphill.advance(1.0, 1.0)) is Verdict.AGAIN:
        pass
    assert verdict is Verdict.FAIL
    endless = LineSearch(0.0, -1.0, 1.0)
    while (verdict := endless.advance(-endless.length, -1.0)) is Verdict.AGAIN:
        longest = endless.length
    assert verdict is Verdict.ACCEPT
    assert endless.length == longest > 1e6
