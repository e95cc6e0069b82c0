"""Input injection and residual sums: trained parameters as chains of layers, against the definition."""

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors import safe_open

import approxrates as ar
from approxrates.activations import get
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.errors import approximation_error
from approxrates.layers import Layer, sparse
from approxrates.network import Network
from approxrates.plots.channels import columns_of
from approxrates.training.points import sample
from tests.oracles import RATIONAL

SKIPS = [{"injection": True}, {"residual": True}, {"injection": True, "residual": True}]
skips = pytest.mark.parametrize("skip", SKIPS, ids=lambda s: "+".join(s))
NAMES = ["relu", "tanh", "sin", "relu2", "relu+sin"]
SQUARE = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0])


def definition(arch, theta, points):
    """Outputs at points ``(n, dim)``, read off the definition: parameters taken one layer after the other."""
    act, x, rest = get(arch.activation), points.T, theta

    def take(n_out, n_in):
        nonlocal rest
        weight, rest = rest[: n_out * n_in].reshape(n_out, n_in), rest[n_out * n_in :]
        bias, rest = (rest[:n_out], rest[n_out:]) if arch.bias else (np.zeros(n_out), rest)
        return weight, bias[:, None]

    weight, bias = take(arch.width, arch.dim)
    h = act(weight @ x + bias)
    for index in range(1, arch.depth + 1):
        read = np.vstack([h, x]) if arch.injection else h
        weight, bias = take(arch.width if index < arch.depth else arch.n_outputs, len(read))
        z = weight @ read + bias
        if index == arch.depth:
            break
        h = h + act(z) if arch.residual else act(z)
    assert rest.size == 0
    return z.T


def rational(arch, theta, point):
    """The one output at a rational point in exact arithmetic, unit by unit, and all pre-activations of hidden units."""
    codes, rest, x, bent = get(arch.activation).units(arch.width), [Fraction(float(t)) for t in theta], list(point), []

    def affine(n_out, read):
        nonlocal rest
        rows = [[rest[i * len(read) + j] for j in range(len(read))] for i in range(n_out)]
        rest = rest[n_out * len(read) :]
        bias, rest = (rest[:n_out], rest[n_out:]) if arch.bias else ([Fraction(0)] * n_out, rest)
        return [sum((w * r for w, r in zip(row, read, strict=True)), b) for row, b in zip(rows, bias, strict=True)]

    h = None
    for index in range(arch.depth):
        read = x if h is None else h + (x if arch.injection else [])
        z = affine(arch.width, read)
        values = [RATIONAL[code](t) for code, t in zip(codes, z, strict=True)]
        h = [a + b for a, b in zip(h, values, strict=True)] if arch.residual and index else values
        bent.append(z)
    return affine(1, h + (x if arch.injection else []))[0], bent


def linear_pieces(arch, theta):
    """Break-points of a ReLU network on [0, 1] as rationals: between them each unit keeps its sign."""
    points = [Fraction(0), Fraction(1)]
    for layer in range(arch.depth):
        known = {t: rational(arch, theta, [t])[1][layer] for t in points}
        cuts = set(points)
        for a, b in itertools.pairwise(points):
            cuts |= {
                a + (b - a) * z_a / (z_a - z_b) for z_a, z_b in zip(known[a], known[b], strict=True) if z_a * z_b < 0
            }
        points = sorted(cuts)
    return points


def drawn(arch, seed=5):
    theta = arch.initialise([seed])[0]
    return theta, Network(arch.layers(theta))


@skips
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_what_the_definition_says(name, dim, skip):
    x = np.random.default_rng(dim).random((40, dim))
    for depth, bias, n_outputs in itertools.product((1, 2, 3, 7), (True, False), (1, 2)):
        arch = FixedWidth(dim, 5, depth, name, n_outputs, bias, **skip)
        theta, network = drawn(arch)
        wanted = definition(arch, theta, x)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(network(x).reshape(wanted.shape), wanted, rtol=0, atol=1e-13 * scale)
        with torch.no_grad():
            of_torch = network.to_torch()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(of_torch, wanted, rtol=0, atol=1e-13 * scale)


@skips
@pytest.mark.parametrize("name", ["relu", "relu2", "leaky_relu", "hard_tanh"])
def test_exact_arithmetic_gives_the_rational_number_of_the_definition(name, skip):
    arch = FixedWidth(2, 3, 3, name, **skip)
    theta, network = drawn(arch)
    points = np.random.default_rng(0).random((3, 2))
    wanted = [rational(arch, theta, [Fraction(float(c)) for c in p])[0] for p in points]
    assert network(points, "exact") == wanted
    np.testing.assert_allclose(network(points), [float(v) for v in wanted], rtol=1e-12)
    carried = Network(tuple(sparse(layer) for layer in network.layers))
    assert carried(points, "exact") == wanted
    np.testing.assert_allclose(carried(points), [float(v) for v in wanted], rtol=1e-12)


@skips
@pytest.mark.parametrize("name", ["tanh", "sin", "gelu", "relu+sin"])
def test_balls_hold_the_values_of_the_definition(name, skip):
    arch = FixedWidth(1, 4, 4, name, **skip)
    theta, network = drawn(arch)
    x = np.linspace(0.0, 1.0, 9)
    values, radii = network(x, "ball")
    wanted = definition(arch, theta, x[:, None])[:, 0]
    assert np.all(radii < 1e-12)
    assert np.abs(values - wanted).max() < 1e-12 * max(1.0, np.abs(wanted).max())


@skips
@pytest.mark.parametrize(
    "arch", [FixedWidth(1, 5, 4), FixedWidth(2, 3, 1, n_outputs=2), FixedDepth(2, 4, 3, bias=False)]
)
def test_only_what_is_trained_is_counted(arch, skip):
    arch = type(arch)(arch.dim, arch.width, arch.depth, "tanh", arch.n_outputs, arch.bias, **skip)
    theta, network = drawn(arch)
    inputs = arch.dim if arch.injection else 0
    by_hand = arch.width * (arch.dim + arch.bias)
    by_hand += (arch.depth - 1) * arch.width * (arch.width + inputs + arch.bias)
    by_hand += arch.n_outputs * (arch.width + inputs + arch.bias)
    assert network.n_params == arch.n_params == len(theta) == by_hand
    assert (network.width, network.depth) == (arch.width, arch.depth)
    np.testing.assert_array_equal(np.concatenate([layer.parameters() for layer in network.layers]), theta)
    assert network.n_params_dense == sum(w.weight.size + (0 if w.bias is None else w.bias.size) for w in network.layers)
    assert sum(network.parts.values()) == network.n_params
    # What is not counted are ones and second copies, and nothing else is left out.
    for layer in network.layers:
        uncounted = layer.weight[~layer.used] if layer.weight_mask is not None else np.zeros(0)
        assert not uncounted.any()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_chain_is_as_narrow_as_can_be(depth):
    widths = {
        (): [4] * depth,
        ("injection",): [4 + 2] * depth,
        ("residual",): [4] + [8] * (depth - 1),
        ("injection", "residual"): [6] + [10] * (depth - 1),
    }
    for names, wanted in widths.items():
        arch = FixedWidth(2, 4, depth, **dict.fromkeys(names, True))
        network = Network(arch.layers(np.ones(arch.n_params)))
        assert [layer.n_out for layer in network.layers[:-1]] == wanted
        assert network.n_skips == sum(wanted) - 4 * depth


@skips
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_layers_and_theta_are_inverse(depth, skip):
    for dim, bias in itertools.product((1, 3), (True, False)):
        arch = FixedWidth(dim, 4, depth, "relu+sin", 2, bias, **skip)
        theta = np.random.default_rng(0).standard_normal(arch.n_params)
        np.testing.assert_array_equal(arch.theta_from_layers(arch.layers(theta)), theta)


def test_theta_from_layers_refuses_other_wiring():
    arch = FixedWidth(1, 2, 3, residual=True, injection=True)
    layers = list(arch.layers(np.arange(1.0, arch.n_params + 1)))
    weight = layers[2].weight.copy()
    weight[0, 2] += 1.0  # no longer a copy of the entry that reads the first term of the sum
    broken = Layer(
        weight, layers[2].bias, layers[2].activations, layers[2].weight_mask, layers[2].bias_mask, layers[2].wiring
    )
    with pytest.raises(ValueError, match="layer 2 must carry on what later layers read"):
        arch.theta_from_layers([*layers[:2], broken, layers[3]])
    with pytest.raises(ValueError, match="layers must have shapes"):
        arch.theta_from_layers(FixedWidth(1, 2, 3, residual=True).layers(np.ones(19)))


def test_wiring_of_a_layer_is_checked():
    one, none = np.ones((1, 1)), np.zeros((1, 1), dtype=bool)
    with pytest.raises(ValueError, match="wiring must have the shape of weight"):
        Layer(one, None, ("relu",), none, None, np.ones((2, 1), dtype=bool))
    with pytest.raises(ValueError, match="wiring must lie outside weight_mask"):
        Layer(one, None, ("relu",), None, None, ~none)
    with pytest.raises(ValueError, match="wiring must lie outside weight_mask"):
        Layer(one, None, ("relu",), ~none, None, ~none)
    with pytest.raises(ValueError, match="weight must be zero outside its mask"):
        Layer(one, None, ("relu",), none, None, none)
    assert Layer(one, None, ("relu",), none, None, ~none).n_params == 0


def test_residual_sums_do_nothing_before_the_second_hidden_layer():
    theta = np.random.default_rng(0).standard_normal(13)
    plain, residual = FixedWidth(1, 4, 1), FixedWidth(1, 4, 1, residual=True)
    for a, b in zip(plain.layers(theta), residual.layers(theta), strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        assert a.activations == b.activations


def test_silent_layers_of_a_residual_network_hand_on_what_they_read():
    shallow, deep = FixedWidth(1, 4, 1), FixedWidth(1, 4, 6, residual=True)
    theta = shallow.initialise([2])[0]
    longer = np.concatenate([theta[:8], np.zeros(5 * 20), theta[8:]])
    x = np.linspace(0.0, 1.0, 33)
    np.testing.assert_array_equal(Network(deep.layers(longer))(x), Network(shallow.layers(theta))(x))


@skips
@pytest.mark.parametrize("name", ["relu", "relu+sin"])
def test_files_keep_the_wiring(name, skip, tmp_path):
    arch = FixedWidth(2, 3, 3, name, **skip)
    theta, network = drawn(arch)
    network.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(arch.theta_from_layers(again.layers), theta)
    assert (again.n_params, again.width, again.labels) == (network.n_params, network.width, network.labels)
    with safe_open(tmp_path / "net.safetensors", framework="numpy") as file:
        assert file.metadata()["version"] == "3"


def test_files_of_plain_networks_stay_as_they_were(tmp_path):
    drawn(FixedWidth(2, 3, 3))[1].save(tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="numpy") as file:
        assert file.metadata()["version"] == "1"
        assert sorted(file.keys()) == [f"{i}.{part}" for i in range(4) for part in ("bias", "weight")]


@skips
def test_pieces_and_the_sup_error_of_relu_networks_are_proven(skip):
    for depth, seed in itertools.product((1, 2, 4), range(2)):
        arch = FixedWidth(1, 3, depth, **skip)
        # Starting weights bend at design points, an end of the interval among them: moved off, no piece is a sliver.
        theta = drawn(arch, seed)[0] + 0.05 * np.random.default_rng(seed).standard_normal(arch.n_params)
        network = Network(arch.layers(theta))
        points = linear_pieces(arch, theta)
        values = [rational(arch, theta, [t])[0] for t in points]
        sup = Fraction(0)
        for (a, b), (g_a, g_b) in zip(itertools.pairwise(points), itertools.pairwise(values), strict=True):
            slope = (g_b - g_a) / (b - a)
            sup = max([sup, *(abs(t * t - g_a - slope * (t - a)) for t in (a, b, slope / 2) if a <= t <= b)])
        error = approximation_error(network, SQUARE)
        assert error.method == "break-points"
        assert error.certified
        assert Fraction(error.sup[0]) <= sup <= Fraction(error.sup[1])
        assert error.sup[1] - error.sup[0] < 1e-3 * error.sup[1]
        slopes = [
            (v - u) / (b - a)
            for (a, b), (u, v) in zip(itertools.pairwise(points), itertools.pairwise(values), strict=True)
        ]
        assert error.pieces == 1 + sum(a != b for a, b in itertools.pairwise(slopes))


@skips
@pytest.mark.parametrize(
    ("name", "dim"), [("tanh", 1), ("sin", 1), ("relu2", 1), ("relu+sin", 1), ("relu", 2), ("tanh", 2)]
)
def test_branch_and_bound_encloses_the_sup_error(name, dim, skip):
    arch = FixedWidth(dim, 3, 2, name, **skip)
    theta, network = drawn(arch)
    target = ar.load_target("analytic", dim=dim)
    error = approximation_error(network, target, gap=0.2, budget=60_000)
    assert error.certified
    assert error.method == "branch-and-bound"
    x = np.random.default_rng(1).random((4000, dim))
    measured = np.abs(definition(arch, theta, x)[:, 0] - target(x)).max()
    at = np.array([error.where])
    assert measured <= error.sup[1]
    assert abs(definition(arch, theta, at)[0, 0] - target(at)[0]) >= error.sup[0] * (1 - 1e-9)
    assert error.sup[1] <= 1.3 * max(error.sup[0], measured)


@skips
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_what_is_trained_is_what_the_network_computes(name, skip):
    arch = FixedWidth(1, 5, 3, name, **skip)
    target = ar.load_target("takagi", smoothness=0.75, dim=1)
    fit = ar.train(arch, target, replicas=2, plan=[ar.Adam(steps=80)])
    shorter = ar.train(arch, target, replicas=2, plan=[ar.Adam(steps=8)])
    full = sample(arch, target, ar.MeanSquare(), None)
    x, weights = full.points[-1].T, full.weights[-1, 0]
    for network, loss in zip(fit.networks, fit.losses, strict=True):
        theta = arch.theta_from_layers(network.layers)
        assert weights @ (definition(arch, theta, x)[:, 0] - target(x)) ** 2 == pytest.approx(loss, rel=1e-9)
        assert network.provenance["architecture"] == arch.to_spec()
    assert np.all(fit.losses < shorter.losses)


@skips
def test_skips_are_told_and_drawn(skip):
    network = drawn(FixedWidth(1, 4, 3, **skip))[1]
    assert f"{network.n_skips} units of skip connections" in network.describe()
    assert json.dumps(network.parts) == json.dumps(
        {"hidden": network.parts["hidden"], "output": network.parts["output"]}
    )
    assert sum(label == "skip carry" for labels in network.labels for label in labels) == network.n_skips
    columns = columns_of(network)
    skipping = [[channel for channel in column if channel.part == "skip"] for column in columns[1:-1]]
    inputs = 1 if "injection" in skip else 0
    sums = 4 if "residual" in skip else 0
    assert [len(own) for own in skipping] == [inputs, inputs + sums, inputs + sums]
    if inputs:
        assert all(sum(channel.carries is not None for channel in own) >= 1 for own in skipping)


@pytest.mark.parametrize("field", ["injection", "residual"])
def test_specs_name_skips_only_where_there_are_some(field):
    arch = FixedDepth(2, 5, 3, "sin", bias=False, **{field: True})
    assert arch.to_spec() == {**FixedDepth(2, 5, 3, "sin", bias=False).to_spec(), field: True}
    assert ar.architecture.from_spec(arch.to_spec()) == arch
    with pytest.raises(TypeError, match=f"{field} must be True or False. Got 1"):
        FixedWidth(1, 8, 2, **{field: 1})


@skips
@pytest.mark.parametrize("dim", [1, 2])
def test_for_params_is_the_largest_that_fits(dim, skip):
    for n in (40, 41, 100, 750):
        deep = FixedWidth.for_params(n, dim=dim, width=3, **skip)
        assert deep.n_params <= n < FixedWidth(dim, 3, deep.depth + 1, **skip).n_params
        wide = FixedDepth.for_params(n, dim=dim, depth=2, **skip)
        assert wide.n_params <= n < FixedDepth(dim, wide.width + 1, 2, **skip).n_params


def test_a_schedule_counts_what_skips_cost():
    sizes = [400, 1600, 6400]
    width, depth = FixedWidth.schedule(n_params=sizes, exponent=0.5, dim=2, injection=True)
    for n, w, d in zip(sizes, width.values, depth.values, strict=True):
        assert 0.7 * n < FixedWidth(2, w, d, injection=True).n_params <= n
