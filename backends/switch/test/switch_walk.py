#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a debugger can walk the stack at every single instruction of a swap.

`switch_walk.py PROGRAM [EMULATOR ...]` runs gdb on switch_walked for each switch and fp and reads
this same file into it; for a cross build, gdb-multiarch on the emulator's debugger socket. Inside
gdb, each swap is stepped through instruction by instruction. At each one the backtrace must be that
of the old context or that of the new one, whole and ended, and the callee-saved registers of its
caller must be those it had when it called, or will have when it is back: CFI that is wrong at one
instruction, in one register, is seen. The C library's own swapcontext is not stepped through; there
only the walk from inside a context is checked.

Exit status: 0, 1 with what was wrong, 77 when there is no debugger to do it.
"""
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

MAIN_SIDE = ["registers_hold", "run_main", "main"]
TASK_SIDE = ["registers_hold", "inner", "middle", "task_entry"]
ENTRIES = ("shunt_switch_entry", "context_begin")    # where contexts begin: of the assembly, of ucontext

REGISTERS = {
    "x86_64": ["rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "rip"],
    "aarch64": [f"x{n}" for n in range(19, 30)] + [f"v{n}" for n in range(8, 16)] + ["sp", "pc"],
    "riscv64": [f"s{n}" for n in range(1, 12)] + ["fp"] + [f"fs{n}" for n in range(12)] + ["sp", "pc"],
}


# ---- inside gdb ----------------------------------------------------------------------------------

def inside() -> None:
    import gdb

    cpu, switch = os.environ["SHUNT_WALK_CPU"], os.environ["SHUNT_WALK_SWITCH"]
    in_assembly = switch.startswith("asm")

    class Wrong(Exception):
        pass

    def value_of(frame: "gdb.Frame", register: str) -> str:
        value = frame.read_register(register)
        if register.startswith("v"):     # the lower half; gdb 13 does not unwind its name d8
            return str(value["d"]["u"][0])
        if value.type.code == gdb.TYPE_CODE_UNION:    # an fs register
            return str(value["double"])
        return str(value) if value.type.code == gdb.TYPE_CODE_FLT else hex(int(value) & (1 << 64) - 1)

    def chain() -> tuple[list[str], "gdb.Frame"]:
        """The names from the swap's caller outward, and the caller's frame."""
        frame, names, caller = gdb.newest_frame(), [], None
        while frame is not None and len(names) < 30:
            name = frame.name() or "??"
            if caller is None and name in ("registers_hold", *ENTRIES):
                caller = frame
            if caller is not None:
                names.append(name)
            frame = frame.older()
        if caller is None:
            raise Wrong("the backtrace does not reach who called the swap")
        return names, caller

    def side(names: list[str]) -> str:
        if names == MAIN_SIDE:
            return "main"
        entry = ENTRIES[0] if in_assembly else ENTRIES[1]
        if names == [*TASK_SIDE, entry]:
            return "task"
        if names == [entry]:
            return "fresh"
        raise Wrong("the backtrace is neither context's: " + " < ".join(names))

    def look() -> tuple[str, dict[str, str]]:
        names, caller = chain()
        return side(names), {name: value_of(caller, name) for name in REGISTERS[cpu]}

    def same(got: dict[str, str], expected: dict[str, str], when: str) -> None:
        for name, value in expected.items():
            if got[name] != value:
                raise Wrong(f"{when}: {name} of the caller is {got[name]}, was {value}")

    def step_through(sides: tuple[str, str]) -> int:
        """From the swap's first instruction until it is back in the other context's caller."""
        old, new = sides
        seen: list[tuple[int, str, dict[str, str]]] = []
        here, before = look()
        if here != old:
            raise Wrong(f"called from {here}, expected {old}")
        for name in REGISTERS[cpu][:-2]:    # nothing has changed yet
            if value_of(gdb.newest_frame(), name) != before[name]:
                raise Wrong(f"at the first instruction {name} is not the caller's")
        while True:
            pc = gdb.newest_frame().pc()
            here, registers = look()
            if gdb.newest_frame().name() in ("registers_hold", *ENTRIES):
                break
            seen.append((pc, here, registers))
            if len(seen) > 2000:
                raise Wrong("the swap does not end")
            gdb.execute("stepi", to_string=True)
        if here != new:
            raise Wrong(f"arrived in {here}, expected {new}")
        after, crossed = registers, False
        for pc, where, registers in seen:
            when = f"{gdb.execute(f'info symbol {pc}', to_string=True).split(' in ')[0]}"
            if where == new:
                crossed = True
                same(registers, after, when)
            elif crossed:
                raise Wrong(f"{when}: back in the old context")
            else:
                same(registers, before, when)
        if not crossed:
            raise Wrong("the new context was never seen from inside the swap")
        return len(seen)

    def run() -> int:
        gdb.execute("set pagination off")
        gdb.execute("set confirm off")
        gdb.execute("set breakpoint pending off")
        gdb.execute("set style enabled off")
        if os.environ.get("SHUNT_WALK_SOCKET"):
            gdb.execute("target remote " + os.environ["SHUNT_WALK_SOCKET"], to_string=True)
            gdb.execute("tbreak main", to_string=True)
            gdb.execute("continue", to_string=True)
        else:
            gdb.execute("tbreak main", to_string=True)
            gdb.execute("run", to_string=True)
        gdb.execute("tbreak run_main", to_string=True)
        gdb.execute("continue", to_string=True)
        swap = int(gdb.parse_and_eval("(unsigned long)walked_swap"))
        gdb.execute(f"break *{swap:#x}", to_string=True)
        turns = [("main", "fresh"), ("task", "main"), ("main", "task"), ("task", "main")]
        steps = 0
        for number, turn in enumerate(turns):
            gdb.execute("continue", to_string=True)
            if gdb.newest_frame().pc() != swap:
                raise Wrong(f"swap {number} was not reached")
            if switch == "ucontext" or not in_assembly and turn[1] == "fresh":
                look()
            else:
                steps += step_through(turn)
        gdb.execute("delete", to_string=True)
        gdb.execute("tbreak walked_all", to_string=True)
        gdb.execute("continue", to_string=True)
        if gdb.newest_frame().name() != "walked_all":
            raise Wrong("the program did not come to its end")
        return steps

    try:
        print(f"walked {run()} instructions")
        status = 0
    except Wrong as wrong:
        print(f"WRONG: {wrong}")
        print(gdb.execute("x/i $pc", to_string=True) + gdb.execute("backtrace 12", to_string=True))
        status = 1
    except gdb.error as error:
        print(f"gdb: {error}")
        status = 77 if "not permitted" in str(error) or "Couldn't get" in str(error) else 1
    gdb.execute("kill", to_string=True) if gdb.selected_inferior().pid else None
    gdb.execute(f"quit {status}")


# ---- outside -------------------------------------------------------------------------------------

def walk(gdb: str, program: str, emulator: list[str], cpu: str, variant: tuple[str, str, str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, SHUNT_WALK_CPU=cpu, SHUNT_WALK_SWITCH=variant[0], LC_ALL="C")
        command = [gdb, "-batch", "-nx", "-x", os.path.abspath(__file__), "--args", program, *variant]
        guest = None
        if emulator:
            socket = os.path.join(folder, "gdb")
            env["SHUNT_WALK_SOCKET"] = socket
            if cpu == "aarch64":    # with SVE, gdb 13 takes v8-v15 for parts of z8-z15 and does not unwind them
                env["QEMU_CPU"] = "cortex-a57"
            guest = subprocess.Popen([emulator[0], "-g", socket, *emulator[1:], program, *variant], env=env,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(3000):
                if os.path.exists(socket) or guest.poll() is not None:
                    break
                time.sleep(0.02)
            command[1:1] = ["-iex", f"set sysroot {emulator[-1]}"]
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        finally:
            if guest:
                guest.kill()
                guest.wait()
    lines = [line for line in done.stdout.splitlines() if "warning" not in line]
    tail = "\n    ".join(lines[-1:] if done.returncode == 0 else lines + done.stderr.splitlines())
    print(f"{' '.join(variant)}: {tail}")
    return done.returncode


def main() -> int:
    program, emulator = sys.argv[1], sys.argv[2:]
    cpu = emulator[0].rsplit("qemu-", 1)[-1] if emulator else platform.machine()
    gdb = shutil.which("gdb-multiarch" if emulator else "gdb")
    if gdb is None or cpu not in REGISTERS or emulator and not shutil.which(emulator[0]):
        print(f"no debugger for {cpu}")
        return 77
    fps = ["full", "mxcsr", "none"] if cpu == "x86_64" else ["full", "none"]
    variants = [(switch, fp, how) for switch in ("asm", "asm-ret") for fp in fps for how in ("swap", "post")]
    variants += [(switch, "full", how) for switch in ("ucontext-nosigmask", "ucontext") for how in ("swap", "post")]
    statuses = {walk(gdb, program, emulator, cpu, variant) for variant in variants}
    return 1 if statuses - {0, 77} else max(statuses)


if __name__ == "__main__":
    try:
        import gdb    # noqa: F401  only there inside gdb
    except ImportError:
        sys.exit(main())
    inside()
