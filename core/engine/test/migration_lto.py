#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, tasks migrate safely when everything is inlined: at -O3 -flto.

migration.c and all that a task calls (the task API, sync objects, engine, policies, switches) are built
anew with the build's own flags plus -O3 -flto, by gcc or by clang, linked as the build links the test,
and run. Then known mistakes are put in, as in mutants.py, and the test must notice each: an address of
the thread's context that compilers may keep, an errno that stays with the thread, control words that
are not saved.

    migration_lto.py BUILD_FOLDER [all]     of the compilers one, drawn by SHUNT_SEED, or all of them
"""
from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutants import ROOT, SKIPPED, TRIES, Build, Mutant, mutate, outcome  # noqa: E402

TEST = "migration"
SPEC = "asm:workers=4,policy=shared,interval=1"
INLINED = ("core/sched.c", "core/join.c", "core/task.h", "core/descriptors.c", "core/sync/", "core/engine/",
           "backends/policy/shared.c", "backends/policy/steal.c",    # those of migration.c
           "backends/switch/", "backends/threads.c", "backends/wait/futex.c")
# How each is asked for it, and what links the result.
LTO = {"gcc": ["-flto=auto"], "clang": ["-flto", "-fuse-ld=lld", "-Wno-unused-command-line-argument"]}

BY_CALL = """#define TASK_CTX()                                                                                 \\
	({                                                                                         \\
		struct shunt_ctx *ctx_ = shunt_current_ctx;"""
KEPT = """static __attribute__((noinline, const)) struct shunt_ctx **ctx_at(void)
{
	struct shunt_ctx **at = &shunt_current_ctx;
	__asm__("" : "+r"(at));
	return at;
}
%s
#define TASK_CTX()                                                                                 \\
	({                                                                                         \\
		struct shunt_ctx *ctx_ = *ctx_at();"""
CACHEABLE = Mutant(
    "the address of the thread's context may be kept over a switch", "core/call.h", BY_CALL,
    KEPT % "#undef TASK_CALL\n#define TASK_CALL", TEST, SPEC, ("core/sched.c", "core/join.c"))
# No mistake either: a compiler may keep the address within one call of the task API.
WITHIN = Mutant("the address may be kept within a call", "core/call.h", BY_CALL, KEPT % "", TEST, SPEC,
                ("core/sched.c", "core/join.c"))
STAYS = Mutant("errno stays with the thread", "core/engine/switch.h",
               "*errno_at = to->saved_errno;\n", "", TEST, SPEC,
               ("backends/policy/shared.c", "core/engine/hooks.c", "core/engine/life.c", "core/engine/loop.c"))
# No mistake in the code but a setting: control words that are not saved must be missed.
BARE = "asm:workers=4,policy=shared,interval=1,switch.fp=none"


@dataclass
class Compiler:
    name: str
    program: str

    def words(self, words: list[str]) -> list[str]:
        """A command of the build, for this compiler at -O3 -flto."""
        at = next(i for i, word in enumerate(words) if "ccache" not in word)
        kept = [w for w in words[at + 1:] if w not in ("-O2", "-Og", "-g", "-g1", "-fuse-ld=lld")]
        return [self.program, *kept, "-O3", *LTO[self.name]]


def units(build: Build) -> list[str]:
    return sorted(s for s in build.compiles
                  if s.startswith(INLINED) and "/test/" not in s and s.endswith(".c"))


def test_unit(build: Build) -> str:
    """migration.c, which is not among the sources that mutants.py knows."""
    import json
    import shlex
    for entry in json.loads((build.folder / "compile_commands.json").read_text()):
        name = os.path.relpath(entry["file"], ROOT)
        if name == f"core/engine/test/{TEST}.c":
            build.compiles[name] = (Path(entry["directory"]), shlex.split(entry["command"]))
            return name
    raise SystemExit(f"migration_lto: this build has no test_{TEST}")


def compile_one(build: Build, compiler: Compiler, source: str, scratch: Path,
                out: Path) -> tuple[Path, Path]:
    directory, words = build.compiles[source]
    words = list(words)
    at = words.index("-o") + 1
    original = directory / words[at]
    new = out / (source.replace("/", "_") + ".o")
    words[at] = str(new)
    copy = scratch / source
    if copy.exists():
        words = [str(copy) if word == str(ROOT / source) else word for word in words]
    command = compiler.words(words)
    subprocess.run([command[0], f"-I{scratch}", *command[1:], "-w"], cwd=directory, check=True)
    return original, new


def link(build: Build, compiler: Compiler, replaced: dict[Path, Path], program: Path) -> None:
    directory, words = build.link_command(TEST)
    there = {os.path.realpath(original): str(new) for original, new in replaced.items()}
    words = [there.get(os.path.realpath(directory / word), word) for word in words]
    words[words.index("-o") + 1] = str(program)
    subprocess.run(compiler.words(words), cwd=directory, check=True)


def noticed(program: Path, spec: str, scratch: Path) -> str:
    """How the test notices it, in the first of several runs that does: on a busy machine tasks move less."""
    how = ""
    for _ in range(TRIES):
        how = how or outcome(program, spec, scratch)
    return how


def try_compiler(build: Build, compiler: Compiler, scratch: Path) -> list[str]:
    """What is wrong; empty: the test passes, and notices every mistake."""
    plain, out = scratch / "plain", scratch / "objects"
    plain.mkdir()
    out.mkdir()
    sources = [*units(build), test_unit(build)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        replaced = dict(pool.map(
            lambda s: compile_one(build, compiler, s, plain, out), sources))
    program = scratch / TEST
    link(build, compiler, replaced, program)
    faults = []
    how = outcome(program, "", scratch)
    print(f"{compiler.name} -O3 -flto: {how or 'passes'}", flush=True)
    if how:
        return [f"at -O3 -flto with {compiler.name} the test {how}"]
    how = noticed(program, BARE, scratch) if os.uname().machine == "x86_64" else "is not tried"
    print(f"{compiler.name}: control words that are not saved: {how or 'not noticed'}", flush=True)
    if not how:
        faults.append(f"{compiler.name}: nobody misses the control words on {BARE}")
    for mutant in (CACHEABLE, STAYS, WITHIN):
        changed, objects = scratch / "changed", scratch / "changed-objects"
        for place in (changed, objects):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        fault = mutate(mutant, changed)
        if fault:
            return [*faults, f"{mutant.name}: {fault}"]
        mutated = dict(compile_one(build, compiler, s, changed, objects)
                       for s in mutant.units or (mutant.file,))
        link(build, compiler, replaced | mutated, program)
        if mutant is WITHIN:
            how = outcome(program, mutant.spec, scratch)
            print(f"{compiler.name}: {mutant.name}: {how or 'passes'}", flush=True)
            if how:
                faults.append(f"{compiler.name}: a call that is inlined into a task's: the test {how}")
            continue
        how = noticed(program, mutant.spec, scratch)
        print(f"{compiler.name}: {mutant.name}: {how or 'survives'}", flush=True)
        if not how:
            faults.append(f"{compiler.name}: {mutant.name}: survives")
    return faults


def main() -> int:
    build = Build(Path(sys.argv[1]).resolve())
    found = [Compiler(name, program) for name in ("gcc", "clang")
             if (program := shutil.which(name))
             and (name == "gcc" or shutil.which("ld.lld"))]
    if shutil.which("clang") and len(found) < 2 and not shutil.which("ld.lld"):
        print("clang is left out: its linker, ld.lld, is not here (package lld)", flush=True)
    if not found:
        print("skipped: neither gcc nor clang with lld is here")
        return SKIPPED
    if sys.argv[2:] != ["all"]:
        seed = int(os.environ.get("SHUNT_SEED") or random.SystemRandom().randrange(1000))
        print(f"of {len(found)} compilers one: SHUNT_SEED={seed}", flush=True)
        found = [found[seed % len(found)]]
    faults = []
    for compiler in found:
        with tempfile.TemporaryDirectory(prefix="shunt-lto-") as folder:
            faults += try_compiler(build, compiler, Path(folder))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
