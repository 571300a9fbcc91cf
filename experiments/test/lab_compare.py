# SPDX-License-Identifier: MIT
# Campaigns of known ratios get the right verdicts, and machines are never mixed.
"""Tests of points.py and compare.py. Skipped (77) where numpy or scipy is not installed."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import shutil
import sys
import tempfile
import tracemalloc
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import numpy as np
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-numpy, python3-scipy)")
    sys.exit(77)

import synthetic
from shuntlab.commands import claims, compare
from shuntlab.data import packed
from shuntlab.planning.campaign import load_campaign
from shuntlab.planning.kept_plan import CampaignError
from shuntlab.statistics import points, verdicts
from shuntlab.statistics.analysis import analyse, correlated
from shuntlab.statistics.effects import Ratios, compare_unpaired
from shuntlab.statistics.needs import needs

ARMS = ["asm", "ucontext", "asm-ret", "mn-workers-1-mt-1-policy-steal"]
RATIOS = {"ucontext": 48.0, "asm-ret": 1.10, "mn-workers-1-mt-1-policy-steal": 0.9}


class Scratch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)

    def campaign(self, name="a", repetitions=20, model=None, points=None, machine="Generated CPU",
                 seed=1, metrics=("ns_per_switch",), **plan):
        made = synthetic.plan("switch_cost", ARMS, points or [
            {"workload": "yield", "axes": {"tasks": t}} for t in ("2", "64")],
            repetitions, 1, metrics=list(metrics), **plan)
        model = model or synthetic.ratio_model(5.9, RATIOS)
        return load_campaign(synthetic.write(self.root / name, made, model, machine=machine,
                                             seed=seed))

    def verdicts(self, report) -> dict[str, str]:
        return {c.arm: c.verdict.word for c in report.sections[0].comparisons}


class Verdicts(Scratch):
    def test_known_ratios(self):
        report = analyse([self.campaign()])
        self.assertEqual(len(report.sections), 2)
        for s in report.sections:
            for arm, ratio in RATIOS.items():
                c = s.of(arm)
                self.assertAlmostEqual(c.ratio[0] / ratio, 1, delta=0.02)
                self.assertEqual(c.verdict.word, "slower" if ratio > 1 else "faster")
            self.assertEqual(s.of("asm-again").verdict.word, "control")
        self.assertEqual(report.rules.family, 6)        # controls are not asked

    def test_pairing_removes_what_a_block_shares(self):
        """The blocks drift by 40 %; within a block the arms differ by 10 %."""
        model = synthetic.ratio_model(5.9, RATIOS, noise=0.01, block_noise=0.4)
        report = analyse([self.campaign(model=model)])
        self.assertEqual(self.verdicts(report)["asm-ret"], "slower")

    def test_higher_is_better(self):
        report = analyse([self.campaign()], metrics=["ops_per_s"])
        self.assertEqual(self.verdicts(report)["ucontext"], "slower")
        self.assertLess(report.sections[0].of("ucontext").ratio[0], 0.03)

    def test_memory_is_not_faster(self):
        def model(arm, point, rng, shared):
            return {"metrics": {"rss_bytes_per_task": (4096.0 * (2 if arm == "ucontext" else 1),
                                                       "B", "lower")}}
        report = analyse([self.campaign(model=model, metrics=["rss_bytes_per_task"])])
        s = report.sections[0]
        self.assertEqual(verdicts.word_for(s.of("ucontext").verdict, s.unit, s.better), "higher")
        self.assertEqual(self.verdicts(report)["asm-ret"], "same")
        self.assertIn("4 [4, 4]", compare.table(report))

    def test_another_baseline(self):
        report = analyse([self.campaign()], "ucontext")
        self.assertEqual(self.verdicts(report)["asm"], "faster")
        self.assertIsNone(report.sections[0].control)
        with self.assertRaisesRegex(CampaignError, "no arm 'nope'"):
            analyse(report.campaigns, "nope")

    def test_a_broken_control_silences_its_point(self):
        inner = synthetic.ratio_model(5.9, RATIOS | {"asm-again": 1.15})
        report = analyse([self.campaign(model=inner)])
        self.assertEqual(set(self.verdicts(report).values()), {"control missed", "no verdict"})
        self.assertIn("no verdict at yield tasks=2: the A/A control differs by 1",
                      compare.table(report))

    def test_few_runs_give_a_number_and_no_verdict(self):
        report = analyse([self.campaign(repetitions=3)])
        c = report.sections[0].of("ucontext")
        self.assertEqual(c.verdict.word, "inconclusive")
        self.assertGreaterEqual(c.verdict.runs, 6)
        self.assertTrue(math.isnan(c.low))
        self.assertIn("6 comparisons need at least 8 runs", compare.table(report))
        json.dumps(compare.report_json(report), allow_nan=False)

    def test_a_metric_that_no_run_has_is_said(self):
        table = compare.table(analyse([self.campaign(metrics=("ns_per_swich", "ns_per_switch"))]))
        self.assertIn("no run has the metric 'ns_per_swich'", table)
        self.assertIn("did you mean\n  'ns_per_switch'?", table)

    def counting(self, name: str, processor, **plan):
        inner = synthetic.ratio_model(5.9, RATIOS)
        return self.campaign(name, model=lambda arm, *given: {
            **inner(arm, *given), "processor": processor(arm, given[1])}, points=[{"workload": "yield"}], **plan)

    def test_counts_of_the_processor_are_compared_and_claimed(self):
        """An operation has 50 instructions, of two threads, one of which was counted for half of its time."""
        def processor(arm, rng):
            times = 3 if arm == "ucontext" else 1
            first, second = {"name": "main", "instructions": times * 40_000 + rng.randrange(100)}, \
                {"name": "worker1", "instructions": str(times * 5_000), "enabled_ns": 8, "running_ns": 4}
            return {"ops": 1000, "wall_ns": 1, "by_thread": [{**first, "enabled_ns": 9, "running_ns": 9}, second],
                    "absent": {"cache_misses": "ENOENT: no such counter"}}
        name, cycles = "processor.instructions_per_op", "processor.cycles_per_op"
        made = self.counting("counted", processor, metrics=(name, "processor.cache_misses_per_op"), expect=[
            {"claim": "more", "metric": metric, "ratio": ["ucontext", "asm"], "above": 2, "line": 1}
            for metric in (name, cycles, "processor.cache_misses_per_op")])
        loaded = load_campaign(made.path, needs([cycles]))
        report = analyse([loaded], metrics=[name, cycles])
        section = report.sections[0]
        self.assertAlmostEqual(section.summaries[0].median, 50, delta=0.1)
        self.assertAlmostEqual(section.of("ucontext").ratio[0], 3, delta=0.01)
        self.assertEqual(verdicts.word_for(section.of("ucontext").verdict, section.unit, section.better), "higher")
        self.assertEqual([c.answer for c in report.claims], ["confirmed"] + ["not testable here"] * 2)
        self.assertEqual([c.reason for c in report.claims[1:]], [
            f"ucontext does not report {cycles}: the records hold no such count",
            "ucontext does not report processor.cache_misses_per_op: ENOENT: no such counter"])
        table = " ".join(compare.table(report).split())
        self.assertIn("'processor.cache_misses_per_op' that is asked for: ENOENT: no such counter", table)
        self.assertIn(f"{cycles!r} that is asked for: the records hold no such count", table)

    def test_why_the_processor_did_not_count(self):
        made = self.counting("uncounted", lambda *_: {"absent": {"hardware": "EOPNOTSUPP: no such counter here"}})
        for name, why in (("processor.cycles_per_op", "EOPNOTSUPP: no such counter here"),
                          ("processor.page_faults_per_op", "the records hold no such count")):
            with self.assertRaisesRegex(CampaignError, f"no run has the metric '{name}' that is asked for: {why}"):
                compare.command(argparse.Namespace(campaigns=[made.path], baseline="", metric=[name], json=False))

    def test_outliers_are_flagged_and_kept(self):
        base = synthetic.ratio_model(5.9, RATIOS, block_noise=0.0)
        hits = iter(range(10 ** 6))

        def model(arm, point, rng, shared):
            made = base(arm, point, rng, shared)
            if next(hits) == 7:
                value, unit, better = made["metrics"]["ns_per_switch"]
                made["metrics"]["ns_per_switch"] = (10 * value, unit, better)
            return made
        report = analyse([self.campaign(model=model)])
        flagged = [x for s in report.sections for x in s.summaries if x.outliers]
        self.assertTrue(flagged)
        self.assertTrue(all(x.n == 20 for x in flagged))
        self.assertRegex(compare.table(report), r"\d outliers? \(kept")

    def test_a_failed_run_is_never_a_zero(self):
        base = synthetic.ratio_model(5.9, RATIOS)

        def model(arm, point, rng, shared):
            if arm == "ucontext":
                return {"status": "skipped", "reason": "no ucontext here"}
            return base(arm, point, rng, shared)
        report = analyse([self.campaign(model=model)])
        s = report.sections[0]
        self.assertIsNone(s.of("ucontext"))
        self.assertEqual(next(x for x in s.summaries if x.arm == "ucontext").lost, {"skipped": 20})
        self.assertIn("20 runs skipped", compare.table(report))

    def test_an_invalid_run_is_counted_beside_the_verdict(self):
        base = synthetic.ratio_model(5.9, RATIOS)
        hits = iter(range(10 ** 6))

        def model(arm, point, rng, shared):
            made = base(arm, point, rng, shared)
            if arm == "ucontext" and next(hits) % 20 < 3:
                return {"status": "skipped", "reason": "invalid: the generator lagged"}
            return made
        table = compare.table(analyse([self.campaign(model=model)]))
        self.assertRegex(table, r"slower\n {14}\d runs invalid\n")

    def zeros(self, baseline: float, arm: list[float], metric="ns_per_switch") -> verdicts.Comparison:
        """ucontext takes the given values, one a block, the others the baseline's."""
        left = iter(arm)

        def model(name, point, rng, shared):
            value = next(left) if name == "ucontext" else baseline
            return {"metrics": {metric: (value, "ns", "lower")}}
        campaign = self.campaign(f"zeros{len(list(self.root.iterdir()))}", len(arm), model,
                                 [{"workload": "yield"}])
        report = analyse([campaign])
        self.table = compare.table(report)
        json.dumps(compare.report_json(report), allow_nan=False)
        return report.sections[0].of("ucontext")

    def test_a_pair_without_a_ratio_takes_the_verdict(self):
        """0 in 20 blocks and 110 in 10, against 100: the mean is lower, the ratios left are 1.1."""
        c = self.zeros(100.0, [0.0] * 20 + [110.0] * 10)
        self.assertEqual((c.verdict.word, c.left_out, c.pairs), ("no verdict", 20, 10))
        self.assertIn("20 of 30 pairs have a value of zero or below", " ".join(self.table.split()))
        c = self.zeros(100.0, [-1.0] + [110.0] * 29)
        self.assertEqual((c.verdict.word, c.left_out), ("no verdict", 1))
        c = self.zeros(0.0, [110.0] * 12)
        self.assertEqual((c.verdict.word, c.pairs), ("no verdict", 0))
        self.assertIn("no ratio", self.table)
        self.assertEqual(self.zeros(100.0, [110.0] * 30).verdict.word, "slower")

    def test_a_ratio_beyond_any_number_is_no_traceback(self):
        self.assertEqual(self.zeros(1e10, [5e-324] * 12).verdict.word, "faster")
        self.assertEqual(self.zeros(5e-324, [1e30] * 12).verdict.word, "slower")
        self.assertIn("too large", self.table)

    def test_quantile_of_a_series(self):
        def model(arm, point, rng, shared):
            scale = 2.0 if arm == "ucontext" else 1.0
            return {"metrics": {}, "series": {"lateness": [scale * rng.expovariate(1 / 5e4)
                                                           for _ in range(800)]}}
        campaign = self.campaign(model=model, metrics=["lateness.p99", "lateness.p99.9"],
                                 points=[{"workload": "timers"}])
        report = analyse([campaign])
        self.assertEqual([s.metric for s in report.sections], ["lateness.p99"])     # 800 < 3,688
        self.assertEqual(self.verdicts(report)["ucontext"], "slower")


    def test_a_quantile_that_is_recorded_is_taken_as_it_is(self):
        from shuntlab.data import records
        from shuntlab.statistics import values
        fine = synthetic.series([1000.0 + 7 * i for i in range(1000)])
        whole = {"metrics": {}, "series": {"lateness": records.coarsen(fine, 2)}}
        exact = records.quantile(fine, 0.75)
        coarse = values.value_of(whole, "lateness.p75").number
        self.assertTrue(exact < coarse < exact * (1 + 1 / 128))
        whole["series"]["lateness"]["quantiles"] = {"p75": exact}
        self.assertEqual(values.value_of(whole, "lateness.p75").number, exact)

    def test_campaigns_of_different_digits(self):
        """Quantiles that the records hold are alike; those read from buckets come with a warning."""
        def model(arm, point, rng, shared):
            return {"metrics": {}, "series": {"lateness": [rng.expovariate(1 / 5e4)
                                                           for _ in range(800)]}}
        given = {"model": model, "metrics": ["lateness.p75"], "points": [{"workload": "timers"}]}
        one, two = self.campaign("one", **given), self.campaign("two", **given)
        self.assertFalse([n for n in analyse([one, two]).notes if "digits" in n])
        from shuntlab.data import records
        for r in two.records:
            r["series"]["lateness"] = records.coarsen(r["series"]["lateness"], 2)
        notes = [n for n in analyse([one, two]).notes if "digits" in n]
        self.assertEqual(len(notes), 1)
        self.assertIn("lateness.p75", notes[0])
        for r in one.records + two.records:
            r["series"]["lateness"]["quantiles"] = {"p75": 70000}
        self.assertFalse([n for n in analyse([one, two]).notes if "digits" in n])


class Family(Scratch):
    """One report, one correction: whatever is looked at, the same arms have the same answer."""

    def noisy(self, name: str, **plan):
        def model(arm, point, rng, shared):
            made = synthetic.ratio_model(5.9, {"mn-workers-1-mt-1-policy-steal": 0.96}, 0.02)(
                arm, point, rng, shared)
            made["metrics"] |= {f"m{i}": (math.exp(0.02 * rng.gauss(0, 1)), "ns", "lower")
                                for i in range(6)}
            return made
        return self.campaign(name, 14, model, metrics=["ns_per_switch", *[f"m{i}" for i in range(6)]],
                             **plan)

    def test_a_metric_by_itself_has_the_answer_of_the_whole_report(self):
        campaign = self.noisy("a")
        whole = {(s.point.id, s.metric, c.arm): (c.p_holm, c.verdict)
                 for s in analyse([campaign]).sections for c in s.comparisons if not c.is_control}
        one = analyse([campaign], metrics=["ns_per_switch"])
        self.assertEqual({s.metric for s in one.sections}, {"ns_per_switch"})
        self.assertEqual(one.rules.family, 7 * 3 * 2)
        for s in one.sections:
            for c in (c for c in s.comparisons if not c.is_control):
                self.assertEqual((c.p_holm, c.verdict), whole[s.point.id, s.metric, c.arm])

    def test_a_claim_and_a_forest_are_in_the_family(self):
        claim = {"claim": "x", "metric": "ns_per_switch", "line": 1, "where": {}, "above": 2,
                 "ratio": ["ucontext", "asm"]}
        forest = {"kind": "forest", "y": "ops_per_s"}
        alone = analyse([self.campaign("a")])
        both = analyse([self.campaign("b", expect=[claim], figures=[forest])])
        self.assertEqual((alone.rules.family, both.rules.family), (6, 6 + 2 + 6))
        self.assertEqual({s.metric for s in both.sections}, {"ns_per_switch", "ops_per_s"})

    def test_the_intervals_of_inconclusive_say_why(self):
        """Twelve comparisons of which one is near the margin: its interval alone would do."""
        table = " ".join(compare.table(analyse([self.noisy("a")])).split())
        self.assertRegex(table, r"inconclusive \(\d+\) Holm-adjusted p = 0\.\d+ over 42 comparisons")

    def test_serial_correlation_is_said(self):
        """The arm gets slower from block to block, the baseline does not."""
        blocks: dict[str, int] = {}

        def model(arm, point, rng, shared):
            n = blocks[arm + point["id"]] = blocks.get(arm + point["id"], 0) + 1
            drift = 1 + 0.01 * n if arm == "ucontext" else 1.0
            return {"metrics": {"ns_per_switch": (drift * math.exp(0.01 * rng.gauss(0, 1)), "ns",
                                                  "lower")}}
        report = analyse([self.campaign(model=model)])
        count, found = correlated(report)
        self.assertEqual((count, {c.arm for _, c in found}), (8, {"ucontext"}))
        text = " ".join(compare.table(report).split())
        self.assertIn("serial correlation of the differences in 2 of 8 comparisons", text)
        text = " ".join(compare.table(analyse([self.campaign("b")])).split())
        self.assertIn("serial correlation of the differences: found in none of 8", text)


class Cautions(Scratch):
    """What took the processor from the runs is said beside the verdicts, with counts."""

    def disturbed(self, name: str, late: int, switches: dict[str, int]):
        """`late` runs have a service of 1.1; `switches` are the preemptions of each arm in 1 ms."""
        left = iter([1.1] * late + [1.09] * 1000)
        inner = synthetic.ratio_model(5.9, RATIOS)

        def model(arm, point, rng, shared):
            made = inner(arm, point, rng, shared)
            made["metrics"]["service_ratio"] = (next(left), "1", "none")
            return made | {"usage": {"involuntary_switches": switches.get(arm, 1)}}
        campaign = self.campaign(name, 12, model, [{"workload": "openloop"}])
        table = " ".join(compare.table(analyse([campaign])).split())
        self.assertEqual(table.count("measured service"), bool(late))
        self.assertIn(" ".join(claims.table(analyse([campaign])).split())[-60:], table)
        return table

    def test_runs_whose_service_took_longer(self):
        self.assertIn("12 of 60 runs: the measured service was 1.1 × the table's or more (the host took "
                      "the processor", self.disturbed("late", 12, {}))
        self.assertNotIn("host took", self.disturbed("fine", 0, {}))

    def test_arms_that_were_preempted_far_more_or_less_than_the_baseline(self):
        text = self.disturbed("more", 0, {"ucontext": 8, "asm-ret": 2})
        self.assertIn("involuntary context switches in 2 of 4 comparisons: 2 × the baseline's or more, or "
                      "that much fewer (ucontext at openloop: 8000 a second, asm 1000)", text)
        self.assertIn("in 4 of 4 comparisons", self.disturbed("fewer", 0, {"asm": 3}))
        for even in ({}, dict.fromkeys(["asm", *RATIOS, "asm-again"], 0)):
            self.assertNotIn("involuntary", self.disturbed(f"even{len(even)}", 1, even))


    def test_runs_whose_probe_was_slow_are_named(self):
        """Each loop against its own quiet time, in 40 runs; 1.49 times is not disturbed."""
        few = {3: (1.5, 1.0), 7: (1.0, 3.06)}
        for name, slow, said in (("quiet", {5: (1.49, 1.0)}, "0 of 40"), ("few", few, "2 of 40"),
                                 ("many", {n: (2.0, 1.0) for n in range(6)}, "6 of 40")):
            run, inner = iter(range(40)), synthetic.ratio_model(5.9, RATIOS)

            def model(*given):
                throughput, latency = slow.get(next(run), (1.0, 1.0))
                return inner(*given) | {"probe": {"throughput_ns": 1.3 * throughput, "latency_ns": latency}}
            campaign = self.campaign(name, 8, model, [{"workload": "yield"}])
            order = [f"{b['id']}.{a}" for b in campaign.plan["blocks"] for a in b["order"]]
            for page in (compare.table(analyse([campaign])), claims.table(analyse([campaign]))):
                text = " ".join(page.split())
                self.assertEqual("interference probe took 1.5 × its quiet time" in text, name != "quiet", text)
                self.assertEqual(f"around {said} runs" in text, name != "quiet", text)
                self.assertEqual(f"({order[7]} 3.1 ×, {order[3]} 1.5 ×)" in text, name == "few", text)
                self.assertEqual("…; `lab status --json` names all)" in text, name == "many", text)


class Campaigns(Scratch):
    def test_other_rules_of_judging_are_said(self):
        one, two = self.campaign("one"), self.campaign("two")
        self.assertFalse([n for n in analyse([one, two]).notes if "frozen with margin" in n])
        two.plan["margin"] = 0.05
        report = analyse([one, two])
        said = f"{two.path} was frozen with margin 0.05 and alpha 0.05; all is judged here with margin 0.02"
        self.assertTrue([n for n in report.notes if n.startswith(said)], report.notes)
        self.assertIn("was frozen with margin", " ".join(claims.table(report).split()))

    def test_two_machines_are_compared_by_ratio_only(self):
        """The second machine is 3 times slower in everything, and its ucontext 1.5 times more."""
        here = self.campaign("here")
        slow = synthetic.ratio_model(17.7, RATIOS | {"ucontext": 72.0})
        there = self.campaign("there", model=slow, machine="Slow CPU", seed=2)
        report = analyse([here, there])
        self.assertEqual({s.point.machine for s in report.sections}, set(report.machines))
        between = {c.arm: c for c in report.across[0].comparisons}
        self.assertNotIn("asm", between)        # its own ratio is 1 everywhere
        self.assertAlmostEqual(between["ucontext"].ratio[0], 1.5, delta=0.05)
        self.assertEqual(between["ucontext"].verdict.word, "slower")
        self.assertEqual(between["asm-ret"].verdict.word, "same")
        self.assertTrue(any("never by the medians" in n for n in report.notes))

    def test_what_is_kept_of_a_packed_record_is_small_and_answers_the_same(self):
        asked = ["lateness.p75", "lateness.p99", "usage.user_ns", "counters.steals"]

        def model(arm, point, rng, shared):
            counters = {"steals": rng.randrange(1, 10**6), **{f"c{i}": rng.randrange(10**6) for i in range(30)}}
            return {"metrics": {"ns_per_switch": (6 + rng.random(), "ns", "lower")}, "counters": counters,
                    "usage": {"user_ns": rng.randrange(10**6), "involuntary_switches": rng.randrange(9)},
                    "series": {"lateness": [rng.lognormvariate(9, 1) for _ in range(400)]}}
        whole = self.campaign(model=model, repetitions=8)
        files = packed.record_files(whole.path)
        (whole.path / packed.PACK).write_bytes(packed.compressed([f.read_bytes() for f in files]))
        for file in files:
            file.unlink()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        kept = load_campaign(whole.path, needs(asked))
        self.assertLess(tracemalloc.get_traced_memory()[0] / 80, 6000)
        answers = [compare.report_json(analyse([c], metrics=asked)) for c in (whole, kept)]
        self.assertEqual(len(answers[0]["sections"]), 8)
        self.assertEqual(*answers)

    def session(self, name: str, seed: int, drift: float, build: str = "ab" * 10, **ratios):
        """A campaign whose every run takes `drift` times as long, as in another session."""
        made = self.campaign(name, seed=seed, model=synthetic.ratio_model(
            5.9 * drift, RATIOS | ratios, 0.01, 0.0))
        for r in made.records:
            r["identity"]["build_id"] = build
        return made

    def between(self, *campaigns) -> dict[str, str]:
        self.report = analyse(list(campaigns))
        return {c.arm: c.verdict.word for c in self.report.across[0].comparisons}

    def test_the_same_build_in_two_sessions_is_no_difference(self):
        """The machine became 1.5 % slower in everything: the ratios did not."""
        words = self.between(self.session("a", 1, 1.0), self.session("b", 2, 1.015))
        self.assertEqual(words.pop("asm"), "control")
        self.assertEqual(set(words.values()), {"same"})
        self.assertIn("one machine in two sessions", " ".join(compare.table(self.report).split()))

    def test_a_baseline_of_the_same_build_has_a_veto(self):
        """It became 20 % slower, by the machine alone: nothing is said about the arms."""
        words = self.between(self.session("a", 1, 1.0),
                             self.session("b", 2, 1.2, ucontext=72.0))
        self.assertEqual(words.pop("asm"), "control missed")
        self.assertEqual(set(words.values()), {"no verdict"})
        self.assertIn("asm, the same build in both, differs by 2", " ".join(
            compare.table(self.report).split()))

    def test_two_builds_are_compared_by_ratio(self):
        """Another build: the baseline is no control, and its own change gets no verdict."""
        words = self.between(self.session("a", 1, 1.0),
                             self.session("b", 2, 1.2, "cd" * 10, ucontext=72.0))
        self.assertEqual(words.pop("asm"), "no verdict")
        self.assertEqual(words, {"ucontext": "slower", "asm-ret": "same",
                                 "mn-workers-1-mt-1-policy-steal": "same"})
        self.assertIn("no ratio separates", " ".join(compare.table(self.report).split()))

    def test_earlier_campaigns_of_the_experiment_are_named(self):
        """A result may have been chosen among them; a later one was not there to choose from."""
        self.campaign("first")
        self.campaign("later", created="2027-01-01")
        self.campaign("broken")
        (self.root / "broken" / "plan.json").write_text("{")
        notes = " ".join(analyse([self.campaign("second")]).notes)
        self.assertIn("earlier campaigns of switch_cost: first; the error rate", notes)
        both = analyse([load_campaign(self.root / n) for n in ("first", "second")])
        self.assertNotIn("earlier campaigns", " ".join(both.notes))

    def test_both_spreads_count_where_there_is_no_interval(self):
        even, wild = (Ratios(np.log(x), 0) for x in ([5.0, 5.0, 5.0], [4.0, 5.0, 7.0]))
        rules = verdicts.Rules()
        spreads = [compare_unpaired(x, y, "asm", "asm", rules).spread
                   for x, y in ((even, wild), (wild, even), (wild, wild), (even, even))]
        one = float(np.std(wild.d, ddof=1))
        for spread, known in zip(spreads, (one, one, one * 2 ** 0.5, 0.0)):
            self.assertAlmostEqual(spread, known)

    def test_a_merged_campaign_keeps_its_parts_apart(self):
        here = self.campaign("here")
        slow = synthetic.ratio_model(17.7, RATIOS | {"ucontext": 72.0})
        there = self.campaign("there", model=slow, machine="Slow CPU", seed=2)
        for i, part in enumerate((here, there)):
            shutil.copytree(part.path, self.root / "both" / "parts" / f"part{i}")
        report = analyse([load_campaign(self.root / "both")])
        apart = analyse([here, there])
        self.assertEqual([c.ratio for s in report.sections for c in s.comparisons],
                         [c.ratio for s in apart.sections for c in s.comparisons])
        self.assertEqual([c.ratio for s in report.across for c in s.comparisons],
                         [c.ratio for s in apart.across for c in s.comparisons])
        self.assertIn("== Slow, 4 CPUs", compare.table(report))

    def merged(self, *plans: dict) -> CampaignError | None:
        """The refusal of parts with these plans; None where they are read."""
        whole = self.root / f"whole{len(list(self.root.iterdir()))}"
        for i, plan in enumerate(plans):
            synthetic.write(whole / "parts" / f"part{i}", plan, synthetic.ratio_model(5.9, {}),
                            machine=f"CPU {i}")
        try:
            load_campaign(whole)
        except CampaignError as e:
            return e
        return None

    def test_parts_that_mean_two_things_by_one_name_are_refused(self):
        claim = {"claim": "x", "metric": "ns_per_switch", "line": 1, "where": {}, "above": 2,
                 "ratio": ["ucontext", "asm"]}

        def plan(arms=ARMS[:2], params=None, workload="yield", **more):
            point = {"workload": workload, "label": "l", "axes": {"tasks": "2"}, "params": params or {"tasks": "2"}}
            return synthetic.plan("d", arms, [point], 2, 1, **{"expect": [claim]} | more)
        moved = {"expect": [claim | {"line": 9}]}
        self.assertIsNone(self.merged(plan(), plan(**moved), plan(arms=ARMS[:3])))
        here, there = ({"tasks": "2", "input": f"/{place}/trace.txt"} for place in ("a", "b"))
        self.assertIsNone(self.merged(plan(params=here), plan(params=there)))
        for other, words in (
                ({"backends": {"ucontext": "asm:wait=spin"}},
                 """arm 'ucontext' is ["shunt", "ucontext"] in the first and ["shunt", "asm:wait=spin"]"""),
                ({"params": {"tasks": "3"}}, """point 'p000' is ["yield", {"tasks": "2"}] in the first"""),
                ({"workload": "ring"}, "point 'p000' is"), ({"margin": 0.05}, "margin is 0.02 in the"),
                ({"alpha": 0.1}, "alpha is 0.05 in the"), ({"metrics": ["x"]}, "metrics is [] in the"),
                ({"expect": []}, "the number of expectations is 1"), ({"control": ""}, "control is"),
                ({"expect": [claim | {"above": 3}]}, "expectation 1 is")):
            with self.subTest(other):
                text = str(self.merged(plan(), plan(**other)))
                self.assertIn(words, text)
                self.assertRegex(text, "part0 and .*part1 cannot be merged")

    def test_machines_with_one_name_are_told_apart(self):
        a = self.campaign("a")
        b = self.campaign("b", seed=2)
        for r in b.records:
            r["machine_class"] = "f" * 16
        self.assertEqual(len(set(points.machine_labels([a, b]).values())), 2)

    def test_a_pair_is_never_made_of_two_machines(self):
        campaign = self.campaign()
        for r in campaign.records:
            if r["arm"] == "ucontext":
                r["machine_class"] = "f" * 16
        report = analyse([campaign])
        self.assertFalse(any(s.of("ucontext") for s in report.sections))


class Command(Scratch):
    def run_command(self, *argv: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        compare.register(parser.add_subparsers())
        args = parser.parse_args(["compare", *argv])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            return args.run(args), out.getvalue()

    def test_table_fits_80_columns(self):
        long = [{"workload": "yield", "axes": {"a_long_parameter_name": "1000000",
                                               "another_long_one": "1000000", "tasks": t,
                                               "backend.policy": "steal"}} for t in ("2", "64")]
        model = synthetic.ratio_model(5.9e5, RATIOS | {"ucontext": 0.0012}, noise=0.2)
        self.campaign("a", model=model, points=long)
        code, text = self.run_command(str(self.root / "a"))
        self.assertEqual(code, 0)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        for arm in ARMS:
            self.assertIn(arm, text)

    def test_json_says_what_the_table_says(self):
        self.campaign("a")
        code, text = self.run_command(str(self.root / "a"), "--json")
        document = json.loads(text)
        self.assertEqual((code, document["baseline"]), (0, "asm"))
        first = document["sections"][0]["comparisons"]
        self.assertEqual({c["arm"]: c["verdict"] for c in first}["ucontext"], verdicts.SLOWER)

    def test_nothing_to_compare(self):
        self.campaign("a")
        with self.assertRaisesRegex(CampaignError, "no run has the metric 'nonsense'"):
            self.run_command(str(self.root / "a"), "--metric", "nonsense")


if __name__ == "__main__":
    unittest.main()
