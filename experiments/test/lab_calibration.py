# SPDX-License-Identifier: MIT
# Of campaigns with the noise of recorded runs and a known slow-down, as few get a wrong word as promised.
"""Calibration of the verdicts; prints its table. Skipped (77) where numpy or scipy is not installed.

The noise is that of the A/A controls of a reference campaign, centred on 1. Campaigns are drawn from it with
replacement, and slow-downs of a known size are put in. The experiment `calibration` does the same with real work.
"""

from __future__ import annotations

import math
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import numpy as np
    import scipy.stats as sps
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-numpy, python3-scipy)")
    sys.exit(77)

from lab_stats import judge
from shuntlab.planning.campaign import load_campaign
from shuntlab.statistics import stats, verdicts
from shuntlab.statistics.effects import log_ratios
from shuntlab.statistics.points import gather

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "switch_cost"
INJECTED = (0, 2, 5, 10)        # per cent
RUNS, CAMPAIGNS, SEED = 20, 1000, 2026
WORDS = (verdicts.FASTER, verdicts.SAME, verdicts.SLOWER, verdicts.INCONCLUSIVE, verdicts.NO_VERDICT)
TRUE = {0: verdicts.SAME, 5: verdicts.SLOWER, 10: verdicts.SLOWER}     # 2 % is the margin: neither


class Calibration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        campaign = load_campaign(REFERENCE)
        found = [log_ratios(p, campaign.plan["control"], campaign.plan["baseline"],
                            "ns_per_switch").d for p in gather(campaign)]
        cls.noise = np.concatenate([d - stats.paired(d).estimate[0] for d in found if len(d)])
        cls.rng = np.random.default_rng(SEED)

    def draw(self, *shape: int) -> np.ndarray:
        return self.rng.choice(self.noise, shape)

    def words(self) -> np.ndarray:
        """Of each campaign the word for each injected slow-down."""
        shifts = np.log1p(np.array(INJECTED) / 100)
        d = self.draw(CAMPAIGNS, len(INJECTED), RUNS) + shifts[None, :, None]
        rules = verdicts.Rules(family=len(INJECTED), share=1 / len(INJECTED))
        return np.array(judge(d, self.draw(CAMPAIGNS, RUNS), rules))

    def test_words(self):
        words = self.words()
        print(f"\n{CAMPAIGNS} campaigns of {RUNS} runs; a pair of runs differs by "
              f"{100 * np.std(self.noise):.1f} % (standard deviation)")
        print(f"{'injected':>10}" + "".join(f"{w:>14}" for w in WORDS))
        for i, percent in enumerate(INJECTED):
            print(f"{percent:>8} %" + "".join(f"{100 * np.mean(words[:, i] == w):>12.1f} %"
                                              for w in WORDS))
        settled = (verdicts.INCONCLUSIVE, verdicts.NO_VERDICT)
        wrong = sum(any(w not in (*settled, TRUE.get(p)) for p, w in zip(INJECTED, row))
                    for row in words)
        print(f"campaigns with any wrong word: {100 * wrong / CAMPAIGNS:.1f} %")
        self.assertLessEqual(wrong, sps.binom.ppf(0.999, CAMPAIGNS, stats.ALPHA))
        self.assertGreater(np.mean(words[:, INJECTED.index(10)] == verdicts.SLOWER), 0.8)

    def test_looking_until_it_holds(self):
        """A ratio on the margin is looked at after each block, from the 8th to the 40th: a word found by
        then is wrong. At the end it is as rare as promised; at any of the looks it is not."""
        edge, campaigns = verdicts.Rules().edge, 400
        d = self.draw(campaigns, 40) + edge
        held = np.array([self.any_word(d[:, :n], edge) for n in range(8, 41)])
        at_end, ever = held[-1].mean(), held.any(axis=0).mean()
        print(f"\na wrong word at the end: {100 * at_end:.1f} %; at any look: {100 * ever:.1f} %")
        self.assertLessEqual(at_end * campaigns, sps.binom.ppf(0.999, campaigns, stats.ALPHA))
        self.assertGreater(ever, 2 * stats.ALPHA)

    @staticmethod
    def any_word(d: np.ndarray, edge: float) -> np.ndarray:
        tails = {shift: stats.signed_rank_tails(d - shift) for shift in (-edge, edge)}
        p = np.minimum(*(p(tails.get, -edge, edge) for p in (stats.p_outside, stats.p_inside)))
        return p <= stats.ALPHA


if __name__ == "__main__":
    if not REFERENCE.is_dir():
        print(f"skipped: no campaign at {REFERENCE}")
        sys.exit(77)
    unittest.main()
