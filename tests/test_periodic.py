"""The periodic lookup against a naive evaluation in rationals, its laws, and the words it reads."""

import math
from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.arithmetic.balls import evaluate_balls
from approxrates.constructions import construct, periodic
from approxrates.constructions.encoders.phases import _digits, encode_phases
from approxrates.layers import Dyadic, dyadic
from approxrates.regularity import Regularity
from approxrates.target import Target

LIPSCHITZ = Target.from_callable(
    lambda x: np.abs(x[:, 0] - 0.3) + 0.25 * np.abs(3 * x[:, 0] % 1 - 0.5),
    Regularity(1.0, 1, radius=1.75),
    name="kinks",
)
PARABOLAS = Target.from_callable(
    lambda x: x[:, 0] + 0.5 * (x[:, 0] - 0.4) * np.abs(x[:, 0] - 0.4), Regularity(2.0, 1, radius=1.0), name="parabolas"
)
CONSTANT = Target.from_callable(lambda x: np.full(len(x), 0.75), Regularity(1.0, 1, radius=0.0), name="constant")


def tree(smoothness=0.5, seed=0):
    return ar.load_target("faber_tree", smoothness=smoothness, dim=1, seed=seed)


def naive(network, x):
    """The network in rationals; the phase of a sine is reduced modulo 1 before it becomes a float."""
    values = [Fraction(x)]
    for layer in network.layers:
        sums = []
        for row, bias in zip(layer.rows, layer.bias, strict=True):
            sums.append(sum((w.fraction * values[i] for i, w in row), Fraction(0) if bias is None else bias.fraction))
        act = {"relu": lambda s: max(s, Fraction(0)), "identity": lambda s: s}
        act["sin"] = lambda s: Fraction(math.sin(math.tau * float(s % 1)))
        values = [act[code](s) for s, code in zip(sums, layer.activations, strict=True)]
    return float(values[0])


def nasty_points(k):
    """Cell borders of both copies, the inside and the ends of their ramps, and anything in between."""
    n, rng = 2**k, np.random.default_rng(k)
    borders = Fraction(1, 2 * n) * np.array([Fraction(j) for j in range(2 * n + 1)])
    ramp = Fraction(1, 8 * n)
    inside = [b - ramp * c for b in borders[1:] for c in (Fraction(1, 1000), Fraction(1, 3), Fraction(999, 1000), 1)]
    return [*borders, *inside, *(Fraction(float(x)) for x in rng.random(60))]


@pytest.mark.parametrize(
    ("target", "k", "readouts"),
    [
        (tree(), 3, 1),
        (tree(0.75, 4), 4, 2),
        (LIPSCHITZ, 4, 1),
        (LIPSCHITZ, 3, 2),
        (PARABOLAS, 4, 2),
        (PARABOLAS, 2, 2),
        (CONSTANT, 2, 1),
    ],
)
def test_error_is_within_the_bound_on_borders_ramps_and_elsewhere(target, k, readouts):
    network = periodic.build(target, doublings=k, readouts=readouts)
    points = nasty_points(k)
    found = np.array([naive(network, x) for x in points])
    wanted = target(np.array([float(x) for x in points]))
    slack = 1e-12 + 8 * np.finfo(float).eps
    assert np.abs(found - wanted).max() <= network.provenance["bound"] + slack
    assert not network.provenance["bound_is_sampled"]
    own = min(target.regularity.smoothness, 2.0)
    if readouts == (1 if own <= 1 else 2):
        assert network.provenance["bound"] <= periodic.constant(target) * 2.0 ** (-own * k) + 1e-12


def test_without_the_selection_the_ramps_would_ruin_it():
    """The other side of the bound: one copy alone is garbage on its ramps."""
    target, k = tree(0.75, 1), 4
    network = periodic.build(target, doublings=k)
    points = [Fraction(j, 16) - Fraction(1, 128) * Fraction(c, 7) for j in range(1, 16) for c in range(1, 7)]
    wanted = target(np.array([float(x) for x in points]))
    last = network.layers[-4:]
    assert {"sin"} == {code for code in last[0].activations if code != "relu"}
    scale = float(periodic.build(target, doublings=k).layers[-2].rows[0][0][1])
    copy = [_first_sine(network, x) * scale for x in points]
    good = [naive(network, x) for x in points]
    assert np.abs(np.array(good) - wanted).max() <= network.provenance["bound"]
    shifted = np.array(copy) - np.array(copy).mean() + wanted.mean()
    assert np.abs(shifted - wanted).max() > 2 * network.provenance["bound"]


def _first_sine(network, x):
    """The sine that reads the first copy's word."""
    values = [Fraction(x)]
    for layer in network.layers[:-2]:
        sums = [
            sum((w.fraction * values[i] for i, w in row), Fraction(0) if bias is None else bias.fraction)
            for row, bias in zip(layer.rows, layer.bias, strict=True)
        ]
        values = [
            Fraction(math.sin(math.tau * float(s % 1))) if code == "sin" else max(s, Fraction(0))
            for s, code in zip(sums, layer.activations, strict=True)
        ]
    return float(values[layer.activations.index("sin")])


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize(
    ("target", "readouts"), [(LIPSCHITZ, 1), (LIPSCHITZ, 2), (CONSTANT, 1), (CONSTANT, 2), (PARABOLAS, 2)]
)
def test_counts_and_depth_are_exact(target, k, readouts):
    network = periodic.build(target, doublings=k, readouts=readouts)
    assert network.n_params == periodic.count(network.provenance) == 36 * k + (8 if readouts == 1 else 31)
    assert network.depth == periodic.depth(network.provenance) == 2 * k + 4
    assert network.width <= 11
    assert sum(code == "sin" for layer in network.layers for code in layer.activations) == 2 * readouts + 1


def test_limit_on_parameters_gives_the_most_doublings():
    for limit in (80, 115, 116, 200):
        network = construct("yarotsky2020_periodic", LIPSCHITZ, n_params=limit)
        assert network.n_params <= limit < network.n_params + 36
    assert construct("yarotsky2020_periodic", CONSTANT, n_params=5000).provenance["doublings"] == 16
    with pytest.raises(ValueError, match="must be at least 80"):
        construct("yarotsky2020_periodic", LIPSCHITZ, n_params=79)
    with pytest.raises(ValueError, match="must be at most 22"):
        construct("yarotsky2020_periodic", LIPSCHITZ, doublings=23)
    with pytest.raises(ValueError, match="at most 2 readouts"):
        construct("yarotsky2020_periodic", LIPSCHITZ, doublings=2, readouts=3)
    data = Target.from_data(np.array([0.0, 0.5, 1.0]), np.zeros(3), Regularity(1.0, 1))
    with pytest.raises(ValueError, match="values everywhere"):
        periodic.build(data, doublings=2)


@pytest.mark.parametrize("digits", [5, 8, 13])
def test_words_hold_the_phases(digits):
    """Entry n of a word, in rationals: the fraction of ``C B^-(N-1-n)`` gives the middle of cell n's range."""
    k = 5
    target = tree(0.75, 2)
    plan = encode_phases(target, k, 1, digits)
    word = plan.words[0][0].fraction
    fine = target(np.arange(2**k * 1024 + 1) / (2**k * 1024))
    for n in range(2**k):
        turns = word / Fraction(2) ** (digits * (2**k - 1 - n)) % 1
        cell = fine[n * 1024 : (n + 1) * 1024 + 1]
        value = float(plan.middle) + float(plan.amplitude) * math.sin(math.tau * float(turns))
        rounding = math.pi * float(plan.amplitude) * 2.0**-digits * (1 + 2.0 ** (1 - digits))
        assert abs(value - (cell.max() + cell.min()) / 2) <= rounding * (1 + 1e-9)


@pytest.mark.parametrize("digits", [4, 7])
def test_digits_are_right_beside_whole_turns(digits):
    """``theta_{n+1}`` just below a whole turn, its digits just above it: the entry before must know."""
    rng = np.random.default_rng(3)
    theta = np.concatenate([rng.choice([-1.0, 1.0], 500) * rng.uniform(0, 2.0**-digits, 500), rng.uniform(-1, 1, 500)])
    theta = rng.permutation(theta)
    entries = [int(t) for t in _digits(theta, digits)]
    assert all(0 <= t < 2**digits for t in entries)
    after = Fraction(0)
    for t, wanted in zip(entries[::-1], theta[::-1], strict=True):
        after = (t + after) / 2**digits
        off = (after - Fraction(wanted)) % 1
        assert min(off, 1 - off) <= Fraction(1 + 2.0**-30) / 2 ** (digits + 1)


@pytest.mark.parametrize("seed", [3, 5])
def test_the_bound_holds_with_few_digits(seed):
    target = tree(0.5, seed)
    network = periodic.build(target, doublings=5, digits=4)
    x = np.arange(2**11 + 1) / 2**11
    assert np.abs(network(x) - target(x)).max() <= network.provenance["bound"]


@pytest.mark.parametrize(("target", "power"), [(LIPSCHITZ, 1), (PARABOLAS, 2)])
def test_error_falls_exponentially_in_the_number_of_parameters(target, power):
    networks = [periodic.build(target, doublings=k) for k in (3, 5, 7, 9)]
    bounds = [network.provenance["bound"] for network in networks]
    assert 0.4 < bounds[-1] / bounds[0] * 2.0 ** (6 * power) < 2.5
    assert networks[-1].n_params - networks[0].n_params == 36 * 6


def test_bits_sit_in_the_words():
    """Nothing is gained in bits: all but a few thousand of them are the digits of the words."""
    network = periodic.build(LIPSCHITZ, doublings=9)
    entries = 2**9 * network.provenance["digits"]
    longest = sorted((w.bits for layer in network.layers for w in layer.entries()), reverse=True)
    assert longest[0] <= entries
    assert longest[1] <= entries
    assert longest[0] + longest[1] > 1.9 * entries
    assert sum(longest[2:]) < 1000


def test_targets_of_unknown_regularity_are_told_as_sampled():
    unknown = Target.from_callable(lambda x: np.sqrt(x[:, 0]), Regularity(0.5, 1), name="root")
    assert periodic.build(unknown, doublings=3).provenance["bound_is_sampled"]
    assert periodic.constant(unknown) == math.inf


def dyadic_value(network, x):
    """The network with exact dyadic sums, phases cut modulo 1 before they are floats: fast for words of any length."""
    values = [dyadic(x)]
    for layer in network.layers:
        sums = []
        for row, bias in zip(layer.rows, layer.bias, strict=True):
            total = Dyadic(0) if bias is None else bias
            for source, weight in row:
                total = total + weight * values[source]
            sums.append(total)
        values = [_unit(code, total) for total, code in zip(sums, layer.activations, strict=True)]
    return float(values[0])


def _unit(code, value):
    if code == "relu":
        return value if value > 0 else Dyadic(0)
    if code == "identity":
        return value
    places = max(0, -value.exponent)
    rest = Dyadic(value.mantissa & ((1 << places) - 1), -places) if places else Dyadic(0)
    return dyadic(math.sin(math.tau * float(rest)))


def bumps(x):
    """Bumps 16 t^2 (1 - t)^2 of random sign on every dyadic cell of 19 levels, amplitude 4^-level."""
    total, signs = np.zeros(len(x)), np.random.default_rng(0)
    for level in range(19):
        row = signs.integers(0, 2, 2**level) * 2.0 - 1.0
        place = x[:, 0] * 2.0**level
        cell = np.minimum(place.astype(np.int64), 2**level - 1)
        total += 4.0**-level * row[cell] * 16.0 * ((place - cell) * (1.0 - place + cell)) ** 2
    return total


def test_five_hundred_weights_are_off_by_less_than_a_millionth_at_smoothness_two():
    target = Target.from_callable(bumps, Regularity(2.0, 1), name="bumps")
    network = construct("yarotsky2020_periodic", target, n_params=500)
    assert (network.n_params, network.provenance["doublings"]) == (499, 13)
    rng = np.random.default_rng(1)
    borders = rng.integers(1, 2**14, 15) / 2.0**14
    points = np.concatenate([rng.random(20), borders, borders - 2.0**-16 * rng.random(15)])
    error = max(abs(dyadic_value(network, float(x)) - float(target(np.array([x]))[0])) for x in points)
    assert error <= network.provenance["bound"] <= 8.5e-7


def test_balls_dyadic_sums_and_rationals_agree():
    network = periodic.build(LIPSCHITZ, doublings=5, readouts=2)
    points = [Fraction(round(float(x) * 2**40), 2**40) for x in nasty_points(5)[::7]]
    values, radii = evaluate_balls(network.layers, [[x] for x in points])
    direct = [naive(network, x) for x in points]
    assert radii.max() < 1e-12
    np.testing.assert_allclose(values[:, 0], direct, rtol=0, atol=1e-12)
    np.testing.assert_allclose([dyadic_value(network, x) for x in points], direct, rtol=0, atol=1e-12)
