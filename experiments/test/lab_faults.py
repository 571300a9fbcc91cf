# SPDX-License-Identifier: MIT
"""Whatever ends a campaign, nothing finished is lost, nothing half-written is read, and it resumes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import unittest
from pathlib import Path

from campaign_case import FAKE, LAB, Lab

from shuntlab.data import records
from shuntlab.planning import campaign, kept_plan
from shuntlab.tools import locks, process


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
        before, plan_before = self.snapshot(), kept_plan.load_plan(self.out)
        done = self.lab("run", file, "--out", self.out)
        self.assertNotIn("figures", done.stderr.partition("0 runs to do")[0])
        file.write_text("# a line more\n" + text + more.format("tasks", 1))
        done = self.lab("run", file, "--out", self.out)
        self.assertIn("has the figures of", done.stderr)
        self.assertIn("expect changed since the plan was frozen", done.stderr)
        self.assertNotIn("margin", done.stderr)
        now = kept_plan.load_plan(self.out)
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
            words = self.command("run", self.experiment(n=1), "--out", self.out)
            done = subprocess.run(["sh", "-c", f'"$@" {where}', "-", *words], env=self.environment(), stderr=stderr,
                                  timeout=200)
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

    def small_disk(self, mib: int) -> Path:
        """A file system of that size, the campaign's folder in it."""
        small = self.root / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(small)],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("may not mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)])
        self.out = small / "campaign"
        return small

    def fill(self, folder: Path) -> Path:
        """The file that fills it."""
        ballast = folder / "ballast"
        with open(ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        return ballast

    def test_full_disk(self):
        small = self.small_disk(5)
        self.lab("run", self.experiment(n=2), "--out", self.out, "--block", "1")
        before = self.snapshot()
        ballast = self.fill(small)
        done = self.lab("run", self.out, code=4)
        self.assertIn("the disk is full. Every finished run is kept", done.stderr)
        self.assertEqual(self.snapshot(), before)
        ballast.unlink()
        self.finish_and_check(before, 12)

    def test_disk_that_is_full_before_the_plan_is_written(self):
        small = self.small_disk(1)
        ballast = self.fill(small)
        words = ("plan", self.experiment(n=1), "--out", self.out)
        self.assertIn("give the same command again", self.lab(*words, code=4).stderr)
        self.assertTrue(self.out.is_dir())
        ballast.unlink()
        self.lab(*words)
        self.assertEqual(kept_plan.load_plan(self.out)["repetitions"], 1)

    def test_disk_that_fills_in_the_middle(self):
        small = self.small_disk(5)
        child = self.start("run", self.experiment("asm slow", n=3), "--out", self.out, FAKE_GATE=self.gate)
        self.slow_run()
        ballast = self.fill(small)
        self.gate.touch()
        text = child.communicate(timeout=100)[0]
        self.assertEqual(child.returncode, 4, text)
        self.assertIn("the disk is full", text)
        before = self.snapshot()
        self.assertEqual(campaign.load_campaign(self.out).problems, [])
        ballast.unlink()
        self.finish_and_check(before, 18)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # a job in the background may begin with it ignored
    unittest.main()
