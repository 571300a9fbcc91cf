# SPDX-License-Identifier: MIT
# A paper with every figure and table compiles, whatever the names in the records hold.
"""Test of what experiments/plots writes for LaTeX. Skipped (77) without matplotlib or pdflatex."""

from __future__ import annotations

import importlib
import json
import re
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
import _signs
import figure_campaigns as made
from shuntlab.planning import figure_kinds
from shuntlab.planning.campaign import load_campaign


class Paper(unittest.TestCase):
    def test_it_compiles(self):
        with tempfile.TemporaryDirectory(prefix="shunt-paper-") as folder:
            out = Path(folder)
            names, kinds = self.draw(out)
            self.assertEqual(kinds, {p.stem for p in (ROOT / "experiments" / "plots").glob("[!_]*.py")})
            done = compiled(out, paper(names))
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            self.assertGreater((out / "paper.pdf").stat().st_size, 50_000)
            log = (out / "paper.log").read_text(encoding="utf-8", errors="replace")
            self.assertEqual(re.findall(r"^(?:Overfull .*|.*Float too large.*|Missing character.*)$", log, re.M), [])
            self.small_print(log)
            captions = {json.loads((out / f"{n}.json").read_text())["caption"] for n in names}
            self.assertEqual(len(captions), len(names))
            for text in captions:
                self.assertIn("Machine: Generated", text)

    def small_print(self, log: str):
        """What is wider than its place is made smaller; it stays readable."""
        sizes = [(float(own), float(room)) for own, room in re.findall(
            r"^NATURAL ([\d.]+)pt IN ([\d.]+)pt$", log, re.M)]
        self.assertGreaterEqual(len(sizes), 2 * len(made.EVERY))
        self.assertLess(max(own / room for own, room in sizes), 1.3)
        self.assertEqual(len({room for _, room in sizes}), 2, "none spans two columns, or all do")

    def test_any_sign_can_be_set(self):
        """With the README's packages alone, in the old font encoding and the new one."""
        blocks = ((0x20, 0x250), (0x370, 0x400), (0x1e00, 0x1f00), (0x2010, 0x20c0), (0x2100, 0x2300), (0x4e00, 0x4e08),
                  (0xfb00, 0xfb07), (0x1d400, 0x1d410), (0x1f600, 0x1f610))
        text = "\n\n".join(" ".join(_signs.escape(chr(c)) for c in range(*block)) for block in blocks)
        for more in ([], [r"\usepackage[T1]{fontenc}"]):
            with tempfile.TemporaryDirectory(prefix="shunt-signs-") as folder:
                body = [r"\begin{figure}", rf"\caption[a]{{{_signs.escape('ą ≠ ½ ħ')}}}", r"\end{figure}", text]
                done = compiled(Path(folder), "\n".join([*HEAD, *more, r"\begin{document}", *body, r"\end{document}"]))
                self.assertEqual(done.returncode, 0, done.stdout[-3000:])
                self.assertNotIn("Missing character", done.stdout)
                if shutil.which("pdftotext"):
                    said = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=folder,
                                          capture_output=True).stdout.decode()
                    for sign in ("½", "≠", "é"):
                        self.assertNotIn(f"[U+{ord(sign):04X}]", said)
                    self.assertIn("[U+1F600]", said)

    def draw(self, out: Path) -> tuple[list[str], set[str]]:
        names, kinds = [], set()
        for campaign, write in made.EVERY.items():
            loaded = load_campaign(write(out / campaign))
            for spec in figure_kinds.named(loaded.plan):
                _figure.render(importlib.import_module(spec["kind"]),
                               _data.Context([loaded], spec), out, ("pdf", "tex", "json"))
                names.append(spec["name"])
                kinds.add(spec["kind"])
        return names, kinds


HEAD = [r"\documentclass[twocolumn]{article}", r"\usepackage{graphicx,booktabs}"]
# Says how wide each figure and table would be if it were not made smaller.
MEASURE = r"""\let\shrink\resizebox
\renewcommand{\resizebox}[3]{\sbox0{#3}\typeout{NATURAL \the\wd0 \space IN \the\linewidth}\shrink{#1}{#2}{#3}}"""


def paper(names: list[str]) -> str:
    """A two-column article as an author would write it."""
    body = [line for name in names for line in (rf"\input{{{name}.figure}}", rf"\input{{{name}.table}}", r"\clearpage")]
    return "\n".join([*HEAD, MEASURE, r"\begin{document}", *body, r"\end{document}"]) + "\n"


def compiled(folder: Path, text: str) -> subprocess.CompletedProcess:
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    return subprocess.run(["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
                          cwd=folder, text=True, capture_output=True, check=False, errors="replace")


if __name__ == "__main__":
    unittest.main()
