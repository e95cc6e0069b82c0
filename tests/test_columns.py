"""Columns: against naive rationals on random networks, never outside their own bound, patterns, memory."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approxrates.arithmetic import choose_arithmetic, dyadic_points, evaluate_columns, evaluate_exact, evaluate_float64
from approxrates.arithmetic.column_units import RELAXED
from approxrates.arithmetic.partitions import Partition, Partitions
from approxrates.arithmetic.uppers import ceil_log2, float_above, lipschitz, over, plus, sensitivities, times, upper
from approxrates.constructions.gadgets.tables import lookup
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Graph
from approxrates.layers import HALF, ONE, Dyadic, Layer, SparseLayer

CODES = ["relu", "leaky_relu", "abs", "hard_tanh", "identity", "triangle"]


def number(rng, bits):
    """A random dyadic number of so many bits, between -2 and 2."""
    mantissa = int.from_bytes(rng.bytes(bits // 8 + 1), "big") % (2 << bits)
    return Dyadic(mantissa - (1 << bits), -int(rng.integers(max(bits - 1, 0), bits + 2)))


def random_layers(seed, codes, bits, dim=1, widths=(4, 4), n_outputs=2):
    """A sparse network of long weights; some units read nothing, some have no bias, zeros are stored."""
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for width in (*widths, n_outputs):
        last = len(layers) == len(widths)
        rows, biases = [], []
        for _ in range(width):
            sources = rng.permutation(n_in)[: rng.integers(0, n_in + 1)]
            rows.append(tuple((int(s), number(rng, bits) if rng.random() > 0.1 else Dyadic(0)) for s in sources))
            biases.append(number(rng, bits) if rng.random() > 0.3 else None)
        names = ["identity"] * width if last else [codes[k] for k in rng.integers(0, len(codes), width)]
        layers.append(SparseLayer(n_in, tuple(rows), tuple(biases), tuple(names)))
        n_in = width
    return layers


def rationals(points, exponent):
    return [[Fraction(int(c), 1) / Fraction(2) ** exponent for c in p] for p in points]


def compare(layers, points, exponent, bits):
    """Every value against naive rationals, within the radius that is stated."""
    exact = evaluate_exact(layers, rationals(points, exponent))
    found = evaluate_columns(layers, points, exponent, bits=bits)
    for i, row in enumerate(exact):
        for k, value in enumerate(row):
            assert abs(Fraction(float(found.values[i, k])) - value) <= Fraction(found.radius)
            if bits is None:
                assert found.exact(i, k) == value
    return found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    codes=st.sampled_from([["relu"], ["relu", "identity"], CODES]),
    length=st.sampled_from([1, 6, 40, 400]),
    dim=st.integers(1, 2),
    n=st.sampled_from([3, 90]),
    bits=st.sampled_from([None, 50, 8, 0, -6]),
)
def test_columns_stay_within_their_bound_of_naive_rationals(seed, codes, length, dim, n, bits):
    rng = np.random.default_rng(seed)
    widths = tuple(rng.integers(1, 6, rng.integers(0, 4))) + ((40, 3) if seed % 3 == 0 else ())
    layers = random_layers(seed, codes, length, dim, widths)
    exponent = int(rng.integers(0, 12))
    found = compare(layers, rng.integers(-1 << exponent, (1 << exponent) + 1, (n, dim)), exponent, bits)
    if bits is not None:
        assert float_above(found.slack) <= 2.0 ** (RELAXED - bits) * (1 + 1e-9)


def test_rounding_really_happens_and_its_bound_is_not_idle():
    layers = random_layers(5, ["relu"], 300, widths=(4, 4, 4))
    points = np.arange(64)[:, None]
    found = compare(layers, points, 6, 10)
    fine = evaluate_columns(layers, points, 6, bits=60).values
    moved = np.abs(found.values - fine).max()
    assert 2.0**-22 < moved <= found.radius <= 2.0 ** (RELAXED - 10) * 1.01


@pytest.mark.parametrize("n_hinges", [33, 200])
@pytest.mark.parametrize("scale", [0, 70])
def test_banks_of_hinges_equal_naive_rationals(n_hinges, scale):
    rng = np.random.default_rng(n_hinges)
    slopes = [Dyadic(int(s), -3) for s in rng.choice([-9, -8, -1, 1, 7, 8], n_hinges)]
    biases = [Dyadic(int(b), -5) if b % 3 else None for b in rng.integers(-40, 40, n_hinges)]
    hinges = SparseLayer(1, tuple(((0, s),) for s in slopes), tuple(biases), ("relu",) * n_hinges)
    weights = [tuple((k, number(rng, 8 + scale)) for k in range(first, n_hinges)) for first in (0, 3, n_hinges - 4)]
    read = SparseLayer(n_hinges, tuple(weights), (None, Dyadic(1, -90), None), ("relu", "identity", "abs"))
    compare([hinges, read], np.arange(-40, 41)[:, None], 5, None)
    compare([hinges, read], np.arange(-40, 41)[:, None], 5, 12)


def test_points_may_be_longer_than_machine_words():
    layers = random_layers(2, ["relu", "abs"], 30)
    points = np.array([[(1 << 200) + 1], [3], [-(1 << 199) + 7]], dtype=object)
    compare(layers, points, 200, None)
    compare(layers, points, 200, 40)


def test_float_weights_give_the_values_of_float64_where_that_is_exact():
    rng = np.random.default_rng(0)
    layers = [
        Layer(rng.integers(-8, 9, (5, 2)) / 8, rng.integers(-8, 9, 5) / 8, ("relu",) * 5),
        Layer(rng.integers(-8, 9, (1, 5)) / 8, None, ("identity",)),
    ]
    points = rng.integers(0, 65, (50, 2))
    found = evaluate_columns(layers, points, 6)
    assert np.array_equal(found.values, evaluate_float64(layers, points / 64))
    assert found.radius == 0.0


def digit_reader(n_digits, n_bits=3, seed=0):
    """A network that returns the last of ``n_digits`` digits of the word of its cell, and those digits."""
    digits = np.random.default_rng(seed).integers(0, 2, (1 << n_bits, n_digits)).astype(np.uint8)
    graph = Graph(1)
    (word,) = lookup(graph, graph.input(), n_bits, 40, [code_words(digits)])
    z, w = graph.relu(word), graph.relu(word - HALF)
    for _ in range(n_digits - 1):
        z, w = graph.relu(4 * z - 8 * w), graph.relu(4 * z - 8 * w - HALF)
    return graph.network([z]), digits


def test_long_words_are_read_right_where_float64_reads_garbage():
    x = (np.arange(8) + 0.25) / 8
    network, digits = digit_reader(20)
    assert np.array_equal(network(x), digits[:, -1])
    assert np.array_equal(network(x, arithmetic="float64"), digits[:, -1])
    network, digits = digit_reader(48)
    assert choose_arithmetic(network.layers) == "columns"
    assert np.array_equal(network(x), digits[:, -1])
    assert np.abs(network(x, arithmetic="float64") - digits[:, -1]).max() >= 1
    assert [int(v) for v in network(x, arithmetic="exact")] == digits[:, -1].tolist()


def test_points_in_ramps_of_the_index_agree_with_rationals():
    network, _ = digit_reader(40)
    points = np.array([[(k << 42) - j] for k in range(1, 8) for j in (1, 2, 3, 5)], dtype=np.int64)
    compare(network.layers, points, 45, None)
    compare(network.layers, points, 45, 30)


def test_the_sine_is_within_the_radius_and_periodic_to_the_last_bit():
    rng = np.random.default_rng(1)
    huge = Dyadic((1 << 400) + 1, -2)
    layers = [
        SparseLayer(1, (((0, huge),), ((0, ONE),)), (None, HALF), ("sin", "relu")),
        SparseLayer(2, (((0, Dyadic(3)), (1, ONE)),), (None,), ("identity",)),
    ]
    points = rng.integers(0, 1 << 20, (50, 1))
    x = points[:, 0] / 2**20
    for bits in (50, 5):
        found = evaluate_columns(layers, points, 20, bits=bits)
        turns = np.array([int(p) * huge.mantissa % (1 << 22) / 2**22 for p in points[:, 0]])
        waves = np.sin(2 * np.pi * turns)
        assert np.abs(found.values[:, 0] - (3 * waves + x + 0.5)).max() <= found.radius + 1e-14
        assert found.radius <= 2.0 ** (RELAXED - bits) * 1.01 + 1e-15
    with pytest.raises(ValueError, match="bits=50"):
        evaluate_columns(layers, points, 20, bits=None)


def plain_patterns(layers, point):
    """Signs of all pre-activations of relu units, by rationals."""
    values, signs = list(point), {}
    for i, layer in enumerate(layers):
        after = []
        for j, (row, bias, code) in enumerate(zip(layer.rows, layer.bias, layer.activations, strict=True)):
            z = sum((w.fraction * values[s] for s, w in row), Fraction(0) if bias is None else bias.fraction)
            signs[i, j] = (z > 0) - (z < 0)
            after.append(max(z, Fraction(0)) if code == "relu" else z)
        values = after
    return signs


@pytest.mark.parametrize("bits", [None, 40, 4])
@pytest.mark.parametrize("widths", [(4, 5, 4), (40, 5)])
def test_traced_patterns_are_the_signs_of_exact_pre_activations(bits, widths):
    layers = random_layers(11, ["relu"], 60, widths=widths)
    points = np.arange(-40, 41)[:, None]
    seen, uncertain = {}, 0

    def trace(layer, units, pattern):
        for i in range(len(points)):
            place = int(pattern.places[pattern.partition.labels[i]])
            seen.setdefault((layer, units), []).append((place, pattern.exact))

    evaluate_columns(layers, points, 5, bits=bits, trace=trace)
    plain = [plain_patterns(layers, p) for p in rationals(points, 5)]
    told = {(layer, unit) for layer, units in seen for unit in units}
    for (layer, units), places in seen.items():
        rows = [[signs[layer, unit] for unit in units] for signs in plain]
        for i, (place, exact) in enumerate(places):
            uncertain += place % 2 and 0 not in rows[i]
            if len(units) == 1 and (exact or place % 2 == 0):
                assert place - 1 == rows[i][0]
            if exact:
                assert place % 2 == (0 in rows[i])
            for k in (i - 1, i - 7):
                if places[i][0] == places[k][0] and place % 2 == 0:
                    assert rows[i] == rows[k]
    for i, layer in enumerate(layers[:-1]):
        for j, row in enumerate(layer.rows):
            if (i, j) not in told:  # only values that pass unchanged are left out
                assert len([w for _, w in row if w]) == 1
    assert bits == 40 or (uncertain > 0) == (bits == 4)


def test_refinements_are_the_pairs_of_labels_that_occur():
    rng = np.random.default_rng(0)
    partitions = Partitions()
    for sizes in [(3, 4), (50, 7), (900, 900), (1, 5)]:
        a, b = (
            Partition(len(u), 1000, inverse.astype(np.int32))
            for u, inverse in (np.unique(rng.integers(0, n, 1000), return_inverse=True) for n in sizes)
        )
        both, to_a, to_b = partitions.refinement(a, b)
        assert both.n_classes == len(set(zip(a.labels.tolist(), b.labels.tolist(), strict=True)))
        for part, down in ((a, to_a), (b, to_b)):
            assert np.array_equal(part.labels, both.labels if down is None else down[both.labels])
        coarse = partitions.coarser(both, np.arange(both.n_classes) // 2, -(-both.n_classes // 2))
        assert np.array_equal(coarse.labels, both.labels // 2)
        assert partitions.refinement(coarse, both)[0] is both
        assert partitions.coarser(both, np.arange(both.n_classes) // 2, coarse.n_classes) is coarse


def test_what_partitions_keep_is_capped():
    rng = np.random.default_rng(0)
    partitions = Partitions(capacity=200_000)
    for _ in range(40):
        a, b = (Partition(300, 5000, rng.permutation(np.arange(5000) % 300).astype(np.int32)) for _ in range(2))
        partitions.refinement(a, b)
        assert partitions.held <= 200_000
    assert 0 < len(partitions._kept) < 40


@given(st.lists(st.tuples(st.integers(0, 1 << 300), st.integers(-400, 400)), min_size=2, max_size=6))
def test_upper_bounds_are_never_below_and_close(numbers):
    exact = [Fraction(m) * Fraction(2) ** e for m, e in numbers]
    bounds = [upper(m, e) for m, e in numbers]

    def value(bound):
        return Fraction(bound[0]) * Fraction(2) ** bound[1]

    total, true_total = bounds[0], exact[0]
    for bound, number_ in zip(bounds[1:], exact[1:], strict=True):
        total, true_total = plus(total, bound), true_total + number_
    slightly = 1 + Fraction(1, 2**58)
    assert true_total <= value(total) <= true_total * slightly
    assert exact[0] * exact[1] <= value(times(*bounds[:2])) <= exact[0] * exact[1] * slightly
    if exact[1]:
        # The divisor is an upper bound itself, and taken as it is.
        quotient = exact[0] / value(bounds[1])
        assert quotient <= value(over(*bounds[:2])) <= quotient * slightly
    if exact[0]:
        assert exact[0] <= Fraction(2) ** ceil_log2(bounds[0]) < 2 * exact[0] * slightly


def test_sensitivities_bound_what_a_moved_unit_does():
    layers = random_layers(3, CODES, 20, widths=(4, 4))
    found = sensitivities(layers)
    point = [Fraction(3, 16)]
    hidden = evaluate_exact(layers[:1], [point])[0]
    for j in range(4):
        moved = list(hidden)
        moved[j] += Fraction(1, 64)
        before, after = evaluate_exact(layers[1:], [hidden, moved])
        change = sum(abs(a - b) for a, b in zip(before, after, strict=True))
        assert change <= Fraction(1, 64) * Fraction(found[0][j][0]) * Fraction(2) ** found[0][j][1]
    for code, slope in (("sin", 2 * np.pi), ("triangle", 4), ("leaky_relu", 1), ("hard_tanh", 1)):
        assert slope <= float_above(lipschitz(code)) <= 1.001 * slope


def test_floats_become_the_dyadic_numbers_they_are():
    for x in (np.array([[0.1, 0.75], [0.0, 1.0]]), np.array([[1e-300, 1.0]]), np.array([[3.0, 2.0**70]])):
        points, exponent = dyadic_points(x)
        assert rationals(points, exponent) == [[Fraction(c) for c in p] for p in x.tolist()]
    assert dyadic_points(np.array([[0.5, 0.25]]))[0].dtype == np.int64
    with pytest.raises(ValueError, match="finite"):
        dyadic_points(np.array([[np.nan]]))


def test_networks_take_dyadic_points_and_tensors():
    import torch

    network, digits = digit_reader(48)
    x = [Dyadic(2 * k + 1, -4) for k in range(8)]
    assert network(x).tolist() == digits[:, -1].tolist()
    found = network(torch.tensor([float(p) for p in x]))
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float64
    assert found.tolist() == digits[:, -1].tolist()


def test_values_do_not_depend_on_chunks(monkeypatch):
    from approxrates import arithmetic

    network, _ = digit_reader(40)
    x = np.random.default_rng(0).random(500)
    whole = network(x)
    monkeypatch.setattr(arithmetic, "_MEMORY", 1)
    np.testing.assert_allclose(network(x), whole, rtol=0, atol=2.0**-42)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((3, 2), dtype=int)}, "shape"),
        ({"points": np.zeros((3, 1))}, "integers"),
        ({"layers": [SparseLayer(1, (((0, ONE),),), (None,), ("tanh",))]}, "ball"),
        ({"layers": [Layer(np.array([[np.inf]]), None, ("relu",))]}, "finite"),
    ],
)
def test_bad_input_is_told(change, message):
    good = {"layers": [SparseLayer(1, (((0, ONE),),), (None,), ("relu",))], "points": np.zeros((3, 1), dtype=int)}
    with pytest.raises(ValueError, match=message):
        evaluate_columns(**{**good, **change}, exponent=0)
