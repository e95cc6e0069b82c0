"""Exact weights everywhere: dyadic numbers, sparse layers, their files, torch, pickles, descriptions."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from approxrates.catalogue import load_target
from approxrates.constructions import construct
from approxrates.constructions.gadgets.sawtooth import square
from approxrates.constructions.graph import Graph
from approxrates.errors.sobolev import sobolev_error
from approxrates.layers import IDENTITY, Dyadic, Layer, SparseLayer, dense, dyadic, nearest, sparse
from approxrates.network import Network
from approxrates.network.packing import pack, unpack
from approxrates.network.runs import runs

ODD = 2**300 + 1  # 301 bits: no float holds it
numbers = st.builds(
    Dyadic, st.one_of(st.integers(-(2**70), 2**70), st.integers(-(2**400), 2**400)), st.integers(-600, 600)
)


@st.composite
def sparse_layers(draw, n_in=None):
    n_in = draw(st.integers(0, 5)) if n_in is None else n_in
    n_out = draw(st.integers(1, 4))
    rows = []
    for _ in range(n_out):
        sources = draw(st.lists(st.integers(0, n_in - 1), unique=True)) if n_in else []
        rows.append(tuple((source, draw(numbers)) for source in sources))
    bias = draw(st.lists(st.none() | numbers, min_size=n_out, max_size=n_out))
    codes = draw(st.lists(st.sampled_from(["relu", "abs", IDENTITY]), min_size=n_out, max_size=n_out))
    labels = draw(st.none() | st.lists(st.sampled_from(["", "table", "déjà vu carry"]), min_size=n_out, max_size=n_out))
    return SparseLayer(n_in, tuple(rows), tuple(bias), tuple(codes), labels)


def contents(layer):
    return layer.n_in, layer.rows, layer.bias, layer.activations, layer.labels


def long_network():
    """Weights of 1, 2, 301 and 70,000 bits, a zero that is a parameter, two unlike activations, and a dense layer."""
    first = SparseLayer(
        1,
        (((0, Dyadic(1, 4)),), ((0, Dyadic(-ODD, -301)),), ()),
        (None, Dyadic(3, -2), Dyadic(0)),
        ("relu", "abs", "relu"),
        ("index", "table", "table carry"),
    )
    second = SparseLayer(3, (((2, Dyadic(-(3**44164), -69999)), (0, Dyadic(1))),), (None,), ("relu",), ("decoder",))
    return Network((first, second, Layer(np.array([[0.75]]), np.array([0.0]), (IDENTITY,))), {"made": "by hand"})


def float_network():
    graph = Graph(1)
    with graph.part("square"):
        total = square(graph, graph.relu(graph.input()), 30)
    return graph.network([total], {"construction": "square", "steps": 30, "target": {"name": "x^2"}})


@given(numbers, numbers, st.integers(-50, 50))
def test_dyadic_arithmetic_is_that_of_rationals(a, b, places):
    assert (a + b).fraction == a.fraction + b.fraction
    assert (a - b).fraction == a.fraction - b.fraction
    assert (a * b).fraction == a.fraction * b.fraction
    assert (-abs(a)).fraction == -abs(a.fraction)
    assert (a << places).fraction == a.fraction * Fraction(2) ** places
    assert (a >> places) == (a << -places)
    assert (a < b, a == b, a >= b) == (a.fraction < b.fraction, a.fraction == b.fraction, a.fraction >= b.fraction)
    assert int(a) == int(a.fraction)
    assert a.mantissa % 2 == 1 or (a.mantissa, a.exponent) == (0, 0)
    assert hash(a) == hash(a.fraction)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers()))
def test_floats_and_integers_are_dyadic_numbers_and_come_back(value):
    number = dyadic(value)
    assert number.fraction == Fraction(value)
    assert number.is_float() or isinstance(value, int)
    if number.is_float():
        assert float(number) == value


@given(numbers)
def test_the_nearest_float_is_the_one_of_exact_division(number):
    assert float(number) == float(number.fraction)
    assert number.is_float() == (Fraction(float(number)) == number.fraction)


@given(st.fractions(), st.integers(-80, 20))
def test_nearest_is_off_by_at_most_half_a_step(value, exponent):
    found = nearest(value, exponent).fraction
    assert abs(found - value) <= Fraction(2) ** (exponent - 1)
    assert (found / Fraction(2) ** exponent).denominator == 1


def test_what_is_no_dyadic_number_is_refused():
    for value, error in (
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (Fraction(1, 3), ValueError),
        ("1", TypeError),
    ):
        with pytest.raises(error, match=r"dyadic number (must|needs)"):
            dyadic(value)
    with pytest.raises(AttributeError, match="cannot be changed"):
        Dyadic(3).mantissa = 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, (((0, Dyadic(1)),),), (), ("relu",)), "bias must hold one entry per unit, 1 in all. Got 0"),
        ((1, (((0, Dyadic(1)),),), (None,), ("relu",), ("a", "b")), "labels must hold"),
        ((1, (((1, Dyadic(1)),),), (None,), ("relu",)), "unit 0 must read inputs 0 to 0. Got 1..1"),
        ((2, (((1, Dyadic(1)), (1, Dyadic(2))),), (None,), ("relu",)), "read each input once"),
    ],
)
def test_layers_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseLayer(*arguments)


def test_counts_and_bits_of_exact_weights_are_those_of_the_stored_entries():
    network = long_network()
    bits = [1, 301, 2, 0, (3**44164).bit_length(), 1, 2, 0]  # the table's zero is a parameter, without bits
    assert network.n_params == len(bits) == 8
    assert network.n_params_dense == 6 + 4 + 2
    assert network.max_bits == max(bits) == 69999
    assert network.total_bits == sum(bits) + 6
    assert network.bits_per_weight == network.total_bits / 8
    assert (network.is_float, network.is_finite, Network(float_network().dense_layers).is_float) == (False, True, True)
    assert isinstance(network.max_bits, int)


def test_dense_layers_hold_the_same_numbers_or_refuse():
    network = float_network()
    for exact, plain in zip(network.layers, network.dense_layers, strict=True):
        assert contents(sparse(plain))[:4] == (
            exact.n_in,
            tuple(tuple(sorted(row)) for row in exact.rows),
            *contents(exact)[2:4],
        )
        assert plain.n_params == exact.n_params
        assert dense(plain) is plain
    with pytest.raises(ValueError, match=r"Got a weight of 301 bits: rounding would lose 248 of them"):
        _ = long_network().dense_layers


@settings(deadline=None, max_examples=60)
@given(st.lists(sparse_layers(), max_size=4))
def test_packed_layers_come_back_bit_for_bit(layers):
    assert [contents(layer) for layer in unpack(*pack(layers))] == [contents(layer) for layer in layers]


def test_a_file_gives_back_exact_weights_labels_and_dense_layers(tmp_path):
    network = long_network()
    network.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert [contents(a) for a in network.layers[:2]] == [contents(a) for a in again.layers[:2]]
    assert again.layers[2].weight.tolist() == [[0.75]]
    assert (again.provenance, again.labels, again.parts) == (network.provenance, network.labels, network.parts)


def test_a_mantissa_of_a_million_bits_survives_files_pickles_and_repr(tmp_path):
    weight = Dyadic(7 ** (10**6 * 100 // 281) | 1, -(10**6))
    assert weight.bits > 990_000
    network = Network((SparseLayer(1, (((0, weight),),), (None,), (IDENTITY,)),))
    network.save(tmp_path / "net")
    for again in (Network.load(tmp_path / "net"), pickle.loads(pickle.dumps(network))):
        assert again.layers[0].rows[0][0][1] == weight
        assert again.max_bits == weight.bits
    assert repr(network) == "Network(dim=1, depth=0, width=0, n_params=1)"
    assert eval(repr(weight)) == weight
    assert (tmp_path / "net").stat().st_size < 130_000


def test_networks_of_dense_layers_are_still_written_as_before(tmp_path):
    construct("interpolation", load_target("takagi", smoothness=0.5), cells=4).save(tmp_path / "dense")
    float_network().save(tmp_path / "exact")
    assert b'"version":"1"' in (tmp_path / "dense").read_bytes()
    assert b'"version":"2"' in (tmp_path / "exact").read_bytes()


def test_damaged_files_of_exact_weights_give_one_clear_error(tmp_path):
    path = tmp_path / "net"
    long_network().save(path)
    good = path.read_bytes()
    tensors = load(good)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()

    def changed(name, array):
        return save(tensors | {f"sparse.{name}": np.asarray(array)}, metadata)

    bad = {
        name: save({k: v for k, v in tensors.items() if k != name}, metadata) for name in tensors if name != "2.bias"
    }
    bad |= {
        "torn": good[:-40_000],
        "a weight too few": changed("sources", tensors["sparse.sources"][:-1]),
        "a foreign input": changed("sources", tensors["sparse.sources"] + 7),
        "a length below zero": changed("row_lengths", tensors["sparse.row_lengths"] * [1, 1, -1, 1] + [0, 0, -1, 1]),
        "mantissas cut": changed("mantissas", tensors["sparse.mantissas"][:-1]),
        "floats": changed("exponents", tensors["sparse.exponents"].astype(np.float64)),
        "an unknown code": changed("codes", tensors["sparse.codes"] + 5),
        "an unknown label": changed("labels", tensors["sparse.labels"] + 5),
        "a table of another kind": save(tensors, metadata | {"sparse": "[1, 2]"}),
        "no table": save(tensors, {k: v for k, v in metadata.items() if k != "sparse"}),
        "too many layers": save(tensors, metadata | {"activations": '[null, null, null, ["identity"]]'}),
    }  # fmt: skip
    for name, content in bad.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be a network file") as caught:
            Network.load(path)
        assert "\n" not in str(caught.value), name


def test_an_exponent_that_no_file_holds_is_refused():
    with pytest.raises(ValueError, match="exponents must fit into 64 bits"):
        pack([SparseLayer(1, (((0, Dyadic(1, 2**70)),),), (None,), (IDENTITY,))])


def test_torch_gets_exact_weights_that_floats_hold_and_gives_them_back():
    network = float_network()
    module = network.to_torch()
    x = np.linspace(0, 1, 33)
    assert module(torch.from_numpy(x[:, None])).detach().numpy()[:, 0].tolist() == network(x, "float64").tolist()
    again = Network.from_torch(module)
    assert again(x, "exact") == network(x, "exact")
    for a, b in zip(again.layers, network.dense_layers, strict=True):
        assert a.weight.tolist() == b.weight.tolist()
        assert a.activations == b.activations


def test_torch_is_refused_saying_what_would_be_lost():
    with pytest.raises(ValueError, match=r"float64, which would round 2 of 8 weights, by up to 1.9e-17 of") as caught:
        long_network().to_torch()
    assert "the longest of these weights has 69999 and would lose 69946. Call the network itself" in str(caught.value)
    third = Network((SparseLayer(1, (((0, nearest(Fraction(1, 3), -60)),),), (None,), (IDENTITY,)),))
    with pytest.raises(
        ValueError, match=r"would round 1 of 1 weights, by up to 5\.\de-17 .* has 59 and would lose 6\."
    ):
        third.to_torch()
    assert third.to_torch(allow_rounding=True)[0].weight.item() == 1 / 3
    tiny = Network((SparseLayer(1, (((0, Dyadic(1, -2000)),),), (None,), (IDENTITY,)),))
    with pytest.raises(ValueError, match=r"by up to 1\.0e\+00 .* has 1 and would lose 0\. Call"):
        tiny.to_torch()
    huge = Network((SparseLayer(1, (((0, Dyadic(1, 2000)),),), (None,), (IDENTITY,)),))
    with pytest.raises(ValueError, match="by up to inf of"):
        huge.to_torch()
    with pytest.raises(ValueError, match=r"bfloat16, .* mantissas of 8 bits"):
        third.to_torch("bfloat16")


def test_a_torch_module_has_a_largest_size():
    wide = SparseLayer(20_000, tuple(((i, Dyadic(1)),) for i in range(20_000)), (None,) * 20_000, ("relu",) * 20_000)
    with pytest.raises(ValueError, match=r"at most 100,000,000 scalars, structural zeros included\. Got 400,"):
        Network((wide,)).to_torch()


def test_methods_in_floats_refuse_longer_weights():
    network = Network((SparseLayer(1, (((0, Dyadic(ODD, -301)),),), (None,), (IDENTITY,)),))
    target = load_target("bump_tree", smoothness=2.5, dim=1, seed=0)
    with pytest.raises(ValueError, match="weights of up to 301 bits"):
        sobolev_error(network, target)


def test_pickles_hold_no_copies_of_the_weights():
    network = float_network()
    bare = len(pickle.dumps(network))
    _ = network.dense_layers, network.max_bits
    assert len(pickle.dumps(network)) == bare
    assert pickle.loads(pickle.dumps(network)).describe() == network.describe()


def test_parts_share_out_all_weights():
    network = long_network()
    assert network.labels == (("index", "table", "table carry"), ("decoder",), ("output",))
    assert network.parts == {"index": 1, "table": 2, "decoder": 2, "output": 2, "carries": 1}
    assert sum(network.parts.values()) == network.n_params
    trained = construct("interpolation", load_target("takagi", smoothness=0.5), cells=4)
    assert trained.parts == {"hidden": 7, "output": 4}


@given(st.text(alphabet="ab", max_size=40))
def test_runs_cover_every_item_once_and_repeat_as_they_say(items):
    found = runs(items)
    assert [run.start for run in found] == [0, *(run.stop for run in found)][: len(found)]
    assert (found[-1].stop if found else 0) == len(items)
    for run in found:
        block = items[run.start : run.start + run.period]
        assert items[run.start : run.stop] == block * run.repeats


def test_a_deep_network_is_described_in_few_lines():
    text = float_network().describe()
    assert "layers 3-30: square, 3 units each (3 relu), 8 weights each" in text
    assert "from: square: steps=30, target name=x^2" in text
    assert "longest mantissa 1\n" in text
    assert len(text.splitlines()) < 14
    assert "longest mantissa 69,999, longer than float64 holds" in long_network().describe()
    uneven = Network(
        tuple(SparseLayer(1, (((0, Dyadic(1)),),), (None,), ("relu",), (f"part {i}",)) for i in range(300))
    )
    assert len(uneven.describe().splitlines()) < 60
    assert "260 more lines" in uneven.describe()


def test_two_layers_that_take_turns_are_one_line():
    odd = SparseLayer(1, (((0, Dyadic(1)),), ((0, Dyadic(1)),)), (None, None), ("relu", "relu"), ("a", "a carry"))
    even = SparseLayer(2, (((0, Dyadic(1)),),), (None,), ("relu",), ("b",))
    assert "layers 0-19: a, b, 10 times 2 layers of 2, 1 units and 2, 1 weights" in Network((odd, even) * 10).describe()
