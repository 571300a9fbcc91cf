#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, a storm of signals makes no run hang: it ends well, or by its timeout, and by SIGTERM."""
from __future__ import annotations

import os
import signal
import subprocess
import time

from command import FAULTS, SHUNT, CommandTest, main

EVERY_US = (50, 1000)
STARVING_US = 5     # on many machines there is no time for anything but the handler
SPECS = ("asm", "ucontext", "mn", "threads", "asm:wait=epoll", "uring", "uring-each")
HANG_S = 60


class Storm(CommandTest):
    def storm(self, every_us: int, after_ms: int = 0) -> None:
        self.environment.update(LD_PRELOAD=os.environ["SHUNT_STORM"], SHUNT_STORM_US=str(every_us),
                                SHUNT_STORM_AFTER_MS=str(after_ms))

    def test_a_run_ends(self) -> None:
        kept = self.folder / "record.json"
        for us in EVERY_US:
            self.storm(us)
            for spec in SPECS:
                with self.subTest(us=us, spec=spec):
                    called = self.call("run", spec, "chunked_sum", "items=1k", "tasks=10", "pause=1ms", "chunk=50",
                                       "--iters", "1", "--timeout", "10s", "--record", kept, "--force")
                    self.assertIn(called.status, (0, 3), called.err)
                    record = self.record(kept)
                    self.assertIn(record["status"], ("ok", "timeout", "skipped"), record.get("reason"))

    def test_the_timeout_holds_while_the_workers_starve(self) -> None:
        self.storm(STARVING_US, after_ms=3000)
        called = self.call("run", "asm", "stuck", "--timeout", "4s", program=FAULTS)
        self.assertEqual(called.status, 3)
        self.assertIn("not done after 4s", called.err)

    def test_sigterm_ends_what_starves_from_its_first_instruction(self) -> None:
        self.storm(STARVING_US)
        with subprocess.Popen([SHUNT, "run", "asm", "yield"], env=self.environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            try:
                self.assertIn(process.wait(HANG_S), (0, 143, -signal.SIGTERM))
            finally:
                process.kill()


if __name__ == "__main__":
    main()
