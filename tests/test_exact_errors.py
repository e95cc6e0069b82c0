"""Errors of networks with exact weights: proofs hold, are sharp, and say what they leave out."""

import dataclasses
import random
from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.tables import lookup
from approxrates.constructions.graph import Graph, affine
from approxrates.errors.exact import proof as proofs
from approxrates.errors.exact import rules
from approxrates.errors.exact.engine import Strips
from approxrates.errors.exact.mesh import first_mesh
from approxrates.errors.exact.prepared import prepared
from approxrates.errors.exact.proof import prove, target_range
from approxrates.layers import Dyadic, Layer, SparseLayer

ONE = 1 << 52
EIGHTH = Dyadic(1, -3)


def a_network(seed, depth=3, width=4, sizes=(60, 90)):
    """Random ReLU layers with weights of 60 to 90 bits, some rows shifted copies, some weights opposite."""
    draw = random.Random(seed)

    def number(scale=0):
        bits = draw.randint(*sizes)
        return Dyadic(draw.randrange(-(1 << bits), 1 << bits), scale - bits)

    graph = Graph(1)
    units = [graph.input()]
    for level in range(1, depth + 1):
        rows = []
        for _ in range(draw.randint(1, width)):
            if rows and draw.random() < 0.4:
                rows.append((rows[-1] << draw.randint(0, 3)) + number())
            else:
                used = [u for u in units if draw.random() < 0.9] or units
                rows.append(sum((u * number(1) for u in used), affine(number(-1))))
        units = [graph.relu(row, level) for row in rows]
    weights = [number() for _ in units]
    if len(units) > 1:
        weights[1] = -weights[0] if draw.random() < 0.5 else weights[0]
    return graph.network([sum((u * w for u, w in zip(units, weights, strict=True)), affine(number()))])


def a_walk(cells_log2=4, digits=6, seed=0, limit=EIGHTH):
    """A table of long words read by tents and clipped: garbage on every index ramp, small output everywhere."""
    draw = random.Random(seed)
    graph, cells = Graph(1), 1 << cells_log2
    x = graph.input()
    words = [Dyadic(draw.randrange(1 << 80), -80) for _ in range(cells)]
    values = [Dyadic(draw.randrange(1 << 20), -20) for _ in range(cells)]
    code, value = lookup(graph, x, cells_log2, 30, [words, values], words=4)
    z, w, total = graph.relu(code), graph.relu(code - Dyadic(1, -1)), None
    for _ in range(digits):
        total = graph.relu(z - Dyadic(1, -1)) if total is None else graph.relu(total + z - Dyadic(1, -1))
        tent = 4 * z - 8 * w
        z, w = graph.relu(tent), graph.relu(tent - Dyadic(1, -1))
    out = value + clip(graph, total - value, affine(limit))
    hint = {"cells": cells, "steps": 1, "dead": [0, 1], "reflected": False, "ramp": 30}
    return graph.network([out], {"mesh": hint, "bound": 7.5})


def at(network, x):
    return float(network([[Fraction(x)]], arithmetic="exact")[0])


@pytest.mark.parametrize("improve", [None, rules.tightened], ids=["plain", "rules"])
@pytest.mark.parametrize("seed", range(24))
def test_every_chord_holds_within_its_remainder(seed, improve):
    """Against naive rationals inside the intervals, where nothing was evaluated."""
    network, draw = a_network(seed), random.Random(seed + 1000)
    points = np.unique(np.array([0, ONE, *(draw.randrange(ONE) for _ in range(4))], dtype=np.int64))
    found = Strips(prepared(network), points[:-1], points[1:], 1e-14, 1e-6, improve).run()
    for i, (a, b) in enumerate(zip(points[:-1].tolist(), points[1:].tolist(), strict=True)):
        for k in range(7):
            share = Fraction(k, 6)
            exact = at(network, Fraction(a, ONE) * (1 - share) + Fraction(b, ONE) * share)
            chord = found.ends[0, i] * (1 - float(share)) + found.ends[1, i] * float(share)
            assert abs(exact - chord) <= found.rem[i] + 1e-15 * abs(exact)


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_brackets_hold_and_are_narrow(seed):
    network, target = a_network(seed), ar.load_target("takagi", smoothness=0.5)
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.share == 1.0
    assert error.method == "exact-pieces"
    grid = [Fraction(k, 128) for k in range(129)]
    truth = max(abs(float(target.exact([x])[0]) - at(network, x)) for x in grid)
    assert truth <= error.sup[1]
    assert error.gap <= 6e-3
    at_where = abs(float(target.exact([error.where[0]])[0]) - at(network, error.where[0]))
    assert error.sup[0] <= at_where <= error.sup[1]


@pytest.mark.parametrize("limit", [Dyadic(1, -3), Dyadic(1, -6)])
def test_index_ramps_are_proven(limit):
    """On a ramp the decoder has more pieces than anyone can count; the clip keeps its output near the table."""
    network, target = a_walk(limit=limit), ar.load_target("takagi", smoothness=0.5)
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.share == 1.0
    # Random places on the ramps: inside, and many of them.
    draw = random.Random(3)
    ramps = [Fraction(k, 16) - Fraction(draw.randrange(1, 1 << 60), 1 << 90) for k in range(1, 17) for _ in range(3)]
    worst = max(abs(float(target(np.array([float(x)]))[0]) - at(network, x)) for x in ramps)
    assert worst <= error.sup[1] + 1e-3
    assert error.gap <= 0.5


def test_without_its_rules_a_ramp_is_left_out_and_said_so(monkeypatch):
    network, target = a_walk(), ar.load_target("takagi", smoothness=0.5)
    monkeypatch.setattr(proofs, "tightened", lambda strips, depth, unit, column: column)
    error = ar.approximation_error(network, target)
    assert not error.certified
    assert 1 - 16 * 2.0**-29 <= error.share < 1.0
    assert error.sup[1] == 7.5  # what the construction states of itself


def ramp_chords(network, parts=12):
    """The network on its ramps, with the rules, and dense exact values there relative to the chords."""
    mesh = first_mesh(network)
    narrow = np.flatnonzero(np.diff(mesh) == 1 << 22)
    left, right = mesh[narrow], mesh[narrow + 1]
    found = Strips(prepared(network), left, right, 1e-12, 1e-6, rules.tightened).run()
    excess = []
    for i in range(len(left)):
        for k in range(1, parts):
            x = Fraction(int(left[i]), ONE) + Fraction(int(right[i] - left[i]), ONE) * Fraction(k, parts)
            chord = found.ends[0, i] + (found.ends[1, i] - found.ends[0, i]) * k / parts
            excess.append(abs(at(network, x) - chord) - found.rem[i])
    return found, max(excess)


def test_ramps_hold_against_rationals():
    found, excess = ramp_chords(a_walk(seed=5))
    assert excess <= 1e-12
    assert len(found.rem) == 16
    assert found.rem.max() < 3.0


@pytest.mark.parametrize("rule", ["_one_form", "_pair", "_gate"])
def test_a_rule_that_claims_too_much_is_caught(rule, monkeypatch):
    """Halving what a rule leaves open must break a bound somewhere, else the tests above prove nothing of it."""
    honest = getattr(rules, rule)

    def greedy(*arguments):
        ends, rem = honest(*arguments)
        return ends, 0.02 * rem

    monkeypatch.setattr(rules, rule, greedy)
    assert any(ramp_chords(a_walk(cells_log2=3, seed=seed, digits=2), parts=6)[1] > 1e-9 for seed in range(8))


@pytest.mark.parametrize("steps", [4, 12])
def test_the_square_is_enclosed_at_its_closed_form(steps):
    """The sawtooth network with one weight of 80 bits: off x^2 by 2^(-2m-2), and by that weight's tail."""
    from approxrates.constructions.gadgets.sawtooth import square

    graph = Graph(1)
    tail = Dyadic((1 << 80) + 1, -140)
    network = graph.network([square(graph, graph.relu(graph.input()), steps) + tail])
    assert not network.is_float
    target = ar.Target.from_callable(_square, ar.Regularity(smoothness=2.0, dim=1), name="square")
    known = dataclasses.replace(target, interpolation_gap=lambda k: 4.0**-k / 4, evaluation_error=2.0**-53)
    error = ar.approximation_error(network, known, gap=1e-6)
    closed = 2.0 ** (-2 * steps - 2) + float(tail)
    assert error.certified
    assert error.sup[0] <= closed <= error.sup[1]
    assert error.gap <= 6e-3


def _square(x):
    return x[:, 0] ** 2


def test_nothing_is_certified_of_a_callable():
    target = ar.Target.from_callable(_square, ar.Regularity(smoothness=2.0, dim=1), name="square")
    error = ar.approximation_error(a_network(1), target)
    assert not error.certified
    assert error.share == 0.0


def test_measured_only_agrees_with_the_proof_from_below():
    target = ar.load_target("takagi", smoothness=0.5)
    for seed in range(3):
        proven = ar.approximation_error(a_network(seed), target)
        quick = ar.approximation_error(a_network(seed), target, certify=False)
        assert quick.method == "exact-grid"
        assert not quick.certified
        assert quick.share == 0.0
        assert 0.97 * proven.sup[0] <= quick.sup[0] <= proven.sup[1]
        assert abs(quick.l2 - proven.l2) <= 1e-6 + 2 * (quick.l2_error + proven.l2_error)
    stated = ar.approximation_error(a_walk(), target, certify=False)
    assert stated.sup[1] == 7.5


def test_the_plane_is_measured():
    graph = Graph(2)
    x, y = graph.input(0), graph.input(1)
    wide = graph.relu(x + y * Dyadic((1 << 70) + 1, -70) - 1)
    network, target = graph.network([wide]), ar.load_target("faber_tree", smoothness=0.5, dim=2)
    error = ar.approximation_error(network, target)
    assert error.method == "exact-grid"
    assert not error.certified
    truth = abs(float(target(np.array([error.where]))[0]) - float(network([error.where], arithmetic="exact")[0]))
    assert error.sup[0] <= truth <= error.sup[1]


def test_float_layers_beside_exact_ones_are_followed():
    long = Dyadic((1 << 70) + 1, -70)
    graph = Graph(1)
    tail = graph.network([graph.relu(graph.input() * long)])
    first = Layer(np.array([[0.75]]), np.array([0.125]), ("relu",))
    network, target = ar.Network((first, *tail.layers)), ar.load_target("takagi", smoothness=0.5)
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.method == "exact-pieces"


def test_a_diverged_float_layer_beside_an_exact_one_has_infinite_error():
    exact = Graph(1)
    top = exact.network([exact.input() * Dyadic((1 << 70) + 1, -70)]).layers
    network = ar.Network((Layer(np.array([[np.nan]]), None, ("relu",)), *top))
    error = ar.approximation_error(network, ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0))
    assert error.sup == (np.inf, np.inf)
    assert not error.certified


def test_a_network_without_parameters_is_zero():
    network = ar.Network((SparseLayer(1, ((),), (None,), ("identity",)),))
    assert network([0.25, 0.5]).tolist() == [0.0, 0.0]


def test_ranges_of_a_target_hold():
    target, draw = ar.load_target("takagi", smoothness=0.5), random.Random(0)
    left = np.array([draw.randrange(ONE) for _ in range(200)], dtype=np.int64)
    width = np.array([1 << draw.randrange(0, 50) for _ in range(200)], dtype=np.int64)
    right = np.minimum(left + width, ONE)
    low, high = target_range(target, left, right)
    for share in np.linspace(0.0, 1.0, 33):
        f = target((left + (right - left) * share) / ONE)
        assert np.all((low - 1e-12 <= f) & (f <= high + 1e-12))


def spiked(*factors):
    """The hat ``relu(1 - 2^120 |x - a|)``, ``a`` between multiples of 2^-52, through ReLU units of these weights."""
    at, (zoom, *passed) = Dyadic((1 << 90) // 3, -90), factors
    graph = Graph(1)
    beside = [graph.relu((graph.input() - at) << zoom[0]), graph.relu((affine(at) - graph.input()) << zoom[0])]
    value = graph.relu(affine(Dyadic(1, zoom[2])) - (beside[0] + beside[1] << zoom[1]), 2)
    for level, power in enumerate(passed[:-1], start=3):
        value = graph.relu(value << power, level)
    return graph.network([value << passed[-1]])


@pytest.mark.parametrize(
    "factors",
    [((60, 60, 0), 3), ((560, 560, 0), 3), ((-550, 670, -550), 553)],
    ids=["moderate", "beyond floats", "tiny"],
)
def test_no_spike_is_lost_where_floats_end(factors):
    network = spiked(*factors)
    peak = network([Dyadic((1 << 90) // 3, -90)], "exact")[0]
    assert peak == 8
    error = ar.approximation_error(network, ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0))
    assert error.sup[1] > 6 or (not error.certified and error.share < 1)


def test_weights_below_the_range_of_floats_are_not_zero():
    graph = Graph(1)
    large = graph.relu(graph.input() << 1000, 1)
    network = graph.network([graph.relu(large << -1080, 2) << 80])  # x itself
    ends = np.arange(129, dtype=np.int64) << 45
    found = Strips(prepared(network), ends[:-1], ends[1:], 1e300, 1e300).run()
    for chord, position in zip(found.ends, (ends[:-1], ends[1:]), strict=True):
        assert (np.abs(position / ONE - chord) <= found.rem).all()


def test_a_hint_is_not_trusted():
    """With a mesh that is plainly wrong the proof still holds."""
    honest = a_network(3)
    target = ar.load_target("takagi", smoothness=0.5)
    wrong = {"mesh": {"cells": 3, "steps": 2, "dead": [1, 7], "reflected": True, "ramp": 9}}
    broken = {"mesh": {"cells": "many"}}
    reference = prove(honest, target, 4e-4)
    for provenance in (wrong, broken):
        found = prove(ar.Network(honest.layers, provenance), target, 4e-4)
        assert found.share == 1.0
        assert found.lower <= reference.upper
        assert reference.lower <= found.upper
