# SPDX-License-Identifier: MIT
"""Programs and plug-ins that an experiment or a campaign brings are started only with the user's consent.

A folder may come from a stranger, and a driver or a plug-in runs with the rights of whoever runs it. Each `lab run`
and `lab plan` shows such a command or file and asks before it first starts it; --trust answers for a script.
Nothing is remembered: a consent kept in the folder would be the stranger's to give.
"""

from __future__ import annotations

import shlex
import sys


class Refused(Exception):
    """The machine, the folder or the user does not allow it; the message says what to do."""


class Trust:
    """The consent of one command of the lab."""

    def __init__(self, given: bool):
        self.given = given
        self.agreed: set[tuple[str, ...]] = set()

    def ask(self, name: str, words: list[str], kind: str = "driver", is_a: str = "a program") -> None:
        """Return if this command may be started, or this plug-in loaded; else raise Refused."""
        if self.given or tuple(words) in self.agreed:
            return
        what = f"the {kind} {name} is {is_a} that does not come with shunt: {visible(words)}"
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            raise Refused(f"{what}. Look at what it does; --trust then starts it")
        print(f"{what}\nIt runs with all of your rights. Start it? [y/N] ", end="", file=sys.stderr,
              flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused(f"{name} was not started; nothing else can be done without it")
        self.agreed.add(tuple(words))


def visible(words: list[str]) -> str:
    """A command line in ASCII: no character that looks like another or turns the writing round."""
    return shlex.join(words).encode("ascii", "backslashreplace").decode()
