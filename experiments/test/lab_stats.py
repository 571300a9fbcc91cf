# SPDX-License-Identifier: MIT
# The statistics give the published values, find a known shift, and keep their error rates.
"""Tests of stats.py. Skipped (77) where numpy or scipy is not installed."""

from __future__ import annotations

import math
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import numpy as np
    import scipy.stats as sps
    from shuntlab import stats
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
        self.assertEqual([stats.signed_rank_critical(n, 0.05) for n in range(6, 31)], r)
        self.assertEqual(stats.signed_rank_critical(5, 0.05), 0)
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

    def test_no_difference_at_all(self):
        e = stats.paired(np.zeros(8))
        self.assertEqual((float(e.p[0]), float(e.low[0]), float(e.high[0])), (1.0, 0.0, 0.0))
        self.assertEqual(stats.mann_whitney_p([1, 1, 1], [1, 1]), 1.0)


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


def judge(d: np.ndarray, comparisons: int, rules: stats.Rules, aa: np.ndarray) -> list[list[str]]:
    """Verdict words of many campaigns at once: d is (campaigns, comparisons, pairs)."""
    e = stats.paired(d.reshape(-1, d.shape[2]))
    control = stats.paired(aa)
    p = e.p_margin.reshape(-1, comparisons)
    words = []
    for i in range(len(aa)):
        held = stats.judge_control(control.estimate[i], control.low[i], control.high[i],
                                   control.p[i], rules)
        adjusted = stats.holm(p[i])
        words.append([stats.verdict(e.estimate[j], e.low[j], e.high[j], adjusted[j - i *
                      comparisons], 0.01, d.shape[2], rules, held).word
                      for j in range(i * comparisons, (i + 1) * comparisons)])
    return words


class ResampledCampaigns(unittest.TestCase):
    """1,000 campaigns drawn from one pool of residuals that look like timings: skewed, with a
    tail, and a drift that a block's runs share."""
    CAMPAIGNS, COMPARISONS, PILOT = 1000, 4, 10
    rules = stats.Rules(family=COMPARISONS)

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
        words = judge(d, self.COMPARISONS, self.rules, aa)
        return sum(any(w in (stats.FASTER, stats.SLOWER) for w in row) for row in words)

    def assert_rate_at_most(self, count: int, rate: float):
        bound = sps.binom.ppf(0.999, self.CAMPAIGNS, rate)
        self.assertLessEqual(count, bound, f"{count} of {self.CAMPAIGNS}, bound {bound}")

    def test_false_alarms_without_a_shift(self):
        self.assert_rate_at_most(self.false_alarms(0.0), stats.ALPHA)

    def test_false_alarms_at_the_edge_of_the_margin(self):
        """The hardest null: every arm differs by just what does not matter."""
        self.assert_rate_at_most(self.false_alarms(math.log1p(stats.MARGIN)), stats.ALPHA)

    def test_false_sameness_at_the_edge_of_the_margin(self):
        d, aa = self.draw(self.CAMPAIGNS, 60, [math.log1p(stats.MARGIN)])
        words = judge(d, 1, stats.Rules(), aa)
        self.assert_rate_at_most(sum(w[0] == stats.SAME for w in words), stats.ALPHA / 2)

    def test_broken_controls_are_rare(self):
        _, aa = self.draw(self.CAMPAIGNS, 20, [0.0])
        e = stats.paired(aa)
        broken = sum(not stats.judge_control(e.estimate[i], e.low[i], e.high[i], e.p[i],
                                             self.rules).ok for i in range(self.CAMPAIGNS))
        self.assert_rate_at_most(broken, stats.CONTROL_ALPHA)

    def test_detection_at_the_printed_number_of_runs(self):
        """Pilots are drawn, their printed number is believed, and campaigns of that size are
        drawn: at least 80 % must call a 5 % shift, and it must not take a wasteful number."""
        d, aa = self.draw(self.CAMPAIGNS, self.PILOT, [math.log(1.05)] + [0.0] * 3)
        e = stats.paired(d[:, 0])
        printed = [self.printed(d[i, 0], e, i) for i in range(self.CAMPAIGNS)]
        found = 0
        for i, runs in enumerate(printed):
            d1, aa1 = self.draw(1, runs, [math.log(1.05)] + [0.0] * 3)
            found += judge(d1, self.COMPARISONS, self.rules, aa1)[0][0] == stats.SLOWER
        self.assertGreaterEqual(found, 0.80 * self.CAMPAIGNS)
        self.assertLess(float(np.median(printed)), 80)

    def printed(self, d: np.ndarray, e: stats.Effects, i: int) -> int:
        spread = stats.spread_of(stats.deviation(d), len(d), e.low[i], e.high[i], e.level)
        v = stats.verdict(e.estimate[i], e.low[i], e.high[i], 1.0, spread, len(d), self.rules)
        return v.runs or len(d)


class KnownShifts(unittest.TestCase):
    def verdict(self, shift: float, noise: float, runs: int, control=None) -> stats.Verdict:
        rng = np.random.default_rng(3)
        d = math.log(shift) + rng.normal(0, noise, runs)
        e = stats.paired(d)
        low, high = float(e.low[0]), float(e.high[0])
        return stats.verdict(float(e.estimate[0]), low, high, float(e.p_margin[0]),
                             stats.spread_of(stats.deviation(d), len(d), low, high, e.level), runs,
                             stats.Rules(), control)

    def test_words(self):
        self.assertEqual(self.verdict(0.8, 0.01, 20).word, stats.FASTER)
        self.assertEqual(self.verdict(1.25, 0.01, 20).word, stats.SLOWER)
        self.assertEqual(self.verdict(1.001, 0.01, 20).word, stats.SAME)
        open_one = self.verdict(1.03, 0.1, 20)
        self.assertEqual(open_one.word, stats.INCONCLUSIVE)
        self.assertGreater(open_one.runs, 20)

    def test_too_few_runs_name_a_number(self):
        v = self.verdict(1.5, 0.01, 4)
        self.assertEqual(v.word, stats.INCONCLUSIVE)
        self.assertGreaterEqual(v.runs, 6)

    def test_broken_control_silences_the_verdict(self):
        broken = stats.judge_control(math.log(1.1), math.log(1.08), math.log(1.12), 1e-5,
                                     stats.Rules())
        self.assertFalse(broken.ok)
        v = self.verdict(2.0, 0.01, 20, broken)
        self.assertEqual((v.word, v.runs), (stats.NO_VERDICT, 0))
        self.assertIn("A/A", v.reason)

    def test_a_wide_control_raises_the_floor(self):
        wide = stats.judge_control(0.0, math.log(0.9), math.log(1.1), 0.9, stats.Rules())
        self.assertTrue(wide.ok)
        self.assertEqual(self.verdict(1.06, 0.005, 20, wide).word, stats.INCONCLUSIVE)
        self.assertEqual(self.verdict(1.30, 0.005, 20, wide).word, stats.SLOWER)


if __name__ == "__main__":
    unittest.main()
