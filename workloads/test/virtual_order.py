#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, policies that order by a key serve the open loop in virtual time as a simulation of one page does.

The simulation here shares nothing with the engine: one server, requests of the same table (`shunt
arrivals`), the smallest key first, looked at when a request ends or between two of its slices.
"""
from __future__ import annotations

import collections
import heapq
import json
import os
import subprocess
import unittest

REQUESTS = 2000
TABLE = {"requests": str(REQUESTS), "service": "mix", "mean": "19068ns", "load": "0.85"}
DEADLINE_NS = 190680    # ten times the mean, the default
WORDS = [f"{key}={value}" for key, value in TABLE.items()]


def table() -> list[tuple[int, int, int]]:
    """Of each request its arrival, service and class."""
    done = subprocess.run([os.environ["SHUNT_BIN"], "arrivals", *WORDS], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")]
    return [(int(line[0]), int(line[1]), int(line[2])) for line in lines]


KEYS = {"srpt": lambda at, service, kind: service, "prio": lambda at, service, kind: kind,
        "edf": lambda at, service, kind: at + DEADLINE_NS}


def responses(policy: str, slice_ns: int) -> list[int]:
    """By request, worked out here."""
    requests = table()
    key, left = KEYS[policy], [service for _, service, _ in requests]
    waiting: list[tuple[int, int, int]] = []
    took, now, coming, turn = [0] * len(requests), 0, 0, 0

    def arrive() -> None:
        nonlocal coming, turn
        while coming < len(requests) and requests[coming][0] <= now:
            heapq.heappush(waiting, (key(*requests[coming]), turn, coming))
            coming, turn = coming + 1, turn + 1

    while coming < len(requests) or waiting:
        if not waiting:
            now = requests[coming][0]
        arrive()
        mine, _, who = heapq.heappop(waiting)
        while left[who]:
            work = min(slice_ns or left[who], left[who])
            now, left[who] = now + work, left[who] - work
            if policy == "srpt":
                mine -= work
            arrive()
            if left[who] and waiting and waiting[0][0] < mine:
                heapq.heappush(waiting, (mine, turn, who))
                turn += 1
                break
        else:
            took[who] = now - requests[who][0]
    return took


def bucket(value: int) -> int:
    """Its index in a record's histogram: each power of two is cut into 1,024."""
    shift = max(value.bit_length(), 11) - 11
    return (shift << 10) + (value >> shift)


def measured(policy: str, slice_ns: int) -> dict:
    command = [os.environ["SHUNT_BIN"], "run", f"sim:policy={policy}", "openloop", *WORDS, f"slice={slice_ns}ns",
               "skip=0", "--warmup", "0", "--iters", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    record = json.loads(done.stdout)
    if record["status"] == "skipped":
        raise unittest.SkipTest(record["reason"])
    if record["status"] != "ok":
        raise AssertionError(record["reason"])
    return record


class Order(unittest.TestCase):
    def same(self, expected: list[int], series: dict) -> None:
        """All responses: their sum to the nanosecond, each in its bucket."""
        self.assertEqual((sum(expected), min(expected), max(expected)),
                         (series["sum"], series["min"], series["max"]))
        self.assertEqual(collections.Counter(map(bucket, expected)), dict(series["buckets"]))

    def test_each_policy(self) -> None:
        means = set()
        # Not prio in slices: each arrival's generator, of the most urgent class, sends the running request to the
        # end of its class.
        for policy, slice_ns in (("srpt", 0), ("srpt", 3000), ("edf", 0), ("edf", 3000), ("prio", 0)):
            with self.subTest(policy=policy, slice_ns=slice_ns):
                expected = responses(policy, slice_ns)
                self.same(expected, measured(policy, slice_ns)["series"]["response"])
                means.add(round(sum(expected) / REQUESTS))
        self.assertEqual(len(means), 3)    # prio's classes are in the order of service


if __name__ == "__main__":
    unittest.main()
