#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, virtual workers without costs serve the open loop as queueing theory says.

Each system is run with several seeds. The mean over them may be off the formula by as many standard errors as the
seeds themselves spread. Virtual time is exact and the seeds are fixed, so the outcome is the same everywhere.

M/M/c: Erlang (1917); M/G/1: Pollaczek (1930), Khinchine (1932); M/G/1-PS: Kleinrock (1967).
"""
from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import unittest

MEAN_NS = 50500     # bimodal: 1 and 100 us
SEEDS = range(1, 9)
ERRORS_MOST = 3.3


def erlang_c(servers: int, load: float) -> float:
    """The mean wait in M/M/c, in services."""
    blocked = 1.0   # Erlang B, by its recursion
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    waits = blocked / (1 - load / servers * (1 - blocked))
    return waits / (servers - load)


def pollaczek_khinchine(load: float, squared_cv: float) -> float:
    """The mean wait in M/G/1, in services."""
    return load * (1 + squared_cv) / 2 / (1 - load)


def response(spec: str, load: float, service: str, *words: str) -> list[float]:
    """The mean response of each seed, in mean services."""
    means = []
    for seed in SEEDS:
        command = [os.environ["SHUNT_BIN"], "run", spec, "openloop", f"load={load}", f"service={service}",
                   f"mean={MEAN_NS}ns", *words, "--seed", str(seed), "--warmup", "0", "--iters", "1", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        record = json.loads(done.stdout)
        if record["status"] == "skipped":
            raise unittest.SkipTest(record["reason"])
        if record["status"] != "ok":
            raise AssertionError(record["reason"])
        means.append(record["metrics"]["response_mean_ns"]["value"] / MEAN_NS)
    return means


class Theory(unittest.TestCase):
    def agrees(self, found: list[float], expected: float) -> None:
        mean, error = statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))
        self.assertLess(error, expected / 20, "too few requests to say anything")
        self.assertLessEqual(abs(mean - expected), ERRORS_MOST * error,
                             f"{mean:.4f} services, theory {expected:.4f}, standard error {error:.4f}")

    def test_many_servers(self) -> None:
        for servers, load in ((1, 0.7), (2, 1.5), (16, 14.4), (64, 60.0)):
            with self.subTest(servers=servers):
                found = response(f"sim:workers={servers},policy=shared", load, "exponential", "requests=20k")
                self.agrees(found, 1 + erlang_c(servers, load))

    def test_laws(self) -> None:
        for service, squared_cv in (("fixed", 0.0), ("bimodal", (1 + 100 ** 2) / 2 / 50.5 ** 2 - 1)):
            with self.subTest(service=service):
                found = response("sim:policy=fifo", 0.7, service, "requests=20k")
                self.agrees(found, 1 + pollaczek_khinchine(0.7, squared_cv))

    def test_sharing(self) -> None:
        """A quantum of a hundredth of the mean comes near to sharing."""
        for service in ("fixed", "bimodal"):
            with self.subTest(service=service):
                found = response("sim:policy=fifo,quantum=500ns", 0.7, service, "slice=500ns", "requests=5k")
                self.agrees(found, 1 / (1 - 0.7))


if __name__ == "__main__":
    unittest.main()
