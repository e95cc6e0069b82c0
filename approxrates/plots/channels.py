"""Where the units of a network are drawn: columns of channels, each value on one lane for as long as it is carried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from approxrates.layers import AnyLayer, Layer
from approxrates.network import Network
from approxrates.network.description import CARRY, part_of

BLOCK = 4
"""Lanes of a block: many units of one part drawn as one box."""
_CAPS = (40, 20, 10, 7)
_LANES, _CALM, _EXCESS = 44, 18, 1.5
"""Units are drawn one by one on up to 44 lanes, unless a few wide layers would stand among many narrow ones: then on up
to 18, or half as many again as most layers need."""


@dataclass(frozen=True)
class Channel:
    """One unit, or a block of alike units of one layer.

    Attributes:
        part: What it belongs to.
        code: Its activation; empty for inputs.
        units: Numbers of its units in the layer.
        reads: Channels of the column before that it reads.
        carries: The channel of the column before whose value it carries on, None if it computes.
        lane: Its first lane, counted from the top.
        height: How many lanes it takes.
    """

    part: str
    code: str
    units: tuple[int, ...]
    reads: tuple[int, ...]
    carries: int | None
    lane: int
    height: int

    @property
    def centre(self) -> float:
        """Middle of its lanes."""
        return self.lane + (self.height - 1) / 2


Column = tuple[Channel, ...]


def columns_of(network: Network) -> list[Column]:
    """The inputs, then the layers: units one by one where there is room, else the many of one part as a block."""
    for cap in _CAPS:
        columns = _columns(network, cap)
        usual = float(np.median([lanes([column]) for column in columns]))
        if lanes(columns) <= min(_LANES, max(_CALM, _EXCESS * usual)):
            break
    return columns


def lanes(columns: Sequence[Column]) -> int:
    """Lanes in use."""
    return max(channel.lane + channel.height for column in columns for channel in column)


def _columns(network: Network, cap: int) -> list[Column]:
    """Columns in which at most ``cap`` units of one part stand one by one."""
    groups = _split(range(network.dim), cap)
    column: Column = tuple(
        Channel("input", "", units, (), None, lane, height)
        for (units, height), lane in zip(groups, _stacked(height for _, height in groups), strict=True)
    )
    found, homes = [column], dict[tuple[str, str, int], int]()
    for layer, labels in zip(network.layers, network.labels, strict=True):
        column = _column(layer, labels, column, homes, cap)
        found.append(column)
    return found


def _column(
    layer: AnyLayer, labels: tuple[str, ...], before: Column, homes: dict[tuple[str, str, int], int], cap: int
) -> Column:
    """One layer: carried values stay on their lanes, computed ones go where their part was last."""
    owner = {unit: k for k, channel in enumerate(before) for unit in channel.units}
    reads = [{owner[source] for source in row} for row in _sources(layer)]
    carried: dict[int, list[int]] = {}
    computed: dict[tuple[str, str], list[int]] = {}
    for unit, (label, code) in enumerate(zip(labels, layer.activations, strict=True)):
        if label.endswith(CARRY) and len(reads[unit]) == 1:
            carried.setdefault(next(iter(reads[unit])), []).append(unit)
        else:
            computed.setdefault((part_of(label), code), []).append(unit)
    taken, channels = set[int](), list[Channel]()
    for source in sorted(carried, key=lambda k: before[k].lane):
        units, height = tuple(carried[source]), before[source].height if len(carried[source]) > 1 else 1
        lane = _free(taken, height, before[source].lane)
        part = part_of(labels[units[0]])
        channels.append(Channel(part, layer.activations[units[0]], units, (source,), source, lane, height))
    for (part, code), members in computed.items():
        for k, (units, height) in enumerate(_split(members, cap)):
            lane = _free(taken, height, homes.get((part, code, k)))
            homes[part, code, k] = lane
            read = tuple(sorted(set().union(*(reads[unit] for unit in units))))
            channels.append(Channel(part, code, units, read, None, lane, height))
    return tuple(channels)


def _sources(layer: AnyLayer) -> Iterator[list[int]]:
    """For each unit the inputs that it reads: a weight that is zero reads nothing, be it a parameter or not."""
    if not isinstance(layer, Layer):
        yield from ([source for source, weight in row if weight] for row in layer.rows)
        return
    yield from (np.flatnonzero(row).tolist() for row in layer.weight)


def _split(units: Sequence[int], cap: int) -> list[tuple[tuple[int, ...], int]]:
    """Units one by one, or as one block if there are more than ``cap``; each with its height."""
    return [(tuple(units), BLOCK)] if len(units) > cap else [((unit,), 1) for unit in units]


def _stacked(heights: Iterator[int]) -> list[int]:
    """First lanes of things one above the other."""
    ends = np.cumsum([0, *heights])
    return [int(end) for end in ends[:-1]]


def _free(taken: set[int], height: int, wanted: int | None) -> int:
    """The lane that is wanted if it is free, else the first one with room; taken from then on."""
    lane = 0 if wanted is None else wanted
    if not taken.isdisjoint(range(lane, lane + height)):
        lane = 0
    while not taken.isdisjoint(range(lane, lane + height)):
        lane += 1
    taken.update(range(lane, lane + height))
    return lane
