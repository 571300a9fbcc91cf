# SPDX-License-Identifier: MIT
"""Statistics of repeated runs: exact, rank-based, on arrays alone.

Up to EXACT pairs, or runs of a sample; beyond them the normal distribution takes the place of
the enumerated one. A run is one process, so the sample size is the number of processes. Timings are
skewed and heavy-tailed; nothing here assumes a normal distribution. Differences
are taken of logarithms, so every effect is a ratio and "2 % faster" is the mirror of
"2 % slower".

The paired functions take a matrix, one campaign a row: the tests that resample a
thousand campaigns run the very code that judges one.

Sources: Hodges and Lehmann 1963 (estimate); Hollander, Wolfe and Chicken 2014,
3.1-3.4 and 4.1-4.3 (intervals); Holm 1979; Iglewicz and Hoaglin 1993 (outliers);
Bartels 1982 (serial correlation).
"""
from __future__ import annotations

import functools
import math
import sys
from dataclasses import dataclass
from typing import Any, Callable, Sequence

import numpy as np
from scipy import stats as sps

from . import selection

ALPHA = 0.05            # of an interval, and of the family in one report
LEAST = 6               # values without which neither the rank tests nor a bootstrap give 95 %
EXACT = 300             # pairs, or runs of a sample, up to which distributions are enumerated and lists made

# (P of "above", P of "below") at a shift: the one-sided p-values of a sample, see tails_of.
Tails = Callable[[float], "tuple[Any, Any]"]


# ---- distributions of rank sums ---------------------------------------------------

@dataclass(frozen=True)
class Null:
    """How a sum of ranks is distributed where there is no difference."""
    cdf: np.ndarray | None      # P(W <= w) for w = 0, 1 ...; None: normal
    mean: float
    deviation: float

    def below(self, w: Any) -> Any:
        """P(W <= w)"""
        if self.cdf is not None:
            return self.cdf[w]
        return sps.norm.cdf((w + 0.5 - self.mean) / self.deviation)

    def cut(self, alpha: float) -> tuple[int, float]:
        """Of the sorted pairs: how many an interval of level 1 - alpha cuts from each end, and its level.

        0: there are too few values for such an interval to exist."""
        if self.cdf is not None:
            cut = int(np.searchsorted(self.cdf, alpha / 2, side="right"))
        else:
            cut = math.floor(self.mean + 0.5 + self.deviation * sps.norm.ppf(alpha / 2))
        return cut, 1 - 2 * float(self.below(cut - 1)) if cut else 0.0


def signed_rank_null(n: int) -> Null:
    """Of the sum of the ranks of positive signs."""
    if n <= EXACT:
        return Null(signed_rank_cdf(n), math.nan, math.nan)
    return _normal(np.arange(1.0, n + 1))


def _normal(ranks: np.ndarray) -> Null:
    return Null(None, float(ranks.sum()) / 2, math.sqrt(float((ranks ** 2).sum())) / 2)


def mann_whitney_null(m: int, n: int) -> Null:
    """Of the number of pairs whose first value is the larger."""
    if max(m, n) <= EXACT:
        return Null(mann_whitney_cdf(m, n), math.nan, math.nan)
    return Null(None, m * n / 2, math.sqrt(m * n * (m + n + 1) / 12))


@functools.lru_cache(maxsize=256)
def signed_rank_cdf(n: int) -> np.ndarray:
    """P(W <= w) for w = 0 .. n(n+1)/2, W the sum of the ranks of positive signs."""
    return _rank_sum_cdf(tuple(range(1, n + 1)))


@functools.lru_cache(maxsize=256)
def _rank_sum_cdf(ranks: tuple[int, ...]) -> np.ndarray:
    pmf = np.ones(1)
    for r in ranks:
        wider = np.zeros(len(pmf) + r)
        wider[:len(pmf)] = pmf
        wider[r:] += pmf
        pmf = 0.5 * wider
    return np.minimum(np.cumsum(pmf), 1.0)


def min_pairs(alpha: float) -> int:
    """The fewest pairs whose exact two-sided test can reach alpha."""
    return max(1, math.ceil(1 - math.log2(alpha)))


def _upper_tail_tied(d: np.ndarray) -> float:
    """P(W >= w) given the ties in |d|; zeros are left out, as Wilcoxon did."""
    d = d[d != 0]
    if len(d) == 0:
        return 1.0
    doubled = np.rint(2 * sps.rankdata(np.abs(d))).astype(int)
    w = int(doubled[d > 0].sum())
    null = Null(_rank_sum_cdf(tuple(sorted(doubled.tolist()))), math.nan, math.nan) if len(d) <= EXACT \
        else _normal(doubled.astype(float))
    return 1.0 if w == 0 else max(0.0, 1.0 - float(null.below(w - 1)))


def signed_rank_tails(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact one-sided p-values of each row: (the centre is above 0, below 0)."""
    d = np.atleast_2d(np.asarray(d, dtype=float))
    k, n = d.shape
    size = np.abs(d)
    order = np.argsort(size, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, n + 1), d.shape), axis=1)
    w = np.where(d > 0, ranks, 0).sum(axis=1)
    null = signed_rank_null(n)
    above = 1.0 - np.where(w > 0, null.below(np.maximum(w - 1, 0)), 0.0)
    below = null.below(w)
    in_order = np.take_along_axis(size, order, axis=1)
    tied = (in_order[:, 0] == 0) | (np.diff(in_order, axis=1) == 0).any(axis=1)
    for i in np.flatnonzero(tied):
        above[i] = _upper_tail_tied(d[i])
        below[i] = _upper_tail_tied(-d[i])
    return above, below


def wilcoxon_p(d: Sequence[float]) -> float:
    """The exact two-sided p-value of the signed-rank test that d is centred on 0."""
    above, below = signed_rank_tails(np.asarray(d, dtype=float))
    return float(min(1.0, 2 * min(above[0], below[0])))


def log_ratio(x: float, y: float) -> float:
    """log(x / y) of positive values: of the quotient, so that equal quotients stay tied.

    Where the quotient is too small or too large for a number, of the logarithms."""
    quotient = x / y
    ordinary = sys.float_info.min <= quotient < math.inf
    return math.log(quotient) if ordinary else math.log(x) - math.log(y)


# ---- paired comparison ------------------------------------------------------------

@dataclass
class Effects:
    """Row-wise results; every number but p is a logarithm of a ratio."""
    estimate: np.ndarray
    low: np.ndarray             # nan where no interval exists
    high: np.ndarray
    p: np.ndarray               # of "no difference"
    pairs: int
    level: float                # of the interval, achieved


def _middle_and_ends(count: int, cut: int, at: Callable[[list[int]], Any]) -> tuple[Any, Any, Any]:
    """Of `count` sorted values the median and the ends of the interval that leaves the same number out at each end.

    at(ranks) gives the values; their last dimension is that of the ranks."""
    found = np.asarray(at([(count - 1) // 2, count // 2, *([cut - 1, count - cut] if cut else [])]))
    middle = (found[..., 0] + found[..., 1]) / 2
    none = np.full(middle.shape, np.nan)
    return middle, *((found[..., 2], found[..., 3]) if cut else (none, none))


def _walsh(d: np.ndarray, ranks: list[int]) -> Any:
    """Of each row's Walsh averages those of these ranks."""
    if d.shape[1] > EXACT:
        return [selection.walsh(row, ranks) for row in d]
    i, j = np.triu_indices(d.shape[1])
    return np.sort(0.5 * (d[:, i] + d[:, j]), axis=1)[:, ranks]


def _shifts(x: np.ndarray, y: np.ndarray, ranks: list[int]) -> Any:
    if max(len(x), len(y)) > EXACT:
        return selection.shifts(x, y, ranks)
    return np.sort((x[:, None] - y[None, :]).ravel())[ranks]


def paired(d: np.ndarray, alpha: float = ALPHA) -> Effects:
    """Hodges-Lehmann estimate, exact interval and exact test of each row of d.

    d holds log-ratios, one a pair."""
    d = np.atleast_2d(np.asarray(d, dtype=float))
    n = d.shape[1]
    cut, level = signed_rank_null(n).cut(alpha)
    middle, low, high = _middle_and_ends(n * (n + 1) // 2, cut, lambda ranks: _walsh(d, ranks))
    above, below = signed_rank_tails(d)
    return Effects(middle, low, high, np.minimum(1.0, 2 * np.minimum(above, below)), n, level)


def p_outside(tails: Tails, low: float, high: float) -> np.ndarray:
    """Two-sided p-value of "the shift is between low and high".

    It is the smaller tail at the two edges, doubled, so that it agrees with the interval."""
    return np.minimum(1.0, 2 * np.minimum(tails(high)[0], tails(low)[1]))


def p_inside(tails: Tails, low: float, high: float) -> np.ndarray:
    """The same of "the shift is not between low and high": two one-sided tests, the larger."""
    return np.minimum(1.0, 2 * np.maximum(tails(low)[0], tails(high)[1]))


# ---- unpaired comparison ----------------------------------------------------------

@functools.lru_cache(maxsize=64)
def mann_whitney_cdf(m: int, n: int) -> np.ndarray:
    """P(U <= u) without ties, u = 0 .. mn (Gaussian binomial, in floating point)."""
    pmf = np.zeros(m * n + 1)
    pmf[0] = 1.0
    for i in range(1, m + 1):           # times (1 - q^(n+i)) / (1 - q^i), normalised
        top = n + i
        if top <= m * n:
            shifted = pmf[:-top].copy()
            pmf[top:] -= shifted
        for start in range(i):
            pmf[start::i] = np.cumsum(pmf[start::i])
        pmf *= i / top
    return np.minimum(np.cumsum(np.maximum(pmf, 0.0)), 1.0)


PERMUTED = 100          # pooled values up to which ties are enumerated, not approximated


def _permuted_tails(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """P(W >= w) and P(W <= w) of the rank sum of x over every split of the pooled values.

    Ties have midranks; doubled, every rank is a whole number. ways[j, s] counts the
    splits of the values seen so far that give x the number j and the doubled sum s."""
    doubled = np.rint(2 * sps.rankdata(np.concatenate([x, y]))).astype(int)
    w = int(doubled[:len(x)].sum())
    ways = np.zeros((len(x) + 1, int(np.sort(doubled)[-len(x):].sum()) + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, :ways.shape[1] - rank].copy()
    splits = ways[-1] / ways[-1].sum()
    return min(1.0, float(splits[w:].sum())), min(1.0, float(splits[:w + 1].sum()))


def mann_whitney_tails(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """One-sided p-values: (x tends to be above y, below y).

    Exact; beyond EXACT, and with ties among more than PERMUTED values, the corrected normal approximation."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    pooled = np.concatenate([x, y])
    if max(len(x), len(y)) <= EXACT and len(np.unique(pooled)) == len(pooled):
        cdf, u = mann_whitney_cdf(len(x), len(y)), int((x[:, None] > y[None, :]).sum())
        return float(cdf[len(x) * len(y) - u]), float(cdf[u])
    if len(pooled) <= PERMUTED:
        return _permuted_tails(x, y)
    if np.ptp(pooled) == 0:
        return 1.0, 1.0
    return tuple(float(sps.mannwhitneyu(x, y, alternative=a, method="asymptotic").pvalue)
                 for a in ("greater", "less"))


def mann_whitney_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Two-sided p-value that neither sample tends to be the larger."""
    return min(1.0, 2 * min(mann_whitney_tails(np.asarray(x), np.asarray(y))))


def unpaired(x: Sequence[float], y: Sequence[float], alpha: float = ALPHA) -> Effects:
    """The shift of x over y (both logarithms) with its exact interval."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    cut, level = mann_whitney_null(len(x), len(y)).cut(alpha)
    middle, low, high = _middle_and_ends(len(x) * len(y), cut, lambda ranks: _shifts(x, y, ranks))
    return Effects(np.array([float(middle)]), np.array([low]), np.array([high]),
                   np.array([mann_whitney_p(x, y)]), min(len(x), len(y)), level)


def tails_of(x: np.ndarray, y: np.ndarray | None = None) -> Tails:
    """The one-sided p-values, at any shift, of paired differences x or of the samples x and y."""
    def tails(shift: float) -> tuple[Any, Any]:
        if math.isinf(shift):
            return (0.0, 1.0) if shift < 0 else (1.0, 0.0)
        return signed_rank_tails(x - shift) if y is None else mann_whitney_tails(x, y + shift)
    return tails


# ---- one sample -------------------------------------------------------------------

def quantile_interval(x: Sequence[float], q: float = 0.5,
                      alpha: float = ALPHA) -> tuple[float, float] | None:
    """The order statistics that cover the q-quantile with at least 1 - alpha.

    None: too few samples for such an interval to exist."""
    x = np.sort(np.asarray(x, dtype=float))
    n = len(x)
    if n == 0:
        return None
    below = sps.binom.cdf(np.arange(n), n, q)
    low = int(np.searchsorted(below, alpha / 2, side="right")) - 1      # index of x_(l)
    high = int(np.searchsorted(below, 1 - alpha / 2, side="left"))      # index of x_(u)
    if low < 0 or high >= n:
        return None
    return float(x[low]), float(x[high])


def outliers(x: Sequence[float], limit: float = 3.5) -> list[int]:
    """Positions whose modified z-score exceeds limit: to be flagged, never dropped."""
    x = np.asarray(x, dtype=float)
    if len(x) < 4:
        return []
    centre = np.median(x)
    spread = np.median(np.abs(x - centre))
    if spread == 0:
        return []
    return [int(i) for i in np.flatnonzero(0.6745 * np.abs(x - centre) / spread > limit)]


def holm(p: Sequence[float], weights: Sequence[float] | None = None) -> np.ndarray:
    """Holm's step-down adjusted p-values, in the order given; all weigh the same by default."""
    p = np.asarray(p, dtype=float)
    w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(p / w, kind="stable")
    not_yet_rejected = np.cumsum(w[order][::-1])[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] / w[order] *
                                                            not_yet_rejected))
    return adjusted


def holm_either(first: Sequence[float], second: Sequence[float],
                weights: Sequence[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Holm's adjustment of pairs of p-values of which at most one null hypothesis is true.

    "Within the margin" and "beyond it" cannot both hold: whichever is true, the smaller p-value is
    valid for the word that would be wrong. So a pair counts once in the family."""
    p = np.array([first, second], dtype=float)
    w = np.ones(p.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    smaller = p.min(axis=0, initial=1.0)
    step_down, bonferroni = holm(smaller, w), np.minimum(1.0, p / w * w.sum())
    adjusted = np.where(p == smaller, step_down, np.maximum(bonferroni, step_down))
    return adjusted[0], adjusted[1]


SERIAL_LEAST = 10       # values below which the normal approximation of serial_p is too coarse


def serial_p(d: Sequence[float]) -> float:
    """One-sided p-value of "the order is random" against a positive serial correlation.

    The rank version of von Neumann's ratio (Bartels 1982); 1 where there are too few values."""
    d = np.asarray(d, dtype=float)
    n = len(d)
    if n < SERIAL_LEAST or np.ptp(d) == 0:
        return 1.0
    ranks = sps.rankdata(d)
    ratio = np.sum(np.diff(ranks) ** 2) / np.sum((ranks - ranks.mean()) ** 2)
    variance = 4 * (n - 2) * (5 * n * n - 2 * n - 9) / (5 * n * (n + 1) * (n - 1) ** 2)
    return float(sps.norm.cdf((ratio - 2) / math.sqrt(variance)))


# ---- quantiles of pooled histograms -----------------------------------------------

def pooled_quantiles(counts: np.ndarray, values: np.ndarray, qs: Sequence[float]) -> np.ndarray:
    """Quantiles of histograms: counts is (..., buckets), values one a bucket."""
    cumulative = np.cumsum(counts, axis=-1)
    total = cumulative[..., -1:]
    out = [values[np.argmax(cumulative >= np.maximum(1, np.ceil(q * total - 1e-9)), axis=-1)]
           for q in qs]
    return np.stack(out, axis=-1)


def bootstrap_quantiles(counts: np.ndarray, values: np.ndarray, qs: Sequence[float], *,
                        seed: int, resamples: int = 2000, alpha: float = ALPHA) -> np.ndarray:
    """Percentile intervals of pooled quantiles: (quantile, [low, high]).

    A row of counts is one process and is drawn whole: the samples within a process
    are not independent, and treating them so makes intervals far too narrow."""
    counts = np.asarray(counts, dtype=float)
    n = counts.shape[0]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(float)
    drawn = pooled_quantiles(weights @ counts, np.asarray(values, float), qs)
    return np.quantile(drawn, [alpha / 2, 1 - alpha / 2], axis=0, method="nearest").T
