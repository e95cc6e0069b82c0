"""Signs of trees: hashed ones unchanged, stored random bits, and exact numbers of cells kept."""

import hashlib
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from approxrates import shipped
from approxrates.catalogue import load_target
from approxrates.generators import GENERATORS as make
from approxrates.generators.signs import (
    BITS_FILE,
    AllPlus,
    HashedSigns,
    SparseSigns,
    StoredSigns,
    stored_bits,
    stored_levels,
)

# Digests of exact values, made before signs could be chosen: stored results rest on these numbers.
UNCHANGED = {
    ("faber_tree", 0.5): ({}, "20fef6bb5740b138"),
    ("faber_tree", 0.75): ({"dim": 3, "seed": 11}, "ea99819764477fd2"),
    ("bump_tree", 1.5): ({"seed": 2}, "da5144bf94069727"),
    ("bump_tree", 2.5): ({"dim": 2, "seed": 5}, "82b63d6b818e8ea2"),
    ("takagi", 0.5): ({"dim": 2}, "6f84f77ab836600e"),
}


@pytest.mark.parametrize(("family", "smoothness"), UNCHANGED, ids=str)
def test_targets_without_a_choice_of_signs_are_what_they_were(family, smoothness):
    arguments, digest = UNCHANGED[family, smoothness]
    target = load_target(family, smoothness=smoothness, **arguments)
    assert "signs" not in target.parameters
    x = np.random.default_rng(7).integers(0, 2**53, (40, target.dim)) * 2.0**-53
    exact = target.exact([tuple(map(Fraction, row)) for row in x.tolist()])
    assert hashlib.sha256(" ".join(map(str, exact)).encode()).hexdigest()[:16] == digest


def some_cells(base, dim, level, n=50):
    rng = np.random.default_rng(level)
    return [rng.integers(0, base**level, n, dtype=np.uint64) for _ in range(dim)]


def strategies(base, dim):
    hashed, stored = HashedSigns(base, dim, 3), StoredSigns(base, dim, 3)
    return [AllPlus(base, dim), hashed, stored, *(SparseSigns(base, dim, 0.4, 3, inner) for inner in (hashed, stored))]


@pytest.mark.parametrize(("base", "dim"), [(2, 1), (2, 2), (3, 2), (4, 3)])
def test_many_signs_at_once_are_the_signs_of_the_cells_one_by_one(base, dim):
    for signs in strategies(base, dim):
        for level in (0, 1, 2, 5, 9, 20):
            index = some_cells(base, dim, level)
            one_by_one = [signs.of_cell(level, [int(a[i]) for a in index]) for i in range(50)]
            assert np.array_equal(signs.of_cells(level, index), one_by_one)
        assert pickle.loads(pickle.dumps(signs)) == signs


def test_the_stored_bits_are_the_ones_that_were_drawn():
    note = (shipped.folder() / "random_bits.txt").read_text()
    digest = hashlib.sha256((shipped.folder() / BITS_FILE).read_bytes()).hexdigest()
    assert digest in note
    assert "cannot be repeated" in note


def test_the_stored_bits_look_like_fair_coins():
    # Sanity, no proof: five standard deviations of the balance, of neighbours' agreement and of ones per byte.
    bits = stored_bits().astype(int)
    assert len(bits) == 2**20
    assert abs(bits.sum() - 2**19) < 5 * 2**9
    for lag in (1, 2, 3, 8, 32, 1024):
        assert abs(np.sum(bits[lag:] == bits[:-lag]) - (len(bits) - lag) / 2) < 5 * 2**9
    words = np.frombuffer((shipped.folder() / BITS_FILE).read_bytes(), dtype=np.uint64)
    assert len(np.unique(words)) == len(words)  # a repeated block; by chance with probability 1e-11
    counts = np.bincount(bits.reshape(-1, 8) @ (1 << np.arange(8)), minlength=256)
    assert abs(np.sum((counts - 512) ** 2 / 512) - 255) < 5 * np.sqrt(2 * 255)


@pytest.mark.parametrize(("base", "dim"), [(2, 1), (2, 2), (3, 1), (4, 1), (4, 3), (64, 3)])
def test_stored_levels_are_those_whose_cells_fit(base, dim):
    levels = stored_levels(base, dim)
    assert sum(base ** (k * dim) for k in range(levels)) <= 2**20 < sum(base ** (k * dim) for k in range(levels + 1))


@pytest.mark.parametrize(("base", "dim"), [(2, 1), (3, 2)])
def test_every_stored_bit_signs_one_cell_and_finer_levels_are_hashed(base, dim):
    stored, hashed = StoredSigns(base, dim, 5), HashedSigns(base, dim, 5)
    flips = []
    for level in range(stored_levels(base, dim)):
        side = np.arange(base**level, dtype=np.uint64)
        cells = [a.ravel() for a in np.meshgrid(*[side] * dim, indexing="ij")]
        flips.append(stored.of_cells(level, cells) * hashed.of_cells(level, cells))
    flat = np.concatenate(flips)
    assert np.array_equal(flat, 1.0 - 2.0 * stored_bits()[: len(flat)])
    fine = some_cells(base, dim, level + 1)
    assert np.array_equal(stored.of_cells(level + 1, fine), hashed.of_cells(level + 1, fine))


@pytest.mark.parametrize("family", ["faber_tree", "bump_tree"])
def test_a_tree_of_stored_signs_is_another_target_and_its_seeds_are_draws(family):
    hashed = load_target(family, smoothness=0.5)
    first, second = (load_target(family, smoothness=0.5, seed=s, signs="stored") for s in (0, 1))
    assert first.parameters["signs"] == "stored"
    assert load_target(**first.parameters) == first != hashed
    assert load_target(family, smoothness=0.5, signs="hashed") == hashed
    x = np.linspace(0, 1, 100)
    assert np.max(np.abs(first(x) - second(x))) > 0.1 < np.max(np.abs(first(x) - hashed(x)))
    exact = [float(v) for v in first.exact(list(x))]
    assert np.max(np.abs(first(x) - exact)) < 2e-14


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_second_differences_give_back_the_stored_signs(dim):
    target = load_target("faber_tree", smoothness=0.5, dim=dim, signs="stored", seed=4)
    signs = StoredSigns(2, dim, 4)
    for level in (0, 3, stored_levels(2, dim) - 1, 30):
        for cell in np.array(some_cells(2, dim, level, 4)).T.astype(int).tolist():
            side = Fraction(1, 2**level)
            centre = [(j + Fraction(1, 2)) * side for j in cell]
            ends = [(side * (cell[0] + e), *centre[1:]) for e in (0, 1)]
            left, middle, right = target.exact([ends[0], tuple(centre), ends[1]])
            difference = middle - (left + right) / 2
            assert difference != 0
            assert (1 if difference > 0 else -1) == signs.of_cell(level, cell)


@pytest.mark.parametrize(("value", "error"), [("random", ValueError), (3, TypeError), (None, TypeError)])
def test_unknown_signs_are_refused(value, error):
    with pytest.raises(error, match=r"signs must be .*signs='stored'"):
        make["faber_tree"](smoothness=0.5, signs=value)


@pytest.mark.parametrize(("base", "dim", "theta"), [(2, 1, 0.5), (2, 2, 0.3), (3, 1, 0.7), (4, 3, 0.25), (2, 2, 1.0)])
def test_the_cells_kept_are_as_many_as_stated_one_in_each_block(base, dim, theta):
    signs = SparseSigns(base, dim, theta, 7, HashedSigns(base, dim, 7))
    for level in range(stored_levels(base, dim) - 1):
        side = np.arange(base**level, dtype=np.uint64)
        cells = [a.ravel() for a in np.meshgrid(*[side] * dim, indexing="ij")]
        kept = np.flatnonzero(signs.of_cells(level, cells))
        assert len(kept) == signs.count(level)
        assert base ** (theta * level * dim) * (1 - 1e-6) <= len(kept) < base ** (theta * level * dim + 1)
        listed = signs.kept(level)
        assert sorted(zip(*(a.tolist() for a in listed), strict=True)) == [
            tuple(int(a[i]) for a in cells) for i in kept
        ]
        blocks = {
            tuple(int(a[i]) // base ** (level - digit) for a, digit in zip(cells, signs.digits(level), strict=True))
            for i in kept
        }
        assert len(blocks) == len(kept)


def test_every_cell_has_the_same_chance_to_be_kept():
    draws = 4096
    kept = np.zeros(8)
    for seed in range(draws):
        cells = SparseSigns(2, 1, 0.3, seed, HashedSigns(2, 1, seed)).kept(3)[0]
        kept[cells.astype(int)] += 1  # two blocks of four cells
    assert kept.sum() == 2 * draws
    assert np.max(np.abs(kept - kept.mean())) < 5 * np.sqrt(kept.mean() * 3 / 4)


def test_the_bits_are_found_beside_the_package_or_inside_it():
    assert shipped.folder() in {
        Path(shipped.__file__).parent / "catalogue_data",
        Path(shipped.__file__).parent.parent / "targets",
    }
