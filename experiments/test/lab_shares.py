# SPDX-License-Identifier: MIT
"""A campaign in tasks: every run is in one share, a dead task's blocks are taken over, nothing is lost.

What Slurm itself does is in lab_slurm.py; here is what needs no cluster."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from campaign_case import HERE, Lab

import synthetic
from shuntlab.planning import campaign
from shuntlab.running import opening, runner, selecting, slurm, submission
from shuntlab.tools import locks, process


# The lab with locks that go stale soon.
QUICK = """import sys; sys.path.insert(0, sys.argv[1])
from shuntlab import cli
from shuntlab.running import runner
from shuntlab.tools import locks
locks.STALE_S, runner.WAIT_S = 3.0, 0.1
sys.exit(cli.main(sys.argv[2:]))"""


def plan_of(repetitions: int, points: int) -> dict:
    return synthetic.plan("demo", ["asm", "mn"], [{"workload": "yield", "axes": {"n": str(i)}}
                                                  for i in range(points)], repetitions, 1)


class Shares(unittest.TestCase):
    def test_every_block_is_in_one_share(self):
        for repetitions, points, count in ((4, 3, 4), (5, 3, 2), (3, 4, 3), (2, 3, 5), (1, 7, 7), (7, 1, 1)):
            plan = plan_of(repetitions, points)
            shares = selecting.shares(plan, count)
            self.assertEqual([b for s in shares for b in s], plan["blocks"])
            self.assertTrue(all(shares), "a task with nothing to do")
            self.assertLessEqual(max(map(len, shares)) - min(map(len, shares)),
                                 points if count <= repetitions else 1)

    def test_a_share_is_whole_repetitions_where_they_suffice(self):
        for share in selecting.shares(plan_of(5, 3), 2):
            points = [b["point"] for b in share]
            self.assertEqual({points.count(p) for p in set(points)}, {len(share) // 3})

    def test_shares_that_cannot_be(self):
        plan = plan_of(2, 2)
        for text in ("3", "0/2", "3/2", "1/5", "1/0", "-1/2", "a/b"):
            with self.assertRaises(opening.UsageError):
                selecting.parse_share(text, plan)

    def test_arrays_of_a_cluster_that_takes_small_ones(self):
        for limit in (1, 2, 4, 1001):
            tasks = [1, 2, 3, 5, 8, 9, 10]
            again = []
            for first, indices in slurm.chunks(tasks, limit):
                found = process.parse_cpus(indices)
                self.assertLess(max(found), limit)
                again += [first + i for i in found]
            self.assertEqual(again, tasks)

    def test_options_that_contradict(self):
        for words in ("--array=1-3", "-a 1", "-a1-3", "--wrap=x", "--no-requeue", "--open-mode=truncate",
                      "--open-mode t", "--nodes=2", "-N 2", "-N2", "-n 4", "--ntasks=2", "--oversubscribe", "-s",
                      "--test-only"):
            self.assertEqual(len(slurm.contradictions(words.split())), 1, words)
        fine = "-p long --nodelist=n1 -t 10 -N 1 -n1 --nodes=1 --open-mode=append --mem=0 --ntasks-per-node=1"
        self.assertEqual(slurm.contradictions(fine.split()), [])


class Tasks(Lab):
    """Tasks without a cluster: `lab run --share`."""

    def planned(self, n=4) -> None:
        self.lab("plan", self.experiment(n=n), "--out", self.out)

    def quick(self, *words) -> subprocess.Popen:
        child = subprocess.Popen([sys.executable, "-c", QUICK, str(HERE.parent), *map(str, words), "--concurrent"],
                                 stderr=subprocess.PIPE, text=True, env=self.environment())
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def check_all(self, runs: int) -> None:
        loaded = campaign.load_campaign(self.out)
        self.assertEqual((len(loaded.ok()), loaded.problems), (runs, []))
        self.lab("verify", self.out)

    def test_tasks_make_their_shares_and_no_more(self):
        self.planned()
        self.lab("run", self.out, "--share", "2/3")
        share = {b["id"] for b in selecting.shares(campaign.load_plan(self.out), 3)[1]}
        self.assertEqual({n.partition(".")[0] for n in self.names()}, share)
        children = [self.start("run", self.out, "--share", f"{k}/3") for k in (1, 3)]
        for child in children:
            self.assertEqual(child.wait(), 0, child.stdout.read())
        self.check_all(24)
        self.assertEqual(len(self.runs()), 24)

    def dead(self, block: str, age: float) -> Path:
        """The lock of a task that died on another machine `age` seconds ago."""
        (self.out / "locks").mkdir(exist_ok=True)
        owner = self.out / "locks" / f"{block}.owner"
        owner.write_text(json.dumps({"machine": "another", "host": "far", "pid": 1}))
        then = time.time() - age
        os.utime(owner, (then, then))
        return owner

    def test_the_blocks_of_a_dead_task_are_taken_over_when_its_locks_are_stale(self):
        self.planned(n=1)
        owner = self.dead("b0001", -5)
        draft = self.out / "records" / ".b0001.asm.json.123"     # a write that it never finished
        draft.write_text("{")
        child = self.quick("run", self.out, "--share", "1/1")
        self.assertEqual(child.wait(), 0, child.stderr.read())
        self.assertEqual([r.partition(".")[0] for r in self.runs()], ["b0002"] * 3 + ["b0001"] * 3)
        self.check_all(6)
        self.assertFalse(owner.exists() or draft.exists())

    def test_the_lock_of_a_task_that_lives_is_left_to_it(self):
        self.planned(n=1)
        owner = self.dead("b0001", 0)
        child = self.quick("run", self.out, "--share", "1/1")
        while child.poll() is None:
            os.utime(owner)
            time.sleep(0.2)
        self.assertEqual(child.wait(), 4)
        self.assertIn("process 1 on far", child.stderr.read())
        self.assertEqual(len(self.names()), 3)

    def test_waiting_for_a_lock_ends_with_a_signal(self):
        self.planned(n=1)
        self.dead("b0001", -25)
        child = self.quick("run", self.out, "--share", "1/1")
        self.wait_for(lambda: len(self.names()) == 3, "the other block")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143)

    def test_scratch_is_where_runs_write_and_holds_nothing_afterwards(self):
        scratch = self.root / "scratch"
        scratch.mkdir()
        self.planned(n=1)
        self.lab("run", self.out, "--share", "1/1", SHUNT_SCRATCH=scratch)
        self.check_all(6)
        self.assertEqual(list(scratch.iterdir()), [])
        self.assertEqual(len(list((self.out / "records" / "env").iterdir())), 1)
        argv = campaign.load_campaign(self.out).records[0]["argv"]
        self.assertTrue(argv[argv.index("--record") + 1].startswith(str(scratch)))

    def test_no_scratch(self):
        self.planned(n=1)
        done = self.lab("run", self.out, SHUNT_SCRATCH=self.root / "absent", code=4)
        self.assertIn("$SHUNT_SCRATCH", done.stderr)
        self.assertEqual(self.names(), [])

    def test_the_local_engine_goes_on_with_what_is_left(self):
        self.planned(n=2)
        site = self.root / "site.sh"
        site.write_text(f"echo task $1 >> '{self.root}/said'\n")
        done = self.lab("submit", self.out, "--engine", "local", "--tasks", 2, "--site", site, "--dry-run")
        self.assertIn("--share", done.stdout)
        self.assertEqual(self.names(), [])
        self.lab("run", self.out, "--share", "1/2")
        self.lab("submit", self.out, "--engine", "local", "--tasks", 2, "--site", site, alone=True)
        self.assertEqual((self.root / "said").read_text().split(), ["task", "2"])
        self.check_all(12)
        self.assertIn("every run is made", self.lab("submit", self.out, "--tasks", 2).stdout)

    def test_submits_that_cannot_be(self):
        self.planned()
        for words, why in ((("--tasks", 99), "8 blocks"), (("--tasks", 0), "8 blocks"),
                           (("--tasks", 2, "--site", "absent.sh"), "absent.sh: No such file"),
                           (("--tasks", 2, "--", "--array=1"), "--tasks of `lab submit`"),
                           (("--tasks", 2, "--engine", "local", "--", "-p", "x"), "does not use")):
            self.assertIn(why, self.lab("submit", self.out, *words, code=2).stderr)
        only = self.root / "bin"
        only.mkdir()
        for name in ("python3", "env", "sh"):
            (only / name).symlink_to(shutil.which(name))
        done = self.lab("submit", self.out, "--tasks", 2, code=4, PATH=only)
        self.assertIn("slurm-client", done.stderr)
        with locks.Lock(self.out / "locks", "submit"):
            done = self.lab("submit", self.out, "--tasks", 2, code=4)
        self.assertIn("another `lab submit`", done.stderr)


    def test_a_campaign_that_may_not_be_written(self):
        """Root is one whom modes do not stop, unless the capability for it is dropped."""
        self.planned(n=1)
        for folder in (self.out, *(f for f in self.out.rglob("*") if f.is_dir())):
            folder.chmod(0o555)
            self.addCleanup(folder.chmod, 0o755)
        bound = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
        for words in (("submit", self.out, "--tasks", 2, "--engine", "local"), ("run", self.out, "--share", "1/2")):
            done = subprocess.run([*bound, *self.command(*words)], capture_output=True, text=True,
                                  env=self.environment())
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertRegex(done.stderr, f"{self.out}/.*: Permission denied; ")
        self.assertEqual(self.names(), [])


class SharedFiles(unittest.TestCase):
    """A file system on which a file of another machine is not seen for seconds, and clocks that differ."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = Path(place.name)

    def test_a_hidden_owner_is_not_taken_for_gone(self):
        owner = self.root / "b0001.owner"
        owner.write_text(json.dumps({"machine": "another", "host": "far", "pid": 1}))
        real = os.lstat

        def hidden(path, *a, **k):
            if str(path) == str(owner):
                raise FileNotFoundError(errno.ENOENT, "hidden", str(path))
            return real(path, *a, **k)
        with mock.patch.object(os, "lstat", hidden), self.assertRaises(locks.Busy):
            locks.Lock(self.root, "b0001").take()
        self.assertTrue(owner.exists())

    def test_a_hidden_record_is_kept_when_it_turns_up(self):
        (self.root / "records").mkdir()
        final, draft = (self.root / "records" / n for n in ("b0001.asm.json", ".b0001.asm.json"))
        final.write_text("first")
        draft.write_text("second")
        it = mock.Mock(folder=self.root)
        runner.Runner.name(it, draft, final)
        self.assertEqual(final.read_text(), "second")
        self.assertEqual([f.read_text() for f in (self.root / "attempts").iterdir()], ["first"])
        self.assertFalse(draft.exists())

    def test_a_hidden_campaign_is_waited_for(self):
        folder = self.root / "c"
        folder.mkdir()
        looks = []

        def later(_):
            looks.append(1)
            if len(looks) == 3:
                (folder / "plan.json").write_text("{}")
        with mock.patch.object(opening.time, "sleep", later):
            opening.await_campaign(folder)
        self.assertEqual(len(looks), 3)

    def test_a_clock_that_is_wrong_makes_no_lock_stale(self):
        owner = self.root / "b0001.owner"
        owner.write_text(json.dumps({"machine": "another", "host": "far", "pid": 1}))
        for wrong in (-7200, 7200):
            with mock.patch.object(time, "time", lambda: 1e9 + wrong), self.assertRaises(locks.Busy):
                locks.Lock(self.root, "b0001").take()

    def test_a_line_of_the_jobs_that_is_cut_off_is_passed_over(self):
        submission.note(self.root, "7", 5, "0-3", 8)
        with open(self.root / "jobs" / "submitted.jsonl", "a") as out:
            out.write('{"job": "8", "fir')
        self.assertEqual(submission.jobs(self.root), {"7": submission.Job("7", 5, 8)})


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    unittest.main()
