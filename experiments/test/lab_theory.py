# SPDX-License-Identifier: MIT
# The theory module gives published values, and Python makes the tables that C makes.
"""Tests of theory.py and arrivals.py. The tables need the built shunt (SHUNT_BIN), else they are left out."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import arrivals  # noqa: E402
from shuntlab.statistics import theory  # noqa: E402

SHUNT = os.environ.get("SHUNT_BIN", "")


class Formulas(unittest.TestCase):
    def test_erlang_c(self) -> None:
        # Tables of Erlang's delay formula, e.g. Gross and Harris, Fundamentals of Queueing Theory.
        for servers, load, expected in ((1, 0.7, 0.7), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.5541),
                                        (10, 8.0, 0.4092)):
            self.assertAlmostEqual(theory.erlang_c(servers, load), expected, places=4)
        self.assertEqual(theory.erlang_c(2, 2.0), 1.0)

    def test_waits(self) -> None:
        self.assertAlmostEqual(theory.wait_mg1(0.5, 10, 1), 10)      # M/M/1
        self.assertAlmostEqual(theory.wait_mg1(0.5, 10, 0), 5)       # M/D/1: half of it
        self.assertAlmostEqual(theory.wait_mmk(1, 0.8, 5), theory.wait_mg1(0.8, 5, 1))
        self.assertAlmostEqual(theory.wait_mmk(2, 1.0, 3), 1)
        self.assertAlmostEqual(theory.response_ps(0.75, 2), 8)
        self.assertEqual(theory.wait_mg1(1.0, 1, 1), math.inf)
        self.assertEqual(theory.response_ps(1.5, 1), math.inf)

    def test_quantiles(self) -> None:
        self.assertAlmostEqual(theory.response_quantile_mm1(0.5, 1, 0.99), 2 * math.log(100))

    def test_spread_of_each_law(self) -> None:
        for law in arrivals.LAWS:
            services = [a.service_ns for a in arrivals.table(5, 8000, 1000, law=law, mean_ns=10**6, sigma=0.5)]
            mean = statistics.fmean(services)
            squared = statistics.pvariance(services) / mean**2
            expected = theory.c2(law, 0.5)
            tolerance = 0.5 if law == "extreme" else 0.1  # 1 in 200 carries it: 40 of them here
            self.assertLess(abs(squared - expected), tolerance * expected + 1e-9, law)


@unittest.skipUnless(os.access(SHUNT, os.X_OK), "needs SHUNT_BIN")
class Tables(unittest.TestCase):
    def record(self, *words: str) -> dict:
        done = subprocess.run([SHUNT, "run", "asm", "openloop", "--iters", "1", "--warmup", "0", "--json", *words],
                              capture_output=True, text=True)
        record = json.loads(done.stdout)
        self.assertIn(record["status"], ("ok", "skipped"), done.stderr)
        return record

    def test_python_makes_the_table_of_c(self) -> None:
        for seed, law in enumerate(arrivals.LAWS):
            process = "constant" if law == "mix" else "poisson"
            record = self.record("requests=300", "mean=3us", "load=0.3", f"service={law}", f"process={process}",
                                 "--seed", str(seed), *(["sigma=0.7"] if law == "lognormal" else []))
            rate = int(record["identity"]["params"]["rate"])
            self.assertEqual(rate, arrivals.rate_of(0.3, 3000))
            table = arrivals.table(seed, 300, rate, process=process, law=law, mean_ns=3000,
                                   sigma=0.7 if law == "lognormal" else 1.0)
            self.assertEqual(record["facts"]["arrivals.hash"], arrivals.table_hash(table), law)
            printed = subprocess.run(
                [SHUNT, "arrivals", "requests=300", "mean=3us", "load=0.3", f"service={law}",
                 f"process={process}", "--seed", str(seed), *(["sigma=0.7"] if law == "lognormal" else [])],
                capture_output=True, text=True, check=True).stdout.splitlines()
            self.assertEqual(printed[0], f"# hash {arrivals.table_hash(table)}")
            self.assertEqual(printed[1:], [f"{a.at_ns} {a.service_ns} {a.kind}" for a in table], law)

    def test_a_trace_is_the_same_table(self) -> None:
        table = arrivals.table(9, 100, 20000, law="mix", mean_ns=5000)
        first = table[0].at_ns
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.writelines(f"{a.at_ns} {a.service_ns} {a.kind}\n" for a in table)
            file.flush()
            record = self.record(f"input={file.name}")
        moved = [arrivals.Arrival(a.at_ns - first, a.service_ns, a.kind) for a in table]
        self.assertEqual(record["facts"]["arrivals.hash"], arrivals.table_hash(moved))
        self.assertEqual(record["identity"]["params"]["requests"], "100")


if __name__ == "__main__":
    unittest.main()
