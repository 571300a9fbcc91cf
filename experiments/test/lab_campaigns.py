# SPDX-License-Identifier: MIT
# Whatever ends a campaign, nothing finished is lost, nothing half-written is read, and it resumes.
"""Tests of the lab as a program, with a driver that measures nothing (fake_shunt.py)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
FAKE = HERE / "fake_shunt.py"
sys.path.insert(0, str(HERE.parent))
try:
    import tomllib  # noqa: F401
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)

from shuntlab import campaign, journal, locks, process, records, runner

HEAD = 'question = "?"\nexpectation = "!"\nrepetitions = {n}\ntimeout = "{t}"\nbackends = [{b}]\n'
TAIL = '[[workload]]\nname = "yield"\n[workload.params]\ntasks = [2, 100]\n'


ALONE = """import sys; sys.path.insert(0, sys.argv[1])
from shuntlab import cli, locks
locks.MachineLock.NAME += sys.argv[2]
sys.exit(cli.main(sys.argv[3:]))"""


class Lab(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.out = self.root / "campaign"
        self.log = self.root / "log"
        self.ready = self.root / "log.ready"
        self.gate = self.root / "gate"

    def experiment(self, backends="asm ucontext", n=2, timeout="20s", more="") -> Path:
        file = self.root / "demo.toml"
        names = ", ".join(f'"{b}"' for b in backends.split())
        file.write_text(HEAD.format(n=n, t=timeout, b=names) + more + TAIL)
        return file

    def environment(self, **more) -> dict[str, str]:
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "SHUNT_BIN": str(FAKE), "FAKE_LOG": str(self.log),
                "SHUNT_PYTHON": sys.executable, **{k: str(v) for k, v in more.items()}}

    def command(self, *words, alone=False) -> list[str]:
        """A command of the lab; the machine's lock is not taken: other tests run meanwhile."""
        if alone:       # with a machine of its own to lock
            return [sys.executable, "-c", ALONE, str(HERE.parent), str(self.root), *map(str, words)]
        return [str(LAB), *map(str, words), *["--concurrent"] * (words[0] == "run")]

    def lab(self, *words, code=0, alone=False, **environment) -> subprocess.CompletedProcess:
        done = subprocess.run(self.command(*words, alone=alone), capture_output=True, text=True,
                              env=self.environment(**environment), timeout=200)
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *words, alone=False, **environment) -> subprocess.Popen:
        child = subprocess.Popen(self.command(*words, alone=alone), stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True,
                                 env=self.environment(**environment))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def wait_for(self, test, what="something"):
        deadline = time.monotonic() + 100
        while not test():
            self.assertLess(time.monotonic(), deadline, f"waited for {what}")
            time.sleep(0.02)

    def slow_run(self) -> int:
        """The process of a slow run that goes on until there is a gate; three at least are done before it."""
        self.wait_for(lambda: self.log.exists() and len(self.runs()) > 3 and ".slow" in self.runs()[-1],
                      "a slow run")
        return int(self.log.read_text().split()[-1])

    def names(self) -> list[str]:
        return sorted(f.name for f in campaign.record_files(self.out))

    def runs(self) -> list[str]:
        """block.arm of every run that was started, in order."""
        return [".".join(line.split()[:2]) for line in self.log.read_text().splitlines()]

    def snapshot(self) -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in campaign.record_files(self.out)}


class Runs(Lab):
    def test_one_process_and_one_file_a_run(self):
        self.lab("run", self.experiment(), "--out", self.out)
        loaded = campaign.load_campaign(self.out)
        self.assertEqual(len(loaded.records), loaded.expected())
        self.assertEqual(loaded.expected(), 2 * 2 * 3)
        self.assertEqual(loaded.problems, [])
        pids = [line.split()[2] for line in self.log.read_text().splitlines()]
        self.assertEqual(len(set(pids)), 12)
        planned = [f"{b['id']}.{arm}" for b in loaded.plan["blocks"] for arm in b["order"]]
        self.assertEqual(self.runs(), planned)

    def test_the_same_work_in_every_arm_of_a_block(self):
        self.lab("run", self.experiment(), "--out", self.out)
        seeds: dict[str, set] = {}
        for r in campaign.load_campaign(self.out).records:
            seeds.setdefault(r["block"], set()).add(r["identity"]["seed"])
        self.assertEqual([len(s) for s in seeds.values()], [1] * 4)
        self.assertEqual(len(set.union(*seeds.values())), 4)

    def test_a_second_run_does_nothing(self):
        file = self.experiment()
        self.lab("run", file, "--out", self.out)
        before = self.snapshot()
        done = self.lab("run", file, "--out", self.out)
        self.assertIn("0 runs to do, 12 already done", done.stderr)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(len(self.runs()), 12)

    def test_every_run_is_confined_to_the_same_cpus(self):
        first = min(os.sched_getaffinity(0))
        self.lab("run", self.experiment(), "--out", self.out, "--cpus", first)
        for r in campaign.load_campaign(self.out).records:
            self.assertEqual(r["counters"]["cpus"], 1)
        self.assertEqual(journal.starts(self.out)[0]["cpus"], str(first))
        if len(os.sched_getaffinity(0)) > 1:
            done = self.lab("run", self.out, "--cpus", "all", code=4)
            self.assertIn(f"--cpus {first}", done.stderr)

    def test_cpus_that_are_not_there(self):
        done = self.lab("run", self.experiment(), "--out", self.out, "--cpus", "0-9999", code=2)
        self.assertIn("this process may use", done.stderr)

    def test_status_of_failures(self):
        done = self.lab("run", self.experiment("asm fail crash mute skip cut liar", n=1), "--out",
                        self.out, code=3)
        by_arm = {r["arm"]: r for r in campaign.load_campaign(self.out).records
                  if r["block"] == "b0001"}
        wanted = {"asm": ("ok", ""), "fail": ("failed", "expected 1, got 2"),
                  "crash": ("failed", "killed by SIGSEGV; its last words: about to crash"),
                  "mute": ("failed", "exit status 0 and no record"),
                  "skip": ("skipped", "this machine cannot"),
                  "cut": ("failed", "its record was refused: truncated"),
                  "liar": ("failed", "its record was refused: block is 'b9999'")}
        for arm, (status, reason) in wanted.items():
            self.assertEqual(by_arm[arm]["status"], status, arm)
            self.assertIn(reason, by_arm[arm]["reason"], arm)
            if status != "ok":
                self.assertEqual(by_arm[arm]["metrics"], {})
        self.assertEqual(len(list((self.out / "quarantine").glob("*.json"))), 4)
        self.assertIn("--retry", done.stderr)
        self.lab("verify", self.out)

    def test_failed_runs_are_repeated_only_on_demand(self):
        file = self.experiment("asm fail", n=1)
        self.lab("run", file, "--out", self.out, code=3)
        self.assertEqual(len(self.runs()), 6)
        self.lab("run", self.out, code=3)
        self.assertEqual(len(self.runs()), 6)
        self.lab("run", self.out, "--retry", code=3)
        self.assertEqual(len(self.runs()), 8)
        self.assertEqual(len(list((self.out / "attempts").iterdir())), 2)
        self.assertEqual(len(self.names()), 6)

    def test_invalid_runs_are_repeated_on_demand_like_failed_ones(self):
        done = self.lab("run", self.experiment("asm lags", n=1), "--out", self.out)
        self.assertEqual(len(self.runs()), 6)
        self.assertIn("2 invalid", done.stderr)
        self.assertIn("--retry", done.stderr)
        self.lab("run", self.out)
        self.assertEqual(len(self.runs()), 6)
        self.assertIn("2 of 6 runs would be done",
                      self.lab("run", self.out, "--retry", "--dry-run").stdout)
        self.lab("run", self.out, "--retry")
        self.assertEqual(len(self.runs()), 8)
        self.assertEqual(len(list((self.out / "attempts").iterdir())), 2)

    def test_skipped_runs_count_as_done(self):
        self.lab("run", self.experiment("asm skip", n=1), "--out", self.out)
        self.lab("run", self.out, "--retry")
        self.assertEqual(len(self.runs()), 6)

    def test_reasons_that_differ_in_a_number_are_one(self):
        self.lab("run", self.experiment("asm small", n=2), "--out", self.out)
        rows = json.loads(self.lab("status", self.out, "--json").stdout)["campaigns"][0]["reasons"]
        self.assertEqual([(r["arm"], r["status"], r["runs"]) for r in rows], [("small", "skipped", 4)])
        self.assertRegex(rows[0]["reason"], r"^needs at least 8 GiB, \d+\.5 are free$")
        text = self.lab("status", self.out).stdout
        self.assertIn(f"4 × small skipped: {rows[0]['reason']} (first: b0001.small)", text)
        tally = runner.Tally()
        for reason in ("expected 1, got 2", "expected 4, got 2,048", "exit status 11", "exit status 12"):
            tally.note("failed", reason, "b0001", "asm")
        self.assertEqual([(times, text) for times, text, *_ in tally.reasons.values()],
                         [(2, "failed: expected 1, got 2"), (1, "failed: exit status 11"),
                          (1, "failed: exit status 12")])

    def test_timeout(self):
        for arm in ("hang", "deaf"):
            out = self.root / arm
            self.lab("run", self.experiment(f"asm {arm}", n=1, timeout="300ms"), "--out", out,
                     "--filter", "tasks=2", code=3)
            record = next(r for r in campaign.load_campaign(out).records if r["arm"] == arm)
            self.assertEqual((record["status"], record["reason"]),
                             ("timeout", "not finished within 0.3 s"))
            self.lab("verify", out)

    def test_redacted_all_of_it(self):
        self.lab("run", self.experiment("asm crash", n=1), "--out", self.out, "--redact", "--filter", "tasks=2",
                 code=3)
        self.lab("run", self.out, code=3)       # begun with it: goes on with it
        for session in journal.starts(self.out):
            self.assertEqual((session["host"], session["redacted"]), ("redacted", True))
        lost = next(r for r in campaign.load_campaign(self.out).records if r["status"] == "failed")
        self.assertNotIn(str(self.root), json.dumps(lost["argv"]))
        self.assertIn("<path>", lost["argv"])

    def test_no_progress_bar_where_there_is_no_terminal(self):
        done = self.lab("run", self.experiment(), "--out", self.out)
        self.assertNotIn("\r", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_progress_on_a_terminal(self):
        import pty
        main, child = pty.openpty()
        subprocess.run([str(LAB), "run", str(self.experiment()), "--out", str(self.out)],
                       stderr=child, stdout=child, env=self.environment(TERM="xterm"), check=True)
        os.close(child)
        text = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        os.close(main)
        self.assertRegex(text.decode(), r"\d+ %  \d+/12  \S+ s left")

    def test_json_outcome(self):
        done = self.lab("run", self.experiment("asm fail", n=1), "--out", self.out, "--json",
                        code=3)
        said = json.loads(done.stdout)
        self.assertEqual(said["states"], {"failed": 2, "ok": 4})
        self.assertEqual(said["exit"], 3)


class OwnDriver(Lab):
    def test_an_experiment_may_bring_its_own(self):
        program = self.root / "mine"
        program.write_text(f'#!/bin/sh\nFAKE_DRIVER=mine exec {shlex.quote(str(FAKE))} "$@"\n')
        program.chmod(0o755)
        more = '[[arm]]\nname = "x"\ndriver = "mine"\n[driver.mine]\ncommand = ["./mine"]\n'
        self.lab("run", self.experiment(more=more), "--out", self.out, "--trust")
        found = [r for r in campaign.load_campaign(self.out).ok() if r["arm"] == "x"]
        self.assertEqual({r["identity"]["driver"] for r in found}, {"mine"})
        self.assertEqual(len(found), 4)
        program.unlink()
        done = self.lab("run", self.out, "--trust", code=4)
        self.assertIn("no such program", done.stderr)

    def test_one_that_does_not_answer_is_left_out(self):
        more = '[[arm]]\nname = "x"\ndriver = "mine"\n[driver.mine]\ncommand = ["false"]\n'
        done = self.lab("plan", self.experiment(more=more), "--out", self.out, "--trust")
        self.assertIn("left out: x: false: `version --json` failed", done.stderr)


class Choosing(Lab):
    def test_dry_run_writes_nothing(self):
        file = self.experiment()
        for words in (("run", file, "--dry-run"), ("plan", file, "--list"),
                      ("plan", file, "--commands"), ("run", file, "--list")):
            self.lab(*words, "--out", self.out)
        self.assertFalse(self.out.exists())
        self.assertFalse(self.log.exists())

    def test_filter(self):
        file = self.experiment()
        self.lab("run", file, "--out", self.out, "--filter", "arm=uc*", "--filter", "tasks>=100")
        self.assertEqual(len(self.names()), 2)
        self.assertTrue(all("ucontext" in n for n in self.names()))
        done = self.lab("run", file, "--out", self.out, "--filter", "tasksx=1", code=2)
        self.assertIn("did you mean 'tasks'?", done.stderr)
        done = self.lab("run", file, "--out", self.out, "--filter", "arm=ucontxt", code=2)
        self.assertIn("did you mean 'ucontext'?", done.stderr)
        self.lab("run", file, "--out", self.out)
        self.assertEqual(len(self.names()), 12)

    def test_blocks(self):
        file = self.experiment()
        self.lab("plan", file, "--out", self.out)
        self.lab("run", self.out, "--block", "2-3")
        self.assertEqual({n[:5] for n in self.names()}, {"b0002", "b0003"})
        self.assertIn("the blocks 1 to 4", self.lab("run", self.out, "--block", "5", code=2).stderr)
        self.lab("run", self.out)
        self.assertEqual(len(self.names()), 12)

    def test_a_points_own_command_makes_the_same_work(self):
        self.lab("run", self.experiment(), "--out", self.out)
        text = self.lab("status", self.out, "--command", "b0001.asm").stdout
        alone = self.root / "alone.json"
        subprocess.run(text.strip() + f" --record {alone}", shell=True, check=True)
        there = records.load_record(self.out / "records" / "b0001.asm.json")
        self.assertEqual(records.load_record(alone)["run_id"], there["run_id"])
        point = self.lab("status", self.out, "--command", "yield,tasks=2").stdout
        self.assertEqual(len(point.splitlines()), 3)
        done = self.lab("status", self.out, "--command", "yield,tasks=3", code=2)
        self.assertIn("did you mean 'yield,tasks=2'?", done.stderr)

    def test_plan_commands_are_all_of_them(self):
        text = self.lab("plan", self.experiment(), "--commands").stdout
        self.assertEqual(len(text.splitlines()), 12)

    def test_recommended_commands_can_be_pasted(self):
        self.out = self.root / "it's a campaign"
        done = self.lab("plan", self.experiment(), "--out", self.out)
        words = re.search(r"run it with `(.*)`", done.stdout)[1]
        subprocess.run(f"{words} --concurrent", shell=True, check=True, env=self.environment(), capture_output=True)
        self.assertEqual(len(self.names()), 12)

    def test_unknown_words(self):
        for words, hint in ((("rnu",), "did you mean 'run'?"),
                            (("run", "--retyr", "x"), "did you mean '--retry'?"),
                            (("run", "smoek"), "did you mean 'smoke'?"),
                            (("run", "nothing.toml"), "lab new nothing.toml"),
                            (("status", self.root), "not a campaign")):
            self.assertIn(hint, self.lab(*words, code=2).stderr)

    def test_errors_are_json_too(self):
        said = json.loads(self.lab("run", "smoek", "--json", code=2).stdout)
        self.assertEqual(said["exit"], 2)


class Faults(Lab):
    def finish_and_check(self, before: dict[str, bytes], total: int):
        self.lab("run", self.out)
        after = self.snapshot()
        for name, data in before.items():
            self.assertEqual(after[name], data, f"{name} changed")
        loaded = campaign.load_campaign(self.out)
        self.assertEqual((len(loaded.ok()), loaded.problems), (total, []))
        self.lab("verify", self.out)

    def test_kill_9_of_the_lab_takes_the_run_with_it(self):
        child = self.start("run", self.experiment("asm slow", n=3), "--out", self.out,
                           FAKE_GATE=self.gate)
        pid = self.slow_run()
        child.kill()
        child.wait()
        self.wait_for(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(
            f"/proc/{pid}/stat").read_text(), "the run's end")
        before = self.snapshot()
        self.assertLess(len(before), 18)
        self.finish_and_check(before, 18)

    def test_kill_9_at_many_moments(self):
        file = self.experiment(n=2)
        self.lab("plan", file, "--out", self.out)
        for delay in (0.15, 0.25, 0.3, 0.35, 0.4, 0.5):
            child = self.start("run", self.out)
            time.sleep(delay)
            child.kill()
            child.wait()
            self.assertEqual(campaign.load_campaign(self.out).problems, [])
        self.finish_and_check(self.snapshot(), 12)

    def test_kill_9_of_a_run(self):
        child = self.start("run", self.experiment("asm slow", n=1), "--out", self.out,
                           FAKE_GATE=self.gate)
        os.kill(self.slow_run(), signal.SIGKILL)
        self.gate.touch()
        self.assertEqual(child.wait(), 3)
        lost = [r for r in campaign.load_campaign(self.out).records if r["status"] == "failed"]
        self.assertEqual(len(lost), 1)
        self.assertIn("killed by SIGKILL", lost[0]["reason"])
        self.lab("run", self.out, "--retry", FAKE_SLOW="0.1")
        self.assertEqual(len(campaign.load_campaign(self.out).ok()), 6)

    def interrupt(self, number: int, wanted: int):
        child = self.start("run", self.experiment("asm hang", n=1), "--out", self.out)
        self.wait_for(self.ready.exists, "the hanging run")
        before = self.snapshot()
        child.send_signal(number)
        text = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, wanted, text)
        self.assertIn("nothing finished is lost", text)
        left = [n for n in self.names() if ".interrupted." in n]
        self.assertEqual(len(left), 1)
        for name, data in before.items():
            self.assertEqual(self.snapshot()[name], data)

    def test_ctrl_c(self):
        self.interrupt(signal.SIGINT, 130)
        # What was interrupted runs again, without being asked for.
        self.log.unlink()
        child = self.start("run", self.out)
        self.wait_for(lambda: self.log.exists() and self.runs(), "a run")
        self.assertIn(".hang", self.runs()[0] + self.runs()[-1])
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=100)

    def test_sigterm(self):
        self.interrupt(signal.SIGTERM, 143)

    def test_second_ctrl_c_is_impatient(self):
        """Sooner than a run that does not heed the first is killed; a busy machine may need a few attempts."""
        patience = process.GRACE_S - 1
        for attempt in range(5):
            took = self.impatience(self.root / f"attempt-{attempt}", 0.2 * (1 + attempt))
            if took < patience:
                break
        self.assertLess(took, patience)

    def impatience(self, out: Path, between_s: float) -> float:
        """How long after the first of two signals a deaf run was ended."""
        self.ready.unlink(missing_ok=True)
        child = self.start("run", self.experiment("asm deaf", n=1), "--out", out)
        self.wait_for(self.ready.exists, "the deaf run")
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        time.sleep(between_s)       # two at once would be noticed as one
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=100)
        self.assertEqual(child.returncode, 130)
        return time.monotonic() - started

    def test_truncated_and_corrupted_records(self):
        self.lab("run", self.experiment(), "--out", self.out)
        files = campaign.record_files(self.out)
        files[0].write_bytes(files[0].read_bytes()[:200])
        files[1].write_bytes(b"")
        files[2].write_bytes(files[2].read_bytes().replace(b'"ok"', b'"OK"', 1))
        loaded = campaign.load_campaign(self.out)
        self.assertEqual((len(loaded.records), len(loaded.problems)), (9, 3))
        done = self.lab("verify", self.out, code=5)
        self.assertIn("truncated", done.stderr)
        before = {n: d for n, d in self.snapshot().items() if n not in {f.name for f in files[:3]}}
        done = self.lab("run", self.out)
        self.assertIn("3 runs to do, 9 already done", done.stderr)
        self.assertIn("damaged: " + files[0].name, done.stderr)
        self.assertEqual(len(list((self.out / "quarantine").glob("*.why.txt"))), 3)
        self.finish_and_check(before, 12)

    def test_stranger_things_than_records(self):
        self.lab("run", self.experiment(), "--out", self.out)
        files = campaign.record_files(self.out)
        for file in files[:3]:
            file.unlink()
        files[0].mkdir()
        files[1].symlink_to("/nonexistent")
        files[2].write_text("[" * 100_000)
        for session in (self.out / "sessions").iterdir():
            with open(session, "a") as out:
                out.write('{"event":"run","file":[1]}\n{"event":"start","boot":%s}\n[]\n'
                          % json.dumps(locks.this_machine()))
        self.assertIn("9 of 12 records are here and sound; 3 problems", self.lab("verify", self.out, code=5).stdout)
        done = self.lab("run", self.out)
        self.assertIn("3 runs to do, 9 already done", done.stderr)
        self.assertEqual(done.stderr.count("damaged: "), 3)
        self.lab("verify", self.out)

    def test_a_plan_that_is_none(self):
        self.lab("plan", self.experiment(n=1), "--out", self.out)
        for text in ("", "[]", "{", '{"schema": "shunt.plan/1"}', "[" * 100_000,
                     '{"schema": "shunt.plan/1", "experiment": {"name": "demo"}}'):
            (self.out / "plan.json").write_text(text)
            done = self.lab("run", self.out, code=5)
            self.assertIn(f"{self.out / 'plan.json'}: ", done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_what_is_no_campaign(self):
        file = self.experiment()
        for what, wanted in ((file, "a file, which is not a campaign"), (self.root / "no", "no such folder"),
                             (self.root, "no plan.json here")):
            self.assertIn(wanted, self.lab("status", what, code=2).stderr)

    def test_a_record_edited_by_hand(self):
        """With a new checksum, and so newer: it is sound by itself, and still not what was measured."""
        self.lab("run", self.experiment(), "--out", self.out)
        file = campaign.record_files(self.out)[0]
        text = file.read_text()
        edited = json.loads(text.replace('"unit":"ns","value":', '"unit":"ns","value":1'))
        file.write_bytes(records.sealed(edited))
        os.utime(file, (1, 1))
        self.assertNotEqual(file.read_text(), text)
        loaded = campaign.load_campaign(self.out)
        self.assertEqual((len(loaded.records), len(loaded.problems)), (11, 1))
        self.assertEqual(self.lab("verify", self.out, code=5).stderr.count("checksum differs"), 1)
        done = self.lab("run", self.out)
        self.assertIn(f"damaged: {file.name}: changed since it was accepted", done.stderr)
        self.assertIn("1 run to do, 11 already done", done.stderr)
        self.lab("verify", self.out)

    def test_a_folder_that_is_gone(self):
        done = subprocess.run(["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; "$@"', "-", LAB, "run", "smoke",
                               "--dry-run"], cwd=self.root, env=self.environment(), capture_output=True, text=True,
                              timeout=200)
        self.assertNotIn("Traceback", done.stderr)

    def test_results_that_take_no_folder(self):
        # Nobody may make a folder in /sys, not even root.
        done = self.lab("run", self.experiment(n=1), "--out", "/sys/campaign", code=4)
        self.assertRegex(done.stderr, "/sys/campaign.*: .*; --out or .SHUNT_RESULTS names another folder")

    def test_any_width(self):
        for columns in ("1", "20", "39"):
            self.assertIn("smoke", self.lab("list", COLUMNS=columns).stdout)

    def test_one_changed_digit_is_found(self):
        self.lab("run", self.experiment(), "--out", self.out)
        file = campaign.record_files(self.out)[0]
        text = file.read_text()
        stamp = file.stat().st_mtime_ns
        file.write_text(re.sub(r'("unit":"ns","value":)(\d)', lambda m: m[1] + "3" if m[2] != "3"
                               else m[1] + "4", text))
        os.utime(file, ns=(stamp, stamp))
        self.assertNotEqual(file.read_text(), text)
        self.assertIn("checksum differs", self.lab("verify", self.out, code=5).stderr)
        self.lab("verify", self.out, "--quarantine", code=5)
        self.lab("run", self.out)
        self.lab("verify", self.out)

    def test_leftovers_of_a_killed_run(self):
        self.lab("run", self.experiment(), "--out", self.out)
        whole = self.out / "records" / "b0001.asm.json"
        data = whole.read_bytes()
        os.rename(whole, self.out / "records" / ".b0001.asm.json")
        (self.out / "records" / "b0001.ucontext.json").unlink()
        (self.out / "records" / ".b0001.ucontext.json.tmp77").write_bytes(data[:100])
        (self.out / "records" / ".b0001.asm-again.json").write_bytes(data[:100])
        os.unlink(self.out / "records" / "b0001.asm-again.json")
        self.log.unlink()
        self.lab("run", self.out)
        self.assertEqual(whole.read_bytes(), data)      # whole: adopted, not run again
        self.assertEqual(sorted(self.runs()), ["b0001.asm-again", "b0001.ucontext"])
        self.assertEqual([f for f in os.listdir(self.out / "records") if f.startswith(".")], [])

    def test_a_second_lab_on_this_machine_is_refused(self):
        child = self.start("run", self.experiment("asm slow", n=2), "--out", self.out, alone=True,
                           FAKE_GATE=self.gate)
        self.slow_run()
        done = self.lab("run", self.experiment(n=1), "--out", self.root / "another", alone=True, code=4)
        self.assertIn(f"another lab runs on this machine: process {child.pid};", done.stderr)
        self.assertIn("running", self.lab("status", self.out, "--json").stdout)
        self.lab("run", self.root / "another")      # --concurrent
        self.gate.touch()
        child.wait()
        self.assertEqual(len(self.names()), 12)

    def test_labs_that_share_a_campaign_take_different_blocks(self):
        self.lab("plan", self.experiment("asm slow", n=3), "--out", self.out)
        labs = [self.start("run", self.out, FAKE_SLOW="0.2") for _ in range(2)]
        for child in labs:
            self.assertIn(child.wait(), (0, 4), child.stdout.read())    # 4: the other had a block when it ended
        self.lab("run", self.out)
        self.assertEqual(len(self.runs()), len(set(self.runs())), "a run was made twice")
        self.finish_and_check(self.snapshot(), 18)

    def test_a_figure_that_was_mended(self):
        file = self.experiment(n=1)
        more = '\n[[figure]]\nkind = "lines"\nx = "{}"\n[[expect]]\nclaim = "c"\nmetric = "ns_per_switch"\n' \
               'ratio = ["ucontext", "asm"]\nabove = {}\n'
        text = file.read_text()
        file.write_text(text + more.format("taks", 5))
        self.lab("run", file, "--out", self.out)
        before, plan_before = self.snapshot(), campaign.load_plan(self.out)
        done = self.lab("run", file, "--out", self.out)
        self.assertNotIn("figures", done.stderr.partition("0 runs to do")[0])
        file.write_text("# a line more\n" + text + more.format("tasks", 1))
        done = self.lab("run", file, "--out", self.out)
        self.assertIn("has the figures of", done.stderr)
        self.assertIn("expect changed since the plan was frozen", done.stderr)
        self.assertNotIn("margin", done.stderr)
        now = campaign.load_plan(self.out)
        self.assertEqual(now["figures"][0]["x"], "tasks")
        self.assertEqual({**now, "figures": 0}, {**plan_before, "figures": 0})
        self.assertEqual(self.snapshot(), before)

    def test_changed_plan(self):
        self.lab("run", self.experiment(), "--out", self.out)
        changed = self.experiment(n=3)
        done = self.lab("run", changed, "--out", self.out, code=2)
        self.assertIn("another plan", done.stderr)
        plan = json.loads((self.out / "plan.json").read_text())
        plan["blocks"].pop()
        (self.out / "plan.json").write_text(json.dumps(plan))
        for words in (("run", self.out), ("status", self.out), ("verify", self.out)):
            self.assertIn("changed after it was frozen", self.lab(*words, code=5).stderr)

    def test_a_finished_campaign_of_an_earlier_day_is_found(self):
        file, results = self.experiment(), self.root / "results"
        self.lab("run", file, SHUNT_RESULTS=results)
        self.out, = results.iterdir()
        self.out = self.out.rename(results / "demo-2020-01-02")
        before = self.snapshot()
        done = self.lab("run", file, SHUNT_RESULTS=results)
        self.assertIn("demo-2020-01-02 has every run of this plan already; --new makes them again", done.stderr)
        self.assertEqual(([p.name for p in results.iterdir()], self.snapshot()), (["demo-2020-01-02"], before))
        done = self.lab("run", file, SHUNT_RESULTS=results, FAKE_BUILD="beef" * 5)
        self.assertRegex(done.stderr, "another build made .*demo-2020-01-02; this is a new campaign")
        self.assertEqual(len(list(results.iterdir())), 2)

    def test_changed_binary(self):
        file = self.experiment()
        self.lab("run", file, "--out", self.out, "--filter", "arm=asm")
        new = "beef" * 5
        done = self.lab("run", self.out, code=4, FAKE_BUILD=new)
        self.assertIn("--accept-new-build", done.stderr)
        self.lab("run", self.out, "--accept-new-build", FAKE_BUILD=new)
        by_block: dict[str, set] = {}
        for r in campaign.load_campaign(self.out).records:
            by_block.setdefault(r["block"], set()).add(r["identity"]["build_id"])
        self.assertEqual(set(map(len, by_block.values())), {1}, "a block mixes two builds")
        self.assertEqual(len(list((self.out / "attempts").iterdir())), 4)
        self.lab("run", self.out, FAKE_BUILD=new)       # accepted once is enough

    def driver(self, build: str, first: str = "") -> Path:
        """A driver of its own, of that build, that can be taken away; `first` is done by each call."""
        program = self.root / "shunt"
        fresh = self.root / "shunt.new"
        fresh.write_text(f'#!/bin/sh\n{first}\nFAKE_BUILD={build} exec {FAKE} "$@"\n')
        fresh.chmod(0o755)
        os.rename(fresh, program)
        return program

    def test_a_binary_that_changes_meanwhile(self):
        program = self.driver("beef" * 5)
        child = self.start("run", self.experiment("asm slow", n=2), "--out", self.out, SHUNT_BIN=program,
                           FAKE_GATE=self.gate)
        self.slow_run()
        self.driver("cafe" * 5)
        self.gate.touch()
        text = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 4, text)
        self.assertIn("was rebuilt while the campaign was running. Nothing finished is lost", text)
        self.assertIn("--accept-new-build", self.lab("run", self.out, code=4, SHUNT_BIN=program).stderr)
        self.driver("beef" * 5)
        self.all_of_it(SHUNT_BIN=program)

    def test_a_binary_that_goes_away_meanwhile(self):
        # It goes by itself: taken away from outside it might go between its start and its first line.
        program = self.driver("beef" * 5, first=f'[ ! -e {self.out}/records/b0002.asm.json ] || rm "$0"')
        text = self.lab("run", self.experiment(), "--out", self.out, code=4,
                        SHUNT_BIN=program).stderr
        self.assertIn("cannot be started any more", text)
        self.assertGreaterEqual(len(self.names()), 2)
        self.driver("beef" * 5)
        self.all_of_it(SHUNT_BIN=program)

    def all_of_it(self, **environment):
        before = self.snapshot()
        self.lab("run", self.out, **environment)
        self.assertEqual(len(campaign.load_campaign(self.out).ok()), 12)
        self.assertEqual({n: d for n, d in self.snapshot().items() if n in before}, before)

    def test_a_block_is_never_split_between_machines(self):
        self.lab("run", self.experiment(), "--out", self.out, "--filter", "arm=asm")
        self.lab("run", self.out, FAKE_MACHINE="feedfacefeedface")
        for machines in self.machines_of_blocks().values():
            self.assertEqual(len(machines), 1)

    def machines_of_blocks(self):
        found: dict[str, set] = {}
        for r in campaign.load_campaign(self.out).records:
            found.setdefault(r["block"], set()).add(r["machine_class"])
        return found

    def test_nobody_listens(self):
        """Standard error is closed, full, or a pipe whose reader has gone: the runs go on."""
        reader, left = os.pipe()
        os.close(reader)
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, left)
        self.addCleanup(os.close, full)
        for name, stderr, where in (("closed", None, "2>&-"), ("full", full, ""), ("left", left, "")):
            self.out = self.root / name
            done = subprocess.run(["sh", "-c", f'"$@" {where}', "-", LAB, "run", self.experiment(n=1), "--out",
                                   self.out], env=self.environment(), stderr=stderr, timeout=200)
            self.assertEqual(done.returncode, 0, name)
            self.assertEqual(len(self.names()), 6, name)
            self.lab("verify", self.out)

    def test_a_full_disk_under_a_document(self):
        self.lab("run", self.experiment(n=1), "--out", self.out)
        for words in (("status", self.out, "--json"), ("status", self.out)):
            done = subprocess.run(["sh", "-c", '"$@" >/dev/full', "-", LAB, *words], env=self.environment(),
                                  capture_output=True, text=True, timeout=200)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("the disk is full", done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_missing_binary(self):
        self.lab("plan", self.experiment(), "--out", self.out)
        done = self.lab("run", self.out, code=4, SHUNT_BIN="/nonexistent/shunt")
        self.assertIn("/nonexistent/shunt: no such program", done.stderr)

    def test_full_disk(self):
        small = self.root / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(small)],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("may not mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)])
        self.out = small / "campaign"
        self.lab("run", self.experiment(n=2), "--out", self.out, "--block", "1")
        before = self.snapshot()
        ballast = small / "ballast"
        with open(ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        done = self.lab("run", self.out, code=4)
        self.assertIn("the disk is full. Every finished run is kept", done.stderr)
        self.assertEqual(self.snapshot(), before)
        ballast.unlink()
        self.finish_and_check(before, 12)

    def test_disk_that_is_full_before_the_plan_is_written(self):
        small = self.root / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("may not mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)])
        self.out = small / "campaign"
        ballast = small / "ballast"
        with open(ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        words = ("plan", self.experiment(n=1), "--out", self.out)
        self.assertIn("give the same command again", self.lab(*words, code=4).stderr)
        self.assertTrue(self.out.is_dir())
        ballast.unlink()
        self.lab(*words)
        self.assertEqual(campaign.load_plan(self.out)["repetitions"], 1)

    def test_disk_that_fills_in_the_middle(self):
        small = self.root / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(small)],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("may not mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)])
        self.out = small / "campaign"
        child = self.start("run", self.experiment("asm slow", n=3), "--out", self.out, FAKE_GATE=self.gate)
        self.slow_run()
        ballast = small / "ballast"
        with open(ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        self.gate.touch()
        text = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 4, text)
        self.assertIn("the disk is full", text)
        before = self.snapshot()
        self.assertEqual(campaign.load_campaign(self.out).problems, [])
        ballast.unlink()
        self.finish_and_check(before, 18)


class StandardLibraryOnly(Lab):
    def test_running_needs_neither_scipy_nor_tomllib(self):
        self.lab("plan", self.experiment(), "--out", self.out)
        blocker = self.root / "blocker"
        blocker.mkdir()
        for name in ("scipy", "numpy", "matplotlib", "tomllib", "jsonschema"):
            (blocker / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})\n")
        for words in (("run", self.out), ("status", self.out), ("verify", self.out),
                      ("export", self.out)):
            self.lab(*words, PYTHONPATH=blocker)
        self.assertEqual(len(self.names()), 12)
        done = self.lab("plan", self.experiment(), "--dry-run", code=2, PYTHONPATH=blocker)
        self.assertIn("Python 3.11", done.stderr)
        done = self.lab("compare", self.out, code=4, PYTHONPATH=blocker)
        self.assertIn("apt-get install python3-", done.stderr)


class Merging(Lab):
    def test_two_machines(self):
        file = self.experiment()
        one, two, merged = (self.root / n for n in ("one", "two", "merged"))
        self.lab("run", file, "--out", one)
        self.lab("run", file, "--out", two, FAKE_MACHINE="feedfacefeedface")
        self.lab("merge", one, two, "--out", merged)
        loaded = campaign.load_campaign(merged)
        self.assertEqual((len(loaded.records), loaded.problems), (24, []))
        self.assertEqual(len({r["run_id"] for r in loaded.records}), 24)
        self.assertEqual(len(loaded.machine_classes), 2)
        self.lab("verify", merged)
        again = self.root / "again"
        self.lab("merge", merged, one, "--out", again)      # nothing doubled
        self.assertEqual(len(campaign.load_campaign(again).records), 24)

    def test_copies_of_one_plan(self):
        one, two, merged = (self.root / n for n in ("one", "two", "merged"))
        self.lab("plan", self.experiment(), "--out", one)
        shutil.copytree(one, two)
        self.lab("run", one, "--block", "1-2")
        self.lab("run", two, "--block", "2-4")
        self.lab("merge", one, two, "--out", merged)
        loaded = campaign.load_campaign(merged)
        self.assertEqual((len(loaded.records), len(loaded.parts)), (12, 1))
        self.assertEqual(len(list((loaded.parts[0].path / "attempts").iterdir())), 3)
        self.lab("verify", merged)

    def test_different_experiments(self):
        self.lab("run", self.experiment(), "--out", self.root / "one")
        other = self.root / "other.toml"
        other.write_text(self.experiment().read_text())
        self.lab("run", other, "--out", self.root / "two")
        done = self.lab("merge", self.root / "one", self.root / "two", "--out", self.root / "m",
                        code=2)
        self.assertIn("demo, other", done.stderr)

    def test_one_name_of_two_meanings(self):
        self.lab("run", self.experiment(), "--out", self.root / "one")
        file = self.experiment()
        file.write_text(file.read_text().replace("repetitions", "margin = 0.05\nrepetitions", 1))
        self.lab("run", file, "--out", self.root / "two")
        done = self.lab("merge", self.root / "one", self.root / "two", "--out", self.root / "m",
                        code=2)
        self.assertIn("margin is 0.02 in the first and 0.05 in the second", done.stderr)
        self.assertFalse((self.root / "m").exists())


class Digits(Lab):
    """How finely series are kept is the plan's to say."""

    def kept(self) -> set:
        return {r["series"]["lateness"]["digits"] for r in campaign.load_campaign(self.out).ok()}

    def test_a_resumed_campaign_keeps_the_same(self):
        self.lab("run", self.experiment(more="digits = 2\n"), "--out", self.out, "--block", "1-2")
        self.experiment()       # the file says nothing of it any more
        self.lab("run", self.out)
        self.assertEqual(self.kept(), {2})
        self.lab("verify", self.out)
        command = self.lab("status", self.out, "--command", "b0001.asm").stdout
        self.assertIn("--digits 2", command)
        done = self.lab("run", self.experiment(), "--out", self.out, code=2)
        self.assertIn("another plan", done.stderr)


class Locks(unittest.TestCase):
    def test_one_holder_at_a_time(self):
        with tempfile.TemporaryDirectory() as folder:
            one = locks.Lock(Path(folder), "b0001").take()
            with self.assertRaisesRegex(locks.Busy, f"process {os.getpid()}"):
                locks.Lock(Path(folder), "b0001").take()
            self.assertEqual(list(locks.held(Path(folder))), ["b0001"])
            one.release()
            locks.Lock(Path(folder), "b0001").take().release()
            self.assertEqual(locks.held(Path(folder)), {})

    def test_the_owner_file_of_a_dead_process_is_taken_over(self):
        with tempfile.TemporaryDirectory() as folder:
            owner = Path(folder) / "b0001.owner"
            owner.write_text(json.dumps({"machine": locks.this_machine(), "host": "x", "pid": 1}))
            locks.Lock(Path(folder), "b0001").take().release()

    def test_another_machine_that_is_silent_is_taken_for_dead(self):
        with tempfile.TemporaryDirectory() as folder:
            owner = Path(folder) / "b0001.owner"
            owner.write_text(json.dumps({"machine": "another", "host": "far", "pid": 1}))
            with self.assertRaisesRegex(locks.Busy, "process 1 on far"):
                locks.Lock(Path(folder), "b0001").take()
            old = time.time() - locks.STALE_S - 10
            os.utime(owner, (old, old))
            locks.Lock(Path(folder), "b0001").take().release()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # a job in the background may begin with it ignored
    unittest.main()
