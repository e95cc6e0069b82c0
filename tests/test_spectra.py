"""Eigenvalues, traces and matrices from products: against dense matrices, scipy's ARPACK, and spectra known beforehand."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from approxrates.backends.hessian import Hessian
from approxrates.objectives import SoftmaxCrossEntropy
from approxrates.spectra import dense_matrices, exact_trace, extreme_eigenvalues, random_start, traces
from approxrates.spectra.krylov import random_vector
from tests.passes import DTYPES, ensemble_of, layout_of, rows_of

RNG = np.random.default_rng(5)
SPECTRA = {
    "normal": RNG.normal(size=300),
    "most-negative-dominates": np.r_[3.0, -100.0, RNG.random(300) * 2],
    "negative-definite": -RNG.random(300) - 0.1,
    "top-is-tiny": np.r_[1e-4, -RNG.random(200)],
    "clustered": np.r_[5.0, 5 - 1e-5, 5 - 2e-5, RNG.random(300) * 4, -3, -3 + 1e-6],
    "multiple": np.repeat([5.0, 4.99999, 0.0, -2.0], [10, 10, 150, 7]),
    "identity": np.ones(50),
    "minus-identity": -np.ones(50),
    "one-direction": np.r_[7.0, np.zeros(199)],
    "one-parameter": np.array([-2.0]),
    "two-parameters": np.array([2.0, -3.0]),
    "five-parameters": np.array([2.0, 1.0, 1.0, -1.0, -3.0]),
    "geometric": 10.0 ** -np.arange(0, 4, 0.1),
    "huge": 1e12 * RNG.normal(size=100),
    "small": 1e-12 * RNG.normal(size=100),
}


def operator(*spectra, seed=0, dtype=torch.float64, recorded=None):
    """Matrices of given spectra (of one size) in random bases, as products; padding of the product is rubbish."""
    rng, n = np.random.default_rng(seed), len(spectra[0])
    bases = [np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in spectra]
    dense = np.stack([(basis * spectrum) @ basis.T for basis, spectrum in zip(bases, spectra, strict=True)])
    dense = (dense + dense.transpose(0, 2, 1)) / 2
    matrices, stride = torch.from_numpy(dense).to(dtype), -(-n // 32) * 32

    def product(vectors, rows):
        assert not vectors[:, n:].any()
        if recorded is not None:
            recorded.append(rows.tolist())
        out = torch.full_like(vectors, 77.0)
        for i, row in enumerate(rows.tolist()):
            out[i, :n] = matrices[row] @ vectors[i, :n]
        return out

    return product, dense, stride


def several(matrices, stride):
    """The same matrices for many directions at once."""

    def many(directions):
        n = matrices.shape[-1]
        out = torch.zeros_like(directions)
        for i, matrix in enumerate(matrices):
            out[i, :, :n] = directions[i, :, :n] @ matrix.to(directions.dtype)
        return out

    return many


@pytest.mark.parametrize("most_steps", [None, 24], ids=["no-restart", "restarts"])
@pytest.mark.parametrize("ends", ["top", "bottom", "both"])
@pytest.mark.parametrize("name", SPECTRA)
def test_ends_of_known_spectra(name, ends, most_steps):
    spectrum = SPECTRA[name]
    product, dense, stride = operator(spectrum)
    found = extreme_eigenvalues(
        product, ((1, stride), (3,)), n_params=len(spectrum), ends=ends, most_steps=most_steps, tolerance=1e-7
    )
    # "top-is-tiny" and "multiple" have an end that is small or zero: rounding counts by the other.
    exact, rounding = np.linalg.eigvalsh(dense[0]), 1e-13 * np.abs(spectrum).max()
    for end, place in (("top", -1), ("bottom", 0)):
        value, residual = getattr(found, end).item(), getattr(found, f"{end}_residual").item()
        if ends in (end, "both"):
            assert getattr(found, f"{end}_converged").item()
            assert value == pytest.approx(exact[place], rel=1e-7, abs=rounding)
            assert residual <= 1e-7 * abs(exact[place]) + 10 * rounding
        else:
            assert np.isnan([value, residual]).all()
            assert not getattr(found, f"{end}_converged").item()
    assert found.steps.item() <= 600
    assert found.top_vector is None


def test_zero_matrices_have_zero_ends_at_once():
    product, _, stride = operator(np.zeros(40))
    found = extreme_eigenvalues(product, ((1, stride), (1,)), n_params=40, ends="both")
    assert (found.top.item(), found.bottom.item()) == (0.0, 0.0)
    assert found.top_converged.item()
    assert found.steps.item() <= 3


@pytest.mark.parametrize("shift", [0.0, 1e-9])
def test_a_start_that_is_an_eigenvector_does_not_hide_the_top(shift):
    spectrum = torch.arange(1.0, 65.0, dtype=torch.float64)
    start = torch.zeros(2, 64, dtype=torch.float64)
    start[0, 3], start[1, 3:5] = 1.0, torch.tensor([1.0, shift])
    found = extreme_eigenvalues(lambda v, rows: v * spectrum, start, n_params=64, ends="both")
    assert found.top.tolist() == pytest.approx([64.0, 64.0], rel=1e-9)
    assert found.bottom.tolist() == pytest.approx([1.0, 1.0], rel=1e-9)


def test_an_invariant_space_is_left_by_a_random_vector(monkeypatch):
    """Without the random share of the start the first space is the eigenvector alone."""
    monkeypatch.setattr("approxrates.spectra.lanczos.random_vector", lambda *a: torch.eye(64, dtype=torch.float64)[3])
    spectrum = torch.linspace(-4.0, 9.0, 64, dtype=torch.float64)
    start = torch.eye(64, dtype=torch.float64)[3:4]
    for vectors in (False, True):
        found = extreme_eigenvalues(lambda v, rows: v * spectrum, start, n_params=64, ends="both", vectors=vectors)
        assert (found.top.item(), found.bottom.item()) == pytest.approx((9.0, -4.0), rel=1e-9)
        assert found.top_converged.item()
    assert found.top_vector[0].abs().argmax() == 63
    # and where the start is the top itself, that is what stays
    top = torch.where(torch.arange(64) == 3, 50.0, spectrum)
    found = extreme_eigenvalues(lambda v, rows: v * top, start, n_params=64)
    assert found.top.item() == pytest.approx(50.0, rel=1e-12)
    assert found.top_converged.item()


def test_starts_without_sense_are_replaced():
    spectrum = torch.arange(1.0, 65.0, dtype=torch.float64)
    start = torch.zeros(3, 64, dtype=torch.float64)
    start[1], start[2, 0] = torch.nan, torch.inf
    found = extreme_eigenvalues(lambda v, rows: v * spectrum, start, n_params=64)
    assert found.top.tolist() == pytest.approx([64.0] * 3, rel=1e-9)


def test_ritz_vectors_are_eigenvectors_and_residuals_are_true():
    spectra = [RNG.normal(size=100), RNG.normal(size=100) ** 3]
    product, dense, stride = operator(*spectra)
    found = extreme_eigenvalues(product, ((2, stride), (1, 2)), n_params=100, ends="both", tolerance=1e-5, vectors=True)
    for end in ("top", "bottom"):
        vectors, values = getattr(found, f"{end}_vector"), getattr(found, end)
        assert not vectors[:, 100:].any()
        for i in range(2):
            x = vectors[i, :100].numpy()
            assert np.linalg.norm(x) == pytest.approx(1.0, rel=1e-12)
            true = np.linalg.norm(dense[i] @ x - values[i].item() * x)
            assert true == pytest.approx(getattr(found, f"{end}_residual")[i].item(), rel=1e-5)
            assert np.abs(np.linalg.eigvalsh(dense[i]) - values[i].item()).min() <= true
            assert true <= 1e-5 * abs(values[i].item())


def test_directions_kept_out_are_not_found():
    spectrum = np.r_[10.0, 9.0, np.linspace(-1, 3, 60), -8.0]
    product, dense, stride = operator(spectrum)
    _, basis = np.linalg.eigh(dense[0])
    kept_out = torch.zeros(1, 4, stride, dtype=torch.float64)
    kept_out[0, :3, :63] = torch.from_numpy(basis[:, [0, -1, -2]].T.copy())
    found = extreme_eigenvalues(product, ((1, stride), (1,)), n_params=63, ends="both", project=kept_out, vectors=True)
    assert (found.top.item(), found.bottom.item()) == pytest.approx((3.0, -1.0), rel=1e-9)
    assert (kept_out[0] @ found.top_vector[0]).abs().max() < 1e-12


def test_directions_kept_out_need_not_be_eigenvectors():
    product, dense, stride = operator(np.linspace(-1, 3, 40))
    directions = np.linalg.qr(np.random.default_rng(3).normal(size=(40, 5)))[0]
    kept_out = torch.zeros(1, 5, stride, dtype=torch.float64)
    kept_out[0, :, :40] = torch.from_numpy(directions.T.copy())
    complement = np.linalg.qr(np.c_[directions, np.eye(40)])[0][:, 5:]
    exact = np.linalg.eigvalsh(complement.T @ dense[0] @ complement)
    found = extreme_eigenvalues(product, ((1, stride), (1,)), n_params=40, ends="both", project=kept_out)
    assert (found.top.item(), found.bottom.item()) == pytest.approx((exact[-1], exact[0]), rel=1e-9)
    assert found.steps.item() <= 35


def test_nothing_is_left_when_everything_is_kept_out():
    product, _, _ = operator(np.arange(32.0))
    found = extreme_eigenvalues(product, ((1, 32), (1,)), n_params=32, project=torch.eye(32)[None].double())
    assert np.isnan(found.top.item())
    assert found.steps.item() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_replica_does_not_depend_on_its_companions_and_stops_by_itself(dtype):
    kind, sizes = DTYPES[dtype], []
    spectra = [RNG.normal(size=90) ** (1 + 2 * (i % 3)) for i in range(9)]
    product, _, stride = operator(*spectra, dtype=kind, recorded=sizes)
    start = random_start((9, stride), range(9), n_params=90, dtype=kind)
    options = {"n_params": 90, "ends": "both", "vectors": True, "most_steps": 20}
    whole = extreme_eigenvalues(product, start, **options)
    assert len(set(whole.steps.tolist())) > 3
    assert sum(map(len, sizes)) == whole.steps.sum()
    assert sizes[0] == list(range(9))
    for some in ([0], [4, 2], [8, 7, 1, 3]):

        def part(vectors, rows, some=some):
            return product(vectors, torch.tensor(some)[rows])

        few = extreme_eigenvalues(part, start[some], **options)
        for name in ("top", "bottom", "top_residual", "steps", "top_vector", "bottom_vector"):
            assert torch.equal(getattr(few, name), getattr(whole, name)[some])


def test_batches_that_do_not_fit_into_memory_change_nothing(monkeypatch):
    spectra = [RNG.normal(size=64) for _ in range(5)]
    product, _, stride = operator(*spectra)
    whole = extreme_eigenvalues(product, ((5, stride), range(5)), n_params=64)
    monkeypatch.setattr("approxrates.spectra.lanczos._BATCH_BYTES", 1)
    assert torch.equal(extreme_eigenvalues(product, ((5, stride), range(5)), n_params=64).top, whole.top)


def test_operators_that_are_not_numbers_spoil_no_other_and_are_told():
    spectra = [RNG.normal(size=32) for _ in range(3)]
    product, _, stride = operator(*spectra)

    def broken(vectors, rows):
        out = product(vectors, rows)
        out[rows == 1] = torch.nan
        return out

    found = extreme_eigenvalues(broken, ((3, stride), range(3)), n_params=32, vectors=True)
    assert found.top_converged.tolist() == [True, False, True]
    assert torch.isnan(found.top).tolist() == [False, True, False]
    assert torch.isnan(found.top_vector[1]).all()
    sound = extreme_eigenvalues(product, ((3, stride), range(3)), n_params=32)
    assert torch.equal(found.top[[0, 2]], sound.top[[0, 2]])


def test_a_search_that_is_given_up_is_told_and_its_residual_holds():
    product, dense, stride = operator(np.r_[50.0, 10.0 ** -np.arange(0, 12, 0.1)])
    options = {"n_params": 121, "ends": "both", "most_products": 40, "most_steps": 10}
    found = extreme_eigenvalues(product, ((1, stride), (1,)), **options)
    assert found.steps.item() == 40
    assert found.top_converged.item()
    assert found.top.item() == pytest.approx(50.0, rel=1e-12)
    assert not found.bottom_converged.item()
    assert np.abs(np.linalg.eigvalsh(dense[0]) - found.bottom.item()).min() <= found.bottom_residual.item()


def test_a_residual_that_is_small_enough_anyway_stops_sooner():
    spectrum = np.r_[1.0, np.linspace(1e-9, 1e-3, 150)]
    product, _, stride = operator(spectrum)
    options = {"n_params": 151, "ends": "bottom"}
    sharp = extreme_eigenvalues(product, ((1, stride), (1,)), **options)
    loose = extreme_eigenvalues(product, ((1, stride), (1,)), absolute=torch.tensor([1e-4]), **options)
    assert loose.steps.item() < sharp.steps.item() / 2
    assert loose.bottom.item() == pytest.approx(1e-9, abs=1e-4)


def test_arguments_that_do_not_fit_are_refused():
    product, _, stride = operator(np.ones(3))
    start = ((1, stride), (1,))
    for options, message in (
        ({"ends": "largest"}, "ends must be one of top, bottom, both"),
        ({"tolerance": 0.0}, "tolerance must lie between 0 and 1"),
        ({"most_steps": 3}, "most_steps must be at least 4"),
        ({"project": torch.zeros(2, 1, stride)}, r"\[N, q, stride\] = \[1, q, 32\]"),
        ({"n_params": 33}, "n_params must be between 1"),
    ):
        with pytest.raises(ValueError, match=message):
            extreme_eigenvalues(product, start, **({"n_params": 3} | options))
    with pytest.raises(ValueError, match="one number for each of 2 replicas"):
        extreme_eigenvalues(product, ((2, stride), (1,)), n_params=3)
    with pytest.raises(ValueError, match="a vector for each replica"):
        extreme_eigenvalues(product, torch.ones(stride), n_params=3)


def hessian_of(name="tanh", n=1, m=96, seed=0, dtype=torch.float64, **shape):
    layout = layout_of(name, **shape)
    ensemble = ensemble_of(layout, n, m=m, dtype=dtype)
    scale = 1.5 / np.sqrt(layout.width)
    return Hessian(ensemble.problem, rows_of(layout, n, seed=seed, scale=scale, dtype=dtype))


def starts_of(hessian):
    shape = (len(hessian), hessian.layout.stride)
    return random_start(shape, range(len(hessian)), n_params=hessian.n_params, dtype=hessian.theta.dtype)


@pytest.mark.parametrize("name", ["relu", "tanh", "sin", "gelu"])
def test_ends_of_hessians_of_a_thousand_parameters_agree_with_dense_eigenvalues(name):
    hessian = hessian_of(name, n=2, m=256, width=20, depth=3, dim=4)
    assert 900 < hessian.n_params < 1100
    found = extreme_eigenvalues(hessian.product, starts_of(hessian), n_params=hessian.n_params, ends="both")
    shape = {"n_params": hessian.n_params, "stride": hessian.layout.stride}
    exact = np.linalg.eigvalsh(dense_matrices(hessian.many, 2, **shape).numpy())
    assert found.top_converged.all()
    np.testing.assert_allclose(found.top, exact[:, -1], rtol=1e-10)
    np.testing.assert_allclose(found.bottom, exact[:, 0], rtol=1e-10, atol=1e-13 * exact.max())
    assert (found.bottom < 0).all()


def test_single_precision_gives_its_digits():
    shape = {"width": 20, "depth": 3, "dim": 4, "m": 256}
    fine, coarse = (hessian_of("tanh", dtype=kind, **shape) for kind in (torch.float64, torch.float32))
    exact = extreme_eigenvalues(fine.product, starts_of(fine), n_params=fine.n_params).top
    found = extreme_eigenvalues(coarse.product, starts_of(coarse), n_params=coarse.n_params, tolerance=1e-5)
    assert found.top_converged.all()
    np.testing.assert_allclose(found.top, exact, rtol=1e-6)


@pytest.mark.parametrize("loss", [None, SoftmaxCrossEntropy()], ids=["square", "softmax"])
def test_the_top_of_a_hessian_agrees_with_arpack(loss):
    layout = layout_of("relu", dim=3, width=24, depth=2, n_outputs=3)
    ensemble, rows = ensemble_of(layout, 1, m=128, objective=loss), rows_of(layout, 1, scale=0.4)
    hessian = Hessian(ensemble.problem, rows, l2_penalty=[0.01])
    found = extreme_eigenvalues(hessian.product, starts_of(hessian), n_params=hessian.n_params, ends="both")
    top, bottom = arpack(hessian, "LA"), arpack(hessian, "SA")
    assert (found.top.item(), found.bottom.item()) == pytest.approx((top, bottom), rel=1e-9)


def arpack(hessian, which):
    """An end of the spectrum of the first replica, by scipy."""
    n = hessian.n_params

    def product(vector):
        row = torch.zeros(1, hessian.layout.stride, dtype=hessian.theta.dtype)
        row[0, :n] = torch.from_numpy(np.asarray(vector).ravel())
        return hessian.products(row)[0, :n].numpy()

    linear = scipy.sparse.linalg.LinearOperator((n, n), matvec=product, dtype=np.float64)
    v0 = np.random.default_rng(0).normal(size=n)
    return scipy.sparse.linalg.eigsh(linear, k=1, which=which, tol=1e-12, v0=v0, return_eigenvectors=False)[0]


@pytest.mark.parametrize("name", ["relu", pytest.param("tanh", marks=pytest.mark.slow)])
def test_the_top_of_a_hessian_of_300_000_parameters_agrees_with_arpack(name):
    hessian = hessian_of(name, m=256, dim=784, width=240, depth=3, n_outputs=10)
    assert 300_000 < hessian.n_params < 320_000
    found = extreme_eigenvalues(hessian.product, starts_of(hessian), n_params=hessian.n_params)
    assert found.top_converged.all()
    assert found.top.item() == pytest.approx(arpack(hessian, "LA"), rel=1e-9)


def test_traces_are_exact_where_products_suffice():
    hessian = hessian_of("gelu", n=3, width=7, depth=2)
    shape = {"n_params": hessian.n_params, "stride": hessian.layout.stride}
    matrices = dense_matrices(hessian.many, 3, **shape)
    exact = matrices.diagonal(dim1=1, dim2=2).sum(1)
    np.testing.assert_allclose(exact_trace(hessian.many, 3, **shape), exact, rtol=1e-12)
    found = traces(hessian.many, 3, (1, 2, 3), most_products=hessian.n_params, **shape)
    np.testing.assert_allclose(found.value, exact, rtol=1e-12)
    assert not found.standard_error.any()
    assert found.products == hessian.n_params


def test_estimated_traces_lie_within_their_standard_errors():
    spectra = [1.0 / np.arange(1, 201) * signs for signs in np.sign(RNG.normal(size=(4, 200)))]
    _, dense, stride = operator(*spectra)
    many, errors, told = several(torch.from_numpy(dense), stride), [], []
    for trial in range(25):
        seeds = [10 * trial + i for i in range(4)]
        found = traces(many, 4, seeds, n_params=200, stride=stride, most_products=60)
        errors.append(found.value.numpy() - np.trace(dense, axis1=1, axis2=2))
        told.append(found.standard_error.numpy())
    ratio = np.array(errors) / np.array(told)
    assert 0.7 < np.sqrt(np.mean(ratio**2)) < 1.4  # of 100 draws
    assert abs(ratio.mean()) < 0.4
    assert np.median(told) < 0.1
    again = traces(many, 4, seeds, n_params=200, stride=stride, most_products=60)
    assert torch.equal(again.value, found.value)


def test_estimated_traces_of_operators_of_low_rank_are_exact():
    _, dense, stride = operator(np.r_[3.0, -1.0, 2.0, np.zeros(97)])
    found = traces(several(torch.from_numpy(dense), stride), 1, [4], n_params=100, stride=stride, most_products=30)
    assert found.value.item() == pytest.approx(4.0, rel=1e-10)
    assert found.standard_error.item() < 1e-10
    assert found.products == 30


def test_traces_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="at least 6"):
        traces(lambda v: v, 1, [1], n_params=9, stride=32, most_products=5)
    with pytest.raises(ValueError, match="one number for each of 2"):
        traces(lambda v: v, 2, [1], n_params=9, stride=32)


def test_dense_matrices_come_in_pieces_and_are_those_of_the_operator(monkeypatch):
    _, dense, stride = operator(*[RNG.normal(size=50) for _ in range(3)])
    many = several(torch.from_numpy(dense), stride)
    whole = dense_matrices(many, 3, n_params=50, stride=stride)
    np.testing.assert_allclose(whole, dense, rtol=0, atol=1e-15)
    monkeypatch.setattr("approxrates.spectra.dense._CHUNK_BYTES", 7 * stride * 8)
    np.testing.assert_allclose(dense_matrices(many, 3, n_params=50, stride=stride), dense, rtol=0, atol=1e-15)
    assert exact_trace(many, 3, n_params=50, stride=stride).tolist() == pytest.approx(np.trace(dense, axis1=1, axis2=2))


def test_random_vectors_depend_on_their_seed_alone():
    like = torch.zeros((), dtype=torch.float64)
    first = random_vector(3, 0, 40, 64, like)
    assert torch.equal(random_start((2, 64), (9, 3), n_params=40)[1], first)
    assert not torch.equal(random_vector(4, 0, 40, 64, like), first)
    assert not torch.equal(random_vector(3, 1, 40, 64, like), first)
    assert not first[40:].any()
