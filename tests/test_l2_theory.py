"""Closed forms of the L2 transitions against brute force: minima on grids, and losses of explicit weight matrices."""

import numpy as np
import pytest
from scipy.optimize import minimize

from approxrates.theory import l2_transitions as theory

CASES = [(2, 1.0, 1.0), (3, 1.0, 1.0), (4, 1.0, 1.0), (5, 0.7, 1.0), (3, 0.6, 2.0), (2, 1.3, 0.5)]
SLOPES = np.linspace(0, 3, 300_001)


def losses(gamma, n_matrices, signal, variance):
    """The reduced loss on the grid of slopes, written out once more."""
    return variance * SLOPES**2 - 2 * signal * SLOPES + gamma * n_matrices * SLOPES ** (2 / n_matrices)


def penalties_about(n_matrices, signal, variance, n=40):
    return np.linspace(0.01, 1.3 * theory.transition(n_matrices, signal, variance).spinodal, n)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_global_minimum_is_that_of_a_dense_grid(case):
    gammas = penalties_about(*case)
    brute = np.array([SLOPES[np.argmin(losses(gamma, *case))] for gamma in gammas])
    assert np.allclose(theory.global_minimum(gammas, *case), brute, atol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_learned_branch_is_the_outermost_local_minimum_of_a_dense_grid(case):
    gammas = penalties_about(*case)
    found = theory.learned_branch(gammas, *case)
    for gamma, slope in zip(gammas, found, strict=True):
        value = losses(gamma, *case)
        inner = np.flatnonzero((value[1:-1] < value[:-2]) & (value[1:-1] < value[2:])) + 1
        assert len(inner) == (0 if np.isnan(slope) else 1)
        if len(inner):
            assert abs(SLOPES[inner[0]] - slope) < 2e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_critical_penalty_and_jump_bracket_what_bisection_on_the_grid_finds(case):
    low, high = 0.0, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if np.argmin(losses(middle, *case)) > 0 else (low, middle)
    point = theory.transition(*case)
    assert abs(point.critical - low) < 1e-4
    last = SLOPES[np.argmin(losses(low, *case))]
    assert abs(point.jump - last) < (1e-4 if case[0] > 2 else 1e-3)


@pytest.mark.parametrize("case", [c for c in CASES if c[0] > 2], ids=str)
def test_spinodal_is_where_the_second_minimum_of_the_grid_goes(case):
    point = theory.transition(*case)

    def has_branch(gamma):
        value = losses(gamma, *case)
        return bool(np.any((value[1:-1] < value[:-2]) & (value[1:-1] < value[2:])))

    assert has_branch(point.spinodal * (1 - 1e-5)), "a second minimum just below the spinodal"
    assert not has_branch(point.spinodal * (1 + 1e-5)), "none just above it"
    assert abs(theory.learned_branch(point.spinodal * (1 - 1e-12), *case) - point.edge) < 1e-4 * point.edge
    assert point.critical < point.spinodal
    assert point.jump == pytest.approx(2 * point.edge)


@pytest.mark.parametrize("n_matrices", [2, 3, 4])
def test_penalty_of_a_slope_is_the_least_sum_of_squares_over_factorisations(n_matrices):
    for slope in (0.2, 0.9, 1.7):
        found = minimize(
            lambda w: np.sum(w**2),
            np.linspace(0.8, 1.4, n_matrices),
            constraints={"type": "eq", "fun": lambda w, slope=slope: np.prod(w) - slope},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert theory.reduced_loss(slope, 1.0, n_matrices, 1.0, 1.0) - (slope**2 - 2 * slope) == pytest.approx(
            found.fun, rel=1e-6
        )


def matrix_loss(weights, shapes, signals, gamma):
    """Penalised loss of explicit matrices on white inputs, target diag(signals)."""
    mats, at = [], 0
    for rows, columns in shapes:
        mats.append(weights[at : at + rows * columns].reshape(rows, columns))
        at += rows * columns
    product = mats[0]
    for matrix in mats[1:]:
        product = matrix @ product
    target = np.zeros(product.shape)
    np.fill_diagonal(target, signals)
    return np.sum((target - product) ** 2) + gamma * np.sum(weights**2)


def hessian_by_differences(function, at, step=1e-4):
    """Second differences, no derivatives."""
    n = len(at)
    unit = np.eye(n) * step
    found = np.empty((n, n))
    for i in range(n):
        for j in range(i, n):
            a, b = unit[i], unit[j]
            found[i, j] = found[j, i] = (
                function(at + a + b) - function(at + a - b) - function(at - a + b) + function(at - a - b)
            ) / (4 * step**2)
    return found


def balanced(shapes, slope):
    """Weights with one active unit per layer."""
    parts = []
    for rows, columns in shapes:
        matrix = np.zeros((rows, columns))
        matrix[0, 0] = slope ** (1 / len(shapes))
        parts.append(matrix.ravel())
    return np.concatenate(parts)


@pytest.mark.parametrize(("n_matrices", "share"), [(2, 0.3), (2, 0.9), (3, 0.3), (3, 0.97), (4, 0.5), (4, 0.98)])
def test_stability_margin_is_the_least_eigenvalue_but_rotations_of_second_differences(n_matrices, share):
    width = 2
    shapes = [(width, 2), *[(width, width)] * (n_matrices - 2), (1, width)]
    gamma = share * float(theory.transition(n_matrices).spinodal)
    at = balanced(shapes, float(theory.learned_branch(gamma, n_matrices)))
    values = np.linalg.eigvalsh(hessian_by_differences(lambda w: matrix_loss(w, shapes, [1.0], gamma), at))
    rotations = n_matrices - 1  # one rotation of two units in each hidden layer
    assert np.sum(np.abs(values) < 1e-5) == rotations
    assert values[np.abs(values) > 1e-5].min() == pytest.approx(
        float(theory.stability_margin(gamma, n_matrices)), abs=2e-6
    )


@pytest.mark.parametrize("n_matrices", [2, 3])
def test_margin_of_zero_weights_is_that_of_second_differences(n_matrices):
    shapes = [(2, 2), *[(2, 2)] * (n_matrices - 2), (1, 2)]
    for gamma in (0.3, 1.2):
        zero = np.zeros(sum(r * c for r, c in shapes))
        values = np.linalg.eigvalsh(hessian_by_differences(lambda w, g=gamma: matrix_loss(w, shapes, [1.0], g), zero))
        assert values.min() == pytest.approx(float(theory.trivial_margin(gamma, n_matrices)), abs=1e-5)


@pytest.mark.parametrize("n_matrices", [2, 3])
def test_modes_go_one_by_one_at_their_own_penalties(n_matrices):
    signals = np.array([1.0, 0.6, 0.3])
    shapes = [(3, 3)] * n_matrices
    critical = theory.transition(n_matrices, signals).critical
    gammas = np.concatenate([critical * 0.96, critical * 1.04])
    for gamma in gammas:
        best = None
        for alive in range(4):  # descend from every rank; the deepest minimum counts
            parts = [np.diag((signals * (np.arange(3) < alive)) ** (1 / n_matrices)).ravel() for _ in shapes]
            found = minimize(lambda w, g=gamma: matrix_loss(w, shapes, signals, g), np.concatenate(parts), tol=1e-12)
            if best is None or found.fun < best[0] - 1e-10:
                product = np.eye(3)
                for matrix in np.split(found.x, n_matrices):
                    product = matrix.reshape(3, 3) @ product
                best = (found.fun, int(np.sum(np.linalg.svd(product, compute_uv=False) > 1e-3)))
        assert best is not None
        assert theory.rank_of_minimum(gamma, n_matrices, signals) == best[1]


def test_phases_tile_the_axis_in_order():
    gammas = np.linspace(0.01, 0.6, 60)
    names = theory.phase(gammas, 3)
    assert list(dict.fromkeys(names)) == ["learned", "metastable", "trivial"]
    assert list(dict.fromkeys(theory.phase(2 * gammas, 2))) == ["learned", "trivial"]
    assert theory.order_of_transition(2) == "second order"
    assert theory.order_of_transition(3) == "first order"


def test_measured_values_of_the_protocol_are_reproduced():
    for n_matrices, critical, jump in ((2, 1.000, 0.0), (3, 0.397, 0.500), (4, 0.272, 0.667)):
        point = theory.transition(n_matrices)
        assert float(point.critical) == pytest.approx(critical, abs=6e-4)
        assert float(point.jump) == pytest.approx(jump, abs=6e-4)
    assert np.allclose(theory.transition(3, [0.3, 0.6, 1.0]).spinodal, [0.095, 0.239, 0.472], atol=6e-4)


def test_arrays_broadcast():
    signals, gammas = np.linspace(0.2, 1.5, 7)[:, None], np.linspace(0.01, 1, 9)[None, :]
    for function in (theory.learned_branch, theory.global_minimum, theory.phase, theory.stability_margin):
        table = function(gammas, 3, signals)
        assert table.shape == (7, 9)
        one = function(gammas[0, 4], 3, signals[2, 0])
        assert table[2, 4] == one or (np.isnan(table[2, 4]) and np.isnan(one))


@pytest.mark.parametrize("bad", [{"n_matrices": 1}, {"n_matrices": 2.5}, {"n_matrices": True}])
def test_too_few_matrices_are_refused(bad):
    with pytest.raises(ValueError, match="n_matrices must be"):
        theory.transition(**bad)


def test_bad_signals_and_penalties_are_refused():
    with pytest.raises(ValueError, match="signal must be positive"):
        theory.transition(3, signal=0.0)
    with pytest.raises(ValueError, match="variance must be positive"):
        theory.transition(3, variance=-1.0)
    with pytest.raises(ValueError, match="penalty must be at least 0"):
        theory.global_minimum(-0.1, 3)
