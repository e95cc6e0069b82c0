"""Hessian products: against differences of the ensemble's gradients, double backward of plain networks, closed forms."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from approxrates import activations
from approxrates.backends import Ensemble, Layout, r_operator
from approxrates.backends import hessian as module
from approxrates.backends.hessian import Hessian
from approxrates.objectives import BinaryLogistic, HalfSquare, LpPower, MeanSquare, SoftmaxCrossEntropy
from tests.passes import DTYPES, KINDS, NAMES, ensemble_of, gradients, layout_of, plain_outputs, rows_of

LOSSES = [
    MeanSquare(),
    HalfSquare(),
    HalfSquare("sum"),
    LpPower(4),
    LpPower(3.5),
    SoftmaxCrossEntropy(),
    BinaryLogistic(),
]
PENALTY = [0.1, 0.0, 0.3]
names = pytest.mark.parametrize("name", NAMES)
kinds = pytest.mark.parametrize("kind", KINDS)
losses = pytest.mark.parametrize("loss", LOSSES, ids=str)


def relative(found, expected):
    """Largest difference over the largest entry."""
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max() / np.abs(np.asarray(expected)).max())


def network_loss(ensemble, plain, i):
    """Any loss of one network as a differentiable function of its parameters, by torch's own losses."""
    output = plain_outputs(ensemble.layout, ensemble.points()[i], plain)
    target, weights, loss = ensemble.values()[i], ensemble.weights()[i], ensemble.objective
    if isinstance(loss, SoftmaxCrossEntropy):
        return (functional.cross_entropy(output.T, target[0].long(), reduction="none") * weights[0]).sum()
    if isinstance(loss, BinaryLogistic):
        terms = functional.binary_cross_entropy_with_logits(output, target, reduction="none")
        return (terms * weights).sum(-1).mean()
    terms = ((output - target).abs() ** getattr(loss, "p", 2.0) * weights).sum(-1)
    if isinstance(loss, HalfSquare):
        return terms.sum() / 2 if loss.over_outputs == "sum" else terms.mean() / 2
    return terms.mean()


def double_backward(ensemble, plain, direction, i, penalty=0.0):
    """The product of one network by differentiating its gradient times the direction."""
    leaf = torch.from_numpy(plain).requires_grad_()
    value = network_loss(ensemble, leaf, i) + penalty * leaf.square().sum()
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    return torch.autograd.grad((slope * torch.from_numpy(direction)).sum(), leaf)[0].numpy()


def differences(ensemble, theta, direction, h):
    """Central differences of the ensemble's own gradients."""
    above, below = (gradients(ensemble, theta + sign * h * direction)[1] for sign in (1.0, -1.0))
    return (above - below) / (2 * h)


def dense(hessian):
    """Matrices ``[N, n_params, n_params]`` from products with unit vectors."""
    unit = torch.eye(hessian.n_params, hessian.layout.stride, dtype=hessian.theta.dtype)
    return torch.stack([hessian.products(row.expand(len(hessian), -1)) for row in unit], 1)[..., : hessian.n_params]


@kinds
@names
def test_products_agree_with_double_backward(name, kind):
    layout = layout_of(name, **KINDS[kind])
    ensemble, rows, along = ensemble_of(layout, 3), rows_of(layout, 3), rows_of(layout, 3, seed=5, scale=1.0)
    found = Hessian(ensemble.problem, rows, l2_penalty=PENALTY).products(along)
    assert not found[:, layout.n_params :].any()
    plain, directions = layout.unpack(rows), layout.unpack(along)
    for i, product in enumerate(layout.unpack(found)):
        assert relative(product, double_backward(ensemble, plain[i], directions[i], i, PENALTY[i])) < 1e-11


@kinds
@names
def test_products_agree_with_differences_of_gradients(name, kind):
    layout = layout_of(name, **KINDS[kind])
    ensemble, rows, along = ensemble_of(layout, 2), rows_of(layout, 2, seed=1), rows_of(layout, 2, seed=2, scale=1.0)
    found = Hessian(ensemble.problem, rows).products(along)
    assert relative(found, differences(ensemble, rows, along, 1e-7)) < 2e-5


@losses
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu+sin", "relu3"])
def test_dense_matrices_of_all_losses_agree_with_differences_and_are_symmetric(name, depth, loss):
    links = {1: {}, 2: {"bias": False, "residual": True}, 3: {"injection": True, "residual": True}}[depth]
    layout = layout_of(name, dim=2, width=3, depth=depth, n_outputs=2, **links)
    ensemble, rows = ensemble_of(layout, 2, objective=loss), rows_of(layout, 2, scale=0.9)
    matrices = dense(Hessian(ensemble.problem, rows))
    assert relative(matrices, matrices.mT) < 1e-13
    unit = torch.eye(layout.n_params, layout.stride, dtype=torch.float64)
    expected = torch.stack([differences(ensemble, rows, row.expand(2, -1), 1e-6) for row in unit], 1)
    assert relative(matrices, expected[..., : layout.n_params]) < 1e-6
    along, plain = rows_of(layout, 2, seed=5, scale=1.0), layout.unpack(rows)
    directions = layout.unpack(along)
    for i, product in enumerate(layout.unpack(Hessian(ensemble.problem, rows).products(along))):
        assert relative(product, double_backward(ensemble, plain[i], directions[i], i)) < 1e-11


def test_the_last_layer_is_linear_regression_on_the_features():
    """Closed form, with no derivative taken: half the second derivative is the features' second moment."""
    layout = layout_of("tanh", dim=2, width=6, depth=2)
    ensemble, rows = ensemble_of(layout, 2), rows_of(layout, 2)
    offset = layout.blocks[-1][0]
    matrices = dense(Hessian(ensemble.problem, rows))[:, offset:, offset:]
    for i, plain in enumerate(layout.unpack(rows)):
        x, start = ensemble.points()[i].numpy(), 0
        for n_out, n_in in layout.shapes[:-1]:
            weight = plain[start : start + n_out * n_in].reshape(n_out, n_in)
            start += n_out * n_in + n_out
            x = np.tanh(weight @ x + plain[start - n_out : start, None])
        features = np.vstack([x, np.ones(x.shape[1])])
        expected = 2.0 * (features * ensemble.weights()[i].numpy()) @ features.T
        assert relative(matrices[i], expected) < 1e-13


def test_the_product_of_two_numbers_has_the_hessian_one_writes_down():
    layout = Layout(((1, 1), (1, 1)), activations.get("identity"), bias=False)
    ensemble = ensemble_of(layout, 2)
    u, v = np.array([0.7, -1.3]), np.array([0.4, 0.2])
    found = dense(Hessian(ensemble.problem, layout.pack(np.stack([u, v], 1)), l2_penalty=[0.25, 0.0])).numpy()
    x, y, w = (part.numpy()[:, 0] for part in (ensemble.points(), ensemble.values(), ensemble.weights()))
    xx, xy = (w * x * x).sum(-1), (w * x * y).sum(-1)
    mixed = 2 * (2 * u * v * xx - xy)
    expected = np.array([[2 * v**2 * xx + [0.5, 0.0], mixed], [mixed, 2 * u**2 * xx + [0.5, 0.0]]]).transpose(2, 0, 1)
    assert relative(found, expected) < 1e-13


@kinds
def test_value_and_gradient_are_those_of_the_ensemble(kind):
    layout = layout_of("gelu", **KINDS[kind])
    ensemble, rows = ensemble_of(layout, 3), rows_of(layout, 3)
    loss, gradient = gradients(ensemble, rows)
    hessian = Hessian(ensemble.problem, rows)
    assert torch.allclose(hessian.value, loss, rtol=1e-12)
    assert relative(hessian.gradient, gradient) < 1e-12
    first = gradients(ensemble, rows, 0)
    assert relative(Hessian(ensemble.problem, rows, 0).gradient, first[1]) < 1e-12
    penalty = torch.tensor(PENALTY, dtype=torch.float64)
    full = Hessian(ensemble.problem, rows, l2_penalty=penalty)
    assert torch.allclose(full.value, loss + penalty * rows.square().sum(1), rtol=1e-12)
    assert relative(full.gradient, gradient + 2 * penalty[:, None] * rows) < 1e-12
    assert not full.gradient[:, layout.n_params :].any()


def test_ensembles_give_the_hessian_of_their_loss_with_its_penalty():
    layout = layout_of("tanh")
    ensemble, rows, along = ensemble_of(layout, 3), rows_of(layout, 3), rows_of(layout, 3, seed=1, scale=1.0)
    penalised = Ensemble(
        layout, ensemble.objective, ensemble.problem.points, ensemble.problem.values, ensemble.problem.weights,
        ensemble.problem.targets.tolist(), l2_penalty=PENALTY,
    )  # fmt: skip
    for set_index in (0, -1):
        found = penalised.hessian(rows, set_index)
        assert torch.equal(found.products(along), Hessian(ensemble.problem, rows, set_index, PENALTY).products(along))
        assert relative(found.gradient, gradients(penalised, rows, set_index)[1]) < 1e-12
    plain = penalised.unpenalised().hessian(rows)
    assert torch.equal(plain.products(along), Hessian(ensemble.problem, rows).products(along))


def everything(hessian, along):
    """All that is computed, in one list."""
    several = torch.stack([along, along.flip(0), 2 * along], 1)
    return [hessian.products(along), hessian.gradient, hessian.value, hessian.many(several[:, :2])]


@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "tanh", "tanh+sin", "cubic_bspline"])
def test_a_replica_does_not_depend_on_its_companions_bit_for_bit(name, dtype, alone, monkeypatch):
    monkeypatch.setattr(r_operator, "ALONE", 1 if alone else 1 << 40)
    layout = layout_of(name, dim=2, width=5, depth=3, injection=True, residual=True)
    ensemble = ensemble_of(layout, 33, m=96, dtype=DTYPES[dtype], n_targets=3)
    rows = rows_of(layout, 33, scale=0.4, dtype=DTYPES[dtype])
    along = rows_of(layout, 33, seed=1, scale=1.0, dtype=DTYPES[dtype])
    penalty = torch.linspace(0.0, 1.0, 33, dtype=DTYPES[dtype])
    full = Hessian(ensemble.problem, rows, l2_penalty=penalty)
    wanted = full.products(along), full.gradient, full.value
    for some in ([0], [32], [5, 9], [32, 1, 7], list(range(3, 20)), list(range(32, -1, -1))):
        places = torch.tensor(some)
        made = Hessian(ensemble.subset(places).problem, rows[places], l2_penalty=penalty[places])
        for few in (made, full.subset(places)):
            for found, whole in zip((few.products(along[places]), few.gradient, few.value), wanted, strict=True):
                assert torch.equal(found, whole[places])
            several = torch.stack([along, 2 * along, -along], 1)
            assert torch.equal(few.many(several[places]), full.many(several)[places])


def test_groups_and_passes_done_again_change_nothing(monkeypatch):
    layout = layout_of("tanh")
    ensemble, rows, along = ensemble_of(layout, 23), rows_of(layout, 23), rows_of(layout, 23, seed=1, scale=1.0)
    whole = everything(Hessian(ensemble.problem, rows), along)
    monkeypatch.setattr(module, "_CACHE_BYTES", 1)
    monkeypatch.setattr(module, "_KEPT_BYTES", 1)
    other = Hessian(ensemble.problem, rows)
    assert len(other._groups) > 3
    for found, expected in zip(everything(other, along), whole, strict=True):
        assert torch.allclose(found, expected, rtol=1e-13, atol=1e-16)
    assert torch.equal(other.products(along), whole[0])
    assert other._kept is None


def test_several_directions_are_one_direction_each():
    layout = layout_of("gelu", residual=True)
    ensemble, rows = ensemble_of(layout, 3), rows_of(layout, 3)
    several = torch.stack([rows_of(layout, 3, seed=seed, scale=1.0) for seed in range(7)], 1)
    hessian = Hessian(ensemble.problem, rows, l2_penalty=PENALTY)
    singly = torch.stack([hessian.products(several[:, j]) for j in range(7)], 1)
    assert relative(hessian.many(several), singly) < 1e-13
    assert hessian.many(several[:, :0]).shape == (3, 0, layout.stride)


def test_a_finer_type_of_the_parameters_is_the_type_of_the_products():
    layout = layout_of("tanh")
    coarse, fine = ensemble_of(layout, 2, dtype=torch.float32), ensemble_of(layout, 2)
    rows, along = rows_of(layout, 2), rows_of(layout, 2, seed=1, scale=1.0)
    wanted = Hessian(fine.problem, rows).products(along)
    found = Hessian(coarse.problem, rows).products(along.float())
    assert found.dtype == torch.float64
    assert relative(found, wanted) < 1e-6
    single = Hessian(coarse.problem, rows.float()).products(along)
    assert single.dtype == torch.float32
    assert 1e-9 < relative(single, wanted) < 1e-5


def test_what_is_frozen_stays_and_nothing_is_recorded_for_autograd():
    layout = layout_of("tanh")
    ensemble, rows, along = ensemble_of(layout, 2), rows_of(layout, 2), rows_of(layout, 2, seed=1)
    moving = rows.clone().requires_grad_()
    hessian = Hessian(ensemble.problem, moving)
    before = hessian.products(along.requires_grad_())
    assert not before.requires_grad
    assert not hessian.gradient.requires_grad
    with torch.no_grad():
        moving.add_(1.0)
    assert torch.equal(hessian.products(along), before)
    assert torch.equal(hessian.theta, rows)


def test_parameters_that_are_not_a_number_spoil_no_other_replica():
    layout = layout_of("tanh", width=4, depth=2)
    ensemble, rows, along = ensemble_of(layout, 3), rows_of(layout, 3), rows_of(layout, 3, seed=1)
    sound = Hessian(ensemble.problem, rows).products(along)
    rows[1, 0] = torch.nan
    found = Hessian(ensemble.problem, rows).products(along)
    assert torch.isnan(found[1]).any()
    assert torch.equal(found[[0, 2]], sound[[0, 2]])


def test_an_activation_without_a_second_derivative_is_differentiated():
    bare = dataclasses.replace(activations.get("tanh"), curvature=None)
    layout, plain = layout_of(activation=bare), layout_of("tanh")
    rows, along = rows_of(plain, 2), rows_of(plain, 2, seed=1)
    found = Hessian(ensemble_of(layout, 2).problem, rows).products(along)
    assert relative(found, Hessian(ensemble_of(plain, 2).problem, rows).products(along)) < 1e-12


def test_what_does_not_fit_is_refused():
    layout = layout_of()
    ensemble, rows = ensemble_of(layout, 3), rows_of(layout, 3)
    with pytest.raises(ValueError, match=r"a row for each replica, shape \(3, 96\)"):
        Hessian(ensemble.problem, rows[:2])
    with pytest.raises(ValueError, match="one number for each replica, 3"):
        Hessian(ensemble.problem, rows, l2_penalty=[0.1])


@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
def test_subsets_take_the_passes_that_are_known_and_give_the_same_bits(alone, monkeypatch):
    monkeypatch.setattr(r_operator, "ALONE", 1 if alone else 1 << 40)
    monkeypatch.setattr(module, "_CACHE_BYTES", 1)  # groups of four
    layout = layout_of("tanh", injection=True)
    ensemble, rows, along = ensemble_of(layout, 11), rows_of(layout, 11), rows_of(layout, 11, seed=1, scale=1.0)
    hessian = Hessian(ensemble.problem, rows, l2_penalty=torch.arange(11.0))
    whole, gradient = hessian.products(along), hessian.gradient
    monkeypatch.setattr(r_operator.FrozenPasses, "_at", None)  # nothing is computed again
    for some in ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0, 1, 2, 4, 6, 8, 9, 10], [2, 4, 9], [9, 2], [2], [10, 0, 5]):
        places = torch.tensor(some)
        assert torch.equal(hessian.product(along[places], places), whole[places])
        few = hessian.subset(places)
        assert torch.equal(few.products(along[places]), whole[places])
        assert torch.equal(few.gradient, gradient[places])
    again = few.subset(torch.tensor([2, 0]))
    assert torch.equal(again.products(along[[5, 10]]), whole[[5, 10]])
