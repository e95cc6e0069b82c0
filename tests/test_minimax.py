"""Minimax against best approximations in closed form and by linear programming; companions; resuming; refusals."""

import copy
import dataclasses
import io

import numpy as np
import pytest
import scipy.optimize
import torch
from linear_problem import linear_problem, monomials

import approxrates as ar
from approxrates import activations
from approxrates.architecture import FixedWidth
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import BinaryLogistic, LpPower, MeanSquare
from approxrates.training import stage_from_spec
from approxrates.training.base import Outcome, Population, Watch
from approxrates.training.levenberg_marquardt import LevenbergMarquardt
from approxrates.training.minimax import Minimax
from approxrates.training.soap import SOAP
from approxrates.training.ssbfgs import SelfScaledBFGS

BACKENDS = ["reference", "native"]
STAGES = {
    "lawson-lm": ("tanh", Minimax(steps=24, rounds=4)),
    "lawson-soap": ("relu", Minimax(steps=24, rounds=4)),
    "rising-ssbfgs": ("tanh", Minimax(steps=24, method="rising_p", rounds=3)),
    "rising-soap": ("relu", Minimax(steps=24, method="rising_p", rounds=3)),
}


def problem(name="tanh", n=4, width=5, depth=2, m=96, backend="reference", n_targets=1):
    """Networks fitted for a while, on even points; the last five points are padding with wild values."""
    if backend == "native":
        pytest.importorskip("numba")
    arch = FixedWidth(dim=1, width=width, depth=depth, activation=name)
    layout = Layout(arch.shapes, activations.get(name))
    x = np.append(np.linspace(0, 1, m - 5), np.zeros(5))
    values = np.stack([np.exp(np.sin(2 * np.pi * x) + 0.3 * target) for target in range(n_targets)])
    values[:, -5:] = 1e3
    weights = np.where(np.arange(m) < m - 5, 1 / (m - 5), 0.0)
    arrays = (a.reshape(n_targets, 1, 1, m) for a in np.broadcast_arrays(x, values, weights))
    owners = [i % n_targets for i in range(n)]
    ensemble = Ensemble(layout, MeanSquare(), *(a.copy() for a in arrays), owners, backend=backend)
    theta = layout.pack(arch.initialise(list(range(n))))
    first = LevenbergMarquardt(steps=60) if name == "tanh" else SOAP(steps=200)
    return ensemble, run(first, ensemble, theta).theta


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


def sups(ensemble, theta):
    """Largest errors over the points that are no padding."""
    errors = (ensemble.outputs(theta) - ensemble.values()).abs()
    return (errors * (ensemble.weights() > 0)).amax((1, 2))


@pytest.mark.parametrize("degree", [3, 5])
def test_lawson_finds_the_monic_polynomial_of_least_deviation(degree):
    # Chebyshev: on an interval of length one the distance of x^n from lower degrees is 2^(1 - 2n).
    ensemble = linear_problem(monomials(range(degree)), lambda x: x**degree, m=256)
    theta = torch.zeros(2, ensemble.layout.stride, dtype=torch.float64)
    people = run(Minimax(steps=400, rounds=40), ensemble, theta)
    least = 2.0 ** (1 - 2 * degree)
    assert (sups(ensemble, people.theta) < 1.02 * least).all()
    assert (sups(ensemble, people.theta) > 0.99 * least).all()
    squares = run(LevenbergMarquardt(steps=100), ensemble, theta)
    assert (sups(ensemble, squares.theta) > 1.3 * least).all()


def test_lawson_comes_close_to_the_linear_programme():
    ensemble = linear_problem(monomials([0, 1, 2, 3, 0.5]), lambda x: np.abs(x - 0.3), m=96)
    theta = torch.zeros(2, ensemble.layout.stride, dtype=torch.float64)
    people = run(Minimax(steps=400, rounds=40), ensemble, theta)
    columns, values = ensemble.columns[0, :5].numpy().T, ensemble.values()[0, 0].numpy()
    one = np.ones((len(values), 1))
    found = scipy.optimize.linprog(
        np.eye(6)[5],
        A_ub=np.block([[columns, -one], [-columns, -one]]),
        b_ub=np.concatenate([values, -values]),
        bounds=[(None, None)] * 6,
    )
    assert (sups(ensemble, people.theta) < 1.03 * found.fun).all()
    assert (sups(ensemble, people.theta) > (1 - 1e-6) * found.fun).all()


@pytest.mark.parametrize("method", ["lawson", "rising_p"])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_largest_error_falls(name, method):
    ensemble, theta = problem(name)
    stage = Minimax(steps=200 if name == "tanh" else 800, method=method, learning_rate=3e-3)
    ratio = sups(ensemble, run(stage, ensemble, theta).theta) / sups(ensemble, theta)
    assert (ratio <= 1.0).all()
    assert float(ratio.median()) < 0.86


def test_result_is_the_best_by_the_largest_error_and_its_loss_is_told():
    ensemble, theta = problem("tanh")
    descent, people = begin(Minimax(steps=60, rounds=6), ensemble, theta)
    seen, going = [(sups(ensemble, theta), theta)], True
    while going:
        going = descent.advance()
        seen.append((sups(ensemble, descent.theta), descent.theta.clone()))
    table = torch.stack([sup for sup, _ in seen])
    for i, row in enumerate(table.argmin(0).tolist()):
        assert torch.equal(people.theta[i], seen[row][1][i])
    assert torch.equal(people.loss, ensemble.value(people.theta))
    assert people.outcomes == [Outcome.BUDGET_SPENT] * 4
    assert all(0 < steps <= 60 for steps in people.steps)


@pytest.mark.parametrize("method", ["lawson", "rising_p"])
def test_result_is_never_worse_than_the_beginning(method):
    ensemble, theta = problem("relu")
    wild = Minimax(steps=40, method=method, inner="soap", learning_rate=1e3)
    people = run(wild, ensemble, theta)
    assert torch.equal(people.theta, theta)


def test_weights_grow_with_the_root_of_the_error():
    ensemble, theta = problem("tanh")
    descent, _ = begin(Minimax(steps=20), ensemble, theta)
    errors = (ensemble.outputs(theta) - ensemble.values()).abs()[:, 0, :-5].numpy()
    reweighted = descent._lawson()
    shares = errors / errors.mean(1, keepdims=True)
    expected = np.sqrt(shares + 0.05)
    expected /= expected.sum(1, keepdims=True)
    assert np.allclose(reweighted.weights()[:, 0, :-5], expected, rtol=1e-12)
    assert not reweighted.weights()[..., -5:].any()
    # The next weights are these times the same: the errors have not changed, their mean by the new weights has.
    following = expected * np.sqrt(errors / (expected * errors).sum(1, keepdims=True) + 0.05)
    following /= following.sum(1, keepdims=True)
    assert np.allclose(descent._lawson().weights()[:, 0, :-5], following, rtol=1e-12)


def test_powers_are_over_the_largest_error():
    ensemble, theta = problem("tanh")
    descent, _ = begin(Minimax(steps=20, method="rising_p"), ensemble, theta)
    errors = (ensemble.outputs(theta) - ensemble.values()).abs()[:, 0, :-5].numpy()
    for number, power in enumerate([4, 8, 16, 32]):
        descent.round = number
        powered = descent._power()
        assert powered.objective == LpPower(power)
        expected = ((errors / errors.max(1, keepdims=True)) ** power).mean(1)
        assert powered.value(theta).tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def test_powers_survive_errors_of_any_size():
    ensemble, theta = problem("tanh")
    descent, _ = begin(Minimax(steps=20, method="rising_p"), ensemble, theta)
    for size in (0.0, 1e-14, 1e-9, 1.0, 1e9):
        descent.sup = torch.full_like(descent.sup, size)
        descent.round = 3
        assert torch.isfinite(descent._power().weights()).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", STAGES)
def test_companions_do_not_matter(kind, backend):
    name, stage = STAGES[kind]
    ensemble, theta = problem(name, 9, backend=backend, n_targets=2)
    full = run(stage, ensemble, theta)
    assert not torch.equal(full.theta, theta)
    for some in ([0], [8], [3, 5], [7, 1, 2], list(range(8, -1, -1))):
        places = torch.tensor(some)
        part = run(stage, ensemble.subset(places), theta[places])
        assert torch.equal(part.theta, full.theta[places])
        assert torch.equal(part.loss, full.loss[places])
        assert part.steps == [full.steps[i] for i in some]


@pytest.mark.parametrize("kind", STAGES)
def test_resumed_descent_gives_the_same_bits(kind):
    name, stage = STAGES[kind]
    ensemble, theta = problem(name)
    whole = run(stage, ensemble, theta)
    descent, people = begin(stage, ensemble, theta)
    for _ in range(2):
        assert descent.advance()
    stored = io.BytesIO()
    torch.save({"descent": descent.state(), "rows": descent.watch.rows, "people": people.state()}, stored)
    stored.seek(0)
    found = torch.load(stored)
    again = Population(torch.zeros_like(theta), range(4))
    again.restore(copy.deepcopy(found["people"]))
    fresh = stage.begin(ensemble, again.theta.clone(), Watch(again, found["rows"], "minimax", stage.steps, None))
    fresh.restore(found["descent"])
    while fresh.advance():
        pass
    assert torch.equal(again.theta, whole.theta)
    assert torch.equal(again.loss, whole.loss)
    assert again.steps == whole.steps


def test_last_stage_of_a_plan_lowers_the_largest_error_of_the_fit():
    target = ar.Target.from_callable(lambda x: np.exp(np.sin(2 * np.pi * x[:, 0])), ar.Regularity(np.inf, 1))
    arch = ar.FixedWidth(dim=1, width=5, depth=2, activation="tanh")
    plan = [LevenbergMarquardt(steps=80)]
    plain, flat = (ar.train(arch, target, replicas=3, plan=p) for p in (plan, [*plan, Minimax(steps=100)]))
    x = np.linspace(0, 1, 4001)[:, None]

    def sup(fit):
        return np.array([np.abs(np.ravel(net(x)) - target(x)).max() for net in fit.networks])

    assert (sup(flat) < sup(plain)).all()
    again = np.array([np.mean((np.ravel(net(x)) - target(x)) ** 2) for net in flat.networks])
    assert np.allclose(flat.losses, again, rtol=1.0)


def test_inner_stage_goes_by_activation_and_size():
    def inner(name, width, n_outputs=1, **settings):
        layout = Layout(((width, 1), (width, width), (n_outputs, width)), activations.get(name))
        return type(Minimax(steps=100, **settings).stage_within(layout))

    assert inner("tanh", 8) is LevenbergMarquardt
    assert inner("relu3", 8) is LevenbergMarquardt
    assert inner("tanh", 30) is SelfScaledBFGS
    assert inner("tanh", 8, n_outputs=2) is SelfScaledBFGS
    assert inner("tanh", 8, method="rising_p") is SelfScaledBFGS
    assert inner("tanh", 50) is SOAP
    assert inner("relu", 8) is SOAP
    assert inner("tanh+relu", 8) is SOAP
    assert inner("relu", 8, inner="ssbfgs") is SelfScaledBFGS


def test_steps_are_shared_among_the_rounds():
    layout = problem("tanh", 2)[0].layout
    assert Minimax(steps=100).stage_within(layout).steps == 5
    assert Minimax(steps=100, method="rising_p").stage_within(layout).steps == 25
    assert Minimax(steps=3).n_rounds == 3
    assert Minimax(steps=3).stage_within(layout).steps == 1


def test_stage_survives_its_description():
    stage = Minimax(steps=50, method="rising_p", inner="soap", rounds=2)
    assert stage_from_spec(stage.to_spec()) == stage
    assert Minimax(steps=50).to_spec() == {"stage": "minimax", "steps": 50}
    assert stage_from_spec({"stage": "minimax", "steps": 50, "rounds": 3}) == dataclasses.replace(
        Minimax(steps=50), rounds=3
    )


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"method": "remez"}, ValueError, "method of minimax must be one of lawson, rising_p"),
        ({"inner": "adam"}, ValueError, "inner of minimax must be one of auto, lm, ssbfgs, soap"),
        ({"rounds": 0}, ValueError, "rounds of minimax must be at least 1"),
        ({"rounds": 2.5}, TypeError, "rounds of minimax must be an integer"),
        ({"rounds": 7, "method": "rising_p"}, ValueError, "rounds of minimax must be at least 1 and below 7"),
        ({"learning_rate": 0}, ValueError, "learning_rate of minimax"),
        ({"method": "rising_p", "inner": "lm"}, ValueError, "must not be 'lm' for rising powers"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        Minimax(steps=5, **settings)


def test_losses_and_shapes_that_cannot_be_served_are_refused():
    layout = Layout(((4, 1), (2, 4)), activations.get("tanh"))
    with pytest.raises(ValueError, match="needs the objective MeanSquare or LpPower"):
        Minimax(steps=9).check(layout, BinaryLogistic())
    with pytest.raises(ValueError, match="needs n_outputs=1"):
        Minimax(steps=9, inner="lm").check(layout, MeanSquare())
    Minimax(steps=9).check(layout, LpPower(4))
