"""Seeds by named axes, and signs by hashing, against a second implementation in Python's own integers."""

import hashlib
import json

import numpy as np
import pytest

from approxrates.seeds import hash_sign, hash_signs, hash_words, mix, seed_for

MASK = (1 << 64) - 1
GOLDEN_SIGNS = [-1, -1, 1, -1, 1, -1, 1, 1, -1, -1, 1, 1, 1, -1, -1, 1]


def slow_mix(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def slow_word(seed, level, *index):
    text = json.dumps(["hash", {"level": level, "seed": seed}], separators=(",", ":"))
    word = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    for i in index:
        word = slow_mix(slow_mix(i * 0x9E3779B97F4A7C15 + word & MASK) + 0x9E3779B97F4A7C15 & MASK)
    return word


def words(seed, level, *index):
    return hash_words(seed, level, *(np.array(i, dtype=np.uint64) for i in index))


def test_mixing_is_that_of_splitmix64():
    # First outputs of SplitMix64 from state 0, as in its authors' reference implementation.
    states = np.array([0x9E3779B97F4A7C15, 2 * 0x9E3779B97F4A7C15 & MASK], dtype=np.uint64)
    assert [hex(w) for w in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_words_agree_with_arithmetic_in_python_integers(dim):
    rng = np.random.default_rng(dim)
    index = rng.integers(0, 1 << 63, (dim, 50), dtype=np.uint64) * np.uint64(2)
    expected = [slow_word(7, 40, *map(int, column)) for column in index.T]
    assert list(map(int, words(7, 40, *index))) == expected


def test_words_are_the_same_on_every_platform():
    assert [int(w) for w in words(0, 0, [0])] == [slow_word(0, 0, 0)]
    assert list(hash_signs(0, 4, np.arange(16, dtype=np.uint64)).astype(int)) == GOLDEN_SIGNS


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_sign_of_one_cell_is_that_of_the_arrays(dim):
    index = np.random.default_rng(dim).integers(0, 1 << 63, (dim, 100), dtype=np.uint64)
    assert [hash_sign(7, 40, *map(int, column)) for column in index.T] == list(hash_signs(7, 40, *index))


def test_hashing_leaves_its_input_alone():
    index = np.arange(5, dtype=np.uint64)
    hash_signs(0, 3, index, index)
    assert list(index) == [0, 1, 2, 3, 4]


def test_cells_of_a_deep_level_do_not_collide():
    # Row-major cell numbers of level 40 would need 80 bits, and wrap at 2^64: columns 2^24 apart would get equal words.
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 1 << 40, (2, 20_000), dtype=np.uint64)
    near = np.concatenate([words(0, 40, rows, columns), words(0, 40, rows + np.uint64(1 << 24), columns)])
    assert len(np.unique(near)) == len(near)
    swapped = words(0, 40, columns, rows)
    assert not np.any(swapped == near[: len(swapped)])


def test_signs_are_fair_and_uncorrelated():
    n = 1 << 16
    index = np.arange(n, dtype=np.uint64)
    signs = hash_signs(3, 16, index)
    assert set(signs) == {-1.0, 1.0}
    others = {"neighbour": np.roll(signs, 1), "level": hash_signs(3, 17, index), "seed": hash_signs(4, 16, index)}
    for other in (np.ones(n), *others.values()):
        assert abs(signs @ other) < 5 * np.sqrt(n)


@pytest.mark.parametrize("change", [{"replica": 1}, {"width": 9}, {"axis": "points"}], ids=str)
def test_a_seed_depends_on_every_name(change):
    names = {"axis": "init", "replica": 0, "width": 8}
    assert seed_for(**names) == seed_for(**dict(reversed(names.items())))
    assert seed_for(**names) != seed_for(**{**names, **change})
    assert 0 <= seed_for(**names) < 1 << 63
