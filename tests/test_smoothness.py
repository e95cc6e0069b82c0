"""Measured smoothness: filters and leaders by brute force, known exponents, and claims that are wrong."""

import importlib
import itertools
import math

import numpy as np
import pytest

import approxrates as ar
from approxrates.smoothness import measure_smoothness, smoothness_warning
from approxrates.smoothness.leaders import coefficients, daubechies, leaders
from approxrates.smoothness.sampled import Sampled, sampled
from approxrates.smoothness.structure import pair_function, structure_function
from approxrates.target import Target


def root(x):
    return np.abs(x[:, 0] - 1 / 3) ** 0.5


def claimed(r, function=root, dim=1, kind="holder", sharp=False):
    return Target.from_callable(function, ar.Regularity(r, dim, kind, sharp=sharp))


@pytest.mark.parametrize("moments", [1, 2, 3, 4, 6, 10])
def test_filters_are_orthonormal_and_have_their_vanishing_moments(moments):
    low, high = (math.sqrt(2) * taps for taps in daubechies(moments))
    for shift in range(moments):
        same = slice(2 * shift, None), slice(None, len(low) - 2 * shift)
        assert low[same[0]] @ low[same[1]] == pytest.approx(float(shift == 0), abs=1e-7)
        assert high[same[0]] @ low[same[1]] == pytest.approx(0.0, abs=1e-7)
    places = np.arange(len(high)) / len(high)
    for power in range(moments):
        assert high @ places**power == pytest.approx(0.0, abs=1e-7)


def test_the_filter_with_two_moments_is_the_one_in_the_book():
    root3 = math.sqrt(3)
    expected = np.array([1 + root3, 3 + root3, 3 - root3, 1 - root3]) / 8
    low, _ = daubechies(2)
    assert min(np.abs(low - expected).max(), np.abs(low - expected[::-1]).max()) < 1e-12


def test_coefficients_are_those_of_the_definition():
    values = np.random.default_rng(0).standard_normal(200)
    low, high = daubechies(2)
    slow = [abs(sum(high[n] * values[2 * k + n] for n in range(4))) for k in range(99)]
    scales = coefficients(Sampled(values, (0,), 1.0), 2)
    assert np.allclose(scales[0], slow)
    coarse = np.array([sum(low[n] * values[2 * k + n] for n in range(4)) for k in range(99)])
    slow = [abs(sum(high[n] * coarse[2 * k + n] for n in range(4))) for k in range(48)]
    assert np.allclose(scales[1], slow)


@pytest.mark.parametrize("dim", [1, 2])
def test_leaders_are_sups_over_neighbours_and_finer_scales(dim):
    values = np.random.default_rng(1).standard_normal((80,) * dim)
    scales = coefficients(Sampled(values, tuple(range(dim)), 1.0), 2)
    assert len(scales) >= 3
    found = leaders(scales, tuple(range(dim)))
    for depth, own in enumerate(scales):
        for place in itertools.product(*map(range, own.shape)):
            best = 0.0
            for shift in itertools.product((-1, 0, 1), repeat=dim):
                cell = tuple(p + s for p, s in zip(place, shift, strict=True))
                if any(not 0 <= c < n for c, n in zip(cell, own.shape, strict=True)):
                    continue
                for finer in range(depth + 1):
                    size = 2 ** (depth - finer)
                    block = scales[finer][tuple(slice(c * size, (c + 1) * size) for c in cell)]
                    best = max(best, block.max())
            assert found[depth][place] == best


def test_the_structure_function_is_the_largest_difference():
    values = np.random.default_rng(2).standard_normal((20, 30))
    steps, sizes, peaks = structure_function(Sampled(values, (0, 1), 0.5), 2)
    assert peaks is None
    assert list(steps) == [4.0, 3.0, 2.0, 1.5, 1.0, 0.5]
    for h, size in zip(steps, sizes, strict=True):
        s = round(h / 0.5)
        rows = max(
            (
                abs(values[i + 2 * s, j] - 2 * values[i + s, j] + values[i, j])
                for i in range(20 - 2 * s)
                for j in range(30)
            ),
            default=0,
        )
        columns = max(
            (
                abs(values[i, j + 2 * s] - 2 * values[i, j + s] + values[i, j])
                for i in range(20)
                for j in range(30 - 2 * s)
            ),
            default=0,
        )
        assert size == pytest.approx(max(rows, columns))


def test_the_modulus_over_pairs_is_that_of_all_pairs():
    rng = np.random.default_rng(3)
    x, y = rng.random((40, 2)), rng.standard_normal(40)
    steps, sizes = pair_function(x, y)
    for h, size in zip(steps, sizes, strict=True):
        assert size == max(
            abs(a - b)
            for (p, a), (q, b) in itertools.combinations(zip(x, y, strict=True), 2)
            if np.linalg.norm(p - q) <= h * (1 + 1e-12)
        )


@pytest.mark.parametrize("r", [0.1, 0.25, 0.4, 0.75])
def test_one_rough_point_anywhere_has_its_exponent(r):
    for centre in 0.05 + 0.9 * np.random.default_rng(4).random(8):
        found = measure_smoothness(ar.load_target("power", smoothness=r, centre=float(centre)))
        assert abs(found.value - r) < 0.01
        assert found.interval[0] < r < found.interval[1]


@pytest.mark.parametrize(("r", "slack"), [(0.25, 2e-3), (0.5, 1e-6), (1.5, 1e-6)])
def test_the_largest_difference_is_that_of_the_function_and_not_of_the_grid(r, slack):
    # The second difference of |x - c|^r is largest with its middle at c: 2 h^r. A float64 node misses c by 1e-16.
    found = measure_smoothness(lambda x: np.abs(x[:, 0] - math.pi / 10) ** r, order=2)
    used = found.used
    assert found.sizes[used] == pytest.approx(2 * found.steps[used] ** r, rel=slack)


@pytest.mark.parametrize("r", [0.1, 0.4])
def test_one_rough_point_in_the_square_has_its_exponent(r):
    for centre in (math.pi / 10, math.sqrt(0.5)):
        found = measure_smoothness(ar.load_target("power", smoothness=r, centre=centre, dim=2), levels=8)
        assert abs(found.value - r) < 0.03
        assert found.interval[0] < r < found.interval[1]


@pytest.mark.parametrize(("centre", "dim"), [(0.0027, 1), (0.9983, 1), (0.0166, 2), (0.0703, 2), (0.9591, 2)])
def test_one_rough_point_near_a_border_has_its_exponent(centre, dim):
    # Coarse differences cannot have their middle there: the steps at which that changes the constant are left out.
    for r in (0.1, 0.75):
        found = measure_smoothness(ar.load_target("power", smoothness=r, centre=centre, dim=dim))
        assert abs(found.value - r) < 0.03
        assert found.interval[1] - found.interval[0] < 0.4


def test_rough_points_between_the_nodes_of_a_segment_are_found():
    # A ridge with a kink across all of the cube: every segment meets it between two of its nodes.
    found = measure_smoothness(lambda x: np.abs(x.mean(axis=1) - math.pi / 7) ** 0.2, dim=4)
    assert abs(found.value - 0.2) < 0.02


@pytest.mark.parametrize("method", ["structure", "leaders"])
@pytest.mark.parametrize("r", [0.3, 0.8, 1.4, 2.6])
def test_a_power_has_its_exponent(r, method):
    found = measure_smoothness(lambda x: np.abs(x[:, 0] - 1 / 3) ** r, method)
    assert abs(found.value - r) < 0.06
    assert found.interval[0] < r < found.interval[1]
    assert found.order > r


@pytest.mark.parametrize(
    ("name", "r", "dim"),
    [
        ("faber_tree", 0.25, 1),
        ("faber_tree", 0.5, 1),
        ("bump_tree", 2.5, 1),
        ("brownian", 0.5, 1),
        ("weierstrass", 1.5, 1),
        ("corner", 1.5, 2),
        ("ridge", 0.5, 5),
    ],
)
def test_families_agree_with_their_claims(name, r, dim):
    found = measure_smoothness(ar.load_target(name, smoothness=r, dim=dim))
    assert found.agrees
    assert found.along_lines == (dim > 2)


@pytest.mark.parametrize(
    ("name", "arguments"), [("analytic", {}), ("gevrey", {}), ("polynomial", {"dim": 2}), ("constant", {})]
)
def test_smooth_functions_saturate(name, arguments):
    found = measure_smoothness(ar.load_target(name, **arguments))
    assert found.saturated
    assert found.agrees
    assert "at least" in found.sentence


def test_a_jump_has_exponent_zero():
    found = measure_smoothness(ar.load_target("jump", dim=1))
    assert found.value == pytest.approx(0.0, abs=1e-12)
    assert found.agrees


def test_classes_that_are_no_holder_classes_are_not_compared():
    found = measure_smoothness(claimed(0.9, kind="besov"))
    assert found.agrees is None
    assert "not comparable" in found.sentence


@pytest.mark.parametrize(
    ("r", "sharp", "expected"),
    [
        (0.5, False, None),
        (0.5, True, None),
        (1.5, False, "check the claim"),
        (0.2, True, "declare the larger r"),
        (math.inf, False, "check the claim"),
    ],
)
def test_a_wrong_claim_is_warned_of(r, sharp, expected):
    note = smoothness_warning(claimed(r, kind="analytic" if math.isinf(r) else "holder", sharp=sharp))
    assert note is None if expected is None else expected in note


@pytest.mark.parametrize(
    ("function", "r"),
    [
        (lambda x: np.sin(x[:, 0]), 0.5),
        (lambda x: np.full(len(x), 3.0), 0.5),
        (lambda x: x[:, 0], 1.0),
        (root, 0.2),
    ],
    ids=["sine", "constant", "identity", "root"],
)
def test_a_claim_that_is_not_sharp_is_a_lower_bound(function, r):
    target = claimed(r, function)
    found = measure_smoothness(target)
    assert found.agrees is True
    assert "lower bound, which the function exceeds" in found.sentence
    assert smoothness_warning(target) is None
    # With sharp the claim is the exponent itself.
    assert measure_smoothness(claimed(r, function, sharp=True)).agrees is False


def test_smoothness_along_segments_decides_against_a_claim_only_from_below():
    smooth = measure_smoothness(ar.load_target("power", smoothness=0.5, dim=3))
    assert smooth.interval[0] > 0.5
    assert smooth.agrees is None
    assert "lower bound along segments leaves open" in smooth.sentence

    def kinked(x):
        return np.abs(x.mean(axis=1) - math.pi / 7) ** 0.5

    assert measure_smoothness(claimed(0.5, kinked, dim=3)).agrees is True
    assert measure_smoothness(claimed(1.5, kinked, dim=3)).agrees is False
    flat = measure_smoothness(claimed(0.5, lambda x: x[:, 0], dim=3, sharp=True))
    assert (flat.along_lines, flat.agrees) == (True, None)


@pytest.mark.parametrize(
    ("name", "r", "options"),
    [("single_scale", 0.5, {}), ("needle", 1.5, {}), ("single_scale", 0.5, {"cells": 2**18})],
)
def test_bumps_of_one_size_have_no_exponent_to_compare(name, r, options):
    target = ar.load_target(name, smoothness=r, **options)
    found = measure_smoothness(target)
    assert not found.interval[0] <= r <= found.interval[1]
    assert found.agrees is None
    assert "bumps of one size" in found.sentence
    assert smoothness_warning(target) is None


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constants_are_as_smooth_as_can_be_seen(value):
    for method in ("structure", "leaders"):
        found = measure_smoothness(lambda x: np.full(len(x), value), method)
        assert (found.saturated, found.interval[0]) == (True, 6.0)


def test_noise_hides_fine_scales_and_the_rest_still_measures():
    noise = 5e-3

    def shaken(x):
        scattered = 43758.5453 * np.sin(78233.0 * x[:, 0]) % 2.0 - 1.0
        return root(x) + noise * scattered

    found = measure_smoothness(shaken, noise=noise)
    assert abs(found.value - 0.5) < 0.05
    assert found.sizes[found.used].min() > 8 * 4 * noise
    heedless = measure_smoothness(shaken)
    assert heedless.sizes[heedless.used].min() < 8 * 4 * noise


def test_data_on_a_grid_and_scattered_data_are_measured():
    x = np.arange(4097) / 4096
    grid = Target.from_data(x, root(x[:, None]), ar.Regularity(0.5, 1))
    assert measure_smoothness(grid).agrees
    points = np.random.default_rng(0).random((1500, 1))
    scattered = Target.from_data(points, root(points), ar.Regularity(0.5, 1))
    assert sampled(scattered, None) is None
    found = measure_smoothness(scattered)
    assert (found.order, found.agrees) == (1, True)
    smooth = Target.from_data(points, points[:, 0] ** 2, ar.Regularity(0.5, 1))
    assert measure_smoothness(smooth).saturated


@pytest.mark.parametrize("x", [np.array([0.5]), np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.3, 0.35, 0.9])])
def test_a_handful_of_data_is_refused_and_gives_no_warning(x):
    few = Target.from_data(x, x, ar.Regularity(0.5, 1))
    with pytest.raises(ValueError, match="at least 32 points"):
        measure_smoothness(few)
    assert smoothness_warning(few) is None


def test_a_plan_notes_a_claim_that_the_values_contradict(tmp_path, capsys):
    def study(r):
        return ar.Study("claims", targets=claimed(r), architectures=ar.FixedDepth(dim=1, depth=1, width=ar.axis(2, 3)))

    assert study(0.5).plan().notes == ()
    plan = study(1.5).plan()
    assert len(plan.notes) == 1
    assert "note: root: smoothness 0.50" in str(plan)


def test_catalogue_targets_are_not_measured_before_a_study(monkeypatch):
    module = importlib.import_module("approxrates.study.doubts")
    monkeypatch.setattr(module, "smoothness_warning", lambda target: target.name)
    assert module.doubts([ar.load_target("takagi", smoothness=0.5), claimed(0.5), claimed(0.5)]) == ("root",)


def test_the_command_says_what_is_measured_and_declared(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from approxrates.cli import app

    result = CliRunner().invoke(app, ["targets", "check", "power", "--smoothness", "0.75"])
    assert result.exit_code == 0
    assert result.output.startswith("power: smoothness 0.75 [")
    assert "r = 0.75 is declared, which agrees." in result.output
    (tmp_path / "bent.py").write_text("def bent(x):\n    return abs(x[:, 0] - 0.3)\n")
    (tmp_path / "bent.toml").write_text('name = "bent"\nfunction = "bent:bent"\nsmoothness = 2.5\ndim = 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(app, ["targets", "check", str(tmp_path / "bent.toml")])
    assert "smoothness 1.0" in result.output
    assert "does not agree" in result.output


def test_the_figure_holds_the_measured_numbers():
    from approxrates.plots import drawn_numbers

    found = measure_smoothness(claimed(0.5))
    drawn = drawn_numbers(ar.plot_structure_function(found))
    assert np.array_equal(drawn["size"], found.sizes)
    assert drawn["used"].sum() == found.used.sum()
    with pytest.raises(TypeError, match="must be a SmoothnessMeasurement"):
        ar.plot_structure_function(root)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 3}, TypeError, "must be a Target or a function"),
        ({"target": root, "method": "box"}, ValueError, "method must be one of structure, leaders"),
        ({"target": root, "order": 0}, ValueError, "order must be"),
        ({"target": root, "levels": 40}, ValueError, "levels must be"),
        ({"target": root, "noise": -1}, ValueError, "noise must be"),
        ({"target": root, "noise": 10.0}, ValueError, "4 scales above the noise"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_bad_arguments_are_refused_in_one_line(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        measure_smoothness(**arguments)
    assert "\n" not in str(caught.value)
