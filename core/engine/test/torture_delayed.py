#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the torture tests do too with delays before every atomic access.

All that schedules (the task API, sync objects, the engine, policies, wait slots, timer queues) is
compiled anew with the build's flags and delays.h before it, and linked into each torture test in place
of the original. Needs gcc, whose <stdatomic.h> is made of what delays.h wraps.

    torture_delayed.py BUILD_FOLDER [KEEP_FOLDER]       what is built is kept there and used again

SHUNT_TORTURE_MS is for each test (default 2600), SHUNT_SEED is given to it; both are printed.
"""
from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutants import ROOT, SKIPPED, Build  # noqa: E402

HERE = Path(__file__).resolve().parent
TESTS = ("torture_wake", "torture_timeout", "torture_resume", "torture_sync", "torture_gone",
         "torture_guest")
DELAYED = ("core/sched.c", "core/join.c", "core/sync/", "core/engine/", "backends/policy/", "backends/timers/",
           "backends/wait/", "backends/threads.c")
LIMIT_S = 200       # over the time that a test is given; a lost wake hangs


def compile_one(build: Build, source: str, out: Path) -> tuple[Path, Path]:
    directory, words = build.compiles[source]
    words = list(words)
    at = words.index("-o") + 1
    words = ["-O1" if word == "-O2" else word for word in words]     # the delays take the time
    original, words[at] = directory / words[at], str(out / (source.replace("/", "_") + ".o"))
    subprocess.run([*words, "-include", str(HERE / "delays.h"), "-w"], cwd=directory, check=True)
    return original, Path(words[at])


def delays_object(build: Build, out: Path) -> Path:
    """delays.c itself, with the flags of a source of core."""
    directory, words = build.compiles["core/sched.c"]
    new = out / "delays.o"
    words = [str(HERE / "delays.c") if w == str(ROOT / "core/sched.c") else w for w in words]
    words[words.index("-o") + 1] = str(new)
    subprocess.run(words, cwd=directory, check=True)
    return new


def make(build: Build, out: Path) -> None:
    sources = [s for s in build.compiles
               if s.startswith(DELAYED) and s.endswith(".c") and "/test/" not in s]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        replaced = dict(pool.map(lambda s: compile_one(build, s, out), sources))
    there = {os.path.realpath(old): str(new) for old, new in replaced.items()}
    more = str(delays_object(build, out))
    for test in TESTS:
        directory, words = build.link_command(test)
        words = [there.get(os.path.realpath(directory / word), word) for word in words]
        words[words.index("-o") + 1] = str(out / test)
        subprocess.run([*words, more], cwd=directory, check=True)
    print(f"{len(sources)} sources with delays", flush=True)


def run(out: Path, test: str, env: dict[str, str]) -> str:
    """How the test failed; empty: it passed."""
    limit = int(env["SHUNT_TORTURE_MS"]) / 1000 + LIMIT_S
    try:
        done = subprocess.run([out / test], env=env, timeout=limit, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return f"hangs: not done after {limit:.0f} s"
    if done.returncode == 0:
        return ""
    print(done.stdout)
    return f"fails with {done.returncode}"


def main() -> int:
    build = Build(Path(sys.argv[1]).resolve())
    compiler = next(iter(build.compiles.values()))[1]
    said = subprocess.run([*compiler[:1 + ("ccache" in compiler[0])], "--version"],
                          capture_output=True, text=True).stdout
    if "Free Software Foundation" not in said:
        print("skipped: the build's compiler is not gcc")
        return SKIPPED
    seed = os.environ.get("SHUNT_SEED") or str(random.SystemRandom().getrandbits(40))
    env = {"SHUNT_TORTURE_MS": "2600", **os.environ, "SHUNT_SEED": seed}
    print(f"seed {seed} (SHUNT_SEED={seed} repeats it)", flush=True)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="shunt-delayed-") as scratch:
        out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        if not (out / TESTS[-1]).exists():
            make(build, out.resolve())
        for test in TESTS:
            how = run(out.resolve(), test, env)
            print(f"{test} with delays: {how or 'passes'}", flush=True)
            faults += bool(how)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
