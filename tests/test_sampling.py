"""Point sets: they hold the corners, lie where they claim to, and repeat."""

import numpy as np
import pytest

from approxrates import sampling

SETS = {
    "badic_grid": lambda dim: sampling.badic_grid(3, base=3, dim=dim),
    "even_grid": lambda dim: sampling.even_grid(70, dim),
    "sobol": lambda dim: sampling.sobol(70, dim, seed=5),
    "stratified_jitter": lambda dim: sampling.stratified_jitter(70, dim, seed=5),
}


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", SETS)
def test_every_set_lies_in_the_cube_and_holds_its_corners(name, dim):
    points = SETS[name](dim)
    assert points.shape[1] == dim
    assert points.dtype == np.float64
    assert points.min() == 0.0
    assert points.max() == 1.0
    rows = {tuple(p) for p in points}
    assert {tuple(c) for c in sampling.corners(dim)} <= rows
    assert len(rows) == len(points)


@pytest.mark.parametrize("make", [sampling.even_badic, sampling.chebyshev], ids=["even_badic", "chebyshev"])
@pytest.mark.parametrize("n", [2, 3, 64, 101])
def test_interval_sets_have_the_number_asked_for_in_ascending_order(make, n):
    points = make(n)
    assert points.shape == (n, 1)
    assert np.all(np.diff(points[:, 0]) > 0)
    assert (points[0, 0], points[-1, 0]) == (0.0, 1.0)


@pytest.mark.parametrize("base", [2, 4, 8])
def test_even_badic_points_are_badic_and_within_a_tenth_of_even(base):
    points = sampling.even_badic(100, base=base)[:, 0]
    level = 10
    assert np.all(points * float(base) ** level == np.rint(points * float(base) ** level))
    assert np.abs(np.diff(points) * 99 - 1.0).max() < 0.25


def test_badic_grid_of_base_two_is_the_dyadic_grid():
    assert sampling.badic_grid(2, dim=1)[:, 0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_chebyshev_points_are_where_the_polynomial_is_plus_or_minus_one():
    x = 2 * sampling.chebyshev(9)[:, 0] - 1
    values = np.polynomial.chebyshev.Chebyshev.basis(8)(x)
    assert np.abs(np.abs(values) - 1.0).max() < 1e-14
    assert np.array_equal(x, -x[::-1])


def test_jitter_puts_one_point_in_every_cell():
    inner = sampling.stratified_jitter(34, 1, seed=1)[1:-1, 0]
    assert np.floor(inner * 32).tolist() == list(range(32))
    square = sampling.stratified_jitter(30, 2, seed=1)[:25]
    assert len({tuple(c) for c in np.floor(square * 5)}) == 25


@pytest.mark.parametrize("make", [sampling.sobol, sampling.stratified_jitter], ids=["sobol", "jitter"])
def test_seeds_repeat_and_differ(make):
    a, b, c = make(40, 2, seed=1), make(40, 2, seed=1), make(40, 2, seed=2)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sobol_fills_the_square_more_evenly_than_chance():
    points = sampling.sobol(1028, 2, seed=0)[4:]
    counts = np.histogram2d(points[:, 0], points[:, 1], bins=16, range=[[0, 1], [0, 1]])[0]
    assert counts.min() == counts.max() == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda: sampling.corners(0),
        lambda: sampling.badic_grid(-1),
        lambda: sampling.badic_grid(3, base=1),
        lambda: sampling.badic_grid(20, dim=3),
        lambda: sampling.even_badic(1),
        lambda: sampling.even_badic(8, base=1),
        lambda: sampling.even_grid(3, 2),
        lambda: sampling.chebyshev(1),
        lambda: sampling.sobol(3, 2, seed=0),
        lambda: sampling.stratified_jitter(2, 1, seed=0),
    ],
)
def test_sets_that_cannot_be_are_refused(call):
    with pytest.raises(ValueError, match="Got"):
        call()
