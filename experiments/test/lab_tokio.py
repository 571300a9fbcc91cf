#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the tokio driver does the work of shunt's workloads and tells it as shunt does.

It is compiled once for each version of its sources, which takes half a minute of processor time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shuntlab.data import records  # noqa: E402
from shuntlab.planning import drivers  # noqa: E402

FOUND = drivers.find({"tokio", "shunt"}, {}, os.environ.get("SHUNT_BIN", ""))
SPECS = {"shunt": ("asm",), "tokio": ("tokio:workers=1", "tokio:workers=2")}
SMALL = (("chunked_sum", "items=10k", "tasks=7", "chunk=33", "sample=5", "kernel=scalar"),
         ("chunked_sum", "items=1k", "tasks=3", "pause=300us", "tail=1", "data=index"),
         ("yield", "tasks=3", "switches=1k", "sample=16"),
         ("spawn_join", "tasks=500", "alive=7", "sample=3"))


class Tokio(unittest.TestCase):
    def setUp(self) -> None:
        self.assertEqual(FOUND["tokio"].absent, "")

    def run_one(self, name: str, spec: str, *words: str, code: int = 0) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "record.json"
            done = subprocess.run(
                [*FOUND[name].command, "run", spec, *words, "--seed", "77", "--iters", "2",
                 "--record", str(file)], capture_output=True, text=True, timeout=200)
            self.assertEqual(done.returncode, code, done.stderr)
            return records.load_record(file)

    def test_it_tells_what_it_was_made_of(self) -> None:
        self.assertRegex(FOUND["tokio"].build_id, "^[0-9a-f]{40}$")
        self.assertRegex(FOUND["tokio"].version, r"^rustc .* and tokio-1\.")

    def test_the_same_work_checks_series_and_units(self) -> None:
        for words in SMALL:
            asm = self.run_one("shunt", "asm", *words)
            for spec in SPECS["tokio"]:
                with self.subTest(spec=spec, words=words):
                    r = self.run_one("tokio", spec, *words)
                    self.assertEqual((r["status"], r["identity"]["build_id"]),
                                     ("ok", FOUND["tokio"].build_id))
                    self.assertEqual(r["checks"], asm["checks"])
                    self.assertEqual(r["identity"]["params"], asm["identity"]["params"])
                    self.assertEqual({*r["series"]}, {*asm["series"]})
                    common = {*r["metrics"]} & {*asm["metrics"]}
                    self.assertGreaterEqual(len(common), 4)
                    for key in common:
                        self.assertEqual(r["metrics"][key]["unit"], asm["metrics"][key]["unit"], key)

    def test_its_runtime_is_told(self) -> None:
        for workers, kind in (("1", "current_thread"), ("2", "multi_thread")):
            r = self.run_one("tokio", f"tokio:workers={workers}", "yield", "switches=100")
            self.assertEqual(r["identity"]["composition"], {"workers": workers, "runtime": kind})

    def test_what_it_has_not_is_skipped_and_named(self) -> None:
        for words in (("yield", "depth=2"), ("yield", "form=step"), ("chunked_sum", "walk=1")):
            r = self.run_one("tokio", "tokio", *words, code=3)
            self.assertEqual(r["status"], "skipped")
            self.assertIn(words[1].partition("=")[0], r["reason"])
        for words, why in ((("tokio:worker=2", "yield"), 'no setting "worker"; it has workers'),
                           (("tokio", "ring"), 'no workload "ring" in this driver'),
                           (("go", "yield"), 'no backend "go" in this driver')):
            done = subprocess.run([*FOUND["tokio"].command, "run", *words], capture_output=True,
                                  text=True, timeout=200)
            self.assertIn(done.returncode, (2, 3))
            self.assertIn(why, done.stderr)


if __name__ == "__main__":
    if "not installed" in FOUND["tokio"].absent:
        print(FOUND["tokio"].absent)
        sys.exit(77)
    unittest.main()
