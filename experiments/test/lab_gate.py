# SPDX-License-Identifier: MIT
# A gate finds a build that is slower by 5 %, passes one that is not, and says what it cannot compare.
"""Tests of `lab gate`, with builds whose times are made up (fake_shunt.py): no machine has to be quiet."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from campaign_case import FAKE

from shuntlab import cli
from shuntlab.planning.campaign import load_campaign

try:
    import scipy  # noqa: F401
except ImportError:
    print("skipped: scipy is needed")
    raise SystemExit(77) from None

DEMO = """question = "?"\nexpectation = "!"\nrepetitions = 9\nbackends = ["ucontext", "BACKEND"]
baseline = "BACKEND"\n[[exclude]]\narm = ["ucontext"]\nwhy = "slow"
[[workload]]\nname = "yield"\n[[workload]]\nname = "ring"\narms = ["ucontext"]\n"""


class Gate(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)
        self.old = self.build("old", FAKE_BUILD="0a" * 10)

    def build(self, name: str, **environment: str) -> Path:
        """A folder with a shunt that behaves so."""
        program = self.root / name / "build" / "release" / "shunt"
        program.parent.mkdir(parents=True)
        words = [f"{k}={shlex.quote(v)}" for k, v in ({"FAKE_BUILD": "0b" * 10} | environment).items()]
        program.write_text(f'#!/bin/sh\n{environment.pop("FIRST", "")}\n{" ".join(words)} exec {FAKE} "$@"\n')
        program.chmod(0o755)
        return program.parents[2]

    def gate(self, new: Path, code: int, *words: object, backend: str = "asm", old: Path | None = None) -> str:
        file, self.page = self.root / "demo.toml", self.root / "summary.md"
        file.write_text(DEMO.replace("BACKEND", backend))
        self.out = self.root / f"campaign-{new.name}"
        out, err = io.StringIO(), io.StringIO()
        environment = mock.patch.dict(os.environ, GITHUB_STEP_SUMMARY=str(self.page))
        with environment, contextlib.redirect_stdout(out), mock.patch("sys.stderr", err):
            given = cli._main(["gate", str(old or self.old), str(new), "--experiment", str(file),
                               "--out", str(self.out), "--concurrent", *map(str, words)])
        said = out.getvalue() + err.getvalue()
        self.assertEqual(given, code, said)
        self.assertLessEqual(max(map(len, out.getvalue().splitlines()), default=0), 80)
        return " ".join(said.split())

    def test_five_per_cent_are_found(self):
        said = self.gate(self.build("slow", FAKE_COST="1.05"), 1)
        self.assertRegex(said, r"REGRESSION: slower: yield: ns_per_switch 1\.0[45]\d \[1\.0\d\d, 1\.0\d\d\]")
        page = self.page.read_text(encoding="utf-8")
        self.assertTrue(page.startswith("### shunt gate: regression\n\n- slower: yield: ns_per_switch 1.0"), page)
        self.assertRegex(page, r"\n\| yield \| ns_per_switch \| 9\.97 .* ns \| 10\.5 .* ns \| 1\.0.* \| slower \|\n")
        self.assertIn("build `0b0b0b0b0b0b`", page)
        campaign = load_campaign(self.out)
        self.assertEqual((len(campaign.ok()), campaign.problems), (27, []))
        self.assertEqual({(r["arm"], r["identity"]["build_id"][:2]) for r in campaign.ok()},
                         {("old", "0a"), ("old-again", "0a"), ("new", "0b")})

    def test_none_are_not_found(self):
        said = self.gate(self.build("even"), 0)
        self.assertIn("PASS: 1 metric compared, none slower than by 2 %", said)
        self.assertIn("### shunt gate: pass", self.page.read_text(encoding="utf-8"))

    def test_too_few_blocks_are_no_answer(self):
        said = self.gate(self.build("even"), 2, "--repetitions", 2, "--backend", "asm:wait=spin")
        self.assertIn("NO ANSWER: inconclusive", said)
        self.assertEqual(load_campaign(self.out).arms["new"]["backend"], "asm:wait=spin")

    def test_a_build_that_crashes_ends_the_gate_at_once(self):
        """Only the new one: that is its fault. Both, or the old one: no answer."""
        crash = self.build("crash", FIRST='[ "$1" != run ] || kill -SEGV $$')
        said = self.gate(crash, 1)
        self.assertIn("REGRESSION: the new build failed in b0001: killed by SIGSEGV", said)
        self.assertEqual(len(load_campaign(self.out).records), 3)
        self.assertIn("NO ANSWER: the old build failed in b0001", self.gate(self.build("fine"), 2, backend="crash"))
        well = self.build("well", FAKE_BUILD="0c" * 10)
        self.assertIn("NO ANSWER: the old build failed", self.gate(well, 2, old=crash))

    def test_builds_must_agree_about_the_answer(self):
        said = self.gate(self.build("other", FAKE_ANSWER="2"), 2)
        self.assertIn("the builds do not agree about yield in b0001: switches is 1 in the old one and 2 in the new "
                      "one", said)

    def test_a_schema_of_another_version(self):
        said = self.gate(self.build("later", FAKE_SCHEMA="shunt.run/2"), 2)
        self.assertIn("NO ANSWER: the new build failed in b0001: its record was refused: schema is 'shunt.run/2', "
                      "not 'shunt.run/1'", said)

    def test_a_number_of_blocks_is_one(self):
        for text in ("0", "-3", "2.5", "x", "9" * 9):
            with self.assertRaises(SystemExit) as left, mock.patch("sys.stderr", io.StringIO()) as err:
                cli._main(["gate", "a", "b", "--repetitions", text])
            self.assertEqual(left.exception.code, 2)
            self.assertIn(f"{text!r} is not a number of blocks, from 1 to 2,000,000", err.getvalue())

    def test_plug_ins_are_not_compared(self):
        (self.root / "coin.so").touch()
        with mock.patch(f"{__name__}.DEMO", 'plugins = ["./coin.so"]\n' + DEMO):
            self.assertIn("a plug-in belongs to one build", self.gate(self.build("new"), 2))

    def test_what_is_not_two_builds_is_refused(self):
        def refused(new: Path, old: Path | None = None) -> str:
            said = self.gate(new, 2, old=old)
            self.assertFalse(self.out.exists() or self.page.exists())
            return said
        self.assertIn("are one build (0a0a0a0a0a0a): the same code", refused(self.build("twin", FAKE_BUILD="0a" * 10)))
        self.assertIn("/nothing: neither a program nor a folder with shunt in it", refused(self.root / "nothing"))
        self.assertIn("(looked for shunt, bin/shunt, build/release/shunt)", refused(self.root, self.old))
        self.assertIn("/bin/true: not a build of shunt: /bin/true: `version --json` gives no build_id",
                      refused(self.old, Path("/bin/true")))


if __name__ == "__main__":
    unittest.main()
