# SPDX-License-Identifier: MIT
"""The floors of the workloads `wakeup` and `timers`, with shunt's records.

wakeup: between two bare threads, one on each of two CPUs, nothing but the mechanism that wakes: what
the same wake-up costs a scheduler is a ratio to this. `floor:way=futex`, eventfd, msgring or spin.

timers: one thread and an io_uring, no tasks. `floor:way=heap`, one queue over a ring that waits for the
nearest deadline; `floor:way=each`, every timer a timeout of the ring; `floor:way=each,grid=262144ns`,
with deadlines rounded up to a grid as wait.grid of uring-each rounds them.

The programs, shunt-wake-floor and shunt-timers-floor, are built beside `shunt` (backends/wait/test) and
not installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
from shuntlab import drivers, foreign, units  # noqa: E402
from shuntlab.foreign import Failure, Skip, Usage  # noqa: E402

WAYS = {"wakeup": ("futex", "eventfd", "msgring", "spin"), "timers": ("heap", "each")}
CANNOT = 77     # the program's exit status where a way is not to be had

chosen = {"way": "", "grid": "0"}


def program(name: str) -> Path | None:
    shunt = drivers.find_shunt()
    found = shunt.parent / name if shunt else None
    return found if found and found.is_file() else None


def choose_way(workload: str) -> str:
    chosen["way"] = chosen["way"] or WAYS[workload][0]
    if chosen["way"] not in WAYS[workload]:
        raise Failure(f"way={chosen['way']} is not a floor of {workload}; it has "
                      f"{', '.join(WAYS[workload])}")
    return chosen["way"]


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


class Wakeup:
    COST = "ns_per_wake"
    PARAMS = {"wakes": ("count", "5k", 1, 1 << 32), "pause": ("duration", "100us", 0, 10 ** 10)}

    def setup(self, run):
        self.latency_ns: list[int] = []

    def iterate(self, run):
        command = [str(program("shunt-wake-floor")), choose_way("wakeup"), str(run["wakes"]),
                   str(run["pause"]), str(run.seed)]
        first, *samples = output(run, command)
        wall, self.waker_cpu, self.sleeper_cpu, self.wrong = map(int, first.split())
        # The program's own times: this process only waited for it.
        run.begin_ns, run.end_ns = 0, wall
        run.cpu_begin_ns, run.cpu_end_ns = 0, self.waker_cpu + self.sleeper_cpu
        self.latency_ns = [int(sample) for sample in samples]
        record = run.recorder("wake_latency")
        for value in self.latency_ns:
            record(value)

    def verify(self, run):
        wakes = run["wakes"]
        run.check("wakes", wakes, len(self.latency_ns))
        run.check("wakes_out_of_order", 0, self.wrong)
        run.operations = wakes
        for name, value in (("waker_cpu_ns_per_wake", self.waker_cpu),
                            ("sleeper_cpu_ns_per_wake", self.sleeper_cpu),
                            ("cpu_ns_per_wake", self.waker_cpu + self.sleeper_cpu)):
            run.metric(name, value / wakes, "ns", "lower")


class Timers:
    COST = "ns_per_wait"
    PARAMS = {"tasks": ("count", "1000", 1, 10 ** 8), "sleeps": ("count", "20", 1, 1 << 32),
              "period": ("duration", "10ms", 0, 3600 * 10 ** 9),
              "skip": ("count", "0", 0, 1 << 32)}

    def setup(self, run):
        if int(chosen["grid"]) and choose_way("timers") != "each":
            raise Failure("grid belongs to way=each")

    def iterate(self, run):
        command = [str(program("shunt-timers-floor")), choose_way("timers"), str(run["tasks"]),
                   str(run["sleeps"]), str(run["period"] // 1000), chosen["grid"], str(run["skip"]), "all"]
        first, *samples = output(run, command)
        wall, self.cpu, self.wakes, self.early, self.calls = map(int, first.split())
        run.begin_ns, run.end_ns = 0, wall
        run.cpu_begin_ns, run.cpu_end_ns = 0, self.cpu
        record = run.recorder("lateness")
        for value, count in (map(int, line.split()) for line in samples):
            record(value, count)

    def verify(self, run):
        waits = run["tasks"] * run["sleeps"]
        run.check("waits", waits, self.wakes)
        run.check("wakes_before_their_deadline", 0, self.early)
        run.operations = waits
        run.metric("cpu_ns_per_timer", self.cpu / waits, "ns", "lower")
        run.metric("syscalls_per_timer", self.calls / waits, "1", "lower")


def settle(settings: dict[str, str]) -> None:
    ways = [way for ways in WAYS.values() for way in ways]
    for key, value in settings.items():
        if key not in chosen:
            raise Usage(f"floor has no setting {key!r}; it has {' and '.join(chosen)}")
        if key == "way" and value not in ways:
            raise Usage(f"way={value} is not one of {', '.join(ways)}"
                        f"{foreign.nearest(value, ways)}")
        if key == "grid":
            value = str(units.duration_ns(value))
            if not value.isdigit():
                raise Usage(f"grid={settings[key]} is not a duration")
        chosen[key] = value


def main() -> int:
    programs = [program("shunt-wake-floor"), program("shunt-timers-floor")]
    if None in programs:
        print("no shunt-wake-floor or shunt-timers-floor beside shunt: build them with "
              "cmake --build --preset release", file=sys.stderr)
        return 2
    code = b"".join(found.read_bytes() for found in programs if found)
    digest = hashlib.sha256(code + HERE.read_bytes()).hexdigest()[:40]
    facts = {"build.id": (digest, "hash of the programs and their driver")}
    work = next((work for work in WAYS if work in sys.argv), "wakeup")
    composition = {"workers": "2" if work == "wakeup" else "1", "way": WAYS[work][0]}
    return foreign.main("floor", "1", digest, facts, composition,
                        {"wakeup": Wakeup, "timers": Timers}, settle, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
