"""Measurements during training: they change nothing, keep to their schedules, and survive a kill."""

from dataclasses import dataclass

import numpy as np
import pytest

import approxrates as ar
from approxrates.measurements import MEASUREMENTS, Measurement, get_measurements
from approxrates.training import fit_members
from approxrates.training.checkpoint import Checkpoint
from tests.passes import BACKENDS, needs_numba

WAVE = ar.Target.from_callable(
    lambda x: np.sin(7 * x[:, 0]) + x[:, 0], ar.Regularity(smoothness=2.5, dim=1), name="wave"
)
ARCH = ar.FixedWidth(dim=1, width=5, depth=2, activation="tanh")
PLANS = {
    "adam": [ar.Adam(steps=50)],
    "adapt": [ar.Adam(steps=50, adapt=True)],
    "sgd": [ar.SGD(steps=50, learning_rate=0.05)],
    "momentum": [ar.SGD(steps=50, learning_rate=0.02, momentum=0.9)],
    "soap": [ar.SOAP(steps=50, refresh=7)],
    "ssbfgs": [ar.Adam(steps=20), ar.SelfScaledBFGS(steps=40)],
    "lbfgs": [ar.Adam(steps=20), ar.LBFGS(steps=60)],
    "lm": [ar.Adam(steps=20), ar.LevenbergMarquardt(steps=30)],
    "minimax": [ar.Adam(steps=40), ar.Minimax(steps=40, rounds=4)],
}
FIRST_ORDER = ["adam", "adapt", "sgd", "momentum", "soap"]
SEVERAL = [
    {"measurement": "loss", "schedule": "every 7"},
    {"measurement": "gradient_norm", "schedule": "log 3"},
    {"measurement": "weight_norm", "schedule": "at 0 3 1000"},
    {"measurement": "distance_from_start", "schedule": "every 1"},
    {"measurement": "sharpness", "schedule": "ends"},
    "barrier",
]


def train(plan, measure, **options):
    """Three replicas."""
    return ar.train(ARCH, WAVE, replicas=3, plan=plan, n_points=64, seed=1, measure=measure, **options)


def same_training(a, b):
    """Whether two fits went the same way, bit for bit, whatever was measured."""
    pairs = zip([*a.networks, *a.last], [*b.networks, *b.last], strict=True)
    return (
        all(
            np.array_equal(p.weight, q.weight) and np.array_equal(p.bias, q.bias)
            for x, y in pairs
            for p, q in zip(x.layers, y.layers, strict=True)
        )
        and np.array_equal(a.losses, b.losses)
        and np.array_equal(a.steps, b.steps)
        and a.outcomes == b.outcomes
        and all(np.array_equal(x, y) for x, y in zip(a.curves, b.curves, strict=True))
    )


def same_series(a, b):
    """Whether two fits were measured alike, bit for bit."""
    return (
        len(a.measured) == len(b.measured)
        and all(
            x.keys() == y.keys() and all(np.array_equal(x[c], y[c]) for c in x)
            for x, y in zip(a.measured, b.measured, strict=True)
        )
        and all(
            x.keys() == y.keys() and all(np.array_equal(x[c], y[c], equal_nan=True) for c in x)
            for x, y in zip(a.final, b.final, strict=True)
        )
    )


@pytest.mark.parametrize(
    ("backend", "dtype"), [("reference", "float64"), pytest.param("native", "float32", marks=needs_numba)]
)
@pytest.mark.parametrize("plan", PLANS)
def test_measuring_does_not_change_the_training(plan, dtype, backend):
    plain = train(PLANS[plan], [], dtype=dtype, backend=backend)
    watched = train(PLANS[plan], SEVERAL, dtype=dtype, backend=backend)
    assert same_training(plain, watched)
    assert all(one == {} for one in (*plain.measured, *plain.final))


@pytest.mark.parametrize("plan", ["adam", "lbfgs"])
def test_a_penalised_training_is_not_changed_either(plan):
    plain, watched = (train(PLANS[plan], measure, l2_penalty=0.01) for measure in ([], SEVERAL))
    assert same_training(plain, watched)
    assert all("loss_error" in series for series in watched.measured)


def test_every_measurement_can_be_asked_for_at_once_and_changes_nothing():
    everything = [{"measurement": name, "schedule": "every 20"} for name in MEASUREMENTS]
    plain, watched = (train(PLANS["adam"], measure, l2_penalty=0.01) for measure in ([], everything))
    assert same_training(plain, watched)
    for series, final in zip(watched.measured, watched.final, strict=True):
        for name in MEASUREMENTS:
            assert series[name][:, 0].tolist() == [0, 20, 40, 50]
            # Before the first step Adam has no diagonal yet.
            assert np.isfinite(series[name][:, 1]).tolist() == [name != "preconditioned_sharpness", True, True, True]
            assert np.isfinite(final[name])


@pytest.mark.parametrize("plan", FIRST_ORDER)
@pytest.mark.parametrize("backend", BACKENDS)
def test_stages_that_step_one_by_one_are_measured_exactly_on_schedule(plan, backend):
    fit = train(PLANS[plan], SEVERAL, backend=backend)
    for series in fit.measured:
        assert series["loss"][:, 0].tolist() == [*range(0, 50, 7), 50]
        assert series["gradient_norm"][:, 0].tolist() == [0, 1, 2, 5, 10, 22, 46, 50]
        assert series["weight_norm"][:, 0].tolist() == [0, 3]
        assert series["distance_from_start"][:, 0].tolist() == list(range(51))
        assert series["sharpness"][:, 0].tolist() == [0, 50]
        assert "barrier" not in series
        assert series["distance_from_start"][0, 1] == 0.0
        assert (series["distance_from_start"][1:, 1] > 0.0).all()


@pytest.mark.parametrize("plan", ["ssbfgs", "lbfgs", "lm"])
def test_stages_that_go_their_own_way_are_measured_at_start_and_end_of_each_replica(plan):
    fit = train(
        PLANS[plan], [{"measurement": "loss", "schedule": "every 10"}, {"measurement": "barrier", "schedule": "ends"}]
    )
    for series, steps in zip(fit.measured, fit.steps, strict=True):
        assert series["barrier"][:, 0].tolist() == [0, 20, steps]
        visited = series["loss"][:, 0]
        assert visited[0] == 0
        assert 20 in visited
        assert visited[-1] == steps
        assert (np.diff(visited) > 0).all()
        # Between start and end a step is seen for every ten, if not exactly there.
        assert np.diff(visited).max() <= 20


def test_the_series_of_the_loss_is_the_curve_of_the_training():
    fit = train(PLANS["adam"], [{"measurement": "loss", "schedule": "every 1"}])
    for series, curve in zip(fit.measured, fit.curves, strict=True):
        at = dict(series["loss"].tolist())
        assert [at[step] for step, _ in curve] == curve[:, 1].tolist()


def test_steps_are_counted_over_all_stages_and_a_stage_begins_at_the_best_seen():
    fit = train(
        [ar.Adam(steps=20), ar.SGD(steps=10, learning_rate=0.01)], [{"measurement": "loss", "schedule": "every 5"}]
    )
    for series, curve in zip(fit.measured, fit.curves, strict=True):
        assert series["loss"][:, 0].tolist() == [0, 5, 10, 15, 20, 25, 30]
        at = dict(series["loss"].tolist())
        assert at[20] == min(loss for step, loss in curve if step <= 20)


def test_the_final_numbers_are_those_of_the_returned_networks():
    fit = train(PLANS["adam"], ["loss", "weight_norm", "effective_rank"], l2_penalty=(0.0, 0.01, 0.1))
    for network, final, gamma in zip(fit.networks, fit.final, (0.0, 0.01, 0.1), strict=True):
        assert final["loss"] == pytest.approx(final["loss_error"] + gamma * final["weight_norm"] ** 2, rel=1e-10)
        middle = np.linalg.svd(network.layers[1].weight, compute_uv=False)
        expected = (middle**2).sum() ** 2 / (middle**4).sum()
        assert final["effective_rank_2"] == pytest.approx(expected, rel=1e-10)


def test_a_network_returned_in_the_middle_is_measured_there():
    plan = [ar.SGD(steps=40, learning_rate=5.0)]
    fit = train(plan, [{"measurement": "loss", "schedule": "every 1"}])
    for series, final, curve in zip(fit.measured, fit.final, fit.curves, strict=True):
        assert final["loss"] == curve[:, 1].min() <= series["loss"][-1, 1]


def test_measured_values_do_not_depend_on_companions():
    measure = [
        {"measurement": name, "schedule": "every 10"} for name in ("loss", "sharpness", "hessian_trace", "barrier")
    ]
    options = {"plan": PLANS["adam"], "n_points": 64, "seed": 1, "measure": measure}
    whole = fit_members(ARCH, [(WAVE, replica) for replica in range(4)], **options)
    for some in ([2], [3, 0]):
        part = fit_members(ARCH, [(WAVE, replica) for replica in some], **options)
        for series, final, replica in zip(part.measured, part.final, some, strict=True):
            assert final == whole.final[replica]
            assert all(np.array_equal(series[c], whole.measured[replica][c]) for c in series)


def test_a_diverging_replica_ends_its_own_series_only():
    measure = [{"measurement": "loss", "schedule": "every 1"}, {"measurement": "sharpness", "schedule": "every 10"}]
    plan = [ar.SGD(steps=60, learning_rate=(0.05, 1e3, 1e200, 0.05))]
    fit = fit_members(ARCH, [(WAVE, replica) for replica in range(4)], plan=plan, n_points=64, measure=measure)
    relu = ar.FixedWidth(dim=1, width=5, depth=2, activation="relu")
    broken = fit_members(relu, [(WAVE, replica) for replica in range(4)], plan=plan, n_points=64, measure=measure)
    for one in (fit, broken):
        for place in (0, 3):
            assert one.measured[place]["loss"][:, 0].tolist() == list(range(61))
            assert np.isfinite(one.measured[place]["loss"]).all()
        for series, outcome in zip(one.measured, one.outcomes, strict=True):
            assert np.isfinite(series["loss"]).all()
            assert (series["loss"][-1, 0] < 60) == outcome.failed
    assert [outcome.failed for outcome in broken.outcomes] == [False, True, True, False]
    sound = fit_members(relu, [(WAVE, 0), (WAVE, 3)], plan=plan, n_points=64, measure=measure)
    for series, place in zip(sound.measured, (0, 3), strict=True):
        assert all(np.array_equal(series[c], broken.measured[place][c]) for c in series)
    assert all(np.isfinite(final["loss"]) for final in broken.final)


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize(
    ("plan", "backend"),
    [
        ("soap", "reference"),
        ("ssbfgs", "reference"),
        ("lm", "reference"),
        pytest.param("adam", "native", marks=needs_numba),
    ],
)
def test_a_killed_fit_keeps_its_series(plan, backend, tmp_path, monkeypatch):
    whole, path, kills = train(PLANS[plan], SEVERAL, backend=backend), tmp_path / "fit", 0
    write = Checkpoint.write
    while True:
        done = [0]

        def counted(self, state, done=done):
            write(self, state)
            done[0] += 1
            if done[0] == 3:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "is_due", property(lambda self: self.path is not None))
            patch.setattr(Checkpoint, "write", counted)
            try:
                last = train(PLANS[plan], SEVERAL, backend=backend, checkpoint=path)
                break
            except Killed:
                kills += 1
                assert kills < 100
    assert kills >= 2
    assert same_training(whole, last)
    assert same_series(whole, last)


def test_replicas_trained_in_several_groups_are_measured_alike():
    whole = train(PLANS["adam"], SEVERAL)
    parts = train(PLANS["adam"], SEVERAL, memory=1)
    assert same_training(whole, parts)
    assert same_series(whole, parts)


def test_preconditioned_sharpness_needs_a_rule_with_a_diagonal():
    for plan in ([ar.SOAP(steps=20)], [ar.Adam(steps=20), ar.LBFGS(steps=20)], [ar.SGD(steps=20, momentum=0.5)]):
        with pytest.raises(ValueError, match="preconditioned_sharpness needs stages whose rule divides the gradient"):
            train(plan, ["preconditioned_sharpness"])


def test_preconditioned_sharpness_of_gradient_descent_is_the_sharpness():
    measure = [{"measurement": name, "schedule": "every 10"} for name in ("sharpness", "preconditioned_sharpness")]
    fit = train([ar.SGD(steps=20, learning_rate=0.01)], measure)
    for series in fit.measured:
        plain = dict(series["sharpness"].tolist())
        for step, value in series["preconditioned_sharpness"]:
            if np.isfinite(value):
                assert value == pytest.approx(plain[step], rel=1e-6)
        assert np.isfinite(series["preconditioned_sharpness"][-1, 1])


def test_gradient_descent_above_two_over_the_sharpness_climbs_and_below_it_falls():
    # The meaning of the sharpness: at a minimum, steps along its direction are multiplied by 1 - rate * sharpness.
    start = train([ar.Adam(steps=100), ar.SelfScaledBFGS(steps=200)], ["sharpness"])
    network, edge = start.networks[0], 2.0 / start.final[0]["sharpness"]
    moved = network.layers[0].weight.copy()
    assert moved.shape == (5, 1)
    losses = {}
    for factor in (0.9, 1.1):
        fit = fit_members(
            ARCH, [(WAVE, 0)], plan=[ar.SGD(steps=300, learning_rate=factor * edge, swap=10**6)], start=[network],
            n_points=64, seed=1, measure=[{"measurement": "loss", "schedule": "every 1"}],
        )  # fmt: skip
        losses[factor] = fit.measured[0]["loss"][:, 1]
    assert losses[0.9].max() <= losses[0.9][0] * (1 + 1e-6)
    assert losses[1.1].max() > 1.01 * losses[1.1][0]


def test_adam_hovers_where_its_preconditioned_sharpness_makes_it_unstable():
    # Cohen et al. 2022, arXiv:2207.14484: (2 + 2 beta1) / (1 - beta1) over the learning rate, 38 for beta1 = 0.9.
    kinked = ar.Target.from_callable(
        lambda x: np.sin(9 * x[:, 0]) + np.abs(x[:, 0] - 0.4), ar.Regularity(smoothness=1, dim=1), name="kinked"
    )
    adam = ar.Adam(steps=3000, learning_rate=0.01, beta2=0.999, cosine=False, warm_up=0, swap=10**6)
    fit = ar.train(
        ar.FixedWidth(dim=1, width=24, depth=3, activation="tanh"), kinked, replicas=2, start="torch", n_points=64,
        plan=[adam], measure=[{"measurement": "preconditioned_sharpness", "schedule": "every 50"}],
    )  # fmt: skip
    for series in fit.measured:
        late = 0.01 * series["preconditioned_sharpness"][30:, 1]
        assert np.median(late) == pytest.approx(38, abs=2.5)
        assert np.quantile(late, 0.9) < 42


@pytest.mark.parametrize(
    ("measure", "error", "message"),
    [
        (["sharpnes"], ValueError, "a measurement must be one of barrier, .* Got 'sharpnes'"),
        ("sharpness", TypeError, "measure must be a list"),
        (["loss", "loss"], ValueError, "every column once"),
        ([{"measurement": "loss", "schedule": "now and then"}], ValueError, "schedule must be of one of the forms"),
        ([{"measurement": "scalar_curvature", "most_params": 5}], ValueError, "at most most_params=5"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused_before_the_training(measure, error, message):
    with pytest.raises(error, match=message):
        train([ar.Adam(steps=10**9)], measure)


@dataclass(frozen=True, kw_only=True)
class FirstWeight(Measurement):
    """The first parameter, to a power."""

    name = "first_weight"

    power: int = 1

    def measure(self, moment):
        return {self.name: moment.theta[:, 0].double().numpy() ** self.power}


def test_a_measurement_of_ones_own_is_handed_over_as_an_object():
    fit = train(PLANS["adam"], [FirstWeight(schedule="ends", power=2), "loss"])
    for network, start, series, final in zip(fit.networks, fit.starts, fit.measured, fit.final, strict=True):
        assert series["first_weight"][0].tolist() == [0.0, start.layers[0].weight[0, 0] ** 2]
        assert final["first_weight"] == network.layers[0].weight[0, 0] ** 2
    with pytest.raises(ValueError, match="a measurement must be one of barrier"):
        train(PLANS["adam"], ["first_weight"])


def test_measurements_may_be_objects():
    by_name = train(PLANS["adam"], SEVERAL)
    as_objects = train(PLANS["adam"], list(get_measurements(SEVERAL)))
    assert same_series(by_name, as_objects)
