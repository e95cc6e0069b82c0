"""Levenberg-Marquardt against dense linear algebra, MINPACK and least squares in closed form; companions; resuming."""

import io
import math

import numpy as np
import pytest
import scipy.optimize
import torch
from linear_problem import linear_problem, monomials

from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import LpPower, MeanSquare
from approxrates.training.base import Outcome, Population, Watch
from approxrates.training.levenberg_marquardt import LevenbergMarquardt, _size

BACKENDS = ["reference", "native"]


def problem(n=3, width=4, depth=2, m=64, name="tanh", dim=1, backend="reference", n_targets=1):
    if backend == "native":
        pytest.importorskip("numba")
    rng = np.random.default_rng(5)
    layout = Layout(((width, dim), *((width, width),) * (depth - 1), (1, width)), activations.get(name))
    points = rng.random((n_targets, 1, dim, m))
    values = np.cos(5 * points.sum(2, keepdims=True) + np.arange(n_targets)[:, None, None, None])
    weights = rng.random((n_targets, 1, 1, m))
    weights[..., -5:] = 0.0
    weights /= weights.sum(-1, keepdims=True)
    owners = [i % n_targets for i in range(n)]
    ensemble = Ensemble(layout, MeanSquare(), points, values, weights, owners, backend=backend)
    return ensemble, layout.pack(rng.normal(size=(n, layout.n_params)))


def begin(stage, ensemble, theta):
    population = Population(theta.clone(), range(len(theta)))
    watch = Watch(population, range(len(theta)), stage.name, stage.steps, None)
    watch.record(theta, ensemble.value(theta), 0)
    return stage.begin(ensemble, theta.clone(), watch), population


def run(stage, ensemble, theta):
    descent, population = begin(stage, ensemble, theta)
    while descent.advance():
        pass
    return population


def slopes_by_differences(ensemble, theta, i, h=1e-6):
    """Weighted Jacobian ``(M, P)`` and residuals ``(M,)`` of replica ``i`` by central differences of the outputs."""
    root = ensemble.weights()[i, 0].sqrt()
    columns = []
    for k in range(ensemble.layout.n_params):
        shift = torch.zeros_like(theta)
        shift[:, k] = h
        columns.append(((ensemble.outputs(theta + shift) - ensemble.outputs(theta - shift))[i, 0] / (2 * h)) * root)
    residual = (ensemble.outputs(theta) - ensemble.values())[i, 0] * root
    return torch.stack(columns, 1).numpy(), residual.numpy()


def damped_solution(jacobian, damping, right):
    """``argmin |J x - right|^2 + damping |x|^2`` by the singular values of the augmented matrix."""
    tall = np.vstack([jacobian, math.sqrt(damping) * np.eye(jacobian.shape[1])])
    return np.linalg.lstsq(tall, np.concatenate([right, np.zeros(jacobian.shape[1])]), rcond=None)[0]


@pytest.mark.parametrize("precise", [False, True], ids=["normal-equations", "orthogonal"])
def test_step_and_its_bend_solve_the_damped_systems(precise):
    ensemble, theta = problem()
    descent, _ = begin(LevenbergMarquardt(steps=9), ensemble, theta)
    descent.damping = torch.tensor([1e-3, 1e-1, 10.0], dtype=torch.float64)
    descent._linearise()
    if precise:
        descent.precise = [True] * 3
        for i in range(3):
            descent._multiply(i)
    step = descent._steps()
    move = torch.zeros_like(theta)
    move[:, : descent.size] = step
    bend = descent._bend(step, move)
    bent = 0
    for i in range(3):
        jacobian, residual = slopes_by_differences(ensemble, theta, i)
        n_params, damping = jacobian.shape[1], float(descent.damping[i])
        expected = damped_solution(jacobian, damping, -residual)
        assert np.allclose(step[i, :n_params], expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
        assert not step[i, n_params:].any()
        # The second derivative of the residuals along the step, from three evaluations.
        root, h = ensemble.weights()[i, 0].sqrt(), 1e-3
        ahead, behind = (ensemble.outputs(theta + s * h * move)[i, 0] for s in (1, -1))
        second = ((ahead - 2 * ensemble.outputs(theta)[i, 0] + behind) / h**2 * root).numpy()
        half = 0.5 * damped_solution(jacobian, damping, -second)
        if 2 * np.linalg.norm(half) < 0.6 * np.linalg.norm(expected):
            # A forward quotient over a tenth of the step is off by third derivatives.
            assert np.linalg.norm(bend[i, :n_params].numpy() - half) < 0.25 * np.linalg.norm(half)
            bent += 1
        elif 2 * np.linalg.norm(half) > 0.9 * np.linalg.norm(expected):
            assert not bend[i].any()
    assert bent


def least_losses(ensemble):
    """Least losses of a linear problem, from the singular values."""
    least = []
    for columns, values, weights in zip(ensemble.columns, ensemble.values(), ensemble.weights(), strict=True):
        root = weights[0].sqrt().numpy()
        matrix = (columns[: ensemble.layout.n_params].numpy() * root).T
        right = values[0].numpy() * root
        solution = np.linalg.lstsq(matrix, right, rcond=1e-16)[0]
        least.append(float(((matrix @ solution - right) ** 2).sum()))
    return least


@pytest.mark.parametrize("powers", [0.25, 0.5, 1.0])
def test_linear_least_squares_are_solved_to_the_closed_form_however_ill_conditioned(powers):
    weights = np.random.default_rng(1).random(64)
    functions = monomials(powers * np.arange(13))
    ensemble = linear_problem(functions, lambda x: np.sin(3 * x), weights=weights / weights.sum())
    theta = torch.zeros(2, ensemble.layout.stride, dtype=torch.float64)
    descent, people = begin(LevenbergMarquardt(steps=200), ensemble, theta)
    taken_over = set()
    while descent.advance():
        taken_over |= {row for row, precise in zip(descent.watch.rows, descent.precise, strict=True) if precise}
    assert people.loss.sqrt().tolist() == pytest.approx(np.sqrt(least_losses(ensemble)).tolist(), rel=1e-3)
    assert all(outcome in (Outcome.CONVERGED, Outcome.STALLED) for outcome in people.outcomes)
    # Condition numbers of 1e9 and more, squared in the normal equations: orthogonal factors took over.
    assert taken_over == {0, 1}


def test_minimum_is_that_of_minpack():
    ensemble, theta = problem(n=2, width=2, depth=1)
    people = run(LevenbergMarquardt(steps=400), ensemble, theta)
    root = ensemble.weights()[:, 0].sqrt()
    for i in range(2):

        def residual(row, i=i):
            full = theta.clone()
            full[i, : len(row)] = torch.from_numpy(row)
            return ((ensemble.outputs(full) - ensemble.values())[i, 0] * root[i]).numpy()

        near = people.theta[i, : ensemble.layout.n_params].numpy() + 1e-3
        other = scipy.optimize.least_squares(residual, near, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)
        assert float(people.loss[i]) == pytest.approx(2 * other.cost, rel=1e-6)


def test_smooth_target_is_fitted_to_many_digits_from_random_weights():
    from approxrates.architecture import FixedWidth

    arch = FixedWidth(dim=1, width=8, depth=4, activation="tanh")
    x = (0.5 - 0.5 * np.cos(np.pi * np.arange(256) / 255)).reshape(1, 1, 1, -1)
    layout = Layout(arch.shapes, activations.get("tanh"))
    ensemble = Ensemble(layout, MeanSquare(), x, np.exp(np.sin(2 * np.pi * x)), np.full_like(x, 1 / 256), [0, 0, 0])
    people = run(LevenbergMarquardt(steps=150), ensemble, layout.pack(arch.initialise([1, 2, 3])))
    assert float(people.loss.median()) < 1e-7**2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 4, 2), (2, 5, 3), (1, 3, 1), (3, 9, 2)], ids=str)
def test_companions_do_not_matter(shape, backend):
    dim, width, depth = shape
    ensemble, theta = problem(17, width, depth, 160, dim=dim, backend=backend, n_targets=3)
    # Some replicas stop early.
    stage = LevenbergMarquardt(steps=35, patience=8, progress=0.8)
    full = run(stage, ensemble, theta)
    assert len(set(full.steps)) > 1
    for some in ([0], [16], [3, 11], [16, 1, 7], list(range(16, -1, -1))):
        places = torch.tensor(some)
        part = run(stage, ensemble.subset(places), theta[places])
        assert torch.equal(part.theta, full.theta[places])
        assert torch.equal(part.loss, full.loss[places])
        assert part.steps == [full.steps[i] for i in some]
        assert part.outcomes == [full.outcomes[i] for i in some]


def test_companions_do_not_matter_to_precise_replicas():
    ensemble, theta = problem(5, 5, 2)

    def precise(places):
        descent, people = begin(
            LevenbergMarquardt(steps=30, patience=30), ensemble.subset(torch.tensor(places)), theta[places]
        )
        # A damping below the rounding errors of the products: the orthogonal factors.
        descent.damping = torch.tensor([1e-20 if place % 2 else 1e-3 for place in places], dtype=torch.float64)
        while descent.advance():
            pass
        return people.theta

    whole = precise(list(range(5)))
    for some in ([0], [1], [4, 2], [3, 0, 1]):
        assert torch.equal(precise(some), whole[some])


@pytest.mark.parametrize("stretches", [1, 3, 5])
def test_resumed_descent_gives_the_same_bits(stretches):
    ensemble, theta = problem(6, 4, 2)
    stage = LevenbergMarquardt(steps=120, patience=20, progress=0.8)
    whole = run(stage, ensemble, theta)
    assert len(set(whole.steps)) > 1
    descent, people = begin(stage, ensemble, theta)
    for _ in range(stretches):
        assert descent.advance()
    stored = io.BytesIO()
    torch.save({"descent": descent.state(), "rows": descent.watch.rows, "people": people.state()}, stored)
    stored.seek(0)
    found = torch.load(stored)
    rows = torch.tensor(found["rows"])
    again = Population(torch.zeros_like(theta), range(6))
    again.restore(found["people"])
    fresh = stage.begin(
        ensemble.subset(rows), again.theta[rows].clone(), Watch(again, found["rows"], "lm", stage.steps, None)
    )
    fresh.restore(found["descent"])
    while fresh.advance():
        pass
    assert torch.equal(again.theta, whole.theta)
    assert torch.equal(again.loss, whole.loss)
    assert again.outcomes == whole.outcomes


def test_loss_never_rises():
    ensemble, theta = problem(4, 5, 3)
    descent, _ = begin(LevenbergMarquardt(steps=100), ensemble, theta)
    losses = [descent.loss]
    for _ in range(60):
        descent._linearise()
        descent._trial()
        losses.append(descent.loss)
        assert torch.equal(losses[-1], ensemble.value(descent.theta))
    history = torch.stack(losses)
    assert (history.diff(dim=0) <= 0).all()
    assert (history[-1] < 1e-3 * history[0]).all()


def test_points_of_weight_zero_do_not_matter():
    ensemble, theta = problem(2)
    stage = LevenbergMarquardt(steps=12)
    first = run(stage, ensemble, theta)
    spoilt = ensemble.problem.values.clone()
    spoilt[..., -5:] = 1e6
    arguments = (ensemble.problem.points, spoilt, ensemble.problem.weights, [0, 0])
    second = run(stage, Ensemble(ensemble.layout, MeanSquare(), *arguments, backend="reference"), theta)
    assert torch.equal(first.theta, second.theta)


def test_outcomes():
    ensemble, theta = problem(3, 4, 2)
    assert run(LevenbergMarquardt(steps=3), ensemble, theta).outcomes == [Outcome.BUDGET_SPENT] * 3
    assert run(LevenbergMarquardt(steps=3), ensemble, theta).steps == [3] * 3
    assert run(LevenbergMarquardt(steps=500, tolerance=1e-2), ensemble, theta).outcomes == [Outcome.CONVERGED] * 3
    slow = LevenbergMarquardt(steps=500, patience=5, progress=0.999999)
    assert set(run(slow, ensemble, theta).outcomes) <= {Outcome.STALLED, Outcome.CONVERGED}


def test_memory_is_announced():
    ensemble, theta = problem(2, 5, 3)
    descent, _ = begin(LevenbergMarquardt(steps=9), ensemble, theta)
    descent.advance()
    held = [v for v in vars(descent).values() if isinstance(v, torch.Tensor)]
    taken = sum(t.numel() * t.element_size() for t in held) / 2
    announced = descent.stage.bytes_per_replica(ensemble.layout, 64)
    assert taken <= announced + 4 * 8 * 64
    assert announced >= 8 * 64 * ensemble.layout.n_params + 2 * 8 * _size(ensemble.layout) ** 2


def test_other_losses_and_many_outputs_are_refused():
    ensemble, theta = problem(2)
    stage = LevenbergMarquardt(steps=9)
    with pytest.raises(ValueError, match=r"needs the objective MeanSquare\. Got LpPower"):
        begin(stage, ensemble.with_objective(LpPower(4)), theta)
    two = Layout(((4, 1), (2, 4)), activations.get("tanh"))
    with pytest.raises(ValueError, match=r"needs n_outputs=1\. Got n_outputs=2"):
        stage.check(two, MeanSquare())


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"damping": 0}, ValueError, "damping of lm must be greater than 0"),
        ({"damping": "much"}, TypeError, "damping of lm must be a number"),
        ({"tolerance": -1}, ValueError, "tolerance of lm"),
        ({"patience": 0}, ValueError, "patience of lm"),
        ({"progress": 1.0}, ValueError, "progress of lm"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        LevenbergMarquardt(steps=5, **settings)
