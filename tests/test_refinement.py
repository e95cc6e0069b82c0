"""Points drawn where the error is: unbiased weights, strata, corners, replicas that know nothing of each other."""

import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates import activations, sampling
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import LpPower, MeanSquare, SoftmaxCrossEntropy
from approxrates.training.points import sample
from approxrates.training.refinement import Candidates, Refinement, refined, refined_ensemble

ARCH = {dim: ar.FixedWidth(dim=dim, width=8, depth=3) for dim in (1, 2, 3)}


def wave(dim, label=0):
    return ar.Target.from_callable(
        lambda x: np.sin(5.0 * x.sum(axis=1) + label), ar.Regularity(smoothness=0.5, dim=dim), name=f"wave{label}"
    )


def bump(x):
    """A narrow error, away from the grid."""
    return np.exp(-200.0 * ((x - 0.37) ** 2).sum(axis=-1))


def given(dim, n_points=200, label=0):
    return sample(ARCH[dim], wave(dim, label), MeanSquare(), n_points)


def errors_of(data, function=bump):
    return function(data.points[:-1].transpose(0, 2, 1))


def integral(data, function, sets=slice(0, -1)):
    """Mean over sets of the weighted sums of a function of the points."""
    x, w = data.points[sets].transpose(0, 2, 1), data.weights[sets, 0]
    return float((function(x) * w).sum(axis=1).mean())


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_without_tilt_the_loss_is_unbiased(dim, power):
    data = given(dim)
    found = refined(data, errors_of(data), Refinement(share=0.7, power=power, tilt=0.0, n_sets=400))
    functions = [bump, lambda x: bump(x) ** 2, lambda x: np.ones(x.shape[:-1]), lambda x: x[..., 0] * x[..., -1]]
    for function in functions:
        assert integral(found, function) == pytest.approx(integral(data, function), rel=0.02)
    # One set alone is a better estimate of the mean square error than a set as it was: what importance sampling is for.
    square = functions[1]
    wanted = integral(data, square)
    before = np.std([integral(data, square, slice(i, i + 1)) for i in range(len(data.points) - 1)])
    after = np.std([integral(found, square, slice(i, i + 1)) for i in range(400)])
    assert after < before or before < 1e-3 * wanted


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_points_crowd_where_the_error_is_and_leave_no_part_of_the_cube(dim):
    data = given(dim)
    found = refined(data, errors_of(data), Refinement(share=0.5, power=1.0))
    x, used = found.points[:-1].transpose(0, 2, 1), found.weights[:-1, 0] > 0
    near = lambda points: (np.abs(points - 0.37) < 0.08).all(axis=-1)  # noqa: E731
    old_x, old_used = data.points[:-1].transpose(0, 2, 1), data.weights[:-1, 0] > 0
    assert near(x)[used].mean() > 2.0 * near(old_x)[old_used].mean()
    assert {tuple(p) for p in x[used]} <= {tuple(p) for p in old_x[old_used]}
    n_side = {1: 50, 2: 7, 3: 3}[dim]
    for points, inside in zip(x, used, strict=True):  # half of the points are spread: every cell of this size has one
        cells = {tuple(c) for c in np.minimum(np.floor(points[inside] * n_side), n_side - 1).astype(int)}
        assert len(cells) >= 0.9 * n_side**dim


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0])
def test_sets_keep_corners_sizes_values_and_the_fixed_set(dim, tilt):
    data = given(dim)
    found = refined(data, errors_of(data), Refinement(tilt=tilt, n_sets=5))
    assert found.points.shape == (6, *data.points.shape[1:])
    assert found.values.shape == (6, *data.values.shape[1:])
    assert found.weights.shape == (6, *data.weights.shape[1:])
    for name in ("points", "values", "weights"):
        assert np.array_equal(getattr(found, name)[-1], getattr(data, name)[-1])
    wanted = {tuple(c) for c in sampling.corners(dim)}
    for points, values, weights in zip(found.points, found.values, found.weights, strict=True):
        inside = weights[0] > 0
        assert wanted <= {tuple(p) for p in points.T[inside]}
        known = (wave(dim)(points.T) - data.mean) / data.scale
        assert values[0] == pytest.approx(known, abs=1e-12)
        corner = ((points == 0.0) | (points == 1.0)).all(axis=0) & inside
        assert weights[0, corner] == pytest.approx(1.0 / (data.weights[0] > 0).sum())
        assert weights.sum() == pytest.approx(1.0, abs=0.1 if tilt == 0.0 else 0.05)


def test_the_tilt_is_a_power_of_the_density():
    """Oracle by hand: the density at each drawn point from its definition, weights from the density."""
    data, how = given(2), Refinement(share=0.6, power=2.0, tilt=0.5, n_sets=3)
    errors = errors_of(data)
    candidates = Candidates(data.points, data.values, data.weights)
    x = data.points[:-1].transpose(0, 2, 1).reshape(-1, 2)
    inner = ~((x == 0) | (x == 1)).all(axis=1) & (np.tile(data.weights[0, 0], 32) > 0)
    square = errors.reshape(-1)[inner] ** 2
    peaked = np.minimum(square / square.mean(), inner.sum() / candidates.n_drawn)
    q = 0.4 + 0.6 * peaked
    q /= q.mean()
    by_point = {tuple(p): v for p, v in zip(x[inner], q, strict=True)}
    points, _, weights = candidates.sets(errors, how)
    ratios = []
    for p, w in zip(points[:-1], weights[:-1], strict=True):
        for one, weight in zip(p.T, w[0], strict=True):
            if weight and tuple(one) in by_point:
                ratios.append(weight * by_point[tuple(one)] ** 0.5)
    assert len(ratios) > 500
    assert np.ptp(ratios) < 1e-12


@pytest.mark.parametrize("errors", [0.0, np.nan, np.inf, 1e-300, 1e300])
def test_errors_that_tell_nothing_leave_the_points_spread(errors):
    data = given(2)
    found = refined(data, np.full((32, data.points.shape[2]), errors), Refinement(tilt=0.0))
    used = found.weights[:-1][found.weights[:-1] > 0]
    assert used == pytest.approx(1.0 / (data.weights[0] > 0).sum(), rel=1e-9)


def test_one_spike_does_not_take_all_the_points():
    data = given(2)
    spike = np.zeros((32, data.points.shape[2]))
    spike[3, 17] = 1.0
    found = refined(data, spike, Refinement(share=0.9, power=2.0, tilt=0.0))
    for points in found.points[:-1]:
        assert len({tuple(p) for p in points.T}) > 0.8 * points.shape[1]


@pytest.mark.parametrize(
    "change", [{"share": 1.0}, {"share": -0.1}, {"power": 0.0}, {"tilt": 1.5}, {"tilt": -0.5}, {"n_sets": 0}], ids=str
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=r"a refinement needs.*Got"):
        Refinement(**change)


def test_errors_of_another_shape_and_single_sets_are_refused():
    data = given(2)
    with pytest.raises(ValueError, match="moving sets"):
        refined(data, np.zeros((3, 7)))
    with pytest.raises(ValueError, match="moving sets"):
        refined(sample(ARCH[1], wave(1), MeanSquare(), "P"), np.zeros((0, 256)))


def ensemble_of(labels, backend, dtype=torch.float64, objective=None, dim=2):
    samplings = [given(dim, label=label) for label in dict.fromkeys(labels)]
    stacks = (np.stack([getattr(s, name) for s in samplings]) for name in ("points", "values", "weights"))
    layout = Layout(ARCH[dim].shapes, activations.get("relu"))
    member_targets = [list(dict.fromkeys(labels)).index(label) for label in labels]
    return Ensemble(layout, objective or MeanSquare(), *stacks, member_targets, dtype=dtype, backend=backend)


def rows(n, dim=2):
    layout = Layout(ARCH[dim].shapes, activations.get("relu"))
    return layout.pack(0.6 * np.random.default_rng(7).normal(size=(n, layout.n_params)))


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_replicas_get_the_same_points_in_any_company(backend, dtype):
    labels, theta = [0, 0, 1, 0, 1], rows(5).to(dtype)
    together = refined_ensemble(ensemble_of(labels, backend, dtype), theta)
    assert together.n_sets == 17
    assert together.dtype == dtype
    gradient = torch.zeros_like(theta)
    for i, label in enumerate(labels):
        alone = refined_ensemble(ensemble_of([label], backend, dtype), theta[i : i + 1])
        lone = torch.zeros_like(theta[i : i + 1])
        for s in (0, 9, -1):
            assert torch.equal(together.points(s)[i], alone.points(s)[0])
            assert torch.equal(together.weights(s)[i], alone.weights(s)[0])
            value = together.value_and_gradient(theta, gradient, s)[i]
            assert torch.equal(value, alone.value_and_gradient(theta[i : i + 1], lone, s)[0])
            assert torch.equal(gradient[i], lone[0])
    assert not torch.equal(together.points(0)[0], together.points(0)[1])


def test_the_set_of_comparison_stays_as_it_was():
    plain, theta = ensemble_of([0, 1], "reference"), rows(2)
    moved = refined_ensemble(plain, theta)
    assert torch.equal(plain.value(theta), moved.value(theta))
    assert torch.equal(plain.points(), moved.points())


def test_an_ensemble_is_refined_by_the_errors_of_its_networks():
    """Oracle: the network evaluated by itself, not by the passes of the trainer."""
    plain, theta, data = ensemble_of([0], "reference"), rows(1), given(2)
    layout = Layout(ARCH[2].shapes, activations.get("relu"))
    network = ar.Network(ARCH[2].layers(layout.unpack(theta)[0]))
    errors = np.abs(np.stack([network(p.T) - v[0] for p, v in zip(data.points[:-1], data.values[:-1], strict=True)]))
    by_hand, found = refined(data, errors), refined_ensemble(plain, theta)
    for s in (0, 5):
        assert found.weights(s)[0].numpy() == pytest.approx(by_hand.weights[s], rel=1e-9)
        assert np.array_equal(found.points(s)[0].numpy(), by_hand.points[s])


def test_losses_of_powers_are_refined_and_of_labels_and_fixed_sets_are_not():
    theta = rows(1)
    assert refined_ensemble(ensemble_of([0], "reference", objective=LpPower(4.0)), theta).n_sets == 17
    labelled = ensemble_of([0], "reference").with_objective(SoftmaxCrossEntropy())
    assert refined_ensemble(labelled, theta) is labelled
    fixed = ensemble_of([0], "reference").reweighted(ensemble_of([0], "reference").weights())
    assert refined_ensemble(fixed, theta) is fixed


def test_memory_is_counted():
    found = refined(given(2), errors_of(given(2)), Refinement(n_sets=9))
    held = sum(a.nbytes for a in (found.points, found.values, found.weights))
    assert Refinement(n_sets=9).bytes_per_replica(2, 1, found.points.shape[2]) == held
