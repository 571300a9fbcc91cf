# SPDX-License-Identifier: MIT
"""`lab calibrate`: the cost table of virtual time, from campaigns of the experiments `costs` and `looks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..planning import campaign
from ..running.opening import UsageError
from ..statistics import costs, points
from ..tools.files import replacing

HEAD = """\
# What a scheduler's acts take, in nanoseconds, for virtual time (sim:wait.cost=FILE). Made by
# `experiments/lab calibrate` from campaigns of costs.toml and looks.toml; core/engine/cost.h explains.
"""
MADE_FROM = ("costs", "looks")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "calibrate", help="the cost table of virtual time, from campaigns of `costs` and `looks`",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Write what the scheduler's acts take on a machine as a table for virtual time:

  lab run costs                   measure them here (about a minute each)
  lab run looks
  lab calibrate results/costs-… results/looks-… --out mine.costs
  shunt run sim:workers=64,wait.cost=mine.costs openloop load=51""")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path, nargs="+")
    p.add_argument("--out", metavar="FILE", default="-", help="where to (default: stdout)")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    loaded = [campaign.load_campaign(path) for path in args.campaign]
    for one in loaded:
        if one.name not in MADE_FROM:
            raise UsageError(f"{one.path}: a campaign of {one.name!r}; a cost table is made from one of `costs` and "
                             "one of `looks` (lab run costs, lab run looks)")
    try:
        made = costs.table(loaded)
    except costs.Incomplete as e:
        raise UsageError(str(e)) from None
    machine = "; ".join(dict.fromkeys(points.machine_labels(loaded).values()))
    text = HEAD + f"of      mn on {machine}\n" + "".join(f"{cost:7} {law}\n" for cost, law in made.items())
    if args.out == "-":
        sys.stdout.write(text)
    else:
        with replacing(Path(args.out)) as draft:
            draft.write_text(text, encoding="utf-8")
    return campaign.status_with(loaded, 0)
