"""Measurements: schedules, registry, and each number against an oracle that computes it the dumb way."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import approxrates.measurements as package
from approxrates.backends.autograd import AutogradEnsemble
from approxrates.measurements import MEASUREMENTS, Measurement, Moment, get_measurement, get_measurements, stops
from approxrates.measurements.base import canonical_schedule
from approxrates.measurements.scalar_curvature import graph_curvature
from tests.measuring import (
    autograd_gradient,
    autograd_hessian,
    difference_gradient,
    difference_hessian,
    linear_minimiser,
    moment_of,
    plain_theta,
    value_at,
)
from tests.mlp_model import like
from tests.passes import layout_of

every = pytest.mark.parametrize("name", MEASUREMENTS)


# Schedules.


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        ("end", 100, ()),
        ("ends", 100, (0, 100)),
        ("every 10", 25, (0, 10, 20, 25)),
        ("every 10", 20, (0, 10, 20)),
        ("every 50", 7, (0, 7)),
        ("log 1", 1000, (0, 1, 10, 100, 1000)),
        ("log 2", 1234, (0, 1, 3, 10, 32, 100, 316, 1000, 1234)),
        ("log 5", 1, (0, 1)),
        ("at 0 5 10", 100, (0, 5, 10)),
        ("at 10 5 5 0", 7, (0, 5)),
    ],
)
def test_schedules_stop_where_they_say(text, steps, expected):
    assert stops(text, steps) == expected


@pytest.mark.parametrize("schedule", ["ends", "every 7", "log 5", "at 0 3 50"])
@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 99, 12345])
def test_stops_ascend_within_the_stage(schedule, steps):
    found = stops(schedule, steps)
    assert list(found) == sorted(set(found))
    assert all(0 <= step <= steps for step in found)
    assert schedule.startswith("at") or {0, steps} <= set(found)


def test_a_decade_of_a_logarithmic_schedule_has_as_many_stops_as_asked_for():
    found = stops("log 7", 100_000)
    assert sum(10_000 < step <= 100_000 for step in found) == sum(1000 < step <= 10_000 for step in found) == 7


BAD = ["", "sometimes", "every", "every 0", "every -1", "every 1.5", "log", "log 0", "log 1 2", "at", "at x", "end 3"]


@pytest.mark.parametrize("text", BAD)
def test_a_bad_schedule_is_refused_when_the_measurement_is_made(text):
    with pytest.raises(ValueError, match=r"schedule must be of one of the forms 'end', 'ends', 'every 10'.*Got"):
        MEASUREMENTS["loss"](schedule=text)


def test_a_schedule_is_text():
    with pytest.raises(TypeError, match="schedule must be a text"):
        MEASUREMENTS["loss"](schedule=10)


def test_schedules_that_mean_the_same_are_the_same():
    loss = MEASUREMENTS["loss"]
    assert loss(schedule=" at  5 0 05") == loss(schedule="at 0 5")
    assert canonical_schedule("every 010") == "every 10"


# The folder.


def test_every_file_that_defines_a_measurement_is_found():
    folder = Path(package.__file__).parent
    named = {path.stem for path in folder.glob("*.py") if "(Measurement)" in path.read_text()}
    assert {kind.__module__.rpartition(".")[2] for kind in MEASUREMENTS.values()} == named
    assert len(MEASUREMENTS) == 16


def test_classes_can_be_imported_from_the_package():
    assert all(getattr(package, kind.__name__) is kind for kind in MEASUREMENTS.values())
    with pytest.raises(AttributeError, match="has no attribute 'Sharpnes'"):
        _ = package.Sharpnes


def test_the_page_tells_of_every_measurement_with_its_settings():
    page = (Path(__file__).parent.parent / "docs" / "measurements.md").read_text()
    for name, kind in MEASUREMENTS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        settings = [field.name for field in dataclasses.fields(kind) if field.name != "schedule"]
        assert all(f"`{setting}`" in row for setting in settings), (name, settings)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"must be one of .*loss.*weight_norm.* Got 'sharpnes'"):
        get_measurement("sharpnes")


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"barrier has the settings schedule, n_points. Got points"):
        get_measurement({"measurement": "barrier", "points": 3})


def test_a_measurement_is_a_name_an_object_or_a_mapping():
    with pytest.raises(TypeError, match=r"must be a name, a Measurement or a mapping. Got int"):
        get_measurement(3)
    made = get_measurement("loss")
    assert get_measurement(made) is made


def test_measurements_are_asked_for_in_a_list_and_once():
    with pytest.raises(TypeError, match=r"measure must be a list. Got 'loss'. Write e.g. measure="):
        get_measurements("loss")
    with pytest.raises(ValueError, match=r"loss, loss_error twice"):
        get_measurements(["loss", {"measurement": "loss", "schedule": "ends"}])
    assert [one.name for one in get_measurements(["loss", "barrier"])] == ["loss", "barrier"]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"measurement": "barrier", "n_points": 0}, ValueError),
        ({"measurement": "barrier", "n_points": 2.0}, TypeError),
        ({"measurement": "hessian_trace", "n_products": 5}, ValueError),
        ({"measurement": "hessian_trace", "most_exact": True}, TypeError),
        ({"measurement": "sharpness", "tolerance": 0.0}, ValueError),
        ({"measurement": "preconditioned_sharpness", "tolerance": 1.0}, ValueError),
        ({"measurement": "smallest_eigenvalue", "most_dense": -1}, ValueError),
        ({"measurement": "stability_margin", "symmetry_tolerance": "none"}, TypeError),
        ({"measurement": "weight_rank", "threshold": 1.5}, ValueError),
        ({"measurement": "weight_rank", "floor": "small"}, TypeError),
        ({"measurement": "effective_rank", "floor": 0.0}, ValueError),
        ({"measurement": "scalar_curvature", "most_params": 0}, ValueError),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_when_the_measurement_is_made(settings, error):
    with pytest.raises(error, match=f"of {settings['measurement']} must be"):
        get_measurement(settings)


@every
def test_a_measurement_is_frozen_and_comes_back_from_its_description(name):
    kind = MEASUREMENTS[name]
    assert issubclass(kind, Measurement)
    assert kind.name == name
    assert get_measurement(kind().to_spec()) == kind() == get_measurement(name)
    other = kind(schedule="log 5")
    spec = json.loads(json.dumps(other.to_spec()))
    assert spec["schedule"] == "log 5"
    assert get_measurement(spec) == other != kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.schedule = "end"


@every
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_every_column_is_a_finite_number_for_each_replica(name, activation):
    kind, moment = MEASUREMENTS[name](), moment_of(activation)
    kind.check(moment.layout, moment.ensemble.objective)
    columns = kind.measure(moment)
    assert next(iter(columns)) == name
    assert set(kind.columns) <= set(columns)
    assert all(column == name or column.startswith(name + "_") for column in columns)
    for values in columns.values():
        assert values.shape == (3,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_replica_is_measured_alone_as_in_company_and_twice_alike(name, dtype):
    kind, moment = MEASUREMENTS[name](), moment_of("relu", n=5, dtype=dtype)
    whole, again = kind.measure(moment), kind.measure(moment_of("relu", n=5, dtype=dtype))
    for column, values in whole.items():
        assert np.array_equal(values, again[column])
        for places in ([0], [4], [3, 1], [1, 2, 4]):
            assert np.array_equal(kind.measure(moment.only(places))[column], values[places]), (column, places)


@every
def test_measuring_changes_neither_parameters_nor_gradients(name):
    moment = moment_of()
    before, begun = moment.theta.clone(), moment.begun.clone()
    diagonal, gradient = moment.preconditioner.clone(), moment.gradient.clone()
    MEASUREMENTS[name]().measure(moment)
    assert torch.equal(moment.theta, before)
    assert torch.equal(moment.begun, begun)
    assert torch.equal(moment.preconditioner, diagonal)
    assert torch.equal(moment.gradient, gradient)


# First-order numbers.


def measured(name, moment, **settings):
    """The first column."""
    return MEASUREMENTS[name](**settings).measure(moment)[name]


def test_loss_is_error_plus_penalty():
    moment = moment_of()
    columns = MEASUREMENTS["loss"]().measure(moment)
    for place in range(3):
        plain = plain_theta(moment, place)
        assert columns["loss"][place] == pytest.approx(value_at(moment, place, plain), rel=1e-12)
        assert columns["loss_error"][place] == pytest.approx(value_at(moment, place, plain, penalised=False), rel=1e-12)
    gap = columns["loss"] - columns["loss_error"]
    norms = measured("weight_norm", moment)
    assert np.allclose(gap, moment.ensemble.l2_penalty.numpy() * norms**2, rtol=1e-10)


def test_without_a_penalty_the_loss_is_all_error():
    columns = MEASUREMENTS["loss"]().measure(moment_of(penalties=None))
    assert np.array_equal(columns["loss"], columns["loss_error"])


def test_norms_are_those_of_the_plain_parameters():
    moment = moment_of("relu", injection=True, residual=True)
    plain, begun = moment.layout.unpack(moment.theta), moment.layout.unpack(moment.begun)
    assert np.allclose(measured("weight_norm", moment), np.linalg.norm(plain, axis=1), rtol=1e-14)
    assert np.allclose(measured("distance_from_start", moment), np.linalg.norm(plain - begun, axis=1), rtol=1e-14)


def test_the_distance_from_the_start_is_zero_at_the_start():
    moment = moment_of()
    assert (measured("distance_from_start", dataclasses.replace(moment, theta=moment.begun)) == 0.0).all()


def test_gradient_norm_and_its_largest_component_agree_with_autograd_and_with_differences():
    moment = moment_of()
    norms, largest = measured("gradient_norm", moment), measured("largest_gradient_component", moment)
    for place in range(3):
        for gradient, rel in ((autograd_gradient(moment, place), 1e-11), (difference_gradient(moment, place), 1e-7)):
            assert norms[place] == pytest.approx(np.linalg.norm(gradient), rel=rel)
            assert largest[place] == pytest.approx(np.abs(gradient).max(), rel=rel)


def test_the_barrier_is_the_highest_of_many_points_over_the_first():
    moment = moment_of(n=5, seed=3)
    found = measured("barrier", moment, n_points=40)
    begun = moment.layout.unpack(moment.begun)
    for place in range(5):
        end = plain_theta(moment, place)
        way = [value_at(moment, place, (1 - t) * begun[place] + t * end) for t in np.linspace(0, 1, 41)]
        assert found[place] == pytest.approx(max(way) / way[0], rel=1e-10)
    assert (found >= 1.0).all()
    assert found.min() < 1.0 + 1e-12 < found.max()


def test_a_way_over_an_overflow_has_an_infinite_barrier():
    moment = moment_of("relu", penalties=None)
    far = dataclasses.replace(moment, theta=moment.theta * 1e120)
    assert (measured("barrier", far) == np.inf).all()


# Ranks and units.


def with_matrices(matrices, **kind):
    """A moment of linear layers of given weights, biases zero."""
    moment = moment_of("identity", n=1, **kind)
    layout = moment.layout
    parts = [
        np.concatenate([m.ravel(), np.zeros(n_out * layout.bias)])
        for m, (n_out, _) in zip(matrices, layout.shapes, strict=True)
    ]
    return dataclasses.replace(moment, theta=layout.pack(np.concatenate(parts)[None]))


def orthogonal(n, seed):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def test_ranks_of_matrices_of_known_singular_values():
    values = np.diag([2.0, 2.0, 1e-4, 1e-9])
    middle = orthogonal(4, 0) @ values @ orthogonal(4, 1)
    first, last = orthogonal(4, 2)[:, :2] * 3.0, orthogonal(4, 3)[:2] * 0.5
    moment = with_matrices([first, middle, last], dim=2, n_outputs=2)
    soft = MEASUREMENTS["effective_rank"]().measure(moment)
    hard = MEASUREMENTS["weight_rank"]().measure(moment)
    assert soft["effective_rank_2"][0] == pytest.approx(2.0, abs=1e-7)
    assert soft["effective_rank_1"][0] == pytest.approx(2.0, rel=1e-12)
    assert soft["effective_rank_3"][0] == pytest.approx(2.0, rel=1e-12)
    assert [hard[f"weight_rank_{i}"][0] for i in (1, 2, 3)] == [2, 2, 2]
    finer = MEASUREMENTS["weight_rank"](threshold=1e-6).measure(moment)
    assert [finer[f"weight_rank_{i}"][0] for i in (1, 2, 3)] == [2, 3, 2]
    finest = MEASUREMENTS["weight_rank"](threshold=1e-12, floor=1e-12).measure(moment)
    assert finest["weight_rank_2"][0] == 4
    assert finest["weight_rank"][0] == 2


def test_the_effective_rank_moves_continuously_as_a_mode_dies_out():
    ranks = []
    for s in (1.0, 0.5, 0.1, 0.0):
        middle = orthogonal(4, 0) @ np.diag([1.0, s, 0.0, 0.0]) @ orthogonal(4, 1)
        moment = with_matrices([orthogonal(4, 2)[:, :1], middle, orthogonal(4, 3)[:1]])
        ranks.append(MEASUREMENTS["effective_rank"]().measure(moment)["effective_rank_2"][0])
    assert ranks == pytest.approx([(1 + s**2) ** 2 / (1 + s**4) for s in (1.0, 0.5, 0.1, 0.0)], rel=1e-10)


def test_weights_that_are_noise_have_rank_zero():
    moment = moment_of("tanh")
    noise = dataclasses.replace(moment, theta=1e-9 * moment.theta)
    assert (measured("weight_rank", noise) == 0).all()
    assert (measured("effective_rank", noise) == 0).all()


def test_dead_units_are_counted():
    moment = moment_of("relu", n=2, penalties=None)
    assert measured("dead_units", moment)[0] == unresponsive(moment, 0)
    begin, n_out, n_columns = moment.layout.blocks[1]
    rows = moment.theta.clone()
    rows[1, begin : begin + n_out * n_columns] = -rows[1, begin : begin + n_out * n_columns].abs()
    dead = dataclasses.replace(moment, theta=rows)
    assert measured("dead_units", dead)[1] == unresponsive(dead, 1) >= 0.5


def unresponsive(moment, place):
    """Share of the hidden units with no slope at any point, from the networks' values: units on the last layer too."""
    layout, plain = moment.layout, moment.layout.unpack(moment.theta)[place]
    points = moment.ensemble.points()[place].numpy()[:, moment.ensemble.weights()[place, 0].numpy() > 0]
    start, h, dead = 0, points, []
    for n_out, n_in in layout.shapes[:-1]:
        weight = plain[start : start + n_out * n_in].reshape(n_out, n_in)
        start += n_out * n_in
        z = weight @ h + plain[start : start + n_out, None]
        start += n_out
        h = np.maximum(z, 0.0)
        dead += [not (unit > 0).any() for unit in z]
    return np.mean(dead)


# Second-order numbers.


def test_the_trace_is_that_of_the_dense_hessian():
    moment = moment_of()
    columns = MEASUREMENTS["hessian_trace"]().measure(moment)
    for place in range(3):
        assert columns["hessian_trace"][place] == pytest.approx(np.trace(autograd_hessian(moment, place)), rel=1e-11)
    small = moment_of(n=1, width=2)
    assert measured("hessian_trace", small)[0] == pytest.approx(np.trace(difference_hessian(small, 0)), rel=1e-5)
    assert (columns["hessian_trace_error"] == 0.0).all()


def test_an_estimated_trace_lies_within_its_standard_error_of_the_exact_one():
    moment = moment_of("tanh", n=5, width=12)
    exact = measured("hessian_trace", moment)
    columns = MEASUREMENTS["hessian_trace"](most_exact=0, n_products=60).measure(moment)
    error = columns["hessian_trace_error"]
    assert moment.layout.n_params > 60
    assert (error > 0).all()
    assert (np.abs(columns["hessian_trace"] - exact) < 4 * error).all()
    more = MEASUREMENTS["hessian_trace"](most_exact=0, n_products=180).measure(moment)
    assert (more["hessian_trace_error"] < error).all()


def test_curvature_along_the_gradient_agrees_with_differences_of_the_loss_along_it():
    moment = moment_of()
    found = measured("directional_sharpness", moment)
    for place in range(3):
        gradient = autograd_gradient(moment, place)
        unit, h, plain = gradient / np.linalg.norm(gradient), 1e-4, plain_theta(moment, place)
        ends = [value_at(moment, place, plain + t * h * unit) for t in (-1, 0, 1)]
        assert found[place] == pytest.approx((ends[0] - 2 * ends[1] + ends[2]) / h**2, rel=1e-5)
        assert found[place] == pytest.approx(unit @ autograd_hessian(moment, place) @ unit, rel=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_the_ends_of_the_spectrum_are_those_of_the_dense_hessian(activation):
    moment = moment_of(activation, n=2, width=5, depth=3)
    top = MEASUREMENTS["sharpness"]().measure(moment)
    whole = MEASUREMENTS["smallest_eigenvalue"]().measure(moment)
    searched = MEASUREMENTS["smallest_eigenvalue"](most_dense=0).measure(moment)
    for place in range(2):
        spectrum = np.linalg.eigvalsh(autograd_hessian(moment, place))
        assert top["sharpness"][place] == pytest.approx(spectrum[-1], rel=1e-6)
        assert whole["smallest_eigenvalue"][place] == pytest.approx(spectrum[0], abs=1e-11 * spectrum[-1])
        assert searched["smallest_eigenvalue"][place] == pytest.approx(spectrum[0], abs=1e-9 * spectrum[-1])
    assert (top["sharpness_residual"] <= 1e-4 * top["sharpness"]).all()
    assert (searched["smallest_eigenvalue_residual"] <= 1e-6 * top["sharpness"]).all()
    assert (whole["smallest_eigenvalue_residual"] == 0.0).all()


def test_the_ends_of_the_spectrum_agree_with_differences_of_the_loss():
    moment = moment_of(n=1, width=2)
    spectrum = np.linalg.eigvalsh(difference_hessian(moment, 0))
    assert measured("sharpness", moment)[0] == pytest.approx(spectrum[-1], rel=1e-6)
    assert measured("smallest_eigenvalue", moment)[0] == pytest.approx(spectrum[0], abs=1e-6)


def test_sharpness_is_the_most_positive_eigenvalue_where_a_negative_one_is_larger():
    # f = b a x with white x and y = 10 x: at a = b = 0.1 the Hessian is nearly [[0, -20], [-20, 0]], and gamma = 0.3.
    moment, _ = linear_minimiser(0.3, width=1, mode=10.0)
    a = b = 0.1
    moment = dataclasses.replace(moment, theta=moment.layout.pack(np.array([[a, b]])))
    cross, straight = 4 * a * b - 20.0, 2 * a * a + 0.6
    assert measured("sharpness", moment)[0] == pytest.approx(straight - cross, rel=1e-9)
    assert measured("smallest_eigenvalue", moment)[0] == pytest.approx(straight + cross, rel=1e-9)
    turned, _ = linear_minimiser(0.0, width=1, mode=10.0)
    ridge = dataclasses.replace(turned, theta=turned.layout.pack(np.array([[0.0, 0.0]])))
    # One mode only, as large below zero as above.
    assert measured("sharpness", ridge)[0] == pytest.approx(20.0)
    assert measured("smallest_eigenvalue", ridge)[0] == pytest.approx(-20.0)


def test_preconditioned_sharpness_is_the_top_eigenvalue_of_the_scaled_hessian():
    moment = moment_of(n=3)
    found = MEASUREMENTS["preconditioned_sharpness"]().measure(moment)
    diagonal = moment.layout.unpack(moment.preconditioner)
    for place in range(3):
        values = np.linalg.eigvals(autograd_hessian(moment, place) / diagonal[place][:, None])
        assert np.abs(values.imag).max() < 1e-9
        assert found["preconditioned_sharpness"][place] == pytest.approx(values.real.max(), rel=1e-6)


def test_preconditioned_sharpness_of_plain_descent_is_the_sharpness():
    moment = moment_of()
    ones = dataclasses.replace(moment, preconditioner=torch.ones_like(moment.theta))
    assert np.allclose(measured("preconditioned_sharpness", ones), measured("sharpness", ones), rtol=1e-7)
    half = dataclasses.replace(moment, preconditioner=torch.full_like(moment.theta, 0.5))
    assert np.allclose(measured("preconditioned_sharpness", half), 2 * measured("sharpness", ones), rtol=1e-7)


def test_without_an_update_rule_there_is_no_preconditioned_sharpness():
    moment = dataclasses.replace(moment_of(), preconditioner=None)
    assert all(np.isnan(v).all() for v in MEASUREMENTS["preconditioned_sharpness"]().measure(moment).values())
    with pytest.raises(ValueError, match=r"must have moments of training.* Got 'end'. Write e.g. schedule='ends'"):
        MEASUREMENTS["preconditioned_sharpness"](schedule="end")


def test_numbers_of_single_precision_are_those_of_double_precision_up_to_its_rounding():
    fine, coarse = moment_of(n=3), moment_of(n=3, dtype=torch.float32)
    for name in MEASUREMENTS:
        found, expected = (MEASUREMENTS[name]().measure(moment) for moment in (coarse, fine))
        for column in found:
            if not column.endswith(("_residual", "_error")):
                scale = np.abs(expected[column]).max() + measured("sharpness", fine).max() * ("eigen" in name)
                assert np.allclose(found[column], expected[column], rtol=1e-3, atol=1e-4 * scale), column


def test_the_graph_of_a_sphere_has_the_curvature_of_a_sphere():
    # z = r - sqrt(r^2 - |x|^2): the curvature of a sphere of dimension n is n (n - 1) / r^2 at every point.
    r, rng = 2.5, np.random.default_rng(0)
    for n in (2, 3, 7):
        x = torch.from_numpy(rng.normal(size=n) * 0.4)
        root = torch.sqrt(r**2 - x @ x)
        hessian = torch.eye(n, dtype=torch.float64) / root + torch.outer(x, x) / root**3
        assert graph_curvature(x / root, hessian) == pytest.approx(n * (n - 1) / r**2, rel=1e-12)


def test_a_graph_that_bends_one_way_only_is_flat():
    gradient, hessian = torch.tensor([0.3, 0.0, 0.0]), torch.diag(torch.tensor([2.0, 0.0, 0.0]))
    assert graph_curvature(gradient, hessian) == pytest.approx(0.0, abs=1e-6)


def test_the_curvature_of_two_parameters_is_twice_the_one_of_gauss():
    # f = b a x on white inputs of one dimension: E = (a b)^2 - 2 c a b + const, without a derivative by machine.
    moment, _ = linear_minimiser(0.4, width=1)
    a, b, c = 0.7, -0.4, 1.0
    moment = dataclasses.replace(moment, theta=moment.layout.pack(np.array([[a, b]])))
    slope = np.array([2 * a * b * b - 2 * c * b, 2 * a * a * b - 2 * c * a])
    bend = np.array([[2 * b * b, 4 * a * b - 2 * c], [4 * a * b - 2 * c, 2 * a * a]])
    gauss = np.linalg.det(bend) / (1 + slope @ slope) ** 2
    assert measured("scalar_curvature", moment)[0] == pytest.approx(2 * gauss, rel=1e-10)


def test_scalar_curvature_is_of_the_error_alone_by_the_dense_hessian():
    moment = moment_of()
    found = measured("scalar_curvature", moment)
    for place in range(3):
        g, h = autograd_gradient(moment, place, penalised=False), autograd_hessian(moment, place, penalised=False)
        inverse = np.linalg.inv(np.eye(len(g)) + np.outer(g, g))
        shape = inverse @ h / np.sqrt(1 + g @ g)  # the Weingarten map of the graph
        assert found[place] == pytest.approx(np.trace(shape) ** 2 - np.trace(shape @ shape), rel=1e-9)


NETWORKS_ONLY = {"stability_margin", "effective_rank", "weight_rank", "dead_units"}


@pytest.mark.parametrize("name", sorted(MEASUREMENTS.keys() - NETWORKS_ONLY))
def test_a_network_written_as_a_model_for_autograd_has_the_same_numbers(name):
    network = moment_of(n=1, penalties=(0.03,))
    model, data = like(network.ensemble)
    ensemble = AutogradEnsemble(model, data, 1, l2_penalty=[0.03])

    def packed(rows):
        return ensemble.layout.pack(network.layout.unpack(rows))

    moment = Moment(
        ensemble, packed(network.theta), packed(network.begun), 7, packed(network.preconditioner), network.replicas
    )
    found, expected = (MEASUREMENTS[name]().measure(one) for one in (moment, network))
    assert found.keys() == expected.keys()
    for column in found:
        if not column.endswith("_residual"):
            assert found[column] == pytest.approx(expected[column], rel=1e-7, abs=1e-12), column


def test_scalar_curvature_refuses_networks_whose_hessian_is_too_large():
    with pytest.raises(ValueError, match=r"at most most_params=20 parameters. Got 46. Use a smaller network, or raise"):
        MEASUREMENTS["scalar_curvature"](most_params=20).check(layout_of("tanh", width=5, depth=2), None)


def test_a_logarithmic_schedule_of_too_many_stops_is_every_step():
    from approxrates.measurements import stops

    for steps in (1, 2, 7, 50):
        assert stops(f"log {10**15}", steps) == stops("every 1", steps)
