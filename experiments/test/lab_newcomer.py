# SPDX-License-Identifier: MIT
# What the README says leads from nothing to a figure in a paper does, word for word.
"""Test of the walk in README.md, with a driver that measures nothing. Skipped (77) without matplotlib."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
try:
    import matplotlib  # noqa: F401
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-scipy, python3-matplotlib)")
    sys.exit(77)

WALK = re.compile(r"Your own, from the question to a figure in a paper:\n\n```\n(.*?)```\n\n```\n(.*?)```\n", re.S)


class Newcomer(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="shunt-newcomer-")
        self.addCleanup(self.folder.cleanup)
        self.place = Path(self.folder.name)
        found = WALK.search((ROOT / "README.md").read_text(encoding="utf-8"))
        self.assertIsNotNone(found, "README.md has the walk no more")
        self.commands, self.latex = found[1].strip().splitlines(), found[2]

    def test_the_walk(self):
        self.assertEqual(len(self.commands), 6)
        results, date = ROOT / "results", ""
        for text in self.commands:
            text = text.partition("#")[0].replace("DATE", date)
            text = text.rstrip() + " --concurrent" * (" run " in text)      # other tests run meanwhile
            done = self.run_one(text.replace("build/release/shunt lab", str(HERE.parent / "lab")))
            self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{done.stderr}")
            if " run " in text:
                date = re.search(r"campaign: results/mine-(\S+)", done.stderr)[1]
                self.assertIn(f"figures tables CAMPAIGN=results/mine-{date}", done.stderr)
        self.assertFalse(list(results.glob("mine-*")) if results.is_dir() else [])
        self.compile(self.latex.replace("DATE", date))

    def run_one(self, text: str) -> subprocess.CompletedProcess:
        text = text.replace("Makefile.plot", str(ROOT / "Makefile.plot"))
        return subprocess.run(text, shell=True, cwd=self.place, capture_output=True, text=True, timeout=600, env={
            **os.environ, "SHUNT_BIN": str(HERE / "fake_shunt.py"), "SHUNT_RESULTS": str(self.place / "results"),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"})

    def compile(self, latex: str):
        if not shutil.which("pdflatex"):
            self.skipTest("no pdflatex (Debian package texlive-latex-base)")
        head, _, body = latex.partition("\\input")
        (self.place / "paper.tex").write_text("\\documentclass{article}\n" + head + "\\begin{document}\n\\input"
                                              + body + "\\end{document}\n", encoding="utf-8")
        done = subprocess.run(["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"], cwd=self.place,
                              capture_output=True, text=True, errors="replace", check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])


if __name__ == "__main__":
    unittest.main()
