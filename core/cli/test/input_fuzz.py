#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, no trace, input file, arrival trace or spec makes shunt crash, hang or take the memory.

    input_fuzz.py [SECONDS]     SHUNT_SEED gives the seed
"""
from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

SOURCE = Path(os.environ["SHUNT_SOURCE"])
SHUNT = os.environ["SHUNT_BIN"]
sys.path.insert(0, str(SOURCE / "experiments" / "test"))

import mutate  # noqa: E402

STATUSES = {0, 1, 2, 3, 4, 5}
SANITIZED = b"__asan_init" in Path(SHUNT).read_bytes() or b"__tsan_init" in Path(SHUNT).read_bytes()
SPECS = ("asm:wait=spin,policy=lifo", "ucontext:switch=ucontext", "mn:workers=2,place=compact,nap=1ms",
         "uring-each:wait.grid=256us,stack.size=64k")
BITS = ("workers=", "=", ",", ":", "stack.size=", "9" * 30, "all", "-1", "64k", "1e9", "\x01", "é", "quantum=1us")


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (20, 21))
    if not SANITIZED:   # its shadow alone is 20 TB of addresses
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30,) * 2)


class Fuzzer:
    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed, self.failed, self.number = folder, seed, 0, 0
        self.trace = folder / "good.json"
        subprocess.run([SHUNT, "run", "asm", "ring", "tasks=3", "hops=20", "--trace", str(self.trace)], check=True,
                       capture_output=True)

    def a_trace(self, chance: Random) -> list[str]:
        data = self.trace.read_bytes()
        if chance.random() < 0.3:
            whole, _ = mutate.document(chance, json.loads(data))
            data = json.dumps(whole).encode()
        for _ in range(chance.randrange(1, 4)):
            data, _ = mutate.text(chance, data)
        return ["trace", "check", self.file("t.json", data)]

    def numbers(self, chance: Random) -> list[str]:
        suffix = chance.choice((".txt", ".bin", ".i64", ".csv", ""))
        numbers = chance.random() < 0.7
        data = b"12\n-7, 3\n" * chance.choice((1, 50)) if numbers else chance.randbytes(chance.choice((0, 8, 64, 99)))
        data, _ = mutate.text(chance, data)
        return ["run", "asm", "chunked_sum", "tasks=2", "--iters", "1", "--warmup", "0",
                "input=" + self.file("d" + suffix, data)]

    def arrivals(self, chance: Random) -> list[str]:
        data, _ = mutate.text(chance, b"0 1000\n1500 2000\n9000 100\n" * 4)
        return ["run", "asm", "openloop", "--iters", "1", "--warmup", "0", "trace=" + self.file("a.csv", data)]

    def spec(self, chance: Random) -> list[str]:
        text = chance.choice(SPECS)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chance.choice(BITS) + text[place + chance.choice((0, 0, 1, 5)):]
        return ["describe", text]

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return str(path)

    def case(self) -> None:
        chance = Random(f"{self.seed} {self.number}")
        words = chance.choice((self.a_trace, self.a_trace, self.numbers, self.arrivals, self.spec))(chance)
        try:
            done = subprocess.run([SHUNT, *words, "--timeout", "10s"] if words[0] == "run" else [SHUNT, *words],
                                  capture_output=True, preexec_fn=limited, timeout=200, stdin=subprocess.DEVNULL)
            said = done.stderr[-1500:].decode(errors="replace")
            why = "" if done.returncode in STATUSES else f"status {done.returncode}: {said}"
        except subprocess.TimeoutExpired:
            why = "not done in 200 s"
        if why:
            self.failed += 1
            print(f"case {self.number} of seed {self.seed}: {' '.join(words)}\n  {why}", flush=True)
        self.number += 1


def main() -> int:
    seed = int(os.environ.get("SHUNT_SEED") or time.time_ns() % 10 ** 6)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), seed)
        deadline = time.monotonic() + float(sys.argv[1] if sys.argv[1:] else 4)
        while time.monotonic() < deadline:
            fuzzer.case()
    print(f"seed {seed}: {fuzzer.number} cases, {fuzzer.failed} failed")
    return int(fuzzer.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
