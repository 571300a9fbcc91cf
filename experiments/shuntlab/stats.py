# SPDX-License-Identifier: MIT
"""Statistics of repeated runs: exact, rank-based, on arrays alone.

A run is one process, so the sample size is the number of processes. Timings are
skewed and heavy-tailed; nothing here assumes a normal distribution but the
forecast of how many runs a question needs. Differences are taken of logarithms,
so every effect is a ratio and "2 % faster" is the mirror of "2 % slower".

The paired functions take a matrix, one campaign a row: the tests that resample a
thousand campaigns run the very code that judges one.

Sources: Hodges and Lehmann 1963 (estimate); Hollander, Wolfe and Chicken 2014,
3.1-3.4 and 4.1-4.3 (intervals); Holm 1979; Iglewicz and Hoaglin 1993 (outliers).
"""
from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy import stats as sps

ALPHA = 0.05            # of an interval, and of the family in one report
MARGIN = 0.02           # a ratio nearer to 1 than this does not matter in practice
DETECT = 0.05           # the shift a campaign should be able to tell
POWER = 0.80            # how often it should tell it
CONTROL_ALPHA = 0.01    # an A/A arm is called broken at most this often by chance


# ---- the signed-rank distribution -------------------------------------------------

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


def signed_rank_critical(n: int, alpha: float) -> int:
    """How many Walsh averages an interval of level 1 - alpha cuts from each end.

    0: n is too small for such an interval to exist."""
    return int(np.searchsorted(signed_rank_cdf(n), alpha / 2, side="right"))


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
    cdf = _rank_sum_cdf(tuple(sorted(doubled.tolist())))
    return 1.0 if w == 0 else max(0.0, 1.0 - float(cdf[w - 1]))


def signed_rank_tails(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact one-sided p-values of each row: (the centre is above 0, below 0)."""
    d = np.atleast_2d(np.asarray(d, dtype=float))
    k, n = d.shape
    size = np.abs(d)
    order = np.argsort(size, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, n + 1), d.shape), axis=1)
    w = np.where(d > 0, ranks, 0).sum(axis=1)
    cdf = signed_rank_cdf(n)
    above = 1.0 - np.where(w > 0, cdf[np.maximum(w - 1, 0)], 0.0)
    below = cdf[w]
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


# ---- paired comparison ------------------------------------------------------------

@dataclass
class Effects:
    """Row-wise results; every number but p is a logarithm of a ratio."""
    estimate: np.ndarray
    low: np.ndarray             # nan where no interval exists
    high: np.ndarray
    p: np.ndarray               # of "no difference"
    p_margin: np.ndarray        # of "no difference beyond the margin"
    pairs: int
    level: float                # of the interval, achieved


def _walsh_sorted(d: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(d.shape[1])
    return np.sort(0.5 * (d[:, i] + d[:, j]), axis=1)


def paired(d: np.ndarray, margin: float = MARGIN, alpha: float = ALPHA) -> Effects:
    """Hodges-Lehmann estimate, exact interval and exact tests of each row of d.

    d holds log-ratios, one a pair. p_margin tests both edges of the margin and
    doubles the smaller tail, so that it agrees with the two-sided interval."""
    d = np.atleast_2d(np.asarray(d, dtype=float))
    k, n = d.shape
    walsh = _walsh_sorted(d)
    cut = signed_rank_critical(n, alpha)
    if cut:
        low, high = walsh[:, cut - 1], walsh[:, walsh.shape[1] - cut]
        level = 1 - 2 * float(signed_rank_cdf(n)[cut - 1])
    else:
        low = high = np.full(k, np.nan)
        level = 0.0
    above, below = signed_rank_tails(d)
    edge = math.log1p(margin)
    beyond = np.minimum(signed_rank_tails(d - edge)[0], signed_rank_tails(d + edge)[1])
    return Effects(np.median(walsh, axis=1), low, high,
                   np.minimum(1.0, 2 * np.minimum(above, below)),
                   np.minimum(1.0, 2 * beyond), n, level)


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


def _mann_whitney_tail(x: np.ndarray, y: np.ndarray) -> float:
    """P of the smaller tail; exact without ties, else scipy's corrected normal."""
    pooled = np.concatenate([x, y])
    ties = len(np.unique(pooled)) < len(pooled)
    method = "asymptotic" if ties or len(x) * len(y) > 10_000 else "exact"
    if method == "exact":
        u = int(sum((x[:, None] > y[None, :]).ravel()))
        u = min(u, len(x) * len(y) - u)
        return float(mann_whitney_cdf(len(x), len(y))[u])
    return float(sps.mannwhitneyu(x, y, method=method).pvalue) / 2


def mann_whitney_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Two-sided p-value that neither sample tends to be the larger."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if np.ptp(np.concatenate([x, y])) == 0:
        return 1.0
    return min(1.0, 2 * _mann_whitney_tail(x, y))


def unpaired(x: Sequence[float], y: Sequence[float], margin: float = MARGIN,
             alpha: float = ALPHA) -> Effects:
    """The shift of x over y (both logarithms) with its exact interval."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    shifts = np.sort((x[:, None] - y[None, :]).ravel())
    cdf = mann_whitney_cdf(len(x), len(y))
    cut = int(np.searchsorted(cdf, alpha / 2, side="right"))
    low = shifts[cut - 1] if cut else math.nan
    high = shifts[len(shifts) - cut] if cut else math.nan
    edge = math.log1p(margin)
    centre = float(np.median(shifts))
    nearer = y + edge if centre > 0 else y - edge
    beyond = mann_whitney_p(x, nearer) if abs(centre) > edge else 1.0
    return Effects(np.array([centre]), np.array([low]), np.array([high]),
                   np.array([mann_whitney_p(x, y)]), np.array([beyond]),
                   min(len(x), len(y)), 1 - 2 * float(cdf[cut - 1]) if cut else 0.0)


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


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjusted p-values, in the order given."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


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


# ---- verdict ----------------------------------------------------------------------

FASTER, SLOWER, SAME, INCONCLUSIVE, NO_VERDICT = (
    "faster", "slower", "same", "inconclusive", "no verdict")


@dataclass(frozen=True)
class Rules:
    """What counts as a difference; all ratios, all positive."""
    margin: float = MARGIN
    alpha: float = ALPHA
    detect: float = DETECT
    power: float = POWER
    family: int = 1             # comparisons in the report

    @property
    def edge(self) -> float:
        return math.log1p(self.margin)


@dataclass(frozen=True)
class Control:
    """What the A/A arm shows at one point."""
    ok: bool
    floor: float                # log-ratio below which a difference is not believed
    reason: str = ""


def judge_control(estimate: float, low: float, high: float, p: float, rules: Rules) -> Control:
    """A baseline against itself: broken when a difference is there that cannot be."""
    if p < CONTROL_ALPHA and abs(estimate) > rules.edge:
        return Control(False, math.inf,
                       f"the A/A control differs by {100 * math.expm1(abs(estimate)):.1f} % "
                       f"(p = {p:.2g})")
    ends = [abs(v) for v in (low, high) if not math.isnan(v)]
    return Control(True, max([rules.edge, *ends]))


def deviation(d: Sequence[float]) -> float:
    """The standard deviation; 0 of a single value."""
    return float(np.std(d, ddof=1)) if len(d) > 1 else 0.0


def spread_of(sample: float, pairs: int, low: float, high: float, level: float) -> float:
    """The standard deviation of one pair that an interval of this width stands for.

    Where there is no interval yet, the sample's own."""
    if math.isnan(low):
        return sample
    z = sps.norm.ppf(0.5 + level / 2)
    return (high - low) / (2 * z) * math.sqrt(pairs)


def runs_needed(spread: float, pairs: int, distance: float, rules: Rules) -> int:
    """Pairs with which a true effect `distance` away from an edge is told from it.

    Told with the probability rules.power, at the Bonferroni share of alpha. The
    spread is itself an estimate: its upper 80 % bound is used, so that a lucky
    pilot does not promise too much."""
    if pairs < 2 or not distance > 0:
        return 0
    bound = spread * math.sqrt((pairs - 1) / sps.chi2.ppf(0.2, pairs - 1))
    z = sps.norm.ppf(1 - rules.alpha / (2 * rules.family)) + sps.norm.ppf(rules.power)
    rank_loss = math.pi / 3         # of the signed-rank test, against the mean, on normal data
    least = min_pairs(rules.alpha / rules.family)
    return max(least, math.ceil(rank_loss * (z * bound / distance) ** 2))


@dataclass(frozen=True)
class Verdict:
    word: str
    reason: str = ""
    runs: int = 0               # pairs that would settle it; 0: does not apply


def verdict(estimate: float, low: float, high: float, p_holm: float, spread: float, pairs: int,
            rules: Rules, control: Control | None = None, lower_is_better: bool = True) -> Verdict:
    """Say what the interval allows to be said, and no more."""
    if control and not control.ok:
        return Verdict(NO_VERDICT, control.reason)
    edge = rules.edge
    if not math.isnan(low):
        if -edge <= low and high <= edge:
            return Verdict(SAME)
        outside = low > edge or high < -edge
        if outside and p_holm <= rules.alpha:
            if control and abs(estimate) <= control.floor:
                return Verdict(INCONCLUSIVE, "below the floor of the A/A control "
                               f"({100 * math.expm1(control.floor):.1f} %)", _runs(
                                   estimate, spread, pairs, rules))
            return Verdict(FASTER if (estimate < 0) == lower_is_better else SLOWER)
    return Verdict(INCONCLUSIVE, "", _runs(estimate, spread, pairs, rules))


MAX_RUNS = 9999


def _runs(estimate: float, spread: float, pairs: int, rules: Rules) -> int:
    """The runs to print: enough to call the shift to detect, and no shift at all.

    When that many were made and it is still open, the effect lies near an edge, and
    the distance from that edge decides."""
    distance = min(rules.edge, math.log1p(rules.detect) - rules.edge)
    need = runs_needed(spread, pairs, distance, rules)
    if need and need <= pairs:
        near = max(abs(abs(estimate) - rules.edge), rules.edge / 20)
        return runs_to_settle(spread, pairs, min(distance, near), rules)
    return _round_up(need)


def runs_to_settle(spread: float, pairs: int, distance: float, rules: Rules) -> int:
    """The runs to print for a question whose answer lies `distance` away; always more than made."""
    return _round_up(max(pairs + 1, runs_needed(spread, pairs, distance, rules)))


def _round_up(n: int) -> int:
    """A number of runs as one would choose it: 23 is 25, 131 is 140."""
    step = 1 if n <= 10 else 5 if n <= 100 else 10 ** (len(str(n)) - 2)
    return min(-(-n // step) * step, MAX_RUNS)
