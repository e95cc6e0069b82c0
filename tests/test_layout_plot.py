"""The drawing of a network: every unit has its place, carries keep their lanes, repetitions are cut honestly."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import square
from approxrates.constructions.graph import Graph
from approxrates.layers import ONE, ZERO, Layer, SparseLayer
from approxrates.network import Network
from approxrates.plots import drawn_numbers, plot_channel_layout, save_figure
from approxrates.plots.channel_layout import _places
from approxrates.plots.channels import BLOCK, columns_of, lanes
from approxrates.plots.style import new_figure


def deep_network(steps=60, entries=50):
    """An index chain, a wide table on one level, a long square, and an input that is carried past all of it."""
    graph = Graph(1)
    x = graph.input()
    with graph.part("index"):
        rest = floor_chain(graph, graph.relu(x), 4, 20).remainders[-1]
    with graph.part("table"):
        hinges = [graph.relu(rest - k / 64) for k in range(entries)]
        total = graph.relu(sum(hinges[1:], hinges[0]) >> 10)
    with graph.part("square"):
        squared = square(graph, total, steps)
    return graph.network([squared + x], {"construction": "maker2020_deep_one"})


def trained_network(width=8, depth=3):
    rng = np.random.default_rng(0)
    sizes = [1] + [width] * depth
    hidden = [
        Layer(rng.normal(size=(n, m)), rng.normal(size=n), ("relu",) * (n // 2) + ("sin",) * (n - n // 2))
        for m, n in pairwise(sizes)
    ]
    return Network((*hidden, Layer(rng.normal(size=(1, width)), None, ("identity",))))


@pytest.mark.parametrize("network", [deep_network(), deep_network(5, 6), trained_network(), trained_network(200, 2)])
def test_every_unit_has_one_place_and_no_two_share_a_lane(network):
    columns = columns_of(network)
    assert len(columns) == len(network.layers) + 1
    for layer, column in zip(network.layers, columns[1:], strict=True):
        assert sorted(unit for channel in column for unit in channel.units) == list(range(layer.n_out))
        taken = [lane for channel in column for lane in range(channel.lane, channel.lane + channel.height)]
        assert len(set(taken)) == len(taken)


def test_a_carried_value_stays_on_its_lane():
    columns = columns_of(deep_network())
    carries = [
        (columns[j - 1][c.carries], c) for j, column in enumerate(columns) for c in column if c.carries is not None
    ]
    assert len(carries) > 60
    assert all(before.lane == after.lane for before, after in carries)
    assert {after.part for _, after in carries} == {"input"}


def test_weights_that_are_zero_read_nothing_though_they_are_parameters():
    full = SparseLayer(2, (((0, ONE), (1, ZERO)), ((0, ONE), (1, ONE))), (ZERO, ONE), ("relu",) * 2, ("a carry", "b"))
    first = SparseLayer(1, (((0, ONE),),) * 2, (None,) * 2, ("relu",) * 2, ("a", "spare"))
    last = SparseLayer(2, (((0, ONE), (1, ONE)),), (None,), ("identity",), ("output",))
    columns = columns_of(Network((first, full, last)))
    carry, computed = columns[2]
    assert (carry.carries, carry.reads, computed.carries, computed.reads) == (0, (0,), None, (0, 1))
    legend = [text.get_text() for text in plot_channel_layout(Network((first, full, last))).get_legend().get_texts()]
    assert legend == ["a: 1", "spare: 1", "b: 3", "output: 2", "carried on: 3"]


def test_the_columns_that_are_left_out_repeat_those_that_are_drawn():
    network = deep_network()
    columns = columns_of(network)
    places, breaks = _places(columns)
    assert len(breaks) == 1
    cut = breaks[0]
    assert set(places) == set(range(len(columns))) - set(range(cut.start, cut.stop))

    def seen(j):
        return [(c.part, c.code, c.lane, c.reads, c.carries) for c in columns[j]]

    for j in range(cut.start, cut.stop):
        assert seen(j) == seen(j - cut.period)
    assert (cut.stop - cut.start) % cut.period == 0
    assert _places(columns_of(deep_network(5, 6)))[1] == []


def test_a_wide_table_is_one_box_with_its_number():
    ax = plot_channel_layout(deep_network())
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [round(box.get_height()) for box in boxes] == [BLOCK]
    assert "50" in [text.get_text() for text in ax.texts]
    assert lanes(columns_of(deep_network())) < 20


def test_the_figure_tells_counts_parts_and_what_is_left_out():
    network = deep_network()
    ax = plot_channel_layout(network)
    assert (
        ax.get_title(loc="left")
        == f"Maker 2020, deep one: W = {network.n_params:,}, depth {network.depth}, width {network.width}"
    )
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    shown = {text.partition(":")[0]: int(text.partition(": ")[2].replace(",", "")) for text in legend}
    assert list(shown) == ["index", "table", "square", "output", "carried on"]
    assert sum(shown.values()) == network.n_params
    assert any("more layers" in text.get_text() for text in ax.texts)
    numbers = drawn_numbers(ax)
    assert numbers["n_params"].sum() == network.n_params
    assert numbers["units"].tolist() == [layer.n_out for layer in network.layers]
    assert numbers["carried"].sum() == network.parts["carries"]


@pytest.mark.parametrize("network", [deep_network(), deep_network(150, 300), trained_network(), trained_network(60, 1)])
def test_no_two_texts_overlap_and_all_lie_in_the_figure(network):
    ax = plot_channel_layout(network)
    figure = ax.figure
    figure.canvas.draw()
    texts = [*ax.texts, ax.xaxis.label, ax._left_title, *ax.get_legend().get_texts(), *ax.get_xticklabels()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.height, text
        for other, second in boxes[:i]:
            assert not box.overlaps(second), (text, other)


def test_a_trained_network_has_one_part_and_a_mark_for_each_activation():
    legend = [text.get_text() for text in plot_channel_layout(trained_network()).get_legend().get_texts()]
    assert legend == ["hidden: 160", "output: 8", "relu", "sin"]


def test_it_draws_on_the_axes_given_and_saves_the_same_bytes(tmp_path):
    ax = new_figure(5, 3).add_subplot()
    assert plot_channel_layout(trained_network(), ax) is ax
    for name in ("a", "b"):
        save_figure(plot_channel_layout(deep_network(8, 5)), tmp_path / name, formats=("svg",))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"), [((3,), "network must be a Network"), ((trained_network(), 3), "Axes")]
)
def test_other_things_are_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        plot_channel_layout(*arguments)
