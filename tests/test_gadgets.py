"""The gadgets that theorems share, each exact in rationals where it says so, and within its range where it does not."""

from fractions import Fraction

import numpy as np
import pytest

from approxrates.constructions.gadgets.clips import clip
from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import product, square, tent_chain
from approxrates.constructions.gadgets.tables import bank, lookup, select, serial_bank
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.graph import Graph, affine
from approxrates.layers import Dyadic

RNG = np.random.default_rng(3)


def values(graph, outputs, points):
    """Outputs at rational points, rows of fractions."""
    rows = graph.network(outputs)([[Fraction(c) for c in np.atleast_1d(p)] for p in points], arithmetic="exact")
    return [list(row) if isinstance(row, tuple) else [row] for row in rows]


def tent(u):
    return min(2 * u, 2 - 2 * u)


def entries(n, bits=12):
    """Random table entries below 1."""
    return [Dyadic(int(v), -bits) for v in RNG.integers(0, 1 << bits, n)]


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_the_tent_chain_is_the_iterated_tent(steps):
    graph = Graph(1)
    formula = tent_chain(graph, graph.input(), steps)
    points = [Fraction(j, 97) for j in range(98)]
    expected = []
    for u in points:
        for _ in range(steps):
            u = tent(u)
        expected.append([u])
    assert values(graph, [formula], points) == expected
    assert graph.network([formula]).n_params == 5 * steps


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_squares_and_products_are_off_by_what_they_say_and_on_one_side(steps):
    graph = Graph(2)
    x, y = graph.input(0), graph.input(1)
    outputs = [square(graph, x, steps), product(graph, x, y, steps), product(graph, x, 1 - y, steps)]
    points = [[Fraction(j, 23), Fraction(k, 19)] for j in range(0, 24, 2) for k in range(0, 20, 3)]
    tolerance = Fraction(1, 4 ** (steps + 1))
    for (a, b), (squared, times, mirrored) in zip(points, values(graph, outputs, points), strict=True):
        assert 0 <= squared - a * a <= tolerance
        assert abs(times - a * b) <= tolerance
        assert abs(mirrored - a * (1 - b)) <= tolerance
    with pytest.raises(ValueError, match="at least 1"):
        square(Graph(1), x, 0)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("n_bits", [1, 3, 6])
def test_digits_are_right_off_the_ramps_and_within_range_on_them(n_bits, settled):
    ramp = n_bits + 5
    graph = Graph(1)
    digits = floor_chain(graph, graph.input(), n_bits, ramp, first_bit=0, settled=settled)
    outputs = [*digits.remainders, *digits.bits]
    cells = 2**n_bits
    off_ramps = [Fraction(j, cells) + Fraction(k, 8 * cells) for j in range(cells) for k in (0, 1, 7)]
    for x, row in zip(off_ramps, values(graph, outputs, off_ramps), strict=True):
        rest = x
        for i in range(n_bits):
            bit, rest = divmod(2 * rest, 1)
            assert row[n_bits + i] == bit
            assert row[i] == rest
    on_ramps = [Fraction(j, cells) - Fraction(k, 4 << ramp) for j in range(1, cells + 1) for k in (1, 2, 3)]
    assert all(0 <= v <= 1 for row in values(graph, outputs, on_ramps) for v in row)
    at_one = values(graph, outputs, [1])[0]
    assert at_one == [1] * (2 * n_bits)


def test_settled_digits_survive_float64_where_others_lose_the_ramp():
    n_bits, ramp = 6, 40
    off = {}
    x = RNG.integers(0, 2**40, 400) / 2.0**40
    for settled in (False, True):
        graph = Graph(1)
        rest = floor_chain(graph, graph.input(), n_bits, ramp, first_bit=0, settled=settled).remainders[-1]
        network = graph.network([affine(0) + rest])
        off[settled] = np.abs(network(x, arithmetic="float64") - (x * 2**n_bits) % 1.0).max()
    assert off[True] == 0.0
    assert off[False] > 1e-9


@pytest.mark.parametrize("n_entries", [1, 2, 5, 16])
def test_a_bank_has_its_entries_at_whole_numbers_and_is_straight_between_them(n_entries):
    tables = [entries(n_entries) for _ in range(3)]
    graph = Graph(1)
    read = bank(graph, graph.relu((n_entries - 1) * graph.input()), tables)
    for k in range(2 * (n_entries - 1) + 1):
        place = Fraction(k, 2)
        x = place / (n_entries - 1) if n_entries > 1 else Fraction(0)
        low = int(place)
        high = min(low + 1, n_entries - 1)
        expected = [(t[low].fraction * (1 - place + low) + t[high].fraction * (place - low)) for t in tables]
        assert values(graph, read, [x])[0] == expected


@pytest.mark.parametrize(("n_entries", "n_bits"), [(8, 3), (5, 3), (6, 3), (1, 2), (9, 4), (3, 2)])
def test_gates_pick_the_entry_that_the_bits_spell_also_of_trees_that_are_cut(n_entries, n_bits):
    table = entries(n_entries)
    graph = Graph(n_bits)
    bits = [graph.relu(graph.input(i)) for i in range(n_bits)]
    picked = select(graph, [affine(value) for value in table], bits)
    numbers = [[(k >> n_bits - 1 - i) & 1 for i in range(n_bits)] for k in range(n_entries)]
    assert [row[0] for row in values(graph, [picked], numbers)] == [value.fraction for value in table]


def test_gates_of_bits_between_0_and_1_stay_in_range():
    graph = Graph(3)
    bits = [graph.relu(graph.input(i)) for i in range(3)]
    picked = select(graph, [affine(value) for value in entries(8)], bits)
    points = [[Fraction(int(c), 16) for c in row] for row in RNG.integers(0, 17, (60, 3))]
    assert all(0 <= row[0] <= 1 for row in values(graph, [picked], points))


@pytest.mark.parametrize("words", [1, 2, 4])
def test_a_lookup_reads_the_entry_of_the_cell(words):
    n_bits, ramp = 4, 9
    tables = [entries(16), [value * 3 for value in entries(16)]]
    graph = Graph(1)
    read = lookup(graph, graph.input(), n_bits, ramp, tables, words, ceilings=[1, 3])
    points = [Fraction(i, 16) + Fraction(k, 80) for i in range(16) for k in (0, 2, 4)]
    for x, row in zip(points, values(graph, read, points), strict=True):
        assert row == [table[int(16 * x)].fraction for table in tables]


@pytest.mark.parametrize("per_level", [1, 2, 5])
def test_a_serial_bank_of_fixed_width_reads_the_same_entries(per_level):
    tables = [entries(11), entries(11)]
    graph = Graph(1)
    index = graph.relu(10 * graph.input())
    read, level = serial_bank(graph, index, tables, per_level, 2)
    points = [Fraction(k, 10) for k in range(11)]
    assert values(graph, read, points) == [[t[k].fraction for t in tables] for k in range(11)]
    network = graph.network([read[0] + read[1]], max_width=per_level + 1 + 2 + 1)
    assert network.depth <= level


def test_a_clip_keeps_what_is_small_and_cuts_garbage():
    graph = Graph(2)
    value, limit = 64 * graph.input(0) - 32, 2 * graph.input(1)
    clipped = clip(graph, value, limit)
    points = [[Fraction(int(a), 64), Fraction(int(b), 64)] for a, b in RNG.integers(0, 65, (80, 2))]
    for (a, b), row in zip(points, values(graph, [clipped], points), strict=True):
        assert row[0] == min(max(64 * a - 32, -2 * b), 2 * b)


@pytest.mark.parametrize("spacing", [2, 3])
@pytest.mark.parametrize("n_digits", [1, 2, 9, 33])
def test_code_words_are_read_back_by_the_tent_of_their_slope(n_digits, spacing):
    digits = RNG.integers(0, 2, (20, n_digits)).astype(np.uint8)
    slope = 2**spacing
    for word, row in zip(code_words(digits, spacing), digits, strict=True):
        z, read = word.fraction, []
        for _ in range(n_digits):
            assert 0 <= z <= Fraction(1, slope) or 1 - Fraction(1, slope) <= z <= 1
            read.append(int(z > Fraction(1, 2)))
            z = slope * z - 2 * slope * max(z - Fraction(1, 2), Fraction(0))
        assert read == row.tolist()
        assert word.bits <= spacing * n_digits
