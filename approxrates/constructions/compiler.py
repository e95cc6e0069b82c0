r"""A ReLU network as a network of any other piecewise-polynomial activation: universality, executed.

Every ReLU unit becomes a few units of the new activation (:mod:`~approxrates.constructions.gadgets.kinks`); whoever
read it reads their sum, weights multiplied out. Depth stays. A unit takes ``k`` copies, so a weight between two units
becomes at most ``k^2`` weights: the number of parameters grows by a constant factor, and no rate changes (Yarotsky &
Zhevnerchuk 2020, arXiv:1906.09477, state one phase diagram for all these activations; layout and bounds are proved
here). A unit that is never negative on the cube takes one copy if the activation has a linear piece of slope 1.

Bounds, for inputs in ``[0, 1]^dim``. From below, interval arithmetic on the ReLU network gives
``lo_j <= t_j <= hi_j`` for all pre-activations. Let unit ``j`` be off by at most ``d_j``; then the pre-activation of
the compiled unit ``i`` is off by ``sum_j |w_ij| d_j``, so a hinge that is good to ``e_i`` on
``[lo_i - sum, hi_i + sum]`` gives ``d_i <= e_i + sum_j |w_ij| d_j``, because ReLU is 1-Lipschitz. The same recursion
through the last layer is the bound of the output, on the whole cube. The ``e_i`` are chosen backwards: from the
output, ``A_j = sum_i |w_ij| A_i`` is how much of an error of unit ``j`` can arrive, and ``e_j = tolerance /
(2 n_units A_j)`` makes all contributions equal; the recursion then checks their sum.

Bits: a weight is multiplied by ``1 / (c k! eta^k delta^(k-1))``, a power of two for most activations; shifts take
``log2(1 / delta)`` bits, and ``delta ~ e_j``: for a code word that the network stretches by ``2^(2 M)`` this is
``2 M`` bits and a few more, so bits per weight grow by a constant factor too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from approxrates import activations
from approxrates.constructions.gadgets.kinks import Hinge, Kink, Unit, hinge, kink_of
from approxrates.constructions.sizes import check_integer
from approxrates.layers import IDENTITY, ONE, ZERO, Dyadic, Row, SparseLayer, dyadic, sparse
from approxrates.network import Network

_PLACES = 64
"""Bits that bounds are kept with; they are rounded outwards."""
_TRIALS = 8
"""Networks built at most on the way to the largest one that fits."""


@dataclass(frozen=True)
class _Reading:
    """What stands for one unit of the ReLU network in the layer above: a sum of compiled units and a constant."""

    terms: tuple[tuple[int, Dyadic], ...]
    constant: Dyadic


@dataclass(frozen=True)
class _Range:
    """Bounds of a value in the ReLU network, and how far the compiled value may be from it."""

    low: Dyadic
    high: Dyadic
    off: Dyadic


def compile_network(network: Network, activation: str, tolerance: float = 2.0**-40) -> Network:
    """The same function by another piecewise-polynomial activation, off by at most ``tolerance`` on the unit cube.

    Args:
        network: A network of ReLU units with any weights; what it computes on ``[0, 1]^dim`` is kept.
        activation: ``"relu2"``, ``"relu3"``, ``"leaky_relu"``, ``"hard_tanh"``, ``"abs"``, ``"xabsx"``,
            ``"quadratic_bspline"``, ``"cubic_bspline"``, ``"triangle"``, or one of your own.
        tolerance: Largest change of an output, positive. Exact for ``hard_tanh``, ``abs`` and ``triangle``.

    Returns:
        A network of the same depth. Its provenance is the old one with ``compiled``: activation, tolerance, the proven
        ``error`` and the old ``n_params``; a ``bound`` in it is raised by the error.

    Raises:
        ValueError: If the network has other units than ReLU, weights that are not finite, ``tolerance`` is not
            positive, or ReLU cannot be made of the activation.
        TypeError: If ``network`` is no Network.

    Example:
        >>> from approxrates.constructions.graph import Graph
        >>> graph = Graph(1)
        >>> hat = 2 * graph.relu(graph.input()) - 4 * graph.relu(graph.input() - Dyadic(1, -1))
        >>> compiled = compile_network(graph.network([hat]), "hard_tanh")
        >>> compiled.activations - {"identity"}, [float(y) for y in compiled([0.0, 0.5, 0.75], "exact")]
        (frozenset({'hard_tanh'}), [0.0, 1.0, 0.5])
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network. Got {type(network).__name__}. Write ar.construct(...).")
    try:
        is_usable = 0 < tolerance < math.inf
    except TypeError:
        raise TypeError(f"tolerance must be a number. Got {tolerance!r}. Write e.g. 2.0**-40.") from None
    if not is_usable:
        raise ValueError(f"tolerance must be positive and finite. Got {tolerance}. Write e.g. 2.0**-40.")
    layers = [sparse(layer) for layer in network.layers]
    hidden = {code for layer in layers[:-1] for code in layer.activations}
    if hidden - {"relu"} or set(layers[-1].activations) != {IDENTITY}:
        raise ValueError(
            f"network must be made of ReLU units. Got {', '.join(sorted(hidden))}. Compile the ReLU network instead."
        )
    kink = kink_of(activation)
    shares = _shares(layers, dyadic(tolerance).fraction)
    readings = [_Reading(((i, ONE),), ZERO) for i in range(network.dim)]
    ranges = [_Range(ZERO, ONE, ZERO) for _ in readings]
    compiled: list[SparseLayer] = []
    for layer, allowed in zip(layers[:-1], shares, strict=True):
        made, readings, ranges = _layer(layer, activation, kink, allowed, readings, ranges)
        compiled.append(made)
    compiled.append(_output(layers[-1], readings))
    error = max((_through(row, bias, ranges).off for row, bias in _formulas(layers[-1])), default=ZERO)
    proven = math.nextafter(float(error), math.inf) if error else 0.0
    return Network(tuple(compiled), _provenance(network, activation, tolerance, proven))


def largest_compiled(
    build: Callable[[int | None], Network], n_params: int | None, activation: str, tolerance: float | None
) -> Network:
    """The compiled network of the largest ReLU network found with at most ``n_params`` weights after compiling.

    Args:
        build: ``limit -> ReLU network`` with at most so many weights; raises ValueError if there is none.
        n_params: Upper limit after compiling; None if ``build`` knows its sizes.
        activation: As for :func:`compile_network`.
        tolerance: As there; None for a thousandth of the network's own ``bound``.

    Raises:
        ValueError: As ``build`` and :func:`compile_network`, or if the smallest network is too large when compiled.
    """
    n_params = check_integer("n_params", n_params)
    if n_params is None:
        return _compiled(build(None), activation, tolerance)
    best: Network | None = None
    fits, large, seen = 0, n_params + 1, n_params + 1
    trial = max(1, n_params // kink_of(activation).n_copies ** 2)
    for _ in range(_TRIALS):
        try:
            network = build(trial)
        except ValueError:
            if trial >= n_params:
                raise
            fits, trial = max(fits, trial), min(2 * trial, large - 1, n_params)
            continue
        made = _compiled(network, activation, tolerance)
        if made.n_params <= n_params:
            best, fits = made, max(trial, fits)
        else:
            large, seen = min(large, trial), made.n_params
        # A compiled network is larger by nearly the same factor at all sizes.
        guess = int(0.995 * n_params * network.n_params / made.n_params)
        trial = guess if fits < guess < large else (fits + large) // 2
        if trial <= fits * 1.01 or made.n_params == n_params:
            break
    if best is None:
        raise ValueError(
            f"n_params must be at least about {seen} for this construction by {activation}. Got n_params={n_params}. "
            "Allow more."
        )
    return Network(best.layers, {**best.provenance, "n_params": n_params})


def _compiled(network: Network, activation: str, tolerance: float | None) -> Network:
    """Compiled with the tolerance asked for, or one that the network's own error does not notice."""
    if tolerance is None:
        bound = network.provenance.get("bound")
        tolerance = bound / 1000 if isinstance(bound, float) and bound > 0 else 2.0**-40
    return compile_network(network, activation, tolerance)


def _provenance(network: Network, activation: str, tolerance: float, error: float) -> dict[str, object]:
    """What the compiled network says of itself."""
    notes = {"activation": activation, "tolerance": tolerance, "error": error, "n_params": network.n_params}
    kept = dict(network.provenance) | {"compiled": notes}
    if isinstance(kept.get("bound"), float):
        kept["bound"] = kept["bound"] + error
    return kept


def _formulas(layer: SparseLayer) -> list[tuple[Row, Dyadic | None]]:
    """Rows with their biases."""
    return list(zip(layer.rows, layer.bias, strict=True))


def _shares(layers: list[SparseLayer], tolerance: Fraction) -> list[list[Fraction]]:
    """For each hidden unit the error that its hinge may have."""
    n_units = sum(layer.n_out for layer in layers[:-1])
    above = [ONE] * layers[-1].n_out
    shares: list[list[Fraction]] = []
    for layer in reversed(layers[1:]):
        below = [ZERO] * layer.n_in
        for amount, row in zip(above, layer.rows, strict=True):
            for source, weight in row:
                below[source] = _rounded(below[source] + abs(weight) * amount, up=True)
        shares.append([tolerance / (2 * n_units * amount.fraction) if amount else tolerance for amount in below])
        above = below
    return shares[::-1]


def _through(row: Row, bias: Dyadic | None, ranges: list[_Range]) -> _Range:
    """Range of an affine combination, rounded outwards."""
    low, high, off = bias or ZERO, bias or ZERO, ZERO
    for source, weight in row:
        part = ranges[source]
        ends = (weight * part.low, weight * part.high)
        low, high = low + min(ends), high + max(ends)
        off = off + abs(weight) * part.off
    return _Range(_rounded(low, up=False), _rounded(high, up=True), _rounded(off, up=True))


def _rounded(value: Dyadic, *, up: bool) -> Dyadic:
    """A bound with few digits, rounded up or down."""
    spare = value.bits - _PLACES
    if spare <= 0:
        return value
    mantissa = -(-value.mantissa >> spare) if up else value.mantissa >> spare
    return Dyadic(mantissa, value.exponent + spare)


def _layer(
    layer: SparseLayer, code: str, kink: Kink, allowed: list[Fraction], readings: list[_Reading], ranges: list[_Range]
) -> tuple[SparseLayer, list[_Reading], list[_Range]]:
    """One layer of compiled units, and how the layer above reads them."""
    rows: list[Row] = []
    biases: list[Dyadic | None] = []
    labels: list[str] = []
    read: list[_Reading] = []
    after: list[_Range] = []
    names = layer.labels or ("",) * layer.n_out
    width = sum(len(reading.terms) for reading in readings)
    for (row, bias), error, name in zip(_formulas(layer), allowed, names, strict=True):
        range_ = _through(row, bias, ranges)
        terms, constant = _substituted(row, bias, readings)
        made = _hinge(code, kink, range_, error)
        first = len(rows)
        for unit in made.units:
            rows.append(tuple((source, weight * unit.zoom) for source, weight in terms))
            shift = unit.shift if constant is None else constant * unit.zoom + unit.shift
            biases.append(shift if shift or constant is not None else None)
            labels.append(name)
        read.append(_Reading(tuple((first + i, u.weight) for i, u in enumerate(made.units)), made.constant))
        off = _rounded(range_.off + _upper(made.error), up=True)
        after.append(_Range(max(range_.low, ZERO), max(range_.high, ZERO), off))
    kept = tuple(labels) if layer.labels is not None else None
    return SparseLayer(width, tuple(rows), tuple(biases), (code,) * len(rows), kept), read, after


def _hinge(code: str, kink: Kink, range_: _Range, error: Fraction) -> Hinge:
    """The copies of one unit: a single one where it is never negative and the activation is the identity there."""
    if range_.low >= ZERO and _is_identity_on_the_right(code):
        return Hinge((Unit(ONE, ZERO, ONE),), ZERO, Fraction(0))
    most = max(abs(range_.low), abs(range_.high)) + range_.off
    return hinge(kink, max(0, most.exponent + most.bits), error)


def _is_identity_on_the_right(code: str) -> bool:
    """Whether the activation is ``t`` for all ``t >= 0`` and 1-Lipschitz, so that a value carried is off no more."""
    a = activations.get(code)
    line = (Fraction(0), Fraction(1))
    slopes = [abs(piece[1]) if len(piece) > 1 else Fraction(0) for piece in a.pieces or ()]
    return (
        a.period is None and a.piecewise_linear and a.breakpoints == (0.0,)
        and a.pieces is not None and a.pieces[-1][:2] == line and max(slopes) <= 1
    )  # fmt: skip


def _substituted(
    row: Row, bias: Dyadic | None, readings: list[_Reading]
) -> tuple[list[tuple[int, Dyadic]], Dyadic | None]:
    """A row with compiled units in place of those it read; a constant only where there was one or copies bring one."""
    terms: list[tuple[int, Dyadic]] = []
    constant = bias
    for source, weight in row:
        reading = readings[source]
        terms += [(unit, weight * factor) for unit, factor in reading.terms]
        if reading.constant:
            constant = (ZERO if constant is None else constant) + weight * reading.constant
    return terms, constant


def _output(layer: SparseLayer, readings: list[_Reading]) -> SparseLayer:
    """The last layer."""
    width = sum(len(reading.terms) for reading in readings)
    made = [_substituted(row, bias, readings) for row, bias in _formulas(layer)]
    rows, biases = tuple(tuple(terms) for terms, _ in made), tuple(constant for _, constant in made)
    return SparseLayer(width, rows, biases, layer.activations, layer.labels)


def _upper(value: Fraction) -> Dyadic:
    """A dyadic number not below a rational, close to it."""
    if not value:
        return ZERO
    places = value.denominator.bit_length() - value.numerator.bit_length() + _PLACES
    scaled = value * Fraction(2) ** places
    return Dyadic(-(-scaled.numerator // scaled.denominator), -places)
