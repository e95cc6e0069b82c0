"""The trainer as a whole: what comes back, that replicas are independent bit for bit, outcomes, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates.activations import get
from approxrates.backends import Layout
from approxrates.training import Outcome, fit_members, resolve_plan
from tests.passes import backends, needs_numba

SMOOTH = ar.Regularity(smoothness=float("inf"), dim=1)


def bump(x):
    return np.exp(np.sin(2 * np.pi * x[:, 0]))


def wiggle(x):
    return 3.0 + np.abs(x[:, 0] - 1 / 3) ** 0.5


BUMP = ar.Target.from_callable(bump, SMOOTH)
WIGGLE = ar.Target.from_callable(wiggle, ar.Regularity(smoothness=0.5, dim=1))
LINE = np.linspace(0, 1, 501)[:, None]
PLANS = {
    "adam": [ar.Adam(steps=40, warm_up=5)],
    "soap": [ar.SOAP(steps=40, warm_up=5, refresh=5)],
    # A loose tolerance and little patience: replicas leave the batch at different times.
    "ssbfgs": [ar.Adam(steps=10, warm_up=0), ar.SelfScaledBFGS(steps=60, tolerance=3e-3, patience=10, progress=0.3)],
}


def arch_of(activation="tanh", **changes):
    return ar.FixedWidth(**({"dim": 1, "width": 8, "depth": 3, "activation": activation} | changes))


def weights(network):
    return np.concatenate([a.ravel() for layer in network.layers for a in (layer.weight, layer.bias) if a is not None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "backend"),
    [
        *(pytest.param(name, "native", marks=needs_numba) for name in ("relu", "tanh", "sin", "relu+sin")),
        *((name, "reference") for name in ("tanh", "relu+sin")),
    ],
)
@pytest.mark.parametrize("plan", PLANS)
def test_a_batch_equals_single_runs_bit_for_bit(plan, activation, backend, dtype):
    arch, stages = arch_of(activation), PLANS[plan]
    members = [(target, replica) for target in (WIGGLE, BUMP) for replica in range(4)]
    options = {"plan": stages, "dtype": dtype, "n_points": 70, "backend": backend}
    batch = fit_members(arch, members, **options)
    for i in (0, 3, 6):
        alone = fit_members(arch, [members[i]], **options)
        assert np.array_equal(weights(alone.networks[0]), weights(batch.networks[i]))
        assert (alone.losses[0], alone.steps[0], alone.outcomes[0]) == (
            batch.losses[i],
            batch.steps[i],
            batch.outcomes[i],
        )
    order = [5, 0, 7]
    some = fit_members(arch, [members[i] for i in order], **options)
    assert all(
        np.array_equal(weights(n), weights(batch.networks[i])) for n, i in zip(some.networks, order, strict=True)
    )


def test_replicas_leave_the_quasi_newton_batch_at_different_times():
    fit = ar.train(arch_of(), BUMP, replicas=8, plan=PLANS["ssbfgs"], n_points=70)
    assert len(set(fit.steps.tolist())) > 2


@pytest.mark.parametrize("plan", PLANS)
def test_results_do_not_depend_on_the_number_of_threads(plan):
    stages = [{**stage.to_spec(), "steps": 6} for stage in PLANS[plan]]
    one = ar.train(arch_of(depth=2), WIGGLE, replicas=6, plan=stages)
    torch.set_num_threads(2)
    two = ar.train(arch_of(depth=2), WIGGLE, replicas=6, plan=stages)
    assert np.array_equal(one.losses, two.losses)


@backends
def test_groups_that_fit_a_small_memory_get_the_same_bits(backend):
    options = {"replicas": 5, "plan": [ar.Adam(steps=20), ar.SOAP(steps=20, refresh=5)], "backend": backend}
    whole = ar.train(arch_of(), WIGGLE, **options)
    each = ar.SOAP(steps=1).bytes_per_replica(Layout(arch_of().shapes, get("tanh")), 96)
    for memory in (1, 2 * each, 3 * each):
        cut = ar.train(arch_of(), WIGGLE, memory=memory, **options)
        assert np.array_equal(cut.losses, whole.losses)
        assert all(np.array_equal(weights(a), weights(b)) for a, b in zip(cut.networks, whole.networks, strict=True))


FITS = """
import torch, approxrates as ar

def bits(backend):
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=3)
    plan = [ar.Adam(steps=20), ar.SOAP(steps=30, refresh=7), ar.SelfScaledBFGS(steps=20)]
    arch = ar.FixedWidth(dim=1, width=7, depth=3, activation="tanh+sin")
    fits = (
        ar.train(arch, target, replicas=3, plan=plan[:n], dtype=dtype, backend=backend)
        for n in (1, 2, 3) for dtype in ("float32", "float64")
    )
    return [loss.hex() for fit in fits for loss in fit.losses.tolist()]
"""


@backends
def test_another_process_gets_the_same_numbers(backend):
    here = {}
    exec(FITS, here)
    script = f"{FITS}\ntorch.set_num_threads(1)\nprint(bits({backend!r}))"
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here["bits"](backend))
    assert there.count("0x") == 18


def test_networks_are_returned_in_the_units_of_the_target():
    fit = ar.train(arch_of("relu"), WIGGLE, replicas=3, plan=[ar.SOAP(steps=400)], n_points=128)
    network = fit.best()
    assert np.sqrt(np.mean((network(LINE) - WIGGLE(LINE)) ** 2)) < 0.05
    grid = ar.FixedWidth(dim=1, width=2, depth=1)
    assert network.n_params == arch_of("relu").n_params > grid.n_params
    assert network.provenance["replica"] == int(np.argmin(fit.losses))


@pytest.mark.parametrize("bias", [True, False])
def test_losses_are_those_of_the_returned_networks_on_the_sampling_set(bias):
    data = ar.Target.from_data(LINE, np.cos(3 * LINE[:, 0]) * 5 + 1, SMOOTH)
    fit = ar.train(arch_of(bias=bias), data, replicas=2, plan=[ar.Adam(steps=50)])
    measured = [np.mean((network(LINE) - data.samples[1]) ** 2) for network in fit.networks]
    assert fit.losses.tolist() == pytest.approx(measured, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 2.5, -1e9])
def test_constant_targets_are_fitted_without_dividing_by_zero(value):
    target = ar.Target.from_callable(lambda x: np.full(len(x), value), SMOOTH, name=f"constant {value}")
    fit = ar.train(arch_of(), target, plan=[ar.Adam(steps=200), ar.SelfScaledBFGS(steps=100)])
    assert np.abs(fit.best()(LINE) - value).max() < 1e-4 * max(1.0, abs(value))


@pytest.mark.parametrize("depth", [2, 4])
def test_self_scaled_bfgs_fits_a_smooth_function_to_six_digits(depth):
    fit = ar.train(arch_of(depth=depth), BUMP, replicas=2, plan=[ar.SelfScaledBFGS(steps=1000)])
    assert np.sqrt(fit.losses.max()) < 1e-6
    assert np.abs(fit.best()(LINE) - BUMP(LINE)).max() < 3e-6


def test_soap_beats_adam_and_the_constructive_start_beats_both_on_a_rough_target():
    target = ar.load_target("bump_tree", smoothness=1.5, dim=1, seed=0)
    arch, options = arch_of("relu", depth=8), {"replicas": 4, "dtype": "float32"}
    losses = [
        np.median(ar.train(arch, target, plan=[stage], start=start, **options).losses)
        for stage, start in (
            (ar.Adam(steps=500), "random"),
            (ar.SOAP(steps=500), "random"),
            (ar.SOAP(steps=500, learning_rate=5e-4), "constructive"),
        )
    ]
    assert losses[0] > 1.3 * losses[1] > 1.3 * losses[2]


def test_a_diverging_replica_is_recorded_and_disturbs_nobody():
    plan = [ar.Adam(steps=60, learning_rate=(1e-2, 1e200, 1e8, 1e-2), warm_up=0), ar.SelfScaledBFGS(steps=20)]
    fit = ar.train(arch_of("relu"), BUMP, replicas=4, plan=plan)
    assert fit.outcomes[0] == fit.outcomes[3] == Outcome.BUDGET_SPENT
    assert fit.outcomes[1] is Outcome.NON_FINITE
    assert fit.outcomes[2] is Outcome.DIVERGED
    assert fit.steps[1] < fit.steps[0] == 80
    assert all(np.isfinite(network(LINE)).all() for network in fit.networks)
    sound = fit_members(arch_of("relu"), [(BUMP, 0), (BUMP, 3)], plan=plan)
    assert np.array_equal(sound.losses, fit.losses[[0, 3]])
    assert np.array_equal(weights(fit.best()), weights(sound.best()))
    with pytest.raises(RuntimeError, match="replica 1 of bump: non-finite"):
        ar.train(arch_of("relu"), BUMP, replicas=4, plan=plan, strict=True)


@pytest.mark.parametrize(
    "plan", [ar.Adam(steps=60, learning_rate=1e200, warm_up=0), ar.SOAP(steps=60, learning_rate=1e200, warm_up=0)]
)
def test_when_all_replicas_break_down_the_start_is_kept(plan):
    fit = ar.train(arch_of("relu"), BUMP, replicas=2, plan=plan)
    assert all(outcome.failed for outcome in fit.outcomes)
    assert np.isfinite(fit.best()(LINE)).all()


def test_best_needs_a_target_if_there_are_several_and_knows_them():
    fit = ar.train(arch_of(), [BUMP, WIGGLE], replicas=2, plan=[ar.Adam(steps=5)])
    assert [(t.name, r) for t, r in fit.members] == [("bump", 0), ("bump", 1), ("wiggle", 0), ("wiggle", 1)]
    assert np.abs(fit.best(WIGGLE)(LINE) - 3.5).max() < 5
    with pytest.raises(ValueError, match="Write fit"):
        fit.best()
    with pytest.raises(ValueError, match="bump, wiggle"):
        fit.best(ar.Target.from_callable(np.ravel, SMOOTH, name="other"))


def test_default_plans_of_several_targets_do_not_mix():
    both = ar.train(arch_of(width=3, depth=1), [BUMP, WIGGLE], replicas=1, budget=0.02)
    for i, target in enumerate([BUMP, WIGGLE]):
        assert ar.train(arch_of(width=3, depth=1), target, budget=0.02).losses[0] == both.losses[i]


def test_budget_multiplies_the_steps():
    fit = ar.train(arch_of("relu"), WIGGLE, plan=[ar.Adam(steps=10), ar.SOAP(steps=7)], budget=3)
    assert fit.steps.tolist() == [51]


def test_seeds_and_replicas_differ():
    losses = [ar.train(arch_of(), BUMP, replicas=3, seed=seed, plan=[ar.Adam(steps=5)]).losses for seed in (0, 1)]
    assert len(set(np.concatenate(losses).tolist())) == 6


@pytest.mark.parametrize("dim", [2, 3])
def test_functions_of_several_variables_can_be_fitted(dim):
    target = (
        ar.load_target("faber_tree", smoothness=0.75, dim=dim, seed=1)
        if dim == 2
        else ar.load_target("analytic", dim=dim)
    )
    fit = ar.train(arch_of(dim=dim, depth=2), target, replicas=2, plan=[ar.SOAP(steps=200)])
    spread = np.var(target(np.random.default_rng(0).random((4000, dim))))
    assert fit.losses.min() < 0.6 * spread


def test_classes_are_learned_with_cross_entropy():
    labels = ar.Target.from_data(LINE, np.floor(LINE[:, 0] * 2.999), ar.Regularity(smoothness=1.0, dim=1))
    plan = [ar.Adam(steps=300)]
    fit = ar.train(arch_of(n_outputs=3), labels, replicas=2, plan=plan, objective=ar.SoftmaxCrossEntropy())
    assert np.mean(np.argmax(fit.best()(LINE), axis=1) == labels.samples[1]) > 0.95


def test_higher_powers_lower_the_largest_error():
    errors = []
    for objective in (ar.MeanSquare(), ar.LpPower(8)):
        options = {"replicas": 4, "plan": [ar.SOAP(steps=600)], "objective": objective, "n_points": 128}
        network = ar.train(arch_of("relu", width=4, depth=2), WIGGLE, **options).best()
        errors.append(np.abs(network(LINE) - WIGGLE(LINE)).max())
    assert errors[1] < 0.9 * errors[0]


def test_progress_is_called_with_stage_and_step():
    calls = []
    ar.train(arch_of(), BUMP, plan=[ar.Adam(steps=20)], progress=lambda *call: calls.append(call))
    assert calls[-1][:3] == ("adam", 20, 20)
    assert np.isfinite(calls[-1][3])


def test_the_thread_count_is_left_alone():
    torch.set_num_threads(2)
    ar.train(arch_of(), BUMP, plan=[ar.Adam(steps=2)])
    assert torch.get_num_threads() == 2


def nan_at_some(x):
    return np.where(x[:, 0] == 1.0, np.nan, x[:, 0])


NAN_TARGET = ar.Target("nan", SMOOTH, {"name": "nan"}, nan_at_some)
GOOD = {"arch": arch_of(), "target": BUMP, "plan": [ar.Adam(steps=1)]}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"replicas": 0}, ValueError, "replicas must be at least 1"),
        ({"replicas": 1.5}, TypeError, "replicas must be an integer"),
        ({"dtype": "float16"}, ValueError, "float32, float64"),
        ({"plan": "fast"}, ValueError, "'default'"),
        ({"plan": []}, ValueError, "at least one stage"),
        ({"plan": 3}, TypeError, "list of stages"),
        ({"plan": [{"stage": "rmsprop", "steps": 3}]}, ValueError, "sgd, adam, soap, ssbfgs"),
        ({"start": "warm"}, ValueError, "random, constructive"),
        ({"start": "constructive", "arch": ar.FixedWidth(dim=1, width=4, depth=2, bias=False)}, ValueError, "bias"),
        ({"device": "gpu7"}, ValueError, "device must be"),
        ({"target": []}, ValueError, "at least one Target"),
        ({"target": np.sin}, TypeError, "Target"),
        ({"target": [BUMP, np.sin]}, TypeError, "from_callable"),
        ({"target": NAN_TARGET}, ValueError, "finite"),
        ({"target": ar.load_target("faber_tree", smoothness=0.5, dim=2)}, ValueError, "dim=2"),
        ({"arch": arch_of("heaviside")}, ValueError, "derivative"),
        ({"arch": arch_of("floor")}, ValueError, "derivative"),
        ({"arch": "relu"}, TypeError, "FixedWidth"),
        ({"arch": arch_of(depth=ar.axis(1, 2))}, ValueError, "axis"),
        ({"arch": arch_of(n_outputs=2)}, ValueError, "n_outputs"),
        ({"n_points": 2}, ValueError, "n_points must be at least 3"),
        ({"n_points": 0}, ValueError, "n_points must be at least 1"),
        ({"n_points": 12.5}, TypeError, "n_points must be an integer"),
        ({"target": ar.Target.from_data(LINE, LINE[:, 0], SMOOTH), "n_points": 64}, ValueError, "left out for data"),
        ({"objective": "mse"}, TypeError, "MeanSquare"),
        ({"budget": 0}, ValueError, "budget must be positive"),
        ({"budget": "4"}, TypeError, "budget must be a number"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"memory": 0}, ValueError, "memory must be at least 1"),
        ({"memory": 1e9}, TypeError, "memory must be an integer"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path"),
        ({"checkpoint": ""}, TypeError, "checkpoint must be a path"),
        ({"checkpoint": f"{__file__}/below/a/file"}, ValueError, "in a folder that can be written"),
        ({"checkpoint": "x" * 300}, ValueError, "in a folder that can be written"),
    ],
)
def test_bad_arguments_are_refused_with_the_mend(changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        ar.train(**(GOOD | changes))
    assert "\n" not in str(caught.value)


def test_a_member_may_use_a_plan_of_descriptions():
    plan = resolve_plan([{"stage": "adam", "steps": 3}], arch_of(), BUMP)
    specs = [stage.to_spec() for stage in plan]
    assert (
        fit_members(arch_of(), [(BUMP, 2)], plan=specs).losses == fit_members(arch_of(), [(BUMP, 2)], plan=plan).losses
    )
