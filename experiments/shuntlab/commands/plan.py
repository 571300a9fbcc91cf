# SPDX-License-Identifier: MIT
"""`lab plan`: freeze an experiment, or show what it would be."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from ..planning import drivers, kept_plan, schedule
from ..planning.toml_spec import load
from ..running import opening, selecting
from ..tools.naming import lab
from ..tools.trust import Trust


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "plan", help="freeze an experiment into a campaign folder, or show what it would be",
        description="Freeze an experiment: every run, its order and its seed are decided and "
                    "written to a campaign folder, which `lab run` then works off. With --dry-run, "
                    "--list or --commands nothing is written.",
        epilog="A plan is a contract: several machines may run blocks of one copy of it "
               "(`lab run FOLDER --block 1-10`).")
    p.add_argument("target", metavar="EXPERIMENT",
                   help="a .toml file, the name of an experiment (see `lab list`), or a campaign")
    add_planning_options(p)
    p.add_argument("--list", action="store_true", help="list the points, and write nothing")
    p.add_argument("--commands", action="store_true",
                   help="print the command of every run, in order, and write nothing")
    p.add_argument("--json", action="store_true", help="print the plan itself as JSON")
    p.set_defaults(run=command)


def add_planning_options(p: argparse.ArgumentParser) -> None:
    """What `plan` and `run` share."""
    p.add_argument("--out", default="", metavar="DIR",
                   help="the campaign's folder (default: results/EXPERIMENT-DATE)")
    p.add_argument("--new", action="store_true", help="a new campaign even where one can be resumed")
    p.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    p.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE",
                   help="only these runs: arm=asm, workload=ring, tasks>=100, point=…; may be given "
                        "again (all must hold)")
    p.add_argument("--shunt", default="", metavar="PATH",
                   help="the shunt to run (default: $SHUNT_BIN, then build/release/shunt)")
    p.add_argument("--trust", action="store_true",
                   help="start the drivers and load the plug-ins that the experiment brings without asking")
    p.add_argument("--cpus", default="", metavar="LIST",
                   help="confine every run to these CPUs: all, or a list like 0,2-3")


def show_only(args: argparse.Namespace) -> bool:
    return bool(args.dry_run or args.list or args.commands or args.json)


def preview(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The plan of a target, without writing anything."""
    path = opening.Path(args.target)
    if opening.is_campaign(path):
        return kept_plan.load_plan(path), []
    e = load(opening.find_experiment(args.target))
    frozen = opening.freeze(e, args.shunt, args.cpus, consent=Trust(args.trust))
    return frozen.plan, frozen.notes


def command(args: argparse.Namespace) -> int:
    if not show_only(args):
        folder, notes = opening.open_target(args.target, args.shunt, args.cpus, args.out, args.new,
                                            Trust(args.trust))
        for line in notes:
            print(line, file=sys.stderr)
        print(opening.describe(kept_plan.load_plan(folder)))
        print(f"frozen in {opening.shown(folder)}; run it with "
              f"`{lab('run', opening.shown(folder))}`")
        return 0
    the_plan, notes = preview(args)
    for line in notes:
        print(line, file=sys.stderr)
    if args.json:
        json.dump(the_plan, sys.stdout, indent=1, ensure_ascii=False)
        print()
    elif args.commands:
        print_commands(the_plan, args)
    else:
        print_points(the_plan, args)
    return 0


def wanted_runs(the_plan: dict[str, Any], filters: list[str], blocks: list[str]
                ) -> list[tuple[dict[str, Any], str]]:
    """(block, arm) of every run that is meant, in the plan's order."""
    wanted = selecting.parse_filters(filters, the_plan)
    named = selecting.parse_blocks(blocks, the_plan)
    points = {p["id"]: p for p in the_plan["points"]}
    return [(b, arm) for b in the_plan["blocks"] for arm in b["order"]
            if (named is None or b["id"] in named) and wanted(points[b["point"]], b, arm)]


def print_commands(the_plan: dict[str, Any], args: argparse.Namespace) -> None:
    the_plan = drivers.with_own_plugins(Path(args.target), the_plan)
    rows = {a["name"]: a for a in the_plan["arms"]}
    found = drivers.find({r["driver"] for r in rows.values()}, the_plan.get("commands", {}),
                         args.shunt)
    for block, arm in wanted_runs(the_plan, args.filter, []):
        driver = found[rows[arm]["driver"]]
        words = (driver.command or [driver.name]) + schedule.run_arguments(the_plan, block, arm)
        print(shlex.join(words))


def print_points(the_plan: dict[str, Any], args: argparse.Namespace) -> None:
    runs = wanted_runs(the_plan, args.filter, [])
    print(opening.describe(the_plan))
    print(f"  {the_plan['experiment']['question']}")
    meant = {(b["point"], arm) for b, arm in runs}
    for point in the_plan["points"]:
        arms = [a for a in point["arms"] if (point["id"], a) in meant]
        if arms:
            print(f"  {point['id']}: {' '.join(arms)}")
        for out in point["excluded"]:
            print(f"    without {out['arm']}: {out['why']}")
    if args.filter:
        print(f"{len(runs)} runs match the filter")
