# SPDX-License-Identifier: MIT
"""The floors of the workloads `wakeup`, `timers` and `echo`, with shunt's records.

wakeup: between two bare threads, one on each of two CPUs, nothing but the mechanism that wakes: what
the same wake-up costs a scheduler is a ratio to this. `floor:way=futex`, eventfd, msgring or spin.

timers: one thread and an io_uring, no tasks. `floor:way=heap`, one queue over a ring that waits for the
nearest deadline; `floor:way=each`, every timer a timeout of the ring; `floor:way=each,grid=262144ns`,
with deadlines rounded up to a grid as wait.grid of uring-each rounds them.

echo: one loop on epoll or on an io_uring, or a thread for each connection, no tasks, the same client.
`floor:way=epoll`, ring or threads.

The programs, shunt-wake-floor, shunt-timers-floor and shunt-echo-floor, are built beside `shunt`
(backends/wait/test, backends/io/test) and not installed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent))
import lines  # noqa: E402
from echo_floor import Echo, output, program  # noqa: E402
from lines import ANY, Failure  # noqa: E402
from shuntlab.tools import units  # noqa: E402

WAYS = {"wakeup": ("futex", "eventfd", "msgring", "spin"), "timers": ("heap", "each"),
        "echo": ("epoll", "ring", "threads")}

chosen = {"way": "", "grid": "0"}


class Wakeup:
    KNOWS = {"wakes": ANY, "pause": ANY}

    def setup(self, run):
        self.latency_ns: list[int] = []

    def iterate(self, run):
        command = [str(program("shunt-wake-floor")), chosen["way"], str(run["wakes"]),
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
    KNOWS = {"tasks": ANY, "sleeps": ANY, "period": ANY, "skip": ANY, "mode": "fixed", "spread": ANY,
             "cancel": 0, "busy": 0, "sample": 1}

    def setup(self, run):
        pass

    def iterate(self, run):
        command = [str(program("shunt-timers-floor")), chosen["way"], str(run["tasks"]),
                   str(run["sleeps"]), str(run["period"] // 1000), chosen["grid"], str(run["skip"]), "all"]
        first, *samples = output(run, command)
        wall, self.cpu, self.wakes, self.early, self.calls = map(int, first.split())
        run.begin_ns, run.end_ns = 0, wall
        run.cpu_begin_ns, run.cpu_end_ns = 0, self.cpu
        record = run.recorder("lateness")
        for value, count in (map(int, line.split()) for line in samples):
            for _ in range(count):
                record(value)

    def verify(self, run):
        waits = run["tasks"] * run["sleeps"]
        run.check("waits", waits, self.wakes)
        run.check("wakes_before_their_deadline", 0, self.early)
        run.operations = waits
        run.metric("cpu_ns_per_timer", self.cpu / waits, "ns", "lower")
        run.metric("syscalls_per_timer", self.calls / waits, "1", "lower")


def settle(settings: dict[str, str], workload: str) -> dict[str, str]:
    chosen["way"] = WAYS[workload][0]
    for key, value in settings.items():
        if key not in chosen:
            raise Failure(f"floor has no setting {key!r}; it has {' and '.join(chosen)}")
        if key == "way" and value not in WAYS[workload]:
            raise Failure(f"way={value} is not a floor of {workload}; it has {', '.join(WAYS[workload])}")
        if key == "grid":
            value = str(units.duration_ns(value))
            if not value.isdigit() or settings.get("way") != "each":
                raise Failure(f"grid={settings[key]}: it is a duration, and belongs to way=each")
        chosen[key] = value
    return {"workers": "2" if workload == "wakeup" else "1", **chosen}


def main() -> int:
    names = ("shunt-wake-floor", "shunt-timers-floor", "shunt-echo-floor")
    programs = [program(name) for name in names]
    if None in programs:
        print(f"not all of {', '.join(names)} are beside shunt: build them with "
              "cmake --build --preset release", file=sys.stderr)
        return 2
    code = b"".join(found.read_bytes() for found in programs if found)
    sources = b"".join(HERE.with_name(name).read_bytes()
                       for name in (HERE.name, "lines.py", "echo_floor.py"))
    digest = hashlib.sha256(code + sources).hexdigest()[:40]
    return lines.main("floor", "1", digest,
                      {"wakeup": Wakeup, "timers": Timers, "echo": lambda: Echo(lambda: chosen["way"])}, settle)


if __name__ == "__main__":
    sys.exit(main())
