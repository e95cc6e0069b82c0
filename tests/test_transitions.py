"""Order and place of transitions on synthetic sweeps whose truth is a formula."""

import math

import numpy as np
import pytest

from approxrates import transitions as tr
from approxrates.theory import l2_transitions as theory


def linear_network(n_matrices, signal=1.0):
    """Order parameters of a deep linear network going up (until the branch ends) and down (from zero weights)."""

    def up(gamma):
        return np.nan_to_num(theory.learned_branch(gamma, n_matrices, signal))

    def down(gamma):
        return up(gamma) if n_matrices == 2 else 0 * gamma

    return up, down


def cubic(u):
    """``r b^2 - 2 u b^3 + b^4``: lost at ``r = 9 u^2 / 8`` with a jump of ``3 u / 4``, regained at ``r = 0``."""

    def up(r):
        return np.where(r < 9 * u**2 / 8, (3 * u + np.sqrt(np.maximum(9 * u**2 - 8 * r, 0))) / 4, 0.0)

    def down(r):
        return np.where(r < 0, up(r), 0.0)

    return up, down


def crossover(width, at=0.5):
    def both(x):
        return 0.5 * (1 - np.tanh((x - at) / width))

    return both, both


def square_root(x):
    return np.sqrt(np.maximum(0.437 - x, 0))


def swept(up, down, grid, noise=0.0, seed=0):
    """Sweeps on the grid and its refinements by 4 and 16 about the transition, as the probe makes them."""
    rng = np.random.Generator(np.random.Philox(seed))

    def levels(order_parameter):
        found, x = [], grid
        for _ in range(3):
            y = order_parameter(x) + noise * rng.standard_normal(len(x))
            found.append((x, y))
            x = tr.refined(x, tr.transition_bracket(x, y))
        return found

    back = levels(down)
    if not tr.vanishing(*back[0], 1e-3 + 8 * noise).found:
        back = back[:1]
    return levels(up), back


def grids(low, high, n=40):
    """The same grid at several phases."""
    step = (high - low) / (n - 1)
    return [np.linspace(low, high, n) + shift * step for shift in (0.0, 0.13, 0.37, 0.5, 0.71, 0.94)]


def orders(up, down, low, high, n=40, noise=0.0):
    return [
        tr.decide_order(*swept(up, down, grid, noise, seed)).verdict for seed, grid in enumerate(grids(low, high, n))
    ]


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("n_matrices", [2, 3, 4])
def test_deep_linear_networks_get_the_order_of_the_closed_form(n_matrices, n, noise):
    high = 1.3 * float(theory.transition(n_matrices).spinodal)
    found = orders(*linear_network(n_matrices), 0.02, high, n, noise)
    assert set(found) == {theory.order_of_transition(n_matrices)}


def test_continuous_transitions_with_a_square_root_are_of_second_order():
    for noise in (0.0, 1e-3):
        assert set(orders(square_root, square_root, 0.02, 1.0, noise=noise)) == {"second order"}


@pytest.mark.parametrize("width", [0.3, 0.05, 0.02, 0.005, 1e-3, 1e-4])
def test_a_steep_crossover_is_never_called_first_order(width):
    for noise in (0.0, 1e-3):
        assert "first order" not in orders(*crossover(width), 0.0, 1.0, noise=noise)


@pytest.mark.parametrize("width", [1e-3, 1e-4])
def test_a_crossover_narrower_than_the_finest_grid_is_left_open_with_the_reason(width):
    found = tr.decide_order(*swept(*crossover(width), grids(0.0, 1.0)[1]))
    assert found.verdict == "undecided"
    assert any("narrower than the finest grid" in reason for reason in found.reasons)


@pytest.mark.parametrize("u", [0.4, 0.1, 0.05])
def test_a_small_jump_is_of_first_order_once_the_grid_resolves_it(u):
    # Jump 3u/4 of an order parameter of about 0.7 to 1; hysteresis 9 u^2 / 8, which the finest step must resolve.
    fine = round(1.3 / (9 * u**2 / 8) / 16 * 3) + 12
    assert set(orders(*cubic(u), -1.0, 0.3, fine)) == {"first order"}
    found = tr.decide_order(*swept(*cubic(u), np.linspace(-1, 0.3, fine)))
    assert found.surviving == pytest.approx(0.75 * u, rel=0.25)
    assert found.hysteresis.low <= 9 * u**2 / 8 <= found.hysteresis.high


def test_a_jump_too_small_for_the_grid_is_bounded_by_what_the_verdict_says():
    up, down = cubic(0.05)
    for grid in grids(-1.0, 0.3, 14):
        found = tr.decide_order(*swept(up, down, grid))
        assert found.verdict == "first order" or found.jumps[2] >= 0.75 * 0.05
        assert found.verdict != "second order" or f"any is below {found.jumps[2]:.3g}" in found.reasons[0]


def test_noise_that_hides_the_jump_leaves_the_order_open():
    assert "first order" not in orders(*cubic(0.02), -1.0, 0.3, 40, noise=0.01)


def test_hysteresis_is_measured_with_its_bracket():
    up, down = cubic(0.4)
    found = tr.decide_order(*swept(up, down, np.linspace(-0.5, 0.4, 30)))
    assert found.lost.low <= 0.18 <= found.lost.high
    assert found.regained.low <= 0.0 <= found.regained.high
    assert found.hysteresis.low <= 0.18 <= found.hysteresis.high
    assert found.hysteresis.high - found.hysteresis.low < 0.01
    never = tr.decide_order(*swept(*linear_network(3), np.linspace(0.02, 0.6, 30)))
    assert never.hysteresis.high == math.inf
    assert any("does not come back" in reason for reason in never.reasons)


def test_order_that_outlasts_the_sweep_is_left_open():
    found = tr.decide_order(*swept(*linear_network(2), np.linspace(0.02, 0.7, 30)))
    assert found.verdict == "undecided"
    assert any("does not vanish" in reason for reason in found.reasons)


def test_refined_grids_cover_the_bracket_with_a_margin_and_end_with_the_grid():
    grid = np.linspace(0, 1, 11)
    fine = tr.refined(grid, tr.Located(0.45, 0.4, 0.5))
    assert np.allclose(fine, np.linspace(0.3, 0.6, 13))
    assert np.allclose(tr.refined(grid, tr.Located(0.95, 0.9, 1.0)), np.linspace(0.8, 1.0, 9))
    assert np.allclose(tr.refined(grid, tr.Located(1.0, 1.0, math.inf), by=2), np.linspace(0.9, 1.0, 3))


def test_grids_that_do_not_refine_are_refused():
    grid = np.linspace(0, 1, 20)
    series = (grid, 1 - grid)
    with pytest.raises(ValueError, match="three grids"):
        tr.decide_order([series, series, series], [series])
    with pytest.raises(ValueError, match="three grids"):
        tr.decide_order([series], [series])


def test_vanishing_and_crossing_bracket_their_points():
    x = np.linspace(0, 1, 11)
    place = tr.vanishing(x[::-1], np.maximum(0, 0.55 - x)[::-1], 1e-6)
    assert (place.low, place.high) == pytest.approx((0.5, 0.6))
    assert place.found
    assert tr.vanishing(x, x * 0, 0.1).low == -math.inf
    assert tr.vanishing(x, x * 0 + 1, 0.1).high == math.inf
    zero = tr.crossing(x, 2 * x - 0.9)
    assert zero.value == pytest.approx(0.45)
    assert (zero.low, zero.high) == pytest.approx((0.4, 0.5))
    assert not tr.crossing(x, x + 1).found
    assert tr.at_position(x, x**2, 0.5) == pytest.approx(0.25)
    assert math.isnan(tr.at_position(x, x**2, 1.5))


def test_seeds_widen_the_interval():
    both = tr.combined([tr.Located(0.45, 0.4, 0.5), tr.Located(0.55, 0.5, 0.6), tr.Located(0.46, 0.4, 0.5)])
    assert (both.value, both.low, both.high) == (0.46, 0.4, 0.6)
    with pytest.raises(ValueError, match="at least one"):
        tr.combined([])


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_change_points_of_steps_and_kinks_lie_in_their_intervals(noise):
    rng = np.random.Generator(np.random.Philox(5))
    x = np.linspace(0, 1, 60)
    missed = 0
    for _ in range(40):
        at = 0.2 + 0.6 * rng.random()
        step = np.where(x < at, 1.0, 0.0) + noise * rng.standard_normal(60)
        kink = 3 * np.maximum(0, at - x) + 0.2 * noise * rng.standard_normal(60)
        near = tr.largest_step(x, step)
        assert near.low <= at <= near.high
        for series in (step, kink):
            found = tr.two_lines(x, series)
            assert found.found
            missed += not found.low - 0.06 <= at <= found.high + 0.06
    assert missed <= 4, f"{missed} of 80 intervals, with 3.5 steps of slack, do not hold the truth"


def test_a_straight_series_has_no_change_point():
    rng = np.random.Generator(np.random.Philox(6))
    x = np.linspace(0, 1, 50)
    alarms = sum(tr.two_lines(x, 2 * x + 0.1 * rng.standard_normal(50)).found for _ in range(60))
    assert alarms <= 6
    assert not tr.two_lines(x, 3 * x).found
    assert not tr.two_lines(x[:5], x[:5]).found


def test_a_margin_that_touches_zero_is_found_where_it_does():
    gammas = np.linspace(0.02, 0.47, 46)
    margin = theory.stability_margin(gammas, 3)
    found = tr.nearest_to_zero(gammas[~np.isnan(margin)], margin[~np.isnan(margin)])
    spinodal = float(theory.transition(3).spinodal)
    assert abs(found.high - spinodal) < 0.011 or abs(gammas[-1] - spinodal) < 0.011


def test_agreement_counts_steps_of_the_grid():
    reference = tr.Located(0.45, 0.4, 0.5)
    near = tr.agreement("margin", tr.Located(0.56, 0.55, 0.57), reference, 0.1)
    assert near.agrees
    assert near.distance == pytest.approx(1.1)
    assert not tr.agreement("norm", tr.Located(0.7, 0.65, 0.75), reference, 0.1).agrees
    assert not tr.agreement("norm", tr.NOWHERE, reference, 0.1).agrees


def test_series_are_sorted_and_checked():
    x, y = tr.as_series([2.0, 1.0, 3.0], [20.0, 10.0, math.nan])
    assert x.tolist() == [1.0, 2.0]
    assert y.tolist() == [10.0, 20.0]
    with pytest.raises(ValueError, match="one shape"):
        tr.as_series([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="once"):
        tr.as_series([1.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert tr.compressed([0.0, 1.0, -100.0])[2] < -1
    assert tr.largest_change([0.0, 1.0, 2.0], [0.0, 1.0, 5.0], 1.0) == 4.0
    assert tr.roughness([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == 0.0
