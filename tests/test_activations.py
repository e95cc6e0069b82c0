"""The table of activations: every row against derivatives, pieces, break-points, periods and torch."""

import dataclasses
import doctest
import itertools
import math
import subprocess
import sys
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch

from approxrates import activations
from approxrates.activations import (
    Activation,
    Family,
    InitRule,
    conformance,
    get,
    names,
    piecewise_polynomial,
    register,
)

TABLE = names()
PARAMETRISED = ["sin:30", "snake:2.5", "leaky_relu:0.2"]
SINGLE = TABLE + PARAMETRISED
TRAINABLE = [name for name in SINGLE if get(name).trainable]
MIXED = ["relu+sin", "tanh+sin:30", "relu2+snake"]

# Written out a second time, one number at a time, from the definitions in the literature.
SCALAR = {
    "relu": lambda t: max(t, 0.0),
    "leaky_relu": lambda t: t if t > 0 else 0.01 * t,
    "hard_tanh": lambda t: min(1.0, max(-1.0, t)),
    "abs": math.fabs,
    "relu2": lambda t: max(t, 0.0) ** 2,
    "relu3": lambda t: max(t, 0.0) ** 3,
    "xabsx": lambda t: math.copysign(t * t, t),
    "sin": lambda t: math.sin(2 * math.pi * t),
    "triangle": lambda t: 2 / math.pi * math.asin(math.sin(2 * math.pi * t)),
    "snake": lambda t: t + math.sin(t) ** 2,
    "tanh": math.tanh,
    "gelu": lambda t: t * 0.5 * math.erfc(-t / math.sqrt(2)),
    "silu": lambda t: t / (1 + math.exp(-t)),
    "heaviside": lambda t: float(t >= 0),
    "floor": lambda t: float(math.floor(t)),
    "quadratic_bspline": lambda t: cox_de_boor(2, t),
    "cubic_bspline": lambda t: cox_de_boor(3, t),
}


def cox_de_boor(degree, t):
    """The centred cardinal B-spline by its recursion (de Boor 1978), independent of truncated powers."""

    def spline(k, u):  # of degree k on [0, k + 1]
        if k == 0:
            return float(0 <= u < 1)
        return (u * spline(k - 1, u) + (k + 1 - u) * spline(k - 1, u - 1)) / k

    return spline(degree, t + (degree + 1) / 2)


@pytest.fixture
def table():
    """The table as it was, whatever a test registers."""
    before = dict(activations._TABLE)
    yield
    activations._TABLE.clear()
    activations._TABLE.update(before)


def tensor(n, width, points, dtype=torch.float64, seed=0):
    return 2.0 * torch.randn(n, width, points, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", TABLE)
def test_values_are_those_of_the_definition(name):
    t = np.linspace(-3.3, 3.3, 331) + 1e-3
    np.testing.assert_allclose(get(name)(t), [SCALAR[name](float(u)) for u in t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SINGLE)
def test_every_row_passes_the_checks_asked_of_users(name):
    conformance.check(get(name))


@pytest.mark.parametrize("name", [n for n in TRAINABLE if get(n).family is Family.SMOOTH or "sin" in n or "snake" in n])
def test_derivative_of_smooth_functions_agrees_with_the_complex_step(name):
    analytic = {"tanh": np.tanh, "gelu": lambda z: 0.5 * z * (1 + scipy.special.erf(z / math.sqrt(2)))}
    analytic |= {"silu": lambda z: z / (1 + np.exp(-z)), "sin": lambda z: np.sin(2 * np.pi * z)}
    analytic |= {"sin:30": lambda z: np.sin(30 * z), "snake": lambda z: z + np.sin(z) ** 2}
    analytic |= {"snake:2.5": lambda z: z + np.sin(2.5 * z) ** 2 / 2.5}
    t = np.linspace(-2, 2, 101)
    np.testing.assert_allclose(get(name).derivative(t), analytic[name](t + 1e-30j).imag / 1e-30, rtol=1e-12, atol=1e-12)


SMOOTH_SLOPES = {
    "tanh": lambda z: 1.0 / np.cosh(z) ** 2,
    "gelu": lambda z: 0.5 * (1 + scipy.special.erf(z / math.sqrt(2))) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    "silu": lambda z: 1 / (1 + np.exp(-z)) + z * np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "sin": lambda z: 2 * np.pi * np.cos(2 * np.pi * z),
    "sin:30": lambda z: 30 * np.cos(30 * z),
    "snake": lambda z: 1 + np.sin(2 * z),
    "snake:2.5": lambda z: 1 + np.sin(5 * z),
}


@pytest.mark.parametrize("name", SMOOTH_SLOPES)
def test_second_derivative_of_smooth_functions_agrees_with_the_complex_step(name):
    t = np.linspace(-2, 2, 101)
    wanted = SMOOTH_SLOPES[name](t + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(get(name).second_derivative(t), wanted, rtol=1e-11, atol=1e-11)
    assert get(name).bends


@pytest.mark.parametrize("name", TRAINABLE)
def test_second_derivative_agrees_with_second_differences_of_the_values(name):
    act, h = get(name), 1e-4
    points = conformance.smooth_points(act, 4 * h)
    differences = (act(points + h) - 2 * act(points) + act(points - h)) / h**2
    scale = 1.0 + np.abs(differences).max()
    np.testing.assert_allclose(act.second_derivative(points), differences, rtol=0, atol=3e-6 * scale)
    assert act.bends == (np.abs(differences).max() > 1e-3)
    assert act.curvature is not None or not act.bends


@pytest.mark.parametrize("name", MIXED)
def test_second_derivative_of_mixed_layers_is_that_of_each_half(name):
    z = tensor(2, 5, 16)
    first, second = name.split("+")
    by_hand = torch.cat([get(first).second_derivative(z[:, :3]), get(second).second_derivative(z[:, 3:])], 1)
    assert torch.equal(get(name).second_derivative(z), by_hand)
    assert get(name).bends
    assert not get("relu+abs").bends


@pytest.mark.parametrize("name", ["tanh", "gelu", "cubic_bspline", "xabsx", "snake"])
def test_second_derivative_without_a_formula_comes_from_the_slope(name):
    act = get(name)
    without = dataclasses.replace(act, curvature=None)
    points = conformance.smooth_points(act, 1e-6)
    np.testing.assert_allclose(without.second_derivative(points), act.second_derivative(points), rtol=1e-11, atol=1e-12)
    z = tensor(2, 3, 16).requires_grad_()
    found = without.second_derivative(z)
    torch.testing.assert_close(found, act.second_derivative(z.detach()), rtol=1e-11, atol=1e-12)
    assert not found.requires_grad


def test_a_slope_that_torch_cannot_differentiate_asks_for_the_second_derivative():
    def slope(z, xp):
        z += 0  # torch refuses to change a variable that it differentiates by
        return 1 * z

    stubborn = Activation("stubborn", "smooth", lambda z, xp: z * z / 2, slope)
    with pytest.raises(ValueError, match=r"stubborn cannot be differentiated by torch.*curvature=lambda"):
        stubborn.second_derivative(tensor(1, 2, 16))


@pytest.mark.parametrize("name", TRAINABLE)
def test_derivative_agrees_with_autograd(name):
    points = conformance.smooth_points(get(name), 1e-6)
    z = torch.tensor(points, requires_grad=True)
    (grad,) = torch.autograd.grad(get(name)(z).sum(), z)
    np.testing.assert_allclose(get(name).derivative(points), grad.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", [n for n in SINGLE if get(n).degree is not None])
def test_differences_past_the_degree_vanish_and_those_of_the_degree_do_not(name):
    act = get(name)
    marks = conformance.all_breakpoints(act, 4.0)
    largest = 0.0
    ends = np.unique([-4.0, *marks, 4.0])
    for left, right in itertools.pairwise(ends):
        values = act(np.linspace(left + 1e-9, right - 1e-9, 12))
        assert np.abs(np.diff(values, act.degree + 1)).max() < 1e-7 * max(1.0, np.abs(values).max())
        largest = max(largest, np.abs(np.diff(values, act.degree)).max() if act.degree else np.abs(values).max())
    assert largest > 1e-3


@pytest.mark.parametrize("name", [n for n in SINGLE if get(n).breakpoints])
def test_some_derivative_jumps_at_each_breakpoint_and_nowhere_else(name):
    act = get(name)

    def jump(t):  # leading coefficient differences of the polynomials fitted on either side
        h = 0.05
        left, right = (
            np.polyfit(np.linspace(*side, 6), act(t + np.linspace(*side, 6)), act.degree)
            for side in ((-h, -1e-9), (1e-9, h))
        )
        return np.abs(left - right).max()

    marks = conformance.all_breakpoints(act, 3.0)
    assert min(jump(t) for t in marks) > 0.1
    between = np.linspace(-3, 3, 61) + 0.033
    assert max(jump(t) for t in between if np.abs(t - conformance.all_breakpoints(act, 4.0)).min() > 0.06) < 1e-6


@pytest.mark.parametrize("name", [n for n in SINGLE if get(n).pieces is not None])
def test_exact_values_at_rationals_agree_with_floating_ones(name):
    points = [Fraction(k, 16) for k in range(-60, 61)]
    exact = [float(get(name).exact(t)) for t in points]
    np.testing.assert_allclose(get(name)(np.array([float(t) for t in points])), exact, rtol=1e-14, atol=1e-14)


def test_every_piecewise_polynomial_has_exact_values_and_others_refuse():
    assert all((get(name).degree is not None) == (get(name).pieces is not None) for name in SINGLE)
    with pytest.raises(ValueError, match="tanh has no exact values"):
        get("tanh").exact(Fraction(1))


def test_bsplines_sum_to_one_and_vanish_outside_their_support():
    t = np.linspace(-0.5, 0.5, 41)
    for name, half in (("quadratic_bspline", 1.5), ("cubic_bspline", 2.0)):
        np.testing.assert_allclose(sum(get(name)(t - k) for k in range(-4, 5)), 1.0, rtol=1e-14)
        assert not get(name)(np.array([-half, half, half + 0.1, -9.0])).any()
        assert get(name)(np.array([half - 0.01]))[0] > 0


def test_triangle_wave_is_periodic_piecewise_linear_with_peak_one():
    act = get("triangle")
    assert (act.family, act.piecewise_linear, act.period) == (Family.PERIODIC, True, 1.0)
    np.testing.assert_array_equal(act(np.array([0, 0.25, 0.5, 0.75, 1.0, -0.25])), [0, 1, 0, -1, 0, -1])


def test_sine_with_a_frequency_is_that_sine_and_the_plain_one_has_period_one():
    t = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(get("sin:30")(t), np.sin(30 * t), rtol=1e-14)
    assert get("sin:30").name == "sin:30" == get("sin:30.0").name
    assert get("sin").period == 1.0
    np.testing.assert_array_equal(get("sin")(t * 0 + 2.0**40 + 0.25), 1.0)


def test_families_are_those_of_the_theory():
    families = {name: get(name).family.value for name in TABLE}
    linear = {n for n, f in families.items() if f == "piecewise-linear"}
    assert linear == {"relu", "leaky_relu", "hard_tanh", "abs"}
    assert {n for n, f in families.items() if f == "piecewise-polynomial"} == {
        *("relu2", "relu3", "quadratic_bspline", "cubic_bspline", "xabsx")
    }
    assert {n for n, f in families.items() if f == "periodic"} == {"sin", "triangle", "snake"}
    assert {n for n in TABLE if get(n).piecewise_linear} == linear | {"triangle"}
    assert {n for n in TABLE if not get(n).trainable} == {"heaviside", "floor"}


def test_mixed_layers_take_the_more_expressive_family_and_split_their_units():
    mixed = get("relu+sin")
    assert (mixed.family, mixed.degree, mixed.trainable) == (Family.PERIODIC, None, True)
    assert get("relu+relu2").family is Family.PIECEWISE_POLYNOMIAL
    assert get("relu+relu2").degree == 2
    assert not get("relu+floor").trainable
    assert mixed.units(5) == ("relu", "relu", "relu", "sin", "sin")
    assert get("relu").units(2) == ("relu", "relu")


@pytest.mark.parametrize("name", MIXED)
def test_mixed_layers_apply_each_kind_to_its_half(name):
    z = tensor(2, 5, 16)
    first, second = name.split("+")
    by_hand = torch.cat([get(first)(z[:, :3]), get(second)(z[:, 3:])], 1)
    assert torch.equal(get(name)(z), by_hand)
    np.testing.assert_allclose(get(name)(z.numpy()), by_hand.numpy(), rtol=1e-12, atol=1e-12)
    slopes = torch.cat([get(first).derivative(z[:, :3]), get(second).derivative(z[:, 3:])], 1)
    assert torch.equal(get(name).derivative(z), slopes)


@pytest.mark.parametrize("scratch", [False, True], ids=["scratch=no", "scratch=yes"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", SINGLE + MIXED)
def test_fast_passes_give_the_values_and_the_chain_rule(name, dtype, scratch):
    act = get(name)
    z = tensor(3, 6, 32, dtype)
    kept, out = z.clone(), torch.full_like(z, math.nan)
    act.forward(z, out)
    tolerance = 2e-4 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(out, act(z), rtol=tolerance, atol=tolerance)
    if act.trainable:
        delta = tensor(3, 6, 32, dtype, seed=1)
        wanted = delta * act.derivative(z)
        h = out.clone()
        act.chain(z, h, delta, torch.empty_like(z) if scratch else None)
        torch.testing.assert_close(delta, wanted, rtol=tolerance, atol=10 * tolerance)
        assert torch.equal(h, out)
    assert torch.equal(z, kept)


@pytest.mark.parametrize("name", [n for n in TRAINABLE + MIXED + ["leaky_relu+tanh"] if get(n).in_place])
def test_in_place_activations_need_their_value_only(name):
    z = tensor(2, 6, 16)
    out, delta = torch.empty_like(z), tensor(2, 6, 16, seed=1)
    get(name).forward(z, out)
    wanted = delta.clone()
    get(name).chain(z, out, wanted)
    get(name).forward(z, z)
    get(name).chain(z, z, delta)
    assert torch.equal(z, out)
    assert torch.equal(delta, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", TRAINABLE + MIXED)
def test_an_element_does_not_depend_on_the_batch_bit_for_bit(name, dtype):
    act = get(name)
    for width, points in ((2, 16), (3, 48), (8, 112)):
        z, delta = tensor(7, width, points, dtype), tensor(7, width, points, dtype, seed=1)
        out, chained = torch.empty_like(z), delta.clone()
        act.forward(z, out)
        act.chain(z, out, chained, torch.empty_like(z))
        for i in range(7):
            single, own, one = z[i : i + 1].clone(), torch.empty_like(z[:1]), delta[i : i + 1].clone()
            act.forward(single, own)
            act.chain(single, own, one, torch.empty_like(own))
            assert torch.equal(own[0], out[i])
            assert torch.equal(one[0], chained[i])


@pytest.mark.parametrize("name", SINGLE)
def test_nan_stays_visible(name):
    z = torch.tensor([[[math.nan] * 16]], dtype=torch.float64)
    out = torch.zeros_like(z)
    get(name).forward(z, out)
    if name != "heaviside":
        assert torch.isnan(out).all()
        assert np.isnan(get(name)(z.numpy())).all()


def test_evaluation_on_numpy_does_not_import_torch():
    program = (
        "import sys, numpy as np; from approxrates import activations as a; z = np.linspace(-1, 1, 4);"
        "[a.get(n)(z) for n in a.names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rleu", r"relu, leaky_relu.*Got 'rleu'"),
        ("sin:fast", "parameter of sin must be a number. Got 'fast'"),
        ("sin:-3", "positive frequency. Got -3"),
        ("snake:0", "positive frequency. Got 0"),
        ("leaky_relu:2", "between 0 and 1. Got 2"),
        ("relu:2", "activation must be one of"),
        ("relu+sin+tanh", "two kinds of units"),
        ("relu+", "activation must be one of"),
        ("math:sin", "must be an Activation. Got builtin"),
        ("no_such_module:thing", "could not be imported"),
        ("", "activation must be one of"),
    ],
)
def test_unknown_names_are_refused_with_what_is_known(name, message):
    with pytest.raises(ValueError, match=message):
        get(name)


def test_names_must_be_strings():
    with pytest.raises(TypeError, match="given by its name"):
        get(3)


def test_a_derivative_is_refused_where_there_is_none():
    z = tensor(1, 2, 16)
    for name in ("floor", "heaviside", "relu+floor"):
        with pytest.raises(ValueError, match="has no derivative to train with"):
            get(name).second_derivative(z)
        with pytest.raises(ValueError, match="has no derivative to train with"):
            get(name).derivative(z)
        with pytest.raises(ValueError, match="has no derivative to train with"):
            get(name).chain(z, z, z)


def test_a_registered_activation_works_like_those_of_the_table(table):
    elu = Activation(
        "elu",
        "smooth",
        lambda z, xp: xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0 * z))),
        lambda z, xp: xp.exp(xp.minimum(z, 0 * z)),
        init=InitRule(first_scale=2.0),
    )
    assert register(elu) is get("elu")
    assert "elu" in names()
    assert get("elu+sin").units(2) == ("elu", "sin")
    z = tensor(2, 3, 16)
    out, delta = torch.empty_like(z), torch.ones_like(z)
    elu.forward(z, out)
    elu.chain(z, out, delta)
    torch.testing.assert_close(out, torch.nn.functional.elu(z))
    torch.testing.assert_close(delta, torch.where(z > 0, 1.0, torch.exp(z)))


def test_an_activation_given_by_its_pieces_gets_its_derivative_from_them(table):
    relu4 = register(piecewise_polynomial("relu4", [0], [[0], [0, 0, 0, 0, 1]]))
    t = np.array([-1.0, 0.5, 2.0])
    np.testing.assert_array_equal(relu4(t), [0, 0.0625, 16])
    np.testing.assert_array_equal(relu4.derivative(t), [0, 0.5, 32])
    assert (relu4.degree, relu4.family) == (4, Family.PIECEWISE_POLYNOMIAL)


def test_own_activations_of_a_module_are_found_by_its_name(monkeypatch):
    module = types.ModuleType("my_functions")
    module.ramp = piecewise_polynomial("ramp", [0, 1], [[0], [0, 1], [1]])
    monkeypatch.setitem(sys.modules, "my_functions", module)
    found = get("my_functions:ramp")
    assert found.units(2) == ("my_functions:ramp",) * 2
    np.testing.assert_array_equal(found(np.array([-1.0, 0.5, 7.0])), [0, 0.5, 1])


def cube(**changes):
    """A right description of ``t^3`` broken at 0, with what a test makes wrong."""
    fields = {
        "name": "cube_abs",
        "family": "piecewise-polynomial",
        "function": lambda z, xp: abs(z) ** 3,
        "slope": lambda z, xp: 3 * z * abs(z),
        "degree": 3,
        "breakpoints": (0.0,),
    }
    return Activation(**(fields | changes))


def test_the_unbroken_description_is_accepted(table):
    assert register(cube()).name == "cube_abs"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope": lambda z, xp: 3.1 * z * abs(z)}, "derivative of cube_abs must agree with its values. At t="),
        ({"curvature": lambda z, xp: 6.1 * abs(z)}, "second derivative of cube_abs must agree with its values. At t="),
        ({"curvature": lambda z, xp: 6 * abs(z) + 0 * z / (z - z)}, "second derivative of cube_abs must be finite"),
        ({"degree": 2}, "must be of degree 2 between break-points"),
        ({"degree": 4}, "must have a piece of degree 4"),
        ({"breakpoints": ()}, "must be of degree 3 between break-points"),
        ({"period": 1.0}, "period and drift of cube_abs"),
        ({"function": lambda z, xp: np.abs(z) ** 3 + xp.cumsum(z, 0) * 0.1}, "cube_abs"),
        ({"function": lambda z, xp: abs(z) ** 3 + z.mean()}, "elementwise"),
        ({"function": lambda z, xp: 1 / xp.where(z > 1, 0 * z, 1 + 0 * z)}, "finite numbers"),
        ({"function": lambda z, xp: abs(z) ** 3 + 0 * xp.interp(0, [0], [0])}, "torch tensors too"),
        ({"function": lambda z, xp: xp.where(z > 0, 1 + z**3, -(z**3))}, "just right of a break-point"),
        ({"name": "relu"}, "name must be new. Got 'relu'"),
        ({"name": "identity"}, "name must be new"),
        ({"name": "my+act"}, r"plain identifier. Got 'my\+act'"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_broken_description_is_refused_with_what_is_broken(table, changes, message):
    before = names()
    with pytest.raises(ValueError, match=message):
        register(cube(**changes))
    assert names() == before


def test_registering_twice_is_refused(table):
    register(cube())
    with pytest.raises(ValueError, match="taken"):
        register(cube())
    with pytest.raises(TypeError, match="register needs an Activation"):
        register(lambda z: z)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "wavy"}, "family must be one of"),
        ({"breakpoints": (1.0, 0.0)}, "strictly increasing"),
        ({"period": -1.0}, "period must be a positive number"),
        ({"pieces": ((Fraction(0),),)}, "must have 2 pieces"),
    ],
)
def test_contradictory_fields_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        cube(**changes)


def test_pieces_must_meet_and_init_rules_be_positive():
    with pytest.raises(ValueError, match=r"At 0\.0 they give 1\.0 and 0\.0"):
        piecewise_polynomial("torn", [0], [[1], [0, 1]])
    with pytest.raises(ValueError, match="at least one number"):
        piecewise_polynomial("straight", [], [[0, 1]])
    with pytest.raises(ValueError, match="scales must be positive"):
        InitRule(hidden_scale=0.0)
    with pytest.raises(ValueError, match="pass_through must lie"):
        InitRule(pass_through=1.0)


def test_the_worked_examples_of_the_documentation_run(table):
    page = Path(__file__).parent.parent / "docs" / "activations.md"
    outcome = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert outcome.attempted > 15
    assert outcome.failed == 0


def test_the_documented_table_lists_every_activation():
    page = (Path(__file__).parent.parent / "docs" / "activations.md").read_text(encoding="utf-8")
    assert [name for name in TABLE if f"`{name}`" not in page] == []


def test_pieces_that_are_not_those_of_the_function_are_refused():
    wrong = Activation(
        "wrong_square", Family.PIECEWISE_POLYNOMIAL, lambda z, xp: xp.where(z > 0, z * z, z * 0),
        lambda z, xp: xp.where(z > 0, 2 * z, z * 0), degree=2, breakpoints=(0.0,),
        pieces=((Fraction(0),), (Fraction(0), Fraction(0), Fraction(1, 2))),
    )  # fmt: skip
    with pytest.raises(ValueError, match="value of the pieces"):
        conformance.check(wrong)
