#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a wake across workers is made by the system call that its wait slot names.

Counted by strace, for some hundreds of wakes of a worker that sleeps: each way must make one call to wake
and one to sleep a wake, and none of another way's. On a busy machine the worker may not be asleep yet when
it is woken, which takes no call: then it is given more time, up to a few attempts.

    wake_calls.py SHUNT
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
WAKES = 200
PAUSES_US = 400, 400, 1000, 2000, 4000, 8000    # one attempt each, until one is as it should be
COUNTED = "futex,read,write,epoll_wait,epoll_pwait,epoll_pwait2,io_uring_enter"

# How many of each call a wake makes. Calls that are not named: none, or the few of start and end.
WAYS = {
    "futex": {"futex": 2},
    "epoll": {"epoll": 1, "write": 1},
    "uring,wait.wake=eventfd": {"io_uring_enter": 1, "write": 1},
    "uring,wait.wake=msgring": {"io_uring_enter": 2},
    "spin": {},
}


def calls_of(shunt: str, way: str, pause_us: int) -> dict[str, float]:
    """Calls a wake; reads are left out, because the report's own are among them."""
    with tempfile.NamedTemporaryFile("r", prefix="shunt-strace-") as out:
        done = subprocess.run(
            ["strace", "-f", "-qq", "-c", "-e", f"trace={COUNTED}", "-o", out.name, shunt, "run",
             f"mn:policy=fifo,workers=2,wait={way}", "wakeup", f"wakes={WAKES}", f"pause={pause_us}us",
             "--warmup", "0", "--iters", "1"], capture_output=True, text=True)
        if done.returncode == 3 and "skipped" in done.stderr + done.stdout:
            raise LookupError(done.stderr.strip())
        if done.returncode:
            sys.exit(f"{way}: shunt under strace ended with {done.returncode}: {done.stderr}")
        found: dict[str, float] = {}
        for line in out.read().splitlines():
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                name = re.sub(r"^epoll.*", "epoll", words[-1])
                found[name] = found.get(name, 0) + int(words[3]) / WAKES
    return found


def faults_of(found: dict[str, float], wanted: dict[str, int]) -> list[str]:
    faults = []
    for name in ("futex", "epoll", "write", "io_uring_enter"):
        # Start and end make some; a wake that meets a worker awake spares some.
        expected, actual = wanted.get(name, 0), found.get(name, 0)
        if not expected - 0.3 <= actual <= expected + 0.3:
            faults.append(f"{name}: {actual:.2f} a wake instead of {expected}")
    return faults


def as_it_should(shunt: str, way: str) -> bool:
    """Whether one of several attempts makes the calls that it should; or the way cannot be had here."""
    for pause_us in PAUSES_US:
        try:
            found = calls_of(shunt, way, pause_us)
        except LookupError as e:
            print(f"{way}: {e}")
            return True
        said = ", ".join(f"{name} {count:.2f}" for name, count in sorted(found.items()))
        faults = faults_of(found, WAYS[way])
        print("; ".join([f"{way}: {said or 'none'} a wake", *faults]), flush=True)
        if not faults:
            return True
    return False


def main() -> int:
    shunt = sys.argv[1]
    if not shutil.which("strace"):
        print("skipped: strace is not installed")
        return SKIPPED
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True)
    if probe.returncode or len(os.sched_getaffinity(0)) < 2:
        print("skipped: strace may not trace here, or there is one CPU only")
        return SKIPPED
    faulty = [way for way in WAYS if not as_it_should(shunt, way)]
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
