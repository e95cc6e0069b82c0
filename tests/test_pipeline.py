"""The whole pipeline against exact oracles: constructed networks have known errors and known rates, with no training."""

import numpy as np
import pytest

import approxrates as ar


def square(x):
    return x[:, 0] ** 2


def root(x):
    return np.sqrt(x[:, 0])


def interpolate_study(target, sizes):
    return ar.Study(
        "oracle", targets=target, constructions=[ar.Construction("interpolation", n_params=ar.axis(*sizes))]
    )


@pytest.mark.parametrize("cells", [2, 3, 4, 7, 16, 61, 256])
def test_the_interpolant_of_the_square_has_error_a_quarter_of_the_cell_squared(cells):
    target = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
    network = ar.construct("interpolation", target, n_params=3 * cells - 1)
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.sup[0] == pytest.approx(1 / (4 * cells**2), abs=1e-15)
    assert error.sup[1] == pytest.approx(1 / (4 * cells**2), abs=1e-15)
    assert error.l2 == pytest.approx(1 / (np.sqrt(30) * cells**2), rel=1e-9)


def test_the_rate_of_uniform_interpolation_of_a_parabola_is_two_through_the_whole_pipeline(tmp_path):
    target = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
    records = interpolate_study(target, [3 * 2**k - 1 for k in range(6, 12)]).run(tmp_path, progress=False)
    row = records.rates().iloc[0]
    assert row.rate == pytest.approx(2.0, abs=0.005)
    assert row.rate_low <= 2.005
    assert row.rate_high >= 1.995


def test_counted_by_cells_the_rate_of_the_parabola_is_two_from_the_smallest_size(tmp_path):
    """By W = 3N - 1 small sizes bend the line a little (1.989 from N = 16 on); by pieces the law is exact."""
    target = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
    records = interpolate_study(target, [3 * 2**k - 1 for k in range(4, 10)]).run(tmp_path, progress=False)
    assert records.rates(x="pieces").iloc[0].rate == pytest.approx(2.0, abs=1e-6)


def test_the_rate_of_uniform_interpolation_of_a_root_is_one_half(tmp_path):
    target = ar.Target.from_callable(root, ar.Regularity(smoothness=0.5, dim=1, radius=1.0))
    records = interpolate_study(target, [3 * 2**k - 1 for k in range(4, 10)]).run(tmp_path, progress=False)
    assert records.rates().iloc[0].rate == pytest.approx(0.5, abs=0.01)


def test_a_random_tree_lies_in_the_sandwich_and_on_the_classical_line(tmp_path):
    targets = [ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=seed) for seed in range(8)]
    records = interpolate_study(targets, [3 * 2**k - 1 for k in range(4, 11)]).run(tmp_path, progress=False)
    frame = records.frame()
    cells = (frame.n_params + 1) / 3
    assert (frame.error_sup_lower >= cells**-0.5 / 2).all()
    assert (frame.error_sup_upper <= cells**-0.5 * (2 / 3) / (1 - 2**-0.5) * 1.001).all()
    row = records.rates().iloc[0]
    assert row.rate == pytest.approx(0.5, abs=0.03)
    assert row.label in {"CLASSICAL", "UNDECIDED"}


def test_training_never_beats_what_a_free_knot_spline_of_as_many_pieces_can_do():
    """P linear pieces cannot fit a tree of signs below half the amplitude of level log2 P."""
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=1)
    fit = ar.train(
        ar.FixedWidth(dim=1, width=8, depth=3),
        target,
        replicas=3,
        plan=[ar.Adam(steps=400, learning_rate=1e-2)],
        seed=0,
    )
    for network in fit.networks:
        error = ar.approximation_error(network, target)
        level = int(np.floor(np.log2(error.pieces))) + 1
        assert error.sup[1] >= 2 ** (-0.5 * level) / 2


@pytest.mark.parametrize(("smoothness", "slope"), [(0.25, 0.233), (0.5, 0.492), (0.75, 0.745)])
def test_interpolants_of_trees_have_the_slopes_of_their_extreme_values(smoothness, slope):
    """On the finest meshes nothing can be dropped before a point near the maximum is known: the bracket must still close."""
    cells, slopes = 2 ** np.arange(4, 12), []
    for seed in (0, 1):
        target = ar.load_target("faber_tree", smoothness=smoothness, dim=1, seed=seed)
        errors = [
            ar.approximation_error(ar.construct("interpolation", target, n_params=10**5, cells=int(n)), target)
            for n in cells
        ]
        assert all(error.gap < 5e-4 for error in errors)
        lower, upper = np.array([error.sup for error in errors]).T
        assert (lower >= cells**-smoothness / 2).all()
        assert (upper <= cells**-smoothness * (2 / 3) / (1 - 2**-smoothness) * 1.001).all()
        slopes.append(-np.polyfit(np.log(cells), np.log(lower), 1)[0])
    assert np.mean(slopes) == pytest.approx(slope, abs=0.02)
