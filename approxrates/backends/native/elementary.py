"""Exponential, hyperbolic tangent, sine and cosine of single numbers, in forms that loops over them can vectorise.

Branches are selections between values that are both computed. Multiply-adds may be contracted, but sums are not
reordered: argument reduction lives by the order. Constants are typed by the caller's number type ``T``.

tests/test_native.py holds their accuracy: a few units in the last place; of sine and cosine for arguments up to 1e5,
beyond which they stay between -1 and 1 but lose the phase.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

elementwise = numba.njit(fastmath={"contract", "nsz"}, boundscheck=False, error_model="numpy", nogil=True, cache=True)
"""For functions of single numbers, whose rounding is part of the algorithm."""


@intrinsic
def power_of_two(typing_context: Any, k: Any) -> Any:
    """``2**k`` of a whole-numbered float ``k`` in the range of normal numbers, made of its bits."""
    bits, bias, shift = (32, 127, 23) if k == types.float32 else (64, 1023, 52)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = ir.IntType(bits)
        number = ir.FloatType() if bits == 32 else ir.DoubleType()
        exponent = builder.add(builder.fptosi(arguments[0], whole), ir.Constant(whole, bias))
        return builder.bitcast(builder.shl(exponent, ir.Constant(whole, shift)), number)

    return k(k), generate


@elementwise
def exp(x, T):
    """``e**x`` by reduction to ``|r| <= ln 2 / 2`` and Taylor's polynomial; zero and infinity beyond normal numbers."""
    half, log2e = T(0.5), T(1.4426950408889634)
    single = T(1) + T(2.0**-40) == T(1)
    low, high = T(-87.0) if single else T(-708.0), T(88.0) if single else T(709.0)
    # The polynomial explodes far from zero. This order of arguments keeps what is not a number.
    y = min(max(x, low), high)
    k = np.floor(y * log2e + half)
    r = (y - k * T(0.693145751953125)) - k * T(1.4286068203094172e-06)
    p = T(1.6059043836821613e-10)
    p = p * r + T(2.08767569878681e-09)
    p = p * r + T(2.505210838544172e-08)
    p = p * r + T(2.755731922398589e-07)
    p = p * r + T(2.7557319223985893e-06)
    p = p * r + T(2.48015873015873e-05)
    p = p * r + T(1.984126984126984e-04)
    p = p * r + T(1.3888888888888889e-03)
    p = p * r + T(8.333333333333333e-03)
    p = p * r + T(4.1666666666666664e-02)
    p = p * r + T(1.6666666666666666e-01)
    p = p * r + half
    value = (T(1.0) + (r + r * r * p)) * power_of_two(k)
    value = T(0.0) if x < low else value
    return T(np.inf) if x > high else value


@elementwise
def tanh(x, T):
    """By ``u / (u + 2)`` with ``u = exp(2 |x|) - 1``, which is accurate near zero too."""
    one, half = T(1.0), T(0.5)
    a = min(abs(x), T(22.0)) * T(2.0)
    k = np.floor(a * T(1.4426950408889634) + half)
    r = (a - k * T(0.693145751953125)) - k * T(1.4286068203094172e-06)
    p = T(1.6059043836821613e-10)
    p = p * r + T(2.08767569878681e-09)
    p = p * r + T(2.505210838544172e-08)
    p = p * r + T(2.755731922398589e-07)
    p = p * r + T(2.7557319223985893e-06)
    p = p * r + T(2.48015873015873e-05)
    p = p * r + T(1.984126984126984e-04)
    p = p * r + T(1.3888888888888889e-03)
    p = p * r + T(8.333333333333333e-03)
    p = p * r + T(4.1666666666666664e-02)
    p = p * r + T(1.6666666666666666e-01)
    p = p * r + half
    scale = power_of_two(k)
    u = scale * (r + r * r * p) + (scale - one)
    # What is not a number stays so.
    return np.copysign(u / (u + T(2.0)), x) if x == x else x


@elementwise
def _wave(r, quarter, T):
    """Sine and cosine of ``r + quarter pi / 2`` for ``|r| <= pi / 4`` and a whole number of quarters."""
    one, half = T(1.0), T(0.5)
    z = r * r
    s = T(1.58962301576546568060e-10)
    s = s * z - T(2.50507477628578072866e-8)
    s = s * z + T(2.75573136213857245213e-6)
    s = s * z - T(1.98412698295895385996e-4)
    s = s * z + T(8.33333333332211858878e-3)
    s = s * z - T(1.66666666666666307295e-1)
    s = r + r * z * s
    c = -T(1.13585365213876817300e-11)
    c = c * z + T(2.08757008419747316778e-9)
    c = c * z - T(2.75573141792967388112e-7)
    c = c * z + T(2.48015872888517045348e-5)
    c = c * z - T(1.38888888888730564116e-3)
    c = c * z + T(4.16666666666665929218e-2)
    c = (one - half * z) + z * z * c
    turn = quarter - T(4.0) * np.floor(quarter * T(0.25))
    odd = (turn == one) or (turn == T(3.0))
    sine, cosine = (c if odd else s), (s if odd else c)
    sine = -sine if turn >= T(2.0) else sine
    cosine = -cosine if (turn == one) or (turn == T(2.0)) else cosine
    return sine, cosine


@elementwise
def sine_cosine(x, T):
    """Sine and cosine, the argument reduced by three parts of ``pi / 2``; accurate up to 1e5, bounded beyond."""
    quarter = np.floor(x * T(0.6366197723675814) + T(0.5))
    if T(1) + T(2.0**-40) == T(1):
        r = ((x - quarter * T(1.5703125)) - quarter * T(4.837512969970703125e-4)) - quarter * T(7.54978995489188216e-8)
    else:
        r = (x - quarter * T(1.57079625129699707031)) - quarter * T(7.54978941586159635336e-8)
        r = r - quarter * T(5.39030285815811905290e-15)
    return _wave(min(max(r, T(-1.0)), T(1.0)), quarter, T)


@elementwise
def sine_cosine_of_turns(x, T):
    """Sine and cosine of ``2 pi x``; the reduction to one period is exact."""
    t = x - np.floor(x + T(0.5))
    quarter = np.floor(T(4.0) * t + T(0.5))
    return _wave((t - T(0.25) * quarter) * T(6.283185307179586), quarter, T)
