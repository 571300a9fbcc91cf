# SPDX-License-Identifier: MIT
# The statistics give the published values, find a known shift, and keep their error rates.
"""Tests of stats.py and verdicts.py. Skipped (77) where numpy or scipy is not installed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
import tracemalloc
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import numpy as np
    import scipy.stats as sps
    from shuntlab.statistics import objective, selection, stats, verdicts
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-numpy, python3-scipy)")
    sys.exit(77)

# Hollander and Wolfe 1973, p. 29: Hamilton depression scale, the example of R's ?wilcox.test.
FIRST = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
SECOND = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
# Hollander and Wolfe 1973, p. 69: permeability constants, the second example of the same page.
AT_TERM = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
EARLY = np.array([1.15, 0.88, 0.90, 0.74, 1.21])
# Darwin's plants, the example of scipy.stats.wilcoxon.
PLANTS = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)


class PublishedValues(unittest.TestCase):
    def test_signed_rank_as_r_prints_it(self):
        """R 4.2.2: wilcox.test(x, y, paired = TRUE, conf.int = TRUE)"""
        e = stats.paired(FIRST - SECOND)
        self.assertAlmostEqual(float(e.p[0]), 0.0390625, 12)
        self.assertAlmostEqual(float(e.estimate[0]), 0.46, 9)
        self.assertAlmostEqual(float(e.low[0]), 0.010, 9)
        self.assertAlmostEqual(float(e.high[0]), 0.786, 9)
        self.assertAlmostEqual(e.level, 1 - 2 * 0.01953125, 12)     # psignrank(5, 9)

    def test_signed_rank_as_scipy_documents_it(self):
        self.assertAlmostEqual(stats.wilcoxon_p(PLANTS), 0.041259765625, 12)
        e = stats.paired(PLANTS)            # R: estimate 25, interval 4.0 to 41.5
        self.assertEqual([float(e.estimate[0]), float(e.low[0]), float(e.high[0])],
                         [25.0, 4.0, 41.5])

    def test_signed_rank_critical_values(self):
        """R 4.2.2: qsignrank(.025, 6:30), which counts from 1 and so has no 0 at n = 5."""
        r = [1, 3, 4, 6, 9, 11, 14, 18, 22, 26, 30, 35, 41, 47, 53, 59, 66, 74, 82, 90, 99, 108,
             117, 127, 138]
        self.assertEqual([stats.signed_rank_null(n).cut(0.05)[0] for n in range(6, 31)], r)
        self.assertEqual(stats.signed_rank_null(5).cut(0.05), (0, 0.0))
        self.assertAlmostEqual(float(stats.signed_rank_cdf(20)[52]), 0.0242204666137695, 13)

    def test_mann_whitney_as_r_prints_it(self):
        """R 4.2.2: wilcox.test(x, y, conf.int = TRUE)"""
        e = stats.unpaired(AT_TERM, EARLY)
        self.assertAlmostEqual(float(e.p[0]), 0.2544122544, 9)
        self.assertAlmostEqual(float(e.estimate[0]), 0.305, 9)
        self.assertAlmostEqual(float(e.low[0]), -0.15, 9)
        self.assertAlmostEqual(float(e.high[0]), 0.76, 9)

    def test_mann_whitney_as_scipy_documents_it(self):
        males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
        self.assertAlmostEqual(stats.mann_whitney_p(males, females), 0.1111111111111111, 12)

    def test_mann_whitney_distribution(self):
        """R 4.2.2: pwilcox(127, 20, 20), pwilcox(4200, 100, 100)"""
        self.assertAlmostEqual(float(stats.mann_whitney_cdf(20, 20)[127]), 0.0245451625946862, 13)
        self.assertAlmostEqual(float(stats.mann_whitney_cdf(100, 100)[4200]),
                               0.0253092380400031, 13)

    def test_holm_as_r_prints_it(self):
        """R 4.2.2: p.adjust(c(0.01,0.02,0.03,0.04,0.05,.2,.001), "holm")"""
        got = stats.holm([0.01, 0.02, 0.03, 0.04, 0.05, 0.2, 0.001])
        np.testing.assert_allclose(got, [0.06, 0.10, 0.12, 0.12, 0.12, 0.20, 0.007], atol=1e-12)

    def test_median_interval_of_the_sign_test(self):
        """The classic table: n = 20 takes the 6th and 15th, n = 6 the extremes, n = 5 has none."""
        self.assertEqual(stats.quantile_interval(range(1, 21)), (6.0, 15.0))
        self.assertEqual(stats.quantile_interval(range(1, 7)), (1.0, 6.0))
        self.assertIsNone(stats.quantile_interval(range(1, 6)))

    def test_samples_behind_a_percentile(self):
        fewest = next(n for n in range(300, 400) if stats.quantile_interval(range(n), 0.99))
        self.assertEqual(fewest, 368)


class Selection(unittest.TestCase):
    """Beyond EXACT pairs no list of their averages is made, and the numbers are those of the list."""

    def samples(self) -> list[np.ndarray]:
        rng = np.random.default_rng(17)
        drawn = [[rng.normal(0.1, 1, n), rng.integers(-2, 3, n) / 10, np.full(n, 0.1), rng.standard_cauchy(n) * 1e9]
                 for n in (1, 2, 3, 7, 20, 61)]
        return [d for four in drawn for d in four]

    def test_it_gives_the_numbers_of_the_list(self):
        for d in self.samples():
            y, (i, j) = d[::2] + 0.3, np.triu_indices(len(d))
            walsh, shifts = np.sort(0.5 * (d[i] + d[j])), np.sort((d[:, None] - y).ravel())
            for few in (1, 40):
                with mock.patch.object(selection, "FEW", few):
                    step = 1 + len(walsh) // 30
                    self.assertEqual(selection.walsh(d, range(0, len(walsh), step)), walsh[::step].tolist())
                    self.assertEqual(selection.shifts(d, y, range(0, len(shifts), step)), shifts[::step].tolist())

    def test_both_sides_of_the_limit_agree(self):
        """Of 300 and more pairs the normal distribution says what the exact one does, to 0.0005."""
        rng = np.random.default_rng(18)
        x, y = rng.normal(0.05, 1, 290), rng.normal(0, 1, 280)
        coarse = np.round(x, 1)
        exact = [stats.paired(x), stats.paired(coarse), stats.unpaired(x, y)]
        with mock.patch.object(stats, "EXACT", 1):
            large = [stats.paired(x), stats.paired(coarse), stats.unpaired(x, y)]
        for a, b in zip(exact, large):
            self.assertEqual(a.estimate.tolist(), b.estimate.tolist())
            np.testing.assert_allclose([b.p[0], b.level], [a.p[0], a.level], atol=5e-4)
            np.testing.assert_allclose([b.low[0], b.high[0]], [a.low[0], a.high[0]], atol=1e-3)

    def test_many_pairs_are_compared_in_little_memory(self):
        rng = np.random.default_rng(19)
        tracemalloc.start()
        e = stats.paired(rng.normal(0.01, 0.1, 20_000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        self.assertLess(peak, 64 << 20)
        self.assertTrue(0.007 < e.low[0] < 0.01 < e.high[0] < 0.013 and 0.949 < e.level < 0.951)


class AgainstScipy(unittest.TestCase):
    def test_no_ties(self):
        rng = np.random.default_rng(11)
        for n in (6, 13, 25):
            d = rng.normal(0.3, 1, n)
            self.assertAlmostEqual(stats.wilcoxon_p(d), sps.wilcoxon(d, mode="exact").pvalue, 10)
            x, y = rng.normal(size=n), rng.normal(0.5, 1, n + 2)
            self.assertAlmostEqual(stats.mann_whitney_p(x, y),
                                   sps.mannwhitneyu(x, y, method="exact").pvalue, 10)

    def test_ties_by_enumeration(self):
        """With ties the p-value is that of all sign patterns of the same midranks."""
        d = np.array([1.0, 1, -1, 2, 2, 3, 3, 3, -0.0])
        kept = d[d != 0]
        ranks = sps.rankdata(np.abs(kept))
        observed = ranks[kept > 0].sum()
        patterns = ((np.arange(2 ** 8)[:, None] >> np.arange(8)) & 1) @ ranks
        upper, lower = np.mean(patterns >= observed), np.mean(patterns <= observed)
        self.assertAlmostEqual(stats.wilcoxon_p(d), min(1, 2 * min(upper, lower)), 12)

    def test_mann_whitney_ties_by_enumeration(self):
        """With ties the p-value is that of every split of the pooled values in two."""
        rng = np.random.default_rng(12)
        for m, n in ((3, 3), (4, 6), (7, 5)):
            x, y = rng.integers(0, 4, m) / 1.0, rng.integers(1, 5, n) / 1.0
            ranks = sps.rankdata(np.concatenate([x, y]))
            sums = [sum(some) for some in itertools.combinations(ranks, m)]
            observed = ranks[:m].sum()
            want = [np.mean([s >= observed - 1e-9 for s in sums]),
                    np.mean([s <= observed + 1e-9 for s in sums])]
            np.testing.assert_allclose(stats.mann_whitney_tails(x, y), want, atol=1e-12)
            self.assertAlmostEqual(stats.mann_whitney_p(x, y), min(1, 2 * min(want)), 12)

    def test_mann_whitney_with_ties_as_scipy_permutes(self):
        """A coarse clock: ten runs of two values against ten of two others."""
        x, y = np.repeat([10.0, 11.0], [4, 6]), np.repeat([11.0, 12.0], [8, 2])
        u = sps.mannwhitneyu(x, y, alternative="less", method="asymptotic").statistic
        found = sps.permutation_test(
            (x, y), lambda a, b: sps.mannwhitneyu(a, b).statistic, alternative="less",
            n_resamples=np.inf if math.comb(20, 10) < 2000 else 4000, random_state=1)
        self.assertEqual(found.statistic, u)
        self.assertAlmostEqual(stats.mann_whitney_tails(x, y)[1], found.pvalue, delta=0.01)

    def test_the_tails_of_the_two_ways_meet(self):
        """Beyond PERMUTED values the approximation is as good as the enumeration."""
        rng = np.random.default_rng(13)
        x, y = rng.integers(0, 30, 50) / 1.0, rng.integers(3, 33, 50) / 1.0
        exact = stats.mann_whitney_tails(x, y)
        with mock.patch.object(stats, "PERMUTED", 99):
            for a, b in zip(exact, stats.mann_whitney_tails(x, y)):
                self.assertAlmostEqual(a, b, delta=0.002)

    def test_weights_of_holm(self):
        """Weights that are equal are none; a heavier hypothesis needs a smaller adjustment."""
        p = [0.01, 0.02, 0.005]
        np.testing.assert_allclose(stats.holm(p, [2, 2, 2]), stats.holm(p))
        # Holm 1979, 4: the order is that of p / w; the factor is the weight left over / w.
        np.testing.assert_allclose(stats.holm([0.02, 0.01], [0.75, 0.25]), [0.02 / 0.75] * 2)
        np.testing.assert_allclose(stats.holm([0.01, 0.02], [0.75, 0.25]), [0.01 / 0.75, 0.02])

    def test_either_of_two_words(self):
        """The smaller p-value of a pair is in the family, the larger is Bonferroni's."""
        first, second = stats.holm_either([0.001, 0.9, 0.03], [1.0, 0.004, 0.5])
        np.testing.assert_allclose(first, [0.003, 1.0, 0.03])
        np.testing.assert_allclose(second, [1.0, 0.008, 1.0])
        self.assertEqual([len(x) for x in stats.holm_either([], [])], [0, 0])

    def test_serial_correlation_by_permutation(self):
        """Bartels' normal approximation is near the share of orders with as small a ratio."""
        rng = np.random.default_rng(14)
        d = np.cumsum(rng.normal(size=12)) * 0.5 + rng.normal(size=12)
        ratio = [np.sum(np.diff(sps.rankdata(rng.permutation(d))) ** 2) for _ in range(20_000)]
        share = np.mean(np.array(ratio) <= np.sum(np.diff(sps.rankdata(d)) ** 2))
        self.assertAlmostEqual(stats.serial_p(d), share, delta=0.02)
        self.assertLess(stats.serial_p(np.arange(20.0)), 1e-4)
        alternating = np.tile([1.0, -1.0], 10) + np.arange(20) / 1e3
        self.assertGreater(stats.serial_p(alternating), 0.99)
        self.assertEqual(stats.serial_p(np.arange(9.0)), 1.0)

    def test_ratios_that_are_no_number(self):
        """5e-324 / 1e10 is 0 and 1e300 / 1e-300 is infinite; their logarithms are neither."""
        self.assertAlmostEqual(stats.log_ratio(5e-324, 1e10), math.log(5e-324) - math.log(1e10))
        self.assertAlmostEqual(stats.log_ratio(1e300, 1e-300), 600 * math.log(10))
        self.assertEqual(stats.log_ratio(6.0, 3.0), stats.log_ratio(2.0, 1.0))
        self.assertEqual(verdicts.exp(stats.log_ratio(1e300, 1e-300)), math.inf)

    def test_no_difference_at_all(self):
        e = stats.paired(np.zeros(8))
        self.assertEqual((float(e.p[0]), float(e.low[0]), float(e.high[0])), (1.0, 0.0, 0.0))
        self.assertEqual(stats.mann_whitney_p([1, 1, 1], [1, 1]), 1.0)


class Crossings(unittest.TestCase):
    def test_a_line_that_begins_at_zero(self):
        """Zero has no logarithm: up to the next load the line is straight in the value itself."""
        x = np.array([0.2, 0.4, 0.8])
        found = objective.crossings(x, np.array([[0.0, 10.0, 20.0], [1.0, 1.0, 100.0]]), 5.0)
        self.assertAlmostEqual(found[0], 0.3)
        self.assertAlmostEqual(found[1], 0.4 + 0.4 * math.log(5) / math.log(100))


class Intervals(unittest.TestCase):
    def test_paired_coverage(self):
        """A heavy-tailed sample: the interval covers the truth as often as it says."""
        rng = np.random.default_rng(5)
        e = stats.paired(0.1 + 0.03 * rng.standard_t(3, size=(4000, 15)))
        held = int(((e.low <= 0.1) & (0.1 <= e.high)).sum())
        self.assertGreater(sps.binom.cdf(held, 4000, e.level), 1e-4)
        self.assertGreater(sps.binom.sf(held - 1, 4000, e.level), 1e-4)

    def test_bootstrap_draws_processes_whole(self):
        """Samples within a process agree with each other: the interval must know it."""
        rng = np.random.default_rng(6)
        values = np.arange(400.0)
        held = 0
        for trial in range(200):
            centre = rng.normal(200, 30, 25)
            rows = np.stack([np.bincount(np.clip(np.rint(rng.normal(c, 2, 400)), 0, 399)
                                         .astype(int), minlength=400) for c in centre])
            low, high = stats.bootstrap_quantiles(rows, values, [0.5], seed=trial,
                                                  resamples=400)[0]
            held += low <= 200 <= high
        self.assertGreater(held, 200 * 0.88)    # treated as independent it holds under 10 %

    def test_bootstrap_of_few_processes_is_narrow(self):
        """Why a ccdf has no bar below six processes, and says so below twenty."""
        rng = np.random.default_rng(1)
        for n, low, high in ((1, 0.0, 0.1), (3, 0.65, 0.82), (6, 0.84, 0.94), (20, 0.90, 0.99)):
            held, campaigns = 0, 150
            for trial in range(campaigns):
                rows = np.stack([np.bincount(np.clip(np.rint(rng.normal(c, 2, 200)), 0, 399)
                                             .astype(int), minlength=400)
                                 for c in rng.normal(200, 30, n)])
                ends = stats.bootstrap_quantiles(rows, np.arange(400.0), [0.5], seed=trial,
                                                 resamples=300)[0]
                held += ends[0] <= 200 <= ends[1]
            self.assertTrue(low < held / campaigns < high, (n, held / campaigns))

    def test_pooled_quantile_is_the_quantile_of_the_pool(self):
        rng = np.random.default_rng(7)
        rows = rng.integers(0, 5, size=(6, 50))
        pool = np.repeat(np.arange(50), rows.sum(axis=0))
        for q in (0.01, 0.5, 0.9, 0.99, 1.0):
            want = np.sort(pool)[max(0, math.ceil(q * len(pool) - 1e-9) - 1)]
            self.assertEqual(stats.pooled_quantiles(rows.sum(axis=0), np.arange(50), [q])[0], want)

    def test_outliers_are_flagged_in_place(self):
        x = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 9.0]
        self.assertEqual(stats.outliers(x), [6])
        self.assertEqual(stats.outliers([1.0, 1.0, 1.0, 1.0, 2.0]), [])


def comparisons(d: np.ndarray, is_control: bool = False) -> list[verdicts.Comparison]:
    """One comparison a row of d, as effects.compare_paired makes it."""
    e = stats.paired(d)
    rows = np.atleast_2d(d)
    return [verdicts.Comparison(
        "arm", "base", is_control, "paired", e.pairs, float(e.estimate[i]), float(e.low[i]),
        float(e.high[i]), e.level, float(e.p[i]),
        verdicts.spread_of(verdicts.deviation(rows[i]), e.pairs, e.low[i], e.high[i], e.level), 0,
        stats.tails_of(rows[i])) for i in range(len(rows))]


def judge(d: np.ndarray, aa: np.ndarray, rules: verdicts.Rules) -> list[list[str]]:
    """Verdict words of many campaigns at once: d is (campaigns, comparisons, pairs)."""
    campaigns, count, pairs = d.shape
    flat = d.reshape(-1, pairs)
    made, edge = comparisons(flat), rules.edge
    tails = {shift: stats.signed_rank_tails(flat - shift) for shift in (-edge, edge)}
    p_holm, p_same = (p(tails.get, -edge, edge).reshape(campaigns, count)
                      for p in (stats.p_outside, stats.p_inside))
    words = []
    for i, control in enumerate(comparisons(aa, True)):
        held = verdicts.judge_control(control, rules)
        adjusted = stats.holm_either(p_holm[i], p_same[i])
        row = made[i * count:(i + 1) * count]
        for c, c.p_holm, c.p_same in zip(row, *adjusted):
            c.verdict = verdicts.verdict(c, rules, held)
        words.append([c.verdict.word for c in row])
    return words


class ResampledCampaigns(unittest.TestCase):
    """1,000 campaigns drawn from one pool of residuals that look like timings: skewed, with a
    tail, and a drift that a block's runs share."""
    CAMPAIGNS, COMPARISONS, PILOT = 1000, 4, 10
    rules = verdicts.Rules(family=COMPARISONS, share=1 / COMPARISONS)

    def setUp(self):
        self.rng = np.random.default_rng(2026)
        pool = np.concatenate([self.rng.normal(0, 0.012, 1900), self.rng.exponential(0.05, 100)])
        self.pool = pool - np.median(pool)

    def draw(self, campaigns: int, runs: int, shifts: list[float]) -> tuple:
        """(log-ratios of the arms, log-ratios of the A/A arm)"""
        arms = self.rng.choice(self.pool, (campaigns, len(shifts), runs))
        base = self.rng.choice(self.pool, (campaigns, 1, runs))
        again = self.rng.choice(self.pool, (campaigns, runs))
        return arms - base + np.array(shifts)[None, :, None], again - base[:, 0]

    def false_alarms(self, shift: float) -> int:
        d, aa = self.draw(self.CAMPAIGNS, 20, [shift] * self.COMPARISONS)
        words = judge(d, aa, self.rules)
        return sum(any(w in (verdicts.FASTER, verdicts.SLOWER) for w in row) for row in words)

    def assert_rate_at_most(self, count: int, rate: float):
        bound = sps.binom.ppf(0.999, self.CAMPAIGNS, rate)
        self.assertLessEqual(count, bound, f"{count} of {self.CAMPAIGNS}, bound {bound}")

    def test_false_alarms_without_a_shift(self):
        self.assert_rate_at_most(self.false_alarms(0.0), stats.ALPHA)

    def test_false_alarms_at_the_edge_of_the_margin(self):
        """The hardest null: every arm differs by just what does not matter."""
        self.assert_rate_at_most(self.false_alarms(math.log1p(verdicts.MARGIN)), stats.ALPHA)

    def test_false_sameness_at_the_edge_of_the_margin(self):
        d, aa = self.draw(self.CAMPAIGNS, 60, [math.log1p(verdicts.MARGIN)])
        words = judge(d, aa, verdicts.Rules())
        self.assert_rate_at_most(sum(w[0] == verdicts.SAME for w in words), stats.ALPHA / 2)

    def test_false_sameness_in_a_family(self):
        """Twenty arms at the edge: "same" is a word like another, and may be wrong as rarely."""
        campaigns, arms = 300, 20
        d, aa = self.draw(campaigns, 60, [math.log1p(verdicts.MARGIN)] * arms)
        words = judge(d, aa, verdicts.Rules(family=arms, share=1 / arms))
        wrong = sum(any(w != verdicts.INCONCLUSIVE for w in row) for row in words)
        self.assertLessEqual(wrong, sps.binom.ppf(0.999, campaigns, stats.ALPHA))

    def test_broken_controls_are_rare(self):
        _, aa = self.draw(self.CAMPAIGNS, 20, [0.0])
        broken = sum(verdicts.judge_control(c, self.rules).state == verdicts.MISSED
                     for c in comparisons(aa, True))
        self.assert_rate_at_most(broken, verdicts.CONTROL_ALPHA)

    def test_detection_at_the_printed_number_of_runs(self):
        """Pilots are drawn, their printed number is believed, and campaigns of that size are
        drawn: at least 80 % must call the shift, and it must not take a wasteful number."""
        campaigns = 300
        for shift, most in ((1.05, 80), (1.15, 20), (3.0, 15)):
            shifts = [math.log(shift)] + [0.0] * 3
            d, aa = self.draw(campaigns, self.PILOT, shifts)
            found, printed = 0, []
            for c in comparisons(d[:, 0]):
                c.p_holm = c.p_same = 1.0       # a pilot that has no word yet
                printed.append(verdicts.runs_to_print(c, self.rules))
                again = judge(*self.draw(1, printed[-1], shifts), self.rules)
                found += again[0][0] == verdicts.SLOWER
            self.assertGreaterEqual(found, 0.80 * campaigns, shift)
            self.assertLessEqual(float(np.median(printed)), most, shift)


class KnownShifts(unittest.TestCase):
    def comparison(self, shift: float, noise: float, runs: int, adjust: float = 1.0):
        rng = np.random.default_rng(3)
        c, = comparisons(math.log(shift) + rng.normal(0, noise, runs))
        edge = verdicts.Rules().edge
        c.p_holm, c.p_same = (min(1.0, adjust * p(c.tails, -edge, edge).item())
                              for p in (stats.p_outside, stats.p_inside))
        return c

    def verdict(self, *args, control=None) -> verdicts.Verdict:
        return verdicts.verdict(self.comparison(*args), verdicts.Rules(family=9), control)

    def test_words(self):
        self.assertEqual(self.verdict(0.8, 0.01, 20).word, verdicts.FASTER)
        self.assertEqual(self.verdict(1.25, 0.01, 20).word, verdicts.SLOWER)
        self.assertEqual(self.verdict(1.001, 0.01, 20).word, verdicts.SAME)
        open_one = self.verdict(1.03, 0.1, 20)
        self.assertEqual((open_one.word, open_one.reason), (verdicts.INCONCLUSIVE, ""))
        self.assertGreater(open_one.runs, 20)

    def test_an_interval_that_speaks_for_a_word_says_why_it_has_none(self):
        for shift in (1.25, 1.001):
            v = self.verdict(shift, 0.01, 20, 1e6)
            self.assertEqual(v.word, verdicts.INCONCLUSIVE)
            self.assertRegex(v.reason, "Holm-adjusted p = .* over 9 comparisons")

    def test_too_few_runs_name_a_number(self):
        v = self.verdict(1.5, 0.01, 4)
        self.assertEqual((v.word, v.runs), (verdicts.INCONCLUSIVE, 6))

    def test_an_effect_far_from_the_margin_needs_few_runs(self):
        """Five runs of 9.9 ns against 369 ns, noisy ones: the fewest that this family needs."""
        rules = verdicts.Rules(family=12, share=1 / 12)
        v = verdicts.verdict(self.comparison(37.3, 0.2, 5, 12), rules)
        self.assertEqual((v.word, v.runs, rules.least), (verdicts.INCONCLUSIVE, 9, 9))
        self.assertGreater(verdicts.verdict(self.comparison(1.04, 0.2, 5, 12), rules).runs, 999)

    def test_more_comparisons_need_more_runs(self):
        c = self.comparison(1.04, 0.05, 12, 40)
        one, forty = (verdicts.runs_to_print(c, verdicts.Rules(family=n, share=1 / n))
                      for n in (1, 40))
        self.assertGreater(forty, 1.4 * one)

    def test_what_would_settle_it_is_more_than_was_made(self):
        c = self.comparison(1.04, 0.2, 12, 1)
        for pairs in (12, 20_000, 1_000_000):
            made = dataclasses.replace(c, pairs=pairs)
            self.assertGreater(verdicts.runs_to_settle(made, 0.001, verdicts.Rules()), pairs)

    def control(self, low: float, high: float, p: float = 0.9, pairs: int = 20, left_out: int = 0):
        c = verdicts.Comparison("aa", "a", True, "paired", pairs, (math.log(low) + math.log(high)) / 2,
                                math.log(low), math.log(high), 0.95, p, 0.0, left_out, None)
        return verdicts.judge_control(c, verdicts.Rules())

    def test_broken_control_silences_the_verdict(self):
        broken = self.control(1.08, 1.12, 1e-5)
        self.assertEqual(broken.state, verdicts.MISSED)
        v = self.verdict(2.0, 0.01, 20, control=broken)
        self.assertEqual((v.word, v.runs), (verdicts.NO_VERDICT, 0))
        self.assertIn("A/A", v.reason)

    def test_a_wide_control_raises_the_floor(self):
        wide = self.control(0.9, 1.1)
        self.assertEqual(wide.state, verdicts.OK)
        v = self.verdict(1.06, 0.005, 20, control=wide)
        self.assertEqual(v.word, verdicts.INCONCLUSIVE)
        self.assertIn("below the floor of the A/A control (11.1 %)", v.reason)
        self.assertEqual(self.verdict(1.30, 0.005, 20, control=wide).word, verdicts.SLOWER)

    def test_a_control_that_could_not_miss_is_unknown(self):
        """With one value there is no interval; with seven pairs p cannot fall below 0.01."""
        one, = comparisons(np.array([[0.5]]), True)
        self.assertEqual(verdicts.judge_control(one, verdicts.Rules()).state, verdicts.UNKNOWN)
        for pairs, state in ((7, verdicts.UNKNOWN), (8, verdicts.OK)):
            self.assertEqual(self.control(0.99, 1.01, 0.5, pairs).state, state)
        self.assertIn("1 of 20 pairs have", self.control(0.99, 1.01, 0.5, 19, 1).reason)

    def test_only_times_and_rates_are_faster(self):
        faster, slower = verdicts.Verdict(verdicts.FASTER), verdicts.Verdict(verdicts.SLOWER)
        for v, unit, better, word in (
                (faster, "ns", "lower", "faster"), (slower, "1/s", "higher", "slower"),
                (faster, "B", "lower", "lower"), (slower, "1", "lower", "higher"),
                (faster, "1", "higher", "higher"), (slower, "1", "higher", "lower"),
                (faster, "ns", "none", "lower"), (slower, "1", "none", "higher")):
            self.assertEqual(verdicts.word_for(v, unit, better), word)


if __name__ == "__main__":
    # Drawing thousands of campaigns takes longest: a test of its own, `lab_stats.py rates`.
    if sys.argv[1:] == ["rates"]:
        sys.argv[1:] = ["ResampledCampaigns"]
    else:
        del ResampledCampaigns
    unittest.main()
