"""A network in one file: safetensors holding weights, masks, activation codes and provenance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Layer

FORMAT, VERSION = "approxrates-network", "1"


def save_layers(path: str | Path, layers: Sequence[Layer], provenance: Mapping[str, Any]) -> None:
    """Write layers and provenance; weights bit for bit, an existing file replaced in one step.

    Raises:
        OSError: If the file cannot be written; nothing is left behind then.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for index, layer in enumerate(layers):
        for part in ("weight", "bias", "weight_mask", "bias_mask"):
            array = getattr(layer, part)
            if array is not None:
                tensors[f"{index}.{part}"] = np.ascontiguousarray(array)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "activations": json.dumps([list(layer.activations) for layer in layers]),
        "provenance": json.dumps(dict(provenance)),
    }
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


def load_layers(path: str | Path) -> tuple[tuple[Layer, ...], dict[str, Any]]:
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
            if metadata.get("version") != VERSION:
                raise ValueError(
                    f"{path} must be a network file of version {VERSION}. "
                    f"Got version {metadata.get('version')}. Update approxrates."
                )
            codes = json.loads(metadata["activations"])
            names = set(file.keys())
            parts = [
                {n.partition(".")[2]: file.get_tensor(n) for n in names if n.partition(".")[0] == str(i)}
                for i in range(len(codes))
            ]
        if len(names) != sum(map(len, parts)):
            raise _refusal(path, "its tensors and its activation codes do not fit")
        layers = tuple(
            Layer(p["weight"], p.get("bias"), tuple(c), p.get("weight_mask"), p.get("bias_mask"))
            for p, c in zip(parts, codes, strict=True)
        )
        return layers, json.loads(metadata["provenance"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise _refusal(path, f"it is damaged ({type(error).__name__})") from None


def _refusal(path: str | Path, why: str) -> ValueError:
    """The one message for every file that is no good."""
    return ValueError(
        f"{path} must be a network file. Got a file of another kind: {why}. Write it again with network.save(path)."
    )
