"""The compiled backend: elementary functions to the last place, and equality with the reference, step by step."""

import dataclasses
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates import activations
from approxrates.activations import Activation, Family, piecewise_polynomial
from approxrates.objectives import LpPower, MeanSquare
from approxrates.training import SOAP, Adam, Outcome
from approxrates.training.base import Population, Watch
from approxrates.training.firstorder import Stretch
from approxrates.training.soap import _bordered, _eigenbasis
from tests.passes import (
    DTYPES,
    KINDS,
    NAMES,
    TRAINABLE,
    ensemble_of,
    gradients,
    jacobians,
    layout_of,
    needs_numba,
    rows_of,
)

pytestmark = needs_numba
FLOATS = {"f32": np.float32, "f64": np.float64}
floats = pytest.mark.parametrize("dtype", FLOATS)


def ulps(found, exact, T):
    """Largest distance from exact values, in units of the last place of these."""
    pairs = [(mpmath.mpf(float(f)), x, float(np.spacing(abs(T(float(x)))))) for f, x in zip(found, exact, strict=True)]
    assert all(mpmath.isfinite(f) for f, _, _ in pairs)
    return max(float(abs(f - x)) / place for f, x, place in pairs)


def spread(rng, T, top, n=1500):
    """Numbers of all sizes up to ``top``, of both signs, typed."""
    even, logarithmic = rng.uniform(-top, top, n), top * 10.0 ** rng.uniform(-30, 0, n // 3)
    return np.concatenate([even, logarithmic, -logarithmic, rng.normal(size=n)]).astype(T)


@floats
def test_exponential_and_tanh_are_right_to_a_few_units_in_the_last_place(dtype):
    from approxrates.backends.native import elementary

    T, rng = FLOATS[dtype], np.random.default_rng(0)
    with mpmath.workprec(160):
        for found, exact, top in (
            (elementary.exp, mpmath.exp, 87.0 if dtype == "f32" else 708.0),
            (elementary.tanh, mpmath.tanh, 25.0),
        ):
            x = spread(rng, T, top)
            assert ulps([found(v, T) for v in x], [exact(mpmath.mpf(float(v))) for v in x], T) <= 2.5


@floats
@pytest.mark.parametrize("top", [1.0, 30.0, 1e4, 1e5])
def test_sine_and_cosine_are_right_to_a_few_units_in_the_last_place(top, dtype):
    from approxrates.backends.native import elementary

    T, rng = FLOATS[dtype], np.random.default_rng(1)
    x = spread(rng, T, top, 600)
    with mpmath.workprec(200):
        for pair, factor in ((elementary.sine_cosine, 1), (elementary.sine_cosine_of_turns, 2 * mpmath.pi)):
            found = np.array([pair(v, T) for v in x])
            angle = [factor * mpmath.mpf(float(v)) for v in x]
            sines, cosines = [mpmath.sin(a) for a in angle], [mpmath.cos(a) for a in angle]
            # Near a zero the place of the argument's last digit counts.
            for mine, exact in ((found[:, 0], sines), (found[:, 1], cosines)):
                away = max(float(abs(mpmath.mpf(float(f)) - e)) for f, e in zip(mine, exact, strict=True))
                assert away <= 1.0 * np.finfo(T).eps
            small = np.abs(x) < 0.1
            assert ulps(found[small, 0], [e for e, s in zip(sines, small, strict=True) if s], T) <= 2.5


@floats
def test_elementary_functions_at_the_ends_of_the_range(dtype):
    from approxrates.backends.native import elementary

    T = FLOATS[dtype]
    tiny, huge = np.finfo(T).tiny, np.finfo(T).max
    exp, tanh = (lambda v: float(elementary.exp(T(v), T))), (lambda v: float(elementary.tanh(T(v), T)))
    assert exp(0.0) == exp(-0.0) == exp(tiny) == exp(-tiny) == 1.0
    assert [exp(v) for v in (-1e3, -5e3, -1e20, -huge, -math.inf)] == [0.0] * 5
    assert [exp(v) for v in (1e3, 1e20, huge, math.inf)] == [math.inf] * 4
    assert math.isnan(exp(math.nan))
    assert [tanh(v) for v in (50.0, 1e20, huge, math.inf)] == [1.0] * 4
    assert [tanh(v) for v in (-50.0, -1e20, -huge, -math.inf)] == [-1.0] * 4
    assert math.copysign(1.0, tanh(-0.0)) == -1.0
    assert (tanh(tiny), tanh(-tiny)) == (tiny, -tiny)
    assert math.isnan(tanh(math.nan))
    for waves in (elementary.sine_cosine, elementary.sine_cosine_of_turns):
        assert tuple(map(float, waves(T(0.0), T))) == tuple(map(float, waves(T(-0.0), T))) == (0.0, 1.0)
        for v in (math.nan, math.inf, -math.inf):
            assert np.isnan(waves(T(v), T)).all()
        for v in (1e6, 1e9, 1e20, float(huge), -1e9, -float(huge)):
            assert np.abs(waves(T(v), T)).max() <= 1.0 + np.finfo(T).eps


@floats
def test_turns_of_whole_and_half_numbers_are_exact(dtype):
    from approxrates.backends.native import elementary

    T = FLOATS[dtype]
    for turns in (-3.0, 5.0, 1e6, 2.0**22 + 1, 2.0**23 + 1, 2.0**30, 2.0**53):
        assert tuple(map(float, elementary.sine_cosine_of_turns(T(turns), T))) == (0.0, 1.0)
    for turns, expected in ((0.5, (0, -1)), (-0.5, (0, -1)), (0.25, (1, 0)), (-7.25, (-1, 0)), (0.49999997, (0, -1))):
        found = elementary.sine_cosine_of_turns(T(turns), T)
        assert np.allclose(found, expected, rtol=0, atol=3e-7)


@floats
@pytest.mark.parametrize("name", ["tanh", "sin", "sin:7", "silu", "gelu", "snake:2"])
def test_rows_of_units_hold_the_same_bits_as_single_numbers(name, dtype):
    from approxrates.backends.native import elementary, rows
    from approxrates.backends.native.kinds import kinds_of

    T = FLOATS[dtype]
    kinds = kinds_of(activations.get(name), 3)
    z = np.random.default_rng(3).normal(size=(3, 64)).astype(T) * T(3)
    values, slopes = z.copy(), np.zeros_like(z)
    rows.activate(kinds.kinds, kinds.numbers(z.dtype), kinds.split, values, slopes, True, 3, 64)
    single = {
        "tanh": lambda v: elementary.tanh(v, T),
        "sin": lambda v: elementary.sine_cosine_of_turns(v, T)[0],
    }
    if name in single:
        assert np.array_equal(values, np.array([[single[name](v) for v in row] for row in z], dtype=T))
    activation, exact = activations.get(name), z.astype(np.float64)
    # Of sin(7 t) the argument, up to 70, is itself rounded.
    slack = (100 if name == "sin:7" else 20) * np.finfo(T).eps
    assert np.allclose(values, activation(exact), rtol=0, atol=slack)
    assert np.allclose(slopes, activation.derivative(exact), rtol=0, atol=7 * slack)


@floats
@pytest.mark.parametrize("name", TRAINABLE)
def test_activations_far_from_zero_are_those_of_the_table(name, dtype):
    from approxrates.backends.native import rows
    from approxrates.backends.native.kinds import kinds_of

    T = FLOATS[dtype]
    z = np.array([[s * v for v in (0.0, 0.3, 40.0, 60.0, 90.0, 100.0, 1e3, 5e3) for s in (1, -1)]], dtype=T)
    kinds, activation = kinds_of(activations.get(name), 1), activations.get(name)
    values, slopes = z.copy(), np.zeros_like(z)
    rows.activate(kinds.kinds, kinds.numbers(z.dtype), kinds.split, values, slopes, True, 1, z.shape[1])
    # An argument of 5e3 knows its place to 5e3 eps, and a fast wave may have the slope 2 pi there.
    near = {"rtol": 10 * np.finfo(T).eps, "atol": 1e5 * np.finfo(T).eps}
    inside = z[0] != 0.0
    assert np.allclose(values, activation(z.astype(np.float64)), **near)
    assert np.allclose(slopes[:, inside], activation.derivative(z.astype(np.float64))[:, inside], **near)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_native_is_the_reference_in_double_precision(name, kind):
    layout = layout_of(name, **KINDS[kind])
    rows = rows_of(layout, 3, seed=6)
    mine, other = (ensemble_of(layout, 3, m=288, backend=backend) for backend in ("native", "reference"))
    (loss, gradient), (expected, slope) = gradients(mine, rows), gradients(other, rows)
    assert torch.allclose(loss, expected, rtol=1e-12)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-12 * slope.abs().max().item())
    assert torch.allclose(mine.outputs(rows), other.outputs(rows), rtol=1e-11, atol=1e-12)
    if layout.n_outputs == 1:
        found, wanted = jacobians(mine, rows)[1], jacobians(other, rows)[1]
        assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-12 * wanted.abs().max().item())


@pytest.mark.parametrize("objective", [MeanSquare(), LpPower(4)], ids=str)
@pytest.mark.parametrize("kind", ["plain", "no-bias", "both"])
@pytest.mark.parametrize("name", NAMES)
def test_native_in_single_precision_is_the_reference_in_double(name, kind, objective):
    layout = layout_of(name, **KINDS[kind])
    rows = rows_of(layout, 3, seed=6, scale=0.05 if name == "sin:30" else 0.4, dtype=torch.float32)
    mine = ensemble_of(layout, 3, m=288, dtype=torch.float32, objective=objective, backend="native")
    other = ensemble_of(layout, 3, m=288, objective=objective, backend="reference")
    (loss, gradient), (expected, slope) = gradients(mine, rows), gradients(other, rows.double())
    assert loss.dtype == gradient.dtype == torch.float32
    assert torch.allclose(loss.double(), expected, rtol=3e-5)
    off = (gradient.double() - slope).abs() / slope.abs().amax(1, keepdim=True)
    # One point that rounding moves across a break-point changes a gradient by the weight of a point.
    assert off.median() < 1e-5
    assert off.max() < 2e-2


@pytest.mark.parametrize("m", [32, 64, 224, 256, 320, 1056])
@pytest.mark.parametrize("width", [1, 3, 4, 31, 70])
def test_blocks_of_points_and_rests_of_tiles_leave_nothing_out(width, m):
    layout = layout_of("tanh", dim=2, width=width, depth=2, injection=True)
    rows = rows_of(layout, 2, scale=0.4)
    mine, other = (ensemble_of(layout, 2, m=m, backend=backend) for backend in ("native", "reference"))
    (loss, gradient), (expected, slope) = gradients(mine, rows), gradients(other, rows)
    assert torch.allclose(loss, expected, rtol=1e-12)
    assert torch.allclose(gradient, slope, rtol=1e-9, atol=1e-13)
    assert torch.allclose(jacobians(mine, rows)[1], jacobians(other, rows)[1], rtol=1e-9, atol=1e-13)


PIECED = [name for name in TRAINABLE if activations.get(name).pieces is not None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PIECED)
def test_coefficients_of_the_pieces_serve_as_well_as_loops_of_their_own(name, dtype, monkeypatch):
    from approxrates.backends.native import kinds

    layout = layout_of(name, dim=2, injection=True)
    rows = rows_of(layout, 3, dtype=DTYPES[dtype])
    own = ensemble_of(layout, 3, dtype=DTYPES[dtype], backend="native")
    monkeypatch.setattr(kinds, "_PLAIN", {})
    monkeypatch.setattr(kinds, "_WITH_NUMBER", {})
    generic = ensemble_of(layout, 3, dtype=DTYPES[dtype], backend="native")
    assert generic.passes.units[0].tolist() == [kinds.PIECES] * 2 != own.passes.units[0].tolist()
    (loss, gradient), (expected, slope) = gradients(generic, rows), gradients(own, rows)
    rtol = 1e-4 if dtype == "f32" else 1e-11
    assert torch.allclose(loss, expected, rtol=rtol)
    assert torch.allclose(gradient, slope, rtol=rtol, atol=rtol * slope.abs().max().item())


def _stairs(z, xp):
    turns = xp.floor(z)
    t = z - turns
    return turns + 2.0 * t - t * t


STAIRS = Activation(
    "stairs",
    Family.PERIODIC,
    _stairs,
    lambda z, xp: 2.0 - 2.0 * (z - xp.floor(z)),
    degree=2,
    breakpoints=(0.0,),
    period=1.0,
    drift=1.0,
    pieces=((Fraction(0), Fraction(2), Fraction(-1)),),
)
BENT = piecewise_polynomial("bent", [-0.5, 0.25], [[0, -1], [0.25, -0.5], [0.125, 0, 0, 0, 0, 0]])
QUARTIC = piecewise_polynomial("quartic", [0.0], [[0], [0, 0, 0, 0, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [STAIRS, BENT, QUARTIC], ids=lambda a: a.name)
def test_activations_of_users_are_compiled_from_their_pieces(activation, dtype):
    layout = layout_of(activation=activation, dim=2, residual=True)
    rows = rows_of(layout, 3, scale=0.6)
    other = ensemble_of(layout, 3, m=288, backend="reference")
    mine = ensemble_of(layout, 3, m=288, dtype=DTYPES[dtype], backend="native")
    (loss, gradient), (expected, slope) = gradients(mine, rows.to(DTYPES[dtype])), gradients(other, rows)
    rtol = 1e-4 if dtype == "f32" else 1e-11
    assert torch.allclose(loss.double(), expected, rtol=rtol)
    off = (gradient.double() - slope).abs() / slope.abs().amax(1, keepdim=True)
    assert off.median() < rtol
    assert off.max() < (2e-2 if dtype == "f32" else 1e-10)


def test_a_registered_activation_is_trained_natively(monkeypatch):
    monkeypatch.setattr(activations, "_TABLE", dict(activations._TABLE))
    activations.register(QUARTIC)
    activations.register(Activation("wavy", Family.SMOOTH, lambda z, xp: z + xp.sin(z), lambda z, xp: 1.0 + xp.cos(z)))
    target = ar.load_target("analytic")
    arch = ar.FixedWidth(dim=1, width=4, depth=2, activation="quartic")
    one, other = (ar.train(arch, target, plan=[Adam(steps=20)], backend=backend) for backend in ("native", "reference"))
    assert one.losses == pytest.approx(other.losses, rel=1e-9)
    with pytest.raises(ValueError, match="the activation wavy has no compiled form"):
        ar.train(ar.FixedWidth(dim=1, width=4, depth=2, activation="wavy"), target, backend="native")


def scattered(arrays, rng):
    """Copies of arrays in one stretch of memory, in random order with random gaps."""
    arena = np.zeros(sum(a.nbytes for a in arrays) + 8192 * len(arrays), dtype=np.uint8)
    at, copies = -arena.ctypes.data % 64, [None] * len(arrays)
    for i in rng.permutation(len(arrays)):
        at += 16 * int(rng.choice([0, 1, 2, 3, 4, 8, 64, 256]))
        copies[i] = arena[at : at + arrays[i].nbytes].view(arrays[i].dtype).reshape(arrays[i].shape)
        copies[i][...] = arrays[i]
        at += -(-arrays[i].nbytes // 16) * 16
    return copies


@floats
@pytest.mark.parametrize("objective", [MeanSquare(), LpPower(4)], ids=str)
@pytest.mark.parametrize("name", ["relu+sin", "tanh", "gelu", "quadratic_bspline"])
def test_results_do_not_depend_on_where_the_numbers_lie_in_memory(name, objective, dtype):
    # Loops that write and add up at once are compiled with and without vector instructions; addresses decide.
    layout, rng = layout_of(name, width=8, injection=True, residual=True), np.random.default_rng(4)
    ensemble = ensemble_of(layout, 3, m=96, dtype=DTYPES[dtype], objective=objective, backend="native")
    passes, rows, found = ensemble.passes, rows_of(layout, 3, dtype=DTYPES[dtype]).numpy(), set()
    blank = [np.zeros_like(rows), np.zeros((3, layout.stride, 96), rows.dtype)]
    given = [*passes.buffers, passes.points, passes.values, passes.weights, rows, *blank]
    for _ in range(25):
        *passes.buffers, passes.points, passes.values, passes.weights, theta, gradient, jacobian = scattered(given, rng)
        passes.buffers = tuple(passes.buffers)
        theta, gradient, jacobian = map(torch.from_numpy, (theta, gradient, jacobian))
        loss, outputs = ensemble.value_and_gradient(theta, gradient), ensemble.jacobian(theta, jacobian)
        found.add(tuple(part.numpy().tobytes() for part in (loss, gradient, outputs, jacobian)))
    assert len(found) == 1


@floats
@pytest.mark.parametrize("kind", ["plain", "no-bias"])
def test_steps_do_not_depend_on_where_the_numbers_lie_in_memory(kind, dtype):
    layout, rng = layout_of("relu", **KINDS[kind]), np.random.default_rng(4)
    ensemble = ensemble_of(layout, 2, m=96, dtype=DTYPES[dtype], backend="native")
    passes, rows, found = ensemble.passes, rows_of(layout, 2, dtype=DTYPES[dtype]), set()
    rule = SOAP(steps=10).rule(rows, layout)
    state = after_some_steps(rule, layout, seed=8)
    names = ("first", "second", "left", "right", "left_basis", "right_basis", "rotated")
    sets, rates, epsilons = np.zeros(3, dtype=np.int64), np.full((2, 3), 1e-3), np.full(3, 1e-8)
    for _ in range(25):
        memory = [rows.numpy(), *passes.buffers, *(state[name].numpy() for name in names)]
        theta, *rest = scattered(memory, rng)
        passes.buffers, arrays = tuple(rest[:5]), [torch.from_numpy(a) for a in (theta, *rest[5:])]
        passes.adam_steps(*arrays[:1], arrays[1:3], sets, rates, epsilons, (0.9, 0.95))
        hidden = (rule.n_layers, rule.begin, *rule.size)
        passes.soap_steps(arrays[0], arrays[1:3], sets, rates, epsilons, (0.9, 0.95), 0.95, hidden, arrays[3:])
        found.add(tuple(a.numpy().tobytes() for a in arrays))
    assert len(found) == 1


@pytest.mark.parametrize("broyden", [0, 60], ids=["bfgs", "broyden"])
def test_directions_do_not_depend_on_where_the_numbers_lie_in_memory(broyden):
    from approxrates.backends.native.dense import turn, turn_by_pairs

    rng, size, found, others = np.random.default_rng(9), 64, set(), set()
    factors = np.eye(size) + 0.05 * rng.normal(size=(2, size, size))
    start, before = rng.normal(size=(2, 2, size))
    end, after = start + 0.1 * rng.normal(size=start.shape), before + 0.2 * rng.normal(size=start.shape)
    after += 0.5 * (end - start)
    blank, lengths = np.zeros((2, size)), np.array([1.0, 0.5])
    images = np.stack([f.T @ g for f, g in zip(factors, before, strict=True)])
    pairs = rng.normal(size=(2, 2, 5, size))
    for _ in range(40):
        known, rows, counts = np.ones(2, dtype=np.bool_), np.arange(2), np.full(2, 7)
        f, g, *moves, scratch = scattered([factors, images, start, end, before, after, blank, np.zeros((4, size))], rng)
        turn(f, g, known, rows, rows, *moves, lengths, scratch, broyden)
        found.add((f.tobytes(), g.tobytes(), moves[-1].tobytes()))
        s, y, *moves, products = scattered([*pairs, start, end, before, after, blank, np.ones((2, 5))], rng)
        turn_by_pairs(s, y, products, counts, rows, rows, *moves, np.zeros(5))
        others.add((s.tobytes(), products.tobytes(), moves[-1].tobytes()))
    assert (len(found), len(others)) == (1, 1)


def run(stage, layout, theta, *, backend, dtype, n=4):
    """A stage from given parameters on the ensemble of these tests."""
    ensemble = ensemble_of(layout, n, dtype=DTYPES[dtype], n_targets=1, backend=backend)
    assert ensemble.backend == backend
    people = Population(theta.clone(), range(n))
    watch = Watch(people, range(n), stage.name, stage.steps, None)
    watch.record(theta.to(DTYPES[dtype]), ensemble.value(theta.to(DTYPES[dtype])), 0)
    descent = stage.begin(ensemble, theta.to(DTYPES[dtype]).clone(), watch)
    while descent.advance():
        pass
    return people, descent.theta


# A large epsilon keeps the steps from being decided by the rounding of gradients that are nearly zero.
CALM = {"learning_rate": (3e-3, 1e-3), "warm_up": 5, "epsilon": 1e-3}
STEPS = {
    "adam": Adam(steps=30, **CALM),
    "adam-60": Adam(steps=60, swap=2, cosine=False, **CALM),
    "soap": SOAP(steps=30, refresh=20, **CALM),
    "soap-refresh-1": SOAP(steps=30, refresh=1, **CALM),
    "soap-refresh-7": SOAP(steps=33, refresh=7, **CALM),
    "soap-long-stretches": SOAP(steps=47, refresh=2, **CALM),
}


@pytest.mark.parametrize("stage", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("kind", ["plain", "no-bias", "both", "shallow"])
def test_compiled_adam_is_that_of_the_reference_and_soap_of_a_shallow_network_too(kind, stage):
    if kind != "shallow" and isinstance(stage, SOAP):
        # The first gradients have fewer eigenvectors than the basis: rounding decides on the others. See below.
        stage = dataclasses.replace(stage, steps=1, warm_up=0, learning_rate=3e-2)
    layout = layout_of("tanh", **KINDS[kind])
    theta = rows_of(layout, 4)
    (one, end), (other, expected) = (run(stage, layout, theta, backend=b, dtype="f64") for b in ("native", "reference"))
    assert (end - theta).abs().max() > 1e-2
    assert torch.allclose(end, expected, rtol=1e-6, atol=1e-8)
    assert one.loss.tolist() == pytest.approx(other.loss.tolist(), rel=1e-7)
    assert not end[:, layout.n_params :].any()


def after_some_steps(rule, layout, seed):
    """The memory of SOAP amid a fit, whose averages have no small eigenvalues: well-conditioned, unlike at the start."""
    rng, state = np.random.default_rng(seed), rule.state()
    (rows, columns), batch = rule.size, len(rule.left)

    def average(size):
        factor = torch.from_numpy(rng.normal(size=(batch, size, size))).to(rule.left)
        return factor @ factor.mT + 4.0 * torch.eye(size).to(factor)

    for name, size in (("left", rows), ("right", columns)):
        state[name] = state[name].clone()
        state[name][:, :size, :size] = average(size)
        state[f"{name}_basis"] = _eigenbasis(_bordered(state[name], size))
    for name, scale in (("first", 0.1), ("second", 1.0)):
        drawn = torch.from_numpy(rng.uniform(0.5, 1.0, size=state[name].shape) * scale).to(state[name])
        state[name] = drawn * (torch.arange(drawn.shape[1]) < layout.n_params)
    state["rotated"] = torch.from_numpy(rng.uniform(0.5, 1.0, size=state["rotated"].shape)).to(rule.left)
    state["rotated"][:, rows:] = 0.0
    state["rotated"][:, :, columns:] = 0.0
    return state


def soap_steps(layout, theta, *, refresh, backend, dtype, steps=33):
    """Parameters and memory after stretches of SOAP from amid a fit."""
    ensemble = ensemble_of(layout, len(theta), dtype=DTYPES[dtype], backend=backend)
    theta = theta.to(DTYPES[dtype], copy=True)
    rule = SOAP(steps=100, refresh=refresh, epsilon=1e-3).rule(theta, layout)
    rule.restore(after_some_steps(rule, layout, seed=8))
    begun = 3
    for length in (1, 2, steps - 10, 7):
        rates = np.outer(np.linspace(1e-3, 4e-3, len(theta)), np.linspace(1.0, 0.5, length))
        rule.advance(ensemble, theta, Stretch(begun, np.arange(length) % 2, rates))
        begun += length
    return theta, rule


@pytest.mark.parametrize("refresh", [1, 2, 7, 20, 100])
@pytest.mark.parametrize("kind", ["plain", "no-bias", "both", "both-no-bias"])
def test_compiled_soap_is_that_of_the_reference_across_turns_of_the_basis(kind, refresh):
    layout = layout_of("tanh", **KINDS[kind])
    theta = rows_of(layout, 4)
    (end, rule), (expected, other) = (
        soap_steps(layout, theta, refresh=refresh, backend=backend, dtype="f64") for backend in ("native", "reference")
    )
    assert (end - theta).abs().max() > 1e-2
    assert torch.allclose(end, expected, rtol=0, atol=1e-9)
    for name, value in other.state().items():
        assert torch.allclose(rule.state()[name], value, rtol=0, atol=1e-7), name


def test_compiled_steps_in_single_precision_stay_near_those_in_double():
    layout = layout_of("tanh", width=6, depth=3)
    theta = rows_of(layout, 4)
    _, end = run(STEPS["adam"], layout, theta, backend="native", dtype="f32")
    _, expected = run(STEPS["adam"], layout, theta, backend="reference", dtype="f64")
    assert torch.allclose(end.double(), expected, rtol=0, atol=1e-4)
    end, _ = soap_steps(layout, theta, refresh=7, backend="native", dtype="f32")
    expected, _ = soap_steps(layout, theta, refresh=7, backend="reference", dtype="f64")
    assert torch.allclose(end.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Adam, SOAP])
def test_replicas_that_break_down_are_taken_out_and_the_others_notice_nothing(kind, dtype):
    layout = layout_of("relu", width=6, depth=3)
    theta = rows_of(layout, 4)
    stage = kind(steps=40, learning_rate=(1e-3, 1e30, 1e-3, 1e6), warm_up=0)
    people, end = run(stage, layout, theta, backend="native", dtype=dtype)
    assert [outcome.failed for outcome in people.outcomes] == [False, True, False, True]
    assert Outcome.NON_FINITE in people.outcomes or Outcome.DIVERGED in people.outcomes
    assert people.steps[1] < people.steps[0] == 40
    calm = kind(steps=40, learning_rate=1e-3, warm_up=0)
    alone, expected = run(calm, layout, theta, backend="native", dtype=dtype)
    assert torch.equal(end, expected[[0, 2]])
    assert torch.equal(people.theta[[0, 2]], alone.theta[[0, 2]])


def test_compiled_loops_go_when_a_source_that_went_into_them_changes(tmp_path):
    from approxrates.backends.native.stale import digests, drop_stale

    sources, folder = tmp_path / "native", tmp_path / "cache"
    for place in (sources, folder):
        place.mkdir()
    texts = {
        "waves": "x = 1\n",
        "rows": "from package.native.waves import x\n",
        "calls": "from package.native import rows\n",
    }
    for name, text in (texts | {"apart": ""}).items():
        (sources / f"{name}.py").write_text(text)

    def kept():
        return sorted(path.name for path in folder.glob("*.nb[ic]"))

    def compiled():
        for name in (*texts, "apart", "gone"):
            (folder / f"{name}.loop-3.py311.nbi").touch()
            (folder / f"{name}.loop-3.py311.1.nbc").touch()

    compiled()
    assert len(drop_stale(folder, sources)) == 10
    assert (drop_stale(folder, sources), kept()) == ([], [])
    compiled()
    assert drop_stale(folder, sources) == []
    before = digests(sources)
    (sources / "waves.py").write_text("x = 2\n")
    assert {name for name, digest in digests(sources).items() if digest != before[name]} == set(texts)
    drop_stale(folder, sources)
    assert kept() == ["apart.loop-3.py311.1.nbc", "apart.loop-3.py311.nbi"]
    (folder / "sources.json").write_text("{")
    assert len(drop_stale(folder, sources)) == 2
