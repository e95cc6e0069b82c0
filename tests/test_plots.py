"""Figures: nothing overlaps, everything is explained, the numbers beside them are those of the records."""

import dataclasses
import gc
import itertools
import math
import subprocess
import sys
import weakref

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from approxrates.phase import Label
from approxrates.plots import (
    drawn_numbers,
    family_names,
    plot_comparison,
    plot_phase_diagram,
    plot_precision,
    plot_rates,
    plot_targets,
    rates_table_latex,
    rates_table_markdown,
    save_figure,
    target_name,
)
from approxrates.plots.labels import spread
from approxrates.records import records_from_table
from approxrates.regularity import Regularity
from approxrates.target import Target

SIZES = (40, 80, 160, 320, 640, 1280)
ACTIVATIONS = ("relu", "relu2", "sin", "relu+sin", "tanh", "gelu", "abs", "triangle", "snake", "silu")


def make_table(targets, activations, *, draws=4, seeds=3, rates=None, gap=0.2, noise=0.1, interpolation=True, seed=0):
    """Errors of exact power laws with log-normal noise. ``targets``: (name, r, d, information_rich)."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, r, d, rich in targets:
        for i, activation in enumerate(activations):
            p = (rates or {}).get(activation, min(r, 2.0) / d)
            for draw, size, replica in itertools.product(range(draws), SIZES, range(seeds)):
                error = math.exp(gap * i + noise * rng.normal()) * size**-p
                rows.append(
                    {
                        "target": name,
                        "smoothness": r,
                        "dim": d,
                        "target_seed": draw,
                        "activation": activation,
                        "architecture": "fixed_width",
                        "width": 8,
                        "depth": size // 20,
                        "replica": replica,
                        "start": "random",
                        "n_params": size,
                        "error_sup": error,
                        "error_l2": error / 3,
                        "information_rich": rich,
                    }
                )
        if interpolation:
            rows += [
                {
                    "target": name,
                    "smoothness": r,
                    "dim": d,
                    "target_seed": draw,
                    "method": "construct",
                    "construction": "interpolation",
                    "n_params": size,
                    "error_sup": 0.8 * size ** -(min(r, 2.0) / d) * math.exp(0.02 * rng.normal()),
                    "error_l2": 0.3 * size ** -(min(r, 2.0) / d),
                    "information_rich": rich,
                }
                for draw, size in itertools.product(range(draws), SIZES)
            ]
    return pd.DataFrame(rows)


ROUGH, SMOOTHER, ANALYTIC = ("faber_tree", 0.5, 1, True), ("bump_tree", 1.5, 1, True), ("runge", math.inf, 1, False)


@pytest.fixture(scope="module")
def records():
    return records_from_table(make_table([ROUGH, SMOOTHER, ANALYTIC], ACTIVATIONS[:3]), name="three targets")


@pytest.fixture(scope="module")
def one_target():
    return records_from_table(make_table([ROUGH], ACTIVATIONS[:3]), name="one target")


@dataclasses.dataclass
class Changed:
    """Records whose families were changed by hand."""

    curves: list
    name: str = "changed"

    def families(self, x="n_params", norm="sup"):
        return self.curves


def visible_texts(figure):
    figure.canvas.draw()
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text().strip()]
    # Tick labels beyond the limits of their axis are never drawn, but have a place.
    return [t for t in texts if t.get_window_extent().width > 0]


def boxes_of(ax):
    """Boxes of all texts that a plot function wrote, of its legend, and of the drawn tick labels."""
    figure = ax.figure
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    boxes = []
    for panel in figure.axes:
        texts = [*panel.texts, panel.title, panel._left_title, panel.xaxis.label, panel.yaxis.label]
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
        legend = panel.get_legend()
        texts += legend.get_texts() if legend else []
        boxes += [(t.get_text(), t.get_window_extent()) for t in texts if t.get_visible() and t.get_text().strip()]
    boxes += [(t.get_text(), t.get_window_extent()) for legend in figure.legends for t in legend.get_texts()]
    return boxes


def assert_legible(ax):
    """No two texts overlap and all lie inside the figure (half a pixel of rounding allowed)."""
    boxes = boxes_of(ax)
    width, height = ax.figure.bbox.width, ax.figure.bbox.height
    for text, box in boxes:
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= width + 0.5, text
        assert box.y1 <= height + 0.5, text
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        overlap = (
            min(first.x1, second.x1) - max(first.x0, second.x0),
            min(first.y1, second.y1) - max(first.y0, second.y0),
        )
        assert min(overlap) <= 0.5, (a, b)


def line_colours(ax):
    return {line.get_color() for line in ax.get_lines()}


# Labels


@pytest.mark.parametrize("seed", range(5))
def test_spread_is_the_nearest_arrangement_without_overlap(seed):
    rng = np.random.default_rng(seed)
    wanted, sizes = rng.uniform(0, 100, 9), rng.uniform(2, 14, 9)
    centres = spread(wanted, sizes, -1e9, 1e9)
    order = np.argsort(wanted)
    ends = centres[order] + sizes[order] / 2
    starts = centres[order] - sizes[order] / 2
    assert (starts[1:] >= ends[:-1] - 1e-9).all()
    offsets = np.concatenate([[0], np.cumsum(sizes[order])[:-1]]) + sizes[order] / 2
    assert np.allclose(centres[order] - offsets, isotonic_regression(wanted[order] - offsets).x)


def test_spread_pushes_coincident_labels_apart_symmetrically_and_keeps_them_in_the_frame():
    assert np.allclose(spread([5, 5], [2, 2], 0, 10), [4, 6])
    assert np.allclose(spread([0, 0, 0], [2, 2, 2], 0, 10), [1, 3, 5])
    assert np.allclose(spread([10, 10], [3, 3], 0, 10), [5.5, 8.5])
    assert np.allclose(spread([2, 8], [1, 1], 0, 10), [2, 8])


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("gap", [0.0, 0.4], ids=["coincident", "apart"])
def test_no_label_overlaps_and_all_are_inside_for_any_number_of_curves(count, gap):
    table = make_table([ROUGH], ACTIVATIONS[:count], draws=2, seeds=1, gap=gap, noise=0.0)
    ax = plot_rates(records_from_table(table))
    assert_legible(ax)
    assert sum(" p = " in t.get_text() for t in ax.texts) == count + 1


@pytest.mark.parametrize("size", [(3.2, 2.4), (6, 4)], ids=["small", "large"])
def test_labels_fit_into_axes_that_were_given(one_target, size):
    figure = Figure(figsize=size, layout=None)
    figure.subplots_adjust(left=0.22, bottom=0.22)
    ax = figure.add_subplot()
    assert plot_rates(one_target, ax=ax) is ax
    assert len(figure.axes) == 1
    assert_legible(ax)


def test_one_axes_given_holds_all_targets_with_their_names(records):
    figure = Figure(figsize=(7, 5))
    ax = plot_rates(records, ax=figure.add_subplot())
    labels = [t.get_text() for t in ax.texts if " p = " in t.get_text()]
    assert len(labels) == 12
    assert sum("Bump tree, r = 1.5" in text for text in labels) == 4
    assert_legible(ax)


# Rate curves


def test_one_panel_per_target_law_with_short_titles(records):
    figure = plot_rates(records).figure
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "Faber tree, r = 0.5",
        "Bump tree, r = 1.5",
        "Runge",
    ]
    assert_legible(figure.axes[0])


def test_labels_show_slope_and_interval_of_the_table(one_target):
    ax = plot_rates(one_target)
    shown = [t.get_text() for t in ax.texts]
    for row in one_target.rates().itertuples():
        assert any(f"p = {row.rate:.2f} [{row.rate_low:.2f}, {row.rate_high:.2f}]" in text for text in shown)


def test_axis_labels_say_what_is_counted_and_in_which_norm(one_target):
    ax = plot_rates(one_target)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("number of parameters W (non-zero)", "sup error")
    assert plot_rates(one_target, norm="l2").get_ylabel() == "L² error"


def test_marks_are_the_medians_over_seeds_and_draws(one_target):
    frame = one_target.frame()
    truth = (
        frame[frame.method == "train"]
        .groupby(["activation", "n_params"])["error_sup_upper"]
        .quantile([0.25, 0.5, 0.75])
        .unstack()
    )
    numbers = drawn_numbers(plot_rates(one_target))
    found = numbers[numbers.method == "train"].set_index(["family", "n_params"]).sort_index()
    for column, level in (("error_quartile_low", 0.25), ("error_median", 0.5), ("error_quartile_high", 0.75)):
        assert np.allclose(found[column], truth.sort_index()[level], rtol=1e-12)


def test_fitted_line_has_the_slope_it_is_labelled_with(one_target):
    ax = plot_rates(one_target)
    family = next(f for f in one_target.families() if f.activation == "sin")
    slopes = []
    for line in ax.get_lines():
        x, y = map(np.asarray, line.get_data())
        if len(x) == 60:
            slopes.append(-np.polyfit(np.log(x), np.log(y), 1)[0])
    assert min(abs(s - family.rate.value) for s in slopes) < 1e-9


def test_points_not_used_are_hollow_and_explained(one_target):
    family = one_target.families()[0]
    used = np.array([True] * 4 + [False] * 2)
    changed = dataclasses.replace(family, rate=dataclasses.replace(family.rate, used=used))
    ax = plot_rates(Changed([changed]))
    hollow = [line for line in ax.get_lines() if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    assert sorted(itertools.chain(*(line.get_xdata() for line in hollow))) == [640, 1280]
    assert any("not used" in text for text, _ in boxes_of(ax))
    assert drawn_numbers(ax).used_in_fit.tolist() == used.tolist()
    fitted = [line for line in ax.get_lines() if len(line.get_xdata()) == 60]
    assert max(line.get_xdata().max() for line in fitted) == pytest.approx(320)


def test_sizes_limited_by_optimisation_are_ringed_and_explained(one_target):
    family = one_target.families()[0]
    limited = np.array([False] * 5 + [True])
    ax = plot_rates(Changed([dataclasses.replace(family, limited=limited)]))
    rings = [line for line in ax.get_lines() if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in rings] == [[1280]]
    assert any("limited by optimisation" in text for text, _ in boxes_of(ax))
    assert not any("limited" in text for text, _ in boxes_of(plot_rates(one_target)))


def test_guides_have_the_slopes_of_theory(one_target):
    ax = plot_rates(one_target)
    guides = [line for line in ax.get_lines() if line.get_color() == "#9A9A9A"]
    slopes = [-np.diff(np.log(g.get_ydata()))[0] / np.diff(np.log(g.get_xdata()))[0] for g in guides]
    assert np.allclose(slopes, [0.5, 1.0])
    assert {"r/d = 0.5", "2r/d = 1"} <= {t.get_text() for t in ax.texts}


@pytest.mark.parametrize("case", ["smooth", "seconds"])
def test_no_guides_where_theory_has_no_slope(case):
    table = make_table([ANALYTIC if case == "smooth" else ROUGH], ["relu"], interpolation=False).assign(
        seconds=lambda t: t.n_params / 10
    )
    ax = plot_rates(records_from_table(table), x="seconds" if case == "seconds" else "n_params")
    assert "#9A9A9A" not in line_colours(ax)


def test_constructed_families_are_black_and_trained_ones_are_not(one_target):
    ax = plot_rates(one_target)
    colours = {t.get_text().split(" p = ")[0]: t.get_color() for t in ax.texts if " p = " in t.get_text()}
    assert colours.pop("interpolation") == "#000000"
    assert len(set(colours.values())) == 3
    assert "#000000" not in colours.values()


def test_a_family_without_a_rate_is_drawn_and_says_so():
    table = make_table([ROUGH], ["relu"], interpolation=False)
    ax = plot_rates(records_from_table(table[table.n_params < 200]))
    assert any("no rate" in t.get_text() for t in ax.texts)
    assert_legible(ax)


def test_an_undetermined_rate_is_pale_and_has_a_question_mark(one_target):
    family = one_target.families()[0]
    rate = dataclasses.replace(family.rate, verdict="undetermined")
    ax = plot_rates(Changed([dataclasses.replace(family, rate=rate)]))
    assert [t.get_text()[-1] for t in ax.texts if " p = " in t.get_text()] == ["?"]
    assert [line.get_alpha() for line in ax.get_lines() if len(line.get_xdata()) == 60] == [0.4]
    assert any("undetermined" in text for text, _ in boxes_of(ax))


def test_records_without_errors_are_refused_in_one_line():
    table = make_table([ROUGH], ["relu"], interpolation=False).assign(status="failed")
    with pytest.raises(ValueError, match=r"^records must hold .* Got none\. .*$"):
        plot_rates(records_from_table(table))


# Phase diagram


@pytest.fixture(scope="module")
def mixed():
    table = make_table([ROUGH, SMOOTHER, ("takagi", 0.5, 1, False)], ACTIVATIONS[:3], rates=None)
    easy = table.target == "takagi"
    table.loc[easy & (table.method != "construct"), "error_sup"] *= table.n_params[easy] ** -1.5
    return records_from_table(table, name="mixed")


def test_phase_diagram_draws_rho_of_every_family_on_a_finite_target(mixed):
    numbers = drawn_numbers(plot_phase_diagram(mixed))
    assert len(numbers) == 12
    for row in numbers.itertuples():
        r = 1.5 if "1.5" in row.target else 0.5
        assert row.rho == pytest.approx(row.rate / r)
        assert row.rho_low <= row.rho <= row.rho_high
    assert numbers.easy_target.tolist() == numbers.target.str.startswith("Takagi").tolist()


@pytest.mark.parametrize("against", ["smoothness", "depth"])
def test_phase_diagram_is_legible_and_hatches_the_infeasible_region(mixed, against):
    ax = plot_phase_diagram(mixed, against)
    assert_legible(ax)
    hatched = [c for c in ax.collections if c.get_hatch()]
    assert len(hatched) == 1
    corners = hatched[0].get_paths()[0].vertices
    low_edge = {round(float(x), 6): float(corners[corners[:, 0] == x][:, 1].min()) for x in np.unique(corners[:, 0])}
    expected = {x: 2.0 if against == "smoothness" else 1 + min(max(x, 0), 1) for x in low_edge}
    assert low_edge == pytest.approx(expected)
    assert any("piecewise-polynomial" in t.get_text() for t in ax.texts)


def test_decided_places_are_filled_and_undecided_hollow(mixed):
    families = [f for f in mixed.families() if f.key["target"] == "faber_tree"]
    for label, decided in ((Label.CLASSICAL, True), (Label.UNDECIDED, False)):
        curves = [dataclasses.replace(f, point=dataclasses.replace(f.point, label=label)) for f in families]
        ax = plot_phase_diagram(Changed(curves))
        faces = {
            line.get_markerfacecolor()
            for line in ax.get_lines()
            if line.get_marker() in ("o", "s", "^") and line.get_zorder() == 4
        }
        assert ("white" in faces) is not decided


def test_families_in_one_place_are_drawn_side_by_side_about_it(mixed):
    ax = plot_phase_diagram(mixed)
    marks = sorted(line.get_xdata()[0] for line in ax.get_lines() if line.get_zorder() == 4)
    pixels = ax.transData.transform([(x, 1) for x in marks])[:, 0] * 72 / ax.figure.dpi
    assert np.diff(pixels).min() > 6
    assert np.mean(marks[:8]) == pytest.approx(0.5, abs=0.01)
    assert np.mean(marks[8:]) == pytest.approx(1.5, abs=0.01)


def test_a_place_off_the_scale_is_written_out(mixed):
    ax = plot_phase_diagram(mixed)
    numbers = drawn_numbers(ax)
    off = numbers[numbers.rho > ax.get_ylim()[1]]
    assert len(off) == 3
    named = [t.get_text() for t in ax.texts if t.get_text().startswith("Takagi")]
    assert len(named) == 1
    assert f"{off.rho.min():.1f} to {off.rho.max():.1f}" in named[0] or f"ρ = {off.rho.min():.1f}" in named[0]


def test_phase_diagram_refuses_what_has_no_place():
    smooth = records_from_table(make_table([ANALYTIC], ["relu"]))
    with pytest.raises(ValueError, match="finite smoothness"):
        plot_phase_diagram(smooth)
    with pytest.raises(ValueError, match=r"^against must be 'smoothness' or 'depth'. Got 'width'.$"):
        plot_phase_diagram(smooth, "width")


# Targets and comparison


def wave(dim):
    return Target.from_callable(
        lambda x: np.sin(5 * x.sum(axis=1)), Regularity(smoothness=1.5, dim=dim), name=f"wave_{dim}"
    )


def test_targets_are_drawn_in_one_two_and_three_dimensions():
    ax = plot_targets([wave(1), wave(2), wave(3)])
    titles = [panel.get_title(loc="left") for panel in ax.figure.axes]
    assert titles == ["Wave 1, r = 1.5", "Wave 2, r = 1.5, d = 2", "Wave 3, r = 1.5, d = 3"]
    x, y = ax.get_lines()[0].get_data()
    assert np.allclose(y, np.sin(5 * np.asarray(x)))
    image = ax.figure.axes[2].get_images()[0].get_array()
    assert image[0, -1] == pytest.approx(math.sin(5 * (1 + 1 / 3)))
    assert_legible(ax)


def test_targets_refuse_none_several_on_one_axes_and_other_things():
    with pytest.raises(ValueError, match="at least one target"):
        plot_targets([])
    with pytest.raises(ValueError, match="ax holds one target"):
        plot_targets([wave(1), wave(1)], ax=Figure().add_subplot())
    with pytest.raises(TypeError, match="targets must be Targets"):
        plot_targets(["faber_tree"])


def test_comparison_draws_the_paired_contrasts_of_the_records(records):
    ax = plot_comparison(records)
    numbers = drawn_numbers(ax)
    truth = records.compare("activation")
    pd.testing.assert_frame_equal(numbers[truth.columns], truth, check_dtype=False)
    assert [t.get_text() for t in ax.get_yticklabels()].count("relu − sin") == 3
    assert_legible(ax)


def test_comparison_marks_exactly_the_intervals_that_exclude_no_difference():
    table = make_table([ROUGH], ["relu", "tanh", "sin"], rates={"tanh": 0.2}, draws=6, interpolation=False, gap=6.0)
    records = records_from_table(table)
    ax = plot_comparison(records)
    apart = [not (row.difference_low <= 0 <= row.difference_high) for row in records.compare("activation").itertuples()]
    filled = [line.get_markerfacecolor() != "white" for line in ax.get_lines() if line.get_marker() == "o"]
    assert filled == apart
    assert any(apart)
    assert_legible(ax)


def test_comparison_needs_a_pair(one_target):
    with pytest.raises(ValueError, match="differ only in 'start'"):
        plot_comparison(one_target, "start")


# Style and saving


def test_plotting_and_saving_change_no_global_setting(one_target, tmp_path):
    before = dict(matplotlib.rcParams)
    for i, ax in enumerate(
        [plot_rates(one_target), plot_phase_diagram(one_target), plot_comparison(one_target), plot_targets(wave(1))]
    ):
        save_figure(ax, tmp_path / str(i), formats=["svg"])
    assert dict(matplotlib.rcParams) == before


def test_settings_of_the_user_do_not_change_a_figure(one_target, tmp_path):
    save_figure(plot_rates(one_target), tmp_path / "plain", formats=["svg"])
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "pink", "lines.linewidth": 9}):
        save_figure(plot_rates(one_target), tmp_path / "mine", formats=["svg"])
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "mine.svg").read_bytes()


@pytest.mark.parametrize("plot", [plot_rates, plot_phase_diagram, plot_comparison])
def test_files_are_byte_identical_when_made_again_and_hold_no_date(one_target, tmp_path, plot):
    for name in ("first", "second"):
        save_figure(
            plot(one_target),
            tmp_path / name / "figure",
            formats=["svg", "pdf"] if plot is plot_phase_diagram else ["svg"],
        )
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
        assert b"dc:date" not in path.read_bytes()
        assert b"CreationDate" not in path.read_bytes()


def test_csv_beside_the_figure_holds_what_is_drawn(one_target, tmp_path):
    ax = plot_rates(one_target)
    written = save_figure(ax, tmp_path / "deep" / "rates.v1")
    assert [p.name for p in written] == ["rates.v1.svg", "rates.v1.pdf", "rates.v1.csv"]
    read = pd.read_csv(written[-1])
    numbers = drawn_numbers(ax)
    assert list(read.columns) == list(numbers.columns)
    assert np.allclose(read.error_median, numbers.error_median, rtol=1e-9)


def test_saving_refuses_unknown_formats_and_other_objects(one_target, tmp_path, monkeypatch):
    ax = plot_rates(one_target)
    with pytest.raises(ValueError, match=r"^formats must be among svg, pdf, pgf, png. Got 'gif'.$"):
        save_figure(ax, tmp_path / "a", formats=["gif"])
    with pytest.raises(TypeError, match="must be a matplotlib Axes or Figure"):
        save_figure("rates", tmp_path / "a")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="needs LaTeX"):
        save_figure(ax, tmp_path / "a", formats="pgf")
    assert list(tmp_path.iterdir()) == []


def test_figures_leave_nothing_behind(one_target):
    ax = plot_rates(one_target)
    gone = weakref.ref(ax.figure)
    del ax
    gc.collect()
    assert gone() is None


def test_plotting_needs_neither_pyplot_nor_torch():
    code = (
        "import sys, pandas as pd\n"
        "from approxrates.records import records_from_table\n"
        "from approxrates.plots import plot_rates\n"
        "plot_rates(records_from_table(pd.DataFrame({'n_params': [10, 20, 40, 80], 'error_sup': [8., 4., 2., 1.]})))\n"
        "print([m for m in ('matplotlib.pyplot', 'torch') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


# Tables


def test_tables_have_one_row_per_family_and_the_numbers_of_the_records(records):
    rates = records.rates()
    markdown, latex = rates_table_markdown(records), rates_table_latex(records)
    assert len(markdown.splitlines()) == len(rates) + 2
    assert len({line.count(" | ") for line in markdown.splitlines()}) == 1
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(body) == len(rates) + 1
    assert {line.count(" & ") for line in body} == {8}
    for row in rates.itertuples():
        assert f"[{row.rate_low:.2f}, {row.rate_high:.2f}]" in markdown
        assert f"[{row.rate_low:.2f}, {row.rate_high:.2f}]" in latex


def test_latex_table_escapes_names():
    table = make_table([("a_b%c", 0.5, 1, True)], ["relu"], interpolation=False)
    latex = rates_table_latex(records_from_table(table))
    assert r"b\%c" in latex
    assert "a_b" not in latex


@pytest.mark.parametrize("plot", [plot_rates, plot_phase_diagram, plot_comparison, plot_targets])
@pytest.mark.parametrize("given", [None, 3])
def test_what_is_no_records_and_no_axes_is_refused_by_name(plot, given, one_target):
    kind = "Targets" if plot is plot_targets else "Records"
    with pytest.raises(TypeError, match=rf"must be {kind}\. Got {type(given).__name__}\. Write "):
        plot(given)
    fine = Target.from_callable(lambda x: x[:, 0], Regularity(0.5, 1)) if plot is plot_targets else one_target
    with pytest.raises(TypeError, match=r"^ax must be a matplotlib Axes\. Got int\. Leave ax out"):
        plot(fine, ax=3)


def test_a_missing_size_or_norm_is_told_with_what_to_write():
    frame = make_table([ROUGH], ["relu"])
    with pytest.raises(ValueError, match=r"Got no run with seconds\. Give that column, or write x='n_params'\."):
        plot_rates(records_from_table(frame), x="seconds")
    with pytest.raises(ValueError, match=r"Got errors in norm 'l2' only\. Write norm='l2'\."):
        plot_rates(records_from_table(frame.drop(columns="error_sup")))


def test_a_table_without_smoothness_is_told_to_give_that_column():
    frame = make_table([ROUGH], ["relu"], interpolation=False).drop(columns="smoothness").assign(target="mine")
    with pytest.raises(ValueError, match=r"Got rates on infinitely smooth targets only\. .* give a column smoothness"):
        plot_phase_diagram(records_from_table(frame))


def test_the_band_below_the_classical_rate_does_not_blame_optimisation(records):
    words = " ".join(t.get_text() for t in plot_phase_diagram(records).texts)
    assert "sizes that are too small" in words
    assert "optimisation" not in words


def test_a_figure_that_cannot_be_saved_leaves_the_old_one_and_nothing_else(monkeypatch, one_target, tmp_path):
    ax = plot_rates(one_target)
    files = save_figure(ax, tmp_path / "rates")
    before = {path: path.read_bytes() for path in files}

    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        save_figure(ax, tmp_path / "rates")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def constructed_table(families, r=0.5):
    """Errors of exact laws of constructions. ``families``: (construction, options, activation, exponent)."""
    return pd.DataFrame(
        [
            {
                "target": "faber_tree",
                "target_options": "signs=stored",
                "smoothness": r,
                "dim": 1,
                "target_seed": draw,
                "information_rich": True,
                "method": "construct",
                "construction": name,
                "method_options": options,
                "activation": activation,
                "n_params": size,
                "depth": 9,
                "error_sup": (1 + 0.02 * draw) * size**-p,
            }
            for name, options, activation, p in families
            for draw, size in itertools.product(range(3), SIZES)
        ]
    )


MANY = [
    *(("yarotsky2020_deep", f"depth_exponent={a:.6g}", "relu", (1 + a) / 2) for a in (0.25, 1 / 3, 0.5, 0.75, 1.0)),
    *(("yarotsky2020_deep", f"max_bits={b}", "relu", 0.7) for b in (24, 48)),
    *(("yarotsky2020_fixed_width", f"width={h}", "relu", 1.0) for h in (12, 8)),
    *(("yarotsky2020_deep", "", code, 1.0) for code in ("leaky_relu", "hard_tanh", "quadratic_bspline")),
    ("yarotsky2020_periodic", "", "relu+sin", 3.0),
    ("interpolation", "", "relu", 0.5),
]


def test_constructions_are_called_by_what_tells_them_apart():
    records = records_from_table(constructed_table(MANY), name="many")
    assert family_names(records.families()) == [
        *(f"deep, depth ~ W^{a}" for a in ("0.25", "0.33", "0.5", "0.75", "1")),
        *(f"deep, at most {b} bits" for b in (24, 48)),
        *(f"deep, fixed width, {h} units wide" for h in (12, 8)),
        *(f"deep by {code}" for code in ("leaky_relu", "hard_tanh", "quadratic_bspline")),
        "deep Fourier",
        "interpolation",
    ]
    assert target_name(records.families()[0]) == "Faber tree (stored signs), r = 0.5"


@pytest.mark.parametrize("against", ["smoothness", "depth"])
def test_a_long_legend_of_the_phase_diagram_stays_on_the_page(against):
    ax = plot_phase_diagram(records_from_table(constructed_table(MANY), name="many"), against)
    figure = ax.figure
    figure.canvas.draw()
    box = ax.get_legend().get_window_extent()
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
    assert box.y0 >= 0
    assert np.allclose(ax.get_window_extent().size / figure.dpi, (0.925 * 8, 0.78 * 4.3))  # only the figure has grown


def test_the_precision_axis_collapses_codes_that_obey_the_law():
    def error(size, b, r=0.5):
        return b ** (-2 * r) / ((size / b) ** (2 * r) + (size / b) ** r)

    table = constructed_table([("yarotsky2020_deep", f"max_bits={b}", "relu", 1.0) for b in (24, 48, 96)])
    bits = table["method_options"].str.removeprefix("max_bits=").astype(int)
    table["error_sup"] = error(table["n_params"], bits)
    ax = plot_precision(records_from_table(table, name="caps"))
    curves = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert len(curves) == 3
    for curve in curves:
        u = curve.get_xdata()
        np.testing.assert_allclose(curve.get_ydata(), 1 / (u + np.sqrt(u)), rtol=1e-12)
    (low, high), texts = ax.get_ylim(), {t.get_text() for t in ax.texts}
    assert all(low <= y <= high for line in ax.get_lines() for y in line.get_ydata())
    assert texts == {"2r/d", "r/d"}
    assert ax.get_ylabel() == "sup error × b"
    for text, box in boxes_of(ax):
        assert 0 <= box.x0 <= box.x1 <= ax.figure.bbox.width, text
    rows = pd.DataFrame(drawn_numbers(ax))
    np.testing.assert_allclose(rows["size_scaled"] * rows["max_bits"], rows["n_params"])


def test_the_precision_axis_needs_caps_on_one_target_law():
    free = constructed_table([("yarotsky2020_deep", "", "relu", 1.0)])
    with pytest.raises(ValueError, match="max_bits"):
        plot_precision(records_from_table(free, name="none"))
    caps = [("yarotsky2020_deep", "max_bits=24", "relu", 1.0)]
    two = pd.concat([constructed_table(caps), constructed_table(caps, r=0.25)])
    with pytest.raises(ValueError, match="one target law"):
        plot_precision(records_from_table(two, name="two"))


def test_the_table_and_the_curve_tell_the_slope_of_the_training_where_sizes_are_kept_out(one_target):
    family = one_target.families()[0]
    short = dataclasses.replace(
        family,
        rate=dataclasses.replace(family.rate, value=math.nan, interval=(math.nan, math.nan)),
        limited_by={"budget": np.array([True] * 6)},
    )
    found = Changed([short, one_target.families()[1]])
    first, second = rates_table_markdown(found).splitlines()[2:]
    assert f"| – | undetermined | {family.point.normalised:.2f} |" in first
    assert f"| {family.rate_all.value:.2f} | 4 × 3 |" in first
    assert "| – | 4 × 3 |" in second
    assert f"relu p undetermined, of the training {family.rate_all.value:.2f}" in {
        text.get_text() for text in plot_rates(Changed([short])).texts
    }
