#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, `shunt explore` finds bugs of depth 1, 2 and 3 among as many schedules as the bound of PCT
allows, and no bug where there is none or where there are too few changes; the line that it prints repeats each; and
a search that is interrupted counts no schedule that it cut off."""
from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

from command import FAULTS, CommandTest, main

WRONG = "wrong answer in iteration 1 of 1: seen should be 0 and is 1"


class Explore(CommandTest):
    def explore(self, *words: str, status: int) -> str:
        called = self.call("explore", "sim", *words, program=FAULTS)
        progress = re.sub(r"\d+ of \d+ schedules\n", "", called.err)
        self.assertEqual((called.status, progress), (status, ""), called.out)
        return called.out

    def repeats(self, said: str, reason: str) -> None:
        line = next(row for row in said.splitlines() if row.startswith("Repeat    shunt "))
        words = shlex.split(line)[2:]
        for _ in range(2):
            called = self.call(*words, program=FAULTS)
            self.assertIn(called.status, (1, 3), called.out)
            self.assertIn(reason, called.err)

    def found(self, said: str) -> int:
        """How many schedules it took."""
        return int(re.search(r"^Found +by schedule ([\d,]+): ", said, re.M)[1].replace(",", ""))

    def test_bugs_of_each_depth(self):
        for fault, depth in ((1, 1), (2, 2), (3, 3), (4, 3)):
            with self.subTest(fault=fault):
                said = self.explore("race", f"fault={fault}", f"--depth={depth}", "--runs=4000", status=1)
                tasks, picks = map(int, re.search(r": (\d+) tasks, (\d+) picks$", said, re.M).groups())
                # All but one of 10,000 searches of so many schedules find it.
                bound = math.log(1e-4) / math.log1p(-1 / (tasks * picks ** (depth - 1)))
                self.assertLessEqual(self.found(said), bound)
                self.repeats(said, WRONG)

    def test_too_few_changes_find_nothing(self):
        for fault, depth in ((2, 2), (3, 3)):
            said = self.explore("race", f"fault={fault}", f"--depth={depth - 1}", "--runs=150", status=0)
            self.assertIn("none of 150 schedules went wrong", said)
            self.assertIn(f"a bug of depth {depth - 1} would have shown itself with ", said)

    def is_wrong(self, seed: int, depth: int) -> bool:
        return self.call("run", f"sim:policy=drawn,policy.seed={seed},policy.depth={depth},policy.steps=6", "race",
                         "fault=1", "--warmup=0", "--iters=1", program=FAULTS).status == 1

    def test_the_run_that_counts_the_picks_is_a_schedule_too(self):
        # It has no changes; with all of them this one is good.
        seed = next(seed for seed in range(1, 100) if self.is_wrong(seed, 1) and not self.is_wrong(seed, 16))
        said = self.explore("race", "fault=1", f"--first={seed}", "--depth=16", "--runs=1", status=1)
        self.assertIn(f"policy.seed={seed},policy.depth=1,", said)
        self.assertNotIn("Shrunk", said)
        self.assertTrue(said.startswith("Schedules pct of race on sim\nFound     by schedule 1: "), said)
        self.repeats(said, WRONG)

    def test_without_changes_where_none_is_needed(self):
        seed = next(seed for seed in range(1, 100) if not self.is_wrong(seed, 1) and not self.is_wrong(seed, 2)
                    and self.is_wrong(seed + 1, 1) and self.is_wrong(seed + 1, 2))
        said = self.explore("race", "fault=1", f"--first={seed}", "--depth=2", status=1)
        self.assertIn(f"Shrunk    to depth 1 from 2: {WRONG}", said)
        self.assertIn(f"policy.seed={seed + 1},policy.depth=1,", said)
        self.repeats(said, WRONG)

    def test_priorities_for_one_turn(self):
        said = self.explore("race", "fault=3", "--strategy=pos", status=1)
        self.assertNotIn("Bound", said)
        self.repeats(said, WRONG)

    def test_what_ends_a_process(self):
        said = self.explore("deadlock", "--depth=2", status=1)
        self.repeats(said, "deadlock")
        self.assertIn("failed: ", self.explore("fallen", "--runs=1", status=1))
        said = self.explore("stuck", "--runs=1", "--timeout=200ms", status=1)
        self.assertIn("by schedule 1: timeout: ", said)

    def test_good_work(self):
        self.assertIn("Clean     none of 30 schedules went wrong", self.explore("good", "--runs=30", status=0))

    def test_an_interrupted_search_says_how_to_go_on(self):
        child = subprocess.Popen([FAULTS, "explore", "sim", "good", "--runs=1000000", "--first=7"], text=True,
                                 stdout=subprocess.PIPE, env=self.environment)
        children = f"/proc/{child.pid}/task/{child.pid}/children"
        # One of its runs is there: it listens.
        self.wait_for(lambda: Path(children).read_text(encoding="ascii") != "", "the first schedule")
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 130)
        clean = int(re.search(r"none of ([\d,]+) schedules", said)[1].replace(",", ""))
        self.assertIn(f"Go on     with --first {7 + clean}\n", said)

    def test_an_interrupt_of_a_terminal_cuts_a_schedule_off(self):
        # Two schedules are good; the next one hangs, where the fault 1 goes wrong; the one after it is good.
        seed = next(seed for seed in range(1, 200)
                    if [self.is_wrong(seed + i, 1) for i in range(4)] == [False, False, True, False])
        child = subprocess.Popen([FAULTS, "explore", "sim", "race", "fault=5", "--depth=1", f"--first={seed}",
                                  "--timeout=0"], text=True, stdout=subprocess.PIPE, env=self.environment,
                                 start_new_session=True)
        self.wait_for(lambda: self.seconds_of_child(child.pid) > 0.5, "a schedule that hangs")
        os.killpg(child.pid, signal.SIGINT)
        said = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 130)
        self.assertIn("none of 2 schedules went wrong", said)
        self.assertIn(f"Go on     with --first {seed + 2}\n", said)

    @staticmethod
    def seconds_of_child(pid: int) -> float:
        """What the child that is there has computed; a good schedule computes some milliseconds."""
        try:
            child = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0]
            fields = Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except (OSError, IndexError):
            return 0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_what_cannot_be_explored(self):
        self.refused("explore needs virtual time, as the backend sim has: in real time a seed does not fix the "
                     "schedule", "explore", "ucontext", "good", program=FAULTS)
        self.refused("explore needs a backend and a workload, as in `shunt explore sim skynet`; `shunt list` shows "
                     "their names", "explore", "sim", program=FAULTS)
        called = self.call("explore", "sim:policy=fifo", "good", program=FAULTS)
        self.assertEqual(called.status, 2)
        self.assertIn("policy", called.err)


if __name__ == "__main__":
    main()
