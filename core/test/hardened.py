#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the programs of a build are hardened as core/cmake/flags.cmake says.

    hardened.py READELF BUILD_FOLDER COMPILER PROGRAM…

The mark of indirect branch tracking is looked for in every object of ours. A program has it when all
that is linked into it has it: where the C library's start files lack it, as Debian 12's do, no program can.
"""
from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

READELF, BUILD, COMPILER, *PROGRAMS = sys.argv[1:]
START_FILES = ("Scrt1.o", "crti.o", "crtn.o")


def readelf(flags: str, *files: str | Path) -> str:
    return subprocess.run([READELF, "--wide", *flags.split(), *map(str, files)], capture_output=True,
                          text=True, check=True).stdout


def feature(file: str | Path) -> str:
    """The properties that a file promises to keep: "IBT, SHSTK", "BTI" …"""
    found = re.findall(r"(?:x86|AArch64) feature: (.*)", readelf("--notes", file))
    return ", ".join(found)


def text_relocations(program: str) -> list[str]:
    """Those that the loader writes into a segment that is not writable.

    The flag TEXTREL alone proves none on RISC-V: ld before 2.41 sets it, and leaves empty relocations, for
    every thread-local variable of a position-independent program (binutils PR 22263).
    """
    fixed = [(int(start, 16), int(start, 16) + int(size, 16)) for start, size in re.findall(
        r"LOAD +\S+ (0x\w+) \S+ \S+ (0x\w+) R(?: E|  ) ", readelf("--program-headers", program))]
    assert fixed, program
    return [line for line in readelf("--relocs", program).splitlines()
            if (found := re.match(r"([0-9a-f]{12,}) +\w+ R_(?!\w+_NONE)", line))
            and any(start <= int(found[1], 16) < end for start, end in fixed)]


def is_for(machine: str) -> bool:
    return re.search(rf"Machine: .*{machine}", readelf("--file-header", PROGRAMS[0])) is not None


def objects() -> list[Path]:
    """What is linked into our programs, that has been built."""
    commands = json.loads((Path(BUILD) / "compile_commands.json").read_text(encoding="utf-8"))
    made = []
    for entry in commands:
        words = shlex.split(entry["command"])
        made.append(Path(entry["directory"]) / words[words.index("-o") + 1])
    return [file for file in made if "CMakeFiles/shunt" in str(file) and file.is_file()]


class Hardened(unittest.TestCase):
    def test_every_program_is_bound_at_the_start_and_loaded_anywhere(self) -> None:
        for program in PROGRAMS:
            with self.subTest(program=program):
                self.assertRegex(readelf("--file-header", program), r"Type: +DYN")
                dynamic = readelf("--dynamic", program)
                self.assertRegex(dynamic, r"FLAGS_1\).*NOW.*PIE")
                self.assertNotRegex(dynamic, r"RPATH|RUNPATH")
                if not is_for("RISC-V"):
                    self.assertNotIn("TEXTREL", dynamic)
                self.assertEqual(text_relocations(program), [])
                segments = readelf("--program-headers", program)
                self.assertIn("GNU_RELRO", segments)
                self.assertRegex(segments, r"GNU_STACK .* RW ")
                self.assertNotRegex(segments, r" RWE ")

    def test_every_program_checks_its_stack_and_its_buffers(self) -> None:
        for program in PROGRAMS:
            with self.subTest(program=program):
                symbols = readelf("--symbols --dyn-syms", program)
                self.assertIn("__stack_chk_fail", symbols)
                self.assertRegex(symbols, r"__\w*printf_chk")

    def test_no_frame_of_a_workload_steps_over_a_guard(self) -> None:
        """The compiler probes each page of a large frame, or refuses it."""
        commands = json.loads((Path(BUILD) / "compile_commands.json").read_text(encoding="utf-8"))
        entry = next(entry for entry in commands if entry["file"].endswith("/workloads/yield.c"))
        words = shlex.split(entry["command"])
        words[words.index("-o"):] = ["-x", "c", "-S", "-o", "/dev/null", "-"]

        def compiled(size: int) -> subprocess.CompletedProcess:
            body = f"void take(char *); void frame(void); void frame(void) {{ char a[{size}]; take(a); }}"
            return subprocess.run(words, cwd=entry["directory"], input=body, capture_output=True, text=True)

        small, large = compiled(1000), compiled(84 << 10)
        self.assertEqual(small.returncode, 0, small.stderr)
        if is_for("RISC-V"):
            self.assertNotEqual(large.returncode, 0)
            self.assertIn("is larger than 4096 bytes", large.stderr)
        else:
            self.assertEqual(large.returncode, 0, large.stderr)
            self.assertIn("-fstack-clash-protection", words)

    def test_every_object_marks_where_branches_may_go(self) -> None:
        if not is_for("X86-64"):
            self.skipTest("only x86-64 has indirect branch tracking")
        said = readelf("--notes", *objects()).split("\nFile: ")[1:]
        self.assertGreater(len(said), 50)
        self.assertEqual([text.splitlines()[0] for text in said if "feature: IBT" not in text], [])

    def test_no_program_claims_what_the_switch_does_not_keep(self) -> None:
        """Shadow stacks, which it does not exchange; BTI, under which it could not jump back."""
        for program in PROGRAMS:
            self.assertNotRegex(feature(program), "SHSTK|BTI", program)

    def test_a_program_keeps_the_mark_where_the_library_has_it(self) -> None:
        if not is_for("X86-64"):
            self.skipTest("only x86-64 has indirect branch tracking")
        for name in START_FILES:
            file = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True,
                                  check=True).stdout.strip()
            if "IBT" not in feature(file):
                self.skipTest(f"the C library's {name} has no mark")
        for program in PROGRAMS:
            self.assertIn("IBT", feature(program), program)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
