# SPDX-License-Identifier: MIT
"""The lab as a program: what is run, what may be chosen, what is merged."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from campaign_case import FAKE, LAB, Lab

from shuntlab.data import records
from shuntlab.planning import campaign, journal
from shuntlab.running import runner
from shuntlab.tools import locks


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

    def test_status_names_the_runs_beside_other_work(self):
        self.lab("run", self.experiment("asm beside", n=1, more="control = false\n"), "--out", self.out)
        said = self.lab("status", self.out).stdout
        self.assertLessEqual(max(map(len, said.splitlines())), 80)
        said = " ".join(said.split())
        self.assertIn("slowed the processor around 2 of 4 runs: the interference probe took 1.5 × its quiet "
                      "time or more (b0001.beside 3.0 ×, b0002.beside 3.0 ×)", said)
        [row] = json.loads(self.lab("status", self.out, "--json").stdout)["campaigns"]
        self.assertEqual((row["probed"], list(row["slowed"].values())), (4, [3.0, 3.0]))
        [file] = (self.out / "sessions").iterdir()
        file.write_text(file.read_text().replace('"probe":[3.9,', '"probe":[1e999,'))
        self.assertNotIn("Infinity", self.lab("status", self.out, "--json").stdout)
        file.unlink()       # an old journal has no probe
        self.assertNotIn("probe", self.lab("status", self.out).stdout)

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
        subprocess.run(self.command("run", self.experiment(), "--out", self.out), stderr=child, stdout=child,
                       env=self.environment(TERM="xterm"), check=True)
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


    def test_a_plug_in_is_taken_from_the_campaign_where_it_is_there(self):
        """So it is where the file of the plan is gone, as on another machine; a task of `lab submit` has it, too."""
        file = self.root / "coin.so"
        file.touch()
        known, mine = {"FAKE_PLUGIN": "ab" * 20}, self.out / "plugins" / "coin.so"
        self.lab("plan", self.experiment(n=1, more='plugins = ["coin.so"]\n'), "--out", self.out, "--trust", **known)
        self.assertIn("the plug-in coin.so is code", self.lab("run", self.out, code=4, **known).stderr)
        mine.parent.mkdir()
        file.rename(mine)
        self.assertIn(str(mine), self.lab("run", self.out, code=4, **known).stderr)
        done = self.lab("run", self.out, "--trust", code=4, FAKE_PLUGIN="cd" * 20)
        self.assertIn("has build cdcdcdcdcdcd, the plan was frozen with abababababab", done.stderr)
        script = self.lab("submit", self.out, "--tasks", 1, "--engine", "local", "--dry-run", "--trust", **known).stdout
        self.assertRegex(script, r"exec .*/lab run .* --trust --share")
        self.lab("run", self.out, "--trust", **known)
        argv = [r["argv"] for r in campaign.load_campaign(self.out).ok()]
        self.assertEqual([words[words.index("--plugin") + 1] for words in argv], [str(mine)] * 6)
        self.assertIn(f"--plugin {mine}", self.lab("status", self.out, "--command", "1").stdout)
        self.assertIn(f"--plugin {mine}", self.lab("plan", self.out, "--commands").stdout)


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
        self.assertEqual(len({r["machine_class"] for r in loaded.records}), 2)
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
