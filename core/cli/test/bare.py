#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a machine that says nothing about itself (no /proc, no /sys) can run measurements. What
is not known is absent from the record, with the reason."""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from command import SHUNT, Called, CommandTest, main

# In a name space of its own, where an empty folder lies over each of the two.
BARE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
        'mount -t tmpfs none /proc && mount -t tmpfs none /sys && exec "$@"', "sh")


class Bare(CommandTest):
    def bare(self, *words: str | Path) -> Called:
        return Called(subprocess.run([*BARE, SHUNT, *map(str, words)], capture_output=True, text=True,
                                     env=self.environment, timeout=100))

    def test_runs_are_recorded(self) -> None:
        for backend in ("ucontext", "threads"):
            kept = self.folder / f"{backend}.json"
            called = self.bare("run", backend, "yield", "switches=1k", "--iters", "1", "--record", kept)
            self.assertEqual(called.status, 0, called.err)
            record = self.record(kept)
            self.assertEqual(record["status"], "ok")
            for at in record["interference"].values():      # the probe asks the processor, not the kernel
                self.assertEqual(set(at), {"throughput_ns", "latency_ns"})
                self.assertGreater(min(at.values()), 0)

    def test_what_is_not_known_is_said(self) -> None:
        called = self.bare("doctor")
        self.assertEqual(called.status, 0, called.err)
        self.assertRegex(called.out, r"(?m)^  memory +not known$")
        self.assertRegex(called.out, r"(?m)memory maps +not known$")


if __name__ == "__main__":
    if "-fsanitize" in subprocess.run([SHUNT, "version"], capture_output=True, text=True).stdout:
        print("a sanitizer cannot do without /proc", file=sys.stderr)
        sys.exit(77)
    able = shutil.which("unshare") and subprocess.run([*BARE, "true"], capture_output=True).returncode == 0
    if not able:
        print("no name space of our own here", file=sys.stderr)
        sys.exit(77)
    main()
