# SPDX-License-Identifier: MIT
"""`lab gate`: is a new build of shunt slower than an old one? For the CI of a scheduler of one's own.

Both builds run the baseline of one experiment in the blocks of one campaign, the old one twice: that is
its A/A control. The first block of each point comes first, by itself: a build that crashes, or does not
give the same answers, ends the gate before the rest is run.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from ..output.gate_page import NEW, OLD, OPEN, REGRESSION, Outcome, conclusion, judged, markdown
from ..planning import drivers, kept_plan, plan
from ..planning.campaign import Campaign, load_campaign, status_with
from ..planning.drivers import Driver
from ..planning.experiment import Arm, Exclude, Experiment
from ..planning.reading import RUNS_MAX
from ..planning.toml_spec import load
from ..running import opening
from ..running.opening import UsageError
from ..running.progress import Progress
from ..running.runner import Options, Runner
from ..statistics.analysis import analyse
from ..tools import process
from .compare import table
from .run import machine_lock

PLACES = ("", "shunt", "bin/shunt", "build/release/shunt")


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "gate", help="is a new build of shunt slower than an old one? for CI",
        description="Run the baseline of an experiment with two builds of shunt, interleaved on this "
                    "machine, and judge each metric. $GITHUB_STEP_SUMMARY, where it is set, gets the "
                    "verdicts as a table.",
        epilog="exit status: 0 no metric is slower; 1 one is, or the new build fails where the old one does not; 2 "
               "inconclusive, or an error: usage, not two builds of shunt, different answers; 4 and 5 as of every "
               "command; 130 or 143 interrupted: the same command with --out goes on")
    p.add_argument("old", metavar="OLD", help="a shunt, or a folder that holds one: a build folder, an installation")
    p.add_argument("new", metavar="NEW", help="the same of the build to judge")
    p.add_argument("--experiment", default="quickstart", metavar="EXPERIMENT",
                   help="what to run: a .toml file, or a name that `lab list` has (default: quickstart)")
    p.add_argument("--backend", default="", metavar="SPEC",
                   help="run this instead of the experiment's baseline, such as mn:policy=mine")
    p.add_argument("--repetitions", type=_repetitions, default=0, metavar="N",
                   help="blocks of each point, instead of the experiment's")
    p.add_argument("--out", default="", metavar="DIR", help="the campaign's folder (default: results/gate-…)")
    p.add_argument("--concurrent", action="store_true",
                   help="allow a second lab on this machine (it disturbs the timings of both)")
    p.set_defaults(run=command)


def _repetitions(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= RUNS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of blocks, from 1 to {RUNS_MAX:,}")
    return int(text)


def command(args: argparse.Namespace) -> int:
    builds = {OLD: _build(OLD, args.old), NEW: _build(NEW, args.new)}
    if builds[OLD].build_id == builds[NEW].build_id:
        raise UsageError(f"{args.old} and {args.new} are one build ({builds[OLD].build_id[:12]}): the same code, "
                         "wherever it was built; there is nothing to compare")
    e = _of_two(load(opening.find_experiment(args.experiment)), builds, args.backend, args.repetitions)
    cpus = opening.resolve_cpus(e.cpus)
    frozen = plan.freeze(e, {**builds, "shunt": builds[OLD]}, len(cpus))
    folder, _ = opening.create(e, frozen, args.out) if args.out else opening.create_new(e, frozen)
    for line in [*frozen.notes, opening.describe(frozen.plan), f"campaign: {opening.shown(folder)}"]:
        print(line, file=sys.stderr)
    with machine_lock(args.concurrent), process.Stop() as stop:
        outcome = _run(folder, builds, cpus, stop)
    if outcome is None:
        print(f"stopped; the same command with --out {opening.shown(folder)} goes on", file=sys.stderr)
        return 128 + stop.signal
    sys.stdout.write(table(outcome.report) + "\n" if outcome.report and outcome.report.sections else "")
    print("\n".join(conclusion(outcome)))
    _tell_ci(markdown(outcome, builds))
    return status_with([outcome.campaign], outcome.code)


# ---- before -------------------------------------------------------------------------------------

def _build(name: str, given: str) -> Driver:
    found = next((Path(given, place) for place in PLACES if Path(given, place).is_file()), None)
    if found is None:
        raise UsageError(f"{given}: neither a program nor a folder with shunt in it"
                         + (" (looked for shunt, bin/shunt, build/release/shunt)" if Path(given).is_dir() else ""))
    driver = drivers.find({"shunt"}, {}, str(found))["shunt"]
    if driver.absent:
        raise UsageError(f"{given}: not a build of shunt: {driver.absent}")
    return dataclasses.replace(driver, name=name)


def _of_two(e: Experiment, builds: dict[str, Driver], backend: str, repetitions: int) -> Experiment:
    """The experiment with its baseline in both builds and nothing else."""
    if e.plugins:
        raise UsageError(f"{e.file}: plugins: a plug-in belongs to one build; build it into both to compare them")
    base = next((a for a in e.arms if a.name == e.baseline and not a.each), None)
    if base and base.driver != "shunt":
        base = None
    if not backend and not base:
        raise UsageError(f"{e.file}: its baseline {e.baseline!r} is not an arm of shunt's own with a backend; say "
                         "which one to run: --backend SPEC")
    mine = base.name if base and not backend else ""
    return dataclasses.replace(
        e, name=f"gate-{e.name}-{builds[NEW].build_id[:8]}", title=f"Gate: {e.title}", baseline=OLD, control=True,
        question=f"Is the new build slower? {e.question}",
        arms=[Arm(name, backend or base.backend, name) for name in builds],
        workloads=[dataclasses.replace(w, arms=[]) for w in e.workloads if not w.arms or mine in w.arms],
        exclude=[Exclude(x.why, [], x.workload, x.where, x.path) for x in e.exclude if not x.arms or mine in x.arms],
        repetitions=repetitions or e.repetitions, expect=[], figures=[],
        drivers={name: d.command for name, d in builds.items()})


# ---- the runs -----------------------------------------------------------------------------------

def _run(folder: Path, builds: dict[str, Driver], cpus: list[int], stop: process.Stop) -> Outcome | None:
    """None: interrupted."""
    the_plan = kept_plan.load_plan(folder)
    first = {b["id"] for b in the_plan["blocks"] if b["repetition"] == 1}
    for blocks in (first, None):
        Runner(folder, the_plan, builds, Options(cpus, blocks=blocks), Progress(), stop).run({
            "seal": the_plan["seal"], "cpus": process.show_cpus(cpus),
            "affinity": process.show_cpus(process.allowed_cpus()),
            "drivers": {n: d.build_id for n, d in builds.items()}})
        if stop:
            return None
        campaign = load_campaign(folder)
        if broken := _broken(campaign):
            return broken
    return judged(campaign, analyse([campaign]))


def _broken(campaign: Campaign) -> Outcome | None:
    """Why the runs so far cannot be compared, and whose fault that is."""
    failed = [r for r in campaign.records if r["status"] in ("failed", "timeout")]
    for r in sorted(failed, key=lambda r: r["arm"] == NEW)[:1]:
        which = "new" if r["arm"] == NEW else "old"
        blameless = which == "old" or "its record was refused" in r["reason"]
        return Outcome(campaign, None, OPEN if blameless else REGRESSION, [
            f"the {which} build {r['status']} in {r['block']}: {r['reason']}"])
    answers: dict[str, dict[str, dict[str, str]]] = {}
    for r in campaign.ok():
        answers.setdefault(r["block"], {})[r["arm"]] = {c["name"]: c["actual"] for c in r["checks"]}
    for block, of in answers.items():
        # What the old build answers in two ways is no answer that the new one could miss.
        old, again, new = (of.get(arm) for arm in (OLD, OLD + plan.CONTROL_SUFFIX, NEW))
        if new and old == again != new:
            name = min(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
            return Outcome(campaign, None, OPEN, [
                f"the builds do not agree about {campaign.blocks[block]['point']} in {block}: {name} is "
                f"{old.get(name, 'absent')} in the old one and {new.get(name, 'absent')} in the new one; they do "
                "not do the same work"])
    return None


def _tell_ci(page: str) -> None:
    file = os.environ.get("GITHUB_STEP_SUMMARY", "")
    try:
        if file:
            with open(file, "a", encoding="utf-8") as out:
                out.write(page)
    except OSError as e:
        print(f"$GITHUB_STEP_SUMMARY: {file}: {e.strerror}", file=sys.stderr)
