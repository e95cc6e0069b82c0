"""Residual boosting: the sum of networks is one block-diagonal network, honestly counted, and goes below one network."""

import numpy as np
import pytest

import approxrates as ar
from approxrates.layers import Layer
from approxrates.network import Network
from approxrates.training.boosting import block_diagonal, remainder, scaled
from approxrates.training.points import Sampling

X = np.linspace(0, 1, 500)[:, None]
WAVE = ar.Target.from_callable(
    lambda x: np.exp(np.sin(2 * np.pi * x[:, 0])), ar.Regularity(smoothness=np.inf, dim=1), name="wave"
)


def networks(n, dim=1, bias=True):
    arch = ar.FixedWidth(dim=dim, width=4, depth=3, activation="tanh", bias=bias)
    return [arch.layers(theta) for theta in arch.initialise(range(n))], arch


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_sum_is_one_network_of_blocks(dim, bias):
    parts, arch = networks(3, dim, bias)
    x = np.random.default_rng(0).random((50, dim))
    whole = Network(block_diagonal(parts))
    assert np.allclose(whole(x), sum(Network(p)(x) for p in parts), rtol=1e-13, atol=1e-14)
    assert whole.width == 3 * arch.width
    # One output bias instead of three; zeros between the blocks are not counted.
    assert whole.n_params == 3 * arch.n_params - 2 * bias
    assert whole.n_params_dense > whole.n_params


def test_mean_and_scale_go_into_the_last_layer():
    (layers, *_), _ = networks(1)
    assert np.allclose(Network(scaled(layers, 0.3, 2.0))(X), 0.3 + 2.0 * Network(layers)(X))


def test_what_is_left_over_has_mean_zero_and_variance_one_on_the_full_set():
    rng = np.random.default_rng(1)
    values, outputs = rng.normal(size=(2, 1, 64)), rng.normal(size=(2, 1, 64))
    weights = np.full((2, 1, 64), 1 / 60)
    weights[:, :, 60:] = 0.0
    left = remainder(Sampling(rng.random((2, 1, 64)), values, weights, 0.0, 1.0), outputs, bias=True)
    counted = left.values[-1, 0, :60]
    assert counted.mean() == pytest.approx(0.0, abs=1e-12)
    assert counted.std() == pytest.approx(1.0)
    assert np.allclose(left.mean + left.scale * left.values, values - outputs)


def test_two_rounds_go_below_one():
    arch = ar.FixedWidth(dim=1, width=6, depth=2, activation="sin")
    plan = [ar.SOAP(steps=200, learning_rate=1e-2), ar.SelfScaledBFGS(steps=300)]
    one, two = (ar.train(arch, WAVE, replicas=2, plan=plan, rounds=rounds, n_points=128) for rounds in (1, 2))
    assert (two.losses < 0.05 * one.losses).all()
    assert two.networks[0].n_params == 2 * arch.n_params - 1
    error = np.sqrt(np.mean((two.networks[0](X) - WAVE(X)) ** 2))
    assert error == pytest.approx(two.rms_at_points[0], rel=1.0)
    assert np.isfinite(two.sup_at_points).all()
    assert isinstance(two.networks[0].layers[1], Layer)
    assert two.networks[0].provenance["rounds"] == 2


@pytest.mark.parametrize(
    "options",
    [{"objective": ar.LpPower(4.0)}, {"arch": ar.FixedWidth(dim=1, width=4, depth=2, injection=True)}],
    ids=["power", "injection"],
)
def test_rounds_are_refused_where_they_have_no_meaning(options):
    arch = options.pop("arch", ar.FixedWidth(dim=1, width=4, depth=2))
    with pytest.raises(ValueError, match="rounds > 1 needs the mean square"):
        ar.train(arch, WAVE, plan=[ar.Adam(steps=2)], rounds=2, **options)


@pytest.mark.parametrize("rounds", [0, 1.5, "2"])
def test_rounds_must_be_a_whole_number(rounds):
    with pytest.raises((TypeError, ValueError), match="rounds must be"):
        ar.train(ar.FixedWidth(dim=1, width=4, depth=2), WAVE, plan=[ar.Adam(steps=2)], rounds=rounds)
