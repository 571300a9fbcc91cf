# SPDX-License-Identifier: MIT
"""The workload `echo` on servers without shunt, with the client that shunt has.

The program shunt-echo-floor, built beside `shunt` (backends/io/test) and not installed, has the client and
three bare servers, and starts any other (`exec`).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable, Sequence

from lines import ANY, Failure, Skip
from shuntlab.planning import drivers

CANNOT = 77     # a program's exit status where a way is not to be had


def program(name: str) -> Path | None:
    shunt = drivers.find_shunt()
    found = shunt.parent / name if shunt else None
    return found if found and found.is_file() else None


def output(run, command: list[str]) -> list[str]:
    """The program's lines; this process only waits for it."""
    run.begin()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    run.end()
    if done.returncode == CANNOT:
        raise Skip(done.stderr.strip())
    if done.returncode not in (0, 1) or not done.stdout:
        raise Failure(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.splitlines()


class Echo:
    KNOWS = {"connections": ANY, "requests": ANY, "bytes": ANY, "over": ANY, "rate": ANY,
             "process": "poisson"}

    def __init__(self, way: Callable[[], str], server: Sequence[str] = ()):
        self.way, self.server = way, list(server)   # the way is settled after this

    def setup(self, run):
        self.floor = program("shunt-echo-floor")
        if not self.floor:
            raise Skip("no shunt-echo-floor beside shunt: build it with cmake --build --preset release")

    def iterate(self, run):
        words = [run[name] for name in ("connections", "requests", "bytes", "over", "rate")]
        first, *responses = output(run, [str(self.floor), self.way(), *map(str, words), str(run.seed),
                                         *self.server])
        (self.wall, self.cpu, self.client_cpu, self.calls, self.replies, self.wrong, self.sent,
         self.received) = map(int, first.split())
        run.begin_ns, run.end_ns = 0, self.wall
        run.cpu_begin_ns, run.cpu_end_ns = 0, self.cpu
        record = run.recorder("response")
        for value in responses:
            record(int(value))

    def verify(self, run):
        requests = run["requests"]
        run.check("replies", requests, self.replies)
        run.check("wrong_bytes", 0, self.wrong)
        run.check("bytes_received", self.sent, self.received)
        run.operations = requests
        run.metric("cpu_ns_per_request", self.cpu / requests, "ns", "lower")
        run.metric("client_busy", self.client_cpu / self.wall, "1", "none")
        if self.calls >= 0:
            run.metric("syscalls_per_request", self.calls / requests, "1", "lower")
