# SPDX-License-Identifier: MIT
"""`shunt lab`: the command line. Each command is a module of commands/ with register(subparsers).

A module is imported only when its command is asked for: planning and running need nothing beyond
the standard library, comparing and reporting need scipy. Exit status: 0 ok, 1 a claim is refuted or a
gate found a regression, 2 usage or a gate without an answer, 3 some runs failed, 4 the environment
refused, 5 data corrupt, 70 a fault of the lab itself, 130 or 143 interrupted and resumable, 141 the
reader of its output has left.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib
import json
import os
import re
import signal
import sys
import traceback
from typing import Any

from .data.records import RecordError
from .planning.experiment import SpecError, nearest
from .planning.kept_plan import CampaignError, Damaged
from .running.opening import UsageError
from .tools.files import FileRefused
from .tools.naming import program_name
from .tools.trust import Refused

# name and module, what `lab --help` says. In the order in which one uses them.
COMMANDS = (
    ("new", "write a commented experiment to start from"),
    ("list", "the experiments that come with shunt"),
    ("plan", "freeze an experiment into a campaign folder, or show what it would be"),
    ("run", "run what a campaign still lacks; a second run resumes"),
    ("submit", "run a campaign in tasks, on the nodes of a cluster"),
    ("status", "how far a campaign is, what failed, and the command of any run"),
    ("compare", "which arm is faster, by how much, and how sure that is"),
    ("gate", "is a new build of shunt slower than an old one? for CI"),
    ("claims", "answer the experiment's expectations: confirmed, refuted, inconclusive"),
    ("figures", "draw a campaign's figures, or say what kinds and keys there are"),
    ("report", "one HTML page: figures, verdicts, machine, commands"),
    ("calibrate", "the cost table of virtual time, from a campaign of `costs`"),
    ("export", "the records as CSV, JSON Lines, SQLite or .hlog"),
    ("verify", "check every file of a campaign; nothing damaged is read as data"),
    ("merge", "put campaigns of several machines into one"),
    ("pack", "keep a finished campaign's records in one compressed file"),
    ("artifact", "one file for reviewers: source, records, figures, claims, and its check"),
    ("index", "write experiments/claims.md: each claim, its command, minutes and figure"),
)

DESCRIPTION = """\
Experiments on schedulers: a question in a TOML file becomes a frozen plan, the
plan becomes one record a run, the records become tables, figures and answers."""

EXAMPLES = """\
from a question to a figure:
  lab new mine.toml               write a commented template, then edit it
  lab plan mine.toml --dry-run    what would be run; --commands: every command
  lab run mine.toml               freeze the plan and run it; again: resume
  lab compare results/mine-…      the verdicts, in the terminal
  lab report results/mine-…       one HTML page with figures
  lab figures --kinds             what kinds of figure there are
  make -f Makefile.plot figures CAMPAIGN=results/mine-…
                                  the figures for a paper

with what comes with shunt:
  lab list                        the experiments, each with its question
  lab run smoke                   every workload on every backend, tiny

in the CI of a scheduler of one's own:
  lab gate build/old build/new    exits 1 where the new build is slower

campaigns go to results/, or to the folder that $SHUNT_RESULTS names

exit status: 0 ok, 1 a claim is refuted or a gate found a regression, 2 usage
or a gate without an answer, 3 some runs failed, 4 the environment or the user
refused, or $SHUNT_PYTHON names no program, 5 data corrupt, 70 a fault of the
lab itself, 130 or 143 interrupted (run again to resume), 141 the reader has
left
"""


class Parser(argparse.ArgumentParser):
    """argparse, with the nearest name for an option it does not know."""

    takes_rest = ""     # where what follows "--" is kept as it is

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        kept: list[str] = []
        if self.takes_rest and "--" in args:
            args, kept = args[:args.index("--")], args[args.index("--") + 1:]
        found, rest = super().parse_known_args(args, namespace)
        if self.takes_rest:
            setattr(found, self.takes_rest, kept)
        if rest:
            known = [o for a in self._actions for o in a.option_strings]
            word = rest[0].partition("=")[0]
            what = "option" if word.startswith("-") else "argument"
            self.error(f"unknown {what} {word}{nearest(word, known)}")
        return found, rest

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}\n  `{self.prog} --help` explains\n")


class Visible:
    """A terminal that gets no control character but those of the lab's own: names and reasons come
    from files, and could move the cursor or rename the window."""

    HARM = re.compile(r"\x1b(?!\[K)|[\x00-\x08\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")

    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(self.HARM.sub("\ufffd", text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Unheard(Visible):
    """Standard error, which may be closed, full, or a pipe whose reader has gone: what the lab has to
    say is then lost, and is no reason to end a campaign."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.flush()


def build(words: list[str]) -> Parser:
    parser = Parser(prog=program_name(), description=DESCRIPTION, epilog=EXAMPLES,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    asked = next((w for w in words if not w.startswith("-")), "")
    for name, summary in COMMANDS:
        if name == asked:
            importlib.import_module(f"{__package__}.commands.{name}").register(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


COLLECT_EVERY = 200_000     # new objects; a million records have tens of millions, and hardly a cycle


def main(words: list[str] | None = None) -> int:
    gc.set_threshold(COLLECT_EVERY)     # Python's 700 takes a third of the time of a large campaign
    words = sys.argv[1:] if words is None else words
    sys.stderr = Unheard(sys.stderr or open(os.devnull, "w", encoding="utf-8"))
    if sys.stdout is None:
        print(f"{program_name()}: standard output is closed", file=sys.stderr)
        return 4
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")    # a locale without a ×
    if sys.stdout.isatty():
        sys.stdout = Visible(sys.stdout)
    try:
        return _main(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)     # drops what is still buffered
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()       # Python's own status for it is 1, which means refuted
        return 70


# Where nothing may be written.
_OTHER_PLACE = {"run": "; --out or $SHUNT_RESULTS names another folder",
                "plan": "; --out or $SHUNT_RESULTS names another folder",
                "submit": "; you, here and on the nodes, must be able to write to the campaign's folder"}


def _main(words: list[str]) -> int:
    names = [name for name, _ in COMMANDS]
    asked = next((w for w in words if not w.startswith("-")), "")
    if asked and asked not in names:
        return _complain(words, 2, [f"no command {asked!r}{nearest(asked, names)}"
                                    f" (there are {', '.join(names)})"])
    try:
        args = build(words).parse_args(words)
        if not getattr(args, "run", None):
            build([]).print_help()
            return 0 if not words else 2
        code = args.run(args)
        sys.stdout.flush()
        return code
    except SpecError as e:
        return _complain(words, 2, e.problems)
    except UsageError as e:
        return _complain(words, 2, [str(e)])
    except FileRefused as e:
        return _complain(words, 5, [f"{e.filename}: {e.strerror}"])
    except (Damaged, RecordError) as e:
        return _complain(words, 5, [str(e)])
    except CampaignError as e:
        return _complain(words, 2, [str(e)])
    except Refused as e:
        return _complain(words, 4, [str(e)])
    except ModuleNotFoundError as e:
        missing = (e.name or "").partition(".")[0]
        if missing not in ("scipy", "numpy", "matplotlib"):
            raise
        return _complain(words, 4, [f"this needs Python's {missing} (Debian: apt-get install "
                                    f"python3-{missing}); running and exporting do not"])
    except BrokenPipeError:
        raise
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            return _complain(words, 4, ["the disk is full. Every finished run is kept; make room "
                                        "and give the same command again"])
        name = f"{e.filename}: " if e.filename else ""
        other = _OTHER_PLACE.get(asked, "") if e.errno in (errno.EACCES, errno.EROFS, errno.EPERM) else ""
        return _complain(words, 4, [f"{name}{e.strerror or e}{other}"])


def _complain(words: list[str], code: int, problems: list[str]) -> int:
    if "--json" in words:
        with contextlib.suppress(OSError):      # it may be why we complain
            json.dump({"schema": "shunt.error/1", "exit": code, "problems": problems}, sys.stdout)
            sys.stdout.write("\n")
            sys.stdout.flush()
    for text in problems:
        print(f"{program_name()}: {text}", file=sys.stderr)
    return code
