# SPDX-License-Identifier: MIT
# A packed campaign gives every answer that its files gave, and gives the files back byte for byte.
"""Tests of `lab pack`: on a generated campaign, through the command line."""

from __future__ import annotations

import hashlib
import lzma
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
sys.path[:0] = [str(HERE.parent), str(HERE)]
try:
    import tomllib  # noqa: F401
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)

import synthetic
from shuntlab.data import packed
from shuntlab.planning import campaign, journal, kept_plan


def model(arm, point, rng, shared):
    if arm == "uring" and rng.random() < 0.3:
        return {"status": "skipped", "reason": "cannot run here"}
    return {"metrics": {"ns_per_switch": (6 + rng.random(), "ns", "lower")}, "series": {
        "lateness": [rng.lognormvariate(9, 1) for _ in range(50)]}}


class Packed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shunt-packed-")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.out = self.root / "campaign"
        points = [{"workload": "yield", "axes": {"tasks": t}} for t in ("2", "64")]
        synthetic.write(self.out, synthetic.plan("demo", ["asm", "uring"], points, 4, 1, metrics=["ns_per_switch"]),
                        model)
        self.before = self.files()

    def files(self) -> dict[str, bytes]:
        return {str(f.relative_to(self.out)): f.read_bytes() for f in sorted(self.out.rglob("*"))
                if f.is_file() and "locks" not in f.parts}

    def lab(self, *words, code=0) -> str:
        done = subprocess.run([str(LAB), *map(str, words)], capture_output=True, text=True, timeout=200,
                              env={**os.environ, "SHUNT_PYTHON": sys.executable})
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def answers(self) -> list[str]:
        made = [self.lab(*words) for words in (
            ("verify", self.out), ("status", self.out), ("status", self.out, "--json"),
            ("export", self.out, "--jsonl", "-"), ("export", self.out, "--csv", "-"))]
        return [*made, repr(campaign.load_campaign(self.out))]

    def test_every_answer_is_the_same_and_the_files_come_back(self):
        answers = self.answers()
        self.assertIn("24 records", self.lab("pack", self.out))
        kept = self.files()
        self.assertEqual([n for n in kept if n.startswith("records/b")], [])
        self.assertLess(len(kept[packed.PACK]), sum(map(len, self.before.values())) / 3)
        self.assertEqual(self.answers(), answers)
        self.lab("pack", self.out)              # again: the same
        self.assertEqual(self.files(), kept)
        self.lab("pack", "--undo", self.out)
        self.assertEqual(self.files(), self.before)

    def test_journals_are_packed_too(self):
        session = journal.Session(self.out, {"cpus": "0", "drivers": {}})
        for file in campaign.record_files(self.out):
            session.accepted(file, "ok", 0.1)
        session.close("done")
        before, known = self.files(), journal.accepted(self.out)
        self.lab("pack", self.out)
        [file] = (self.out / "sessions").iterdir()
        self.assertEqual(file.suffix, ".xz")
        self.assertEqual(journal.accepted(self.out), known)
        self.assertIn("24 of 24 records", self.lab("verify", self.out))
        whole = file.read_bytes()
        file.write_bytes(whole[:-20])
        self.assertIn("damaged", self.lab("verify", self.out, code=5))
        file.write_bytes(whole)
        self.lab("pack", "--undo", self.out)
        self.assertEqual(self.files(), before)

    def test_what_is_left_to_do_is_said_without_holding_the_records(self):
        done = campaign.done_runs(self.out)
        self.lab("pack", self.out)
        packed._lines_of.cache_clear()
        self.assertEqual(campaign.done_runs(self.out), done)
        self.assertIn("skipped", done.values())
        self.assertEqual(packed._lines_of.cache_info().currsize, 0)

    def test_a_line_is_a_record_byte_for_byte(self):
        self.lab("pack", self.out)
        lines = lzma.decompress((self.out / packed.PACK).read_bytes()).splitlines(keepends=True)
        self.assertEqual(lines, [v for k, v in self.before.items() if k.startswith("records/b")])

    def test_a_record_of_several_lines_comes_back_too(self):
        file = campaign.record_files(self.out)[3]
        body = file.read_bytes()
        body = body[:body.rindex(b',"sha256"')].replace(b",", b",\n", 1)
        for end in (b"\n", b""):
            file.write_bytes(body + b',"sha256":"%s"}' % hashlib.sha256(body).hexdigest().encode() + end)
            before = self.files()
            self.lab("pack", self.out)
            self.assertIn("24 of 24 records", self.lab("verify", self.out))
            self.lab("pack", "--undo", self.out)
            self.assertEqual(self.files(), before)

    def test_only_what_is_finished_and_sound_is_packed(self):
        file = campaign.record_files(self.out)[3]
        text = file.read_bytes()
        for wrong, code, words in ((None, 2, "still lacks runs"), (text[:-9], 5, "damaged")):
            file.unlink() if wrong is None else file.write_bytes(wrong)
            self.assertIn(words, self.lab("pack", self.out, code=code))
            self.assertFalse(packed.is_packed(self.out))

    def test_damage_is_never_data(self):
        self.lab("pack", self.out)
        pack = self.out / packed.PACK
        whole = pack.read_bytes()
        for wrong in (whole[:-20], whole + b"x", whole[:200] + b"\0" + whole[201:], b""):
            pack.write_bytes(wrong)
            self.assertIn(f"{packed.PACK}: damaged", self.lab("verify", self.out, code=5))
        lines = lzma.decompress(whole).splitlines(keepends=True)
        for wrong, words in ((lines + lines[:1], "line 25 of"), (lines[:-1] + [lines[-1][:-9] + b"\n"], "line 24 of"),
                             ([lines[0].replace(b'"repetition":0', b'"repetition":3'), *lines[1:]],
                              "changed since it was written")):
            pack.write_bytes(packed.compressed(wrong))
            self.assertIn(words, self.lab("verify", self.out, code=5))

    def test_what_needs_files_says_so(self):
        self.lab("pack", self.out)
        for words in (("run", self.out), ("run", self.out, "--retry"), ("verify", "--quarantine", self.out)):
            self.assertIn("pack --undo", self.lab(*words, code=2))
        self.assertIn("not packed", self.lab("pack", "--undo", self.root / "other", code=2)
                      if synthetic.write(self.root / "other", kept_plan.load_plan(self.out), model) else "")

    def test_packed_campaigns_can_be_merged(self):
        copy = self.root / "copy"
        synthetic.write(copy, kept_plan.load_plan(self.out), model)
        self.lab("pack", self.out)
        said = self.lab("merge", self.out, copy, "--out", self.root / "merged")
        self.assertIn("24 records in 1 parts; 24 were in more than one source", said)
        self.lab("pack", self.root / "merged")
        self.assertIn("24 of 24 records", self.lab("verify", self.root / "merged"))


if __name__ == "__main__":
    unittest.main()
