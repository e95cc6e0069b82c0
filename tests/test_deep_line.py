"""The deep phase on the line: exact laws, the walk at the nodes in rationals, the bound at every kind of point."""

import time
from fractions import Fraction

import numpy as np
import pytest

import approxrates as ar
from approxrates.constructions import construct
from approxrates.constructions.deep_line import THEOREM, Coding, build, layout
from approxrates.constructions.encoders import encode_walks, walk_values
from approxrates.constructions.line_sizes import Plan, choose, count, depth, value_bits
from approxrates.layers import Dyadic
from approxrates.network import Network


def target_of(family: str, smoothness: float = 0.5, seed: int = 0) -> ar.Target:
    return ar.load_target(family, smoothness=smoothness, dim=1, seed=seed)


def awkward_points(network: Network, n_random: int = 25) -> list[Fraction]:
    """Knots, points inside and just outside ramps, dead zones, and points anywhere."""
    n_cells, ramp = network.provenance["cells"], network.provenance["mesh"]["ramp"]
    knots = [Fraction(i, n_cells) for i in range(n_cells + 1)]
    width = Fraction(1, 2**ramp)
    offsets = [-width, -width * 3 / 4, -width / 2, -width / 7, -64 * width]
    dead = Fraction(1, n_cells * (4 * network.provenance["steps"] + 1))
    rng = np.random.default_rng(0)
    anywhere = [Fraction(int(k), 2**40) for k in rng.integers(0, 2**40, n_random)]
    points = knots + [k + d for k in knots for d in (*offsets, dead / 2)] + anywhere
    # Dyadic points only: thirds and the like are rounded down.
    dyadic = [Fraction(int(p * 2 ** (ramp + 8)), 2 ** (ramp + 8)) for p in points]
    return [p for p in dyadic if 0 <= p <= 1]


def exact_outputs(network: Network, points: list[Fraction]) -> list[Fraction]:
    """Outputs layer by layer in whole multiples of one power of two: written anew here, no engine involved."""
    outputs = []
    for point in points:
        values, places = [point.numerator], point.denominator.bit_length() - 1
        for layer in network.layers:
            entries = [w for row in layer.rows for _, w in row] + [b for b in layer.bias if b is not None]
            finest = max(0, *(-w.exponent for w in entries))
            whole = [[(k, w.mantissa << (w.exponent + finest)) for k, w in row] for row in layer.rows]
            shift = [0 if b is None else b.mantissa << (b.exponent + finest + places) for b in layer.bias]
            sums = [sum(w * values[k] for k, w in row) + b for row, b in zip(whole, shift, strict=True)]
            places += finest
            values = [max(v, 0) if c == "relu" else v for v, c in zip(sums, layer.activations, strict=True)]
            common = min(((v & -v).bit_length() - 1 for v in values if v), default=0)
            common = min(common, places)
            values, places = [v >> common for v in values], places - common
        outputs.append(Fraction(values[0], 2**places))
    return outputs


@pytest.mark.parametrize(
    ("family", "smoothness", "cells", "steps", "words"),
    [
        ("takagi", 0.5, 8, 4, 1),
        ("faber_tree", 0.5, 8, 3, 2),
        ("faber_tree", 0.3, 8, 2, 2),
        ("faber_tree", 0.8, 4, 9, 1),
    ],
)
def test_bound_holds_at_knots_in_ramps_and_dead_zones(
    family: str, smoothness: float, cells: int, steps: int, words: int
) -> None:
    target = target_of(family, smoothness)
    network = build(target, cells=cells, steps=steps, words=words)
    points = awkward_points(network)
    wanted = target.exact([(p,) for p in points])
    outputs = exact_outputs(network, points)
    errors = [abs(float(o - Fraction(w))) for o, w in zip(outputs, wanted, strict=True)]
    assert max(errors) <= network.provenance["bound"]
    assert not network.provenance["bound_is_sampled"]
    size = cells * steps
    assert network.provenance["bound"] <= THEOREM.constant(target) * size**-smoothness


def test_nodes_carry_the_walk_of_the_encoder() -> None:
    target = target_of("faber_tree")
    cells, steps = 8, 5
    network = build(target, cells=cells, steps=steps)
    walks = encode_walks(target, cells, steps)
    values = walk_values(walks.digits, 2, 1)
    points, wanted = [], []
    for cell in range(cells):
        knot, away = (cell + cell % 2), 1 - 2 * (cell % 2)
        for j in range(steps):  # the odd knot itself is where the clip decides
            place = (knot + away * (j + 0.25) / (steps + 0.25)) / cells
            points.append(Fraction(place))
            wanted.append(walks.starts[cell] + float(walks.scale) * values[cell, j])
    outputs = [float(v) for v in exact_outputs(network, points)]
    last_bit = 2.0 ** (3 - network.provenance["value_bits"])
    assert np.abs(np.array(outputs) - wanted).max() <= last_bit


def plan_network(plan: Plan, seed: int) -> Network:
    """The layout with random words."""
    rng = np.random.default_rng(seed)
    odd, even = ([Dyadic(int(v), -20) for v in rng.integers(0, 2**20, plan.cells // 2 + k)] for k in (0, 1))
    coding = Coding(Dyadic(-1), Dyadic(4), Dyadic(1, -7), Dyadic(3, -1), Dyadic(16), plan.cells.bit_length() + 12)
    graph, output = layout(plan, odd, even, coding)
    return graph.network([output])


@pytest.mark.parametrize("cells", [4, 8, 32, 128])
def test_count_and_depth_are_exact(cells: int) -> None:
    for k in range(cells.bit_length() - 2):
        for steps in (2, 3, 8):
            for bits in (1, 2, 9):
                plan = Plan(cells, steps, 1 << k, bits)
                network = plan_network(plan, seed=k)
                sizes = {"cells": cells, "steps": steps, "words": 1 << k, "value_bits": bits}
                assert (network.n_params, network.depth) == (count(sizes), depth(sizes)), plan


@pytest.mark.parametrize("family", ["takagi", "faber_tree"])
def test_count_does_not_depend_on_the_target(family: str) -> None:
    network = construct("yarotsky2020_deep_line", target_of(family, seed=5), n_params=700)
    assert network.n_params == count(network.provenance) <= 700
    assert network.depth == depth(network.provenance)
    assert construct("yarotsky2020_deep", target_of(family, seed=5), n_params=700).provenance == network.provenance
    constant = ar.Target.from_callable(lambda x: 0.0 * x[:, 0] + 1.0, ar.Regularity(0.5, 1, radius=1.0))
    flat = build(constant, cells=network.provenance["cells"], steps=network.provenance["steps"])
    assert flat.n_params == count(flat.provenance)
    assert abs(float(exact_outputs(flat, [Fraction(11, 64)])[0]) - 1.0) <= flat.provenance["bound"]


def test_the_largest_that_fits() -> None:
    for limit in (350, 1234, 6300, 23500):
        plan = choose(0.5, limit)
        sizes = {"cells": plan.cells, "steps": plan.steps, "words": plan.words, "value_bits": plan.value_bits}
        assert count(sizes) <= limit < count({**sizes, "steps": plan.steps + 2})
    with pytest.raises(ValueError, match=r"at least \d+"):
        choose(0.5, 50)
    with pytest.raises(ValueError, match="power of two"):
        choose(0.5, 500, cells=12)
    with pytest.raises(ValueError, match="needs n_params"):
        choose(0.5, None)


@pytest.mark.parametrize("exponent", [0.0, 1 / 3, 0.5, 1.0])
def test_depth_follows_its_exponent(exponent: float) -> None:
    """Local exponents of depth and of fine steps against weights, from the exact laws, at sizes nobody would build."""
    sizes = []
    for cells in (1 << 14, 1 << 20):
        steps = max(2, round(4 * (cells / 32) ** exponent))
        fixed = {"cells": cells, "steps": steps, "value_bits": value_bits(cells, steps, 0.5)}
        sizes.append(min((fixed | {"words": 1 << k} for k in range(12)), key=count))
    if sizes[0]["cells"] * sizes[0]["steps"] <= 1 << 24:
        plan = choose(0.5, None, cells=sizes[0]["cells"], depth_exponent=exponent)
        assert (plan.steps, plan.words) == (sizes[0]["steps"], sizes[0]["words"])
    growth = np.log(count(sizes[1]) / count(sizes[0]))
    assert np.log(sizes[1]["steps"] / sizes[0]["steps"]) / growth == pytest.approx(exponent, abs=0.04)
    fine = [s["cells"] * s["steps"] for s in sizes]
    assert np.log(fine[1] / fine[0]) / growth == pytest.approx(1 + exponent, abs=0.08)


def test_float64_is_right_at_16_steps_and_garbage_from_32() -> None:
    target = target_of("faber_tree")
    x = np.random.default_rng(1).random(40)
    x = np.round(x * 2**20) / 2**20
    for steps, is_right in ((16, True), (32, False)):
        network = build(target, cells=4, steps=steps)
        exact = np.array([float(v) for v in exact_outputs(network, [Fraction(p) for p in x])])
        values = [x]
        for layer in network.layers:
            rows = np.zeros((layer.n_out, layer.n_in))
            for unit, row in enumerate(layer.rows):
                for source, weight in row:
                    rows[unit, source] = float(weight)
            bias = np.array([0.0 if b is None else float(b) for b in layer.bias])
            values = rows @ np.array(values) + bias[:, None]
            values = np.maximum(values, 0.0) if layer.activations[0] == "relu" else values
        off = np.abs(values[0] - exact).max()
        assert (off <= 1e-3 * network.provenance["bound"]) == is_right, off
        assert is_right or off > 0.1 * network.provenance["bound"]


def test_building_is_quick_and_deterministic() -> None:
    target = target_of("faber_tree")
    began = time.process_time()
    network = construct("yarotsky2020_deep_line", target, n_params=2000)
    assert time.process_time() - began < 2.0
    assert network.n_params <= 2000
    assert network.provenance["bound"] <= 0.0345
    small = [build(target, cells=8, steps=4) for _ in range(2)]
    assert small[0].layers[-1].bias == small[1].layers[-1].bias
    assert all(a.rows == b.rows for a, b in zip(small[0].layers, small[1].layers, strict=True))


@pytest.mark.parametrize(("max_bits", "steps"), [(24, 4), (32, 8), (48, 16)])
def test_a_cap_on_bits_holds_for_every_weight_that_depends_on_the_target(max_bits, steps):
    """Weights that differ between two targets, and all entries of tables, are no longer than the cap."""
    one, other = (
        ar.construct("yarotsky2020_deep_line", target_of("faber_tree", seed=s),
                     n_params=700, max_bits=max_bits)
        for s in (0, 1)
    )  # fmt: skip
    entries = [
        (a, b)
        for x, y in zip(one.layers, other.layers, strict=True)
        for a, b in zip(x.entries(), y.entries(), strict=True)
    ]
    moved = [max(a.bits, b.bits) for a, b in entries if a != b]
    assert len(moved) > 50
    assert max(moved) <= max_bits
    assert one.provenance["steps"] == steps


def test_a_cap_that_leaves_no_room_is_refused():
    target = target_of("faber_tree")
    with pytest.raises(ValueError, match="max_bits must be at least 21"):
        ar.construct("yarotsky2020_deep_line", target, n_params=700, max_bits=8)
    with pytest.raises(ValueError, match="Allow more of either"):
        ar.construct("yarotsky2020_deep_line", target, cells=64, steps=32, max_bits=40)
