#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a debugger walks out of a task that a signal preempts: from the scheduler's switch by way
of the kernel's signal frame through the task's own calls to its entry, and the walk ends there.

`preempt_walk.py PROGRAM` runs gdb on preempt_walked.c, up to the last call before the handler's switch.
Exit status 77: there is no gdb, or it may not trace, or signals cannot preempt here.
"""
from __future__ import annotations

import re
import shutil
import subprocess
import sys

HERE = "shunt_ticks_unblock"            # what the handler calls last, before it switches
TASK = ["computes", "middle", "outer", "root"]
ENTRY = "shunt_switch_entry"
HANDLER = "<signal handler called>"


def names(text: str) -> list[str]:
    """The functions of gdb's backtrace, from the innermost out."""
    return [frame[1] or frame[2] for frame in
            re.finditer(r"^#\d+ +(?:(<signal handler called>)|(?:0x[0-9a-f]+ in )?([\w.]+))", text, re.M)]


def main() -> int:
    program, gdb = sys.argv[1], shutil.which("gdb")
    if not gdb:
        print("skipped: there is no gdb")
        return 77
    alone = subprocess.run([program], capture_output=True, text=True, timeout=200, check=False)
    if alone.returncode:
        print(alone.stdout)
        return alone.returncode
    commands = ["set confirm off", "handle SIGURG nostop noprint pass", f"break {HERE}", "run", "backtrace"]
    words = [gdb, "-batch", "-nx", *(word for c in commands for word in ("-ex", c)), program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    if "ptrace: Operation not permitted" in done.stderr or "Could not trace" in done.stderr:
        print("skipped: gdb may not trace here")
        return 77
    walk = names(done.stdout)
    inner, _, task = " ".join(walk).partition(HANDLER)
    print(" < ".join(walk))
    right = (HERE in inner and task.split()[:len(TASK)] == TASK and walk[-1].startswith(ENTRY)
             and "Backtrace stopped" not in done.stdout + done.stderr)
    if not right:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
