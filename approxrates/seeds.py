"""Every random number of the project: seeds by named axes, and signs by counter-based hashing.

A seed is the hash of *what it is for* (``seed_for("target", name=..., draw=3)``), never of the order in which things
ran. So a target's seed depends on the target alone, an initialisation on architecture and replica, a sampling on the
target.

Signs of random trees come from a 64-bit mixing function of (seed, level, index): random access, no storage, and, being
integer arithmetic modulo 2^64, the same function on every platform.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_WORD = (1 << 64) - 1


def seed_for(axis: str, **names: Any) -> int:
    """A 63-bit seed that depends only on the named values.

    Args:
        axis: What the seed is for, e.g. ``"init"``.
        **names: JSON-able values that it shall depend on.

    Example:
        >>> first, again, second = (seed_for("init", replica=i) for i in (0, 0, 1))
        >>> first == again, first == second
        (True, False)
    """
    text = json.dumps([axis, names], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), elementwise."""
    words = words ^ (words >> np.uint64(30))
    words *= _MIX_A
    words ^= words >> np.uint64(27)
    words *= _MIX_B
    words ^= words >> np.uint64(31)
    return words


@functools.lru_cache(maxsize=4096)
def _key(seed: int, level: int) -> np.uint64:
    """Where the counter of one level of one seed starts."""
    return np.uint64(seed_for("hash", seed=seed, level=level))


def hash_words(seed: int, level: int, *index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each cell, given seed and level.

    The coordinates of a cell are hashed one after another, each round starting from the bits of the round before: no
    cell number is formed that could overflow at deep levels.

    Args:
        seed: Seed of the tree.
        level: Level of the cells.
        *index: One array of whole numbers per coordinate, all of one shape ``(n,)`` with ``n >= 1``.

    Returns:
        Words of that shape.
    """
    key = _key(seed, level)
    words: NDArray[np.uint64] | np.uint64 = key
    for coordinate in index:
        words = hash_further(words, coordinate)
    return np.asarray(words, dtype=np.uint64)


def hash_further(words: NDArray[np.uint64] | np.uint64, coordinate: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Words of cells with one more coordinate, from those of :func:`hash_words` without it; shapes broadcast."""
    rounds = coordinate * _GOLDEN
    rounds += words
    rounds = mix(rounds)
    rounds += _GOLDEN
    return mix(rounds)


def hash_signs(seed: int, level: int, *index: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A sign, +1.0 or -1.0, for each cell; arguments and shape as in :func:`hash_words`."""
    return signs_of_words(hash_words(seed, level, *index))


def signs_of_words(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A sign from the first bit of each word."""
    signs = (words >> np.uint64(63)).astype(np.float64)
    signs *= -2.0
    signs += 1.0
    return signs


def hash_sign(seed: int, level: int, *index: int) -> int:
    """The sign of one cell, +1 or -1: that of :func:`hash_signs`, without the cost of arrays."""
    word = int(_key(seed, level))
    for coordinate in index:
        word = _mix_one(coordinate * int(_GOLDEN) + word & _WORD)
        word = _mix_one(word + int(_GOLDEN) & _WORD)
    return -1 if word >> 63 else 1


def _mix_one(word: int) -> int:
    """:func:`mix` of one word."""
    word = (word ^ (word >> 30)) * int(_MIX_A) & _WORD
    word = (word ^ (word >> 27)) * int(_MIX_B) & _WORD
    return word ^ (word >> 31)
