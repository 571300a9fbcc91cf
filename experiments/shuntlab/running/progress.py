# SPDX-License-Identifier: MIT
"""Progress: what runs now, how far it is, and when it will be done.

On a terminal it is one line, drawn anew for each run. A log gets a line a minute, and each failure
once. The estimate is the mean time of the runs of the same kind so far, and of all runs for kinds not
seen.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, TextIO

from ..tools.units import show_span


LOG_EVERY_S = 60.0


def kind_of(point: dict[str, Any], arm: str) -> str:
    return f"{point['id']} {arm}"


class Progress:
    def __init__(self, out: TextIO | None = None, quiet: bool = False):
        self.out = out = out or sys.stderr
        self.drawn = out.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not quiet
        self.quiet = quiet
        self.total = self.finished = 0
        self.spent: dict[str, list[float]] = {}
        self.waiting: dict[str, int] = {}
        self.seen: set[str] = set()
        self.line_open = False
        self.running = ""
        self.logged = time.monotonic()

    def start(self, ahead: list[str], before: int) -> None:
        """`ahead` names the kind (point and arm) of every run to come."""
        self.total = len(ahead)
        for kind in ahead:
            self.waiting[kind] = self.waiting.get(kind, 0) + 1
        if not self.quiet:
            done = f", {before} already done" if before else ""
            self.say(f"{self.total} run{'s' if self.total != 1 else ''} to do{done}")

    def more(self, kind: str) -> None:
        self.total += 1
        self.waiting[kind] = self.waiting.get(kind, 0) + 1

    def begin(self, block: dict[str, Any], point: dict[str, Any], arm: str) -> None:
        self.running = f"{block['id']}  {arm}  {point['id']}"
        if self.drawn:
            self.draw()

    def tick(self) -> None:
        """Called now and then, also while a run takes long: says in a log that it is alive."""
        if not self.drawn and not self.quiet and time.monotonic() - self.logged >= LOG_EVERY_S:
            self.logged = time.monotonic()
            self.say(self.state())

    def end(self, block: dict[str, Any], point: dict[str, Any], arm: str, status: str,
            reason: str, elapsed_s: float) -> None:
        self.finished += 1
        kind = kind_of(point, arm)
        self.waiting[kind] = self.waiting.get(kind, 1) - 1
        self.spent.setdefault(kind, []).append(elapsed_s)
        self.tick()
        if self.quiet:
            return
        if status not in ("ok", "skipped") and f"{kind}{reason}" not in self.seen:
            self.seen.add(f"{kind}{reason}")
            self.say(f"{status}: {block['id']} {arm} on {point['id']}: {reason}")
        elif status == "skipped" and f"{arm}{reason}" not in self.seen:
            self.seen.add(f"{arm}{reason}")
            self.say(f"skipped: {arm} on {point['id']}: {reason}")

    def left_s(self) -> float | None:
        """Seconds to go, or None before there is anything to go by."""
        times = [t for many in self.spent.values() for t in many]
        if not times:
            return None
        usual = sum(times) / len(times)
        means = {kind: sum(many) / len(many) for kind, many in self.spent.items()}
        return sum(n * means.get(kind, usual) for kind, n in self.waiting.items())

    def state(self) -> str:
        left = self.left_s()
        when = f"{show_span(left)} left" if left is not None else "estimating"
        share = 100 * self.finished // self.total if self.total else 100
        return f"{share:3d} %  {self.finished}/{self.total}  {when}  {self.running}"

    def draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.out.write("\r\x1b[K" + self.state()[:width])
        self.out.flush()
        self.line_open = True

    def say(self, text: str) -> None:
        if self.line_open:
            self.out.write("\r\x1b[K")
            self.line_open = False
        self.out.write(text + "\n")
        self.out.flush()

    def stop(self) -> None:
        if self.line_open:
            self.out.write("\r\x1b[K")
            self.out.flush()
            self.line_open = False
