#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the hot hooks of a program leave no frame of their own above a swap.

    tail_call.py PROGRAM PATTERN [--objdump OBJDUMP] [--frameless PATTERN] [--least N]

PROGRAM is disassembled; every function whose whole name matches PATTERN (a regular expression) is
followed along all its paths, through jumps to other functions too. The swap is reached through a
pointer. So each of these functions must be able to leave by an indirect jump, must give back its
whole stack frame before it does, and must never call through a slot (an offset in a structure) that
any of them jumps through: that would be a swap that comes back to a frame of ours. Functions that
match the pattern of --frameless may not touch the stack pointer on any way from their first
instruction to such a jump of their own. At least N functions must match (1): a pattern that has gone stale is
not a pass.

x86-64, aarch64 and riscv64. Switch tables, which jump indirectly too, are recognised by their jump
through a register that no load from a structure filled. Exit status: 0, 1 with what is wrong, 2.
"""
import argparse
import re
import subprocess
import sys
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cpu:
    """How to read one CPU's instructions, as objdump writes them."""
    tail: re.Pattern[str]      # an indirect jump; group 1 is its operand
    call: re.Pattern[str]      # an indirect call; the same
    branch: re.Pattern[str]    # any direct branch; group 1 is the mnemonic, 2 the target
    always: re.Pattern[str]    # mnemonics of direct branches that are always taken
    leave: re.Pattern[str]     # what does not go on to the next instruction
    frame: re.Pattern[str]     # what changes the stack pointer
    load: str                  # a load of register {} from a slot; `base` and `offset` are its groups
    move: str                  # a copy into register {}; group 1 is where from
    slot: re.Pattern[str]      # an operand that is itself such a slot; group 1 is its offset


X86 = Cpu(
    tail=re.compile(r"(?:notrack |bnd )?jmp\s+\*(\S+)"),
    call=re.compile(r"(?:notrack |bnd )?call\s+\*(\S+)"),
    branch=re.compile(r"(j[a-z]+)\s+([0-9a-f]+)\b"),
    always=re.compile(r"jmp"),
    leave=re.compile(r"(ret|ud2|hlt|(notrack |bnd )?jmp)\b"),
    frame=re.compile(r"(push|pop|enter|leave)|(sub|add|lea|and|mov)\w*\s.*,%rsp$"),
    load=r"mov\s+(?P<offset>0x[0-9a-f]+)?\((?P<base>%(?!rip)\w+)\),{}$",
    move=r"mov\s+(%\w+),{}$",
    slot=re.compile(r"(0x[0-9a-f]+)?\(%(?!rip)\w+\)$"))
AARCH64 = Cpu(
    tail=re.compile(r"br\s+(\w+)"),
    call=re.compile(r"blr\s+(\w+)"),
    branch=re.compile(r"(b|b\.\w+|cbn?z|tbn?z)\s+(?:.*,\s*)?([0-9a-f]+)\b"),
    always=re.compile(r"b$"),
    leave=re.compile(r"(ret|brk|udf|br|b)\b(?!\.)"),
    frame=re.compile(r".*\[sp, #-\d+\]!|.*\[sp\], #\d+|(add|sub|mov)\s+sp,"),
    load=r"ldr\s+{}, \[(?P<base>x\d+)(?:, #(?P<offset>\d+))?\]$",
    move=r"mov\s+{}, (x\d+)$",
    slot=re.compile(r"(?!)()"))
RISCV64 = Cpu(
    tail=re.compile(r"jr\s+(?!ra\b)(\w+)"),
    call=re.compile(r"jalr\s+(\w+)"),
    branch=re.compile(r"(j|b\w+)\s+(?:.*,)?([0-9a-f]+)\b"),
    always=re.compile(r"j$"),
    leave=re.compile(r"(ret|ebreak|unimp|jr|j)\b"),
    frame=re.compile(r"add[iw]?\s+sp,|mv\s+sp,"),
    load=r"ld\s+{},(?P<offset>\d+)\((?P<base>\w+)\)$",
    move=r"mv\s+{},(\w+)$",
    slot=re.compile(r"(?!)()"))
CPUS = {"elf64-x86-64": X86, "elf64-littleaarch64": AARCH64, "elf64-littleriscv": RISCV64}


@dataclass
class Function:
    name: str
    code: list[tuple[int, str]] = field(default_factory=list)    # address, instruction


def disassemble(objdump: str, program: str) -> tuple[Cpu, list[Function]]:
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", program], check=True,
                          capture_output=True, text=True).stdout
    file_format = re.search(r"file format (\S+)", text)
    if not file_format or file_format[1] not in CPUS:
        sys.exit(f"tail_call: cannot read the code of {program}")
    functions: list[Function] = []
    for line in text.splitlines():
        if head := re.match(r"([0-9a-f]+) <(\S+)>:$", line):
            functions.append(Function(head[2]))
        elif (code := re.match(r"\s*([0-9a-f]+):\t(.*)$", line)) and functions:
            instruction = re.sub(r"\s*(# |//|<).*$", "", code[2].replace("addr32 ", "")).replace("\t", " ").strip()
            functions[-1].code.append((int(code[1], 16), instruction))
    return CPUS[file_format[1]], functions


class Program:
    def __init__(self, cpu: Cpu, functions: list[Function]) -> None:
        self.cpu = cpu
        self.functions = functions
        self.place = {address: (function, index) for function in functions
                      for index, (address, _) in enumerate(function.code)}

    def slot_of(self, function: Function, index: int, operand: str) -> str | None:
        """The offset of the slot that an indirect jump or call goes through; None: no slot."""
        if direct := self.cpu.slot.match(operand):
            return direct[1] or "0x0"
        for at in range(index - 1, -1, -1):
            instruction = function.code[at][1]
            if copy := re.match(self.cpu.move.format(re.escape(operand)), instruction):
                operand = copy[1]
            elif load := re.match(self.cpu.load.format(re.escape(operand)), instruction):
                if self.is_address_of_data(function, at, load["base"]):
                    return None
                return hex(int(load["offset"] or "0", 0))
        return None

    @staticmethod
    def is_address_of_data(function: Function, index: int, base: str) -> bool:
        """Is `base` made from the program counter just above? Then the load is from the linker's table."""
        return any(re.match(rf"(adrp|auipc)\s+{base},", code) for _, code in function.code[max(0, index - 3):index])

    def walk(self, start: Function) -> "Ways":
        """Everything that can run from the first instruction of `start` on without a return."""
        ways, seen = Ways(), set()
        work = [(start, 0, False)]
        while work:
            function, index, framed = work.pop()
            if (function.name, index, framed) in seen or index >= len(function.code):
                continue
            seen.add((function.name, index, framed))
            instruction = function.code[index][1]
            if self.cpu.frame.match(instruction):
                framed = True
            if tail := self.cpu.tail.match(instruction):
                slot = self.slot_of(function, index, tail[1])
                if slot is not None:
                    ways.tails.add(slot)
                    if framed and function is start:
                        ways.framed_tails.add(function.code[index][0])
            elif call := self.cpu.call.match(instruction):
                slot = self.slot_of(function, index, call[1])
                if slot is not None:
                    ways.calls.add((slot, function.name, function.code[index][0]))
            branch = self.cpu.branch.match(instruction)
            if branch and (target := self.place.get(int(branch[2], 16))):
                work.append((*target, framed))
            if not (self.cpu.leave.match(instruction) or branch and self.cpu.always.match(branch[1])):
                work.append((function, index + 1, framed))
        return ways


@dataclass
class Ways:
    tails: set[str] = field(default_factory=set)                       # slots jumped through
    framed_tails: set[int] = field(default_factory=set)                # where, after using the stack
    calls: set[tuple[str, str, int]] = field(default_factory=set)      # slots called through, where


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("pattern")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("--frameless", default=r"(?!)")
    parser.add_argument("--least", type=int, default=1)
    arguments = parser.parse_args()

    program = Program(*disassemble(arguments.objdump, arguments.program))
    matched = [function for function in program.functions if re.fullmatch(arguments.pattern, function.name)]
    ways = {function.name: program.walk(function) for function in matched}
    slots = set().union(*(way.tails for way in ways.values())) if ways else set()
    problems = []
    if len(matched) < arguments.least:
        problems.append(f"{len(matched)} functions match {arguments.pattern}, expected at least {arguments.least}")
    for name, way in ways.items():
        if not way.tails:
            problems.append(f"{name}: never leaves by an indirect jump")
        for slot, where, address in sorted(way.calls):
            if slot in slots:
                problems.append(f"{name}: calls through slot {slot} and comes back ({where}, {address:#x})")
        if re.fullmatch(arguments.frameless, name) and way.framed_tails:
            places = ", ".join(hex(address) for address in sorted(way.framed_tails))
            problems.append(f"{name}: uses the stack on its way to the jump at {places}")
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(matched)} functions leave through {', '.join(sorted(slots))}: " + " ".join(sorted(ways)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
