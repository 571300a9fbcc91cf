# SPDX-License-Identifier: MIT
# A paper with every figure and table compiles, whatever the names in the records hold.
"""Test of what experiments/plots writes for LaTeX. Skipped (77) without matplotlib or pdflatex."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "experiments"), str(ROOT / "experiments" / "plots")]
try:
    import matplotlib  # noqa: F401
    import scipy  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing} (Debian packages python3-scipy, python3-matplotlib)")
    sys.exit(77)
if not shutil.which("pdflatex"):
    print("skipped: no pdflatex (Debian package texlive-latex-base)")
    sys.exit(77)

import _data
import _figure
import figure_campaigns as made
from shuntlab.campaign import load_campaign


class Paper(unittest.TestCase):
    def test_it_compiles(self):
        with tempfile.TemporaryDirectory(prefix="shunt-paper-") as folder:
            out = Path(folder)
            names, kinds = self.draw(out)
            self.assertEqual(kinds, {p.stem for p in (ROOT / "experiments" / "plots").glob("[!_]*.py")})
            (out / "paper.tex").write_text(paper(names), encoding="utf-8")
            done = subprocess.run(["pdflatex", "-no-shell-escape", "-halt-on-error",
                                   "-interaction=nonstopmode", "paper.tex"], cwd=out, text=True,
                                  capture_output=True, check=False, errors="replace")
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            self.assertGreater((out / "paper.pdf").stat().st_size, 50_000)
            captions = {json.loads((out / f"{n}.json").read_text())["caption"] for n in names}
            self.assertEqual(len(captions), len(names))
            for text in captions:
                self.assertIn("Machine: Generated", text)

    def draw(self, out: Path) -> tuple[list[str], set[str]]:
        names, kinds = [], set()
        for campaign, write in made.EVERY.items():
            loaded = load_campaign(write(out / campaign))
            for spec in _figure.specs(loaded):
                _figure.render(importlib.import_module(spec["kind"]),
                               _data.Context([loaded], spec), out, ("pdf", "tex", "json"))
                names.append(spec["name"])
                kinds.add(spec["kind"])
        return names, kinds


def paper(names: list[str]) -> str:
    """A two-column article as an author would write it."""
    head = [r"\documentclass[twocolumn]{article}", r"\usepackage[utf8]{inputenc}",
            r"\usepackage{graphicx,booktabs}", r"\begin{document}"]
    body = []
    for name in names:
        body += [rf"\input{{{name}.figure}}", r"\begin{figure*}[p]\centering",
                 rf"\includegraphics{{{name}-wide.pdf}}", r"\end{figure*}",
                 r"\begin{table*}[p]\centering\tiny", rf"\input{{{name}.table}}",
                 r"\end{table*}", r"\clearpage"]
    return "\n".join([*head, *body, r"\end{document}"]) + "\n"


if __name__ == "__main__":
    unittest.main()
