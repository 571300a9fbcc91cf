# SPDX-License-Identifier: MIT
"""Campaigns of several nodes: pairs of one node, verdicts over nodes that are alike, none across others."""

from __future__ import annotations

import csv
import importlib
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import matplotlib  # noqa: F401
    import numpy as np
    import scipy  # noqa: F401
except ModuleNotFoundError as e:
    print(f"skipped: {e} (Debian packages python3-matplotlib, python3-numpy, python3-scipy)")
    sys.exit(77)

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "plots")]
import _data
import _figure
import synthetic
from shuntlab import cli
from shuntlab.commands import compare, report as page
from shuntlab.planning import campaign
from shuntlab.statistics import points, strata
from shuntlab.statistics.analysis import analyse
from shuntlab.statistics.effects import log_ratios

EXPECT = [{"claim": "mn is slower", "workload": "yield", "metric": "ns_per_switch", "ratio": ["mn", "asm"],
           "above": 1.1, "line": 1}]


def model_of(speed: dict[str, float], ratio=lambda arm, node: 1.3 if arm == "mn" else 1.0, noise=0.004):
    """Nodes of a speed each; ratio(arm, node) is what an arm takes over the baseline there."""
    def model(arm, point, rng, shared):
        value = 10.0 * speed[point["node"]] * ratio(arm, point["node"]) * np.exp(rng.gauss(0, noise))
        return {"metrics": {"ns_per_switch": (float(value), "ns", "lower")}}
    return model


class Nodes(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = Path(place.name)

    def made(self, speed: dict[str, float], repetitions=24, node_of=None, **more) -> campaign.Campaign:
        """A campaign whose repetitions went to the nodes in turn."""
        names = list(speed)
        plan = synthetic.plan("demo", ["asm", "mn"], [{"workload": "yield"}], repetitions, 1, expect=EXPECT,
                              metrics=["ns_per_switch"])
        folder = self.root / f"c{len(list(self.root.iterdir()))}"
        synthetic.write(folder, plan, model_of(speed, **more),
                        node_of=node_of or (lambda block, arm: names[block["repetition"] % len(names)]))
        return campaign.load_campaign(folder)

    @staticmethod
    def words(report, arm="mn") -> list[str]:
        return [s.of(arm).verdict.word for s in report.sections]

    def test_nodes_that_are_alike_are_read_together(self):
        both = analyse([self.made({"n1": 1.0, "n2": 1.003})])
        one = analyse([self.made({"n1": 1.0})])
        self.assertEqual((self.words(both), self.words(one)), (["slower"], ["slower"]))
        a, b = both.sections[0].of("mn"), one.sections[0].of("mn")
        self.assertEqual(a.pairs, 24)
        self.assertTrue(a.low <= b.high and b.low <= a.high, "the same within their intervals")
        self.assertEqual([c.answer for c in both.claims], ["confirmed"])
        self.assertTrue(any("2 nodes (n1, n2)" in n for n in both.notes))
        self.assertFalse(any("node" in n for n in one.notes))

    def test_a_node_of_half_the_speed_is_apart(self):
        loaded = self.made({"n1": 1.0, "n2": 2.0, "n3": 1.0}, 36)
        report = analyse([loaded])
        self.assertEqual([s.point.nodes for s in report.sections], [["n1", "n3"], ["n2"]])
        self.assertEqual([s.of("mn").pairs for s in report.sections], [24, 12])
        self.assertEqual(self.words(report), ["slower", "slower"])
        across = {c.arm: c.verdict.word for s in report.across for c in s.comparisons}
        self.assertEqual(across, {"asm": "control missed", "mn": "no verdict"})
        self.assertTrue(any("not alike" in n and "n2 2.0" in n for n in report.notes), report.notes)
        self.assertEqual(len(report.claims[0].findings), 2)
        text = compare.table(report)
        self.assertIn("n1 n3", text)
        html = page.build([loaded])
        self.assertTrue("Node against node" in html)

    def test_a_slow_node_with_too_few_runs_to_tell_is_apart(self):
        loaded = self.made({"n1": 1.0, "n2": 2.0}, 2)
        self.assertEqual(len(set(strata.strata_of(loaded).values())), 2)

    def test_an_arm_about_which_the_nodes_disagree_has_no_verdict(self):
        loaded = self.made({"n1": 1.0, "n2": 1.0}, 40,
                           ratio=lambda arm, node: 1.0 if arm != "mn" else 1.2 if node == "n1" else 1.5)
        report = analyse([loaded])
        c = report.sections[0].of("mn")
        self.assertEqual(c.verdict.word, "no verdict")
        self.assertRegex(c.verdict.reason, r"nodes disagree: a ratio of 1\.\d+ on n1, of 1\.\d+ on n2")
        self.assertEqual([(f.answer, "disagree" in f.reason) for f in report.claims[0].findings],
                         [("inconclusive", True)])

    def test_a_control_that_is_missed_on_one_node_takes_the_verdict(self):
        loaded = self.made({"n1": 1.0, "n2": 1.0, "n3": 1.0}, 60, ratio=lambda arm, node: {
            "mn": 1.3, "asm-again": 1.03 if node == "n3" else 1.0}.get(arm, 1.0))
        report = analyse([loaded])
        self.assertEqual(self.words(report), ["no verdict"])
        self.assertIn("the A/A control on n3", report.sections[0].control.reason)

    def test_a_pair_is_of_one_node(self):
        loaded = self.made({"n1": 1.0, "n2": 1.0}, 12, node_of=lambda block, arm: "n1" if block["repetition"] < 6 or
                           arm != "mn" else "n2")
        point = points.gather(loaded)[0]
        self.assertEqual(len(log_ratios(point, "mn", "asm", "ns_per_switch").d), 6)

    def test_copies_of_two_nodes_are_merged(self):
        loaded = self.made({"n1": 1.0, "n2": 1.0}, 24)
        for node in ("n1", "n2"):
            copy = self.root / node
            (copy / "records" / "env").mkdir(parents=True)
            (copy / "plan.json").write_bytes((loaded.path / "plan.json").read_bytes())
            for r in loaded.records:
                if r["lab"]["node"] == node:
                    file = Path(r["lab"]["file"])
                    env = file.parent / "env" / f"{r['env_id']}.json"
                    for f, to in ((file, copy / "records"), (env, copy / "records" / "env")):
                        (to / f.name).write_bytes(f.read_bytes())
        self.assertEqual(cli.main(["merge", str(self.root / "n1"), str(self.root / "n2"), "--out",
                                   str(self.root / "merged")]), 0)
        merged = campaign.load_campaign(self.root / "merged")
        self.assertEqual(len(merged.records), len(loaded.records))
        a, b = (analyse([c]).sections[0].of("mn") for c in (merged, loaded))
        self.assertEqual((a.pairs, a.estimate, a.verdict), (b.pairs, b.estimate, b.verdict))

    def panels(self, loaded: campaign.Campaign, kind: str) -> dict[str, list[dict[str, str]]]:
        """The rows of a figure by what it calls their machine."""
        spec = {"name": kind, "kind": kind} | ({} if kind == "forest" else {"x": "arm", "y": "ns_per_switch"})
        _figure.render(importlib.import_module(kind), _data.Context([loaded], spec), self.root, ("csv", "svg"))
        self.assertGreater((self.root / f"{kind}.svg").stat().st_size, 1000)
        found: dict[str, list[dict[str, str]]] = {}
        with (self.root / f"{kind}.csv").open(encoding="utf-8") as f:
            for row in csv.DictReader(f):
                found.setdefault(row.get("panel") or row.get("machine") or "", []).append(row)
        return found

    def test_figures_draw_alike_nodes_together_and_others_apart(self):
        together = self.panels(self.made({"n1": 1.0, "n2": 1.003}), "lines")
        self.assertEqual([{r["n"] for r in rows} for rows in together.values()], [{"24"}])
        for kind in ("lines", "forest"):
            found = self.panels(self.made({"n1": 1.0, "n2": 2.0, "n3": 1.0}, 36), kind)
            self.assertEqual(sorted(p.rpartition(":")[2].strip() for p in found), ["n1 n3", "n2"], kind)
        medians = {p.rpartition(":")[2].strip(): next(r for r in rows if "asm" in r.values())
                   for p, rows in self.panels(self.made({"n1": 1.0, "n2": 2.0}, 24), "lines").items()}
        self.assertAlmostEqual(float(medians["n2"]["median"]) / float(medians["n1"]["median"]), 2, delta=0.05)

    def test_groups(self):
        rng = np.random.default_rng(1)
        def runs(shift, n=20):
            return list(rng.normal(shift, 0.003, n))
        some = {"a": runs(0.0), "b": runs(0.7), "c": runs(0.005), "d": runs(0.69), "e": runs(0.3, 2)}
        self.assertEqual(strata.alike(some, 0.02), [["a", "c"], ["e"], ["d", "b"]])


if __name__ == "__main__":
    unittest.main()
