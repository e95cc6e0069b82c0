"""The Network: honest counts, calls on both kinds of arrays, files, and torch both ways."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracles import count_non_zero, odd_mantissa_bits
from torch import nn

from approxrates import activations
from approxrates.architecture import FixedWidth
from approxrates.catalogue import load_target
from approxrates.layers import Layer
from approxrates.network import Network
from approxrates.training import Adam, train


def random_network(code="relu", widths=(5, 4), dim=1, n_outputs=1, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for width in widths:
        codes = activations.get(code).units(width)
        layers.append(Layer(rng.normal(size=(width, n_in)), rng.normal(size=width) if bias else None, codes))
        n_in = width
    return Network(
        (*layers, Layer(rng.normal(size=(n_outputs, n_in)), None, ("identity",) * n_outputs)), {"seed": seed}
    )


def masked_network():
    first = Layer(
        np.array([[2.0], [0.0]]),
        np.array([0.0, -0.75]),
        ("relu", "relu"),
        np.array([[True], [False]]),
        np.array([False, True]),
    )
    return Network((first, Layer(np.array([[1.0, 0.1]]), None, ("identity",))), {"made": "by hand"})


def test_counts_leave_structural_zeros_out_and_dense_counts_do_not():
    network = masked_network()
    assert (network.n_params, network.n_params_dense) == (4, 6)
    assert network.n_params == count_non_zero(network)
    assert (network.depth, network.width, network.dim, network.n_outputs) == (1, 2, 1, 1)


def test_bits_are_those_of_the_odd_mantissas():
    network = masked_network()  # 2, -3/4, 1, 0.1
    lengths = [1, 2, 1, odd_mantissa_bits(0.1)]
    assert network.max_bits == max(lengths)
    assert network.total_bits == sum(lengths) + 4


def test_bits_agree_with_integer_arithmetic_on_any_floats():
    values = np.concatenate([np.random.default_rng(0).normal(size=200), [5e-324, 2.0**-1074 * 3, 1.5e308, 1 / 3, 0.0]])
    network = Network((Layer(values[:, None], None, ("identity",) * len(values)),))
    lengths = [odd_mantissa_bits(v) for v in values]
    assert network.max_bits == max(lengths)
    assert network.total_bits == sum(lengths) + len(values) - 1


def test_an_affine_map_is_a_network_of_depth_and_width_zero():
    network = Network((Layer(np.array([[2.0, 3.0]]), np.array([1.0]), ("identity",)),))
    assert (network.depth, network.width, network.is_piecewise_linear) == (0, 0, True)
    assert network(np.array([[1.0, 1.0]])).tolist() == [6.0]


@pytest.mark.parametrize(
    ("code", "linear"),
    [("relu", True), ("triangle", True), ("relu+abs", True), ("relu2", False), ("relu+sin", False), ("floor", False)],
)
def test_piecewise_linear_means_every_unit_is(code, linear):
    assert random_network(code).is_piecewise_linear is linear


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_arrays_and_tensors_give_the_same_values_of_the_same_kind(n_outputs):
    network = random_network(dim=2, n_outputs=n_outputs)
    x = np.random.default_rng(0).random((7, 2))
    values, tensor = network(x), network(torch.from_numpy(x))
    assert isinstance(values, np.ndarray)
    assert tensor.dtype == torch.float64
    np.testing.assert_array_equal(values, tensor.numpy())
    assert values.shape == ((7,) if n_outputs == 1 else (7, n_outputs))


def test_one_dimension_may_be_given_flat_and_exact_values_are_fractions():
    network = masked_network()
    np.testing.assert_array_equal(network(np.array([0.1, 0.9])), network(np.array([[0.1], [0.9]])))
    assert network([Fraction(1, 3)], arithmetic="exact") == [Fraction(2, 3)]
    assert network([], arithmetic="exact") == []
    assert network(np.empty((0, 1))).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3), (1, 3, 2)])
def test_points_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(n, dim\) with dim=2"):
        random_network(dim=2)(np.zeros(shape))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("x", r"^x must be an array of numbers\. Got str"),
        ([object()], r"^x must be an array of numbers\. Got list"),
        (np.array([0.5j]), r"^x must be an array of real numbers\. Got complex ones"),
        (torch.empty(2, device="meta"), r"^x must be an array of numbers\. Got a tensor of torch\.float32 on meta"),
    ],
    ids=["text", "objects", "complex", "meta"],
)
def test_points_that_are_no_real_numbers_are_refused(x, message):
    with pytest.raises(TypeError, match=message):
        masked_network()(x)


def test_networks_and_fits_survive_pickling():
    network = random_network("relu+sin")
    again = pickle.loads(pickle.dumps(network))
    x = np.linspace(0, 1, 9)
    assert np.array_equal(again(x), network(x))
    assert again.provenance == network.provenance
    target = load_target("faber_tree", smoothness=0.5)
    fit = train(FixedWidth(dim=1, width=3, depth=1), target, plan=[Adam(steps=2)], replicas=2)
    again = pickle.loads(pickle.dumps(fit))
    assert again.members == fit.members
    assert np.array_equal(again.best(target)(x), fit.best(target)(x))


@pytest.mark.parametrize("code", [*activations.names(), "relu+sin", "sin:30", "leaky_relu:0.2"])
def test_torch_module_computes_the_same_function_and_comes_back_unchanged(code):
    network = random_network(code, widths=(6, 5), dim=2)
    module = network.to_torch()
    x = torch.from_numpy(np.random.default_rng(0).random((50, 2)))
    np.testing.assert_allclose(module(x).detach().numpy()[:, 0], network(x.numpy()), rtol=1e-9, atol=1e-9)
    again = Network.from_torch(module)
    assert [layer.activations for layer in again.layers] == [layer.activations for layer in network.layers]
    np.testing.assert_array_equal(again(x.numpy()), network(x.numpy()))


def test_torch_modules_are_the_ones_users_know():
    kinds = [type(m) for m in random_network("relu").to_torch()]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def test_a_dtype_that_would_round_weights_is_refused_unless_allowed():
    with pytest.raises(ValueError, match=r"float32, which would round .* weights"):
        random_network().to_torch("float32")
    module = random_network().to_torch(torch.float32, allow_rounding=True)
    assert next(module.parameters()).dtype == torch.float32


def test_weights_that_float32_holds_need_no_permission():
    network = Network(
        (
            Layer(np.array([[0.5], [3.0]]), np.array([1.0, -2.0]), ("relu", "relu")),
            Layer(np.ones((1, 2)), None, ("identity",)),
        )
    )
    np.testing.assert_array_equal(
        network.to_torch("float32")(torch.ones(1, 1)).detach().numpy()[:, 0], network(np.ones(1))
    )


def test_from_torch_takes_lists_nested_sequences_and_single_precision():
    parts = [
        nn.Linear(2, 4),
        nn.Sequential(nn.Tanh(), nn.Linear(4, 3, bias=False)),
        nn.LeakyReLU(0.25),
        nn.Linear(3, 1),
        nn.Identity(),
    ]
    network = Network.from_torch(parts)
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(network(x).numpy(), nn.Sequential(*parts)(x).detach().numpy()[:, 0], atol=1e-6)
    assert [layer.activations[0] for layer in network.layers] == ["tanh", "leaky_relu:0.25", "identity"]


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (nn.Linear(1, 1), TypeError, r"nn\.Sequential or a list"),
        ([nn.Linear(1, 2), nn.Dropout(0.5)], ValueError, "Dropout"),
        ([nn.Linear(1, 2), nn.Softplus()], ValueError, "Softplus"),
        ([nn.Linear(1, 2), nn.GELU(approximate="tanh")], ValueError, "GELU"),
        ([nn.Linear(1, 2), nn.Hardtanh(-2.0, 2.0)], ValueError, "Hardtanh"),
        ([nn.ReLU(), nn.Linear(1, 2)], ValueError, r"begin with nn\.Linear"),
        ([nn.Linear(1, 2), nn.ReLU(), nn.Tanh()], ValueError, "at most one activation"),
        ([nn.Linear(1, 2), nn.ReLU(), nn.Linear(3, 1)], ValueError, "n_in=3"),
        ([], ValueError, r"at least one nn\.Linear"),
    ],
)
def test_modules_without_a_counterpart_are_refused_by_name(module, error, message):
    with pytest.raises(error, match=message):
        Network.from_torch(module)


@pytest.mark.parametrize("make", [masked_network, lambda: random_network("relu+sin", n_outputs=2, bias=False)])
def test_a_file_gives_back_everything_bit_for_bit(make, tmp_path):
    network = make()
    network.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    for a, b in zip(network.layers, again.layers, strict=True):
        assert a.weight.tobytes() == b.weight.tobytes()
        assert (a.bias is None) == (b.bias is None)
        assert a.activations == b.activations
    assert (network.n_params, network.provenance) == (again.n_params, again.provenance)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_weights_that_are_not_finite_or_negative_zero_survive_a_file(tmp_path):
    network = Network((Layer(np.array([[-0.0, np.nan, np.inf, 5e-324]]), None, ("identity",)),))
    network.save(tmp_path / "net")
    assert Network.load(tmp_path / "net").layers[0].weight.tobytes() == network.layers[0].weight.tobytes()


def test_damaged_and_foreign_files_give_one_clear_error(tmp_path):
    path = tmp_path / "net.safetensors"
    masked_network().save(path)
    good = path.read_bytes()
    from safetensors.numpy import save

    bad = {
        "torn": good[: len(good) // 2],
        "empty": b"",
        "text": b"hello, this is no network",
        "header": b"\xff" * 64,
        "foreign": save({"weight": np.zeros(3)}, {"format": "pt"}),
        "later": good.replace(b'"version":"1"', b'"version":"9"'),
        "renamed tensor": good.replace(b"1.weight", b"7.weight"),
        "broken codes": good.replace(b'[[\\"relu', b'[{\\"relu'),
        "unknown code": good.replace(b"identity", b"identita"),
    }
    for name, content in bad.items():
        assert content != good, name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"must be") as caught:
            Network.load(path)
        assert "\n" not in str(caught.value), name
    with pytest.raises(FileNotFoundError, match=r"network\.save"):
        Network.load(tmp_path / "none")


def test_a_place_that_cannot_be_written_is_told_in_one_line_and_nothing_stays(tmp_path):
    network, folder = masked_network(), tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match=r"^path must be a file\. Got [^\n]*folder, which is a folder\. Write "):
        network.save(folder)
    with pytest.raises(FileNotFoundError, match=r"^path must lie in an existing folder\. Got [^\n]*Make the folder "):
        network.save(tmp_path / "absent" / "net.safetensors")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(monkeypatch, tmp_path):
    path = tmp_path / "net.safetensors"
    masked_network().save(path)
    before = path.read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"^path must be a file that can be written\. Got [^\n]*No space left"):
        random_network().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("layers", "provenance", "error", "message"),
    [
        ((), {}, ValueError, "at least one layer"),
        ((nn.Linear(1, 1),), {}, TypeError, "from_torch"),
        (
            (Layer(np.ones((2, 1)), None, ("relu",) * 2), Layer(np.ones((1, 3)), None, ("identity",))),
            {},
            ValueError,
            "n_in=3",
        ),
        ((Layer(np.ones((1, 1)), None, ("relo",)),), {}, ValueError, "relo"),
        ((Layer(np.ones((1, 1)), None, ("relu",)),), {"f": print}, ValueError, "JSON"),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(layers, provenance, error, message):
    with pytest.raises(error, match=message):
        Network(layers, provenance)


def test_description_names_counts_activations_and_provenance():
    text = masked_network().describe()
    for part in ("depth 1", "width 2", "4 not structurally zero", "6 dense", "2 relu", "by hand"):
        assert part in text
