import numpy as np
import pytest

from approxrates.theory.bisection import Scan, first_crossings


def test_crossings_are_bracketed_to_one_fine_step():
    roots = np.random.default_rng(0).uniform(0.0, 4.0, 200)
    scan = Scan(0.0, 0.1, 40, 8)
    found = first_crossings(lambda i, x: x >= roots[i], 200, scan)
    assert np.all((found.below < roots) & (roots <= found.above))
    np.testing.assert_allclose(found.above - found.below, 0.1)
    np.testing.assert_allclose(found.above, np.ceil(roots * 10) / 10)


def test_ends_of_the_scan_are_told():
    found = first_crossings(lambda i, x: np.where(i == 0, True, False), 2, Scan(1.0, 0.5, 4, 2))
    assert np.isnan(found.below[0])
    assert found.above[0] == 1.0
    assert found.below[1] == 3.0
    assert np.isnan(found.above[1])


def test_a_condition_that_fails_again_is_found_at_its_first_crossing():
    holds = lambda i, x: ((x >= 1.05) & (x < 2.5)) | (x >= 6.0)  # noqa: E731
    found = first_crossings(holds, 1, Scan(0.0, 0.1, 80, 8))
    assert found.above[0] == pytest.approx(1.1)
    plain_bisection = first_crossings(holds, 1, Scan(0.0, 0.1, 80, 80))  # without the scan
    assert plain_bisection.above[0] == pytest.approx(6.0)


def test_only_open_cases_are_asked():
    asked = []

    def holds(cases, values):
        asked.append((cases.tolist(), values.round(6).tolist()))
        return values >= np.array([0.3, 5.0])[cases]

    first_crossings(holds, 2, Scan(0.0, 0.25, 4, 2))
    assert asked == [([0, 1], [0.0, 0.0]), ([0, 1], [0.5, 0.5]), ([1], [1.0]), ([0], [0.25])]


@pytest.mark.parametrize(("resolution", "n_steps", "stride"), [(0.0, 4, 2), (0.1, 5, 2), (0.1, 0, 1), (0.1, 4, 0)])
def test_bad_scans_are_refused(resolution, n_steps, stride):
    with pytest.raises(ValueError, match="of a scan must be"):
        Scan(0.0, resolution, n_steps, stride)
