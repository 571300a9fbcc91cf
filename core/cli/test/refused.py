#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, no refused system call makes a run hang: it ends, or says what was refused.

Each call of the list of refuse.c is refused on each backend, and with each of EPERM, ENOSYS and EINVAL on a
third of them. That is the table of `all`, and `all N` takes one call in N, drawn by SHUNT_SEED or by a seed that
is printed. Without it, the calls that once made runs hang are refused with all three, on three backends.
"""
from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from command import FAULTS, SHUNT, CommandTest, main

REFUSE = os.environ["SHUNT_REFUSE"]
ERRORS = ("EPERM", "ENOSYS", "EINVAL")
HANG_S = 30  # a run ends in a fraction of a second; what hangs does so for good
WORK = ("chunked_sum", "items=1k", "tasks=10", "pause=1ms", "chunk=50", "--iters", "1")
ONCE_HUNG = ("clock_nanosleep", "futex", "ppoll", "poll", "rt_sigprocmask", "sched_getaffinity", "signalfd4",
             "tgkill", "write")
# Beside the backends: every wait slot and every switch that none of them has.
ALL_SPECS = ("null", "asm", "ucontext", "uring", "uring-each", "mn", "threads", "asm:wait=epoll", "asm:wait=spin")
# The loader ends a program that may not do these, before it has begun.
LOADER = ("close", "mprotect", "openat", "read")


def may_abort(call: str) -> tuple[int, ...]:
    """The C library ends a program whose futex is refused, with a message of its own."""
    return (-signal.SIGABRT,) if call == "futex" else ()


def run(filter_: tuple[str, str], *words: str, term_after_s: float = 0) -> tuple[int | None, str]:
    """The exit status, None for a run that hung, and what it printed on standard error."""
    with subprocess.Popen([REFUSE, *filter_, *words], text=True, errors="replace", stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as process:
        if term_after_s:
            time.sleep(term_after_s)
            process.send_signal(signal.SIGTERM)
        try:
            _, err = process.communicate(timeout=HANG_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, process.communicate()[1]
        return process.returncode, err


class Refused(CommandTest):
    calls: tuple[str, ...] = ONCE_HUNG
    specs: tuple[str, ...] = ("asm", "mn", "threads")

    def setUp(self) -> None:
        super().setUp()
        known = subprocess.run([REFUSE, "--list"], text=True, stdout=subprocess.PIPE, check=True).stdout.split()
        self.calls = tuple(call for call in known if call in self.calls or not self.calls)
        if run(("getcpu", "EPERM"), "/bin/true")[0] == 77:
            self.skipTest("no seccomp filter can be set here")

    def judge(self, case: tuple[str, str, str], status: int | None, err: str) -> str:
        """What is wrong with how it ended; empty: nothing."""
        if status is None:
            return "hangs"
        if status == 127 and case[0] in LOADER:
            return ""
        if status not in (0, 3, *may_abort(case[0])):
            return f"status {status}: {err}"
        # Where standard error is refused nobody can say why.
        return "does not say why" if status and not err and case[0] != "write" else ""

    def cases(self) -> list[tuple[str, str, str]]:
        return list(itertools.product(self.calls, ERRORS, self.specs))

    def first_error(self) -> list[tuple[str, str, str]]:
        return list(itertools.product(self.calls, ERRORS[:1], self.specs))

    def table(self, cases: list[tuple[str, str, str]], *words: str, program: str = SHUNT) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ends = pool.map(lambda case: run(case[:2], program, "run", case[2], *words), cases)
            wrong = {case: why for case, (status, err) in zip(cases, ends)
                     if (why := self.judge(case, None if status is None else status, err))}
        self.assertEqual(wrong, {})

    def test_a_run_ends(self) -> None:
        self.table(self.cases(), *WORK, "--timeout", "5s")

    def test_the_timeout_holds(self) -> None:
        self.table(self.first_error(), "stuck", "--timeout", "200ms", program=FAULTS)

    def test_sigterm_holds(self) -> None:
        cases = self.first_error()
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            ends = pool.map(lambda case: run(case[:2], FAULTS, "run", case[2], "stuck", term_after_s=0.3), cases)
            wrong = {case: (status, err) for case, (status, err) in zip(cases, ends)
                     if status not in (3, 143, -signal.SIGTERM, *may_abort(case[0])) and case[0] not in LOADER}
        self.assertEqual(wrong, {})

    def test_what_was_refused_is_named(self) -> None:
        for call, name in (("poll", "poll"), ("signalfd4", "signalfd"), ("rt_sigprocmask", "rt_sigprocmask"),
                           ("pipe2", "pipe2")):
            status, err = run((call, "EPERM"), SHUNT, "run", "asm", *WORK)
            self.assertEqual(status, 3)
            self.assertIn(f"the run cannot be watched: {name}: Operation not permitted", err)
        status, err = run(("sched_getaffinity", "EINVAL"), SHUNT, "run", "asm:workers=all,policy=steal", *WORK)
        self.assertEqual(status, 3)
        self.assertIn("sched_getaffinity: Invalid argument", err)
        self.assertIn("futex: Invalid argument", run(("futex", "EINVAL"), SHUNT, "run", "threads", *WORK)[1])

    def test_a_ring_that_is_refused_is_no_mistake_of_the_user(self) -> None:
        if run(("getcpu", "EPERM"), SHUNT, "run", "uring", *WORK)[0] != 0:
            self.skipTest("no ring can be had here, or in this build")
        for call, said in (("io_uring_setup", "io_uring"), ("io_uring_register", "io_uring"),
                           ("eventfd2", "eventfd: Invalid argument")):
            status, err = run((call, "EINVAL"), SHUNT, "run", "uring", *WORK)
            self.assertEqual(status, 3, call)
            self.assertIn(said, err)


class RefusedAll(Refused):
    calls = ()
    specs = ALL_SPECS
    one_in, seed = 1, int(os.environ.get("SHUNT_SEED") or random.SystemRandom().randrange(1 << 32))

    def setUp(self) -> None:
        super().setUp()
        self.calls = tuple(random.Random(self.seed).sample(self.calls, -(-len(self.calls) // self.one_in)))

    def cases(self) -> list[tuple[str, str, str]]:
        # The error moves on by one with each call and each backend: each pair of the three is there.
        return [(call, ERRORS[(row + column) % len(ERRORS)], spec)
                for row, call in enumerate(self.calls) for column, spec in enumerate(self.specs)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["all"]:
        RefusedAll.one_in = int("".join(sys.argv[2:]) or 1)
        print(f"one call in {RefusedAll.one_in}: SHUNT_SEED={RefusedAll.seed}", flush=True)
        sys.argv[1:] = ["RefusedAll"]
    else:
        del RefusedAll
    main()
