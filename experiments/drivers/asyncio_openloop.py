# SPDX-License-Identifier: MIT
"""openloop on asyncio: requests of a table, each a coroutine; latency from the intended arrival.

As workloads/openloop.c with injection=timer, in what it measures and how: a coroutine starts what is
due and sleeps until shortly before the next arrival, then gives way until it; the end of a request
starts what is due, too. Service is a calibrated loop of the interpreter. The table is the one that
`shunt arrivals` prints. It has no slices, faults or traces of arrivals, and drops no request.
"""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import time
from itertools import repeat
from typing import NamedTuple

from lines import ANY, Failure, Run, say
from shuntlab.data.records import enough_samples

now = time.monotonic_ns

NEAR_NS = 1_500_000     # from so long before an arrival on, the generator does not trust a sleep
LEAD_NS = 200_000
ROUNDS = 20_000
QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))


def rounds_per_ns() -> float:
    """The speed of the loop that stands for work: the best of short series."""
    best = 1 << 62
    for _ in range(24):
        before = now()
        for _ in repeat(None, ROUNDS):
            pass
        best = min(best, now() - before)
    return ROUNDS / best


class Arrival(NamedTuple):
    at_ns: int
    service_ns: int
    kind: int


def arrivals(run: Run) -> list[Arrival]:
    """The table of this run's parameters; its hash is a fact of the record."""
    words = ["requests", "rate", "process", "service"] + ["sigma"] * (run["service"] == "lognormal")
    done = subprocess.run(
        [os.environ["SHUNT"], "arrivals", *(f"{w}={run[w]}" for w in words), f"mean={run['mean']}ns",
         "--seed", str(run.seed)], stdout=subprocess.PIPE, text=True)
    head, *rows = done.stdout.splitlines() or [""]
    if done.returncode or len(rows) != run["requests"]:
        raise Failure(f"`shunt arrivals` ended with {done.returncode}")
    say(fact={"name": "arrivals.hash", "value": head.split()[-1]})
    return [Arrival(*map(int, row.split())) for row in rows]


class Request:
    __slots__ = ("injected", "lag", "started", "ended", "runs")

    def __init__(self):
        self.injected = self.lag = self.started = self.ended = self.runs = 0


class OpenLoop:
    KNOWS = {**dict.fromkeys(("requests", "process", "load", "rate", "service", "mean", "sigma",
                              "deadline", "steer", "backlog", "skip", "series", "stall_at"), ANY),
             "injection": "timer", "input": "", "slice": 0, "block": 0, "stall": 0}

    def setup(self, run):
        self.backlog = run["backlog"]
        self.arrivals = arrivals(run)
        self.speed = rounds_per_ns()

    # ---- one iteration

    def iterate(self, run):
        self.requests = [Request() for _ in self.arrivals]
        self.next = self.chance = self.inside = self.most = 0
        self.left = len(self.requests)
        asyncio.run(self.root(run))

    async def root(self, run):
        self.done = asyncio.Event()
        self.tasks = set()
        run.begin()
        self.start = now() + LEAD_NS
        generator = asyncio.create_task(self.generate())
        await self.done.wait()
        await generator
        run.end()

    async def generate(self):
        while self.next < len(self.arrivals):
            wait = self.start + self.arrivals[self.next].at_ns - now()
            if wait <= 0:
                self.inject(now())
            else:
                await asyncio.sleep((wait - NEAR_NS) / 1e9 if wait > NEAR_NS else 0)

    def inject(self, at):
        """Starts all that are due."""
        while self.next < len(self.arrivals) and \
                (intended := self.start + self.arrivals[self.next].at_ns) <= at:
            request = self.requests[self.next]
            request.injected = at
            held = self.chance if self.inside and self.chance > intended else intended
            request.lag = max(at - held, 0)
            self.inside += 1
            self.most = max(self.most, self.inside)
            task = asyncio.create_task(self.serve(request, self.arrivals[self.next].service_ns))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            self.next += 1

    async def serve(self, request, service_ns):
        request.started = now()
        request.runs += 1
        for _ in repeat(None, int(service_ns * self.speed)):
            pass
        request.ended = self.chance = now()
        self.inject(request.ended)
        self.inside -= 1
        self.left -= 1
        if not self.left:
            self.done.set()

    # ---- results

    def verify(self, run):
        n, ids = len(self.requests), range(1, len(self.requests) + 1)
        run.check("requests", n, sum(r.runs for r in self.requests))
        run.check("sum_of_ids", n * (n + 1) // 2,
                  sum(i * r.runs for i, r in zip(ids, self.requests)))
        run.check("before_their_time", 0, sum(
            not self.start + a.at_ns <= r.injected <= r.started <= r.ended
            for r, a in zip(self.requests, self.arrivals)))
        if self.most > self.backlog:
            raise Failure(f"{self.most} requests at once are more than backlog={self.backlog}, and this "
                          "driver drops none")
        run.operations = n
        self.report(run, self.samples(run))

    def samples(self, run):
        found = {name: [] for name in ("lag", "injection", "queueing", "service", "response",
                                       "slowdown")}
        for r, a in list(zip(self.requests, self.arrivals))[run["skip"]:]:
            intended = self.start + a.at_ns
            response = r.ended - intended
            for name, value in (("lag", r.lag), ("injection", r.injected - intended),
                                ("queueing", r.started - intended),
                                ("service", r.ended - r.started), ("response", response),
                                ("slowdown", response * 1000 // a.service_ns)):
                found[name].append(value)
        for name, values in found.items():
            if run["series"] in ("all", name):
                record = run.recorder(name, "1/1000" if name == "slowdown" else "ns")
                for value in values:
                    record(value)
            values.sort()
        return found

    def report(self, run, found):
        span = self.arrivals[-1].at_ns + 1
        run.metric("offered_load", sum(a.service_ns for a in self.arrivals) / span, "1", "none")
        run.metric("backlog_max", self.most, "1", "lower")
        responses = found["response"]
        run.metric("deadline_missed", sum(r > run["deadline"] for r in responses) / len(responses),
                   "1", "lower")
        for name in ("response", "queueing", "lag", "injection"):
            run.metric(f"{name}_mean_ns", sum(found[name]) / len(found[name]), "ns", "lower")
        for label, q in QUANTILES:
            quantile(run, responses, q, f"response_{label}_ns", 1, "ns")
            quantile(run, found["slowdown"], q, f"slowdown_{label}", 1000, "1")
        quantile(run, found["queueing"], 0.99, "queueing_p99_ns", 1, "ns")
        quantile(run, found["lag"], 0.99, "lag_p99_ns", 1, "ns")


def quantile(run, values, q, name, scale, unit):
    """Of sorted values, where there are enough of them."""
    if not enough_samples(len(values), q):
        return
    value = values[math.ceil(q * len(values) - 1e-9) - 1] / scale
    run.metric(name, value, unit, "lower")
