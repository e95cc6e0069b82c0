"""What of the constructed networks is exact: closed forms, words in float64, columns against rationals, single bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic import dyadic_points, evaluate_columns, evaluate_exact, evaluate_float64
from approxrates.catalogue import load_target
from approxrates.constructions import bit_extraction, deep_line, deep_slopes, describe
from approxrates.constructions.squaring import product_network, square_network
from approxrates.errors import approximation_error
from approxrates.layers import Dyadic
from approxrates.network import Network
from approxrates.target import Target

Row = dict[str, Any]
Points = tuple[NDArray[Any], int]
"""Integers, shape ``(n, dim)``, and the exponent they share."""

LINE, SLOPES = "yarotsky2020_deep_line", "yarotsky2020_deep_slopes"
RIGHT_TO, LOST_FROM = 16, 32
"""Digits of a word up to which float64 is to be right, and from which it is to be garbage."""
_CELLS = 32
_RADIX = 1 << 20


def row(check: str, setting: str, size: int, network: Network, **measured: Any) -> Row:
    """A row of the table: what was checked, the network, and what is measured and asked for."""
    return {
        "check": check,
        "setting": setting,
        "size": size,
        "n_params": network.n_params,
        "layers": len(network.layers),
        "bits": network.max_bits,
        **measured,
    }


def rough(seed: int) -> Target:
    """A random tree of smoothness 1/2."""
    return load_target("faber_tree", smoothness=0.5, dim=1, seed=seed)


def smooth(seed: int) -> Target:
    """A random tree of smoothness 3/2."""
    return load_target("bump_tree", smoothness=1.5, dim=1, seed=seed)


def deep_network(name: str, seed: int, *, cells: int, steps: int) -> Network:
    """A network of either deep construction on the line."""
    if name == LINE:
        return deep_line.build(rough(seed), cells=cells, steps=steps)
    return deep_slopes.build(smooth(seed), cells=cells, steps=steps)


def closed_forms(few: bool, seed: int) -> Iterator[Row]:
    """Squares and products against their closed forms, and the certified bracket of the former."""
    most = 6 if few else 40
    rng = np.random.default_rng(seed)
    yield from _family("square", square_network, most, lambda m: _square_is_exact(m, rng))
    network = square_network(most)
    dense = sum(square_network(m).n_params_dense == max(12 * m - 7, 7) for m in range(1, most + 1))
    yield row(
        "square",
        "dense counts 12 m - 7 (7 for m = 1)",
        most,
        network,
        unit="sizes",
        measured=dense,
        rule="=",
        asked=most,
    )
    yield from _family("product", product_network, most, lambda m: _product_is_exact(m, rng))
    parabola = load_target("polynomial", dim=1)
    for m in (4,) if few else (4, 8, 10):
        error = approximation_error(square_network(m), parabola)
        holds = error.certified and error.sup[0] <= 4.0 ** (-m - 1) <= error.sup[1]
        off = max(abs(end * 4.0 ** (m + 1) - 1) for end in error.sup) if holds else float("inf")
        found = {"unit": "relative", "measured": off, "rule": "<=", "asked": 1e-3}
        yield row("square", f"both ends of the bracket, m = {m}", m, square_network(m), **found)


def _family(name: str, built: Callable[[int], Network], most: int, is_exact: Callable[[int], bool]) -> Iterator[Row]:
    """Sizes of a family whose error is exactly ``2^(-2m-2)``, and whose counts are those declared."""
    law = describe(f"yarotsky2017_{name}")
    assert law.count is not None
    networks = {m: built(m) for m in range(1, most + 1)}
    exact = sum(map(is_exact, networks))
    counted = sum(network.n_params == law.count(network.provenance) for network in networks.values())
    for setting, good in (("sup error 2^(-2m-2)", exact), (f"counts {law.count_law.split(' (')[0]}", counted)):
        yield row(name, setting, most, networks[most], unit="sizes", measured=good, rule="=", asked=most)


def _outputs(network: Network, points: Points) -> list[Fraction]:
    """Outputs at dyadic points, without any rounding."""
    found = evaluate_columns(network.layers, points[0], points[1], bits=None)
    return [found.exact(i).fraction for i in range(len(points[0]))]


def _square_is_exact(m: int, rng: np.random.Generator) -> bool:
    """At the knots of some cells (all, if they are few) the square itself, in their middles ``2^(-2m-2)`` above it."""
    cells = np.arange(1 << m) if m <= 8 else np.unique(np.append(rng.integers(0, 1 << m, 200), [0, (1 << m) - 1]))
    places = np.concatenate([2 * cells, 2 * cells + 1, 2 * cells + 2]).astype(np.int64)
    values = _outputs(square_network(m), (places[:, None], m + 1))
    excess = [v - Fraction(k, 2 ** (m + 1)) ** 2 for v, k in zip(values, places.tolist(), strict=True)]
    bump = Fraction(1, 4 ** (m + 1))
    return all(e == (bump if k % 2 else 0) for e, k in zip(excess, places.tolist(), strict=True))


def _product_is_exact(m: int, rng: np.random.Generator) -> bool:
    """Off by ``2^(-2m-2)`` at ``x = y = 2^(-m-1)``, and by no more at random points."""
    places = np.concatenate([[[1, 1]], rng.integers(0, (1 << m + 2) + 1, (100, 2))])
    places[0] = 2  # in units of 2^(-m-2)
    values = _outputs(product_network(m), (places, m + 2))
    off = [abs(v - Fraction(x * y, 4 ** (m + 2))) for v, (x, y) in zip(values, places.tolist(), strict=True)]
    return off[0] == Fraction(1, 4 ** (m + 1)) == max(off)


def words(few: bool, seed: int) -> Iterator[Row]:
    """Errors of float64 on words of more and more digits, in units of the network's own bound."""
    cells, count = (8, 200) if few else (_CELLS, 4000)
    scattered = np.random.default_rng(seed).random((count, 1))
    for name in (SLOPES, LINE):
        for steps in (8, 16, 32) if few else (4, 8, 16, 32, 64):
            network = deep_network(name, seed, cells=cells, steps=steps)
            bound = float(network.provenance["bound"])
            nodes = np.arange(4 * cells * steps + 1)[:, None] / (4 * cells * steps)
            for where, x in (("at nodes", nodes), ("at random points", scattered)):
                exact = evaluate_columns(network.layers, *dyadic_points(x))
                off = float(np.abs(evaluate_float64(network.layers, x) - exact.values).max()) / bound
                asked = "<=" if steps <= RIGHT_TO else ">"
                yield row(f"float64 {where}", name, steps, network, unit="bounds", measured=off, rule=asked, asked=1.0)
            radius = exact.radius / bound
            yield row("columns", name, steps, network, unit="bounds", measured=radius, rule="<=", asked=1e-6)


def ramp_points(network: Network, count: int, seed: int) -> Points:
    """Random points in the ramps of the index, left of cell borders."""
    mesh, rng = network.provenance["mesh"], np.random.default_rng(seed)
    exponent = int(mesh["ramp"]) + 20
    borders = rng.integers(1, mesh["cells"], count).tolist()
    offsets = rng.integers(1, _RADIX, count).tolist()
    grid = [[(b << exponent) // int(mesh["cells"]) - o] for b, o in zip(borders, offsets, strict=True)]
    return np.array(grid, dtype=object), exponent


def against_rationals(few: bool, seed: int) -> Iterator[Row]:
    """Largest distance of columns from naive rationals, in units of the radius that columns prove."""
    count, cells, steps = (4, 8, 4) if few else (30, 32, 32)
    built = [(name, deep_network(name, seed, cells=cells, steps=steps)) for name in (SLOPES, LINE)]
    for name, network in built:
        scattered = dyadic_points(np.random.default_rng(seed).random((count, 1)))
        for where, points in (("random points", scattered), ("ramps", ramp_points(network, count, seed))):
            rows = [[Dyadic(int(c), -points[1]).fraction for c in p] for p in points[0]]
            exact = evaluate_exact(network.layers, rows)
            found = evaluate_columns(network.layers, *points)
            off = max(abs(e[0] - Fraction(float(v))) for e, v in zip(exact, found.values[:, 0], strict=True))
            share = float(off / Fraction(found.radius))
            yield row(
                "rationals", f"{name}, {where}", steps, network, unit="radii", measured=share, rule="<=", asked=1.0
            )


def bits(few: bool, seed: int) -> Iterator[Row]:
    """Wrong bits among all those that a network stores, in exact arithmetic and in float64; its count law."""
    n_cells, steps = (8, 32) if few else (64, 64)
    stored = np.random.default_rng(seed).integers(0, 2, (n_cells, steps))
    network = bit_extraction.extract(stored)
    places = np.arange(n_cells * steps)[:, None]
    exponent = (n_cells * steps).bit_length() - 1
    exact = evaluate_columns(network.layers, places, exponent, bits=None)
    wrong = sum(exact.exact(i).fraction != int(bit) for i, bit in enumerate(stored.ravel()))
    rounded = evaluate_float64(network.layers, places / (n_cells * steps))[:, 0]
    lost = int((np.abs(rounded - stored.ravel()) > 0.25).sum())
    law = int(bit_extraction.count(network.provenance))
    setting = f"{n_cells} words of {steps} bits"
    yield row(
        "bit extraction", f"{setting}, exact", steps, network, unit="wrong bits", measured=wrong, rule="<=", asked=0
    )
    yield row(
        "bit extraction", f"{setting}, float64", steps, network, unit="wrong bits", measured=lost, rule=">", asked=0
    )
    yield row(
        "bit extraction",
        "declared count",
        steps,
        network,
        unit="weights",
        measured=network.n_params,
        rule="=",
        asked=law,
    )
