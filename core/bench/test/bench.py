#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, shunt-bench speaks Google Benchmark's flags and JSON, and fails where it should."""
from __future__ import annotations

import json
import subprocess
import sys
import unittest

BENCH = sys.argv.pop(1)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=120)


class Bench(unittest.TestCase):
    def test_json_with_ratios_to_the_floor(self) -> None:
        done = bench("--benchmark_filter=^(yield|spawn_join_1000|ring_1000)/(asm|ucontext)/manual_time$", "--benchmark_min_time=0.01",
                     "--benchmark_format=json")
        self.assertEqual(done.returncode, 0, done.stderr)
        results = json.loads(done.stdout)["benchmarks"]
        self.assertGreaterEqual(len(results), 3)
        for result in results:
            self.assertGreater(result["real_time"], 0, result)
            self.assertGreater(result["x_floor"], 0, result)

    def test_every_workload_is_there(self) -> None:
        names = bench("--benchmark_list_tests").stdout
        for name in ("yield", "ring", "skynet", "chunked_sum"):
            self.assertIn(f"workload/{name}/", names)

    def test_a_workload_runs(self) -> None:
        done = bench("--benchmark_filter=^workload/yield/", "--benchmark_min_time=0.01",
                     "--benchmark_format=json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(json.loads(done.stdout)["benchmarks"])

    def test_an_unmatched_filter_fails(self) -> None:
        done = bench("--benchmark_filter=no-such-benchmark")
        self.assertEqual(done.returncode, 2)
        self.assertIn("matches no benchmark", done.stderr)

    def test_an_unknown_flag_fails(self) -> None:
        self.assertNotEqual(bench("--benchmark_filtre=yield").returncode, 0)


if __name__ == "__main__":
    unittest.main()
