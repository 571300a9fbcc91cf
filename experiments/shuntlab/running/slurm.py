# SPDX-License-Identifier: MIT
"""Slurm, asked through its own clients: how large an array may be, submitting one, what is in the queue.

Nothing here decides whether a run is done: that is what the records in the campaign's folder say. Jobs leave
the queue's list minutes after their end, and accounting need not be there at all.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess

from ..tools.process import show_cpus
from ..tools.trust import Refused

ANSWER_S = 60       # a controller that is down makes a client wait


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of an array that waits or runs."""
    job: str
    index: int
    state: str          # PENDING, RUNNING, COMPLETING, …
    node: str
    reason: str


# Each task is one process of the lab on a node of its own. It may be started again on another node.
DEFAULTS = ("--requeue", "--open-mode=append", "--exclusive", "--nodes=1", "--ntasks=1")
_OURS = {
    "--array": "the tasks are --tasks of `lab submit`", "-a": "the tasks are --tasks of `lab submit`",
    "--wrap": "the lab writes the script", "--parsable": "the lab reads the answer itself",
    "--test-only": "`lab submit --dry-run` shows what would be submitted",
    "--no-requeue": "a task whose node dies has to come back",
    "--open-mode=truncate": "a task that comes back would delete what it said before",
    "--oversubscribe": "another job on the node would disturb the runs", "-s": "another job on the node "
    "would disturb the runs"}
_ONE = re.compile(r"(?:-N|-n|--nodes(?:=|$)|--ntasks(?:=|$))")


def contradictions(options: list[str]) -> list[str]:
    """What is wrong with a user's options for sbatch; everything else is sbatch's to judge."""
    found = []
    for option, following in zip(options, [*options[1:], ""]):
        name, joined, value = option.partition("=")
        why = _OURS.get(option) or _OURS.get(name)
        if name == "--open-mode" and (value or following).startswith("t"):
            why = _OURS["--open-mode=truncate"]
        if re.match(r"-a\d", option):
            why = _OURS["-a"]
        if _ONE.match(option):
            said = _ONE.sub("", option) or value or following
            why = "" if said in ("1", "1-1") else "a task is one process on one node; --tasks makes more tasks"
        if why:
            found.append(f"{option}: {why}")
    return found


def chunks(tasks: list[int], limit: int) -> list[tuple[int, str]]:
    """(first, indices) of each array that holds some of the tasks: task = first + index, index < limit."""
    found: dict[int, list[int]] = {}
    for task in tasks:
        found.setdefault((task - 1) // limit, []).append((task - 1) % limit)
    return [(1 + chunk * limit, show_cpus(indices)) for chunk, indices in sorted(found.items())]


def array_limit() -> int:
    """How many tasks one array may have on this cluster."""
    said = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]), re.M)
    if not said or int(said[1]) < 1:
        raise Refused("scontrol show config: no MaxArraySize of 1 or more; this cluster takes no arrays")
    return int(said[1])


def submit(command: list[str]) -> str:
    """Give sbatch its command; the number of the job."""
    said = _ask(command).strip()
    job = said.partition(";")[0]
    if not job.isdecimal():
        raise Refused(f"sbatch gave no job number but {said!r}; squeue says whether there is a job")
    return job


def queue(jobs: set[str]) -> list[Task]:
    """The tasks of these jobs that wait or run."""
    text = _ask(["squeue", "--noheader", "--array", "--me", "--format=%F|%K|%T|%N|%r"])
    rows = [line.strip().split("|", 4) for line in text.splitlines()]
    return [Task(row[0], int(row[1]), *row[2:]) for row in rows
            if len(row) == 5 and row[0] in jobs and row[1].isdecimal()]


def _ask(command: list[str]) -> str:
    """What a client of Slurm prints. Refused with its own words where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=ANSWER_S)
    except OSError as e:
        raise Refused(f"{command[0]}: {e.strerror}: Slurm's clients are not here (Debian: apt-get install "
                      "slurm-client); --engine local runs the tasks on this machine") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"{command[0]}: no answer within {ANSWER_S} s; `scontrol ping` tells whether the "
                      "controller is up") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise Refused(f"{command[0]} failed with exit status {done.returncode}: {said or 'it said nothing'}")
    return done.stdout
