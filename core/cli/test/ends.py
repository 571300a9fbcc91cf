#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, however a run ends there is a record that says so, and the right exit status."""
from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from command import FAULTS, NOISE, CommandTest, main


def blocks(pid: int, number: signal.Signals) -> bool:
    """Whether a process blocks the signal by now: from then on the watch reads it (signalfd)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


class Ends(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        self.kept = self.folder / "record.json"

    def ends(self, status: int, word: str, reason: str, *words: str,
             backend: str = "ucontext") -> dict[str, Any]:
        called = self.call("run", backend, *words, "--record", self.kept, "--force", program=FAULTS)
        self.assertEqual(called.status, status, called.err)
        record = self.record(self.kept)
        self.assertEqual(record["status"], word)
        self.assertIn(reason, record["reason"])
        self.assertIn(reason, called.err)
        self.assertIn(f"{words[0]} on {backend.partition(':')[0]}: ", called.out)
        self.assertIn("\nRecord    ", called.out)
        return record

    def test_good(self) -> None:
        called = self.call("run", "ucontext", "good", "--record", self.kept, "--arm", "left",
                           "--block", "b7", "--repetition", "3", "--seed", "18446744073709551615", program=FAULTS)
        self.assertEqual((called.status, called.err), (0, ""))
        record = self.record(self.kept)
        self.assertEqual((record["status"], record["arm"], record["block"], record["repetition"]),
                         ("ok", "left", "b7", 3))
        self.assertEqual(record["identity"]["seed"], "18446744073709551615")
        self.assertEqual(record["identity"]["composition"]["switch"], "ucontext")
        self.assertEqual(len(record["iterations"]), 5)
        self.assertEqual(record["warmup"], 1)
        self.assertEqual(record["argv"][1:4], ["run", "ucontext", "good"])
        self.assertLessEqual({"wall_ns", "cpu_ns", "ops_per_s", "ns_per_fault"}, set(record["metrics"]))

    def test_wrong_answer(self) -> None:
        record = self.ends(1, "failed", "wrong answer in warm-up iteration 1 of 1: sum should be 4950 "
                           "and is 4951", "wrong")
        self.assertEqual(record["checks"], [
            {"name": "sum", "expected": "4950", "actual": "4951", "ok": False}])
        self.assertNotIn("metrics", record)

    def test_failed(self) -> None:
        self.ends(3, "failed", "the ball is under the sofa", "lost")

    def test_two_runs_in_virtual_time_are_compared(self) -> None:
        words = ("--check-determinism", "--iters", "2")
        same = self.call("run", "sim:workers=3", "openloop", "requests=200", *words, "--record", self.kept,
                         program=FAULTS)
        self.assertEqual(same.status, 0, same.err)
        hash_of = self.record(self.kept)["facts"]["sim.hash"]
        self.assertIn(f"\nAgain     the same events in a second run; their hash is {hash_of}\n", same.out)
        said = self.call("run", "sim", "moody", *words, program=FAULTS).err
        self.assertRegex(said, r"^shunt: not deterministic: the events of two runs have the hashes \w{16} and \w{16}; ")
        self.assertRegex(said, r"traced, they differ first in event \d+: run_end exit of task 1 on worker 0 at [\d.]+"
                         " us, and run_end exit ")
        self.refused("--check-determinism needs virtual time, as the backend sim has: in real time no two runs are "
                     "alike", "run", "ucontext", "good", *words, program=FAULTS)

    def test_deadlock_names_its_tasks(self) -> None:
        record = self.ends(3, "failed", "deadlock in warm-up iteration 1 of 1: ", "deadlock")
        for word in ("philosopher", "stranger", "mutex"):
            self.assertIn(word, record["reason"])

    def test_beyond_memory(self) -> None:
        self.ends(3, "skipped", "needs at least 1073741824.0 GiB", "huge")

    def test_beyond_descriptors(self) -> None:
        done = self.call("run", "threads", "echo", "connections=1000", "requests=1000",
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
        self.assertEqual(done.status, 3, done.err)
        self.assertRegex(done.err, r"needs \d+ descriptors at once, and this process may open 200: "
                                   r"run `ulimit -n \d+` before it, as root")

    def test_stack_overflow_names_its_task(self) -> None:
        if "-fsanitize" in self.call("version", "--json").json()["flags"]:
            self.skipTest("a sanitizer keeps its own handler")
        for backend in ("ucontext", "threads"):
            record = self.ends(3, "failed", "stack overflow in task", "overflow", backend=backend)
            self.assertIn("digger", record["reason"])
            self.assertIn(f"{backend}:stack.size", record["reason"])

    def test_the_end_of_a_thread_names_its_task(self) -> None:
        if "-fsanitize" in self.call("version", "--json").json()["flags"]:
            self.skipTest("a sanitizer does not survive the unwinding of a task's stack")
        for backend in ("ucontext", "asm", "asm:workers=2,policy=steal", "threads"):
            record = self.ends(3, "failed", "task 1 ('quitter') has ended the thread", "quitting",
                               backend=backend)
            self.assertIn("pthread_exit", record["reason"])

    def test_stack_overflow_is_recorded_where_nothing_can_be_said(self) -> None:
        if "-fsanitize" in self.call("version", "--json").json()["flags"]:
            self.skipTest("a sanitizer keeps its own handler")
        with open("/dev/full", "w", encoding="ascii") as full:
            called = subprocess.run([FAULTS, "run", "ucontext", "overflow", "--record", self.kept],
                                    stdout=subprocess.DEVNULL, stderr=full, env=self.environment, timeout=50)
        self.assertEqual(called.returncode, 3)
        self.assertIn("stack overflow in task", self.record(self.kept)["reason"])

    def test_a_crash_is_told(self) -> None:
        if "-fsanitize" in self.call("version", "--json").json()["flags"]:
            self.skipTest("a sanitizer keeps its own handlers")
        self.ends(3, "failed", "crashed: SIGSEGV at address 0x40, in warm-up iteration 1 of 1", "fallen")

    def test_a_panic_is_told(self) -> None:
        self.ends(3, "failed", "aborted: standard error says why, in warm-up iteration 1 of 1", "misused")

    def times_out(self, where: str, *words: str) -> dict[str, Any]:
        """Out of time there; a busy machine may not get as far in the shortest of times."""
        for limit in ("200ms", "2s", "20s"):
            record = self.ends(3, "timeout", f"not done after {limit}, ", *words, "--timeout", limit)
            if record["reason"].endswith(where):
                break
        self.assertTrue(record["reason"].endswith(where), record["reason"])
        return record

    def test_timeout_in_a_computation(self) -> None:
        self.times_out("in warm-up iteration 1 of 1", "stuck")

    def test_what_was_measured_stays(self) -> None:
        record = self.times_out("in iteration 1 of 5", "stuck", "warm=1")
        self.assertEqual(record["warmup"], 1)
        self.assertIn("cold_wall_ns", record)

    def test_a_timeout_at_any_moment_says_where(self) -> None:
        for ms in range(1, 40, 8):
            record = self.ends(3, "timeout", f"not done after {ms}ms, in ", "stuck", "warm=1", "--timeout",
                               f"{ms}ms")
            self.assertRegex(record["reason"], "in (the preparation|the calibration|set-up|"
                                               "warm-up iteration 1 of 1|iteration 1 of 5)$")

    def interrupt(self, number: signal.Signals, *words: str) -> tuple[int, str, str]:
        run = subprocess.Popen([FAULTS, "run", "ucontext", "stuck", "--narrate", *words], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)
        try:
            stream = run.stderr if "--json" in words else run.stdout
            assert stream
            while (line := stream.readline()) and NOISE.match(line):
                pass
            self.assertEqual(line, "stuck\n")
            time.sleep(0.05)
            run.send_signal(number)
            out, err = run.communicate(timeout=100)
        finally:
            run.kill()
        return run.returncode, out, err

    def test_interrupted(self) -> None:
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
                               (signal.SIGXCPU, 152)):
            code, out, err = self.interrupt(number, "--record", str(self.kept), "--force")
            self.assertEqual(code, status)
            record = self.record(self.kept)
            self.assertEqual(record["status"], "interrupted")
            self.assertEqual(record["reason"], f"{number.name}, in iteration 1 of 1")
            self.assertIn("stuck on ucontext: interrupted", out)
            self.assertIn(number.name, err)

    def test_what_is_ignored_at_the_start_stays_ignored(self) -> None:
        words = [FAULTS, "run", "ucontext", "stuck", "--narrate", "--timeout", "3s"]
        with subprocess.Popen(["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", *words], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment) as run:
            assert run.stdout
            self.assertEqual(run.stdout.readline(), "stuck\n")
            run.send_signal(signal.SIGHUP)
            run.send_signal(signal.SIGINT)
            self.assertIn("not done after 3s", run.communicate(timeout=100)[1])
        self.assertEqual(run.returncode, 3)

    def test_a_machine_that_does_not_answer_ends_by_timeout_and_signal(self) -> None:
        self.environment["SHUNT_GATHER_STUCK"] = "1"
        words = ("run", "ucontext", "good")
        called = self.call(*words, "--timeout", "100ms", program=FAULTS)
        self.assertEqual(called.status, 3)
        self.assertIn("not done after 100ms, in the preparation", called.err)
        with subprocess.Popen([FAULTS, *words], stderr=subprocess.PIPE, env=self.environment) as run:
            self.wait_for(lambda: blocks(run.pid, signal.SIGTERM), "the watch")
            run.send_signal(signal.SIGTERM)
            self.assertIn(b"SIGTERM, in the preparation", run.communicate(timeout=100)[1])

    def test_a_wrong_clock_is_a_caveat(self) -> None:
        self.environment["SHUNT_CLOCK_WRONG"] = "1"
        called = self.call("run", "ucontext", "good", "--record", self.kept, program=FAULTS)
        self.assertEqual(called.status, 0, called.err)
        record = self.record(self.kept)
        if record["clock"]["source"] == "monotonic":
            self.skipTest("the counter is not used here")
        self.assertIn("went wrong by 93 %", " ".join(record["caveats"]))

    def test_service_that_took_longer_than_asked_for_is_a_caveat(self) -> None:
        self.environment["SHUNT_WORK_SLOW"] = "1"
        called = self.call("run", "ucontext", "openloop", "requests=100", "mean=50us", "load=0.2", "--iters", "1",
                           "--record", self.kept, program=FAULTS)
        self.assertEqual(called.status, 0, called.err)
        record = self.record(self.kept)
        ratio = record["metrics"]["service_ratio"]["value"]
        self.assertGreaterEqual(ratio, 1.45)
        said = f"requests took {ratio:.2f} times the service asked for"
        self.assertIn(said, " ".join(record["caveats"]))
        self.assertIn(said, " ".join(called.out.split()))

    def test_interrupted_with_json_is_one_document(self) -> None:
        code, out, _ = self.interrupt(signal.SIGINT, "--json")
        self.assertEqual(code, 130)
        record = json.loads(out)
        self.sound(record)
        self.assertEqual(record["status"], "interrupted")

    def test_interrupted_on_a_full_disk(self) -> None:
        code, _, err = self.interrupt(signal.SIGTERM, "--record", "/dev/full")
        self.assertEqual(code, 143)
        self.assertIn("No space left on device", err)
        rescued = list(self.folder.glob("shunt-*.json"))
        self.assertEqual(len(rescued), 1)
        self.assertEqual(self.record(rescued[0])["status"], "interrupted")


class Strict(CommandTest):
    def test_strict_agrees_with_the_doctor(self) -> None:
        findings = self.call("doctor", "--json").json()["findings"]
        noisy = [f["name"] for f in findings if f["level"] == "noise"]
        called = self.call("run", "ucontext", "good", "--strict", program=FAULTS)
        if called.status == 4:
            self.assertIn("refused by --strict: ", called.err)
            self.assertEqual(called.out, "")
        else:
            self.assertEqual(called.status, 0, called.err)
            # The load may have gone since.
            self.assertIn(noisy, ([], ["load"]))


if __name__ == "__main__":
    main()
