"""Autograd ensembles: against the hand-written passes, against differences, and replicas alone against in company."""

import numpy as np
import pytest
import torch
from mlp_model import like
from passes import ensemble_of, gradients, layout_of, rows_of

from approxrates.backends import Ensemble
from approxrates.backends.autograd import AutogradEnsemble, FlatLayout
from approxrates.models import VAE, LinearVAE

POINTS = np.random.default_rng(1).uniform(size=(50, 9))
MODELS = {
    "vae": VAE(dim=9, hidden=(11,), latent=3),
    "bernoulli-relu": VAE(dim=9, hidden=(11, 6), latent=2, likelihood="bernoulli", activation="relu"),
    "gelu": VAE(dim=9, hidden=(5,), latent=2, activation="gelu"),
    "linear": LinearVAE(9, 4),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def ensemble_for(model, n=5, **settings):
    beta, penalty = np.linspace(0.3, 2.0, n), np.linspace(0.0, 0.1, n)
    settings = {"coefficients": {"beta": beta}, "l2_penalty": penalty, "batch_size": 16} | settings
    return AutogradEnsemble(model, model.tables_of(POINTS), n, **settings)


def rows_for(ensemble, seed=0):
    plain = np.stack([ensemble.model.initialise(seed + i) for i in range(len(ensemble))])
    return ensemble.layout.pack(plain).to(ensemble.dtype)


@pytest.mark.parametrize("kind", [{}, {"dim": 3, "n_outputs": 2}, {"name": "relu", "depth": 2, "width": 7}], ids=str)
@pytest.mark.parametrize("penalised", [False, True])
def test_a_network_written_as_a_model_has_the_losses_gradients_and_hessians_of_its_ensemble(kind, penalised):
    layout, gamma = layout_of(**kind), [0.0, 0.02, 0.3] if penalised else None
    other = ensemble_of(layout, 3, n_targets=1, backend="reference")
    other = Ensemble(
        layout, other.objective, other.problem.points, other.problem.values, other.problem.weights, [0] * 3,
        backend="reference", l2_penalty=gamma,
    )  # fmt: skip
    model, data = like(other)
    ensemble = AutogradEnsemble(model, data, 3, l2_penalty=gamma)
    theirs = rows_of(layout, 3)
    ours = ensemble.layout.pack(layout.unpack(theirs))
    (value, gradient), (expected, slope) = gradients(ensemble, ours), gradients(other, theirs)
    assert value == pytest.approx(expected, rel=1e-13)
    assert ensemble.value(ours) == pytest.approx(expected, rel=1e-13)
    assert ensemble.layout.unpack(gradient) == pytest.approx(layout.unpack(slope), rel=1e-11, abs=1e-13)


@every_model
def test_gradients_and_hessians_agree_with_differences(model):
    ensemble = ensemble_for(model)
    theta = rows_for(ensemble)
    turn = torch.as_tensor(np.random.default_rng(2).normal(size=theta.shape))
    turn[:, model.n_params :] = 0.0
    h = 1e-6
    (above, ahead), (below, behind) = (gradients(ensemble, theta + sign * h * turn, 1) for sign in (1, -1))
    _, gradient = gradients(ensemble, theta, 1)
    assert (gradient * turn).sum(1) == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-7)
    hessian = ensemble.hessian(theta, 1)
    product = hessian.products(turn)
    assert product == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-6)
    assert not product[:, model.n_params :].any()
    assert torch.equal(hessian.value, ensemble.value(theta, 1))
    assert torch.equal(hessian.gradient, gradient)


@every_model
def test_several_directions_are_as_one_after_the_other_and_the_matrix_is_symmetric(model):
    ensemble = ensemble_for(model, 2)
    theta = rows_for(ensemble)
    turns = torch.as_tensor(np.random.default_rng(3).normal(size=(2, 3, theta.shape[1])))
    hessian = ensemble.hessian(theta)
    many = hessian.many(turns)
    assert torch.equal(many, torch.stack([hessian.products(turns[:, q]) for q in range(3)], 1))
    inner = many[..., : model.n_params] @ turns[..., : model.n_params].mT
    assert inner == pytest.approx(inner.mT, rel=1e-9)
    one = hessian.subset(torch.tensor([1]))
    assert torch.equal(one.many(turns[1:]), many[1:])


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own, loading its rules
def test_products_are_those_of_forward_differentiation():
    model = MODELS["bernoulli-relu"]
    ensemble = ensemble_for(model, 1)
    theta = rows_for(ensemble)
    turn = torch.as_tensor(np.random.default_rng(2).normal(size=model.n_params))
    slope = torch.func.grad(ensemble.loss(0))
    expected = torch.func.jvp(slope, (theta[0, : model.n_params],), (turn,))[1]
    found = ensemble.hessian(theta).products(torch.nn.functional.pad(turn, (0, theta.shape[1] - len(turn)))[None])
    assert found[0, : model.n_params] == pytest.approx(expected, rel=1e-10, abs=1e-11)


def test_hessians_are_computed_in_the_precision_of_the_parameters():
    ensemble = ensemble_for(MODELS["vae"], 2, dtype=torch.float32)
    theta = rows_for(ensemble)
    fine, coarse = ensemble.hessian(theta.double()), ensemble.hessian(theta)
    assert (fine.value.dtype, coarse.value.dtype) == (torch.float64, torch.float32)
    assert fine.products(theta.double()) == pytest.approx(coarse.products(theta).double(), rel=1e-3, abs=1e-4)
    assert ensemble.dtype == torch.float32


@every_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_replica_is_the_same_alone_and_in_company_bit_for_bit(model, dtype):
    together = ensemble_for(model, 5, dtype=dtype)
    theta = rows_for(together)
    turn = torch.randn(theta.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for which in (-1, 0, together.n_sets - 2):
        values, gradient = gradients(together, theta, which)
        products = together.hessian(theta, which).products(turn)
        for rows in ([0], [3], [4, 1], [2, 0, 3]):
            some = together.subset(torch.tensor(rows))
            few, slope = gradients(some, theta[rows], which)
            assert torch.equal(few, values[rows])
            assert torch.equal(some.value(theta[rows], which), values[rows])
            assert torch.equal(slope, gradient[rows])
            assert torch.equal(some.hessian(theta[rows], which).products(turn[rows]), products[rows])


def test_a_replica_is_the_same_alone_and_in_company_for_the_vae_of_the_protocol():
    model = VAE()
    data = model.tables_of(np.random.default_rng(0).uniform(size=(60, 784)))
    together = AutogradEnsemble(model, data, 3, coefficients={"beta": [0.1, 1.0, 5.0]}, dtype=torch.float32)
    theta = rows_for(together)
    values, gradient = gradients(together, theta)
    for row in range(3):
        alone, slope = gradients(together.subset(torch.tensor([row])), theta[row : row + 1].clone())
        assert torch.equal(alone[0], values[row])
        assert torch.equal(slope[0], gradient[row])


@every_model
def test_point_sets_are_batches_and_the_last_is_all(model):
    ensemble = ensemble_for(model, 2)
    theta = rows_for(ensemble)
    assert ensemble.n_sets == 5
    sizes = torch.tensor([16.0, 16.0, 16.0, 2.0], dtype=torch.float64)
    parts = torch.stack([ensemble.value(theta, q) for q in range(4)])
    assert (parts * sizes[:, None]).sum(0) / 50.0 == pytest.approx(ensemble.value(theta), rel=1e-12)
    assert AutogradEnsemble(model, model.tables_of(POINTS), 2).n_sets == 1
    assert AutogradEnsemble(model, model.tables_of(POINTS), 2, batch_size=50).n_sets == 1


@every_model
def test_the_penalty_is_the_sum_of_squares_of_all_parameters(model):
    ensemble = ensemble_for(model)
    theta = rows_for(ensemble)
    value, gradient = gradients(ensemble, theta)
    error, slope = gradients(ensemble.unpenalised(), theta)
    gamma = ensemble.l2_penalty[:, None]
    assert value - error == pytest.approx((gamma * theta.square()).sum(1), rel=1e-9, abs=1e-12)
    assert gradient - slope == pytest.approx(2.0 * gamma * theta, rel=1e-7, abs=1e-12)
    turn = torch.ones_like(theta) * (torch.arange(theta.shape[1]) < model.n_params)
    bent = ensemble.hessian(theta).products(turn) - ensemble.unpenalised().hessian(theta).products(turn)
    assert bent == pytest.approx(2.0 * gamma * turn, rel=1e-7, abs=1e-11)
    assert ensemble.unpenalised().l2_penalty is None


def test_a_penalty_leaves_out_what_the_model_has_exempt():
    other = ensemble_of(layout_of(), 2, n_targets=1, backend="reference")
    model, data = like(other, free_biases=True)
    ensemble = AutogradEnsemble(model, data, 2, l2_penalty=[0.1, 0.2])
    theta = rows_for(ensemble)
    _, gradient = gradients(ensemble, theta)
    _, slope = gradients(ensemble.unpenalised(), theta)
    extra, mask = ensemble.layout.unpack(gradient - slope), model.penalised_mask
    assert mask.sum() == 5 + 25 + 25 + 5
    assert extra[:, ~mask] == pytest.approx(0.0)
    assert extra[:, mask] == pytest.approx(2.0 * np.array([[0.1], [0.2]]) * ensemble.layout.unpack(theta)[:, mask])


def test_coefficients_lie_along_the_replicas():
    model = MODELS["vae"]
    ensemble = ensemble_for(model, 2, coefficients={"beta": [0.5, 3.0]}, l2_penalty=None)
    theta = rows_for(ensemble)[:1].expand(2, -1).contiguous()
    _, rates = model.terms(theta[0, : model.n_params], ensemble.data(0))
    low, high = ensemble.value(theta)
    assert float(high - low) == pytest.approx(2.5 * float(rates.sum()))
    default = AutogradEnsemble(model, model.tables_of(POINTS), 1).value(theta[:1])
    assert float(default - low) == pytest.approx(0.5 * float(rates.sum()))


def test_a_loss_that_is_not_finite_is_of_one_replica_alone():
    ensemble = ensemble_for(MODELS["vae"], 3)
    theta = rows_for(ensemble)
    theta[1] = torch.nan
    values, gradient = gradients(ensemble, theta)
    assert torch.isfinite(values).tolist() == torch.isfinite(gradient).all(1).tolist() == [True, False, True]


def test_rows_are_padded_and_unpacked():
    layout, plain = FlatLayout(33), np.random.default_rng(0).normal(size=(2, 33))
    assert layout.stride == 64
    rows = layout.pack(plain)
    assert not rows[:, 33:].any()
    assert np.array_equal(layout.unpack(rows), plain)
