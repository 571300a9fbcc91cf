# SPDX-License-Identifier: MIT
"""`lab new`: a commented experiment to start from. The text below is the manual of the format."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from ..running.opening import UsageError
from ..tools.naming import lab

TEMPLATE = '''\
# SPDX-License-Identifier: MIT
#
# An experiment: a question, what you expect, and the runs that answer it. It is data; nothing else
# has to be written. Check it with `lab plan {file} --dry-run`, run it with `lab run {file}`.
# Lines that begin with "#:" are switched off; take the "#:" away to use them.

title = "{title}"

# Both are required. Write the expectation before you run: a surprise is a result.
question = "What does a switch between two tasks cost on each backend?"
expectation = "ucontext makes a system call a switch, so it is several times slower than asm."

# The backends to compare, as `shunt run` takes them (`shunt list`, `shunt describe asm`). Any slot
# can be exchanged: "asm:wait=uring", "mn:workers=2,policy=shared". Each is one column, an "arm".
backends = ["asm", "ucontext"]

# The arm that the others are compared with. It runs twice in every block (the second time as
# "asm-again"): a difference between the two comes from the machine alone.
baseline = "asm"

# How often every point is repeated, each time in a fresh process, all arms of a repetition one
# right after another in random order. Ten settle a large effect in a dozen comparisons; 20 one of a
# few percent. The more comparisons at once, the more it takes (`lab plan` says when it is too few).
repetitions = 10

# Everything random comes from here: the inputs of the workloads and the order of the runs.
seed = 1

# Within a run: iterations that are not measured, and iterations that are.
warmup = 1
iters = 5

# A run that takes longer is ended and recorded as a timeout.
timeout = "60s"

# What answers the question, the headline first. Without this line: the workload's own cost.
# A metric ("ns_per_switch"), a quantile ("lateness.p99"), or what was counted by the kernel, the scheduler
# ("usage.peak_rss_bytes", "counters.steals") or the processor ("processor.instructions_per_op").
metrics = ["ns_per_switch"]

# Confine every run, foreign runtimes too, to these CPUs: "all", a number, or a list like "0,2-3".
cpus = "all"

# The histograms of latencies in the records, to 3 significant digits or to 2. With 2 a record is several
# times smaller (curves end up to 0.8 % further right; quantiles, extremes and means are the same).
#: digits = 2

# Plug-ins of your own, files beside this one; the plan freezes their build-ids, and the lab asks before it
# has them loaded (--trust for scripts).
#: plugins = ["build/mine.so"]

# Differences smaller than this are called the same.
margin = 0.02

# From here on there are [tables]; a plain setting written below one would belong to it.

# The longer form, for an arm that needs a name of its own, a reason, or a foreign runtime
# (drivers: shunt, asyncio, erlang, go, tokio).
#: [[arm]]
#: name = "asm-mxcsr"
#: backend = "asm:switch.fp=mxcsr"
#: why = "what the x87 control word costs"
#:
#: [[arm]]
#: name = "mn"
#: backend = "mn"
#: optional = true                  # a build without it leaves the arm out instead of refusing
#:
#: [[arm]]
#: name = "go"
#: driver = "go"
#:
#: [[arm]]                           # one arm for every combination that can run here
#: backend = "asm"
#: each = {{ switch = "all", wait = ["futex", "spin"] }}

# One or more workloads (`shunt describe yield` lists the parameters). A list is swept: every
# combination of the lists is one point. Values take units: 10k, 1M, 50us, 100ms. Ranges:
# "pow2..all" (1, 2, 4, … up to the number of CPUs), "pow10..100k", "1..8".
# A file (input) is looked for beside this one.
[[workload]]
name = "yield"
[workload.params]
tasks = [2, 100]
switches = "1M"

# Settings added to every arm's backend, swept like parameters.
#: [workload.backend]
#: workers = ["pow2..all"]

# Points that make no sense, each with its reason (which appears in the report).
#: [[exclude]]
#: arm = "threads"
#: where = {{ tasks = ">= 10k" }}
#: why = "10,000 kernel threads exceed the limits of most machines"

# What you expect, so that it can be answered: confirmed, refuted, inconclusive, or not testable on
# this machine (`lab claims`). The ratio is one arm's metric over another's.
[[expect]]
claim = "A switch in assembly is at least five times cheaper than ucontext's."
metric = "ns_per_switch"
ratio = ["ucontext", "asm"]
above = 5

# Figures that need no code: the kind is a script in experiments/plots/, the rest says what to
# draw. `make -f Makefile.plot figures CAMPAIGN=results/…` and `lab report` draw them.
[[figure]]
kind = "{figure}"
x = "tasks"
y = "ns_per_switch"
'''


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "new", help="write a commented experiment to start from",
        description="Write a commented experiment, ready to run, in which every setting is "
                    "explained where it stands.")
    p.add_argument("file", metavar="FILE.toml", type=Path)
    p.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    file: Path = args.file
    if file.suffix != ".toml":
        file = file.with_name(file.name + ".toml")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", file.stem):
        raise UsageError(f"{file.stem!r} becomes the experiment's name: use lower-case letters, "
                         "digits, _ and -")
    try:
        with open(file, "w" if args.force else "x", encoding="utf-8") as out:
            out.write(text(file))
    except FileExistsError:
        raise UsageError(f"{file} exists; --force overwrites it") from None
    print(f"wrote {file}\nnext: edit it; {lab('plan', file, '--dry-run')}; {lab('run', file)}")
    return 0


def text(file: Path) -> str:
    title = file.stem.replace("_", " ").replace("-", " ").capitalize()
    return TEMPLATE.format(file=file, title=title, figure="lines")
