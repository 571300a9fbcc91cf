#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, what is shown is true, fits 80 columns, and is one document where JSON is asked for."""
from __future__ import annotations

import ctypes
import errno
import json
import os
import pty
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

from command import SHUNT, CommandTest, main


def forbid(number: int) -> None:
    """Has the kernel refuse a system call to this process and those it becomes, with EPERM."""
    code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x00050000 | errno.EPERM,
                       0x06, 0, 0, 0x7FFF0000)
    text = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(text)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program):
        raise OSError(ctypes.get_errno(), "no filter can be set")


QUICK = ("run", "ucontext", "yield", "switches=10k", "--iters", "2")


class Shown(CommandTest):
    def fits(self, text: str) -> None:
        for line in text.split("\n"):
            self.assertLessEqual(len(line), 80, line)
            self.assertNotRegex(line, "[\x00-\x1f\x7f]")

    def ok(self, *words: str) -> str:
        called = self.call(*words)
        self.assertEqual((called.status, called.err), (0, ""), words)
        return called.out

    def test_help(self) -> None:
        for words in (("help",), ("--help",), ("run", "--help"), ("help", "run"), ("list", "-h"),
                      ("describe", "--help"), ("trace", "--help"), ("doctor", "--help"),
                      ("version", "--help"), ("help", "lab")):
            text = self.ok(*words)
            self.fits(text)
            self.assertIn("Usage: shunt", text)
        # Wherever this was built: the tree's own lab.
        self.environment["SHUNT_LAB"] = str(Path(__file__).parents[3] / "experiments" / "lab")
        self.fits(self.ok("lab", "--help"))
        self.assertEqual(self.ok("help", "run"), self.ok("run", "--help"))
        self.assertEqual(self.ok("help"), self.ok("--help"))

    def test_list_and_describe_agree(self) -> None:
        self.fits(self.ok("list"))
        listed = json.loads(self.ok("list", "--json"))
        self.assertEqual(list(listed), ["backends", "workloads", "switches", "waits", "timers", "policies",
                                        "places", "ios"])
        for plural, plugins in listed.items():
            self.assertEqual(json.loads(self.ok("list", plural, "--json")), {plural: plugins})
            for plugin in plugins:
                text = self.ok("describe", plugin["name"])
                self.fits(text)
                self.assertIn(plugin["name"], text)
                found = json.loads(self.ok("describe", plugin["name"], "--json"))["found"]
                self.assertIn(plugin["name"], {one["name"] for one in found})
                self.assertEqual(plugin["built"], "summary" in plugin)
                self.assertEqual(plugin["available"], "why" not in plugin)

    def test_every_parameter_is_described(self) -> None:
        for workload in json.loads(self.ok("list", "workloads", "--json"))["workloads"]:
            described = self.ok("describe", "workload", workload["name"])
            document = json.loads(self.ok("describe", "workload", workload["name"], "--json"))["found"][0]
            for parameter in document["parameters"]:
                self.assertIn(f"  {parameter['name']}=", described)
                self.assertTrue(parameter["help"], parameter["name"])

    def test_spec(self) -> None:
        text = self.ok("describe", "spec")
        self.fits(text)
        self.assertIn('SPEC    = BACKEND [ ":" SETTING { "," SETTING } ]', text)
        self.assertIn("stack.size=64k", text)

    def test_a_spec_is_resolved(self) -> None:
        spec = "ucontext:workers=3,policy=shared,stack.size=32k"
        text = self.ok("describe", spec)
        self.fits(text)
        for words in ("workers=3", "stack.size=32768", "policy=shared", "place.worker2="):
            self.assertIn(words, text)
        document = json.loads(self.ok("describe", spec, "--json"))
        self.assertEqual(document["composition"]["workers"], "3")
        self.assertIn("place.worker2", document["facts"])
        self.assertIn("parallel", document["can"])
        for wrong, near in (("ucontext:wurkers=3", "workers"), ("ucontext:workers=0", "from 1"),
                            ("nonesuch:workers=2", "nonesuch")):
            called = self.call("describe", wrong)
            self.assertEqual(called.status, 2, called.err)
            self.assertIn(near, called.err)

    def test_another_machine_is_planned(self) -> None:
        if not any(p["name"] == "core" and p["built"] for p in
                   json.loads(self.ok("list", "places", "--json"))["places"]):
            self.skipTest("no hwloc")
        spec = "ucontext:workers=all,policy=steal,place=core,place.topology=pack:2 core:2 pu:2"
        facts = json.loads(self.ok("describe", spec, "--json"))["facts"]
        self.assertEqual([facts[f"place.worker{i}"] for i in range(4)], ["0", "2", "4", "6"])
        self.assertEqual(facts["place.binding"], "planned")
        called = self.call("run", spec, "yield")
        self.assertEqual(called.status, 3)
        self.assertIn("shunt describe SPEC", called.err)

    def test_slack_says_why(self) -> None:
        about = self.ok("describe", "spec").partition("  wait.slack=")[2].partition("\n  wait.spin=")[0]
        self.assertIn("Give all that you compare the same", " ".join(about.split()))

    def test_a_ring_that_is_refused_is_told_everywhere(self) -> None:
        """A filter as in many containers: named by list, describe, doctor and run, and nothing runs instead."""
        waits = json.loads(self.ok("list", "waits", "--json"))["waits"]
        rings = [wait["name"] for wait in waits if wait["name"].startswith("uring") and wait["available"]]
        if not rings:
            self.skipTest("no io_uring here")
        for number, call in ((425, "io_uring_setup"), (426, "io_uring_enter"), (427, "io_uring_register")):
            def without(*words: str, number: int = number) -> Any:
                return self.call(*words, preexec_fn=lambda: forbid(number))

            for wait in json.loads(without("list", "waits", "--json").out)["waits"]:
                if wait["name"] in rings:
                    self.assertFalse(wait["available"])
                    self.assertIn(call, wait["why"])
                    self.assertIn("seccomp", wait["why"])
                else:
                    self.assertNotIn("why", wait)
            for words in (("list",), ("doctor",), ("describe", "uring")):
                called = without(*words)
                self.fits(called.out)
                self.assertIn("seccomp", called.out, words)
            findings = {one["name"]: one for one in json.loads(without("doctor", "--json").out)["findings"]}
            self.assertEqual(findings["io_uring"]["value"], "refused" if number == 425 else "allowed")
            called = without("run", f"ucontext:wait={rings[0]}", "timers", "tasks=2", "sleeps=1")
            self.assertEqual(called.status, 3)
            self.assertIn("skipped", called.out)
            self.assertIn("seccomp", called.err)

    def test_doctor_and_version(self) -> None:
        self.fits(self.ok("doctor"))
        document = json.loads(self.ok("doctor", "--json"))
        self.assertLessEqual({"plugins", "workers", "findings", "facts"}, set(document))
        allowed = len(os.sched_getaffinity(0))
        for place, offer in document["workers"].items():
            self.assertIn(offer["workers"], range(1, allowed + 1), place)
            self.assertRegex(offer["cpus"], r"^any of \d+ allowed$" if place == "none" else r"^\d+( \d+)*$")
        self.fits(self.ok("version"))
        version = json.loads(self.ok("version", "--json"))
        self.assertRegex(version["build_id"], "^[0-9a-f]{40}$")

    def test_report(self) -> None:
        text = self.ok(*QUICK)
        self.fits(text)
        self.assertTrue(text.startswith("yield on ucontext: ok\n"))
        for label in ("Work", "Backend", "Answer", "Time", "Rate", "Cost", "Latency", "Counted", "Kernel",
                      "Record", "Repeat"):
            self.assertRegex(text, rf"(?m)^{label} ")
        self.assertRegex(text, r"(?m)^Answer +correct in all 3 iterations\n +yields +10,000$")
        self.assertIn("switches=10k", text)
        self.assertRegex(text, r"(?m)^Processor (not counted: [^\n]+|.+ for each operation, in user mode)\n(?! )")

    def test_the_report_in_the_readme(self) -> None:
        """What does not depend on the machine: its work, its backend, its answer, its counts."""
        root = Path(__file__).parents[3]
        shown = (root / "README.md").read_text().partition("$ build/release/shunt run asm yield\n")[2]
        here = self.call("run", "asm", "yield")
        if here.status:
            self.skipTest(here.err)     # no switch in assembly for this processor

        def fixed(text: str) -> list[str]:
            parts = re.split(r"\n(?=\w)", text.partition("\n```")[0])
            kept = ("yield on", "Work", "Backend", "Answer", "Also", "Counted")
            return [" ".join(part.split()) for part in parts if part.startswith(kept)]

        # What the kernel can, and how often a worker looked around, which depends on the ticker.
        varies = r"(slow_visits|fence|guard)[ =]\S+"
        mine, its = (re.sub(varies, r"\1", "|".join(fixed(text))) for text in (here.out, shown))
        self.assertGreater(len(fixed(shown)), 5)
        self.assertEqual(mine, its)

    def test_the_workers_of_a_run(self) -> None:
        for workers, shows in ((2, r"switches [\d,]+\|[\d,]+, ended "),
                               (12, r"switches [\d,]+\.\.[\d,]+\.\.[\d,]+,")):
            kept = self.folder / f"{workers}.json"
            text = self.ok("run", f"ucontext:workers={workers},policy=shared", "yield", "tasks=40",
                           "switches=10k", "--iters", "2", "--record", kept)
            self.fits(text)
            self.assertRegex(text, rf"(?m)^Workers +{shows}")
            self.assertEqual("(least..middle..most of 12)" in " ".join(text.split()), workers == 12)
            counters = self.record(kept)["counters"]
            each = [counters[f"worker{i}.switches"] for i in range(workers)]
            self.assertNotIn(f"worker{workers}.switches", counters)
            self.assertEqual(sum(each), counters["switches"])
            self.assertEqual(sum(counters[f"worker{i}.ended"] for i in range(workers)), counters["ended"])
        self.assertNotIn("Workers", self.ok(*QUICK))

    def test_the_command_that_repeats_it_does(self) -> None:
        kept = self.folder / "a record.json"
        text = self.ok(*QUICK, "--seed", "5", "--record", str(kept))
        command = text[text.index("\nRepeat") + len("\nRepeat"):].replace("\n", " ")
        self.assertNotIn("--record", command)
        again = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=100)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("seed=5", again.stdout)

    def test_json_is_the_record(self) -> None:
        kept = self.folder / "kept.json"
        called = self.call(*QUICK, "--json", "--record", kept)
        self.assertEqual((called.status, called.err), (0, ""))
        # The checksum is of a file's bytes, and so only in a file.
        self.assertEqual(called.json(), {k: v for k, v in self.record(kept).items() if k != "sha256"})
        record = called.json()
        self.assertEqual(record["metrics"]["wall_ns"]["value"],
                         sum(i["wall_ns"] for i in record["iterations"]) // 2)
        self.assertEqual(record["identity"]["params"]["switches"], "10000")

    def test_quantiles_need_samples(self) -> None:
        text = self.ok("run", "ucontext", "timers", "tasks=2", "sleeps=10", "period=100us", "--iters", "1")
        row = next(line for line in text.split("\n") if line.startswith("  lateness "))
        self.assertRegex(row, r"^  lateness +20 +\S+ \S+ +n/a +n/a +n/a +\S+ \S+$")
        self.assertIn("n/a: too few samples", text)

    def test_the_lag_of_a_generator_that_is_a_task_is_a_caveat(self) -> None:
        for slack in ("5ms", "1ns"):
            kept = self.folder / f"{slack}.json"
            text = " ".join(self.ok("run", f"asm:wait=futex,wait.slack={slack}", "openloop", "requests=60",
                                    "mean=10us", "load=0.02", "--warmup", "0", "--iters", "1", "--record",
                                    str(kept)).split())
            metrics = self.record(kept)["metrics"]
            self.assertNotIn("response_p99_ns", metrics)
            late = metrics["lag_mean_ns"]["value"] > 0.1 * metrics["response_mean_ns"]["value"]
            self.assertEqual("the generator lagged: its mean" in text, late, text)

    def test_the_tutorial(self) -> None:
        words = ("run", "ucontext", "chunked_sum", "preset=tutorial", "--narrate")
        text = self.ok(*words)
        story = re.findall(r"(?m)^([AB]) (start|stops)", text)
        self.assertEqual(story, [("A", "start"), ("A", "stops"), ("B", "start"), ("B", "stops")] * 2)
        self.assertIn("A result 4950\nB result 14950\n\nchunked_sum on ucontext: ok\n", text)
        called = self.call(*words, "--json")
        self.assertEqual(called.status, 0)
        self.assertEqual(called.json()["status"], "ok")
        self.assertIn("A result 4950\n", called.err)

    def test_probe(self) -> None:
        record = json.loads(self.ok(*QUICK, "--probe", "sched_delay=10", "--json"))
        self.assertGreater(int(record["series"]["sched_delay"]["count"]), 1000)
        self.assertEqual(record["probes"]["sched_delay"]["every"], 10)
        self.assertGreater(record["probes"]["sched_delay"]["cost_ns"], 0)
        self.assertNotIn("sched_delay", json.loads(self.ok(*QUICK, "--json"))["series"])

    def test_trace(self) -> None:
        trace, damaged = self.folder / "trace.json", self.folder / "damaged.json"
        text = self.ok("run", "ucontext", "yield", "switches=1k", "--iters", "2", "--trace", str(trace))
        self.assertRegex(" ".join(text.split()), r"holds \S+ events of one extra iteration. It took \S+ \S+, "
                         r"and \S+ \S+ without tracing \(\S+ times\). One event costs ")
        self.fits(text)
        checked = self.call("trace", "check", trace)
        self.assertEqual(checked.status, 0, checked.out)
        self.fits(checked.out)
        checked = self.call("trace", "check", trace, "--json")
        self.assertEqual(checked.json()["verdict"], "closes")
        self.assertGreater(checked.json()["runs"], 1000)
        refused = self.call("run", "threads", "yield", "switches=1k", "--trace", self.folder / "no.json")
        self.assertEqual(refused.status, 3)
        self.assertIn("yield on threads: skipped: backend 'threads' keeps no trace", refused.err)
        self.assertFalse((self.folder / "no.json").exists())
        damaged.write_text(trace.read_text()[:-40])
        self.assertEqual(self.call("trace", "check", damaged).status, 5)

    def test_colour_on_a_terminal_alone(self) -> None:
        def on_a_terminal(**environment: str) -> str:
            master, slave = pty.openpty()
            child = subprocess.Popen([SHUNT, "help"], stdout=slave, stderr=slave,
                                     env={**os.environ, "TERM": "xterm", **environment})
            os.close(slave)
            text = b""
            try:
                while more := os.read(master, 65536):
                    text += more
            except OSError:
                pass  # the other end is gone: all of it was read
            os.close(master)
            self.assertEqual(child.wait(timeout=100), 0)
            return text.decode()

        os.environ.pop("NO_COLOR", None)
        self.assertIn("\033[1m", on_a_terminal())
        self.assertNotIn("\033", on_a_terminal(NO_COLOR="1"))
        self.assertNotIn("\033", on_a_terminal(TERM="dumb"))
        self.assertNotIn("\033", self.ok("help"))

    def test_redacted(self) -> None:
        kept = self.folder / "kept.json"
        self.ok(*QUICK, "--redact", "--record", str(kept))
        record = self.record(kept)
        self.assertNotIn(str(self.folder), json.dumps(record))


if __name__ == "__main__":
    main()
