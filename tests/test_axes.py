"""Axes: what is swept, what is crossed, what is stepped together."""

from dataclasses import dataclass
from typing import Any

import pytest

from approxrates.axes import Axis, axis, expand, has_axis, variants


@dataclass(frozen=True)
class Box:
    width: Any
    depth: Any = 2
    name: str = "box"


def test_a_template_without_axes_is_its_own_only_variant():
    box = Box(3)
    assert variants(box) == [box]
    assert not has_axis(box)


def test_axes_are_crossed_in_the_order_of_the_fields():
    template = Box(axis(1, 2), axis(5, 6, 7))
    assert has_axis(template)
    assert [(b.width, b.depth) for b in variants(template)] == [(w, d) for w in (1, 2) for d in (5, 6, 7)]


def test_linked_axes_are_stepped_together_and_crossed_with_others():
    width, depth = axis.zip([8, 16, 32], axis(32, 16, 8))
    boxes = variants(Box(width, depth, axis("a", "b")))
    assert len(boxes) == 6
    assert {(b.width, b.depth) for b in boxes} == {(8, 32), (16, 16), (32, 8)}


def test_an_axis_used_twice_alone_is_crossed_with_itself():
    sizes = axis(1, 2)
    assert len(expand([("a", sizes), ("b", sizes)])) == 4


def test_geometric_axis_of_whole_numbers_stays_whole_and_does_not_repeat():
    assert axis.geom(2, 64, 6).values == (2, 4, 8, 16, 32, 64)
    assert axis.geom(1, 3, 5).values == (1, 2, 3)
    assert axis.geom(0.1, 10.0, 3).values == pytest.approx((0.1, 1.0, 10.0))


def test_axes_are_compared_by_identity():
    assert axis(1) != axis(1)
    assert isinstance(axis(1), Axis)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: axis(), "at least one value"),
        (lambda: axis.geom(0, 4, 3), "positive ends"),
        (lambda: axis.geom(1, 4, 1), "num >= 2"),
        (lambda: axis.zip([1, 2], [1]), "equal length"),
    ],
    ids=["empty", "zero end", "one point", "unequal columns"],
)
def test_bad_axes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
