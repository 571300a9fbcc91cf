# SPDX-License-Identifier: MIT
# Each expectation gets the answer that its campaign was made to give.
"""Tests of claims.py. Skipped (77) where numpy or scipy is not installed."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import numpy  # noqa: F401
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-numpy, python3-scipy)")
    sys.exit(77)

import synthetic
from shuntlab.commands import claims
from shuntlab.planning.campaign import load_campaign
from shuntlab.planning.kept_plan import CampaignError

RATIOS = {"ucontext": 48.0, "mn": 1.6}


def expect(of, over, metric="ns_per_switch", **bounds):
    return {"claim": f"{of} over {over}", "metric": metric, "ratio": [of, over], "line": 7,
            "where": {}} | bounds


class Claims(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)

    def campaign(self, *expects, model=None, repetitions=20, points=None, name="a"):
        arms = ["asm", "ucontext", "mn", "gone"]
        points = points or [{"workload": "yield", "axes": {"tasks": t}} for t in ("2", "64")]
        for p in points:
            p.setdefault("arms", [*arms[:3], "asm-again"])
            p.setdefault("excluded", [{"arm": "gone", "why": "liburing was not found"}])
        made = synthetic.plan("switch_cost", arms, points, repetitions, 1, expect=list(expects))
        inner = model or synthetic.ratio_model(5.9, RATIOS)
        return load_campaign(synthetic.write(self.root / name, made, inner))

    def answer(self, *args, model=None, repetitions=20, points=None, **bounds) -> claims.Claim:
        campaign = self.campaign(expect(*args, **bounds), model=model, repetitions=repetitions,
                                 points=points)
        return claims.judge_all(campaign)[0]

    def test_confirmed(self):
        c = self.answer("ucontext", "asm", above=5)
        self.assertEqual((c.answer, len(c.findings)), (claims.CONFIRMED, 2))
        self.assertEqual(c.predicate, "ns_per_switch: ucontext / asm > 5")

    def test_refuted(self):
        self.assertEqual(self.answer("ucontext", "asm", below=20).answer, claims.REFUTED)

    def test_both_bounds(self):
        self.assertEqual(self.answer("mn", "asm", above=1.4, below=1.8).answer, claims.CONFIRMED)

    def test_one_of_two_bounds_is_enough_to_refute(self):
        self.assertEqual(self.answer("mn", "asm", above=1.7, below=3).answer, claims.REFUTED)

    def test_inconclusive_names_a_number_of_runs(self):
        c = self.answer("mn", "asm", above=1.6)
        self.assertEqual(c.answer, claims.OPEN)
        self.assertTrue(all(f.runs > 20 for f in c.findings if f.answer == claims.OPEN))

    def test_too_few_runs(self):
        c = self.answer("ucontext", "asm", above=5, repetitions=3)
        self.assertEqual((c.answer, c.findings[0].runs), (claims.OPEN, 8))   # 2 of 4 + 2 share .025

    def test_not_testable_gives_the_plans_reason(self):
        c = self.answer("gone", "asm", above=1)
        self.assertEqual((c.answer, c.reason),
                         (claims.UNTESTABLE, "gone: liburing was not found"))

    def test_not_testable_gives_the_runs_reason(self):
        inner = synthetic.ratio_model(5.9, RATIOS)

        def model(arm, point, rng, shared):
            if arm == "mn":
                return {"status": "skipped", "reason": "one CPU only"}
            return inner(arm, point, rng, shared)
        c = self.answer("mn", "asm", above=1, model=model)
        self.assertEqual((c.answer, c.reason), (claims.UNTESTABLE, "mn: skipped: one CPU only"))

    def test_not_testable_without_the_metric_or_the_point(self):
        c = self.answer("mn", "asm", metric="nothing", above=1)
        self.assertEqual((c.answer, c.reason), (claims.UNTESTABLE, "mn does not report nothing"))
        campaign = self.campaign(expect("mn", "asm", above=1, where={"tasks": "7"}), name="b")
        self.assertEqual(claims.judge_all(campaign)[0].answer, claims.UNTESTABLE)

    def test_a_true_claim_of_many_points_is_rarely_refuted(self):
        """Twenty points, at each of which the ratio is the bound: one in 20 campaigns may err."""
        points = [{"workload": "yield", "axes": {"tasks": str(t)}, "arms": ["asm", "mn"]}
                  for t in range(20)]
        refuted = 0
        for trial in range(40):
            made = synthetic.plan("many", ["asm", "mn"], points, 8, 1, control="",
                                  expect=[expect("mn", "asm", below=1.6)])
            campaign = load_campaign(synthetic.write(
                self.root / f"t{trial}", made, synthetic.ratio_model(5.9, RATIOS), seed=trial))
            refuted += claims.judge_all(campaign)[0].answer == claims.REFUTED
        self.assertLessEqual(refuted, 6)        # P(more | 0.05) = .003; uncorrected 16 are refuted

    def test_a_pair_without_a_ratio_confirms_nothing(self):
        """0 in 20 blocks and 110 in 10, against 100."""
        left = iter(([0.0] * 20 + [110.0] * 10) * 2)

        def model(arm, point, rng, shared):
            return {"metrics": {"ns_per_switch": (next(left) if arm == "mn" else 100.0, "ns",
                                                  "lower")}}
        c = self.answer("mn", "asm", above=1, model=model, repetitions=30,
                        points=[{"workload": "yield"}])
        self.assertEqual(c.answer, claims.OPEN)
        self.assertIn("20 of 30 pairs have a value of zero", c.findings[0].reason)

    def test_every_point_must_agree(self):
        """At 64 tasks mn is 1.6 times slower, at 2 it is not."""
        def model(arm, point, rng, shared):
            ratio = 1.6 if point["axes"]["tasks"] == "64" else 1.0
            return synthetic.ratio_model(5.9, {"mn": ratio})(arm, point, rng, shared)
        campaign = self.campaign(expect("mn", "asm", above=1.3),
                                 expect("mn", "asm", above=1.3, where={"tasks": ">= 10"}),
                                 model=model)
        self.assertEqual([c.answer for c in claims.judge_all(campaign)],
                         [claims.REFUTED, claims.CONFIRMED])

    def test_sides_at_points_of_their_own(self):
        """Four workers do in a quarter of the time, less a little, what one does."""
        def model(arm, point, rng, shared):
            workers = int(point["axes"]["backend.workers"])
            return synthetic.ratio_model(800.0 / workers ** 0.9, {})(arm, point, rng, shared)
        points = [{"workload": "fib", "axes": {"backend.workers": w}} for w in ("1", "4")]
        c = self.answer({"arm": "mn", "workers": 1}, {"arm": "mn", "workers": 4}, above=3, below=4,
                        model=model, points=points)
        self.assertEqual(c.answer, claims.CONFIRMED)
        self.assertEqual(c.findings[0].comparison.method, "unpaired")
        self.assertIn("mn workers=1 / mn workers=4", c.predicate)

    def test_a_broken_control_confirms_nothing(self):
        model = synthetic.ratio_model(5.9, RATIOS | {"asm-again": 1.2})
        c = self.answer("ucontext", "asm", above=5, model=model)
        self.assertEqual(c.answer, claims.OPEN)
        self.assertIn("A/A control", c.findings[0].reason)

    def test_a_broken_control_at_either_side_confirms_nothing(self):
        points = [{"workload": "fib", "axes": {"backend.workers": w}} for w in ("1", "4")]
        for broken, answer in (("", claims.CONFIRMED), ("1", claims.OPEN), ("4", claims.OPEN)):
            def model(arm, point, rng, shared):
                workers = point["axes"]["backend.workers"]
                again = {"asm-again": 1.2} if workers == broken else {}
                return synthetic.ratio_model(800.0 / int(workers), again)(arm, point, rng, shared)
            campaign = self.campaign(expect({"arm": "mn", "workers": 1}, {"arm": "mn", "workers": 4},
                                            above=2), model=model, points=points, name=f"broken{broken}")
            self.assertEqual(claims.judge_all(campaign)[0].answer, answer, broken)

    def run_command(self, *argv: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        claims.register(parser.add_subparsers())
        args = parser.parse_args(["claims", *argv])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            return args.run(args), out.getvalue()

    def test_exit_status_and_text(self):
        self.campaign(expect("ucontext", "asm", above=5), expect("gone", "asm", above=1))
        code, text = self.run_command(str(self.root / "a"))
        self.assertEqual(code, 0)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn("1 confirmed, 1 not testable here", text)
        self.campaign(expect("ucontext", "asm", below=5), name="b")
        code, text = self.run_command(str(self.root / "b"), "--json")
        self.assertEqual((code, json.loads(text)["claims"][0]["answer"]), (1, claims.REFUTED))

    def test_an_empty_campaign_says_what_to_do(self):
        campaign = self.campaign(expect("mn", "asm", above=1))
        for file in (campaign.path / "records").glob("*.json"):
            file.unlink()
        with self.assertRaisesRegex(CampaignError, "lab run"):
            self.run_command(str(campaign.path))


if __name__ == "__main__":
    unittest.main()
