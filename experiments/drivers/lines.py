# SPDX-License-Identifier: MIT
"""What a driver in Python needs: to hand a run to `shunt record`, and to tell it what happened.

README.md has the protocol. A driver calls main() with its name and its workloads. A workload is a class
with KNOWS, the parameters that it reads and, for those of which it has one value only, that value; and
with setup(run), iterate(run) and verify(run).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
EVERY_WORKLOAD = {"form": "stack"}    # the default: a runtime has one kind of tasks, its own
ANY = object()          # in KNOWS: every value that shunt takes
VALUES_A_LINE = 20_000
Settle = Callable[[dict[str, str], str], dict[str, str]]


class Skip(Exception):
    """This driver or this machine cannot do it."""


class Failure(Exception):
    """The run failed."""


def splitmix64(state: int) -> tuple[int, int]:
    """(next state, number): core/rng.h's shunt_splitmix64."""
    state = (state + GOLDEN) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def share(total: int, parts: int, index: int) -> int:
    """The index-th part when total is divided as evenly as can be, larger parts first."""
    return total // parts + (index < total % parts)


def signed(value: int) -> int:
    """64 bits, as the integers of checks have them."""
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


def say(**message: Any) -> None:
    print(json.dumps(message, allow_nan=False))


class Run:
    """One run in progress: what was asked for, and what an iteration found."""

    def __init__(self, asked: dict[str, Any]):
        self.workload: str = asked["workload"]
        self.params, self.settings = asked["params"], asked["settings"]
        self.seed = int(asked["seed"])
        self.operations = 0
        self.series: dict[tuple[str, str], list[int]] = {}
        self.begin_ns = self.end_ns = self.cpu_begin_ns = self.cpu_end_ns = 0

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def recorder(self, name: str, unit: str = "ns") -> Callable[[int], None]:
        """Where an iteration's samples of a series go."""
        return self.series.setdefault((name, unit), []).append

    def begin(self) -> None:
        self.cpu_begin_ns = time.process_time_ns()
        self.begin_ns = time.monotonic_ns()

    def end(self) -> None:
        self.end_ns = time.monotonic_ns()
        self.cpu_end_ns = time.process_time_ns()

    @staticmethod
    def metric(name: str, value: float, unit: str, better: str) -> None:
        say(metric={"name": name, "value": value, "unit": unit, "better": better})

    @staticmethod
    def check(name: str, expected: int, actual: int) -> None:
        say(check={"name": name, "expected": signed(expected), "actual": signed(actual)})

    def finish(self) -> None:
        for (name, unit), values in self.series.items():
            for at in range(0, len(values), VALUES_A_LINE):
                say(samples={"name": name, "unit": unit, "values": values[at:at + VALUES_A_LINE]})
        self.series.clear()
        say(end={"wall_ns": self.end_ns - self.begin_ns, "ops": self.operations,
                 "cpu_ns": self.cpu_end_ns - self.cpu_begin_ns})
        sys.stdout.flush()


def main(name: str, version: str, build_id: str, workloads: dict[str, Any],
         settle: Settle) -> int:
    """`version --json`, `run …` as every driver, and without an argument the protocol. `settle` makes the
    whole composition of the settings that were asked for, and of the workload, or raises Skip or Failure."""
    words = sys.argv[1:]
    if words[:1] == ["version"]:
        print(json.dumps({"driver": name, "version": version, "build_id": build_id}))
        return 0
    if words:
        return _record(name, list(workloads), words)
    asked = json.loads(sys.stdin.readline())
    try:
        _answer(Run(asked), workloads[asked["workload"]](), asked["iterations"], build_id, settle)
    except Skip as e:
        say(skip=str(e))
    except Failure as e:
        say(fail=str(e))
    except MemoryError:
        say(fail="out of memory")
    return 0


def _record(name: str, workloads: list[str], words: list[str]) -> int:
    """Have `shunt record` start this driver again, and record what it says."""
    from shuntlab.planning.drivers import find_shunt
    shunt = find_shunt(os.environ.get("SHUNT_RECORDER", ""))
    wrong = ""
    if words[0] != "run" or len(words) < 3:
        wrong = f"use: {name} run {name} WORKLOAD [key=value …] [--seed N] [--record FILE]"
    elif words[1].partition(":")[0] != name:
        wrong = f"no backend {words[1]!r} in this driver; it is {name!r}"
    elif words[2] not in workloads:
        wrong = f"no workload {words[2]!r} in this driver; it has {', '.join(workloads)}"
    elif shunt is None or not os.access(shunt, os.X_OK):
        wrong = "there is no `shunt` to record the run: build it, or name it in $SHUNT_BIN"
    if wrong:
        print(f"{name}: {wrong}", file=sys.stderr)
        return 2
    os.execv(shunt, [str(shunt), "record", *words[1:], "--", sys.executable, os.path.abspath(sys.argv[0])])


def _answer(run: Run, workload: Any, iterations: int, build_id: str,
            settle: Settle) -> None:
    composition = settle(run.settings, run.workload)
    for key, value in run.params.items():
        only = {**EVERY_WORKLOAD, **workload.KNOWS}.get(key, "")
        if only is not ANY and value != only:
            raise Skip(f"{key}={value} is not to be had from this driver")
    workload.setup(run)
    say(program={"build_id": build_id, "composition": composition})
    for number in range(iterations):
        say(begin=number + 1)
        workload.iterate(run)
        workload.verify(run)
        run.finish()
