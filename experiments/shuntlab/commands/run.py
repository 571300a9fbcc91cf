# SPDX-License-Identifier: MIT
"""`lab run`: work off a frozen plan; the same command again resumes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

from ..planning import campaign, drivers, journal, kept_plan
from ..running import opening, selecting
from ..running.progress import Progress
from ..running.runner import Options, Runner, Tally
from ..tools import process
from ..tools.locks import Busy, MachineLock, this_machine
from ..tools.naming import lab
from ..tools.trust import Refused, Trust
from . import plan as planning


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "run", help="run what a campaign still lacks; a second run resumes",
        description="Run an experiment, or go on with a campaign. Each run is one process and "
                    "leaves one file; whatever ends the lab, nothing finished is lost and the "
                    "same command goes on. Failed and invalid runs are kept and not repeated "
                    "(--retry does); interrupted ones always are; skipped ones count as done.",
        epilog="$SHUNT_SCRATCH names a folder on this machine's own disk: a run writes there, and its "
               "finished record moves to the campaign. "
               "exit status: 0 all is run, 3 some runs failed, 4 refused or other labs still have "
               "blocks, 5 data corrupt, 130 interrupted")
    p.add_argument("target", metavar="EXPERIMENT",
                   help="a .toml file, the name of an experiment (see `lab list`), or a campaign")
    planning.add_planning_options(p)
    some = p.add_mutually_exclusive_group()
    some.add_argument("--block", action="append", default=[], metavar="N",
                      help="only these blocks: 7, 7-12 (several machines may share a campaign's folder)")
    some.add_argument("--share", default="", metavar="K/N",
                      help="only the blocks of task K of N; waits for the locks of a task that died "
                           "(`lab submit` starts the tasks)")
    p.add_argument("--retry", action="store_true", help="run failed, timed-out and invalid runs again")
    p.add_argument("--list", action="store_true", help="list the runs and their states; run nothing")
    p.add_argument("--accept-new-build", action="store_true",
                   help="go on although a driver was rebuilt since the plan was frozen")
    p.add_argument("--strict", action="store_true",
                   help="hand --strict to every run: refuse a noisy machine")
    p.add_argument("--redact", action="store_true",
                   help="keep host names, user names and paths out of all that is kept; a campaign "
                        "begun with it goes on with it")
    p.add_argument("--concurrent", action="store_true",
                   help="allow a second lab on this machine (it disturbs the timings of both)")
    p.add_argument("--quiet", action="store_true", help="say nothing but errors")
    p.add_argument("--json", action="store_true", help="the outcome as one JSON document")
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    if args.dry_run or args.list:
        return _show(args)
    trust = Trust(args.trust)
    if args.share:
        opening.await_campaign(Path(args.target))
    folder, notes = opening.open_target(args.target, args.shunt, args.cpus, args.out, args.new, trust)
    opening.must_take_runs(folder)
    say = (lambda text: None) if args.quiet else (lambda text: print(text, file=sys.stderr))
    for line in notes:
        say(line)
    the_plan = drivers.with_own_plugins(folder, kept_plan.load_plan(folder))
    say(f"{opening.describe(the_plan)}\ncampaign: {opening.shown(folder)}")
    found = find_drivers(folder, the_plan, args.shunt, trust, args.accept_new_build)
    cpus = opening.resolve_cpus(opening.typed_cpus(args.cpus) or the_plan["cpus"])
    _check_cpus(folder, cpus)
    blocks = selecting.parse_share(args.share, the_plan) if args.share else \
        selecting.parse_blocks(args.block, the_plan)
    options = Options(cpus, args.retry, blocks,
                      selecting.parse_filters(args.filter, the_plan), args.strict,
                      args.redact or any(s.get("redacted") for s in journal.starts(folder)),
                      waits=bool(args.share))
    with machine_lock(args.concurrent), _scratch() as options.scratch, process.Stop() as stop:
        runner = Runner(folder, the_plan, found, options, Progress(quiet=args.quiet), stop)
        tally = runner.run({
            "seal": the_plan["seal"], "cpus": process.show_cpus(cpus),
            "affinity": process.show_cpus(process.allowed_cpus()),
            "drivers": drivers.builds(found)})
        return _conclude(args, folder, the_plan, runner, tally, stop.signal)


# -- before --

def find_drivers(folder: Path, the_plan: dict[str, Any], shunt: str, trust: Trust,
                 accept: bool) -> dict[str, drivers.Driver]:
    """The drivers that the runs of a campaign need, each of a build that it may go on with."""
    used = {arm for block in the_plan["blocks"] for arm in block["order"]}
    wanted = {a["driver"] for a in the_plan["arms"] if a["name"] in used} | set(the_plan["drivers"])
    found = drivers.find(wanted, the_plan["commands"], shunt, trust, drivers.files_of(the_plan))
    _check_builds(folder, the_plan, found, accept)
    return found


def _check_builds(folder: Path, the_plan: dict[str, Any], found: dict[str, drivers.Driver],
                  accept: bool) -> None:
    gone = [d.absent for d in found.values() if d.absent]
    if gone:
        brings = f"; a copy of a plug-in may lie in {folder / drivers.OWN}" if the_plan.get("plugins") else ""
        raise Refused("; ".join(gone) + brings)
    accepted = [s["drivers"] for s in journal.starts(folder) if "drivers" in s]
    now = drivers.builds(found)
    if accept or now in accepted:
        return
    changed = drivers.changed(the_plan, found)
    if changed:
        raise Refused(
            f"{'; '.join(changed)}. A campaign compares builds only with themselves. Rebuild what "
            f"it was frozen with, or start anew (`{lab('run')} … --new`), "
            "or go on with --accept-new-build (blocks that are half done are then run again whole)")


def _check_cpus(folder: Path, cpus: list[int]) -> None:
    """Within one machine every run of a campaign is confined to the same CPUs."""
    mine = [s["cpus"] for s in journal.starts(folder) if s.get("boot") == this_machine() and "cpus" in s]
    now = process.show_cpus(cpus)
    if mine and mine[-1] != now:
        raise Refused(f"{folder}: so far the runs on this machine were confined to CPUs {mine[-1]}, "
                      f"now it would be {now}; give --cpus {mine[-1]}, or --new for a new campaign")


@contextlib.contextmanager
def _scratch() -> Iterator[Path | None]:
    """A folder of this session's own in $SHUNT_SCRATCH; None where that is not set."""
    place = os.environ.get("SHUNT_SCRATCH", "")
    if not place:
        yield None
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="shunt-", dir=place)
    except OSError as e:
        raise Refused(f"$SHUNT_SCRATCH={place}: {e.strerror}; name a folder on this machine's own disk, "
                      "or unset it") from None
    with folder as made:
        yield Path(made)


def machine_lock(concurrent: bool) -> Any:
    try:
        return contextlib.nullcontext() if concurrent else MachineLock().take()
    except Busy as e:
        raise Refused(f"another lab runs on this machine: {e}; two at once would disturb each other. "
                      "Wait for it, or stop it (Ctrl-C) and run again, or give --concurrent") from None


def _show(args: argparse.Namespace) -> int:
    """--list and --dry-run: the runs and their states."""
    the_plan, notes = planning.preview(args)
    for line in notes:
        print(line, file=sys.stderr)
    path = Path(args.target)
    done = campaign.done_runs(path) if opening.is_campaign(path) else {}
    runs = [(block, arm, done.get((block["id"], arm), "to do"))
            for block, arm in planning.wanted_runs(the_plan, args.filter, args.block)]
    if args.json:
        json.dump({"schema": "shunt.runs/1", "runs": [
            {"block": block["id"], "arm": arm, "point": block["point"], "repetition": block["repetition"],
             "state": state} for block, arm, state in runs]}, sys.stdout, indent=1)
        print()
        return 0
    print(opening.describe(the_plan))
    ahead = [run for run in runs if not campaign.is_done(run[2], args.retry)]
    for block, arm, state in runs if args.list else ahead[:20]:
        print(f"  {block['id']}  {arm:<20} {block['point']}  {state}")
    if not args.list and len(ahead) > 20:
        print(f"  … and {len(ahead) - 20} more (--list shows all)")
    print(f"{len(ahead)} of {len(runs)} runs would be done")
    return 0


# -- after --

def _conclude(args: argparse.Namespace, folder: Path, the_plan: dict[str, Any], runner: Runner,
              tally: Tally, signal_number: int) -> int:
    states = _states(runner)
    left = states.get("to do", 0) + states.get("interrupted", 0)
    code = 0
    if states.get("failed", 0) + states.get("timeout", 0):
        code = 3
    if left and tally.busy:
        code = 4
    if signal_number:
        code = 128 + signal_number
    if args.json:
        json.dump({"schema": "shunt.outcome/1", "campaign": str(folder), "exit": code,
                   "states": states, "quarantined": tally.quarantined, "busy": tally.busy},
                  sys.stdout, indent=1)
        print()
    elif not args.quiet or code:
        _print_outcome(folder, the_plan, states, tally, left, signal_number)
    return code


def _states(runner: Runner) -> dict[str, int]:
    """{state: runs} of everything selected."""
    done = campaign.done_runs(runner.folder)
    found: dict[str, int] = {}
    for block in runner.plan["blocks"]:
        for arm in block["order"]:
            if runner.selected(block, arm):
                state = done.get((block["id"], arm), "to do")
                found[state] = found.get(state, 0) + 1
    return found


def _print_outcome(folder: Path, the_plan: dict[str, Any], states: dict[str, int], tally: Tally,
                   left: int, signal_number: int) -> None:
    def say(text: str) -> None:
        print(text, file=sys.stderr)
    name = opening.shown(folder)
    for text in tally.quarantined:
        say(f"damaged: {text}")
    if left and tally.busy:
        say(f"others were at work on {len(tally.busy)} blocks: {', '.join(set(tally.busy.values()))}")
    say(", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "nothing selected")
    failed = [r for kind, r in tally.reasons.items() if not kind.startswith(("skipped", "interrupted"))]
    for times, text, block, arm in failed[:8]:
        say(f"  {times} × {text}")
        say("      alone: " + lab("status", name, "--command", f"{block}.{arm}"))
    if signal_number:
        say(f"stopped; nothing finished is lost. Go on with: {lab('run', name)}")
    elif left:
        say(f"{left} runs are left: {lab('run', name)}")
    elif any(states.get(state) for state in ("failed", "timeout", "invalid")):
        say("to run the failed and invalid ones again: " + lab("run", name, "--retry"))
    if not left and states.get("ok"):
        say(f"next: {lab('compare', name)}\n      {lab('report', name)}")
        makefile = drivers.HERE.parent / "Makefile.plot"
        if makefile.is_file() and not set(name) & set(" \t"):     # make splits at white space
            say(f"      make -f {opening.shown(makefile)} figures tables CAMPAIGN={name}")
