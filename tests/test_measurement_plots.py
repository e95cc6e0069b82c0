"""Figures of measurements: what is drawn is what was measured, and what cannot be drawn is told."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import approxrates as ar
from approxrates.plots import drawn_numbers, plot_measurement, plot_measurement_curves, save_figure
from approxrates.plots.measurement_curves import set_scale, spread
from approxrates.records import records_from_table

SIZES = (40, 80, 160, 320)


def records(laws=(("corner", 1.0),), activations=("relu", "tanh"), sharpness=lambda size, replica: size * 2.0**replica):
    """Rows with a measured column beside the errors."""
    rows = [
        {
            "target": target, "smoothness": r, "dim": 1, "target_seed": draw, "activation": activation,
            "architecture": "fixed_width", "width": 8, "depth": size // 20, "replica": replica, "n_params": size,
            "error_sup": (1 + i) * size**-1.0 * 1.1**replica, "sharpness": sharpness(size, replica + i),
        }
        for (target, r), (i, activation) in itertools.product(laws, enumerate(activations))
        for draw, size, replica in itertools.product(range(2), SIZES, range(3))
    ]  # fmt: skip
    return records_from_table(pd.DataFrame(rows))


def axes():
    return Figure().add_subplot()


# Against size.


def test_marks_are_medians_and_bars_quartiles_over_seeds_and_draws():
    lower = plot_measurement(records(), "sharpness")
    numbers = drawn_numbers(lower)
    found = numbers[numbers["sharpness_median"].notna()].set_index(["family", "n_params"])
    for (i, family), size in itertools.product(enumerate(("relu", "tanh")), SIZES):
        values = [size * 2.0 ** (replica + i) for replica in range(3) for _ in range(2)]
        row = found.loc[(family, size)]
        quartiles = row[[f"sharpness_{n}" for n in ("quartile_low", "median", "quartile_high")]].tolist()
        assert quartiles == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]).tolist())
    errors = numbers[numbers["error_median"].notna()].set_index(["family", "n_params"])
    assert errors.loc[("tanh", 80), "error_median"] == pytest.approx(2 / 80 * 1.1)
    assert len(numbers) == 2 * 2 * len(SIZES)


def test_the_error_stands_above_the_measurement_on_one_scale_of_sizes():
    lower = plot_measurement(records(), "sharpness")
    upper = next(panel for panel in lower.figure.axes if panel is not lower)
    assert upper.get_ylabel() == "sup error"
    assert lower.get_ylabel() == "sharpness (top eigenvalue)"
    assert lower.get_xlabel() == "number of parameters W (non-zero)"
    assert upper.get_xlim() == lower.get_xlim()
    assert upper.get_position().y0 > lower.get_position().y1
    assert {text.get_text() for text in lower.figure.legends[0].get_texts()} == {"relu", "tanh"}


def test_every_target_law_has_a_pair_of_panels():
    lower = plot_measurement(records([("corner", 1.0), ("faber_tree", 0.5)]), "sharpness")
    assert len(lower.figure.axes) == 4
    assert [panel.get_title(loc="left") for panel in lower.figure.axes if panel.get_title(loc="left")] == [
        "Faber tree, r = 0.5", "Corner, r = 1",
    ]  # fmt: skip


def test_given_axes_hold_the_measurement_alone():
    ax = axes()
    assert plot_measurement(records(), "sharpness", ax=ax) is ax
    assert len(ax.figure.axes) == 1
    assert "error_median" not in drawn_numbers(ax)
    with pytest.raises(ValueError, match=r"ax must be left out for several target laws. Got 2. Leave ax out."):
        plot_measurement(records([("corner", 1.0), ("faber_tree", 0.5)]), "sharpness", ax=axes())


def test_a_column_that_was_not_measured_is_told():
    with pytest.raises(ValueError, match=r"in the column 'trace'. Measured columns: none.*measure=\['trace'\]"):
        plot_measurement(records(), "trace")
    with pytest.raises(TypeError, match="records must be Records"):
        plot_measurement([1.0], "sharpness")
    # Words are no numbers.
    with pytest.raises(ValueError, match="in the column 'activation'"):
        plot_measurement(records(), "activation")


def test_values_of_both_signs_are_drawn():
    mixed = records(sharpness=lambda size, replica: (replica - 1.5) * size)
    lower = plot_measurement(mixed, "sharpness")
    assert lower.get_yscale() == "linear"
    assert lower.get_ylim()[0] < 0 < lower.get_ylim()[1]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 5.0, 2000.0], "log"),
        ([1.0, 1.1], "log"),
        ([0.0, 1.0, 2.0], "linear"),
        ([-1.0, 1.0, 3.0], "linear"),
        ([-1000.0, 1.0, 0.1, 0.2, 0.3], "symlog"),
        ([np.nan, 1.0, np.inf], "log"),
        ([0.0, 0.0], "linear"),
        ([np.nan], "linear"),
    ],
    ids=str,
)
def test_the_scale_follows_the_values(values, scale):
    ax = axes()
    set_scale(ax.yaxis, np.array(values))
    assert ax.get_yscale() == scale


# Along training.


def test_quartiles_are_over_the_replicas_that_are_still_there():
    series = [np.array([[0, 1.0 * k], [10, 2.0 * k], [20, 3.0 * k]]) for k in (1, 2, 3)]
    series.append(np.array([[0, 4.0], [10, 8.0]]))
    steps, quartiles, present = spread(series)
    assert steps.tolist() == [0, 10, 20]
    assert present.tolist() == [4, 4, 3]
    assert quartiles[:, 0].tolist() == np.quantile([1, 2, 3, 4], [0.25, 0.5, 0.75]).tolist()
    assert quartiles[1].tolist() == [2.5, 5.0, 6.0]
    steps, _, present = spread([*series, series[-1], series[-1], series[-1]])
    assert steps.tolist() == [0, 10]  # three of seven are fewer than half
    assert present.tolist() == [7, 7]


def test_replicas_of_other_steps_are_joined_by_straight_lines():
    steps, quartiles, _ = spread([np.array([[0, 0.0], [10, 10.0]]), np.array([[0, 0.0], [4, 8.0], [10, 20.0]])])
    assert steps.tolist() == [0, 4, 10]
    assert quartiles[1].tolist() == [0.0, 6.0, 15.0]


def test_values_that_are_not_there_are_passed_over():
    steps, quartiles, present = spread([np.array([[0, np.nan], [5, 1.0], [10, 3.0]])])
    assert steps.tolist() == [5, 10]
    assert quartiles[1].tolist() == [1.0, 3.0]
    assert present.tolist() == [1, 1]


@pytest.fixture(scope="module")
def fit():
    target = ar.Target.from_callable(lambda x: np.sin(5 * x[:, 0]), ar.Regularity(smoothness=2.5, dim=1), name="wave")
    return ar.train(
        ar.FixedWidth(dim=1, width=4, depth=1, activation="tanh"), target, replicas=4, n_points=64,
        plan=[ar.Adam(steps=40)],
        measure=[{"measurement": "sharpness", "schedule": "every 10"}, {"measurement": "loss", "schedule": "log 3"}],
    )  # fmt: skip


def test_a_fit_is_drawn_with_every_replica_the_median_and_a_band(fit):
    ax = plot_measurement_curves(fit, "sharpness", levels={"2 / learning rate": 200.0})
    assert len(ax.lines) == 4 + 1 + 1
    assert len(ax.collections) == 1
    assert ax.get_xscale() == "linear"
    assert [text.get_text() for text in ax.texts] == ["2 / learning rate"]
    numbers = drawn_numbers(ax)
    for replica, measured in enumerate(fit.measured):
        own = numbers[numbers["replica"] == replica]
        assert np.array_equal(own[["step", "sharpness"]].to_numpy(), measured["sharpness"])
    middle = numbers[numbers["sharpness_median"].notna()]
    expected = np.median([one["sharpness"][:, 1] for one in fit.measured], axis=0)
    assert np.allclose(middle["sharpness_median"], expected)
    assert (middle["n_replicas"] == 4).all()


def test_steps_of_a_logarithmic_schedule_stand_on_a_logarithmic_axis(fit):
    ax = plot_measurement_curves(fit, "loss")
    assert ax.get_xscale() == "symlog"
    assert ax.get_xlim()[0] == 0.0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "training loss F")


def test_series_by_family_are_told_apart_in_a_legend(fit):
    series = [one["loss"] for one in fit.measured]
    ax = plot_measurement_curves({"first": series[:2], "second": series[2:]}, "loss", ax=axes())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "second"]
    assert set(drawn_numbers(ax)["family"]) == {"first", "second"}


def test_what_holds_no_series_is_refused(fit):
    with pytest.raises(
        ValueError, match=r"series of 'barrier'. Got the columns loss, loss_error, sharpness, sharpness_res"
    ):
        plot_measurement_curves(fit, "barrier")
    with pytest.raises(ValueError, match=r"series of 'loss'. Got none"):
        plot_measurement_curves({"nothing": []}, "loss")
    with pytest.raises(TypeError, match=r"source must be a Fit or series by family. Got str"):
        plot_measurement_curves("results/mine", "loss")
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        plot_measurement_curves(fit, "loss", ax=3)


def test_saved_figures_have_their_numbers_beside_them(fit, tmp_path):
    for name, ax in (("a", plot_measurement_curves(fit, "loss")), ("b", plot_measurement(records(), "sharpness"))):
        *figures, table = save_figure(ax, tmp_path / name, formats=("svg",))
        assert figures[0].stat().st_size > 1000
        assert len(pd.read_csv(table)) == len(drawn_numbers(ax))
