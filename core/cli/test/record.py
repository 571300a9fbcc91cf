#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a program's run leaves the record that a run of shunt's own would, however it ends."""
from __future__ import annotations

import json
import signal
import subprocess
import time
import unittest.mock
from pathlib import Path
from typing import Any

from command import SHUNT, SOURCE, CommandTest, main

GOOD = """read asked
echo '{"program": {"build_id": "deadbeef"}}'
for number in 1 2 3; do
    echo '{"begin": '$number'}'
    echo '{"check": {"name": "sum", "expected": 4950, "actual": 4950}}'
    echo '{"samples": {"name": "lap", "values": [5, 7, 900]}}'
    echo '{"end": {"wall_ns": 2000, "cpu_ns": 1000, "ops": 10}}'
done"""
FOR_EVER = """echo '{"program": {"build_id": "deadbeef"}}'; echo '{"begin": 1}'
yes '{"samples": {"name": "lap", "values": [5, 7, 900]}}'"""


class Recorded(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        self.kept = self.folder / "record.json"

    def words(self, script: str, *options: str, workload: str = "yield") -> list[str]:
        return ["record", "mine:way=far", workload, *options, "--iters", "2", "--record", str(self.kept), "--",
                "sh", "-c", script]

    def ends(self, status: int, word: str, reason: str, script: str, *options: str) -> dict[str, Any]:
        called = self.call(*self.words(script, *options))
        self.assertEqual(called.status, status, called.err)
        record = self.record(self.kept)
        self.assertEqual(record["status"], word)
        self.assertIn(reason, record["reason"])
        self.kept.unlink()
        return record

    def test_good(self) -> None:
        record = self.ends(0, "ok", "", GOOD, "tasks=3", "--arm", "left", "--block", "b7", "--repetition", "3",
                           "--digits", "2", "--seed", "18446744073709551615")
        said = record["identity"]
        self.assertEqual((said["driver"], said["backend"], said["workload"], said["build_id"], said["seed"]),
                         ("mine", "mine", "yield", "deadbeef", "18446744073709551615"))
        self.assertEqual(said["composition"], {"way": "far"})
        # As of a run of its own: in base units, with those that were not given.
        self.assertEqual((said["params"]["tasks"], said["params"]["switches"]), ("3", "1000000"))
        self.assertEqual((record["arm"], record["block"], record["repetition"]), ("left", "b7", 3))
        self.assertEqual(record["metrics"]["ns_per_switch"]["value"], 200)
        self.assertEqual(record["series"]["lap"]["count"], 6)
        self.assertEqual(record["series"]["lap"]["digits"], 2)
        self.assertNotIn("clock", record)
        self.assertGreater(record["usage"]["peak_rss_bytes"], 0)
        self.assertNotIn("rss_bytes", record["usage"])      # of the program, which has ended

    def test_a_workload_of_its_own(self) -> None:
        called = self.call(*self.words(GOOD, "cities=30k", "map=a/b=c", workload="tour"))
        self.assertEqual(called.status, 0, called.err)
        record = self.record(self.kept)
        self.assertEqual(record["identity"]["params"], {"cities": "30k", "map": "a/b=c"})
        self.assertIn("ns_per_op", record["metrics"])

    def test_the_example_of_the_protocol(self) -> None:
        page = (SOURCE / "experiments" / "drivers" / "README.md").read_text()
        script = self.folder / "mine.py"
        script.write_text(page.partition("```python\n")[2].partition("```")[0])
        script.chmod(0o755)
        called = self.call("record", "mine", "yield", "switches=1k", "--record", self.kept, "--", script)
        self.assertEqual(called.status, 0, called.err)
        self.assertEqual(len(self.record(self.kept)["iterations"]), 5)
        called = self.call("record", "mine", "yield", "depth=1", "--", script)
        self.assertRegex(called.out + called.err, "mine.py has yield without depth")
        self.kept.unlink()
        with unittest.mock.patch.dict(self.environment, SHUNT_RECORDER=SHUNT):
            build = json.loads(self.call("version", "--json", program=script).out)["build_id"]
            called = self.call("run", "mine", "yield", "switches=1k", "--record", self.kept, program=script)
        self.assertEqual(called.status, 0, called.err)
        self.assertEqual(self.record(self.kept)["identity"]["build_id"], build)

    def test_wrong_answer(self) -> None:
        self.ends(1, "failed", "sum should be 4950 and is 4951", GOOD.replace("4950}}", "4951}}"))

    def test_without_end(self) -> None:
        started = time.monotonic()
        self.ends(3, "timeout", "not done after 1s, in set-up", f"echo $$ > {self.folder}/pid; sleep 1000",
                  "--timeout", "1s")
        self.is_gone()
        self.ends(3, "timeout", "iteration 1", FOR_EVER, "--timeout", "1s")
        self.assertLess(time.monotonic() - started, 60)

    def is_gone(self) -> None:
        pid = int((self.folder / "pid").read_text())
        for _ in range(200):
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except OSError:
                return
            time.sleep(0.05)
        self.fail("the program is still there")

    def signalled(self, number: int) -> int:
        file = self.folder / "pid"
        file.unlink(missing_ok=True)
        with subprocess.Popen([SHUNT, *self.words(f"echo $$ > {file}; sleep 1000")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=self.environment) as child:
            self.wait_for(lambda: file.exists() and file.read_text() != "", "the program")
            child.send_signal(number)
            child.wait(60)
        self.is_gone()
        return child.returncode

    def test_signals_reach_the_program_too(self) -> None:
        self.assertEqual(self.signalled(signal.SIGTERM), 128 + signal.SIGTERM)
        self.assertEqual(self.record(self.kept)["status"], "interrupted")
        self.kept.unlink()
        self.assertEqual(self.signalled(signal.SIGKILL), -signal.SIGKILL)

    def test_redacted(self) -> None:
        record = self.ends(0, "ok", "", f"# {self.folder}\n{GOOD}", "--redact")
        self.assertNotIn(str(self.folder), json.dumps(record))

    def test_wrong_words(self) -> None:
        for words, message in (
                (["mine", "yield"], "after --, a command"), (["mine", "--", "true"], "after --, a command"),
                (["mine", "yield", "--"], "after --, a command"),
                (["mine", "yield", "tsaks=1", "--", "true"], "tasks"),
                (["mine", "tour", "cities", "--", "true"], "'cities' is not a valid parameter"),
                (["mine", "tour", "Cities=1", "--", "true"], "in lower case"),
                (["mi ne", "yield", "--", "true"], "is not a valid name of a backend"),
                (["mine", "to ur", "--", "true"], "is not a valid name of a workload"),
                (["mine:way", "yield", "--", "true"], "'way' is not a valid setting"),
                (["mine:way=a,Far=1", "yield", "--", "true"], "'Far=1' is not a valid setting"),
                (["mine", "yield", "--narrate", "--", "true"], "no option --narrate")):
            with self.subTest(words=words):
                called = self.call("record", *words)
                self.assertEqual(called.status, 2, called.err)
                self.assertIn(message, " ".join(called.err.split()))

    def test_a_table_of_arrivals_is_a_trace(self) -> None:
        words = ("requests=50", "load=0.2", "mean=20us", "--seed", "5")
        table = self.folder / "table"
        table.write_text(self.call("arrivals", *words).out)
        first = table.read_text().splitlines()
        self.assertEqual(len(first), 51)
        again = self.call("arrivals", f"input={table}").out.splitlines()
        begin = int(first[1].split()[0])
        self.assertEqual([int(line.split()[0]) + begin for line in again[1:]],
                         [int(line.split()[0]) for line in first[1:]])
        self.refused("rate is 0: nothing would ever arrive", "arrivals", "rate=0")


if __name__ == "__main__":
    main()
