#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, shunt-bench and `shunt run` say the same of a yield, within what both can tell.

Both are run in turn, so that whatever disturbs the machine disturbs both. The interval of each is
the range of its processes' values: with nine of them it holds the median with 99.6 %. Two that
measure the same thing have intervals that meet; a busy machine makes them wider, not apart, unless its
load comes and goes with the turns: then the ranges of more turns meet.
"""
from __future__ import annotations

import json
import subprocess
import sys
import unittest

BENCH, SHUNT = sys.argv[1:3]
TURNS = 9
SETS = 4         # of TURNS each, at most


def by_bench(spec: str) -> float:
    done = subprocess.run([BENCH, f"--benchmark_filter=^yield/{spec}/manual_time$", "--benchmark_format=json",
                           "--benchmark_min_time=0.02"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["benchmarks"][0]["real_time"]


def by_run(spec: str) -> float:
    done = subprocess.run([SHUNT, "run", spec, "yield", "tasks=2", "switches=1M", "sample=0", "--iters", "3",
                           "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["metrics"]["ns_per_switch"]["value"]


class Agrees(unittest.TestCase):
    def test_on_a_yield(self) -> None:
        for spec in ("asm", "ucontext"):
            values: list[tuple[float, float]] = []
            for _ in range(SETS):
                values += [(by_bench(spec), by_run(spec)) for _ in range(TURNS)]
                bench, run = zip(*values)
                if max(min(bench), min(run)) <= min(max(bench), max(run)):
                    break
            said = f"{spec}: bench {min(bench):.2f} to {max(bench):.2f} ns, run {min(run):.2f} to {max(run):.2f} ns"
            print(said)
            self.assertLessEqual(max(min(bench), min(run)), min(max(bench), max(run)), said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
