"""The graph language: what is written is what the network computes, every carry counted, nothing signed carried."""

from fractions import Fraction

import numpy as np
import pytest

from approxrates.constructions.graph import Affine, Graph, affine, combination
from approxrates.layers import HALF, ONE, ZERO, Dyadic


class Recorder:
    """Writes random formulas twice: as a graph, and as functions on fractions."""

    def __init__(self, seed, dim):
        self.rng = np.random.default_rng(seed)
        self.graph = Graph(dim)
        self.units = [(self.graph.input(axis), lambda x, axis=axis: x[axis]) for axis in range(dim)]

    def number(self):
        return Dyadic(int(self.rng.integers(-9, 10)), -int(self.rng.integers(0, 4)))

    def formula(self):
        """A random combination of some units and a constant, sometimes one that cancels."""
        chosen = self.rng.choice(len(self.units), size=min(3, len(self.units)), replace=False)
        weights, offset = [self.number() for _ in chosen], self.number()
        written, functions = affine(offset), [self.units[i][1] for i in chosen]
        for i, weight in zip(chosen, weights, strict=True):
            written = written + self.units[i][0] * weight
        if self.rng.random() < 0.3:
            written = written + self.units[chosen[0]][0] - self.units[chosen[0]][0]

        def value(x):
            total = (w.fraction * f(x) for w, f in zip(weights, functions, strict=True))
            return sum(total, start=offset.fraction)

        return written, value

    def unit(self):
        written, value = self.formula()
        later = int(self.rng.integers(0, 6))
        self.units.append((self.graph.relu(written, later), lambda x: max(value(x), Fraction(0))))


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs_compute_what_was_written(seed):
    dim = 1 + seed % 3
    recorder = Recorder(seed, dim)
    for _ in range(12):
        recorder.unit()
    outputs = [recorder.formula() for _ in range(2)]
    network = recorder.graph.network([written for written, _ in outputs])
    rng = np.random.default_rng(seed + 100)
    points = [[Fraction(int(c), 97) for c in rng.integers(0, 98, dim)] for _ in range(5)]
    found = network(points, arithmetic="exact")
    assert [tuple(row) for row in found] == [tuple(value(point) for _, value in outputs) for point in points]


def test_every_carry_is_a_unit_of_one_weight():
    graph = Graph(1)
    x = graph.input()
    early, late = graph.relu(x), graph.relu(2 * x - 1, level=5)
    network = graph.network([early + late])
    # level 1: x, early; 2 to 4: both; 5: late from x, and early; output: two weights.
    assert network.depth == 5
    assert network.n_params == (1 + 1) + 3 * 2 + (2 + 1) + 2
    assert [layer.n_out for layer in network.layers] == [2, 2, 2, 2, 2, 1]
    assert network([[Fraction(3, 4)]], arithmetic="exact") == [Fraction(3, 4) + HALF.fraction]


def test_units_that_nothing_reads_are_left_out():
    graph = Graph(1)
    read, unread = graph.relu(graph.input()), graph.relu(graph.input() - HALF)
    graph.relu(unread)
    network = graph.network([read])
    assert (network.n_params, network.depth, network.width) == (2, 1, 1)


def test_a_unit_read_at_several_levels_is_carried_once():
    graph = Graph(1)
    first = graph.relu(graph.input())
    readers = [graph.relu(first - Dyadic(k, -3), level=k) for k in (2, 3, 4)]
    network = graph.network([combination((reader, 1) for reader in readers)])
    assert [layer.n_out for layer in network.layers] == [1, 2, 3, 3, 1]


def test_terms_that_cancel_are_dropped_and_zeros_of_tables_stay():
    graph = Graph(1)
    a, b = graph.relu(graph.input()), graph.relu(graph.input() - HALF)
    assert (a + b - a).terms == b.terms
    assert (affine(1) - 1).constant is None
    table = combination([(a, 0), (b, 1)], 0)
    assert set(table.terms) == set(a.terms) | set(b.terms)
    assert table.constant == ZERO
    assert graph.network([table]).n_params == 1 + 2 + 3
    assert set((table + a).terms) == set(table.terms)


def test_formulas_do_not_change():
    a = Affine({0: ONE}, HALF)
    _ = a + a, a * 3, a << 2, -a, 1 - a
    assert (a.terms, a.constant) == ({0: ONE}, HALF)
    assert ((a << 3).constant, (a >> 1).terms[0], (1 - a).constant) == (Dyadic(4), HALF, HALF)
    assert (a * 0).terms == {}


@pytest.mark.parametrize("code", ["tanh", "sin", "identity", "leaky_relu"])
def test_units_that_may_be_negative_are_not_carried(code):
    graph = Graph(1)
    signed = graph.unit(graph.input() - HALF, code)
    assert graph.network([signed]).depth == 1
    graph.network([graph.relu(signed)])  # read on the next level: no carry
    with pytest.raises(ValueError, match=f"never be negative. Got a {code} unit"):
        graph.network([signed + graph.relu(graph.relu(signed))])


def test_a_layer_wider_than_allowed_is_refused_with_its_parts():
    graph = Graph(1)
    with graph.part("ramps"):
        units = [graph.relu(graph.input() - Dyadic(k, -3)) for k in range(4)]
    total = combination((unit, 1) for unit in units)
    assert graph.network([total], max_width=4).width == 4
    with pytest.raises(ValueError, match=r"level 1 must have at most 3 units. Got 4 new and 0 carried \(ramps\)"):
        graph.network([total], max_width=3)


def test_parts_name_units_and_their_carries():
    graph = Graph(1)
    with graph.part("outer"):
        first = graph.relu(graph.input())
        with graph.part("inner"):
            second = graph.relu(graph.input(), level=2)
    network = graph.network([first + second])
    assert network.layers[0].labels[0] == "outer"
    assert set(network.layers[1].labels) == {"inner", "outer carry"}


def test_an_affine_map_is_a_network_without_hidden_layers():
    graph = Graph(2)
    network = graph.network([graph.input(0) - 3 * graph.input(1) + 1])
    assert (network.depth, network.n_params) == (0, 3)
    assert network([[Fraction(1, 2), Fraction(1, 3)]], arithmetic="exact") == [Fraction(1, 2)]
