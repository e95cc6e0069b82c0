"""A network in one file: safetensors holding weights, masks, activation codes and provenance.

Version 1 holds dense layers, one tensor for each of their arrays. Version 2 holds sparse layers of exact weights too,
all of them in one set of arrays (see :mod:`approxrates.network.packing`). Version 3 holds the wiring of skip
connections besides. Every network is written as the lowest version that holds it, so that earlier releases read what
they can.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import AnyLayer, Layer, SparseLayer
from approxrates.network.packing import pack, unpack

FORMAT, VERSIONS = "approxrates-network", ("1", "2", "3")
_PARTS = ("weight", "bias", "weight_mask", "bias_mask", "wiring")


def save_layers(path: str | Path, layers: Sequence[AnyLayer], provenance: Mapping[str, Any]) -> None:
    """Write layers and provenance; weights bit for bit, an existing file replaced in one step.

    Raises:
        ValueError: If the exponent of an exact weight takes more than 64 bits.
        OSError: If the file cannot be written; nothing is left behind then.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    exact = [layer for layer in layers if isinstance(layer, SparseLayer)]
    for index, layer in enumerate(layers):
        if isinstance(layer, SparseLayer):
            continue
        for part in _PARTS:
            array = getattr(layer, part)
            if array is not None:
                tensors[f"{index}.{part}"] = np.ascontiguousarray(array)
    metadata = {
        "format": FORMAT,
        "version": VERSIONS[2 if any(name.endswith(".wiring") for name in tensors) else bool(exact)],
        "activations": json.dumps([None if isinstance(la, SparseLayer) else list(la.activations) for la in layers]),
        "provenance": json.dumps(dict(provenance)),
    }
    if exact:
        arrays, table = pack(exact)
        tensors |= {f"sparse.{name}": array for name, array in arrays.items()}
        metadata["sparse"] = json.dumps(table)
    target, data = Path(path), save(tensors, metadata)
    if not target.name or target.is_dir():
        raise IsADirectoryError(f"path must be a file. Got {path}, which is a folder. Write save('net.safetensors').")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path must lie in an existing folder. Got {path}. Make the folder {target.parent}.")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if not isinstance(problem, OSError):
            raise
        why = problem.strerror or problem
        raise type(problem)(f"path must be a file that can be written. Got {path} ({why}). Choose another.") from None


def load_layers(path: str | Path) -> tuple[tuple[AnyLayer, ...], dict[str, Any]]:
    """Read what :func:`save_layers` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, of another kind, or of a later version of the format.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(
            f"path must be a network file. Got {path}, which is no file. Write one with network.save(path)."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise _refusal(path, "it was not written by Network.save")
            if metadata.get("version") not in VERSIONS:
                raise ValueError(
                    f"{path} must be a network file of version {' or '.join(VERSIONS)}. "
                    f"Got version {metadata.get('version')}. Update approxrates."
                )
            parts: dict[str, dict[str, NDArray[Any]]] = {}
            names = file.keys()
            for name in names:
                owner, _, part = name.partition(".")
                parts.setdefault(owner, {})[part] = file.get_tensor(name)
        return _layers(path, metadata, parts), json.loads(metadata["provenance"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise _refusal(path, f"it is damaged ({type(error).__name__})") from None


def _layers(
    path: str | Path, metadata: Mapping[str, str], parts: dict[str, dict[str, NDArray[Any]]]
) -> tuple[AnyLayer, ...]:
    """The layers of a file from its tensors, grouped by what stands before the first point of their names."""
    codes = json.loads(metadata["activations"])
    sparse: list[SparseLayer] = []
    if "sparse" in metadata:
        try:
            sparse = unpack(parts.pop("sparse"), json.loads(metadata["sparse"]))
        except ValueError as error:
            raise _refusal(path, f"its exact layers are damaged ({type(error).__name__})") from None
    dense = {str(index) for index, own in enumerate(codes) if own is not None}
    if set(parts) != dense or len(codes) - len(dense) != len(sparse):
        raise _refusal(path, "its tensors and its activation codes do not fit")
    ready, layers = iter(sparse), list[AnyLayer]()
    for index, own in enumerate(codes):
        if own is None:
            layers.append(next(ready))
            continue
        p = parts[str(index)]
        layers.append(Layer(p["weight"], p.get("bias"), tuple(own), *(p.get(part) for part in _PARTS[2:])))
    return tuple(layers)


def _refusal(path: str | Path, why: str) -> ValueError:
    """The one message for every file that is no good."""
    return ValueError(
        f"{path} must be a network file. Got a file of another kind: {why}. Write it again with network.save(path)."
    )
