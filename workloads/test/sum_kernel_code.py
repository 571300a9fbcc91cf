#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the compiler has left kernel=overlap its point: loads in address order, no sum in memory.

    sum_kernel_code.py PROGRAM OBJDUMP

The loop over eight numbers is found in the disassembly: the way back that spans the most loads.
Whatever is stored, or loaded from the stack, between its ends is a sum that has no register.
"""
from __future__ import annotations

import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "backends/switch/test"))
from tail_call import disassemble  # noqa: E402

PROGRAM, OBJDUMP = sys.argv[1:]
BYTES = 64          # eight numbers

# Memory operands: AT&T's offset(base), aarch64's [base, #offset].
OPERAND = re.compile(r"(?P<offset>-?(?:0x)?[0-9a-f]+)?\((?P<base>%?\w+)\)"
                     r"|\[(?P<base2>\w+)(?:, #(?P<offset2>-?\d+))?\]")
STORE = re.compile(r"st[rpu]|s[bhwd] |mov\w* %\w+,[^%]*\(|push")
STACK = re.compile(r"%?(sp|rsp|rbp|s0|x29)$")


def loop_of(name: str) -> list[str]:
    cpu, functions = disassemble(OBJDUMP, PROGRAM)
    function = next(f for f in functions if f.name == name)
    at = {address: i for i, (address, _) in enumerate(function.code)}
    best: list[str] = []
    for i, (_, text) in enumerate(function.code):
        branch = cpu.branch.match(text)
        start = at.get(int(branch[2], 16)) if branch else None
        if start is not None and start < i:
            loop = [code for _, code in function.code[start:i + 1]]
            best = max(best, loop, key=lambda code: sum(bool(OPERAND.search(c)) for c in code))
    return best


def touched(loop: list[str]) -> list[tuple[str, str, int]]:
    """Each access to memory: the instruction, its base register and offset."""
    found = []
    for code in loop:
        operand = OPERAND.search(code)
        if operand and not code.startswith(("lea", "nop")):
            offset = int(operand["offset"] or operand["offset2"] or "0", 0)
            found.append((code, operand["base"] or operand["base2"], offset))
    return found


class Overlap(unittest.TestCase):
    def setUp(self) -> None:
        self.loop = loop_of("shunt_sum_overlap")
        self.assertTrue(self.loop)

    def test_sums_stay_in_registers(self) -> None:
        for code, base, _ in touched(self.loop):
            self.assertFalse(STORE.match(code), f"a store in the loop: {code}")
            self.assertFalse(STACK.match(base), f"a sum on the stack: {code}")

    def test_loads_are_in_the_order_of_their_addresses(self) -> None:
        """Within a pair, the two halves of 16 bytes may come in either order."""
        moved, pairs = 0, []
        accesses = {code: offset for code, _, offset in touched(self.loop)}
        for code in self.loop:
            if code in accesses:
                pairs.append((accesses[code] + moved) // 16)
            elif re.match(r"addi?\b.*[$#, ](0x40|64)\b", code):
                moved += BYTES
        self.assertGreaterEqual(len(pairs), 2, self.loop)
        self.assertEqual(pairs, sorted(pairs), self.loop)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
