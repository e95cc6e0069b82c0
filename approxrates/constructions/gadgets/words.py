"""Digit strings as one number that the tent map of slope ``2^k`` reads back, digit by digit.

``T(z) = 2^k z - 2^(k+1) relu(z - 1/2)`` maps ``[0, 2^-k]`` and ``[1 - 2^-k, 1]`` onto ``[0, 1]``, the second one upside
down. So ``z = u`` for digit 0 and ``z = 1 - u`` for digit 1, with ``u = 2^-k z'`` and ``z'`` the rest of the word: read
from the last digit back, a signed sum of powers of ``2^-k``. Words of ``n`` digits take ``k n`` bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Dyadic


def code_words(digits: NDArray[np.uint8], spacing: int = 2) -> list[Dyadic]:
    """Words for rows of binary digits, first digit first read.

    Args:
        digits: 0 or 1, shape ``(n_words, n_digits)``.
        spacing: Bits ``k`` per digit.

    Returns:
        One number in ``[0, 1]`` per row. The word of ``d_1 ... d_n`` is ``d_1 + (-1)^d_1 2^-k word(d_2 ... d_n)``, and
        the empty word is 0.
    """
    n_words, n_digits = digits.shape
    ones = digits == 1
    odd = np.cumsum(ones, axis=1) % 2 == 1  # signs alternate from one digit 1 to the next
    padded = np.zeros((n_words, n_digits * spacing), dtype=np.uint8)

    def integers(mask: NDArray[np.bool_]) -> list[int]:
        padded[:, spacing - 1 :: spacing] = mask
        spare = -(n_digits * spacing) % 8
        return [int.from_bytes(row.tobytes(), "big") >> spare for row in np.packbits(padded, axis=1)]

    pairs = zip(integers(ones & odd), integers(ones & ~odd), strict=True)
    return [Dyadic(plus - minus, -spacing * (n_digits - 1)) for plus, minus in pairs]
