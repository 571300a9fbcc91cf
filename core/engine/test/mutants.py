#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the tests of the engine, and of the open loop, notice each mistake of mutants_list.py.

A mutant is one mistake in one file of the engine: a check left out, a step taken too early. Each is
compiled with the build's own flags and linked into a test in place of the original; that test must
then fail, crash or hang. One that survives fails this test, and so does one whose text is no longer in
the file: the list is then out of date. First every test must pass unchanged under the same limits.

It does not look for mistakes that the processor hides: on x86 the fences of the idle protocol stand
behind locked instructions that order as much. model_park.c and model_deque.c explore those.

    mutants.py BUILD_FOLDER             all of them: ten minutes on two cores
    mutants.py BUILD_FOLDER WORD        those that have WORD in their name
    mutants.py BUILD_FOLDER --share N   one in N, drawn by SHUNT_SEED or by a seed that is printed
    mutants.py --listed                 nothing is built: is each one's text still in its file?
"""
from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[3]
SLICE_MS = "15000"      # of SHUNT_TORTURE_MS; the torture tests give each composition a fifteenth
LIMIT_S = 200           # for one run of an original; they need one or two, on a busy machine more
PATIENCE = 4            # a mutant hangs if it takes so many times as long as its original, and LEAST_S
LEAST_S = 3
TRIES = 8               # a mistake in a race may need more than one run to show
MORE_TRIES = 24         # alone, of one that has survived beside others
AT_ONCE = 4             # many a mutant hangs, and is waited for

SKIPPED = 77


class Build:
    """One build folder, of make or ninja: how it compiles a source and links a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiles: dict[str, tuple[Path, list[str]]] = {}
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            words = shlex.split(entry["command"])
            if any(f"{part}.dir" in word for word in words
                   for part in ("shunt_core", "shunt_plugins", "test_torture_deque")):
                name = os.path.relpath(entry["file"], ROOT)
                self.compiles[name] = (Path(entry["directory"]), words)

    def compile(self, source: str, scratch: Path) -> tuple[Path, Path]:
        """Compiles `source` with the mutated files in `scratch`. The original's object, the new one."""
        directory, words = self.compiles[source]
        copy = scratch / source
        at = words.index("-o") + 1
        original = directory / words[at]
        new = scratch / (source.replace("/", "_") + ".o")
        instead = {str(ROOT / source): str(copy)} if copy.exists() else {}
        words = [instead.get(word, word) for word in words]
        words[at] = str(new)
        subprocess.run([words[0], f"-I{scratch}", *words[1:], "-w"], cwd=directory, check=True)
        return original, new

    def link_command(self, test: str) -> tuple[Path, list[str]]:
        for recipe in self.folder.rglob(f"test_{test}.dir/link.txt"):
            return recipe.parents[2], shlex.split(recipe.read_text())
        listed = subprocess.run(["ninja", "-t", "commands", f"test/test_{test}"], cwd=self.folder,
                                capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            for part in line.split("&&"):
                if f" -o test/test_{test} " in part:
                    return self.folder, shlex.split(part)
        raise SystemExit(f"mutants: no command links test_{test}")

    def link(self, test: str, replaced: dict[Path, Path], program: Path) -> None:
        directory, words = self.link_command(test)
        there = {os.path.realpath(original): str(new) for original, new in replaced.items()}
        words = [there.pop(os.path.realpath(directory / word), word) for word in words]
        if there:
            raise SystemExit(f"mutants: test_{test} is not linked with {', '.join(there)}")
        words[words.index("-o") + 1] = str(program)
        subprocess.run(words, cwd=directory, check=True)


def outcome(program: Path, spec: str, scratch: Path, limit_s: float = LIMIT_S) -> str:
    """How one run ended; empty: it passed."""
    env = os.environ | {"SHUNT_TORTURE_MS": SLICE_MS, "SHUNT_TORTURE_SPEC": spec, "SHUNT_MATRIX": spec}
    try:
        done = subprocess.run([program], env=env, timeout=limit_s, cwd=scratch,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode < 0:
        return f"dies of signal {-done.returncode}"
    return f"fails with {done.returncode}" if done.returncode else ""


def places(text: str, old: str) -> list[tuple[int, int]]:
    """Where `old` is in `text`, from and to, whatever the layout of either."""
    kept = [at for at, char in enumerate(text) if not char.isspace()]
    bare, wanted = "".join(text[at] for at in kept), "".join(old.split())
    return [(kept[found.start()], kept[found.start() + len(wanted) - 1] + 1)
            for found in re.finditer(re.escape(wanted), bare)]


def mutate(mutant: Mutant, scratch: Path) -> str:
    """Writes the mutated files below `scratch`. What is wrong with the list, if anything."""
    for file, old, new in filter(None, ((mutant.file, mutant.old, mutant.new), mutant.also)):
        copy = scratch / file
        text = (copy if copy.exists() else ROOT / file).read_text()
        found = places(text, old)
        if len(found) != 1:
            return f"the list is out of date: its text is in {file} {len(found)} times, not once"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text[:found[0][0]] + new + text[found[0][1]:])
    return ""


def try_original(folder: Path, test: str, spec: str) -> tuple[str, float]:
    """How it failed, if it did, and for how long a mutant of it is waited for."""
    started = time.monotonic()
    how = outcome(folder / "test" / f"test_{test}", spec, folder, LIMIT_S)
    return how, max(LEAST_S, PATIENCE * (time.monotonic() - started))


def try_mutant(build: Build, mutant: Mutant, limit_s: float, tries: int = TRIES) -> str:
    """What is wrong with the tests or with the list; empty: the mutant was noticed."""
    with tempfile.TemporaryDirectory(prefix="shunt-mutant-") as folder:
        scratch = Path(folder)
        started = time.monotonic()
        fault = mutate(mutant, scratch)
        if fault:
            return fault
        replaced = dict(build.compile(source, scratch) for source in mutant.units or (mutant.file,))
        program = scratch / "test"
        build.link(mutant.test, replaced, program)
        for _ in range(tries):
            how = outcome(program, mutant.spec, scratch, limit_s)
            if how:
                print(f"noticed: {mutant.name}: {mutant.test} {how} "
                      f"({time.monotonic() - started:.1f} s)", flush=True)
                return ""
    return f"survives {mutant.test} on {mutant.spec}"


def out_of_date(mutants: list[Mutant]) -> list[str]:
    faults = []
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="shunt-mutant-") as scratch:
            fault = mutate(mutant, Path(scratch))
        for source in mutant.units or (mutant.file,):
            if not source.endswith(".c") or not (ROOT / source).is_file():
                fault = fault or f"{source} is no source to compile"
        if fault:
            faults.append(f"{mutant.name}: {fault}")
    return faults


def drawn(one_in: int) -> list[Mutant]:
    seed = int(os.environ.get("SHUNT_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"one mutant in {one_in}: SHUNT_SEED={seed}", flush=True)
    return random.Random(seed).sample(MUTANTS, len(MUTANTS) // one_in)


def chosen_by(words: list[str]) -> list[Mutant]:
    if words[:1] == ["--share"]:
        return drawn(int(words[1]))
    return [m for m in MUTANTS if not words or words[0] in m.name]


def main() -> int:
    if sys.argv[1:] == ["--listed"]:
        from migration_lto import CACHEABLE, STAYS
        faults = out_of_date([*MUTANTS, CACHEABLE, STAYS])
        print("\n".join(faults) or f"{len(MUTANTS) + 2} mutants are where the list says")
        return 1 if faults else 0
    folder = Path(sys.argv[1]).resolve()
    chosen = chosen_by(sys.argv[2:])
    if not (folder / "compile_commands.json").exists():
        print("skipped: this build keeps no compile_commands.json (CMAKE_EXPORT_COMPILE_COMMANDS)")
        return SKIPPED
    build = Build(folder)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        originals = sorted({(m.test, m.spec) for m in chosen})
        tried = pool.map(lambda original: try_original(folder, *original), originals)
        limit = dict(zip(originals, tried))
        faults = [f"without any mutant test_{test} on {spec} {how}"
                  for (test, spec), (how, _) in limit.items() if how]
        # Those that hang longest first.
        chosen = sorted(chosen, key=lambda m: -limit[m.test, m.spec][1])
        said = pool.map(lambda m: try_mutant(build, m, limit[m.test, m.spec][1]),
                        [] if faults else chosen)
        said = list(zip(chosen, said))
        for mutant, fault in said:
            # Races show less on a busy machine: once more, with nothing beside it.
            if fault.startswith("survives"):
                fault = try_mutant(build, mutant, limit[mutant.test, mutant.spec][1], MORE_TRIES)
            if fault:
                faults.append(f"{mutant.name}: {fault}")
                print(faults[-1], flush=True)
    print(f"{len(chosen)} mutants, {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
