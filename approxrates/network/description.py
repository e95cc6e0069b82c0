"""A network in words: counts, bits, parts, and its layers, equal ones told together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from approxrates.layers import IDENTITY, AnyLayer, Layer
from approxrates.network.runs import Run, runs

Labels = Sequence[tuple[str, ...]]
CARRY = " carry"
"""What ends the label of a unit that only carries a value on."""
SKIP = "skip" + CARRY
"""The label of a unit that is wired only."""
_MOST_LINES = 40
"""Lines on layers; what is between the first and the last ones is left out."""


def part_of(label: str) -> str:
    """The part that a label names: without the mark of a carry."""
    return label.removesuffix(CARRY)


def unit_params(layer: AnyLayer) -> list[int]:
    """Weights and bias of each unit that are not structurally zero."""
    if not isinstance(layer, Layer):
        return [len(row) + (b is not None) for row, b in zip(layer.rows, layer.bias, strict=True)]
    weights = [layer.n_in] * layer.n_out if layer.weight_mask is None else layer.weight_mask.sum(axis=1).tolist()
    if layer.bias is None:
        return [int(n) for n in weights]
    stored = [1] * layer.n_out if layer.bias_mask is None else layer.bias_mask.tolist()
    return [int(n) + int(b) for n, b in zip(weights, stored, strict=True)]


def parts_of(layers: Sequence[AnyLayer], labels: Labels) -> dict[str, int]:
    """Weights and biases by part, in order of appearance; carries together as ``"carries"``."""
    counts: Counter[str] = Counter()
    for layer, own in zip(layers, labels, strict=True):
        for label, n_params in zip(own, unit_params(layer), strict=True):
            counts["carries" if label.endswith(CARRY) else label] += n_params
    carries = counts.pop("carries", 0)
    return dict(counts) | ({"carries": carries} if carries else {})


def layer_lines(layers: Sequence[AnyLayer], labels: Labels) -> list[str]:
    """Units by activation, weights by part, and one line per run of layers that are equal but for their weights."""
    codes = Counter(code for layer in layers for code in layer.activations)
    kinds = [_kind(layer, own) for layer, own in zip(layers, labels, strict=True)]
    lines = [_run_line(kinds, run) for run in runs(kinds)]
    if len(lines) > _MOST_LINES:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} more lines ...", *lines[-half:]]
    parts = ", ".join(f"{n:,} {part}" for part, n in parts_of(layers, labels).items())
    return [f"units: {_counts(codes)}", f"weights by part: {parts}", *lines]


def _counts(codes: Mapping[str, int]) -> str:
    """Units by activation code, the output's identity last."""
    return ", ".join(f"{codes[code]:,} {code}" for code in sorted(codes, key=lambda c: (c == IDENTITY, c)))


def _kind(layer: AnyLayer, labels: tuple[str, ...]) -> tuple[Any, ...]:
    """What makes a layer equal to another one for readers."""
    parts = tuple(dict.fromkeys(label for label in labels if not label.endswith(CARRY)))
    carries = sum(label.endswith(CARRY) for label in labels)
    return layer.n_in, layer.n_out, layer.n_params, _counts(Counter(layer.activations)), parts, carries


def _run_line(kinds: list[tuple[Any, ...]], run: Run) -> str:
    """A run of layers in words."""
    block = kinds[run.start : run.start + run.period]
    if run.stop - run.start == 1:
        n_in, n_out, n_params, codes, parts, carries = block[0]
        carried = f", {carries:,} of them carried" if carries else ""
        return f"layer {run.start}: {n_in:,} -> {n_out:,} ({codes}{carried}), {n_params:,} weights: {_names(parts)}"
    where = f"layers {run.start}-{run.stop - 1}: {_names(dict.fromkeys(p for kind in block for p in kind[4]))}, "
    if run.period == 1:
        _, n_out, n_params, codes, _, carries = block[0]
        carried = f", {carries:,} of them carried" if carries else ""
        return f"{where}{n_out:,} units each ({codes}{carried}), {n_params:,} weights each"
    units, weights = ([kind[i] for kind in block] for i in (1, 2))
    return (
        f"{where}{run.repeats:,} times {run.period} layers of {', '.join(f'{n:,}' for n in units)} units "
        f"and {', '.join(f'{n:,}' for n in weights)} weights"
    )


def _names(parts: Any) -> str:
    """Parts in a line; carries only where there is nothing else."""
    return ", ".join(parts) or "carries"


def origin(provenance: Mapping[str, Any]) -> str:
    """Where a network comes from: construction, sizes, target; anything else as JSON."""
    known = dict(provenance)
    name = known.pop("construction", None)
    if name is None:
        return json.dumps(known, sort_keys=True)
    target = known.pop("target", None)
    sizes = [f"{key}={_value(value)}" for key, value in known.items() if value is not None and key != "mesh"]
    if target:
        sizes.append("target " + " ".join(f"{k}={_value(v)}" for k, v in dict(target).items()))
    return f"{name}: " + ", ".join(sizes)


def _value(value: Any) -> str:
    """A setting in a few letters."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
