# SPDX-License-Identifier: MIT
"""Order statistics of all sums of pairs, without the list of them.

The pairs of n values are n(n+1)/2: for 25,000 values a list of 2.5 GB. They stand in a matrix whose
rows and columns increase. Values are halved between two bounds, and each row's values up to the
middle counted by a binary search, until few are left between the bounds; those are then looked at.
The sums are compared as they are rounded, so that the result is the very element of the list.

Source: Johnson and Mizoguchi 1978, of which this is the bisection.
"""
from __future__ import annotations

import math
from typing import Sequence

import numpy as np

FEW = 1 << 17           # values that may be looked at: 1 MB


def walsh(d: np.ndarray, ranks: Sequence[int]) -> list[float]:
    """Of the averages (d[i] + d[j]) / 2, i <= j, those of these ranks, which begin at 0."""
    d = np.sort(d)
    return [_select(0.5, d, d, np.arange(len(d)), rank) for rank in ranks]


def shifts(x: np.ndarray, y: np.ndarray, ranks: Sequence[int]) -> list[float]:
    """Of the differences x[i] - y[j] those of these ranks, which begin at 0."""
    return [_select(1.0, np.sort(x), np.sort(-y), np.zeros(len(x), int), rank) for rank in ranks]


def _select(factor: float, a: np.ndarray, b: np.ndarray, first: np.ndarray, rank: int) -> float:
    """The value of that rank among factor * (a[i] + b[j]), j >= first[i]; a and b increase."""
    low, high = -math.inf, float(factor * (a[-1] + b[-1]))
    middle = float(factor * (a[0] + b[0]))
    below, upto = first, np.full(len(a), len(b))        # of each row: where values above low and high begin
    while True:
        ends = _ends(factor, a, b, below, upto, middle)
        if int((ends - first).sum()) > rank:
            high, upto = middle, ends
        else:
            low, below = middle, ends
        middle = low + (high - low) / 2
        if int((upto - below).sum()) <= FEW or not low < middle < high:
            return _among(factor, a, b, below, upto, rank - int((below - first).sum()))


def _ends(factor: float, a: np.ndarray, b: np.ndarray, low: np.ndarray, high: np.ndarray,
          value: float) -> np.ndarray:
    """Of each row where the values above `value` begin, which is not before `low` and not behind `high`."""
    low, high = low.copy(), high.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        above = factor * (a + b[np.minimum(middle, len(b) - 1)]) > value
        high = np.where(open_ & above, middle, high)
        low = np.where(open_ & ~above, middle + 1, low)
    return low


def _among(factor: float, a: np.ndarray, b: np.ndarray, below: np.ndarray, upto: np.ndarray, rank: int) -> float:
    """The value of that rank among the rows' parts. They are few, or all the same but for the bounds."""
    left = upto - below
    if left.sum() > FEW:
        row = int(np.argmax(left > 0))
        return float(factor * (a[row] + b[below[row]]))
    rows = np.repeat(np.arange(len(a)), left)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(left) - left, left) + below[rows]
    return float(np.partition(factor * (a[rows] + b[columns]), rank)[rank])
