#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a million timeouts armed and cancelled leave nothing behind, by Valgrind and by the counters.

Arguments: Valgrind, and the specs to try. The run ends at once where it could wait for nothing but
tombstones, as their deadlines lie beyond its timeout.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys

PAIRS = {"tasks": 1000, "sleeps": 1000}
LEAKS = ("-q", "--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all", "--error-exitcode=9")


def complaint(valgrind: str, spec: str) -> str:
    """What is wrong; "" if nothing is."""
    command = [valgrind, *LEAKS, os.environ["SHUNT_BIN"], "run", spec, "timers", "period=3600s", "cancel=1",
               *(f"{name}={value}" for name, value in PAIRS.items()), "--warmup", "0", "--iters", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        record = json.loads(done.stdout)
    except ValueError:
        return f"exit status {done.returncode}: {done.stderr}"
    if record.get("status") == "skipped":
        print(f"{spec}: skipped: {record['reason']}")
        return ""
    if done.returncode:
        return f"exit status {done.returncode}: {done.stderr}"
    pairs = PAIRS["tasks"] * PAIRS["sleeps"]
    expected = {"timers_armed": pairs, "timers_cancelled": pairs, "timers_fired": 0}
    counted = {name: record["counters"][name] for name in expected}
    return "" if counted == expected else f"counted {counted}"


def main(valgrind: str, *specs: str) -> int:
    failed = 0
    for spec in specs:
        why = complaint(valgrind, spec)
        failed += bool(why)
        print(f"{spec}: {why or 'nothing is left behind'}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
