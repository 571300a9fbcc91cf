#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, shunt-timers-bench times every operation of every queue at every population, and refuses the rest.

Argument: the program. What it prints depends on the machine; that all is there, and is a time, does not.
"""
from __future__ import annotations

import csv
import math
import subprocess
import sys

OPERATIONS = ("arm", "cancel", "hold", "expire", "earliest")


def call(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=200)


def queues(program: str) -> list[str]:
    """Those it names to who asks for another."""
    done = call(program, "nonesuch")
    assert (done.returncode, done.stdout) == (2, ""), done
    return done.stderr.partition("the queues are")[2].split()


def main(program: str) -> None:
    known = queues(program)
    assert {"heap", "wheel"} <= set(known), known
    for queue in known:
        done = call(program, queue, "100")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(done.stdout.splitlines()))
        told = [(row["queue"], int(row["population"]), row["operation"]) for row in rows]
        assert told == [(queue, n, operation) for n in (1, 10, 100) for operation in OPERATIONS], told
        for row in rows:
            assert math.isfinite(float(row["ns"])) and float(row["ns"]) > 0, row
    for words in (("abc",), ("0",), ("-1",), ("10", "x"), ("10", "1", "more")):
        done = call(program, known[0], *words)
        assert (done.returncode, done.stdout) == (2, ""), (words, done.stdout)
        assert done.stderr.startswith("usage: "), done.stderr


if __name__ == "__main__":
    main(sys.argv[1])
