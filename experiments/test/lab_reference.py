# SPDX-License-Identifier: MIT
# The campaigns in results/reference are whole, tell nothing of who recorded them, and give their figures.
"""Tests of what is kept in results/reference. With `figures` figures are rebuilt: of a third, which SHUNT_SEED
deals, of campaigns that have every kind of figure between them. With `figures all` figures of every campaign are
rebuilt, as after one was recorded. What README opens with is compared with the records, too."""

from __future__ import annotations

import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"
CAMPAIGNS = sorted(p.parent for p in REFERENCE.glob("*/plan.json"))
BYTES_MOST = 12 << 20       # in the tree
sys.path.insert(0, str(ROOT / "experiments"))
try:
    import tomllib  # noqa: F401
except ImportError:
    print("skipped: Python 3.11 or later is needed (tomllib)")
    sys.exit(77)

from shuntlab.planning import campaign, kept_plan, toml_spec  # noqa: E402
from shuntlab.running import opening  # noqa: E402
from shuntlab.statistics import costs  # noqa: E402

# An absolute path, or a home; what the kernel calls its own files is the same everywhere.
TELLS = re.compile(r'(?<![\w.<])/(?:home|root|tmp|work|usr|opt|mnt|srv|data|Users)\b')


def texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


class Kept(unittest.TestCase):
    def test_there_is_one(self):
        self.assertTrue(CAMPAIGNS, "results/reference holds no campaign")

    def test_every_campaign_is_whole_and_sound(self):
        for folder in CAMPAIGNS:
            with self.subTest(folder.name):
                done = lab("verify", "--json", folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                found = json.loads(done.stdout)
                self.assertEqual((found["records"], found["problems"]), (found["expected"], []), "it is not finished")

    def test_it_is_named_for_its_experiment_which_is_still_there(self):
        for folder in CAMPAIGNS:
            name = kept_plan.load_plan(folder)["experiment"]["name"]
            self.assertEqual(folder.name, name)
            toml_spec.load(opening.experiments_folder() / f"{name}.toml")

    def test_no_name_and_no_path_of_the_machine_is_in_it(self):
        for folder in CAMPAIGNS:
            for file in sorted(folder.rglob("*.json*")):
                text = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
                lines = text.splitlines() if ".jsonl" in file.suffixes else [text]
                for document in map(json.loads, lines):
                    if isinstance(document, str):       # a packed record of several lines
                        document = json.loads(document)
                    told = [t for t in texts(document) if TELLS.search(t)]
                    self.assertEqual(told, [], f"{file}: record it with `lab run --redact`")
                    self.assertIsNot(document.get("redacted"), False, file)

    def test_records_only(self):
        for folder in CAMPAIGNS:
            for file in folder.rglob("*"):
                known = file.is_dir() or file.suffix in (".json", ".jsonl", ".xz", ".toml")
                self.assertTrue(known or {"locks", "figures"} & set(file.parts), f"{file}: not a record")

    def test_it_stays_small(self):
        size = sum(f.stat().st_size for c in CAMPAIGNS for f in c.rglob("*.json*"))
        self.assertLess(size, BYTES_MOST)


class Costs(unittest.TestCase):
    """The cost table of virtual time that is built into shunt."""

    def calibrated(self, campaigns: tuple[str, ...], code: int) -> str:
        done = lab("calibrate", *(REFERENCE / campaign for campaign in campaigns))
        if b"this needs Python's" in done.stderr:
            self.skipTest(done.stderr.decode())
        self.assertEqual(done.returncode, code, done.stderr)
        return (done.stdout + done.stderr).decode()

    def test_the_table_is_that_of_its_campaign(self):
        self.assertEqual(self.calibrated(("costs", "looks"), 0), (ROOT / "experiments" / "reference.costs").read_text())

    def test_another_campaign_is_refused(self):
        self.assertIn("a campaign of 'quickstart'; a cost table is made from one of `costs` and one of `looks`",
                      self.calibrated(("quickstart",), 2))

    def test_a_cost_without_a_run_is_named(self):
        both = [campaign.load_campaign(REFERENCE / name) for name in ("costs", "looks")]
        with self.assertRaisesRegex(costs.Incomplete, "no good run of look with few"):
            costs.table(both[:1])
        both[0].records = [r for r in both[0].records if r["arm"] != "awake"]
        with self.assertRaisesRegex(costs.Incomplete, "no good run of wake with awake"):
            costs.table(both)


def kinds_of(folder: Path) -> set[str]:
    return {f["kind"] for f in kept_plan.load_plan(folder)["figures"] or []}


def one_of_each_kind() -> list[Path]:
    """The smallest campaigns first, each for a kind of figure that those before do not have."""
    chosen, seen = [], set()
    for folder in sorted(CAMPAIGNS, key=lambda c: sum(f.stat().st_size for f in c.rglob("*.json*"))):
        if kinds_of(folder) - seen:
            chosen.append(folder)
            seen |= kinds_of(folder)
    return chosen


def dealt(campaigns: list[Path]) -> list[Path]:
    seed = int(os.environ.get("SHUNT_SEED") or random.SystemRandom().randrange(1000))
    chosen = campaigns[seed % 3::3]
    print(f"{', '.join(c.name for c in chosen)} of {len(campaigns)}: SHUNT_SEED={seed}", flush=True)
    return chosen


def lab(*words: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(ROOT / "experiments" / "lab"), *map(str, words)], capture_output=True,
                          env={**os.environ, "SHUNT_PYTHON": sys.executable}, timeout=600)


class Figures(unittest.TestCase):
    def setUp(self):
        try:
            import matplotlib
            import scipy  # noqa: F401
        except ImportError as e:
            self.skipTest(f"no {e.name}")
        self.matplotlib = matplotlib.__version__

    def test_readme_opens_with_a_figure_and_what_it_proves(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        opening = text[:text.index("\n## ")]
        kept = ROOT / re.search(r"!\[[^]]+\]\(([^)]+)\)", opening)[1]
        folder = kept.parents[1]
        self.assertIn(f"experiments/lab claims {folder.relative_to(ROOT)}`", opening)
        claim = json.loads(lab("claims", folder, "--json").stdout)["claims"][0]
        [found] = claim["findings"]
        self.assertEqual(claim["answer"], "confirmed")
        self.assertIn(f"over {found['pairs']} pairs of runs", " ".join(opening.split()))
        ratio, low, high = (f"{found[k]:.3g}" for k in ("ratio", "low", "high"))
        self.assertIn(f"{ratio} [{low}, {high}] times", opening)
        if self.matplotlib != "3.6.3":
            self.skipTest(f"the figure was drawn by matplotlib 3.6.3, this is {self.matplotlib}")
        with tempfile.TemporaryDirectory() as out:
            done = lab("figures", folder, "--figure", kept.stem, "--formats", "png", "--out", out)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(Path(out, kept.name).read_bytes(), kept.read_bytes(),
                             f"draw it anew: make -f Makefile.plot figures CAMPAIGN={folder}")

    def test_they_are_rebuilt_byte_for_byte(self):
        for tool in ("make", "pdffonts"):
            if not shutil.which(tool):
                self.skipTest(f"no {tool}")
        for folder in CAMPAIGNS if sys.argv[2:3] == ["all"] else dealt(one_of_each_kind()):
            with self.subTest(folder.name), tempfile.TemporaryDirectory() as out:
                done = subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile.plot"), "check",
                                       f"CAMPAIGN={folder}", f"OUT={out}", f"PYTHON={sys.executable}"],
                                      capture_output=True, text=True, timeout=600)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                declared = kept_plan.load_plan(folder)["figures"] or [{}]
                self.assertGreaterEqual(len(list(Path(out, "grey").iterdir())), len(declared))


if __name__ == "__main__":
    chosen = [Figures] if sys.argv[1:2] == ["figures"] else [Kept, Costs]
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, chosen))
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    if result.skipped and result.testsRun == len(result.skipped):
        print(f"skipped: {result.skipped[0][1]}")
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
