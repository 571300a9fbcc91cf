# SPDX-License-Identifier: MIT
# quickstart and selftest say at once what keeps them from working, and how to help it.
"""Tests of quickstart, selftest and setup.sh in a folder that is no tree: nothing is built here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ("quickstart", "selftest", "setup.sh", "packages.txt")


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="shunt scripts ")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "experiments").mkdir()
        for name in FILES:
            shutil.copy2(HERE.parent / name, self.root / "experiments")

    def call(self, script: str, *words: str, code: int, **environment: str) -> str:
        done = subprocess.run([str(self.root / "experiments" / script), *words], text=True, timeout=100, cwd=self.root,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "NO_COLOR": "1", **environment})
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_unknown_words(self):
        for script, word, wanted in (("quickstart", "--fast", "unknown option"), ("selftest", "--al", "unknown option"),
                                     ("selftest", "--leg", "no leg"), ("quickstart", "now", "unknown option")):
            self.assertIn(wanted, self.call(script, word, code=2))

    def test_a_tree_that_takes_no_files(self):
        for script, folder in (("quickstart", "results"), ("quickstart", "build"), ("selftest", "build")):
            (self.root / folder).write_text("in the way")
            said = self.call(script, "--no-install", code=1)
            self.assertRegex(said, f"Cannot write to {folder}(/logs)? of .*: make it writable or make room")
            self.assertLessEqual(len(said.splitlines()), 3, said)
            (self.root / folder).unlink()
            shutil.rmtree(self.root / "build", ignore_errors=True)

    def test_a_build_that_fails_says_where(self):
        said = self.call("quickstart", "--no-install", code=1)      # there is no CMakePresets.json
        self.assertIn("The build failed: build/logs/quickstart.log", said)
        self.assertNotIn("The disk is full", said)
        (self.root / "CMakeLists.txt").write_text('message(FATAL_ERROR "No space left on device")')
        shutil.copy2(HERE.parents[1] / "CMakePresets.json", self.root)
        self.assertIn("The disk is full: make room", self.call("quickstart", "--no-install", code=1))

    def test_a_log_is_told_that_it_is_alive(self):
        (self.root / "experiments" / "alive").write_text(
            '#!/usr/bin/env bash\n. "$(dirname "$0")/setup.sh"\nTELL_EVERY_S=2\n'
            "logged build/logs/leg.log bash -c 'echo 3/9 Test 3: good; sleep 5' >kept\necho end\n")
        (self.root / "experiments" / "alive").chmod(0o755)
        said = self.call("alive", code=0)
        self.assertRegex(said, r"^(  leg, \d+ s: 3/9 Test 3: good\n){1,2}end\n$")

    def test_npm_is_asked_once_and_may_fail(self):
        (self.root / "npm").write_text(
            '#!/bin/sh\necho "$@" >>asked; mkdir -p "$3/node_modules/hdr-histogram-js"; exit 1\n')
        (self.root / "experiments" / "once").write_text(
            '#!/usr/bin/env bash\n. "$(dirname "$0")/setup.sh"\ninstall_npm\ninstall_npm\n')
        for file in ("npm", "experiments/once"):
            (self.root / file).chmod(0o755)
        said = self.call("once", code=0, PATH=f"{self.root}:{os.environ['PATH']}")
        self.assertRegex(said, r"about to install hdr-histogram-js@\S+ in build/npm\nnpm: could not install .*\n$")
        self.assertEqual(len((self.root / "asked").read_text().splitlines()), 1)

    def test_a_seed_that_is_none(self):
        self.assertIn("SHUNT_SEED=x1 is not a number", self.call("selftest", "--no-install", "--torture", "1", code=2,
                                                                 SHUNT_SEED="x1"))

    def test_a_python_that_is_too_old(self):
        old = self.root / "python3.8"
        old.write_text("#!/bin/sh\nexec python3 -c 'import sys; sys.version_info = (3, 8, 1); sys.argv.pop(1); "
                       "exec(sys.argv.pop(1))' \"$@\"\n")
        old.chmod(0o755)
        shutil.copy2(HERE.parent / "lab", self.root / "experiments")
        self.assertRegex(self.call("lab", "list", code=4, SHUNT_PYTHON=str(old)),
                         r"^lab: \S+ is Python 3\.8; 3\.9 or later is needed")


if __name__ == "__main__":
    unittest.main()
