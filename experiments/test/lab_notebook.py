# SPDX-License-Identifier: MIT
# The notebook runs as it stands, and pandas and R find in the CSV what the standard library finds.
"""Test of records_to_figure.ipynb. Skipped (77) without Jupyter, pandas or R."""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parents[1] / "records_to_figure.ipynb"
NEEDS = (("jupyter-nbconvert", ["--version"]), ("Rscript", ["--version"]),
         ("/usr/bin/python3", ["-c", "import pandas, matplotlib, ipykernel"]))


def missing() -> str:
    for program, words in NEEDS:
        if not shutil.which(program) or subprocess.run([program, *words], capture_output=True).returncode:
            return f"{' '.join([program, *words])} fails (the group data of experiments/packages.txt)"
    return ""


class Notebook(unittest.TestCase):
    def test_no_output_is_kept(self):
        cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        self.assertEqual([c for c in cells if c.get("outputs") or c.get("execution_count")], [])

    def test_it_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["jupyter-nbconvert", "--to", "html", "--execute", str(NOTEBOOK), "--output-dir", folder], text=True,
                capture_output=True, timeout=900, env={**os.environ, "TMPDIR": folder, "HOME": folder})
            self.assertEqual(done.returncode, 0, done.stderr)
            out, = Path(folder).glob("shunt-*")
            for figure in ("load-pandas.png", "load-r.png"):
                self.assertGreater((out / figure).stat().st_size, 10_000, figure)
            self.assertEqual(self.read(out / "medians.csv"), self.medians(out / "runs.csv"))

    def read(self, file: Path) -> dict[tuple[str, str, str], float]:
        with open(file, newline="", encoding="utf-8") as lines:
            return {(service, arm, load): float(value) for service, arm, load, value in list(csv.reader(lines))[1:]}

    def medians(self, file: Path) -> dict[tuple[str, str, str], float]:
        found: dict[tuple[str, str, str], list[float]] = {}
        with open(file, newline="", encoding="utf-8") as lines:
            for run in csv.DictReader(lines):
                if run["param.injection"] == "timer" and run["arm"] != "asm-again":
                    key = (run["param.service"], run["arm"], run["param.load"])
                    found.setdefault(key, []).append(float(run["metric.response_p99_ns"]))
        return {key: statistics.median(values) for key, values in found.items()}


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()
