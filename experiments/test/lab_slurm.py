# SPDX-License-Identifier: MIT
"""Campaigns on a real Slurm of this machine: whatever happens to nodes, jobs and controller, every run is made
once, and nothing finished is lost.

With OnSlurm.case_of_240_runs as its argument it measures in place of testing: 240 runs of the tree's shunt on two
nodes, one of which is killed half-way, and the same plan on one machine. It prints what it found, in minutes."""

from __future__ import annotations

import collections
import os
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import slurm_cluster
from campaign_case import HERE, Lab
from slurm_cluster import Cluster

from shuntlab.planning import campaign, journal

# Two nodes are two machines to the lab, and locks go stale soon.
PYTHON = """#!{python}
import os, sys
sys.path.insert(0, {experiments!r})
from shuntlab.running import runner
from shuntlab.tools import locks
locks.MachineLock.NAME += {root!r} + os.uname().nodename
locks.STALE_S, runner.WAIT_S = 3.0, 0.2
code, sys.argv = sys.argv[2], ["-c", *sys.argv[3:]]
exec(code)
"""


class OnSlurm(Lab):
    @classmethod
    def setUpClass(cls):
        place = tempfile.TemporaryDirectory(prefix="shunt-slurm-")
        cls.addClassCleanup(place.cleanup)
        cls.place = Path(place.name)
        cls.cluster = Cluster(cls.place / "slurm")
        cls.addClassCleanup(cls.cluster.__exit__)
        cls.cluster.__enter__()
        cls.python = cls.place / "python"
        cls.python.write_text(PYTHON.format(python=sys.executable, experiments=str(HERE.parent), root=str(cls.place)))
        cls.python.chmod(0o755)

    def setUp(self):
        super().setUp()
        self.site = self.root / "site.sh"
        scratch = self.cluster.root / "scratch"
        self.site.write_text((HERE.parent / "cluster" / "site.sh").read_text().replace("/local/scratch", str(scratch)))
        (self.root / "bin").mkdir()
        module = self.root / "bin" / "module"
        module.write_text(f"#!/bin/sh\necho \"$@\" >> {self.root}/modules\n")
        module.chmod(0o755)
        # Login shells read the profile anew: what a site's PATH would have goes in by the site's lines.
        self.site.write_text(f"PATH={self.root}/bin:$PATH\nunset TMPDIR\n{self.site.read_text()}")

    def tearDown(self):
        self.cluster.ask("scancel", "--me")

    def environment(self, **more):
        return super().environment(SLURM_CONF=self.cluster.conf, PATH=slurm_cluster.PATH, SHUNT_PYTHON=self.python,
                                   **more)

    def planned(self, backends="asm ucontext", n=4) -> None:
        self.lab("plan", self.experiment(backends, n=n, timeout="300s"), "--out", self.out)

    def submit(self, *words, code=0, tasks=6, **environment):
        return self.lab("submit", self.out, "--tasks", tasks, "--site", self.site, *words, code=code, **environment)

    def queue(self) -> list[str]:
        return self.cluster.ask("squeue", "-h", "-r", "-o", "%T").split()

    def until_empty(self) -> None:
        self.cluster.until(lambda: not self.queue(), "the end of the jobs")

    def said(self) -> str:
        return "".join(f.read_text() for f in sorted((self.out / "jobs").glob("*.out")))

    def check_all(self, runs: int, again: int = 0) -> None:
        """Every run is there once, and not more than `again` were cut off and made a second time."""
        loaded = campaign.load_campaign(self.out)
        self.assertEqual((len(loaded.ok()), loaded.problems), (runs, []), self.said())
        self.assertLessEqual(len(self.runs()), runs + again)
        self.lab("verify", self.out)

    def test_a_campaign_to_its_end(self):
        """In arrays of four, by two submits at once, with the site's lines; a block's runs are on one node."""
        self.planned()
        words = ("submit", self.out, "--tasks", 6, "--site", self.site)
        both = [self.start(*words) for _ in range(2)]
        said = [child.communicate(timeout=100)[0] for child in both]
        codes = sorted(child.returncode for child in both)
        self.assertEqual(codes, [0, 4], said)
        self.assertRegex("".join(said), "another `lab submit` is at work|are in the queue already")
        first = said[0] if both[0].returncode == 0 else said[1]
        self.assertIn("--array=0-3", first)
        self.assertIn("--array=0-1", first)
        self.assertIn(f"exec {HERE.parent}/lab run {self.out}", first)
        done = self.submit(code=4)
        self.assertIn("in the queue already", done.stderr)
        self.assertIn("--tasks 6, wait, or `scancel", self.submit(code=4, tasks=3).stderr)
        self.assertRegex(self.lab("status", self.out).stdout, r"queue: \d tasks? (running|pending|configuring)")
        self.until_empty()
        self.check_all(24)
        self.assertEqual(len(list((self.out / "jobs").glob("*.out"))), 6)
        hosts = {s["host"] for s in journal.starts(self.out)}
        self.assertEqual(hosts, {"n1", "n2"})
        self.assertEqual((self.root / "modules").read_text().split("\n")[:2], ["purge", "load python"])
        argv = campaign.load_campaign(self.out).records[0]["argv"]
        self.assertTrue(argv[argv.index("--record") + 1].startswith(str(self.cluster.root / "scratch")))
        self.assertIn("every run is made", self.submit().stdout)

    def at_the_gate(self, tasks: int) -> None:
        """So many tasks, each in a run that goes on until the gate is opened."""
        self.planned("asm slow", n=2)
        self.submit(tasks=tasks, FAKE_GATE=self.gate)

        def they_are_there() -> bool:
            begun = self.runs() if self.log.exists() else []
            going_on = {r for r in begun if f"{r}.json" not in self.names()}
            return len(begun) > 3 and len(going_on) == tasks and all(r.endswith(".slow") for r in going_on)
        self.cluster.until(they_are_there, "runs at the gate")

    def test_a_node_dies_and_its_task_comes_back(self):
        self.at_the_gate(2)
        before = self.snapshot()
        self.cluster.kill("n2")
        self.cluster.until(lambda: self.queue().count("PENDING") == 1, "the requeue")
        self.gate.touch()
        self.until_empty()
        self.cluster.restart_node("n2")
        # The block that was cut is made again whole, on one node; what it had is kept aside.
        kept = [f.read_bytes() for f in (self.out / "attempts").glob("*")] + list(self.snapshot().values())
        self.assertEqual([name for name, data in before.items() if data not in kept], [])
        self.check_all(12, again=3)
        nodes: dict[str, set[str]] = {}
        for r in campaign.load_campaign(self.out).records:
            nodes.setdefault(r["block"], set()).add(r["lab"]["node"])
        self.assertEqual([len(n) for n in nodes.values()], [1] * 4)

    def test_cancelled_and_submitted_again_with_the_controller_down_meanwhile(self):
        self.at_the_gate(1)
        self.cluster.stop_controller()
        done = self.submit(tasks=2, code=4)
        self.assertRegex(done.stderr, r"squeue failed with exit status \d+: .*controller")
        self.assertIn("the queue cannot be asked", self.lab("status", self.out).stdout)
        self.cluster.start_controller()
        self.cluster.until(self.queue, "the controller")
        before = self.snapshot()
        self.cluster.ask("scancel", *self.cluster.ask("squeue", "-h", "-o", "%A").split())
        self.until_empty()
        self.assertEqual((self.snapshot(), campaign.load_campaign(self.out).problems), (before, []))
        self.assertIn("stopped; nothing finished is lost", self.said())
        self.assertIn("no task is in the queue any more", self.lab("status", self.out).stdout)
        self.gate.touch()
        self.submit(tasks=1)
        self.until_empty()
        for name, data in before.items():
            self.assertEqual(self.snapshot()[name], data)
        self.check_all(12, again=1)

    def test_a_full_scratch_disk_is_an_answer_and_no_failed_run(self):
        self.cluster.restart_node("n2", "1m")
        self.addCleanup(self.cluster.restart_node, "n2")
        self.planned(n=1)
        self.submit("--", "--nodelist=n2", tasks=1)
        self.until_empty()
        self.assertIn(f"{self.cluster.root}/scratch/", self.said())
        self.assertIn("the disk is full", self.said())
        self.assertEqual(self.names(), [])
        self.submit("--", "--nodelist=n1", tasks=1)
        self.until_empty()
        self.check_all(6)

    def case_of_240_runs(self):
        """Every record once, nothing lost, and the verdicts of one machine, each within the other's interval.

        By processor time, in user mode alone, and within the margin besides, by which two sessions of one machine
        differ. A busy machine moves the intervals by more; their words stay."""
        shunt = os.environ.get("SHUNT_BIN", str(HERE.parents[1] / "build" / "release" / "shunt"))
        more = 'metrics = ["cpu_ns"]\n'
        file, one = self.experiment("asm asm:policy=mlfq asm:policy=eevdf", n=30, more=more), self.root / "one"
        file.write_text(f'{file.read_text()}switches = "200k"\n')
        for folder in (self.out, one):
            self.lab("plan", file, "--out", folder, SHUNT_BIN=shunt)
        self.submit(tasks=6, SHUNT_BIN=shunt)
        self.cluster.until(lambda: len(self.names()) >= 120, "half of the runs", 600)
        before = self.snapshot()
        self.cluster.kill("n2")
        self.cluster.until(lambda: "PENDING" in self.queue(), "the requeue")
        self.cluster.until(lambda: not self.queue(), "the end of the jobs", 900)
        self.cluster.restart_node("n2")
        again = [f.read_bytes() for f in (self.out / "attempts").glob("*")]
        lost = [name for name, data in before.items() if data not in [*again, *self.snapshot().values()]]
        loaded = campaign.load_campaign(self.out)
        nodes = collections.Counter(r["lab"]["node"] for r in loaded.ok())
        print(f"n2 killed after {len(before)} of 240 runs; {len(loaded.ok())} records of {dict(nodes)}, {len(lost)} "
              f"lost, {len(loaded.problems)} damaged, {len(again)} made a second time")
        self.assertEqual((len({r["run_id"] for r in loaded.ok()}), loaded.problems, lost), (240, [], []), self.said())
        self.assertEqual(set(nodes), {"n1", "n2"})
        self.lab("verify", self.out)
        self.assertEqual(self.start("run", one, "--quiet", SHUNT_BIN=shunt).wait(), 0)
        self.compare(loaded, campaign.load_campaign(one))

    def compare(self, many, one) -> None:
        from shuntlab.output.wording import ratio_text
        from shuntlab.statistics.analysis import analyse, rules_of
        there, apart = {s.point.label: s for s in analyse([one]).sections}, []
        for s in analyse([many]).sections:
            for c in s.comparisons:
                other = there[s.point.label].of(c.arm)
                print(f"{s.point.label}, {' '.join(s.point.nodes)}: {c.arm} / {c.over} {ratio_text(c)} "
                      f"{c.verdict.word}; one machine {ratio_text(other)} {other.verdict.word}")
                gap = max(c.low, other.low) - min(c.high, other.high)
                if c.verdict.word != other.verdict.word or gap > rules_of(one).edge:
                    apart.append((s.point.label, c.arm))
        self.assertEqual(apart, [], "other verdicts, or intervals further apart than the margin: was it quiet?")

    def test_sbatch_refuses(self):
        self.planned(n=1)
        for option, why in (("--partition=absent", "invalid partition"), ("--time=never", "time spec"),
                            ("--partition=closed", "invalid user id"),      # a user whom it does not admit
                            ("--nodelist=n9", "n9|node name"), ("--no-such-option", "unrecognized option")):
            done = self.submit("--", option, tasks=1, code=4)
            self.assertRegex(done.stderr.lower(), f"sbatch failed with exit status \\d+.*({why})")
        self.assertEqual(self.queue(), [])
        self.assertFalse((self.out / "jobs" / "submitted.jsonl").exists())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    reason = slurm_cluster.why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()
