"""The hand-written passes of both backends: against autograd, against differences, independent of who else is computed."""

import numpy as np
import pytest
import torch

from approxrates.backends import CompiledSteps, padded
from approxrates.backends.reference import ReferencePasses
from approxrates.objectives import BinaryLogistic, LpPower, MeanSquare, SoftmaxCrossEntropy
from tests.passes import (
    DTYPES,
    KINDS,
    NAMES,
    backends,
    ensemble_of,
    gradients,
    jacobians,
    layout_of,
    plain_loss,
    plain_outputs,
    rows_of,
)

kinds = pytest.mark.parametrize("kind", KINDS)
names = pytest.mark.parametrize("name", NAMES)


def agrees(found, expected, rtol=1e-10):
    """Equal up to rounding, measured by the largest entry."""
    return np.allclose(found, expected, rtol=rtol, atol=1e-12 * float(np.abs(expected).max()))


@backends
def test_the_backend_is_the_one_asked_for(backend):
    ensemble = ensemble_of(layout_of(), 2, backend=backend)
    assert ensemble.backend == ensemble.subset(torch.tensor([1])).backend == backend
    assert isinstance(ensemble.passes, ReferencePasses if backend == "reference" else CompiledSteps)


@backends
@kinds
@names
def test_gradient_agrees_with_autograd(name, kind, backend):
    layout = layout_of(name, **KINDS[kind])
    # 288 points are one block of 256 and a rest, in loops that take points by blocks.
    ensemble, rows = ensemble_of(layout, 3, m=288, backend=backend), rows_of(layout, 3)
    loss, gradient = gradients(ensemble, rows, 0)
    assert not gradient[:, layout.n_params :].any()
    for i, plain in enumerate(layout.unpack(rows)):
        leaf = torch.from_numpy(plain).requires_grad_()
        expected = plain_loss(ensemble, leaf, i, 0)
        expected.backward()
        assert loss[i].item() == pytest.approx(expected.item(), rel=1e-12)
        assert agrees(layout.unpack(gradient)[i], leaf.grad.numpy())


@backends
@pytest.mark.parametrize("objective", [LpPower(2), LpPower(3.5), LpPower(4), LpPower(16)], ids=str)
@pytest.mark.parametrize("name", ["relu", "tanh+relu2", "sin"])
def test_gradient_of_other_powers_agrees_with_autograd(name, objective, backend):
    layout = layout_of(name, dim=2, n_outputs=2, injection=True)
    ensemble, rows = ensemble_of(layout, 3, m=96, objective=objective, backend=backend), rows_of(layout, 3)
    loss, gradient = gradients(ensemble, rows)
    for i, plain in enumerate(layout.unpack(rows)):
        leaf = torch.from_numpy(plain).requires_grad_()
        expected = plain_loss(ensemble, leaf, i)
        expected.backward()
        assert loss[i].item() == pytest.approx(expected.item(), rel=1e-12)
        assert agrees(layout.unpack(gradient)[i], leaf.grad.numpy())


@backends
@kinds
@names
def test_gradient_agrees_with_differences(name, kind, backend):
    layout = layout_of(name, **KINDS[kind])
    ensemble, rows = ensemble_of(layout, 2, backend=backend), rows_of(layout, 2, seed=1)
    _, gradient = gradients(ensemble, rows)
    direction, h = rows_of(layout, 2, seed=2, scale=1.0), 1e-7
    slope = (ensemble.value(rows + h * direction) - ensemble.value(rows - h * direction)) / (2 * h)
    # Differences of a loss of size L carry an error of about L 1e-16 / h.
    atol = 1e-8 * float(ensemble.value(rows).max()) + 1e-6
    assert torch.allclose(slope, (gradient * direction).sum(1), rtol=2e-5, atol=atol)


@backends
@kinds
@names
def test_jacobian_agrees_with_autograd_and_with_differences(name, kind, backend):
    layout = layout_of(name, **(KINDS[kind] | {"n_outputs": 1}))
    ensemble, rows = ensemble_of(layout, 2, m=288, backend=backend), rows_of(layout, 2, seed=3)
    outputs, jacobian = jacobians(ensemble, rows, 0)
    assert torch.equal(outputs, ensemble.outputs(rows, 0))
    assert not jacobian[:, layout.n_params :].any()
    rng = np.random.default_rng(5)
    for i, plain in enumerate(layout.unpack(rows)):
        leaf = torch.from_numpy(plain).requires_grad_()
        mixture = torch.from_numpy(rng.normal(size=288))
        expected = plain_outputs(layout, ensemble.points(0)[i], leaf)
        assert agrees(outputs[i], expected.detach().numpy())
        (expected[0] * mixture).sum().backward()
        assert agrees(layout.unpack(jacobian @ mixture)[i], leaf.grad.numpy())
    direction, h = rows_of(layout, 2, seed=4, scale=1.0), 1e-7
    slope = (ensemble.outputs(rows + h * direction, 0) - ensemble.outputs(rows - h * direction, 0)) / (2 * h)
    along = (jacobian * direction[:, :, None]).sum(1, keepdim=True)
    # Where a break-point lies within h, the two sides may differ: few points.
    far = (slope - along).abs() > 3e-5 * along.abs().max() + 1e-8 * outputs.abs().max()
    assert far.sum() <= 1


@backends
def test_gradient_is_the_jacobian_times_the_error(backend):
    layout = layout_of("gelu", injection=True, residual=True)
    ensemble, rows = ensemble_of(layout, 5, m=160, backend=backend), rows_of(layout, 5)
    outputs, jacobian = jacobians(ensemble, rows)
    error = 2.0 * (outputs - ensemble.values()) * ensemble.weights()
    assert agrees((jacobian * error).sum(-1).numpy(), gradients(ensemble, rows)[1].numpy())


@pytest.mark.parametrize(("objective", "n_outputs"), [(SoftmaxCrossEntropy(), 3), (BinaryLogistic(), 2)], ids=str)
def test_gradient_of_class_losses_agrees_with_differences(objective, n_outputs):
    layout = layout_of(n_outputs=n_outputs)
    ensemble, rows = ensemble_of(layout, 2, objective=objective), rows_of(layout, 2)
    assert ensemble.backend == "reference"
    _, gradient = gradients(ensemble, rows)
    direction = rows_of(layout, 2, seed=2, scale=1.0)
    slope = (ensemble.value(rows + 1e-6 * direction) - ensemble.value(rows - 1e-6 * direction)) / 2e-6
    assert torch.allclose(slope, (gradient * direction).sum(1), rtol=1e-7)


@kinds
def test_packing_is_undone_by_unpacking_and_pads_with_zeros(kind):
    layout = layout_of(**KINDS[kind])
    plain = np.random.default_rng(0).normal(size=(3, layout.n_params))
    rows = layout.pack(plain)
    assert rows.shape == (3, padded(layout.n_params))
    assert not rows[:, layout.n_params :].any()
    assert np.array_equal(layout.unpack(rows), plain)


SHAPES = [(1, 8, 4, 1, True), (2, 5, 2, 3, True), (1, 8, 1, 1, False), (1, 33, 2, 1, True), (1, 2, 3, 1, True)]
COMPANY = [(name, SHAPES[0]) for name in ("relu", "tanh", "sin", "relu+sin", "gelu", "triangle", "relu3")]
COMPANY += [(name, shape) for name in ("leaky_relu", "tanh+snake") for shape in SHAPES[1:]]


@backends
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "shape"), COMPANY, ids=str)
def test_passes_do_not_depend_on_companions(name, shape, dtype, backend):
    dim, width, depth, n_outputs, bias = shape
    layout = layout_of(name, dim, width, depth, n_outputs, bias, injection=depth == 4, residual=width == 2)
    full = ensemble_of(layout, 33, m=96, dtype=DTYPES[dtype], n_targets=3, backend=backend)
    rows = rows_of(layout, 33, scale=0.4, dtype=DTYPES[dtype])
    loss, gradient = gradients(full, rows, 0)
    outputs, jacobian = jacobians(full, rows, 0) if n_outputs == 1 else (full.outputs(rows, 0), None)
    assert torch.isfinite(gradient).all()
    for some in ([0], [32], [5, 9], [32, 1, 7], list(range(3, 20)), list(range(32, -1, -1))):
        places = torch.tensor(some)
        few, own = full.subset(places), rows[places]
        assert all(torch.equal(a, b[places]) for a, b in zip(gradients(few, own, 0), (loss, gradient), strict=True))
        assert torch.equal(few.value(own, 0), loss[places])
        assert torch.equal(few.outputs(own, 0), outputs[places])
        if jacobian is not None:
            assert torch.equal(jacobians(few, own, 0)[1], jacobian[places])


@backends
def test_point_sets_can_be_swapped_back_and_forth(backend):
    layout = layout_of()
    ensemble, rows = ensemble_of(layout, 5, backend=backend), rows_of(layout, 5)
    first, second, again, last = (ensemble.value(rows, s) for s in (0, 1, 0, -1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(second, last)


@backends
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_the_points_may_be_each_replicas_own(dtype, backend):
    layout = layout_of("relu", n_outputs=2)
    ensemble = ensemble_of(layout, 5, dtype=DTYPES[dtype], backend=backend)
    rows = rows_of(layout, 5, dtype=DTYPES[dtype])
    same = ensemble.reweighted(ensemble.weights())
    assert (len(same), same.n_sets, same.backend) == (5, 1, backend)
    assert torch.equal(same.value(rows), ensemble.value(rows))
    own = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(64), size=(5, 1))).to(DTYPES[dtype])
    other = ensemble.reweighted(own)
    error = (ensemble.outputs(rows) - ensemble.values()).double()
    expected = (error**2 * own).sum(-1).mean(-1)
    assert torch.allclose(other.value(rows).double(), expected, rtol=1e-5 if dtype == "f32" else 1e-12)
    places = torch.tensor([4, 2])
    assert torch.equal(other.subset(places).value(rows[places]), other.value(rows)[places])


@backends
def test_another_loss_on_the_same_points(backend):
    layout = layout_of("relu")
    ensemble, rows = ensemble_of(layout, 3, backend=backend), rows_of(layout, 3)
    error = ensemble.outputs(rows) - ensemble.values()
    fourth = ensemble.with_objective(LpPower(4))
    assert torch.allclose(fourth.value(rows), (error**4 * ensemble.weights()).sum(-1)[:, 0], rtol=1e-12)
    assert fourth.backend == backend
    assert torch.equal(fourth.with_objective(MeanSquare()).value(rows), ensemble.value(rows))


@backends
@names
def test_parameters_that_are_not_a_number_give_such_a_loss_and_spoil_no_other(name, backend):
    layout = layout_of(name, width=4, depth=2)
    ensemble, rows = ensemble_of(layout, 4, backend=backend), rows_of(layout, 4)
    sound, gradient = gradients(ensemble, rows)
    for place in (0, layout.width * 2, layout.n_params - 2, layout.n_params - 1):
        bad = rows.clone()
        bad[2, place] = torch.nan
        loss, found = gradients(ensemble, bad)
        assert not torch.isfinite(loss[2])
        assert not torch.isfinite(found[2]).all()
        assert torch.equal(loss[[0, 1, 3]], sound[[0, 1, 3]])
        assert torch.equal(found[[0, 1, 3]], gradient[[0, 1, 3]])
        assert not torch.isfinite(ensemble.value(bad)[2])
        assert torch.isnan(jacobians(ensemble, bad)[0][2]).all()


@backends
@names
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, 1e300])
def test_huge_parameters_spoil_no_other_replica(name, value, backend):
    layout = layout_of(name, width=4, depth=2, residual=True)
    ensemble, rows = ensemble_of(layout, 3, backend=backend), rows_of(layout, 3)
    sound, gradient = gradients(ensemble, rows)
    bad = rows.clone()
    bad[1, : layout.n_params] = value
    loss, found = gradients(ensemble, bad)
    assert not torch.isfinite(loss[1])
    assert torch.equal(loss[[0, 2]], sound[[0, 2]])
    assert torch.equal(found[[0, 2]], gradient[[0, 2]])


@backends
def test_dead_networks_are_constant_and_only_their_last_bias_moves(backend):
    layout = layout_of("relu", width=4, depth=3)
    ensemble, rows = ensemble_of(layout, 2, backend=backend), rows_of(layout, 2)
    begin, n_out, n_columns = layout.blocks[-2]
    rows[1, begin : begin + n_out * n_columns] = -rows[1, begin : begin + n_out * n_columns].abs()
    outputs, jacobian = jacobians(ensemble, rows)
    assert (outputs[1] == rows[1, layout.n_params - 1]).all()
    assert torch.equal(jacobian[1].any(-1).nonzero().flatten(), torch.tensor([layout.n_params - 1]))
    _, gradient = gradients(ensemble, rows)
    assert torch.equal(gradient[1].nonzero().flatten(), torch.tensor([layout.n_params - 1]))
    assert gradient[0].count_nonzero() > 10


def test_groups_cover_all_replicas(monkeypatch):
    layout = layout_of()
    ensemble, rows = ensemble_of(layout, 23, backend="reference"), rows_of(layout, 23)
    whole, jacobian = ensemble.value(rows), jacobians(ensemble, rows)[1]
    monkeypatch.setattr("approxrates.backends.reference._CACHE_BYTES", 1)
    assert len(ensemble.passes._groups()) > 3
    assert torch.equal(ensemble.value(rows), whole)
    assert torch.equal(jacobians(ensemble, rows)[1], jacobian)
