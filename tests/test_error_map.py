"""Error maps show the error that is there: numbers against brute force, the worst place inside both panels."""

import math

import matplotlib
import numpy as np
import pytest

import approxrates as ar
from approxrates.approximant import Approximant
from approxrates.generators.faber_tree import faber_tree
from approxrates.layers import Layer
from approxrates.plots import drawn_numbers, plot_error_map
from approxrates.plots.style import new_figure

SQUARE = ar.Target.from_callable(lambda x: x[:, 0] ** 2, ar.Regularity(smoothness=math.inf, dim=1), name="square")


def zero(dim):
    return ar.Network((Layer(np.zeros((1, dim)), np.zeros(1), ("identity",)),))


def cone(dim):
    """The distance from 1/3 in every coordinate, summed: its largest value is 2 d / 3, at the corner (1, ..., 1)."""
    return ar.Target.from_callable(
        lambda x: np.abs(x - 1 / 3).sum(axis=1), ar.Regularity(smoothness=1.0, dim=dim), name="cone"
    )


@pytest.fixture(scope="module")
def tree():
    return faber_tree(0.5)


@pytest.fixture(scope="module")
def interpolant(tree):
    return ar.construct("interpolation", tree, cells=16)


def test_the_band_holds_the_error_of_every_column(tree, interpolant):
    numbers = drawn_numbers(plot_error_map(interpolant, tree))
    whole = numbers[numbers.panel == "whole"]
    x = np.linspace(0, 1, 512 * 63 + 1)
    values = np.abs(tree(x) - interpolant(x))
    columns = np.lib.stride_tricks.sliding_window_view(values, 64)[::63]
    assert len(whole) == 512
    assert whole.smallest.to_numpy() == pytest.approx(columns.min(axis=1), abs=1e-7)
    at = int(whole.error.argmax())
    others = np.arange(512) != at  # the column of the worst place holds that place, too
    assert whole.error.to_numpy()[others] == pytest.approx(columns.max(axis=1)[others], abs=1e-7)
    assert whole.error.to_numpy()[at] >= columns.max() - 1e-7


def test_the_worst_place_is_the_largest_number_drawn_and_below_the_bound(tree, interpolant):
    error = ar.approximation_error(interpolant, tree)
    numbers = drawn_numbers(plot_error_map(interpolant, tree, error=error))
    for panel in ("whole", "near"):
        (worst,) = numbers[numbers.panel == f"{panel}, worst"].to_dict("records")
        assert worst["x"] == error.where[0]
        assert worst["error"] == pytest.approx(error.sup[0], rel=1e-6)
        assert numbers[numbers.panel == panel].error.max() == pytest.approx(worst["error"], rel=1e-9)
        assert worst["error"] <= worst["upper"] == error.sup[1]


@pytest.mark.parametrize("cells", [4, 16, 100])
def test_the_second_panel_is_the_cell_of_the_worst_place_and_its_neighbours(tree, cells):
    network = ar.construct("interpolation", tree, cells=cells)
    error = ar.approximation_error(network, tree)
    near = plot_error_map(network, tree, error=error).figure.axes[1]
    low, high = near.get_xlim()
    width = 2.0 ** -math.floor(math.log2(error.pieces))
    assert low <= error.where[0] <= high
    assert (high - low) / width in (2, 3)
    assert low / width == round(low / width)


def test_title_and_label_say_what_is_proven(tree, interpolant):
    ax = plot_error_map(interpolant, tree)
    assert ax.get_title("left").startswith("Faber tree: sup error")
    assert ax.get_title("left").endswith("proven")
    assert "proven upper bound" in [text.get_text() for text in ax.texts]
    measured = plot_error_map(zero(1), cone(1))
    assert measured.get_title("left").endswith("measured")
    assert "estimated upper end" in [text.get_text() for text in measured.texts]


def test_an_axes_given_is_drawn_on_and_returned(tree, interpolant):
    figure = new_figure(4, 3)
    given = figure.add_subplot()
    assert plot_error_map(interpolant, tree, given) is given
    assert figure.axes == [given]
    assert set(drawn_numbers(given).panel) == {"whole", "whole, worst"}


def test_a_map_in_the_plane_has_the_closed_form_in_every_block():
    numbers = drawn_numbers(plot_error_map(zero(2), cone(2)))
    whole = numbers[numbers.panel == "whole"]
    assert len(whole) == 40 * 40
    centre = 1.5 / 160  # from the middle of the first pixel of a block to the middle of the block
    truth = sum(np.abs(whole[c] + centre - 1 / 3) for c in "xy")
    assert np.abs(whole.error - truth).max() <= 2 * (0.5 / 40)
    (worst,) = numbers[numbers.panel == "whole, worst"].to_dict("records")
    assert (worst["x"], worst["y"], worst["error"]) == pytest.approx((1.0, 1.0, 4 / 3))


def test_in_space_the_plane_goes_through_the_worst_place():
    ax = plot_error_map(zero(3), cone(3))
    assert "x₃ = 1" in ax.get_ylabel()
    numbers = drawn_numbers(ax)
    whole = numbers[numbers.panel == "whole"]
    assert whole.error.min() >= 2 / 3
    assert whole.error.max() == pytest.approx(2, abs=0.02)


def test_many_dimensions_and_approximants_and_data_are_drawn(tmp_path):
    assert "others as at the worst place" in plot_error_map(zero(7), cone(7)).get_ylabel()
    t = np.linspace(0, 1, 5)
    spline = Approximant("spline", 1, 5, lambda x: np.interp(x[:, 0], t, t**2), (t, t**2))
    numbers = drawn_numbers(plot_error_map(spline, SQUARE))
    assert numbers.error.max() == pytest.approx(1 / 64, rel=1e-6)
    data = ar.Target.from_data([0.0, 0.5, 1.0], [0.0, 2.0, 1.0], ar.Regularity(smoothness=1.0, dim=1))
    ax = plot_error_map(zero(1), data)
    assert drawn_numbers(ax).error.tolist() == [0, 2, 1]
    written = ar.save_figure(ax, tmp_path / "map", formats=["svg", "png"])
    assert [path.suffix for path in written if path.stat().st_size] == [".svg", ".png", ".csv"]


@pytest.mark.parametrize(("network", "target"), [(zero(1), cone(1)), (zero(2), cone(2)), (zero(4), cone(4))])
def test_no_text_runs_out_of_the_figure_or_into_the_other_panel(network, target):
    ax = plot_error_map(network, target)
    figure = ax.figure
    figure.canvas.draw()
    titles = [panel._left_title.get_window_extent() for panel in figure.axes[:2]]
    assert titles[0].x1 < titles[1].x0
    whole = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(whole.x0, whole.y0) >= 0
    assert (whole.x1, whole.y1) <= (width, height)


def test_settings_of_the_user_are_left_alone(tree, interpolant):
    before = dict(matplotlib.rcParams)
    plot_error_map(interpolant, tree)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: plot_error_map(zero(1), SQUARE, "here"), TypeError, "ax must be a matplotlib Axes"),
        (lambda: plot_error_map("net", SQUARE), TypeError, "network must be a Network"),
        (lambda: plot_error_map(zero(1), "square"), TypeError, "target must be a Target"),
        (lambda: plot_error_map(zero(2), SQUARE), ValueError, "dim=1"),
        (lambda: plot_error_map(zero(1), SQUARE, error=0.1), TypeError, "error must be an ApproximationError"),
        (
            lambda: plot_error_map(zero(1), SQUARE, error=ar.approximation_error(zero(2), cone(2))),
            ValueError,
            "Got one in dim=2",
        ),
        (
            lambda: plot_error_map(ar.Network((Layer(np.array([[np.inf]]), None, ("identity",)),)), SQUARE),
            ValueError,
            "the network has diverged",
        ),
    ],
)
def test_bad_input_is_refused_at_the_door(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
