"""References: errors against closed forms, rates against theorems, counts against what is stored."""

import math
from pathlib import Path

import numpy as np
import pytest

import approxrates as ar
from approxrates import references
from approxrates.references import aaa, free_knot_spline, graded_spline
from approxrates.spec import Reference
from approxrates.store import digest

THIRD = 1 / 3


def from_function(function, dim=1, smoothness=2.0):
    return ar.Target.from_callable(function, ar.Regularity(smoothness=smoothness, dim=dim))


def square(x):
    return x[:, 0] ** 2


def sine(x):
    return np.sin(4 * x[:, 0])


def runge(x):
    return 1 / (1 + 25 * (2 * x[:, 0] - 1) ** 2)


def root_third(x):
    return np.sqrt(np.abs(x[:, 0] - THIRD))


def smooth_product(x):
    return np.sin(3 * x[:, 0]) * np.exp(x[:, 1:].sum(axis=1))


def additive(x):
    return np.sin(x).sum(axis=1) + x[:, 0] ** 3


LINE = (np.arange(4001) / 4000)[:, None]


def sup(approximant, function, x=LINE):
    return float(np.abs(approximant(x) - function(x)).max())


def inside_cells(approximant, n=64):
    """Points of every cell of a piecewise-linear function, ends included."""
    t, _ = approximant.linear_pieces
    return (t[:-1, None] + np.diff(t)[:, None] * np.linspace(0, 1, n)).ravel().clip(0, 1)[:, None]


def rate(sizes, errors):
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


@pytest.mark.parametrize("cells", [1, 4, 10, 37])
def test_linear_interpolation_of_the_square_is_off_by_a_quarter_of_the_squared_cell(cells):
    spline = ar.approximate("linear_spline", from_function(square), n_params=cells + 1)
    error = ar.approximation_error(spline, from_function(square))
    assert error.sup[0] == pytest.approx(1 / (4 * cells**2), rel=1e-3)
    assert error.sup[1] == pytest.approx(1 / (4 * cells**2), rel=1e-3)
    assert (error.method, error.pieces) == ("break-points", cells)


def test_the_error_of_linear_pieces_is_certified_on_targets_with_a_proven_gap():
    tree = ar.load_target("faber_tree", smoothness=0.5, dim=1)
    error = ar.approximation_error(ar.approximate("linear_spline", tree, n_params=65), tree)
    assert error.certified
    assert error.gap < 1e-3


@pytest.mark.parametrize("dim", [2, 3])
def test_the_multilinear_interpolant_is_that_of_the_corners(dim):
    target = from_function(smooth_product, dim)
    spline = ar.approximate("linear_spline", target, n_params=5**dim)
    x = np.random.default_rng(0).random((50, dim))
    cell = np.floor(4 * x)
    share = 4 * x - cell
    slow = np.zeros(len(x))
    for corner in np.ndindex(*(2,) * dim):
        weight = np.prod(np.where(np.array(corner) == 1, share, 1 - share), axis=1)
        slow += weight * smooth_product((cell + corner) / 4)
    assert np.allclose(spline(x), slow, atol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_cubic_splines_reproduce_cubics(dim):
    def cubic(x):
        return (1 + x[:, 0] - 2 * x[:, 0] ** 3) * np.prod(0.5 + x[:, 1:] ** 3, axis=1)

    spline = ar.approximate("cubic_spline", from_function(cubic, dim), n_params=6**dim)
    x = np.random.default_rng(0).random((200, dim))
    assert sup(spline, cubic, x) < 1e-12


def test_cubic_splines_are_of_order_four_on_a_sine_with_the_known_constant():
    cells = np.array([64, 128, 256, 512])
    errors = [sup(ar.approximate("cubic_spline", from_function(sine), n_params=int(n) + 1), sine) for n in cells]
    assert rate(cells, errors) == pytest.approx(4, abs=0.15)
    # Hall & Meyer: 5/384 h^4 max|f''''| for given end slopes, which not-a-knot ends reach in the limit up to a factor.
    assert 0.5 < errors[-1] / (5 / 384 * 4**4 / 512**4) < 6


@pytest.mark.parametrize(("grading", "expected"), [(1.0, 0.5), (2.0, 1.0), (3.0, 1.5), (4.0, 2.0), (5.0, 2.0)])
def test_graded_splines_have_the_rate_of_their_grading(grading, expected):
    target = from_function(root_third, smoothness=0.5)
    sizes = 2 ** np.arange(5, 12)  # 16 to 1024 cells
    errors = []
    for n in sizes:
        spline = ar.approximate("graded_spline", target, n_params=int(n), point=THIRD, grading=grading)
        errors.append(sup(spline, root_third, inside_cells(spline)))
    assert rate(sizes[2:], errors[2:]) == pytest.approx(expected, abs=0.05)
    assert references.describe("graded_spline").rate(0.5, 1, point=THIRD, grading=grading) == expected


@pytest.mark.parametrize("point", [0.0, 0.5, THIRD, 1.0])
def test_a_graded_mesh_is_made_of_powers_around_its_point(point):
    t = graded_spline.mesh(20, point, 3.0)
    assert (len(t), t[0], t[-1]) == (21, 0.0, 1.0)
    assert np.all(np.diff(t) > 0)
    assert point in t
    above = (t[t >= point] - point) / (1 - point) if point < 1 else np.zeros(1)
    assert np.allclose(np.cbrt(above), np.linspace(0, 1, len(above)) if len(above) > 1 else 0, atol=1e-12)


def test_grading_beyond_float64_is_refused():
    with pytest.raises(ValueError, match=r"too short.*smaller grading"):
        ar.approximate("graded_spline", from_function(root_third), n_params=4000, point=THIRD, grading=8)


def test_free_knots_reach_rate_two_where_uniform_ones_reach_a_half():
    target = from_function(root_third, smoothness=0.5)
    sizes = 2 ** np.arange(5, 11)
    free = [ar.approximate("free_knot_spline", target, n_params=int(n)) for n in sizes]
    errors = [sup(s, root_third, inside_cells(s)) for s in free]
    even = [ar.approximate("linear_spline", target, n_params=int(n) + 1) for n in sizes]
    uniform = [sup(s, root_third, inside_cells(s)) for s in even]
    assert rate(sizes, errors) == pytest.approx(2, abs=0.06)
    assert rate(sizes, uniform) == pytest.approx(0.5, abs=0.05)
    assert all(e < u / 10 for e, u in zip(errors, uniform, strict=True))


def test_free_knots_are_near_the_best_equal_error_mesh_of_a_power():
    # On sqrt(x) the chord of [a^2, b^2] is off by (b - a)^2 / (4 (a + b)). Cells of one error, built from 0: a closed
    # recursion. The greedy search on candidates may lose a few per cent against it, and cannot gain.
    target = from_function(lambda x: np.sqrt(x[:, 0]), smoothness=0.5)
    cells = 32

    def reach(eps):
        a = 0.0
        for _ in range(cells):
            # (b - a)^2 = 4 eps (a + b)
            a = a + 2 * eps + 2 * math.sqrt(eps * (2 * a + eps))
        return a

    low, high = 1e-9, 1.0
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if reach(middle) < 1 else (low, middle)
    spline = ar.approximate("free_knot_spline", target, n_params=2 * cells)
    error = sup(spline, lambda x: np.sqrt(x[:, 0]), inside_cells(spline))
    assert high * (1 - 1e-6) <= error <= 1.1 * high


def test_longest_chords_are_those_of_a_search_through_all_of_them():
    rng = np.random.default_rng(1)
    t, values = np.linspace(0, 1, 60), np.cumsum(rng.normal(size=60))
    for eps in (0.3, 1.0, 3.0):
        fits = [
            j
            for j in range(1, 60)
            if np.abs(np.interp(t[: j + 1], t[[0, j]], values[[0, j]]) - values[: j + 1]).max() <= eps
        ]
        assert free_knot_spline._reach(t, values, eps)[0] == max(fits)


def test_the_chebyshev_interpolant_of_the_runge_function_has_its_geometric_rate():
    n = np.array([21, 41, 61, 81])
    errors = [
        sup(ar.approximate("chebyshev", from_function(runge, smoothness=math.inf), n_params=int(k)), runge) for k in n
    ]
    measured = np.exp(-np.diff(np.log(errors)) / np.diff(n))
    assert measured == pytest.approx((1 + math.sqrt(26)) / 5, rel=2e-3)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_chebyshev_reproduces_polynomials_of_its_degree(dim):
    def polynomial(x):
        return np.prod(1 + x - 3 * x**4, axis=1)

    fit = ar.approximate("chebyshev", from_function(polynomial, dim), n_params=5**dim)
    assert sup(fit, polynomial, np.random.default_rng(0).random((100, dim))) < 1e-13


def test_aaa_finds_rational_functions_exactly_with_as_few_terms_as_they_have():
    def rational(x):
        return (1 + x[:, 0]) / (x[:, 0] ** 2 + 0.5 * x[:, 0] + 1)

    for function in (rational, runge):
        fit = ar.approximate("aaa", from_function(function), n_params=60)
        assert fit.n_params == 9  # type (2, 2): three support points
        assert sup(fit, function) < 1e-13


def test_a_pole_on_the_interval_is_an_error_and_not_a_result():
    with pytest.raises(ValueError, match=r"no pole on \[0, 1\]. Got \d+ with 4 terms"):
        ar.approximate("aaa", from_function(root_third, smoothness=0.5), n_params=12)
    assert aaa.poles_on_interval(np.array([0.5 + 1e-3j, 0.5 - 1e-3j, -0.1, 1.2])).size == 0
    assert aaa.poles_on_interval(np.array([0.7, 0.2 + 1e-14j, 2j])).tolist() == [0.2, 0.7]


def test_random_features_get_better_with_their_number_and_are_the_same_for_one_seed():
    target = from_function(sine)
    few, many = (ar.approximate("random_fourier_features", target, n_params=n, seed=1) for n in (13, 121))
    assert sup(many, sine) < 1e-4 < sup(few, sine)
    again = ar.approximate("random_fourier_features", target, n_params=121, seed=1)
    assert np.array_equal(again(LINE), many(LINE))


def test_an_additive_fit_finds_additive_functions_and_nothing_else():
    x = np.random.default_rng(0).random((500, 10))
    for n, bound in ((31, 0.2), (101, 1e-8)):
        assert sup(ar.approximate("additive_polynomial", from_function(additive, 10), n_params=n), additive, x) < bound

    def product(x):
        return (x[:, 0] - 0.5) * (x[:, 1] - 0.5)  # orthogonal to all additive functions

    fit = ar.approximate("additive_polynomial", from_function(product, 10), n_params=101)
    assert sup(fit, product, x) == pytest.approx(0.25, abs=0.06)


def test_fits_by_least_squares_take_data():
    x = np.random.default_rng(0).random((300, 10))
    target = ar.Target.from_data(x, additive(x), ar.Regularity(smoothness=2.0, dim=10))
    fit = ar.approximate("additive_polynomial", target, n_params=51)
    assert sup(fit, additive, x) < 1e-3
    with pytest.raises(ValueError, match="known at data points"):
        ar.approximate("linear_spline", ar.Target.from_data([0.0, 1.0], [0.0, 1.0], ar.Regularity(1.0, 1)), n_params=9)


CASES = [
    ("linear_spline", 1, {}),
    ("linear_spline", 3, {}),
    ("cubic_spline", 2, {}),
    ("graded_spline", 1, {"point": 0.3}),
    ("free_knot_spline", 1, {}),
    ("chebyshev", 2, {}),
    ("aaa", 1, {}),
    ("random_fourier_features", 2, {}),
    ("additive_polynomial", 4, {}),
]


@pytest.mark.parametrize(("name", "dim", "options"), CASES, ids=lambda v: str(v))
@pytest.mark.parametrize("n_params", [90, 151])
def test_the_count_is_what_is_stored_and_within_the_limit(name, dim, options, n_params):
    def function(x):
        return np.abs(x[:, 0] - 1.3) ** 0.5 + np.cos(x.sum(axis=1))

    target = from_function(function, dim)
    found = ar.approximate(name, target, n_params=n_params, **options)
    assert found.n_params == sum(found.provenance["counted"].values()) <= n_params
    assert (found.name, found.dim) == (name, dim)
    assert found(np.random.default_rng(0).random((7, dim))).shape == (7,)
    if found.linear_pieces is not None:
        t, values = found.linear_pieces
        assert np.all(np.diff(t) > 0)
        stored = len(values) + (0 if name == "linear_spline" else len(t) - 2)
        assert found.n_params == stored
        assert np.allclose(found(t[:, None]), values)
    # The largest that fits: with one more of its units it would not.
    unit = {"graded_spline": 2, "free_knot_spline": 2, "random_fourier_features": dim + 2, "additive_polynomial": dim}
    if name in unit:
        assert n_params - found.n_params < unit[name]
    elif name != "aaa":
        assert (round(found.n_params ** (1 / dim)) + 1) ** dim > n_params


@pytest.mark.parametrize("name", references.names())
def test_every_method_says_what_it_is(name):
    method = references.describe(name)
    assert method.name == name
    assert all((method.statement, method.reference, method.rate_law, method.count_law))
    assert method.least(3) <= method.most
    page = (Path(__file__).parent.parent / "docs" / "references.md").read_text()
    assert f"| `{name}` |" in page


def test_bad_requests_are_refused_at_the_front_door():
    target = from_function(square)
    for error, pattern, call in (
        (ValueError, "reference must be one of linear_spline", lambda: ar.approximate("spline", target, n_params=9)),
        (TypeError, "n_params must be an integer", lambda: ar.approximate("chebyshev", target, n_params=9.5)),
        (ValueError, "from 4 to", lambda: ar.approximate("cubic_spline", target, n_params=3)),
        (ValueError, "to 600 for aaa", lambda: ar.approximate("aaa", target, n_params=700)),
        (ValueError, "made for dim 1", lambda: ar.approximate("aaa", from_function(square, 2), n_params=9)),
        (TypeError, "target must be a Target", lambda: ar.approximate("aaa", square, n_params=9)),
        (ValueError, "Options: none", lambda: ar.approximate("aaa", target, n_params=9, seed=1)),
        (ValueError, "needs the option point", lambda: ar.approximate("graded_spline", target, n_params=9)),
        (ValueError, "point must be from 0 to 1", lambda: Reference("graded_spline", 9, point=2.0)),
        (TypeError, "grading must be a number", lambda: Reference("graded_spline", 9, point=0.5, grading="2")),
        (ValueError, "grading must be from 1", lambda: Reference("graded_spline", 9, point=0.5, grading=ar.axis(2, 0))),
        (TypeError, "seed must be an integer", lambda: Reference("random_fourier_features", 9, seed=0.5)),
        (TypeError, "n_params must be an integer", lambda: Reference("aaa", ar.axis(9, "12"))),
        (ValueError, "n_params must be at least 1", lambda: Reference("aaa", 0)),
        (TypeError, "references must be References", lambda: ar.Study("s", targets=target, references=["aaa"])),
        (ValueError, "n_params must be from 6", lambda: ar.Study("s", targets=target, references=Reference("aaa", 5))),
    ):  # fmt: skip
        with pytest.raises(error, match=pattern):
            call()


def study(**changes):
    given = {
        "targets": [ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=s) for s in (0, 1)],
        "references": [
            ar.Reference("linear_spline", n_params=ar.axis(9, 17, 33, 65)),
            ar.Reference("graded_spline", n_params=ar.axis(16, 32, 64, 128), grading=ar.axis(2, 4), point=0.5),
        ],
    }
    return ar.Study("lines", **given | changes)


def test_reference_runs_are_rows_and_families_of_a_study(tmp_path):
    records = study().run(tmp_path, progress=False)
    frame = records.frame()
    assert (frame["status"] == "ok").all()
    assert set(frame["method"]) == {"reference"}
    assert frame["certified"].all()
    assert (frame.loc[frame["construction"] == "linear_spline", "n_params"] % 8 == 1).all()
    labels = [f.label for f in records.families()]
    assert labels == ["linear_spline", "graded_spline, grading=2, point=0.5", "graded_spline, grading=4, point=0.5"]
    assert all(f.point is None for f in records.families()), "only networks have a place on the diagram"
    assert not (tmp_path / "weights").exists()
    assert records.frame().equals(study().run(tmp_path, progress=False).frame())


def test_a_method_that_fails_is_a_failed_row(tmp_path):
    lines = ar.Study(
        "poles", targets=ar.load_target("faber_tree", smoothness=0.5, dim=1), references=ar.Reference("aaa", 12)
    )
    frame = lines.run(tmp_path, progress=False).frame()
    assert frame["status"].tolist() == ["failed"]
    assert "no pole on [0, 1]" in frame["error"][0]


def test_a_study_with_references_is_the_same_from_its_file(tmp_path):
    (tmp_path / "study.toml").write_text(study().to_toml())
    assert ar.Study.from_toml(tmp_path / "study.toml").run_ids() == study().run_ids()
    assert len(study().shrunk(sizes=2).run_ids()) == 3 * 2


def test_a_reference_run_is_its_target_its_method_and_their_recipes():
    run = study().runs[0]
    assert set(run.spec) == {"target", "reference", "recipe"}
    assert run.spec["reference"] == {"name": "linear_spline", "n_params": 9}
    assert set(run.spec["recipe"]) == {"target", "reference", "error"}
    assert run.id == digest(run.spec)


def test_references_leave_the_ids_of_other_runs_alone():
    networks = {"architectures": ar.FixedWidth(dim=1, width=4, depth=2), "plan": [ar.Adam(steps=5)]}
    alone = study(references=(), **networks).run_ids()
    assert study(**networks).run_ids()[: len(alone)] == alone
    # As they were before there were references.
    spec = study(references=(), constructions=ar.Construction("interpolation", n_params=10)).runs[0].spec
    assert {k: v for k, v in spec.items() if k != "target"} == {
        "construction": {"name": "interpolation", "n_params": 10},
        "recipe": {"target": spec["recipe"]["target"], "construction": 1, "error": spec["recipe"]["error"]},
    }


def test_references_are_drawn_as_grey_lines_without_marks_and_named_by_what_differs(tmp_path):
    records = study().run(tmp_path, progress=False)
    ax = ar.plot_rates(records)
    fits = [line for line in ax.get_lines() if len(line.get_xdata()) == 60]
    assert len(fits) == 3
    assert {line.get_color() for line in fits} == {"#444444"}
    marked = [line for line in ax.get_lines() if line.get_marker() not in (" ", "None", None)]
    drawn = [line for line in marked if len(line.get_xdata())]
    assert drawn == []
    texts = " ".join(t.get_text() for t in ax.texts)
    assert "graded spline, grading = 2" in texts
    assert "point" not in texts


def test_only_families_that_differ_in_the_column_are_contrasted(tmp_path):
    records = study().run(tmp_path, progress=False)
    assert len(records.compare("method")) == 0
    options = records.compare("method_options")
    assert {(a, b) for a, b in zip(options["a"], options["b"], strict=True)} == {
        ("grading=2, point=0.5", "grading=4, point=0.5")
    }


def test_a_study_holds_measured_rates_against_declared_ones(tmp_path):
    target = ar.load_target("power", smoothness=0.5)
    graded = ar.Reference("graded_spline", n_params=ar.axis(32, 64, 128, 256, 512), grading=2, point=1 / 3)
    study = ar.Study("graded", targets=target, references=graded)
    row = study.run(tmp_path, progress=False).rates().iloc[0]
    assert row.declared_rate == 1.0
    assert abs(row.rate - row.declared_rate) < 0.05
    ar.write_report(ar.load_records(tmp_path))
    page = (tmp_path / "README.md").read_text()
    assert "1 of 1 methods of known rate are measured within 0.05 of it." in page


def test_pieces_that_are_not_those_of_the_function_are_refused():
    t = np.array([0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="must give the values of evaluate"):
        ar.Approximant("wave", 1, 3, lambda x: np.sin(9 * x[:, 0]), (t, np.sin(9 * t)))
    with pytest.raises(ValueError, match="must be points from 0 to 1"):
        ar.Approximant("half", 1, 2, lambda x: x[:, 0], (t[:2], t[:2]))
    with pytest.raises(ValueError, match="strictly increasing"):
        ar.Approximant("folded", 1, 3, lambda x: x[:, 0], (np.array([0.0, 1.0, 1.0]), t))
