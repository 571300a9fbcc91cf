#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the policies that CONTRIBUTING.md gives in full compile without a warning.

    recipes.py COMPILER BUILD_FOLDER
"""
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COMPILER, BUILD = sys.argv[1:3]
ROOT = Path(__file__).resolve().parents[3]


class Recipes(unittest.TestCase):
    def test_each_policy_compiles(self) -> None:
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        policies = [block for block in re.findall(r"```c\n(.*?)```", text, re.DOTALL) if "SHUNT_POLICY" in block]
        self.assertEqual(len(policies), 2)
        for policy in policies:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "policy.c"
                file.write_text(policy, encoding="utf-8")
                done = subprocess.run([COMPILER, "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                                       "-Werror", f"-I{ROOT}", f"-I{BUILD}", "-c", str(file), "-o", "/dev/null"],
                                      capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), policy.splitlines()[1])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
