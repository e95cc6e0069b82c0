"""Sparse layers of exact weights as a few flat arrays, so that a network of a thousand layers is a small file.

All sparse layers of a network share the arrays. Parameters come in the order of :meth:`SparseLayer.entries`: a layer's
weights row by row, then its biases. A weight ``+-m 2^e`` is a sign, an exponent, and the bytes of ``m``, low ones
first; ``m`` is odd or zero, so that the file of a network does not depend on how its weights came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Dyadic, SparseLayer

Arrays = dict[str, NDArray[Any]]
_NAMES = (
    *("row_lengths", "sources", "has_bias", "codes", "labels"),
    *("negative", "exponents", "mantissa_bytes", "mantissas"),
)


def pack(layers: Sequence[SparseLayer]) -> tuple[Arrays, dict[str, Any]]:
    """Layers as flat arrays, and what describes them as JSON.

    Returns:
        Arrays ``row_lengths``, ``has_bias``, ``codes`` and ``labels`` (one entry per unit; -1 for a layer without
        labels), ``sources`` (one per weight), ``negative``, ``exponents`` and ``mantissa_bytes`` (one per parameter)
        and ``mantissas`` (bytes); and ``{"shapes": [[n_in, n_out], ...], "codes": [...], "labels": [...]}``.

    Raises:
        ValueError: If an exponent takes more than 64 bits.
    """
    codes = list(dict.fromkeys(code for layer in layers for code in layer.activations))
    labels = list(dict.fromkeys(label for layer in layers for label in layer.labels or ()))
    code_of, label_of = ({name: i for i, name in enumerate(names)} for names in (codes, labels))
    entries = [value for layer in layers for value in layer.entries()]
    pieces = [_bytes(value.mantissa) for value in entries]
    largest = max((abs(value.exponent) for value in entries), default=0)
    if largest.bit_length() > 63:
        raise ValueError(
            f"exponents must fit into 64 bits to be saved. Got one of {largest.bit_length()} bits. Scale the weights."
        )
    arrays: Arrays = {
        "row_lengths": _whole(len(row) for layer in layers for row in layer.rows),
        "sources": _whole(source for layer in layers for row in layer.rows for source, _ in row),
        "has_bias": np.array([b is not None for layer in layers for b in layer.bias], dtype=np.bool_),
        "codes": _whole(code_of[code] for layer in layers for code in layer.activations),
        "labels": _whole(
            -1 if layer.labels is None else label_of[layer.labels[unit]]
            for layer in layers
            for unit in range(layer.n_out)
        ),
        "negative": np.array([value.mantissa < 0 for value in entries], dtype=np.bool_),
        "exponents": _whole(value.exponent for value in entries),
        "mantissa_bytes": _whole(map(len, pieces)),
        "mantissas": np.array(bytearray(b"".join(pieces)), dtype=np.uint8),
    }
    shapes = [[layer.n_in, layer.n_out] for layer in layers]
    return arrays, {"shapes": shapes, "codes": codes, "labels": labels}


def unpack(arrays: Mapping[str, NDArray[Any]], table: Mapping[str, Any]) -> list[SparseLayer]:
    """What :func:`pack` was given.

    Raises:
        KeyError: If an array or a part of the table is missing.
        ValueError: If they do not fit together.
        TypeError: If something is of another kind.
    """
    flat = {name: arrays[name] for name in _NAMES}
    shapes = [(int(n_in), int(n_out)) for n_in, n_out in table["shapes"]]
    _check(flat, shapes, table)
    values, sources = _values(flat), iter(flat["sources"].tolist())
    layers = []
    for (n_in, n_out), start in zip(shapes, accumulate((n_out for _, n_out in shapes), initial=0), strict=False):
        own = slice(start, start + n_out)
        rows = [
            tuple((next(sources), next(values)) for _ in range(length)) for length in flat["row_lengths"][own].tolist()
        ]
        bias = [next(values) if stored else None for stored in flat["has_bias"][own].tolist()]
        codes = tuple(table["codes"][code] for code in flat["codes"][own].tolist())
        numbers = flat["labels"][own].tolist()
        labels = None if -1 in numbers else tuple(table["labels"][number] for number in numbers)
        layers.append(SparseLayer(n_in, tuple(rows), tuple(bias), codes, labels))
    return layers


def _check(flat: Arrays, shapes: Sequence[tuple[int, int]], table: Mapping[str, Any]) -> None:
    """Raise unless lengths and ranges agree, so that nothing is read twice, left over, or from elsewhere."""
    units = sum(n_out for _, n_out in shapes)
    lengths, n_bytes = flat["row_lengths"], flat["mantissa_bytes"]
    n_weights = len(flat["sources"])
    n_entries = n_weights + int(np.count_nonzero(flat["has_bias"]))
    fits = (
        all(array.ndim == 1 for array in flat.values())
        and all(array.dtype == _kind(name) for name, array in flat.items())
        and min((n_out for _, n_out in shapes), default=0) >= 0
        and all(len(flat[name]) == units for name in ("row_lengths", "has_bias", "codes", "labels"))
        and all(len(flat[name]) == n_entries for name in ("negative", "exponents", "mantissa_bytes"))
        and int(lengths.min(initial=0)) >= 0
        and int(lengths.sum()) == n_weights
        and int(n_bytes.min(initial=0)) >= 0
        and int(n_bytes.sum()) == len(flat["mantissas"])
        and _within(flat["codes"], 0, len(table["codes"]))
        and _within(flat["labels"], -1, len(table["labels"]))
    )
    if not fits:
        raise ValueError("arrays of sparse layers must fit together. Got lengths or ranges that do not.")


def _within(numbers: NDArray[Any], low: int, end: int) -> bool:
    """Whether all lie in ``low <= number < end``."""
    return not len(numbers) or (int(numbers.min()) >= low and int(numbers.max()) < end)


def _kind(name: str) -> Any:
    """The dtype of an array."""
    return {"has_bias": np.bool_, "negative": np.bool_, "mantissas": np.uint8}.get(name, np.int64)


def _whole(numbers: Any) -> NDArray[np.int64]:
    """Integers as an array."""
    return np.fromiter(numbers, dtype=np.int64)


def _bytes(mantissa: int) -> bytes:
    """Its absolute value, low bytes first, as few as there are."""
    size = abs(mantissa)
    return size.to_bytes((size.bit_length() + 7) // 8, "little")


def _values(flat: Arrays) -> Iterator[Dyadic]:
    """The parameters in order."""
    data = flat["mantissas"].tobytes()
    ends = accumulate(flat["mantissa_bytes"].tolist(), initial=0)
    signs, exponents = flat["negative"].tolist(), flat["exponents"].tolist()
    for (start, end), negative, exponent in zip(pairwise(ends), signs, exponents, strict=True):
        size = int.from_bytes(data[start:end], "little")
        yield Dyadic(-size if negative else size, exponent)
