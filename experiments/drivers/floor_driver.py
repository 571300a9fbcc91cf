# SPDX-License-Identifier: MIT
"""The floors of the workload `wakeup`: shunt-wake-floor, with shunt's records.

Between two bare threads, one on each of two CPUs, nothing but the mechanism that wakes: what the same
wake-up costs a scheduler is a ratio to this. `floor:way=futex`, eventfd, msgring or spin. The program is
built beside `shunt` (backends/wait/test/wake_floor.c) and not installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
from shuntlab import drivers, foreign  # noqa: E402
from shuntlab.foreign import Failure, Skip, Usage  # noqa: E402

WAYS = ("futex", "eventfd", "msgring", "spin")
CANNOT = 77     # the program's exit status where a way is not to be had

chosen = {"way": "futex"}


def program() -> Path | None:
    shunt = drivers.find_shunt()
    found = shunt.parent / "shunt-wake-floor" if shunt else None
    return found if found and found.is_file() else None


class Wakeup:
    COST = "ns_per_wake"
    PARAMS = {"wakes": ("count", "5k", 1, 1 << 32), "pause": ("duration", "100us", 0, 10 ** 10)}

    def setup(self, run):
        self.latency_ns: list[int] = []

    def iterate(self, run):
        command = [str(program()), chosen["way"], str(run["wakes"]), str(run["pause"]),
                   str(run.seed)]
        run.begin()
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        run.end()
        if done.returncode == CANNOT:
            raise Skip(done.stderr.strip())
        if done.returncode not in (0, 1) or not done.stdout:
            raise Failure(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
        first, *samples = done.stdout.splitlines()
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


def settle(settings: dict[str, str]) -> None:
    for key, value in settings.items():
        if key != "way":
            raise Usage(f"floor has no setting {key!r}; it has way")
        if value not in WAYS:
            raise Usage(f"way={value} is not one of {', '.join(WAYS)}"
                        f"{foreign.nearest(value, WAYS)}")
        chosen["way"] = value


def main() -> int:
    found = program()
    if found is None:
        print("no shunt-wake-floor beside shunt: build it with cmake --build --preset release",
              file=sys.stderr)
        return 2
    digest = hashlib.sha256(found.read_bytes() + HERE.read_bytes()).hexdigest()[:40]
    facts = {"build.id": (digest, "hash of the program and its driver")}
    return foreign.main("floor", "1", digest, facts, {"workers": "2", "way": chosen["way"]},
                        {"wakeup": Wakeup}, settle, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
