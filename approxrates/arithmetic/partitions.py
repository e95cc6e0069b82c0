"""Partitions of points into classes: what columns of a network's values are indexed by, and their common refinements.

Most units of a deep construction depend on the point through its cell only. Their values are stored once per class;
a sum of units is formed on the common refinement of their classes. A partition that was made by merging classes of
another remembers it, so that the two are refined without looking at the points.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int32]

_SERIAL = itertools.count()
_CACHE_BYTES = 1 << 28
"""Refinements and merged partitions that are kept for units that ask again: a quarter of a gigabyte at most."""
_DENSE = 1 << 22
"""Up to this many pairs of classes are counted in a table, more are sorted."""


class Partition:
    """Points split into classes ``0 .. n_classes - 1``, none empty.

    Attributes:
        n_classes: How many.
        n_points: How many points.
        parent: The partition whose classes were merged, or None.
        merged: For each class of the parent its class here, or None.
        serial: A number of its own.
    """

    __slots__ = ("_examples", "_labels", "merged", "n_classes", "n_points", "parent", "serial")

    def __init__(
        self,
        n_classes: int,
        n_points: int,
        labels: Index | None = None,
        parent: Partition | None = None,
        merged: Index | None = None,
    ) -> None:
        self.n_classes, self.n_points = n_classes, n_points
        self.parent, self.merged = parent, merged
        self._labels: Index | None = labels
        self._examples: Index | None = None
        self.serial = next(_SERIAL)

    @property
    def labels(self) -> Index:
        """The class of each point, shape ``(n_points,)``."""
        if self._labels is None:
            assert self.parent is not None
            assert self.merged is not None
            self._labels = self.merged[self.parent.labels]
        return self._labels

    @property
    def examples(self) -> Index:
        """One point of each class, shape ``(n_classes,)``."""
        if self._examples is None:
            found = np.empty(self.n_classes, dtype=np.int32)
            found[self.labels] = np.arange(self.n_points, dtype=np.int32)
            self._examples = found
        return self._examples


Refinement = tuple[Partition, Index | None, Index | None]
"""The common refinement of two partitions and, for each of its classes, the class of the first and of the second
partition; None where the refinement is that partition itself."""


class Partitions:
    """Makes refinements and coarser partitions, and keeps the latest within a fixed amount of memory.

    Args:
        capacity: Bytes of the arrays that are kept.
    """

    def __init__(self, capacity: int = _CACHE_BYTES) -> None:
        self.capacity = capacity
        self.held = 0
        self._kept: OrderedDict[Any, tuple[int, Any]] = OrderedDict()

    def coarser(self, fine: Partition, merged: NDArray[np.integer[Any]], n_classes: int) -> Partition:
        """The partition whose class is ``merged[k]`` where that of ``fine`` is ``k``; equal ones are one object."""
        down: Index = np.ascontiguousarray(merged, dtype=np.int32)
        key = (fine.serial, hash(down.tobytes()), "merged")
        known = self._find(key)
        if known is not None and np.array_equal(known[1], down):
            coarse: Partition = known[0]
            return coarse
        grand = fine.parent
        if grand is not None and fine.merged is not None and grand.n_classes <= 4 * fine.n_classes:
            made = Partition(n_classes, fine.n_points, None, grand, down[fine.merged])
        else:
            made = Partition(n_classes, fine.n_points, None, fine, down)
        self._keep(key, 4 * (fine.n_classes + fine.n_points), (made, down))
        return made

    def refinement(self, left: Partition, right: Partition) -> Refinement:
        """The common refinement of two partitions, with the maps down to both."""
        if left is right:
            return left, None, None
        if left.n_classes == 1:
            return right, np.zeros(right.n_classes, dtype=np.int32), None
        if right.n_classes == 1:
            return left, None, np.zeros(left.n_classes, dtype=np.int32)
        if left.serial > right.serial:
            both, to_right, to_left = self.refinement(right, left)
            return both, to_left, to_right
        if right.parent is left:
            return left, None, right.merged
        if left.parent is right:
            return right, left.merged, None
        key = (left.serial, right.serial)
        known: Refinement | None = self._find(key)
        if known is None:
            known = self._refined(left, right)
            self._keep(key, 4 * (known[0].n_points + 2 * known[0].n_classes), known)
        return known

    def _refined(self, left: Partition, right: Partition) -> Refinement:
        """:meth:`refinement` of partitions that are neither the same nor made of one another."""
        if left.n_classes == left.n_points:
            return left, None, right.labels[left.examples]
        if right.n_classes == right.n_points:
            return right, left.labels[right.examples], None
        base = left.parent if left.parent is right.parent else None
        if base is not None and left.merged is not None and right.merged is not None:
            ours, theirs = left.merged, right.merged
        else:
            base, ours, theirs = None, left.labels, right.labels
        for one, a, b, swap in ((left, ours, theirs, False), (right, theirs, ours, True)):
            example = np.empty(one.n_classes, dtype=np.int32)
            example[a] = np.arange(len(a), dtype=np.int32)
            down = b[example]
            if np.array_equal(down[a], b):  # one partition refines the other
                return (one, down, None) if swap else (one, None, down)
        labels, to_left, to_right = _pairs(ours, theirs, left.n_classes, right.n_classes)
        n_classes = len(to_left)
        if base is None:
            return Partition(n_classes, left.n_points, labels), to_left, to_right
        if n_classes == base.n_classes:
            return base, ours, theirs
        return Partition(n_classes, left.n_points, None, base, labels), to_left, to_right

    def _find(self, key: Any) -> Any:
        """What is kept under a key, now the latest; or None."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        self._kept.move_to_end(key)
        return entry[1]

    def _keep(self, key: Any, size: int, value: Any) -> None:
        """Keep a value, and forget the oldest ones beyond the capacity."""
        before = self._kept.pop(key, None)
        self.held += size - (before[0] if before else 0)
        self._kept[key] = size, value
        while self.held > self.capacity and len(self._kept) > 1:
            _, (gone, _) = self._kept.popitem(last=False)
            self.held -= gone


def _pairs(ours: Index, theirs: Index, n_ours: int, n_theirs: int) -> tuple[Index, Index, Index]:
    """Distinct pairs of labels: the number of each place's pair, and the two labels of each pair."""
    codes = ours.astype(np.int64) * n_theirs + theirs
    if n_ours * n_theirs <= max(_DENSE, 8 * len(codes)):
        seen = np.zeros(n_ours * n_theirs, dtype=bool)
        seen[codes] = True
        distinct = np.flatnonzero(seen)
        number = np.empty(n_ours * n_theirs, dtype=np.int32)
        number[distinct] = np.arange(len(distinct), dtype=np.int32)
        labels = number[codes]
    else:
        distinct, inverse = np.unique(codes, return_inverse=True)
        labels = inverse.astype(np.int32)
    return labels, (distinct // n_theirs).astype(np.int32), (distinct % n_theirs).astype(np.int32)
