# SPDX-License-Identifier: MIT
"""`lab submit`: a campaign in many tasks, on the nodes of a cluster or one after the other here."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from ..planning import drivers, kept_plan
from ..running import opening, slurm, submission
from ..tools import process
from ..tools.files import own_folder
from ..tools.locks import Busy, Lock
from ..tools.naming import lab
from ..tools.trust import Refused, Trust
from . import run


def register(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "submit", help="run a campaign in tasks, on the nodes of a cluster",
        description="Run a campaign in tasks, each of which runs its share: whole repetitions, or whole blocks "
                    "where there are more tasks. Writes the script of a task to CAMPAIGN/jobs, shows it, "
                    "and submits the tasks that have runs to make. The same command again submits what is "
                    "left. Options after -- are sbatch's.",
        epilog="exit status: 0 submitted (local: all is run), 2 usage, 4 refused, by sbatch too; with "
               "--engine local also those of `lab run`")
    p.add_argument("campaign", metavar="CAMPAIGN", type=Path)
    p.add_argument("--engine", choices=("slurm", "local"), default="slurm",
                   help="slurm (default), or local: the same script on this machine, task after task")
    p.add_argument("--tasks", metavar="N", type=int, required=True, help="how many tasks share the campaign")
    p.add_argument("--site", metavar="FILE", type=Path,
                   help="lines of shell that each task begins with: modules, $SHUNT_SCRATCH (see "
                        "experiments/cluster/site.sh)")
    p.add_argument("--retry", action="store_true", help="run failed, timed-out and invalid runs again")
    p.add_argument("--redact", action="store_true", help="as in `lab run`")
    p.add_argument("--shunt", default="", metavar="PATH", help="the shunt to run, as the nodes see it")
    p.add_argument("--trust", action="store_true",
                   help="start the drivers and load the plug-ins that the experiment brings without asking")
    p.add_argument("--dry-run", action="store_true", help="show the script and the tasks; submit nothing")
    p.takes_rest = "sbatch"
    p.set_defaults(run=command)


def command(args: argparse.Namespace) -> int:
    problems = slurm.contradictions(args.sbatch)
    if args.engine == "local" and args.sbatch:
        problems = [f"{shlex.join(args.sbatch)}: options of sbatch, which --engine local does not use"]
    if problems:
        raise opening.UsageError("\n".join(problems))
    opening.must_take_runs(args.campaign)
    folder = args.campaign.absolute()
    the_plan = drivers.with_own_plugins(folder, kept_plan.load_plan(folder))
    text = submission.script(_lab_run(args, folder, the_plan), args.tasks, _site(args.site))
    try:
        with Lock(own_folder(folder, "locks"), "submit"):
            return _start(args, folder, the_plan, text)
    except Busy as e:
        raise Refused(f"{args.campaign}: another `lab submit` is at work here ({e}); wait for it") from None


def _lab_run(args: argparse.Namespace, folder: Path, the_plan: dict[str, Any]) -> list[str]:
    """The command of every task. What is not there, or not trusted, is said now and not by each task."""
    found = run.find_drivers(folder, the_plan, args.shunt, Trust(args.trust), False)
    words = [str(drivers.HERE / "lab"), "run", str(folder)]
    if "shunt" in found:
        words += ["--shunt", found["shunt"].command[0]]
    return words + ["--retry"] * args.retry + ["--redact"] * args.redact + \
        ["--trust"] * bool(the_plan["commands"] or the_plan.get("plugins"))


def _site(file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as e:
        raise opening.UsageError(f"--site {file}: {getattr(e, 'strerror', None) or e}") from None


def _start(args: argparse.Namespace, folder: Path, the_plan: dict[str, Any], text: str) -> int:
    ahead = submission.tasks_ahead(folder, the_plan, args.tasks, args.retry)
    if not ahead:
        print(f"{opening.describe(the_plan)}: every run is made. next: {lab('compare', args.campaign)}")
        return 0
    print(text)
    script = folder / "jobs" / submission.SCRIPT
    if not args.dry_run:
        submission.write_script(folder, text)
    return _start_here(args, script, ahead) if args.engine == "local" else \
        _start_slurm(args, folder, the_plan, script, ahead)


# -- on this machine --

def _start_here(args: argparse.Namespace, script: Path, ahead: list[int]) -> int:
    print(f"tasks {process.show_cpus(ahead)} of {args.tasks}, one after the other", flush=True)
    worst = 0
    with process.Stop() as stop:
        for task in [] if args.dry_run else ahead:
            code = process.relay([str(script), str(task)], {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}, stop)
            if code not in (0, 3):      # 3: some of its runs failed; the other tasks go on
                print(f"task {task} ended with exit status {code}; the same command goes on", file=sys.stderr)
                return code if code > 0 else 128 - code
            worst = max(worst, code)
    return worst


# -- on a cluster --

def _start_slurm(args: argparse.Namespace, folder: Path, the_plan: dict[str, Any], script: Path,
                 ahead: list[int]) -> int:
    known = submission.jobs(folder)
    queued = _queued(args, known)
    todo = [task for task in ahead if task not in queued]
    if not todo:
        raise Refused(f"all {len(ahead)} tasks that have runs to make are in the queue already: job "
                      f"{', '.join(sorted(set(queued.values())))}; `{lab('status', args.campaign)}` watches "
                      "them, scancel ends them")
    arrays = slurm.chunks(todo, slurm.array_limit())
    options = [f"--job-name=shunt-{the_plan['experiment']['name']}",
               f"--output={str(folder / 'jobs').replace('%', '%%')}/%A_%a.out", *slurm.DEFAULTS, *args.sbatch]
    for done, (first, indices) in enumerate(arrays):
        words = ["sbatch", "--parsable", f"--array={indices}", *options, str(script), str(first)]
        print(shlex.join(words), flush=True)
        if args.dry_run:
            continue
        try:
            job = slurm.submit(words)
        except Refused as e:
            before = f"\n{done} of {len(arrays)} arrays were submitted before it and stay in the queue" if done else ""
            raise Refused(f"{e}{before}\nnothing is lost; the same command submits what is left") from None
        submission.note(folder, job, first, indices, args.tasks)
        print(f"job {job}: tasks {first} + {indices} of {args.tasks}")
    print(f"watch them: {lab('status', args.campaign)}")
    return 0


def _queued(args: argparse.Namespace, known: dict[str, submission.Job]) -> dict[int, str]:
    """{task: job} of the tasks of this campaign that wait or run."""
    live = slurm.queue(set(known)) if known else []
    other = {t.job for t in live if known[t.job].tasks != args.tasks}
    if other:
        number = sorted(other)[0]
        raise Refused(f"job {number} of this campaign is in the queue with {known[number].tasks} tasks; other "
                      f"shares would overlap. Give --tasks {known[number].tasks}, wait, or `scancel {number}`")
    return {known[t.job].first + t.index: t.job for t in live}
