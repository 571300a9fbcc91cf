# SPDX-License-Identifier: MIT
# The lab and the real shunt agree: names, exit statuses, records, signals, timeouts, traces.
"""Tests against the executable in $SHUNT_BIN. Skipped (77) where there is none."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
SHUNT = os.environ.get("SHUNT_BIN", str(HERE.parents[1] / "build" / "release" / "shunt"))
try:
    import tomllib  # noqa: F401
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)
if not (os.path.isfile(SHUNT) and os.access(SHUNT, os.X_OK)):
    print(f"skipped: no shunt at {SHUNT}")
    sys.exit(77)

from campaign_case import called
from shuntlab.data import machine, records, schema
from shuntlab.planning import campaign, plan
from shuntlab.planning.catalog import KINDS, read_catalog
from shuntlab.tools import units

MINE = """
question = "?"
expectation = "!"
repetitions = 2
iters = 1
warmup = 0
timeout = "{timeout}"
backends = [{backends}]
[[workload]]
name = "{workload}"
trace = {trace}
[workload.params]
{params}
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.out = self.root / "campaign"

    def experiment(self, backends='"asm"', workload="yield", params='switches = "10k"',
                   timeout="30s", trace="false") -> Path:
        file = self.root / "mine.toml"
        file.write_text(MINE.format(backends=backends, workload=workload, params=params,
                                    timeout=timeout, trace=trace))
        return file

    def command(self, *words) -> list[str]:
        more = ["--concurrent"] if words[0] == "run" else []        # other tests run meanwhile
        return [str(HERE.parent / "lab"), *map(str, words), *more]

    def environment(self):
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return {**os.environ, "SHUNT_BIN": SHUNT, "PATH": path}

    def lab(self, *words, code=0) -> subprocess.CompletedProcess:
        done = called(self.command(*words)[1:], self.environment())
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}\n{done.stderr}")
        return done


class Experiments(Case):
    def test_every_experiment_that_comes_with_shunt_can_be_planned(self):
        for file in sorted(HERE.parent.glob("*.toml")):
            with self.subTest(file.name):
                done = self.lab("plan", file, "--dry-run")
                for line in done.stderr.splitlines():
                    self.assertRegex(line, "^(left out|note):")

    def test_it_needs_nothing_of_the_path(self):
        python = os.path.dirname(sys.executable)
        for path in ("/nowhere", python):
            done = subprocess.run([SHUNT, "lab", "plan", "smoke", "--dry-run"], capture_output=True, text=True,
                                  env={"PATH": path, "SHUNT_LAB": str(HERE.parent / "lab"),
                                       "SHUNT_PYTHON": sys.executable})
            self.assertEqual((done.returncode, "Traceback" in done.stderr), (0, False), done.stderr)

    def test_any_locale_will_do(self):
        done = subprocess.run(self.command("plan", "smoke", "--dry-run"), capture_output=True, env={
            **self.environment(), "PYTHONIOENCODING": "ascii"})
        self.assertEqual((done.returncode, b"smoke: " in done.stdout), (0, True), done.stderr)

    def test_a_plan_knows_the_types_of_every_plug_in(self):
        """Whatever a workload or a mechanism calls a duration or a size has its unit on axes."""
        catalog = read_catalog(SHUNT)
        kinds = {plural: slot for slot, plural in KINDS.items()}
        said = json.loads(subprocess.run([SHUNT, "list", "--json"], capture_output=True, check=True).stdout)
        workloads = [w["name"] for w in said["workloads"]]
        wanted: dict[str, dict[str, str]] = {"": {}}
        for plural, kind in {"workloads": "workload", **kinds}.items():
            for plugin in said[plural]:
                found = subprocess.run([SHUNT, "describe", kind, plugin["name"], "--json"], capture_output=True,
                                       check=True)
                for row in json.loads(found.stdout)["found"][0].get("parameters", []):
                    if row["type"] in ("duration", "size"):
                        wanted.setdefault(plugin["name"] if kind == "workload" else "", {})[row["name"]] = row["type"]
        wanted[""] |= {k: r["type"] for k, r in catalog.settings.items() if r["type"] in ("duration", "size")}
        types = plan.types_of(catalog, {"points": [{"workload": w} for w in workloads]})
        self.assertEqual({k: v for k, v in types.items() if v}, wanted)
        self.assertGreater(len(wanted[""]), 6)
        self.assertEqual([units.notation(*pair) for pair in (
            ("20000", "duration"), ("10000", ""), ("65536", "size"), ("0.75", ""), ("fifo", ""),
            ("1500", "duration"), ("0", ""))], ["20us", "10k", "64k", "0.75", "fifo", "1500ns", "0"])

    def test_values_are_read_as_the_core_reads_them(self):
        """Every suffix, digits on one side of the point, zeros, and what is not a whole number."""
        catalog = read_catalog(SHUNT)
        numbers = ("64", "1.5", ".5", "2.", "0", "0.0", "-1", "1.0000000000000000000000000000001", "1e3", ".", "")
        suffixes = {"stack.size": "|k|K|kB|KB|kiB|KiB|M|MB|MiB|G|GB|GiB|B|kb|s",
                    "nap": "|ns|us|\u00b5s|ms|s|S|k", "search": "us", "interval": "|k|K|M|G|m|kB"}
        for key, given in suffixes.items():
            for text in (number + suffix for number in numbers for suffix in given.split("|")):
                done = subprocess.run([SHUNT, "describe", f"mn:workers=1,{key}={text}", "--json"],
                                      capture_output=True, text=True)
                there = json.loads(done.stdout).get("composition", {}).get(key)
                here = units.base(text, catalog.kind_of_slot(key))
                if done.returncode == 0:
                    self.assertEqual(here, there, f"{key}={text}")
                elif "out of range" not in done.stdout and "is negative" not in done.stdout:
                    self.assertEqual(here, text, f"{key}={text}: {done.stdout}")

    def test_smoke(self):
        self.lab("run", "smoke", "--out", self.out)
        loaded = campaign.load_campaign(self.out)
        self.assertEqual(loaded.problems, [])
        for r in loaded.records:
            self.assertIn(r["status"], ("ok", "skipped"), r["reason"])
            self.assertEqual(r["machine_class"], machine.machine_class())
        self.lab("verify", self.out)
        self.lab("export", self.out, "--all", "--sqlite", self.root / "x.db")

    def test_the_template_runs_as_it_is(self):
        file = self.root / "first.toml"
        self.lab("new", file)
        text = file.read_text().replace("repetitions = 10", "repetitions = 1")
        file.write_text(text.replace('"1M"', '"1k"'))
        self.lab("run", file, "--out", self.out)
        self.assertEqual(len(campaign.load_campaign(self.out).ok()), 6)

    def test_the_lab_through_shunt(self):
        done = subprocess.run([SHUNT, "lab", "list"], capture_output=True, text=True,
                              env=self.environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("switch_cost", done.stdout)


class Names(Case):
    def test_mistakes_are_told_apart_by_the_real_names(self):
        for what, hint in ((dict(backends='"asn"'), "did you mean 'asm'?"),
                           (dict(backends='"asm", "asm:wiat=spin"'), "did you mean 'wait'?"),
                           (dict(backends='"asm", "asm:wait=futx"'), "did you mean 'futex'?"),
                           (dict(workload="yeild"), "did you mean 'yield'?"),
                           (dict(params="swiches = 3"), "did you mean 'switches'?")):
            done = self.lab("plan", self.experiment(**what), "--dry-run", code=2)
            self.assertIn(hint, done.stderr)
            self.assertRegex(done.stderr, r"mine\.toml:\d+: ")

    def test_the_catalogue_is_understood(self):
        catalog = read_catalog(SHUNT)
        self.assertEqual(catalog.check_backend("asm:wait=futex,workers=2,stack.size=64k"), [])
        self.assertEqual(catalog.kind_of_param("timers", "period"), "duration")
        self.assertEqual(catalog.kind_of_slot("stack.size"), "size")
        self.assertIn("futex", catalog.values_of("wait"))
        self.assertIsNotNone(schema.run_schema())

    def test_a_wrong_value_is_told_before_anything_runs(self):
        for how, wanted in (({"params": "tasks = 0"}, "params.tasks: tasks = '0' is out of range"),
                            ({"backends": '"asm:stack.sise=64k"'}, "backends: asm has no setting 'stack.sise'; did you "
                                                                   "mean 'stack.size'"),
                            ({"backends": '"asm", "mn:workers=x"'}, "backends: workers=x: expected a count"),
                            ({"params": 'tasks = 2\n[workload.backend]\nworkers = [1, "y"]'},
                             "workload[0].backend: workers=y: expected a count")):
            done = self.lab("run", self.experiment(**how), "--out", self.out, code=2)
            self.assertIn(wanted, done.stderr)
            self.assertRegex(done.stderr, r"mine\.toml:\d+: ")
            self.assertFalse(self.out.exists())


class Runs(Case):
    def test_a_timeout(self):
        file = self.experiment('"asm", "threads"', "timers", 'tasks = 2\nperiod = "20s"', "400ms")
        self.lab("run", file, "--out", self.out, code=3)
        found = campaign.load_campaign(self.out).records
        self.assertEqual({(r["status"], r["reason"]) for r in found},
                         {("timeout", "not finished within 0.4 s")})
        self.lab("verify", self.out)

    def test_ctrl_c(self):
        file = self.experiment('"asm"', "timers", 'tasks = 2\nperiod = "20s"')
        child = subprocess.Popen(self.command("run", file, "--out", self.out),
                                 env=self.environment(), stderr=subprocess.PIPE, text=True)
        self.wait_for_run_of("timers")
        child.send_signal(signal.SIGINT)
        text = child.communicate(timeout=100)[1]
        self.assertEqual(child.returncode, 130, text)
        found = campaign.load_campaign(self.out).records
        self.assertEqual([r["status"] for r in found], ["interrupted"], text)

    def wait_for_run_of(self, workload: str):
        """Until a shunt is at work that records below self.out, and a moment longer."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = file.read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if workload in words and any(word.startswith(str(self.out)) for word in words):
                    time.sleep(0.5)
                    return
            time.sleep(0.05)
        self.fail("the run did not begin")

    def test_the_same_work_in_every_arm(self):
        file = self.experiment('"asm", "ucontext", "asm:policy=lifo"', "chunked_sum",
                               'items = "10k"\ntasks = 7')
        self.lab("run", file, "--out", self.out)
        by_block: dict[str, set[str]] = {}
        for r in campaign.load_campaign(self.out).records:
            total = next(c["actual"] for c in r["checks"] if c["name"] == "total")
            by_block.setdefault(r["block"], set()).add(total)
        self.assertEqual([len(t) for t in by_block.values()], [1, 1])
        self.assertEqual(len(set.union(*by_block.values())), 2)

    def test_an_input_that_changes_is_another_input(self):
        numbers = self.root / "numbers.txt"
        numbers.write_text("1 2 3 4\n")
        file = self.experiment('"asm", "ucontext"', "chunked_sum", f'input = "{numbers}"\ntasks = 2')
        self.lab("run", file, "--out", self.out, "--block", "1")
        numbers.write_text("1 2 3 5\n")
        self.lab("run", self.out)
        loaded = campaign.load_campaign(self.out)
        self.assertEqual({r["block"] for r in loaded.records}, {"b0001"})
        self.assertIn("was changed between the two", loaded.problems[0].why)
        self.lab("verify", self.out, code=5)
        numbers.write_text("1 2 3 4\n")
        self.lab("run", self.out)
        self.lab("verify", self.out)
        inputs = [r["identity"]["input"] for r in campaign.load_campaign(self.out).records]
        self.assertEqual((len(inputs), len(set(inputs))), (6, 1))

    def test_a_runs_own_command(self):
        self.lab("run", self.experiment(), "--out", self.out)
        words = shlex.split(self.lab("status", self.out, "--command", "b0001.asm").stdout)
        alone = self.root / "alone.json"
        subprocess.run([*words, "--record", str(alone)], check=True, stdout=subprocess.DEVNULL)
        there = records.load_record(self.out / "records" / "b0001.asm.json")
        self.assertEqual(records.load_record(alone)["run_id"], there["run_id"])

    def test_every_run_gets_the_same_cpus(self):
        first = min(os.sched_getaffinity(0))
        self.lab("run", self.experiment(), "--out", self.out, "--cpus", first)
        for r in campaign.load_campaign(self.out).records:
            env = self.out / "records" / "env" / f"{r['env_id']}.json"
            self.assertEqual(json.loads(env.read_text())["facts"]["cpu.allowed"]["value"],
                             str(first))

    def test_traces_beside_the_measured_runs(self):
        self.lab("run", self.experiment('"asm"', "chunked_sum",
                                        'preset = "tutorial"\npause = "1ms"', trace="true"),
                 "--out", self.out)
        trace = json.loads((self.out / "traces" / "b0001.asm.json").read_text())
        events = trace["traceEvents"] if isinstance(trace, dict) else trace
        self.assertGreater(len(events), 4)
        # One arm alone is compared with nothing, and has no control.
        self.assertEqual(len(campaign.load_campaign(self.out).records), 2)
        for r in campaign.load_campaign(self.out).records:
            self.assertFalse(re.search("trace", json.dumps(r["probes"])))

    def test_two_labs_at_once(self):
        self.lab("plan", self.experiment('"asm", "ucontext", "threads"'), "--out", self.out)
        labs = [subprocess.Popen(self.command("run", self.out),
                                 env=self.environment(), stderr=subprocess.PIPE, text=True)
                for _ in range(2)]
        for child in labs:
            text = child.communicate(timeout=200)[1]
            self.assertIn(child.returncode, (0, 4), text)       # 4: the other had a block when it ended
        self.lab("run", self.out)
        self.assertEqual(len(campaign.load_campaign(self.out).ok()), 8)
        self.lab("verify", self.out)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)    # a job in the background may begin with it ignored
    unittest.main()
