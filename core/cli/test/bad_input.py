#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, whatever is typed wrong is refused before anything runs, with the way to right it."""
from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
from pathlib import Path

from command import FAULTS, SHUNT, SOURCE, CommandTest, main

COUNT = "a count such as 1000, 10k or 1M"
QUICK = ("run", "ucontext", "yield", "switches=1k", "--iters", "1")


class BadWords(CommandTest):
    def test_commands_and_options(self) -> None:
        self.refused("unknown command 'rnu'; did you mean 'run'? `shunt help` lists them all", "rnu")
        self.refused("unknown command 'zebra'; `shunt help` lists them all", "zebra")
        self.refused("unknown command 'zebra'; `shunt help` lists them all", "help", "zebra")
        self.refused("run has no option --sed; did you mean --seed? See `shunt run --help`",
                     "run", "asm", "yield", "--sed", "3")
        self.refused("run has no option --xyzzy; see `shunt run --help`", "run", "--xyzzy")
        self.refused(f"--iters needs a value: expected {COUNT}", "run", "asm", "yield", "--iters")
        for seed in ("-1", "x", "10k", "", "18446744073709551616"):
            self.refused(f"--seed: '{seed}' is not a valid seed; expected a whole number from 0 to "
                         "18446744073709551615", "run", "asm", "yield", f"--seed={seed}")
        self.refused(f"run: --iters=0 is out of range: expected {COUNT}, 1 to 1M",
                     "run", "asm", "yield", "--iters", "0")
        self.refused("run: --timeout=5 has no unit (ns, us, ms or s): expected a duration such as "
                     "50us, 100ms or 2s, 0 or more", "run", "asm", "yield", "--timeout", "5")
        self.refused("unknown probe 'delay'; the only one is sched_delay (or sched_delay=N, one event in N)",
                     "run", "asm", "yield", "--probe", "delay")
        self.refused(f"run: --probe: sched_delay=0 is out of range: expected {COUNT}, 1 to 1G",
                     "run", "asm", "yield", "--probe", "sched_delay=0")

    def test_names(self) -> None:
        called = self.call("run", "ucontxt", "yield")
        self.assertEqual(called.status, 2)
        self.assertIn("unknown backend 'ucontxt'; did you mean 'ucontext'? There are ", called.err)
        called = self.call("run", "ucontext", "yeild")
        self.assertEqual(called.status, 2)
        self.assertIn("unknown workload 'yeild'; did you mean 'yield'? There are ", called.err)
        self.refused("workload 'absent' is not built: libabsent not found (Debian package "
                     "libabsent-dev)", "run", "ucontext", "absent", status=3, program=FAULTS)
        self.refused("unknown name 'ucontxt'; did you mean 'ucontext'? `shunt list` shows every "
                     "name", "describe", "ucontxt")
        called = self.call("list", "polices")
        self.assertEqual(called.status, 2)
        self.assertIn("unknown kind 'polices'; did you mean 'policies'? There are ", called.err)
        self.refused("run needs a backend and a workload, as in `shunt run asm yield`; `shunt list` shows "
                     "their names", "run", "ucontext")

    def test_settings(self) -> None:
        def refuses(spec: str, *words: str) -> None:
            called = self.call("run", spec, "yield")
            self.assertEqual(called.status, 2, called.err)
            self.assertEqual(called.out, "")
            for word in words:
                self.assertIn(word, called.err)

        refuses("ucontext:wat=futex", "no setting 'wat'", "did you mean 'wait'")
        refuses("ucontext:wait=futx", "wait=futx", "did you mean 'futex'")
        refuses("ucontext:stack.sise=64k", "'stack.sise'", "did you mean 'stack.size'")
        refuses("ucontext:stack.size=1k", "stack.size=1k is out of range", "16k to 1G")
        refuses("ucontext:stack.size=64q", "has an unknown unit", "64k")
        refuses("ucontext:workers=0", "workers=0", "1 to 1024")
        refuses("ucontext:dispatch=inlin", "did you mean inline?", "inline or vtable")
        refuses("ucontext:wait", "'wait' is not a setting; expected KEY=VALUE")
        refuses("ucontext:", "a setting is missing")
        refuses("ucontext:wait=futex,wait=spin", "wait is set twice")

    def test_parameters(self) -> None:
        def refuses(message: str, *words: str) -> None:
            self.refused(message, "run", "ucontext", *words)

        refuses("workload 'yield' has no parameter 'taks'; did you mean 'tasks'? It takes tasks, "
                "switches, sites, depth, sample, form", "yield", "taks=2")
        refuses(f"workload 'yield': tasks=0 is out of range: expected {COUNT}, 1 to 10M",
                "yield", "tasks=0")
        refuses(f"workload 'yield': tasks=-1 is negative: expected {COUNT}, 1 to 10M",
                "yield", "tasks=-1")
        refuses(f"workload 'yield': tasks= is empty: expected {COUNT}, 1 to 10M", "yield", "tasks=")
        refuses("'tasks' is not a parameter; expected KEY=VALUE, as in tasks=1000", "yield", "tasks")
        refuses("the parameter tasks is given twice", "yield", "tasks=2", "tasks=3")
        for text, what in (("99999999999999999999", "is too large"), ("5ms", "has an unknown unit"),
                           ("1.5", "is not a whole number"), ("many", "is not a number")):
            called = self.call("run", "ucontext", "yield", f"switches={text}")
            self.assertEqual(called.status, 2)
            self.assertIn(f"switches={text} {what}: expected {COUNT}", called.err)
        called = self.call("run", "ucontext", "timers", "period=10")
        self.assertIn("period=10 has no unit (ns, us, ms or s)", called.err)
        for text in ("chunk=0", "tasks=0"):
            called = self.call("run", "ucontext", "chunked_sum", text)
            self.assertEqual(called.status, 2)
            self.assertIn(f"{text} is out of range", called.err)
        called = self.call("run", "ucontext", "chunked_sum", "preset=tutoral")
        self.assertEqual(called.status, 2)
        self.assertIn("(did you mean tutorial?)", called.err)

    def test_failures_are_documents_too(self) -> None:
        called = self.call("run", "ucontext", "yield", "tasks=0", "--json")
        self.assertEqual(called.status, 2)
        self.assertEqual(called.json()["error"]["exit"], 2)
        self.assertIn("tasks=0 is out of range", called.json()["error"]["message"])
        self.assertIn("tasks=0 is out of range", called.err)
        for words in (("list", "xyz"), ("describe", "xyz"), ("doctor", "xyz"), ("version", "xyz"),
                      ("trace", "check", "/nonexistent"), ("describe",), ("list", "--xyz")):
            called = self.call(*words, "--json")
            self.assertEqual(called.status, 2, words)
            self.assertEqual(called.json()["error"]["exit"], 2, words)

    def test_words_that_are_no_text(self) -> None:
        """A document is UTF-8 whatever was typed."""
        trace = os.fsencode(self.folder) + b"/t\xff.json"
        for words in ((b"run", b"a\xff", b"yield"), (b"run", b"ucontext", b"yield", b"t\xffsks=3"), (b"list", b"\xff"),
                      (b"run", b"ucontext", b"yield", b"switches=1k", b"--trace", trace), (b"trace", b"check", trace)):
            done = subprocess.run([os.fsencode(SHUNT), *words, b"--json"], capture_output=True, timeout=100)
            document = json.loads(done.stdout.decode("utf-8"))
            if trace in words:
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                self.assertEqual((done.returncode, document["error"]["exit"]), (2, 2), done.stderr)
                self.assertIn("\ufffd", document["error"]["message"])

    def test_a_file_without_a_name(self) -> None:
        for option in ("--record", "--trace"):
            self.refused(f"{option}: the name of the file is empty", "run", "ucontext", "yield", option, "")


class InputFiles(CommandTest):
    def fails(self, path: Path | str, *words: str) -> None:
        kept = self.folder / "record.json"
        called = self.call("run", "ucontext", "chunked_sum", f"input={path}", "--record", kept, "--force")
        self.assertEqual(called.status, 3, called.err)
        record = self.record(kept)
        self.assertEqual(record["status"], "failed")
        for word in words:
            self.assertIn(word, called.err)
            self.assertIn(word, record["reason"])

    def test_what_is_no_input(self) -> None:
        self.fails("/nonexistent", "No such file")
        self.fails(self.folder, "folder")
        empty = self.folder / "empty"
        empty.write_bytes(b"")
        self.fails(empty, "empty")
        text = self.folder / "text.txt"
        text.write_text("1 2\n3 four 5\n")
        self.fails(text, "line 2", "column 3")


class Paths(CommandTest):
    def test_a_record_that_cannot_be_kept(self) -> None:
        self.refused("cannot write the record /nonexistent/x.json: there is no folder /nonexistent; make it with: "
                     "mkdir -p /nonexistent",
                     *QUICK, "--record", "/nonexistent/x.json")
        if os.geteuid() == 0:   # others may not write there anyway
            self.refused("cannot write the record /proc/x.json: the folder /proc takes no new files; choose another",
                         *QUICK, "--record", "/proc/x.json")
        self.refused(f"the record {self.folder} is a folder: name a file in it",
                     *QUICK, "--record", self.folder)
        there = self.folder / "there.json"
        there.write_text("precious")
        self.refused(f"the record {there} exists already: name another file, or replace it with --force",
                     *QUICK, "--record", there)
        self.assertEqual(there.read_text(), "precious")
        called = self.call(*QUICK, "--record", there, "--force")
        self.assertEqual(called.status, 0, called.err)
        self.record(there)
        self.assertEqual([p.name for p in self.folder.glob(".*")], [])

    def test_a_trace_that_cannot_be_kept(self) -> None:
        there = self.folder / "trace.json"
        there.write_text("precious")
        self.refused(f"the trace {there} exists already: name another file", *QUICK, "--trace", there)
        self.assertEqual(there.read_text(), "precious")
        self.refused("cannot write the trace /nonexistent/t.json: there is no folder /nonexistent; make it with: "
                     "mkdir -p /nonexistent",
                     *QUICK, "--trace", "/nonexistent/t.json")

    def test_a_read_only_folder(self) -> None:
        if os.geteuid() == 0:
            self.skipTest("root writes everywhere")
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        called = self.call(*QUICK, "--record", self.folder / "x.json")
        self.assertEqual(called.status, 2)
        self.assertIn(": Permission denied; choose a folder that you may write to", called.err)

    def test_a_limit_on_files_is_told(self) -> None:
        for option, blocks in (("--record", 1), ("--trace", 1), ("--trace", 600)):
            kept = self.folder / "kept.json"
            done = subprocess.run(["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", SHUNT, "run",
                                   "ucontext", "yield", "switches=10k", option, str(kept)],
                                  capture_output=True, text=True, env=self.environment, timeout=100)
            self.assertIn(done.returncode, (2, 3), done.stderr)
            self.assertIn("File too large", done.stderr)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_full_disk_loses_nothing(self) -> None:
        called = self.call(*QUICK, "--record", "/dev/full")
        self.assertEqual(called.status, 3)
        self.assertIn("cannot keep the record: ", called.err)
        self.assertIn("No space left on device", called.err)
        rescued = list(self.folder.glob("shunt-*.json"))
        self.assertEqual(len(rescued), 1)
        self.assertIn(f"the record is in {rescued[0]} instead", called.err)
        self.assertEqual(self.record(rescued[0])["status"], "ok")


class NoRegularFile(CommandTest):
    """What is no file keeps no run waiting, and is not replaced by one."""

    def setUp(self) -> None:
        super().setUp()
        self.pipe = self.folder / "pipe"
        os.mkfifo(self.pipe)
        self.socket = self.folder / "socket"
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.socket))

    def test_read(self) -> None:
        link = self.folder / "link"
        link.symlink_to(self.pipe)
        for path in (self.pipe, self.socket, link, Path("/dev/zero")):
            for words in (("trace", "check", path), ("run", "ucontext", "chunked_sum", f"input={path}"),
                          ("run", "ucontext", "openloop", f"input={path}", "load=1")):
                called = self.call(*words)
                self.assertIn(f"'{path}' is not a regular file", called.err)
                self.assertIn(called.status, (2, 3, 5))

    def test_written(self) -> None:
        for option in ("--record", "--trace"):
            called = self.call(*QUICK, option, self.pipe)
            self.assertEqual(called.status, 3)
            self.assertIn(f"{self.pipe}: nobody reads from it", called.err)
            self.refused(f"the {option[2:]} {self.socket} is a socket, not a regular file: name a file", *QUICK,
                         option, self.socket)
            self.assertTrue(self.pipe.is_fifo() and self.socket.is_socket())

    def test_a_link_to_a_device_stays(self) -> None:
        link = self.folder / "null"
        link.symlink_to("/dev/null")
        self.assertEqual(self.call(*QUICK, "--record", link, "--force").status, 0)
        self.assertTrue(link.is_symlink() and Path("/dev/null").is_char_device())

    def test_a_limit_on_the_size_of_files_names_the_file(self) -> None:
        kept = self.folder / "kept.json"
        called = self.call(*QUICK, "--record", kept,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
        self.assertEqual(called.status, 2)
        self.assertIn(f"cannot write the record {kept}: File too large; raise the limit on the size of files "
                      "(ulimit -f)", called.err)

    def test_the_lab_without_a_python(self) -> None:
        self.environment |= {"SHUNT_PYTHON": "/no/such/python", "SHUNT_LAB": str(SOURCE / "experiments" / "lab")}
        called = self.call("lab", "list")
        self.assertEqual(called.status, 4)
        self.assertIn("SHUNT_PYTHON=/no/such/python", called.err)


class StandardOutput(CommandTest):
    def test_full(self) -> None:
        with open("/dev/full", "w") as full:
            for words in (("list",), ("help",), ("describe", "yield"), QUICK, (*QUICK, "--json")):
                called = self.call(*words, stdout=full)
                self.assertEqual(called.status, 3, words)
                self.assertIn("shunt: standard output: No space left on device", called.err)

    def test_closed(self) -> None:
        kept = self.folder / "kept.json"
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", SHUNT, *QUICK, "--record", str(kept)],
                              stderr=subprocess.PIPE, text=True, timeout=100)
        self.assertEqual(done.returncode, 3)
        self.assertIn("shunt: standard output: ", done.stderr)
        self.assertEqual(self.record(kept)["status"], "ok")

    def test_no_other_file_gets_a_closed_number(self) -> None:
        kept = self.folder / "kept.json"
        words = [SHUNT, "run", "ucontext", "chunked_sum", "preset=tutorial", "--narrate", "--record", str(kept)]
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words], timeout=100)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(self.record(kept)["status"], "ok")

    def test_a_reader_that_left(self) -> None:
        kept = self.folder / "kept.json"
        for words in (("list",), ("help",), (*QUICK, "--record", str(kept)), (*QUICK, "--json")):
            reader, writer = os.pipe()
            os.close(reader)
            called = self.call(*words, stdout=writer)
            os.close(writer)
            self.assertEqual((called.status, called.err), (141, ""), words)
        self.assertEqual(self.record(kept)["status"], "ok")


if __name__ == "__main__":
    main()
