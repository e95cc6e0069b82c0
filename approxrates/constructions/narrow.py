r"""From shallow and wide to deep and narrow: any network with one hidden ReLU layer at width ``dim + 2``, exactly.

``f(x) = sum_{k=1..m} c_k relu(w_k . x + b_k) + c_0`` on ``[0, 1]^dim`` is summed term by term::

    level      1       2                      3                       m                          output
    x          x       x                      x            ...        x
    hinge      u_1     u_2                    u_3          ...        u_m
    sum        -       relu(S + c_1 u_1)      relu(. + c_2 u_2) ...   relu(. + c_{m-1} u_{m-1})  . + c_m u_m + c_0 - S

*Proof.* Inputs are never negative, so ReLU carries them. Term k lies between 0 and ``c_k top_k``, ``top_k`` the largest
value of its hinge on the cube (a corner decides: ``b_k`` plus the positive weights). With ``S = sum_{c_k < 0} |c_k|
top_k`` no partial sum ``S + c_1 u_1 + ... `` is negative at any point, so ReLU passes them unchanged: the two functions
are equal on the cube, and outside it they may not be.

*Count.* The weights of the hinges as they were; ``dim (m - 1)`` carries of ``x``; 2 for each of ``m - 1`` sums, and 3
for the output: ``n_params(hidden) + (dim + 2)(m - 1) + 3`` for ``m > 1``. Depth m. (The idea of trading width for depth
in this way is folklore; Hanin and Sellke 2017, arXiv:1710.11278, need ``dim + 1`` for continuous functions in the
limit.)
"""

from __future__ import annotations

from collections.abc import Sequence

from approxrates.constructions.graph import Affine, Graph, combination
from approxrates.layers import IDENTITY, ZERO, AnyLayer, Dyadic, SparseLayer, sparse
from approxrates.network import Network


def to_fixed_width(network: Network) -> Network:
    """The same function on ``[0, 1]^dim`` as a network of width ``dim + 2``, one hinge a layer.

    Args:
        network: One hidden layer of ReLU units, one output.

    Returns:
        A network equal to it at every point of the cube, in exact arithmetic; provenance tells of what, under ``of``.

    Raises:
        ValueError: If the network has another depth, other units or several outputs.

    Example:
        >>> from approxrates.regularity import Regularity
        >>> from approxrates.target import Target
        >>> from approxrates.constructions.interpolation import build
        >>> square = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(2.0, 1), name="square")
        >>> wide = build(square, cells=8)
        >>> deep = to_fixed_width(wide)
        >>> wide.width, deep.width, deep.depth, wide([0.3], "exact")[0] == deep([0.3], "exact")[0]
        (8, 3, 8, True)
    """
    hidden, last = _shallow(network)
    dim, m = hidden.n_in, hidden.n_out
    graph = Graph(dim)
    x = [graph.input(axis) for axis in range(dim)]
    factors = dict(last.rows[0])
    read = [k for k in range(m) if k in factors]
    provenance = {"construction": "to_fixed_width", "hidden": len(read), "of": dict(network.provenance)}
    if len(read) == 1:
        kept = read[0]
        one = SparseLayer(dim, (hidden.rows[kept],), (hidden.bias[kept],), ("relu",))
        return Network((one, SparseLayer(1, (((0, factors[kept]),),), last.bias, last.activations)), provenance)
    shift = _shift(hidden, factors)
    total = Affine(None, shift)
    for place, k in enumerate(read):
        with graph.part("hinge"):
            reads = combination([(x[axis], weight) for axis, weight in hidden.rows[k]], hidden.bias[k])
            hinge = graph.relu(reads, place + 1)
        moved = combination([(total, 1), (hinge, factors[k])])
        if place < len(read) - 1:
            with graph.part("sum"):
                total = graph.relu(moved, place + 2)
    output = combination([(moved, 1)], (last.bias[0] or ZERO) - shift)
    return graph.network([output], provenance, max_width=dim + 2)


def count(network: Network) -> int:
    """``n_params`` of :func:`to_fixed_width` of a network with two hinges or more, all read, without building it."""
    hidden, _ = _shallow(network)
    return hidden.n_params + (hidden.n_in + 2) * (hidden.n_out - 1) + 3


def fully_connected(layers: Sequence[AnyLayer], width: int) -> tuple[SparseLayer, ...]:
    """Layers of exactly ``width`` units that read all units below; what was not there is a weight of value 0.

    Raises:
        ValueError: If a hidden layer is wider.
    """
    full: list[SparseLayer] = []
    exact = [sparse(layer) for layer in layers]
    n_in = exact[0].n_in
    for k, layer in enumerate(exact):
        n_out = layer.n_out if k == len(exact) - 1 else width
        spare = n_out - layer.n_out
        if spare < 0:
            raise ValueError(f"width must be at least that of every layer. Got width={width}, {layer.n_out} units.")
        values = [dict(row) for row in (*layer.rows, *[()] * spare)]
        rows = tuple(tuple((source, row.get(source, ZERO)) for source in range(n_in)) for row in values)
        bias = tuple(ZERO if b is None else b for b in (*layer.bias, *[None] * spare))
        labels = (*(layer.labels or ("",) * layer.n_out), *["spare"] * spare)
        full.append(SparseLayer(n_in, rows, bias, (*layer.activations, *["relu"] * spare), labels))
        n_in = n_out
    return tuple(full)


def _shallow(network: Network) -> tuple[SparseLayer, SparseLayer]:
    """The two layers of a network with one hidden ReLU layer and one output."""
    layers = [sparse(layer) for layer in network.layers]
    codes = {code for layer in layers[:-1] for code in layer.activations} | set(layers[-1].activations)
    if len(layers) != 2 or codes != {"relu", IDENTITY} or layers[-1].n_out != 1 or not layers[-1].rows[0]:
        raise ValueError(
            "a network must have one hidden layer of relu units and one output that reads it. Got depth "
            f"{network.depth}, {layers[-1].n_out} output(s), units {', '.join(sorted(codes))}. Compile its units first."
        )
    return layers[0], layers[1]


def _shift(hidden: SparseLayer, factors: dict[int, Dyadic]) -> Dyadic:
    """``S``: what all terms of negative sign can sum up to on the cube."""
    shift = ZERO
    for k, factor in factors.items():
        top = sum((weight for _, weight in hidden.rows[k] if weight > 0), hidden.bias[k] or ZERO)
        if factor < 0 and top > 0:
            shift = shift - factor * top
    return shift
