#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, `shunt explore` finds bugs of depth 1, 2 and 3 among as many schedules as the bound of PCT
allows, and no bug where there is none or where there are too few changes; the line that it prints repeats each."""
from __future__ import annotations

import math
import re
import shlex
import signal
import subprocess
import time

from command import FAULTS, CommandTest, main

WRONG = "wrong answer in iteration 1 of 1: seen should be 0 and is 1"


class Explore(CommandTest):
    def explore(self, *words: str, status: int) -> str:
        called = self.call("explore", "sim", *words, program=FAULTS)
        self.assertEqual((called.status, called.err), (status, ""), called.out)
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
        for depth in (1, 2, 3):
            with self.subTest(depth=depth):
                said = self.explore("race", f"depth={depth}", f"--depth={depth}", status=1)
                tasks, picks = map(int, re.search(r": (\d+) tasks, (\d+) picks$", said, re.M).groups())
                # All but one of 10,000 searches of so many schedules find it.
                bound = math.log(1e-4) / math.log1p(-1 / (tasks * picks ** (depth - 1)))
                self.assertLessEqual(self.found(said), bound)
                self.repeats(said, WRONG)

    def test_too_few_changes_find_nothing(self):
        for depth in (2, 3):
            said = self.explore("race", f"depth={depth}", f"--depth={depth - 1}", "--runs=150", status=0)
            self.assertIn("none of 150 schedules went wrong", said)
            self.assertIn(f"a bug of depth {depth - 1} would have shown itself with ", said)

    def test_without_changes_where_none_is_needed(self):
        said = self.explore("race", "depth=1", "--depth=3", status=1)
        self.assertIn(f"Shrunk    to depth 1 from 3: {WRONG}", said)
        self.assertIn(",policy.depth=1,", said)
        self.repeats(said, WRONG)

    def test_priorities_for_one_turn(self):
        said = self.explore("race", "depth=3", "--strategy=pos", status=1)
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
        self.wait_for(lambda: open(children, encoding="ascii").read() != "", "the first schedule")
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 130)
        clean = int(re.search(r"none of ([\d,]+) schedules", said)[1].replace(",", ""))
        self.assertIn(f"Go on     with --first {7 + clean}\n", said)

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
