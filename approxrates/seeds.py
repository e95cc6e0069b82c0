"""Every random number of the project: seeds by named axes, and signs by counter-based hashing.

A seed is the hash of *what it is for* (``seed_for("target", name=..., draw=3)``), never of the order in which things ran. So a
target's seed depends on the target alone, an initialisation on architecture and replica, a sampling on the target.

Signs of random trees come from a 64-bit mixing function of (seed, level, index): random access, no storage, and, being integer
arithmetic modulo 2^64, the same function on every platform.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


def seed_for(axis: str, **names: Any) -> int:
    """A 63-bit seed that depends only on the named values.

    Args:
        axis: What the seed is for, e.g. ``"init"``.
        **names: JSON-able values that it shall depend on.

    Example:
        >>> seed_for("init", replica=0) == seed_for("init", replica=0), seed_for("init", replica=0) == seed_for("init", replica=1)
        (True, False)
    """
    text = json.dumps([axis, names], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195), elementwise."""
    words = (words ^ (words >> np.uint64(30))) * _MIX_A
    words = (words ^ (words >> np.uint64(27))) * _MIX_B
    return words ^ (words >> np.uint64(31))


def hash_words(seed: int, level: int, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each index, given seed and level; shape of ``index``."""
    key = seed_for("hash", seed=seed, level=level)
    with np.errstate(over="ignore"):
        return mix(mix(index * _GOLDEN + np.uint64(key)) + _GOLDEN)


def hash_signs(seed: int, level: int, index: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A sign, +1.0 or -1.0, for each index; shape of ``index``."""
    top = hash_words(seed, level, index) >> np.uint64(63)
    signs: NDArray[np.float64] = 1.0 - 2.0 * top.astype(np.float64)
    return signs
