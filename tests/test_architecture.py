"""Architectures: counts, the flat layout, specs, templates and what is refused."""

import numpy as np
import pytest

from approxrates import axes
from approxrates.architecture import FixedDepth, FixedWidth, from_spec
from approxrates.axes import axis
from approxrates.layers import IDENTITY, Layer

CASES = [
    FixedWidth(1, 8, 6),
    FixedWidth(1, 1, 1),
    FixedWidth(3, 4, 1, "tanh", n_outputs=2),
    FixedWidth(2, 5, 3, "relu+sin", bias=False),
    FixedDepth(1, 33, 2, "sin:30"),
    FixedDepth(2, 3, 4, "relu2", n_outputs=3, bias=False),
]


@pytest.mark.parametrize("arch", CASES, ids=repr)
def test_n_params_is_the_number_of_scalars_of_the_layers(arch):
    from_shapes = sum(o * i + o * arch.bias for o, i in arch.shapes)
    layers = arch.layers(np.arange(arch.n_params))
    assert arch.n_params == from_shapes == sum(layer.n_params_dense for layer in layers)
    assert len(layers) == len(arch.shapes) == arch.depth + 1


def test_n_params_by_hand():
    assert FixedWidth(dim=1, width=8, depth=8).n_params == 16 + 7 * 72 + 9 == 529
    assert FixedWidth(dim=2, width=3, depth=1, n_outputs=2, bias=False).n_params == 6 + 6


def test_flat_layout_is_row_major_weight_then_bias_of_each_layer():
    arch = FixedWidth(dim=2, width=3, depth=2)
    first, second, last = arch.layers(np.arange(float(arch.n_params)))
    np.testing.assert_array_equal(first.weight, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(first.bias, [6, 7, 8])
    np.testing.assert_array_equal(second.weight[1], [12, 13, 14])
    assert arch.offsets == (0, 9, 21)
    assert arch.slices[2] == (slice(21, 24), slice(24, 25))
    assert (first.activations, last.activations) == (("relu",) * 3, (IDENTITY,))


@pytest.mark.parametrize("arch", CASES, ids=repr)
def test_layers_and_theta_are_inverse(arch):
    theta = np.random.default_rng(0).standard_normal(arch.n_params)
    layers = arch.layers(theta)
    np.testing.assert_array_equal(arch.theta_from_layers(layers), theta)
    layers[0].weight[0, 0] = 7.0
    assert theta[0] != 7.0


def test_theta_from_layers_refuses_other_layers():
    arch = FixedWidth(1, 2, 1)
    with pytest.raises(ValueError, match="layers must have shapes"):
        arch.theta_from_layers(FixedWidth(1, 3, 1).layers(np.zeros(10)))
    bare = (Layer(np.ones((2, 1)), None, ("relu",) * 2), Layer(np.ones((1, 2)), None, (IDENTITY,)))
    with pytest.raises(ValueError, match="all have a bias"):
        arch.theta_from_layers(bare)
    with pytest.raises(ValueError, match=r"theta must have shape \(n_params,\) = \(7,\). Got shape \(6,\)"):
        arch.layers(np.zeros(6))


def test_mixed_layers_carry_the_code_of_each_unit():
    arch = FixedWidth(1, 5, 2, "relu+sin:30")
    layers = arch.layers(np.zeros(arch.n_params))
    assert layers[1].activations == ("relu",) * 3 + ("sin:30",) * 2


@pytest.mark.parametrize("n", [25, 50, 96, 97, 98, 500, 1500])
@pytest.mark.parametrize("options", [{}, {"n_outputs": 3}, {"bias": False}, {"dim": 3}], ids=str)
def test_for_params_is_the_largest_that_fits(n, options):
    options = {"dim": 1} | options
    deep = FixedWidth.for_params(n, width=3, **options)
    assert deep.n_params <= n < FixedWidth(width=3, depth=deep.depth + 1, **options).n_params
    wide = FixedDepth.for_params(n, depth=2, **options)
    assert wide.n_params <= n < FixedDepth(width=wide.width + 1, depth=2, **options).n_params


def test_for_params_refuses_sizes_that_hold_no_network():
    with pytest.raises(ValueError, match=r"n must be at least 25 for width=8. Got n=24"):
        FixedWidth.for_params(24, dim=1, width=8)
    with pytest.raises(ValueError, match=r"n must be at least 4 for depth=1. Got n=3"):
        FixedDepth.for_params(3, dim=1, depth=1)
    with pytest.raises(ValueError, match=r"n must be at least 7 for depth=1. Got n=4"):
        FixedDepth.for_params(4, dim=1, depth=1, activation="relu+sin")
    with pytest.raises(TypeError, match=r"n must be an integer. Got 500.0"):
        FixedWidth.for_params(500.0, dim=1, width=8)


@pytest.mark.parametrize("arch", CASES, ids=repr)
def test_spec_and_architecture_are_inverse(arch):
    assert from_spec(arch.to_spec()) == arch
    assert type(from_spec(arch.to_spec())) is type(arch)


def test_spec_is_canonical():
    assert FixedWidth(1, 8, 6).to_spec() == {
        "kind": "fixed_width",
        "dim": 1,
        "width": 8,
        "depth": 6,
        "activation": "relu",
    }
    assert FixedWidth(1, 8, 6, "sin:30.0").to_spec() == FixedWidth(1, 8, 6, "sin:30").to_spec()
    assert FixedDepth(1, 8, 6, bias=False, n_outputs=2).to_spec() == {
        "kind": "fixed_depth",
        "dim": 1,
        "width": 8,
        "depth": 6,
        "activation": "relu",
        "bias": False,
        "n_outputs": 2,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fixed_size"}, "kind must be one of fixed_width, fixed_depth. Got 'fixed_size'"),
        ({"widht": 8}, "activation, n_outputs, bias, injection, residual, exponent. Got 'widht'"),
        ({"depth": None}, "Missing: depth"),
        ({"activation": "rleu"}, "activation must be one of relu"),
    ],
)
def test_bad_specs_are_refused_naming_what_is_allowed(changes, message):
    spec = {**FixedWidth(1, 8, 6).to_spec(), **changes}
    with pytest.raises(ValueError, match=message):
        from_spec({k: v for k, v in spec.items() if v is not None})


@pytest.mark.parametrize("field", ["dim", "width", "depth", "n_outputs"])
@pytest.mark.parametrize("kind", [FixedWidth, FixedDepth])
def test_counts_must_be_whole_numbers_of_at_least_one(kind, field):
    right = {"dim": 1, "width": 8, "depth": 2}
    for value in (0, -3):
        with pytest.raises(ValueError, match=rf"{field} must be at least 1. Got {field}={value}"):
            kind(**{**right, field: value})
    for value in (2.0, True, "8", None):
        with pytest.raises(TypeError, match=rf"{field} must be an integer. Got {value!r}"):
            kind(**{**right, field: value})


def test_other_fields_are_checked_too():
    with pytest.raises(TypeError, match=r"bias must be True or False. Got 1"):
        FixedWidth(1, 8, 2, bias=1)
    with pytest.raises(TypeError, match="given by its name"):
        FixedWidth(1, 8, 2, activation=len)
    with pytest.raises(ValueError, match=r"width must be at least 2 for the mixed layer relu\+sin. Got width=1"):
        FixedWidth(1, 1, 2, "relu+sin")


def test_a_template_is_checked_when_its_variants_are_made():
    template = FixedWidth(dim=1, width=8, depth=axis(2, 4), activation=axis("relu", "sin"))
    made = axes.variants(template)
    assert [(a.depth, a.activation) for a in made] == [(2, "relu"), (2, "sin"), (4, "relu"), (4, "sin")]
    assert all(type(a) is FixedWidth for a in made)
    with pytest.raises(ValueError, match="holds an axis"):
        _ = template.n_params
    with pytest.raises(ValueError, match=r"depth must be at least 1. Got depth=0"):
        axes.variants(FixedWidth(dim=1, width=8, depth=axis(2, 0)))


@pytest.mark.parametrize("exponent", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_schedule_follows_its_depth_law_within_the_budget(exponent):
    sizes = [400, 1600, 6400, 25600, 102400]
    width, depth = FixedWidth.schedule(n_params=sizes, exponent=exponent, dim=1)
    made = axes.variants(FixedWidth(dim=1, width=width, depth=depth))
    assert len(made) == len(sizes)
    for arch, size in zip(made, sizes, strict=True):
        assert 0.7 * size < arch.n_params <= size
    slope = np.polyfit(np.log(sizes), np.log([a.depth for a in made]), 1)[0]
    assert abs(slope - exponent) < 0.06
    if exponent == 1.0:
        assert {a.width for a in made} == {8}
    if exponent == 0.0:
        assert len({a.depth for a in made}) == 1


def test_schedule_refuses_what_cannot_be():
    with pytest.raises(ValueError, match=r"exponent must lie in \[0, 1\]. Got exponent=1.5"):
        FixedWidth.schedule(n_params=[100], exponent=1.5, dim=1)
    with pytest.raises(ValueError, match="at least one size"):
        FixedWidth.schedule(n_params=[], exponent=1.0, dim=1)
    with pytest.raises(ValueError, match="n must be at least 25"):
        FixedWidth.schedule(n_params=[10, 100], exponent=1.0, dim=1)
