# SPDX-License-Identifier: MIT
"""`lab calibrate`: the cost table of virtual time, from a campaign of the experiment `costs`."""

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
# `experiments/lab calibrate` from a campaign of experiments/costs.toml; core/engine/cost.h explains.
"""


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "calibrate", help="the cost table of virtual time, from a campaign of `costs`",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Write what the scheduler's acts take on a machine as a table for virtual time:

  lab run costs                   measure them here (about a minute)
  lab calibrate results/costs-… --out mine.costs
  shunt run sim:workers=64,wait.cost=mine.costs openloop load=51""")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--out", metavar="FILE", default="-", help="where to (default: stdout)")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    loaded = campaign.load_campaign(args.campaign)
    if loaded.name != "costs":
        raise UsageError(f"{args.campaign}: a campaign of {loaded.name!r}; a cost table is made from one of `costs` "
                         "(lab run costs)")
    try:
        made = costs.table(loaded)
    except costs.Incomplete as e:
        raise UsageError(str(e)) from None
    machine = "; ".join(points.machine_labels([loaded]).values())
    text = HEAD + f"of      mn on {machine}\n" + "".join(f"{cost:7} {law}\n" for cost, law in made.items())
    if args.out == "-":
        sys.stdout.write(text)
    else:
        with replacing(Path(args.out)) as draft:
            draft.write_text(text, encoding="utf-8")
    return campaign.status_with([loaded], 0)
