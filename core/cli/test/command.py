# SPDX-License-Identifier: MIT
"""What the tests of the command line share: calling it, and holding its records to their schema."""
from __future__ import annotations

import faulthandler
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from pathlib import Path
from typing import Any, Callable

SOURCE = Path(os.environ["SHUNT_SOURCE"])
SHUNT = os.environ["SHUNT_BIN"]
TEST_S = 300    # what still runs then hangs: it ends, and the trace names where
SEED = int(os.environ.get("SHUNT_SEED") or random.SystemRandom().randrange(1000))
FAULTS = os.environ["SHUNT_FAULTS"]  # the same program with workloads that go wrong
sys.path.insert(0, str(SOURCE / "experiments"))

from shuntlab.data import schema  # noqa: E402


# AddressSanitizer says this of every program that calls swapcontext.
NOISE = re.compile(r"==\d+==WARNING: ASan doesn't fully support makecontext/swapcontext .*\n")


class Called:
    def __init__(self, done: subprocess.CompletedProcess[str]):
        self.status, self.out, self.err = done.returncode, done.stdout, NOISE.sub("", done.stderr)

    def json(self) -> Any:
        return json.loads(self.out)


class CommandTest(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        faulthandler.dump_traceback_later(TEST_S, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = {**os.environ, "NO_COLOR": "1", "TMPDIR": str(self.folder)}
        if zlib.crc32(self.id().encode()) % 3 != SEED % 3:
            # LeakSanitizer's look takes as long as a short run: of a third of the tests, another one each time.
            self.environment["ASAN_OPTIONS"] = f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"

    def call(self, *words: str | Path, program: str = SHUNT, **more: Any) -> Called:
        more.setdefault("stdout", subprocess.PIPE)
        return Called(subprocess.run([program, *map(str, words)], stderr=subprocess.PIPE, text=True,
                                     env=self.environment, timeout=100, **more))

    def wait_for(self, test: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 100
        while not test():
            self.assertLess(time.monotonic(), deadline, f"waited for {what}")
            time.sleep(0.02)

    def refused(self, message: str, *words: str | Path, status: int = 2, program: str = SHUNT) -> None:
        """The call fails with that status and that message, and puts nothing on standard output."""
        called = self.call(*words, program=program)
        self.assertEqual(called.err, f"shunt: {message}\n")
        self.assertEqual(called.status, status)
        self.assertEqual(called.out, "")

    def record(self, path: Path) -> dict[str, Any]:
        """The record there, sound and with its manifest beside it."""
        record = json.loads(path.read_text())
        self.sound(record)
        manifest = path.parent / "env" / f"{record['env_id']}.json"
        self.assertTrue(manifest.is_file(), "the manifest is missing")
        return record

    def sound(self, record: dict[str, Any]) -> None:
        self.assertEqual(schema.check_run(record), [])


def main() -> None:
    if not schema.run_schema():
        sys.exit("no schema: is SHUNT_SOURCE the source tree?")
    for number in (signal.SIGINT, signal.SIGHUP):  # a job in the background may begin with these ignored
        signal.signal(number, signal.SIG_DFL)
    print(f"SHUNT_SEED={SEED}", file=sys.stderr, flush=True)
    unittest.main(verbosity=0)
